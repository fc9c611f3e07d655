"A score does not depend on how many rows are computed at once, or on which side they are filled up."
import pytest
import torch
from test_fuzz import CASES
from plm_nb import decoding, finetuning, question_answering
from plm_nb.pipelines import load_task
from plm_nb.tokenizer import train_tokenizer

WORDS = "Ada ran who yes or no text more hi hello".split()

def longer(row, i):
    "`row` with texts of many lengths, in all of its fields that are not answers."
    tail = " ".join(WORDS[j%len(WORDS)] for j in range(i*5%17))
    for name in ("text", "text2", "context"):
        if name in row: row[name] = f"{row[name]} {tail}".strip()
    if "choices" in row: row["choices"] = [f"{choice} {tail}".strip() for choice in row["choices"]]
    if "words" in row: row.update(words=row["words"]+tail.split(), tags=row["tags"]+["O"]*len(tail.split()))
    return row

def numbers(value):
    "All numbers in nested lists and dicts."
    if isinstance(value, dict): value = list(value.values())
    if isinstance(value, (list, tuple)): return [x for one in value for x in numbers(one)]
    return [float(value)] if isinstance(value, (int, float)) else []

def words(value):
    "All texts in nested lists and dicts."
    if isinstance(value, dict): value = list(value.values())
    if isinstance(value, (list, tuple)): return [x for one in value for x in words(one)]
    return [value] if isinstance(value, str) else []

@pytest.mark.parametrize("name", CASES)
def test_batch_size_and_padding_side(name, monkeypatch):
    "Lines and scores of 30 rows of many lengths: one, seven or 64 at once, filled up left or right."
    make, row = CASES[name]
    task = make()
    if hasattr(task, "max_target"): task.max_target = 4
    rows = load_task(dict(train=[longer(row(i), i) for i in range(30)]), task=task)
    tok = train_tokenizer([" ".join(WORDS)+": ? , and"]*30, "byte-bpe", 280)
    torch.manual_seed(0)
    model = task.new_model(None, tok, rows, "tiny").eval()
    by_length, batches = finetuning.by_length, decoding._batches_by_length
    found = []
    for side in ("right", "left"):
        for size in (1, 7, 64):
            tok.padding_side = side
            for room in (finetuning, question_answering):
                monkeypatch.setattr(room, "by_length", lambda rows, collate, _=64, n=size: by_length(rows, collate, n))
            monkeypatch.setattr(decoding, "_batches_by_length", lambda rows, model, _, n=size: batches(rows, model, n))
            lines = task.lines(model, tok, rows["train"])
            found.append((words(lines), numbers(lines)+numbers(task.score(lines))))
    first = found[0]
    for texts,figures in found:
        assert texts==first[0]
        assert figures==pytest.approx(first[1], abs=1e-6, rel=1e-6)
