"Every task from files to answers: trained, scored, verified, asked again, in Python and from the shell."
import json
import random
import pytest
from datasets import Dataset
from plm_nb.files import InputError
from plm_nb.pipelines import TASKS, predict, task as task_of_name, task_of, trained_task, verify
from plm_nb.runs import Run
from plm_nb.models import build
from test_cli import found, plm

NAMES, PLACES = "Ada Bo Cy Dee Eve".split(), "Rome Oslo Lima Bonn".split()

def lines(n):
    "`n` sentences with a person and a place, and who and where."
    rng = random.Random(0)
    for i in range(n):
        who, where = rng.choice(NAMES), rng.choice(PLACES)
        yield i, f"{who} lives in {where} since {1900+i}", who, where

def jsonl(path, rows):
    path.write_text("".join(json.dumps(r)+"\n" for r in rows), encoding="utf-8")

def squad(path, rows):
    "Who lives there? Every third question asks for somebody who is not named."
    def qa(i, text, who, where):
        asked = "Who is it?" if i%3 else "Who is the king?"
        return dict(id=str(i), question=asked, is_impossible=i%3==0, answers=[dict(text=who, answer_start=0)] if i%3 else [])
    pages = [dict(paragraphs=[dict(context=r[1], qas=[qa(*r)])]) for r in rows]
    path.write_text(json.dumps(dict(version="2.0", data=pages)), encoding="utf-8")

def conll(path, rows):
    def tag(w): return "B-person" if w in NAMES else "B-place" if w in PLACES else "O"
    path.write_text("\n".join("".join(f"{w}\t{tag(w)}\n" for w in text.split()) for _,text,_,_ in rows), encoding="utf-8")

@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "A file for each task, a tokenizer, and a base model with random weights."
    d, rows = tmp_path_factory.mktemp("jobs"), list(lines(60))
    (d/"corpus.txt").write_text("\n".join(t for _,t,_,_ in rows)*5)
    jsonl(d/"text-classification.jsonl", [dict(text=t, label=where) for _,t,_,where in rows])
    jsonl(d/"several.jsonl", [dict(text=t, label=[who, where]) for _,t,who,where in rows])
    jsonl(d/"number.jsonl", [dict(text=t, label=i/60) for i,t,_,_ in rows])
    jsonl(d/"multiple-choice.jsonl", [dict(text=t, choices=PLACES, label=PLACES.index(where)) for _,t,_,where in rows])
    conll(d/"token-classification.conll", rows)
    squad(d/"question-answering.json", rows)
    for task in "summarization", "translation": jsonl(d/f"{task}.jsonl", [dict(text=t, target=who) for _,t,who,_ in rows])
    turns = [[dict(role="user", content=t), dict(role="assistant", content=who)] for _,t,who,_ in rows]
    jsonl(d/"dialogue.jsonl", [dict(messages=m) for m in turns])
    found("tokenizer", "--corpus", d/"corpus.txt", "--kind", "bpe", "--vocab-size", 200, "--out", d/"tok")
    return d

ASKED = {"multiple-choice": dict(text="Ada lives in Rome", choices=PLACES), "question-answering":
         dict(question="Who is it?", context="Ada lives in Rome"), None: dict(text="Ada lives in Rome since 1900")}
SAID = {"text-classification": {"label", "probability", "probabilities"}, "multiple-choice": {"choice", "label"},
        "token-classification": {"spans"}, "question-answering": {"start", "end", "score"}, None: {"text", "ended"}}
SCORES = {"text-classification": {"accuracy", "f1", "f1_low"}, "multiple-choice": {"accuracy"},
          "token-classification": {"precision", "recall", "f1"}, "question-answering": {"exact_match", "f1"},
          "summarization": {"rouge1", "rouge2", "rougeL"}, "translation": {"bleu", "chrf"}, "dialogue": {"exact_match", "ended"}}

@pytest.mark.parametrize("task", SCORES)
def test_from_a_file_to_answers(files, tmp_path, task):
    "One command trains and scores, `evaluate` scores the same, `verify` believes it, `predict` answers each line in order."
    data = next(files.glob(task+".*"))
    run = found("finetune", "--task", task, "--data", data, "--tokenizer", files/"tok", "--size", "tiny", "--epochs", 2,
                "--learning-rate", "1e-3", "--max-length", 96, "--out", tmp_path/"run")
    assert SCORES[task] <= run["validation"].keys() and run["test"].keys()==run["validation"].keys()
    again = found("evaluate", "--model", tmp_path/"run", "--data", data, "--max-length", 96)["validation"]
    assert again==pytest.approx(run["validation"]) and task_of(tmp_path/"run")==task
    assert found("verify", tmp_path/"run")["ok"] is True
    asked = ASKED.get(task, ASKED[None])
    jsonl(tmp_path/"in.jsonl", [asked]*3)
    code, out, err = plm("predict", tmp_path/"in.jsonl", "--model", tmp_path/"run", "--max-length", 96)
    answers = [json.loads(l) for l in out.splitlines()]
    assert code==0 and len(answers)==3 and answers[0]==answers[2] and SAID.get(task, SAID[None]) <= answers[0].keys(), err
    lines = (tmp_path/"run"/"scores.jsonl").read_text().splitlines()
    for odd in dict(prediction=None), dict(label=None), dict(label=[["x"]]): # told, and never by a traceback
        last = json.dumps(json.loads(lines[-1])|odd)
        (tmp_path/"run"/"scores.jsonl").write_text("\n".join([*lines[:-1], last, ""]))
        assert not verify(tmp_path/"run")["ok"]
    (tmp_path/"run"/"scores.jsonl").write_text("\n".join([*lines, ""]))
    record = json.loads((tmp_path/"run"/"run.json").read_text())
    name = min(SCORES[task]&record["results"]["test"].keys())
    record["results"]["test"][name] += .01
    (tmp_path/"run"/"run.json").write_text(json.dumps(record))
    told = verify(tmp_path/"run")
    assert not told["ok"] and name in told["scores"]["test"]

@pytest.mark.parametrize("file,kind,scores", [
    ("several", None, {"micro_f1", "macro_f1", "exact_match"}), ("number", "regression", {"mae", "rmse", "spearman"})])
def test_labels_and_numbers(files, tmp_path, file, kind, scores):
    "Several labels of a text, and a place on a scale."
    how = ("--problem-type", kind or "multi_label_classification")
    run = found("finetune", "--data", files/f"{file}.jsonl", *how, "--tokenizer", files/"tok", "--size", "tiny",
                "--epochs", 1, "--out", tmp_path/"run")
    assert scores <= run["validation"].keys() and found("verify", tmp_path/"run")["ok"] is True
    answer = predict(tmp_path/"run", ["Ada lives in Rome", "Bo"])
    assert len(answer)==2 and ("score" in answer[0])==(kind=="regression")

def test_chat_and_generate(files, tmp_path):
    "A dialogue learned by heart is answered from the shell, turn by turn, and ends by itself."
    found("finetune", "--task", "dialogue", "--data", files/"dialogue.jsonl", "--tokenizer", files/"tok", "--size", "tiny",
          "--epochs", 12, "--learning-rate", "3e-3", "--out", tmp_path/"run")
    text = next(lines(1))[1]
    one = found("chat", "--model", tmp_path/"run", "--prompt", text)
    assert one["ended"] and one["text"] in NAMES and [m["role"] for m in one["messages"]]==["user", "assistant"]
    code, out, err = plm("chat", "--model", tmp_path/"run", "--json", stdin=f"{text}\nAnd who else?\n\n".encode())
    assert code==0 and len(json.loads(out)["messages"])==4 and err.startswith(one["text"])
    wrote = found("generate", "--model", tmp_path/"run", "--prompt", text, "--max-new-tokens", 4)
    assert set(wrote)=={"text", "ended"}

@pytest.mark.parametrize("trainable", ["head", "last-1", "lora"])
def test_weights_that_learn(files, tmp_path, trainable):
    "Frozen, half frozen or with low-rank additions: the folder is an ordinary model."
    if trainable=="lora": pytest.importorskip("peft")
    found("finetune", "--data", files/"text-classification.jsonl", "--tokenizer", files/"tok", "--size", "tiny", "--epochs",
          1, *(["--lora"] if trainable=="lora" else ["--trainable", trainable]), "--out", tmp_path/"run")
    assert Run(tmp_path/"run").record["arguments"]["trainable"]==trainable and task_of(tmp_path/"run")=="text-classification"

def test_sentences_of_an_answer(files, tmp_path):
    "The shell hands them on, the folder remembers them, and a task that finds no answers has none."
    asked = "finetune", "--train", files/"question-answering.json", "--tokenizer", files/"tok", "--size", "tiny", "--epochs", .2
    found(*asked, "--task", "question-answering", "--sentences", 1, "--dropout", .1, "--out", tmp_path/"run")
    record = Run(tmp_path/"run").record["arguments"]
    assert record["options"]["sentences"]==1 and record["dropout"]==.1 and trained_task(tmp_path/"run").sentences==1
    told = "He went away. Ada lives in Rome."
    answer, = predict(tmp_path/"run", [dict(question="Where does Ada live, in Rome?", context=told)])
    assert told[answer["start"]:answer["end"]]==answer["text"] and (answer["text"]=="" or answer["start"]>=14)
    for n in (0, 1):
        with pytest.raises(InputError, match=f"sentences {n} of translation: only question-answering"): task_of_name("translation", sentences=n)
    with pytest.raises(InputError, match="sentences"): task_of_name("question-answering", sentences=0)

def test_names_are_kept_if_asked_for(files, tmp_path):
    "The shell hands it on, the folder remembers it, and a task without names has none."
    asked = "finetune", "--train", files/"token-classification.conll", "--tokenizer", files/"tok", "--size", "tiny", "--epochs", .2
    for folder,more in (("with", ["--gazetteer"]), ("without", [])):
        found(*asked, "--task", "token-classification", *more, "--out", tmp_path/folder)
        assert Run(tmp_path/folder).record["arguments"]["options"]["gazetteer"]==bool(more)
        assert bool(json.loads((tmp_path/folder/"config.json").read_text())["gazetteer"])==bool(more)
        assert trained_task(tmp_path/folder).gazetteer==bool(more)
    with pytest.raises(InputError, match="gazetteer of translation: only token-classification"): task_of_name("translation", gazetteer=True)

def test_inputs(files, tmp_path):
    "Strings, rows and data sets; what lacks a field is named; a folder that does not say needs a task."
    from plm_nb.tokenizer import load_tokenizer
    words = load_tokenizer(files/"tok")
    net = build("tiny", words, "question-answering")
    net.save_pretrained(tmp_path); words.save_pretrained(tmp_path)
    rows = Dataset.from_list([ASKED["question-answering"]]*2)
    assert predict(tmp_path, rows)==predict(tmp_path, rows.to_list()) and task_of(tmp_path)=="question-answering"
    with pytest.raises(InputError, match="input 2: .* context is missing"): predict(tmp_path, [rows[0], dict(question="?")])
    with pytest.raises(InputError, match="unknown; choose from"): task_of_name("poetry")
    build("tiny", words, "text-generation", "gpt2").save_pretrained(tmp_path)
    assert task_of(tmp_path) is None
    with pytest.raises(InputError, match="name one of"): predict(tmp_path, ["x"])
