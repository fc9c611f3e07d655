"`plm data` reads what people have, and leaves a corpus with its account; `--dry-run` makes no run."
import gzip, json
import pytest
from plm_nb.cli import main
from plm_nb.data import load_corpus
from plm_nb.data_commands import as_options, data
from plm_nb.files import InputError

@pytest.fixture
def notes(tmp_path):
    folder = tmp_path/"notes"
    folder.mkdir()
    (folder/"a.txt").write_text("Call 13912345678 or write to anna@example.org, please do.")
    with gzip.open(folder/"b.jsonl.gz", "wt") as f:
        for text in ("One and the same text.", "one and  the same TEXT.", "别的一句话。"): f.write(json.dumps(dict(text=text))+"\n")
    return folder

def told(capsys, *argv):
    code = main([*map(str, argv), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err

def test_describe(notes, capsys):
    code, found, _ = told(capsys, "data", "describe", "--corpus", notes)
    assert code==0 and found["exact copy"]["documents"]==1
    assert any("Han" in name for name in found)

def test_clean(notes, capsys, tmp_path):
    out = tmp_path/"out"
    code, found, _ = told(capsys, "data", "clean", "--corpus", notes, "--out", out, "--personal", "mask")
    assert code==0 and found["documents"]==3 and found["out"]==str(out/"documents")
    assert json.loads((out/"report.json").read_text())["kept"]["documents"]==3
    [gone] = map(json.loads, (out/"dropped.jsonl").read_text().splitlines())
    assert gone["reason"]=="exact copy" and gone["first"]
    corpus = load_corpus(out/"documents")
    texts = corpus["train"]["text"][:]+corpus["validation"]["text"][:]
    assert len(texts)==3 and "anna" not in str(texts) and "13912345678" not in str(texts)
    whole = load_corpus(out)
    assert {split: whole[split]["text"][:] for split in whole}=={split: corpus[split]["text"][:] for split in corpus}

def test_what_fails_leaves_nothing(notes, tmp_path, capsys):
    for wrong in (["--text", "nowhere"], ["--scripts", "Thai"], ["--encoding", "klingon"]):
        assert told(capsys, "data", "clean", "--corpus", notes, "--out", tmp_path/"out", *wrong)[0]==2
        assert not (tmp_path/"out").exists()

def test_an_embedded_corpus(tmp_path): assert data("clean", corpus="docs", out=tmp_path/"out")["documents"]>10_000

@pytest.mark.parametrize("argv,said", [
    (["describe", "--corpus", "nowhere.txt"], "nowhere.txt"), (["clean", "--corpus", "docs"], "--out is missing"),
    (["tidy", "--corpus", "docs"], "choose describe or clean"), (["describe", "--corpus", "docs", "--near", ".8"], "of plm data clean"),
    (["clean", "--corpus", "docs", "--out", "x", "--personal", "eat"], "keep, mask, drop")])
def test_wrong_input(argv, said, capsys):
    code, found, err = told(capsys, "data", *argv)
    assert code==2 and found is None and said in err and len(err.splitlines())==1

def test_options_as_typed():
    assert as_options(dict(a=None, b=False, c=True, d_e=1.5, f=["x=1", "y=2"]))==["--c", "--d-e", "1.5", "--f", "x=1", "--f", "y=2"]

def test_a_dry_run(tmp_path, capsys):
    (tmp_path/"a.txt").write_text("".join(f"Line {i} is like all others. " for i in range(2000)))
    before = sorted(tmp_path.iterdir())
    code, found, _ = told(capsys, "pretrain", "--dry-run", "--corpus", tmp_path/"a.txt", "--tokenizer", "char", "--size", "tiny",
                          "--block-size", "32", "--batch-size", "4", "--epochs", "3")
    assert code==0 and found["steps"]>100 and found["memory_gb"]>.1
    for option in ("--batch-size 4", "--epochs 3", "--out RUN", "--tokenizer char"): assert option in found["launcher"]
    assert "--l2-sp" not in found["launcher"] and "--dry-run" not in found["launcher"]
    assert sorted(tmp_path.iterdir())==before

@pytest.mark.parametrize("argv,said", [(["--dry-run", "--arch", "ngram"], "an n-gram only counts"), ([], "--out is missing"),
                                       (["--dry-run", "--tokenizer", "nowhere"], "nowhere")])
def test_a_dry_run_of_nothing(argv, said, capsys):
    code, found, err = told(capsys, "pretrain", *argv)
    assert code==2 and found is None and said in err
