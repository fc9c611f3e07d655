"""Tokens per second of masked pretraining, ours beside the articles' recipe: `python benchmarks/pretrain.py`, on a quiet machine.

Both train BERT of 4 layers and width 256 over 8,192 WordPieces, 64 rows of at most 128 tokens a step, 15 % asked, inside a `Trainer`.
The recipe: a line a row, padded to the longest, fp32, dropout 0.1, as `LineByLineTextDataset` and `DataCollatorForLanguageModeling` did.
The two alternate, a few rounds each; only tokens that are not padding count, and the first steps of a round do not."""
import os, statistics, tempfile, time
os.environ["TQDM_DISABLE"] = "1"
import torch
import transformers
from datasets import Dataset
from transformers import BertForMaskedLM, DataCollatorForLanguageModeling, TrainerCallback, TrainingArguments
from plm_nb.data import load_corpus
from plm_nb.objectives import MaskedLM
from plm_nb.tokenizer import pack, train_tokenizer
from plm_nb.checkpoints import ResumableTrainer
from plm_nb.training import arguments
from plm_nb.models import build

ROUNDS, STEPS, SKIP, ROWS = 4, {"recipe": 9, "ours": 18}, 3, 64

class Clock(TrainerCallback):
    "The time at the end of each step."
    def __init__(self): self.at = []
    def on_step_end(self, *args, **kwargs): self.at.append(time.perf_counter())

class Counted:
    "A collator that also counts the tokens that are not padding."
    def __init__(self, collate): self.collate, self.tokens = collate, []
    def __call__(self, rows):
        self.tokens.append(sum(len(r["input_ids"]) for r in rows))
        return self.collate(rows)

def rate(trainer, collate, clock):
    "Train, and return tokens per second without the first steps."
    trainer.train()
    return sum(collate.tokens[SKIP:len(clock.at)])/(clock.at[-1]-clock.at[SKIP-1])

def recipe(lines, tokenizer, folder):
    rows = Dataset.from_dict(dict(input_ids=tokenizer(lines, truncation=True, max_length=128)["input_ids"]))
    collate, clock = Counted(DataCollatorForLanguageModeling(tokenizer, mlm_probability=.15)), Clock()
    args = TrainingArguments(folder, max_steps=STEPS["recipe"], per_device_train_batch_size=ROWS, save_strategy="no", report_to=[],
                             disable_tqdm=True, use_cpu=not torch.accelerator.is_available(), logging_strategy="no")
    model = BertForMaskedLM(transformers.BertConfig(vocab_size=len(tokenizer), hidden_size=256, num_hidden_layers=4,
                                                    num_attention_heads=4, intermediate_size=1024))
    return rate(transformers.Trainer(model=model, args=args, train_dataset=rows, data_collator=collate, callbacks=[clock]), collate, clock)

def ours(blocks, tokenizer, folder):
    collate, clock = Counted(MaskedLM(tokenizer, .15)), Clock()
    args = arguments(folder, steps=STEPS["ours"], per_device_train_batch_size=ROWS)
    trainer = ResumableTrainer(model=build("mini", tokenizer), args=args, train_dataset=blocks, data_collator=collate, callbacks=[clock])
    return rate(trainer, collate, clock)

if __name__=="__main__":
    texts = load_corpus("docs")["train"]["text"][:6000]
    tokenizer = train_tokenizer(texts, "wordpiece", 8192)
    lines, blocks, found = [l for t in texts for l in t.split("\n") if l], pack(texts, tokenizer, 128), []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(ROUNDS):
            a, b = recipe(lines, tokenizer, folder), ours(blocks, tokenizer, folder)
            found.append(b/a)
            print(f"round {i+1}: recipe {a:,.0f} tokens/s, ours {b:,.0f}, ratio {b/a:.1f}", flush=True)
    print(f"ratio: median {statistics.median(found):.1f}, from {min(found):.1f} to {max(found):.1f}; {torch.get_num_threads()} threads")
