"Options are the fields of a dataclass, all of them, with their comments, in the order in which they are typed."
from dataclasses import fields
import inspect, shlex
import pytest
from fastcore.docments import docments
from plm_nb import bench, explanations, filters, models, objectives, onnx_models, pipelines
from plm_nb.cli import COMMANDS, parser
from plm_nb.evidence_commands import SUITES
from plm_nb.finetuning import FinetuningArguments
from plm_nb.options import CHOICES, GROUPS, fields_of, options_of, parameters_of
from plm_nb.tokenizer import KINDS
from plm_nb.budgets import TrainerArguments
from plm_nb.pretraining import PretrainingArguments

@pytest.mark.parametrize("module, kind", [("pretraining", PretrainingArguments), ("finetuning", FinetuningArguments)])
def test_every_field_is_an_option(module, kind):
    "Names, defaults and comments are those of the dataclass; what is left out is left out."
    @options_of(module, kind.__name__, but=["seed"])
    def f(**kwargs): pass
    own, said = inspect.signature(f).parameters, docments(f)
    typed = {**docments(TrainerArguments), **{name: text for name,text in docments(kind).items() if text}}
    assert sorted(own)==sorted(x.name for x in fields(kind) if x.name!="seed") # what is inherited comes last
    for x in fields(kind):
        if x.name=="seed": continue
        assert own[x.name].default==x.default and said[x.name]==typed[x.name], x.name

def test_what_is_not_there():
    "A module or a class of another name is an error, not an empty list."
    with pytest.raises(KeyError): fields_of("pretraining", "Nothing")
    with pytest.raises((AttributeError, ModuleNotFoundError)): fields_of("nothing", "Nothing")

def test_parameters_of_a_function():
    def f(a:str="x", # One
          b:float=.5, # Two
         ): pass
    assert parameters_of(f)==["a:str = 'x', # One", "b:float = 0.5, # Two"]

PARSER = parser()

def choices(name): return set(CHOICES[name].split())

def test_choices_are_those_of_the_rooms():
    "The help imports no room that would know them, so they are typed again, and held here."
    assert choices("size")==set(models.SIZES) and choices("arch")=={*models.ARCHS, "ngram"}
    assert choices("objective")==set(objectives.OBJECTIVES) and choices("kind")==set(KINDS)
    writers = {name for name,heads in models.ARCHS.items() if {"text-generation", "text2text-generation"} & {*heads}}
    assert choices("finetune arch")==writers and choices("task")==set(pipelines.TASKS)
    assert choices("explain method")==set(explanations.METHODS) and choices("compress method")==set(onnx_models.METHODS)
    assert choices("suite")==set(SUITES) and choices("quality")==set(filters.LIMITS)
    assert choices("bench suite")=={*bench.RACES, "ladder", "recipe"}

def test_every_option_has_its_place():
    "Each stands under one heading, but what every command has; and nothing is listed that no command has."
    listed = " ".join(GROUPS.values()).split()
    assert len(listed)==len(set(listed))
    options = set()
    for f in COMMANDS.values():
        for name,p in inspect.signature(f).parameters.items():
            if p.kind is p.KEYWORD_ONLY: options.add(name)
    assert options-{"seed"}==set(listed)

@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    "Headings in one order, choices, defaults as they act, and an example that the command takes."
    one = next(a for a in PARSER._actions if a.dest=="command").choices[command]
    text = one.format_help()
    assert "None" not in text and "<class" not in text
    headings = [line[:-1] for line in text.splitlines() if line[:-1] in GROUPS]
    assert headings==[title for title in GROUPS if title in headings]
    for action in one._actions:
        for choice in getattr(action, "completer", list)(): assert choice in action.help, (action.dest, choice)
    *_, example = text.rstrip().split("\n")
    name, *words = shlex.split(example)
    assert name=="plm" and words[0]==command and PARSER.parse_args(words).command==command
