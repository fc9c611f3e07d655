"Files that nobody prepared; each test is skipped where its file is absent."
import gzip, json, os
from pathlib import Path
import pytest
from datasets import Dataset, DatasetDict
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification
from plm_nb.cli import main
from plm_nb.data import load_corpus
from plm_nb.files import read_table
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.pipelines import predict
from plm_nb.objectives import OBJECTIVES
from plm_nb.ngram_runs import count_ngrams
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.tasks import load_task
from plm_nb.tokenizer import train_tokenizer

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[2]/"shared"/"data")

def real(name):
    "The path of a file of real data, or a reason to skip."
    if not (DATA/name).is_file(): pytest.skip(f"no {name} here; PLM_DATA may name the folder that holds it")
    return str(DATA/name)

@pytest.fixture(scope="module")
def plays(): return real("tinyshakespeare/input.txt")

@pytest.fixture(scope="module")
def tok(plays, tmp_path_factory):
    "A tokenizer trained on the plays by the command line."
    out = str(tmp_path_factory.mktemp("tok"))
    assert main(["tokenizer", "--corpus", plays, "--vocab-size", "2000", "--out", out])==0
    return out

def answer(capsys, out, *args):
    "What a command with a tiny model prints as JSON."
    capsys.readouterr()
    assert main([*args, "--size", "tiny", "--out", str(out), "--json"])==0
    return json.loads(capsys.readouterr().out)

def test_pretrain_on_plays(plays, tok, tmp_path, capsys):
    "The text is one document, byte for byte; twenty steps lower the loss; the run verifies and opens."
    corpus = load_corpus(plays)
    assert "".join(corpus[split]["text"][0] for split in corpus).encode()==Path(plays).read_bytes()
    found = answer(capsys, tmp_path, "pretrain", "--corpus", plays, "--tokenizer", tok, "--steps", "20")
    assert found["train"]["steps"]==20 and found["train"]["loss"]<found["train"]["loss_first"]
    assert found["heldout"]["nats_per_token"]<8
    assert main(["verify", str(tmp_path)])==0
    AutoModelForMaskedLM.from_pretrained(tmp_path)

def test_finetune_on_cola(tok, tmp_path, capsys):
    "A table without a header, with quotes of all kinds, by the numbers of its columns."
    table = real("cola/in_domain_train.tsv")
    found = answer(capsys, tmp_path, "finetune", "--data", table, "--text", "3", "--label", "1", "--tokenizer", tok,
                   "--epochs", "1", "--labels-per-class", "100")
    for split in ("validation", "test"):
        assert found[split]["n"]>700 and {"accuracy", "precision", "recall", "f1", "matthews"}<=found[split].keys()
    assert main(["verify", str(tmp_path)])==0
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).config.label2id=={"0": 0, "1": 1}

def test_rows_of_cola_are_all_read():
    "As many rows as lines: no quotation mark swallows a line end."
    table = real("cola/in_domain_train.tsv")
    assert len(read_table(table, header=False))==Path(table).read_bytes().count(b"\n")

@pytest.fixture(scope="module")
def chinese():
    "The Chinese side of a translated manual, sixteen paragraphs a document, and characters to read it with."
    with gzip.open(real("pydocs_zh/python_docs_3.13.en-zh.jsonl.gz"), "rt", encoding="utf-8") as f: rows = [json.loads(l) for l in f]
    texts = [r["zh"] for r in rows if len(r["zh"])>20]
    texts = ["\n".join(texts[i:i+16]) for i in range(0, 16*130, 16)]
    splits = dict(train=texts[:120], validation=texts[120:])
    corpus = DatasetDict({split: Dataset.from_dict(dict(text=t)) for split,t in splits.items()})
    return corpus, train_tokenizer(corpus["train"]["text"], "wordpiece", 3000)

@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_chinese(chinese, tmp_path, objective):
    "Held-out loss below that of the untrained model and below that of token frequencies."
    corpus, tokenizer = chinese
    args = PretrainingArguments(objective, size="tiny", block_size=64, steps=150, learning_rate=3e-3)
    run = pretrain(corpus, tokenizer, tmp_path/"run", args).record
    held = run["results"]["validation"]["loss"]
    counted = count_ngrams(corpus, tokenizer, tmp_path/"counted", order=1).record["results"]["validation"]["loss"]
    assert held<run["training"]["loss_first"]-.2 and held<counted, (held, counted)

CHINESE = {"token-classification": ("weibo_ner/weiboNER_2nd_conll.train", 50, "words"),
           "question-answering": ("cmrc2018/cmrc2018_trial.json", 15, "context")}

@pytest.mark.parametrize("kind", CHINESE)
def test_chinese_by_heart(kind, tmp_path):
    "A model of random weights with our own tokenizer learns raw Chinese text, and its answers are slices of that text."
    name, n, column = CHINESE[kind]
    rows = load_task(dict(train=real(name)), task=kind)["train"].select(range(n))
    texts = ["".join(t) for t in rows[column]]
    tokenizer = train_tokenizer(texts, "wordpiece", 3000)
    args = FinetuningArguments(size="tiny", epochs=25, batch_size=4, learning_rate=2e-3)
    run = finetune(DatasetDict(train=rows, test=rows), tmp_path/"run", kind, tokenizer=tokenizer, args=args)
    assert run.record["results"]["test"]["f1"]>.5
    asked = [dict(context=t, question=q) for t,q in zip(texts, rows["question"])] if column=="context" else texts
    found = predict(run.path, asked[:10])
    spans = [(t, s) for t,f in zip(texts, found) for s in f.get("spans", [f])]
    assert spans and all(t[s["start"]:s["end"]]==(s.get("text") or s["answer"]) for t,s in spans)
