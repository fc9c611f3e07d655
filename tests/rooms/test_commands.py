"The verbs as functions: typed once, light to import, and refused before anything is written."
import inspect
from dataclasses import fields
import pytest
from fastcore.docments import docments
from plm_nb import commands
from plm_nb.budgets import TrainerArguments
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments
from plm_nb.pretraining import PretrainingArguments

@pytest.mark.parametrize("verb, kind, but", [("pretrain", PretrainingArguments, {"bf16", "settings"}), ("finetune", FinetuningArguments, {"settings"})])
def test_settings_are_typed_once(verb, kind, but):
    "Every field of the arguments is an option, with its type, its default and its comment."
    own, said = inspect.signature(commands.COMMANDS[verb]).parameters, docments(commands.COMMANDS[verb], full=True)
    comments = {**docments(kind, full=True), **{f.name: docments(TrainerArguments, full=True)[f.name] for f in fields(TrainerArguments)}}
    for f in fields(kind):
        assert (f.name in own)==(f.name not in but), f.name
        if f.name in but or own[f.name].default is None: continue
        assert own[f.name].default==f.default and said[f.name].docment==comments[f.name].docment, f.name

def test_every_option_has_a_comment():
    "Else its help is empty."
    for name,f in commands.COMMANDS.items():
        for option,p in docments(f, full=True, returns=False).items(): assert p.docment, f"plm {name} --{option}"

def test_rows_are_named_once(tmp_path):
    "Either --data, or --train with the others; an unknown task is refused before anything is read."
    for wrong in (dict(), dict(data="docs-package", train="a.csv"), dict(data="docs-package", test="a.csv")):
        with pytest.raises(InputError, match="give --data, or files"): commands.labelled(**wrong)
    with pytest.raises(InputError, match="--train is missing"): commands.labelled(test="a.csv")
    with pytest.raises(InputError, match="unknown; choose from"): commands.labelled(data="docs-package", task="poetry")
    with pytest.raises(InputError, match="data set of text-classification"): commands.labelled(data="docs-package", task="dialogue")

def test_a_free_folder(tmp_path, monkeypatch):
    "The demo never writes into a folder that is there."
    monkeypatch.chdir(tmp_path)
    assert commands._next_free("a")=="a"
    (tmp_path/"a").mkdir(); (tmp_path/"a-1").mkdir()
    assert commands._next_free("a")=="a-2"

def test_a_vocabulary_that_the_text_does_not_fill(tmp_path, capsys):
    "It is said, and nothing is made up"
    (tmp_path/"notes.txt").write_text("one two three. "*60+"four five six. "*40)
    found = commands.tokenizer(out=tmp_path/"words", corpus=str(tmp_path/"notes.txt"), kind="bpe", vocab_size=4000)
    assert f"yields {found['vocab_size']} tokens, of 4000 asked" in capsys.readouterr().out
