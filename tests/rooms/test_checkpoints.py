"What stands under exact resume: a step that can be repeated, and what it depends on."
import json
import pytest
import torch
from transformers import DataCollatorForLanguageModeling
from plm_nb.checkpoints import ResumableTrainer
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.objectives import MaskedLM
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

def test_the_number_of_processes_is_a_matter_of_the_machine(tok, tmp_path):
    "Else two processes cannot go on with what one has begun."
    found = trainer(tok, tmp_path, gradient_accumulation_steps=3).provenance
    assert found["machine.processes"]==1 and "world_size" not in found and found["gradient_accumulation_steps"]==3

@pytest.mark.parametrize("of", [2, 3, 4])
def test_a_step_in_shares(tok, tmp_path, monkeypatch, of):
    "Whoever asks, the rows of the step are the same, in the same order; masks are drawn once, for all."
    whole = trainer(tok, tmp_path, gradient_accumulation_steps=2)
    def step(t):
        t.draw("epoch", 0)
        return t.get_batch_samples(iter(t.get_train_dataloader()), 2, "cpu")
    batches, n = step(whole)
    assert len(sum(whole._numbers, []))==8
    masked = []
    for i in range(of):
        monkeypatch.setattr("plm_nb.processes.process_index", lambda: i)
        monkeypatch.setattr("plm_nb.processes.processes", lambda: of)
        own, count = step(trainer(tok, tmp_path, gradient_accumulation_steps=2))
        monkeypatch.undo()
        assert count==n
        masked.append(torch.cat([part["labels"] for part in own]))
    whole_labels = torch.cat([part["labels"] for part in batches])
    found = {tuple(row.tolist()) for part in masked for row in part}
    assert found=={tuple(row.tolist()) for row in whole_labels} and sum(map(len, masked))==8
