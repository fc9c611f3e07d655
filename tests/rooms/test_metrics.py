"`plm_nb.metrics` against scikit-learn on many random tables, and its interval against redrawn rows."
import os
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from plm_nb.files import InputError
from plm_nb.metrics import (accuracy, bootstrap, by_class, confusion, f1, matthews, plot_confusion, precision, ratio, recall,
    redraws, row_weights, score_metric, scores, weighted_mean)

AVERAGES = ["macro", "micro", "weighted"]

def draw(seed, k=None, n=None):
    "Uneven random labels and predictions; some classes stay empty on either side."
    rng = np.random.default_rng(seed)
    k,n = k or rng.integers(2, 9), n or rng.integers(1, 60)
    return [rng.choice(k, n, p=rng.dirichlet(np.full(k, .5))) for _ in range(2)]

def drawn_weights(seed, rows, n=None):
    "How often each row is drawn, `(rows,)` or `(n, rows)`."
    return np.random.default_rng(seed).multinomial(rows, np.full(rows, 1/rows), size=n)

def by_sklearn(y, p, average, weights=None):
    "Scores by scikit-learn of the rows that count; it would give the class of a row that does not count a vote."
    if weights is not None: y, p, weights = y[weights>0], p[weights>0], weights[weights>0]
    how = dict(average=average, zero_division=0, sample_weight=weights)
    return dict(accuracy=sk.accuracy_score(y, p, sample_weight=weights), precision=sk.precision_score(y, p, **how),
        recall=sk.recall_score(y, p, **how), f1=sk.f1_score(y, p, **how),
        matthews=sk.matthews_corrcoef(y, p, sample_weight=weights))

def alone(y, p, average, weights=None):
    return dict(accuracy=accuracy(y, p, weights), precision=precision(y, p, average, weights),
        recall=recall(y, p, average, weights), f1=f1(y, p, average, weights), matthews=matthews(y, p, weights))

def near(scored): return {name: pytest.approx(value, abs=1e-9) for name,value in scored.items()}

@pytest.mark.parametrize("average", AVERAGES)
def test_equal_to_sklearn(average):
    for seed in range(30):
        y,p = draw(seed)
        for weights in (None, drawn_weights(seed, len(y))):
            want = by_sklearn(y, p, average, weights)
            assert scores(y, p, average, weights)==near(want)
            assert alone(y, p, average, weights)==near(want)

def test_binary():
    for seed in range(20):
        y,p = draw(seed, k=2, n=30)
        for weights in (None, drawn_weights(seed, 30)): assert scores(y, p, "binary", weights)==near(by_sklearn(y, p, "binary", weights))

def test_thousand_random_cases():
    "Every average, either positive class, either meaning of 0/0, with weights and without."
    for seed in range(1000):
        average, zero, positive = (*AVERAGES, "binary")[seed%4], seed//4%2, seed//8%2
        y,p = draw(seed, k=2 if average=="binary" else None)
        weights = drawn_weights(seed, len(y)) if seed//16%2 else None
        kept = slice(None) if weights is None else weights>0
        w = None if weights is None else weights[kept]
        how = dict(pos_label=positive) if average=="binary" else {}
        *want, _ = sk.precision_recall_fscore_support(y[kept], p[kept], average=average, sample_weight=w, zero_division=zero, **how)
        got = scores(y, p, average, weights, positive, zero)
        assert [got["precision"], got["recall"], got["f1"]]==pytest.approx(want, abs=1e-9)
        assert got["accuracy"]==pytest.approx(np.average(y==p, weights=weights))
        if seed%5: continue
        alone = [score(y, p, average, weights, positive, zero) for score in (precision, recall, f1)]
        assert alone==pytest.approx(want, abs=1e-9)

def test_positive_class():
    y,p = draw(2, k=2, n=40)
    for score in (precision, recall, f1): assert score(y, p, "binary", positive=0)==pytest.approx(score(1-y, 1-p, "binary"))
    assert score_metric(scores, average="binary", positive=0).compute(references=y, predictions=p)==near(scores(y, p, "binary", positive=0))
    for score in (precision, recall, f1, scores):
        with pytest.raises(InputError, match="positive 2: must be 0 or 1"): score(y, p, "binary", positive=2)
        with pytest.raises(InputError, match="zero_division 0.5: must be 0 or 1"): score(y, p, zero_division=.5)
        with pytest.raises(InputError, match="found class 2"): score([0, 2], [0, 1], "binary", positive=0)

@pytest.mark.parametrize("zero", [0, 1])
def test_by_class_equal_to_classification_report(zero):
    names = ["a", "b", "macro", "d"] # a class may bear the name of an average
    for seed in range(50):
        y,p = draw(seed, k=4, n=40)
        table = by_class(y, p, names, zero)
        report = sk.classification_report(y, p, output_dict=True, zero_division=zero)
        for k,name in enumerate(names):
            want = [*report.get(str(k), dict(p=zero, r=zero, f=zero, n=0)).values()]
            assert table.iloc[k].tolist()==pytest.approx(want) and table.index[k]==name
        for row,average in zip((-3, -1), ("macro", "weighted")):
            assert table.index[row]==average
            assert table.iloc[row].tolist()==pytest.approx([*report[f"{average} avg"].values()])
        assert table.iloc[-2].tolist()==pytest.approx([report["accuracy"]]*3 + [40]) and table.index[-2]=="micro"
    with pytest.raises(InputError, match="class 3 has no name"): by_class([3], [0], ["a", "b", "c"])
    assert list(by_class([0, 1], [0, 1], ["a", "b"]).columns)==["precision", "recall", "f1", "support"]

@pytest.mark.parametrize("average", [*AVERAGES, "binary"])
def test_many_weights_at_once(average):
    "A matrix of weights gives what its rows give one by one, whole numbers or not."
    y,p = draw(0, k=2 if average=="binary" else 5, n=50)
    for weights in (drawn_weights(1, 50, n=20), np.random.default_rng(2).random((20, 50))):
        at_once = scores(y, p, average, weights)
        for i,row in enumerate(weights):
            assert {name: values[i] for name,values in at_once.items()}==near(by_sklearn(y, p, average, row))

def test_weights_are_rows_written_out():
    y,p = draw(4, k=4, n=40)
    weights = drawn_weights(5, 40)
    assert scores(y, p, weights=weights)==near(scores(np.repeat(y, weights), np.repeat(p, weights)))

def test_a_class_that_is_not_drawn_has_no_vote():
    y,p,weights = [0, 0, 1], [0, 0, 0], [1, 1, 0]
    assert f1(y, p, weights=weights)==scores(y, p, weights=weights)["f1"]==1
    assert sk.f1_score(y, p, average="macro", sample_weight=weights, zero_division=0)==.5

def test_plain_numbers():
    "Scores go into a JSON file: they are floats of Python, not of NumPy."
    y,p = draw(6, k=3, n=20)
    for scored in (scores(y, p), alone(y, p, "macro"), bootstrap(lambda w: scores(y, p, weights=w), 20, n=10)):
        assert {type(value) for value in scored.values()}=={float}

def test_large_counts():
    y,p = np.repeat([0, 0, 1, 1], [1000, 100, 200, 3000]), np.repeat([0, 1, 0, 1], [1000, 100, 200, 3000])
    assert scores(y, p, weights=np.full(len(y), 1000))["matthews"]==pytest.approx(sk.matthews_corrcoef(y, p))

def test_weighted_mean_and_ratio():
    rng = np.random.default_rng(7)
    values, weights = rng.normal(size=30), rng.random((5, 30))
    assert weighted_mean(values)==pytest.approx(values.mean())
    assert weighted_mean(values, weights)==pytest.approx([np.average(values, weights=row) for row in weights])
    assert ratio(np.array([1, 0, 3]), np.array([2, 0, 0])).tolist()==[.5, 0, 0]
    assert ratio(np.float64(1), np.float64(0)).tolist()==0
    assert ratio(np.array([1, 2]), 4).tolist()==[.25, .5]

@pytest.mark.parametrize("weights,why", [
    ([1, 2], "must be 3"), ([[1], [2], [3]], "must be 3"), (2., "must be 3"), ([1, -1, 1], "-1; must be 0 or more"),
    ([1, np.nan, 1], "nan; must be 0 or more"), ([0, 0, 0], "all 0"), ([[1, 1, 1], [0, 0, 0]], "all 0")])
def test_bad_weights(weights, why):
    with pytest.raises(InputError, match=why): row_weights(weights, 3)
    with pytest.raises(InputError, match=why): weighted_mean([1., 2., 3.], weights)
    with pytest.raises(InputError, match=why): scores([0, 1, 1], [0, 1, 0], weights=weights)
    with pytest.raises(InputError, match=why): f1([0, 1, 1], [0, 1, 0], weights=weights)

def test_one_score_takes_one_set_of_weights():
    for score in (accuracy, precision, recall, f1, matthews):
        with pytest.raises(InputError, match="several sets"): score([0, 1], [0, 1], weights=[[1, 1], [1, 2]])

@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1", "matthews"])
def test_bootstrap_of_weights_equals_redrawn_rows(name):
    y,p = draw(3, k=4, n=300)
    score, rng = globals()[name], np.random.default_rng(0)
    ends = bootstrap(lambda weights: scores(y, p, weights=weights), 300)
    rows = [rng.integers(300, size=300) for _ in range(150)]
    slow = np.quantile([score(y[i], p[i]) for i in rows], [.025, .975])
    assert [ends[f"{name}_low"], ends[f"{name}_high"]]==pytest.approx(slow.tolist(), abs=.03)

def test_bootstrap_is_fixed_by_its_seed():
    y,p = draw(5, k=3, n=100)
    def interval(**settings): return [*bootstrap(lambda w: dict(f1=scores(y, p, weights=w)["f1"]), 100, **settings).values()]
    np.random.seed(0); first = interval(seed=1)
    np.random.seed(1); assert first==interval(seed=1)
    assert first!=interval(seed=2)
    low,high = interval(level=.5)
    assert interval()[0] < low < high < interval()[1]

def test_bootstrap_in_blocks():
    "Many rows are redrawn in blocks that fit into memory; every redraw is scored once, and the draws are the same."
    sizes = []
    def score(weights):
        sizes.append(weights.shape)
        return dict(mean=weighted_mean(np.arange(2**21), weights), rows=2**21, how="a text")
    ends = bootstrap(score, 2**21, n=6)
    assert sizes==[(2, 2**21)]*3 and list(ends)==["mean_low", "mean_high"]
    assert ends["mean_low"] < 2**20 < ends["mean_high"]

def test_bootstrap_edges():
    def interval(y, p): return bootstrap(lambda weights: scores(y, p, weights=weights), len(y))
    assert interval([0], [0])["f1_low"]==interval([0], [0])["f1_high"]==1
    assert interval([1]*9, [0]*9)["accuracy_low"]==interval([1]*9, [0]*9)["accuracy_high"]==0
    with pytest.raises(InputError, match="at least 1 row"): bootstrap(lambda weights: {}, 0)
    with pytest.raises(InputError, match="choose from"): bootstrap(lambda w: scores([0], [0], "mean", w), 1)

def mean_of(values, **settings):
    "Interval of the mean of `values`, and the redraws it was read from."
    drawn = []
    def score(weights):
        drawn.extend(weighted_mean(values, weights))
        return dict(mean=weighted_mean(values, weights))
    ends = bootstrap(score, len(values), **settings)
    return [*ends.values()], np.array(drawn[:settings.get("n", 1000)])

def test_groups_are_drawn_whole():
    groups = np.array(list("cabca"))
    for weights in redraws(5, n=200, groups=groups):
        assert (weights[:, 0]==weights[:, 3]).all() and (weights[:, 1]==weights[:, 4]).all()
        assert (weights[:, :3].sum(1)==3).all()
    assert np.array_equal(next(redraws(5, groups=list("vwxyz"))), next(redraws(5)))

@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_copies_of_a_row_are_no_news(method):
    "Rows written ten times have the interval of the rows, if copies are a group; any ids and any order will do."
    values = np.random.default_rng(0).exponential(size=50)
    want, _ = mean_of(values, method=method)
    groups = [f"document {i}" for i in range(50)]*10
    assert mean_of(np.tile(values, 10), groups=groups, method=method)[0]==pytest.approx(want)
    assert np.diff(mean_of(np.tile(values, 10), method=method)[0])<np.diff(want)/2

@pytest.mark.parametrize("settings,why", [
    (dict(groups=[1, 2]), r"shape \(2,\); give an id for each of 3"), (dict(groups=[[1], [2], [3]]), "shape"),
    (dict(groups=["a", None, "b"]), "row 2 has no id"), (dict(groups=[1, float("nan"), 2]), "row 2 has no id"),
    (dict(groups=["a"]*3), "all are 'a'"), (dict(method="basic"), "choose percentile or bca"),
    (dict(level=95), "level 95"), (dict(n=0), "n 0")])
def test_bootstrap_settings(settings, why):
    with pytest.raises(InputError, match=why) as e: mean_of([1., 2., 3.], **settings)
    assert "\n" not in str(e.value)

def scipy_bca(values, statistic, drawn, level=.95):
    "The interval that scipy reads from the redraws `drawn`."
    given = stats._resampling.BootstrapResult(None, drawn, None)
    made = stats.bootstrap((values,), statistic, n_resamples=0, bootstrap_result=given, method="BCa", confidence_level=level)
    return [*made.confidence_interval]

@pytest.mark.parametrize("level", [.8, .95])
def test_bca_equal_to_scipy(level):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for values in (rng.normal(size=30), rng.exponential(size=80), rng.random(60)<.9):
            got, drawn = mean_of(values, n=500, level=level, method="bca")
            assert got==pytest.approx(scipy_bca(values*1., np.mean, drawn, level), abs=1e-9)

def test_bca_of_many_rows_leaves_out_parts():
    "From 1,000 rows on a part is left out instead of a row, and the ends are nearly the same."
    values = np.random.default_rng(0).exponential(size=3000)**2
    got, drawn = mean_of(values, n=500, method="bca")
    assert got==pytest.approx(scipy_bca(values, np.mean, drawn), rel=.003)
    assert np.abs(np.array(got)-mean_of(values, n=500)[0]).max() > .01

def test_bca_keeps_to_blocks():
    sizes = []
    def score(weights):
        sizes.append(weights.size)
        return dict(mean=weighted_mean(np.arange(2**14)<100, weights))
    bootstrap(score, 2**14, n=10, method="bca")
    assert max(sizes)<=2**22 and len(sizes)==1+1+4 and sum(sizes[2:])==1000*2**14

def test_bca_undefined():
    "The percentiles stay where no redraw differs, or all are on one side of the score."
    for values in ([1.]*9, [.5]): assert mean_of(values, method="bca")[0]==mean_of(values)[0]
    def one_sided(weights): return dict(low=[0. if (row==1).all() else 1+row[0]/9 for row in weights])
    assert bootstrap(one_sided, 40, method="bca")==bootstrap(one_sided, 40)

@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_a_redraw_without_a_score_is_left_out(method):
    values = np.array([1., 2., 3., 4.])
    def score(weights):
        means = [np.average(values, weights=row) if row[0] else np.nan for row in weights]
        return dict(mean=means, never=[np.nan]*len(weights))
    with warnings.catch_warnings(action="error"): ends = bootstrap(score, 4, method=method)
    assert [*ends]==["mean_low", "mean_high"] and 1<=ends["mean_low"]<ends["mean_high"]<=3.25

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
    metric = score_metric(scores, average="weighted")
    for _ in range(2): # it can be used again
        for i in range(0, 50, 16): metric.add_batch(predictions=p[i:i+16], references=y[i:i+16])
        assert metric.compute() == near(scores(y, p, "weighted"))
    assert not os.listdir(tmp_path)

@pytest.mark.parametrize("score", [accuracy, precision, recall, f1, matthews])
def test_one_number_as_an_evaluate_metric(score):
    "Whatever returns one number bears its name there."
    y,p = draw(8, k=3, n=40)
    assert score_metric(score).compute(references=y, predictions=p)=={score.__name__: pytest.approx(score(y, p))}
    with pytest.raises(InputError, match="is no class"): score_metric(score).compute(references=[-1], predictions=[0])
