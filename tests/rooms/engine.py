"""One training, cut into batches and processes in other ways, and the memory of an evaluation.

`python engine.py memory OBJECTIVE` prints the peaks of a small and of a large evaluation, in MiB; under `torchrun`,
`engine.py train FILE BATCH PARTS` saves what `train` gives, for a step of `LONG` and 40 steps of `SHARED`.
"""
import json, os, re, resource, sys, tempfile
from copy import deepcopy
from functools import cache
from pathlib import Path
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, TrainerCallback
from plm_nb.text_classification import encode_rows
from plm_nb.finetuning import padded
from plm_nb.objectives import OBJECTIVES, add_sentinels
from plm_nb.tokenizer import train_tokenizer
from plm_nb.budgets import arguments
from plm_nb.training import Trainer
from plm_nb.models import build, config, layout

WORDS = [f"word{i}" for i in range(31)]
TEXTS = [". ".join(" ".join(WORDS[(i*j+k)%31] for j in range(1, 3+(i+k)%5)) for k in range(4))+"." for i in range(60)]
CASES = [*((o, a) for o,r in OBJECTIVES.items() for a in r.archs), ("classes", "bert"), ("classes", "gpt2")]
LONG = [("mlm", "bert"), ("mlm+nsp", "bert"), ("clm", "gpt2"), ("clm", "lstm"), ("permutation", "xlnet"), ("denoise", "t5"),
        ("classes", "bert")] # one of each kind
SHARED = [("mlm+nsp", "bert"), ("clm", "gpt2"), ("classes", "bert")] # their losses are counted in three ways

@cache
def tokenizer(arch):
    tok = train_tokenizer(TEXTS, "wordpiece", 120)
    return add_sentinels(tok, 20) if arch=="t5" else tok

def uneven(collate):
    "A collator whose rows ask for very different numbers of labels: as many of the first as the row itself decides."
    def rows(batch):
        found = collate(batch)
        for row in found["labels"] if found["labels"].ndim>1 else ():
            asked = (row!=-100).nonzero()[:, 0]
            row[asked[2+int(row[asked].sum())%len(asked):]] = -100
        return found
    return rows

def case(objective, arch):
    "Model, 24 rows and collator; without dropout, and with questions that belong to the row."
    tok = tokenizer(arch)
    if objective=="classes":
        rows, _ = encode_rows(Dataset.from_dict(dict(text=TEXTS[:24], label=[i%3 for i in range(24)])), tok)
        return build("tiny", tok, "text-classification", arch, labels=["a", "b", "c"]), rows, padded(tok)
    recipe, own = OBJECTIVES[objective], dict(infill=True) if arch=="bart" else {}
    if objective=="mlm": own = layout(config(arch, "tiny", len(tok)))
    rows = recipe.rows(TEXTS, tok, 24).select(range(24))
    return build("tiny", tok, recipe.task, arch), rows, uneven(recipe.collator(tok, seed=0, **own))

def flat(tensors): return torch.cat([x.detach().flatten().double() for x in tensors if x is not None])

class Watched(Trainer):
    "Keeps the loss and the gradients of the first step."
    first, gradients = 0., None
    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        if not self.state.global_step: self.first += self.accelerator.reduce(loss, "mean").item()
        return loss

class Gradients(TrainerCallback):
    def __init__(self): self.found = None
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if self.found is None: self.found = flat(p.grad for p in model.parameters())

@cache
def train(objective, arch, size, parts, steps):
    "Loss and gradients of the first step, and the weights after `steps`, for batches of `size` rows in `parts` parts."
    model, rows, collate = case(objective, arch)
    with tempfile.TemporaryDirectory() as out:
        args = arguments(out, steps=steps, bf16=False, max_grad_norm=0, per_device_train_batch_size=size,
                         gradient_accumulation_steps=parts, learning_rate=3e-4)
        kept = Gradients()
        t = Watched(model=model, args=args, train_dataset=rows, data_collator=collate, callbacks=[kept])
        t.train()
    return dict(loss=torch.tensor(t.first), gradients=kept.found, weights=flat(model.parameters()))

def peak(): # Most memory that this process has held so far, MiB
    "On Linux not `ru_maxrss`, which begins with the memory of the process that started this one."
    if sys.platform=="linux":
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform=="darwin" else 2**10)

def memory(objective, vocab_size=30_000, tokens=40_000):
    "Peaks after evaluating a quarter of the tokens, and all of them."
    special = {f"{k}_token": f"[{k.upper()}]" for k in ("pad", "unk", "cls", "sep", "mask")}
    names = [*special.values(), *(f"word{i}" for i in range(vocab_size-len(special)))]
    words = Tokenizer(models.WordLevel({t: i for i,t in enumerate(names)}, special["unk_token"]))
    tok, recipe = PreTrainedTokenizerFast(tokenizer_object=words, **special), OBJECTIVES[objective]
    ids = torch.randint(len(special), vocab_size, (tokens//128+1, 128), generator=torch.Generator().manual_seed(0))
    rows = Dataset.from_dict(dict(input_ids=ids.tolist()))
    with tempfile.TemporaryDirectory() as out:
        t = Trainer(model=build("tiny", tok, recipe.task, recipe.archs[0]), args=arguments(out, steps=1),
                    data_collator=recipe.collator(tok, seed=0))
    return [(t.evaluate(part), peak())[1] for part in (rows.select(range(len(rows)//4)), rows)]

if __name__=="__main__":
    what, *more = sys.argv[1:]
    if what=="memory": print(json.dumps(memory(*more)))
    else:
        file, size, parts = more[0], *map(int, more[1:])
        found = [{c: train(*c, size, parts, steps) for c in cases} for cases,steps in ((LONG, 1), (SHARED, 40))]
        if os.environ["RANK"]=="0": torch.save(found, file)
