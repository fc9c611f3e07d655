"The verbs of evidence, typed."
import json
import os
import subprocess
import sys
from pathlib import Path
import numpy as np
import pytest
from typed import found, plm
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.runs import Run
from plm_nb.tokenizer import encode, train_tokenizer

ROWS = ["text,label", *(f"{w} {i} came home,{k}" for i in range(30) for w,k in (("cat", "pet"), ("hen", "farm")))]

@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "Rows, a tokenizer, and two classifiers of two seeds each, one of which learned more."
    here = tmp_path_factory.mktemp("evidence")
    (here/"rows.csv").write_text("\n".join(ROWS))
    train_tokenizer(ROWS[1:], "wordpiece", 120).save_pretrained(here/"tok")
    for name,epochs in dict(short=1, long=20).items():
        found("finetune", "--train", here/"rows.csv", "--validation", here/"rows.csv", "--test", here/"rows.csv", "--tokenizer", here/"tok",
              "--size", "tiny", "--seeds", 2, "--epochs", epochs, "--out", here/name)
    return here

def test_compare_two(here, tmp_path):
    "Runs of several seeds in one folder are one model; the fixed keys are there, and the verdict is about the first."
    keys = found("compare", here/"long", here/"short", "--out", tmp_path/"out")
    assert {"verdict", "difference", "low", "high", "p", "rows_needed"} <= keys.keys()
    assert keys["difference"]>.1 and keys["runs"]==[2, 2] and keys["rows"]==60 and keys["figure"]=="accuracy"
    assert {p.name for p in (tmp_path/"out").iterdir()}=={"comparisons.csv", "comparisons.png"}
    one = found("compare", here/"long/seed-0", here/"short/seed-0")
    assert one["verdict"]=="better" and found("compare", here/"short/seed-0", here/"long/seed-0")["verdict"]=="worse"
    code, out, _ = plm("compare", here/"long/seed-0", here/"short/seed-0")
    assert code==0 and "better" in out

def test_compare_counts_looks(here):
    "Four runs looked at this test, each once; an evaluation is a look more."
    assert found("compare", here/"long", here/"short", "--split", "test")["test_looks"]==4
    found("evaluate", "--model", here/"long/seed-0", "--test", here/"rows.csv", "--split", "test")
    assert found("compare", here/"long/seed-0", here/"short/seed-0", "--split", "test")["test_looks"]==5
    assert "2, and 3 more by runs beside this one" in (here/"long/seed-0/README.md").read_text()

def test_compare_several(here):
    pairs = found("compare", here/"long/seed-0", here/"short/seed-0", here/"short/seed-1", "--figure", "f1")["pairs"]
    assert [(p["first"], p["second"]) for p in pairs][0]==("long/seed-0", "short/seed-0")
    assert len(pairs)==3 and all(p["p_holm"]>=p["p"] for p in pairs)

@pytest.mark.parametrize("words, said", [
    ([], "the following arguments are required: run"), (["{long}"], "name two runs or more"), (["{long}", "{long}"], "name each model once"),
    (["{long}", "{nowhere}"], "no run here"), (["{long}", "{short}", "--split", "train"], "has not scored train"),
    (["{long}", "{short}", "--figure", "bleu"], "choose accuracy")])
def test_compare_refuses(here, words, said):
    words = [w.format(long=here/"long", short=here/"short", nowhere=here/"nowhere") for w in words]
    code, out, err = plm("compare", *words)
    assert code==2 and said in err and not out and err.count("\n")==1

def test_tune(here):
    "The best of two settings, its naive score, and a nested one; a test file cannot be given."
    keys = found("tune", "--data", here/"rows.csv", "--tokenizer", here/"tok", "--size", "tiny", "--search", "epochs=1,20", "--folds", 2, "--inner", 2)
    assert keys["best"]=={"epochs": 20} and keys["naive"]>=keys["nested"]-1e-9 and len(keys["rows"])==2
    for words,said in ((["--search", "epoch=1"], "epoch"), (["--search", "epochs=many"], "not a number"), (["--search", "epochs"], "epochs=2,5"),
                       (["--search", "epochs=1", "--search", "epochs=2"], "given twice"), (["--search", "epochs=1", "--test", "x"], "there is no --test"), ([], "--search")):
        code, out, err = plm("tune", "--data", here/"rows.csv", "--size", "tiny", *words)
        assert code==2 and said in err and not out

def test_suites(here, tmp_path):
    "Minimal pairs go on where they were stopped and verify; a suite takes its own options and no others."
    kind = dict(field="syntax", linguistics_term="order", UID="order")
    pairs = [dict(kind, sentence_good=f"cat {i} came home", sentence_bad=f"home came {i} cat") for i in range(10)]
    (tmp_path/"pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    words = train_tokenizer(ROWS[1:], "wordpiece", 120)
    ids = [[2, *some, 3] for some in encode([row.split(",")[0] for row in ROWS[1:]], words)]
    for part in (NGramForCausalLM.from_ngram(NGram.fit(ids, len(words), order=3, bos=2), words), words): part.save_pretrained(tmp_path/"counted")
    asked = "evaluate", "--suite", "blimp", "--model", tmp_path/"counted", "--data", tmp_path/"pairs.jsonl"
    keys = found(*asked, "--out", tmp_path/"out")
    assert keys["accuracy"]==1 and keys["fields"]["syntax"]["pairs"]==10
    assert found(*asked, "--out", tmp_path/"out")==keys and found("verify", tmp_path/"out")["ok"]
    for more,said in ((["--seeds", 3], "no effect on blimp"), (["--split", "test"], "no effect with --suite"), (["--near"], "no effect with --suite")):
        code, out, err = plm(*asked, *more)
        assert code==2 and said in err and not out
    code, _, err = plm("evaluate", "--model", here/"long/seed-0", "--data", here/"rows.csv", "--limit", 3)
    assert code==2 and "belongs to --suite" in err
    code, _, err = plm("evaluate", "--suite", "glue", "--model", here/"tok", "--data", tmp_path)
    assert code==2 and "--out is missing" in err

def test_the_ladder(here, tmp_path):
    (tmp_path/"text.txt").write_text("cat 1 came home. "*200)
    words = train_tokenizer(["cat 1 came home. "*20], "wordpiece", 100)
    ids = [[2, *some, 3] for some in encode(["cat 1 came home. "]*9, words)]
    for part in (NGramForCausalLM.from_ngram(NGram.fit(ids, len(words), order=3, bos=2), words), words): part.save_pretrained(tmp_path/"counted")
    keys = found("evaluate", "--suite", "ladder", "--model", tmp_path/"counted", "--data", tmp_path/"text.txt")
    assert [row["model"] for row in keys["rows"]][:3]==["alphabet", "zlib", "xz"] and 0<keys["bits_per_byte"]<8

def test_rows_that_were_read(here, tmp_path):
    "With --corpus the scores are given without rows that stand in it too; short rows count as whole documents only."
    (tmp_path/"read").mkdir()
    rows = [row.split(",")[0] for row in ROWS[1:21]]
    (tmp_path/"read/train.jsonl").write_text("\n".join(json.dumps(dict(text=row)) for row in rows))
    (tmp_path/"read/validation.jsonl").write_text(json.dumps(dict(text="another text")))
    keys = found("evaluate", "--model", here/"long/seed-0", "--validation", here/"rows.csv", "--corpus", tmp_path/"read")["validation"]
    assert keys["contamination"]["known"]==20 and keys["contamination"]["unread"]["n"]==40 and keys["n"]==60
    code, _, err = plm("evaluate", "--model", here/"long/seed-0", "--validation", here/"rows.csv", "--near")
    assert code==2 and "no effect without --corpus" in err

def in_a_shell(*words, cwd):
    "What `plm` does in a process of its own, typed as `plm`."
    call = "import sys; sys.argv[0] = 'plm'; from plm_nb.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", call, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, TQDM_DISABLE="1"))

def test_retrain(here, tmp_path):
    "What was typed in a shell is typed again: the same bits; a changed record is told, and so is what Python made."
    (tmp_path/"rows.csv").write_text("\n".join(ROWS))
    asked = ["finetune", "--train", "rows.csv", "--validation", "rows.csv", "--tokenizer", here/"tok", "--size", "tiny", "--epochs", 1, "--out", "run"]
    done = in_a_shell(*asked, cwd=tmp_path)
    assert done.returncode==0, done.stderr
    typed = Run(tmp_path/"run").record["typed"]
    assert typed.startswith("plm finetune --train rows.csv") and str(tmp_path) not in typed
    done = in_a_shell("verify", "run", "--retrain", "--json", cwd=tmp_path)
    # the tokenizer lay elsewhere, and a record keeps no absolute path: the words say so
    assert done.returncode==2 and "cannot be made again here" in done.stderr
    asked[asked.index(here/"tok")] = os.path.relpath(here/"tok", tmp_path)
    asked[-1] = "again"
    assert in_a_shell(*asked, cwd=tmp_path).returncode==0
    done = in_a_shell("verify", "again", "--retrain", "--json", cwd=tmp_path)
    assert done.returncode==0 and json.loads(done.stdout)["retrain"]==dict(weights="ok", results="ok")
    (tmp_path/"rows.csv").write_text("\n".join([*ROWS[:-1], "hen 99 came home,pet"]))
    done = in_a_shell("verify", "again", "--retrain", "--json", cwd=tmp_path)
    assert done.returncode==2 and json.loads(done.stdout)["retrain"]["weights"]=="other weights"
    code, _, err = plm("verify", here/"long/seed-0", "--retrain")
    assert code==2 and "was made from Python" in err
