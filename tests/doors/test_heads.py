"A head that was never trained for what it is asked says so; one that was trained for another task is never taken for it."
import json, warnings
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForMultipleChoice, AutoModelForQuestionAnswering
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification
from plm_nb import FinetuningArguments, finetune, predict, train_tokenizer
from plm_nb.files import InputError
from plm_nb.models import HEAD_LABELS, load
from typed import found, plm

SMALL = dict(vocab_size=99, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, pad_token_id=0,
             bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3)
OWN = dict(distilbert=dict(dim=32, n_layers=1, n_heads=2, hidden_dim=32), electra=dict(embedding_size=16),
           xlnet=dict(d_model=32, n_layer=1, n_head=2, d_inner=32), gpt2=dict(n_embd=32, n_layer=1, n_head=2))
ENCODERS = ["bert", "roberta", "distilbert", "electra", "mpnet", "deberta-v2", "modernbert", "albert"]
BY_TASK = {"text-classification": AutoModelForSequenceClassification, "token-classification": AutoModelForTokenClassification,
           "question-answering": AutoModelForQuestionAnswering, "multiple-choice": AutoModelForMultipleChoice}

def made(folder, family, auto_class, labels=None, seed=7, **settings):
    "A small model of `family`, saved by plain transformers."
    config = AutoConfig.for_model(family, **{**SMALL, **OWN.get(family, {}), **settings})
    if labels: config.id2label, config.label2id = dict(enumerate(labels)), {name: i for i,name in enumerate(labels)}
    torch.manual_seed(seed)
    model = auto_class.from_config(config)
    model.save_pretrained(folder)
    return model

def head(model): return {k: v for k,v in model.state_dict().items() if not k.startswith(model.base_model_prefix+".")}
def base(model):
    model = getattr(model, model.base_model_prefix, model)
    return {k: v for k,v in model.state_dict().items() if "pooler" not in k}
def same(a, b): return all(torch.equal(a[k], b[k]) for k in a.keys() & b.keys())

def said(model, **kwargs):
    "What is warned of when `model` answers."
    ids = torch.tensor([[2, 5, 6, 3]])
    with warnings.catch_warnings(record=True) as found, torch.no_grad():
        warnings.simplefilter("always")
        model(ids, **kwargs)
    return [str(w.message) for w in found if "never trained" in str(w.message)]

@pytest.mark.parametrize("family", ENCODERS)
def test_a_base_model_answers_and_says_that_it_knows_nothing(family, tmp_path):
    saved = made(tmp_path, family, AutoModel)
    model = load(tmp_path, "text-classification")
    assert model.config.id2label=={0: "LABEL_0", 1: "LABEL_1"} and same(base(saved), base(model))
    first, *more = said(model)
    assert str(tmp_path) in first and "text-classification" in first and "random; fine-tune it" in first and not more
    for name in head(model): assert name in first or "pooler" in name
    assert not said(model), "once is enough"

@pytest.mark.parametrize("task", BY_TASK)
def test_every_head_says_it(task, tmp_path):
    made(tmp_path, "bert", AutoModelForMaskedLM)
    model = load(tmp_path, task)
    ids = torch.tensor([[[2, 5, 6, 3]]*2]) if task=="multiple-choice" else torch.tensor([[2, 5, 6, 3]])
    with pytest.warns(UserWarning, match=f"its head for {task} .*was never trained"): model(ids)
    if HEAD_LABELS[task]: assert list(model.config.id2label.values())==HEAD_LABELS[task]

def test_nothing_is_said_of_a_head_that_is_trained(tmp_path):
    made(tmp_path/"mlm", "bert", AutoModelForMaskedLM)
    model = load(tmp_path/"mlm", "text-classification", ["a", "b"])
    assert not said(model.train()) and not said(model.eval())
    assert not said(load(tmp_path/"mlm", "text-classification", ["a", "b"]), labels=torch.tensor([0])) # a step by hand
    made(tmp_path/"cls", "bert", AutoModelForSequenceClassification, ["a", "b"])
    for labels in (None, ["a", "b"], ("a", "b")): assert not said(load(tmp_path/"cls", "text-classification", labels))

@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "mpnet", "deberta-v2", "modernbert", "xlnet", "gpt2"])
@pytest.mark.parametrize("other", ["token-classification", "multiple-choice", "question-answering"])
def test_a_head_of_another_task_is_not_taken(family, other, tmp_path):
    "Two layers of one name and one size fit each other, and mean nothing to each other."
    try: saved = made(tmp_path, family, BY_TASK[other], [f"t{i}" for i in range(3)] if other=="token-classification" else None)
    except ValueError: pytest.skip(f"{family} has no head for {other}")
    labels = ["one"] if other=="multiple-choice" else ["neg", "pos", "none"][:saved.config.num_labels]
    a, b, c = (load(tmp_path, "text-classification", labels, seed=seed) for seed in (0, 0, 1))
    assert same(base(saved), base(a)) and same(head(a), head(b))
    for name,weight in head(a).items():
        is_matrix = weight.ndim>1
        if name in head(saved) and is_matrix: assert not torch.equal(weight, head(saved)[name]), name
        if is_matrix: assert not torch.equal(weight, head(c)[name]), name
    assert list(a.config.id2label.values())==labels and said(a)
    assert list(load(tmp_path, "text-classification").config.id2label.values())==[f"LABEL_{i}" for i in range(saved.config.num_labels)]

def test_from_classes_to_tags(tmp_path):
    saved = made(tmp_path, "bert", AutoModelForSequenceClassification, ["a", "b", "c"])
    model = load(tmp_path, "token-classification", ["O", "B-x", "I-x"])
    assert not torch.equal(saved.classifier.weight, model.classifier.weight) and same(base(saved), base(model))
    model.save_pretrained(tmp_path/"again")
    assert same(model.state_dict(), load(tmp_path/"again", "token-classification").state_dict())

def test_the_same_classes_keep_the_head_and_others_do_not(tmp_path):
    old = ["a", "b", "c"]
    saved = made(tmp_path/"cls", "roberta", AutoModelForSequenceClassification, old)
    def kept(labels, path="cls"): return same(head(saved), head(load(tmp_path/path, "text-classification", labels)))
    assert kept(None) and kept(old)
    assert not kept(["a", "b"]) and not kept(["a", "b", "c", "d"]) and not kept(["a", "b", "d"]) and not kept(["x", "y", "z"])
    with pytest.raises(InputError, match="its classes are a, b, c in this order, the data has c, b, a"): kept(old[::-1])
    saved = made(tmp_path/"unnamed", "roberta", AutoModelForSequenceClassification, num_labels=3)
    assert kept(["x", "y", "z"], "unnamed"), "LABEL_0 is no name"

def test_a_choice_of_plain_transformers(tmp_path):
    "Its configuration says two labels, as every untouched one does; its head has one output."
    saved = made(tmp_path, "bert", AutoModelForMultipleChoice)
    assert saved.config.num_labels==2
    assert same(head(saved), head(load(tmp_path, "multiple-choice", ["right"])))

@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_new_head_for_hidden_tokens(family, tied, tmp_path):
    saved = made(tmp_path, family, AutoModel, tie_word_embeddings=tied)
    with pytest.raises(InputError, match="weights for fill-mask are missing.* it was saved as") as e: load(tmp_path)
    assert "\n" not in str(e.value) and "labels" not in str(e.value)
    with pytest.warns(UserWarning, match="no head that predicts hidden tokens; a new one, tied to its embedding") as told:
        model = load(tmp_path, new_head=True)
    assert len(told)==1 and str(tmp_path) in str(told[0].message) and told[0].filename==__file__
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert same(base(saved), base(model))
    model.save_pretrained(tmp_path/"again")
    with warnings.catch_warnings(action="error"): again = load(tmp_path/"again", new_head=True)
    assert same(model.state_dict(), again.state_dict())
    ids = torch.tensor([[2, 5, 6, 3]])
    assert torch.allclose(model(ids).logits, again(ids).logits, atol=1e-6)

def test_a_new_head_spares_one_that_is_there(tmp_path):
    saved = made(tmp_path, "bert", AutoModelForMaskedLM, tie_word_embeddings=False)
    with warnings.catch_warnings(action="error"): model = load(tmp_path, new_head=True)
    assert same(saved.state_dict(), model.state_dict()) and not model.config.tie_word_embeddings

def test_a_missing_layer_is_no_new_head(tmp_path):
    from safetensors.torch import load_file, save_file
    made(tmp_path, "bert", AutoModelForMaskedLM)
    weights = {k: v for k,v in load_file(tmp_path/"model.safetensors").items() if "layer.0.output" not in k}
    save_file(weights, tmp_path/"model.safetensors", metadata=dict(format="pt"))
    for kwargs in (dict(), dict(new_head=True), dict(task="text-classification"), dict(task="text-classification", labels=["a", "b"])):
        with pytest.raises(InputError, match="4 weights for .* are missing.*, such as bert.encoder.layer.0.output"): load(tmp_path, **kwargs)
    (tmp_path/"config.json").write_text(json.dumps(dict(json.loads((tmp_path/"config.json").read_text()), intermediate_size=64)))
    with pytest.raises(InputError, match="6 weights for fill-mask are missing or of another size"): load(tmp_path)

@pytest.fixture(scope="module")
def body(tmp_path_factory):
    d = tmp_path_factory.mktemp("body")
    train_tokenizer([f"the cat {i} sat on the mat" for i in range(60)], "wordpiece", 99).save_pretrained(d/"body")
    made(d/"body", "bert", AutoModel)
    (d/"lines.txt").write_text("the cat sat\nthe mat\n")
    return d

def test_the_shell_answers_and_warns(body):
    code, out, err = plm("predict", body/"lines.txt", "--model", body/"body", "--task", "text-classification")
    assert code==0 and {json.loads(line)["label"] for line in out.splitlines()} <= {"LABEL_0", "LABEL_1"}
    [line] = [line for line in err.splitlines() if line]
    assert "was never trained" in line and "classifier.weight" in line and str(body/"body") in line
    with pytest.warns(UserWarning, match="was never trained"): predict(body/"body", ["the cat"], "text-classification")

def test_the_shell_scores_no_unnamed_classes(body):
    (body/"rows.jsonl").write_text("".join(json.dumps(dict(text=f"the cat {i}", label=["neg", "pos"][i%2]))+"\n" for i in range(8)))
    code, out, err = plm("evaluate", "--model", body/"body", "--task", "text-classification", "--test", body/"rows.jsonl")
    assert code==2 and err.count("\n")==1 and "'neg'" in err and "LABEL_0" in err and "name the labels" not in err

def test_a_tagger_becomes_a_classifier(body, tmp_path):
    "Whatever the number of classes: two, as the tagger has, and three."
    made(tmp_path/"ner", "bert", AutoModelForTokenClassification, ["O", "B-x"])
    train_tokenizer([f"the cat {i} sat on the mat" for i in range(60)], "wordpiece", 99).save_pretrained(tmp_path/"ner")
    args = FinetuningArguments(epochs=.5)
    for n in (2, 3):
        rows = [(f"the cat number {i}", "abc"[i%n]) for i in range(40)]
        with warnings.catch_warnings(record=True) as told: run = finetune(rows, tmp_path/f"run{n}", model=tmp_path/"ner", args=args)
        assert run.done and not [w for w in told if "never trained" in str(w.message)]
        assert set(predict(run.path, ["the cat"])[0]["probabilities"])=={*"abc"[:n]}
