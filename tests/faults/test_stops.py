"A training that must not go on stops at once, says why, and leaves what it had; one that was stopped goes on."
import math, os, re, shutil, signal, subprocess
from contextlib import nullcontext
from copy import deepcopy
import pytest
import torch
from transformers import TrainerCallback
from jobs import TASKS, blocks, ends, tokenizer, trainer
from plm_nb.data import sha256
from plm_nb.files import InputError
from plm_nb.objectives import MaskedLM
from plm_nb.runs import problems

def checkpoints(out): return {int(p.name.split("-")[1]) for p in out.glob("checkpoint-*") if not problems(p)}

def resumed(task, out, **changes):
    "What the run in `out` comes to when it goes on."
    t = trainer(task, out, **changes)
    t.train(resume_from_checkpoint=True)
    return ends(t)

@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    "What the run of a task comes to that nobody stops, by task."
    made = {}
    def run(task):
        if task not in made: made[task] = resumed(task, tmp_path_factory.mktemp(task)/"run")
        return made[task]
    return run

# a loss or a score that is NaN

class At(TrainerCallback):
    "Calls `do` with the model when step `k` begins."
    def __init__(self, k, do): self.k, self.do = k, do
    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step+1==self.k: self.do(model)

def interrupt(model): os.kill(os.getpid(), signal.SIGINT)

def spoil_loss(model):
    "From now on, every score is NaN."
    head = getattr(model, "classifier", None) or model.get_output_embeddings()
    head.register_forward_hook(lambda module, args, out: out*math.nan)

def spoil_gradient(model):
    "From now on, a gradient is infinite, and the loss is not."
    next(model.parameters()).register_hook(lambda g: torch.full_like(g, math.inf))

class Seen:
    "A collator that keeps the rows it was given last."
    def __init__(self, collate): self.collate, self.rows = collate, []
    def __call__(self, rows):
        self.rows = [r["input_ids"] for r in rows]
        return self.collate(rows)

@pytest.mark.parametrize("task", ["mlm", "classes"])
@pytest.mark.parametrize("what, spoil", [("loss", spoil_loss), ("gradient", spoil_gradient)])
def test_not_finite(tmp_path, task, what, spoil):
    "Else one bad step is logged as 0.0, and every later checkpoint holds weights of NaN."
    k, before, seen = 8, {}, Seen(TASKS[task][1](tokenizer()))
    def note(model): before.update(deepcopy(model.state_dict())); spoil(model)
    t = trainer(task, tmp_path/"run", collator=seen, callbacks=[At(k, note)])
    with pytest.raises(InputError, match=rf"step {k}: the {what} is (nan|inf)") as e: t.train()
    named = map(int, re.search(r"rows ([\d, ]+\d)", str(e.value))[1].split(", "))
    assert sorted(named)==sorted(map(t.train_dataset["input_ids"][:].index, seen.rows)), str(e.value)
    assert all(torch.equal(w, before[name]) for name,w in t.model.state_dict().items()) # no weight was changed
    assert checkpoints(tmp_path/"run")=={3, 6}
    assert t.state.log_history[-1]["step"]==k-1 and all(math.isfinite(l.get("loss", 0)) for l in t.state.log_history)

def test_it_goes_on_from_the_last_finite_checkpoint(alone, tmp_path):
    "Else what was learned before a bad step is lost."
    with pytest.raises(InputError): trainer("mlm", tmp_path, callbacks=[At(8, spoil_loss)]).train()
    assert resumed("mlm", tmp_path)==alone("mlm")

def test_a_metric_that_is_nan(tmp_path):
    "Else the best checkpoint is never found, and nobody is told."
    def score(found): return dict(score=.5 if t.state.global_step<6 else math.nan)
    t = trainer("classes", tmp_path/"run", metrics=score, metric_for_best_model="score")
    with pytest.raises(InputError, match="step 6.*score"): t.train()
    assert checkpoints(tmp_path/"run")=={3}

def test_nothing_asked(tmp_path):
    "Else a step without a question is logged as a loss of 0.0."
    ask, steps = MaskedLM(tokenizer()), iter(range(99))
    def sometimes(rows):
        batch = ask(rows)
        return batch if next(steps)<4 else {**batch, "labels": torch.full_like(batch["labels"], -100)}
    with pytest.raises(InputError, match="nothing"): trainer("mlm", tmp_path/"run", collator=sometimes).train()
    assert checkpoints(tmp_path/"run")=={3}

def test_no_rows(tmp_path):
    "Else nothing is trained, and it is called a success."
    rows = blocks(tokenizer()).select([])
    with pytest.raises(InputError, match="no rows|empty"): trainer("mlm", tmp_path/"run", rows=rows).train()
    assert not (tmp_path/"run").exists() or not any((tmp_path/"run").iterdir())

def test_an_order_that_is_not_ours(tmp_path):
    "Batches of rows that are not drawn one by one would be read wrongly, so they are refused by name."
    with pytest.raises(InputError, match="batch_rebalance"):
        trainer("mlm", tmp_path, train_sampling_strategy="batch_rebalance").train()

# the disk

def mount(folder, size, *more): return subprocess.run(
    ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *more]), "tmpfs", folder], capture_output=True).returncode

@pytest.fixture
def disk(tmp_path):
    "A folder on a disk of its own, and a function that sets its size in bytes."
    folder = tmp_path/"disk"
    folder.mkdir()
    if not shutil.which("mount") or mount(folder, 2**28): pytest.skip("mounting is not permitted here")
    yield folder, lambda size: mount(folder, size, "remount")
    subprocess.run(["umount", folder])

def goes_on_after(jobs, run, full, free):
    "A run whose disk is `full` after step 7 says so; once there is room, it ends as if nothing had been."
    whole = jobs(task="mlm", out=run.parent/"whole", resume=False)
    assert jobs(task="mlm", out=run, last=7)["code"]==-9
    found = full()
    assert found["code"]==2 and "InputError: disk" in found["stderr"], found["stderr"]
    assert {6}<=checkpoints(run) and not list(run.glob("*.partial"))
    free()
    found = jobs(task="mlm", out=run)
    assert found["code"]==0 and found["weights"]==whole["weights"], found["stderr"]

def test_a_full_disk(jobs, disk):
    "Else a full disk leaves a checkpoint that blocks the next start, and an error that does not speak of disks."
    folder, resize = disk
    def full():
        resize(sum(p.stat().st_size for p in folder.rglob("*"))+2**20)
        return jobs(task="mlm", out=folder/"run")
    goes_on_after(jobs, folder/"run", full, lambda: resize(2**28))

@pytest.mark.parametrize("limit", [1_000, 1_000_000, 3_000_000])
def test_a_file_that_cannot_be_written(jobs, tmp_path, limit):
    "The same where no free space foretells it: the configuration, the model or the optimizer does not fit."
    goes_on_after(jobs, tmp_path/"run", lambda: jobs(task="mlm", out=tmp_path/"run", limit=limit), lambda: None)

# signals

@pytest.mark.parametrize("sign, error", [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_signals(alone, tmp_path, sign, error):
    "The step is finished and saved, whatever `save_steps`, and the handlers are as before."
    was = signal.getsignal(sign)
    with pytest.raises(error) as e:
        trainer("clm", tmp_path, callbacks=[At(4, lambda model: os.kill(os.getpid(), sign))], save_steps=100).train()
    assert sign==signal.SIGINT or e.value.code==143
    assert checkpoints(tmp_path)=={4} and signal.getsignal(sign)==was
    found = resumed("clm", tmp_path, save_steps=100)
    assert found==alone("clm")

# other settings

@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    "A run that was interrupted at step 7, with its checkpoints 3, 6 and 7."
    out = tmp_path_factory.mktemp("begun")/"run"
    with pytest.raises(KeyboardInterrupt):
        trainer("mlm", out, callbacks=[At(7, interrupt)]).train()
    return out

def contents(folder): return {p: sha256(p) for p in folder.rglob("*") if p.is_file()}

def reworded(row): return {**row, "input_ids": row["input_ids"][:-1]+[9]}

OTHER = {"per_device_train_batch_size 4, not 2": dict(per_device_train_batch_size=2), "seed 3, not 4": dict(seed=4),
         "gradient_accumulation_steps 1, not 2": dict(gradient_accumulation_steps=2),
         "learning_rate 0.001, not 0.002": dict(learning_rate=2e-3), "max_steps 14, not 20": dict(steps=20),
         "hidden_size 128, not 256": dict(size="mini"),
         "rows 20, not 19": dict(rows=lambda rows: rows.select(range(19))), "data": dict(rows=lambda rows: rows.map(reworded)),
         r"collator.*0\.3.*, not .*0\.5": dict(collator=lambda tok: MaskedLM(tok, mlm_probability=.5))}

@pytest.mark.parametrize("difference", OTHER)
def test_other_settings(begun, tmp_path, difference):
    "Else a changed batch size or data set is a success of 0 steps, and a changed learning rate is ignored."
    run, changes = shutil.copytree(begun, tmp_path/"run"), dict(OTHER[difference])
    if "rows" in changes: changes["rows"] = changes["rows"](blocks(tokenizer()))
    if "collator" in changes: changes["collator"] = changes["collator"](tokenizer())
    before = contents(run)
    with pytest.raises(InputError, match=difference): resumed("mlm", run, **changes)
    assert contents(run)==before

def test_an_older_run(begun, alone, tmp_path):
    "Else a new training loads the weights of an old one, and calls it a success."
    run = shutil.copytree(begun, tmp_path/"run")
    before = contents(run)
    with pytest.raises(InputError, match="checkpoint-.*earlier training"): trainer("mlm", run).train()
    assert contents(run)==before
    assert resumed("mlm", run)==alone("mlm")

def test_an_older_run_beside_an_own(begun, tmp_path):
    "Checkpoints of another run with higher numbers are passed over by name, and never rotated away."
    own, run = tmp_path/"own", tmp_path/"run"
    with pytest.raises(KeyboardInterrupt): trainer("mlm", own, seed=4, callbacks=[At(4, interrupt)]).train()
    run.mkdir()
    shutil.copytree(own/"checkpoint-3", run/"checkpoint-3")
    for n in (6, 7): shutil.copytree(begun/f"checkpoint-{n}", run/f"checkpoint-{n}00")
    before = contents(run/"checkpoint-600") | contents(run/"checkpoint-700")
    found = resumed("mlm", run, seed=4)
    assert found==resumed("mlm", tmp_path/"alone", seed=4)
    assert before.items()<=contents(run).items() and checkpoints(run)=={600, 700, 12, 14}

def test_folders_of_the_user(alone, tmp_path):
    "Else a folder that someone calls `checkpoint-…` is deleted by rotation."
    for name in ("checkpoint-500", "checkpoint-final-keep", "checkpoint-2", "checkpoint-mine.partial"):
        (tmp_path/name).mkdir(); (tmp_path/name/"model.safetensors").write_text("mine")
    before = contents(tmp_path)
    assert resumed("mlm", tmp_path)==alone("mlm")
    assert before.items()<=contents(tmp_path).items()

def test_the_best_and_the_newest_two_stay(tmp_path):
    "Else the checkpoint that a run was made for is deleted."
    def score(found): return dict(score=1. if t.state.global_step==6 else .5)
    for last in (10, 99): # once it is killed, and goes on
        t = trainer("classes", tmp_path, metrics=score, metric_for_best_model="score", callbacks=[At(last, interrupt)])
        with pytest.raises(KeyboardInterrupt) if last==10 else nullcontext(): t.train(resume_from_checkpoint=True)
    assert checkpoints(tmp_path)=={6, 12, 14}

def test_a_finished_training(begun, alone, tmp_path, capfd):
    "Else zero steps look like a training, or a finished model is trained again."
    run = shutil.copytree(begun, tmp_path/"run")
    resumed("mlm", run)
    before = contents(run)
    again = resumed("mlm", run)
    assert again==alone("mlm") and contents(run)==before
    assert "checkpoint-14" in (said := capfd.readouterr().err) and "nothing" in said

@pytest.mark.parametrize("task", TASKS)
def test_nothing_private_is_saved(tmp_path, task):
    "Else a shared checkpoint tells the paths of a machine, or a token."
    trainer(task, tmp_path/"run", hub_token="hf_CANARY").train()
    for path in (tmp_path/"run").rglob("*"):
        assert path.name not in ("training_args.bin", "rng_state.pth")
        data = path.read_bytes() if path.is_file() else b""
        for private in ("hf_CANARY", str(tmp_path), os.getcwd(), os.path.expanduser("~")+"/"):
            assert private.encode() not in data, f"{path.name}: {private}"
