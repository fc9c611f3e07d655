"""The tutorial `recipes` keeps a list of sixteen listings. Here they are counted once more: on the page, in its saved outputs and, where the
articles are at hand, in the articles. Every failure is made again outside of the page; what works in their place is tested in `test_listings.py`."""
import ast, json, math, os, re
from importlib.metadata import requires
from pathlib import Path
import pandas as pd
import pytest
import torch
import transformers as hf
from families import SENTENCES, publish
from plm_nb import predict

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT/"nbs/tutorials/recipes.ipynb"
ARTICLES = ROOT.parent/"shared/seeds"
SECTIONS = [(1, "4.1"), (1, "4.3"), (1, "4.4"), (2, "5.1"), (3, "5.1"), (3, "5.2"), (3, "5.3"), (3, "5.4"), (3, "5.5"), (3, "5.6"),
            (4, "4.1.1"), (4, "4.1.2"), (4, "4.1.3"), (5, "5.1"), (5, "5.1"), (5, "5.2")]
NAME = "bert-base-uncased"
TEXT = "This is a great movie!"

CELLS = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
def source(cell): return "".join(cell["source"])
def code_cells(): return [cell for cell in CELLS if cell["cell_type"]=="code"]

def page_list():
    "The list that the page keeps."
    [kept] = [source(cell) for cell in code_cells() if "listings = " in source(cell)]
    names = dict(pd=pd)
    exec(kept, names)
    return names["listings"]

def marks(cell):
    "Each `then(listing, fault, …)` and `now(listing, …)` of a cell, in order: which, the listing, the fault."
    calls = [node for node in ast.walk(ast.parse(source(cell))) if isinstance(node, ast.Call)]
    named = [call for call in calls if getattr(call.func, "id", "") in ("then", "now")]
    for call in sorted(named, key=lambda call: call.lineno):
        which = call.func.id
        yield which, call.args[0].value, call.args[1].value if which=="then" else None

LISTINGS = page_list()
MARKS = [mark for cell in code_cells() if "#| hub" not in source(cell) for mark in marks(cell)]
FAULTS = {(n, fault) for n,faults in LISTINGS.faults.items() for fault in faults}

# The page

def test_the_page_lists_every_listing():
    assert list(LISTINGS.index)==list(range(1, 17)) and list(zip(LISTINGS.article, LISTINGS.section))==SECTIONS
    assert LISTINGS.today.value_counts().to_dict()=={"fails": 7, "runs": 6, "runs, but does not do what it is for": 3}

@pytest.mark.parametrize("n", LISTINGS.index)
def test_a_listing_has_a_heading_its_faults_and_what_works_now(n):
    "In this order: what fails stands before what works, under one heading."
    assert sum(source(cell).count(f"### {n}. ") for cell in CELLS if cell["cell_type"]=="markdown")==1
    own = [(which, fault) for which,listing,fault in MARKS if listing==n]
    expected = {*LISTINGS.faults[n]} | ({"runs"} if LISTINGS.today[n]=="runs" else set())
    assert {fault for which,fault in own if which=="then"}==expected and len(own)==len(expected)+1
    assert own[-1]==("now", None)

def test_listings_stand_in_order():
    assert [listing for _,listing,_ in MARKS]==sorted(listing for _,listing,_ in MARKS)

def test_the_page_counts_them_itself():
    "Its last cell compares; what it showed when it last ran is the count of this test."
    shown = "".join(CELLS[-1]["outputs"][0]["data"]["text/plain"])
    figures = dict(re.findall(r"(\w[\w ]*?)\s{2,}(\d+)", shown))
    assert {name: int(n) for name,n in figures.items()}=={"listings": 16, "fail": 7, "work now": 16}
    for name in ("shown", "stopped", "working"): assert f"test_eq({name}, " in source(CELLS[-1])

def test_the_page_is_run_with_all_others():
    from house.test_notebooks import NOTEBOOKS
    assert PAGE in NOTEBOOKS

def test_the_articles_have_as_many():
    "Fenced code in the articles, article by article."
    if not ARTICLES.is_dir(): pytest.skip(f"{ARTICLES.name}: the articles are not at hand")
    texts = [path.read_text(encoding="utf-8") for path in sorted(ARTICLES.glob("*.txt"))]
    found = [len(re.findall(r"^```(?:python|bash)", text, flags=re.M)) for text in texts]
    assert found==LISTINGS.article.value_counts().sort_index().tolist()==[3, 1, 6, 3, 3]

# The failures, outside of the page

@pytest.fixture(scope="module")
def bert(tmp_path_factory): return str(publish("bert", tmp_path_factory.mktemp("recipes")/"bert"))

@pytest.fixture
def away(tmp_path):
    "What makes transformers look at an empty cache only."
    return dict(local_files_only=True, cache_dir=str(tmp_path/"empty"))

def without_labels(bert):
    return hf.BertForMaskedLM.from_pretrained(bert)(**hf.BertTokenizer.from_pretrained(bert)(TEXT, return_tensors="pt"))

def by_a_drawn_head(bert, seed):
    torch.manual_seed(seed)
    model = hf.BertForSequenceClassification.from_pretrained(bert)
    inputs = hf.BertTokenizer.from_pretrained(bert)(TEXT, return_tensors="pt")
    return model(**inputs, labels=torch.tensor([1]))

def settings(folder, **more): return hf.TrainingArguments(str(folder), max_steps=1, use_cpu=True, report_to="none", **more)

def only_from_the_hub(kind):
    def check(bert, tmp_path, away):
        with pytest.raises(OSError): kind.from_pretrained(NAME, **away)
        kind.from_pretrained(bert)
    return check

def a_tokenizer_of_nothing(bert, tmp_path, away):
    empty = hf.BertTokenizer.from_pretrained(NAME, **away)
    assert len(empty)==5 and {*empty.tokenize(TEXT)}=={"[UNK]"}

def name_gone(name):
    def check(bert, tmp_path, away):
        with pytest.raises(AttributeError, match=name): getattr(hf, name)
    return check

def setting_gone(**setting):
    def check(bert, tmp_path, away):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{next(iter(setting))}'"): settings(tmp_path, **setting)
    return check

def undefined(name):
    def check(bert, tmp_path, away):
        with pytest.raises(NameError, match=name): exec(name, {})
    return check

def file_missing(name):
    def check(bert, tmp_path, away):
        with pytest.raises(FileNotFoundError): open(tmp_path/name)
    return check

def nothing_saved_where_it_is_read(bert, tmp_path, away):
    "The trainer of the listing before leaves a checkpoint in a folder of its own."
    tok = hf.BertTokenizer.from_pretrained(bert)
    rows = [dict(tok(text)) for text in SENTENCES[:8]]
    hf.Trainer(model=hf.BertForMaskedLM.from_pretrained(bert), args=settings(tmp_path/"saved"), train_dataset=rows,
               data_collator=hf.DataCollatorForLanguageModeling(tok)).train()
    assert os.listdir(tmp_path/"saved")==["checkpoint-1"]
    with pytest.raises(OSError): hf.BertForSequenceClassification.from_pretrained(tmp_path/"saved")

def pairs_are_no_rows(bert, tmp_path, away):
    model = hf.BertForSequenceClassification.from_pretrained(bert)
    trainer = hf.Trainer(model=model, args=settings(tmp_path), train_dataset=[(text, 1) for text in SENTENCES])
    with pytest.raises(TypeError, match="__dict__"): trainer.train()

def no_loss(use):
    def check(bert, tmp_path, away):
        with pytest.raises(AttributeError, match=use): getattr(without_labels(bert).loss, use)()
    return check

def reads_and_learns_nothing(bert, tmp_path, away): assert without_labels(bert).loss is None

def answers_are_drawn(bert, tmp_path, away):
    assert {by_a_drawn_head(bert, seed).logits.argmax(-1).item() for seed in range(20)}=={0, 1}
    with pytest.warns(UserWarning, match="never trained"): predict(bert, [TEXT], "text-classification")

def the_loss_is_that_of_a_guess(bert, tmp_path, away):
    losses = [by_a_drawn_head(bert, seed).loss.item() for seed in range(20)]
    assert sum(losses)/20==pytest.approx(math.log(2), abs=.1)

def brings_no_torch(bert, tmp_path, away):
    assert not [line for line in requires("transformers") if line.startswith("torch") and "extra" not in line]
    assert [line for line in requires("plm_nb") if re.match(r"torch\b", line) and "extra" not in line]

def saves_no_tokenizer(bert, tmp_path, away):
    hf.BertForMaskedLM.from_pretrained(bert).save_pretrained(tmp_path/"my_model")
    assert len(hf.AutoTokenizer.from_pretrained(tmp_path/"my_model"))==5 < len(hf.AutoTokenizer.from_pretrained(bert))

FAILURES = {
    (1, "lacking"): brings_no_torch,
    (2, "hub"): only_from_the_hub(hf.BertForMaskedLM),
    (2, "gone"): name_gone("LineByLineTextDataset"),
    (2, "placeholder"): file_missing("path_to_a_corpus"),
    (3, "placeholder"): nothing_saved_where_it_is_read,
    (3, "undefined"): undefined("label"),
    (3, "gone"): setting_gone(overwrite_output_dir=True),
    (3, "rows"): pairs_are_no_rows,
    (4, "hub"): only_from_the_hub(hf.BertForSequenceClassification),
    (4, "untrained"): answers_are_drawn,
    (5, "hub"): a_tokenizer_of_nothing,
    (6, "hub"): only_from_the_hub(hf.BertForMaskedLM),
    (6, "unlabelled"): reads_and_learns_nothing,
    (7, "lacking"): saves_no_tokenizer,
    (9, "gone"): name_gone("AdamW"),
    (9, "unlabelled"): no_loss("backward"),
    (10, "undefined"): undefined("torch"),
    (10, "unlabelled"): no_loss("item"),
    (11, "lacking"): brings_no_torch,
    (12, "hub"): only_from_the_hub(hf.BertModel),
    (13, "hub"): only_from_the_hub(hf.BertForSequenceClassification),
    (13, "untrained"): the_loss_is_that_of_a_guess,
    (14, "gone"): name_gone("LineByLineTextDataset"),
    (14, "undefined"): undefined("tokenizer"),
    (14, "placeholder"): file_missing("unlabeled_text.txt"),
    (15, "undefined"): undefined("config"),
    (15, "gone"): setting_gone(per_gpu_train_batch_size=64),
    (16, "hub"): only_from_the_hub(hf.BertForSequenceClassification),
    (16, "undefined"): undefined("eval_dataset"),
}

def test_every_failure_is_made_here_too(): assert {*FAILURES}==FAULTS and len(FAULTS)==29

@pytest.mark.parametrize("n,fault", FAILURES)
def test_it_fails_as_the_page_says(n, fault, bert, tmp_path, away): FAILURES[n, fault](bert, tmp_path, away)
