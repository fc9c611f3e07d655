"Are two runs the same? Weights are, bit for bit; what is computed from them is to rounding, which is a processor's own affair."
import json, math
from plm_nb.data import sha256

def close(a, b):
    "Are `a` and `b`, as JSON holds them, the same but for the last digits of their numbers?"
    if isinstance(a, float): return isinstance(b, (int, float)) and math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-8)
    if isinstance(a, dict): return isinstance(b, dict) and a.keys()==b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list): return isinstance(b, list) and len(a)==len(b) and all(map(close, a, b))
    return a==b

def lines(path): return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

def assert_same_run(a, b):
    "Fail unless the run folders `a` and `b` hold the same model, losses and scores."
    for name in ("model.safetensors", "tokenizer.json", "config.json"): assert sha256(a/name)==sha256(b/name), name
    for name in ("log.jsonl", "scores.jsonl"): assert close(lines(a/name), lines(b/name)), name
