"""The same work for one process or for several: `torchrun … together.py OUT` does all of `WORKS`, each in a folder of OUT.

What each process found for itself lies beside the runs, as `NAME.RANK.json`.
"""
import json, os, signal, sys
from pathlib import Path
from datasets import Dataset
from transformers import TrainerCallback
from plm_nb.budgets import arguments
from plm_nb.checkpoints import ResumableTrainer
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, evaluate, finetune, fit
from plm_nb.models import build
from plm_nb.objectives import MaskedLM
from plm_nb.packing import pack
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb import processes as room
from plm_nb.processes import process_index, processes
from plm_nb.text_classification import encode_rows
from plm_nb.tokenizer import train_tokenizer

TEXTS = [" ".join(f"word{(i*j)%31}" for j in range(1, 4+i%11)) for i in range(60)]
STEPS = 12

def tokenizer(): return train_tokenizer(TEXTS, "wordpiece", 120)

def corpus(out):
    "A file of text; each process may write it, the same to the last byte."
    file = Path(out).parent/f"corpus-{os.getpid()}.txt"
    file.write_text("\n".join(TEXTS*3), encoding="utf-8")
    return file

def learning(**changes):
    "Steps of 15 rows in passes of 5, which two do not share evenly; two checkpoints and two looks on the way."
    usual = dict(size="tiny", steps=STEPS, block_size=16, batch_size=5, gradient_accumulation_steps=3, bf16=False, eval_steps=6,
                 settings=dict(logging_steps=1))
    return PretrainingArguments(**{**usual, **changes})

def mlm(out, **changes): return pretrain(corpus(out), tokenizer(), out, learning(**changes))
def clm(out): return pretrain(corpus(out), tokenizer(), out, learning(objective="clm"))
def sharded(out):
    "With every weight in parts, as a launcher would say in the environment; the best of two looks is kept."
    room._parts[:] = [True]
    try: return mlm(out, patience=5)
    finally: room._parts[:] = [False]

def table(n): return Dataset.from_dict(dict(text=TEXTS[:n], label=["abc"[len(t)%3] for t in TEXTS[:n]]))

def classes(out):
    "Seven rows a step, of which the last has one: a process without a row takes part."
    task = dict(train=table(43).to_pandas(), validation=table(13).to_pandas())
    files = {}
    for split,rows in task.items():
        files[split] = Path(out).parent/f"{split}-{os.getpid()}.csv"
        rows.to_csv(files[split], index=False)
    args = FinetuningArguments(size="tiny", epochs=2, batch_size=7, eval_steps=5, settings=dict(bf16=False, logging_steps=1))
    finetune({k: str(v) for k,v in files.items()}, out, "text-classification", tokenizer=tokenizer(), args=args)
    evaluate(out, {"validation": str(files["validation"])}, out=f"{out}-again")

def kept(out, **found): Path(f"{out}.{process_index()}.json").write_text(json.dumps(found))

def wild(out):
    "A loss that is NaN ends all with the same line."
    try: mlm(out, learning_rate=1e38)
    except InputError as e: kept(out, said=str(e))

class Halt(TrainerCallback):
    "A signal to the last process only."
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step==4 and process_index()==processes()-1: os.kill(os.getpid(), signal.SIGTERM)

def halted(out):
    rows, _ = encode_rows(Dataset.from_dict(dict(text=TEXTS[:20], label=[0, 1, 2, 1]*5)), tokenizer())
    model = build("tiny", tokenizer(), "text-classification", labels=["a", "b", "c"])
    args = FinetuningArguments(batch_size=4, settings=dict(bf16=False))
    try: fit(model, rows, tokenizer(), args, callbacks=[Halt()], checkpoints=out)
    except SystemExit as e: kept(out, code=e.code, steps=sorted(p.name for p in Path(out).iterdir()))

class Rates(TrainerCallback):
    def __init__(self): self.found = []
    def on_step_end(self, args, state, control, **kwargs): self.found.append(kwargs["optimizer"].param_groups[0]["lr"])

def minutes(out):
    "A clock decides when it ends and how fast it learns, and there are two clocks."
    words, rates = tokenizer(), Rates()
    args = arguments(str(out), minutes=.05, bf16=False, per_device_train_batch_size=4)
    t = ResumableTrainer(model=build("tiny", words), args=args, minutes=.05, train_dataset=pack(TEXTS, words, 16),
                         data_collator=MaskedLM(words), callbacks=[rates])
    t.train()
    kept(out, rates=rates.found, weights=sum(p.double().sum().item() for p in t.model.parameters()))

WORKS = dict(mlm=mlm, clm=clm, classes=classes, sharded=sharded, wild=wild, halted=halted, minutes=minutes)

if __name__=="__main__":
    for name,work in WORKS.items(): work(Path(sys.argv[1])/name)
