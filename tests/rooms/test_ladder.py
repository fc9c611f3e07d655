"`plm_nb.ladder`: what a line of the table says, which size is best, and a whole ladder of a few steps."
import math, zlib
from types import SimpleNamespace
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from plm_nb.ladder import COLUMNS, compressed, final_loss, ladder, mixture, text_of

WORDS = "the cat sat on a mat and the dog lay by the door while it rained".split()

def corpus(n_train=40, n_heldout=4):
    rng = np.random.default_rng(0)
    def texts(n): return [" ".join(rng.choice(WORDS, 40)) for _ in range(n)]
    return DatasetDict(train=Dataset.from_dict(dict(text=texts(n_train))),
                       validation=Dataset.from_dict(dict(text=texts(n_heldout))))

def test_text_of():
    assert text_of(Dataset.from_dict(dict(text=["a", "b"])))=="a\n\nb"

def test_compressed():
    "What was there costs next to nothing, what is random costs nearly all of its bits."
    known = "".join(chr(97+i) for i in np.random.default_rng(0).integers(0, 26, 4000))
    other = "".join(chr(97+i) for i in np.random.default_rng(1).integers(0, 26, 4000))
    assert compressed(known, known[:2000], zlib.compress) < .5
    assert math.log2(26)-.2 < compressed(known, other, zlib.compress) < 8
    assert compressed("ab", "ä", lambda b: b)==8 # per byte, not per character

@pytest.mark.parametrize("seed", range(5))
def test_mixture(seed):
    "It sums to one, is symmetric, and is at most ln 2 worse than the better of both."
    p, q = np.random.default_rng(seed).dirichlet(np.ones(7), 2)
    both = mixture(-np.log(p), -np.log(q))
    assert np.exp(-both).sum()==pytest.approx(1)
    np.testing.assert_allclose(both, mixture(-np.log(q), -np.log(p)))
    assert (both <= np.minimum(-np.log(p), -np.log(q)) + math.log(2) + 1e-12).all()

def test_mixture_of_something_impossible():
    assert mixture([math.inf], [0.])[0]==pytest.approx(math.log(2))

def test_final_loss():
    "The mean of the last tenth; lines without a loss do not count."
    losses = [*np.linspace(5, 3, 18), 2., 1.]
    assert final_loss(SimpleNamespace(history=pd.DataFrame(dict(loss=losses))))==1.5
    assert final_loss(SimpleNamespace(history=pd.DataFrame(dict(loss=[3., math.nan, 2., math.nan]))))==2

@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    out, said = tmp_path_factory.mktemp("ladder"), []
    found = ladder(corpus(), out, minutes=.002, sizes=("tiny",), seeds=2, orders=2, say=said.append)
    return found, out, said

def test_lines(climbed):
    found, out, said = climbed
    assert [found.index.name, *found.columns]==COLUMNS
    assert found.index.tolist()==["alphabet", "zlib", "xz", "1-gram", "2-gram", "rnn tiny", "gru tiny",
        "lstm tiny (best)", "lstm tiny + 2-gram", "gpt2 tiny (best)", "gpt2 tiny + 2-gram", "bert tiny, mlm", "xlnet tiny, permutation"]
    assert len(said)==8 and len(set(said))==8 # a line for each network, seeds too
    assert len([p for p in out.iterdir() if p.is_dir()])==8+2

def test_scores(climbed):
    found, *_ = climbed
    masked = found.index.isin(["bert tiny, mlm", "xlnet tiny, permutation"])
    assert found.bits_per_byte[~masked].between(0, 12).all() and found.bits_per_byte[masked].isna().all()
    assert (found.nats_per_question[masked]>0).all() and found.nats_per_question[~masked].isna().all()
    assert found.bits_per_byte["2-gram"] < found.bits_per_byte["1-gram"] < found.bits_per_byte["alphabet"]
    np.testing.assert_allclose(found.nats_per_char[~masked], found.bits_per_byte[~masked]*math.log(2), rtol=1e-6) # ASCII
    seeds = found.loc[["lstm tiny (best)", "gpt2 tiny (best)"]]
    assert (seeds.seeds==2).all() and (seeds.low<=seeds.bits_per_byte).all() and (seeds.bits_per_byte<=seeds.high).all()
    mixed = found.bits_per_byte["lstm tiny + 2-gram"]
    assert mixed <= found.bits_per_byte["2-gram"]+1 # ln 2 is one bit a character
    assert found.parameters["lstm tiny + 2-gram"]==found.parameters["lstm tiny (best)"]+found.parameters["2-gram"]
