"`plm_nb.benchmarks`: all nine tasks of GLUE in each published layout, CLUE's two forms, official figures against scikit-learn and scipy."
import json, os
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from scipy import stats
from sklearn import metrics as sk
from plm_nb.benchmarks import (BENCHMARKS, DIAGNOSTIC, benchmark_files, benchmark_named, constant_scores, label_texts, official_scores,
                               read_benchmark, read_tests, suite_average)
from plm_nb.files import InputError
from plm_nb.tasks import TaskDataset
from plm_nb.text_classification import TextClassification

GLUE = [name for name,one in BENCHMARKS.items() if one.suite=="GLUE"]
N = dict(train=30, dev=12, test=6)

# How each task's files look, as GLUE's own archive has them: the header (None: there is none), a row with and without its label

MNLI_HEAD = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2"

def _mnli(split, i, label):
    row = [i, 100+i, f"{i}e", "fiction", "( a )", "( b )", "(ROOT a)", "(ROOT b)", f'He said "{i}.', f"He spoke {i}."]
    votes = dict(train=1, dev_matched=5, dev_mismatched=5).get(split, 0)
    head = MNLI_HEAD.split() + [f"label{j+1}" for j in range(votes)] + ["gold_label"]*bool(votes)
    return head, row + [label]*votes + [label]*bool(votes)

def _cola(split, i, label):
    if split=="test": return ["index", "sentence"], [i, f"Sentence number {i} ends."]
    return None, ["gj04", label, "*" if label==0 else "", f'Sentence "number {i} ends.']

def _plain(head, texts, label_name, index=True):
    "A layout with these columns; the label last, and an index first in every file, or in that of the test rows alone."
    def layout(split, i, label):
        is_test = split.startswith("test")
        numbered = index or is_test
        names = ["index"]*numbered + head + [label_name]*(not is_test)
        return names, [i]*numbered + [t.format(i) for t in texts] + [label]*(not is_test)
    return layout

def _mrpc(split, i, label):
    if split=="test": return ["index", "#1 ID", "#2 ID", "#1 String", "#2 String"], [i, 1, 2, f"He said {i}.", f"{i}, he said."]
    return ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"], [label, 1, 2, f'He said "{i}.', f"{i}, he said."]

def _qqp(split, i, label):
    if split=="test": return ["id", "question1", "question2"], [i, f"Why {i}?", f"How come {i}?"]
    return ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"], [i, 1, 2, f"Why {i}?", f"How come {i}?", label]

def _stsb(split, i, label):
    head = ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2"]
    row = [i, "main", "MSRvid", "2012", i, "none", "none", f'A man "plays {i}.', f"Somebody plays {i}."]
    return (head, row) if split=="test" else (head+["score"], row+[label])

SENTENCES = ["sentence1", "sentence2"]
LAYOUTS = dict(CoLA=_cola, MRPC=_mrpc, QQP=_qqp, MNLI=_mnli,
               RTE=_plain(SENTENCES, ['It rains "in {}.', "It is wet {}."], "label"),
               WNLI=_plain(SENTENCES, ["Ann saw Bea {}.", "Ann saw {}."], "label"),
               QNLI=_plain(["question", "sentence"], ["Who is {}?", "He is {}."], "label"),
               **{"SST-2": _plain(["sentence"], ["a fine film {} "], "label", index=False), "STS-B": _stsb})

def label_of(name, i):
    "What a file of the task has for row `i`."
    if name=="STS-B": return f"{i%6*.9:.3f}"
    names = dict(MNLI=["neutral", "entailment", "contradiction"], RTE=["entailment", "not_entailment"],
                 QNLI=["not_entailment", "entailment"]).get(name, [1, 0, 1])
    return names[i%len(names)]

def write(path, rows, ends="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join("\t".join(map(str, row)) for row in rows)+"\n").replace("\n", ends).encode("utf-8"))

def write_task(folder, name, called=None, ends="\n"):
    "The files of a task, as GLUE has them."
    for split,n in N.items():
        for kind in ("_matched", "_mismatched") if name=="MNLI" and split!="train" else ("",):
            rows = [LAYOUTS[name](split+kind, i, label_of(name, i)) for i in range(n)]
            head = [rows[0][0]] if rows[0][0] else []
            write(folder/(called or name)/f"{split}{kind}.tsv", head+[row for _,row in rows], ends)

@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    "A folder of GLUE in miniature."
    folder = tmp_path_factory.mktemp("glue")
    for name in GLUE: write_task(folder, name)
    write(folder/"diagnostic"/"diagnostic.tsv", [["index", *SENTENCES], *([i, f"A {i}.", f"B {i}."] for i in range(4))])
    return folder

@pytest.mark.parametrize("name", GLUE)
def test_published_layout(glue, name):
    "Every row is there with its own label, in order; quotation marks stand as they are; the test rows keep their numbers."
    rows = read_benchmark(name, glue)
    several = name=="MNLI"
    sizes = {split: len(some) for split,some in rows.dataset.items()}
    assert sizes==dict(train=30, validation=12, **dict(validation_mismatched=12) if several else {})
    assert list(rows.tests)==(["test", "test_mismatched"] if several else ["test"]) and not rows.is_cut
    assert rows.hidden==(12 if several else 6) and rows.dropped==0
    want = [label_of(name, i) for i in range(30)]
    names = BENCHMARKS[name].labels
    if name=="STS-B": want = [float(x) for x in want]
    else: want = [names[x] if isinstance(x, int) else x for x in want]
    assert label_texts(rows.dataset["train"])==want
    if names: assert rows.dataset["train"].features["label"].names==list(names)
    is_pair = "text2" in rows.dataset["train"].column_names
    assert is_pair==(name not in ("CoLA", "SST-2"))
    if name in ("CoLA", "MRPC", "STS-B", "RTE", "MNLI"): assert all('"' in text for text in rows.dataset["train"]["text"])
    assert [int(i) for i in rows.tests["test"]["index"]]==list(range(6))
    assert isinstance(rows.dataset, TaskDataset) and isinstance(rows.dataset.task, TextClassification)

def test_columns_of_both_texts(glue):
    "The first text is the first: a premise, a question."
    for name,(first,second) in dict(MNLI=('He said "0.', "He spoke 0."), QNLI=("Who is 0?", "He is 0."), QQP=("Why 0?", "How come 0?")).items():
        assert list(read_benchmark(name, glue).dataset["train"][0].values())[:2]==[first, second]

@pytest.mark.parametrize("called", ["sst2", "SST-2", "sst_2", "Sst-2"])
def test_folder_names(tmp_path, called):
    write_task(tmp_path, "SST-2", called, ends="\r\n")
    for source in (tmp_path, tmp_path/called): # the suite's folder, or the task's own
        rows = read_benchmark("sst2", source)
        assert len(rows.dataset["train"])==30 and set(label_texts(rows.dataset["train"]))=={"positive", "negative"}

def test_older_layouts(tmp_path):
    "CoLA in two validation files; MRPC without one, its copies kept together; where GLUE's own names are, they win."
    for name,n in dict(in_domain_train=20, in_domain_dev=3, out_of_domain_dev=4).items():
        write(tmp_path/"cola"/f"{name}.tsv", [["bc01", i%2, "", f"{name} {i}."] for i in range(n)])
    cola = read_benchmark("CoLA", tmp_path)
    assert cola.dataset["validation"]["text"][:]==[f"in_domain_dev {i}." for i in range(3)]+[f"out_of_domain_dev {i}." for i in range(4)]
    head = ["\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    pairs = [[i%2, i, i, f"One {i//2}.", f"Two {i//2}."] for i in range(200)] # each twice
    write(tmp_path/"mrpc"/"msr_paraphrase_train.txt", [head, *pairs])
    write(tmp_path/"mrpc"/"msr_paraphrase_test.txt", [head, *pairs[:9]])
    mrpc = read_benchmark("MRPC", tmp_path)
    train, validation = (set(mrpc.dataset[split]["text"]) for split in ("train", "validation"))
    assert mrpc.is_cut and len(mrpc.dataset["train"])+len(mrpc.dataset["validation"])==200 and validation and not train&validation
    assert len(mrpc.tests["test"])==9 and "label" not in mrpc.tests["test"] and mrpc.hidden==0
    write_task(tmp_path, "MRPC", "mrpc")
    write(tmp_path/"mrpc"/"dev_ids.tsv", [[1, 2]])
    assert len(read_benchmark("MRPC", tmp_path).dataset["train"])==30 and not read_benchmark("MRPC", tmp_path).is_cut

def test_torn_lines(tmp_path):
    "A question with a line break in it; as GLUE's reader does, what is no row is left out, here counted. Elsewhere it is an error."
    write_task(tmp_path, "QQP")
    with open(tmp_path/"QQP"/"train.tsv", "a") as f: f.write("99\t1\t2\tWho is\nshe?\tWho?\t0\n")
    rows = read_benchmark("QQP", tmp_path)
    assert len(rows.dataset["train"])==30 and rows.dropped==2
    write_task(tmp_path, "RTE")
    with open(tmp_path/"RTE"/"train.tsv", "a") as f: f.write("99\tIt rains\n")
    with pytest.raises(InputError, match="train.tsv: line 32 has 2 columns"): read_benchmark("RTE", tmp_path)

def test_rows_without_answers(tmp_path):
    "A hyphen, an empty text: dropped. −1: hidden. Neither is ever scored, and the counts tell."
    names = ["sentence1", "sentence2", "label"]
    write(tmp_path/"RTE"/"train.tsv", [names, *(["a", "b", x] for x in ("entailment", "not_entailment", "-1", "-"))])
    write(tmp_path/"RTE"/"dev.tsv", [names, ["a", "b", "0"], ["", "b", "1"], ["a", "b", "-1"], ["c", "d", "1"]])
    rows = read_benchmark("RTE", tmp_path)
    assert (len(rows.dataset["train"]), len(rows.dataset["validation"]), rows.hidden, rows.dropped)==(2, 2, 2, 2)
    assert label_texts(rows.dataset["validation"])==["entailment", "not_entailment"]
    numbers = ["sentence1", "sentence2", "score"]
    write(tmp_path/"STS-B"/"train.tsv", [numbers, ["a", "b", "-1"], ["a", "b", "0"], ["c", "d", "4.25"]])
    write(tmp_path/"STS-B"/"dev.tsv", [numbers, ["a", "b", "1"], ["a", "b", "-1"]])
    rows = read_benchmark("STS-B", tmp_path)
    assert rows.dataset["train"]["label"][:]==[0., 4.25] and rows.hidden==2

def published(label, texts, n=20, **hidden):
    "A data set of the hub: texts of these names, a label, its number; the splits in `hidden` have none."
    def rows(name, k):
        values = [-1]*k if name in hidden else [i%len(label.names) if isinstance(label, ClassLabel) else i%6*.9 for i in range(k)]
        return Dataset.from_dict({**{t: [f"{t} {name} {i}" for i in range(k)] for t in texts}, "label": values, "idx": range(k)},
                                 features=Features({**dict.fromkeys(texts, Value("string")), "label": label, "idx": Value("int32")}))
    splits = hidden.get("splits") or dict(train=n, validation=n//2, test=n//4)
    return DatasetDict({name: rows(name, k) for name,k in splits.items()})

def hub(monkeypatch, made):
    "A hub that has these data sets."
    monkeypatch.setattr("plm_nb.benchmarks.load_hub", lambda source: made[source])

def test_from_the_hub(monkeypatch):
    "By name and configuration: other columns, numbers for classes, −1 for what is hidden; also in STS-B, where it is a number."
    pair = ("sentence1", "sentence2")
    yes = ClassLabel(names=["entailment", "not_entailment"])
    three = ClassLabel(names=["entailment", "neutral", "contradiction"])
    splits = dict(train=20, validation_matched=6, validation_mismatched=7, test_matched=4, test_mismatched=5)
    made = {"nyu-mll/glue:rte": published(yes, pair, test=True), "nyu-mll/glue:stsb": published(Value("float32"), pair, test=True),
            "nyu-mll/glue:mrpc": published(ClassLabel(names=["not_equivalent", "equivalent"]), pair),
            "nyu-mll/glue:mnli": published(three, ("premise", "hypothesis"), splits=splits, test_matched=True, test_mismatched=True),
            "nyu-mll/glue:qnli": published(yes, ("question", "sentence"), test=True),
            "nyu-mll/glue:ax": published(three, ("premise", "hypothesis"), splits=dict(test=3), test=True)}
    hub(monkeypatch, made)
    for source in ("nyu-mll/glue", "nyu-mll/glue:rte"):
        rte = read_benchmark("RTE", source)
        assert (len(rte.dataset["train"]), len(rte.dataset["validation"]), len(rte.tests["test"]), rte.hidden)==(20, 10, 5, 5)
    stsb = read_benchmark("STS-B", "nyu-mll/glue")
    assert stsb.hidden==5 and min(stsb.dataset["validation"]["label"])==0 and "test" not in stsb.dataset
    mrpc = read_benchmark("MRPC", "nyu-mll/glue")
    assert mrpc.hidden==0 and len(mrpc.tests["test"])==5 and "test" not in mrpc.dataset # its labels are known, and not looked at
    mnli = read_benchmark("MNLI", "nyu-mll/glue")
    assert {s: len(r) for s,r in mnli.dataset.items()}==dict(train=20, validation=6, validation_mismatched=7)
    assert {s: len(r) for s,r in mnli.tests.items()}==dict(test=4, test_mismatched=5) and mnli.hidden==9
    assert read_benchmark("QNLI", "nyu-mll/glue").dataset["train"][0]["text"]=="question train 0"
    assert len(read_tests(DIAGNOSTIC, "nyu-mll/glue")["test"])==3

def test_other_files(tmp_path):
    "A saved data set, and the parquet files of a snapshot of the hub, also in shards."
    yes = ClassLabel(names=["entailment", "not_entailment"])
    made = published(yes, ("sentence1", "sentence2"), test=True)
    made.save_to_disk(tmp_path/"saved"/"rte")
    for split,rows in made.items():
        (tmp_path/"parquet"/"rte").mkdir(parents=True, exist_ok=True)
        for k in range(2):
            part = rows.shard(2, k, contiguous=True)
            part.to_parquet(tmp_path/"parquet"/"rte"/f"{split}-0000{k}-of-00002.parquet")
    for source in ("saved", "parquet"):
        rows = read_benchmark("RTE", tmp_path/source)
        assert label_texts(rows.dataset["train"])==["entailment", "not_entailment"]*10 and rows.hidden==5
        assert rows.dataset["train"]["text"][:]==[f"sentence1 train {i}" for i in range(20)]

def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False)+"\n" for row in rows), encoding="utf-8")

def test_tnews_form(tmp_path):
    "One sentence, a number that names a class, its description and keywords passed over; the classes are those that training shows."
    def row(i, label): return dict(label=label, label_desc="news_x", sentence=f"标题“{i}”", keywords="a,b")
    jsonl(tmp_path/"tnews_public"/"train.json", [row(i, ["102", "100", "116"][i%3]) for i in range(9)])
    jsonl(tmp_path/"tnews_public"/"dev.json", [row(i, "100") for i in range(4)])
    jsonl(tmp_path/"tnews_public"/"test.json", [dict(id=i, sentence="题", keywords="") for i in range(3)])
    rows = read_benchmark("TNEWS", tmp_path)
    assert rows.dataset["train"].features["label"].names==["100", "102", "116"] and rows.dataset["train"][0]["text"]=="标题“0”"
    assert (len(rows.dataset["validation"]), rows.hidden, len(rows.tests["test"]))==(4, 3, 3)
    jsonl(tmp_path/"iflytek"/"train.json", [dict(label=str(i%2), label_des="打车", sentence=f"应用{i}") for i in range(6)])
    jsonl(tmp_path/"iflytek"/"dev.json", [dict(label="1", label_des="打车", sentence="应用")])
    assert label_texts(read_benchmark("iflytek", tmp_path).dataset["train"])==["0", "1"]*3

@pytest.mark.parametrize("name,labels", [("OCNLI", ["neutral", "entailment", "contradiction"]), ("CMNLI", ["neutral", "entailment", "contradiction"]),
                                         ("AFQMC", ["0", "1"])])
def test_ocnli_form(tmp_path, name, labels):
    "Two sentences; a hyphen is no answer, and counted; of OCNLI's training files the largest, of whose rows the others are a part."
    def row(i, label): return dict(sentence1=f"他{i}", sentence2=f"她{i}", label=label, genre="phone", id=i)
    stem = "train.50k" if name=="OCNLI" else "train"
    jsonl(tmp_path/name.lower()/f"{stem}.json", [row(i, (labels+["-"])[i%(len(labels)+1)]) for i in range(12)])
    if name=="OCNLI": jsonl(tmp_path/"ocnli"/"train.3k.json", [row(0, "neutral")])
    jsonl(tmp_path/name.lower()/"dev.json", [row(i, labels[-1]) for i in range(3)] + [row(9, "-")])
    rows = read_benchmark(name, tmp_path)
    dropped = 12//(len(labels)+1)
    assert len(rows.dataset["train"])==12-dropped and rows.dropped==dropped+1
    assert rows.dataset["train"].features["label"].names==labels and set(label_texts(rows.dataset["validation"]))=={labels[-1]}

WRONG = [
    ("no task", lambda f: read_benchmark("GLEW", f), "benchmark 'GLEW': unknown; choose from CoLA, SST-2"),
    ("no folder", lambda f: read_benchmark("RTE", f/"QNLI"), "no folder RTE"),
    ("a file", lambda f: read_benchmark("RTE", f/"QNLI/dev.tsv"), "no folder RTE"),
    ("no train", lambda f: (f/"QNLI/train.tsv").unlink() or read_benchmark("QNLI", f), "no training rows of QNLI"),
    ("limit", lambda f: read_benchmark("QNLI", f, limit=0), "limit 0"),
    ("a class", lambda f: write(f/"QNLI/dev.tsv", [["question", "sentence", "label"], ["a", "b", "yes"]]) or read_benchmark("QNLI", f),
     "dev.tsv: row 1 has the label 'yes'; give one of entailment, not_entailment"),
    ("a number", lambda f: write(f/"STS-B/dev.tsv", [["sentence1", "sentence2", "score"], ["a", "b", "high"]]) or read_benchmark("STS-B", f),
     "dev.tsv: row 1 has 'high' for its label; give a finite number"),
    ("a column", lambda f: write(f/"MRPC/dev.tsv", [["a", "b"], ["c", "d"]]) or read_benchmark("MRPC", f),
     "dev.tsv: no column #1 String or sentence1 for the text; its columns are a, b"),
    ("twice", lambda f: write(f/"QNLI/train.jsonl", []) or read_benchmark("QNLI", f), "train.jsonl and train.tsv are both train"),
    ("empty", lambda f: write(f/"QNLI/dev.tsv", []) or read_benchmark("QNLI", f), "dev.tsv: the file holds no text"),
]

@pytest.mark.parametrize("why,read,message", WRONG, ids=[w[0] for w in WRONG])
def test_one_line_says_what_is_wrong(tmp_path, why, read, message):
    for name in ("QNLI", "STS-B", "MRPC"): write_task(tmp_path, name)
    with pytest.raises(InputError) as e: read(tmp_path)
    assert message in str(e.value) and "\n" not in str(e.value)

def test_limit(glue):
    "The same rows each time, in their order, and not the first ones."
    rows = read_benchmark("RTE", glue, limit=10)
    assert {split: len(some) for split,some in rows.dataset.items()}==dict(train=10, validation=10)
    numbers = [int(text.split()[-1].strip(".")) for text in rows.dataset["train"]["text"]]
    assert numbers==sorted(numbers)!=list(range(10)) and rows.dataset["train"]["text"]==read_benchmark("RTE", glue, limit=10).dataset["train"]["text"]

@pytest.mark.parametrize("seed", range(5))
def test_official_figures(seed):
    "Each task's own, as scikit-learn and scipy compute them, with weights too."
    rng = np.random.default_rng(seed)
    n = 50
    weights = rng.integers(0, 3, n)
    for name in GLUE:
        one = BENCHMARKS[name]
        if name=="STS-B": true, said = rng.uniform(0, 5, n), rng.uniform(0, 5, n)
        else: true, said = rng.choice(one.labels, n), rng.choice(one.labels, n)
        def reference(true, said):
            if name=="STS-B": return dict(pearson=stats.pearsonr(true, said).statistic, spearman=stats.spearmanr(true, said).statistic)
            found = dict(accuracy=sk.accuracy_score(true, said), matthews=sk.matthews_corrcoef(true, said))
            if len(one.labels)==2: found["f1"] = sk.f1_score(true, said, pos_label=one.positive)
            return {metric: found[metric] for metric in one.metrics}
        for times in (np.ones(n, int), weights):
            want = reference(np.repeat(true, times), np.repeat(said, times))
            found = official_scores(one, list(true), list(said), times)
            assert found.keys()==want.keys()
            for metric in want: assert found[metric]==pytest.approx(want[metric], abs=1e-9)

def test_which_figures():
    "Those of the leaderboard."
    told = {name: BENCHMARKS[name].metrics for name in GLUE}
    assert told.pop("CoLA")==("matthews",) and told.pop("STS-B")==("pearson", "spearman")
    assert told.pop("MRPC")==told.pop("QQP")==("f1", "accuracy") and set(told.values())=={("accuracy",)}

def test_a_hidden_label_is_no_class():
    for name in GLUE:
        one = BENCHMARKS[name]
        if not one.is_number:
            with pytest.raises(InputError, match="is no class"): official_scores(one, ["-1", one.labels[0]], [one.labels[0]]*2)

def test_constant_answer(glue):
    "Matthews 0, accuracy the share; of numbers the mean, whose correlation is 0."
    cola = read_benchmark("CoLA", glue)
    assert constant_scores(cola)=={"matthews": 0}
    assert constant_scores(read_benchmark("SST-2", glue))["accuracy"]==pytest.approx(8/12)
    assert constant_scores(read_benchmark("STS-B", glue))==dict(pearson=0, spearman=0)
    assert constant_scores(read_benchmark("MNLI", glue), "validation_mismatched")["accuracy"]==pytest.approx(4/12)

def test_average():
    "The mean of means, also of arrays."
    figures = dict(a=dict(x=1.), b=dict(x=0., y=.5))
    assert suite_average(figures)==.625
    assert suite_average({k: {m: np.array([v, v]) for m,v in f.items()} for k,f in figures.items()}).tolist()==[.625, .625]

def test_files_of_splits(tmp_path):
    "Other files are passed over."
    for name in ("train.tsv", "dev.tsv", "README.md", ".DS_Store", "train_old.tsv", "test.csv.gz", "dev_ids.tsv"): (tmp_path/name).touch()
    (tmp_path/"original").mkdir()
    assert {split: [p.name for p in some] for split,some in benchmark_files(tmp_path).items()}==dict(
        train=["train.tsv"], validation=["dev.tsv"], test=["test.csv.gz"])

def test_names():
    assert benchmark_named("mnli").name=="MNLI" and benchmark_named("QQP").positive=="duplicate"
    assert [one.key for one in BENCHMARKS.values()][:9]==["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    assert all(one.positive in (None, *one.labels) for one in BENCHMARKS.values())

# Files of the field; skipped where they are absent

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")

@pytest.mark.parametrize("name,train,validation,test,hidden", [("CoLA", 8551, 1043, 0, 0), ("MRPC", 4076, None, 1725, 0), ("RTE", 2490, 277, 3000, 3000)])
def test_real_rows(name, train, validation, test, hidden):
    "As many as their publishers say; MRPC's validation rows are cut from training."
    if not (DATA/name.lower()).is_dir(): pytest.skip(f"no {name.lower()} here; PLM_DATA may name the folder that holds it")
    rows = read_benchmark(name, DATA)
    sizes = {split: len(some) for split,some in rows.dataset.items()}
    if validation is None:
        assert rows.is_cut and sum(sizes.values())==train and 300<sizes["validation"]<500
    else: assert sizes==dict(train=train, validation=validation) and not rows.is_cut
    assert (sum(map(len, rows.tests.values())), rows.hidden, rows.dropped)==(test, hidden, 0)
