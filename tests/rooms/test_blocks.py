"A corpus is cut once, by any number of processes, whatever is killed on the way; mixtures leave nothing out."
import os, signal, subprocess, sys, time
from collections import Counter
from pathlib import Path
import pytest
from datasets import Dataset
from plm_nb import documents
from plm_nb.blocks import kept_blocks, load_mixture, mixed, mixture_sizes, parse_mixture, rows_of, some_texts
from plm_nb.data import load_corpus
from plm_nb.documents import keep, open_kept
from plm_nb.files import InputError
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer

@pytest.fixture(scope="module")
def texts(): return load_corpus("docs")["train"]["text"][:300]

@pytest.fixture(scope="module")
def tokenizer(texts): return train_tokenizer(texts, "wordpiece", 800)

@pytest.fixture
def corpus(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(documents, "SHARD", 10_000)
    rows = [("train", str(i), text) for i,text in enumerate(texts)]
    return keep([*rows, ("validation", "v", texts[0])], tmp_path/"corpus")

@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_processes(corpus, texts, tokenizer, workers):
    blocks = kept_blocks(corpus, "train", tokenizer, 32, workers)
    assert blocks["input_ids"][:]==pack(texts, tokenizer, 32)["input_ids"][:]
    assert len(list(corpus.folder.glob("train-*.arrow")))>3
    assert [p.name for p in corpus.folder.glob("blocks-*/*")]==["train.arrow"], "parts are removed"

def test_another_tokenizer_and_size_have_their_own(corpus, texts, tokenizer):
    other = train_tokenizer(texts, "bpe", 500)
    for tok,size in ((tokenizer, 32), (other, 32), (tokenizer, 16)):
        assert kept_blocks(corpus, "train", tok, size)["input_ids"][:]==pack(texts, tok, size)["input_ids"][:]
    assert len(list(corpus.folder.glob("blocks-*")))==3

def test_what_is_there_is_not_made_again(corpus, tokenizer):
    kept_blocks(corpus, "train", tokenizer, 32)
    [file] = corpus.folder.glob("blocks-*/train.arrow")
    before = file.stat().st_mtime_ns
    kept_blocks(open_kept(corpus.folder), "train", tokenizer, 32)
    assert file.stat().st_mtime_ns==before

CUT = """
import sys, time
from plm_nb import blocks
from plm_nb.documents import open_kept
from plm_nb.tokenizer import load_tokenizer
write = blocks._write_tokens
def slowly(*some):
    time.sleep(.3)
    write(*some)
blocks._write_tokens = slowly
blocks.kept_blocks(open_kept(sys.argv[1]), "train", load_tokenizer(sys.argv[2]), 32, int(sys.argv[3]))
"""

@pytest.mark.parametrize("workers", [1, 2])
def test_killed_again_and_again(corpus, texts, tokenizer, tmp_path, workers):
    "By SIGKILL, three times; then the bytes are those of a run that nobody stopped."
    tokenizer.save_pretrained(tmp_path/"words")
    def there(): return len(list(corpus.folder.glob("blocks-*/*.tokens")))
    files = len(list(corpus.folder.glob("train-*.arrow")))
    for _ in range(3):
        before = there()
        process = subprocess.Popen([sys.executable, "-c", CUT, str(corpus.folder), str(tmp_path/"words"), str(workers)], start_new_session=True)
        while there()==before and process.poll() is None: time.sleep(.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert before<there()<files
    blocks = kept_blocks(corpus, "train", tokenizer, 32, workers)
    assert blocks["input_ids"][:]==pack(texts, tokenizer, 32)["input_ids"][:]

def test_a_process_that_is_ended_by_the_system(corpus, texts, tokenizer, monkeypatch):
    "The first one does its share."
    from plm_nb import blocks
    write, first = blocks._write_tokens, os.getpid()
    def dies(out, words, path):
        if os.getpid()!=first and path.stem.endswith("1"): os.kill(os.getpid(), signal.SIGKILL)
        write(out, words, path)
    monkeypatch.setattr(blocks, "_write_tokens", dies)
    assert kept_blocks(corpus, "train", tokenizer, 32, 2)["input_ids"][:]==pack(texts, tokenizer, 32)["input_ids"][:]

def test_too_little_text(tmp_path, tokenizer):
    corpus = keep([("train", "0", "Short.")], tmp_path/"c")
    with pytest.raises(InputError, match="fewer than one block of 64"): kept_blocks(corpus, "train", tokenizer, 64)
    with pytest.raises(InputError, match="workers"): kept_blocks(corpus, "train", tokenizer, 8, 0)

@pytest.mark.parametrize("sizes,weights", [([10, 20], [1, 1]), ([7, 1, 90], [.2, .3, .5]), ([5, 5], [1, 1]), ([3, 1000], [.01, .99])])
def test_a_mixture_has_its_shares_and_leaves_nothing_out(sizes, weights):
    parts = [Dataset.from_dict(dict(x=[f"{i}-{j}" for j in range(n)])) for i,n in enumerate(sizes)]
    times = Counter(mixed(parts, weights, seed=3)["x"][:])
    for i,n in enumerate(sizes):
        own = [times[f"{i}-{j}"] for j in range(n)]
        assert min(own)>=1 and max(own)-min(own)<=1
        share = sum(own)/sum(times.values())
        assert share==pytest.approx(weights[i]/sum(weights), abs=1/min(sum(times.values()), 2*sum(sizes)))
    assert mixed(parts, weights, 3)["x"][:]==mixed(parts, weights, 3)["x"][:]

@pytest.mark.parametrize("weights", [[1], [1, 0], [1, -1], [1, float("nan")]])
def test_weights_that_are_none(weights):
    with pytest.raises(InputError, match="above 0"): mixture_sizes([3, 3], weights)

def test_how_a_mixture_is_written(tmp_path):
    assert parse_mixture("a:1,b:2")==dict(a=1, b=2)
    assert parse_mixture(r"C:\a:1,D:\b:2")=={r"C:\a": 1, r"D:\b": 2}
    (tmp_path/"a:1,b:2").write_text("a file")
    assert parse_mixture(str(tmp_path/"a:1,b:2")) is None
    for one in ("docs", "owner/name:20231101.de", "a,b", Path("a:1,b:2")): assert parse_mixture(one) is None
    for wrong in ("a:1,b:0", "a:1,b:inf", ":1,b:2", "a:1,b", "a:x,b:2"):
        with pytest.raises(InputError, match="write a:0.7,b:0.3"): parse_mixture(wrong)

def test_rows_of_a_mixture_of_kinds(tmp_path, tokenizer, corpus, texts):
    "One corpus on disk and one in memory."
    (tmp_path/"notes.txt").write_text("Some notes. "*200)
    both = load_mixture(f"docs:0.5,{tmp_path}/notes.txt:0.5")
    both.parts[0] = corpus
    rows = rows_of(both, "train", tokenizer, 32)
    large, small = len(rows_of(corpus, "train", tokenizer, 32)), len(rows_of(both.parts[1], "train", tokenizer, 32))
    assert len(rows)==2*max(large, small)
    assert len(some_texts(corpus, 2**20))==len(texts)
