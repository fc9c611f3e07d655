"What somebody who had never seen this project typed: each is one kind of input that was answered wrongly, or not at all."
import json, os, subprocess, sys
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from transformers import BertConfig, BertForSequenceClassification
from plm_nb import FinetuningArguments, finetune, generate, load_task, predict, train_tokenizer
from plm_nb.cli import main
from plm_nb.files import InputError
from plm_nb.models import load
from plm_nb.tokenizer import load_tokenizer
from typed import found, plm

ROWS = [(f"the {['cat', 'dog'][i%2]} number {i} is {['bad', 'good'][i%2]}", ["bad", "good"][i%2]) for i in range(60)]

@pytest.fixture(scope="module")
def tok(): return train_tokenizer([text for text,_ in ROWS]*9, "wordpiece", 120)

@pytest.fixture(scope="module")
def run(tok, tmp_path_factory):
    "A classifier that was trained on columns with names of their own, in another encoding."
    d = tmp_path_factory.mktemp("strangers")
    frame = pd.DataFrame(ROWS, columns=["review", "stars"])
    frame.to_csv(d/"rows.csv", index=False, encoding="latin-1")
    tok.save_pretrained(d/"tok")
    found("finetune", "--data", d/"rows.csv", "--text", "review", "--label", "stars", "--encoding", "latin-1",
          "--tokenizer", d/"tok", "--size", "tiny", "--epochs", .5, "--out", d/"run")
    return d/"run"

def test_output_without_a_buffer_is_whole(run, tmp_path):
    "Python writes past a full disk in silence where its output has no buffer; we do not."
    (tmp_path/"many.txt").write_text("the good dog\n"*3000)
    code = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from plm_nb.cli import main; sys.exit(main(sys.argv[1:]))")
    with open(tmp_path/"out.jsonl", "wb") as out:
        done = subprocess.run([sys.executable, "-c", code, "predict", str(tmp_path/"many.txt"), "--model", str(run)], stdout=out,
                              stderr=subprocess.PIPE, env=dict(os.environ, PYTHONUNBUFFERED="1"), timeout=200)
    assert done.returncode==2 and b"disk" in done.stderr, done

def test_one_output_is_a_number(tok, tmp_path):
    "A model of plain transformers with one output and no type is a regression, at both doors."
    tok.save_pretrained(tmp_path/"reg")
    config = BertConfig(vocab_size=len(tok), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(tmp_path/"reg")
    assert set(predict(tmp_path/"reg", ["the cat"])[0])=={"text", "score"}
    (tmp_path/"reg.jsonl").write_text("".join(json.dumps(dict(text=f"the cat {i}", label=i/2))+"\n" for i in range(9)))
    assert "pearson" in found("evaluate", "--model", tmp_path/"reg", "--test", tmp_path/"reg.jsonl")["test"]

def test_cut_texts_are_counted(run, tmp_path):
    (tmp_path/"long.txt").write_text(("the dog "*200+"\n")*3 + "the dog\n")
    code, _, err = plm("predict", tmp_path/"long.txt", "--model", run)
    assert code==0 and "3 of 4 texts were cut at 128 tokens" in err

def test_one_dict_is_no_list(run):
    with pytest.raises(InputError, match="one dict"): predict(run, dict(text="a"))

def test_two_columns_of_one_name():
    frame = pd.DataFrame([("a", "b", "x")], columns=["text", "text", "label"])
    with pytest.raises(InputError, match="two columns are called 'text'"): load_task(frame)

def test_two_files_and_no_split(run, tmp_path):
    (tmp_path/"a.csv").write_text("review,stars\nthe dog,good\n")
    files = "--validation", tmp_path/"a.csv", "--test", tmp_path/"a.csv"
    code, _, err = plm("evaluate", "--model", run, *files)
    assert code==2 and "--split is missing" in err
    assert "test" in found("evaluate", "--model", run, *files, "--split", "test")

def test_a_name_twice_in_an_object(tmp_path):
    (tmp_path/"a.jsonl").write_text('{"text": "great", "text": "awful", "label": "x"}\n')
    with pytest.raises(InputError, match="line 1 has one name twice"): load_task(dict(train=tmp_path/"a.jsonl"))

def test_a_look_at_the_test_does_not_hinder_a_resume(run):
    d = run.parent
    found("evaluate", "--model", run, "--test", d/"rows.csv")
    code, _, err = plm("finetune", "--data", d/"rows.csv", "--text", "review", "--label", "stars", "--encoding", "latin-1",
                       "--tokenizer", d/"tok", "--size", "tiny", "--epochs", .5, "--out", run, "--resume")
    assert code==0 and "finished" in err, err

def test_columns_are_remembered_at_every_door(run, tmp_path):
    "JSON lines, a list of dicts, a Dataset, CSV: what was called `review` in training is the text, and is kept."
    rows = [dict(review="the good dog", id=7)]
    (tmp_path/"a.jsonl").write_text(json.dumps(rows[0])+"\n")
    (tmp_path/"a.csv").write_text("review,id\nthe good dog,7\n")
    for source in (rows, Dataset.from_list(rows), tmp_path/"a.jsonl", tmp_path/"a.csv", pd.DataFrame(rows)):
        [said] = predict(run, source)
        assert said["review"]=="the good dog" and "label" in said, source
    (tmp_path/"latin.txt").write_bytes("the caf\xe9\n".encode("latin-1"))
    assert predict(run, tmp_path/"latin.txt")[0]["text"]=="the café" # read as in training

def test_more_beams_than_tokens(tok):
    from plm_nb.models import build
    with pytest.raises(InputError, match="num_beams 99999"): generate(build("tiny", tok, "text-generation", "gpt2"), tok, ["the"], num_beams=99999)

def test_numbers_of_numpy(tok, tmp_path):
    args = FinetuningArguments(size="tiny", batch_size=np.int64(8), epochs=np.float32(.5))
    assert finetune(ROWS, tmp_path/"run", tokenizer=tok, args=args).done

@pytest.mark.parametrize("wrong", [dict(seed=10**20), dict(seed="0"), dict(seed=1.0), dict(seed=-1), dict(weight_decay=None), dict(trainable=None),
                                   dict(trainable=5), dict(trainable="last-0")], ids=str)
def test_arguments_that_are_none(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))): FinetuningArguments(**wrong)

def test_more_layers_than_there_are(tok, tmp_path):
    args = FinetuningArguments(size="tiny", epochs=.1, trainable="last-99")
    with pytest.raises(InputError, match="layers"): finetune(ROWS, tmp_path/"run", tokenizer=tok, args=args)
    assert not (tmp_path/"run").exists()

def test_hidden_answers_in_lists():
    features = Features(words=List(Value("string")), tags=List(ClassLabel(names=["O", "B-x"])))
    rows = Dataset.from_dict(dict(words=[["a"], ["b"]], tags=[[1], [-1]]), features=features)
    with pytest.raises(InputError, match="row 2 has the label -1"): load_task(dict(train=rows), task="token-classification")

def test_an_endless_vocabulary():
    with pytest.raises(InputError, match="at most"): train_tokenizer(["a text"], "unigram", 10**12)

def test_a_loss_that_is_no_number(tmp_path, run):
    (tmp_path/"text.txt").write_text("\n".join(text for text,_ in ROWS))
    code, _, err = plm("pretrain", "--corpus", tmp_path/"text.txt", "--tokenizer", run.parent/"tok", "--size", "tiny", "--steps", 1,
                       "--block-size", 16, "--learning-rate", 1e9, "--out", tmp_path/"run")
    assert code==2 and ("nan" in err or "inf" in err or "finite" in err), err
