"""What choosing settings costs, for a person to run: `python benchmarks/selection.py [--repeats 5 --n-iter 6 --folds 3 --inner 3]`.

A mini model reads the documentation for a minute (`--minutes`, or `--model DIR` for one that is there). Then the strength of L2-SP, the
learning rate and the number of passes are chosen by cross-validation on 200 labels of `docs-package`, 25 of each library, as often
as `--repeats` says, each time on other rows. Printed are the naive score, the best that the search saw, and the nested one, which
no choice has seen; and the mean of their difference, the optimism, with its interval over the repetitions. `--quick` tries it out."""
import argparse, tempfile
from pathlib import Path
import pandas as pd
from datasets import disable_progress_bars
from scipy import stats
from plm_nb.data import load_corpus
from plm_nb.estimators import TextClassifier
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.selection import parse_grid, search
from plm_nb.tasks import load_task, sample_per_class
from plm_nb.tokenizer import train_tokenizer

GRID = {"l2_sp": "0,10,100,1000", "learning_rate": "1e-4,3e-4,1e-3", "epochs": "2,5,10"}

def pretrained(args):
    "The folder of a model that has read the documentation."
    docs = load_corpus("docs")
    tokenizer = train_tokenizer(docs["train"]["text"][:6000], "wordpiece", 4096)
    budget = dict(steps=20) if args.quick else dict(minutes=args.minutes)
    size = "tiny" if args.quick else "mini"
    return pretrain(docs, tokenizer, Path(tempfile.mkdtemp())/"base", PretrainingArguments(size=size, **budget)).path

def repetition(seed, model, rows, args):
    "A line of the table: one handful of rows, searched."
    handful = sample_per_class(rows, args.per_class, seed)
    net = TextClassifier(str(model), random_state=seed)
    grid = parse_grid(net, {**GRID, "epochs": "1,2"} if args.quick else GRID)
    found = search(net, grid, handful, folds=args.folds, inner=args.inner, n_iter=args.n_iter, seed=seed)
    return dict(found.best, naive=found.naive, nested=found.nested, low=found.nested_low, high=found.nested_high,
                optimism=found.naive-found.nested)

def interval(values):
    "Mean and both ends of the interval of 95 % of `values`, by Student's t."
    mean, half = values.mean(), values.sem()*stats.t.ppf(.975, len(values)-1)
    return mean, mean-half, mean+half

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of a model to start from; otherwise one is pretrained")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n-iter", type=int, default=6, help="settings to draw of the 36")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--inner", type=int, default=3)
    parser.add_argument("--per-class", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few passes")
    args = parser.parse_args()
    disable_progress_bars()
    model = args.model or pretrained(args)
    rows = load_task("docs-package")["train"]
    found = []
    for seed in range(args.repeats):
        found.append(repetition(seed, model, rows, args))
        print({name: round(value, 4) for name,value in found[-1].items()}, flush=True)
    table = pd.DataFrame(found)
    print(table.round(3).to_string(), end="\n\n")
    for name in ("naive", "nested", "optimism"):
        mean, low, high = interval(table[name])
        print(f"{name}: {mean:.3f}, 95 % {low:.3f} to {high:.3f} over {len(table)} repetitions")

if __name__=="__main__": main()
