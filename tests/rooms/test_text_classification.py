"Classifiers: the same answers in transformers, in scikit-learn and in batches of any size."
import random
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from plm_nb.files import InputError
from plm_nb.estimators import TextClassifier
from plm_nb.finetuning import FinetuningArguments, evaluate, finetune, padded
from plm_nb.pipelines import verify
from plm_nb.text_classification import TextClassification, class_probabilities, encode_rows
from plm_nb.tasks import load_task
from plm_nb.tokenizer import load_tokenizer, train_tokenizer
from plm_nb.models import load
from same import close

WORDS = dict(bad="cold dark sad wet".split(), good="warm bright glad dry".split(), none="one two three four".split())

def rows(n, seed=0):
    "Texts of 2 to 12 words with a label that their words give away."
    rng = random.Random(seed)
    labels = [sorted(WORDS)[i%3] for i in range(n)]
    def text(label): return " ".join(rng.choice(WORDS[label]+["the", "a"]) for _ in range(rng.randrange(2, 13)))
    return [f"{text(l)} {i}" for i,l in enumerate(labels)], labels

TEXTS, LABELS = rows(150)

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(TEXTS, vocab_size=200)

@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("task")/"rows.csv"
    pd.DataFrame(dict(text=TEXTS, label=LABELS)).to_csv(path, index=False)
    return load_task(path)

@pytest.fixture(scope="module")
def run(task, tok, tmp_path_factory):
    return finetune(task, tmp_path_factory.mktemp("run"), tokenizer=tok,
                    args=FinetuningArguments(size="tiny", epochs=6, learning_rate=1e-3))

def test_the_folder_opens_in_transformers(run):
    "The plain classes, and the pipeline over them, give our probabilities."
    model = AutoModelForSequenceClassification.from_pretrained(run.path).eval()
    tok = AutoTokenizer.from_pretrained(run.path)
    ours = class_probabilities(load(run.path, "text-classification"), load_tokenizer(run.path), TEXTS)
    with torch.no_grad():
        batch = tok(TEXTS, padding=True, return_tensors="pt")
        plain, same = model(**batch).logits, load(run.path, "text-classification")(**batch).logits
    assert (plain-same).abs().max()<1e-5
    assert abs(plain.softmax(-1).numpy()-ours).max()<1e-5
    for text,chances,said in zip(TEXTS, ours, pipeline("text-classification", model=str(run.path), top_k=None)(TEXTS)):
        for s in said: assert s["score"]==pytest.approx(chances[model.config.label2id[s["label"]]], abs=1e-5), text

def test_it_learns_and_verifies(run, task):
    "Words that give the class away are learned; the folder believes itself; `evaluate` gives the same scores again."
    assert run.record["results"]["test"]["f1"]>.7 and verify(run.path)["ok"]
    scored = evaluate(run.path, task)
    assert close(scored, run.record["results"]["validation"])

@pytest.mark.parametrize("side", ["right", "left"])
def test_batch_size_and_padding_side(run, side):
    "The same probabilities in batches of 1, 7 and 64, padded on either side, in the order of the texts."
    model, tok = load(run.path, "text-classification"), load_tokenizer(run.path)
    tok.padding_side = side
    alone = np.concatenate([class_probabilities(model, load_tokenizer(run.path), [t]) for t in TEXTS[:2]])
    found = [class_probabilities(model, tok, TEXTS[:70], batch_size=size) for size in (1, 7, 64)]
    for chances in found:
        assert abs(chances-found[0]).max()<1e-5 and abs(chances.sum(1)-1).max()<1e-5
        assert abs(chances[:2]-alone).max()<1e-5
    assert tok.padding_side==side

def test_pairs_change_the_answer(tok, tmp_path):
    "A pair is read as a pair: two segments, and an order."
    data = Dataset.from_dict(dict(text=["a cold one", "warm"], text2=["dark", "bright and dry"], label=[0, 1]))
    ids, cut = encode_rows(data, tok)
    assert cut==0 and [sorted(set(r)) for r in ids["token_type_ids"]]==[[0, 1]]*2
    both = padded(tok)([ids[0], ids[1]])
    assert both["input_ids"].shape==both["token_type_ids"].shape and both["labels"].tolist()==[0, 1]

@pytest.mark.parametrize("length", [4, 6, 9, 128])
def test_cut_rows_are_counted(tok, length):
    "As many rows are cut as are longer than the limit, and none is longer afterwards."
    full = [len(i) for i in tok(TEXTS)["input_ids"]]
    ids, cut = encode_rows(Dataset.from_dict(dict(text=TEXTS)), tok, length)
    assert cut==sum(n>length for n in full)
    assert [len(i) for i in ids["input_ids"]]==[min(n, length) for n in full]

def test_wrong_input(run, task, tok, tmp_path):
    "One class, a text that is none, labels that were never learned, a split that is not there."
    def refused(what, f, *args, **kwargs):
        with pytest.raises(InputError, match=what) as e: f(*args, **kwargs)
        assert "\n" not in str(e.value)
    refused("two classes", TextClassifier(tokenizer=tok, size="tiny").fit, TEXTS[:3], ["a"]*3)
    model = load(run.path, "text-classification")
    refused("no text", class_probabilities, model, tok, [])
    refused("text 2 is None", class_probabilities, model, tok, ["a", None])
    other = pd.DataFrame(dict(text=TEXTS, label=LABELS)).replace("bad", "other")
    other.to_csv(tmp_path/"rows.csv", index=False)
    refused("other", evaluate, run.path, tmp_path/"rows.csv")
    refused("exam", evaluate, run.path, task, "exam")

def test_texts_longer_than_the_model(run):
    "Asked for more tokens than the model has positions, `predict` says how many there are."
    with pytest.raises(InputError, match="512"):
        class_probabilities(load(run.path, "text-classification"), load_tokenizer(run.path), ["warm "*2000], max_length=1000)

def test_nothing_beside_the_run(task, tok, tmp_path, monkeypatch):
    "Fine-tuning writes into its folder, the estimator nowhere."
    monkeypatch.chdir(tmp_path)
    TextClassifier(tokenizer=tok, size="tiny", epochs=.1).fit(TEXTS, LABELS)
    assert not list(tmp_path.iterdir())
    finetune(task, "run", tokenizer=tok, args=FinetuningArguments(size="tiny", epochs=.1))
    assert [p.name for p in tmp_path.iterdir()]==["run"]
