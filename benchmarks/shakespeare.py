"""How well 74 seconds learn Shakespeare's plays, character by character: `python benchmarks/shakespeare.py input.txt`.

The file is cut at nine tenths. In turns, once a seed: a recurrent network alone for all of the time, and a 7-gram with a
network for what is left of it, whose probabilities are averaged. Printed are nats per character of the last tenth, and the
steps that the machine made, for its speed decides. nanoGPT's configuration for a CPU reaches 1.88 in its README, the one for
an A100 1.47. Two cores are far slower than one A100: toy scale."""
import argparse, tempfile, time
from pathlib import Path
import numpy as np
from plm_nb.data import load_corpus
from plm_nb.ladder import mixture
from plm_nb.models import load
from plm_nb.ngram_runs import count_ngrams
from plm_nb.perplexity import text_nats
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.tokenizer import train_tokenizer

def nats(run, tokenizer, text):
    "The nats of each character of `text` under the model of `run`."
    return text_nats(load(run.path, "text-generation"), tokenizer, text, window=1024)[0].numpy()

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--seconds", type=float, default=74)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arch", default="lstm")
    parser.add_argument("--size", default="micro")
    asked = parser.parse_args()
    corpus = load_corpus(asked.file, holdout="tail:0.1")
    tokenizer = train_tokenizer(corpus["train"]["text"], "char")
    [text] = corpus["validation"]["text"]
    here = Path(tempfile.mkdtemp())
    def network(name, seed, seconds):
        args = PretrainingArguments(objective="clm", arch=asked.arch, size=asked.size, minutes=seconds/60, seed=seed,
                                    settings=dict(weight_decay=.1))
        return pretrain(corpus, tokenizer, here/name, args)
    for seed in asked.seeds:
        alone = network(f"alone-{seed}", seed, asked.seconds)
        start = time.monotonic()
        counted = count_ngrams(corpus, tokenizer, here/f"counted-{seed}", 7)
        spent = time.monotonic()-start
        beside = network(f"beside-{seed}", seed, asked.seconds-spent)
        of_counts = nats(counted, tokenizer, text)
        together = mixture(nats(beside, tokenizer, text), of_counts).mean()
        found = alone.record["results"]["validation"]["nats_per_char"]
        steps = alone.record["training"]["steps"]
        print(f"seed {seed}: alone {found:.3f} ({steps:,} steps), 7-gram {of_counts.mean():.3f} ({spent:.1f} s), "
              f"together {together:.3f}", flush=True)

if __name__=="__main__": main()
