"Options are the fields of a dataclass, all of them, with their comments, in the order in which they are typed."
from dataclasses import fields
import inspect
import pytest
from fastcore.docments import docments
from plm_nb.finetuning import FinetuningArguments
from plm_nb.options import fields_of, options_of, parameters_of
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
