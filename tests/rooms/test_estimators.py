"Texts and words as scikit-learn knows them."
import dataclasses, inspect, pickle
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from plm_nb import estimators
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments
from plm_nb.estimators import TextClassifier, TokenClassifier, learning_curve, tfidf
from plm_nb.text_metrics import entity_scores
from plm_nb.tokenizer import train_tokenizer
from test_text_classification import LABELS, TEXTS, WORDS, task, tok

SAID = [t.split() for t in ("ask Dr Ada now", "Dr Bo is here", "nobody is here", "问 小 明", "now ask Dr Cy")]*5
TAGS = [["B-name" if w in ("Dr", "小") else "I-name" if i and ws[i-1] in ("Dr", "小") else "O" for i,w in enumerate(ws)] for ws in SAID]

@pytest.fixture(scope="module")
def net(): return TokenClassifier(tokenizer=train_tokenizer([" ".join(ws) for ws in SAID]), size="tiny", epochs=4, learning_rate=1e-3)

@pytest.fixture(scope="module")
def fitted(net): return clone(net).fit(SAID, TAGS)

def same(a, b): return len(a)==len(b) and all(np.allclose(x, y, atol=1e-5) for x,y in zip(a, b))

def test_contract(net):
    "`__init__` only stores; parameters go round; a clone knows nothing; before `fit` there is nothing to ask."
    names = [p for p in inspect.signature(TokenClassifier).parameters]
    new = TokenClassifier(**{n: object() for n in names})
    assert set(vars(new))==set(names)==set(net.get_params())
    assert clone(net).set_params(epochs=9).epochs==9 and net.epochs==4
    for ask in (net.predict, net.predict_proba, lambda X: net.score(X, TAGS)):
        with pytest.raises(NotFittedError): ask(SAID)

def test_probabilities_and_score(fitted):
    "An array a row, of as many rows as words; the likeliest is the prediction; the score is that of the spans."
    rows = SAID[:4]+[[], ["x"]*300]
    chances, said = fitted.predict_proba(rows), fitted.predict(rows)
    assert fitted.classes_.tolist()==["O", "B-name", "I-name"]
    for ws,c,tags in zip(rows, chances, said):
        assert c.shape==(len(ws), 3) and abs(c.sum(1)-1).max(initial=0)<1e-5
        assert fitted.classes_[c.argmax(1)].tolist()==tags and all(isinstance(t, str) for t in tags)
    assert fitted.score(SAID, TAGS)==entity_scores(TAGS, fitted.predict(SAID))["f1"]>.8
    assert fitted.score([["Dr"]], [["B-other"]])==0 # a tag that training never showed is missed
    assert fitted.predict(pd.Series(SAID[:3], index=[7, 8, 9]))==fitted.predict(SAID[:3])

def test_pickle(fitted):
    "The pickle holds files, no tensors of a device, and answers as before."
    kept = pickle.dumps(fitted)
    assert b"_rebuild_tensor" not in kept and b"torch._utils" not in kept
    again = pickle.loads(kept)
    assert same(again.predict_proba(SAID), fitted.predict_proba(SAID)) and again.classes_.tolist()==fitted.classes_.tolist()
    assert pickle.loads(pickle.dumps(clone(fitted))).get_params().keys()==fitted.get_params().keys()

def test_same_seed_same_answers(net, fitted):
    "Fitting twice gives the same, whatever torch's own generator holds; another seed gives others."
    torch.manual_seed(7)
    assert same(clone(net).fit(SAID, TAGS).predict_proba(SAID), fitted.predict_proba(SAID))
    assert not same(clone(net).set_params(random_state=1, epochs=.2).fit(SAID, TAGS).predict_proba(SAID), fitted.predict_proba(SAID))

def test_folds_and_grid(net):
    "Scored over folds and searched over a grid, without a wrapper."
    found = cross_validate(net.set_params(epochs=1), SAID, TAGS, cv=3, error_score="raise")["test_score"]
    assert len(found)==3 and all(0<=s<=1 for s in found)
    search = GridSearchCV(net, dict(learning_rate=[1e-4, 1e-3]), cv=2, error_score="raise").fit(SAID, TAGS)
    assert search.best_params_["learning_rate"] in (1e-4, 1e-3) and len(search.predict(SAID[:2]))==2
    net.set_params(epochs=4)

@pytest.mark.parametrize("X,y,what", [
    (["ask Dr Ada"], [["O"]], "row 0 of X"), ([["a", None]], [["O", "B-x"]], "row 0 of X"), ([["a"]], [["O"]], "every tag is O"),
    ([["a"]]*2, [["B-x"]], "2 lists of words but 1"), ([["a"]], [["B-x", "O"]], "row 1 has 1 words and 2 tags"), ([], [], "empty"),
    ([["a"]], [[1]], "row 0 of y")], ids=str)
def test_wrong_input(net, X, y, what):
    "A text that is not cut, a word that is none, no span, too few or too many tags: named."
    with pytest.raises(InputError, match=what) as e: clone(net).fit(X, y)
    assert "\n" not in str(e.value)

# Texts

@pytest.mark.parametrize("names", [sorted(WORDS), [7, 3, 11], ["10", "9", "x"], [True, False, True]], ids=str)
def test_labels_of_any_kind(tok, names):
    "The classes are those of `y`, of its type, and what comes back is one of them."
    y = np.array([names[sorted(WORDS).index(l)] for l in LABELS])
    net = TextClassifier(tokenizer=tok, size="tiny", epochs=.2).fit(TEXTS, y)
    guess = net.predict(TEXTS[:9])
    assert net.classes_.tolist()==sorted(set(y.tolist())) and guess.dtype==y.dtype and set(guess)<=set(names)
    chances = net.predict_proba(TEXTS[:9])
    assert (net.classes_[chances.argmax(1)]==guess).all() and chances.shape==(9, len(set(names)))

def test_folds_and_grid_of_texts(tok):
    "Cloned, scored over folds and searched over a grid, without a wrapper."
    net = TextClassifier(tokenizer=tok, size="tiny", epochs=.5, random_state=3)
    assert clone(net).get_params().keys()==net.get_params().keys() and clone(net).random_state==3
    with pytest.raises(NotFittedError): net.predict(TEXTS)
    scores = cross_val_score(net, np.array(TEXTS), LABELS, cv=3)
    assert len(scores)==3 and all(0<=s<=1 for s in scores)
    search = GridSearchCV(net, dict(learning_rate=[1e-4, 1e-3]), cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert search.best_params_["learning_rate"] in (1e-4, 1e-3) and search.predict(TEXTS[:2]).shape==(2,)

def test_same_seed_same_texts(tok):
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

# Settings

NO_PLACE = {"seed": "is random_state", "labels_per_class": "the rows are given", "eval_steps": "no validation split",
            "patience": "no validation split", "save_steps": "no folder", "save_total_limit": "no folder"}
OTHERS = dict(head_learning_rate=2e-3, weight_decay=.2, l2_sp=.3, learning_rate=1e-3, trainable="head", batch_size=5, epochs=.5,
              gradient_accumulation_steps=3, warmup=.4, dropout=.2, size="tiny", settings=dict(max_grad_norm=.7))

@pytest.mark.parametrize("kind", [TextClassifier, TokenClassifier])
def test_every_field_is_a_parameter(kind):
    "A new field of `FinetuningArguments` is a parameter of the estimators, with the same default, or stands in the list above."
    kinds = {f.name: f for f in dataclasses.fields(FinetuningArguments)}
    parameters = inspect.signature(kind).parameters
    assert set(kinds)-set(parameters)==set(NO_PLACE) and set(kinds)-set(NO_PLACE)==set(OTHERS)
    for name in set(OTHERS)-{"size"}: assert parameters[name].default==kinds[name].default, name

def test_every_setting_arrives(tok, monkeypatch):
    "What an estimator is told is what the training is told; a model has its own size."
    said = []
    monkeypatch.setattr(estimators, "fit", lambda model, rows, tokenizer, args, collator: said.append(args))
    for name,value in OTHERS.items():
        net = TextClassifier(tokenizer=tok, random_state=7, **{**dict(size="tiny"), name: value}).fit(TEXTS[:8], LABELS[:8])
        assert net.arguments()==FinetuningArguments(**{**dict(size="tiny"), name: value}, seed=7)
        assert getattr(said[-1], name)==value and said[-1].seed==7
    assert TextClassifier("a-folder").arguments().size is None

@pytest.mark.parametrize("wrong", [dict(warmup=2), dict(weight_decay=-1), dict(trainable="none"), dict(settings=dict(nothing=1)),
                                   dict(gradient_accumulation_steps=0), dict(head_learning_rate=0)], ids=str)
def test_wrong_settings(tok, wrong):
    "They are stored, as scikit-learn asks, and refused by `fit` in one line that names them."
    net = TextClassifier(tokenizer=tok, size="tiny", **wrong)
    with pytest.raises(InputError, match=next(iter(wrong)).removesuffix("tings")) as e: net.fit(TEXTS[:8], LABELS[:8])
    assert "\n" not in str(e.value) and not hasattr(net, "model_")
