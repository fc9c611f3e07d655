"`plm_nb.selection`: rows that belong together, folds that keep them so, searches that are scored, halving over pretraining runs."
import json
from hashlib import md5
from itertools import combinations
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_score
from plm_nb import selection
from plm_nb.contamination import word_ngrams
from plm_nb.data import normalize
from plm_nb.estimators import TextClassifier, TokenClassifier, tfidf
from plm_nb.files import InputError
from plm_nb.pretraining import PretrainingArguments
from plm_nb.selection import _alike, folds, groups_of, halve, parse_grid, plot_search, search
from plm_nb.tokenizer import train_tokenizer

WORDS = "the cat sat on a mat and the dog lay by the door while it rained all day long".split()

def near_copies(seed, n=60):
    "Random texts, of which many are copies of an earlier one: equal, in other letters, or with a few words changed."
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(n):
        words = list(rng.choice(WORDS, rng.integers(1, 14)))
        if texts and rng.random()<.5: words = texts[rng.integers(len(texts))].split()
        for _ in range(rng.integers(3)): words[rng.integers(len(words))] = rng.choice(WORDS)
        texts.append("  ".join(words).upper() if rng.random()<.3 else " ".join(words))
    return texts

def same_parts(a, b): return len(set(zip(a, b)))==len(set(a))==len(set(b))

# Groups

@pytest.mark.parametrize("seed", range(5))
def test_groups_as_by_pairs(seed):
    "The same groups as comparing every pair, with and without documents; numbered as they appear."
    texts = near_copies(seed)
    documents = np.random.default_rng(seed).integers(40, size=len(texts))
    grams = [word_ngrams(text, 5) for text in texts]
    for given in (None, documents):
        expected = np.arange(len(texts))
        for i,j in combinations(range(len(texts)), 2):
            shorter = min(len(grams[i]), len(grams[j]))
            alike = shorter and 2*len(grams[i] & grams[j])>=shorter
            one_document = given is not None and given[i]==given[j]
            if normalize(texts[i])==normalize(texts[j]) or alike or one_document:
                expected[expected==expected[j]] = expected[i]
        found = groups_of(texts, given)
        assert same_parts(found.tolist(), expected.tolist()) and 1<len(set(found))<len(texts)
        assert found.dtype==np.int64 and pd.unique(found).tolist()==list(range(found.max()+1))

@pytest.mark.parametrize("block", [1, 7, 60])
def test_pairs_in_blocks(block):
    "How many texts are compared at once changes nothing."
    texts = sorted(set(map(normalize, near_copies(0))))
    assert {*zip(*_alike(texts, block=block))}=={*zip(*_alike(texts))}

def test_groups_of_other_rows():
    "Chinese without spaces, pairs of texts, lists of words, empty texts, a column of a table."
    assert groups_of(["我 喜欢吃苹果和梨", "我喜欢吃苹果和桃", "他不在家"]).tolist()==[0, 0, 1]
    pairs = [("one question", "a"), ("one question", "b"), ("One  question", "A")]
    assert groups_of(pairs).tolist()==[0, 1, 0]
    assert groups_of([["Ask", "Ada"], ["ask", "ada"], ["Bo"]]).tolist()==[0, 0, 1]
    assert groups_of(["", " ", "x"]).tolist()==[0, 0, 1]
    assert groups_of(pd.Series(["a", "b", "a"], index=[5, 6, 7]), pd.Series(["x", "y", "y"])).tolist()==[0, 0, 0]

@pytest.mark.parametrize("texts,documents,what", [
    ([], None, "no texts"), ("one text", None, "one string"), (["a", None], None, "row 2 of the texts"),
    (["a", "b"], [1], "2 texts but 1 documents"), (["a", "b"], [1, None], "documents: row 2 has no id")], ids=str)
def test_groups_of_wrong_rows(texts, documents, what):
    with pytest.raises(InputError, match=what) as e: groups_of(texts, documents)
    assert "\n" not in str(e.value)

# Folds

@pytest.mark.parametrize("seed", range(8))
def test_folds(seed):
    "Each row is scored once, no group is split, each fold has about its share of each class; the same seed, the same folds."
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(2, 6)), 120
    labels = rng.choice(["a", "b", "c"], n, p=[.5, .3, .2])
    texts, documents = [f"text {i}" for i in range(n)], rng.integers(50, size=n)
    groups = groups_of(texts, documents)
    cuts = folds(texts, labels, k, seed, documents)
    assert np.sort(np.concatenate([test for _,test in cuts])).tolist()==list(range(n)) and len(cuts)==k
    for train,test in cuts:
        assert not set(groups[train]) & set(groups[test]) and len(train)+len(test)==n
        for label in "abc": assert abs((labels[test]==label).sum() - (labels==label).sum()/k)<=6
    again = folds(texts, labels.tolist(), k, seed, documents)
    assert all((a[1]==b[1]).all() for a,b in zip(cuts, again))

@pytest.mark.parametrize("labels,k,what", [
    ("aabb", 3, "folds 3: class 'a' has only 2 groups"), ("aabb", 1, "folds 1: give 2 or more"), ("aabb", 2.5, "folds 2.5"),
    ("aab", 2, "4 texts but 3 labels"), ([.5, 1.5, 2.5, .5], 2, "labels: row 1 has 0.5"), ([["O"]]*4, 2, "labels: row 1")], ids=str)
def test_wrong_folds(labels, k, what):
    with pytest.raises(InputError, match=what) as e: folds(["w", "x", "y", "z"], labels, k)
    assert "\n" not in str(e.value)

# Search

class Guess(ClassifierMixin, BaseEstimator):
    "Answers 0 or 1 by a hash of text and `salt`, whatever it was taught."
    def __init__(self, salt=0): self.salt = salt
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self
    def predict(self, X): return np.array([md5(f"{self.salt} {text}".encode()).digest()[0]%2 for text in X])

NAMED = [f"row number {i}" for i in range(60)]

def test_noise():
    "Twenty settings that guess: the naive score is above chance in all of ten draws of the labels, the nested one is at chance in the mean."
    found = [search(Guess(), dict(salt=list(range(20))), NAMED, np.random.default_rng(i).integers(2, size=60), 3, 2, seed=i,
                    scoring="accuracy") for i in range(10)]
    naive, nested = np.array([(o.naive, o.nested) for o in found]).T
    assert naive.min()>.55 and abs(nested.mean()-.5)<.07 and (naive-nested).mean()>.08
    assert sum(o.nested_low<=.5<=o.nested_high for o in found)>=8

def test_what_a_search_says():
    "The naive score is the best of the table; the nested one is the mean over the folds, its interval that of Student."
    labels = [i%2 for i in range(60)]
    found = search(Guess(), dict(salt=list(range(10))), NAMED, labels, folds=4, inner=2, scoring="accuracy")
    assert found.naive==found.table["mean"].max() and found.table.salt.tolist()==list(range(10)) and len(found.chosen)==4
    best = found.table.sort_values("mean", kind="stable", ascending=False).iloc[0]
    assert found.best==dict(salt=int(best.salt)) and found.nested==pytest.approx(found.chosen.outer.mean())
    for (train,test),row in zip(folds(NAMED, labels, 4), found.chosen.itertuples()):
        assert row.outer==Guess(row.salt).fit(NAMED, labels).score(np.take(NAMED, test), np.take(labels, test))
        inner = folds(np.take(NAMED, train), np.take(labels, train), 2)
        assert row.inner==cross_val_score(Guess(row.salt), np.take(NAMED, train), np.take(labels, train), cv=inner).mean()
    low, high = stats.t.interval(.95, 3, found.nested, stats.sem(found.chosen.outer))
    assert (found.nested_low, found.nested_high)==pytest.approx((low, high))
    assert "naive" in found._repr_markdown_() and plot_search(found).get_xlabel().startswith("accuracy")

def test_one_setting_is_plain_cross_validation():
    labels = [f"class {i%3}" for i in range(60)]
    for scoring in ("f1_macro", "matthews_corrcoef", "neg_log_loss"):
        found = search(tfidf(), dict(logisticregression__C=[3]), NAMED, labels, 3, 2, scoring=scoring)
        plain = cross_val_score(tfidf().set_params(logisticregression__C=3), NAMED, labels, cv=folds(NAMED, labels, 3), scoring=scoring)
        assert found.naive==pytest.approx(plain.mean()) and found.nested==pytest.approx(plain.mean())

def test_settings_drawn():
    "So many as asked for, the same for the same seed, from lists or distributions; `best` can be written as JSON."
    grid = dict(salt=stats.randint(0, 1000))
    found, again, other = (search(Guess(), grid, NAMED, [0, 1]*30, 3, 2, 5, seed, "accuracy") for seed in (1, 1, 2))
    assert found.table.salt.tolist()==again.table.salt.tolist()!=other.table.salt.tolist() and len(found.table)==5
    assert json.loads(json.dumps(found.best))==found.best

def rows(n, **own):
    features = Features(text=Value("string"), label=ClassLabel(names=["a", "b"]))
    return Dataset.from_dict(dict(text=NAMED[:n], label=[0, 1]*(n//2)), features=features, **own)

def test_only_train_is_read():
    "The validation and test splits of a data set are not touched, and documents are those of its rows."
    class Guarded(DatasetDict):
        def __getitem__(self, name):
            assert name=="train", f"looked at {name}"
            return super().__getitem__(name)
    data = Guarded(train=rows(40), validation=rows(20), test=rows(20))
    found = search(Guess(), dict(salt=[1, 2]), data, folds=3, inner=2, documents=[i//4 for i in range(40)])
    assert found.table.equals(search(Guess(), dict(salt=[1, 2]), NAMED[:40], [0, 1]*20, 3, 2, documents=[i//4 for i in range(40)]).table)

@pytest.mark.parametrize("given", [
    lambda: DatasetDict(test=rows(20)), lambda: rows(20, split="test"), lambda: rows(20, split="test")["text"],
    lambda: rows(40, split="test").select(range(20))], ids=["splits", "rows", "column", "some"])
def test_a_test_split_is_refused(given):
    for y in (None, [0, 1]*10):
        with pytest.raises(InputError, match="a search does not look at the test split; give train"):
            search(Guess(), dict(salt=[1]), given(), y)

@pytest.mark.parametrize("how,what", [
    (dict(grid={}), "no setting"), (dict(grid=dict(sal=[1])), "search sal: unknown; did you mean salt?"), (dict(y=None), "y is missing"),
    (dict(scoring="f1_makro"), "scoring f1_makro: unknown; did you mean f1_macro"), (dict(inner=40), "inner 40: class 0 has"),
    (dict(folds=40), "folds 40"), (dict(n_iter=0), "n_iter 0"), (dict(seed=-1), "seed -1"), (dict(y=[0, 1]), "60 texts but 2 labels"),
    (dict(documents=[0]*60), "folds 5: class 0 has only 1 groups")], ids=str)
def test_wrong_search(how, what):
    with pytest.raises(InputError) as e: search(**{**dict(estimator=Guess(), grid=dict(salt=[1]), X=NAMED, y=[0, 1]*30), **how})
    assert what in str(e.value) and "\n" not in str(e.value)

def test_a_language_model_is_searched():
    "Pairs of texts, names of classes, settings of fine-tuning."
    pairs = [(f"sun {i}" if i%2 else f"snow {i}", "and so on") for i in range(16)]
    tokenizer = train_tokenizer([" ".join(pair) for pair in pairs])
    net = TextClassifier(tokenizer=tokenizer, size="tiny", epochs=.5)
    found = search(net, parse_grid(net, dict(warmup="0,.5")), pairs, ["cold", "warm"]*8, 2, 2)
    assert set(found.best)=={"warmup"} and 0<=found.nested<=1

# Settings as text

@pytest.mark.parametrize("typed,read", [
    (dict(epochs="2,5"), dict(epochs=[2, 5])), ({"l2-sp": "0, .1"}, dict(l2_sp=[0, .1])), (dict(learning_rate="1e-4"), dict(learning_rate=[1e-4])),
    (dict(trainable="head,last-2"), dict(trainable=["head", "last-2"])), (dict(epochs=["2", "5"]), dict(epochs=[2, 5])),
    (dict(size="tiny", batch_size="8"), dict(size=["tiny"], batch_size=[8])), (dict(model="a,7"), dict(model=["a", "7"])),
    (dict(max_length="16,32", random_state="0,1"), dict(max_length=[16, 32], random_state=[0, 1]))], ids=str)
def test_parse_grid(typed, read):
    assert parse_grid(TextClassifier(), typed)==parse_grid(TokenClassifier(), typed)==read

def test_parse_grid_of_a_pipeline():
    typed = dict(logisticregression__C=".1,1", logisticregression__fit_intercept="true,false", tfidfvectorizer__analyzer="word,char")
    read = dict(logisticregression__C=[.1, 1], logisticregression__fit_intercept=[True, False], tfidfvectorizer__analyzer=["word", "char"])
    assert parse_grid(tfidf(), typed)==read
    for typed,what in ((dict(C="1"), "did you mean logisticregression__C"), (dict(tfidfvectorizer__ngram_range="1"), "search it in Python"),
                       (dict(logisticregression__fit_intercept="maybe"), "'maybe' is not true or false")):
        with pytest.raises(InputError, match=what): parse_grid(tfidf(), typed)

@pytest.mark.parametrize("typed,what", [
    (dict(epoch="2"), "search epoch: unknown; did you mean epochs"), (dict(epochs="two"), "search epochs: 'two' is not a number"),
    (dict(batch_size="2.5"), "search batch_size: '2.5' is not a whole number"), (dict(epochs="2,,5"), "search epochs: '' is not a number"),
    (dict(epochs="-1"), "epochs -1"), (dict(epochs="nan"), "epochs nan"), (dict(trainable="tail"), "trainable 'tail'"),
    (dict(settings="a"), "search settings: its values cannot be written in a shell"), ({}, "no setting"), (dict(zz="1"), "choose from batch_size"),
    (dict(warmup="7"), "warmup 7")], ids=str)
def test_parse_wrong_grid(typed, what):
    with pytest.raises(InputError) as e: parse_grid(TextClassifier(), typed)
    assert what in str(e.value) and "\n" not in str(e.value)

def test_the_size_of_a_model_is_not_searched():
    with pytest.raises(InputError, match="search size: of random weights"): parse_grid(TextClassifier("a-folder"), dict(size="tiny,mini"))

# Halving

def causal(rate=1e-3, **own): return PretrainingArguments(objective="clm", arch="gpt2", size="tiny", block_size=32, learning_rate=rate, **own)

@pytest.mark.parametrize("n,keep,rungs", [(2, 1/3, [2]), (3, 1/3, [3]), (4, 1/3, [4]), (5, 1/3, [5, 2]), (9, 1/3, [9, 3]), (27, 1/3, [27, 9, 3]),
                                          (8, 1/2, [8, 4, 2]), (3, .9, [3, 2])])
def test_rungs(n, keep, rungs, monkeypatch, tmp_path):
    "How many are trained on each rung, for how many steps, and that the best of them stay."
    def loss(out): return int(out.name[1:])%7 + 1/(1+int(out.parent.name[5:]))
    def pretrain(corpus, tokenizer, out, args, resume):
        return SimpleNamespace(record=dict(results=dict(validation=dict(loss=9., bits_per_byte=loss(out)))))
    monkeypatch.setattr(selection, "pretrain", pretrain)
    table = halve(None, None, {f"c{i}": causal() for i in range(n)}, tmp_path, 10, keep)
    assert table.groupby("rung").size().tolist()==rungs
    assert [some.steps.unique().tolist() for _,some in table.groupby("rung")]==[[round(10/keep**i)] for i in range(len(rungs))]
    for i,some in table.groupby("rung"):
        assert some[some.kept].loss.max()<=some[~some.kept].loss.min()
        assert set(table[table.rung==i+1].name)==(set(some[some.kept].name) if i+1<len(rungs) else set())
    assert table[table.rung==len(rungs)-1].kept.sum()==1

def test_halving_goes_on(monkeypatch, tmp_path):
    "Broken off in the third run: the first two are taken as they are, and the table is that of one that was not."
    rng = np.random.default_rng(0)
    def texts(n): return Dataset.from_dict(dict(text=[" ".join(rng.choice(WORDS, 40)) for _ in range(n)]))
    corpus = DatasetDict(train=texts(40), validation=texts(4))
    tokenizer = train_tokenizer(corpus["train"]["text"], "wordpiece", 60)
    candidates = dict(slow=causal(1e-5), fast=causal(1e-2), middle=causal(1e-3))
    def broken(corpus, tokenizer, out, args, resume):
        if out.name=="middle": raise InputError("out of luck")
        return pretrain(corpus, tokenizer, out, args, resume)
    pretrain = selection.pretrain
    monkeypatch.setattr(selection, "pretrain", broken)
    with pytest.raises(InputError, match="candidate middle: out of luck"): halve(corpus, tokenizer, candidates, tmp_path/"a", 2)
    monkeypatch.setattr(selection, "pretrain", pretrain)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("a/*/*/MANIFEST.json")}
    assert len(done)==2
    table = halve(corpus, tokenizer, candidates, tmp_path/"a", 2)
    assert all(path.stat().st_mtime_ns==time for path,time in done.items())
    pd.testing.assert_frame_equal(table, halve(corpus, tokenizer, candidates, tmp_path/"b", 2))
    assert table.loss.notna().all() and table[table.kept].loss.tolist()==[table.loss.min()]

@pytest.mark.parametrize("other,what", [
    (dict(objective="mlm"), "objective mlm, not clm"), (dict(objective="clm", documents="lines"), "documents lines, not packed")], ids=str)
def test_losses_that_do_not_compare(other, what, tmp_path):
    with pytest.raises(InputError, match=what): halve(None, None, dict(a=causal(), b=PretrainingArguments(**other)), tmp_path, 5)
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize("one,other,what", [
    (dict(), dict(block_size=64), "block_size 64, not 128"), (dict(), dict(mlm_probability=.15), "mlm_probability 0.15, not 0.3"),
    (dict(), dict(documents="rows"), "documents rows, not packed"), (dict(objective="denoise"), dict(objective="denoise", arch="bart"), "arch bart, not t5"),
    (dict(block_size=128, mlm_probability=(.5, .3)), dict(arch="roberta", learning_rate=1e-4, size="mini", seed=3), None)], ids=str)
def test_losses_of_masked_models(one, other, what, monkeypatch, tmp_path):
    "They compare where the same positions are hidden, whatever the architecture, size, rate or seed."
    monkeypatch.setattr(selection, "pretrain", lambda *given, **how: SimpleNamespace(record=dict(results=dict(validation=dict(loss=1.)))))
    both = dict(a=PretrainingArguments(**one), b=PretrainingArguments(**other))
    if what is None: assert halve(None, None, both, tmp_path, 5).loss.tolist()==[1, 1]
    else:
        with pytest.raises(InputError, match=what): halve(None, None, both, tmp_path, 5)

@pytest.mark.parametrize("how,what", [
    (dict(candidates=dict(a=causal())), "1 candidates"), (dict(candidates={"a/b": causal(), "c": causal()}), "candidate 'a/b'"),
    (dict(candidates=dict(a=causal(), b=causal(steps=3))), "candidate b: .*leave its budget out"), (dict(keep=0), "keep 0"),
    (dict(keep=1), "keep 1"), (dict(keep=2), "keep 2"), (dict(steps=0), "steps 0"), (dict(steps=1.5), "steps 1.5")], ids=str)
def test_wrong_halving(how, what, tmp_path):
    with pytest.raises(InputError, match=what) as e:
        halve(**{**dict(corpus=None, tokenizer=None, candidates=dict(a=causal(), b=causal()), out=tmp_path, steps=5), **how})
    assert "\n" not in str(e.value)

@pytest.mark.parametrize("where", ["embedded", "a file"])
def test_a_test_split_is_known_by_its_name(where, tmp_path):
    "Rows that were read as the test split are refused, as rows and as a column of texts."
    from plm_nb.pipelines import load_task
    if where=="embedded": found = load_task("docs-package")
    else:
        rows = [dict(text=f"text {i}", label="ab"[i%2]) for i in range(8)]
        found = load_task(dict(train=rows, test=rows))
    with pytest.raises(InputError, match="does not look at the test split"):
        search(tfidf(), dict(logisticregression__C=[1, 10]), found["test"], folds=2, inner=2)
