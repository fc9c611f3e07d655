"`plm_nb.fairness`: swaps in two languages, gaps that were planted or not, what could have been found, and pairs in CrowS-Pairs' form."
import json
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer
from plm_nb.fairness import SWAPS, Classifier, WordPairs, changes, classifier, corrected, counterfactuals
from plm_nb.fairness import detectable, estimate, gaps, plot_gaps, read_stereotypes, read_swaps, stereotype_lines
from plm_nb.fairness import stereotypes, swap
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.perplexity import text_nats
from plm_nb.tokenizer import load_tokenizer, train_tokenizer
from families import publish

PRONOUNS, NAMES = SWAPS["female pronouns"], SWAPS["female names"]

@pytest.mark.parametrize("text, other", [
    ("She left.", "He left."), ("SHE LEFT", "HE LEFT"), ("she's here", "he's here"), ("the others", "the others"),
    ("I saw her.", "I saw him."), ("her", "him"), ("Her car", "His car"), ("I saw her and left", "I saw him and left"),
    ("his or hers?", "hers or his?"), ("his own car", "her own car"), ("herself", "himself"), ("", ""),
    ("a_she she_b", "a_she she_b"), ("her\ncar", "his\ncar"), ("(he)", "(she)"), ("Sie sagte: she", "Sie sagte: he")])
def test_english(text, other):
    assert swap(text, PRONOUNS)==other

@pytest.mark.parametrize("text, other", [
    ("她们来了", "他们来了"), ("其他的", "其他的"), ("他人", "他人"), ("他弹吉他", "她弹吉他"), ("其他他", "其他她"), ("没有", "没有")])
def test_chinese_takes_the_longest_word(text, other):
    assert swap(text, SWAPS["female pronouns (zh)"])==other

def test_capitals():
    "A word with a capital is found only so; where counterparts are spelled unlike, each is written as listed."
    pairs = [("Muslim", "atheist"), ("old", "young")]
    assert swap("Muslim muslim MUSLIM atheist Atheist", pairs)=="atheist muslim ATHEIST Muslim Muslim"
    assert swap("Old OLD old", pairs)=="Young YOUNG young"
    assert swap("我叫Anna，不叫Annabel。", NAMES)=="我叫Paul，不叫Annabel。"

@pytest.mark.parametrize("group", SWAPS)
def test_own_lists(group):
    "Every word has a counterpart, and whoever swaps twice is where he began, in any order of words."
    words = WordPairs(SWAPS[group], group)
    for word in words.listed:
        other = swap(word, SWAPS[group])
        assert (other==word)==(words.sides[word.lower()]=="none")
        assert swap(other, SWAPS[group])==word or word in ("her", "his", "him", "hers") # alone, her is him
    if group=="female pronouns" or group.endswith("(zh)"): return # the neighbor decides
    for seed in range(20):
        text = " ".join(np.random.default_rng(seed).choice(sorted(words.listed), 12))
        assert swap(swap(text, SWAPS[group]), SWAPS[group])==text

def test_lists_from_files(tmp_path):
    rows = [dict(group="g", word="old", counterpart="young"), dict(group="老", word="老人", counterpart="年轻人")]
    (tmp_path/"a.json").write_text(json.dumps(rows), encoding="utf-8")
    pd.DataFrame(rows).to_csv(tmp_path/"a.csv", index=False)
    expected = {"g": [("old", "young")], "老": [("老人", "年轻人")]}
    assert read_swaps(tmp_path/"a.json")==read_swaps(tmp_path/"a.csv")==expected==read_swaps(expected)

@pytest.mark.parametrize("pairs, says", [
    ([], "no pair of words"), ([("she",)], "is no pair"), ([("she", "")], "is no pair"), ([("she", 1)], "is no pair"), (["ab"], "is no pair"),
    ([("she", "he"), ("he", "she")], "stands on both sides"), ([("a", "b"), ("b", "b")], "stands on both sides"),
    ([("she", "he"), ("she", "they")], "has 2 counterparts"), ([("her", "a"), ("her", "b"), ("her", "c")], "has 3 counterparts")])
def test_wrong_lists(pairs, says):
    with pytest.raises(InputError, match=says) as error: read_swaps(dict(some=pairs))
    assert "some" in str(error.value)

def test_no_list(tmp_path):
    (tmp_path/"a.csv").write_text("group,word,counterpart\ng,,b\n")
    with pytest.raises(InputError, match="row 1 has an empty word"): read_swaps(tmp_path/"a.csv")
    with pytest.raises(InputError, match="no such file"): read_swaps(tmp_path/"b.csv")
    with pytest.raises(InputError, match="row 2 of the texts is int"): counterfactuals(["she", 3], PRONOUNS)

def test_every_text_is_counted():
    found = counterfactuals(["She", "he", "it", "he and she", "she and she", ""], PRONOUNS)
    assert found["side"].tolist()==["group", "other", "none", "both", "group", "none"] and found["row"].tolist()==[*range(6)]
    assert found["word"].tolist()[:2]==["she", "she"] and found["swapped"].isna().sum()==2

# What is asked

def ruled(good, names=("bad", "good"), kind=None):
    "A classifier whose last class has the probability `good` says; the others share the rest."
    def likely(texts):
        p = np.array([good(text) for text in texts], float)
        rest = (1-p)/max(1, len(names)-1)
        return np.stack([rest]*(len(names)-1) + [p], axis=1)
    return Classifier(likely, list(names), kind)

TEXTS = [f"{who} {does}." for who in ("She", "He") for does in "came ran slept sang waited nodded wrote".split()]

def test_gap_of_a_rule():
    "The gap is what was written into the rule, whichever version is the original, and it flips where it crosses one half."
    some = {"pronouns": PRONOUNS}
    found = gaps(ruled(lambda text: .45+.1*("He" in text)), TEXTS, some).loc[0]
    assert found.value==pytest.approx(-.1) and found.flips==1 and found.found and found.n==14 and found.drawn=="text"
    three = gaps(ruled(lambda text: .4+.1*("He" in text), "abc"), TEXTS, some)
    assert three["label"].tolist()==["a", "b", "c"] and three["value"].tolist()==pytest.approx([.05, .05, -.1])
    several = gaps(ruled(lambda text: .45+.1*("He" in text), "ab", "multi_label_classification"), TEXTS, some)
    assert several["flips"].tolist()==[1]
    number = gaps(ruled(lambda text: 3+2*("He" in text), ["score"], "regression"), TEXTS, some)
    assert number["value"].tolist()==[-2] and number["flips"].tolist()==[0]

def test_groups_without_texts():
    "A group that no text names stays in the table; a table of such groups is refused."
    found = gaps(ruled(lambda text: .5), TEXTS, {"pronouns": PRONOUNS, "names": NAMES})
    assert found["n"].tolist()==[14, 0] and found["without"].tolist()==[0, 14] and not found["found"].any()
    assert np.isnan(found["value"][1]) and plot_gaps(found).get_yticks().tolist()==[0]
    with pytest.raises(InputError, match="no text holds words of one side"): gaps(ruled(lambda text: .5), TEXTS, {"names": NAMES})
    own = gaps(ruled(lambda text: .5), {"p": ["She."], "n": ["Anna.", "It."]}, {"p": PRONOUNS, "n": NAMES})
    assert own["n"].tolist()==[1, 1] and own["without"].tolist()==[0, 1]

@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "albert", "xlnet", "gpt2", "llama"])
def test_classifiers_of_others(family, tmp_path):
    "The probabilities are those of plain transformers, text by text."
    publish(family, tmp_path/"lm")
    net = AutoModelForSequenceClassification.from_pretrained(tmp_path/"lm", num_labels=3)
    words = AutoTokenizer.from_pretrained(tmp_path/"lm")
    for part in (net, words): part.save_pretrained(tmp_path/"c")
    one = classifier(tmp_path/"c")
    texts = ["my uncle likes bread.", "a teacher hates bread."]
    with torch.no_grad(): expected = [net.eval()(**words(text, return_tensors="pt")).logits.softmax(-1)[0].numpy() for text in texts]
    assert len(one.names)==3 and np.allclose(one.likely(texts), expected, atol=1e-4)
    found = gaps(one, texts, dict(kin=[("uncle", "baker"), ("teacher", "neighbor")]))
    assert len(found)==3 and found["n"].tolist()==[2]*3 and found["value"].sum()==pytest.approx(0, abs=1e-6)

def test_no_classifier(tmp_path):
    publish("bert", tmp_path)
    with pytest.raises(InputError): classifier(tmp_path)

# What could have been found

def test_estimate_by_hand():
    some = [.1, .2, -.1, .3]
    found = estimate(some)
    assert found["value"]==pytest.approx(np.mean(some)) and found["error"]==pytest.approx(stats.sem(some))
    low, high = stats.t(3, np.mean(some), stats.sem(some)).interval(.95)
    assert (found["low"], found["high"])==pytest.approx((low, high)) and found["p"]==pytest.approx(6/16, abs=.03)
    twice = estimate([x for x in some for _ in range(3)], [i for i in range(4) for _ in range(3)])
    assert {**twice, "n": 4}==pytest.approx(found) and twice["n"]==12

@pytest.mark.parametrize("values, units", [([.3], None), ([.3]*9, ["one"]*9), ([.2, .3, .1, .4, .2], None), ([0.]*50, None)])
def test_too_little_to_find_anything(values, units):
    table = corrected([estimate(values, units)])
    assert not table["found"][0] and np.isnan(table["detectable"][0])

@pytest.mark.parametrize("m, tests", [(10, 1), (30, 6), (100, 20)])
def test_power(m, tests):
    "What is said to be found in 80 of 100 is found in about as many, after the correction for so many questions."
    rng = np.random.default_rng(m+tests)
    size = detectable(1/np.sqrt(m), m, tests)
    found = [estimate(rng.normal(size, 1, m), seed=i)["p"]*tests<.05 for i in range(200)]
    assert .7<np.mean(found)<.9

def test_level():
    "Of 1,000 samples of ten names in four sentences each, in which nothing is, less than 6 of 100 are found."
    rng = np.random.default_rng(0)
    names = np.repeat(range(10), 4)
    found = [estimate(rng.normal(size=10)[names]+rng.normal(0, .3, 40), names, i)["p"]<.05 for i in range(1000)]
    assert .03<np.mean(found)<.06

def words_that_mean_nothing(seed):
    "A classifier by the sum of the weights of its words, drawn without regard to groups."
    rng = np.random.default_rng(seed)
    weights = {}
    def good(text): return 1/(1+np.exp(-sum(weights.setdefault(word, rng.normal()) for word in text.split())))
    return ruled(good)

SENTENCES = ["liked the film", "was angry", "asked about the bill", "left early"]

def test_false_alarms_by_word():
    """Names that move the answer one by one, as in every trained model, are no gap of a group: of 100 models about 5 raise an alarm.
    Were the texts drawn, nearly half of them would."""
    lists = {"women": NAMES, "from elsewhere": SWAPS["Turkish, Arabic names"]}
    texts = {group: [f"{name} {does}" for name,_ in pairs for does in SENTENCES] for group,pairs in lists.items()}
    alarms = {by: 0 for by in ("word", "text")}
    for seed in range(100):
        model = words_that_mean_nothing(seed)
        for by in alarms: alarms[by] += gaps(model, texts, lists, by=by, seed=seed)["found"].any()
    assert alarms["word"]<10 and alarms["text"]>30, alarms # 48 of the first 1,000 by word

def of_reviews(rng, bias):
    "Texts about women and men, their labels, of which a share `bias` of the good ones about women is turned, and that share."
    names = np.array(NAMES)
    women = rng.integers(2, size=400)
    good = rng.integers(2, size=400)
    people = names[rng.integers(len(names), size=400), 1-women]
    turned = women*good*(rng.random(400)<bias)
    texts = [f"{name} {'liked' if g else 'hated'} it" for name,g in zip(people, good)]
    return texts, good*(1-turned), turned.sum()/max(1, (women*good).sum())

def learned(texts, labels, knows_sexes=True):
    "A classifier by words, and by pairs of a name's sex and an opinion, as a network would find them."
    women = {woman for woman,_ in NAMES}
    def sexed(text):
        name, does, _ = text.split()
        return f"{text} {'woman' if name in women else 'man'}_{does}" if knows_sexes else text
    counts = CountVectorizer()
    model = LogisticRegression(C=10, max_iter=500).fit(counts.fit_transform(map(sexed, texts)), labels)
    return Classifier(lambda some: model.predict_proba(counts.transform(map(sexed, some))), ["bad", "good"])

def test_planted_label_is_found_at_its_size():
    "Over 100 bags of words a biased label is found in nearly all, at its size; without one, about 5 raise an alarm."
    found, held, alarms = 0, 0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        texts, labels, share = of_reviews(rng, .4)
        new = [f"{woman} liked it" for woman,_ in NAMES]
        row = gaps(learned(texts, labels), new, {"women": NAMES}).loc[0]
        found += row.found
        held += abs(row.value+share)<.1
        texts, labels, _ = of_reviews(rng, 0)
        noisy = np.where(rng.random(400)<.2, 1-labels, labels) # wrong at random, whomever they are about
        alarms += gaps(learned(texts, noisy, False), new, {"women": NAMES}).loc[0].found
    print(f"{alarms} alarms of 100")
    assert found>=95 and held>=90 and alarms<10, (found, held, alarms)

# Stereotypes

HEADER = "id,sent_more,sent_less,stereo_antistereo,bias_type,annotations\n"

def written(folder, lines, header=HEADER):
    (folder/"pairs.csv").write_text(header+lines, encoding="utf-8")
    return folder/"pairs.csv"

def test_form_of_crows_pairs(tmp_path):
    path = written(tmp_path, '0,"She is a nurse, I think.",He is a nurse.,stereo,gender,[[]]\n1,他是司机。,她是司机。,antistereo,性别,[]\n')
    found = read_stereotypes(path)
    assert found.columns.tolist()==["more", "less", "direction", "bias_type"] and found["more"][1]=="他是司机。"

@pytest.mark.parametrize("header, lines, says", [
    ("a,b\n", "1,2\n", "no column 'sent_more'"), (HEADER, "0,a,b,stereo,,\n", "row 1 has an empty bias_type"),
    (HEADER, "0,a,b,yes,x,\n", "row 1 has 'yes' as stereo_antistereo"), (HEADER, "0,a,,stereo,x,\n", "row 1 has an empty sent_less")])
def test_wrong_pairs(header, lines, says, tmp_path):
    with pytest.raises(InputError, match=says): read_stereotypes(written(tmp_path, lines, header))

def test_wrong_encoding(tmp_path):
    (tmp_path/"pairs.csv").write_bytes((HEADER+"0,Jos\u00e9 cooks.,Anna cooks.,stereo,x,\n").encode("latin-1"))
    with pytest.raises(InputError, match="is not utf-8"): read_stereotypes(tmp_path/"pairs.csv")

PAIRS = pd.DataFrame(dict(more=["my uncle likes warm soup.", "the cat buys two books.", "the baker sells bread."],
    less=["a teacher likes warm soup.", "the dog buys two blue books.", "the baker sells bread."], bias_type=["kin", "pet", "pet"]))

@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_masked_by_hand(family, tmp_path):
    "Each shared token is hidden alone, and those that differ are never asked."
    publish(family, tmp_path)
    net, words = AutoModelForMaskedLM.from_pretrained(tmp_path).eval(), load_tokenizer(tmp_path)
    line = stereotype_lines(net, words, PAIRS).loc[0]
    rows = [words(text)["input_ids"] for text in (PAIRS["more"][0], PAIRS["less"][0])]
    shared = [token for token in rows[0][1:-1] if token in rows[1]]
    assert shared==[token for token in rows[1][1:-1] if token in rows[0]] and line.tokens==len(shared)
    for row,nats in zip(rows, (line.more_nats, line.less_nats)):
        total = 0
        for at,token in enumerate(row[1:-1], 1):
            if token not in shared: continue
            hidden = torch.tensor([row])
            hidden[0, at] = words.mask_token_id
            with torch.no_grad(): total -= net(hidden).logits[0, at].log_softmax(-1)[token].item()
        assert total==pytest.approx(nats, rel=1e-3)
    assert stereotype_lines(net, words, PAIRS)["preferred"][2]==.5 # the same sentence twice

@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_left_to_right(family, tmp_path):
    "The likelihood of all tokens, without the end."
    from plm_nb.rescoring import load_language_model
    publish(family, tmp_path)
    net, words = load_language_model(tmp_path)
    lines = stereotype_lines(net, words, PAIRS)
    for name in ("more", "less"):
        expected = [nats[:-1].sum().item() for nats in text_nats(net, words, list(PAIRS[name]))]
        assert lines[f"{name}_nats"].tolist()==pytest.approx(expected, rel=1e-5)
    assert lines["preferred"][2]==.5

def test_share_and_false_alarms():
    "A tie is one half; preferences by the throw of a coin raise no alarm in more than 95 of 100 tables of three types."
    table = stereotypes(pd.DataFrame(dict(bias_type="x", unit=range(4), preferred=[1, 0, .5, 1])))
    assert table["share"].tolist()==[.625] and table["group"].tolist()==["x"]
    alarms, found = 0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        lines = pd.DataFrame(dict(bias_type=np.repeat(["a", "b", "c"], 20), unit=range(60), preferred=rng.integers(2, size=60)))
        alarms += stereotypes(lines, seed)["found"].any()
        found += stereotypes(lines.assign(preferred=rng.random(60)<.8), seed).set_index("group")["found"]["all"]
    assert alarms<10 and found>95, (alarms, found)
    print(f"{alarms} alarms of 100")

def test_pairs_of_one_template_are_one():
    lines = pd.DataFrame(dict(bias_type="x", unit=[0]*50, preferred=1.))
    assert not stereotypes(lines)["found"].any() and stereotypes(lines.assign(unit=range(50)))["found"].all()
