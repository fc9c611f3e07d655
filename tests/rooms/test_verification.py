"A finished run vouches for every byte of itself."
import json, shutil
import pytest
from plm_nb.files import InputError
from plm_nb.documents import fingerprint
from plm_nb.runs import Run, check_free, text_figures
from plm_nb.verification import count_look, looks_at, note_looks, verify

def accuracy(lines): return dict(accuracy=sum(l["label"]==l["prediction"] for l in lines)/len(lines))

SCORE = dict(nats=text_figures, names=accuracy)
ROWS = dict(nats=[dict(row=i, nats=1.5*i, tokens=i+1) for i in range(5)],
            names=[dict(row=i, label="ab"[i%2], prediction="ab"[i%3==0], probability=.5) for i in range(9)])

def finished(folder, kind="names"):
    "A small finished run with every kind of file."
    asked, data = dict(epochs=1, data="/a/place/rows.csv"), dict(rows=9, sha256=fingerprint(ROWS[kind]))
    run = Run.start(folder, "finetune", asked, seed=3, data=data)
    for step in (1, 2): run.log(step=step, loss=1/step)
    for split,lines in dict(validation=ROWS[kind], test=ROWS[kind][:3]).items():
        run.score(split, lines, SCORE[kind](lines))
    (folder/"model.safetensors").write_bytes(bytes(range(256)))
    (folder/"checkpoints").mkdir(); (folder/"checkpoints/state").write_text("not vouched for")
    run.finish()
    return folder

@pytest.fixture(scope="module")
def run(tmp_path_factory): return finished(tmp_path_factory.mktemp("runs")/"run")

FILES = ["run.json", "log.jsonl", "scores.jsonl", "README.md", "plots/loss.png", "model.safetensors"]

def said(folder, name):
    "What `verify` says of the file `name`; an `InputError` that names it counts as a word too."
    try: found = verify(folder)
    except InputError as e:
        assert name in str(e) and "\n" not in str(e)
        return "refused"
    assert not found["ok"]
    return found["files"][name]

def test_a_finished_run(run):
    "Every file is vouched for, and the checkpoints are not; nothing else lies around."
    found = verify(run)
    assert found==dict(ok=True, files=dict.fromkeys(sorted(FILES), "ok"), scores=dict(validation="ok", test="ok"))
    assert {p.name for p in run.iterdir()}=={f.split("/")[0] for f in FILES}|{"MANIFEST.json", "checkpoints"}
    assert Run(run).record["status"]=="done" and "/a/place" not in (run/"run.json").read_text()
    assert len(Run(run).history)==2

@pytest.mark.parametrize("name", FILES)
def test_one_byte(run, tmp_path, name):
    "One bit of the first, the middle or the last byte, or a byte too few or too many: the file is named."
    shutil.copytree(run, tmp_path/"copy")
    path = tmp_path/"copy"/name
    data = path.read_bytes()
    for at in (0, len(data)//2, len(data)-1):
        for bit in (1, 128):
            path.write_bytes(data[:at]+bytes([data[at]^bit])+data[at+1:])
            assert said(tmp_path/"copy", name) in ("changed", "refused")
    for other in (data[:-1], data[:len(data)//2], b"", data+b"\n"):
        path.write_bytes(other)
        assert said(tmp_path/"copy", name) in ("changed", "refused")
    path.write_bytes(data)
    assert verify(tmp_path/"copy")["ok"]

@pytest.mark.parametrize("name", FILES)
def test_a_file_removed(run, tmp_path, name):
    "A file that is gone is missing, and named."
    shutil.copytree(run, tmp_path/"copy")
    (tmp_path/"copy"/name).unlink()
    assert said(tmp_path/"copy", name) in ("missing", "refused")

ADDED = ["note.txt", "plots/other.png", "sub/checkpoints/x", "sub/MANIFEST.json", "checkpoints.txt"]

@pytest.mark.parametrize("name", ADDED)
def test_a_file_added(run, tmp_path, name):
    "A file that the manifest does not know is named, wherever it lies."
    shutil.copytree(run, tmp_path/"copy")
    (tmp_path/"copy"/name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path/"copy"/name).write_text("more")
    assert said(tmp_path/"copy", name)=="added"

@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", '{"run.json": "0"}'])
def test_a_damaged_manifest(run, tmp_path, text):
    "A manifest that is no manifest is named; one that lacks files calls them added."
    shutil.copytree(run, tmp_path/"copy")
    (tmp_path/"copy/MANIFEST.json").write_text(text, encoding="latin-1")
    try: assert not verify(tmp_path/"copy")["ok"]
    except InputError as e: assert "MANIFEST.json" in str(e)

@pytest.mark.parametrize("kind, score", [("nats", None), ("names", accuracy)])
def test_figures_are_computed_again(tmp_path, kind, score):
    "A figure that the lines do not give is told, even where all fingerprints were made to agree."
    folder = finished(tmp_path/"run", kind)
    assert verify(folder, score)["ok"]
    run = Run(folder)
    key = "loss" if kind=="nats" else "accuracy"
    run.record["results"]["test"][key] += 1e-6
    run.finish()
    found = verify(folder, score)
    assert not found["ok"] and set(found["files"].values())=={"ok"}
    assert found["scores"]["validation"]=="ok" and key in found["scores"]["test"]

@pytest.mark.parametrize("gone", [[0], [9, 10, 11]])
@pytest.mark.parametrize("score", [None, accuracy])
def test_lines_that_were_taken_out(tmp_path, gone, score):
    "A line, or all lines of a split, that are gone from `scores.jsonl` are told, even where the fingerprints agree."
    folder = finished(tmp_path/"run")
    lines = (folder/"scores.jsonl").read_text().splitlines()
    (folder/"scores.jsonl").write_text("".join(l+"\n" for i,l in enumerate(lines) if i not in gone))
    Run(folder).finish()
    found = verify(folder, score)
    assert not found["ok"] and "the record says" in found["scores"]["validation" if gone==[0] else "test"]

@pytest.mark.parametrize("odd", ['{"split": "test"}', '{"split": "test", "label": []}', "3", "{"])
def test_lines_that_cannot_be_scored(tmp_path, odd):
    "A damaged line is a difference, never a traceback."
    folder = finished(tmp_path/"run")
    lines = (folder/"scores.jsonl").read_text().splitlines()
    (folder/"scores.jsonl").write_text("".join(l+"\n" for l in [*lines[:-1], odd]))
    Run(folder).finish()
    assert not verify(folder, accuracy)["ok"]

def test_a_run_of_before(tmp_path):
    "Lines that name parts, as they did before splits, are refused by name."
    folder = finished(tmp_path/"run")
    lines = (folder/"scores.jsonl").read_text()
    (folder/"scores.jsonl").write_text(lines.replace('"split"', '"part"'))
    Run(folder).finish()
    assert "older plm_nb" in verify(folder, accuracy)["scores"]["all"]

@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_record(run, tmp_path, text):
    "A `run.json` that is no record is one line that names it; the folder counts as taken."
    shutil.copytree(run, tmp_path/"copy")
    (tmp_path/"copy/run.json").write_text(text)
    assert said(tmp_path/"copy", "run.json") in ("changed", "refused")
    with pytest.raises(InputError): check_free(tmp_path/"copy")

def test_an_unfinished_run(tmp_path):
    "Without a manifest a run is not believed, and not written over."
    Run.start(tmp_path/"run", "pretrain", {})
    assert Run(tmp_path/"run").record["status"]=="running"
    with pytest.raises(InputError, match="not finished"): verify(tmp_path/"run")
    with pytest.raises(InputError, match="another run"): check_free(tmp_path/"run")

# --- looks

def run_at(folder, **looks):
    run = Run.start(folder, "finetune", {}, test_looks=looks)
    note_looks(run)
    run.finish()
    return folder

def test_seeds_and_neighbors(tmp_path):
    "Runs beside, and runs of seeds in folders beside, count; what lies elsewhere and other rows do not."
    first = run_at(tmp_path/"runs/first", a=1)
    seed = run_at(tmp_path/"runs/second/seed-0", a=2)
    run_at(tmp_path/"runs/second/seed-1", b=4)
    run_at(tmp_path/"elsewhere/third", a=8)
    assert looks_at(["a"], first)==looks_at(["a"], seed)==looks_at(["a"], first, seed)==3
    assert looks_at(["a", "b"], first)==7 and looks_at(["c"], first)==0
    assert Run(seed).record["test_looks_beside"]==1

def test_the_card_says_both(tmp_path):
    run_at(tmp_path/"first", a=1)
    second = run_at(tmp_path/"second", a=1)
    count_look(second, "a")
    card = (second/"README.md").read_text()
    assert "Looks at the test split: 2, and 1 more by runs beside this one." in card
    assert json.loads((second/"run.json").read_text())["test_looks"]=={"a": 2}

@pytest.mark.parametrize("text", ["", "{}", '{"test_looks": null}', '{"command": "finetune"}'])
def test_a_damaged_neighbor(tmp_path, text):
    "A record that cannot be read, or knows no looks, stops nobody."
    run = run_at(tmp_path/"run", a=1)
    (tmp_path/"odd").mkdir()
    (tmp_path/"odd/run.json").write_text(text)
    assert looks_at(["a"], run)==1

def test_no_run_no_count(tmp_path):
    "A model without a run has no record to keep a look in."
    count_look(tmp_path, "a")
    assert not list(tmp_path.iterdir())
