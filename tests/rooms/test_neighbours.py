"`plm_nb.neighbours`: ids against slow definitions of what fairseq and OpenNMT do, sentencepiece itself, and what is ambiguous."
import importlib.util, random
from collections import Counter
import pytest
import sentencepiece as spm
from tokenizers import ByteLevelBPETokenizer
from plm_nb.budgets import arguments, check_settings
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.neighbours import fairseq_symbols, opennmt_symbols, read_fairseq, read_opennmt
from plm_nb.objectives import MaskedLM
from plm_nb.packing import pack, roles
from plm_nb.tokenizer import encode, load_tokenizer, report, tokenizer_hash, train_tokenizer
from plm_nb.training import Trainer

random.seed(0)
WORDS = "the cat sat lower lowest newer widest on a mat zygote naïve 東京 über-all (and) then, 42 workup 100".split()
TEXTS = [" ".join(random.choices(WORDS, k=12)) for _ in range(300)]
UNSEEN = ["catmat lowzy nest", "a thing, quite unlike 99 ones!", "東 京 ü ñ ß", "x"]

class Dictionary:
    "What fairseq's documentation says of its dictionary: lines in order behind four special symbols, unknown is 3."
    def __init__(self, lines):
        self.names, self.ids = ["<s>", "<pad>", "</s>", "<unk>"], dict(zip(["<s>", "<pad>", "</s>", "<unk>"], range(4)))
        for line in lines: self.add(line.split(" #")[0].rsplit(" ", 1)[0])
    def add(self, name):
        self.ids[name] = len(self.names)
        self.names.append(name)
    def __call__(self, pieces): return [self.ids.get(piece, 3) for piece in pieces]

def dictionary(path, pieces, more=()):
    "Write the dictionary of `pieces`, most frequent first, as `fairseq-preprocess` does; and read it slowly."
    lines = [f"{piece} {n}" for piece,n in Counter(pieces).most_common()]+[f"{name} 0" for name in more]
    path.write_text("\n".join(lines)+"\n", encoding="utf-8")
    return Dictionary(lines)

def ids_of(tokenizer, texts, size):
    "The ids of `texts`; whatever is behind the dictionary is unknown to fairseq"
    return [[i if i<size else 3 for i in row] for row in encode(texts, tokenizer)]

def test_words(tmp_path):
    theirs = dictionary(tmp_path/"dict.txt", " ".join(TEXTS).split(), ["madeupword0000", "madeupword0001"])
    tokenizer = read_fairseq(tmp_path/"dict.txt", extra=["<mask>"])
    theirs.add("<mask>")
    assert list(encode(TEXTS+UNSEEN, tokenizer))==[theirs(text.split()) for text in TEXTS+UNSEEN]
    assert [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))]==theirs.names
    assert tokenizer("the cat").input_ids==[0, *theirs(["the", "cat"]), 2] and tokenizer.mask_token_id==theirs.ids["<mask>"]
    assert tokenizer.decode(theirs(TEXTS[0].split()))==TEXTS[0]
    marks = roles(tokenizer)
    assert (marks.opens, marks.closes, marks.pads, tokenizer.unk_token_id)==(0, 2, 1, 3)

def test_overwritten_lines(tmp_path):
    "The later line has the name; what is unknown stays 3, and every id has a name of its own"
    path = tmp_path/"dict.txt"
    path.write_text("<unk> 1 #fairseq:overwrite\nthe 9\r\n<s> 1 #fairseq:overwrite\nthe 2 #fairseq:overwrite\n\u2028 3\n a b 4\n")
    tokenizer = read_fairseq(path)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in ("<unk>", "<s>", "the", "\u2028", " a b")}
    assert ids=={"<unk>": 3, "<s>": 6, "the": 7, "\u2028": 8, " a b": 9}
    assert len(tokenizer)==10 and len({*tokenizer.get_vocab().values()})==10
    assert tokenizer("the dog").input_ids==[6, 7, 3, 2]
    for text,line in (("the 1\nthe 2\n", 2), ("the 1\n<s> 4\n", 2), ("the\n", 1), ("the 1\n\nand 2\n", 2), ("the x\n", 1)):
        path.write_text(text)
        with pytest.raises(InputError, match=f"line {line} "): fairseq_symbols(path)

@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("rule", ["nmt_nfkc", "identity", "nmt_nfkc_cf"])
def test_sentencepiece(tmp_path, kind, rule):
    "Pieces as sentencepiece cuts them, numbers as the dictionary has them; special strings and fillers in a text are text"
    spm.SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_prefix=str(tmp_path/"sp"), vocab_size=60, model_type=kind, hard_vocab_limit=False,
                                   normalization_rule_name=rule, num_threads=1, minloglevel=3, character_coverage=.98)
    theirs = spm.SentencePieceProcessor(model_file=str(tmp_path/"sp.model"))
    def cut(text): return theirs.encode(text, out_type=str)
    ids = dictionary(tmp_path/"dict.txt", [piece for text in TEXTS for piece in cut(text)], ["madeupword0000"])
    ids.add("<mask>")
    tokenizer = read_fairseq(tmp_path/"dict.txt", tmp_path/"sp.model", extra=["<mask>"])
    texts = TEXTS+["catmat lowzy nest", "  a \u00a0 ﬁne\ttest  ", "x", "madeupword0000"]
    assert ids_of(tokenizer, texts, len(ids.names))==[ids(cut(text)) for text in texts]
    found = set(next(encode(["<s> a</s> <mask><pad>"], tokenizer)))
    assert not found & {0, 1, 2, tokenizer.mask_token_id}
    listed = tmp_path/"vocab.txt"
    listed.write_text("".join(f"{name}\n" for name in ["<blank>", "<s>", "</s>", *ids.names[4:-1]]))
    size = len(ids.names)-2
    expected = [[i-1 if i>3 else size for i in row] for row in (ids(cut(text)) for text in TEXTS)]
    got = encode(TEXTS, read_opennmt(listed, tmp_path/"sp.model"))
    assert [[i if i<size else size for i in row] for row in got]==expected

def segment(word, ranks):
    "BPE of one word by its definition: join the pair with the least rank, over and over"
    parts = [*word[:-1], word[-1]+"</w>"]
    while True:
        ranked = [(ranks[pair], pair) for pair in zip(parts, parts[1:]) if pair in ranks]
        if not ranked: break
        _,(a,b) = min(ranked)
        joined, i = [], 0
        while i<len(parts):
            if parts[i:i+2]==[a, b]: joined, i = [*joined, a+b], i+2
            else: joined, i = [*joined, parts[i]], i+1
        parts = joined
    return [part.removesuffix("</w>") if part.endswith("</w>") else part+"@@" for part in parts]

@pytest.mark.parametrize("counts", [False, True])
def test_codes(tmp_path, counts):
    "The codes of subword-nmt, and those of fastBPE, which have counts and no version"
    merges = [("l", "o"), ("lo", "w"), ("e", "r</w>"), ("t", "h"), ("th", "e</w>"), ("e", "s"), ("es", "t</w>"), ("low", "er</w>"), ("c", "a")]
    lines = [f"{a} {b} 7" if counts else f"{a} {b}" for a,b in merges]
    (tmp_path/"codes").write_text("\n".join(lines if counts else ["#version: 0.2", *lines])+"\n")
    ranks = {pair: i for i,pair in enumerate(merges)}
    def cut(text): return [piece for word in text.split() for piece in segment(word, ranks)]
    ids = dictionary(tmp_path/"dict.txt", [piece for text in TEXTS for piece in cut(text)])
    tokenizer = read_fairseq(tmp_path/"dict.txt", tmp_path/"codes")
    texts = TEXTS+UNSEEN
    assert ids_of(tokenizer, texts, len(ids.names))==[ids(cut(text)) for text in texts]
    assert all(tokenizer.decode(row)==text for row,text in zip(encode(TEXTS, tokenizer), TEXTS))
    cut_already = read_fairseq(tmp_path/"dict.txt", texts_are_cut=True)
    for text in texts: assert next(encode([" ".join(cut(text))], cut_already))==ids(cut(text))
    assert cut_already.decode(ids(cut(TEXTS[0])))==TEXTS[0]

def test_gpt2(tmp_path):
    "The dictionary numbers the numbers of encoder.json"
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(TEXTS, vocab_size=320, show_progress=False)
    learned.save_model(str(tmp_path))
    (tmp_path/"vocab.json").rename(tmp_path/"encoder.json")
    (tmp_path/"merges.txt").rename(tmp_path/"vocab.bpe")
    def cut(text): return [str(i) for i in learned.encode(text).ids]
    ids = dictionary(tmp_path/"dict.txt", [piece for text in TEXTS for piece in cut(text)], ["madeupword0000"])
    ids.add("<mask>")
    tokenizer = read_fairseq(tmp_path/"dict.txt", tmp_path/"vocab.bpe", extra=["<mask>"])
    texts = TEXTS+UNSEEN+["<s> <mask> 12 madeupword0000"]
    assert ids_of(tokenizer, texts, len(ids.names))==[ids(cut(text)) for text in texts]
    assert all(tokenizer.decode(row)==text for row,text in zip(encode(texts, tokenizer), texts))
    assert tokenizer.mask_token_id==ids.ids["<mask>"]

def test_opennmt(tmp_path):
    "Counts: OpenNMT-py, with four in front but for those in the file; three marks in front: OpenNMT-tf, and one behind"
    path = tmp_path/"vocab"
    def write(*lines): path.write_text("\n".join(lines)+"\n")
    write("the\t9", "cat\t4")
    assert opennmt_symbols(path)==(["<unk>", "<blank>", "<s>", "</s>", "the", "cat"], 0)
    assert opennmt_symbols(path, specials=["<unk>", "<blank>"])==(["<unk>", "<blank>", "the", "cat"], 0)
    write("<s> 9", "the 9", "the 3", "<unk> 1")
    assert opennmt_symbols(path)==(["<blank>", "</s>", "<s>", "the", "<unk>"], 4)
    write("the", "cat")
    with pytest.raises(InputError, match="give form py"): opennmt_symbols(path)
    assert opennmt_symbols(path, "py")[0][4:]==["the", "cat"] and opennmt_symbols(path, "tf")==(["the", "cat", "<unk>"], 2)
    write("<blank>", "<s>", "</s>", "the", "cat 3")
    assert opennmt_symbols(path)==(["<blank>", "<s>", "</s>", "the", "cat 3", "<unk>"], 5)
    assert read_opennmt(path)("the dog").input_ids==[1, 3, 5, 2]
    write("<unk>\t0", "<s>\t0", "▁the\t-3.25")
    with pytest.raises(InputError, match="line 3 .*sentencepiece"): read_opennmt(path)
    write("the 1")
    with pytest.raises(InputError, match="name it, too"): read_opennmt(path, specials=["<s>"])

def test_joiners_and_spacers(tmp_path):
    "What OpenNMT's tokenizer has cut comes back as it was"
    path = tmp_path/"vocab"
    for cut,text in (("Hello ￭, ( ￭world￭ ) 20￭ ￭-￭ ￭08", "Hello, (world) 20-08"), ("▁He llo ▁wor ld !", "Hello world!")):
        pieces = dict.fromkeys(cut.split())
        path.write_text("\n".join(["<blank>", "<s>", "</s>", *pieces])+"\n")
        with pytest.raises(InputError, match="texts_are_cut=True"): read_opennmt(path)
        tokenizer = read_opennmt(path, texts_are_cut=True)
        row = next(encode([cut], tokenizer))
        assert row==[3+[*pieces].index(piece) for piece in cut.split()]
        if "▁" in cut: assert tokenizer.decode(row)==text
    path.write_text("\n".join(["<blank>", "<s>", "</s>", "(￭", "a", "￭,", "b￭", "￭)"])+"\n")
    tokenizer = read_opennmt(path, texts_are_cut=True)
    assert tokenizer.decode([3, 4, 5, 6, 4, 7])=="(a, ba)"

def test_ambiguous_files_are_refused_in_one_line(tmp_path):
    path, model = tmp_path/"dict.txt", tmp_path/"model"
    for text,match in (("262 5\n11 3\n13 2\n318 1\n3 1\n4 1\n", "vocab.bpe"), ("▁the 3\n", "sentencepiece"), ("th@@ 4\ne 3\n", "BPE codes"),
                       ("￭, 3\n", "OpenNMT's tokenizer")):
        path.write_text(text)
        with pytest.raises(InputError, match=match) as error: read_fairseq(path)
        assert "\n" not in str(error.value)
        read_fairseq(path, texts_are_cut=True)
    with pytest.raises(InputError, match="no such file"): read_fairseq(path, model)
    for text,match in (("l o\n", "version 0.1"), ("#version: 0.2\nlo\n", "line 2 is 'lo'"), ("#version: 0.2\nl o\n", "joiner")):
        model.write_text(text)
        with pytest.raises(InputError, match=match): read_fairseq(path, model)
    for junk in (b"not a model", b"", b"\x80\x04\x95 a pickle"):
        (tmp_path/"x.model").write_bytes(junk)
        with pytest.raises(InputError, match="no model of sentencepiece"): read_fairseq(path, tmp_path/"x.model")

def test_it_is_a_tokenizer_like_any_other(tmp_path):
    "Saved, loaded, hashed, reported"
    dictionary(tmp_path/"dict.txt", " ".join(TEXTS).split())
    tokenizer = read_fairseq(tmp_path/"dict.txt")
    tokenizer.save_pretrained(tmp_path/"saved")
    again = load_tokenizer(tmp_path/"saved")
    assert tokenizer_hash(again)==tokenizer_hash(tokenizer)
    assert list(encode(TEXTS+UNSEEN, again))==list(encode(TEXTS+UNSEEN, tokenizer))
    assert report(again, TEXTS)["round_trip"]==1 and report(again, TEXTS)["unknown_rate"]==0
    assert again.special_tokens_map==tokenizer.special_tokens_map
    assert not {0, 1, 2} & set(next(encode(["<s> </s> <pad> a<s>"], again)))

HAS_TENSORBOARD = importlib.util.find_spec("tensorboard") is not None

@pytest.mark.skipif(not HAS_TENSORBOARD, reason="tensorboard is not installed: pip install tensorboard")
def test_curves_reach_tensorboard(tmp_path, monkeypatch):
    "`report_to` is handed on to the trainer of transformers, whose callback writes what it always wrote"
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path/"curves"))
    tokenizer = train_tokenizer(TEXTS, "wordpiece", 100)
    rows = pack(TEXTS, tokenizer, 16)
    settings = arguments(str(tmp_path/"run"), steps=2, logging_steps=1, report_to="tensorboard")
    trainer = Trainer(model=build("tiny", tokenizer), args=settings, train_dataset=rows, data_collator=MaskedLM(tokenizer))
    assert any("TensorBoard" in type(callback).__name__ for callback in trainer.callback_handler.callbacks)
    trainer.train()
    assert [*(tmp_path/"curves").rglob("events.out.tfevents.*")]

def test_trackers_are_named_or_refused():
    check_settings(dict(report_to="none"))
    with pytest.raises(InputError, match="carrier-pigeon is no tracker"): check_settings(dict(report_to=["carrier-pigeon"]))
    if HAS_TENSORBOARD: check_settings(dict(report_to=["tensorboard"]))
    else:
        with pytest.raises(InputError, match="tensorboard is not installed"): check_settings(dict(report_to="tensorboard"))

def test_nobody_is_told_by_default(tmp_path):
    assert arguments(str(tmp_path), steps=2).report_to==[]
    assert arguments(str(tmp_path), steps=2, report_to=["tensorboard"]).report_to==["tensorboard"]
