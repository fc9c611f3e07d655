"`plm_nb.calibration` against scikit-learn on a thousand random cases for each number, and what must not change it."
import warnings

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.special import softmax
from sklearn import metrics as sk
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from plm_nb.calibration import (auc, average_precision, best_threshold, calibration_error, plot_precision_recall,
    plot_reliability, reliability, score_steps, temperature)
from plm_nb.files import InputError
from plm_nb.metrics import bootstrap

def ranked(seed):
    "Random labels of both classes, scores with many ties, and weights, of which some are 0."
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 60)
    labels = rng.permutation(np.arange(n) < rng.integers(1, n)).astype(int)
    scores = rng.integers(-4, 5, n)/rng.choice([1, 3, 7]) if seed%3 else rng.normal(size=n)
    weights = rng.integers(0, 4, n) if seed%2 else rng.random(n)
    weights[labels.argmax()], weights[labels.argmin()] = 1, 1
    return labels, scores, weights

def judged(seed):
    "Random confidences, of which some lie on the edge of a bin, and whether the answers were right."
    rng = np.random.default_rng(seed)
    n, bins = rng.integers(1, 80), rng.integers(1, 21)
    confidence = rng.random(n)
    confidence[::5] = rng.integers(0, bins+1, len(confidence[::5]))/bins
    return rng.random(n)<confidence, confidence, int(bins), rng.integers(0, 4, n)+(np.arange(n)==0)

def logits_and_labels(seed, rows=200, classes=4):
    "Logits that are too large by some factor, and labels drawn from what they should say."
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes))*2
    labels = [rng.choice(classes, p=p) for p in softmax(logits, 1)]
    return logits*rng.choice([.3, 1, 4]), np.array(labels)

def test_ranks_equal_to_sklearn():
    for seed in range(1000):
        labels, scores, weights = ranked(seed)
        w = weights if seed//3%2 else None
        assert auc(labels, scores, w)==pytest.approx(sk.roc_auc_score(labels, scores, sample_weight=w), abs=1e-9)
        want = sk.average_precision_score(labels, scores, sample_weight=w)
        assert average_precision(labels, scores, w)==pytest.approx(want, abs=1e-9)

@pytest.mark.parametrize("score", [auc, average_precision])
def test_many_weights_at_once(score):
    "A matrix of weights gives what its rows give one by one; weights are rows written out."
    labels, scores, _ = ranked(7)
    weights = np.random.default_rng(0).integers(1, 4, (20, len(labels)))
    at_once = score(labels, scores, weights)
    assert at_once==pytest.approx([score(labels, scores, row) for row in weights])
    assert at_once[0]==pytest.approx(score(np.repeat(labels, weights[0]), np.repeat(scores, weights[0])))
    assert {type(x) for x in at_once}=={type(score(labels, scores))}=={float}

def test_only_the_order_counts():
    labels, scores, weights = ranked(5)
    for changed in (3*scores-7, np.exp(scores), scores.astype("float32")):
        for score in (auc, average_precision): assert score(labels, changed, weights)==score(labels, scores, weights)
    assert auc(1-labels, -scores, weights)==pytest.approx(auc(labels, scores, weights))
    assert auc(labels, -scores, weights)==pytest.approx(1-auc(labels, scores, weights))

def test_a_lost_class():
    "A redraw without one class has no AUC, one without class 1 no average precision; `bootstrap` leaves both out."
    labels, scores = [1, 0, 0, 0], [.4, .3, .5, .2]
    weights = [[1, 1, 1, 1], [0, 2, 1, 1], [4, 0, 0, 0]]
    assert auc(labels, scores, weights)==pytest.approx([2/3, np.nan, np.nan], nan_ok=True)
    assert average_precision(labels, scores, weights)==pytest.approx([1/2, np.nan, 1], nan_ok=True)
    for method in ("percentile", "bca"):
        with warnings.catch_warnings(action="error"): ends = bootstrap(lambda w: dict(auc=auc(labels, scores, w)), 4, method=method)
        assert 0<=ends["auc_low"]<ends["auc_high"]<=1
    for weights in (None, [0, 1, 1, 1], [1, 0, 0, 0]):
        with pytest.raises(InputError, match="rows of both"): auc([1]*4 if weights is None else labels, scores, weights)

@pytest.mark.parametrize("labels,scores,why", [
    ([0, 1], [.5], r"shape \(1,\) for labels \(2,\)"), ([0, 1], [.5, np.nan], "finite"), ([0, 1], [.5, np.inf], "finite"),
    ([0, 1, 2], [.1, .2, .3], r"classes \[0, 1, 2\]"), ([0, -100, 1], [.1, .2, .3], "rows of both"), ([], [], "rows of both"),
    ([0, 1], [[.2, .8], [.6, .4]], "one finite number a row"), ([[0, 1]]*2, [[.2, .8], [.6, .4]], "one finite number a row")])
@pytest.mark.parametrize("score", [auc, average_precision, best_threshold, score_steps, plot_precision_recall])
def test_bad_ranks(score, labels, scores, why):
    with pytest.raises(InputError, match=why) as e: score(labels, scores)
    assert "\n" not in str(e.value)
    plt.close("all")

def test_thresholds_equal_to_sklearn():
    "The threshold reaches the highest score of all, and is the highest that does."
    for seed in range(1000):
        labels, scores, _ = ranked(seed)
        tn, fp, fn, tp, thresholds = sk.confusion_matrix_at_thresholds(labels, scores)
        apart = (tp+fp)*(tp+fn)*(tn+fp)*(tn+fn)
        values = dict(f1=2*tp/(2*tp+fp+fn), accuracy=tp+tn,
                      matthews=np.divide(tp*tn-fp*fn, np.sqrt(apart), out=np.zeros(len(tp)), where=apart>0))
        for name,value in values.items():
            found = best_threshold(labels, scores, name)
            at = [*thresholds].index(found)
            assert value[at]==pytest.approx(value.max()) and (value[:at] < value.max()).all()
    assert best_threshold(labels, scores)==best_threshold(labels, scores, "f1")

def test_threshold_of_large_counts():
    labels, scores = np.repeat([1, 1, 0, 0], 100_000), np.repeat([.9, .2, .6, .1], 100_000)
    assert best_threshold(labels, scores, "matthews") in (.9, .2) # four counts of 100,000 multiplied fit into no integer

def curve_by_sklearn(right, confidence, bins):
    if len(set(right))==2: return calibration_curve(right, confidence, n_bins=bins)
    share, mean = calibration_curve([*~right, *right], [*confidence, *confidence], n_bins=bins) # it wants both classes
    return np.full(len(share), float(right[0])), mean

def test_reliability_equal_to_sklearn():
    for seed in range(1000):
        right, confidence, bins, _ = judged(seed)
        table = reliability(right, confidence, bins)
        share, mean = curve_by_sklearn(right, confidence, bins)
        assert table.right.to_numpy()==pytest.approx(share) and table.confidence.to_numpy()==pytest.approx(mean)
        assert table.rows.sum()==len(right) and (table.confidence <= table.index+1e-9).all()
        by_hand = (table.rows*(table.right-table.confidence).abs()).sum()/len(right)
        assert calibration_error(right, confidence, bins)==pytest.approx(by_hand)

def test_weights_of_the_calibration_error():
    for seed in range(100):
        right, confidence, bins, weights = judged(seed)
        written_out = np.repeat(right, weights), np.repeat(confidence, weights)
        assert calibration_error(right, confidence, bins, weights)==pytest.approx(calibration_error(*written_out, bins))
        at_once = calibration_error(right, confidence, bins, [weights, np.ones(len(right))])
        assert at_once==pytest.approx([calibration_error(right, confidence, bins, w) for w in (weights, None)])

@pytest.mark.parametrize("right,confidence,bins,why", [
    ([1], [.5, .6], 15, "right has shape"), ([], [], 15, "at least one row"), ([2, 1], [.5, .6], 15, "True and False"),
    ([1, 0], [.5, 1.5], 15, "0.5 to 1.5"), ([1, 0], [.5, np.nan], 15, "must be from 0 to 1"), ([1, 0], [.5, .6], 0, "bins 0"),
    ([[1, 0]], [[.5, .6]], 15, "right has shape")])
@pytest.mark.parametrize("score", [calibration_error, reliability])
def test_bad_confidence(score, right, confidence, bins, why):
    with pytest.raises(InputError, match=why) as e: score(right, confidence, bins)
    assert "\n" not in str(e.value)

def test_temperature_is_the_best():
    "Where the likelihood is highest, the mean logit that the model expects is the mean logit of the labels."
    for seed in range(1000):
        logits, labels = logits_and_labels(seed, rows=60)
        expected = (logits*softmax(logits/temperature(logits, labels), 1)).sum(1)
        assert expected.mean()==pytest.approx(logits[np.arange(60), labels].mean(), rel=1e-4, abs=1e-4)

def test_temperature_equal_to_sklearn():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(300, 5)), rng.integers(0, 3, 300)
        x[:, 0] += y
        model = LogisticRegression(C=100).fit(x[:60], y[:60])
        theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(x[60:], y[60:])
        logits = model.decision_function(x)
        ours = softmax(logits/temperature(logits[60:], y[60:]), 1)
        assert ours==pytest.approx(theirs.predict_proba(x), abs=1e-4)

def test_temperature_follows_its_logits():
    logits, labels = logits_and_labels(3)
    t = temperature(logits, labels)
    for factor in (1e-6, 1e6): assert temperature(factor*logits, labels)==pytest.approx(factor*t, rel=1e-5)
    moved = logits + np.random.default_rng(0).normal(size=(len(logits), 1))
    assert temperature(moved, labels)==pytest.approx(t, rel=1e-5)

@pytest.mark.parametrize("logits,labels,why", [
    ([[1., 0.], [0., 1.]], [0, 1], "highest in every row"), ([[1., 1.]], [0], "highest in every row"),
    ([[1., 0.], [0., 1.]], [1, 0], "no higher than the others"), ([[1., 0.]], [0, 1], "logits have shape"),
    ([1., 0.], [0, 1], "logits have shape"), ([[1., np.inf]], [0], "finite"), ([[1., 0.], [0., 1.]], [0, 2], "must be 0 to 1"),
    ([[1., 0.], [0., 1.]], [0, -100], "must be 0 to 1")])
def test_bad_logits(logits, labels, why):
    with pytest.raises(InputError, match=why) as e: temperature(logits, labels)
    assert "\n" not in str(e.value)

def test_plots():
    labels, scores, _ = ranked(9)
    ax = plt.subplots()[1]
    assert plot_precision_recall(labels, scores, ax) is ax
    recall, precision = ax.lines[0].get_data()
    area = (np.diff(recall)*precision[1:]).sum()
    assert area==pytest.approx(average_precision(labels, scores)) and f"Average precision {area:.2f}" in ax.get_title(loc="left") + ax.get_title()
    ax = plt.subplots()[1]
    table = reliability([1, 0, 1], [.9, .8, .3], bins=5)
    assert plot_reliability(table, ax) is ax
    assert ax.collections[1].get_offsets().tolist()==table[["confidence", "right"]].to_numpy().tolist()
    plt.close("all")
