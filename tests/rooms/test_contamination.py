"What two splits have in common: copies in every disguise count once, new text never."
import random
import pytest
from plm_nb.contamination import contamination, nearest, touched, word_ngrams
from plm_nb.data import normalize

def test_each_kind():
    "A copy counts as exact, a shouted copy as normalized, a quoted run of words as n-grams, something new nowhere."
    train = ["one two three four five six seven eight nine ten"]
    test = [train[0], train[0].upper(), "so one two three four five six seven eight", "all new words "*3]
    found = contamination(train, test)
    assert found["exact"]==.25 and found["normalized"]==.5 and 0<found["ngrams"]<1
    assert contamination(train, ["short"])==dict(exact=0, normalized=0, ngrams=0)

@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("glue", [" ", ""], ids=["words", "Han"])
def test_planted(seed, glue):
    "What was planted is found, in words and in Chinese: whole texts, shouted texts, and texts inside other texts."
    rng = random.Random(seed)
    words = [f"w{i}" if glue else chr(0x4e00+i) for i in range(3000)]
    def text(): return glue.join(rng.choices(words, k=40))
    train, test = [text() for _ in range(50)], [text() for _ in range(20)]
    assert contamination(train, test)==dict(exact=0, normalized=0, ngrams=0)
    planted = contamination([*train, *test[:5], *(f" {t.upper()}\n" for t in test[5:8])], test)
    assert planted["normalized"]==8/20 and planted["ngrams"]==pytest.approx(8/20)
    assert planted["exact"]==5/20
    inside = contamination([*train, text()+glue+test[0]+glue+text()], test)
    assert inside["exact"]==inside["normalized"]==0 and inside["ngrams"]==pytest.approx(1/20)

@pytest.mark.parametrize("text", ["", " \n", "one", "two  words", "a b c d e", "x\x1cy\u2028z", "Ünder ẞ"])
def test_words_are_what_white_space_separates(text):
    "Without Han characters a run is a run of what `split` gives, in lower case."
    words = normalize(text).split()
    for n in (1, 2, 3): assert word_ngrams(text, n)=={tuple(words[i:i+n]) for i in range(len(words)-n+1)}

def test_mixed_scripts():
    "Each Han character is a word; what stands between two of them stays whole."
    assert word_ngrams("用BERT 模型", 4)=={("用", "bert", "模", "型")}

@pytest.mark.parametrize("near", [False, True])
def test_rows_that_were_read_before(near):
    "Each test text by itself: copies, other cases, and with `near` also texts with a few other words."
    old = [f"The {name} function takes a list and gives back the {kind} of all numbers that are in it."
           for name,kind in (("sum", "total"), ("mean", "average"), ("top", "largest"))]
    far = ["Nothing of this kind stands there.", "Another sentence, which nobody has read before, about boats."]
    changed = old[0].replace("gives", "hands").replace("numbers", "values")
    test = [old[1], old[2].upper(), changed, *far]
    assert touched(old, test, near=near).tolist()==[True, True, near, False, False]

def test_nearest_is_close_to_the_jaccard_similarity():
    "An estimate of 128 draws is off by a tenth at most, for texts of 60 words."
    words = [f"w{i}" for i in range(60)]
    for changes in (3, 6, 9):
        other = [f"x{i}" if i%(60//changes)==0 and i else w for i,w in enumerate(words)]
        a, b = set(zip(words, words[1:])), set(zip(other, other[1:]))
        [found] = nearest([" ".join(words)], [" ".join(other)])
        assert found==pytest.approx(len(a&b)/len(a|b), abs=.13)
    assert nearest([" ".join(words)], ["w1 w2", "", "nothing"]).tolist()==[0, 0, 0]
    assert nearest(["one", "two"], ["one"]).tolist()==[1]
