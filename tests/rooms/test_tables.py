"Cells, rows and splits at their edges; every door end to end is in tests/doors."
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from plm_nb.files import InputError
from plm_nb.tables import (Columns, as_table, checked, class_name, class_problem, is_missing, known_labels, label_list, load_tables,
                           number_problem, several_columns, split_files, split_table, told_type)

@pytest.mark.parametrize("cell", [None, float("nan"), np.nan, pd.NA, pd.NaT, "", " \t\n", "\u3000"])
def test_missing(cell): assert is_missing(cell)

@pytest.mark.parametrize("cell", ["a", 0, False, [], {}, [None], np.array([1, 2]), b"", 0.])
def test_not_missing(cell): assert not is_missing(cell)

@pytest.mark.parametrize("cell, name", [(1, "1"), (np.int8(-3), "-3"), (2., "2"), (np.float32(2), "2"), (True, "True"),
                                        (np.bool_(False), "False"), (" a", " a"), (10**30, str(10**30))])
def test_names_of_classes(cell, name): assert class_problem(cell, "label") is None and class_name(cell)==name

@pytest.mark.parametrize("cell", [.5, float("inf"), -float("inf"), b"a", [1], {}, None, "", "a\udc80"])
def test_no_classes(cell): assert class_problem(cell, "label")

@pytest.mark.parametrize("cell", ["", "x", "1e999", float("inf"), True, [1], None, 10**400])
def test_no_numbers(cell): assert number_problem(cell, "label")

def test_list_of_labels_keeps_each_once(): assert label_list(["b", "a", "b"])==["b", "a"]==label_list("b, a ,b,,")

def test_classes_in_lists_of_a_dataset():
    "Their names come back, and −1 there is hidden as well."
    features = Features(text=Value("string"), label=List(ClassLabel(names=["x", "y"])))
    rows = Dataset.from_dict(dict(text=["a", "b"], label=[[1, 0], []]), features=features)
    assert as_table(rows).label.tolist()==[["y", "x"], []]

def test_several_columns_count_lists_as_their_entries():
    table = pd.DataFrame(dict(a=[["1", "2"], ["3"]], b=["x", "y"]))
    assert several_columns(table, "a, b", "t")==[["1", "2", "x"], ["3", "y"]]
    with pytest.raises(InputError, match="no column 'c'"): several_columns(table, "a,c", "t")

def test_split_is_by_the_text_alone():
    table = pd.DataFrame(dict(text=[f"Text  {i}" for i in range(40)], label="a"))
    split = split_table(table, lambda row: row["text"])
    again = split_table(table.assign(text=[f"text {i}" for i in range(40)], label="b"), lambda row: row["text"])
    assert {name: rows.index.tolist() for name,rows in split.items()}=={name: rows.index.tolist() for name,rows in again.items()}

def test_two_files_for_one_split(tmp_path):
    for name in ("dev.csv", "validation.csv"): (tmp_path/name).touch()
    with pytest.raises(InputError, match="both validation"): split_files(tmp_path)

@pytest.mark.parametrize("source", [5, None, {"a": 5}, "no file.csv", "no-such-name"])
def test_sources_that_are_none(source):
    def read(path): raise InputError(f"{path}: no such file")
    with pytest.raises(InputError): load_tables(source, read)

def test_columns_by_number(): assert Columns("3", "1,-1").numbered and not Columns("3", "a").numbered and not Columns().numbered

def test_labels_are_those_that_are_declared():
    table = pd.DataFrame(dict(label=["a"]))
    assert known_labels(dict(train=table), dict(train="t"), lambda row: [row["label"]], ["b", "a"])==["b", "a"]

def odd_classes(label):
    "Rows of two classes, of which the last has this label, checked by nobody."
    types = Features(text=Value("string"), label=List(ClassLabel(names=["x", "y"])) if isinstance(label, list) else ClassLabel(names=["x", "y"]))
    labels = [[0], label] if isinstance(label, list) else [0, label]
    return Dataset(pa.table(dict(text=["a", "b"], label=pa.array(labels)), schema=types.arrow_schema))

@pytest.mark.parametrize("label", [7, 2, [1, 7]], ids=str)
def test_a_class_without_a_name(label):
    with pytest.raises(InputError, match=r"row 2 has the label (7|2); give one of 0 \(x\), 1 \(y\)"): as_table(odd_classes(label))

def test_equal_faults_are_counted():
    table = pd.DataFrame(dict(label=["a", None, "", 1.5, "b", float("nan")]))
    with pytest.raises(InputError, match=r"row 2 has an empty label \(3 rows do\); fill it in"): checked(table, "label", "t", class_problem)
    with pytest.raises(InputError, match="row 1 has 1.5 for its label; a class"): checked(table[3:5], "label", "t", class_problem)

@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_numbers_that_may_be_classes(kind):
    def told(*labels): return told_type(as_table(Dataset.from_dict(dict(label=labels)).cast_column("label", Value(kind))), "label")
    for labels in ((0., 1.), (1., 1.), (0.,)):
        with pytest.raises(InputError, match="holds 0.0 and 1.0 only"): told(*labels)
    assert told(0., 1., 2.)==told(.5)==told(0., None)=="regression"

def test_the_nearest_name_is_asked_for():
    tables = dict(train=pd.DataFrame(dict(label=["positive", "negative"])), test=pd.DataFrame(dict(label=["positiv"])))
    with pytest.raises(InputError, match="did you mean 'positive'\\? its labels are negative, positive"): known_labels(tables, dict(train="a", test="b"), lambda row: [row["label"]])
    tables["test"].label = "zzz"
    with pytest.raises(InputError, match="never shows; its labels"): known_labels(tables, dict(train="a", test="b"), lambda row: [row["label"]])
