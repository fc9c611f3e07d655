"The real command line, stopped in every way: exit codes that scripts can read, and the same bits in the end."
import json, signal
import pytest
from plm_nb.cli import main
from plm_nb.data import sha256
from plm_nb.verification import verify
from shell import corpus, plm, pretrain

def steps(out): return [int(p.name.split("-")[1]) for p in out.glob("checkpoints/checkpoint-*") if not p.suffix]

def scores(out): return [json.loads(line)["nats"] for line in open(out/"scores.jsonl", encoding="utf-8")]

def test_every_way_to_stop(tmp_path):
    "Else a power cut, a cluster's SIGTERM or a Ctrl-C costs the result, and a script goes on as if all were done."
    text, out, whole, done = corpus(tmp_path), tmp_path/"run", tmp_path/"whole", 0
    saved = "--save-steps", "30"
    assert main(pretrain(text, whole, *saved))==0
    for sign,code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        found, said = plm(pretrain(text, out, *saved, "--resume"), lambda: max(steps(out), default=0)>done, sign)
        assert found==code and "Traceback" not in said, said
        assert max(steps(out))>done and not (out/"MANIFEST.json").exists()
        done = max(steps(out))
    assert done%30, "a signal saves between the steps that are saved anyway"
    for word in ("", "finished"): # then there is nothing to resume
        found, said = plm(pretrain(text, out, *saved, "--resume"))
        assert found==0 and word in said, said
    assert verify(out)["ok"]
    assert sha256(out/"model.safetensors")==sha256(whole/"model.safetensors")
    assert scores(out)==pytest.approx(scores(whole), rel=1e-5) # computed, so to rounding
