"What is counted before a training."
import numpy as np
import pytest
from datasets import Dataset
from plm_nb.initialization import cooccurrence
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
