"`plm_nb.memorization`: what was planted is found at its size, and what was not is not; every kind of model; wrong input."
import math, os
from pathlib import Path
import numpy as np
import pytest
from scipy import stats
from plm_nb.files import InputError
from plm_nb.memorization import (CorpusRuns, canary_exposure, continuations, copied, draw_canaries, exposure_test,
                                 fitted_exposure, member_scores, membership, memory_findings, plant)
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.rescoring import log_likelihoods
from plm_nb.tokenizer import encode, train_tokenizer

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")
KEYS = ["question", "measure", "value", "low", "high", "p", "n", "found", "detectable", "expected", "note"]
PEOPLE = "anna ben carl dora emil frida gina hugo".split()
PLACES = "garden station school lake office kitchen tower market".split()

def messages(n, seed):
    rng = np.random.default_rng(seed)
    def words(): return f"{rng.choice(PEOPLE)} waits in the {rng.choice(PLACES)} and {rng.choice(PEOPLE)} in the {rng.choice(PLACES)}"
    return [f"{words()} until {words()} on the {rng.integers(1, 31)}th" for _ in range(n)]

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(messages(100, 0)+["0 1 2 3 4 5 6 7 8 9 the code is"], "byte-bpe", 400)

def counted(texts, tokenizer, order=6):
    rows = [[2, *ids, 3] for ids in encode(texts, tokenizer)]
    return NGramForCausalLM.from_ngram(NGram.fit(rows, len(tokenizer), order, bos=2), tokenizer)

# canaries

def test_canaries_are_drawn_alike():
    "Each digit is as likely in each place; none comes twice; a longer draw begins as its seed says."
    drawn = draw_canaries("a # b #", 100)
    assert sorted(drawn)==[f"a {i//10} b {i%10}" for i in range(100)]
    digits = [int(text[-1]) for text in draw_canaries("x #####", 5000, seed=3)]
    assert stats.chisquare(np.bincount(digits, minlength=10)).pvalue>.001
    assert draw_canaries("x ###", 5, seed=1)==draw_canaries("x ###", 5, seed=1)!=draw_canaries("x ###", 5, seed=2)

@pytest.mark.parametrize("form, n, said", [("none", 1, "digits"), ("#"*19, 1, "digits"), ("#", 11, "only 10")])
def test_wrong_forms(form, n, said):
    with pytest.raises(InputError, match=said): draw_canaries(form, n)

def test_planting_keeps_the_texts_in_order():
    texts = [str(i) for i in range(50)]
    found = plant(texts, {"a": 3, "b": 0, "c": 1}, seed=4)
    assert [t for t in found if t.isdigit()]==texts and found.count("a")==3 and found.count("c")==1 and "b" not in found
    firsts = [plant(texts, {"a": 1}, seed).index("a") for seed in range(300)]
    assert stats.kstest(np.array(firsts)/50, "uniform").pvalue>.001

def test_rank_counts_ties_against_the_canary():
    assert canary_exposure([2., 1.], [1., 1., 0.]).tolist()==[2., pytest.approx(math.log2(4/3))]
    for wrong in ([], [math.nan], [[1.]], [math.inf]):
        with pytest.raises(InputError, match="finite"): canary_exposure(wrong, [1.])

def test_exposures_of_what_was_not_planted_raise_few_alarms():
    "At most 5 of 100, over 2,000 simulated models; the p-values are those of a test."
    rng = np.random.default_rng(0)
    p = [exposure_test(canary_exposure(rng.normal(size=8), rng.normal(size=1000)))["p"] for _ in range(500)]
    assert np.mean(np.array(p)<.025)<=.04
    assert max(sum(x<.025 for x in p[i:i+100]) for i in range(0, 500, 100))<=5
    assert stats.kstest(p, "uniform", alternative="greater").pvalue>.01

@pytest.mark.parametrize("k", [1, 8, 40])
def test_what_is_called_detectable_is_detected_in_80_of_100(k):
    "If each canary is known by so many bits more than guessing gives, as the power assumes."
    rng = np.random.default_rng(k)
    detectable = exposure_test(np.ones(k))["detectable"]
    bits = rng.exponential(1/math.log(2), (2000, k)) + detectable-1/math.log(2)
    critical = stats.chi2.isf(.025, 2*k)/(2*k*math.log(2))
    assert (bits.mean(1)>critical).mean()==pytest.approx(.8, abs=.03)
    assert exposure_test(bits[0])["p"]==pytest.approx(stats.combine_pvalues(2.**-np.maximum(bits[0], 0)).pvalue)

@pytest.mark.parametrize("skew", [-4, 0, 4])
def test_the_curve_goes_on_where_ranks_end(skew):
    "Beyond 500 candidates of a skew-normal, the fitted exposure is off by less than a fifth."
    curve = stats.skewnorm(skew, -30, 5)
    some = curve.rvs(500, random_state=0)
    canary = curve.isf([.5, .01, 1e-5])
    found = fitted_exposure(canary, some, 1e8)
    assert np.allclose(found, [1, math.log2(100), math.log2(1e5)], rtol=.2)
    assert fitted_exposure([1e4], some, 1e8)==pytest.approx(math.log2(1e8))
    with pytest.raises(InputError, match="takes 30"): fitted_exposure(canary, some[:29], 10)

@pytest.mark.parametrize("seed", range(5))
def test_planted_canaries_are_found_at_their_size(tokenizer, seed):
    "A model that counts pairs: the more copies the surer, none: nothing; cleaned of copies, the loud ones fall."
    drawn = draw_canaries("the code is # # # # # # # #", 5*8+500, seed)
    times = np.repeat([0, 1, 4, 16, 64], 8)
    canaries, candidates = drawn[:40], drawn[40:]
    corpus = plant(messages(300, seed), dict(zip(canaries, times)), seed)
    def bits(texts, size):
        found = log_likelihoods(counted(texts, tokenizer, 2), tokenizer, drawn)
        assert exposure_test(canary_exposure(found[:8], found[40:]))["p"]>.01
        assert exposure_test(canary_exposure(found[32:40], found[40:]))["p"]<.001 or size==1
        return [fitted_exposure(found[i:i+8], found[40:], 1e8).mean() for i in range(0, 40, 8)]
    loud, quiet = bits(corpus, 64), bits(list(dict.fromkeys(corpus)), 1)
    assert loud[4]>loud[3]>loud[0] and quiet[4]<loud[4]-3

# runs of words

@pytest.mark.parametrize("seed", range(20))
def test_runs_equal_a_search_by_hand(seed):
    rng = np.random.default_rng(seed)
    def text(): return " ".join(rng.choice(list("abc"), rng.integers(0, 12)))
    corpus, asked = [text() for _ in range(rng.integers(1, 6))]+["a"], text()
    words = asked.split()
    joined = [f" {t} " for t in corpus]
    def there(run): return any(f" {' '.join(run)} " in t for t in joined)
    by_hand = [max([k for k in range(len(words)-i+1) if there(words[i:i+k]) or k==0]) for i in range(len(words))]
    assert CorpusRuns(corpus).longest(asked)==by_hand

def test_runs_of_many_equal_documents():
    "A thousand copies are no case of their own; case, space and Chinese."
    runs = CorpusRuns(["the same text again and again"]*1000+["我看见了一本书。"])
    assert runs.longest("THE  same\ntext again")==[4, 3, 2, 1]
    assert runs.longest("看见了一本")==[5, 4, 3, 2, 1] and runs.longest("")==[]
    with pytest.raises(InputError, match="no word"): CorpusRuns([" ", ""])
    with pytest.raises(InputError, match="least"): copied(runs, ["a"], least=0)

def test_memory_is_linear_in_the_corpus():
    runs = CorpusRuns(messages(2000, 0))
    assert runs.ids.nbytes+runs.order.nbytes==16*len(runs.ids)

def test_a_counting_model_copies_and_an_untrained_one_does_not(tokenizer):
    texts = messages(100, 1)
    runs = CorpusRuns(texts)
    share = {name: copied(runs, continuations(model, tokenizer, texts[:20], 20), 8)["share"].mean()
             for name,model in dict(ngram=counted(texts, tokenizer, 12), gpt2=build("tiny", tokenizer, "text-generation", "gpt2")).items()}
    assert share["ngram"]>.8 and share["gpt2"]==0
    with pytest.raises(InputError, match="text 2: has 1 tokens"): continuations(counted(texts, tokenizer), tokenizer, ["anna waits", "a"])

# membership

def test_membership_equals_scikit_learn():
    from sklearn.metrics import roc_auc_score, roc_curve
    for seed in range(5):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(.5, 1, 150).round(1), rng.normal(0, 1, 200).round(1)
        found = membership(a, b)
        labels, scores = np.repeat([1, 0], [150, 200]), np.concatenate([a, b])
        assert found["auc"]==pytest.approx(roc_auc_score(labels, scores))
        false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
        assert found["named_at_1"]==pytest.approx(true[false<=.01].max())
        assert found["auc_low"]<found["auc"]<found["auc_high"] and "named_at_01" not in found
    assert "named_at_01" in membership(a, np.arange(1000.)) and "named_at_1" not in membership(a, b[:99])

def test_groups_that_are_exchangeable_raise_few_alarms():
    rng = np.random.default_rng(0)
    draws = [stats.mannwhitneyu(*np.split(rng.gamma(2, size=200), 2), alternative="greater").pvalue for _ in range(1000)]
    assert np.mean(np.array(draws)<.025)<=.035
    found = [membership(*np.split(rng.gamma(2, size=200), 2)) for _ in range(100)]
    assert sum(f["p"]<.025 for f in found)<=5
    assert sum(f["auc_low"]<=.5<=f["auc_high"] for f in found)>=89
    assert all(f["auc_low"]>.5 for f in found if f["found"])

def test_detectable_auc_is_found_in_80_of_100():
    rng = np.random.default_rng(1)
    detectable = membership(np.arange(100.), np.arange(100.))["detectable"]
    shift = math.sqrt(2)*stats.norm.ppf(detectable)
    p = [stats.mannwhitneyu(rng.normal(shift, 1, 100), rng.normal(0, 1, 100), alternative="greater").pvalue for _ in range(1000)]
    assert np.mean(np.array(p)<.025)==pytest.approx(.8, abs=.05)

def test_all_equal_scores_are_no_finding():
    found = membership([1.]*20, [1.]*30)
    assert found["auc"]==.5 and found["p"]>.05

@pytest.mark.parametrize("seed", range(5))
def test_planted_members_are_found_and_strangers_are_not(tokenizer, seed):
    pool = list(dict.fromkeys(messages(400, seed)))
    members, others, third = pool[:100], pool[100:200], pool[200:]
    model, reference = counted(members, tokenizer), counted(third, tokenizer)
    read, fresh = [member_scores(model, tokenizer, some, (reference, tokenizer)) for some in (members, others)]
    assert all(membership(read[way], fresh[way])["p"]<1e-6 for way in ("loss", "zlib", "reference"))
    blind = [member_scores(reference, tokenizer, some)["loss"] for some in (members, others)]
    assert membership(*blind)["p"]>.001

def test_masked_models_are_asked_too(tokenizer):
    bert = build("tiny", tokenizer, "fill-mask")
    found = member_scores(bert, tokenizer, messages(3, 0))
    assert found.shape==(3, 2) and np.isfinite(found).all().all()

# findings

def check(findings):
    assert [list(f) for f in findings]==[KEYS]*4
    for f in findings:
        if f["found"] is None: assert f["value"] is f["p"] is f["n"] is f["detectable"] is None and f["note"]
        else: assert f["low"]<=f["value"]<=f["high"] and isinstance(f["found"], bool) and isinstance(f["n"], int) and f["detectable"]>0

def test_findings_of_a_model_that_remembers(tokenizer, tmp_path):
    pool = list(dict.fromkeys(messages(300, 0)))
    drawn = draw_canaries("the code is # # # # # #", 308, 0)
    told = [f"{text}. Call me at 555-010-{1000+i}" for i,text in enumerate(pool[:150])]
    corpus = plant(told, dict.fromkeys(drawn[:8], 4))
    for part in (counted(corpus, tokenizer, 10), tokenizer): part.save_pretrained(tmp_path/"model")
    findings = memory_findings(tmp_path/"model", told, [f"{text}. Call me at 555-010-{2000+i}" for i,text in enumerate(pool[150:])], drawn[:8], drawn[8:])
    check(findings)
    assert [f["found"] for f in findings]==[True]*4
    assert "stands in what was read" in findings[3]["note"] and not findings[3]["note"].startswith("in 0 ")
    assert memory_findings(tmp_path/"model", told[:5], pool[150:155])==memory_findings(tmp_path/"model", told[:5], pool[150:155])

def test_groups_of_another_kind_are_said(tokenizer, tmp_path):
    for part in (counted(messages(200, 1), tokenizer), tokenizer): part.save_pretrained(tmp_path/"model")
    findings = memory_findings(tmp_path/"model", messages(50, 0), ["a"*n for n in range(20, 70)])
    check(findings)
    assert findings[1]["note"].startswith("says little")
    assert findings[2]["found"] is None and "24 words" in findings[2]["note"]

def test_findings_without_a_corpus_or_a_writer(tokenizer, tmp_path):
    for task,name in (("text-generation", "gpt2"), ("fill-mask", "bert"), (None, "bert")):
        folder = tmp_path/str(task)
        for part in (build("tiny", tokenizer, task, name), tokenizer): part.save_pretrained(folder)
        findings = memory_findings(folder)
        check(findings)
        measured = [f["found"] is not None for f in findings]
        assert measured==[False, False, False, task=="text-generation"]
    assert "no head" in findings[0]["note"]
    texts = messages(40, 0)
    few = memory_findings(tmp_path/"fill-mask", texts[:20], texts[20:29])
    assert few[1]["found"] is None and "10 others" in few[1]["note"]
    findings = memory_findings(tmp_path/"fill-mask", texts[:20], texts[20:])
    assert [f["found"] is not None for f in findings]==[False, True, False, False]

def test_a_model_of_others():
    "stories260K, which nobody here has trained."
    folder = DATA/"stories260K/hf"
    if not folder.exists(): pytest.skip("no stories260K here; PLM_DATA may name the folder that holds it")
    findings = memory_findings(folder)
    check(findings)
    assert findings[3]["found"] is False and findings[3]["n"]==60
