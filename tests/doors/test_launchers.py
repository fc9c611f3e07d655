"Several processes under a launcher: one run folder, the losses of one process, an end within a minute, and a way to go on."
import json, os, subprocess, sys, time
from pathlib import Path
import psutil
import pytest
import torch
from same import lines
from together import STEPS, WORKS, corpus, learning, mlm, tokenizer
from plm_nb import pipelines
from plm_nb.pretraining import pretrain
from plm_nb.runs import Run

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch was built without gloo")
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
WORKER = Path(__file__).resolve().parents[1]/"together.py"
ENV = dict(os.environ, OMP_NUM_THREADS="1", TQDM_DISABLE="1", TORCH_CPP_LOG_LEVEL="ERROR",
           PYTHONPATH=os.pathsep.join([str(WORKER.parents[1]), str(WORKER.parent)]))
EQUAL = "mlm", "clm", "classes", "sharded"

@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    "The runs of one process."
    out = tmp_path_factory.mktemp("alone")
    for name in EQUAL: WORKS[name](out/name)
    return out

@pytest.fixture(scope="module")
def two(tmp_path_factory):
    "The same works, and more, by two processes in one launch."
    out = tmp_path_factory.mktemp("two")
    r = subprocess.run([*LAUNCH, WORKER, out], capture_output=True, text=True, env=ENV, timeout=280)
    assert r.returncode==0, r.stderr[-3000:]
    return out

def losses(run): return [line["loss"] for line in lines(run/"log.jsonl") if "loss" in line]
def looks(run): return [line["validation"] for line in lines(run/"log.jsonl") if "validation" in line]

@pytest.mark.parametrize("name", EQUAL)
def test_two_are_as_one(alone, two, name):
    "Else a second processor trains another model: losses of each step, and of each look, to 1e-6."
    assert len(losses(alone/name))>=STEPS and losses(two/name)==pytest.approx(losses(alone/name), rel=1e-6)
    assert looks(two/name)==pytest.approx(looks(alone/name), rel=1e-6)

@pytest.mark.parametrize("name", EQUAL)
def test_one_folder_written_once(alone, two, name):
    "Else lines come twice, or a file is what two processes wrote at once."
    for run in (alone/name, two/name): assert pipelines.verify(run)["ok"]
    one, other = lines(alone/name/"scores.jsonl"), lines(two/name/"scores.jsonl")
    assert [line["row"] for line in other]==[line["row"] for line in one]
    assert [line.keys() for line in other]==[line.keys() for line in one]
    assert Run(two/name).record["machine"]["processes"]==2

def test_an_evaluation_is_in_order(alone, two):
    "Thirteen rows, of which one process reads six and the other seven."
    one, other = lines(alone/"classes-again"/"scores.jsonl"), lines(two/"classes-again"/"scores.jsonl")
    assert [line["row"] for line in other]==[*range(13)]
    for a,b in zip(one, other):
        assert (a["label"], a["prediction"])==(b["label"], b["prediction"])
        assert a["probability"]==pytest.approx(b["probability"], rel=1e-5)

def test_a_loss_of_nan_ends_both(two):
    first, second = (json.loads((two/f"wild.{i}.json").read_text())["said"] for i in (0, 1))
    assert first==second and "the loss is nan, at rows" in first and not (two/"wild").exists()

def test_a_signal_to_one_stops_both(two):
    first, second = (json.loads((two/f"halted.{i}.json").read_text()) for i in (0, 1))
    assert first==second==dict(code=143, steps=["checkpoint-5"])

def test_there_is_one_clock(two):
    "Else each process learns at its own rate, and the two models drift apart."
    first, second = (json.loads((two/f"minutes.{i}.json").read_text()) for i in (0, 1))
    assert first==second and len(first["rates"])>1

def step_of(run):
    try: return lines(run/"log.jsonl")[-1].get("step", 0)
    except (OSError, IndexError, ValueError): return 0

def launch(*words): return subprocess.Popen([*LAUNCH, "-m", "plm_nb", *map(str, words)], env=ENV, text=True,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

def test_killed_and_gone_on_with(tmp_path, monkeypatch):
    "Two processes, of which one is killed, then one, then two: one line that says who is gone, and the losses of a run that nobody killed."
    tokenizer().save_pretrained(tmp_path/"tokenizer")
    text, run = corpus(tmp_path/"x"), tmp_path/"run"
    args = learning(save_steps=3, eval_steps=None, bf16=None, settings=dict(bf16=False, logging_steps=1))
    typed = ["pretrain", "--corpus", text, "--tokenizer", tmp_path/"tokenizer", "--out", run, "--size", "tiny", "--steps", STEPS,
             "--block-size", 16, "--batch-size", 5, "--gradient-accumulation-steps", 3, "--save-steps", 3,
             "--set", "bf16=false", "--set", "logging_steps=1"]
    job = launch(*typed)
    while job.poll() is None and step_of(run)<7: time.sleep(.01)
    children = psutil.Process(job.pid).children(recursive=True)
    [second] = [c for c in children if c.environ().get("RANK")=="1"]
    start = time.monotonic()
    second.kill()
    _, said = job.communicate(timeout=100)
    assert time.monotonic()-start<60 and job.returncode
    assert said.count("process 1 of 2 is gone")==1 and "plm_nb/" not in said # no traceback of ours
    assert not [c for c in children if c.is_running()]
    log = Run.log
    def until_ten(self, **line):
        log(self, **line)
        if line["step"]==10: raise SystemExit
    monkeypatch.setattr(Run, "log", until_ten)
    with pytest.raises(SystemExit): pretrain(text, tmp_path/"tokenizer", run, args, resume=True)
    monkeypatch.undo()
    job = launch(*typed, "--resume", "--json")
    out, said = job.communicate(timeout=200)
    assert job.returncode==0, said[-3000:]
    assert out.count("\n")==1 and json.loads(out)["train"]["steps"]==STEPS # heard once
    whole = mlm(tmp_path/"whole", eval_steps=None)
    assert losses(run)==pytest.approx(losses(whole.path), rel=1e-6) and pipelines.verify(run)["ok"]

@pytest.mark.parametrize("typed,why", [
    (("tokenizer", "--corpus", "docs", "--out", "words"), "is done by one process"),
    (("pretrain", "--arch", "ngram", "--corpus", "docs", "--tokenizer", "char", "--out", "counts"), "counting is done by one process")])
def test_what_one_process_does(tmp_path, typed, why):
    "Else two processes write one file at once."
    job = subprocess.Popen([*LAUNCH, "-m", "plm_nb", *typed], env=ENV, text=True, stderr=subprocess.PIPE, cwd=tmp_path)
    _, said = job.communicate(timeout=200)
    assert job.returncode and said.count(why)==1 and "plm_nb/" not in said and not any(tmp_path.iterdir())
