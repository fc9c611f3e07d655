"`plm_nb.suites`: a killed suite goes on, figures follow from the lines of the runs, submissions have GLUE's names and order."
import json, shlex, zipfile
from dataclasses import replace
import numpy as np
import pytest
from sklearn import metrics as sk
from plm_nb import finetuning
from plm_nb.benchmarks import BENCHMARKS, read_benchmark
from plm_nb.files import InputError, read_json_lines
from plm_nb.finetuning import FinetuningArguments
from plm_nb.models import build
from plm_nb.pipelines import verify
from plm_nb.runs import Run
from plm_nb.suites import benchmarks_in, interval, seed_draws, run_suite, submission, suite_command
from plm_nb.tokenizer import train_tokenizer
from plm_nb.budgets import Log
from same import assert_same_run
from test_benchmarks import GLUE, jsonl, label_of, write, write_task

QUICK = FinetuningArguments(epochs=1, learning_rate=.001)

@pytest.fixture(scope="module")
def model(tmp_path_factory):
    "A folder with a tiny BERT of random weights."
    folder = tmp_path_factory.mktemp("model")/"tiny"
    texts = ["He said he spoke somebody plays a man sentence number ends it rains wet why how come who is it in ann saw bea one two",
             "a fine film good bad he said : \" ends . ? 0 1 2 3 4 5 6 7 8 9"]
    tok = train_tokenizer(texts*3, "wordpiece", 160)
    build("tiny", tok, "fill-mask").save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder

@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")/"glue"
    for name in GLUE: write_task(folder, name)
    write(folder/"diagnostic"/"diagnostic.tsv", [["index", "sentence1", "sentence2"], *([i, f"A {i}.", f"B {i}."] for i in range(4))])
    return folder

@pytest.fixture(scope="module")
def suite(model, glue, tmp_path_factory):
    "All nine tasks, one seed: the folder, and what was returned."
    out = tmp_path_factory.mktemp("suite")/"out"
    return out, run_suite(model, glue, out, seeds=1, args=QUICK)

def lines_of(out, name, seed=0, split="validation"):
    lines = [l for l in read_json_lines(out/name/f"seed-{seed}"/"scores.jsonl") if l["split"]==split]
    return [l["label"] for l in lines], [l["prediction"] for l in lines]

def test_nine_tasks(suite):
    "In GLUE's order; each figure follows from the lines that the run keeps; MNLI has two; the mean of means is the average."
    out, found = suite
    assert [task["task"] for task in found["tasks"]]==GLUE and found["status"]=="done"
    tasks = {task["task"]: task for task in found["tasks"]}
    assert [f["metric"] for f in tasks["MNLI"]["figures"]]==["accuracy", "accuracy mismatched"]
    for name in ("SST-2", "RTE", "QNLI", "WNLI"): assert tasks[name]["score"]==pytest.approx(sk.accuracy_score(*lines_of(out, name)))
    assert tasks["MNLI"]["figures"][1]["score"]==pytest.approx(sk.accuracy_score(*lines_of(out, "MNLI", split="validation_mismatched")))
    assert tasks["CoLA"]["score"]==pytest.approx(sk.matthews_corrcoef(*lines_of(out, "CoLA")))
    for name in ("MRPC", "QQP"):
        true, said = lines_of(out, name)
        want = [sk.f1_score(true, said, pos_label=BENCHMARKS[name].positive), sk.accuracy_score(true, said)]
        assert [f["score"] for f in tasks[name]["figures"]]==pytest.approx(want) and tasks[name]["score"]==pytest.approx(np.mean(want))
    true, said = lines_of(out, "STS-B")
    assert tasks["STS-B"]["figures"][0]["score"]==pytest.approx(np.corrcoef(true, said)[0, 1])
    assert found["average"]["score"]==pytest.approx(np.mean([task["score"] for task in found["tasks"]]))
    assert found["average"]["low"]<=found["average"]["score"]<=found["average"]["high"]
    assert json.loads((out/"suite.json").read_text())==json.loads(json.dumps(found))

def test_each_run_is_a_run(suite):
    "It verifies, and has never seen the test rows."
    out, _ = suite
    for name in GLUE:
        run = Run(out/name/"seed-0")
        assert not run.record.get("test_looks") and "test" not in run.record["results"] and run.record["data"]["train rows"]==30
    assert verify(out/"RTE"/"seed-0")["ok"]

def test_report(suite):
    "A line for each figure, the rows, what was not measured, and the command; the page is complete in itself."
    out, found = suite
    text, page = (out/"report.md").read_text(), (out/"report.html").read_text()
    for name in GLUE: assert f"| {name} |" in text and f"<td>{name}</td>" in page
    assert text.count("| MRPC |")==4 and text.count("| RTE |")==2 # figures, their mean, rows
    assert "only" not in found["command"] and found["command"] in text and "data:image/png;base64" in page
    assert "The test split" in text and "intervals are over rows alone" in text and "No score" not in text
    assert str(out.parent) not in text+page

def test_submission(suite, glue):
    "GLUE's names, a header, the rows in the order of the files, answers in the form of the files; twice the same bytes."
    out, found = suite
    path = submission(out, glue)
    first = path.read_bytes()
    assert submission(out, glue).read_bytes()==first
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    assert list(files)==[f"{n}.tsv" for n in ("CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "AX", "QNLI", "RTE", "WNLI")]
    for name,lines in files.items():
        n = 4 if name=="AX.tsv" else 6
        assert lines[0]=="index\tprediction" and [line.split("\t")[0] for line in lines[1:]]==[str(i) for i in range(n)]
    answers = {name.removesuffix(".tsv"): {line.split("\t")[1] for line in lines[1:]} for name,lines in files.items()}
    for name in ("CoLA", "SST-2", "MRPC", "QQP", "WNLI"): assert answers[name]<={"0", "1"}
    for name in ("MNLI-m", "MNLI-mm", "AX"): assert answers[name]<={"entailment", "neutral", "contradiction"}
    for name in ("QNLI", "RTE"): assert answers[name]<={"entailment", "not_entailment"}
    assert all(0<=float(x)<=5 for x in answers["STS-B"])

def test_submission_in_the_files_own_numbers(model, tmp_path):
    "A test file that is not in order keeps its numbers; an empty text is answered too; classes are 0 and 1 as in the files."
    write(tmp_path/"g"/"SST-2"/"train.tsv", [["sentence", "label"], *([["bad", "good"][i%2], i%2] for i in range(64))])
    write(tmp_path/"g"/"SST-2"/"dev.tsv", [["sentence", "label"], ["good", 1], ["bad", 0]])
    write(tmp_path/"g"/"SST-2"/"test.tsv", [["index", "sentence"], [2, "good"], [0, "bad"], [1, ""], [7, "good"]])
    run_suite(model, tmp_path/"g", tmp_path/"out", seeds=1, args=replace(QUICK, epochs=10))
    with zipfile.ZipFile(submission(tmp_path/"out", tmp_path/"g")) as archive: lines = archive.read("SST-2.tsv").decode().splitlines()
    assert lines[1:3]==["2\t1", "0\t0"] and lines[3][:2]=="1\t" and lines[4]=="7\t1"

def test_best_seed_answers(model, glue, tmp_path):
    "Chosen on the validation rows."
    found = run_suite(model, glue, tmp_path/"out", ["QNLI"], seeds=3, args=replace(QUICK, epochs=3))
    task = found["tasks"][0]
    assert task["seeds"]==[0, 1, 2] and task["best_seed"]==int(np.argmax(task["by_seed"]))
    assert task["score"]==pytest.approx(np.mean(task["by_seed"]))

def counted(monkeypatch):
    "The folders that are trained from now on."
    trained, fit = [], finetuning.fit
    def count(*args, **kw):
        trained.append(args[7].parent.parent.name)
        return fit(*args, **kw)
    monkeypatch.setattr(finetuning, "fit", count)
    return trained

def test_a_killed_suite_goes_on(model, glue, tmp_path, monkeypatch):
    "What is finished is not trained again, what was begun is done, and the end is that of a suite left alone."
    asked = dict(tasks=["SST-2", "RTE"], seeds=2, args=replace(QUICK, save_steps=1))
    def stop(self, args, state, control, **kwargs):
        if "RTE" in str(args.output_dir): raise KeyboardInterrupt
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Log, "on_step_end", stop)
        run_suite(model, glue, tmp_path/"killed", **asked)
    half = json.loads((tmp_path/"killed/suite.json").read_text())
    assert half["status"]=="running" and [task["task"] for task in half["tasks"]]==["SST-2"]
    assert "No score: CoLA, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI." in half["not_measured"]
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path/"killed/SST-2").rglob("*") if p.is_file()}
    trained = counted(monkeypatch)
    killed = run_suite(model, glue, tmp_path/"killed", **asked)
    assert trained==["RTE", "RTE"] and all(p.stat().st_mtime_ns==t for p,t in stamps.items())
    whole = run_suite(model, glue, tmp_path/"whole", **asked)
    assert {**killed, "command": 0}=={**whole, "command": 0}
    assert_same_run(tmp_path/"killed/RTE/seed-0", tmp_path/"whole/RTE/seed-0")

def test_a_run_that_was_stopped_while_it_was_scored(model, glue, tmp_path, monkeypatch):
    "It is not finished; its lines are written once."
    asked = dict(tasks=["RTE"], seeds=1, args=QUICK)
    found = run_suite(model, glue, tmp_path/"out", **asked)
    (tmp_path/"out/RTE/seed-0/MANIFEST.json").unlink()
    (tmp_path/"out/suite.json").unlink()
    trained = counted(monkeypatch)
    assert run_suite(model, glue, tmp_path/"out", **asked)==found and trained==["RTE"]
    assert len(lines_of(tmp_path/"out", "RTE")[0])==12

def test_more_of_the_same(model, glue, tmp_path, monkeypatch):
    "More seeds and more tasks in the same folder: only those are trained; other settings, rows or models are refused."
    out = tmp_path/"out"
    run_suite(model, glue, out, ["RTE"], seeds=1, args=QUICK)
    trained = counted(monkeypatch)
    found = run_suite(model, glue, out, ["RTE", "SST-2"], seeds=2, args=QUICK)
    assert trained==["SST-2", "SST-2", "RTE"] and [task["task"] for task in found["tasks"]]==["SST-2", "RTE"]
    for other,why in ((dict(args=replace(QUICK, epochs=2)), "epochs 1, not 2"), (dict(args=QUICK, max_length=64), "max_length"),
                      (dict(args=QUICK, limit=20), "rows")):
        with pytest.raises(InputError, match=why): run_suite(model, glue, out, ["RTE"], seeds=1, **other)
    assert trained==["SST-2", "SST-2", "RTE"]

def test_seeds_count_from_that_of_the_arguments(model, glue, tmp_path):
    found = run_suite(model, glue, tmp_path/"out", ["RTE"], seeds=2, args=replace(QUICK, seed=5), limit=8)
    assert found["tasks"][0]["seeds"]==[5, 6] and sorted(p.name for p in (tmp_path/"out/RTE").iterdir())==["seed-5", "seed-6"]
    assert found["rows"][0]["training"]==8 and "All rows: at most 8 of each split, drawn once." in found["not_measured"]
    assert "--seed 5" in found["command"] and "--limit 8" in found["command"] and "--task RTE" in found["command"]

def test_nothing_of_a_file_gets_into_the_page(model, tmp_path):
    "Labels, model and data may be called as they like."
    evil = '<script>a|b</script>'
    rows = [dict(label=[evil, "_x_"][i%2], sentence=f"题{i}") for i in range(24)]
    source = tmp_path/"<i>clue"
    jsonl(source/"tnews_public"/"train.json", rows)
    jsonl(source/"tnews_public"/"dev.json", rows[:6])
    found = run_suite(model, source, tmp_path/"out", seeds=1, args=QUICK)
    text, page = (tmp_path/"out/report.md").read_text(), (tmp_path/"out/report.html").read_text()
    assert "<script" not in text and "<script" not in page and "<i>" not in page and "&lt;script&gt;" in page
    assert r"&lt;script&gt;a\|b&lt;/script&gt; 50%" in text and r"\_x\_" in text
    assert found["suite"]=="CLUE" and evil in found["rows"][0]["classes"] # numbers for programs stay as they are
    with pytest.raises(InputError, match="of CLUE; a submission is of GLUE"): submission(tmp_path/"out", source)

def test_mrpc_without_validation_rows(model, tmp_path):
    "The report says where they come from."
    head = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    write(tmp_path/"mrpc"/"msr_paraphrase_train.txt", [head, *([i%2, 1, 2, f"One {i}.", f"Two {i}."] for i in range(90))])
    found = run_suite(model, tmp_path, tmp_path/"out", seeds=1, args=QUICK)
    n = found["rows"][0]["validation"]
    assert any(f"MRPC: its published validation rows" in why and f"{n} training rows" in why for why in found["not_measured"])

def test_everything_is_read_before_anything_is_trained(model, glue, tmp_path):
    write_task(tmp_path/"g", "SST-2")
    write_task(tmp_path/"g", "WNLI")
    (tmp_path/"g/WNLI/train.tsv").unlink()
    with pytest.raises(InputError, match="no training rows of WNLI"): run_suite(model, tmp_path/"g", tmp_path/"out", args=QUICK)
    assert not (tmp_path/"out").exists()

def test_folders_that_are_no_suite(model, glue, tmp_path):
    (tmp_path/"full").mkdir()
    (tmp_path/"full"/"thesis.tex").touch()
    with pytest.raises(InputError, match="not empty"): run_suite(model, glue, tmp_path/"full", ["RTE"], args=QUICK)
    with pytest.raises(InputError, match="no folder of a benchmark"): run_suite(model, tmp_path/"full", tmp_path/"out")
    with pytest.raises(InputError, match="no suite here"): submission(tmp_path/"full", glue)
    with pytest.raises(InputError, match="of two suites"): benchmarks_in(glue, ["RTE", "TNEWS"])
    with pytest.raises(InputError, match="seeds 0"): run_suite(model, glue, tmp_path/"out", seeds=0)
    with pytest.raises(InputError, match="max_length 3"): run_suite(model, glue, tmp_path/"out", ["RTE"], seeds=1, max_length=3, args=QUICK)
    assert not (tmp_path/"out").exists() or not any((tmp_path/"out").rglob("*.json"))

def test_tasks_of_a_folder(glue, tmp_path):
    "In GLUE's order, however they are named; of a folder with both suites, GLUE."
    assert [one.name for one in benchmarks_in(glue)]==GLUE
    assert [one.name for one in benchmarks_in(glue, ["wnli", "COLA"])]==["CoLA", "WNLI"]
    for name in ("tnews_public", "ocnli_public"): (tmp_path/name).mkdir()
    assert [one.name for one in benchmarks_in(tmp_path)]==["TNEWS", "OCNLI"]
    (tmp_path/"rte").mkdir()
    assert [one.name for one in benchmarks_in(tmp_path)]==["RTE"]

def test_command_is_complete():
    "It names every setting that is not as it is by itself, and no path from the root on."
    args = FinetuningArguments(epochs=3, batch_size=32, seed=7, settings=dict(max_grad_norm=.5, tf32=True))
    words = shlex.split(suite_command("/home/me/bert base", "nyu-mll/glue", "/tmp/x", ["CoLA", "RTE"], 3, args, 64, 100))
    assert words[:4]==["plm", "evaluate", "--suite", "glue"]
    told = [(a, b) for a,b in zip(words, words[1:]) if a.startswith("--")]
    assert dict(told)=={"--suite": "glue", "--model": "bert base", "--data": "nyu-mll/glue", "--seeds": "3", "--task": "CoLA,RTE", "--out": "x",
                        "--limit": "100", "--max-length": "64", "--epochs": "3", "--batch-size": "32", "--seed": "7", "--set": "tf32=true"}
    assert ("--set", "max_grad_norm=0.5") in told

def test_redraws_of_rows():
    "One seed: the interval of the rows, as a binomial has it. The same seeds many times: no wider."
    one = BENCHMARKS["SST-2"]
    true = ["positive"]*400
    said = ["positive"]*320 + ["negative"]*80
    half = 1.96*np.sqrt(.8*.2/400)
    for k in (1, 5):
        low, high = interval(seed_draws(one, true, [said]*k)["accuracy"])
        assert low==pytest.approx(.8-half, abs=.006) and high==pytest.approx(.8+half, abs=.006)

def test_redraws_of_seeds():
    "Many rows, few seeds: the interval is that of a mean of seeds; two splits of one model draw the same seeds."
    one = BENCHMARKS["SST-2"]
    true = ["positive"]*5000
    rng = np.random.default_rng(0)
    rates = [.6, .7, .75, .8, .9]
    said = [list(np.where(rng.random(5000)<p, "positive", "negative")) for p in rates]
    draws = seed_draws(one, true, said)["accuracy"]
    assert draws.std()==pytest.approx(np.std(rates)/np.sqrt(5), rel=.08) and draws.mean()==pytest.approx(.75, abs=.01)
    other = seed_draws(one, true[:4990], [some[:4990] for some in said])["accuracy"]
    assert np.corrcoef(draws, other)[0, 1]>.95
    assert np.array_equal(draws, seed_draws(one, true, said)["accuracy"]) and len(seed_draws(one, true, said, n=250)["accuracy"])==250
