"""Every kind of model on BLiMP, for a person to run: `python benchmarks/minimal_pairs.py [--minutes M] [--limit N]`.

A 5-gram, an LSTM, a GPT-2 and a BERT learn one text, with one tokenizer and the same minutes for each network; stories260K, a Llama
that others have published, has read children's stories. All are asked for both sentences of every pair. Printed is the share of pairs
whose good sentence is likelier, in percent, in all and by field, with intervals of 95 % over paradigms, beside what the paper reports
(Warstadt et al., 2020, whole sentences; by field: means of its published results by paradigm) and a scorer that says the same of
everything. `PLM_DATA` names the folder of the data, `--out` one that is kept: run again with it, the script goes on where it was.
`--minutes .1 --limit 5` tries it out."""
import argparse, os, sys, tempfile, time
from pathlib import Path
import pandas as pd
from datasets import disable_progress_bars
from plm_nb.data import load_corpus
from plm_nb.minimal_pairs import minimal_pairs, pair_table, read_pairs
from plm_nb.ngram_runs import count_ngrams
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.tokenizer import load_tokenizer, train_tokenizer

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[2]/"shared"/"data")
FIELDS = ["morphology", "syntax", "syntax_semantics", "semantics"]
PUBLISHED = { # in all, then by field
    "paper: 5-gram": (61.2, 65.4, 61.5, 62.0, 50.9),
    "paper: LSTM": (69.8, 84.7, 64.8, 64.9, 62.2),
    "paper: Transformer-XL": (69.6, 81.3, 63.7, 69.9, 62.8),
    "paper: GPT-2 large": (83.0, 92.6, 79.4, 80.6, 78.0),
    "paper: people": (88.6,),
}
NETWORKS = {"LSTM": ("clm", "lstm"), "GPT-2 type": ("clm", "gpt2"), "BERT type": ("mlm", "bert")}

def say(*words): print(*words, file=sys.stderr, flush=True)

def tokenizer_in(out, corpus, vocab_size):
    "The tokenizer of `corpus`, trained once."
    if not (out/"tokenizer"/"tokenizer.json").is_file():
        train_tokenizer(corpus["train"]["text"], "wordpiece", vocab_size).save_pretrained(out/"tokenizer")
    return load_tokenizer(out/"tokenizer")

def trained(out, args):
    "The folder of each model by its name."
    corpus = load_corpus(args.corpus)
    tokenizer = tokenizer_in(out, corpus, args.vocab_size)
    if not (out/"ngram"/"MANIFEST.json").is_file(): count_ngrams(corpus, tokenizer, out/"ngram", 5)
    models = {"5-gram": out/"ngram"}
    for name,(objective,arch) in NETWORKS.items():
        how = PretrainingArguments(objective=objective, arch=arch, size=args.size, minutes=args.minutes, seed=args.seed)
        run = pretrain(corpus, tokenizer, out/arch, how, resume=True)
        say(f"{name}: {run.record['training']['steps']} steps, {run.record['training']['parameters']:,} weights")
        models[name] = run.path
    if (DATA/"stories260K/hf").is_dir(): models["stories260K"] = DATA/"stories260K/hf"
    return models

def cell(figures, name="accuracy"):
    "A figure with its interval, in percent."
    return f"{100*figures[name]:.1f} ({100*figures[name+'_low']:.1f} to {100*figures[name+'_high']:.1f})"

def row(found):
    "The line of a model."
    by_field = {field: cell(found["fields"][field]) for field in FIELDS}
    return {"all": cell(found), **by_field, "per token": cell(found, "per_token_accuracy"), "pairs": found["pairs"]}

def constant(pairs):
    "What a scorer gets that says the same of everything."
    same = dict(good_nats=1., good_tokens=1, bad_nats=1., bad_tokens=1)
    lines = [dict(same, paradigm=p, field=f) for p,f in zip(pairs["paradigm"], pairs["field"])]
    return dict(pair_table(lines).loc["all"], fields=pair_table(lines, "field").to_dict("index"))

def main(args):
    out = Path(args.out or tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    table = {}
    for name,model in trained(out, args).items():
        start = time.monotonic()
        run = out/f"blimp-{args.limit or 'all'}-{name.replace(' ', '-')}"
        found = minimal_pairs(model, args.data, args.limit, out=run, resume=True)
        seconds = time.monotonic()-start
        say(f"{name}: {cell(found)} in {seconds:.0f} s")
        table[name] = dict(row(found), seconds=round(seconds))
    found = constant(read_pairs(args.data, args.limit))
    table["the same for all"] = dict(row(found), pairs=int(found["pairs"]), seconds=0)
    for name,figures in PUBLISHED.items(): table[name] = dict(zip(["all", *FIELDS], figures))
    print(pd.DataFrame(table).T.fillna("").to_string())

if __name__=="__main__":
    disable_progress_bars()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of training for each network")
    parser.add_argument("--limit", type=int, help="pairs of each paradigm; all, if not given")
    parser.add_argument("--size", default="tiny", help="of the networks: tiny, mini, small …")
    parser.add_argument("--corpus", default="docs", help="what they read: docs, a file, a folder or a hub name")
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default=DATA/"blimp/BLiMP.zip", help="BLiMP.zip as it lies")
    parser.add_argument("--out", help="folder for the runs; a new one that is not kept, if not given")
    main(parser.parse_args())
