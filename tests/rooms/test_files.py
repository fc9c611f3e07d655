"What is written is whole, and JSON that every program reads; what is read is tested in test_data.py."
import json, os
import pytest
from plm_nb import files
from plm_nb.files import atomic_write, finite, json_lines, read_json_lines

def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch):
    "Whatever happens before the rename, the file is the old one."
    path = tmp_path/"record.json"
    atomic_write(path, "old")
    def killed(*args): raise KeyboardInterrupt
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt): atomic_write(path, "new")
    assert path.read_text()=="old"

def test_it_is_on_the_disk_before_its_name(tmp_path, monkeypatch):
    "The file is brought to the disk, then renamed, then its folder is brought there."
    steps = []
    replace, sync = os.replace, files.sync
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("replace"), replace(a, b)))
    monkeypatch.setattr(files, "sync", lambda path: (steps.append(path.name), sync(path)))
    atomic_write(tmp_path/"a.txt", "text")
    assert steps==["a.txt.tmp", "replace", tmp_path.name]

@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_without_infinity(value):
    "At any depth, in dicts, lists and tuples; other values stay as they are."
    assert finite(dict(a=[value, (1, value)], b="nan", c=True, d=1.5, e=None))==dict(a=[None, [1, None]], b="nan", c=True, d=1.5, e=None)
    assert json.loads(json_lines([dict(a=value)]), parse_constant=pytest.fail)==dict(a=None)

def test_a_line_without_an_end_does_not_count(tmp_path):
    (tmp_path/"log.jsonl").write_text('{"a": 1}\n{"a": "\u2028"}\n{"a"', encoding="utf-8")
    assert read_json_lines(tmp_path/"log.jsonl")==[dict(a=1), dict(a="\u2028")] and read_json_lines(tmp_path/"none")==[]
