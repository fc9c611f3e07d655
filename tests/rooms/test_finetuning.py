"The path of every task: rates that follow the start, exact resuming, and wrong settings that leave nothing behind."
from dataclasses import replace
import numpy as np
import pytest
from plm_nb.files import InputError
from plm_nb.estimators import TextClassifier
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.models import load
from plm_nb.runs import Run
from plm_nb.text_classification import TextClassification
from plm_nb.tokenizer import load_tokenizer
from plm_nb.budgets import Log
from same import assert_same_run
from test_text_classification import LABELS, TEXTS, run, task, tok

WRONG = [dict(labels_per_class=10**6), dict(labels_per_class=0), dict(size="huge"), dict(epochs=0), dict(batch_size=0),
         dict(tokenizer=None), dict(task=TextClassification(2)), dict(task=TextClassification(1000)), dict(trainable="some"),
         dict(trainable="last-x"), dict(l2_sp=-1.), dict(dropout=-.1), dict(dropout=1.), dict(dropout="much"),
         dict(settings=dict(max_steps=3))]

def test_rates_follow_the_start(run, task, tmp_path):
    "Else a base model that others trained forgets at the rates that suit ours."
    load(run.path, "text-classification").save_pretrained(tmp_path/"theirs")
    load_tokenizer(run.path).save_pretrained(tmp_path/"theirs")
    def rates(start, **asked):
        made = finetune(task, tmp_path/f"{start.name}-{len(asked)}", model=start, args=FinetuningArguments(labels_per_class=4, epochs=1, **asked))
        return [made.record["arguments"][k] for k in ("learning_rate", "head_learning_rate")]
    assert rates(run.path)==[3e-4, 5e-3] and rates(tmp_path/"theirs")==[7e-5, 1e-3]
    assert rates(tmp_path/"theirs", learning_rate=1e-5)==[1e-5, 1e-3]
    own, theirs = (TextClassifier(str(p), epochs=1, random_state=0).fit(TEXTS[:12], LABELS[:12]).predict_proba(TEXTS[:12])
                   for p in (run.path, tmp_path/"theirs"))
    assert not np.allclose(own, theirs) # the same weights, learned at other rates

def test_resume_is_exact(task, tok, tmp_path, monkeypatch):
    "A fine-tuning that a kill stopped between two checkpoints ends with the weights and the log of one left alone."
    args = FinetuningArguments(size="tiny", epochs=2, save_steps=4, dropout=.1)
    def stop(self, args, state, control, **kwargs):
        if state.global_step==11: raise KeyboardInterrupt
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Log, "on_step_end", stop)
        finetune(task, tmp_path/"killed", tokenizer=tok, args=args)
    with pytest.raises(InputError, match="epochs 2, not 3"):
        finetune(task, tmp_path/"killed", tokenizer=tok, args=replace(args, epochs=3), resume=True)
    whole = finetune(task, tmp_path/"whole", tokenizer=tok, args=args)
    killed = finetune(task, tmp_path/"killed", tokenizer=tok, args=args, resume=True)
    assert_same_run(killed.path, whole.path)
    assert finetune(task, tmp_path/"killed", tokenizer=tok, args=args, resume=True).record==Run(tmp_path/"killed").record

@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_settings(task, tok, tmp_path, wrong):
    "A wrong setting raises before the folder is made; the model has 512 positions."
    asked = dict(size="tiny", epochs=.1) | {k: v for k,v in wrong.items() if k not in ("tokenizer", "task")}
    settings = dict(tokenizer=tok) | {k: v for k,v in wrong.items() if k in ("tokenizer", "task")}
    with pytest.raises(InputError) as e: finetune(task, tmp_path/"out", **settings, args=FinetuningArguments(**asked))
    assert "\n" not in str(e.value) and not (tmp_path/"out").exists()

@pytest.mark.parametrize("length", [0, -1, 2.5, "64", True])
def test_lengths_that_are_none(length):
    "A task is not made with them."
    with pytest.raises(InputError, match="max_length"): TextClassification(length)

def test_dropout_is_of_training_alone(task, tok, tmp_path):
    "What is dropped changes what is learned, not what the model is said to be, and nothing is dropped when it answers."
    made = {p: finetune(task, tmp_path/str(p), tokenizer=tok, args=FinetuningArguments(size="tiny", epochs=1, dropout=p)) for p in (None, 0., .5)}
    weights = {p: load(run.path, "text-classification").state_dict() for p,run in made.items()}
    name = next(iter(weights[None]))
    assert all((weights[None][k]==weights[0.][k]).all() for k in weights[None]) and not (weights[0.][name]==weights[.5][name]).all()
    assert (made[.5].path/"config.json").read_bytes()==(made[None].path/"config.json").read_bytes()
    assert made[.5].record["arguments"]["dropout"]==.5
