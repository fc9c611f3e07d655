"A run carries its settings: whoever scores it, asks it or goes on with it reads them, and what contradicts them is refused."
import json, random
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from plm_nb import evaluate, finetune, load_task, predict
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments
from typed import found, plm

WORDS = dict(bad="cold dark sad wet grey".split(), good="warm bright glad dry green".split())

def sentence(rng, label): return f"the {rng.choice(WORDS[label])} dog sees the {rng.choice(['cat', 'tree', 'house'])}"

def rows(n, seed=0):
    "`n` texts and labels, the two labels in turn."
    rng = random.Random(seed)
    labels = [sorted(WORDS)[i%2] for i in range(n)]
    return [(f"{i} {sentence(rng, label)}", label) for i,label in enumerate(labels)]

def write(path, lines): path.write_text("".join(json.dumps(line)+"\n" for line in lines), encoding="utf-8")

@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "Files, a tokenizer and a model of two steps."
    d = tmp_path_factory.mktemp("remember")
    (d/"corpus.txt").write_text("\n".join(text for text,_ in rows(400)))
    write(d/"rows.jsonl", [dict(text=text, label=label) for text,label in rows(80)])
    rng = random.Random(1)
    filler = " ".join("the dog sees the tree".split()*12)
    write(d/"long.jsonl", [dict(text=f"{i} {filler} {rng.choice(WORDS[label])*1} {rng.choice(WORDS[label])}", label=label)
                           for i,label in ((i, sorted(WORDS)[i%2]) for i in range(80))])
    write(d/"pairs.jsonl", [dict(a=f"the {label} dog {i}", b=f"a {label} day", label=label)
                            for i,label in ((i, sorted(WORDS)[i%2]) for i in range(80))])
    (d/"tags.conll").write_text("".join(f"Ada B-x\nruns O\nhome{i} O\n\n" for i in range(60)))
    found("tokenizer", "--corpus", d/"corpus.txt", "--vocab-size", 120, "--out", d/"tok")
    found("pretrain", "--corpus", d/"corpus.txt", "--tokenizer", d/"tok", "--size", "tiny", "--steps", 2, "--block-size", 16,
          "--out", d/"mlm")
    return d

LITTLE = "--epochs", .3

def test_the_length_is_remembered(here):
    "What decides stands behind token 60: with 16 tokens a model sees nothing, and nobody has to type 256 again."
    run = found("finetune", "--data", here/"long.jsonl", "--model", here/"mlm", "--epochs", 6, "--max-length", 256,
                "--out", here/"long")
    again = found("evaluate", "--model", here/"long", "--data", here/"long.jsonl")
    assert again["validation"]["accuracy"]==run["validation"]["accuracy"]
    assert evaluate(here/"long", here/"long.jsonl")["accuracy"]==run["validation"]["accuracy"]
    texts = [json.loads(line)["text"] for line in (here/"long.jsonl").read_text().splitlines()][:8]
    typed = predict(here/"long", texts, max_length=256)
    assert predict(here/"long", texts)==typed!=predict(here/"long", texts, max_length=16)

def test_pairs_are_remembered(here, tmp_path):
    "Half of a pair is not scored, from no door."
    columns = "--text", "a", "--text2", "b", "--label", "label"
    found("finetune", "--data", here/"pairs.jsonl", *columns, "--model", here/"mlm", *LITTLE, "--out", here/"pairs")
    scored = found("evaluate", "--model", here/"pairs", "--data", here/"pairs.jsonl") # its own columns
    assert scored==found("evaluate", "--model", here/"pairs", "--data", here/"pairs.jsonl", *columns)
    (tmp_path/"new.txt").write_text("the dog\n")
    code, out, err = plm("predict", tmp_path/"new.txt", "--model", here/"pairs")
    assert (code, out)==(2, "") and "line 1" in err and "text2 is missing" in err
    with pytest.raises(InputError, match="no column 'text2'"):
        evaluate(here/"pairs", DatasetDict(validation=Dataset.from_dict(dict(text=["a"], label=["bad"]))))
    write(tmp_path/"new.jsonl", [dict(text="the bad dog", text2="a bad day")])
    assert plm("predict", tmp_path/"new.jsonl", "--model", here/"pairs")[0]==0

@pytest.fixture(scope="module")
def single(here):
    "A classifier of single texts."
    found("finetune", "--data", here/"rows.jsonl", "--model", here/"mlm", *LITTLE, "--out", here/"single")
    return here/"single"

def test_a_second_text_for_a_model_of_single_ones(here, single, tmp_path):
    write(tmp_path/"new.jsonl", [dict(text="the bad dog", text2="a bad day")])
    code, _, err = plm("predict", tmp_path/"new.jsonl", "--model", single)
    assert code==2 and "text2" in err and "single texts" in err
    code, _, err = plm("evaluate", "--model", single, "--data", here/"pairs.jsonl", "--text", "a", "--text2", "b")
    assert code==2 and "single texts" in err

@pytest.mark.parametrize("change", ["--task token-classification --data {d}/tags.conll", "--epochs 3", "--max-length 32",
                                    "--seed 1", "--data {d}/long.jsonl"])
def test_a_finished_run_is_resumed_as_itself(here, single, change):
    "Another task, budget, length, seed or data: refused with the difference; with the same, a line says that it is done."
    same = ["finetune", "--data", here/"rows.jsonl", "--model", here/"mlm", *LITTLE, "--out", single, "--resume"]
    code, out, err = plm(*same, "--json")
    assert code==0 and "finished" in err and json.loads(out)["validation"]
    code, _, err = plm(*same, *change.format(d=here).split())
    assert code==2 and "begun with" in err, err

@pytest.mark.parametrize("change", ["--objective clm --arch gpt2", "--steps 9", "--corpus {d}/rows.jsonl", "--block-size 8"])
def test_a_finished_pretraining_is_resumed_as_itself(here, change):
    same = ["pretrain", "--corpus", here/"corpus.txt", "--tokenizer", here/"tok", "--size", "tiny", "--steps", 2,
            "--block-size", 16, "--out", here/"mlm", "--resume"]
    assert plm(*same)[0]==0
    code, _, err = plm(*same, *change.format(d=here).split())
    assert code==2 and "begun with" in err, err

def test_somebody_elses_test_file(here, single, tmp_path):
    "A file of its own needs no training rows, may hold one class, and is scored whole."
    write(tmp_path/"mine.jsonl", [dict(text=text, label="bad") for text,_ in rows(9, 5)])
    scored = found("evaluate", "--model", single, "--test", tmp_path/"mine.jsonl")
    assert scored["test"]["n"]==9
    assert evaluate(single, dict(test=tmp_path/"mine.jsonl"), "test")["n"]==9
    write(tmp_path/"other.jsonl", [dict(text="a", label="ugly")])
    code, _, err = plm("evaluate", "--model", single, "--validation", tmp_path/"other.jsonl")
    assert code==2 and "ugly" in err and "bad, good" in err

@pytest.mark.parametrize("task", ["token-classification", "question-answering"])
def test_another_task_than_that_of_the_run(here, single, task):
    code, _, err = plm("evaluate", "--model", single, "--task", task, "--data", here/"rows.jsonl")
    assert code==2 and "was trained for text-classification" in err

def test_options_without_effect(here, single, tmp_path):
    "Whatever would be dropped is refused."
    out = "--out", tmp_path/"no"
    start = ["finetune", "--data", here/"rows.jsonl", "--model", here/"mlm", *out]
    found("tokenizer", "--corpus", here/"rows.jsonl", "--vocab-size", 90, "--out", tmp_path/"other")
    for more,words in ((["--size", "tiny"], "size of its own"), (["--tokenizer", tmp_path/"other"], "another tokenizer"),
                       (["--arch", "bart"], "arch"), (["--problem-type", "sometimes"], "problem type")):
        code, _, err = plm(*start, *more)
        assert code==2 and words in err, err
    count = ["pretrain", "--corpus", here/"corpus.txt", "--tokenizer", "char", "--arch", "ngram", *out]
    for more in ("--learning-rate .5", "--batch-size 3", "--size base", "--block-size 7", "--mlm-probability .2"):
        code, _, err = plm(*count, *more.split())
        assert code==2 and more.split()[0] in err, err
    code, _, err = plm("finetune", "--task", "question-answering", "--data", "docs-types", "--text", "a", "--model",
                       here/"mlm", *out)
    assert code==2 and "text a" in err
    assert not (tmp_path/"no").exists()

NUMBERS = ["--learning-rate -1", "--learning-rate nan", "--learning-rate inf", "--epochs inf", "--epochs nan", "--batch-size 0"]

@pytest.mark.parametrize("option", NUMBERS)
@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_one_check_of_numbers(here, tmp_path, command, option):
    "Named before anything is written."
    start = dict(finetune=["--data", here/"rows.jsonl", "--model", here/"mlm"],
                 pretrain=["--corpus", here/"corpus.txt", "--tokenizer", here/"tok", "--size", "tiny", "--block-size", 16])
    code, _, err = plm(command, *start[command], *option.split(), "--out", tmp_path/"no")
    name, value = option.removeprefix("--").replace("-", "_", option.count("-")-2-option.split()[1].count("-")).split()
    assert code==2 and name in err and value in err, err
    assert not (tmp_path/"no").exists()

@pytest.mark.parametrize("wrong", [dict(learning_rate=float("nan")), dict(epochs=0), dict(epochs=True), dict(l2_sp=float("inf")),
                                   dict(batch_size=2.5), dict(head_learning_rate=-1e-3), dict(weight_decay=float("nan"))])
def test_the_same_check_in_python(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))): FinetuningArguments(**wrong)

def test_what_was_read(here, tmp_path):
    "The tokens of a training are those that its batches held."
    run = "pretrain", "--corpus", here/"corpus.txt", "--tokenizer", here/"tok", "--size", "tiny", "--block-size", 16
    blocks = json.loads((here/"mlm/run.json").read_text())["data"]["train blocks"]
    whole = found(*run, "--steps", 2, "--batch-size", 100_000, "--out", tmp_path/"whole")
    assert whole["train"]["tokens"]==2*blocks*16
    assert found(*run, "--epochs", 1, "--out", tmp_path/"once")["train"]["tokens"]==blocks*16

def test_an_n_gram_of_a_short_text(tmp_path):
    "It has no blocks; a network names the split that is too short."
    (tmp_path/"short.txt").write_text("".join(chr(97+i*7%26) for i in range(885)))
    run = "pretrain", "--corpus", tmp_path/"short.txt", "--tokenizer", "char"
    assert found(*run, "--arch", "ngram", "--out", tmp_path/"a")["heldout"]["tokens"]>0
    code, _, err = plm(*run, "--size", "tiny", "--steps", 1, "--out", tmp_path/"b")
    assert code==2 and "the validation split" in err and "at most" in err

def test_text_without_spaces(tmp_path):
    "JSON that every program reads, and a run that verifies."
    (tmp_path/"zh.txt").write_text("狗看见了三只猫。"*200, encoding="utf-8")
    code, out, _ = plm("pretrain", "--corpus", tmp_path/"zh.txt", "--tokenizer", "char", "--arch", "ngram", "--order", 2, "--out",
                       tmp_path/"zh", "--json")
    assert code==0 and "Infinity" not in out and "NaN" not in out
    for name in ("run.json", "scores.jsonl"): assert "Infinity" not in (tmp_path/"zh"/name).read_text()
    assert found("verify", tmp_path/"zh")["ok"]

def test_the_folder_of_several_seeds(here, tmp_path):
    "It is no run; its runs are named."
    found("finetune", "--data", here/"rows.jsonl", "--model", here/"mlm", *LITTLE, "--seeds", 2, "--out", tmp_path/"two")
    for command in (["verify", tmp_path/"two"], ["predict", here/"corpus.txt", "--model", tmp_path/"two"],
                    ["evaluate", "--model", tmp_path/"two", "--data", here/"rows.jsonl"]):
        code, _, err = plm(*command)
        assert code==2 and "seed-0, seed-1" in err, err

def test_what_other_programs_leave_in_a_folder(single, tmp_path):
    "A file of the Finder or of Jupyter is named, and is no damage."
    (single/".DS_Store").write_bytes(b"x")
    (single/".ipynb_checkpoints").mkdir(exist_ok=True)
    (single/".ipynb_checkpoints/a.json").write_text("{}")
    said = found("verify", single)
    assert said["ok"] and said["files"][".DS_Store"]=="hidden"

@pytest.mark.parametrize("share, exit_code", [(.5, 0), (1, 2)])
def test_text_in_another_script_than_the_tokenizer(here, tmp_path, share, exit_code):
    "Chinese with a tokenizer of English is [UNK]: that is said, where it is all of the text it is refused, nothing is divided by 0."
    words = ["狗看见了三只猫", "the dog sees the tree "]
    rng = random.Random(0)
    (tmp_path/"zh.txt").write_text("".join(words[rng.random()>=share] for _ in range(900)), encoding="utf-8")
    run = "pretrain", "--corpus", tmp_path/"zh.txt", "--tokenizer", here/"tok", "--size", "tiny", "--steps", 1, "--block-size", 16
    code, _, err = plm(*run, "--out", tmp_path/"run")
    said = "% of the tokens are [UNK]" if code==0 else "its rows hold nothing but [UNK]"
    assert code==exit_code and said in err and "invalid value" not in err, err
    assert (tmp_path/"run").exists()==(code==0)

def test_names_that_no_font_here_can_draw(here, tmp_path):
    "A picture with boxes in it is announced, and the run ends."
    rows = [dict(text=f"the dog {i} 好", label=["\U00012000好", "\U00012001坏"][i%2]) for i in range(40)]
    write(tmp_path/"zh.jsonl", rows)
    code, _, err = plm("finetune", "--data", tmp_path/"zh.jsonl", "--model", here/"mlm", *LITTLE, "--out", tmp_path/"run")
    assert code==0 and "drawn as boxes" in err and (tmp_path/"run/plots/answers.png").is_file(), err
