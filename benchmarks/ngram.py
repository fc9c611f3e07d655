"""Counting in seconds: `python benchmarks/ngram.py`, one thread, on a quiet machine.

The text is the embedded `docs`, in sub-words, repeated nowhere: 0.25, 0.5 and 1 million tokens (or those of `--tokens`).
Printed are the seconds to fit a 5-gram, its size, the peak of what numpy allocated beyond the text, and the tokens a second
that it scores of other text."""
import argparse, statistics, time, tracemalloc
import numpy as np
from plm_nb.data import load_corpus
from plm_nb.ngram import NGram
from plm_nb.perplexity import bits_per_byte
from plm_nb.tokenizer import encode, train_tokenizer

def stream(texts, tokenizer):
    "All tokens of `texts` in one row, each text between its marks."
    rows = [[tokenizer.cls_token_id, *ids, tokenizer.sep_token_id] for ids in encode(texts, tokenizer)]
    return np.concatenate(rows)

def timed(work, rounds=3):
    "The median of a few rounds in seconds, and the last result."
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter()-start)
    return statistics.median(times), result

def allocated(work):
    "The most that `work` allocated at a time, in bytes."
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[250_000, 500_000, 1_000_000])
    sizes = parser.parse_args().tokens
    docs = load_corpus("docs")
    tokenizer = train_tokenizer(docs["train"]["text"][:2000], "byte-bpe", 4096)
    train, unseen = (stream(docs[split]["text"], tokenizer) for split in ("train", "validation"))
    n_bytes = sum(len(text.encode()) for text in docs["validation"]["text"])
    for n in sizes:
        def fit(): return NGram.fit(train[:n], len(tokenizer), order=5, bos=tokenizer.cls_token_id)
        took, model = timed(fit)
        peak = allocated(fit)
        scoring, nats = timed(lambda: model.nats(unseen))
        kept = sum(x.nbytes for x in [*model.logp, *model.backoff, *model.keys])
        print(f"{len(train[:n]):>9,} tokens: fit {took:.2f} s, {kept/2**20:.0f} MiB kept, peak {peak/2**20:.0f} MiB; "
              f"scores {len(unseen)/scoring:,.0f} tokens/s ({bits_per_byte(nats.sum(), n_bytes):.3f} bits per byte)",
              flush=True)

if __name__=="__main__": main()
