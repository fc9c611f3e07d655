"Tags: every word labelled once, every character where it stands, the same in batches of any size."
import itertools, json, random
from types import SimpleNamespace
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from plm_nb.tasks import load_task
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, fit
from plm_nb.packing import context_windows
from plm_nb.token_classification import (TokenClassification, encode_words, find_spans, learned_gazetteer,
    likeliest_tags, tag_probabilities)
from plm_nb.words import word_places
from plm_nb.annotations import tag_transitions
from plm_nb.tokenizer import load_tokenizer, train_tokenizer
from plm_nb.models import build, load

SIGNS = "abc cab  bca\n\tAb-c d'e 3.5 (x) 北京大学 小明。 Zoe\u0301 é \u200b \x00 ﬁ 🙂 हिन्दी "
NAMES = ["O", "B-x", "I-x"]
KINDS = ["wordpiece", "byte-bpe", "unigram", "bpe", "char"]

def text(rng, n): return "".join(rng.choice(SIGNS) for _ in range(n))
def refused(what, f, *args, **kwargs):
    with pytest.raises(InputError, match=what) as e: f(*args, **kwargs)
    assert "\n" not in str(e.value)

@pytest.fixture(scope="module")
def toks():
    rng = random.Random(0)
    texts = [text(rng, 200) for _ in range(50)]
    return {kind: train_tokenizer(texts, kind, 600 if kind!="unigram" else 120) for kind in KINDS}

@pytest.fixture(scope="module")
def tagger(toks): return build("tiny", toks["wordpiece"], "token-classification", labels=NAMES, seed=1).eval()

@pytest.mark.parametrize("seed", range(20))
def test_windows_cover(seed):
    "Any length, room and stride: nothing left out, neighbors share at least the stride, each window is full."
    rng = random.Random(seed)
    n, room = rng.randrange(0, 300), rng.randrange(1, 60)
    stride = rng.randrange(0, room)
    found = context_windows(n, room, stride)
    assert {i for a,b in found for i in range(a, b)}=={*range(n)} and found==sorted(set(found))
    assert all(b-a==min(n, room) for a,b in found)
    assert all(b-c>=stride for (_,b),(c,_) in zip(found, found[1:]))
    assert context_windows(n, room)==context_windows(n, room, room//3)

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_each_word_is_labelled_once(toks, kind, seed):
    "Random words, windows and strides: each word that leaves a token is labelled once, in its first piece; the rest is counted."
    rng, tok = random.Random(seed), toks[kind]
    words = [[text(rng, rng.randrange(0, 9)).strip() for _ in range(rng.randrange(0, 40))] for _ in range(5)]+[[]]
    tags = [[rng.choice(NAMES) for _ in ws] for ws in words]
    length = rng.randrange(4, 40)
    found, lost = encode_words(Dataset.from_dict(dict(words=words, tags=tags)), tok, NAMES, length, rng.randrange(0, length-2))
    labelled_at = [(r["row"], w, l) for r in found for w,l in zip(r["labelled_words"], r["labels"]) if w>=0]
    assert len({a[:2] for a in labelled_at})==len(labelled_at)==sum(map(len, words))-lost
    assert all(NAMES[l]==tags[r][w] for r,w,l in labelled_at)
    assert all(l==-100 for r in found for w,l in zip(r["labelled_words"], r["labels"]) if w<0)
    assert all(len(r["input_ids"])<=length and r["input_ids"][0]==tok.cls_token_id for r in found)
    empty = sum(not w.strip() for ws in words for w in ws)
    assert empty<=lost and (kind!="char" or lost==empty)

def test_the_same_pieces_in_any_window(toks):
    "The labelled token is the same, whether the text is cut or not; a word cut in two is labelled where it begins."
    rows = Dataset.from_dict(dict(words=[["abcabc", "cab", "北", "bcabca", "x"]*9]))
    def pieces(length):
        found, _ = encode_words(rows, toks["char"], None, length)
        return dict((w, i) for r in found for w,i in zip(r["labelled_words"], r["input_ids"]) if w>=0)
    whole = pieces(500)
    for length in (3, 5, 8, 21): assert pieces(length)==whole

@pytest.mark.parametrize("seed", range(10))
def test_word_places(seed):
    "Words do not touch white space, leave out nothing else, and Chinese characters and signs stand alone."
    t = text(random.Random(seed), 300)
    found = word_places(t)
    held = {i for a,b in found for i in range(a, b)}
    assert held=={i for i,c in enumerate(t) if not c.isspace()} and found==sorted(found)
    for a,b in found:
        if any(c in "北京大学小明。-'()" for c in t[a:b]): assert b-a==1
    assert [t[a:b] for t in ["Zoe\u0301 हिन्दी a_b. .5 3.5.."] for a,b in word_places(t)]==["Zoe\u0301", "हिन्दी", "a_b", ".", ".", "5", "3.5", ".", "."]

@pytest.mark.parametrize("side", ["right", "left"])
def test_spans_in_batches(toks, tagger, side):
    "Batches of 1, 3 and 64, padded on either side: the same probabilities and the same spans, in order, on their places."
    rng, tok = random.Random(1), toks["wordpiece"]
    texts = [text(rng, n) for n in (0, 5, 400, 1, 60, 200)]+["", "  \n", "\x00"]
    words = [[t[a:b] for a,b in word_places(t)] for t in texts]
    tok.padding_side = side
    found = [tag_probabilities(tagger, tok, words, 30, batch_size=n) for n in (1, 3, 64)]
    spans = [find_spans(tagger, tok, texts, max_length=30, batch_size=n) for n in (1, 64)]
    tok.padding_side = "right"
    assert spans==[[*map(lambda s: dict(s, score=pytest.approx(s["score"], abs=1e-5)), row)] for row in spans[1]] or spans[0]==spans[1]
    for chances in found:
        for a,b,ws in zip(chances, found[0], words):
            assert a.shape==(len(ws), 3) and abs(a-b).max(initial=0)<1e-5 and abs(a.sum(1)-1).max(initial=0)<1e-5
    for t,row in zip(texts, spans[0]):
        assert all(t[s["start"]:s["end"]]==s["text"] and s["text"].strip()==s["text"]!="" for s in row)
    alone = find_spans(tagger, tok, [texts[2]], max_length=30)[0]
    assert [(s["start"], s["end"]) for s in alone]==[(s["start"], s["end"]) for s in spans[0][2]] and len(alone)
    assert [len(s) for s in spans[0][6:]]==[0, 0, 0] and find_spans(tagger, tok, [])==[]

def test_wrong_tags(toks, tagger):
    "An unknown tag, a tag too many, no span at all, no text: each named with its row."
    tok = toks["wordpiece"]
    def rows(words, tags): return Dataset.from_dict(dict(words=words, tags=tags))
    refused("row 2 has the tag 'B-y'; known are O, B-x, I-x", encode_words, rows([["a"]]*2, [["O"], ["B-y"]]), tok, NAMES)
    refused("row 1 has 1 words and 2 tags", encode_words, rows([["a"]], [["O", "O"]]), tok, NAMES)
    refused("every tag is O", TokenClassification().labels, dict(train=rows([["a"]], [["O"]])))
    refused("text 2 is None", find_spans, tagger, tok, ["a", None])
    refused("at most 512", find_spans, tagger, tok, ["a"], max_length=513)
    refused("no room|larger max_length", find_spans, tagger, tok, ["a"], max_length=2)
    refused("input 2 is .*give its text or its words", TokenClassification().check_inputs, ["a", dict(question="b")])
    refused("input 1 has 3 for its words 2", TokenClassification().check_inputs, [dict(words=["a", 3])])
    refused("give 0 to 9", context_windows, 20, 10, 10)

def test_tags_that_follow_nothing(toks, tagger):
    "A model that only ever says `I-x` finds one span a text."
    only = build("tiny", toks["wordpiece"], "token-classification", labels=NAMES).eval()
    with torch.no_grad(): only.classifier.weight.zero_(); only.classifier.bias.copy_(torch.tensor([0., 0, 9]))
    assert [[s["text"] for s in row] for row in find_spans(only, toks["wordpiece"], ["a b c", "北京", ""])]==[["a b c"], ["北京"], []]

def labelled(seed=0, n=120):
    "Rows in which 3 or 小 opens a name of two words."
    rng, words, tags = random.Random(seed), [], []
    for i in range(n):
        said = [rng.choice("a b c d e 5 x .".split()) for _ in range(rng.randrange(3, 12))]
        at = rng.randrange(len(said))
        name = ["小", rng.choice("明学")] if i%2 else ["3", rng.choice(["cab", "bca"])]
        words.append(said[:at]+name+said[at:])
        tags.append(["O"]*at+["B-per", "I-per"]+["O"]*(len(said)-at))
    return Dataset.from_dict(dict(words=words, tags=tags))

def test_the_task_learns_tags(toks, tmp_path):
    "Trained, saved and loaded: names are found in raw text, Chinese too, and its lines score what they show."
    task, tok, rows = TokenClassification(max_length=24), toks["wordpiece"], labelled()
    splits = DatasetDict(train=rows, validation=labelled(1, 20))
    model = task.new_model(None, tok, splits, "tiny")
    data, counts = task.encode(rows, tok)
    assert task.names==["O", "B-per", "I-per"] and counts=={"windows": 120, "words without a token": 0}
    fit(model, data, tok, FinetuningArguments(epochs=8, learning_rate=1e-3), task.collator(tok), bf16=False)
    lines = task.lines(model, tok, splits["validation"])
    assert [l["row"] for l in lines]==[*range(20)] and task.score(lines)["f1"]>.8
    model.save_pretrained(tmp_path); tok.save_pretrained(tmp_path)
    model, tok = task.load_model(tmp_path), load_tokenizer(tmp_path)
    one, two, three, four = task.predict(model, tok, ["5 x 3 cab .", dict(text="a 小明 b", id=7), dict(words=["x", "3", "bca", "."]), ""])
    assert [s["text"] for s in one["spans"]]==["3 cab"] and one["spans"][0]["label"]=="per"
    assert [(s["start"], s["end"]) for s in two["spans"]]==[(2, 4)]
    assert three["tags"]==["O", "B-per", "I-per", "O"] and four==dict(spans=[])

@pytest.mark.parametrize("seed", range(20))
def test_the_likeliest_sequence(seed):
    "Of all sequences none has a larger product; without counts each tag is the likeliest by itself."
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 6)), rng.dirichlet([.3]*3, 5)[:int(rng.integers(1, 6))]
    transitions = tag_transitions([rng.choice(NAMES, n).tolist() for _ in range(4)], NAMES)
    assert transitions.shape==(3, 3) and np.isfinite(transitions).all()
    def product(tags): return sum(np.log(p[i, t]+1e-9)+transitions[a, t] for i,(a,t) in enumerate(zip([0, *tags], tags)))
    found = likeliest_tags(SimpleNamespace(config=SimpleNamespace(tag_transitions=transitions.tolist())), p)
    assert product(found)==pytest.approx(max(map(product, itertools.product(range(3), repeat=len(p)))))
    assert likeliest_tags(SimpleNamespace(config=SimpleNamespace()), p)==p.argmax(1).tolist()

def test_a_tag_follows_the_one_before(toks, tmp_path):
    "A model that gives `I-per` behind `O` says a whole name, in tags and in spans; the counts lie in its folder."
    task, tok, rows = TokenClassification(), toks["wordpiece"], labelled()
    model = task.new_model(None, tok, DatasetDict(train=rows), "tiny")
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0., 1., 1.5])) # each word alone: `I-per`
    model.save_pretrained(tmp_path)
    assert len(json.loads((tmp_path/"config.json").read_text())["tag_transitions"])==3
    words = ["a", "b", "c", "d"]
    for net in (model, task.load_model(tmp_path)):
        tags = task.predict(net, tok, [dict(words=words)])[0]["tags"]
        assert all(before!="O" for before,tag in zip(["O", *tags], tags) if tag=="I-per") and "I-per" in tags
        assert task.lines(net, tok, Dataset.from_dict(dict(words=[words], tags=[["O"]*4])))[0]["prediction"]==tags
        found = task.predict(net, tok, ["a b c d"])[0]["spans"]
        assert len(found)==tags.count("B-per") and all(0<span["score"]<=1 for span in found)

POS = "The DET\ndog NOUN\nran VERB\n( -LRB-\nfar ADV\n) -RRB-\n\nThe DET\nend X\n"

def test_parts_of_speech(toks, tmp_path):
    "Tags without a mark, read, learned, scored and found: each word is a span, and F1 is the share of words that are right."
    (tmp_path/"a.conll").write_text(POS*20); (tmp_path/"b.conll").write_text(POS); (tmp_path/"c.conll").write_text(POS+"dog N\n")
    task = TokenClassification(max_length=24)
    rows = load_task(dict(train=tmp_path/"a.conll", validation=tmp_path/"b.conll"), task=task)
    refused(r"c.conll: line 10 .* the label 'N', which training never shows; its labels are -LRB-, -RRB-, ADV", load_task,
            dict(train=tmp_path/"a.conll", test=tmp_path/"c.conll"), task=task)
    assert task.labels(rows)==["O", "-LRB-", "-RRB-", "ADV", "DET", "NOUN", "VERB", "X"]
    model = task.new_model(None, toks["byte-bpe"], rows, "tiny")
    data, _ = task.encode(rows["train"], toks["byte-bpe"])
    fit(model, data, toks["byte-bpe"], FinetuningArguments(epochs=8, learning_rate=2e-3), task.collator(toks["byte-bpe"]), bf16=False)
    lines = task.lines(model, toks["byte-bpe"], rows["validation"])
    assert task.score(lines)==dict(precision=1, recall=1, f1=1, spans=8)
    lines[0]["prediction"][3] = "S" # a tag that is called like a mark, and one that was right
    assert task.score(lines)["f1"]==7/8
    found, = find_spans(model, toks["byte-bpe"], ["The dog ran"])
    assert [(s["text"], s["label"]) for s in found]==[("The", "DET"), ("dog", "NOUN"), ("ran", "VERB")]

def test_marks_in_one_file_and_none_in_the_other(tmp_path):
    (tmp_path/"a.conll").write_text("a B-x\nb I-x\n"); (tmp_path/"b.conll").write_text("a x\nb O\n")
    refused("b.conll: a word has the tag 'x', but others are like 'B-x'", load_task,
            dict(train=tmp_path/"a.conll", test=tmp_path/"b.conll"), task="token-classification")

def knowing_nothing(task, start, tok, rows):
    "A model that finds all tags equally likely."
    model = task.new_model(start, tok, DatasetDict(train=rows), "tiny")
    for weights in model.classifier.parameters(): torch.nn.init.zeros_(weights)
    return model

def test_names_are_looked_up(toks, tmp_path):
    "Of a model that knows nothing, the list decides; it lies in the folder, and goes where it was not asked for."
    tok, rows = toks["wordpiece"], labelled()
    task = TokenClassification(gazetteer=True)
    knowing_nothing(task, None, tok, rows).save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    kept = json.loads((tmp_path/"config.json").read_text())["gazetteer"]
    assert sorted(map(tuple, (name for name,_ in kept["names"])))==[("3", "bca"), ("3", "cab"), ("小", "学"), ("小", "明")]
    model = task.load_model(tmp_path)
    two, none = task.predict(model, tok, ["a 小明 3 cab b", "小 cab"])
    assert [s["text"] for s in two["spans"]]==["小明", "3 cab"] and none["spans"]==[]
    with pytest.warns(UserWarning, match="its list of names is left behind"):
        without = knowing_nothing(TokenClassification(), str(tmp_path), tok, rows)
    assert without.config.gazetteer is None
    assert np.ptp(tag_probabilities(without, tok, [["小", "明"]])[0])<1e-6

def test_a_name_is_found_however_it_is_cut(toks):
    "A file has `S.F.` or `Coca-Cola` as a word, a raw text is cut at their signs."
    names = ["S.F.", "Coca-Cola", "#StarWars", "北京大学", "👩‍👩‍👧"]
    words = [["in", name, "today"] for name in names]*3+[["in", "New", "York", "today"]]*9
    tags = [["O", "B-x", "O"]]*15+[["O", "B-x", "I-x", "O"]]*9
    rows = Dataset.from_dict(dict(words=words, tags=tags))
    model = knowing_nothing(TokenClassification(gazetteer=True), None, toks["byte-bpe"], rows)
    found = find_spans(model, toks["byte-bpe"], [f"in {name} today" for name in names])
    assert [[span["text"] for span in some] for some in found]==[[name] for name in names]

def test_a_name_of_one_row_is_no_evidence():
    "What a row says itself is not counted for it, so names that never come again are not believed."
    words = [[f"name{i}", "went", "home"] for i in range(40)]
    tags = [["B-x", "O", "O"]]*40
    once = learned_gazetteer(words, tags, ["O", "B-x"])
    again = learned_gazetteer(words*2, tags*2, ["O", "B-x"])
    def belief(found): return np.diff(np.array(found["nats"])[:, found["said"].index("B-x")])[0]
    assert len(once["names"])==len(again["names"])==40 and belief(again)>3>1>belief(once)

def test_parts_of_speech_are_looked_up(toks):
    "Tags without marks: every word is a name by itself, and its kind the tag that it mostly has."
    words, tags = [["the", "cat", "eats"], ["a", "cat", "runs"]]*3, [["DET", "NOUN", "VERB"]]*6
    found = learned_gazetteer(words, tags, ["DET", "NOUN", "VERB"])
    assert dict((name[0], kind) for name,kind in found["names"])==dict(the="DET", a="DET", cat="NOUN", eats="VERB", runs="VERB")
    nats = np.array(found["nats"])
    assert [nats[:, found["said"].index(f"B-{kind}")].argmax() for kind in ("DET", "NOUN", "VERB")]==[0, 1, 2]
