"A step does not depend on how its rows are cut into batches or shared among processes, nor memory on the rows."
import json, os, subprocess, sys
from pathlib import Path
import pytest
import torch
from engine import CASES, LONG, SHARED, train

WORKER = Path(__file__).with_name("engine.py")

def off(found, wanted): return ((found-wanted).norm()/wanted.norm()).item()

def assert_same_step(found, whole, case):
    "Loss and gradients of the first step to 1e-6."
    assert whole["loss"]>1 and whole["gradients"].norm()>.01
    for k in ("loss", "gradients"): assert off(found[k], whole[k])<1e-6, (case, k)

def assert_same_weights(found, whole, case):
    "To 1e-4: all together, and each by itself."
    assert off(found["weights"], whole["weights"])<1e-4, case
    assert (found["weights"]-whole["weights"]).abs().max()<1e-4, case

@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_step(case):
    "Else who has less memory, and so smaller batches with accumulation, trains something else."
    whole = train(*case, 8, 1, steps=1)
    for split in ((4, 2), (2, 4)): assert_same_step(train(*case, *split, steps=1), whole, (case, split))

@pytest.mark.parametrize("case", LONG, ids="-".join)
def test_forty_steps(case):
    "Else small differences of every step add up to another model."
    assert_same_weights(train(*case, 2, 4, steps=40), train(*case, 8, 1, steps=40), case)

@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch was built without gloo")
@pytest.mark.skipif(torch.cuda.device_count()==1, reason="one GPU is at hand, and each process wants one of its own")
def test_two_processes(tmp_path):
    "Else a second processor changes the loss."
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    r = subprocess.run([*launch, WORKER, "train", tmp_path/"found", "2", "2"], capture_output=True, text=True,
                       env=dict(os.environ, OMP_NUM_THREADS="1", TQDM_DISABLE="1"), timeout=250)
    assert r.returncode==0, r.stderr[-3000:]
    one, forty = torch.load(tmp_path/"found")
    for case in LONG: assert_same_step(one[case], train(*case, 8, 1, steps=1), case)
    for case in SHARED: assert_same_weights(forty[case], train(*case, 8, 1, steps=40), case)

@pytest.mark.parametrize("objective", ["mlm", "clm"])
def test_memory_of_an_evaluation(objective):
    "Else 40,000 tokens times 30,000 words, 5 GB, stand in memory at once; or a batch of them."
    env = dict(os.environ, MALLOC_MMAP_THRESHOLD_=str(2**20)) # glibc gives large blocks back at once
    r = subprocess.run([sys.executable, WORKER, "memory", objective], env=env, capture_output=True,
                       text=True, timeout=280)
    assert r.returncode==0, r.stderr[-3000:]
    quarter, whole = json.loads(r.stdout.splitlines()[-1])
    assert whole<1430 and whole<quarter+60, (quarter, whole) # MiB; 1430 are 1.5 GB
