"Two models on the same rows: better, worse or no difference."
import numpy as np
import pytest
from scipy import stats
from plm_nb.comparison import Comparison, compare, compare_lines, comparisons, exchanged, holm, redrawn, seed_variance
from plm_nb.comparison import plot_comparisons, runs_of, verdict
from plm_nb.files import InputError
from plm_nb.metrics import scores, weighted_mean
from plm_nb.runs import Run
from plm_nb.tasks import TASKS

def share_right(lines, weights=None):
    return dict(accuracy=weighted_mean([line["label"]==line["prediction"] for line in lines], weights))

def lines_of(labels, predictions):
    return [dict(row=i, label=y, prediction=p) for i,(y,p) in enumerate(zip(labels, predictions))]

def keep(path, lines, task="text-classification", seed=0, split="validation", learned=None):
    "A finished run with these lines."
    data = dict(sha256=learned) if learned else {}
    run = Run.start(path, "evaluate", dict(task=task) if task else {}, seed=seed, data=data)
    run.score(split, lines, dict(n=len(lines)))
    run.finish()
    return path

def answers(n, share, rng, classes="abc"):
    labels = rng.choice(list(classes), n).tolist()
    return labels, [y if rng.random()<share else str(rng.choice(list(classes))) for y in labels]

@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_is_exact(seed):
    "The p-value of one run each is that of the binomial distribution of the rows on which one alone is right, less half of what was seen."
    rng = np.random.default_rng(seed)
    a, b = ((rng.random(120)<p).astype(int) for p in (.8, .7))
    found = compare_lines([lines_of([1]*120, a)], [lines_of([1]*120, b)], share_right, "accuracy")
    alone, other = int((a>b).sum()), int((a<b).sum())
    exact, seen = stats.binomtest(alone, alone+other).pvalue, stats.binom.pmf(alone, alone+other, .5)
    assert found.p==pytest.approx(exact-seen if alone!=other else 1)
    assert found.low<=found.difference<=found.high and found.difference==pytest.approx(a.mean()-b.mean())

@pytest.mark.parametrize("task", ["text-classification", "question-answering", "translation", "token-classification"])
def test_any_task(tmp_path, task):
    "A model that is always right is better than one that rarely is, by whatever the task counts."
    right = {"text-classification": ["a", "b"]*40, "question-answering": [["one", "two"]]*80,
             "translation": [[f"the {i} cats sat on a mat"] for i in range(80)],
             "token-classification": [["B-PER", "O", "O"]]*80}[task]
    said = {"question-answering": ["one"]*80, "translation": [x[0] for x in right]}.get(task, right)
    wrong = {"question-answering": ["none"]*80, "translation": ["a dog"]*80, "token-classification": [["O"]*3]*80}
    a = keep(tmp_path/"a", lines_of(right, said), task)
    b = keep(tmp_path/"b", lines_of(right, wrong.get(task, ["a"]*80)), task)
    assert compare(a, b).verdict=="better" and compare(b, a).verdict=="worse"
    again = compare(a, keep(tmp_path/"again", lines_of(right, said), task))
    assert (again.verdict, again.difference, again.p, again.rows_needed)==("no difference", 0, 1, None)

def test_any_figure(tmp_path):
    rng = np.random.default_rng(0)
    labels, said = answers(200, .9, rng)
    _, other = answers(200, .3, rng)
    a, b = keep(tmp_path/"a", lines_of(labels, said)), keep(tmp_path/"b", lines_of(labels, other))
    for figure in ("accuracy", "f1", "matthews", "precision"): assert compare(a, b, figure=figure).verdict=="better"
    found = compare(a, b, figure="f1")
    ids = [dict(a=0, b=1, c=2)[y] for y in labels], [dict(a=0, b=1, c=2)[y] for y in said]
    assert found.a==pytest.approx(scores(*ids)["f1"])
    with pytest.raises(InputError, match="choose accuracy, precision"): compare(a, b, figure="bleu")

def test_less_is_better_of_surprise(tmp_path):
    "Texts compare by bits per byte, whatever the tokenizer; rows of hidden tokens only if as many were asked."
    rng = np.random.default_rng(0)
    def text(nats, tokens): return [dict(row=i, nats=float(x), unk_nats=0., tokens=tokens, bytes=50, characters=50, words=9)
                                    for i,x in enumerate(nats)]
    noise = rng.normal(0, 1, 100)
    a = keep(tmp_path/"a", text(40+noise, 12), task=None)
    b = keep(tmp_path/"b", text(60+noise, 30), task=None)
    found = compare(a, b)
    assert (found.verdict, found.figure)==("better", "bits_per_byte")
    assert found.a==pytest.approx((40+noise.mean())/50/np.log(2))
    rows = [dict(row=i, nats=9., tokens=3) for i in range(50)]
    c = keep(tmp_path/"c", rows, task=None)
    d = keep(tmp_path/"d", [dict(row, tokens=4) for row in rows], task=None)
    assert compare(c, keep(tmp_path/"again", rows, task=None)).figure=="loss"
    with pytest.raises(InputError, match="same rows"): compare(c, d)
    with pytest.raises(InputError, match="100 and 50 rows"): compare(a, c)

def test_seeds_count(tmp_path):
    "The same figures: one run each is sure of its rows, five that lie far apart are not."
    rng = np.random.default_rng(1)
    easy = rng.random(2000)
    def run(name, share, seed): return keep(tmp_path/name/f"seed-{seed}", lines_of([1]*2000, (easy<share).astype(int).tolist()), seed=seed)
    for seed,by in enumerate((-.06, -.03, 0, .03, .06)):
        run("a", .82+by, seed)
        run("b", .80+by, seed)
    assert compare(tmp_path/"a/seed-2", tmp_path/"b/seed-2").verdict=="better"
    found = compare(tmp_path/"a", tmp_path/"b")
    assert found.verdict=="no difference" and found.runs==(5, 5) and found.rows_needed is None
    assert found.difference==pytest.approx(.02, abs=.005)
    assert [run.record["seed"] for run in runs_of([tmp_path/"a", tmp_path/"b/seed-1"])]==[0, 1, 2, 3, 4, 1]

def test_handfuls_belong_together(tmp_path):
    "Where a seed decides what is learned, runs of the same handful are compared with each other, in any order."
    rng = np.random.default_rng(1)
    easy = rng.random(2000)
    for i,by in enumerate((-.06, -.03, 0, .03, .06)):
        keep(tmp_path/f"a/seed-{i}", lines_of([1]*2000, (easy<.82+by).astype(int).tolist()), learned=f"rows {i}")
        keep(tmp_path/f"b/seed-{4-i}", lines_of([1]*2000, (easy<.80+by).astype(int).tolist()), learned=f"rows {i}")
    assert compare(tmp_path/"a", tmp_path/"b").verdict=="better"

def test_rows_needed_are_enough():
    "With as many rows as were said to be needed, most attempts find the difference."
    rng = np.random.default_rng(0)
    def world(n): return (rng.random(n)<.80).astype(int), (rng.random(n)<.74).astype(int)
    def judged(n):
        a, b = world(n)
        return compare_lines([lines_of([1]*n, a)], [lines_of([1]*n, b)], share_right, "accuracy", n=300)
    large = judged(20000)
    needed = large.rows_needed
    assert 400<needed<1500
    assert np.mean([judged(needed).verdict=="better" for _ in range(40)])>.6

def test_what_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    labels, said = answers(20, .9, rng)
    a = keep(tmp_path/"a", lines_of(labels, said))
    other = keep(tmp_path/"other", lines_of(labels[::-1], said))
    tags = keep(tmp_path/"tags", lines_of([["O"]]*20, [["O"]]*20), "token-classification")
    unfinished = Run.start(tmp_path/"unfinished", "evaluate", {}).path
    with pytest.raises(InputError, match="evaluate both on the same rows"): compare(a, other)
    with pytest.raises(InputError, match="compare runs of one task"): compare(a, tags)
    with pytest.raises(InputError, match="not finished"): compare(a, unfinished)
    with pytest.raises(InputError, match="has not scored test, but validation"): compare(a, other, "test")
    with pytest.raises(InputError, match="on both sides"): compare(a, [other, a])
    single = [keep(tmp_path/name, lines_of(labels[:1], said[:1])) for name in ("one", "two")]
    with pytest.raises(InputError, match="scored one row"): compare(*single)
    with pytest.raises(InputError, match="no run here"): compare(a, tmp_path/"nowhere")

def test_verdict():
    assert verdict("f1", .01, .03, .01)=="better" and verdict("f1", -.03, -.01, .01)=="worse"
    assert verdict("bits_per_byte", .01, .03, .01)=="worse" and verdict("rmse", -.03, -.01, .01)=="better"
    assert verdict("f1", .01, .03, .06)==verdict("f1", -.01, .03, .01)=="no difference"

def test_holm_is_that_of_scipy_where_it_has_one():
    "All corrected values lie between the raw ones and Bonferroni's, and keep the order."
    rng = np.random.default_rng(0)
    for _ in range(100):
        p = rng.random(6)**3
        corrected = holm(p)
        assert (corrected>=p).all() and (corrected<=np.minimum(1, 6*p)+1e-12).all()
        assert (np.diff(corrected[np.argsort(p)])>=0).all() and corrected.min()==pytest.approx(min(1, 6*p.min()))

def test_seed_variance_is_that_of_a_t_test():
    a, b = [.81, .79, .83], [.75, .78]
    variance, freedom = seed_variance(a, b)
    t = stats.ttest_ind(a, b)
    assert freedom==t.df==3 and (np.mean(a)-np.mean(b))/variance**.5==pytest.approx(t.statistic)

def test_exchanges_keep_the_rows():
    "An exchange of equal answers changes nothing, and blocks draw no other numbers than one block."
    same = lines_of([1]*50, [1]*25+[0]*25)
    assert not exchanged(same, same, share_right, "accuracy", 50).any()
    assert not redrawn([same], [same], share_right, "accuracy", 50).any()

def test_several_models(tmp_path):
    rng = np.random.default_rng(0)
    labels, _ = answers(300, 1, rng)
    for name,share in dict(good=.9, fair=.6, poor=.3).items():
        said = [y if rng.random()<share else "c" for y in labels]
        keep(tmp_path/name, lines_of(labels, said))
    table = comparisons({name: tmp_path/name for name in ("good", "fair", "poor")})
    assert list(table.verdict)==["better"]*3 and list(table["first"]+" "+table["second"])==["good fair", "good poor", "fair poor"]
    assert (table.p_holm>=table.p).all()
    assert len(plot_comparisons(table).get_yticklabels())==3
    assert isinstance(compare(tmp_path/"good", tmp_path/"fair"), Comparison)

def test_looks_at_the_test_split_are_told(tmp_path):
    "Those of both models, of other runs beside them, and of evaluations of a folder that keeps no record."
    lines = lines_of(["a", "b"]*10, ["a"]*20)
    for name,looks in dict(one=1, two=3, third=2).items():
        run = Run.start(tmp_path/name, "finetune", dict(task="text-classification"), test_looks={"rows": looks})
        for split in ("validation", "test"): run.score(split, lines, dict(n=20))
        run.finish()
    found = compare(tmp_path/"one", tmp_path/"two", "test")
    assert found.test_looks==6 and "by all runs beside these: 6." in found._repr_markdown_()
    assert compare(tmp_path/"one", tmp_path/"two").test_looks is None

def test_other_texts_with_the_same_labels(tmp_path):
    "Labels may agree by chance; the record knows the texts."
    lines = lines_of(["a", "b"]*10, ["a"]*20)
    for name,texts in dict(one="x", two="x", three="y").items():
        run = Run.start(tmp_path/name, "evaluate", dict(task="text-classification"))
        run.score("validation", lines, dict(n=20))
        run.record["texts"] = dict(validation=texts)
        run.finish()
    assert compare(tmp_path/"one", tmp_path/"two").verdict=="no difference"
    with pytest.raises(InputError, match="other texts"): compare(tmp_path/"one", tmp_path/"three")

def test_hidden_tokens_of_two_tokenizers(tmp_path):
    rows = [dict(row=i, nats=9., tokens=3) for i in range(50)]
    for name in ("one", "two"):
        run = Run.start(tmp_path/name, "pretrain", dict(objective="mlm"), tokenizer=dict(sha256=name))
        run.score("validation", rows, dict(n=50))
        run.finish()
    with pytest.raises(InputError, match="two tokenizers"): compare(tmp_path/"one", tmp_path/"two")

def test_a_correlation_has_one_answer(tmp_path):
    "Numbers of another scale change nothing, and p and interval agree."
    rng = np.random.default_rng(0)
    true = rng.normal(size=200)
    close, far = true+.3*rng.normal(size=200), true+2*rng.normal(size=200)
    for name,said in dict(close=close, scaled=100*close+7, far=far).items():
        keep(tmp_path/name, lines_of(true.tolist(), said.tolist()))
    def told(a, b): return compare(tmp_path/a, tmp_path/b, figure="pearson")
    assert told("close", "far").verdict=="better" and told("far", "scaled").verdict=="worse"
    same = told("close", "scaled")
    assert same.verdict=="no difference" and same.p==1
