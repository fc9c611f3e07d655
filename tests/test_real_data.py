"Files that nobody prepared; each test is skipped where its file is absent."
import json, os
from pathlib import Path
import pytest
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification
from plm_nb.cli import main
from plm_nb.data import load_corpus, read_table

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[2]/"shared"/"data")

def real(name):
    "The path of a file of real data, or a reason to skip."
    if not (DATA/name).is_file(): pytest.skip(f"no {name} here; PLM_DATA may name the folder that holds it")
    return str(DATA/name)

@pytest.fixture(scope="module")
def plays(): return real("tinyshakespeare/input.txt")

@pytest.fixture(scope="module")
def tok(plays, tmp_path_factory):
    "A tokenizer trained on the plays by the command line."
    out = str(tmp_path_factory.mktemp("tok"))
    assert main(["tokenizer", "--corpus", plays, "--vocab-size", "2000", "--out", out])==0
    return out

def answer(capsys, out, *args):
    "What a command with a tiny model prints as JSON."
    capsys.readouterr()
    assert main([*args, "--size", "tiny", "--out", str(out), "--json"])==0
    return json.loads(capsys.readouterr().out)

def test_pretrain_on_plays(plays, tok, tmp_path, capsys):
    "The text is one document, byte for byte; twenty steps lower the loss; the run verifies and opens."
    parts = load_corpus(plays)
    assert "".join(parts[p]["text"][0] for p in parts).encode()==Path(plays).read_bytes()
    found = answer(capsys, tmp_path, "pretrain", "--corpus", plays, "--tokenizer", tok, "--steps", "20")
    assert found["train"]["steps"]==20 and found["train"]["loss"]<found["train"]["loss_first"]
    assert found["heldout"]["nats_per_token"]<8
    assert main(["verify", str(tmp_path)])==0
    AutoModelForMaskedLM.from_pretrained(tmp_path)

def test_finetune_on_cola(tok, tmp_path, capsys):
    "A table without a header, with quotes of all kinds, by the numbers of its columns."
    table = real("cola/in_domain_train.tsv")
    found = answer(capsys, tmp_path, "finetune", "--data", table, "--text", "3", "--label", "1", "--tokenizer", tok,
                   "--epochs", "1", "--labels-per-class", "100")
    for part in ("validation", "test"):
        assert found[part]["n"]>700 and {"accuracy", "precision", "recall", "f1", "matthews"}<=found[part].keys()
    assert main(["verify", str(tmp_path)])==0
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).config.label2id=={"0": 0, "1": 1}

def test_rows_of_cola_are_all_read():
    "As many rows as lines: no quotation mark swallows a line end."
    table = real("cola/in_domain_train.tsv")
    assert len(read_table(table, header=False))==Path(table).read_bytes().count(b"\n")
