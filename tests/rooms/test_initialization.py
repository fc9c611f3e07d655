"What is counted before a training."
import numpy as np
import pytest
from datasets import Dataset
from plm_nb.initialization import COUNTED, cooccurrence, init_from_counts, met_in_rows
from plm_nb.models import ARCHS, build
from plm_nb.tokenizer import train_tokenizer

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(["abcdefghijklmnopqrstuvwxyz "*3], "char", 40)

def test_neighbors_are_counted_inside_a_document(tok):
    "Every pair within the window counts twice, once in each direction, and none across a border."
    rng = np.random.default_rng(0)
    docs = [rng.integers(5, 20, n).tolist() for n in (3, 17, 9, 1, 33)]
    ids = sum([[2, *d, 3] for d in docs], [])
    got, want = cooccurrence(Dataset.from_dict(dict(input_ids=[ids])), tok, 4).toarray(), np.zeros((len(tok),)*2)
    for d in docs:
        for i,a in enumerate(d):
            for b in d[i+1:i+5]: want[a, b] += 1; want[b, a] += 1
    assert (got==want).all()

def test_rows_in_which_tokens_meet(tok):
    "Pairs of tokens are counted once a row, in any order, and special tokens not at all."
    rng = np.random.default_rng(1)
    rows = [[2, *rng.integers(5, 20, n).tolist(), 3] for n in (0, 3, 17, 9, 1, 33)]
    want = np.zeros((len(tok),)*2)
    for row in rows:
        for a in {*row}-{2, 3}:
            for b in {*row}-{2, 3}: want[a, b] += 1
    assert (met_in_rows(rows, tok).toarray()==want).all()

def repeated(n, rng): return np.repeat(rng.integers(5, 25, n), 30//n).tolist()

@pytest.mark.parametrize("is_alike", [True, False])
@pytest.mark.parametrize("arch", COUNTED)
def test_every_counted_family_starts(tok, arch, is_alike):
    "The embedding is set, tied to the head or not, and special tokens keep theirs; counts that mislead are left."
    rng = np.random.default_rng(0)
    rows = [[2, *repeated(6 if is_alike else 30, rng), 3] for _ in range(20)]
    head = "fill-mask" if "fill-mask" in ARCHS[arch] else "text-generation"
    model = build("tiny", tok, head, arch)
    before = model.get_input_embeddings().weight.detach().clone()
    taken = init_from_counts(model, Dataset.from_dict(dict(input_ids=rows)), tok)
    after = model.get_input_embeddings().weight.detach()
    moved = (before!=after).any(1).numpy()
    assert taken==(is_alike or arch in ("bert", "xlnet"))
    assert moved[5:25].all()==taken and moved.any()==taken and not moved[tok.all_special_ids].any()
