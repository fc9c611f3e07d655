"Files as people have them: nothing is repaired silently, what is broken is named, and copies stay on one side."
import json, os, random, subprocess, sys
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from plm_nb.data import (InputError, drop_copies, hold_out, load_corpus, normalize, read_table, read_text,
                         split_of)

def file(folder, name, content):
    "Write `content`, str or bytes, and give the path back."
    path = folder/name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path

def refused(f, *args, words=(), **kwargs):
    "Assert that `f` raises an `InputError` of one line that holds `words`."
    with pytest.raises(InputError) as e: f(*args, **kwargs)
    assert "\n" not in str(e.value)
    for w in words: assert w in str(e.value)

ODD = ["a\r\nb\r\n", "a\rb\r", "a\x00b", "  a \n\n\n b\t\n", "e\u0301 é \u2028 \x85 \x0b \x1c x", "狗 🦜 [MASK] <s>",
       "a"*1_000_000, '"a', "a,b\tc\n\"d\"", "\u200b", "x\ufeffy"]

@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_text_stays_as_it_is(tmp_path, text):
    "A `.txt` file is one document, byte for byte, and its two splits together are the file."
    path = file(tmp_path, "a.txt", text)
    assert read_text(path)==text
    if len(text)<2: return
    splits = load_corpus(path, holdout="tail:0.5")
    assert "".join(splits[s]["text"][0] for s in ("train", "validation"))==text

def test_byte_order_mark(tmp_path):
    "A mark at the start is no text, in a text, a table and JSON lines."
    assert read_text(file(tmp_path, "a.txt", b"\xef\xbb\xbfcat"))=="cat"
    assert list(read_table(file(tmp_path, "a.csv", b"\xef\xbb\xbftext,label\na,b\n")))==["text", "label"]
    assert read_table(file(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"text": "a"}\n')).text.tolist()==["a"]

def test_encodings(tmp_path):
    "Other encodings are read if named, and the first wrong byte is told if not."
    for name in ("latin-1", "utf-16", "cp1252"):
        path = file(tmp_path, name+".txt", ("eins zwei\nüber Größe\n"*20).encode(name))
        assert read_text(path, name)=="eins zwei\nüber Größe\n"*20
        refused(read_text, path, words=[name+".txt", "byte ", "line ", "not utf-8"])
    refused(read_text, path, "klingon", words=["klingon", "utf-8"])

@pytest.mark.parametrize("content", ["", " \n\t\r\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a.jsonl"])
def test_nothing_to_read(tmp_path, name, content):
    "An empty file, one of white space, and one of a byte-order mark."
    path = file(tmp_path, name, content)
    refused(load_corpus, path, words=[name, "at least one word"])

CSV = [('a,b\r\n"x, y","say ""hi""\nyou"\r\n', [["x, y", 'say "hi"\nyou']]),
       ("a,b\n\n1,\n\n,2\n", [["1", ""], ["", "2"]]),
       ("a,b\r1,2\r", [["1", "2"]]), ("a,b\nNA,null\n007,1e3\n", [["NA", "null"], ["007", "1e3"]]),
       ("a,b\nx\x00y,z", [["x\x00y", "z"]])]

@pytest.mark.parametrize("text, rows", CSV, ids=range(len(CSV)))
def test_csv(tmp_path, text, rows):
    "Quotes, line ends of three systems, empty cells, and words that other readers take for numbers."
    table = read_table(file(tmp_path, "a.csv", text))
    assert list(table)==["a", "b"] and table.values.tolist()==rows

def test_tsv_knows_no_quotes(tmp_path):
    "In a tsv file a quotation mark is a character; without a header columns are numbered."
    table = read_table(file(tmp_path, "a.tsv", 'say "hi\t\'x\'\r\n"a"\t \r\n'), header=False)
    assert list(table)==[0, 1] and table.values.tolist()==[['say "hi', "'x'"], ['"a"', " "]]

def test_long_cell(tmp_path):
    "A cell of a megabyte is a cell."
    for sep,name in ((",", "a.csv"), ("\t", "a.tsv")):
        assert len(read_table(file(tmp_path, name, f"text{sep}n\n{'a '*500_000}{sep}1\n")).text[0])==1_000_000

FAULTS = [("a.csv", "a,b\n1,2\n1,2,3\n", ["line 3", "3 columns"]), ("a.tsv", "a\tb\n\n1\n", ["line 3", "1 columns"]),
          ("a.csv", 'a,b\n"1,2\n', ["line", "quotation"]), ("a.jsonl", '{"a": 1}\n\n{"a": }\n', ["line 3", "not JSON"]),
          ("a.jsonl", '{"a": 1}\n[1]\n', ["line 2", "list"]), ("a.jsonl", '{"a": 1} {"a": 2}\n', ["line 1"]),
          ("a.csv", "text,text\na,b\n", ["text"]), ("a.parquet", "not a parquet file", ["a.parquet"])]

@pytest.mark.parametrize("name, text, words", FAULTS, ids=range(len(FAULTS)))
def test_broken_table(tmp_path, name, text, words):
    "Uneven rows, open quotes, faults in JSON, a column that stands twice, a file of another kind: which and where."
    refused(read_table, file(tmp_path, name, text), words=[name, *words])

def test_texts_of_a_table(tmp_path):
    "Rows of white space are skipped; a text that is missing or no text is an error with its row."
    rows = [dict(text="a b", body="c"), dict(text=" ", body="d"), dict(text="e f", body=None)]
    path = file(tmp_path, "a.jsonl", "".join(json.dumps(r)+"\n" for r in rows))
    splits = load_corpus(path, holdout="tail:0.5")
    assert [r for s in ("train", "validation") for r in splits[s]["text"]]==["a b", "e f"]
    refused(load_corpus, path, "body", words=["row 3", "body"])
    refused(load_corpus, path, "title", words=["title", "text, body"])
    pd.DataFrame(dict(text=[1, 2])).to_parquet(tmp_path/"a.parquet")
    refused(load_corpus, tmp_path/"a.parquet", words=["a.parquet", "row 1"])
    refused(load_corpus, file(tmp_path, "b.csv", "text,label\n"), words=["b.csv", "at least one text"])

def test_folder(tmp_path):
    "Every file of a folder, in the order of the names, under its relative path."
    (tmp_path/"sub").mkdir()
    for i,name in enumerate(["b.txt", "a.txt", "sub/c.txt", "ignored.md"]): file(tmp_path, name, f"text {i}")
    splits = load_corpus(tmp_path, holdout="tail:0.4")
    rows = {r["id"].removeprefix(tmp_path.name+"/"): r["text"] for ds in splits.values() for r in ds}
    assert list(rows.items())==[("a.txt", "text 1"), ("b.txt", "text 0"), ("sub/c.txt", "text 2")]

@pytest.mark.parametrize("share", [.1, .3, .5])
@pytest.mark.parametrize("how", ["tail", "random"])
def test_hold_out(how, share):
    "Each document in one split only; the shares are what was asked; the order of rows moves nothing in a random draw."
    rows = [(f"d{i}", f"document {i}") for i in range(2000)]
    splits = hold_out(rows, f"{how}:{share}")
    got = {s: list(zip(splits[s]["id"], splits[s]["text"])) for s in splits}
    assert sorted(got["train"]+got["validation"])==sorted(rows)
    assert abs(len(got["validation"])/2000 - share)<.04
    if how=="tail": assert got["train"]+got["validation"]==rows
    random.Random(0).shuffle(rows)
    again = hold_out(rows, f"random:{share}")["validation"]["id"]
    if how=="random": assert set(again)=={k for k,_ in got["validation"]}

def test_copies_on_one_side():
    "Two copies that differ in case and white space never stand on both sides."
    rows = [(f"{c}{i}", t) for i in range(300) for c,t in (("a", f"The document {i}"), ("b", f" the  DOCUMENT\n{i} "))]
    splits = hold_out(rows, "random:0.2")
    train, held_out = ({normalize(t) for t in splits[s]["text"]} for s in ("train", "validation"))
    assert not train & held_out and len(train | held_out)==300
    assert len(splits["validation"])%2==0

@pytest.mark.parametrize("bad", "tail tail: tail:x tail:0 tail:1 tail:nan head:0.1 random:-1 0.1".split())
def test_wrong_holdout(bad):
    "Every malformed share is refused with an example of a right one."
    rows = [("a", "one"), ("b", "two"), ("c", "three"), ("d", "four")]*5
    refused(hold_out, rows, bad, words=[bad, "tail:0.1"])
    refused(hold_out, rows[:2], "tail:0.9", words=["tail:0.9", "another share"])

PROGRAM = """
import sys
from plm_nb.data import hold_out, split_of
rows = [(f"d{i}", f"document {i}") for i in range(500)]
print(*map(split_of, (k for k,_ in rows)), *hold_out(rows, "random:0.2")["validation"]["id"])
"""

def test_the_split_is_the_same_in_another_process():
    "The hash seed of Python and its locale decide nothing."
    env = os.environ | dict(PYTHONHASHSEED="1", LC_ALL="C")
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True, capture_output=True, text=True)
    rows = [(f"d{i}", f"document {i}") for i in range(500)]
    here = [split_of(k) for k,_ in rows] + hold_out(rows, "random:0.2")["validation"]["id"][:]
    assert run.stdout.split()==here
    assert abs(here.count("test")-50)<25 and abs(here.count("validation")-50)<25

@pytest.mark.parametrize("seed", range(5))
def test_drop_copies(seed):
    "No paragraph is left twice, none is invented, and doing it again changes nothing."
    rng = random.Random(seed)
    some = [f"Paragraph {i}" for i in range(30)]
    change = [str, str.upper, lambda t: t.replace(" ", "  ")]
    def document(): return "\n\n".join(rng.choice(change)(p) for p in rng.sample(some, rng.randrange(1, 4)))
    rows = [(f"d{i}", document()) for i in range(40)]
    kept = drop_copies(rows)
    left = [normalize(p) for _,t in kept for p in t.split("\n\n")]
    assert 0<len(left)==len(set(left)) and drop_copies(kept)==kept
    assert kept[0]==rows[0] and set(dict(kept))<=set(dict(rows))
    for key,text in kept: assert set(text.split("\n\n"))<=set(dict(rows)[key].split("\n\n"))

def test_a_hub_corpus(monkeypatch):
    "A published data set keeps its validation split; without one a share of its training split is held out."
    texts = [f"text {i}" for i in range(200)]
    def published(**splits):
        hub = DatasetDict({s: Dataset.from_dict(dict(body=rows)) for s,rows in splits.items()})
        monkeypatch.setattr("plm_nb.data.load_hub", lambda source: hub)
    published(train=texts, validation=["one", " ", "two"])
    corpus = load_corpus("owner/name", text="body")
    assert corpus["validation"].to_dict()==dict(id=["validation:0", "validation:2"], text=["one", "two"])
    published(train=texts)
    corpus = load_corpus("owner/name", text="body")
    assert sorted(corpus["train"]["text"][:]+corpus["validation"]["text"][:])==sorted(texts)
    refused(load_corpus, "owner/name", words=["owner/name", "no column 'text'", "body"])
