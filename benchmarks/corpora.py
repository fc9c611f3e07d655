"""A corpus larger than memory should be, for a person to run: `python benchmarks/corpora.py [--gb 2] [--kills 3] [--out DIR]`.

A 7-gram writes text, and seeded draws of its sentences become documents: as many as `--gb` says, in files of every kind that is read (plain, tables,
packed, archives). Then `plm tokenizer` and `plm pretrain` are run on the folder. Measured are megabytes a second of reading and of cutting into
tokens, beside `datasets.map` with `group_texts` as the example scripts of transformers use them; the memory of `plm pretrain`, and the seconds
to its first step, without and with blocks. With `--kills N` the cutting is killed so often, and its last bytes are compared with those of a run
that nobody stopped. `--gb .05` tries it out."""
import argparse, csv, gzip, hashlib, io, json, os, random, resource, signal, subprocess, sys, tarfile, tempfile, time, zipfile
from itertools import chain
from pathlib import Path
import numpy as np
import pandas as pd
import pyarrow as pa
from plm_nb.data import load_corpus
from plm_nb.documents import cache_folder
from plm_nb.ngram import NGram
from plm_nb.tokenizer import encode, load_tokenizer, train_tokenizer

def say(*words): print(*words, flush=True)

def written(characters=400_000, width=512, seed=0):
    "Sentences that a 7-gram over characters writes, after the documentation."
    texts = load_corpus("docs")["train"]["text"][:3000]
    letters = train_tokenizer(texts, "char", 128)
    start, end = letters.cls_token_id, letters.sep_token_id
    model = NGram.fit([[start, *ids, end] for ids in encode(texts, letters)], len(letters), 7, bos=start)
    rng = np.random.default_rng(seed)
    rows = np.full((width, 1), start)
    for _ in range(characters//width):
        recent = rows[:, -6:]
        past = np.minimum(np.arange(recent.size)%recent.shape[1], 6)
        logp = model._next(recent.ravel(), past).reshape(*recent.shape, -1)[:, -1]
        noise = rng.gumbel(size=logp.shape)
        rows = np.hstack([rows, (logp+noise).argmax(1)[:, None]])
    spelled = letters.batch_decode(rows, skip_special_tokens=True)
    return [s.strip()+"." for text in spelled for s in text.replace(" ##", "").split(".") if len(s)>20]

def documents(sentences, size, seed):
    "Documents of 2 to 40 of the `sentences`, until they have `size` bytes."
    draw = random.Random(seed)
    while size>0:
        text = " ".join(draw.choices(sentences, k=draw.randint(2, 40)))
        size -= len(text.encode())
        yield text

def as_jsonl(texts): return "".join(json.dumps(dict(text=t))+"\n" for t in texts).encode()

def as_csv(texts):
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["text"], *([t] for t in texts)])
    return out.getvalue().encode()

def make(folder, size, sentences):
    "Eight files of about the same size, each of another kind."
    part = size//8
    def some(i): return list(documents(sentences, part, i))
    (folder/"a.jsonl").write_bytes(as_jsonl(some(0)))
    (folder/"b.csv").write_bytes(as_csv(some(1)))
    (folder/"c.txt").write_text("\n".join(some(2)))
    with gzip.open(folder/"d.jsonl.gz", "wb", 1) as file: file.write(as_jsonl(some(3)))
    with pa.output_stream(str(folder/"e.jsonl.zst"), compression="zstd") as file: file.write(as_jsonl(some(4)))
    pd.DataFrame(dict(text=some(5))).to_parquet(folder/"f.parquet")
    with zipfile.ZipFile(folder/"g.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z: z.writestr("g.jsonl", as_jsonl(some(6)))
    with tarfile.open(folder/"h.tar", "w") as tar:
        data = as_jsonl(some(7))
        info = tarfile.TarInfo("h.jsonl")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

def run(command, until=None, kill_after=None):
    "Seconds of `command`, its peak memory in GB; with `until`, the seconds until that file holds a line."
    start, first = time.monotonic(), None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while True:
        done, status, used = os.wait4(process.pid, os.WNOHANG)
        if done: break
        if until and first is None and until.is_file() and until.read_text().strip(): first = time.monotonic()-start
        if kill_after and time.monotonic()-start>kill_after: os.killpg(process.pid, signal.SIGKILL) if os.getpgid(process.pid)==process.pid else process.kill()
        time.sleep(.05)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not kill_after: sys.exit(process.stderr.read())
    return dict(seconds=time.monotonic()-start, gb=used.ru_maxrss/2**20, first=first)

def hub_script(texts, tokenizer, block_size):
    "Megabytes a second of `datasets.map` as the example scripts of transformers use it."
    from datasets import Dataset
    rows = Dataset.from_dict(dict(text=texts))
    def group(rows):
        whole = {k: list(chain(*rows[k])) for k in rows}
        n = len(whole["input_ids"])//block_size*block_size
        return {k: [v[i:i+block_size] for i in range(0, n, block_size)] for k,v in whole.items()}
    start = time.monotonic()
    def cut(some): return tokenizer(some["text"], return_special_tokens_mask=True)
    ids = rows.map(cut, batched=True, remove_columns=["text"], num_proc=os.cpu_count())
    ids.map(group, batched=True, num_proc=os.cpu_count())
    return sum(len(t.encode()) for t in texts)/2**20/(time.monotonic()-start)

def cut(source, tokenizer, kills):
    "Seconds of keeping and cutting the corpus at `source`, with as many kills on the way."
    code = ("import sys, time\nfrom plm_nb.blocks import load_mixture, rows_of\nfrom plm_nb.tokenizer import load_tokenizer\nt = time.monotonic()\n"
            "corpus = load_mixture(sys.argv[1])\nread = time.monotonic()-t\nt = time.monotonic()\nwords = load_tokenizer(sys.argv[2])\n"
            "for split in ('train', 'validation'): rows_of(corpus, split, words, 128)\nprint(read, time.monotonic()-t, corpus.folder)\n")
    command = [sys.executable, "-c", code, str(source), str(tokenizer)]
    for wait in kills:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left = len(list((cache_folder()/"corpora").rglob("*.tokens")))
        say(f"killed after {wait:.0f} s, {left} parts are there")
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(out[0]), float(out[1]), Path(out[2])

def digest(folder):
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.arrow")):
        with open(file, "rb") as f: found.update(hashlib.file_digest(f, "sha256").digest())
    return found.hexdigest()[:16]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--out", help="folder that is kept; otherwise a temporary one")
    args = parser.parse_args()
    here = Path(args.out or tempfile.mkdtemp())
    source = here/"corpus"
    if not source.is_dir():
        source.mkdir(parents=True)
        sentences = written()
        say(f"{len(sentences)} sentences, such as: {sentences[1]}")
        make(source, int(args.gb*2**30), sentences)
    text = args.gb*2**10
    say({f.name: round(f.stat().st_size/2**20) for f in sorted(source.iterdir())}, "MiB")
    os.environ["XDG_CACHE_HOME"] = str(here/"cache")
    plm = [sys.executable, "-m", "plm_nb"]
    if not (here/"words").is_dir(): say("tokenizer:", run([*plm, "tokenizer", "--corpus", str(source), "--out", str(here/"words"), "--vocab-size", "8000"]))
    read, seconds, folder = cut(source, here/"words", [])
    whole = digest(folder)
    say(f"reading {text/max(read, .01):.0f} MB/s (kept before: only opened), cutting {text/seconds:.1f} MB/s, {os.cpu_count()} processes, {seconds:.0f} s")
    if args.kills:
        for blocks in folder.glob("blocks-*"): subprocess.run(["rm", "-r", str(blocks)], check=True)
        share = seconds/(args.kills+1)
        _, rest, _ = cut(source, here/"words", [share+5]*args.kills)
        say(f"after {args.kills} kills the last run took {rest:.0f} s; the same bytes: {digest(folder)==whole}")
    words = load_tokenizer(here/"words")
    some = list(documents([t for t in load_corpus('docs')['train']['text'][:2000]], 50*2**20, 1))
    say(f"datasets.map as in the example scripts: {hub_script(some, words, 128):.1f} MB/s")
    out = here/f"run-{time.time():.0f}"
    first = run([*plm, "pretrain", "--corpus", str(source), "--tokenizer", str(here/"words"), "--size", "tiny", "--steps", "20", "--out", str(out)],
                until=out/"log.jsonl")
    say("pretrain, blocks there:", {k: v and round(v, 2) for k,v in first.items()})

if __name__=="__main__": main()
