"Each row of the table is tried on the installed libraries: the old name does what the row says, the new one works, and both are told apart in a script."
import importlib, importlib.util, inspect, json, sys
import datasets, evaluate, tokenizers, transformers
import pytest
import torch
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from unittest.mock import patch
from plm_nb import replacements
from plm_nb.replacements import REPLACEMENTS, Replacement, fits, old_names, rows_of
from plm_nb.scripts import Use

PACKAGE = Path(replacements.__file__).parent
VOCAB = {word: i for i,word in enumerate("[PAD] [UNK] [CLS] [SEP] [MASK] the cat".split())}
IDS = torch.tensor([[2, 5, 6, 3]])

@cache
def small(kind="BertForMaskedLM"):
    config = transformers.BertConfig(vocab_size=7, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    return getattr(transformers, kind)(config).eval()

@cache
def writer(): return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=7, n_embd=4, n_layer=1, n_head=1))

@cache
def tok(): return transformers.BertTokenizer(vocab=VOCAB)

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A model, its tokenizer, a file of text, a data set, and a data set's script."
    path = tmp_path_factory.mktemp("replacements")
    small().save_pretrained(path)
    tok().save_pretrained(path)
    (path/"a.txt").write_text("the cat\n")
    (path/"script.py").write_text("import datasets")
    rows().save_to_disk(path/"rows")
    return path

def rows(): return datasets.Dataset.from_dict(dict(input_ids=IDS.tolist()*2, labels=IDS.tolist()*2))

def settings(folder, **more):
    return transformers.TrainingArguments(folder/"out", use_cpu=True, report_to="none", disable_tqdm=True, max_steps=1,
                                          logging_steps=1, save_strategy="no", **more)

def trainer(folder, cls=transformers.Trainer, **more):
    return cls(model=small("BertForMaskedLM"), args=settings(folder), train_dataset=rows(), **more)

def piped(folder, **more):
    asked = next(iter(more), "")
    task = "fill-mask"
    if asked in ("grouped_entities", "ignore_subwords", "aggregation_strategy"): task = "ner"
    if asked in ("return_all_scores", "top_k", ""): task = "text-classification"
    kinds = dict(ner="BertForTokenClassification")
    kinds.update({"fill-mask": "BertForMaskedLM", "text-classification": "BertForSequenceClassification"})
    return transformers.pipeline(task, model=small(kinds[task]), tokenizer=tok(), **more)("the [MASK]")

def saved(folder, **more):
    small().save_pretrained(folder/"saved", **more)
    return sorted(p.name for p in (folder/"saved").iterdir())

def loaded(folder, **more):
    if more.keys() & {"max_len", "model_max_length"}: return transformers.BertTokenizer.from_pretrained(folder, **more).model_max_length
    return transformers.BertForMaskedLM.from_pretrained(folder, **more).get_input_embeddings().weight.tolist()

def unpacked(folder, **more):
    a, b = small()(IDS, labels=IDS, **more)
    return a, b

CALLS = { # what stands before the brackets -> a call that works, with more arguments
    "transformers.*TrainingArguments": lambda f,**k: transformers.TrainingArguments(f/"out", use_cpu=k.pop("use_cpu", True), **k),
    "transformers.*Trainer": trainer,
    "transformers.*Trainer().train": lambda f,**k: trainer(f).train(**k),
    "transformers.*.from_pretrained": loaded,
    "transformers.*().save_pretrained": saved,
    "transformers.*Tokenizer*.from_pretrained": lambda f,**k: transformers.BertTokenizer.from_pretrained(f, **k).model_max_length,
    "transformers.pipeline": piped,
    "transformers.get_linear_schedule_with_warmup": lambda f,**k: transformers.get_linear_schedule_with_warmup(
        torch.optim.SGD(small().parameters(), .1), **dict(num_warmup_steps=1, num_training_steps=2) | k),
    "tokenizer": lambda f,**k: dict(tok()(["the", "cat"], **k)),
    "model": lambda f,**k: small()(IDS, **k).loss,
    "a, b = model()": unpacked,
    "datasets.load_dataset": lambda f,**k: datasets.load_dataset("text", data_files=str(f/"a.txt"), cache_dir=str(f/"cache"), **k)["train"][:],
    "datasets.load_from_disk": lambda f,**k: datasets.load_from_disk(str(f/"rows"), **k),
    "datasets.*().save_to_disk": lambda f,**k: rows().save_to_disk(f/"again", **k),
    "tokenizers.*().enable_padding": lambda f,**k: tokenizers.ByteLevelBPETokenizer().enable_padding(**k),
}
for kind in ("Bert", "Roberta", "GPT2"):
    for fast in ("", "Fast"):
        CALLS[f"transformers.{kind}Tokenizer{fast}"] = lambda f,name=f"{kind}Tokenizer{fast}",**k: len(getattr(transformers, name)(**k))
for name in ("BertWordPieceTokenizer", "ByteLevelBPETokenizer", "CharBPETokenizer"):
    CALLS[f"tokenizers.{name}"] = lambda f,name=name,**k: getattr(tokenizers, name)(**dict(vocab=VOCAB, merges=[]) | k
        if "merges" in k else k)

VALUES = dict(labels=IDS, masked_lm_labels=IDS, lm_labels=IDS, head_mask=torch.zeros(1, 1), processing_class=None, callbacks=None,
              resume_from_checkpoint=None, token=None, attn_implementation="eager", aggregation_strategy="simple", top_k=None,
              num_warmup_steps=1, num_training_steps=2, truncation="longest_first", padding="max_length", max_length=8,
              is_split_into_words=True, return_length=True, return_attention_mask=False, return_special_tokens_mask=True,
              vocab=VOCAB, model_max_length=5, max_len=5, return_dict=False, verification_mode="no_checks", revision="main",
              storage_options=None, merges=[], vocab_file="no such file", safe_serialization=False, trust_remote_code=True,
              from_tf=True, from_flax=True)

def parts(row): # its place and its argument, without the sign
    place, argument = replacements._parts(row.old)
    return place, argument.removesuffix("=")

def call(row, folder, **more): return CALLS[parts(row)[0]](folder, **more)

OBJECTS = dict(trainer=transformers.Trainer, dataset=datasets.Dataset)

def resolved(name, library=""):
    "What `name` is: in `library`, or by itself, or of an object."
    root, _, rest = name.partition(".")
    if root=="model": return getattr(writer(), rest)
    if rest=="processing_class": return rest in inspect.signature(transformers.Trainer.__init__).parameters
    if root=="tokenizer": return hasattr(tok(), rest)
    if root in OBJECTS: return getattr(OBJECTS[root], rest)
    for whole in ([f"{library}.{name}"] if library else [])+[name]:
        pieces = whole.split(".")
        for i in range(1, len(pieces)+1):
            try:
                found = importlib.import_module(".".join(pieces[:i]))
                for piece in pieces[i:]: found = getattr(found, piece)
                return found
            except (ImportError, AttributeError): continue
    raise AssertionError(f"no {name}")

def written(row): return row.old.removeprefix("import ").replace("*", "Bert")

EXAMPLES = { # what a star stood for
    "transformers.TF*": "TFBertModel", "transformers.Flax*": "FlaxBertModel", "transformers.TransfoXL*": "TransfoXLModel",
    "transformers.RetriBert*": "RetriBertModel", "transformers.MMBT*": "MMBTModel", "transformers.QDQBert*": "QDQBertModel",
    "transformers.GreedySearch*Output": "GreedySearchDecoderOnlyOutput", "transformers.Sample*Output": "SampleDecoderOnlyOutput",
    "transformers.BeamSearch*Output": "BeamSearchDecoderOnlyOutput", "transformers.BeamSample*Output": "BeamSampleDecoderOnlyOutput",
    "transformers.PYTORCH_*_CACHE": "PYTORCH_TRANSFORMERS_CACHE", "transformers.load_tf_weights_in_*": "load_tf_weights_in_bert",
    "transformers.*_PRETRAINED_MODEL_ARCHIVE_*": "BERT_PRETRAINED_MODEL_ARCHIVE_LIST",
    "transformers.*BERT_PRETRAINED_CONFIG_ARCHIVE_MAP": "BERT_PRETRAINED_CONFIG_ARCHIVE_MAP",
    "transformers.load_tf2_checkpoint_*": "load_tf2_checkpoint_in_pytorch_model",
}
MODULES = {"*": "bert", "modeling_tf_*": "modeling_tf_bert", "modeling_flax_*": "modeling_flax_bert", "tokenization_*_fast": "tokenization_bert_fast"}

def by_import(row, folder):
    if row.old.startswith("import "):
        name = ".".join(MODULES.get(piece, piece) for piece in row.old.removeprefix("import ").split("."))
        library, _, rest = name.partition(".")
        if not rest and importlib.util.find_spec(library): pytest.skip(f"{library} is installed here")
        with patch.dict(sys.modules): # where `AutoTokenizer` leaves an alias once it has read a tokenizer
            sys.modules.pop(name, None)
            return importlib.import_module(name)
    module, _, name = row.old.rpartition(".")
    exec(f"from {module} import {EXAMPLES.get(row.old, name)}", {})

def overriding(row, folder):
    _, method = replacements._parts(row.old)
    name, _, _ = method.partition(" without ")
    old = dict(compute_loss=lambda self, model, inputs, return_outputs=False: model(**inputs).loss,
               training_step=lambda self, model, inputs: 0, log=lambda self, logs: None, _get_train_sampler=lambda self: None)
    trainer(folder, type("Own", (transformers.Trainer,), {name: old[name]})).train()

def by_attribute(row, folder):
    *objects, name = row.old.rpartition(".")
    place = objects[0]
    things = {"tokenizer": tok, "dataset": rows, "transformers.*Tokenizer*()": tok, "transformers.*()": writer,
              "transformers.*Trainer()": lambda: trainer(folder), "tokenizers.models.*": lambda: tokenizers.models.BPE,
              "tokenizers.trainers.*": lambda: tokenizers.trainers.BpeTrainer, "tokenizers.decoders.*": lambda: tokenizers.decoders.ByteLevel,
              "tokenizers.pre_tokenizers.*": lambda: tokenizers.pre_tokenizers.ByteLevel,
              "tokenizers.Tokenizer*()": lambda: tokenizers.Tokenizer(tokenizers.models.BPE())}
    return getattr(things[place](), name)

def by_call(row, folder):
    place, argument = parts(row)
    if argument=="'*.py'": return datasets.load_dataset(str(folder/"script.py"))
    if argument.startswith("'"): return resolved(place)(argument.strip("'").replace("translation*", "translation_en_to_fr"))
    name, _, value = argument.partition("=")
    return call(row, folder, **{name: value.strip("'") or VALUES.get(name, True)})

def done(row, folder):
    "Do what `row` says is of old."
    if ", def " in row.old: return overriding(row, folder)
    if row.old.endswith(")") and not row.old.endswith("()"): return by_call(row, folder)
    if row.today=="ImportError": return by_import(row, folder)
    if row.today=="needs the hub": return resolved(row.old)("accuracy" if row.old.endswith("load") else ["accuracy", "f1"])
    if row.today=="FutureWarning": return resolved(row.old)()
    return by_attribute(row, folder)

ERRORS = dict(ImportError=ImportError, TypeError=TypeError, KeyError=KeyError, AttributeError=AttributeError, ValueError=ValueError,
              RuntimeError=RuntimeError)
named = pytest.mark.parametrize("row", REPLACEMENTS, ids=lambda row: row.old)

@named
def test_what_happens_today(row, folder):
    place, argument = parts(row)
    if row.today in ERRORS:
        with pytest.raises(ERRORS[row.today]) as e: done(row, folder)
        if row.today=="TypeError" and "()" not in place and "def" not in row.old and argument!="truncation_strategy":
            assert argument in str(e.value)
    elif row.today=="FutureWarning":
        with pytest.warns(FutureWarning, match="deprecated"): done(row, folder)
    elif row.today=="needs the hub":
        assert datasets.config.HF_HUB_OFFLINE, "the tests run without a network"
        with pytest.raises(OSError): done(row, folder)
    elif row.today=="ignored": assert done(row, folder)==call(row, folder)
    else: assert row.today=="field names" and unpacked(folder)==("loss", "logits")

@named
def test_what_to_write_instead(row, folder):
    code, _, _ = row.instead.partition(";")
    place, _ = parts(row)
    if code=="nothing": assert not row.old.startswith(code)
    elif not code.endswith("="): assert resolved(code, row.old.removeprefix("import ").partition(".")[0])
    elif place=="transformers.*TrainingArguments":
        call(row, folder, **{code[:-1]: getattr(settings(folder), code[:-1])})
    elif place.startswith("transformers.*Tokenizer*()") or place.startswith("tokenizer."):
        assert code[:-1] in inspect.signature(tok().__call__).parameters
    elif code=="revision=": assert "revision" in inspect.signature(datasets.load_dataset).parameters
    else:
        new = call(row, folder, **{code[:-1]: VALUES[code[:-1]], **(dict(max_length=8) if code=="padding=" else {})})
        if row.today=="ignored": assert new!=call(row, folder), "it is not ignored"

@named
def test_what_there_is_here(row):
    if row.here:
        module, _, name = row.here.rpartition(".")
        assert name in importlib.import_module(f"plm_nb.{module}").__all__

def script_of(row):
    "A script that does what `row` is about, and nothing else."
    text = written(row)
    if row.old.startswith("import "): return f"import {text}"
    if row.old.startswith("a, b"): return "import transformers\nm = transformers.BertModel.from_pretrained('x').eval()\na, b = m(1)"
    if ", def " in row.old:
        base, _, method = text.partition(", def ")
        return f"import transformers\nclass Own({base}):\n    def {method.partition(' ')[0]}(self): pass"
    library = text.partition(".")[0]
    library = library if library in ("transformers", "datasets", "evaluate", "tokenizers", "torch") else "transformers"
    if text.endswith("=)"): text = text[:-1]+"1)"
    return f"import {library}\n{text}"

@named
def test_it_is_found_in_a_script(row, tmp_path):
    "By its own row and no other; in a notebook too."
    (tmp_path/"a.py").write_text(script_of(row))
    cells = [dict(cell_type="code", source=["%matplotlib inline\n", line]) for line in script_of(row).split("\n")]
    if ", def " in row.old: cells = [dict(cell_type="code", source=["\n", script_of(row)])]
    (tmp_path/"a.ipynb").write_text(json.dumps(dict(cells=cells)))
    [found] = old_names(tmp_path/"a.py")
    assert (found["today"], found["instead"], found["here"])==(row.today, row.instead, row.here)
    [again] = old_names(tmp_path/"a.ipynb")
    assert again["name"]==found["name"] and again["cell"]>=1

MODERN = """
import torch, transformers, datasets, evaluate
from torch.optim import AdamW
from transformers import AutoTokenizer, BertForMaskedLM, Trainer, TrainingArguments, pipeline
from transformers.models.bert.modeling_bert import BertLayer
from transformers.integrations.deepspeed import HfDeepSpeedConfig
from .mine import TextDataset, Tool
from mine import encode
tokenizer = AutoTokenizer.from_pretrained("folder", token=None)
class Mine(Trainer):
    def __init__(self, tokenizer, no_cuda): super().__init__()
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs): return self.processing_class
    def log(self, logs, *more): pass
class Args:
    def encode_plus(self, text): return text
def collate(rows, tokenizer, max_len, pad_to_max_length=False): return args.max_len
args = Args()
args.encode_plus("a")
self.encode_plus("a")
Mine(tokenizer=tokenizer, no_cuda=True)
collate([], tokenizer=tokenizer, max_len=3, pad_to_max_length=True)
encode("a", pad_to_max_length=True)
dict(pad_to_max_length=True, lm_labels=3)
pipeline("text-classification", tokenizer=tokenizer)
TrainingArguments("out", eval_strategy="no")
a, b = pipeline("fill-mask")(["one", "two"])
model = BertForMaskedLM.from_pretrained("x")
loss, logits = model(1)[:2]
datasets.load_dataset("csv", data_files="a.py")
frame.sample(3), spark.parallelize(3), other.tokenizer, AdamW(tokenizer=3), "transformers.AdamW" # transformers.AdamW
"""

def test_names_of_ones_own_are_not_reported(tmp_path):
    (tmp_path/"a.py").write_text(MODERN)
    assert old_names(tmp_path/"a.py")==[]

@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_this_project_uses_none(path): assert old_names(path)==[]

def test_all_of_a_library(tmp_path):
    (tmp_path/"a.py").write_text("from transformers import *\noptimizer = AdamW([])\nt = BertTokenizer.from_pretrained('x')\nt.encode_plus(3)")
    assert [(row["line"], row["name"]) for row in old_names(tmp_path/"a.py")]==[(2, "AdamW"), (4, "t.encode_plus")]

def test_each_argument_of_a_call(tmp_path):
    (tmp_path/"a.py").write_text("from transformers import TrainingArguments as A\nA('o', no_cuda=True, logging_dir='l', seed=3)")
    assert [row["name"] for row in old_names(tmp_path/"a.py")]==["A(no_cuda=)", "A(logging_dir=)"]

def test_rows_are_unique():
    assert len({row.old for row in REPLACEMENTS})==len(REPLACEMENTS)>300

@cache
def names_there(): return dir(transformers)

@pytest.mark.parametrize("old", [row.old for row in REPLACEMENTS if row.today=="ImportError" and "*" in row.old and "import" not in row.old])
def test_no_star_takes_what_is_there(old):
    assert not [name for name in names_there() if fnmatchcase(f"transformers.{name}", old)]
