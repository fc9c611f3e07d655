"Embedded data sets: true answers, one split for all of them, and nothing that gives the answer away."
import re
import pytest
from plm_nb.data import load_docstrings, normalize, split_of
from plm_nb.files import InputError
from plm_nb.pipelines import TASKS
from plm_nb.question_answering import parameters
from plm_nb.text_classification import anonymous
from plm_nb.text_generation import ui_zh
from plm_nb.token_classification import mentions

EMBEDDED = {name: (task, make) for task,kind in TASKS.items() for name,make in kind.datasets.items()}

@pytest.fixture(scope="module")
def embedded():
    "Every task that is always there."
    return {name: make() for name,(_,make) in EMBEDDED.items() if name!="ui-zh"}

@pytest.mark.parametrize("name", [n for n in EMBEDDED if n!="ui-zh"])
def test_shape_and_sizes(embedded, name):
    "Three splits in the shape of the task, eight of ten rows for training."
    rows = {p: len(ds) for p,ds in embedded[name].items()}
    assert list(rows)==["train", "validation", "test"] and .75<rows["train"]/sum(rows.values())<.85 and rows["test"]>200
    if features := TASKS[EMBEDDED[name][0]].columns: assert all(ds.features==features for ds in embedded[name].values())

def test_one_split(embedded):
    "A question is in the split of its page, and so are the dialogues."
    for part,ds in embedded["docs-types"].items(): assert {split_of(i.rpartition(":")[0]) for i in ds["id"]}=={part}
    for part,ds in embedded["docs-chat"].items():
        assert {split_of(m[0]["content"].split()[2]) for m in ds["messages"]}=={part}

def test_no_page_in_two_parts(embedded):
    "Neither a page nor a body nor a question of one split stands in another."
    texts = {"docs-types": lambda r: r["context"], "docs-headline": lambda r: r["text"],
             "docs-chat": lambda r: r["messages"][0]["content"], "docs-code": lambda r: " ".join(r["words"])}
    for name,text in texts.items():
        train, test = ({normalize(text(r)) for r in embedded[name][p]} for p in ("train", "test"))
        assert not train & test, name

def test_types_stand_in_their_pages(embedded):
    "Every answer at its place; a name that is asked in vain is nowhere in the page; ids are ids."
    for ds in embedded["docs-types"].values():
        assert len(set(ds["id"]))==len(ds)
        for r in ds:
            name = r["question"].removesuffix("?").split()[-1]
            for t,s in zip(r["answers"]["text"], r["answers"]["answer_start"]): assert r["context"][s:s+len(t)]==t
            if not r["answers"]["text"]: assert not re.search(rf"\b{name}\b", r["context"])

def test_names_asked_in_vain_are_ordinary(embedded):
    "Half of the names of impossible questions are also asked with an answer: the name alone decides nothing."
    asked = {bool(k): {r["question"] for r in embedded["docs-types"]["train"] if bool(r["answers"]["text"])==k} for k in (True, False)}
    both = [r for r in embedded["docs-types"]["train"] if not r["answers"]["text"] and r["question"] in asked[True]]
    assert len(both)>.5*sum(not r["answers"]["text"] for r in embedded["docs-types"]["train"])

DOCS = [("F.\n\nParameters\n----------\na : {'x', 'default'}, default 'x'\n    T.\nb, c : int or None, optional (default=3)\n    T.\n"
         "\nReturns\n-------\nd : float\n    T.", [("a", "{'x', 'default'}"), ("b", "int or None"),
                                                   ("c", "int or None")]),
        ("F.\n\nArgs:\n    x (Tensor): t.\n    y (`str` or `os.PathLike`, *optional*): t.\n    z: no type.\n\nReturns:\n    w (int): t.",
         [("x", "Tensor"), ("y", "`str` or `os.PathLike`")]),
        ("F.\n\nParameters:\n    config ([`~m.Config`]): t.", [("config", "m.Config")]),
        ("a : int is no list of parameters", [])]

@pytest.mark.parametrize("doc, found", DOCS, ids=range(len(DOCS)))
def test_parameters(doc, found):
    "Two manners of writing, defaults, several names, sections that list something else."
    given = parameters(doc)
    assert [p[:2] for p in given]==found
    for _,kind,start in given: assert doc.startswith(kind, start)

def test_parameters_of_every_page():
    "Each type stands where it is said to."
    for doc in load_docstrings().doc:
        for _,kind,start in parameters(doc): assert doc.startswith(kind, start)

MARKS = [("``a.b`` c", "a.b c", "B-API O"), ("`a = 1`.", "a = 1 .", "B-API I-API I-API O"),
         ("see :class:`~x.Y`s", "see x.Y s", "O B-API O"),
         ("[`a`], `b`_", "a , b", "B-API O B-API"), ("`the guide <http://x.y>`__ .", "the guide .", "O O O"),
         ("no marks", "no marks", "O O")]

@pytest.mark.parametrize("text, words, tags", MARKS)
def test_mentions(text, words, tags):
    "Marks of two languages are gone, and what stood in them is tagged."
    assert [" ".join(x) for x in mentions(text)]==[words, tags]

def test_names_of_libraries_are_blanked():
    "Whole words in any case, and nothing inside of another word."
    assert anonymous("NumPy and torch.nn, sklearn-like; numpyish")=="and .nn, -like; numpyish"

def test_docs_package(embedded):
    "Eight classes, no name of a library left, and all classes in every split."
    task = embedded["docs-package"]
    assert len(task["train"].features["label"].names)==8
    for part in task.values(): assert all(t==anonymous(t) for t in part["text"]) and len(set(part["label"]))==8

def test_ui_zh():
    "Chinese for English, no English text in two splits; without the package, the name of the extra."
    with pytest.raises(InputError, match=r"plm_nb\[zh\]"): ui_zh("no_such_language_pack")
    try: task = ui_zh()
    except InputError: pytest.skip("jupyterlab-language-pack-zh-CN is not installed")
    assert sum(map(len, task.values()))>2500
    for part,ds in task.items():
        assert {split_of(normalize(t)) for t in ds["text"]}=={part}
        assert all(re.search("[\u4e00-\u9fff]", t[0]) for t in ds["target"])
