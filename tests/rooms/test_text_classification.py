"Classifiers: the same answers in transformers, in scikit-learn and in batches of any size."
import random
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from plm_nb.data import InputError
from plm_nb.estimators import TextClassifier, learning_curve, tfidf
from plm_nb.text_classification import TextClassification, encode_rows, evaluate, finetune, predict
from plm_nb.finetuning import padded
from plm_nb.runs import Run, verify
from plm_nb.training import Log
from plm_nb.tasks import load_task
from plm_nb.tokenizer import load_tokenizer, train_tokenizer
from plm_nb.models import load
from same import assert_same_run, close

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
    return finetune(task, tmp_path_factory.mktemp("run"), tokenizer=tok, size="tiny", epochs=6, learning_rate=1e-3)

def test_rates_follow_the_start(run, task, tmp_path):
    "Else a body that others trained forgets at the rates that suit ours."
    load(run.path, "text-classification").save_pretrained(tmp_path/"theirs")
    load_tokenizer(run.path).save_pretrained(tmp_path/"theirs")
    def rates(start, **asked):
        made = finetune(task, tmp_path/f"{start.name}-{len(asked)}", start, labels_per_class=4, epochs=1, **asked)
        return [made.record["arguments"][k] for k in ("learning_rate", "head_rate")]
    assert rates(run.path)==[3e-4, 5e-3] and rates(tmp_path/"theirs")==[7e-5, 1e-3]
    assert rates(tmp_path/"theirs", learning_rate=1e-5)==[1e-5, 1e-3]
    own, theirs = (TextClassifier(str(p), epochs=1, random_state=0).fit(TEXTS[:12], LABELS[:12]).predict_proba(TEXTS[:12])
                   for p in (run.path, tmp_path/"theirs"))
    assert not np.allclose(own, theirs) # the same weights, learned at other rates

def test_the_folder_opens_in_transformers(run):
    "The plain classes, and the pipeline over them, give our probabilities."
    model = AutoModelForSequenceClassification.from_pretrained(run.path).eval()
    tok = AutoTokenizer.from_pretrained(run.path)
    ours = predict(load(run.path, "text-classification"), load_tokenizer(run.path), TEXTS)
    with torch.no_grad():
        batch = tok(TEXTS, padding=True, return_tensors="pt")
        plain, same = model(**batch).logits, load(run.path, "text-classification")(**batch).logits
    assert (plain-same).abs().max()<1e-5
    assert abs(plain.softmax(-1).numpy()-ours).max()<1e-5
    for text,chances,said in zip(TEXTS, ours, pipeline("text-classification", model=str(run.path), top_k=None)(TEXTS)):
        for s in said: assert s["score"]==pytest.approx(chances[model.config.label2id[s["label"]]], abs=1e-5), text

def test_resume_is_exact(task, tok, tmp_path, monkeypatch):
    "A fine-tuning that a kill stopped between two checkpoints ends with the weights and the log of one left alone."
    settings = dict(tokenizer=tok, size="tiny", epochs=2, save_steps=4)
    def stop(self, args, state, control, **kwargs):
        if state.global_step==11: raise KeyboardInterrupt
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Log, "on_step_end", stop)
        finetune(task, tmp_path/"killed", **settings)
    with pytest.raises(InputError, match="epochs 2, not 3"):
        finetune(task, tmp_path/"killed", **{**settings, "epochs": 3}, resume=True)
    whole, killed = finetune(task, tmp_path/"whole", **settings), finetune(task, tmp_path/"killed", **settings, resume=True)
    assert_same_run(killed.path, whole.path)
    assert finetune(task, tmp_path/"killed", resume=True).record==Run(tmp_path/"killed").record

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
    alone = np.concatenate([predict(model, load_tokenizer(run.path), [t]) for t in TEXTS[:2]])
    found = [predict(model, tok, TEXTS[:70], batch_size=size) for size in (1, 7, 64)]
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

@pytest.mark.parametrize("names", [sorted(WORDS), [7, 3, 11], ["10", "9", "x"], [True, False, True]], ids=str)
def test_labels_of_any_kind(tok, names):
    "The classes are those of `y`, of its type, and what comes back is one of them."
    y = np.array([names[sorted(WORDS).index(l)] for l in LABELS])
    net = TextClassifier(tokenizer=tok, size="tiny", epochs=.2).fit(TEXTS, y)
    guess = net.predict(TEXTS[:9])
    assert net.classes_.tolist()==sorted(set(y.tolist())) and guess.dtype==y.dtype and set(guess)<=set(names)
    chances = net.predict_proba(TEXTS[:9])
    assert (net.classes_[chances.argmax(1)]==guess).all() and chances.shape==(9, len(set(names)))

def test_estimator(tok):
    "Cloned, scored over folds and searched over a grid, without a wrapper."
    net = TextClassifier(tokenizer=tok, size="tiny", epochs=.5, random_state=3)
    assert clone(net).get_params().keys()==net.get_params().keys() and clone(net).random_state==3
    with pytest.raises(NotFittedError): net.predict(TEXTS)
    scores = cross_val_score(net, np.array(TEXTS), LABELS, cv=3)
    assert len(scores)==3 and all(0<=s<=1 for s in scores)
    search = GridSearchCV(net, dict(learning_rate=[1e-4, 1e-3]), cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert search.best_params_["learning_rate"] in (1e-4, 1e-3) and search.predict(TEXTS[:2]).shape==(2,)

def test_same_seed_same_answers(tok):
    "Fitting twice gives the same probabilities, fitting again starts anew, another seed gives others."
    net = TextClassifier(tokenizer=tok, size="tiny", epochs=1)
    def chances(net): return net.fit(TEXTS[:24], LABELS[:24]).predict_proba(TEXTS[:24])
    one = chances(net)
    torch.manual_seed(7)
    assert (chances(net)==one).all() and (chances(clone(net))==one).all()
    assert (chances(clone(net).set_params(random_state=1))!=one).any()

def test_its_own_tokenizer_and_a_series():
    "Without a tokenizer one is trained on the texts; a column of a table serves as `X`."
    net = TextClassifier(size="tiny", epochs=.2).fit(pd.Series(TEXTS, index=range(5, 155)), pd.Series(LABELS))
    assert len(net.predict(pd.Series(TEXTS[:3])))==3

@pytest.mark.parametrize("seeds", [1, 2])
def test_learning_curve(task, seeds):
    "A row for each method, number and seed."
    curve = learning_curve({"tfidf": tfidf()}, task, [2, 8], seeds)
    assert len(curve)==2*seeds and curve.f1.between(0, 1).all()
    assert curve[curve.labels==8].f1.mean()>.5

def test_wrong_input(run, task, tok, tmp_path):
    "One class, a text that is none, labels that were never learned, a part that is not there."
    def refused(what, f, *args, **kwargs):
        with pytest.raises(InputError, match=what) as e: f(*args, **kwargs)
        assert "\n" not in str(e.value)
    refused("two classes", TextClassifier(tokenizer=tok, size="tiny").fit, TEXTS[:3], ["a"]*3)
    model = load(run.path, "text-classification")
    refused("no text", predict, model, tok, [])
    refused("text 1 is None", predict, model, tok, ["a", None])
    other = pd.DataFrame(dict(text=TEXTS, label=LABELS)).replace("bad", "other")
    other.to_csv(tmp_path/"rows.csv", index=False)
    refused("other", evaluate, run.path, tmp_path/"rows.csv")
    refused("exam", evaluate, run.path, task, "exam")

WRONG = [dict(labels_per_class=10**6), dict(labels_per_class=0), dict(size="huge"), dict(epochs=0), dict(batch_size=0),
         dict(tokenizer=None), dict(job=TextClassification(0)), dict(job=TextClassification(1000)), dict(trains="some"),
         dict(trains="last-x"), dict(to_start=-1.)]

@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_settings(task, tok, tmp_path, wrong):
    "A wrong setting raises before the folder is made; the model has 512 positions."
    settings = dict(tokenizer=tok, size="tiny", epochs=.1) | wrong
    with pytest.raises(InputError) as e: finetune(task, tmp_path/"out", **settings)
    assert "\n" not in str(e.value) and not (tmp_path/"out").exists()

def test_texts_longer_than_the_model(run):
    "Asked for more tokens than the model has positions, `predict` says how many there are."
    with pytest.raises(InputError, match="512"):
        predict(load(run.path, "text-classification"), load_tokenizer(run.path), ["warm "*2000], max_length=1000)

def test_nothing_beside_the_run(task, tok, tmp_path, monkeypatch):
    "Fine-tuning writes into its folder, the estimator nowhere."
    monkeypatch.chdir(tmp_path)
    TextClassifier(tokenizer=tok, size="tiny", epochs=.1).fit(TEXTS, LABELS)
    assert not list(tmp_path.iterdir())
    finetune(task, "run", tokenizer=tok, size="tiny", epochs=.1)
    assert [p.name for p in tmp_path.iterdir()]==["run"]
