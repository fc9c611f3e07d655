"What stands under exact resume: a folder that is whole or not there, the choice of a checkpoint, a step that can be repeated."
import json
import pytest
import torch
from transformers import DataCollatorForLanguageModeling
from plm_nb.checkpoints import ResumableTrainer, atomic_folder, latest_valid_checkpoint, rotate_checkpoints
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.objectives import MaskedLM
from plm_nb.runs import problems
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
from plm_nb.budgets import arguments

TEXTS = [" ".join(f"word{(i*j)%31}" for j in range(1, 4+i%11)) for i in range(48)]

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(TEXTS, "wordpiece", 120)

def trainer(tok, out, collator=None, rows=20, **settings):
    "A trainer of a tiny masked model with dropout."
    args = arguments(str(out), **{**dict(steps=4, bf16=False, per_device_train_batch_size=4), **settings})
    return ResumableTrainer(model=build("tiny", tok, dropout=.1), args=args, processing_class=tok,
                            train_dataset=pack(TEXTS, tok, 16).select(range(rows)), data_collator=collator or MaskedLM(tok))

def checkpoint(folder, n, **provenance):
    with atomic_folder(folder/f"checkpoint-{n}") as to: (to/"provenance.json").write_text(json.dumps(provenance))

def names(folder): return sorted(p.name for p in folder.iterdir())

@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_a_folder_that_fails_leaves_nothing(tmp_path, error):
    "Else half a folder bears the name of a whole one, whatever ended its writing."
    with pytest.raises(error), atomic_folder(tmp_path/"model") as folder:
        (folder/"weights").write_text("half")
        raise error
    assert names(tmp_path)==[]

def test_what_has_the_name_is_moved_aside(tmp_path):
    "Else a user's folder is written over; and a second one must not push out the first."
    for text in ("first", "second", "third"):
        with atomic_folder(tmp_path/"model") as folder: (folder/"note").write_text(text)
    kept = {p.name: (p/"note").read_text() for p in tmp_path.iterdir()}
    assert kept=={"model": "third", "model.old": "first", "model.old.old": "second"}
    assert not any(map(problems, tmp_path.iterdir()))

def test_a_torn_folder_is_made_anew(tmp_path):
    "What a kill left under `.partial` does not get into the next folder of that name."
    (tmp_path/"model.partial").mkdir()
    (tmp_path/"model.partial/old").touch()
    with atomic_folder(tmp_path/"model") as folder: (folder/"new").touch()
    assert names(tmp_path)==["model"] and names(tmp_path/"model")==["MANIFEST.json", "new"]

def test_the_latest_is_by_number(tmp_path, capfd):
    "Not by name, in which 9 stands behind 10, and not by date."
    for n in (10, 100, 9): checkpoint(tmp_path, n, seed=0)
    assert latest_valid_checkpoint(tmp_path, dict(seed=0)).name=="checkpoint-100"
    assert capfd.readouterr().err=="" and latest_valid_checkpoint(tmp_path/"none", {}) is None

def test_another_machine_is_told_and_no_reason_to_refuse(tmp_path, capfd):
    checkpoint(tmp_path, 3, **{"seed": 0, "machine.cpu": "A"})
    assert latest_valid_checkpoint(tmp_path, {"seed": 0, "machine.cpu": "B"}).name=="checkpoint-3"
    said = capfd.readouterr().err
    assert "machine.cpu A, not B" in said and "not be the same bits" in said

def test_rotation_keeps_the_best_and_what_is_not_its_own(tmp_path):
    for n in (1, 2, 3, 4): checkpoint(tmp_path, n, seed=0)
    checkpoint(tmp_path, 9, seed=1)
    (tmp_path/"checkpoint-5").mkdir() # without a manifest
    rotate_checkpoints(tmp_path, 2, dict(seed=0), best="checkpoint-1")
    assert names(tmp_path)==[f"checkpoint-{n}" for n in (1, 3, 4, 5, 9)]

def test_one_checkpoint_is_not_enough(tok, tmp_path):
    with pytest.raises(InputError, match="save_total_limit 1"): trainer(tok, tmp_path, save_steps=1, save_total_limit=1)

@pytest.mark.parametrize("ours", [True, False])
def test_a_step_can_be_repeated(tok, tmp_path, ours):
    "What is masked follows from seed and step, whoever collates, and whatever was drawn before."
    t = trainer(tok, tmp_path, MaskedLM(tok) if ours else DataCollatorForLanguageModeling(tok))
    def masked(step):
        t.draw("step", step)
        return t.data_collator([t.train_dataset[0], t.train_dataset[1]])["input_ids"]
    first = masked(7)
    torch.rand(100)
    assert torch.equal(masked(7), first) and not torch.equal(masked(8), first)

def test_provenance_tells_what_the_weights_depend_on(tok, tmp_path):
    "Equal for equal trainers, and another one as soon as data, settings, model or collator are."
    def provenance(**changes): return trainer(tok, tmp_path, **changes).provenance
    same = provenance()
    assert same==provenance() and json.loads(json.dumps(same))==same
    for changes,key in ((dict(rows=19), "data"), (dict(seed=1), "seed"), (dict(steps=5), "max_steps"),
                        (dict(learning_rate=1e-4), "learning_rate"), (dict(collator=MaskedLM(tok, seed=3)), "collator")):
        assert provenance(**changes)[key]!=same[key]
    assert not any(str(tmp_path) in str(v) for v in same.values())

def test_no_pickle_of_the_arguments(tok, tmp_path):
    "Checkpoints and model hold what is needed, and no file that tells paths or tokens."
    t = trainer(tok, tmp_path/"out", save_steps=2)
    t.train()
    t.save_model(str(tmp_path/"model"))
    found = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert "model.safetensors" in found and not {"training_args.bin", "rng_state.pth"} & found
