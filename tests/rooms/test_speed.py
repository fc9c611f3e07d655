"Contests of speed: what is counted is right, and the command says it in the agreed words."
import json, subprocess, sys
import pytest
from plm_nb.objectives import CausalLM
from plm_nb.speed import SUITES, WAYS, contest, limit, operations, race, ratios
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
from plm_nb.models import build

TEXTS = [" ".join(f"word{(i*j)%97}" for j in range(1, 30+i%50)) for i in range(200)]

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(TEXTS, "wordpiece", 400)

def test_operations(tok):
    "GPT-2 answers at every token but the last of a row, so the sum can be done by hand."
    model, rows, n, width, layers = build("mini", tok, "text-generation", "gpt2"), pack(TEXTS, tok, 64), 4*64, 256, 4
    batch = CausalLM(tok)([rows[i] for i in range(4)])
    asked = int((batch["labels"][:, 1:]!=-100).sum())
    by_hand = 6*(n*layers*12*width**2 + asked*width*len(tok) + 2*n*layers*64*width)
    assert operations(model, batch)==pytest.approx(by_hand, rel=.01)

def test_limit():
    "No program multiplies faster than the limit that was measured, give or take the noise of a machine."
    assert 1e9<limit(.2)<1e16

def test_ratios_are_of_the_same_round(tok):
    "A machine that slows down between rounds changes no ratio."
    class Tired:
        n = 0
        def at(self, speed): self.n += 1; return speed/(1+(self.n-1)//4)
        def recipe(self): return self.at(1.)
        def hf_default(self): return self.at(2.)
        def hf_best(self): return self.at(4.)
        def ours(self): return self.at(8.)
    found = ratios(race(Tired(), 3))
    assert {k: set(v.values()) for k,v in found.items()}==dict(vs_recipe={8.}, vs_hf_default={4.}, vs_hf_best={2.})

@pytest.mark.parametrize("suite", SUITES)
def test_every_way_does_the_same_work(tok, suite):
    "Each way of each contest runs and says a rate."
    known = contest(suite, TEXTS, tok, quick=True)
    found, ways = race(known, 1), {w for w in WAYS if hasattr(known, w)}
    assert ways<={*found} and ways>={"recipe", "ours"} and (found>0).all(axis=None)

def test_the_command(tmp_path):
    "`plm bench tokenize --quick --json` prints one object with the agreed keys."
    text = tmp_path/"some.txt"
    text.write_text("\n\n".join(TEXTS*5))
    plm = [sys.executable, "-c", "import sys; from plm_nb.cli import main; sys.exit(main(sys.argv[1:]))"]
    done = subprocess.run([*plm, "bench", "tokenize", "--quick", "--json", "--corpus", text], capture_output=True, text=True)
    assert done.returncode==0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["ratios"])=={"vs_recipe", "vs_hf_default", "vs_hf_best"} and found["machine"]
    assert all(set(r)=={"median", "low", "high"} for r in found["ratios"].values())
