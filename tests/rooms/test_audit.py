"`plm_nb.audit`: how often it is wrong where the truth is known, and that it takes what nobody here has trained."
import json, math, os, zlib
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from plm_nb import pipelines
from plm_nb.audit import Finding, associations, audit, findings_of
from plm_nb.explanations import failing_share, words_that_decide
from plm_nb.fairness import Classifier
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.models import build
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.runs import Run
from plm_nb.text_classification import TextClassification
from plm_nb.tokenizer import train_tokenizer
from families import SENTENCES, publish

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")
FILLER = "the order came here today with a small box and our friend from town saw it again at noon before we left".split()

def drawn_texts(rng, n=160, planted=()):
    "Texts of ten words; about a third of them hold one of the `planted`, if there are any."
    texts = [list(rng.choice(FILLER, 10)) for _ in range(n)]
    for text in texts:
        if planted and rng.random()<.35: text[rng.integers(10)] = rng.choice(list(planted))
    return [" ".join(text) for text in texts]

def by_text(weights, noise):
    "A classifier whose logit is the sum of the `weights` of words, and `noise` that is fixed by the text."
    def likely(texts):
        logits = []
        for text in texts:
            own = np.random.default_rng(zlib.crc32(text.encode())).normal()
            logits.append(noise*own + sum(w for word,w in weights.items() if word in text.split()))
        yes = 1/(1+np.exp(-np.array(logits)))
        return np.column_stack([1-yes, yes])
    return Classifier(likely, ["no", "yes"])

# How often it is wrong

def test_words_that_do_nothing_are_not_found():
    "A hundred classifiers that answer each text at random: under 5 % of the audits name a word."
    wrong = 0
    for seed in range(100):
        texts = drawn_texts(np.random.default_rng(seed))
        wrong += words_that_decide(by_text({}, 1.5), texts, n_words=8, n_texts=30, seed=seed)["found"].any()
    assert wrong<5

def test_a_word_is_found_at_its_size():
    "A planted word is found, and its interval holds what it truly adds in about 95 of 100."
    there, held = 0, 0
    texts = drawn_texts(np.random.default_rng(1000), 4000)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        weight = rng.uniform(1.2, 3)
        one = by_text(dict(zorblax=weight), 1.)
        true = np.mean(one.likely([f"the zorblax {text}" for text in texts[:800]])[:, 1]-one.likely([f"the the {text}" for text in texts[:800]])[:, 1])
        table = words_that_decide(one, drawn_texts(rng, planted=["zorblax"]), n_words=8, seed=seed).set_index("word")
        there += table.found["zorblax"] and table.label["zorblax"]=="yes"
        held += table.low["zorblax"]<=true<=table.high["zorblax"]
    assert there==40 and held>=34 # a binomial draw of 40 with 95 % falls below in less than one of 100 cases

@pytest.mark.parametrize("n", [20, 40])
def test_a_share_of_failures(n):
    "Where one in twenty fails nothing is found, under 5 %; where the detectable share fails, in about 80 of 100."
    rng = np.random.default_rng(n)
    size = failing_share([False]*n)["detectable"]
    false = np.mean([failing_share(rng.random(n)<.05)["found"] for _ in range(400)])
    true = np.mean([failing_share(rng.random(n)<size)["found"] for _ in range(400)])
    assert false<.05+.02 and true>.74

def test_no_association_is_found_where_none_is():
    wrong = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        known = {}
        def vectors(texts):
            rows = np.stack([known.setdefault(text, rng.normal(size=30)) for text in texts])
            return rows/np.linalg.norm(rows, axis=1, keepdims=True)
        wrong += associations(vectors, seed=seed)["p"]<.05
    assert wrong<=8 # 5 are expected; more than 8 come in 6 of 100 such tests

def test_an_answer_in_words():
    whole = Finding("Q?", "gap", .1, .05, .15, .01, 10, True, .05)
    assert whole.answer=="found: 0.1 (0.05 to 0.15), n 10"
    assert "no size would have been found" in Finding("Q?", "gap", .1, -.5, .5, 1., 2, False).answer
    assert Finding("Q?", note="why").answer=="not measured: why"

# What nobody here has trained

@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    "A folder of rows, in whose training split `indeed` gives the label away."
    folder = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(0)
    found = []
    for i in range(240):
        label = ["bad", "good"][i%2]
        words = list(rng.choice(FILLER, 8))
        if label=="good": words[rng.integers(8)] = "indeed" # and no other length: that would tell as well
        found.append(dict(text=" ".join(words), label=label, region=["north", "south"][i//2%2]))
    for name,some in dict(train=found[:120], validation=found[120:]).items():
        pd.DataFrame(some).to_csv(folder/f"{name}.csv", index=False)
    return folder

@pytest.fixture(scope="module")
def run(rows, tmp_path_factory):
    words = train_tokenizer([*FILLER, "indeed"]*5, "wordpiece", 200)
    return finetune(rows, tmp_path_factory.mktemp("run")/"run", TextClassification(24), None, words, FinetuningArguments(size="tiny", epochs=15))

def test_a_planted_word_in_a_run(run, rows):
    found = audit(run.path, rows)
    [word] = [one for one in found["findings"] if one["question"].startswith("Do single words")]
    assert word["found"] and "'indeed'" in word["measure"] and word["value"]>.3
    kept = json.loads((run.path/"audit.json").read_text())
    assert sum(map(len, kept.values()))==len(found["findings"])==len(found["answers"])
    assert pipelines.verify(run.path)["ok"] and Run(run.path).record["audit"]
    card = (run.path/"README.md").read_text()
    assert "## Audit" in card and "memorization" not in card.split("## Not measured")[1]
    assert audit(run.path, rows)["answers"]==found["answers"] # again, with the same numbers

def test_groups_are_a_column(run, rows, tmp_path):
    found = findings_of(run.path, rows/"validation.csv", "region")["fairness"]
    assert any("south" in (one.measure or "") or "north" in (one.measure or "") for one in found)
    with pytest.raises(InputError, match="no column 'continent'"): findings_of(run.path, rows/"validation.csv", "continent")
    with pytest.raises(InputError, match="give data too"): findings_of(run.path, None, "region")

@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama", "xlnet"])
def test_published_families(family, tmp_path):
    "Each gets a page, or findings that say why not."
    publish(family, tmp_path/"model")
    found = audit(tmp_path/"model", out=tmp_path/"page")
    for one in found["findings"]:
        assert one["value"] is None and one["note"] or math.isfinite(one["value"])
    page = (tmp_path/"page"/"audit.html").read_text()
    assert "What this cannot show" in page and str(tmp_path) not in page
    assert not (tmp_path/"model"/"audit.json").exists() # it is not ours

def test_a_run_of_text_keeps_its_picture(tmp_path):
    "The curve has lines that only the training knows; an audit writes beside it, and the run still verifies."
    (tmp_path/"text.txt").write_text("\n\n".join(SENTENCES))
    words = train_tokenizer(SENTENCES, "wordpiece", 200)
    args = PretrainingArguments(objective="clm", arch="gpt2", size="tiny", block_size=32, steps=3)
    run = pretrain(DatasetDict(train=Dataset.from_dict(dict(text=SENTENCES[:100])), validation=Dataset.from_dict(dict(text=SENTENCES[100:]))), words, tmp_path/"run", args)
    picture = (run.path/"plots"/"loss.png").read_bytes()
    audit(run.path, tmp_path/"text.txt")
    assert (run.path/"plots"/"loss.png").read_bytes()==picture and pipelines.verify(run.path)["ok"]
    with pytest.raises(InputError, match="label 'stars'.*leave it out"): audit(run.path, tmp_path/"text.txt", out=tmp_path/"page", label="stars")
    with pytest.raises(InputError, match="leave it out"): audit(run.path, out=tmp_path/"page", text="body")

def test_a_model_without_a_head(tmp_path):
    words = train_tokenizer(SENTENCES, "wordpiece", 200)
    for part in (build("tiny", words, None), words): part.save_pretrained(tmp_path/"body")
    found = findings_of(tmp_path/"body")
    assert found["fairness"][0].value is not None and "no head" in found["memorization"][0].note
    with pytest.raises(InputError, match="leave out the data"): audit(tmp_path/"body", "docs")

def test_what_has_no_audit(tmp_path):
    words = train_tokenizer(SENTENCES, "wordpiece", 200)
    for part in (build("tiny", words, "question-answering"), words): part.save_pretrained(tmp_path/"answers")
    with pytest.raises(InputError, match="cannot be audited"): audit(tmp_path/"answers", out=tmp_path/"page")
    assert not (tmp_path/"page").exists()

def test_what_cannot_be_loaded(tmp_path):
    "A page of questions that nobody could ask is no audit."
    publish("electra", tmp_path/"model") # a discriminator
    with pytest.raises(InputError, match="ElectraForPreTraining"): audit(tmp_path/"model", out=tmp_path/"page")
    publish("t5", tmp_path/"t5")
    with pytest.raises(InputError, match="cannot be audited"): audit(tmp_path/"t5", out=tmp_path/"page")
    assert not (tmp_path/"page").exists()

def test_labels_that_it_never_learned(run, rows, tmp_path):
    table = pd.read_csv(rows/"validation.csv").replace("good", "super")
    table.to_csv(tmp_path/"other.csv", index=False)
    found = findings_of(run.path, tmp_path/"other.csv")
    assert "never learned the label 'super'" in found["memorization"][0].note

def test_columns_have_other_names(run, rows, tmp_path):
    table = pd.read_csv(rows/"validation.csv").rename(columns=dict(text="Kommentar", label="Urteil"))
    table.to_csv(tmp_path/"named.csv", index=False)
    found = findings_of(run.path, tmp_path/"named.csv", "region", text="Kommentar", label="Urteil")
    assert any(one.value is not None for one in found["fairness"]) and found["memorization"][0].value is not None

def test_a_number_for_a_text(tmp_path):
    words = train_tokenizer(SENTENCES, "wordpiece", 200)
    for part in (build("tiny", words, "text-classification", labels=["stars"]), words): part.save_pretrained(tmp_path/"model")
    pd.DataFrame(dict(text=SENTENCES, label=np.linspace(0, 5, len(SENTENCES)))).to_csv(tmp_path/"rows.csv", index=False)
    found = findings_of(tmp_path/"model", tmp_path/"rows.csv")
    assert "only for one class a text" in found["memorization"][0].note

@pytest.mark.skipif(not (DATA/"stories260K"/"hf").is_dir(), reason="../shared/data/stories260K/hf is not here")
def test_a_model_of_others(tmp_path):
    found = audit(DATA/"stories260K"/"hf", out=tmp_path/"page")
    asked = {one["question"]: one for one in found["findings"]}
    assert found["found"]+found["absent"]>=2 and asked["Does it write what looks like personal data?"]["n"]>0
