"`plm compress`, `plm explain` and `plm audit` in a shell: success, JSON, and the most likely wrong input."
import json, subprocess, sys
import pandas as pd
import pytest
from plm_nb import pipelines
from plm_nb.cli import main
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.models import load
from plm_nb.text_classification import TextClassification
from plm_nb.tokenizer import train_tokenizer

@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "A classifier of messages in `run`, its rows in `rows`."
    here = tmp_path_factory.mktemp("questions")
    verbs = dict(call="call ring phone dial", letter="write mail post send")
    rows = [dict(message=f"please {verb} {who} from {where} today", kind=kind) for kind,some in verbs.items() for verb in some.split()
            for who in "anna ben carl dora emil frida".split() for where in ("town", "home", "work")]
    (here/"rows").mkdir()
    for i,name in enumerate(("train", "validation")): pd.DataFrame(rows[i::2]).to_csv(here/"rows"/f"{name}.csv", index=False)
    words = train_tokenizer([row["message"] for row in rows], "wordpiece", 200)
    data = {name: [dict(text=row["message"], label=row["kind"]) for row in rows[i::2]] for i,name in enumerate(("train", "validation"))}
    finetune(data, here/"run", TextClassification(24), None, words, FinetuningArguments(size="tiny", epochs=12))
    return here

def told(capsys, *words):
    code = main([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err

COLUMNS = "--text", "message", "--label", "kind"

@pytest.mark.parametrize("method", ["bf16", "quantize", "trim+bf16"])
def test_compress(here, capsys, tmp_path, method):
    out = tmp_path/"small"
    code, found, err = told(capsys, "compress", "--model", here/"run", "--method", method, "--data", here/"rows", *COLUMNS, "--out", out)
    assert code==0 and found["bytes_after"]<found["bytes_before"] and found["latency_ratio"]>0, err
    assert found["after"]["accuracy"]>.5 and found["verdict"] in ("better", "worse", "no difference")
    assert pipelines.verify(out)["ok"] and pipelines.predict(out, ["please phone anna from work today"])[0]["label"]=="call"
    assert load(out, "text-classification").config.num_labels==2

def test_compress_to_onnx(here, capsys, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'plm_nb[onnx]'")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'plm_nb[onnx]'")
    out = tmp_path/"small"
    code, found, err = told(capsys, "compress", "--model", here/"run", "--method", "onnx-int8", "--data", here/"rows", *COLUMNS, "--out", out)
    assert code==0 and found["bytes_after"]<.5*found["bytes_before"], err
    assert main(["predict", str(here/"rows"/"validation.csv"), "--model", str(out)])==0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows)==72 and {row["label"] for row in rows}=={"call", "letter"}

@pytest.mark.parametrize("method", ["quantize", "onnx-int8"])
def test_a_process_that_made_nothing_reads_it(here, capsys, tmp_path, method):
    "What a folder needs to be read is found by whoever reads it."
    if method!="quantize": pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'plm_nb[onnx]'")
    out = tmp_path/"small"
    assert told(capsys, "compress", "--model", here/"run", "--method", method, "--data", here/"rows", *COLUMNS, "--out", out)[0]==0
    read = "import sys; from plm_nb import load; print(type(load(sys.argv[1], 'text-classification')).__name__)"
    done = subprocess.run([sys.executable, "-c", read, out], capture_output=True, text=True)
    assert done.returncode==0, done.stderr[-2000:]
    typed = [sys.executable, "-m", "plm_nb", "predict", here/"rows"/"validation.csv", "--model", out]
    done = subprocess.run([*map(str, typed)], capture_output=True, text=True)
    assert done.returncode==0 and done.stdout.count("\n")==72, done.stderr[-2000:]

@pytest.mark.parametrize("typed,why", [(["--method", "zip"], "join one or more of"), (["--method", "quantize+bf16"], "join one or more of"),
    (["--method", "bf16", "--share", ".5"], "only with prune or distill"), (["--method", "prune", "--share", "2"], "share 2.0"), (["--method", "bf16", "--label", "colour"], "no column 'colour'")])
def test_compress_refuses(here, capsys, tmp_path, typed, why):
    code, found, err = told(capsys, "compress", "--model", here/"run", "--data", here/"rows", *COLUMNS, "--out", tmp_path/"small", *typed)
    assert code==2 and found is None and why in err and err.count("\n")==1 and not (tmp_path/"small").exists()

def test_labels_that_it_never_learned(here, capsys, tmp_path):
    "The folder is free again for the command that is right."
    code, found, err = told(capsys, "compress", "--model", here/"run", "--method", "trim", "--data", "docs-package", "--out", tmp_path/"small")
    assert code==2 and "never learned the label" in err and not (tmp_path/"small").exists()

@pytest.mark.parametrize("method", ["integrated-gradients", "gradient", "leave-one-out", "attention"])
def test_explain(here, capsys, tmp_path, method):
    text = "please <b>phone</b> anna from work today"
    code, found, err = told(capsys, "explain", "--model", here/"run", "--text", text, "--method", method, "--out", tmp_path/"page")
    assert code==0 and len(found["tokens"])==len(found["attributions"]) and found["prediction"] in ("call", "letter"), err
    page = (tmp_path/"page"/"explanation.html").read_text()
    assert "phone" in page and "<b>" not in page

def test_explain_for_people(here, capsys):
    assert main(["explain", "--model", str(here/"run"), "--text", "please phone anna"])==0
    out = capsys.readouterr().out
    assert "tokens" in out and "phone" in out and "\x1b" not in out

@pytest.mark.parametrize("typed,why", [(["--text", "hello", "--method", "guess"], "choose from"), (["--text", ""], "no token"),
                                       (["--text", "phone", "--target", "fax"], "fax")])
def test_explain_refuses(here, capsys, typed, why):
    code, found, err = told(capsys, "explain", "--model", here/"run", *typed)
    assert code==2 and found is None and why in err and err.count("\n")==1

def test_audit(here, capsys, tmp_path):
    code, found, err = told(capsys, "audit", "--model", here/"run", "--out", tmp_path/"page")
    assert code==0 and found["unknown"]>=3 and found["page"]==str(tmp_path/"page"/"audit.html"), err
    assert (tmp_path/"page"/"audit.md").is_file() and pipelines.verify(here/"run")["ok"]
    code, found, err = told(capsys, "audit", "--model", here/"run", "--out", tmp_path/"page")
    assert code==2 and "not empty" in err

@pytest.mark.parametrize("typed,why", [(["--group", "kind"], "give data too"), (["--data", "nowhere.csv"], "nowhere.csv")])
def test_audit_refuses(here, capsys, typed, why):
    code, found, err = told(capsys, "audit", "--model", here/"run", *typed)
    assert code==2 and found is None and why in err and err.count("\n")==1
