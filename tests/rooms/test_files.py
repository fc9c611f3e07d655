"What is written is whole, and JSON that every program reads; what is read is tested in test_data.py."
import json, os
import pandas as pd
import pytest
from plm_nb import files
from plm_nb.files import InputError, NoText, atomic_write, finite, json_lines, read_json_lines, read_table, read_text

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

@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85"], ids=repr)
@pytest.mark.parametrize("kind", [InputError, NoText])
def test_an_error_is_one_line(kind, end): assert str(kind(f"a column{end}of two lines"))=="a column of two lines"

def test_nul_is_left_out_and_counted(tmp_path):
    (tmp_path/"a.txt").write_bytes(b"one\0 two\0 three, and more")
    with pytest.warns(UserWarning, match="a.txt: 2 NUL characters"): assert read_text(tmp_path/"a.txt")=="one two three, and more"

@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(tmp_path, encoding):
    "It is valid UTF-8, with a NUL beside every letter; read by its name it is what it was."
    (tmp_path/"a.txt").write_bytes("good dog\nbad cat".encode(encoding))
    with pytest.raises(InputError, match=f"it looks like {encoding}"): read_text(tmp_path/"a.txt")
    assert read_text(tmp_path/"a.txt", encoding)=="good dog\nbad cat"

@pytest.mark.parametrize("encoding", ["hex", "a\0", "undefined", "rot13", ""])
def test_encodings_that_are_none(tmp_path, encoding):
    (tmp_path/"a.txt").write_bytes(b"a.b\xff..c")
    with pytest.raises(InputError, match="unknown encoding"): read_text(tmp_path/"a.txt", encoding)

@pytest.mark.parametrize("text", ["["*5000, '{"a":'*5000, '{"a": '+"9"*5000+"}"], ids=["lists", "objects", "digits"])
def test_what_json_cannot_hold(tmp_path, text):
    "Thousands of brackets and a number of thousands of digits are no error of ours."
    for name in ("a.jsonl", "a.json"):
        (tmp_path/name).write_text(text)
        with pytest.raises(InputError, match="is not JSON"): read_table(tmp_path/name)
    (tmp_path/"b.jsonl").write_text('{"a": 1}\n'+text+"\n")
    with pytest.raises(InputError, match="b.jsonl: line 2 is damaged"): read_json_lines(tmp_path/"b.jsonl")

@pytest.mark.parametrize("line", [b"", b"1", b"[]", b'{"a"', b'{"a": "\xff"}', b"null"], ids=repr)
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path/"a.jsonl").write_bytes(b'{"a": 1}\n'+line+b'\n{"a": 2}\n')
    with pytest.raises(InputError, match="a.jsonl: line 2 is damaged"): read_json_lines(tmp_path/"a.jsonl")

def test_a_gap_makes_no_other_number(tmp_path):
    "A float has no room for the last digits of a long whole number, so a column with a gap holds none."
    rows = [dict(text="a", id=2**60+1), dict(text="b")]
    (tmp_path/"a.jsonl").write_text(json_lines(rows))
    pd.DataFrame(dict(text=["a", "b"], id=pd.array([2**60+1, None], "Int64"))).to_parquet(tmp_path/"a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        ids = read_table(tmp_path/name).id
        assert int(ids[0])==2**60+1 and pd.isna(ids[1])
