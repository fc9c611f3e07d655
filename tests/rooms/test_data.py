"Files as people have them: nothing is repaired silently, what is broken is named, and copies stay on one side."
import gzip, json, math, os, random, subprocess, sys, warnings
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from plm_nb.data import drop_copies, hold_out, load_corpus, load_saved, normalize, split_of
from plm_nb.files import InputError, check_positive, check_share, check_whole, each_text
from plm_nb.files import flat_index, has_half_character, read_table, read_text, suffix_of

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

ODD = ["a\r\nb\r\n", "a\rb\r", "a\x01b", "  a \n\n\n b\t\n", "e\u0301 é \u2028 \x85 \x0b \x1c x", "狗 🦜 [MASK] <s>",
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
       ("a,b\nx\x01y,z", [["x\x01y", "z"]])]

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
    refused(load_corpus, tmp_path/"a.parquet", words=["a.parquet", "row 1", "int"])
    refused(load_corpus, file(tmp_path, "b.csv", "text,label\n"), words=["b.csv", "at least one text"])

def test_folder(tmp_path):
    "Every file of a folder, in the order of the names, under its relative path."
    (tmp_path/"sub").mkdir()
    for i,name in enumerate(["b.txt", "a.txt", "sub/c.txt", "ignored.md"]): file(tmp_path, name, f"text {i}")
    with pytest.warns(UserWarning, match=": ignored.md$"): splits = load_corpus(tmp_path, holdout="tail:0.4")
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

WRONG = [0, -1, -.5, float("nan"), float("inf"), -math.inf, np.float32("nan"), True, np.bool_(True), "3", [1], 1+0j]

@pytest.mark.parametrize("value", WRONG, ids=map(repr, WRONG))
def test_wrong_numbers(value):
    "What is no number, not finite or not above 0 is named with its value; 0 is a share, True is none."
    refused(check_positive, steps=1, rate=value, words=["rate ", str(value), "more than 0"])
    refused(check_whole, rate=value, words=["rate ", str(value), "whole and more than 0"])
    if value!=0 or value is True: refused(check_share, rate=value, words=["rate ", "from 0 to 1"])

def test_right_numbers():
    "Numbers of numpy are numbers; None is a setting that is left open."
    check_positive(a=None, b=1e-9, c=10**30, d=np.int64(1), e=np.float32(.1))
    check_whole(a=None, b=1, c=10**30, d=np.int64(1))
    check_share(a=None, b=0, c=1, d=.5, e=np.float32(1))
    refused(check_whole, n=1., words=["n 1.0", "whole"])
    refused(check_share, n=1.01, words=["n 1.01"])

@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.tsv", "A.Tsv", "a.jsonl", "a.ndjson", "a.NDJSON", "a.json"])
def test_a_table_of_any_system(tmp_path, name, packed, mark, end):
    "Three line ends, with and without a byte-order mark, packed and not, its suffix in any case: the same rows."
    kind = name.lower()[1:]
    lines = {".csv": ["text,label", "é b,+", "c,-"], ".tsv": ["text\tlabel", "é b\t+", "c\t-"]}
    lines = lines.get(kind, ['{"text": "é b", "label": "+"}', '{"text": "c", "label": "-"}'])
    content = mark + "".join(line+end for line in lines).encode()
    path = file(tmp_path, name+".GZ"*packed, gzip.compress(content) if packed else content)
    assert suffix_of(path)==kind
    assert read_table(path).to_dict("list")==dict(text=["é b", "c"], label=["+", "-"])
    splits = load_corpus(path, holdout="tail:0.5")
    assert [splits[split]["text"][0] for split in splits]==["é b", "c"]

def test_a_text_of_any_suffix(tmp_path):
    "A packed text, and one in capitals, is a corpus; a suffix that nobody reads is named."
    path = file(tmp_path, "a.TXT.gz", gzip.compress("one\r\ntwo ".encode()*20))
    assert "".join(load_corpus(path)[split]["text"][0] for split in ("train", "validation"))=="one\r\ntwo "*20
    for name in ("a.md", "a.xlsx", "a"):
        refused(load_corpus, file(tmp_path, name, "text"), words=["cannot read", name[1:] or "suffix", ".ndjson"])
        refused(read_table, tmp_path/name, words=["cannot read", ".csv"])

def test_json_arrays(tmp_path):
    "An array of objects, over any number of lines; what is no object is named by its place."
    rows = [dict(text="a"), dict(text="b")]
    for indent in (None, 1): assert read_table(file(tmp_path, "a.json", json.dumps(rows, indent=indent))).text.tolist()==["a", "b"]
    refused(read_table, file(tmp_path, "a.json", '[{"text": "a"}, 5]'), words=["a.json: entry 2 is int"])
    refused(read_table, file(tmp_path, "a.json", '[{"text": "a"}'), words=["a.json", "not JSON"])
    refused(read_table, file(tmp_path, "a.json", json.dumps(dict(data=rows), indent=1)), words=["line 1", "array"])

SEMICOLONS = [("name;price\ntea;1,50\n", ["name", "price"]), ('"a, b";c\n"x;y";z\n', ["a, b", "c"]),
              ('"name; price"\ntea\n', ["name; price"]), ("a;b,c\nx,y\n", ["a;b", "c"]), ("text\na; b\n", ["text"])]

@pytest.mark.parametrize("text, columns", SEMICOLONS, ids=range(len(SEMICOLONS)))
def test_semicolons(tmp_path, text, columns):
    "Semicolons part cells where the header has them, outside of quotation marks, and no comma."
    assert read_table(file(tmp_path, "a.csv", b"\xef\xbb\xbf"+text.encode())).columns.tolist()==columns

def test_semicolons_without_a_header(tmp_path):
    "Without a header nothing shows what a semicolon is."
    path = file(tmp_path, "a.csv", "good;+\nbad;-\n")
    refused(read_table, path, False, words=["a.csv", "semicolons", "header"])
    refused(load_corpus, path, 0, words=["a.csv", "semicolons", "header"])

@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_null_of_a_database(tmp_path, name):
    "`\\N` is a missing cell, and no text; beside it stand texts that only look like it."
    sep = "," if name=="a.csv" else "\t"
    path = file(tmp_path, name, f"text{sep}other\nNULL{sep}\\N\n\\N a{sep}x\n")
    table = read_table(path)
    assert table.text.tolist()==["NULL", "\\N a"] and table.other.isna().tolist()==[True, False]
    refused(load_corpus, path, "other", words=[name, "row 1", "'other'", "missing"])

def test_cells_that_are_no_text(tmp_path):
    "Lists, dicts, bytes, numbers and gaps in a column of texts: the row from 1, the column, one line."
    cells = [["a", "b"], [{"a": 1}], b"bytes", 1.5, float("nan"), None, True]
    for i,cell in enumerate(cells):
        path = tmp_path/f"{i}.parquet"
        pd.DataFrame(dict(text=["a"]*2, body=[cell]*2)).to_parquet(path)
        refused(load_corpus, path, "body", words=[path.name, "row 1", "'body'", "give a text"])

def test_flat_index(tmp_path):
    "The index of a data frame is a column if it has a name, and nothing if it has none, from parquet too."
    plain = pd.DataFrame(dict(n=[1, 2]))
    odd = [plain, plain.set_axis([5, 3]), plain.rename_axis("id"), plain.set_axis(["x", "y"]).rename_axis("id"),
           pd.DataFrame(dict(n=[1, 2]), index=pd.MultiIndex.from_tuples([(0, "x"), (1, "y")], names=[None, "id"]))]
    for i,table in enumerate(odd):
        table.to_parquet(tmp_path/f"{i}.parquet")
        for flat in (flat_index(table), read_table(tmp_path/f"{i}.parquet")):
            assert flat.columns.tolist()==["n"] if i<2 else ["id", "n"]
            assert flat.index.tolist()==[0, 1] and flat.n.tolist()==[1, 2]
    refused(flat_index, plain.rename_axis("n"), words=["'n'"])

HALF = "ok \ud83d"

def test_half_a_character(tmp_path):
    "In a file it is named by its line, wherever in the row; in a list by its row. Two halves are a character."
    assert has_half_character(HALF) and not has_half_character("ok \U0001f642")
    whole, cut = json.dumps(dict(text="ok \U0001f642")), json.dumps(dict(text=HALF))
    assert read_table(file(tmp_path, "a.jsonl", whole+"\n"+json.dumps(dict(text="\\ud83d")))).text.tolist()==["ok \U0001f642", "\\ud83d"]
    for f in (read_table, load_corpus):
        refused(f, file(tmp_path, "a.jsonl", f"{whole}\n\n{cut}\n"), words=["a.jsonl", "line 3", "half of a character"])
        refused(f, file(tmp_path, "a.json", f"[{whole},{cut}]"), words=["a.json", "entry 2", "half of a character"])
    for row in (dict(label=HALF), {HALF: 1}, dict(text=[dict(a=HALF)])):
        refused(read_table, file(tmp_path, "a.jsonl", json.dumps(row)), words=["line 1", "half of a character"])
    refused(hold_out, [("a", "one"), ("b", HALF)], words=["row 2", "half of a character"])
    assert list(each_text(iter(["a", ""])))==["a", ""]

def test_what_a_folder_passes_over(tmp_path):
    "Empty files, tables without rows, what a Mac leaves and hidden folders are named; others of the hidden are not."
    texts = {"a.txt": "one", "b.txt": "two", "empty.txt": " \n", "head.csv": "text,label\n", "._a.txt": b"\x00\x05\xff",
             "__MACOSX/._b.txt": b"\xff", ".DS_Store": b"\xff", ".git/config": "x", ".ipynb_checkpoints/a.txt": "one"}
    for name,content in texts.items():
        (tmp_path/name).parent.mkdir(exist_ok=True)
        file(tmp_path, name, content)
    with pytest.warns(UserWarning) as said: splits = load_corpus(tmp_path, holdout="tail:0.5")
    assert [splits[split]["text"][:] for split in ("train", "validation")]==[["one"], ["two"]]
    [warning] = said
    for name in ("empty.txt", "head.csv", "._a.txt", "__MACOSX/._b.txt", ".ipynb_checkpoints/a.txt"): assert name in str(warning.message)
    assert "DS_Store" not in str(warning.message) and "config" not in str(warning.message)
    file(tmp_path, "latin.txt", "é".encode("latin-1"))
    refused(load_corpus, tmp_path, words=["latin.txt", "not utf-8"])
    for name in ("a.txt", "b.txt", "latin.txt"): (tmp_path/name).unlink()
    refused(load_corpus, tmp_path, words=["with text", "empty.txt"])

LAYOUTS = [["train.txt", "validation.txt", "test.txt"], ["Train.tsv", "dev.tsv", "test.tsv"], ["train/1.txt", "val/1.txt", "test/1.txt"],
           ["train-00000-of-00001.jsonl", "valid-00000-of-00001.jsonl", "test-00000-of-00001.jsonl"]]

@pytest.mark.parametrize("names", LAYOUTS, ids=range(len(LAYOUTS)))
def test_a_folder_with_splits(tmp_path, names):
    "Files that are called after the splits are the splits: no test text is learned."
    def write(name, text):
        (tmp_path/name).parent.mkdir(exist_ok=True)
        content = {".tsv": f"text\tlabel\n{text}\t+\n", ".jsonl": json.dumps(dict(text=text))}
        file(tmp_path, name, content.get(suffix_of(name), text))
    for name,text in zip(names, ["one", "two", "three"]): write(name, text)
    splits = load_corpus(tmp_path)
    assert {split: splits[split]["text"][:] for split in splits}==dict(train=["one"], validation=["two"], test=["three"])
    (tmp_path/names[1]).unlink()
    if "/" in names[0]: # a folder for each split, of any number of files
        write("train/2.txt", "four")
        assert {split: len(rows) for split,rows in load_corpus(tmp_path).items()}==dict(train=1, validation=1, test=1)
    write("more.txt", "five")
    assert "test" not in load_corpus(tmp_path)

def test_a_saved_data_set(tmp_path):
    "What `save_to_disk` wrote is a corpus, with its splits or without."
    rows = Dataset.from_dict(dict(body=[f"text {i}" for i in range(100)]))
    rows.save_to_disk(tmp_path/"one")
    DatasetDict(train=rows, validation=rows.select([0]), test=rows.select([1])).save_to_disk(tmp_path/"three")
    assert sum(map(len, load_corpus(tmp_path/"one", "body").values()))==100
    three = load_corpus(tmp_path/"three", "body")
    assert {split: len(three[split]) for split in three}==dict(train=100, validation=1, test=1)
    refused(load_corpus, tmp_path/"three", words=["three", "no column 'text'", "body"])
    refused(load_corpus, tmp_path/"three", "body", "tail:0.2", words=["tail:0.2", "has a validation split"])
    refused(load_corpus, "docs", holdout="tail:0.2", words=["tail:0.2", "docs has a validation split"])
    assert load_saved(tmp_path) is None
    file(tmp_path, "dataset_info.json", "{}")
    refused(load_saved, tmp_path, words=["cannot be read"])
    DatasetDict(test=rows).save_to_disk(tmp_path/"test")
    refused(load_corpus, tmp_path/"test", "body", words=["no split train", "test"])

@pytest.mark.parametrize("n", range(2, 12))
def test_few_documents(n):
    "A share that nobody gave is never too small: at least one document is held out, and its copies with it."
    rows = [(f"d{i}", f"document {i}") for i in range(n)]
    splits = hold_out(rows+rows)
    sides = [set(splits[split]["text"]) for split in ("train", "validation")]
    assert all(sides) and not sides[0] & sides[1] and len(splits["validation"])%2==0
    refused(hold_out, rows[:1]*n, words=["copies of one text"])
    refused(hold_out, rows, "random:0.0001", words=["random:0.0001", "another share"])

def test_the_advice_can_be_followed(tmp_path):
    "Whoever is told to name an encoding can: of a file, a table and a folder."
    for name,text in {"a.txt": "café "*20, "b.csv": "text\ncafé\n"}.items():
        file(tmp_path, name, text.encode("latin-1"))
        refused(load_corpus, tmp_path/name, words=[name, "name its encoding"])
    refused(load_corpus, tmp_path, words=["name its encoding"])
    splits = load_corpus(tmp_path, encoding="latin-1")
    assert all("café" in text for rows in splits.values() for text in rows["text"])
