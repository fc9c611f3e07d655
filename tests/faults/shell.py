"The command line as a process of its own, and signals to it."
import subprocess, sys, time
from pathlib import Path
from kills import ENV

LIMIT = 120 # seconds, after which the process shows where it stands and ends
WORDS = "cat dog owl fox hen bee ant elk cow pig rat bat".split()

def corpus(folder):
    "A file of small sentences in `folder`."
    path = Path(folder)/"corpus.txt"
    path.write_text("\n".join(f"the {WORDS[i%12]} saw the {WORDS[i*i%11]} and {WORDS[i%7]}." for i in range(900)))
    return path

def pretrain(corpus, out, *more):
    "Arguments of a pretraining of a second or two."
    usual = "--tokenizer char --size tiny --block-size 32 --batch-size 8 --steps 160"
    return ["pretrain", "--corpus", str(corpus), "--out", str(out), *usual.split(), *more]

CODE = f"""import sys
from forks import end_after
end_after({LIMIT})
from plm_nb.cli import main
sys.exit(main())"""

def plm(arguments, when=lambda: False, sign=None):
    "Run `plm`; send it the signal `sign` as soon as `when` holds. Its exit code and what it said."
    with subprocess.Popen([sys.executable, "-c", CODE, *arguments], env=ENV, text=True, stderr=subprocess.PIPE,
                          stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not when(): time.sleep(.005)
        if process.poll() is None and sign: process.send_signal(sign)
        said = process.communicate()[1]
        return process.returncode, said
