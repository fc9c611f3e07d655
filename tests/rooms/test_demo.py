"The walk from text to report: sentences with a blank, figures, and a page that runs nothing."
import html, re
import pandas as pd
import pytest
from datasets import DatasetDict
from plm_nb.data import load_corpus
from plm_nb.files import InputError
from plm_nb.demo import Stages, _gain, cloze_sentences, demo, page
from plm_nb.pipelines import verify
from plm_nb.tasks import load_task
from plm_nb.tokenizer import train_tokenizer

@pytest.fixture(scope="module")
def docs(): return load_corpus("docs")

@pytest.fixture(scope="module")
def tok(docs): return train_tokenizer(docs["train"]["text"][:500], "wordpiece", 1000)

@pytest.mark.parametrize("seed", range(5))
def test_a_blank_stands_for_a_known_word(docs, tok, seed):
    "Each sentence has one blank, 8 to 16 words, and with its word stands in a document; a seed draws the same again."
    texts = docs["test"]["text"][:500]
    found = cloze_sentences(texts, tok, n=6, seed=seed)
    assert len(found)==6 and found==cloze_sentences(texts, tok, n=6, seed=seed)
    for sentence,word in found:
        assert sentence.count("___")==1 and 8<=len(sentence.split())<=16 and word in tok.get_vocab()
        assert any(sentence.replace("___", word) in text for text in texts)

def test_other_seeds_draw_other_sentences(docs, tok):
    texts = docs["test"]["text"][:500]
    assert cloze_sentences(texts, tok, n=6, seed=0)!=cloze_sentences(texts, tok, n=6, seed=1)

def test_texts_without_a_sentence_give_none(tok):
    assert cloze_sentences(["Too short.", "", "A B C D E F G H I J."], tok)==[]

def test_a_page_runs_nothing():
    "Whatever stands in title, text, table, picture or foot is shown as it is."
    evil = "<img src=x onerror=alert(1)>\"'&"
    part = dict(title=evil, text=evil, image="AAAA", alt=evil, columns=[evil], rows=[[evil], [1]])
    made = page([part], evil, evil)
    assert made.count("<img")==1 and html.escape(evil, quote=False)[:20] in made
    assert re.findall(r'<td class="n">(.*?)</td>', made)==["1"]

def test_stages_are_told_and_timed():
    told = []
    stage = Stages(told.append)
    for name in ("one", "two"): stage(name)
    stage.close()
    assert told==["one …", "two …"] and list(stage.seconds)==["one", "two"] and stage.total>=0
    stage.close()
    assert list(stage.seconds)==["one", "two"]

def test_the_gain_is_taken_draw_by_draw():
    "Rows with other numbers of labels, and other methods, do not count."
    f1 = {("pretrained", 0): .6, ("pretrained", 1): .5, ("random start", 0): .2, ("random start", 1): .4, ("TF-IDF", 0): .9}
    rows = [dict(method=m, seed=s, labels=9, f1=x) for (m,s),x in f1.items()]
    rows += [dict(method=m, seed=s, labels=3, f1=0.) for m,s in f1]
    gain = _gain(pd.DataFrame(rows), 9)
    assert gain==pytest.approx(dict(mean=.25, low=.1, high=.4))

def test_a_folder_in_use_is_refused(tmp_path):
    "Before anything is read or trained."
    (tmp_path/"run.json").write_text("{}")
    told = []
    with pytest.raises(InputError): demo(tmp_path, say=told.append)
    assert told==[] and [p.name for p in tmp_path.iterdir()]==["run.json"]

def test_the_walk(docs, tmp_path):
    "A sprint leaves three runs that verify, the agreed keys, and a page in seven parts."
    rows = load_task("docs-package")
    sizes = dict(train=300, validation=50, test=50)
    few = DatasetDict({split: docs[split].select(range(n)) for split,n in sizes.items()})
    short = DatasetDict(train=rows["train"], test=rows["test"].select(range(0, 1500, 50)))
    found = demo(tmp_path/"demo", few, short, minutes=.01, labels=(2,), seeds=1)
    assert {"corpus", "tokenizer", "ngram", "mlm", "classifier", "scratch", "tfidf", "seconds", "report"}<={*found}
    assert found["corpus"]["bytes"]==sum(len(t.encode()) for split in few.values() for t in split["text"])
    assert set(found["classifier"])=={"accuracy", "precision", "recall", "f1", "f1_low", "f1_high"}
    for run in ("ngram", "mlm", "classifier"): assert verify(tmp_path/"demo"/run)["ok"], run
    text = (tmp_path/"demo"/"report.html").read_text(encoding="utf-8")
    assert text.count("<h2>")==7 and text.count("<img alt=")==3 and "<script" not in text
