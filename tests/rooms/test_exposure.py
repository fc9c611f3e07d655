"Rows that a model has read are counted, and left out of a second score."
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from plm_nb.exposure import evaluate_unread, unread
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.runs import Run
from plm_nb.text_classification import TextClassification
from plm_nb.tokenizer import train_tokenizer
from plm_nb.pipelines import verify

ROWS = [dict(text=f"row number {i} of this table tells about {w} and nothing else at all", label="ab"[i%2])
        for i,w in enumerate("cats dogs owls hens bees ants cows pigs rats bats elks foxes".split())]

@pytest.fixture(scope="module")
def model(tmp_path_factory):
    words = train_tokenizer([row["text"] for row in ROWS], "wordpiece", 120)
    args = FinetuningArguments(size="tiny", epochs=1)
    return finetune(dict(train=ROWS*2, validation=ROWS), tmp_path_factory.mktemp("runs")/"run", TextClassification(24), None, words, args).path

def corpus(rows): return DatasetDict(train=Dataset.from_list([dict(text=row["text"]) for row in rows]))

def test_known_rows_are_left_out(model, tmp_path):
    "Both scores stand in the record and on the card, and the run still verifies."
    found = evaluate_unread(model, dict(validation=ROWS), corpus(ROWS[:5]), out=tmp_path/"out")
    rest = found["contamination"]
    assert (rest["known"], rest["unread"]["n"], found["n"])==(5, 7, 12)
    assert found["accuracy"]*12==pytest.approx(rest["unread"]["accuracy"]*7+5*np.mean([
        line["label"]==line["prediction"] for line in lines_of(tmp_path/"out")[:5]]))
    assert Run(tmp_path/"out").record["contamination"]==rest and verify(tmp_path/"out")["ok"]
    card = (tmp_path/"out/README.md").read_text()
    assert "## Rows that were read before" in card and "overlap of the test" not in card

def lines_of(folder):
    from plm_nb.files import read_json_lines
    return read_json_lines(folder/"scores.jsonl")

@pytest.mark.parametrize("n", [0, 12])
def test_nothing_and_all_of_it(model, n):
    found = evaluate_unread(model, dict(validation=ROWS), corpus(ROWS[:n] or [dict(text="something else")]))
    assert found["contamination"]["known"]==n and found["contamination"]["unread"]["n"]==12-n

def test_pairs_are_known_by_both_texts(tmp_path):
    "A pair of which one half was read before is known if half of its runs are."
    task = TextClassification(24, pairs=True)
    row = dict(text=ROWS[0]["text"], text2="short")
    assert task.key(row).split("\t")==[ROWS[0]["text"], "short"]
    lines = [dict(row=0, label="a", prediction="a"), dict(row=1, label="a", prediction="b")]
    assert unread(task, lines, np.array([True, False]))["accuracy"]==0
    assert unread(task, lines, np.array([True, True]))==dict(n=0)
