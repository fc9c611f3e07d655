"`plm_nb.metrics` against scikit-learn on many random tables, and its interval against redrawn rows."
import os

import numpy as np
import pytest
from sklearn import metrics as sk

from plm_nb.data import InputError
from plm_nb.metrics import (accuracy, bootstrap, confusion, f1, matthews, plot_confusion, precision, rates, recall,
    score_metric, scores)

AVERAGES = ["macro", "micro", "weighted"]

def draw(seed, k=None, n=None):
    "Uneven random labels and predictions; some classes stay empty on either side."
    rng = np.random.default_rng(seed)
    k,n = k or rng.integers(2, 9), n or rng.integers(1, 60)
    return [rng.choice(k, n, p=rng.dirichlet(np.full(k, .5))) for _ in range(2)]

@pytest.mark.parametrize("average", AVERAGES)
def test_equal_to_sklearn(average):
    for seed in range(30):
        y,p = draw(seed)
        how = dict(average=average, zero_division=0)
        want = dict(accuracy=sk.accuracy_score(y, p), precision=sk.precision_score(y, p, **how),
            recall=sk.recall_score(y, p, **how), f1=sk.f1_score(y, p, **how))
        alone = dict(accuracy=accuracy(y, p), precision=precision(y, p, average), recall=recall(y, p, average), f1=f1(y, p, average))
        assert scores(y, p, average) == pytest.approx(want) == alone
        k = max(1, y.max(), p.max())+1
        read = rates(sk.confusion_matrix(y, p, labels=range(k)), average)
        assert {name: float(read[name]) for name in want} == pytest.approx(want)
        assert float(read["matthews"]) == pytest.approx(sk.matthews_corrcoef(y, p), abs=1e-9) == matthews(y, p)

def test_binary():
    for seed in range(20):
        y,p = draw(seed, k=2, n=30)
        want = sk.f1_score(y, p, average="binary", zero_division=0)
        read = rates(sk.confusion_matrix(y, p, labels=[0, 1]), "binary")
        assert scores(y, p, "binary")["f1"] == pytest.approx(want) == read["f1"]

def test_stack_of_matrices():
    counts = np.stack([sk.confusion_matrix(*draw(s, k=5), labels=range(5)) for s in range(20)])
    for average in AVERAGES:
        stacked = rates(counts, average)
        for i,c in enumerate(counts):
            for name,value in rates(c, average).items(): assert stacked[name][i] == pytest.approx(value)

def test_large_counts():
    counts = np.array([[10**6, 10**5], [2*10**5, 3*10**6]])
    y,p = np.repeat([0, 0, 1, 1], counts.ravel()//1000), np.repeat([0, 1, 0, 1], counts.ravel()//1000)
    assert rates(counts)["matthews"] == pytest.approx(matthews(y, p))

@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1", "matthews"])
def test_bootstrap_quick_equals_slow(name):
    y,p = draw(3, k=4, n=300)
    score = globals()[name]
    quick,slow = bootstrap(name, y, p), bootstrap(lambda a,b: score(a, b), y, p, n=150)
    assert quick == pytest.approx(slow, abs=.03)
    assert quick == bootstrap(score, y, p)

def test_bootstrap_is_fixed_by_its_seed():
    y,p = draw(5, k=3, n=100)
    np.random.seed(0); first = bootstrap("f1", y, p, seed=1)
    np.random.seed(1); assert first == bootstrap("f1", y, p, seed=1)
    assert first != bootstrap("f1", y, p, seed=2)
    low,high = bootstrap("f1", y, p, level=.5)
    assert bootstrap("f1", y, p)[0] < low < high < bootstrap("f1", y, p)[1]

def test_bootstrap_edges():
    assert bootstrap("f1", [0], [0]) == (1, 1)
    assert bootstrap("accuracy", [1]*9, [0]*9) == (0, 0)
    with pytest.raises(InputError, match="choose from"): bootstrap("f2", [0], [0])
    with pytest.raises(InputError, match="choose from"): bootstrap("f1", [0], [0], average="mean")

def test_confusion_equal_to_sklearn():
    for seed in range(30):
        y,p = draw(seed, k=6)
        table = confusion(y, p, list("abcdef"))
        assert (table.to_numpy() == sk.confusion_matrix(y, p, labels=range(6))).all()
        assert list(table.index) == list(table.columns) == list("abcdef")

def test_plot_keeps_its_axes():
    from matplotlib import pyplot as plt
    ax = plt.subplots()[1]
    assert plot_confusion(confusion([0, 1, 1], [0, 0, 1], ["a", "b"]), ax) is ax
    assert [t.get_text() for t in ax.texts] == ["1\n100%", "1\n50%", "1\n50%"]
    plt.close("all")

@pytest.mark.parametrize("labels,predictions,why", [
    ([0, 1], [0], "2 labels but 1"), ([], [], "no rows"), ([0, -100], [0, 1], "-100"),
    ([0, 1], [[.1, .9], [.5, .5]], "argmax"), ([0., 1.], [0, 1], "float64"), (["a"], ["a"], "class id")])
@pytest.mark.parametrize("score", [accuracy, precision, recall, f1, matthews, scores])
def test_bad_rows(score, labels, predictions, why):
    with pytest.raises(InputError, match=why) as e: score(labels, predictions)
    assert "\n" not in str(e.value)

@pytest.mark.parametrize("score", [precision, recall, f1, scores])
def test_bad_average(score):
    with pytest.raises(InputError, match="choose from macro"): score([0, 1], [0, 1], average="mean")
    with pytest.raises(InputError, match="binary"): score([0, 1, 2], [0, 1, 2], average="binary")

def test_evaluate_metric(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y,p = draw(7, k=4, n=50)
    metric = score_metric("weighted")
    for _ in range(2): # it can be used again
        for i in range(0, 50, 16): metric.add_batch(predictions=p[i:i+16], references=y[i:i+16])
        assert metric.compute() == scores(y, p, "weighted")
    assert not os.listdir(tmp_path)
