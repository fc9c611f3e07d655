"Labelled tables: one split for everybody, classes in a fixed order, and the faulty row by its number."
import os, random, subprocess, sys
from collections import Counter
import pandas as pd
import pytest
from plm_nb.data import InputError, normalize, part_of
from plm_nb.tasks import anonymous, few, load_task

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
    "The three parts hold every row once, each where the fingerprint of its text sends it."
    task = load_task(table(tmp_path, ROWS))
    assert sorted((t, l) for p in task.values() for t,l in zip(p["text"], labels(p)))==sorted(ROWS)
    for name,part in task.items(): assert {part_of(normalize(t)) for t in part["text"]}=={name}

def test_order_of_rows_decides_nothing(tmp_path):
    "Shuffled rows give the same parts and the same classes."
    one, rows = load_task(table(tmp_path, ROWS)), ROWS[:]
    random.Random(0).shuffle(rows)
    two = load_task(table(tmp_path, rows))
    for p in one:
        assert set(one[p]["text"])==set(two[p]["text"])
        assert one[p].features["label"].names==two[p].features["label"].names==["a", "b", "c"]

def test_copies_on_one_side(tmp_path):
    "A shouted copy of a text is in the part of the text."
    task = load_task(table(tmp_path, ROWS+[(t.upper()+" ", l) for t,l in ROWS]))
    seen = [{normalize(t) for t in part["text"]} for part in task.values()]
    assert not (seen[0]&seen[1] or seen[0]&seen[2] or seen[1]&seen[2])

def test_the_split_is_the_same_in_another_process(tmp_path):
    "Rows and draws do not depend on the hash seed."
    path = table(tmp_path, ROWS)
    code = f"""from plm_nb.tasks import few, load_task
t = load_task({str(path)!r}); print(*t["test"]["text"], *few(t["train"], 5, 3)["text"], sep="|")"""
    env = os.environ | dict(PYTHONHASHSEED="5")
    run = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    task = load_task(path)
    assert run.stdout.strip().split("|")==[*task["test"]["text"], *few(task["train"], 5, 3)["text"]]

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
    "Both texts of a pair decide its part; the same first text may stand in two parts."
    rows = [(f"first {i%10}", f"second {i}", "ab"[i%2]) for i in range(200)]
    task = load_task(table(tmp_path, rows, columns=("text", "other", "label")), text2="other")
    assert set(task["train"].column_names)=={"text", "text2", "label"}
    for name,part in task.items():
        assert {part_of(normalize(a+"\t"+b)) for a,b in zip(part["text"], part["text2"])}=={name}

@pytest.mark.parametrize("n", [1, 7, 40])
def test_few(tmp_path, n):
    "`n` rows of every class, none twice; the seed alone decides which."
    rows = load_task(table(tmp_path, ROWS))["train"]
    draws = [few(rows, n, seed) for seed in (0, 0, 1)]
    for d in draws: assert Counter(labels(d))==dict.fromkeys("abc", n) and len(set(d["text"]))==3*n
    assert draws[0]["text"][:]==draws[1]["text"][:]!=draws[2]["text"][:]

@pytest.mark.parametrize("n", [0, -1, 101])
def test_few_of_a_wrong_number(tmp_path, n):
    "No rows, and more rows than there are."
    refused(few, load_task(table(tmp_path, ROWS))["train"], n, words=[str(n)])

def test_parts_in_files(tmp_path):
    "Three files stay three parts; the file with an unknown label is the one that is named."
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
    "One class, too few rows for three parts, a column that is not there, no such file, no header where one is needed."
    refused(load_task, table(tmp_path, [(t, "a") for t,_ in ROWS]), words=["rows.csv", "'a'", "two classes"])
    refused(load_task, table(tmp_path, ROWS[:3]), words=["rows.csv", "more rows"])
    path = table(tmp_path, ROWS)
    refused(load_task, path, label="stars", words=["rows.csv", "stars", "text, label"])
    refused(load_task, path, text=0, label=9, words=["rows.csv", "9", "0, 1"])
    refused(load_task, tmp_path/"none.csv", words=["none.csv"])
    refused(load_task, tmp_path, words=[tmp_path.name, "table"])

def test_names_of_libraries_are_blanked():
    "Whole words in any case, and nothing inside of another word."
    assert anonymous("NumPy and torch.nn, sklearn-like; numpyish")=="and .nn, -like; numpyish"

def test_docs_package():
    "Eight classes, no name of a library left, and no text in two parts."
    task = load_task("docs-package")
    assert len(task["train"].features["label"].names)==8
    for part in task.values(): assert all(t==anonymous(t) for t in part["text"]) and len(set(part["label"]))==8
