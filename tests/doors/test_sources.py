"Rows come through every door as they are, or a line says what to do."
import gzip, json
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from plm_nb import FinetuningArguments, evaluate, finetune, load_task, predict, train_tokenizer
from plm_nb.files import InputError
from plm_nb.estimators import TextClassifier
from typed import found, plm

TEXTS = [(f"the {['cat', 'dog'][i%2]} number {i} is {['bad', 'good'][i%2]}", ["bad", "good"][i%2]) for i in range(60)]
CLASSES = Features(text=Value("string"), label=ClassLabel(names=["bad", "good"]))

def dataset(labels): return Dataset.from_dict(dict(text=[f"text {i}" for i in range(len(labels))], label=labels), features=CLASSES)

@pytest.fixture(scope="module")
def tok(): return train_tokenizer([text for text,_ in TEXTS]*9, "wordpiece", 120)

@pytest.fixture(scope="module")
def args(): return FinetuningArguments(size="tiny", epochs=.3)

def test_hidden_answers(tok, args, tmp_path):
    "-1 is no class: a split without answers is left out and named, a split with some is refused."
    with pytest.warns(UserWarning, match="test"):
        rows = load_task(DatasetDict(train=dataset([0, 1]*20), test=dataset([-1]*5)))
    assert list(rows)==["train"]
    with pytest.raises(InputError, match="row 2 has the label -1"):
        load_task(DatasetDict(train=dataset([0, 1]*20), test=dataset([0, -1])))
    with pytest.raises(InputError, match="no split with answers"), pytest.warns(UserWarning):
        evaluate(finetune(dataset([0, 1]*20), tmp_path/"run", tokenizer=tok, args=args).path, dataset([-1]*9))

def test_every_door_gives_the_same_rows(tmp_path):
    "A list of tuples, of dicts, a DataFrame, a Dataset, JSON lines, a JSON array, CSV, TSV, parquet, packed or not."
    dicts = [dict(text=text, label=label) for text,label in TEXTS]
    frame = pd.DataFrame(dicts)
    frame.to_csv(tmp_path/"a.csv", index=False)
    frame.to_csv(tmp_path/"a.TSV", index=False, sep="\t")
    frame.to_csv(tmp_path/"a.csv.gz", index=False)
    frame.to_parquet(tmp_path/"a.parquet")
    frame[frame.label!=""].to_parquet(tmp_path/"index.parquet", index=True)
    frame.to_json(tmp_path/"a.JSONL", orient="records", lines=True)
    frame.to_json(tmp_path/"a.ndjson", orient="records", lines=True)
    (tmp_path/"array.json").write_text(json.dumps(dicts))
    (tmp_path/"mac.csv").write_bytes(("text,label\r"+"".join(f"{text},{label}\r" for text,label in TEXTS)).encode())
    excel = "text;label\r\n"+"".join(f"{text};{label}\r\n" for text,label in TEXTS)
    (tmp_path/"excel.csv").write_bytes(excel.encode("utf-8-sig"))
    want = {split: rows[:] for split,rows in load_task(TEXTS).items()}
    assert sum(len(rows["text"]) for rows in want.values())==60
    files = [p for p in sorted(tmp_path.iterdir())]
    for source in (dicts, frame, frame.set_index("label"), Dataset.from_pandas(frame), *files):
        assert {split: rows[:] for split,rows in load_task(source).items()}==want, source

@pytest.mark.parametrize("rows, words", [
    ([("a", None), ("b", "x")], "row 1 has an empty label"), ([("a", "x"), (None, "y")], "row 2 has an empty text"),
    ([("a", float("nan"))], "row 1 has an empty label"), ([(["the", "dog"], "x")], "row 1 has"),
    ([dict(text=dict(body="a"), label="x")], "row 1 has"), ([("a", ["x"])], "row 1 has"), ([(b"a", "x")], "row 1 has"),
    ([("a", .5)], "row 1 has 0.5 for its label"), ([("a", "x", "y", "z")], "row 1 is"), (["a", "b"], "row 1 is"),
    ([("a\ud83d", "x")], "half of a character"), ([("a", "pos"), ("b", "pos ")], "white space"),
    (5, "int is no table")])
def test_rows_that_are_none(rows, words):
    with pytest.raises(InputError, match=words): load_task(dict(train=rows) if rows!=5 else rows)

def test_whole_numbers_are_names_of_classes():
    "1, 1.0, True and numpy's numbers, as pandas makes them where a column has a gap elsewhere."
    rows = load_task(dict(train=[("a", 1.0), ("b", 0)], validation=[("c", np.int64(1)), ("d", 0.0)]))
    assert rows["train"].features["label"].names==["0", "1"] and rows["validation"]["label"][:]==[1, 0]

def test_a_folder_of_splits(tok, args, tmp_path):
    "GLUE's own layout, what `save_to_disk` writes, and what is neither."
    folder = tmp_path/"parts"
    folder.mkdir()
    for name,some in (("train", TEXTS[:40]), ("dev", TEXTS[40:50]), ("test", TEXTS[50:])):
        (folder/f"{name}.tsv").write_text("text\tlabel\n"+"".join(f"{t}\t{l}\n" for t,l in some))
    (folder/"._train.tsv").write_bytes(b"\0")
    (folder/"notes.md").write_text("x")
    with pytest.warns(UserWarning, match="notes.md"): rows = load_task(folder)
    assert {split: len(some) for split,some in rows.items()}==dict(train=40, validation=10, test=10)
    DatasetDict(train=dataset([0, 1]*5), validation=dataset([0, 1])).save_to_disk(tmp_path/"saved")
    assert load_task(tmp_path/"saved")["train"].features["label"].names==["bad", "good"]
    (tmp_path/"none").mkdir()
    with pytest.raises(InputError, match="train.csv"): load_task(tmp_path/"none")
    (tmp_path/"half").mkdir()
    (tmp_path/"half/dataset_info.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"): load_task(tmp_path/"half")

def test_three_tools_of_others(tmp_path):
    "Pandas with an index, Excel in Europe, and a database with its word for null: a scored model, or what to do."
    frame = pd.DataFrame(TEXTS, columns=["review", "stars"], index=[f"r{i}" for i in range(60)])
    frame.to_parquet(tmp_path/"pandas.parquet")
    frame.to_csv(tmp_path/"pandas.csv") # the index is an unnamed first column
    (tmp_path/"excel.csv").write_bytes(("review;stars\r\n"+"".join(f'"{t}";{l}\r\n' for t,l in TEXTS)).encode("utf-8-sig"))
    lines = [f"{t}\t{l}" for t,l in TEXTS]
    (tmp_path/"database.tsv").write_text("\n".join(["review\tstars", *lines, "a text\t\\N"])+"\n")
    frame.to_csv(tmp_path/"corpus.csv", index=False)
    found("tokenizer", "--corpus", tmp_path/"corpus.csv", "--text", "review", "--vocab-size", 100, "--out", tmp_path/"tok")
    start = "--text", "review", "--label", "stars", "--tokenizer", tmp_path/"tok", "--size", "tiny", "--epochs", .3
    for name in ("pandas.parquet", "pandas.csv", "excel.csv"):
        run = found("finetune", "--data", tmp_path/name, *start, "--out", tmp_path/f"run-{name}")
        assert 0<=run["validation"]["accuracy"]<=1
        rows = [json.loads(line) for line in plm("predict", tmp_path/name, "--model", tmp_path/f"run-{name}")[1].splitlines()]
        assert len(rows)==60 and {"stars", "label"}<=rows[0].keys()
    code, _, err = plm("finetune", "--data", tmp_path/"database.tsv", *start, "--out", tmp_path/"no")
    assert code==2 and "61" in err and "has an empty stars" in err, err

def test_an_answer_makes_way(tok, args, tmp_path):
    "What an input brought stays; an answer whose name is taken gets another one."
    finetune(TEXTS, tmp_path/"run", tokenizer=tok, args=args)
    [said] = predict(tmp_path/"run", [dict(text="the cat", label="mine", id=7)])
    assert said["label"]=="mine" and said["id"]==7 and said["predicted_label"] in ("bad", "good")

@pytest.mark.parametrize("X, y, words", [
    ("the dog", None, "list of texts"), ([["a", "b", "c"]]*4, "xyxy", "3 columns"), ([("a", "b"), ("c",)], "xy", "row 2"),
    (["a", "b"], [None, "x"], "row 1"), (["a", "b"], [float("nan"), "x"], "row 1"), (["a"]*9, np.linspace(0, 1, 9), "row 2"),
    ([], [], "empty"), (["a", None], "xy", "row 2")])
def test_estimators_refuse(X, y, words):
    estimator = TextClassifier(size="tiny", epochs=.1)
    with pytest.raises(InputError, match=words): estimator.fit(X, list(y) if isinstance(y, str) else y)

def test_a_column_of_labels_and_half_of_a_pair(tok):
    "Labels as a column are taken with scikit-learn's warning; predict wants what fit had."
    texts, labels = zip(*TEXTS[:20])
    estimator = TextClassifier(size="tiny", epochs=.1, tokenizer=tok)
    with pytest.warns(match="column-vector"): estimator.fit(list(texts), np.array(labels)[:, None])
    with pytest.raises(InputError, match="2 columns of texts, the training had 1"): estimator.predict([("a", "b")])
    with pytest.raises(InputError, match="list of texts"): estimator.predict("a text")
