"""Whoever has a model that others have published goes on with text of their own: every family, at the Python door and in the shell;
what it forgets is measured, parts of a batch are the batch, and an interruption changes nothing."""
import json
import warnings
import pytest
import torch
import transformers as hf
from datasets import Dataset, DatasetDict
from families import SENTENCES, TOKENIZERS, publish
from plm_nb.cli import main
from plm_nb.continuing import weights_hash
from plm_nb.files import InputError
from plm_nb.models import load
from plm_nb.ngram_runs import count_ngrams
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.files import read_json_lines
from plm_nb.runs import Run
from plm_nb.verification import verify
from plm_nb.tokenizer import load_tokenizer, train_tokenizer

def documents(texts): return Dataset.from_dict(dict(text=texts))

TEXTS = [" ".join(SENTENCES[i:i+4]).replace("bread", "gingerbread") for i in range(0, 120)]
NEW = DatasetDict(train=documents(TEXTS[:100]), validation=documents(TEXTS[100:]))
OLD = DatasetDict(train=documents([" ".join(SENTENCES[i:i+3]) for i in range(40)]), validation=documents([" ".join(SENTENCES[i:i+3]) for i in range(40, 52)]))
SMALL = dict(steps=8, block_size=32, batch_size=8, bf16=False, learning_rate=3e-3)
OBJECTIVE = dict.fromkeys(TOKENIZERS, "mlm") | dict.fromkeys(["gpt2", "llama", "qwen2", "gpt_neox"], "clm")
OBJECTIVE |= dict(t5="denoise", bart="denoise", xlnet="permutation")

@pytest.fixture(scope="module")
def published(tmp_path_factory):
    "The folder of a family, written once."
    made = {}
    def folder(family):
        if family not in made: made[family] = publish(family, tmp_path_factory.mktemp(family))
        return made[family]
    return folder

def goes_on(model, out, **settings):
    args = PretrainingArguments(**{**SMALL, **settings})
    return pretrain(NEW, out=out, args=args, model=model, keep=OLD)

@pytest.mark.parametrize("family", TOKENIZERS)
def test_every_family_goes_on(published, tmp_path, family):
    "It learns by its own objective, the record names the start, and plain transformers opens what was written."
    start = published(family)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = goes_on(start, tmp_path/"run", replay=.2)
    record = run.record
    assert record["arguments"]["objective"]==OBJECTIVE[family] and verify(run.path)["ok"]
    assert record["results"]["validation"]["loss"]<record["before"]["validation"]["loss"]
    assert record["before"].keys()==record["results"].keys()=={"validation", "kept"}
    assert ("bits_per_byte" in record["results"]["kept"])==(OBJECTIVE[family]=="clm")
    assert len(record["start"]["sha256"])==64 and record["start"]["commit"] is None and record["start"]["made_here"] is False
    drawn = [w for w in said if "new one, tied" in str(w.message)]
    assert bool(drawn)==(family=="electra") # whose published head finds replaced tokens
    if not drawn: assert record["start"]["sha256"]==weights_hash(load(start, record_head(record)))
    plain = hf.AutoModel.from_pretrained(run.path)
    again = hf.AutoTokenizer.from_pretrained(run.path)
    assert plain.get_input_embeddings().weight.shape[0]>=len(again)==len(hf.AutoTokenizer.from_pretrained(start))

def record_head(record):
    "The head of a run, in the words of `load`."
    return {"mlm": "fill-mask", "clm": "text-generation", "permutation": "text-generation",
            "denoise": "text2text-generation"}[record["arguments"]["objective"]]

@pytest.mark.parametrize("family, shapes, steps", [("bert", (8, 2), 40), ("roberta", (8, 2), 40), ("gpt2", (8, 4, 2), 40),
                                                   ("llama", (8, 2), 40), ("qwen2", (8, 2), 40), ("t5", (8, 2), 2)])
def test_the_parts_of_a_batch_are_the_batch(published, tmp_path, family, shapes, steps):
    """8 × 1, 4 × 2 and 2 × 4 rows: the same loss and the same weights, whatever is hidden. In the drawn weights of this T5 a
    difference in the last place is a hundred thousand times as large after forty steps, so it makes two."""
    def run(rows):
        parts = dict(batch_size=rows, gradient_accumulation_steps=8//rows)
        return goes_on(published(family), tmp_path/str(rows), **parts, steps=steps, learning_rate=3e-4)
    first, *others = [run(rows) for rows in shapes]
    net = load(first.path, record_head(first.record))
    for other in others:
        assert other.record["training"]["loss_last"]==pytest.approx(first.record["training"]["loss_last"], abs=2e-6)
        weights = load(other.path, record_head(other.record)).parameters()
        for p,q in zip(net.parameters(), weights, strict=True): assert (p-q).abs().max()<1e-4

def test_an_interruption_changes_nothing(published, tmp_path):
    "Replay, the pull to the start and new words follow from the seed; resumed, the weights are those of an unbroken run."
    how = dict(replay=.3, l2_sp=2., add_tokens=4, save_steps=3)
    whole = goes_on(published("gpt2"), tmp_path/"whole", **how)
    args = PretrainingArguments(**{**SMALL, **how})
    from plm_nb import pretraining as room
    class Stops(room.ResumableTrainer):
        def training_step(self, *args, **kwargs):
            if self.state.global_step==5: raise KeyboardInterrupt
            return super().training_step(*args, **kwargs)
    real, room.ResumableTrainer = room.ResumableTrainer, Stops
    try:
        with pytest.raises(KeyboardInterrupt): pretrain(NEW, out=tmp_path/"run", args=args, model=published("gpt2"), keep=OLD)
    finally: room.ResumableTrainer = real
    run = pretrain(NEW, out=tmp_path/"run", args=args, resume=True, model=published("gpt2"), keep=OLD)
    assert run.record["results"]==whole.record["results"] and run.record["before"]==whole.record["before"]
    assert weights_hash(load(run.path, "text-generation"))==weights_hash(load(whole.path, "text-generation"))
    with pytest.raises(InputError, match="start.sha256"):
        pretrain(NEW, out=tmp_path/"run", args=args, resume=True, model=published("llama"), keep=OLD)

def test_words_it_does_not_have(published, tmp_path):
    "More tokens, or another tokenizer: longer pieces, and the record says how many bytes each stands for."
    run = goes_on(published("gpt2"), tmp_path/"more", add_tokens=5)
    words = run.record["words"]
    assert words["bytes_per_token"]>words["bytes_per_token_before"]
    assert len(load_tokenizer(run.path))==len(load_tokenizer(published("gpt2")))+5
    letters = train_tokenizer(NEW["train"]["text"], "char", 60)
    args = PretrainingArguments(**SMALL)
    run = pretrain(NEW, letters, tmp_path/"letters", args, model=published("bert"))
    assert run.record["words"]["copied"]>5 and run.record["words"]["bytes_per_token"]==1
    assert load(run.path, "fill-mask", tokenizer=load_tokenizer(run.path)).config.pad_token_id==letters.pad_token_id

@pytest.mark.parametrize("documents", ["rows", "lines"])
def test_line_by_line(published, tmp_path, documents):
    "As the articles do it: a row for each line, padded; no line is lost."
    text = DatasetDict(train=documents_of(30), validation=documents_of(6))
    args = PretrainingArguments(**{**SMALL, "documents": documents, "steps": None, "epochs": 1, "block_size": 128})
    run = pretrain(text, out=tmp_path/"run", args=args, model=published("bert"))
    assert run.record["data"]["train blocks"]==(30*3 if documents=="lines" else 30)
    assert run.record["training"]["steps"]==-(-run.record["data"]["train blocks"]//8)

def documents_of(n): return documents(["\n\n".join(SENTENCES[i:i+3]) for i in range(n)])

def test_the_best_look_is_kept(published, tmp_path):
    "With `patience` training ends after looks without a better one, and what is kept is the best; the log has the curve."
    run = goes_on(published("gpt2"), tmp_path/"run", steps=400, eval_steps=4, patience=2, learning_rate=.03)
    looks = [line["validation"] for line in read_json_lines(run.path/"log.jsonl") if "validation" in line]
    *looks, last = looks
    assert run.record["training"]["steps"]<400 and len(looks)-1-looks.index(min(looks))==2
    assert last==pytest.approx(run.record["results"]["validation"]["loss"])
    assert last<looks[-1]+.1 # the text's own score and that of its blocks differ a little

@pytest.mark.parametrize("asked, words", [
    (dict(size="tiny"), "size tiny: of a new model"), (dict(arch="bert"), "arch bert: of a new model"),
    (dict(objective="clm"), "does not do text-generation here"), (dict(block_size=4000), "260|at most"),
    (dict(replay=1.5), "less than 1"), (dict(l2_sp=-1.), "l2_sp"), (dict(documents="pages"), "choose packed"),
    (dict(settings=dict(nothing=1)), "no such field"), (dict(add_tokens=10**6), "at most")])
def test_what_cannot_be(published, tmp_path, asked, words):
    "One line, and no folder is left behind."
    with pytest.raises(InputError, match=words) as e: goes_on(published("bert"), tmp_path/"run", **asked)
    assert "\n" not in str(e.value) and not (tmp_path/"run").exists()

def test_replay_needs_something_to_replay(published, tmp_path):
    with pytest.raises(InputError, match="of what text"):
        pretrain(NEW, out=tmp_path/"run", args=PretrainingArguments(**SMALL, replay=.1), model=published("gpt2"))

@pytest.mark.parametrize("objective, arch", [("mlm", "bert"), ("mlm+nsp", "bert"), ("clm", "lstm"), ("permutation", "xlnet"),
                                             ("denoise", "bart")])
def test_our_own_models_are_one_case_of_them(tmp_path, objective, arch):
    words = train_tokenizer(NEW["train"]["text"], "wordpiece", 150)
    args = PretrainingArguments(objective, arch, "tiny", 64, steps=4, batch_size=8, bf16=False)
    first = pretrain(NEW, words, tmp_path/"first", args)
    asked = dict(objective=objective, block_size=64)
    record = goes_on(first.path, tmp_path/"second", **asked, steps=20, learning_rate=1e-3).record
    assert record["results"]["validation"]["loss"]<record["before"]["validation"]["loss"] and record["start"]["made_here"]
    if objective=="mlm+nsp": assert 0<=record["results"]["validation"]["pair_accuracy"]<=1

def test_a_head_that_is_left_behind_is_named(tmp_path):
    words = train_tokenizer(NEW["train"]["text"], "wordpiece", 150)
    first = pretrain(NEW, words, tmp_path/"first", PretrainingArguments("mlm+nsp", "bert", "tiny", 64, steps=4, batch_size=8, bf16=False))
    with pytest.warns(UserWarning, match="objective mlm.nsp keeps it"): goes_on(first.path, tmp_path/"second")

def test_plain_transformers_fills_blanks_with_a_run(published, tmp_path):
    "The tokenizer is saved with the settings that its publisher gave it; here a special string in a text stays text."
    run = goes_on(published("bert"), tmp_path/"run")
    assert len(hf.pipeline("fill-mask", model=str(run.path))("the [MASK] likes bread."))==5
    ours = load_tokenizer(run.path)
    assert ours.mask_token_id not in ours("the [MASK] likes bread.")["input_ids"]

@pytest.mark.parametrize("tied", [True, False])
def test_with_more_tokens_a_run_is_what_was_scored(tmp_path, tied):
    "A bias under two names is saved under both, where the weights are not tied."
    publish("roberta", tmp_path/"start")
    model = hf.AutoModelForMaskedLM.from_pretrained(tmp_path/"start", tie_word_embeddings=tied)
    model.config.tie_word_embeddings = tied
    model.save_pretrained(tmp_path/"start")
    run = goes_on(tmp_path/"start", tmp_path/"run", add_tokens=4)
    again = goes_on(run.path, tmp_path/"again", steps=1)
    found, read = run.record["results"]["validation"]["loss"], again.record["before"]["validation"]["loss"]
    assert read==pytest.approx(found, rel=1e-5)

@pytest.mark.parametrize("family, asked, words", [
    ("xlnet", dict(objective="clm"), "does not predict the next token"), ("deberta_v2", dict(documents="packed"), "choose rows or lines"),
    ("roberta", dict(block_size=259), "at most 258"), ("gpt2", dict(settings=dict(max_grad_norm="abc")), "'abc' is none of"),
    ("gpt2", dict(settings=dict(adam_beta2=7)), "out of range"), ("gpt2", dict(settings=dict(deepspeed="x.json")), "no effect"),
    ("gpt2", dict(settings=dict(metric_for_best_model="accuracy")), "no effect")])
def test_what_a_family_cannot(published, tmp_path, family, asked, words):
    with pytest.raises(InputError, match=words) as e: goes_on(published(family), tmp_path/"run", **asked)
    assert "\n" not in str(e.value) and not (tmp_path/"run").exists()

def test_a_loss_that_is_no_number_leaves_nothing_behind(published, tmp_path):
    "Without a checkpoint there is nothing to go on from, so the folder is free for the next attempt."
    with pytest.raises(InputError): goes_on(published("bert"), tmp_path/"run", learning_rate=1e20)
    assert not (tmp_path/"run").exists()

def test_lines_end_alike_on_every_system(published, tmp_path):
    scores = []
    for name,end in (("unix", "\n"), ("windows", "\r\n")):
        text = [end.join(SENTENCES[i:i+3]) for i in range(40)]
        docs = DatasetDict(train=documents(text[:32]), validation=documents(text[32:]))
        args = PretrainingArguments(**{**SMALL, "documents": "lines", "steps": 2})
        scores.append(pretrain(docs, out=tmp_path/name, args=args, model=published("gpt2")).record["results"])
    assert scores[0]==scores[1]

def test_an_n_gram_is_counted_again(tmp_path):
    words = train_tokenizer(NEW["train"]["text"], "wordpiece", 150)
    counted = count_ngrams(NEW, words, tmp_path/"counted", 3)
    with pytest.raises(InputError, match="count both texts"): goes_on(counted.path, tmp_path/"run")

def test_in_the_shell(published, tmp_path, capsys):
    "The same by options; figures before and after are in the object that is printed."
    for name,part in (("new", NEW), ("old", OLD)):
        (tmp_path/name).mkdir()
        for split in part: (tmp_path/name/f"{split}.txt").write_text("\n".join(part[split]["text"]), encoding="utf-8")
    said = ["pretrain", "--model", str(published("roberta")), "--corpus", str(tmp_path/"new"), "--keep", str(tmp_path/"old"),
            "--out", str(tmp_path/"run"), "--steps", "4", "--block-size", "32", "--batch-size", "2",
            "--gradient-accumulation-steps", "2", "--eval-steps", "2", "--replay", "0.2", "--l2-sp", "1", "--warmup", "0.2",
            "--save-steps", "2", "--save-total-limit", "3", "--mlm-probability", "0.2", "--documents", "lines",
            "--add-tokens", "3", "--set", "max_grad_norm=0.5", "--set", "adam_beta2=0.9", "--json"]
    assert main(said)==0
    found = json.loads(capsys.readouterr().out)
    assert found["before"].keys()=={"validation", "kept"} and found["kept"]["loss"]>0
    arguments = Run(tmp_path/"run").record["arguments"]
    assert arguments["settings"]==dict(max_grad_norm=.5, adam_beta2=.9) and arguments["documents"]=="lines"
    assert main([*said, "--max-length", "64", "--out", str(tmp_path/"no")])==2
    assert "give one of them" in capsys.readouterr().err
    assert main([*said[:-1], "--set", "max_gradnorm=1", "--out", str(tmp_path/"no")])==2
    assert "did you mean max_grad_norm" in capsys.readouterr().err
    assert main(["pretrain", "--corpus", str(tmp_path/"new"), "--out", str(tmp_path/"no")])==2
    assert "tokenizer" in capsys.readouterr().err
