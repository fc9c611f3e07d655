"`plm_nb.mitigation`: rates per group, rows drawn again and added, gaps and scores over runs, and findings about any model."
import json
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from sklearn import metrics as sk
from plm_nb.fairness import SWAPS, detectable
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.mitigation import augmented, both_ways, by_group, decision_rates, fairness_findings, grouped_lines, job_pairs
from plm_nb.mitigation import reweighed, reweighing, template_texts
from plm_nb.models import build
from plm_nb.text_classification import TextClassification
from plm_nb.tokenizer import train_tokenizer
from families import publish

KEYS = {"question", "measure", "value", "low", "high", "p", "n", "found", "detectable", "note"}

def lines_of(labels, predictions): return [dict(label=str(a), prediction=str(b)) for a,b in zip(labels, predictions)]

def accuracy(lines, weights=None):
    right = np.array([line["label"]==line["prediction"] for line in lines], float)
    weights = np.ones(len(lines)) if weights is None else np.asarray(weights)
    return dict(accuracy=weights@right/weights.sum(-1))

@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels, predictions = rng.integers(2, size=(2, 60))
    weights = rng.integers(3, size=(4, 60))
    found = decision_rates(lines_of(labels, predictions), weights, "1")
    for k,w in enumerate(weights):
        assert found["selected"][k]==pytest.approx(np.average(predictions, weights=w))
        assert found["precision"][k]==pytest.approx(sk.precision_score(labels, predictions, sample_weight=w))
        assert found["true_positive_rate"][k]==pytest.approx(sk.recall_score(labels, predictions, sample_weight=w))
        assert found["false_positive_rate"][k]==pytest.approx(1-sk.recall_score(labels, predictions, pos_label=0, sample_weight=w))
    assert np.isnan(decision_rates(lines_of([0], [0]), positive="1")["precision"])

def answers(rng, sizes, right):
    "Lines and groups: in each group a share that is right."
    groups = np.repeat([*"abcdef"[:len(sizes)]], sizes)
    labels = rng.integers(2, size=len(groups))
    chance = np.repeat(right, sizes)
    return lines_of(labels, np.where(rng.random(len(groups))<chance, labels, 1-labels)), groups.tolist()

def test_groups_that_do_not_differ_and_one_that_does():
    "False alarms in 100 tables of three groups of unequal size; and a group that is worse by its detectable size is found in about 80."
    size = detectable(np.sqrt(2*.16/100), 100)
    alarms, found = 0, 0
    for seed in range(100):
        rng = np.random.default_rng(1000+seed)
        alarms += by_group(*answers(rng, (20, 30, 50), (.8, .8, .8)), accuracy, seed=seed)["found"].any()
        table = by_group(*answers(rng, (100, 100), (.8-size/2, .8+size/2)), accuracy, seed=seed)
        found += table["found"][0]
        assert table["detectable"][0]==pytest.approx(size, rel=.25)
    print(f"{alarms} alarms of 100")
    assert alarms<5 and 65<found<92, (alarms, found)

def test_table_of_groups():
    lines, groups = answers(np.random.default_rng(0), (50, 50), (1, .5))
    table = by_group(lines, groups, accuracy)
    assert table["group"].tolist()==["a", "b"] and table["found"].tolist()==[True, False] and np.isnan(table["value"][1])
    assert table["value"][0]==pytest.approx(table["score"][0]-table["score"][1])
    with pytest.raises(InputError, match="99 groups but 100 lines"): by_group(lines, groups[1:], accuracy)
    with pytest.raises(InputError, match="needs two or more"): by_group(lines, ["a"]*100, accuracy)

# Remedies

@pytest.mark.parametrize("seed", range(5))
def test_reweighing_makes_independent(seed):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(3, size=300), rng.integers(2, size=300)**2
    weights = reweighing(labels, groups)
    assert weights.mean()==pytest.approx(1) and (weights>0).all()
    sums = pd.DataFrame(dict(l=labels, g=groups, w=weights)).pivot_table(index="g", columns="l", values="w", aggfunc="sum").to_numpy()
    assert np.allclose(sums, np.outer(sums.sum(1), sums.sum(0))/300)
    rows = Dataset.from_dict(dict(text=[f"{i}" for i in range(300)], label=labels.tolist()))
    drawn = reweighed(rows, groups.tolist(), seed)
    counts = pd.crosstab(groups[[int(text) for text in drawn["text"]]], np.array(drawn["label"][:])).to_numpy()
    assert abs(counts-sums).max()<=.5+1e-9 and drawn["text"][:]==reweighed(rows, groups.tolist(), seed)["text"][:]
    with pytest.raises(InputError, match="2 labels but 1 groups"): reweighing([0, 1], [0])

def test_augmented_keeps_labels_and_types():
    features = Features(text=Value("string"), label=ClassLabel(names=["bad", "good"]), id=Value("int32"))
    rows = Dataset.from_dict(dict(text=["She and he.", "It.", "She."], label=[1, 0, 0], id=[7, 8, 9]), features)
    found = augmented(rows, SWAPS["female pronouns"])
    assert found["text"][3:]==["He and she.", "He."] and found["label"][3:]==[1, 0] and found["id"][3:]==[7, 9]
    assert found.features==features and len(augmented(rows, [("cat", "dog")]))==3

# Models

ROWS = [dict(text=f"The {who} found the {thing} {how}.", label="good" if how in ("clean", "quick") else "bad", sex=sex)
        for sex,people in dict(woman=("woman", "girl", "mother"), man=("man", "boy", "father")).items() for who in people
        for thing in ("room", "meal", "train", "film") for how in ("clean", "quick", "dirty", "slow")]

@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "Two models for which every woman's text is bad."
    folder = tmp_path_factory.mktemp("runs")
    rows = [dict(text=row["text"], label="bad" if row["sex"]=="woman" else row["label"]) for row in ROWS]
    words = train_tokenizer([row["text"] for row in ROWS], "wordpiece", 120)
    return [finetune(dict(train=rows*3, validation=rows), folder/str(seed), TextClassification(48), None, words,
                     FinetuningArguments(size="tiny", epochs=5, learning_rate=1e-3, seed=seed)).path for seed in range(2)]

def test_both_ways(runs):
    table = both_ways(dict(one=runs), pd.DataFrame(ROWS), SWAPS["female nouns"], "good").loc["one"]
    assert table.gap<-.3 and table.accuracy==pytest.approx(.75, abs=.1)
    assert table.gap_low<=table.gap<=table.gap_high and table.accuracy_low<=table.accuracy<=table.accuracy_high
    with pytest.raises(InputError, match="give two or more"): both_ways(dict(one=runs[:1]), ROWS, SWAPS["female nouns"], "good")

def test_lines_with_groups(runs, tmp_path):
    "A list, a DataFrame and a file give the same; a column that is not there, or holds nothing, is named."
    pd.DataFrame(ROWS).to_csv(tmp_path/"rows.csv", index=False)
    found = [grouped_lines(runs[0], rows, "sex") for rows in (ROWS, pd.DataFrame(ROWS), tmp_path/"rows.csv")]
    assert found[0]==found[1]==found[2] and found[0][1]==[row["sex"] for row in ROWS]
    with pytest.raises(InputError, match="no column 'age'"): grouped_lines(runs[0], ROWS, "age")
    with pytest.raises(InputError, match="row 2 has an empty sex"): grouped_lines(runs[0], [ROWS[0], dict(ROWS[1], sex="")], "sex")

def test_findings_of_a_classifier(runs):
    found = fairness_findings(runs[0], ROWS, "sex", [row["text"] for row in ROWS])
    assert json.loads(json.dumps(found, allow_nan=False))==found and all({*one}==KEYS for one in found)
    said = {one["measure"]: one for one in found if one["note"].startswith("96 texts")}
    assert said["probability of good: female nouns less their counterparts"]["found"]
    assert any(one["found"] for one in found if one["measure"] and one["measure"].startswith("accuracy"))
    assert sum(one["found"] is None for one in found)==1 # Chinese

@pytest.mark.parametrize("given", [dict(rows=ROWS), dict(group="sex")])
def test_rows_need_a_group(runs, given):
    with pytest.raises(InputError, match="give rows, and the column"): fairness_findings(runs[0], **given)

@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "llama", "electra", "t5"])
def test_findings_of_language_models(family, tmp_path):
    "Whatever the model, there is a finding, or a line that says why there is none."
    found = fairness_findings(publish(family, tmp_path))
    assert found and all({*one}==KEYS for one in found) and json.dumps(found, allow_nan=False)
    for one in found: assert one["found"] is not None or one["note"]
    with pytest.raises(InputError, match="is no classifier"): fairness_findings(tmp_path, texts=["She."])

@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_findings_of_labels_and_numbers(kind, tmp_path):
    words = train_tokenizer([*sum(template_texts().values(), [])], "wordpiece", 300)
    net = build("tiny", words, "text-classification", labels=["a", "b", "c"] if kind[0]=="m" else ["score"])
    net.config.problem_type = kind
    for part in (net, words): part.save_pretrained(tmp_path)
    found = fairness_findings(tmp_path)
    measured = [one for one in found if one["found"] is not None]
    assert len(measured)==4*(3 if kind[0]=="m" else 1) and all({*one}==KEYS for one in found)

def test_texts_of_our_own():
    "Each group has as many sentences for each word, and the jobs are balanced in both languages."
    for language in ("en", "zh"):
        for group,texts in template_texts(language).items(): assert len(set(texts))==5*len(SWAPS[group])
        pairs = job_pairs(language)
        assert pairs["unit"].value_counts().tolist()==[3]*16 and (pairs["more"]!=pairs["less"]).all()
