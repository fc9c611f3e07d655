"What a program does not use it does not read, and memory that it keeps costs no page faults."
import inspect, resource, subprocess, sys
import pytest
import torch
from plm_nb.thrift import kept_memory, late

def said(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200)
    assert done.returncode==0, done.stderr
    return done.stdout.split()

def test_late_reads_when_asked():
    program = """import sys
from plm_nb.thrift import late
plt = late("wsgiref.headers")
print("wsgiref" in sys.modules, plt.Headers.__name__, "wsgiref.headers" in sys.modules)"""
    assert said(program)==["False", "Headers", "True"]

def test_late_is_the_module():
    import statistics
    assert late("statistics").mean is statistics.mean
    with pytest.raises(AttributeError): late("statistics").no_such_thing
    with pytest.raises(ModuleNotFoundError, match="no_such_module"): late("no_such_module").anything

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(2**24).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt-before

@pytest.mark.skipif(sys.platform!="linux", reason="other systems keep memory in their own way")
def test_memory_stays_and_goes():
    "In a new process: one that has done much may find a place between what it holds."
    program = f"""import resource, torch
from plm_nb.thrift import kept_memory
{inspect.getsource(faults)}
with kept_memory(): kept = [faults() for _ in range(12)]
print(*kept, *[faults() for _ in range(4)])"""
    found = [int(n) for n in said(program)]
    kept, after = found[:12], found[12:]
    if not max(after): pytest.skip("another allocator keeps memory here")
    assert min(kept)<max(after)/10, (kept, after)
    assert after[0]>max(after)/2, "it was given back, so the next one pays"

@pytest.mark.skipif(sys.platform!="linux", reason="other systems keep memory in their own way")
def test_only_the_outermost_gives_back():
    "A scoring in the midst of a training closes nothing."
    with kept_memory():
        first = [faults() for _ in range(12)]
        with kept_memory(): pass
        after = [faults() for _ in range(12)]
    assert max(after[-6:])<=max(first)/10, (first, after)

def test_an_error_gives_it_back():
    with pytest.raises(ZeroDivisionError), kept_memory(): 1/0
    assert faults()>=0

ASKED = """import sys
from plm_nb import predict
found = predict(sys.argv[1], ["the film"])
print(*sorted({name.partition('.')[0] for name in sys.modules}))"""

def test_what_a_prediction_reads(tmp_path):
    "None of what draws, scores or searches."
    from plm_nb import FinetuningArguments, finetune, train_tokenizer
    rows = [dict(text=f"a {word} film {i}", label=word) for i in range(20) for word in ("good", "bad")]
    tok = train_tokenizer([row["text"] for row in rows], "wordpiece", 60)
    run = finetune(rows, out=tmp_path/"run", args=FinetuningArguments(epochs=1, size="tiny"), task="text-classification", tokenizer=tok)
    program = ASKED.replace("sys.argv[1]", repr(str(run.path)))
    read = {*said(program)}
    assert "torch" in read and not read & {"matplotlib", "sklearn", "sacrebleu", "IPython", "onnxruntime"}
