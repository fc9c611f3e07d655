"Files with a tag for each word or a place in a page: every dialect gives the same rows, and what is wrong is named by its place."
import json
import os
import warnings
from pathlib import Path
import pandas as pd
import pytest
from datasets import Dataset
from plm_nb.annotations import is_bare, mixed_tags, placed_answers, read_conll, read_squad, tag_problem
from plm_nb.files import InputError
from plm_nb.pipelines import load_task
from plm_nb.text_metrics import spans
from plm_nb.token_classification import TokenClassification

DATA = Path(os.environ.get("PLM_DATA", "/no/such/folder"))

def refused(what, f, *args, **kwargs):
    with pytest.raises(InputError, match=what) as e: f(*args, **kwargs)
    assert "\n" not in str(e.value)
    str(e.value).encode() # can be printed

def said(f, *args, **kwargs):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return f(*args, **kwargs), [str(w.message) for w in found]

# a word a line

@pytest.fixture
def conll(tmp_path):
    def read(text, **columns):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path/"a.conll").write_bytes(data)
        return read_conll(tmp_path/"a.conll", **columns)
    return read

SCHEMES = dict(BIO="B-PER I-PER I-PER O B-LOC", IOB1="I-PER I-PER I-PER O I-LOC", BIOES="B-PER I-PER E-PER O S-LOC",
               BMES="B-PER M-PER E-PER O S-LOC", BILOU="B-PER I-PER L-PER O U-LOC")

@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes(conll, scheme):
    "Whatever the scores read is read, and stands for the same."
    tags = SCHEMES[scheme].split()
    found = conll("".join(f"w {tag}\n" for tag in tags))
    assert found.tags.tolist()==[tags] and spans(found.tags[0])==[(0, 3, "PER"), (4, 5, "LOC")] and not is_bare(tags)

@pytest.mark.parametrize("tags", ["DET NOUN VERB", "DT NN VBZ . , `` '' $ # : -LRB- PRP$", "r n v w", "N O V S E U ^ ~ @",
                                  "0 1 1 0", "O PER PER O", "NN|SG X+Y A/B"])
def test_tags_without_a_mark(conll, tags):
    "Parts of speech of many makers, some of which are called like a mark."
    assert conll("".join(f"w\t{tag}\n" for tag in tags.split())).tags[0]==tags.split() and is_bare(tags.split())

@pytest.mark.parametrize("tags", ["B E S S B M E", "B I B", "B I L U O"])
def test_marks_without_a_type(conll, tags):
    "Where words begin and end, and nothing else, as in files of Chinese whose words are cut apart."
    assert conll("".join(f"字\t{tag}\n" for tag in tags.split())).tags[0]==tags.split() and not is_bare(tags.split())

@pytest.mark.parametrize("text, line, words", [
    ("a B-x\nb x\nc I-x\n", 2, ["'x'", "'B-x'"]), ("a O\n\n# c\nb B-x\nc B\nd I-x\n", 5, ["'B'"]),
    ("a NOUN\nb VERB\nc B-x\n", 3, ["'B-x'", "'NOUN'"]), ("word tag\na B-x\nb O\n", 1, ["'tag'"]),
    ("a O\nb B-x\nc o\n", 3, ["'o'"]), ("a NOUN\nb B_x\n", 2, ["'B_x'"]), ("a O\nb b-x\n", 2, ["'b-x'"]),
    ("a O\nb W-x\n", 2, ["'W-x'"]), ("a O\nb B-\n", 2, ["'B-'"]), ("a O\nb _\n", 2, ["'_'"]),
    ("a\tO\nb\tB-x y\n", 2, ["'B-x y'"]), ("a\tO\n\tO\n", 2, ["''"]), ("a\tO\nb\t\n", 2, ["''"]), ("a O\nb\n", 2, ["1 columns"]),
    ("a b O\nc O\nd e O\n", 2, ["2 columns, not 3"]), ("x\na O\nb O\n", 1, ["1 columns, not 2"])])
def test_what_is_none(conll, text, line, words):
    "A slip is refused with its line and would not become a class; the line that is unlike the others is the one that is named."
    for end in ("\n", "\r\n", "\r"):
        with pytest.raises(InputError) as e: conll(text.replace("\n", end))
        assert f"a.conll: line {line} " in str(e.value) and all(w in str(e.value) for w in words), e.value

def test_mixed_tags_in_a_table():
    "The row of a table, as the line of a file."
    rows = pd.DataFrame(dict(words=[["a"]]*3, tags=[["B-x"], ["O"], ["x"]]))
    refused("t: row 3 has the tag 'x', but others are like 'B-x'", TokenClassification().check, rows, "t")
    refused("t: row 1 has the tag 'B_x'", TokenClassification().check, rows[:1].assign(tags=[["B_x"]]), "t")
    assert mixed_tags(["O"]*3) is None and all(tag_problem(x) for x in (None, 3, "", "B_x", "a-b"))

SAME = [["New", "York"], ["is", "#", "big"]]
@pytest.mark.parametrize("text", [
    "New\tB-x\nYork\tI-x\n\nis\tO\n#\tO\nbig\tO\n", "New B-x\nYork I-x\n\nis O\n# O\nbig O", "New\tB-x\nYork I-x\n\nis\t\tO\n# \tO\nbig   O\n",
    "New NN\tB-x\nYork NN\tI-x\n\nis\tVB O\n#\tX O\nbig\tJJ\tO\n", "  New B-x  \nYork I-x\n \t \n\nis O\n# O\nbig O\n\n\n",
    "-DOCSTART- -X- O\n\nNew NN B-x\nYork NN I-x\n\n-DOCSTART- -X- O\n\nis VB O\n# X O\nbig JJ O\n",
    "-DOCSTART-\nNew B-x\nYork I-x\n-DOCSTART-\nis O\n# O\nbig O\n", "# one\nNew B-x\nYork I-x\n\n# two words more\n#\nis O\n# O\nbig O\n",
    "#\thttp://a.b [1]\n1\tNew\tB-x\tO\n2\tYork\tI-x\tO\n\n#\tx\n1\tis\tO\tO\n2\t#\tO\tO\n3\tbig\tO\tO\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_dialects(conll, text, end, bom):
    "Tabs, spaces, both, documents, comments, ends of lines and a mark at the beginning: the same words."
    columns = dict(word=1, tag=2) if "http" in text else {}
    found = conll(bom+text.replace("\n", end), **columns)
    assert found.words.tolist()==SAME and found.tags.map(spans).tolist()==[[(0, 2, "x")], []]
    lines = (bom+text).split("\n")
    for row in found.itertuples(): assert all(word in lines[n-1] for word,n in zip(row.words, row.line))

def test_spaces_within_words(conll):
    "Between tabs a word is what stands there, also white space that is none of ASCII."
    assert conll("New York\tB-x\nis O\n\u3000\tO\n\u2028\tO\n").words[0]==["New York", "is", "\u3000", "\u2028"]

def test_files_that_were_joined(conll):
    assert conll("a O\n\n\ufeffb O\n").words.tolist()==[["a"], ["b"]]

UD = """# newdoc id = x
# sent_id = 1
# text = Vámonos ya
1-2\tVámonos\t_\t_\t_\t_
1\tVamos\tir\tVERB\tVMM\tMood=Imp
2\tnos\tyo\tPRON\tPP\t_
3\tya\tya\tADV\tR\t_
3.1\tque\tque\t_\t_\t_

# sent_id = 2
1\t#\t#\tSYM\tF\t_
"""

def test_universal_dependencies(conll):
    "Words that are contracted or left out in the text are no words of the sentence; the others are all there."
    found = conll(UD, word=1, tag=3)
    assert found.words.tolist()==[["Vamos", "nos", "ya"], ["#"]] and found.tags[0]==["VERB", "PRON", "ADV"]
    refused("line 4 .* the tag '_'|line 6 .* the tag '_'", conll, UD, word=1) # the last column is no tag

@pytest.mark.parametrize("text, words", [("# newpar\na NOUN\n# SYM\n", [["a", "#"]]), ("a SYM\n\n# SYM\nb NOUN\n", [["a"], ["#", "b"]]),
                                         ("# B-x\na O\n", [["#", "a"]]), ("# newpar\na\tNOUN\n", [["a"]]), ("# O\n", [["#"]])])
def test_comments_and_words(conll, text, words):
    "A line that begins like a comment is a word if its tag is one of the file."
    assert conll(text).words.tolist()==words

def test_half_characters_in_words(conll):
    refused("line 2 has half of a character", conll, "a O\nb\\ud83d B-x\n".encode(), encoding="unicode_escape")
    refused("line 2\\) is not utf-8", conll, b"a O\nb\xed\xa0\xbd B-x\n")

# a place in a page

CONTEXT = "Austen wrote Emma in 1814, and Emma sold."
Q = dict(id="q0", question="Which?", answers=[dict(text="Emma", answer_start=13)])

def nested(*questions, **more): return dict(data=[dict(more, paragraphs=[dict(context=CONTEXT, qas=[*questions])])])

@pytest.fixture
def squad(tmp_path):
    def read(data, name="a.json"):
        (tmp_path/name).write_text(data if isinstance(data, str) else json.dumps(data))
        return read_squad(tmp_path/name)
    return read

NONE = dict(id="q1", question="Why?", is_impossible=True)

@pytest.mark.parametrize("none", [dict(answers=[]), dict(answers=None), {}, dict(answers=[], plausible_answers=Q["answers"])])
@pytest.mark.parametrize("more", [{}, dict(title="t"), dict(title=None), dict(id="x")])
def test_both_versions(squad, none, more):
    "No answers in any form, with plausible ones, which are none; with a title or without."
    found = squad(nested(Q, NONE | none, **more) | dict(version="v2.0"))
    assert found.id.tolist()==["q0", "q1"] and found.impossible.tolist()==[False, True]
    assert placed_answers(found, "x")==[dict(text=["Emma"], answer_start=[13]), dict(text=[], answer_start=[])]

def test_flags_in_quotation_marks(squad):
    found = squad(nested(Q | dict(is_impossible="false"), NONE | dict(is_impossible="True")))
    assert found.impossible.tolist()==[False, True]

ROWS = [dict(id="q0", title="t", context=CONTEXT, question="Which?", answers=dict(text=["Emma"], answer_start=[13])),
        dict(id="q1", title="t", context=CONTEXT, question="Why?", answers=dict(text=[], answer_start=[]))]

@pytest.mark.parametrize("form", ["lines", "one", "list", "data", "to_json", "to_list", "parquet", "jsonl"])
def test_flat_rows(tmp_path, form):
    "As `datasets` and pandas write them, under any of their suffixes."
    path, rows = tmp_path/"a.json", ROWS if form!="one" else ROWS[:1]
    if form in ("to_json", "to_list"): Dataset.from_list(rows).to_json(path, lines=form=="to_json")
    elif form=="parquet": Dataset.from_list(rows).to_parquet(path := tmp_path/"a.parquet")
    else:
        data = dict(list=json.dumps(rows), data=json.dumps(dict(version="1", data=rows)))
        if form=="jsonl": path = tmp_path/"a.jsonl"
        path.write_text(data.get(form) or "\n".join(map(json.dumps, rows))+"\n")
    found, _ = said(load_task, dict(train=path), task="question-answering")
    assert found["train"]["answers"][:]==[row["answers"] for row in rows]
    assert found["train"]["context"][:]==[CONTEXT]*len(rows)

def test_answers_as_a_list_of_objects(tmp_path):
    rows = [dict(row, answers=[dict(text=t, answer_start=s) for t,s in zip(*row["answers"].values())]) for row in ROWS]
    (tmp_path/"a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, _ = said(load_task, dict(train=tmp_path/"a.jsonl"), task="question-answering")
    assert found["train"]["answers"][:]==[row["answers"] for row in ROWS]

@pytest.mark.parametrize("data, where", [
    ([], "no questions in SQuAD's form"), (3, "no questions in SQuAD's form"), (dict(data={}), "no questions in SQuAD's form"),
    (dict(data=[3]), "article 1 is 3"), (dict(data=[dict(title="t")]), "article 1 has no paragraphs"),
    (dict(data=[nested()["data"][0], dict(paragraphs=[dict(context="x")])]), "article 2, paragraph 1 has no qas"),
    (dict(data=[dict(paragraphs=[dict(qas=[Q])])]), "article 1, paragraph 1 has no context"),
    (dict(data=[dict(paragraphs={})]), r"article 1 has \{\} for its paragraphs; give a list"),
    (nested(Q, dict(Q, question=None)), "article 1, paragraph 1, question 2 has None for its question"),
    (nested(Q, dict(question="x")), "article 1, paragraph 1, question 2 has no id"), (nested(["x"]), "article 1, paragraph 1, question 1 is"),
    (nested(dict(Q, question="ok \ud83d")), "article 1, paragraph 1, question 1 has half of a character in its question"),
    ([ROWS[0], dict(ROWS[1], context="\ude00")], "question 2 has half of a character in its context"),
    ([ROWS[0], dict(id="x", context="x", question="y")], "question 2 has no answers"),
    ('{"id": "x"}\n{"id": ', "line 2 is not JSON"), ('{"data":\n[}', "line 2 is not JSON"), ('{}\n\n3 4\n', "line 3 is not JSON")])
def test_wrong_structure(squad, data, where):
    "Named by article, paragraph and question."
    refused(f"a.json: {where}", squad, data)

@pytest.mark.parametrize("answers, what", [([dict(text="x \ud83d", answer_start=0)], "half of a character"), (3, "two lists"),
    ([dict(text="Emma")], "two lists"), ("Emma", "two lists"), (dict(text=["Emma"], answer_start=[]), "two lists"),
    ([dict(text="Emma", answer_start=True)], "whole number"), ([dict(text="Emma", answer_start=13.5)], "whole number"),
    (float("nan"), "two lists")])
def test_wrong_answers(answers, what):
    refused(f"x: question q7.*{what}", placed_answers, pd.DataFrame([dict(id="q7", context=CONTEXT, answers=answers)]), "x")

def test_answers_that_are_nowhere_are_counted():
    wrong = [dict(id=f"q{i}", context=CONTEXT, answers=[dict(text="Emma" if i%2 else "Ada", answer_start=13)]) for i in range(5)]
    refused(r"x: question q0: the answer 'Ada' is not at 13, where .*; correct answer_start \(3 questions have such an answer\)",
            placed_answers, pd.DataFrame(wrong), "x")
    refused("correct answer_start$", placed_answers, pd.DataFrame(wrong[:2]), "x")

@pytest.mark.parametrize("data", ["["*5000, "9"*5000, '{}\n'+"["*5000], ids=["brackets", "digits", "a line of brackets"])
def test_what_json_cannot_hold(squad, data): refused("a.json: line [12] is not JSON", squad, data)

# three ways to count

UNITS = dict(characters=lambda s: len(s), utf16=lambda s: len(s.encode("utf-16-le"))//2, utf8=lambda s: len(s.encode()))
PAGES = ["👩🏽‍🔬 Ada: yes. 👨🏽‍🌾 Bo: no. 👩🏽‍🔬 Ada: no. 👨🏽‍🌾 Bo: yes. "*3, "Zoë und Zoé und Zoë und Zoé. "*4, "𠮷野家は吉野家か𠮷野家か"*3, "plain Ada, Ada, Ada"]

@pytest.mark.parametrize("unit", UNITS)
def test_units(unit):
    "Every occurrence of a word that stands many times is found, in whichever unit the file counts; it is said once."
    rows, right = [], []
    for i,(page,word) in enumerate(zip(PAGES, ["Ada", "Zoë", "野家", "Ada"])):
        places = [j for j in range(len(page)) if page.startswith(word, j)]
        starts = [UNITS[unit](page[:j]) for j in places]
        rows.append(dict(id=f"q{i}", context=page, answers=dict(text=[word]*len(places), answer_start=starts)))
        right.append(places)
    found, warned = said(placed_answers, pd.DataFrame(rows), "a.json")
    assert [answers["answer_start"] for answers in found]==right
    assert len(warned)==(unit!="characters") and all("UTF" in w and "converted" in w for w in warned)

@pytest.mark.parametrize("start, place", [(13, 13), (12, 13), (17, 13), (30, 31), (21, 13), (24, 31), (22, None), (99, None), (2, None)])
def test_the_nearest(start, place):
    "Within ten characters; two that are as near are refused."
    rows = pd.DataFrame([dict(id="q", context=CONTEXT, answers=dict(text=["Emma"], answer_start=[start]))])
    if place is None: return refused("question q: the answer 'Emma' is not at", placed_answers, rows, "x")
    found, warned = said(placed_answers, rows, "x")
    assert found[0]["answer_start"]==[place] and len(warned)==(start!=place)

def test_one_slip_in_another_unit():
    "One answer of a file of characters that stands where it says in bytes, and near another one in characters."
    page = "«Zoë» «Zoë» Zoë"
    rows = pd.DataFrame([dict(id="q", context=page, answers=dict(text=["Zoë", "«Zoë", "»", "Zoë"], answer_start=[1, 6, 4, len(page[:7].encode())]))])
    found, warned = said(placed_answers, rows, "x")
    assert found[0]["answer_start"]==[1, 6, 4, 7] and len(warned)==1 and "1 answers moved" in warned[0]

def test_real_pages():
    "CMRC counts units of UTF-16, and exactly; XQuAD counts characters."
    for name,kinds in {"cmrc2018/cmrc2018_dev.json": ["7 more", "193 answers stand nowhere"], "cmrc2018/cmrc2018_trial.json": ["5 more"],
                       "xquad/xquad.en.json": [], "xquad/xquad.zh.json": []}.items():
        if not (DATA/name).is_file(): pytest.skip(f"no {name} here; PLM_DATA may name the folder that holds it")
        found, warned = said(placed_answers, rows := read_squad(DATA/name), name)
        assert len(warned)==len(kinds) and all(kind in w for kind,w in zip(kinds, warned)), warned
        for page,answers in zip(rows.context, found):
            for text,start in zip(answers["text"], answers["answer_start"]): assert start==-1 or page.startswith(text, start)
