"What is planted in a corpus is found, the account closes to the byte, and workers, hash seeds and order of machines change nothing."
import gzip, hashlib, itertools, json, os, random, subprocess, sys
from pathlib import Path
import pytest
from plm_nb.cleaning import CleaningArguments, _Lines, _in_order, clean, describe, write_shards
from plm_nb.data import load_corpus
from plm_nb.files import InputError
from plm_nb.filters import normalize_unicode, personal_data

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")
ALL = CleaningArguments(scripts="Latin,Han", quality="damaged", near=.5, personal="mask")

@pytest.fixture(scope="module")
def sentences():
    lines = [line for text in load_corpus("docs")["train"]["text"][:4000] for line in text.replace("\n", " ").split(". ")]
    return [line for line in dict.fromkeys(lines) if 5<=len(line.split())<=40 and not personal_data(line)]

def corpus(sentences, n, seed, share=.05):
    "Documents of ten sentences, in which a `share` are near copies; and which must go."
    rng = random.Random(seed)
    texts = [". ".join(rng.sample(sentences, 10)) for _ in range(n)]
    copies = dict(zip(*[iter(rng.sample(range(n), 2*int(share*n)))]*2))
    for copy,original in copies.items():
        words = texts[original].split()
        for i in rng.sample(range(len(words)), round(rng.uniform(.03, .1)*len(words))): words[i] = rng.choice(words)
        cut = rng.randrange(len(words)) if rng.random()<.3 else 0
        texts[copy] = " ".join(words[cut:]+words[:cut])
    return list(enumerate(texts)), {max(pair) for pair in copies.items()}

def dirty(sentences, n=300, seed=0):
    "Documents with every kind of fault."
    rng = random.Random(seed)
    faults = ["\ufeff{}", "{}\r\nend", "{}\x00", "e\u0301 {}", "{} \ud83d", "{} ann@example.com", "{} 卡号4111 1111 1111 1111。", " \n", "Кошка сидела на коврике {}"[:24],
              "\ufffd"*20, "{}", "{}", "{}", "手机13812345678"]
    texts = [rng.choice(faults).format(rng.choice(sentences)) for _ in range(n)]
    return [(f"d{i}", text) for i,text in enumerate(texts+texts[:20])]

# What was planted

@pytest.mark.parametrize("seed", range(3))
def test_near_copies(sentences, seed):
    "Of two documents alike the later goes; precision and recall above 0.95."
    pytest.importorskip("rensa", reason="rensa is not installed")
    documents, right = corpus(sentences, 1000, seed)
    cleaned = clean(iter(documents), CleaningArguments(near=.5))
    kept = list(cleaned)
    found = set(cleaned.dropped["id"])
    assert len(found & right)>.95*max(len(found), len(right))
    assert kept==[row for row in documents if row[0] not in found]

def test_short_texts_are_no_near_copies():
    pytest.importorskip("rensa", reason="rensa is not installed")
    verses = [(0, "LORDS:\nUpon the stroke of four."), (1, "Messenger:\nUpon the stroke of four."), (2, "KING RICHARD III:"), (3, "KING RICHARD III:\nCatesby!")]
    assert list(clean(verses, CleaningArguments(near=.5)))==verses

@pytest.mark.parametrize("a, b, same", [("The cat.", "THE  cat.\n", True), ("The cat.", "The cat", False), ("é", "e\u0301", True), ("a\x00b", "ab", True),
                                        ("ring ann@example.com", "ring bob@example.com", True), ("猫。", "猫", False)])
def test_exact_copies(a, b, same):
    cleaned = clean([(0, a), (1, b)], CleaningArguments(personal="mask"))
    assert len(list(cleaned))==2-same
    if same: assert cleaned.dropped.values.tolist()==[[1, "exact copy", 0]]

@pytest.mark.parametrize("settings, gone", [
    (dict(), [3, 4]), (dict(copies=False), [3]), (dict(scripts="Han"), [0, 2, 3, 4]), (dict(scripts="Latin,Cyrillic"), [1, 3, 4]), (dict(quality="c4"), [0, 1, 2, 3, 4, 5]),
    (dict(personal="drop"), [2, 3, 4]), (dict(personal="mask"), [3, 4])])
def test_each_filter(settings, gone):
    documents = list(enumerate(["The cat sat.", "猫坐在垫子上。", "Ring (212) 555-0123.", "\ufeff \n", "the  cat sat.", "3.14 2.72"]))
    cleaned = clean(documents, CleaningArguments(**settings))
    kept = [key for key,_ in cleaned]
    assert [*cleaned.dropped["id"]]==gone and kept==[i for i in range(6) if i not in gone]

def test_languages():
    pytest.importorskip("py3langid", reason="py3langid is not installed")
    texts = ["The cat sat on the mat, looked out of the window and waited for the rain.", "猫坐在垫子上，望着窗外，等着雨停下来，然后它就可以出去散步了。",
             "Die Katze saß auf der Matte, schaute aus dem Fenster und wartete auf den Regen.", "Кошка сидела на коврике, смотрела в окно и ждала, когда закончится дождь.", "Ja."]
    assert [key for key,_ in clean(enumerate(texts), CleaningArguments(languages="zh,ru"))]==[1, 3, 4]
    assert {"language en", "language zh", "language de", "language ru", "language und"} <= {*describe(enumerate(texts), languages=True).index}

# The account

def test_account_closes(sentences):
    "Each document and each byte that was read is in one row of what was kept or went; each that went has a line."
    pytest.importorskip("rensa", reason="rensa is not installed")
    documents = dirty(sentences)
    cleaned = clean(documents, ALL)
    kept = list(cleaned)
    table = cleaned.table
    assert table.bytes["read"]==sum(len(text.encode("utf-8", "surrogatepass")) for _,text in documents)==table.bytes.drop("read").sum()
    assert table.bytes["kept"]==sum(len(text.encode()) for _,text in kept) and table.documents["kept"]==len(kept)
    drops = table.filter(like="dropped", axis=0)
    assert drops.documents.sum()==len(cleaned.dropped)==len(documents)-len(kept)
    assert sorted([*cleaned.dropped["id"], *(key for key,_ in kept)])==sorted(key for key,_ in documents)
    assert {"half of a character", "not NFC", "line end", "masked card", "masked email", "masked phone", "dropped: no text", "dropped: script Cyrillic",
            "dropped: damaged: damaged", "dropped: exact copy"} <= {*table.index}

def test_cleaned_twice(sentences):
    "What was cleaned has nothing left to clean."
    pytest.importorskip("rensa", reason="rensa is not installed")
    kept = list(clean(dirty(sentences), ALL))
    again = clean(kept, ALL)
    assert list(again)==kept and [*again.table.index]==["read", "kept"]

def test_samples_are_masked():
    "No report holds an address, whatever was asked for."
    documents = [(i, f"Write to ann{i}@example.com, 手机13812345678\r\nCard 4111 1111 1111 1111.") for i in range(3)]*2
    for personal in ("keep", "mask", "drop"):
        cleaned = clean(documents, CleaningArguments(personal=personal))
        list(cleaned)
        assert cleaned.table.samples.map(len).max() and not personal_data(str(cleaned.table.samples.tolist()))
    assert not personal_data(str(describe(documents).samples.tolist()))

def test_samples_can_be_printed():
    "No sample holds a control character, or a half of one."
    documents = [(0, "a\x1b[31m\x00 \ud83d\r\n"), (1, " \x00 ")]
    cleaned = clean(documents, CleaningArguments())
    list(cleaned)
    for table in (cleaned.table, describe(documents)):
        samples = [s for some in table.samples if isinstance(some, list) for s in some]
        assert samples and "".join(samples).isprintable() and json.dumps(samples, ensure_ascii=False).encode()

def test_account_of_each_time():
    "The account is empty before, and goes through the documents once more if they can be."
    cleaned = clean([(0, "a"), (1, "a")])
    assert len(cleaned.table)==len(cleaned.dropped)==0
    for _ in range(2): assert len(list(cleaned))==len(cleaned.dropped)==1 and cleaned.table.documents["read"]==2

# The same, however it is done

def test_workers(sentences):
    "Two workers find what one finds, in the same order: documents, account, and description."
    pytest.importorskip("rensa", reason="rensa is not installed")
    documents = dirty(sentences, 1500)+corpus(sentences, 1500, 0)[0]
    one = clean(documents, ALL)
    two = clean(iter(documents), CleaningArguments(**{**vars(ALL), "workers": 2}))
    assert list(one)==list(two)
    assert one.table.equals(two.table) and one.dropped.equals(two.dropped)
    assert describe(documents).equals(describe(iter(documents), workers=2))

HASHED = """
import hashlib
from plm_nb.cleaning import *
texts = ["The cat sat on the mat and waited for the rain to end, %d" % (i%7) for i in range(60)]
cleaned = clean(enumerate(texts), CleaningArguments(near=.5, quality="damaged"))
print(hashlib.sha256(repr([list(cleaned), cleaned.table.to_json(), describe(enumerate(texts)).to_json()]).encode()).hexdigest())
"""

def test_hash_seeds():
    pytest.importorskip("rensa", reason="rensa is not installed")
    runs = [subprocess.run([sys.executable, "-c", HASHED], env=dict(os.environ, PYTHONHASHSEED=seed), capture_output=True, text=True, check=True).stdout for seed in "03"]
    assert runs[0]==runs[1]

@pytest.mark.parametrize("workers", [1, 2])
def test_streams(workers):
    "An endless corpus is read no further than it is used."
    read = itertools.count()
    documents = ((i, f"document number {next(read)}") for i in itertools.count())
    stream = iter(clean(documents, CleaningArguments(workers=workers)))
    assert [key for key,_ in itertools.islice(stream, 5)]==[*range(5)]
    stream.close()
    assert next(read)<=6000

def test_lines_are_sampled():
    "More lines than fit: a sample of them, of which every copy is counted, and the share comes out."
    lines = _Lines(500)
    for i in range(20_000):
        key = i if i%4 else 0 # one in four is the line 0
        fingerprint = int(hashlib.sha256(str(key).encode()).hexdigest()[:15], 16)
        lines.add(fingerprint*(2**8 if key==0 else 1), f"line {key}") # the line 0 is in every sample
    assert lines.level>0 and len(lines.times)<=500 and lines.most_frequent()==["5000 × line 0"]
    exact = _Lines()
    for line in "aab": exact.add(ord(line), line)
    assert exact.share()==pytest.approx(1/3) and exact.most_frequent()==["2 × a"]

# Description

def test_describe():
    documents = [("a", "One line\nsame line"), ("b", "same line\nÃ©"), ("c", "ONE LINE \n Same line"), ("d", "猫\x00"), ("e", "")]
    found = describe(documents)
    assert found.times[["documents", "bytes", "characters"]].tolist()==[5, sum(len(t.encode()) for _,t in documents), sum(len(t) for _,t in documents)]
    assert found.times[["length, 0 %", "length, 100 %"]].tolist()==[0, 20]
    some = ["exact copy", "mojibake", "control character", "no text", "script Han", "script Latin", "script none"]
    assert found.documents[some].tolist()==[1, 1, 1, 1, 1, 3, 1] and found.share["exact copy"]==.2
    assert found.samples["repeated line"]==["2 × same line"] and found.share["repeated line"]==pytest.approx(1/7)

# Real text

def real():
    "Good text of several kinds, a name each."
    rows = DATA/"pydocs_zh/python_docs_3.13.en-zh.jsonl.gz"
    if not rows.is_file(): pytest.skip(f"no {rows.name} here; PLM_DATA may name the folder that holds it")
    zh = [json.loads(line)["zh"] for line in gzip.open(rows, "rt", encoding="utf-8")][:5000]
    plays = (DATA/"tinyshakespeare/input.txt").read_text(encoding="utf-8").split("\n\n")
    wiki = [line for line in (DATA/"wikitext2/test.txt").read_text(encoding="utf-8").split("\n") if line.strip()]
    return dict(zh=zh, plays=plays, wiki=wiki)

def test_good_text_stays():
    "As the settings are, Chinese, verse and articles lose nothing but exact copies, and no character but what NFC composes."
    for name,texts in real().items():
        cleaned = clean(enumerate(texts))
        kept = dict(cleaned)
        assert {*cleaned.dropped.reason}=={"exact copy"} and len(kept)>.9*len(texts), name
        assert all(text==normalize_unicode(texts[i])[0] for i,text in kept.items())
        assert {*cleaned.table.index} <= {"read", "kept", "not NFC", "dropped: exact copy"}

def test_chinese_about_code_is_chinese():
    texts = real()["zh"]
    cleaned = clean(enumerate(texts), CleaningArguments(scripts="Han", copies=False))
    assert len(list(cleaned))>.97*len(texts)

# Shards

def test_shards(tmp_path):
    "Many shards hold all rows in order, as the same bytes each time, and load as a corpus."
    rows = [(f"d{i}", f"text {i} 猫\n") for i in range(100)]
    for name in "ab": assert write_shards(iter(rows), tmp_path/name, most=500)==100
    files = sorted((tmp_path/"a").iterdir())
    assert len(files)>5 and [f.read_bytes() for f in files]==[f.read_bytes() for f in sorted((tmp_path/"b").iterdir())]
    back = [json.loads(line) for f in files for line in gzip.open(f, "rt", encoding="utf-8")]
    assert [(row["id"], row["text"]) for row in back]==rows
    assert sum(split.num_rows for split in load_corpus(tmp_path/"a").values())==100

def test_shards_are_whole_or_not_there(tmp_path):
    def rows():
        yield "a", "text"
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): write_shards(rows(), tmp_path/"new")
    assert not (tmp_path/"new").exists()
    assert write_shards([("b", "text")], tmp_path/"new")==1 and [f.name for f in tmp_path.iterdir()]==["new"]
    with pytest.raises(InputError, match="give a new folder"): write_shards([("b", "text")], tmp_path/"new")
    with pytest.raises(InputError, match="no document stays"): write_shards([], tmp_path/"none")
    assert [f.name for f in tmp_path.iterdir()]==["new"]

# Wrong input

@pytest.mark.parametrize("settings, says", [
    (dict(quality="c5"), "'c5'"), (dict(personal="hide"), "keep, mask, drop"), (dict(personal="keep,mask"), "one of"), (dict(near=.2), "from 0.5 to 1"), (dict(near=1.5), "from 0.5 to 1"),
    (dict(near="a"), "must be a number"), (dict(workers=0), "whole and more than 0"), (dict(scripts="latin"), "'latin'"), (dict(scripts=""), "scripts ''"),
    (dict(scripts="Latin, Klingon"), "no 'Klingon'")])
def test_wrong_settings(settings, says):
    with pytest.raises(InputError, match=says): CleaningArguments(**settings)

@pytest.mark.parametrize("package, settings", [("rensa", dict(near=.5)), ("py3langid", dict(languages="en"))])
def test_missing_package(monkeypatch, package, settings):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"need {package}; pip install"): CleaningArguments(**settings)

@pytest.mark.parametrize("documents, says", [("text", "one str"), ({"a": "b"}, "one dict"), (["text"], "document 1 is 'text'"), ([("a", "b"), ("c", None)], "document 2"),
                                             ([("a", "b", "c")], "document 1"), ([], "at least one")])
@pytest.mark.parametrize("what", [describe, lambda documents: list(clean(documents))], ids=["describe", "clean"])
def test_wrong_documents(documents, says, what):
    with pytest.raises(InputError, match=says): what(documents)

def test_lost_worker():
    "A worker that is killed ends the work with one line."
    with pytest.raises(InputError, match="workers 2: one ended"): list(_in_order(os._exit, [1, 1, 1], 2))
