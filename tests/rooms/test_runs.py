"A run folder has one shape, and says what was measured."
import json
from pathlib import Path
import pytest
from plm_nb.files import InputError
from plm_nb.documents import fingerprint
from plm_nb.runs import Run, check_free, portable, text_figures

ROWS = [dict(row=i, nats=1.5*i, tokens=i+1) for i in range(5)]

def test_text_figures():
    "A mean over tokens, not over rows; in every unit where the lines tell their lengths."
    assert text_figures(ROWS)==dict(loss=1.0, tokens=15)

def test_fingerprint():
    "Order, keys and values count; the order of keys does not."
    rows = [dict(a=1, b="é"), dict(a=2, b="x")]
    same = fingerprint(rows)
    assert same==fingerprint([dict(b="é", a=1), rows[1]])==fingerprint(iter(rows))
    assert len({same, fingerprint(rows[::-1]), fingerprint(rows[:1]), fingerprint([dict(a=1, b="é", c=0), rows[1]])})==4

def test_folders_that_are_taken(tmp_path):
    "A file, another run and a folder with anything in it are refused; an empty folder is free."
    run = Run.start(tmp_path/"run", "finetune", {}).path
    (run/"plots").mkdir()
    (tmp_path/"full").mkdir(); (tmp_path/"full/note").touch()
    for path,word in ((run, "another run"), (run/"run.json", "file"), (tmp_path/"full", "not empty")):
        with pytest.raises(InputError, match=word): check_free(path)
        with pytest.raises(InputError, match=word): Run.start(path, "finetune", {})
    check_free(tmp_path/"new")
    assert not (tmp_path/"new").exists()
    for path in (tmp_path, run/"plots"):
        with pytest.raises(InputError, match="run.json"): Run(path)

def test_the_card_escapes(tmp_path):
    "What a user typed reaches the card as text: no tags, no cells of its own."
    run = Run.start(tmp_path/"run", "finetune", dict(task="<script>|\n# x"), data={})
    run.finish()
    card = (tmp_path/"run/README.md").read_text()
    assert "<script>" not in card and "\n# x" not in card and "&lt;script&gt;\\|" in card

def test_portable():
    "A path from the root on keeps its last part, however deep it lies; others stay."
    given = ["/home/me/glue", "~/glue", "data/glue", "nyu-mll/glue", Path("runs/a"), dict(at=Path("/x/y")), 3]
    assert portable(given)==["glue", "glue", "data/glue", "nyu-mll/glue", "runs/a", dict(at="y"), 3]

@pytest.mark.parametrize("program", ["/usr/bin/plm", "/usr/lib/plm_nb/cli.py", "/usr/lib/plm_nb/__main__.py"])
def test_what_was_typed(tmp_path, monkeypatch, program):
    "The command stands in the record and on the card, without a word on where somebody keeps their files."
    words = ["finetune", "--train=/home/me/a.en,/home/me/a.zh", "--model", "/home/me/runs/mlm", "--lora", "--out", "runs/my run", "--set", "optim=sgd"]
    monkeypatch.setattr("sys.argv", [program, *words])
    run = Run.start(tmp_path/"run", "finetune", {})
    run.finish()
    typed = "plm finetune --train=a.en,a.zh --model mlm --lora --out 'runs/my run' --set optim=sgd"
    assert json.loads((tmp_path/"run/run.json").read_text())["typed"]==typed
    assert "`plm finetune" in (tmp_path/"run/README.md").read_text()

def test_python_was_not_typed(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/home/me/train.py", "--out", "x"])
    assert "typed" not in Run.start(tmp_path/"run", "finetune", {}).record
