"Words of rows of ids: the text decides, whatever the tokenizer."
from collections import Counter
import numpy as np
import pytest
import torch
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
from plm_nb.words import Gazetteer, cut_words, spelling, word_ids

TEXTS = [" ".join(f"word{(i*j)%97} and" for j in range(1, 5+i%9)) for i in range(60)]
STORIES = [" ".join(f"Story {i} goes on with part {j} and {(i*j)%89} more." for j in range(3+i%5)) for i in range(40)]
CHINESE = ["图书馆里有很多书。我们在图书馆里读书。", "语言模型在猜下一个词。猜对了，它就学会了。"]*4

@pytest.mark.parametrize("kind", ["bpe", "byte-bpe", "unigram", "char", "wordpiece"])
def test_words_are_those_of_the_text(kind):
    "Joined by their numbers, the tokens of a text spell its words, in blocks that tear characters too."
    text = "Café au lait, naïve — 图书馆! x_y 5°c"
    tok = train_tokenizer([text]*9, kind, 265 if kind=="byte-bpe" else 90)
    spelled = spelling(tok)
    ids = torch.tensor([tok(text, add_special_tokens=False)["input_ids"]])
    number = word_ids(ids, spelled)[0].tolist()
    found = {}
    for i,n in zip(ids[0].tolist(), number): found[n] = found.get(n, b"") + spelled[i]
    plain = tok.backend_tokenizer.normalizer.normalize_str(text) if kind=="wordpiece" else text
    def ends(words): return set(np.cumsum([len(w.replace(" ", "")) for w in words if w.strip()]).tolist())
    groups = ends(v.decode() for v in found.values())
    assert groups<=ends(cut_words(plain)) and max(groups)==len(plain.replace(" ", ""))
    if kind in ("char", "wordpiece", "byte-bpe"): assert groups==ends(cut_words(plain)) # no token holds two words
    for i in range(ids.shape[1]-3): # any cut through the row
        rest = word_ids(ids[:, i:], spelled)[0]
        assert (rest.diff()>=0).all() and len(rest)==ids.shape[1]-i

def test_wordpiece_words_follow_its_marks():
    "A piece begins a word if and only if it has no `##`."
    tok = train_tokenizer(TEXTS+STORIES+CHINESE, "wordpiece", 200)
    ids = torch.tensor(pack(TEXTS+STORIES+CHINESE, tok, 32)["input_ids"][:])
    new = torch.tensor([not t.startswith("##") for t in tok.convert_ids_to_tokens(list(range(len(tok))))])[ids[:, 1:]]
    text = ~torch.isin(ids, torch.tensor(tok.all_special_ids))[:, 1:]
    assert torch.equal((word_ids(ids, spelling(tok)).diff()>0)[text], new[text]) and not new[text].all()

def test_jieba():
    "The words of jieba are asked as a whole."
    jieba = pytest.importorskip("jieba")
    jieba.setLogLevel("WARNING")
    tok = train_tokenizer(CHINESE, "wordpiece", 120)
    ids = tok(CHINESE[0], return_tensors="pt")["input_ids"]
    number = word_ids(ids, spelling(tok), jieba.lcut)[0]
    at = tok.convert_ids_to_tokens(ids[0]).index("图")
    assert len(set(number[at:at+3].tolist()))==1 and number[at+3]!=number[at]

@pytest.mark.parametrize("seed", range(3))
def test_a_gazetteer_finds_the_longest(seed):
    "As a search over all places and lengths does."
    rng = np.random.default_rng(seed)
    def some(n): return tuple(rng.choice(list("abc"), n).tolist())
    counts = {some(rng.integers(1, 4)): Counter(x=int(rng.integers(1, 3)), y=1) for _ in range(6)}
    words = list(some(20))
    tags = Gazetteer(counts).tags(words)
    i = 0
    while i<len(words):
        fits = [n for n in (3, 2, 1) if tuple(words[i:i+n]) in counts and i+n<=len(words)]
        n = fits[0] if fits else 1
        kind = max(counts[tuple(words[i:i+n])], key=counts[tuple(words[i:i+n])].get) if fits else None
        assert tags[i:i+n]==([f"B-{kind}"]+[f"I-{kind}"]*(n-1) if fits else ["O"])
        i += n

def test_a_gazetteer_without_names():
    assert Gazetteer({}).tags(["a", "b"])==["O", "O"] and Gazetteer({}).tags([])==[]
    once = {("a",): Counter(x=1)}
    assert Gazetteer(once).tags(["a"], once)==["O"]
