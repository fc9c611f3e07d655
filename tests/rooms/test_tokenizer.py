"The tokenizer's promises: same corpus, same file in any process; text is data; nothing is lost on the way to blocks."
import os, random, subprocess, sys, unicodedata
import numpy as np
import pytest
from pydoc_data import topics
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from plm_nb.files import InputError
from plm_nb.packing import pack
from plm_nb.tokenizer import (KINDS, SPECIALS, _bert_normalizer, chunks, encode, load_tokenizer, report,
                              tokenizer_hash, train_tokenizer, unknown_rate)

TEXTS = list(topics.topics.values()) # some 460 kB that every Python brings
SIZE = 1500

@pytest.fixture(scope="module")
def toks(): return {kind: train_tokenizer(TEXTS, kind, SIZE) for kind in KINDS}

PROGRAM = f"""
import sys
from pathlib import Path
from pydoc_data import topics
from plm_nb.data import sha256
from plm_nb.tokenizer import KINDS, train_tokenizer
for kind in KINDS:
    folder = Path(sys.argv[1])/kind
    train_tokenizer(list(topics.topics.values()), kind, {SIZE}).save_pretrained(folder)
    print(sha256(folder/"tokenizer.json"))
"""

def test_same_file_in_any_process(tmp_path):
    "Five kinds, three processes, each with its own hash seed and number of threads."
    def hashes(seed, threads):
        env = os.environ | dict(PYTHONHASHSEED=seed, RAYON_NUM_THREADS=threads, OMP_NUM_THREADS=threads)
        run = [sys.executable, "-c", PROGRAM, str(tmp_path/seed)]
        return subprocess.run(run, env=env, check=True, capture_output=True, text=True).stdout.split()
    runs = [hashes(seed, threads) for seed,threads in [("0", "1"), ("1", "2"), ("random", "2")]]
    for kind,*same in zip(KINDS, *runs, strict=True): assert len(set(same))==1, kind
    assert len(set(runs[0]))==len(KINDS)

@pytest.mark.parametrize("kind", KINDS)
def test_specials_pairs_and_data(toks, kind, tmp_path):
    tok = toks[kind]
    tok.save_pretrained(tmp_path)
    for t in (tok, AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)):
        assert t.convert_tokens_to_ids(SPECIALS)==[0, 1, 2, 3, 4]
        assert [t.pad_token_id, t.unk_token_id, t.cls_token_id, t.sep_token_id, t.mask_token_id]==[0, 1, 2, 3, 4]
        assert tokenizer_hash(t)==tokenizer_hash(tok)
        for raw in ("".join(SPECIALS), " ".join(SPECIALS), "x[MASK]y", "[MASK", "[MASK]\n[SEP]"):
            ids = t(raw, add_special_tokens=False)["input_ids"]
            assert not {0, 2, 3, 4} & set(ids), raw
            assert not {0, 2, 3, 4} & set(t([raw, raw], is_split_into_words=True, add_special_tokens=False)["input_ids"])
            assert next(encode([raw], t))==ids
        one, two = (t(x, add_special_tokens=False)["input_ids"] for x in ("one text", "and another"))
        pair = t("one text", "and another")
        assert pair["input_ids"]==[2, *one, 3, *two, 3]
        assert pair["token_type_ids"]==[0]*(len(one)+2)+[1]*(len(two)+1)
        assert t("one text")["input_ids"]==[2, *one, 3]

def test_bytes_come_back(toks):
    rng = random.Random(0)
    some = ["", " ", "  a", "a  ", "\r\n\t", "👩‍👩‍👧 e\u0301", "[CLS]", "▁Ġ##", "狗", "\x00\ufffd"]
    some += ["".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xd800), rng.randrange(0xe000, 0x110000)]))
                     for _ in range(50)) for _ in range(50)]
    tok = toks["byte-bpe"]
    for t in some: assert tok.decode(tok(t)["input_ids"], skip_special_tokens=True)==t
    assert report(tok, some+TEXTS)["round_trip"]==1

def test_characters_come_back(toks): assert report(toks["char"], TEXTS)["round_trip"]==1

@pytest.mark.parametrize("kind", KINDS)
def test_unseen_characters_are_not_dropped(toks, kind):
    rate = report(toks[kind], ["a 🦜 b"])["unknown_rate"]
    assert rate==0 if kind=="byte-bpe" else rate>0

@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_cut_without_a_trace(toks, kind):
    long = "\n".join(TEXTS[:20])
    assert "".join(chunks(long, 1000))==long and len(chunks(long))>5
    assert next(encode([long], toks[kind]))==toks[kind].encode(long, add_special_tokens=False, verbose=False)
    assert "".join(chunks("狗"*20_000))=="狗"*20_000
    assert chunks("")==[""]

@pytest.mark.parametrize("kind", KINDS)
def test_pack_loses_only_the_tail(toks, kind):
    tok, texts = toks[kind], [*TEXTS[:30], ""]
    stream = [i for t in texts for i in tok(t, verbose=False)["input_ids"]]
    tok(["a", "b c d"], padding=True, truncation=True, max_length=4) # what it leaves behind must not reach the blocks
    blocks = pack(texts, tok, 64)
    rows = np.array(blocks["input_ids"][:])
    assert rows.shape==(len(stream)//64, 64)
    assert rows.ravel().tolist()==stream[:rows.size]
    assert f"{len(stream)%64} tokens left out" in blocks.info.description

PACKS = """
import os, pickle, tempfile
from pydoc_data import topics
from plm_nb.files import InputError
from plm_nb.packing import pack
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
texts = list(topics.topics.values())
tok = train_tokenizer(texts, "wordpiece", 1500)
try: pack(["a"], tok, 64)
except InputError: pass
assert not os.listdir(tempfile.gettempdir())
blocks = pack(texts, tok, 64)
first, some = blocks[0], blocks.select(range(5))
del blocks
assert os.listdir(tempfile.gettempdir()) and pickle.loads(pickle.dumps(some))[0]==first
"""

def test_blocks_leave_no_file(tmp_path):
    "Blocks lie in a file that other processes can read, too; when the process ends, or packing fails, there is none."
    subprocess.run([sys.executable, "-c", PACKS], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert not [*tmp_path.iterdir()]

@pytest.mark.parametrize("added", ["", "of the"])
def test_a_word_is_cut_alike_wherever_it_stands(added):
    "Many texts at once give the ids of each by itself, unless a token of more than one word forbids it."
    tok = train_tokenizer(TEXTS, "wordpiece", SIZE)
    if added: tok.add_tokens([added])
    alone = [tok.encode(t, add_special_tokens=False, verbose=False) for t in TEXTS[:40]]
    assert [*encode(TEXTS[:40], tok)]==alone
    assert not added or any(len(tok)-1 in ids for ids in alone)

@pytest.mark.parametrize("kind", KINDS)
def test_little_text(kind):
    least = 261 if kind=="byte-bpe" else 9 if kind=="wordpiece" else 8
    for text in ("ab", "ab ab ab"): assert 0 < len(train_tokenizer([text], kind, 300)) <= 300
    assert len(train_tokenizer(["ab"], kind, least)) <= least

def test_wrong_input(toks, tmp_path):
    def refused(what, f, *args):
        with pytest.raises(InputError, match=what) as e: f(*args)
        assert "\n" not in str(e.value)
    refused("no text in 0", train_tokenizer, [])
    refused("no text in 2", train_tokenizer, ["", "\n "])
    refused("row 3 of the texts is float", train_tokenizer, ["a", "b", float("nan")])
    refused("one str", train_tokenizer, "a text")
    refused("kinds are bpe, byte-bpe, wordpiece, unigram, char", train_tokenizer, TEXTS, "words")
    for size in (0, -1, 10.5, 300., True, "300", float("nan")):
        refused(f"vocab_size {size!r}: this must be", train_tokenizer, TEXTS, "bpe", size)
        refused(f"block_size {size!r}: this must be", pack, ["ab"], toks["bpe"], size)
    for f in (lambda rows: train_tokenizer(rows), lambda rows: pack(rows, toks["bpe"], 4), lambda rows: report(toks["bpe"], rows),
              lambda rows: list(encode(rows, toks["bpe"]))):
        refused("row 2 of the texts holds half of a character", f, ["whole", "cut \ud83d"])
        refused("row 1 of the texts is NoneType", f, [None])
        refused("one str", f, "a text")
    for kind in KINDS: refused("needs at least", train_tokenizer, TEXTS, kind, 20)
    refused("at most 4", pack, ["ab"], train_tokenizer(["ab"], "char", 20), 128)
    refused("no tokenizer folder", load_tokenizer, tmp_path/"none")
    refused("nothing loads", load_tokenizer, tmp_path)
    toks["bpe"].save_pretrained(tmp_path)
    (tmp_path/"tokenizer.json").write_text("{")
    refused("nothing loads", load_tokenizer, tmp_path)

SCRIPTS = dict(hindi="लड़की रोटी पानी चाँद सड़क में हिन्दी क़लम ।", thai="ที่นี่ มีน้ำ ผู้หญิง เด็ก", japanese="がっこう パン ばなな ぎゅうにゅう",
               arabic="آدم أَحْمَد مُدَرِّسَة شُكْرًا", hebrew="שָׁלוֹם בְּרֵאשִׁית", russian="йод ёлка мой", bengali="বাংলা ভাষা",
               korean="태양 길 소녀", greek="ήλιος σπίτι πότε", khmer="ភាសាខ្មែរ")

@pytest.mark.parametrize("script", SCRIPTS)
def test_own_tokenizer_of_any_script(tmp_path, script):
    "A tokenizer that learned a text is loaded, and knows every word of it, with the marks of its letters."
    text = unicodedata.normalize("NFC", SCRIPTS[script])
    for kind in KINDS:
        tok = train_tokenizer([text]*3, kind, 300)
        tok.save_pretrained(tmp_path/kind)
        again = load_tokenizer(tmp_path/kind)
        assert report(again, [text])["unknown_rate"]==0
        assert again(text)["input_ids"]==tok(text)["input_ids"]==AutoTokenizer.from_pretrained(tmp_path/kind)(text)["input_ids"]
        assert next(encode([text], again))==tok(text, add_special_tokens=False)["input_ids"]
        back = tok.decode(tok(text)["input_ids"], skip_special_tokens=True)
        if script!="korean" or kind!="wordpiece": assert back==text # BERT takes syllables apart
        else: assert unicodedata.normalize("NFC", back)==text

def test_marks_of_latin_letters_are_stripped_as_ever():
    "Vietnamese, German, French: the normalizer is BERT's own, and so is the file; a word of Hindi beside changes no Latin word."
    latin = "Được nước lớn; Größe, Übung; où est l'été, Noël, cœur; İstanbul; kůň; ≠ ❤\ufe0f e\u0301".split()
    tok = train_tokenizer([" ".join(latin)]*3, "wordpiece", 300)
    plain = normalizers.BertNormalizer(lowercase=True)
    assert type(tok.backend_tokenizer.normalizer)==normalizers.BertNormalizer
    assert [tok.backend_tokenizer.normalizer.normalize_str(w) for w in latin]==[*map(plain.normalize_str, latin)]
    mixed = train_tokenizer([" ".join(latin)+" में"]*3, "wordpiece", 300).backend_tokenizer
    assert [mixed.normalizer.normalize_str(w) for w in latin]==[*map(plain.normalize_str, latin)]
    assert "में" in mixed.normalizer.normalize_str("में")

def test_both_normalizers_agree_but_for_marks_on_other_letters():
    "On every Latin letter and every sign of Unicode, alone, among letters and before accents."
    plain, kept = _bert_normalizer(False), _bert_normalizer(True)
    some = []
    for c in map(chr, [*range(0xd800), *range(0xe000, 0x32000)]):
        name, kind = unicodedata.name(c, ""), unicodedata.category(c)
        if name.startswith("MUSICAL"): continue # notes decompose into marks of another kind
        if name.startswith("LATIN") or name and kind[0] not in "LMC": some.append(c)
    assert len(some)>8000
    for c in some:
        for text in (c, f"a{c}b", f"y{c}\u0301x", f" {c}z\u0328\u0301 "):
            assert kept.normalize_str(text)==plain.normalize_str(text), hex(ord(c))

def test_a_clause_without_spaces_is_no_unknown_word():
    "Thai writes no spaces between words; a run of 300 letters is cut into pieces, not given up."
    text = "มีน้ำที่นี่ผู้หญิง"*20
    tok = train_tokenizer([text], "wordpiece", 200)
    assert report(tok, [text])["unknown_rate"]==0

def test_a_tokenizer_that_knows_nothing_is_refused(tmp_path):
    "A vocabulary that was not read, with and without tokens that were added to it."
    vocab = dict(zip(SPECIALS, range(5)))
    for model in (models.WordLevel(vocab, unk_token="[UNK]"), models.WordPiece(vocab, unk_token="[UNK]")):
        tok = Tokenizer(model)
        tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tok.add_special_tokens(SPECIALS)
        roles = {f"{s[1:-1].lower()}_token": s for s in SPECIALS}
        PreTrainedTokenizerFast(tokenizer_object=tok, **roles).save_pretrained(tmp_path)
        with pytest.raises(InputError, match=r"all text is nothing but \[UNK\]"): load_tokenizer(tmp_path)

def test_text_in_another_script(toks):
    "The share of unknown tokens tells that a tokenizer never saw a script."
    rows = [*encode(["我们训练模型"], toks["wordpiece"])]
    assert unknown_rate(toks["wordpiece"], rows)==1 and unknown_rate(toks["byte-bpe"], encode(["我们"], toks["byte-bpe"]))==0
    with pytest.raises(InputError, match="no token"): unknown_rate(toks["wordpiece"], [])
    with pytest.raises(InputError, match="no token"): report(toks["wordpiece"], ["\x00"])

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["\x1b", "\x01\x02", "\u200b", "\ufffd", "\U000e0001"], ids=ascii)
def test_text_without_a_letter(kind, text):
    "Signs that no one sees make a tokenizer that counts letters as unknown, or an `InputError`."
    try: tok = train_tokenizer([text], kind, 300)
    except InputError as e: return str(e)
    assert kind=="byte-bpe" or report(tok, ["a dog"])["unknown_rate"]>=.5

def test_special_strings_are_counted(toks):
    for kind,tok in toks.items():
        found = report(tok, ["a [MASK] b", "[SEP][MASK] [cls]", "none"])
        assert found["special_strings"]==3, kind

def test_words_of_a_script_without_spaces():
    "An ideograph counts as a word, so Chinese text is no word of its whole length"
    texts = ["我们学习语言模型", "模型学习 the word 语言"]
    assert report(train_tokenizer(texts*9, "char", 60), texts[:1])["tokens_per_word"]==1
    assert report(train_tokenizer(texts*9, "wordpiece", 60), ["语言 the"])["tokens_per_word"]==1
