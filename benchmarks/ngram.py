"""Counting in seconds: `python benchmarks/ngram.py`, one thread, on a quiet machine.

The text is the embedded `docs`, in sub-words, repeated nowhere: 0.25, 0.5 and 1 million tokens. Printed are the seconds to fit
a 5-gram, its size, the peak of what numpy allocated beyond the text, and the tokens a second that it scores of other text."""
import statistics, time, tracemalloc
import numpy as np
from plm_nb.data import load_corpus
from plm_nb.ngram import NGram
from plm_nb.tokenizer import encode, train_tokenizer

def stream(texts, tokenizer):
    return np.concatenate([[tokenizer.cls_token_id, *ids, tokenizer.sep_token_id] for ids in encode(texts, tokenizer)])

def seconds(work, rounds=3):
    "The median of a few rounds, and the last result."
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter()-start)
    return statistics.median(times), result

if __name__=="__main__":
    docs = load_corpus("docs")
    tokenizer = train_tokenizer(docs["train"]["text"][:2000], "byte-bpe", 4096)
    train, heldout = (stream(docs[part]["text"], tokenizer) for part in ("train", "validation"))
    for n in (250_000, 500_000, 1_000_000):
        def fit(): return NGram.fit(train[:n], len(tokenizer), order=5, bos=tokenizer.cls_token_id)
        took, model = seconds(fit)
        tracemalloc.start()
        fit()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        scored, nats = seconds(lambda: model.nats(heldout))
        kept = sum(x.nbytes for x in [*model.logp, *model.backoff, *model.keys])
        print(f"{len(train[:n]):>9,} tokens: fit {took:.2f} s, {kept/2**20:.0f} MiB kept, peak {peak/2**20:.0f} MiB; "
              f"scores {len(heldout)/scored:,.0f} tokens/s ({nats.sum()/np.log(2)/sum(len(t.encode()) for t in docs['validation']['text']):.3f} "
              "bits per byte)", flush=True)
