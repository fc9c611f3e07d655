"""Tokens per second of masked pretraining, ours beside the articles' recipe: `python benchmarks/pretrain.py`, on a quiet machine.

Both train BERT of 4 layers and width 256 over 8,192 WordPieces, 64 rows of at most 128 tokens a step, 15 % of the tokens
labelled, inside a `Trainer`. The recipe: a line a row, padded to the longest, fp32, dropout 0.1, as `LineByLineTextDataset`
and `DataCollatorForLanguageModeling` did. The two alternate, a few rounds each; only tokens that are not padding count, and
the first steps of a round do not. `--rounds 1 --documents 300` tries it out."""
import argparse, os, statistics, tempfile, time
os.environ["TQDM_DISABLE"] = "1"
import torch
import transformers
from datasets import Dataset
from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling, TrainerCallback, TrainingArguments
from plm_nb.checkpoints import ResumableTrainer
from plm_nb.data import load_corpus
from plm_nb.models import build
from plm_nb.objectives import MaskedLM
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
from plm_nb.budgets import arguments

STEPS, SKIP, ROWS = {"recipe": 9, "ours": 18}, 3, 64

class Clock(TrainerCallback):
    "The time at the end of each step."
    def __init__(self): self.at = []
    def on_step_end(self, *args, **kwargs): self.at.append(time.perf_counter())

class Counted:
    "A collator that also counts the tokens that are not padding."
    def __init__(self, collate): self.collate, self.tokens = collate, []
    def __call__(self, rows):
        self.tokens.append(sum(len(row["input_ids"]) for row in rows))
        return self.collate(rows)

def rate(trainer, collate, clock):
    "Train, and return tokens per second without the first steps."
    trainer.train()
    tokens = sum(collate.tokens[SKIP:len(clock.at)])
    return tokens/(clock.at[-1]-clock.at[SKIP-1])

def recipe(lines, tokenizer, folder):
    rows = Dataset.from_dict(dict(input_ids=tokenizer(lines, truncation=True, max_length=128)["input_ids"]))
    collate, clock = Counted(DataCollatorForLanguageModeling(tokenizer, mlm_probability=.15)), Clock()
    args = TrainingArguments(
        folder, max_steps=STEPS["recipe"], per_device_train_batch_size=ROWS, save_strategy="no", report_to=[],
        disable_tqdm=True, use_cpu=not torch.accelerator.is_available(), logging_strategy="no")
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), hidden_size=256, num_hidden_layers=4,
                                       num_attention_heads=4, intermediate_size=1024))
    trainer = transformers.Trainer(model=model, args=args, train_dataset=rows, data_collator=collate, callbacks=[clock])
    return rate(trainer, collate, clock)

def ours(blocks, tokenizer, folder):
    collate, clock = Counted(MaskedLM(tokenizer, .15)), Clock()
    args = arguments(folder, steps=STEPS["ours"], per_device_train_batch_size=ROWS)
    trainer = ResumableTrainer(model=build("mini", tokenizer), args=args, train_dataset=blocks, data_collator=collate,
                               callbacks=[clock])
    return rate(trainer, collate, clock)

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--documents", type=int, default=6000, help="of the corpus")
    asked = parser.parse_args()
    texts = load_corpus("docs")["train"]["text"][:asked.documents]
    tokenizer = train_tokenizer(texts, "wordpiece", 8192)
    lines = [line for text in texts for line in text.split("\n") if line]
    blocks = pack(texts, tokenizer, 128)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(asked.rounds):
            theirs = recipe(lines, tokenizer, folder)
            mine = ours(blocks, tokenizer, folder)
            found.append(mine/theirs)
            print(f"round {i+1}: recipe {theirs:,.0f} tokens/s, ours {mine:,.0f}, ratio {found[-1]:.1f}", flush=True)
    print(f"ratio: median {statistics.median(found):.1f}, from {min(found):.1f} to {max(found):.1f}; "
          f"{torch.get_num_threads()} threads")

if __name__=="__main__": main()
