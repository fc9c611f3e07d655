"ARPA files, read back, read by a plain reader, and read as other programs write them."
import gzip, math, re
import numpy as np
import pytest
from plm_nb.arpa import read_arpa, write_arpa
from plm_nb.files import InputError
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

# dialects: the same model as five programs write it, and as files are found

PLAIN = ["\\data\\", "ngram 1=5", "ngram 2=3", "", "\\1-grams:", "-99\t<s>\t-0.3", "-1\t</s>", "-0.9\t<unk>", "-0.6\tred\t-0.2",
         "-0.8\that\t-0.1", "", "\\2-grams:", "-0.4\t<s> red", "-0.3\tred hat", "-0.2\that </s>", "", "\\end\\", ""]
PAGE = """#############
This is a OPEN-vocabulary model. This file is in the ARPA-standard format introduced by Doug Paul.

p(wd2|wd1)= if(bigram exists) p_2(wd1,wd2)
            else              bo_wt_1(wd1)*p_1(wd2)

Beginning of data mark: \\data\\
ngram 1=nr            # number of 1-grams

\\1-grams:
p_1     wd_1 bo_wt_1
\\2-grams:
p_2     wd_1 wd_2

end of data mark: \\end\\

"""

def changed(*pairs):
    "`PLAIN` with each (old, new) of `pairs` replaced."
    text = "\n".join(PLAIN)
    for old,new in pairs: text = text.replace(old, new)
    return text

DIALECTS = dict(
    plain=changed(),
    kenlm=changed(("-99\t<s>", "0\t<s>"), ("-1\t</s>", "-1\t</s>\t0"), ("-0.9\t<unk>", "-0.9\t<unk>\t0")),
    kenlm_tabs=changed(("<s> red", "<s>\tred"), ("red hat", "red\that"), ("hat </s>", "hat\t</s>")),
    srilm="\n"+changed(("\\2-grams", "\n\\2-grams")),
    mitlm=changed(("-99\t<s>", "-inf\t<s>"), ("-1\t", "-1.0000000000\t")),
    irstlm=changed(("ngram 1=5", "ngram  1=         5"), ("-0.9\t<unk>", "-0.9 <unk>"), ("-0.4\t", "-0.4000\t")),
    cmu=PAGE+changed(("\t", " "), ("<unk>", "<UNK>"), ("<s> red", "<s> red "), ("-99 ", "-99.0000 ")),
    sphinx=changed(("\t", " "), ("-99 ", "-98.9999 ")),
    padded=changed(("\t", "\t  "), ("\n-", "\n   -"), ("-0.2\t  hat </s>", "-0.2  hat   </s>  ")),
    crlf=changed(("\n", "\r\n")),
    order_of_lines=changed(("-99\t<s>\t-0.3\n-1\t</s>\n-0.9\t<unk>\n", ""), ("-0.1\n", "-0.1\n-0.9\t<unk>\n-1\t</s>\n-99\t<s>\t-0.3\n")),
    deep=changed(("-99\t<s>", "-1e300\t<s>")),
    share_of_the_longest=changed(("red hat", "red hat\t0")),
    empty_section=changed(("\\end", "\\3-grams:\n\n\\end")),
    after_the_end=changed()+"whatever follows\n",
)

def figures(path, **settings):
    "What a file says about a text, whatever the order of its words."
    model, tokens = read_arpa(path, **settings)
    ids = [tokens.index(word) for word in ["[CLS]", "red", "hat", "[UNK]", "hat", "[SEP]"]]
    return model.nats(ids).round(9).tolist(), model.logp[0][model.bos]/math.log(10)

@pytest.mark.parametrize("name", DIALECTS)
def test_dialects(name, tmp_path):
    (tmp_path/"a.arpa").write_text(DIALECTS[name], encoding="utf-8", newline="")
    nats, never = figures(tmp_path/"a.arpa")
    assert np.array(nats)/math.log(10)==pytest.approx([0, .4, .3, .1+.9, .8, .2], abs=1e-8)
    assert never==pytest.approx(-99, abs=1e-3)

@pytest.mark.parametrize("name", ["plain", "cmu"])
def test_packed(name, tmp_path):
    (tmp_path/"a.arpa.gz").write_bytes(gzip.compress(DIALECTS[name].encode()))
    (tmp_path/"a.arpa").write_text(DIALECTS[name])
    assert figures(tmp_path/"a.arpa.gz")==figures(tmp_path/"a.arpa")

def test_writes_packed(tmp_path):
    model = NGram.fit([0, 1, 2, 1], 3, 2)
    write_arpa(model, tmp_path/"a.arpa.gz", ["a", "b", "c"])
    write_arpa(model, tmp_path/"a.arpa", ["a", "b", "c"])
    assert gzip.decompress((tmp_path/"a.arpa.gz").read_bytes())==(tmp_path/"a.arpa").read_bytes()
    assert read_arpa(tmp_path/"a.arpa.gz")[1]==["a", "b", "c"]

def test_encodings(tmp_path):
    french = changed(("red", "café"))
    (tmp_path/"a.arpa").write_bytes(french.encode("latin-1"))
    with pytest.raises(InputError, match=r"byte \d+ \(line 9\) is not utf-8; convert the file") as e: read_arpa(tmp_path/"a.arpa")
    assert "\n" not in str(e.value)
    assert "café" in read_arpa(tmp_path/"a.arpa", "latin-1")[1]
    (tmp_path/"bom.arpa").write_bytes(french.encode("utf-8-sig"))
    assert "café" in read_arpa(tmp_path/"bom.arpa")[1]

def test_white_space_of_other_alphabets_is_part_of_a_word(tmp_path):
    "Only spaces and tabs separate; so do KenLM and SRILM."
    for space in "\xa0\u3000\u2028\x85\x1c":
        (tmp_path/"a.arpa").write_text(changed(("red", f"r{space}d")), encoding="utf-8", newline="")
        assert f"r{space}d" in read_arpa(tmp_path/"a.arpa")[1]

def test_log_zero_of_any_depth(tmp_path):
    "A word that never comes, and a share of nothing, stay finite."
    for zero in ("-99", "-100", "-1000", "-inf", "-Infinity", "-1e309"):
        (tmp_path/"a.arpa").write_text(changed(("-0.8\that\t-0.1", f"{zero}\that\t{zero}")))
        model, tokens = read_arpa(tmp_path/"a.arpa")
        hat = tokens.index("hat")
        assert model.logp[0][hat]/math.log(10)==pytest.approx(-99)==model.backoff[0][hat]/math.log(10)
        assert np.isfinite(model.probs([hat])).all()

WRONG = dict(
    comma=(("-0.3\tred", "-0,3\tred"), "line 14: '-0,3' is not a logarithm"),
    word=(("-0.3\tred", "x\tred"), "line 14: 'x' is not a logarithm"),
    nan=(("-0.3\tred", "nan\tred"), "line 14: 'nan' is not a logarithm"),
    share=(("red\t-0.2", "red\tx"), "line 9: 'x' is not a logarithm"),
    infinite=(("red\t-0.2", "red\tinf"), "line 9: 'inf' is not a logarithm"),
    positive=(("-0.6\tred", "0.6\tred"), "line 9: 0.6 is above 0"),
    few=(("red hat", "red"), "line 14 has 2 columns; a 2-gram has 3 or 4"),
    many=(("red hat", "red hat 5 5"), "line 14 has 5 columns"),
    nothing=(("-0.8\that\t", "-0.8\t\t"), "line 10: nothing between two tabs"),
    unknown=(("red hat", "blue hat"), "line 14: 'blue' is not among the 1-grams"),
    twice=(("-0.3\tred hat", "-0.3\t<s> red"), "line 14: '<s> red' is listed twice"),
    same_word=(("-0.8\that", "-0.8\tred"), "line 10: 'red' is listed twice"),
    order=(("\\2-grams:", "\\3-grams:"), r"line 12: \\3-grams: where the 2-grams should begin"),
    cut=(("\\end\\", ""), "not all of it"),
    headless=(("\\data\\", ""), "not all of it"),
    context=(("\\end", "\\3-grams:\n-0.1\that hat hat\n\n\\end"), "line 18: the context of 'hat hat hat' is not listed"),
    iarpa=(("\\data", "iARPA\n\n\\data"), "line 1: iARPA of IRSTLM is not ARPA"),
    gap=(("-0.4\t<s> red\n-0.3\tred hat\n-0.2\that </s>\n", "\\3-grams:\n-0.1\tred hat red\n"), "no 2-grams, but longer ones"),
)

@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_line_is_named(name, tmp_path):
    pair, says = WRONG[name]
    assert changed(pair)!=changed()
    (tmp_path/"a.arpa").write_text(changed(pair))
    with pytest.raises(InputError, match=says) as e: read_arpa(tmp_path/"a.arpa")
    assert "\n" not in str(e.value) and str(e.value).startswith(f"{tmp_path/'a.arpa'}: ")

@pytest.mark.parametrize("text", ["", "\n", "\\data\\\n\\end\\\n", "\\data\\\nngram 1=0\n\n\\1-grams:\n\n\\end\\\n", "hello\n"])
def test_a_file_without_a_model(text, tmp_path):
    (tmp_path/"a.arpa").write_text(text)
    with pytest.raises(InputError, match="no text|no 1-grams|not all of it"): read_arpa(tmp_path/"a.arpa")

def test_refuses_names_it_cannot_hold(tmp_path):
    model = NGram.fit([0, 1, 2], 3, 2)
    for tokens,says in ((["a", "b"], "2 tokens for 3"), (["a", " ", "b"], "white space"), (["a", "", "b"], "white space"),
                        (["a", "b", "b"], "two ids"), (["<unk>", "[UNK]", "b"], "two ids")):
        with pytest.raises(InputError, match=says): write_arpa(model, tmp_path/"a.arpa", tokens)
    assert not (tmp_path/"a.arpa").exists()
