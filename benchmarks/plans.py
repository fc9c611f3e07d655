"""Do plans come true? For a person to run on a quiet machine: `python benchmarks/plans.py [--minutes 1.5]`.

Three trainings are planned by `plm pretrain --dry-run`, and then made: a BERT for a number of steps, a GPT-2 for passes over its corpus, an LSTM for minutes.
Printed are the seconds of the whole command and the most memory that was resident, planned and real, and by how much the plan was off."""
import argparse, json, os, subprocess, sys, tempfile, time
from pathlib import Path
import pandas as pd
from plm_nb.data import load_corpus
from plm_nb.tokenizer import train_tokenizer

def called(*options):
    "The JSON of `plm pretrain` with `options`, its seconds, and its most memory in GB."
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, "-m", "plm_nb", "pretrain", *options, "--json"], stdout=out, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic()-start
        if os.waitstatus_to_exitcode(status): sys.exit(f"failed: {' '.join(options)}")
        out.seek(0)
        return json.loads(out.read()), seconds, used.ru_maxrss/2**20

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.5, help="of each training, about")
    args = parser.parse_args()
    here = Path(tempfile.mkdtemp())
    docs = load_corpus("docs")
    train_tokenizer(docs["train"]["text"][:4000], "wordpiece", 4096).save_pretrained(here/"words")
    (here/"text.txt").write_text("\n".join(docs["train"]["text"][:1500]))
    words = ["--tokenizer", str(here/"words")]
    wanted = {"BERT, steps": [*words, "--size", "mini", "--steps", str(round(250*args.minutes))],
              "GPT-2, passes": [*words, "--corpus", str(here/"text.txt"), "--objective", "clm", "--size", "tiny", "--epochs", str(3*args.minutes)],
              "LSTM, minutes": [*words, "--objective", "clm", "--arch", "lstm", "--size", "tiny", "--minutes", str(args.minutes)]}
    table = {}
    for i,(name,options) in enumerate(wanted.items()):
        planned, rehearsal, _ = called(*options, "--dry-run")
        made, seconds, gb = called(*options, "--out", str(here/f"run-{i}"))
        table[name] = {"seconds, planned": planned["seconds"], "seconds": seconds, "off": planned["seconds"]/seconds-1,
                       "GB, planned": planned["memory_gb"], "GB": gb, "memory off": planned["memory_gb"]/gb-1,
                       "steps, planned": planned["steps"], "steps": made["train"]["steps"], "rehearsal, seconds": rehearsal}
        print(pd.Series(table[name]).round(3).to_dict(), flush=True)
    print(pd.DataFrame(table).T.round(3).to_string())

if __name__=="__main__": main()
