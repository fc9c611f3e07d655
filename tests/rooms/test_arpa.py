"ARPA files, read back, read by a plain reader, and read as other programs write them."
import math, re
import numpy as np
import pytest
from plm_nb.arpa import read_arpa, write_arpa
from plm_nb.data import InputError
from plm_nb.ngram import NGram

def corpus(seed, v, bos):
    "A few documents of random lengths, some of one token, with more of some ids than of others."
    rng = np.random.default_rng(seed)
    docs = [np.minimum(rng.geometric(.25, rng.integers(1, 60)), v-1).tolist() for _ in range(rng.integers(1, 9))]
    return docs if bos is None else [[bos, *(x if x!=bos else v-1 for x in d)] for d in docs]

CASES = [(seed, v, order, bos) for seed,(v,bos) in enumerate([(5, None), (12, 0), (40, 2)]) for order in range(1, 6)]

@pytest.mark.parametrize("seed, v, order, bos", CASES)
def test_round_trip(seed, v, order, bos, tmp_path):
    docs, other = corpus(seed, v, bos), corpus(seed+100, v, bos)
    model = NGram.fit(docs, v, order, bos)
    tokens = [f"t{i}" for i in range(v)]
    if bos is not None: tokens[bos] = "[CLS]"
    write_arpa(model, tmp_path/"a.arpa", tokens)
    again, names = read_arpa(tmp_path/"a.arpa")
    assert names==tokens and again.bos==bos and again.order==model.order
    np.testing.assert_allclose(again.nats(other), model.nats(other), atol=1e-9)
    for h in ([], docs[0][:1], docs[0][:4], other[0][:7], [v-1, 1, v-2, 1]): np.testing.assert_allclose(again.probs(h), model.probs(h), atol=1e-9)
    write_arpa(again, tmp_path/"b.arpa", names)
    assert read_arpa(tmp_path/"b.arpa")[0].nats(other).sum()==pytest.approx(model.nats(other).sum())

def backing_off(path):
    "Read ARPA as its readers do, and return the probability by backing off."
    p, back, k = {}, {}, 0
    for line in path.read_text().split("\n"):
        if m := re.match(r"\\(\d)-grams:", line): k = int(m[1])
        elif k and "\t" in line:
            x, gram, *rest = line.split("\t")
            p[tuple(gram.split())] = float(x)
            back[tuple(gram.split())] = float(rest[0]) if rest else 0
    def log10(h, w): return p[(*h, w)] if (*h, w) in p else back.get(h, 0) + log10(h[1:], w)
    return log10

def test_backs_off_to_the_interpolated_probabilities(tmp_path):
    docs = corpus(7, 30, 2)
    model, tokens = NGram.fit(docs, 30, 4, bos=2), ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(4, 30))]
    write_arpa(model, tmp_path/"a.arpa", tokens)
    log10, names = backing_off(tmp_path/"a.arpa"), ["[PAD]", "<unk>", "<s>", "</s>", *tokens[4:]]
    for h in ([2], docs[0][:3], [4, 29, 5], [7]):
        q = np.array([10**log10(tuple(names[i] for i in h), w) for w in names])
        np.testing.assert_allclose(q, model.probs(h), atol=1e-9)

def test_files_of_others(tmp_path):
    "As KenLM writes it: probability 1 for `<s>`, no backoff for `</s>`, lines with a carriage return."
    lines = ["\\data\\", "ngram 1=4", "ngram 2=2", "", "\\1-grams:", "-1\t<unk>\t0", "0\t<s>\t-0.30103", "-0.30103\t</s>",
             "-0.39794\ta\t-0.1", "", "\\2-grams:", "-0.2\t<s> a", "-0.1\ta </s>", "", "\\end\\", ""]
    (tmp_path/"k.arpa").write_bytes("\r\n".join(lines).encode())
    model, names = read_arpa(tmp_path/"k.arpa")
    assert names==["[UNK]", "[CLS]", "[SEP]", "a"] and model.bos==1
    np.testing.assert_allclose(model.nats([1, 3, 2])/math.log(10), [0, .2, .1], atol=1e-9)
    np.testing.assert_allclose(model.nats([1, 0, 2])/math.log(10), [0, 1.30103, .30103], atol=1e-9)
    for bad,says in ((lines[:-3], "not all of it"), ([l.replace("<s> a", "b a") for l in lines], "'b' is not among"),
                     ([*lines[:-3], "", "\\3-grams:", "-0.1\ta a a", "", "\\end\\"], "context of 'a a a' is not listed")):
        (tmp_path/"bad.arpa").write_text("\n".join(bad))
        with pytest.raises(InputError, match=says): read_arpa(tmp_path/"bad.arpa")
    (tmp_path/"twice.arpa").write_text("\n".join(lines).replace("\ta\t", "\t<s>\t"))
    with pytest.raises(InputError, match="listed twice"): read_arpa(tmp_path/"twice.arpa")
    with pytest.raises(InputError, match="no such file"): read_arpa(tmp_path/"none.arpa")

def test_refuses_names_it_cannot_hold(tmp_path):
    model = NGram.fit([0, 1, 2], 3, 2)
    for tokens,says in ((["a", "b"], "2 tokens for 3"), (["a", " ", "b"], "white space"), (["a", "", "b"], "white space"),
                        (["a", "b", "b"], "two ids"), (["<unk>", "[UNK]", "b"], "two ids")):
        with pytest.raises(InputError, match=says): write_arpa(model, tmp_path/"a.arpa", tokens)
    assert not (tmp_path/"a.arpa").exists()
