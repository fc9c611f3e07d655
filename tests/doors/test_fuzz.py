"""Whatever stands in a row, in a file or in a text: it is taken as it is, or an `InputError` of one line names the place.

`pytest` tries about 2,000 cases; `python tests/doors/test_fuzz.py --cases 100000` tries as many as one likes. Of 20 cases, ten are rows
with one odd value, six are files with damaged bytes, two are files that must come back as they were written, and two are tokenizers."""
import argparse, gzip, json, math, re, shutil, tempfile, time, warnings, zipfile
from pathlib import Path
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, disable_progress_bars
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from plm_nb.annotations import read_conll, read_squad
from plm_nb.arpa import read_arpa, write_arpa
from plm_nb.benchmarks import benchmark_named, read_benchmark, read_tests
from plm_nb.data import load_corpus
from plm_nb.files import InputError, json_lines, read_table, read_text
from plm_nb.minimal_pairs import read_pairs
from plm_nb.models import build, saved_config
from plm_nb.ngram import NGram
from plm_nb.pipelines import inputs_of, load_task, task, verify
from plm_nb.runs import Run
from plm_nb.tables import class_name
from plm_nb.text_generation import read_parallel
from plm_nb.tokenizer import KINDS, SPECIALS, encode, load_tokenizer, report, train_tokenizer

words = st.text(max_size=8) | st.sampled_from(["", " ", "\ud83d", "a\ud83d", "\ufeffa", "\0", "O", "B-x", "user", "-1", "nan"])
scalars = st.none() | st.booleans() | st.integers(-2, 3) | st.integers() | st.floats() | words | st.binary(max_size=3)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5)
values = words | words | st.lists(words, max_size=3) | st.integers(-2, 3) | anything

def classified(i): return dict(text=f"text {i}", label="ab"[i%2])
def paired(i): return dict(classified(i), text2=f"more {i}")
def numbered(i): return dict(text=f"text {i}", label=i/2)
def several(i): return dict(text=f"text {i}", label=["a", "b"][:i%2+1])
def chosen(i): return dict(text=f"text {i}", choices=["yes", "no"], label=i%2)
def tagged(i): return dict(words=["Ada", "ran", str(i)], tags=["B-x", "O", "O"])
def asked(i):
    return dict(id=f"q{i}", question="who?", context=f"Ada ran {i}", answers=dict(text=["Ada"], answer_start=[0]))
def translated(i): return dict(text=f"text {i}", target=[f"Text {i}"])
def talked(i): return dict(messages=[dict(role="user", content=f"hi {i}"), dict(role="assistant", content="hello")])

CASES = {
    "classes": (lambda: task("text-classification"), classified), "pairs": (lambda: task("text-classification"), paired),
    "numbers": (lambda: task("text-classification", problem_type="regression"), numbered),
    "several labels": (lambda: task("text-classification", problem_type="multi_label_classification"), several),
    "choices": (lambda: task("multiple-choice"), chosen), "tags": (lambda: task("token-classification"), tagged),
    "answers": (lambda: task("question-answering"), asked), "translations": (lambda: task("translation"), translated),
    "summaries": (lambda: task("summarization"), translated), "dialogues": (lambda: task("dialogue"), talked)}

def places(value, path=()):
    "Each place in nested lists and dicts, itself first."
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name,one in inside: yield from places(one, (*path, name))

def put(value, path, new):
    "`value` with `new` at `path`."
    if not path: return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy

@st.composite
def rows_with_one_fault(draw):
    "The name of a case, its rows, the number of the row and the field that were changed, and the door."
    name = draw(st.sampled_from(sorted(CASES)))
    rows = [CASES[name][1](i) for i in range(4)]
    i = draw(st.integers(0, 3))
    path = draw(st.sampled_from([place for place in places(rows[i]) if place]))
    rows[i] = put(rows[i], path, draw(values))
    return name, rows, i, path[0], draw(st.sampled_from(["list", "frame", "file"]))

def as_door(rows, door, folder):
    "`rows` as a program or a file has them; None where a file cannot hold them."
    if door=="list": return rows
    if door=="frame": return pd.DataFrame(rows, dtype=object)
    try: text = "".join(json.dumps(row)+"\n" for row in rows)
    except TypeError: return None # JSON has no bytes
    (folder/"rows.jsonl").write_text(text, encoding="utf-8")
    return folder/"rows.jsonl"

def same(given, kept, feature):
    "Is `kept` what was `given`, but for the name of a class and a number's type?"
    if isinstance(feature, ClassLabel): return class_name(given)==feature.int2str(kept)
    if isinstance(getattr(feature, "feature", None), ClassLabel):
        given = [one.strip() for one in given.split(",")] if isinstance(given, str) else given
        return {class_name(one) for one in given}-{""}=={feature.feature.int2str(one) for one in kept}
    if isinstance(kept, float): return math.isclose(float(given), kept, rel_tol=1e-12)
    if given in (kept, [kept]) or [given]==kept: return True
    if isinstance(given, list): return " ".join(filter(str.strip, given))==kept # sentences of one source
    return str(given)==kept and isinstance(given, int) # the id of a question

def one_line(error):
    "What an `InputError` says, if it does so in one line that also says what would be right."
    said = str(error)
    assert len(said.splitlines())==1, said
    assert any(advice in said for advice in ("; ", ": give ", "needs at least", "the folder holds no")), said
    return said

def try_rows(case, folder):
    "Read the rows; what is refused must say where."
    name, rows, i, field, door = case
    make, row = CASES[name]
    source = as_door(rows, door, folder)
    if source is None: return
    try: found = load_task(dict(train=source, validation=[row(0), row(1)]), task=make())
    except InputError as e:
        said = one_line(e)
        if "differ by white space" in said or "no row has a label" in said: return
        assert any(where in said for where in (f"row {i+1} ", f"question q{i}", "line ")), said
        return
    kept = found["train"][i]
    label_of_choice = name=="choices" and field=="label"
    if name=="answers" or label_of_choice or field not in kept: return # places and numbers follow from the texts
    if field=="messages": assert [dict(role=m["role"], content=m["content"]) for m in rows[i]["messages"]]==kept["messages"]
    else: assert same(rows[i][field], kept[field], found["train"].features[field]), (rows[i][field], kept[field])

# Files with damaged bytes

def lines_of(rows): return "".join(json.dumps(row)+"\n" for row in rows).encode()
def cells_of(rows, between): return "".join(between.join(row)+"\n" for row in rows).encode()
def packed(data): return gzip.compress(data, mtime=0)

ROWS = [["text", "label"], ["the dog", "a"], ["a 'cat'", "b"], ["Größe 👍", "a"], ["more", "b"]]
QUOTED = b'text,label\n"the dog, it",a\n"a ""cat""\n",b\nthree,a\n'
ASKED = dict(version="1.1", data=[dict(title="t", paragraphs=[dict(context="Ada ran 🙂 home", qas=[
    dict(id="1", question="who?", answers=[dict(text="Ada", answer_start=0)]),
    dict(id="2", question="where?", answers=[dict(text="home", answer_start=10)], is_impossible=False)])])])
TAGGED = b"-DOCSTART- X O\n\nAda N B-per\nran V O\n. . O\n\nBonn N B-loc\n# a comment\nis V O\n"
GRAMS = (b"\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-1\t<unk>\t0\n-99\t<s>\t-0.3\n-0.3\t</s>\n-0.4\ta\t-0.1\n\n"
         b"\\2-grams:\n-0.2\t<s> a\n-0.1\ta </s>\n\n\\end\\\n")
PAIRS = lines_of([dict(sentence_good="It is.", sentence_bad="It are.", field="syntax", UID="p"),
                  dict(sentence_good="a", sentence_bad="b", field="m", UID="q")])
RTE = cells_of([["index", "sentence1", "sentence2", "label"], ["0", "a", "b", "entailment"], ["1", "c", "d", "not_entailment"]], "\t")
COLA = cells_of([["gj04", "1", "", "He ran."], ["gj04", "0", "*", "He run him."]], "\t")
QQP = cells_of([["id", "qid1", "qid2", "question1", "question2", "is_duplicate"], ["0", "1", "2", "a", "b", "1"], ["1", "3", "4", "c", "d", "0"]], "\t")
TNEWS = lines_of([dict(sentence=f"今天{i}", label=str(100+i%2)) for i in range(12)])

def parquet(rows, folder):
    pd.DataFrame(rows).to_parquet(folder/"a.parquet", index=False)

def archive(folder):
    with zipfile.ZipFile(folder/"a.zip", "w") as out: out.writestr("p.jsonl", PAIRS)

def saved(folder): Dataset.from_list([classified(i) for i in range(4)]).save_to_disk(folder)

def model(folder):
    "A folder of a model without weights."
    tok = train_tokenizer(["Ada ran home, and she ran"]*9, "bpe", 40)
    tok.save_pretrained(folder)
    build("tiny", tok).config.save_pretrained(folder)

def run(folder):
    "A finished run."
    one = Run.start(folder, "evaluate", dict(model="m", task="text-classification"), data=dict(rows=2))
    one.log(step=1, loss=2.)
    one.score("test", [dict(row=i, label="a", prediction="ab"[i]) for i in range(2)], dict(accuracy=.5))
    one.finish()
    shutil.rmtree(folder/"plots")

def rows_of(name, **options): # a reader of a file of rows to learn from
    return lambda path: load_task(dict(train=path), task=task(name, **options))
def corpus(path): return load_corpus(path, holdout="tail:0.5")
def asked_of(path): return inputs_of(path, task("text-classification"))
def parallel(path): return read_parallel(f"{path},{path}")
def suite(name): # a reader of the folder of one task
    return lambda path: (read_benchmark(name, path), read_tests(benchmark_named(name), path))
def of_model(path): return load_tokenizer(path), saved_config(path)
def of_run(path): return Run(path).history, verify(path)

classes, tags, questions = rows_of("text-classification"), rows_of("token-classification"), rows_of("question-answering")
numbers = rows_of("text-classification", problem_type="regression")
many = rows_of("text-classification", problem_type="multi_label_classification")
SOURCES = { # what is read: its files, or what writes them, and its readers; one file is read as a file, several are as a folder
    "text": ({"a.txt": "one two\n\nthree 👍\r\nfour\n".encode()}, [read_text, corpus, read_table, asked_of]),
    "parallel": ({"a.txt": b"one two\nthree\nfour\n"}, [parallel]),
    "csv": ({"a.csv": cells_of(ROWS, ",")}, [read_table, corpus, classes, asked_of]), "quoted": ({"a.csv": QUOTED}, [read_table, corpus, classes]),
    "semicolons": ({"a.csv": cells_of(ROWS, ";")}, [read_table, classes]), "tsv": ({"a.tsv": cells_of(ROWS, "\t")}, [read_table, corpus, classes]),
    "packed": ({"a.csv.gz": packed(cells_of(ROWS, ","))}, [read_table, corpus, classes]),
    "jsonl": ({"a.jsonl": lines_of([classified(i) for i in range(3)])}, [read_table, corpus, classes, asked_of]),
    "json": ({"a.json": json.dumps([classified(i) for i in range(3)]).encode()}, [read_table, corpus, classes]),
    "parquet": (lambda folder: parquet([classified(i) for i in range(4)], folder), [read_table, corpus, classes, asked_of]),
    "parquet of tags": (lambda folder: parquet([tagged(i) for i in range(4)], folder), [tags]),
    "numbers": ({"a.jsonl": lines_of([numbered(i) for i in range(3)])}, [numbers]),
    "several labels": ({"a.jsonl": lines_of([several(i) for i in range(3)])}, [many]),
    "choices": ({"a.jsonl": lines_of([chosen(i) for i in range(3)])}, [rows_of("multiple-choice")]),
    "tags": ({"a.jsonl": lines_of([tagged(i) for i in range(3)])}, [tags]), "conll": ({"a.conll": TAGGED}, [read_conll, tags]),
    "translations": ({"a.jsonl": lines_of([translated(i) for i in range(3)])}, [rows_of("translation"), rows_of("summarization")]),
    "dialogues": ({"a.jsonl": lines_of([talked(i) for i in range(3)])}, [rows_of("dialogue")]),
    "questions": ({"a.jsonl": lines_of([asked(i) for i in range(3)])}, [questions]),
    "squad": ({"a.json": json.dumps(ASKED, ensure_ascii=False).encode()}, [read_squad, questions]),
    "arpa": ({"a.arpa": GRAMS}, [read_arpa]), "packed arpa": ({"a.arpa.gz": packed(GRAMS)}, [read_arpa]),
    "pairs": ({"a.jsonl": PAIRS}, [read_pairs]), "zipped pairs": (archive, [read_pairs]),
    "RTE": ({"train.tsv": RTE, "dev.tsv": RTE, "test.tsv": RTE}, [suite("RTE")]), "CoLA": ({"train.tsv": COLA, "dev.tsv": COLA}, [suite("CoLA")]),
    "QQP": ({"train.tsv": QQP, "dev.tsv": QQP}, [suite("QQP")]), "TNEWS": ({"train.json": TNEWS, "dev.json": TNEWS}, [suite("TNEWS")]),
    "folder of splits": ({"train.csv": cells_of(ROWS, ","), "dev.jsonl": lines_of([classified(i) for i in range(3)])}, [load_task, load_corpus]),
    "folder of texts": ({"a.txt": b"one two", "b/c.txt": b"three", "d.csv": cells_of(ROWS, ",")}, [corpus]),
    "saved": (saved, [corpus, load_task]), "model": (model, [of_model]), "run": (run, [of_run])}

ODD = [b'"', b",", b";", b"\t", b"\n", b"\r", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", "\u2028".encode(), "\x85".encode(), "👍".encode(), b" ", b"-",
       b"\\ud83d", b"\\u0000", b"{", b"}", b"[", b"]", b"[]", b"{}", b"null", b"true", b"NaN", b"-1", b"0", b"1e999", b"9"*5000, b"["*3000,
       b'{"a":'*3000, b"\\N", b'"":', b'"text":', b'"label":', b"nan", b"\\", b"-DOCSTART- O\n\n", b"\\end\\", b"ngram 1=9"]
edit = st.tuples(st.floats(0, 1), st.sampled_from(["before", "for", "end", "away", "twice"]), st.sampled_from(ODD) | st.binary(max_size=3), st.integers(1, 9))
recode = st.sampled_from([None]*9 + ["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig"])

def damaged(data, edits, encoding):
    "`data` after each of `edits`, and in another encoding, if it is text."
    for where,how,new,n in edits:
        i = int(where*len(data))
        before, after = data[:i], data[i:]
        data = {"before": before+new+after, "for": before+new+after[n:], "end": before, "away": before+after[n:], "twice": before+after[:9*n]+after}[how]
    if encoding is None: return data
    return data.decode(errors="replace").encode(encoding, "replace")

class Shelf:
    "The sources, written once; a damaged file is mended afterwards."
    def __init__(self, folder): self.folder, self.whole = folder, {}
    def files(self, name):
        "The folder of a source, and what its files hold."
        folder = self.folder/name
        if name not in self.whole:
            make, _ = SOURCES[name]
            folder.mkdir()
            if callable(make): make(folder)
            else:
                for file,data in make.items():
                    (folder/file).parent.mkdir(exist_ok=True)
                    (folder/file).write_bytes(data)
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            self.whole[name] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return folder, self.whole[name]

case_of_damage = st.tuples(st.sampled_from(sorted(SOURCES)), st.integers(0, 99), st.integers(0, 9), st.lists(edit, min_size=1, max_size=3), recode)

NOT_YET = set() # kinds of sources of which a fault is known

def try_damage(case, shelf):
    "Read a source of which one file is damaged."
    name, i, j, edits, encoding = case
    folder, whole = shelf.files(name)
    readers = SOURCES[name][1]
    file = sorted(whole)[i%len(whole)]
    data = whole[file]
    if file.endswith(".gz") and i%2: data = packed(damaged(gzip.decompress(data), edits, encoding))
    else: data = damaged(data, edits, encoding)
    is_folder = len(whole)>1
    (folder/file).write_bytes(data)
    try: readers[j%len(readers)](folder if is_folder else folder/file)
    except InputError as e: one_line(e)
    except (RecursionError, UnicodeEncodeError):
        if name not in NOT_YET: raise
    finally: (folder/file).write_bytes(whole[file])

# Files that must come back as they were written

whole_text = st.text(st.characters(codec="utf-8"), max_size=12)
pieces = st.lists(whole_text | st.sampled_from(["", "\\N", "NA", "01", "a,b", "a\tb", 'say "hi', "x\ny", "\u2028", "\x85", "\x1c", " ", "[MASK]"]), min_size=1, max_size=4)
forms = st.sampled_from(["a.txt", "a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.conll", "a.arpa", "folder"])

def plain(text): return text.removeprefix("\ufeff").replace("\0", "") # what a file of text holds of it
def quoted(cell): return '"' + cell.replace('"', '""') + '"'

def read_back(form, texts, path):
    "What was written of `texts` to `path`, and what is read again; None where there is nothing to compare."
    if form=="a.txt":
        path.write_bytes("".join(texts).encode())
        return plain("".join(texts)), read_text(path)
    if form=="a.csv":
        path.write_bytes("".join(f"{quoted(t)},x\n" for t in ["text", *texts]).encode())
        return [None if t=="\\N" else plain(t) if i else t for i,t in enumerate(["", *texts])][1:], [None if pd.isna(c) else c for c in read_table(path).text]
    if form=="a.tsv":
        texts = [re.sub(r"[\t\r\n]", " ", t) for t in texts]
        path.write_bytes("".join(f"x\t{t}\n" for t in ["text", *texts]).encode())
        return [None if t=="\\N" else t.replace("\0", "") for t in texts], [None if pd.isna(c) else c for c in read_table(path).text]
    if form in ("a.jsonl", "a.json"):
        rows = [dict(text=t, n=2**60+i) for i,t in enumerate(texts)] + [dict(text="last")]
        text = json.dumps(rows) if form=="a.json" else json_lines(rows)
        path.write_text(text, encoding="utf-8")
        table = read_table(path)
        return [*texts, *(row["n"] for row in rows[:-1])], [*table.text[:-1], *table.n[:-1]]
    if form=="a.parquet":
        pd.DataFrame(dict(text=texts)).to_parquet(path)
        return texts, list(read_table(path).text)
    if form=="a.conll":
        words = [re.sub(r"[\s\0\ufeff]", "", t) for t in texts]
        words = [w for w in words if w and w!="-DOCSTART-" and not w.startswith("#")]
        if not words: return None
        path.write_bytes("".join(f"{w}\t{'OB'[i%2]}{'-x'*(i%2)}\n\n" for i,w in enumerate(words)).encode())
        return words, [w for row in read_conll(path).words for w in row]
    if form=="a.arpa":
        names = sorted({"w"+re.sub(r"[ \t\r\n\0\ufeff]", "", t) for t in texts if len(t.split())==1})
        if not names: return None
        ids = list(range(len(names)))
        try: write_arpa(NGram.fit([ids, ids[::-1]], len(names), 2), path, names)
        except InputError: return None # white space of another alphabet
        return names, read_arpa(path)[1]
    path.mkdir()
    for i,text in enumerate(texts): (path/f"{i}.txt").write_bytes(text.encode())
    found = load_corpus(path, holdout="tail:0.5")
    kept = sum((found[split]["text"][:] for split in ("train", "validation")), [])
    wanted = [plain(t) for t in texts if plain(t).strip()]
    return ("".join(wanted), "".join(kept)) if len(wanted)==1 else (wanted, kept)

def try_whole(case, folder):
    "Write texts and read them again."
    form, texts = case
    path = folder/form
    if path.is_dir(): shutil.rmtree(path)
    try: both = read_back(form, texts, path)
    except InputError as e:
        assert any(why in one_line(e) for why in ("no text", "with text", "leaves nothing", "utf-16", "copies of one text")), e
        return
    if both: assert both[0]==both[1]

# Tokenizers of any text, of any text

document = st.text(max_size=30) | st.text(st.characters(), max_size=4) | st.sampled_from([
    "the cat and the dog, the cat", "[MASK] [SEP][CLS] [UNK]", "🦜👨‍👩‍👧 e\u0301 ก็ หมู", "\u202eשלום مرحبا", "\0\x1b", "a"*300, "▁a▁", "\ud83d", "a\udc00b"])
case_of_words = st.tuples(st.sampled_from(KINDS), st.lists(document, min_size=1, max_size=4), st.lists(document, min_size=1, max_size=2), st.integers(1, 60) | st.integers(200, 600))

def letters(text): return re.sub(r"[\s▁]", "", text) # spaces of Metaspace come back otherwise

def try_tokenizer(case):
    "Learn a tokenizer; no letter of another text is lost, unless it is counted as unknown."
    kind, texts, others, size = case
    halves = [text for text in [*texts, *others] if re.search("[\ud800-\udfff]", text)]
    try:
        tok = train_tokenizer(texts, kind, size)
        rows = list(encode(others, tok))
    except InputError as e:
        said = one_line(e)
        assert halves or any(why in said for why in ("no text", "too small", "no letter", "nothing to learn")), (case, said)
        return
    assert not halves and len(tok)<=max(size, len(SPECIALS))
    back = tok.backend_tokenizer.decode_batch(rows, skip_special_tokens=False)
    for text,row,again in zip(others, rows, back):
        unknown = row.count(tok.unk_token_id)
        assert set(row)&set(tok.all_special_ids)<={tok.unk_token_id}
        if kind=="byte-bpe": assert again==text and not unknown
        elif kind=="char": assert len(row)==len(text) and (unknown or again==text)
        elif kind=="wordpiece": assert unknown or letters(tok.backend_tokenizer.normalizer.normalize_str(text))==letters(again)
        else: assert unknown or letters(text)==letters(again)
        if not row: continue
        found = report(tok, [text]) if text.strip() else dict(unknown_rate=unknown/len(row), round_trip=again==text)
        assert math.isclose(found["unknown_rate"], unknown/len(row)) and found["round_trip"]==(again==text)

# All of them

def tried(cases, strategy, attempt):
    "`attempt` so many cases of the `strategy`, always the same ones; how many, and the seconds that they took."
    @settings(max_examples=cases, deadline=None, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(case):
        with warnings.catch_warnings(action="ignore"): attempt(case)
    start = time.perf_counter()
    one()
    return cases, time.perf_counter()-start

def plan(cases, folder):
    "What is tried, by name: how often, of what, and how."
    shelf = Shelf(folder)
    return {"rows": (cases//2, rows_with_one_fault(), lambda case: try_rows(case, folder)),
            "damaged files": (3*cases//10, case_of_damage, lambda case: try_damage(case, shelf)),
            "whole files": (cases//10, st.tuples(forms, pieces), lambda case: try_whole(case, folder)),
            "tokenizers": (cases//10, case_of_words, try_tokenizer)}

@pytest.mark.parametrize("name", ["rows", "damaged files", "whole files", "tokenizers"])
def test_nothing_breaks_and_nothing_is_lost(name, tmp_path): tried(*plan(2000, tmp_path)[name])

@pytest.fixture(scope="module")
def models():
    "For each case its task and a model of random weights."
    tok = train_tokenizer(["Ada ran: who? yes or no, text and hello"]*30, "byte-bpe", 270)
    found = {}
    for name,(make,row) in CASES.items():
        one = make()
        if hasattr(one, "max_target"): one.max_target = 3
        rows = load_task(dict(train=[row(i) for i in range(8)]), task=one)
        found[name] = one, one.new_model(None, tok, rows, "tiny"), tok
    return found

def as_question(row):
    "`row` without its answer."
    row = {name: value for name,value in row.items() if name not in ("label", "tags", "target", "answers")}
    if isinstance(row.get("messages"), list): row["messages"] = row["messages"][:-1]
    return row

def test_any_input_is_answered_or_refused(models):
    "The same values, where a model is asked: an answer to each input, or the number of the one that is wrong."
    @settings(max_examples=600, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(rows_with_one_fault())
    def one(case):
        name, rows, i, field, _ = case
        asked, model, tok = models[name]
        inputs = [as_question(row) for row in rows]
        try: asked.check_inputs(inputs)
        except InputError as e:
            assert f"input {i+1}" in str(e) and "\n" not in str(e), e
            return
        try: assert len(asked.predict(model, tok, inputs))==4
        except InputError as e: assert "\n" not in str(e)
    one()

if __name__=="__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--only", help="one of rows, damaged files, whole files, tokenizers")
    args = parser.parse_args()
    disable_progress_bars()
    for name,one in plan(args.cases, Path(tempfile.mkdtemp())).items():
        if args.only not in (None, name): continue
        cases, seconds = tried(*one)
        print(f"{name}: {cases} cases in {seconds:.0f} s, no other exception, and nothing was changed or lost", flush=True)
