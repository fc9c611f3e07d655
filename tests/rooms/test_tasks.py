"Labelled tables: one split for everybody, classes in a fixed order, and the faulty row by its number."
import gzip, json, os, random, re, subprocess, sys, warnings
from collections import Counter
from pathlib import Path
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from plm_nb.data import normalize, split_of
from plm_nb.files import InputError
from plm_nb import pipelines
from plm_nb.pipelines import TASKS, TextClassification
from plm_nb.tasks import load_task, sample_per_class
from plm_nb.token_classification import read_conll

ROWS = [(f"text number {i}", "abc"[i%3]) for i in range(300)]

def table(folder, rows, name="rows.csv", columns=("text", "label")):
    "Write `rows` to a csv file."
    pd.DataFrame(rows, columns=columns).to_csv(folder/name, index=False)
    return folder/name

def refused(f, *args, words=(), **kwargs):
    "Assert that `f` raises an `InputError` of one line that holds `words`."
    with pytest.raises(InputError) as e: f(*args, **kwargs)
    assert "\n" not in str(e.value)
    for w in words: assert w in str(e.value)

def labels(rows): return [rows.features["label"].names[i] for i in rows["label"]]

def test_every_row_once_and_as_it_stands(tmp_path):
    "The three splits hold every row once, each where the fingerprint of its text sends it."
    task = load_task(table(tmp_path, ROWS))
    assert sorted((t, l) for p in task.values() for t,l in zip(p["text"], labels(p)))==sorted(ROWS)
    for name,part in task.items(): assert {split_of(normalize(t)) for t in part["text"]}=={name}

def test_order_of_rows_decides_nothing(tmp_path):
    "Shuffled rows give the same splits and the same classes."
    one, rows = load_task(table(tmp_path, ROWS)), ROWS[:]
    random.Random(0).shuffle(rows)
    two = load_task(table(tmp_path, rows))
    for p in one:
        assert set(one[p]["text"])==set(two[p]["text"])
        assert one[p].features["label"].names==two[p].features["label"].names==["a", "b", "c"]

def test_copies_on_one_side(tmp_path):
    "A shouted copy of a text is in the split of the text."
    task = load_task(table(tmp_path, ROWS+[(t.upper()+" ", l) for t,l in ROWS]))
    seen = [{normalize(t) for t in part["text"]} for part in task.values()]
    assert not (seen[0]&seen[1] or seen[0]&seen[2] or seen[1]&seen[2])

def test_the_split_is_the_same_in_another_process(tmp_path):
    "Rows and draws do not depend on the hash seed."
    path = table(tmp_path, ROWS)
    code = f"""from plm_nb.pipelines import load_task
from plm_nb.tasks import sample_per_class
t = load_task({str(path)!r}); print(*t["test"]["text"], *sample_per_class(t["train"], 5, 3)["text"], sep="|")"""
    env = os.environ | dict(PYTHONHASHSEED="5")
    run = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    task = load_task(path)
    assert run.stdout.strip().split("|")==[*task["test"]["text"], *sample_per_class(task["train"], 5, 3)["text"]]

@pytest.mark.parametrize("names", [["10", "2", "1"], ["0", "1"], ["no", "yes", "Maybe"], ["1", "one"], ["-1", "1"]])
def test_order_of_classes(tmp_path, names):
    "Numbers by their value, words by the alphabet."
    task = load_task(table(tmp_path, [(f"text {i}", names[i%len(names)]) for i in range(200)]))
    by = int if all(n.isdigit() for n in names) else str
    assert task["train"].features["label"].names==sorted(names, key=by)

def test_labels_of_jsonl_and_parquet(tmp_path):
    "Numbers as labels become names; a label that is missing is an error."
    rows = pd.DataFrame(dict(text=[t for t,_ in ROWS], label=[i%2 for i in range(300)]))
    rows.to_json(tmp_path/"a.jsonl", orient="records", lines=True)
    rows.to_parquet(tmp_path/"a.parquet")
    for name in ("a.jsonl", "a.parquet"): assert load_task(tmp_path/name)["test"].features["label"].names==["0", "1"]
    (tmp_path/"a.jsonl").write_text('{"text": "a", "label": 0}\n{"text": "b"}\n')
    refused(load_task, tmp_path/"a.jsonl", words=["a.jsonl", "row 2", "label"])

def test_pairs(tmp_path):
    "Both texts of a pair decide its split; the same first text may stand in two splits."
    rows = [(f"first {i%10}", f"second {i}", "ab"[i%2]) for i in range(200)]
    task = load_task(table(tmp_path, rows, columns=("text", "other", "label")), text2="other")
    assert set(task["train"].column_names)=={"text", "text2", "label"}
    for name,part in task.items():
        assert {split_of(normalize(a+"\t"+b)) for a,b in zip(part["text"], part["text2"])}=={name}

@pytest.mark.parametrize("n", [1, 7, 40])
def test_few(tmp_path, n):
    "`n` rows of every class, none twice; the seed alone decides which."
    rows = load_task(table(tmp_path, ROWS))["train"]
    draws = [sample_per_class(rows, n, seed) for seed in (0, 0, 1)]
    for d in draws: assert Counter(labels(d))==dict.fromkeys("abc", n) and len(set(d["text"]))==3*n
    assert draws[0]["text"][:]==draws[1]["text"][:]!=draws[2]["text"][:]

@pytest.mark.parametrize("n", [0, -1, 101])
def test_few_of_a_wrong_number(tmp_path, n):
    "No rows, and more rows than there are."
    refused(sample_per_class, load_task(table(tmp_path, ROWS))["train"], n, words=[str(n)])

def test_parts_in_files(tmp_path):
    "Three files stay three splits; the file with an unknown label is the one that is named."
    files = {p: table(tmp_path, ROWS[i:i+9], p+".csv") for i,p in enumerate(("train", "validation", "test"))}
    task = load_task(files)
    assert {p: len(task[p]) for p in task}==dict.fromkeys(files, 9) and task["test"]["text"][0]=="text number 2"
    table(tmp_path, [*ROWS[:3], ("a text", "d")], "test.csv")
    refused(load_task, files, words=["test.csv", "row 4", "'d'", "a, b, c"])

@pytest.mark.parametrize("cell", ["", " ", "\t"])
@pytest.mark.parametrize("at", ["text", "label"])
def test_empty_cell(tmp_path, at, cell):
    "An empty text or label is named with its row."
    row = ("a text", cell) if at=="label" else (cell, "a")
    refused(load_task, table(tmp_path, [*ROWS[:4], row, *ROWS]), words=["rows.csv", "row 5", at])

def test_wrong_tables(tmp_path):
    "One class, too few rows for three splits, a column that is not there, no such file, no header where one is needed."
    one = load_task(table(tmp_path, [(t, "a") for t,_ in ROWS]))
    refused(one.task.labels, one, words=["rows.csv", "'a'", "two classes"])
    refused(load_task, table(tmp_path, ROWS[:0]), words=["rows.csv", "no row"])
    path = table(tmp_path, ROWS)
    refused(load_task, path, label="stars", words=["rows.csv", "stars", "text, label"])
    refused(load_task, path, text=0, label=9, words=["rows.csv", "9", "0, 1"])
    refused(load_task, tmp_path/"none.csv", words=["none.csv"])
    refused(load_task, tmp_path, words=[tmp_path.name, "train.csv"])

# Every shape, every fault

def lines(folder, name, rows):
    "Write `rows` as JSON lines."
    (folder/name).write_text("".join(json.dumps(r, ensure_ascii=False)+"\n" for r in rows), encoding="utf-8")
    return folder/name

def said(f, *args, **kwargs):
    "What `f` gives, and its warnings."
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return f(*args, **kwargs), [str(w.message) for w in found]

ROW = {"text-classification": lambda i: dict(text=f"text {i}", label="ab"[i%2]),
       "multiple-choice": lambda i: dict(text=f"text {i}", choices=["yes", "no"], label=i%2),
       "token-classification": lambda i: dict(words=["text", str(i)], tags=["O", "B-number"]),
       "question-answering": lambda i: dict(id=str(i), question="Which?", context=f"It is {i}.",
                                            answers=dict(text=[str(i)], answer_start=[6])),
       "summarization": lambda i: dict(text=f"text {i}", target=str(i)),
       "translation": lambda i: dict(text=f"text {i}", target=[str(i)]),
       "dialogue": lambda i: dict(messages=[dict(role="user", content=f"{i}?"),
                                            dict(role="assistant", content="Yes.")])}

@pytest.mark.parametrize("kind", ["jsonl", "parquet", "jsonl.gz"])
@pytest.mark.parametrize("task", ROW)
def test_every_shape(tmp_path, task, kind):
    "Rows of every task from three kinds of file: every one once, in the shape of its task, the splits by its text."
    rows, path = [ROW[task](i) for i in range(120)], tmp_path/f"rows.{kind}"
    if kind=="parquet": pd.DataFrame(rows).to_parquet(path)
    else: lines(tmp_path, "rows.jsonl", rows)
    if kind.endswith("gz"): path.write_bytes(gzip.compress((tmp_path/"rows.jsonl").read_bytes()))
    made = load_task(path, task=task)
    assert sum(map(len, made.values()))==120 and list(made)==["train", "validation", "test"]
    if TASKS[task].columns: assert all(ds.features==TASKS[task].columns for ds in made.values())
    again = load_task(dict(train=path, test=path), task=task)
    assert again["train"][:]==again["test"][:] and len(again["test"])==120
    if task=="token-classification": assert again["test"][7]==rows[7]

@pytest.mark.parametrize("task", ["multiple-choice", "question-answering", "dialogue"])
def test_copies_of_a_text_on_one_side(tmp_path, task):
    "The text decides the split and the label has no say: two questions about one page are together."
    rows = [r for i in range(120) for r in (ROW[task](i), ROW[task](i))]
    if task=="question-answering": rows = [r | dict(id=str(i), question=f"Which {i}?") for i,r in enumerate(rows)]
    made = load_task(lines(tmp_path, "a.jsonl", rows), task=task)
    text = lambda r: r.get("context") or r.get("text") or r["messages"][0]["content"]
    seen = [{text(r) for r in ds} for ds in made.values()]
    assert not (seen[0]&seen[1] or seen[0]&seen[2] or seen[1]&seen[2]) and all(len(ds)%2==0 for ds in made.values())

def test_several_labels(tmp_path):
    "Lists and commas; no label at all; the classes in one order; the faulty row."
    rows = [dict(text=f"t{i}", label=[["b", "a"], [], ["10"]][i%3]) for i in range(150)]
    task = load_task(lines(tmp_path, "a.jsonl", rows), task=TextClassification(problem_type="multi_label_classification"))
    names = task["train"].features["label"].feature.names
    assert names==["10", "a", "b"] and sorted(map(len, task["train"]["label"]))[0]==0
    cells = table(tmp_path, [(r["text"], ", ".join(r["label"])) for r in rows])
    assert load_task(cells, task=TextClassification(problem_type="multi_label_classification"))["test"][:]==task["test"][:]
    refused(load_task, lines(tmp_path, "b.jsonl", [*rows[:4], dict(text="t", label=3)]),
            task=TextClassification(problem_type="multi_label_classification"), words=["b.jsonl", "row 5", "3"])
    files = dict(train=tmp_path/"a.jsonl", test=lines(tmp_path, "c.jsonl", [rows[0], dict(text="t", label=["a", "z"])]))
    refused(load_task, files, task=TextClassification(problem_type="multi_label_classification"), words=["c.jsonl", "row 2", "'z'"])

@pytest.mark.parametrize("cell", ["nan", "inf", "-inf", "NA", "null", "1,5", "ten"])
def test_regression(tmp_path, cell):
    "Numbers stay numbers; what is none is named with its row."
    rows = [(f"t{i}", str(i/4)) for i in range(100)]
    task = load_task(table(tmp_path, rows), task=TextClassification(problem_type="regression"))
    assert task["train"].features["label"].dtype=="float64" and {r["text"]: r["label"] for ds in task.values() for r in ds}=={t: float(l) for t,l in rows}
    refused(load_task, table(tmp_path, [*rows[:6], ("t", cell), *rows]), task=TextClassification(problem_type="regression"),
            words=["rows.csv", "row 7", repr(cell), "finite"])

def test_odd_cells_stay(tmp_path):
    "Words that other readers take for nothing or for numbers, as texts and as labels, in csv, tsv and JSON."
    odd = ["NA", "null", "01", "1", "None", "nan", "1e3", "TRUE"]
    rows = [(t+f" {i}" if i else t, l) for i in range(9) for t,l in zip(odd, odd)]
    path = table(tmp_path, rows)
    (tmp_path/"a.tsv").write_text("text\tlabel\n"+"".join(f"{t}\t{l}\n" for t,l in rows))
    js = lines(tmp_path, "a.jsonl", [dict(text=t, label=l) for t,l in rows])
    for f in (path, tmp_path/"a.tsv", js):
        got = load_task(dict(train=f))["train"]
        assert list(zip(got["text"], labels(got)))==rows and got.features["label"].names==sorted(odd)

@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_packed_tables(tmp_path, name):
    "A packed table is the table; one that is cut short or no archive is named."
    path, gz = tmp_path/name, tmp_path/(name+".gz")
    pd.DataFrame(ROWS, columns=["text", "label"]).to_csv(path, index=False, sep=",\t"[name.endswith("tsv")])
    packed = gzip.compress(path.read_bytes())
    gz.write_bytes(packed)
    assert load_task(gz)["test"][:]==load_task(path)["test"][:]
    for bad in (packed[:-40], b"no archive", packed[:20]+b"xxxx"+packed[24:]):
        gz.write_bytes(bad)
        refused(load_task, gz, words=[gz.name, "gzip"])

def test_choices(tmp_path):
    "Choices in columns, labels by number or by text; what could mean two is refused."
    rows = [(f"q{i}", "left", "right", ["0", "right"][i%2]) for i in range(90)]
    path = table(tmp_path, rows, columns=("q", "a", "b", "label"))
    task = load_task(path, "q", text2="a, b", task="multiple-choice")
    assert set(map(tuple, task["train"]["choices"]))=={("left", "right")} and set(task["train"]["label"])=={0, 1}
    bare = tmp_path/"bare.csv"; bare.write_text("".join(",".join(r)+"\n" for r in rows))
    assert load_task(bare, 0, 3, "1,2", task="multiple-choice")["test"][:]==task["test"][:]
    for choices,label,fault in ((["1", "0"], "1", "means 2"), (["a", "b"], 2, "means 0"),
                                (["a", "a"], "a", "means 2"), (["a", "b"], -1, "means 0"),
                                (["a"], 0, "two texts"), (["a", ""], 0, "empty choices 2"), ("a", 0, "two texts"),
                                ([1, 2], 0, "1 for its choices 1")):
        f = lines(tmp_path, "a.jsonl", [dict(text="q", choices=["x", "y"], label=0),
                                        dict(text="q", choices=choices, label=label)])
        refused(load_task, f, task="multiple-choice", words=["a.jsonl", "row 2", fault])
    f = lines(tmp_path, "a.jsonl", [dict(text="q", choices=["1", "0"], label=1)])
    assert load_task(dict(train=f), task="multiple-choice")["train"]["label"][0]==1

CONLL = [("a\tO\nb\tB-x\n\nc\tO\n", [["a", "b"], ["c"]]), ("a O\nb B-x\n \t \n\t\nc O\n", [["a", "b"], ["c"]]),
         ("a N X O\r\nb N X S-x\r\n\r\n\r\nc N X O", [["a", "b"], ["c"]]),
         ("-DOCSTART- -X- -X- O\n\na N X O\n\n-DOCSTART- -X- -X- O\nb N X E-x\n", [["a"], ["b"]]),
         ("# text = a b\na\tO\n#\tO\n#b\tB-x\n\n# id\n#c\tO\n", [["a", "#", "#b"], ["#c"]]),
         ("# O\na O\n\n# sent 2\nb O\n", [["#", "a"], ["b"]]),
         ("a  b\tO\n\u3000\tO\n\u2028\tO\n", [["a  b", "\u3000", "\u2028"]]), ("1 I-x\n2 O\n", [["1", "2"]]),
         ("a0 O\nb7 O\nc3 O\n", [["a0", "b7", "c3"]])]

@pytest.mark.parametrize("text, words", CONLL, ids=range(len(CONLL)))
def test_conll(tmp_path, text, words):
    "Tabs and spaces, stray tabs, documents, comments and words that begin like one; no line is lost."
    (tmp_path/"a.conll").write_text(text, encoding="utf-8", newline="")
    found, warned = said(read_conll, tmp_path/"a.conll")
    assert found.words.tolist()==words and not warned
    stands = text.replace("\r", "").split("\n")
    for r in found.itertuples(): assert [stands[n-1].startswith(w) for w,n in zip(r.words, r.line)]==[True]*len(r.words)

FAULTS = [("a O\nb\n", "line 2 has 1"), ("a O\nb B-x y\n", "line 2 has 3"),
          ("a O\nb B_x\n", "line 2 has the word 'b' and the tag 'B_x'"), ("a O\nb B-x\nc B\n", "line 3"),
          ("a B-\n", "line 1"), ("a\tO\n#b\tB_x\n", "line 2"), ("#b\tB_x\n", "line 1"), ("a\tO\n\tO\n", "line 2"),
          ("a\tO\nb\t\n", "line 2"), ("a W-x\n", "'W-x'"), ("a O\nb B-x\nc o\n", "line 3")]

@pytest.mark.parametrize("text, fault", FAULTS, ids=range(len(FAULTS)))
def test_wrong_conll(tmp_path, text, fault):
    "Malformed tags, missing columns, missing words: file and line."
    (tmp_path/"a.txt").write_text(text)
    refused(load_task, dict(train=tmp_path/"a.txt"), task="token-classification", words=["a.txt", fault])

def test_conll_by_number(tmp_path):
    "Any column may hold the words and the tags, as a number or a string; names are refused; so is a column too many."
    (tmp_path/"a.x").write_text("B-x 1 a N\nO 2 b N\n")
    for one,two in ((2, 0), ("2", "0")): assert load_task(dict(train=tmp_path/"a.x"), one, two,
                                                          task="token-classification")["train"][0]==dict(words=["a",
                                                                                                                "b"],
                                                                                                         tags=["B-x",
                                                                                                               "O"])
    refused(load_task, tmp_path/"a.x", "word", "tag", task="token-classification", words=["a.x", "numbers"])
    refused(load_task, tmp_path/"a.x", 0, 7, task="token-classification", words=["a.x", "line 1", "4 columns"])

def test_a_type_that_training_never_shows(tmp_path):
    "The line of a file and the row of a table."
    (tmp_path/"a.txt").write_text("a B-x\nb I-x\n"); (tmp_path/"b.txt").write_text("a O\n\n# note\na B-x\nb S-y\n")
    refused(load_task, dict(train=tmp_path/"a.txt", test=tmp_path/"b.txt"), task="token-classification",
            words=["b.txt", "line 5", "'y'", "x"])
    one, two = (lines(tmp_path, n, [dict(words=["a"], tags=[t])]) for n,t in (("a.jsonl", "O"), ("b.jsonl", "B-y")))
    refused(load_task, dict(train=one, test=two), task="token-classification", words=["b.jsonl", "row 1", "'y'"])

@pytest.mark.parametrize("row", [dict(words=["a", "b"], tags=["O"]), dict(words=["a"], tags=["O", "O"]),
                                 dict(words=[], tags=[]), dict(words=["a", ""], tags=["O", "O"]),
                                 dict(words=["a"], tags=[0]), dict(words=["a"], tags=["B_x"]),
                                 dict(words=None, tags=None), dict(words="a b", tags=["O", "O"])])
def test_wrong_words_and_tags(tmp_path, row):
    "Lists of different lengths, empty ones, and tags that are none."
    refused(load_task, lines(tmp_path, "a.jsonl", [dict(words=["a"], tags=["O"]), row]), task="token-classification",
            words=["a.jsonl", "row 2"])

def test_digits_behind_characters(tmp_path):
    "Places in words are taken off where every word has one, and it is said."
    (tmp_path/"a.txt").write_text("口0 B-x\n腔1 I-x\n\n疼0 O\n2012 O\n")
    assert said(read_conll, tmp_path/"a.txt")[1]==[]
    (tmp_path/"b.txt").write_text("口0 B-x\n腔1 I-x\n\n疼0 O\n20 O\n01 O\n\ufffd\ufffd0 O\n")
    found, warned = said(read_conll, tmp_path/"b.txt")
    assert found.words.tolist()==[["口", "腔"], ["疼", "2", "0",
                                               "\ufffd\ufffd"]] and len(warned)==1 and "digits" in warned[0]

def squad(folder, *qas, context="Austen wrote Emma in 1814, and Emma sold.", name="a.json"):
    "A file in SQuAD's form with one page."
    qas = [dict(id=f"q{i}", question="Which?", **q) for i,q in enumerate(qas)]
    (folder/name).write_text(json.dumps(dict(version="2.0", data=[dict(title="t",
                                                                       paragraphs=[dict(context=context, qas=qas)])]),
                                        ensure_ascii=False))
    return folder/name

def at(text, start): return dict(answers=[dict(text=text, answer_start=start)])

def test_squad(tmp_path):
    "Answers, none, and several; without a version's flags and with them."
    f = squad(tmp_path, at("Austen", 0), dict(answers=[], is_impossible=True,
                                              plausible_answers=[dict(text="Emma", answer_start=13)]),
              dict(answers=[dict(text="1814", answer_start=21), dict(text="in 1814", answer_start=18)],
                   is_impossible=False))
    rows, warned = said(load_task, dict(train=f), task="question-answering")
    assert not warned and rows["train"]["answers"][:]==[dict(text=["Austen"], answer_start=[0]),
                                                        dict(text=[], answer_start=[]),
                                                        dict(text=["1814", "in 1814"], answer_start=[21, 18])]

@pytest.mark.parametrize("text, start, place", [("Emma", 12, 13), ("Emma", 14, 13), ("Emma", 30, 31),
                                                ("1814", 19, 21), ("1814", -1, 21), ("Jane", -1, -1), ("Emma", -1, -1)])
def test_answers_that_are_read_in_one_way_only(tmp_path, text, start, place):
    "Moved to the one place nearby, or kept without a place; counted in one line either way."
    rows, warned = said(load_task, dict(train=squad(tmp_path, at(text, start))), task="question-answering")
    assert rows["train"]["answers"][0]==dict(text=[text], answer_start=[place])
    assert len(warned)==1 and "a.json" in warned[0] and " 1 answers" in warned[0] and "\n" not in warned[0]

def test_answers_without_a_place_stand_last(tmp_path):
    "The first answer of a question is one that stands in its page, if there is any."
    answers = [dict(text="Jane", answer_start=-1), dict(text="1814", answer_start=21)]
    assert said(load_task, dict(train=squad(tmp_path, dict(answers=answers))),
                task="question-answering")[0]["train"]["answers"][0]["text"]==["1814", "Jane"]

@pytest.mark.parametrize("qa, words", [(at("Emma", 99), ["'Emma'", "99", "no context"]),
                                       (at("Emma", 0), ["'Emma'", "'Aust' stands"]), (at("Emma", 22), ["'Emma'", "22"]),
    (at("Jane", 0), ["'Jane'"]), (at("", 0), ["''"]), (at(" ", 6), ["' '"]), (at("Emma", "13"), ["'13'"]),
                                       (at(None, 3), ["None"]), (at("Emma", None), ["None"]),
    (dict(answers=[]), ["0 answers"]), (dict(answers=[], is_impossible=False), ["impossible"]),
                                       (at("Emma", 13) | dict(is_impossible=True), ["impossible"])])
def test_wrong_answers(tmp_path, qa, words):
    "File, question, and what stands there instead."
    refused(load_task, squad(tmp_path, at("Austen", 0), qa), task="question-answering", words=["a.json", "q1", *words])

def test_wrong_squad(tmp_path):
    "No JSON, JSON of another form, two questions of one name, no context."
    for text,word in (("{\n'a'}", "line 2"), ("[]", "SQuAD"), ('{"data": [{"paragraphs": [{"qas": []}]}]}', "row"),
                      ('{"data": [{"paragraphs": [{"qas": [{"id": 1}]}]}]}', "question")):
        (tmp_path/"a.json").write_text(text)
        refused(load_task, dict(train=tmp_path/"a.json"), task="question-answering", words=["a.json", word])
    f = lines(tmp_path, "b.jsonl", [ROW["question-answering"](i//2) for i in range(4)])
    refused(load_task, f, task="question-answering", words=["b.jsonl", "two questions", "0"])
    refused(load_task, squad(tmp_path, at("Austen", 0), context=" "), task="question-answering",
            words=["a.json", "empty context"])
    f = lines(tmp_path, "c.jsonl", [ROW["question-answering"](0) | dict(answers=3)])
    refused(load_task, f, task="question-answering", words=["c.jsonl", "question 0", "two lists"])

def test_references(tmp_path):
    "Several columns, lists, and sentences that make one source."
    rows = [dict(source=[f"One {i}.", " ", "Two."], target=["a", "b"], s1="x", s2="y") for i in range(80)]
    f = lines(tmp_path, "a.jsonl", rows)
    one = load_task(dict(train=f), "source", task="summarization")["train"]
    assert one[3]==dict(text="One 3. Two.", target=["a", "b"])
    assert load_task(dict(train=f), "source", "s1, s2", task="summarization")["train"]["target"][0]==["x", "y"]
    assert load_task(table(tmp_path, [(f"t{i}", "NA") for i in range(80)], columns=("text", "target")),
                     task="translation")["test"]["target"][0]==["NA"]
    for row in (dict(text="", target="a"), dict(text="a", target=" "), dict(text="a", target=[]),
                dict(text="a", target=["b", ""]), dict(text=None, target="b"), dict(text=[" "], target="b"),
                dict(text="a", target=5), dict(text="a")):
        refused(load_task, lines(tmp_path, "b.jsonl", [ROW["summarization"](0), row]), task="summarization",
                words=["b.jsonl", "row 2"])

def test_parallel_files(tmp_path):
    "Line by line; other counts and empty lines are named; so is one file for both."
    (tmp_path/"a.en").write_text("".join(f"one {i}\r\n" for i in range(80))); (tmp_path/"a.zh").write_text("\n".join(f"一 {i}" for i in range(80)))
    pair = f"{tmp_path}/a.en,{tmp_path}/a.zh"
    task = load_task(pair, task="translation")
    assert sum(map(len, task.values()))==80 and all(r["target"]==[r["text"].replace("one",
                                                                                    "一")] for ds in task.values() for r in ds)
    assert len(load_task(dict(train=pair, test=pair), task="translation")["test"])==80
    (tmp_path/"a.zh").write_text("\n".join(f"一 {i}" for i in range(79)))
    refused(load_task, pair, task="translation", words=["80 lines and 79"])
    (tmp_path/"a.zh").write_text("\n".join(f"一 {i}"*(i!=41) for i in range(80)))
    refused(load_task, pair, task="translation", words=["a.zh", "line 42"])
    refused(load_task, f"{tmp_path}/a.en,", task="translation", words=["no such file"])
    refused(load_task, pair+",b.de", task="translation", words=["3 files"])

@pytest.mark.parametrize("messages, word", [([], "roles"), (None, "role"),
                                            ([dict(role="user", content="a")], "last turn"),
                                            ([dict(role="assistant", content="a")], "user"),
    ([dict(role="user", content="a"), dict(role="bot", content="b")], "'bot'"),
                                            ([dict(role="user", content="a"), dict(role="assistant", content="")],
                                             "message 2"),
    ([dict(role="user", content="a"), dict(role="assistant")], "message 2"), (["a", "b"], "'a'"),
                                            ([dict(content="a")], "None"),
                                            (dict(role="user", content="a"), "last turn")])
def test_wrong_dialogues(tmp_path, messages, word):
    "File and row of the first fault."
    refused(load_task, lines(tmp_path, "a.jsonl", [ROW["dialogue"](0), dict(messages=messages)]), task="dialogue",
            words=["a.jsonl", "row 2", word])

def test_dialogues(tmp_path):
    "A system turn, several turns, and a table of questions and answers."
    talk = [dict(role="system", content="Be brief."), dict(role="user", content="a", name="x"),
            dict(role="assistant", content="b"), dict(role="user", content="c"), dict(role="assistant", content="d")]
    got = load_task(dict(train=lines(tmp_path, "a.jsonl", [dict(messages=talk)])),
                    task="dialogue")["train"]["messages"][0]
    assert got==[{k: m[k] for k in ("role", "content")} for m in talk]
    one = load_task(table(tmp_path, ROWS), label="label", task="dialogue")
    assert one["test"]["messages"][0][1]["role"]=="assistant" and sum(map(len, one.values()))==300

def test_wrong_wishes(tmp_path):
    "Unknown tasks and problem types, an embedded task of another shape, no train split, rows without classes."
    path = table(tmp_path, ROWS)
    refused(load_task, path, task="poetry", words=["poetry", "dialogue"])
    refused(TextClassification, problem_type="ordinal", words=["ordinal", "regression"])
    refused(pipelines.task, "dialogue", problem_type="regression", words=["regression", "dialogue"])
    refused(load_task, "docs-types", task="dialogue", words=["docs-types", "question-answering"])
    refused(load_task(dict(test=path)).train_rows, words=["rows.csv", "train"])
    refused(sample_per_class, load_task(path, label="label", task="summarization")["train"], 3, words=["no class"])

def test_data_sets_of_the_hub(monkeypatch):
    "Classes by their names, also in lists; a split whose labels are hidden is left out."
    def hub(features, **parts):
        made = {p: Dataset.from_list(rows, features=Features(features)) for p,rows in parts.items()}
        monkeypatch.setattr("plm_nb.tables.load_hub", lambda source: made)
    text, tag = Value("string"), ClassLabel(names=["O", "B-x"])
    hub(dict(text=text, label=ClassLabel(names=["no", "yes"])), test=[dict(text="c", label=-1)],
        train=[dict(text="a", label=1), dict(text="b", label=0)])
    task = load_task("owner/name")
    assert list(task)==["train"] and labels(task["train"])==["yes", "no"]
    hub(dict(words=List(text), tags=List(tag)), train=[dict(words=["a", "b"], tags=[1, 0])])
    assert load_task("owner/name", task="token-classification")["train"][0]==dict(words=["a", "b"], tags=["B-x", "O"])
    hub(TASKS["question-answering"].columns, train=[ROW["question-answering"](0)])
    assert load_task("owner/name", task="question-answering")["train"][0]==ROW["question-answering"](0)

# Files of the field; each test is skipped where its file is absent

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")

def real(*names):
    "The paths of files of real data, or a reason to skip."
    for n in names:
        if not (DATA/n).is_file(): pytest.skip(f"no {n} here; PLM_DATA may name the folder that holds it")
    return dict(zip(("train", "test", "validation"), (DATA/n for n in names)))

def sizes(task): return {p: len(ds) for p,ds in task.items()}

def test_glue():
    "A byte-order mark and quotation marks (MRPC), a header (RTE), none (CoLA): as many rows as their publishers say."
    mrpc = load_task(real("mrpc/msr_paraphrase_train.txt", "mrpc/msr_paraphrase_test.txt"), "#1 String", "Quality",
                     "#2 String")
    assert sizes(mrpc)==dict(train=4076, test=1725) and mrpc["test"].features["label"].names==["0", "1"]
    rte = load_task(real("rte/train.tsv", "rte/dev.tsv"), "sentence1", "label", "sentence2")
    assert sizes(rte)==dict(train=2490, test=277) and rte["test"].features["label"].names==["entailment",
                                                                                            "not_entailment"]
    cola = load_task(real("cola/in_domain_train.tsv", "cola/in_domain_dev.tsv"), 3, 1)
    assert sizes(cola)==dict(train=8551, test=527)

def test_names():
    "WNUT-17 as published; Weibo without its digits, which is said once a file."
    wnut, warned = said(load_task, real("wnut17/wnut17train.conll", "wnut17/emerging.test.annotated",
                                        "wnut17/emerging.dev.conll"), task="token-classification")
    assert sizes(wnut)==dict(train=3394, test=1287, validation=1009) and not warned
    assert {p: sum(map(len, ds["words"])) for p,ds in wnut.items()}==dict(train=62730, test=23394, validation=15733)
    weibo, warned = said(load_task, real(*(f"weibo_ner/weiboNER_2nd_conll.{p}" for p in ("train", "test", "dev"))),
                         task="token-classification")
    assert sizes(weibo)==dict(train=1350, test=270, validation=270) and len(warned)==3
    assert all(len(w)==1 or w=="\ufffd\ufffd" for ds in weibo.values() for words in ds["words"] for w in words)

def test_questions():
    "XQuAD is exact; CMRC 2018 is not, and how far is said; every answer with a place stands there."
    xquad = [said(load_task, dict(train=real(f"xquad/xquad.{l}.json")["train"]),
                  task="question-answering") for l in ("en", "zh")]
    assert [len(t["train"]) for t,_ in xquad]==[1190, 1190] and not any(w for _,w in xquad)
    cmrc, warned = said(load_task, real("cmrc2018/cmrc2018_dev.json", "cmrc2018/cmrc2018_trial.json"),
                        task="question-answering")
    assert sizes(cmrc)==dict(train=3219, test=1002)
    assert [re.search(r"\d+ ", w.split(".json: ")[1].replace("UTF-16", ""))[0].strip() for w in warned]==["7", "193", "5", "2"]
    for ds in (cmrc["train"], cmrc["test"], xquad[1][0]["train"]):
        for r in ds:
            for t,s in zip(r["answers"]["text"], r["answers"]["answer_start"]): assert s==-1 or r["context"].startswith(t, s)

def test_texts_for_texts():
    "Sentences joined and several references (SciTLDR), three columns of references (DialogSum), packed pairs."
    tldr = load_task(real("scitldr/train.jsonl", "scitldr/test.jsonl", "scitldr/dev.jsonl"), "source", "target",
                     task="summarization")
    assert sizes(tldr)==dict(train=1992, test=618, validation=619) and max(map(len, tldr["test"]["target"]))>1
    talk = load_task(real("dialogsum/dialogsum.test.jsonl"), "dialogue", "summary1,summary2,summary3",
                     task="summarization")
    assert len(talk["train"])==500 and set(map(len, talk["train"]["target"]))=={3}
    docs = load_task(real("pydocs_zh/python_docs_3.13.en-zh.jsonl.gz"), "en", "zh", task="translation")
    assert sum(map(len, docs["train"]["target"]))==len(docs["train"])==42880
