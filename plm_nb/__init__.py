"""The life of a pretrained language model. The names here are those that most programs need; each is loaded when it is first
used, so that `import plm_nb` takes no time."""
__version__ = "0.1.0"

_MODULES = { # public name -> the module to load: for tasks the one that knows all of them
    "InputError": "files", "load_corpus": "data",
    "train_tokenizer": "tokenizer", "load_tokenizer": "tokenizer",
    "load": "models", "pretrain": "pretraining", "PretrainingArguments": "pretraining",
    "load_task": "pipelines", "finetune": "pipelines", "FinetuningArguments": "pipelines",
    "evaluate": "pipelines", "predict": "pipelines", "verify": "pipelines",
    "generate": "decoding", "compare": "comparison",
    "TextClassifier": "estimators", "TokenClassifier": "estimators",
}
__all__ = list(_MODULES)

def __getattr__(name):
    "The public `name`, from its module."
    from importlib import import_module
    if name not in _MODULES: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value # the next use finds it without this function
    return value

def __dir__(): return sorted({*globals(), *__all__})
