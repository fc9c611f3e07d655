"""Bad input, kind by kind: what a clear error says of it, or what is done with it and counted.

A case is a row of the table that this project promises to answer: an `InputError` of one line, a warning with a number, or the right
result. Where somebody meets it in a shell, `plm` is asked too: exit code 2 and one line, or the number on standard error."""
import json, warnings
from contextlib import contextmanager
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from plm_nb import FinetuningArguments, PretrainingArguments, evaluate, finetune, load_corpus, load_task, predict, pretrain, train_tokenizer
from plm_nb.budgets import arguments
from plm_nb.contamination import contamination, overlap
from plm_nb.finetuning import padded
from plm_nb.files import InputError, read_table, read_text
from plm_nb.metrics import by_class, scores
from plm_nb.models import build, check_length, load
from plm_nb.objectives import PermutationLM
from plm_nb.perplexity import score_text, text_nats, token_nats
from plm_nb.text_classification import TextClassification
from plm_nb.text_metrics import bleu
from plm_nb.tokenizer import KINDS, encode, report
from plm_nb.training import Trainer
from typed import found, plm

ROWS = [(f"the {['cat', 'dog'][i%2]} number {i}", "ab"[i%2]) for i in range(12)]
TINY = dict(size="tiny", epochs=1)

class World:
    "What the cases need: a folder, a tokenizer, a classifier and a model that reads from left to right."
    def __init__(self, folder):
        self.folder = folder
        self.tok = train_tokenizer([text for text,_ in ROWS]*9, "wordpiece", 80)
        self.tok.save_pretrained(folder/"tok")
        args = FinetuningArguments(**TINY)
        self.run = finetune(dict(train=ROWS, validation=ROWS), folder/"run", tokenizer=self.tok, args=args).path
        self.writer = build("tiny", self.tok, "text-generation", "gpt2")
        self.writer.save_pretrained(folder/"writer")
        self.tok.save_pretrained(folder/"writer")

    def file(self, name, content):
        "A file with this content, text or bytes."
        path = self.folder/name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def learn(self, rows, out="new", **options):
        "Fine-tune a new classifier on `rows`."
        args = FinetuningArguments(**TINY, **options)
        return finetune(rows, self.folder/out, tokenizer=self.tok, args=args)

@pytest.fixture(scope="module")
def world(tmp_path_factory): return World(tmp_path_factory.mktemp("bad"))

@contextmanager
def refused(*words):
    "Within, an `InputError` of one line that holds `words`."
    with pytest.raises(InputError) as e: yield
    said = str(e.value)
    assert len(said.splitlines())==1, said
    for word in words: assert word in said, said

def shell_refuses(*typed, words=()):
    "`plm` says one line that holds `words`, and leaves with 2."
    code, out, err = plm(*typed)
    *notes, said = err.splitlines()
    assert code==2 and out=="" and "Traceback" not in err, (code, err)
    for word in words: assert word in said, said

def warned(f, *words):
    "What `f` gives, and one of its warnings holds all `words`."
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = f()
    texts = [str(one.message) for one in said]
    assert any(all(word in text for word in words) for text in texts), texts
    return result

def dataset_of(labels, texts=None, names=("x", "y")):
    "A `Dataset` with these numbers of classes, checked by nobody."
    types = Features(text=Value("string"), label=ClassLabel(names=list(names)))
    columns = dict(text=texts or [f"text {i}" for i in range(len(labels))], label=pa.array(labels, pa.int64()))
    return Dataset(pa.table(columns, schema=types.arrow_schema))

def both(splits): # all texts of a corpus
    return splits["train"]["text"][:] + splits["validation"]["text"][:]

# One function a row

def another_encoding(w):
    with refused("empty.txt", "no text"): load_corpus(w.file("empty.txt", ""))
    latin = w.file("latin.txt", "Un café noir, s'il vous plaît.\nEncore une fois.\nDéjà vu.".encode("latin-1"))
    with refused("latin.txt", "byte 6 (line 1)", "not utf-8", "it looks like"): load_corpus(latin)
    assert read_text(latin, "latin-1").startswith("Un café")
    with refused("byte 0 (line 1)", "utf_16"): load_corpus(w.file("wide.txt", "good dog\nbad cat\n".encode("utf-16")))
    with refused("byte 1 (line 1)", "utf-16-le"): load_corpus(w.file("le.txt", "good dog\nbad cat\n".encode("utf-16-le")))
    with refused("utf-16-be"): read_table(w.file("be.csv", "text,label\ngood,a\n".encode("utf-16-be")))
    shell_refuses("tokenizer", "--corpus", latin, "--out", w.folder/"t", words=["latin.txt", "byte 6 (line 1)", "it looks like"])

def no_letters(w):
    path = w.file("nul.txt", "\ufeffone\0 two\u2028three\x85four\n   \nfive, and some more\0\n".encode())
    assert warned(lambda: read_text(path), "2 NUL characters")=="one two\u2028three\x85four\n   \nfive, and some more\n"
    rows = "\ufefftext,n\none,1\n \u2028\x85,2\ntwo\u2028three,3\n,4\nfour,5\n"
    splits = warned(lambda: load_corpus(w.file("blank.csv", rows)), "blank.csv", "2 rows without text")
    assert sorted(both(splits))==["four", "one", "two\u2028three"]
    code, _, err = plm("tokenizer", "--corpus", path, "--kind", "byte-bpe", "--vocab-size", 270, "--out", w.folder/"nul")
    assert code==0 and "2 NUL characters" in err

def line_ends(w):
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["text,label", "the dog,a", "the cat,b", ""])
        assert read_table(w.file("ends.csv", text)).values.tolist()==[["the dog", "a"], ["the cat", "b"]]
        assert read_table(w.file("ends.tsv", text.replace(",", "\t"))).values.tolist()==[["the dog", "a"], ["the cat", "b"]]
        assert len(predict(w.run, w.file("ends.txt", text)))==3

def long_line(w):
    line = "the dog "*2_500_000 # 20 MB
    table = load_task(dict(train=w.file("long.csv", f"text,label\n{line},a\nx,b\n")))["train"]
    assert table["text"][0]==line and read_text(w.file("long.txt", line))==line
    assert sum(map(len, encode([line], w.tok)))==5_000_000
    code, out, err = plm("predict", w.file("long.txt", line[:1_000_000]), "--model", w.run)
    assert code==0 and "1 of 1 texts were cut at 128 tokens" in err
    with refused("max_length 9999", "at most 512"): predict(w.run, ["the dog"], max_length=9999)

def words_for_nothing(w):
    cells = ["NA", "null", "None", "nan", "NaN", "-", "1e3"]
    text = "text,label\n" + "".join(f"{cell},{'ab'[i%2]}\n" for i,cell in enumerate(cells))
    assert load_task(dict(train=w.file("na.csv", text)))["train"]["text"][:]==cells
    assert len(predict(w.run, w.file("na.csv", text)))==len(cells)

def labels_in_a_file(w):
    gaps = w.file("gaps.csv", "text,label\na,x\nb,\nc,y\nd, \n")
    with refused("gaps.csv", "row 2 has an empty label (2 rows do)"): load_task(gaps)
    shell_refuses("finetune", "--train", gaps, "--tokenizer", w.folder/"tok", "--out", w.folder/"g", words=["row 2", "empty label", "2 rows"])
    rows = load_task(dict(train=w.file("zero.csv", "text,label\na,01\nb,1\nc,1.0\n")))["train"]
    assert rows.features["label"].names==["01", "1", "1.0"]

def no_such_class(w):
    with refused("row 3 has the label 7", "0 (x), 1 (y)"): load_task(dict(train=dataset_of([0, 1, 7])))
    with refused("row 3 has the label -1"): load_task(dict(train=dataset_of([0, 1, -1])))

def unknown_class(w):
    some = dict(train=[("t", "positive"), ("u", "negative")], validation=[("v", "negative"), ("w", "positiv")])
    with refused("row 2 (of validation)", "'positiv'", "did you mean 'positive'", "negative, positive"): load_task(some)
    files = [w.file("known.csv", "text,label\nt,positive\nu,negative\n"), w.file("unknown.csv", "text,label\nv,positiv\n")]
    shell_refuses("finetune", "--train", files[0], "--validation", files[1], "--tokenizer", w.folder/"tok", "--out", w.folder/"u",
                  words=["unknown.csv: row 1", "did you mean 'positive'"])

def no_label(w):
    rows = [dict(text=f"t{i}", label=None if i>1 else "ab"[i]) for i in range(5)]
    for source in (rows, pd.DataFrame(rows), dataset_of([0, 1, None, None, None])):
        with refused("row 3 has an empty label (3 rows do)"): load_task(dict(train=source))
    shell_refuses("finetune", "--train", w.file("none.jsonl", "".join(json.dumps(row)+"\n" for row in rows)), "--tokenizer",
                  w.folder/"tok", "--out", w.folder/"n", words=["none.jsonl: row 3", "3 rows"])

def labels_by_name(w):
    "Names become numbers before any batch is made."
    task = TextClassification()
    rows, _ = task.encode(load_task(dict(train=ROWS), task=task)["train"], w.tok)
    assert padded(w.tok)([rows[i] for i in range(4)])["labels"].tolist()==[0, 1, 0, 1]

def numbers_or_classes(w):
    unclear = Dataset.from_dict(dict(text=["a", "b", "c"], label=[0., 1., 1.]))
    with refused("'label'", "0.0 and 1.0", "problem type", "regression"): load_task(dict(train=unclear))
    as_numbers = load_task(dict(train=unclear), task=TextClassification(problem_type="regression"))["train"]
    assert as_numbers.features["label"]==Value("float64")
    as_classes = load_task(dict(train=unclear), task=TextClassification(problem_type="single_label_classification"))["train"]
    assert as_classes.features["label"].names==["0", "1"]
    assert load_task(dict(train=[("a", 0.), ("b", 1.)]))["train"].features["label"].names==["0", "1"] # plain rows hold classes

def no_text(w):
    for text,kind in ((5, "int"), (2.5, "float"), (["a"], "list"), (b"a", "bytes")):
        with refused("row 2", "for its text", f"give a string, not {kind}"): load_task(dict(train=[("a", "x"), (text, "y")]))
        with refused("row 2", kind): train_tokenizer(["a", text])
    with refused("row 2 has an empty text"): load_task(dict(train=[("a", "x"), (float("nan"), "y")]))
    with refused("row 2 has half of a character"): load_task(dict(train=[("a", "x"), ("\ud83d", "y")]))
    for f in (train_tokenizer, lambda texts: list(encode(texts, w.tok)), lambda texts: text_nats(w.writer, w.tok, texts)):
        with refused("row 2", "half of a character"): f(["a", "\ud83d"])
    half = w.file("half.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n')
    shell_refuses("predict", half, "--model", w.run, words=["half.jsonl: line 2", "half of a character"])

def special_strings(w):
    text = "a [MASK] of [CLS] [SEP] the dog [PAD]"
    for kind in KINDS:
        tok = train_tokenizer([text, "the dog and the cat"]*9, kind, 280)
        [ids] = encode([text], tok)
        assert not set(ids)&{tok.mask_token_id, tok.cls_token_id, tok.sep_token_id, tok.pad_token_id}
        assert tok(text)["input_ids"].count(tok.mask_token_id)==0
        assert report(tok, [text, "no mark"])["special_strings"]==4
    corpus = w.file("marks.txt", (text+"\n")*60)
    said = found("tokenizer", "--corpus", corpus, "--kind", "byte-bpe", "--vocab-size", 280, "--out", w.folder/"marks")
    assert said["special_strings"]>=4*5 # the last tenth of the lines

def unseen_characters(w):
    family = "👨\u200d👩\u200d👧"
    for kind in KINDS:
        tok = train_tokenizer(["the dog and the cat"]*9, kind, 280)
        rate = report(tok, [f"the {family} dog 🦜"])["unknown_rate"]
        assert rate==0 if kind=="byte-bpe" else rate>0
    said = found("tokenizer", "--corpus", w.file("emoji.txt", "the dog and the cat\n"*99+f"{family} 🦜 🐙 字\n"), "--holdout", "tail:0.05",
                 "--vocab-size", 60, "--out", w.folder/"emoji")
    assert said["unknown_rate"]>0

def nothing_to_learn_words_from(w):
    for kind in KINDS:
        for texts in ([], ["", " \n"]):
            with refused("no text", "give at least one"): train_tokenizer(texts, kind)
        with refused("vocab_size 6", "needs at least", "5 special tokens"): train_tokenizer(["the dog and the cat"], kind, 6)
    for size in (0, -3, 2.5):
        with refused("vocab_size"): train_tokenizer(["a text"], "bpe", size)
    shell_refuses("tokenizer", "--corpus", w.file("few.txt", "the dog and the cat"), "--vocab-size", 3, "--out", w.folder/"few", words=["vocab_size 3"])

def too_long(w):
    with refused("max_length 600", "at most 512 tokens", "up to 512"): check_length(load(w.run, "text-classification"), 600)
    with refused("600", "512"):
        finetune(dict(train=ROWS), w.folder/"long", TextClassification(600), tokenizer=w.tok, args=FinetuningArguments(**TINY))
    assert not (w.folder/"long").exists()
    shell_refuses("predict", w.file("one.txt", "the dog"), "--model", w.run, "--max-length", 600, words=["max_length 600", "512"])

def other_words(w):
    large = train_tokenizer([" ".join(chr(0x4e00+i) for i in range(900))], "char", 2000)
    large.save_pretrained(w.folder/"large")
    with refused(f"embeds {len(w.tok)} tokens", f"the tokenizer has {len(large)}"): load(w.run, "text-classification", tokenizer=large)
    with refused("tokenizer"): finetune(dict(train=ROWS), w.folder/"other", model=w.run, tokenizer=large, args=FinetuningArguments(epochs=1))
    assert not (w.folder/"other").exists()

def other_classes(w):
    rows = [("x", "a"), ("y", "b"), ("z", "c")]
    with refused("'c'", "a, b"): evaluate(w.run, dict(validation=rows), "validation")
    three = w.file("three.csv", "text,label\nx,a\ny,b\nz,c\n")
    shell_refuses("evaluate", "--model", w.run, "--test", three, words=["'c'", "a, b"])
    more = finetune(dict(train=rows*4, validation=rows), w.folder/"three", model=w.run, args=FinetuningArguments(epochs=.1))
    assert load(more.path, "text-classification").config.num_labels==3 # a head of its own, that is learned

def few_tags(w):
    with refused("row 1 has 2 words and 1 tags"): load_task(dict(train=[dict(words=["a", "b"], tags=["O"])]), task="token-classification")
    with refused("line 2", "columns"): load_task(dict(train=w.file("few.conll", "Ada B-x\nran\n")), task="token-classification")

def many_tags(w):
    with refused("row 2 has 1 words and 2 tags"):
        load_task(dict(train=[dict(words=["a"], tags=["O"]), dict(words=["a"], tags=["O", "O"])]), task="token-classification")
    shell_refuses("finetune", "--task", "token-classification", "--train", w.file("many.conll", "Ada B-x\nran O O\n"), "--tokenizer",
                  w.folder/"tok", "--out", w.folder/"m", words=["many.conll: line"])

def empty_word(w):
    with refused("row 1 has an empty words 2"):
        load_task(dict(train=[dict(words=["a", "", "c"], tags=["O"]*3)]), task="token-classification")
    with refused("line 1", "word ''"): load_task(dict(train=w.file("empty.conll", "\tB-x\nran\tO\n")), task="token-classification")

def more_than_there_is(w):
    with refused("drop_last", "12"): w.learn(dict(train=ROWS), out="drop", settings=dict(dataloader_drop_last=True))
    assert not (w.folder/"drop").exists()

def no_rows(w):
    for source in ([], Dataset.from_dict(dict(text=[], label=[])), pd.DataFrame(dict(text=[], label=[])), w.file("head.csv", "text,label\n")):
        with refused("no row"): load_task(source)
        with refused("no row"): load_task(dict(train=ROWS, validation=source))
    shell_refuses("finetune", "--train", w.folder/"head.csv", "--tokenizer", w.folder/"tok", "--out", w.folder/"h", words=["no row"])

def nothing_to_score(w):
    for rows in (Dataset.from_dict(dict(text=["a", "b"])), [dict(text="a", label=None)]):
        with refused("label"): evaluate(w.run, dict(validation=rows), "validation")
    hidden = dataset_of([-1, -1], names="ab")
    with warnings.catch_warnings(action="ignore"), refused("no split with answers"): evaluate(w.run, dict(validation=hidden), "validation")
    shell_refuses("evaluate", "--model", w.run, "--test", w.file("bare.csv", "text\na\n"), words=["bare.csv", "no column 'label'"])

def one_class(w):
    with refused("every label is 'a'", "at least two classes"): w.learn(dict(train=[("x", "a")]*9), out="single")
    with refused("every label is 'x'"): w.learn(dict(train=dataset_of([0]*9)), out="single")
    assert not (w.folder/"single").exists()

def odd_lengths(w):
    for n in (6, 7):
        batch = PermutationLM(w.tok)([dict(input_ids=[2, *range(5, 3+n), 3])]*2)
        assert batch["input_ids"].shape==(2, n) and batch["perm_mask"].shape==(2, n, n)
    texts = dict(train=[dict(id="a", text="the dog and the cat "*40)], validation=[dict(id="b", text="the cat and the dog "*20)])
    corpus = DatasetDict({split: Dataset.from_list(rows) for split,rows in texts.items()})
    args = PretrainingArguments(objective="permutation", size="tiny", steps=1, block_size=7, batch_size=2)
    assert pretrain(corpus, w.tok, w.folder/"odd", args).done

def one_label_of_two(w):
    model = build("tiny", w.tok, "pretraining")
    rows = [dict(input_ids=torch.tensor([2, 5, 3]), labels=torch.tensor([-100, 5, -100]))]*4
    with refused("next_sentence_label"):
        Trainer(model, arguments(str(w.folder/"both"), steps=1), train_dataset=rows).train()

def answers_elsewhere(w):
    def asked(i, answer, **more): return dict(id=f"q{i}", question="who?", context="Ada ran", answers=answer, **more)
    bob = dict(text=["Bob"], answer_start=[0])
    ada = dict(text=["Ada"], answer_start=[0])
    with refused("question q1", "'Bob' is not at 0", "2 questions"):
        load_task(dict(train=[asked(0, ada), asked(1, bob), asked(2, bob)]), task="question-answering")
    none = dict(text=[], answer_start=[])
    assert len(load_task(dict(train=[asked(0, ada), asked(1, none)]), task="question-answering")["train"])==2
    told = warned(lambda: load_task(dict(train=[asked(0, ada), asked(1, dict(text=["Bob"], answer_start=[-1]))]), task="question-answering"),
                  "1 answers stand nowhere")
    assert told["train"]["answers"][1]==dict(text=["Bob"], answer_start=[-1])

def nothing_predicted(w):
    for zero in (0, 1):
        assert scores([0, 1], [0, 0], "binary", zero_division=zero)["precision"]==zero
    assert scores([0, 1], [0, 0], "binary")["matthews"]==0
    table = by_class([0, 1, 1], [0, 0, 0], ["no", "yes"])
    assert table.support.tolist()[:2]==[1, 2] and table.precision["yes"]==0
    with refused("no rows to score"): scores([], [])
    with refused("labels", "class id"): scores(["a"], ["b"])
    with refused("zero_division"): scores([0, 1], [0, 0], zero_division=.5)

def nothing_to_read(w):
    assert len(token_nats(w.writer, [7]))==1
    with refused("no tokens", "at least one"): token_nats(w.writer, [])
    for texts in ([""], ["", " "], "  "):
        with refused("no text"): score_text(w.writer, w.tok, texts)
    texts = ["", "the", "the dog"]
    with warnings.catch_warnings(action="ignore"): whole = score_text(w.writer, w.tok, texts)
    assert np.isfinite(whole["perplexity"]) and whole["words"]==3
    path = w.file("lines.txt", "\nthe\nthe dog\n")
    code, out, _ = plm("score", path, "--model", w.folder/"writer", "--jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code==0 and len(rows)==3
    assert [row["perplexity"] is None for row in rows]==[True, False, False] and [row["bytes"] for row in rows]==[0, 3, 7]

def nothing_written(w):
    for references,predictions in (([["a b"]], [""]), ([[""]], ["a b"]), ([[""]], [""])):
        assert bleu(references, predictions)["bleu"]==0
    with refused("row 0 has no reference"): bleu([[]], ["a"])
    with refused("no rows"): bleu([], [])
    with pytest.warns(UserWarning, match="1 of 2 predictions are empty"): bleu([["a b"], ["c"]], ["", "c"])

def known_before(w):
    shares = contamination(["The dog.", "a cat"], ["the  DOG.", "a cat", "new"])
    assert (shares["exact"], shares["normalized"])==pytest.approx((1/3, 2/3))
    assert overlap(["The dog."], ["the  dog."])[["exact", "normalized"]].values.tolist()==[[False, True]]
    splits = load_task([(f"the dog number {i}", "ab"[i%2]) for i in range(60)]*2) # copies stay on one side
    assert contamination(splits["train"]["text"], splits["validation"]["text"])["normalized"]==0

TABLE = { # the kind of input, and the function that tries it
    "empty file, latin-1, UTF-16": another_encoding, "white space, NUL, U+2028, BOM": no_letters, "CRLF and lone CR": line_ends,
    "20 MB single line": long_line, "cells NA, null, None": words_for_nothing, "empty label, 01 and 1": labels_in_a_file,
    "label out of range": no_such_class, "unknown label": unknown_class, "None label": no_label, "string label in collator": labels_by_name,
    "labels 0/1 as float": numbers_or_classes, "lone surrogate, int, NaN": no_text, "special strings in text": special_strings,
    "ZWJ emoji, unseen": unseen_characters, "empty corpus, small vocabulary": nothing_to_learn_words_from, "longer than positions": too_long,
    "tokenizer larger than model": other_words, "other number of labels": other_classes, "fewer tags than words": few_tags,
    "more tags than words": many_tags, "empty word": empty_word, "drop_last, batch larger than data": more_than_there_is,
    "empty data set": no_rows, "unlabelled evaluation": nothing_to_score, "single class": one_class, "odd length, permutation": odd_lengths,
    "pre-training with labels only": one_label_of_two, "answer not in context": answers_elsewhere, "no predicted positives": nothing_predicted,
    "empty text, perplexity": nothing_to_read, "empty reference or prediction": nothing_written, "leaked training rows": known_before}

NOT_YET = {} # what is missing, and the room that would have to change

def as_parameter(row):
    "The parameter of a `row`; one that is not held yet must fail, so that whoever mends it takes it off the list."
    marks = [pytest.mark.xfail(strict=True, reason=NOT_YET[row])] if row in NOT_YET else []
    return pytest.param(TABLE[row], marks=marks, id=row)

@pytest.mark.parametrize("attempt", [as_parameter(row) for row in TABLE])
def test_bad_input(world, attempt): attempt(world)
