"Documents of any file: the same ones whatever it is packed in, in pieces or at once, and an error that names the file that is there."
import bz2, gzip, io, json, tarfile, zipfile
from pathlib import Path
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from plm_nb import documents as room
from plm_nb.data import load_corpus
from plm_nb.documents import fingerprint, is_packed, keep, open_kept, read_documents
from plm_nb.files import InputError, NoText

TEXTS = ["One.", "Zwei, \"quoted\"\nand broken.", "三。\u2028行", "four\tfive", "  six "]

def jsonl(texts): return "".join(json.dumps(dict(text=t))+"\n" for t in texts).encode()

def zst(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out: out.write(data)
    return sink.getvalue().to_pybytes()

def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name,data in files.items(): z.writestr(name, data)
    return out.getvalue()

def tarred(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name,data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()

PACKED = {
    "a.jsonl": jsonl(TEXTS), "A.JSONL": jsonl(TEXTS), "a.jsonl.gz": gzip.compress(jsonl(TEXTS)),
    "a.jsonl.bz2": bz2.compress(jsonl(TEXTS)), "a.jsonl.zst": zst(jsonl(TEXTS)), "a.zip": zipped({"deep/a.jsonl": jsonl(TEXTS)}),
    "b.zip": zipped({"1.jsonl": jsonl(TEXTS[:2]), "2.jsonl.gz": gzip.compress(jsonl(TEXTS[2:]))}),
    "a.tar": tarred({"x/1.jsonl": jsonl(TEXTS[:1]), "x/2.zip": zipped({"2.jsonl": jsonl(TEXTS[1:])})}),
    "a.tar.gz": gzip.compress(tarred({"1.jsonl": jsonl(TEXTS)})), "a.tgz": gzip.compress(tarred({"1.jsonl": jsonl(TEXTS)})),
    "a.tar.zst": zst(tarred({"1.jsonl": jsonl(TEXTS)})), "a.tar.bz2": bz2.compress(tarred({"1.jsonl": jsonl(TEXTS)}))}

@pytest.mark.parametrize("name", PACKED)
def test_whatever_it_is_packed_in(tmp_path, name):
    (tmp_path/name).write_bytes(PACKED[name])
    found = list(read_documents(tmp_path/name))
    assert [text for *_,text in found]==TEXTS
    ids = [key for _,key,_ in found]
    assert len(set(ids))==len(ids) and all(key.startswith(name) for key in ids), "ids that are the same on any machine"

@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.parquet"])
@pytest.mark.parametrize("size", [1, 7, 60, 10**6])
def test_pieces_are_the_whole(tmp_path, monkeypatch, name, size):
    "Wherever a large file is cut."
    texts = TEXTS*9 if name!="a.tsv" else ["a", "b c", "三", "'"]*9
    table = pd.DataFrame(dict(label=range(len(texts)), text=texts))
    if name.endswith("csv"): table.to_csv(tmp_path/name, index=False)
    elif name.endswith("tsv"): table.to_csv(tmp_path/name, index=False, sep="\t")
    elif name.endswith("parquet"): table.to_parquet(tmp_path/name)
    else: (tmp_path/name).write_bytes(jsonl(texts))
    at_once = [text for *_,text in read_documents(tmp_path/name)]
    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "PIECES", dict.fromkeys(room.PIECES, size))
    assert [text for *_,text in read_documents(tmp_path/name)]==at_once==texts

@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_pieces_of_a_text(tmp_path, monkeypatch, ends):
    whole = ends.join(f"line {i} 行" for i in range(99))
    (tmp_path/"a.txt").write_bytes(b"\xef\xbb\xbf"+whole.encode())
    assert [text for *_,text in read_documents(tmp_path/"a.txt")]==[whole]
    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "PIECES", dict.fromkeys(room.PIECES, 50))
    parts = [text for *_,text in read_documents(tmp_path/"a.txt")]
    assert "".join(parts)==whole and len(parts)>9
    assert all(text.endswith(ends) for text in parts[:-1])

def test_utf16_in_pieces(tmp_path, monkeypatch):
    (tmp_path/"a.csv").write_text("text\n"+"ä行\n"*50, encoding="utf-16")
    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "PIECES", dict.fromkeys(room.PIECES, 20))
    assert [text for *_,text in read_documents(tmp_path/"a.csv", encoding="utf-16")]==["ä行"]*50

BROKEN = [
    ("a.zip", b"PK", "not a .zip file"), ("a.gz", b"\x1f\x8b", "not a .gz file"), ("a.tar", b"tar", "not a .tar file"),
    ("a.jsonl.zst", b"zst", "not a .zst file"), ("a.jsonl.gz", gzip.compress(jsonl(TEXTS*99))[:-20], "not a .gz file"),
    ("b.zip", zipped({"x.jsonl": b'{"text": 1}\n'}), "row 1"), ("c.zip", zipped({"x.jsonl": b'{"tex": 1}\n'}), "no column 'text'"),
    ("d.zip", zipped({"x.jsonl": b"[1"}), "line 1"), ("e.zip", zipped({"x.png": b"?"}), "cannot read .png"), ("f.jsonl", b"{}\n", "no column")]

@pytest.mark.parametrize("name,data,said", BROKEN, ids=[name for name,*_ in BROKEN]) # an archive bears the time, so no name of a test
def test_errors_name_what_is_there(tmp_path, name, data, said):
    (tmp_path/name).write_bytes(data)
    with pytest.raises(InputError, match=said) as e: list(read_documents(tmp_path/name))
    assert str(tmp_path/name) in str(e.value) and "\n" not in str(e.value)
    assert "/tmp" not in str(e.value).replace(str(tmp_path), ""), "no temporary name"

def test_a_large_file_that_is_not_utf8(tmp_path, monkeypatch):
    (tmp_path/"a.jsonl").write_bytes(jsonl(["a"]*99)+b'{"text": "\xe9"}\n')
    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "PIECES", dict.fromkeys(room.PIECES, 50))
    with pytest.raises(InputError, match="is not utf-8.*convert the file"): list(read_documents(tmp_path/"a.jsonl"))
    with pytest.raises(InputError, match="unknown encoding"): list(read_documents(tmp_path/"a.jsonl", encoding="utf-99"))

def test_an_error_in_a_piece_names_its_line(tmp_path, monkeypatch):
    (tmp_path/"a.jsonl").write_bytes(jsonl(["a"]*9)+b"{\n"+jsonl(["b"]*9))
    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "PIECES", dict.fromkeys(room.PIECES, 20))
    with pytest.raises(InputError, match=r"a.jsonl, from line \d+ on: line \d is not JSON"): list(read_documents(tmp_path/"a.jsonl"))

def test_names_that_lead_out_of_an_archive(tmp_path):
    (tmp_path/"a.tar").write_bytes(tarred({"../evil.txt": b"x", "a.txt": b"y"}))
    with pytest.raises(InputError, match="not a .tar file"): list(read_documents(tmp_path/"a.tar"))
    assert not (tmp_path.parent/"evil.txt").exists()

def test_what_is_not_read_is_named(tmp_path):
    (tmp_path/"a.txt").write_text("One.")
    (tmp_path/"b.png").write_bytes(b"?")
    (tmp_path/"c.zip").write_bytes(zipped({"d.png": b"?", "e.txt": b"Two.", "__MACOSX/f.txt": b"?"}))
    with pytest.warns(UserWarning, match=r"not read .*: b.png, .*d.png"): found = list(read_documents(tmp_path))
    assert [text for *_,text in found]==["One.", "Two."]

def test_fingerprints_are_of_rows():
    rows = [dict(id=str(i), text=t) for i,t in enumerate(TEXTS)]
    assert fingerprint(rows)==fingerprint(Dataset.from_list(rows))!=fingerprint(rows[::-1])

def test_large_tables_have_one_too():
    a = Dataset.from_dict(dict(x=[[i]*64 for i in range(150_000)]))
    assert a.data.nbytes>2**26
    assert fingerprint(a)==fingerprint(a.select(range(len(a))))!=fingerprint(a.select([*range(1, len(a)), 0]))

def test_kept_is_what_came(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "SHARD", 30)
    rows = [("train", str(i), t) for i,t in enumerate(TEXTS*5)] + [("test", "x", "y")]
    corpus = keep(iter(rows), tmp_path/"kept")
    assert corpus["train"]["text"][:]==TEXTS*5 and corpus["test"]["id"][:]==["x"]
    assert corpus.facts["train"]["sha256"]==fingerprint(corpus["train"])
    assert corpus.facts["train"]["bytes"]==sum(len(t.encode()) for t in TEXTS*5)
    assert keep(iter(rows[:1]), tmp_path/"kept")["train"]["text"][:]==TEXTS*5, "who comes second finds the first"
    assert [p.name for p in tmp_path.iterdir()]==["kept"]

def test_a_reader_that_breaks_leaves_nothing(tmp_path):
    def rows():
        yield "train", "0", "a"
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): keep(rows(), tmp_path/"kept")
    assert open_kept(tmp_path/"kept") is None and not list(tmp_path.iterdir())

@pytest.mark.parametrize("holdout", [None, "random:0.2", "tail:0.25"])
def test_a_large_corpus_is_that_of_memory(tmp_path, monkeypatch, holdout):
    "Other documents may be held out by default, but all are there, once, and copies lie on one side."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path/"cache"))
    texts = [f"text number {i%300}" for i in range(400)]
    (tmp_path/"a.jsonl").write_bytes(jsonl(texts))
    small = load_corpus(tmp_path/"a.jsonl", holdout=holdout)
    monkeypatch.setattr("plm_nb.data.LARGE", 100)
    large = load_corpus(tmp_path/"a.jsonl", holdout=holdout)
    assert sorted(large["train"]["text"][:]+large["validation"]["text"][:])==sorted(texts)
    if holdout: assert large["validation"]["text"][:]==small["validation"]["text"][:]
    if holdout!="tail:0.25": assert not set(large["train"]["text"][:]) & set(large["validation"]["text"][:])
    assert load_corpus(tmp_path/"a.jsonl", holdout=holdout).folder==large.folder

def test_splits_of_a_large_folder_are_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path/"cache"))
    monkeypatch.setattr("plm_nb.data.LARGE", 10)
    (tmp_path/"d").mkdir()
    for name in ("train-00000-of-00002", "train-00001-of-00002", "validation", "test"): (tmp_path/"d"/f"{name}.jsonl").write_bytes(jsonl([name]*5))
    corpus = load_corpus(tmp_path/"d")
    assert {split: set(corpus[split]["text"][:]) for split in corpus}=={
        "train": {"train-00000-of-00002", "train-00001-of-00002"}, "validation": {"validation"}, "test": {"test"}}
    with pytest.raises(InputError, match="has a validation split"): load_corpus(tmp_path/"d", holdout="tail:0.1")

def test_an_archive_with_splits(tmp_path):
    (tmp_path/"d.zip").write_bytes(zipped({"set/train.txt": b"a", "set/valid.txt": b"b", "set/test.txt": b"c"}))
    assert {split: rows["text"][:] for split,rows in load_corpus(tmp_path/"d.zip").items()}==dict(train=["a"], validation=["b"], test=["c"])
