"A pretraining run: same seed, same bytes; a folder that transformers opens; a start again after an interruption."
import shutil
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from transformers import AutoModelForMaskedLM, AutoTokenizer
from same import assert_same_run
from plm_nb import pretraining as room
from plm_nb.data import load_corpus, sha256
from plm_nb.files import InputError
from plm_nb.perplexity import score_text
from plm_nb.objectives import OBJECTIVES, MaskedLM
from plm_nb.decoding import fill
from plm_nb.demo import blanks_right
from plm_nb.pretraining import PretrainingArguments
from plm_nb.pretraining import pretrain as pretrain_by
from plm_nb.runs import Run
from plm_nb.verification import verify
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
from plm_nb.models import load

SMALL = dict(size="tiny", block_size=32, steps=4, batch_size=8, bf16=False)

def pretrain(corpus, tokenizer, out, resume=False, **settings):
    "Pretraining by settings that are named one by one."
    return pretrain_by(corpus, tokenizer, out, PretrainingArguments(**settings), resume)

@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    "A file of small sentences."
    words = [f"word{chr(97+i%13)}{chr(97+i%7)}" for i in range(50)]
    path = tmp_path_factory.mktemp("corpus")/"corpus.txt"
    path.write_text("\n".join(" ".join(words[(i*j)%50] for j in range(1, 4+i%7)) for i in range(900)))
    return path

@pytest.fixture(scope="module")
def tok(corpus): return train_tokenizer([corpus.read_text()], vocab_size=150)

@pytest.fixture(scope="module")
def run(corpus, tok, tmp_path_factory): return pretrain(corpus, tok, tmp_path_factory.mktemp("run"), **SMALL)

def test_same_seed_same_bytes(run, corpus, tok, tmp_path):
    "Two runs with one seed are equal; another seed gives other weights."
    assert_same_run(pretrain(corpus, tok, tmp_path/"again", **SMALL).path, run.path)
    other = pretrain(corpus, tok, tmp_path/"other", **SMALL, seed=1)
    assert sha256(other.path/"model.safetensors")!=sha256(run.path/"model.safetensors")
    assert sha256(other.path/"tokenizer.json")==sha256(run.path/"tokenizer.json")

def test_the_global_state_changes_nothing(run, corpus, tok, tmp_path):
    "Random numbers drawn before a run do not reach it."
    torch.manual_seed(99); np.random.seed(99)
    assert_same_run(pretrain(corpus, tok, tmp_path/"run", **SMALL).path, run.path)

def test_the_folder_opens_in_transformers(run, corpus):
    "The plain classes give the logits of `load`, and with the recorded questions the recorded loss."
    plain, tok = AutoModelForMaskedLM.from_pretrained(run.path).eval(), AutoTokenizer.from_pretrained(run.path)
    held = pack(load_corpus(corpus)["validation"]["text"], tok, 32)
    nats = n = 0
    for row in held:
        batch = MaskedLM(tok, .3, seed=0)([row])
        labels = batch.pop("labels")
        with torch.no_grad(): one, two = plain(**batch).logits, load(run.path)(**batch).logits
        assert (one-two).abs().max()<1e-5
        nats += torch.nn.functional.cross_entropy(one.flatten(0, 1), labels.flatten(), reduction="sum").item()
        n += (labels!=-100).sum().item()
    said = run.record["results"]["validation"]
    assert said["tokens"]==n and said["loss"]==pytest.approx(nats/n, rel=1e-5)

def test_the_record(run):
    "Tokens, losses and the budget stand in the record; the run verifies."
    train = run.record["training"]
    assert train["steps"]==4 and train["tokens"]==4*8*32 and train["loss_first"]==Run(run.path).history.loss[0]
    assert verify(run.path)["ok"] and (run.path/"plots/loss.png").is_file()
    assert not (run.path/"checkpoints").exists() # nobody asked for any

@pytest.mark.parametrize("init", ["counted", "random"])
def test_char_tokenizer(corpus, tmp_path, init):
    "A tokenizer of characters is one like any other, and the run keeps it."
    letters = train_tokenizer([corpus.read_text()], "char")
    run = pretrain(corpus, letters, tmp_path/"run", **SMALL, init=init)
    tok = AutoTokenizer.from_pretrained(run.path)
    assert tok.tokenize("word")==list("word") and verify(run.path)["ok"]

def stop_after(monkeypatch, step, *args, **kwargs):
    "A pretraining that is interrupted after `step` steps."
    def stop(self, args, state, control, **kwargs):
        if state.global_step==step: raise KeyboardInterrupt
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(room.Log, "on_step_end", stop)
        pretrain(*args, **kwargs)

SAVED = dict(SMALL, steps=12, save_steps=4)

@pytest.fixture(scope="module")
def resumed(corpus, tok, tmp_path_factory):
    "A run that was interrupted at step 11 and went on from step 8."
    out = tmp_path_factory.mktemp("resumed")
    with pytest.MonkeyPatch.context() as m: stop_after(m, 11, corpus, tok, out, **SAVED)
    assert Run(out).record["status"]!="done"
    with pytest.raises(InputError, match="another run"): pretrain(corpus, tok, out, **SAVED)
    return pretrain(corpus, tok, out, **SAVED, resume=True)

def test_resume(resumed):
    "It ends after all its steps, verifies, and its log holds every step once."
    assert resumed.record["training"]["steps"]==12 and verify(resumed.path)["ok"]
    assert Run(resumed.path).history.dropna(subset="loss").step.tolist()==[1, 4, 8, 10, 12]

def test_resume_is_exact(resumed, corpus, tok, tmp_path):
    "Its weights, scores and log are those of a run that was left alone."
    assert_same_run(resumed.path, pretrain(corpus, tok, tmp_path/"whole", **SAVED).path)

@pytest.fixture(scope="module")
def begun(corpus, tok, tmp_path_factory):
    "A run that was interrupted before any checkpoint."
    out = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as m: stop_after(m, 2, corpus, tok, out, **SMALL)
    return out

def test_resume_without_a_checkpoint(run, begun, corpus, tok, tmp_path):
    "It starts at step 0 and ends as if nothing had been; its log holds every step once."
    shutil.copytree(begun, tmp_path/"run")
    assert_same_run(pretrain(corpus, tok, tmp_path/"run", **SMALL, resume=True).path, run.path)

@pytest.mark.parametrize("other", [dict(size="mini"), dict(seed=5), dict(block_size=16)], ids=str)
def test_resume_of_another_run(begun, corpus, tok, tmp_path, other):
    "What was begun with other settings is not continued with these, and is left as it is."
    shutil.copytree(begun, tmp_path/"run")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=next(iter(other))):
        pretrain(corpus, tok, tmp_path/"run", **{**SMALL, **other}, resume=True)
    assert before=={p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

def test_fill_and_blanks(run, corpus):
    "Probabilities fall and lie between 0 and 1; the share of right blanks is the same for any batch size."
    model, tok = load(run.path), AutoTokenizer.from_pretrained(run.path, split_special_tokens=True)
    answers = fill(model, tok, "wordaa ___ wordbb", 5)
    chances = [c for _,c in answers]
    assert len(answers)==5 and chances==sorted(chances, reverse=True) and 0<=chances[-1]<=chances[0]<=1
    assert len(fill(model, tok, "[MASK] ___", 1))==1
    held = pack(load_corpus(corpus)["validation"]["text"], tok, 32)
    assert len({blanks_right(model, tok, held, n) for n in (1, 7, 64)})==1
    for text in ("no blank", "___ and ___"):
        with pytest.raises(InputError, match="one blank"): fill(model, tok, text)

@pytest.mark.parametrize("wrong", [dict(init="warm"), dict(size="huge"), dict(steps=0), dict(mlm_probability=0),
                                   dict(block_size=10**6), dict(block_size=0), dict(batch_size=0)])
def test_wrong_settings(corpus, tok, tmp_path, wrong):
    "A wrong setting raises before the folder is made."
    with pytest.raises(InputError) as e: pretrain(corpus, tok, tmp_path/"run", **{**SMALL, **wrong})
    assert "\n" not in str(e.value) and not (tmp_path/"run").exists()

@pytest.mark.parametrize("wrong, word", [
    (dict(objective="guess"), "choose from mlm"), (dict(objective="clm", arch="bert"), "choose from gpt2"),
    (dict(objective="clm", arch="gru", init="counted"), "init counted: not for gru"), (dict(steps=1, minutes=1), "only one"),
    (dict(objective="clm", mlm_probability=.2), "leave it out"), (dict(epochs=-1), "epochs -1"),
    (dict(size="huge"), "choose from tiny"), (dict(save_steps=0), "save_steps 0")])
def test_impossible_arguments(wrong, word):
    "What cannot be is refused where it is written down, in one line."
    with pytest.raises(InputError, match=word) as e: PretrainingArguments(**wrong)
    assert "\n" not in str(e.value)

@pytest.fixture(scope="module")
def tales():
    "Documents of several sentences each."
    def tale(i): return " ".join(f"The {a} saw {b} and {a}." for a,b in zip(WORDS[i%5:], WORDS[i%7:]))
    return DatasetDict({p: Dataset.from_dict(dict(text=[tale(i) for i in range(n)])) for p,n in PARTS.items()})

WORDS, PARTS = "cat dog owl fox hen bee ant elk cow pig rat bat".split(), dict(train=60, validation=12)

@pytest.mark.parametrize("objective, arch", [(o, a) for o,r in OBJECTIVES.items() for a in r.archs])
def test_every_objective_and_architecture(tales, tmp_path, objective, arch):
    "A run of each pair: it learns, verifies, and opens with the class of its task."
    words = train_tokenizer(tales["train"]["text"], "wordpiece", 120)
    made = pretrain(tales, words, tmp_path/"run", objective=objective, arch=arch, **dict(SMALL, steps=12, learning_rate=3e-3))
    held = made.record["results"]["validation"]
    assert verify(made.path)["ok"] and held["loss"]<made.record["training"]["loss_first"]
    assert ("perplexity" in held)==(objective=="clm")==("bits_per_byte" in held)
    assert load(made.path, OBJECTIVES[objective].task).num_parameters()==made.record["training"]["parameters"]
    if arch in ("gpt2", "llama", "lstm", "t5"): # the saved tokenizer gives what the model takes
        model, words = load(made.path, OBJECTIVES[objective].task), AutoTokenizer.from_pretrained(made.path)
        assert model.generate(**words("The cat", return_tensors="pt"), max_new_tokens=4).shape[1]>1
