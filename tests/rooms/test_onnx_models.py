"`plm_nb.onnx_models`: a folder of ONNX answers as the model did, and whatever `compress` makes loads, answers, verifies and compares."
import importlib.util, json
import pytest
import torch
import plm_nb.onnx_models as onnx_models
from plm_nb.comparison import compare
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, evaluate, finetune
from plm_nb.models import build, load
from plm_nb.onnx_models import METHODS, compress, compression_table, quantize_onnx, write_onnx
from plm_nb.pipelines import predict, verify
from plm_nb.runs import Run
from plm_nb.tasks import load_task, task_of
from plm_nb.text_classification import TextClassification
from plm_nb.token_classification import TokenClassification
from plm_nb.tokenizer import load_tokenizer, train_tokenizer

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnx and onnxruntime are not installed: pip install 'plm_nb[onnx]'")
TEXTS = ["the cat sat on the mat", "a dog ran over the hill", "the cat and the dog slept"]*4
TABLES = dict(train=[dict(text=f"{'good' if i%2 else 'bad'} film number {i}", label="yes" if i%2 else "no") for i in range(60)],
              validation=[dict(text=f"{'good' if i%2 else 'bad'} book {i}", label="yes" if i%2 else "no") for i in range(40)])

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(TEXTS, "byte-bpe", 320)

@pytest.fixture(scope="module")
def dataset(): return load_task(TABLES)

@pytest.fixture(scope="module")
def original(dataset, tmp_path_factory):
    words = train_tokenizer(dataset["train"]["text"][:]+TEXTS, "wordpiece", 120)
    args = FinetuningArguments(size="tiny", epochs=3)
    return finetune(dataset, tmp_path_factory.mktemp("runs")/"original", TextClassification(16), None, words, args).path

HEADS = [("bert", "fill-mask"), ("roberta", "text-classification"), ("distilbert", "token-classification"), ("bert", "question-answering"),
         ("gpt2", "text-classification"), ("xlnet", "text-classification")]

@needs_onnx
@pytest.mark.parametrize("arch,task", HEADS)
def test_folder_loads_again(tmp_path, tokenizer, arch, task):
    "`load` gives the logits of the model, as floats and roughly as bytes; a dropout of the configuration disturbs nothing"
    labels = ["a", "b", "c"] if task.endswith("classification") else None
    model = build("tiny", tokenizer, task, arch, labels=labels, dropout=.1, max_positions=80).eval()
    model.config.pad_token_id = tokenizer.pad_token_id
    assert write_onnx(model, tokenizer, task, tmp_path)<1e-4
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    name = "start_logits" if task=="question-answering" else "logits"
    with torch.no_grad(): expected = model(**batch)[name]
    for tolerance in (1e-4, .1):
        again = load(tmp_path, task, tokenizer=load_tokenizer(tmp_path))
        assert (again(**batch)[name]-expected).abs().max()<tolerance
        assert again.config.id2label==model.config.id2label and again.config.family==arch
        quantize_onnx(tmp_path)

@needs_onnx
def test_tokens_are_classified(tmp_path):
    rows = [dict(words=["anna", "met", "ben"], tags=["B-P", "O", "B-P"]), dict(words=["we", "met"], tags=["O", "O"])]*10
    dataset = load_task(dict(train=rows, validation=rows[:6]), task="token-classification")
    words = train_tokenizer([" ".join(row["words"]) for row in rows], "wordpiece", 60)
    run = finetune(dataset, tmp_path/"run", TokenClassification(16), None, words, FinetuningArguments(size="tiny", epochs=2))
    found = compress(run.path, "onnx", dataset, tmp_path/"small")
    assert found["before"]["f1"]==pytest.approx(found["after"]["f1"]) and verify(tmp_path/"small")["ok"]
    assert predict(tmp_path/"small", [dict(words=["anna", "met"])])==predict(run.path, [dict(words=["anna", "met"])])

@pytest.mark.parametrize("method", [*METHODS, "trim+quantize", "distill+trim+onnx-int8"])
def test_each_method_makes_a_run(tmp_path, dataset, original, method):
    "… that loads, answers, is verified and compared, and says what it took"
    if "onnx" in method and not HAS_ONNX: pytest.skip("onnx is not installed")
    found = compress(original, method, dataset, tmp_path/"small", epochs=1)
    assert {"bytes_before", "bytes_after", "latency_ratio", "latency_ratio_32", "throughput_ratio", "verdict", "before", "after"}<=found.keys()
    assert found["before"]["accuracy"]==Run(original).record["results"]["validation"]["accuracy"]
    if method!="onnx": assert found["bytes_after"]<found["bytes_before"]
    assert found["latency_ratio"]>0
    run = Run(tmp_path/"small")
    assert run.record["command"]=="compress" and run.record["data"]==Run(original).record["data"]
    assert verify(run.path)["ok"] and task_of(run.path)=="text-classification"
    assert predict(run.path, ["good film number 3"])[0]["label"] in ("yes", "no")
    assert evaluate(run.path, dataset)["accuracy"]==found["after"]["accuracy"]
    assert compare(run.path, original).verdict in ("better", "worse", "no difference")
    json.dumps(found)

def test_the_table(tmp_path, dataset, original):
    compress(original, "bf16", dataset, tmp_path/"small")
    table = compression_table({"half": tmp_path/"small"})
    assert list(table.index)==["half"] and table.loc["half", "score_low"]<=table.loc["half", "score"]<=table.loc["half", "score_high"]

def test_layers_are_taken_by_share(tmp_path, dataset, original):
    for share,left in ((.3, 2), (.99, 1)):
        compress(original, "prune", dataset, tmp_path/str(share), share=share, epochs=1)
        assert load(tmp_path/str(share), "text-classification").config.num_hidden_layers==left

def test_it_learns_from_what_the_model_has_learned_from(tmp_path, dataset, original):
    words = load_tokenizer(original)
    few = finetune(dataset, tmp_path/"few", TextClassification(16), None, words, FinetuningArguments(size="tiny", epochs=1, labels_per_class=4)).path
    source = onnx_models._Source(few, dataset, None, {}, tmp_path/"small")
    rows, _ = source.learned(source.task.load_model(few), words)
    assert len(rows)==8

def test_wrong_input(tmp_path, dataset, original, tokenizer):
    for method in ("", "smaller", "onnx+trim", "trim+trim", "quantize+bf16"):
        with pytest.raises(InputError, match="join one or more of trim, prune, distill"): compress(original, method, dataset, tmp_path/"small")
    with pytest.raises(InputError, match="share"): compress(original, "prune", dataset, tmp_path/"small", share=2)
    with pytest.raises(InputError, match="epochs"): compress(original, "distill", dataset, tmp_path/"small", epochs=-1)
    with pytest.raises(InputError, match="no validation split"): compress(original, "bf16", dict(train=TABLES["train"]), tmp_path/"small")
    with pytest.raises(InputError, match="another run"): compress(original, "bf16", dataset, original)
    build("tiny", tokenizer, "text2text-generation", "t5").save_pretrained(tmp_path/"t5")
    tokenizer.save_pretrained(tmp_path/"t5")
    with pytest.raises(InputError, match="answer with labels"): compress(tmp_path/"t5", "bf16", dict(train=[dict(text="a", target="b")]*9), tmp_path/"small", task="translation")
    assert not (tmp_path/"small").exists()
    compress(original, "quantize", dataset, tmp_path/"bytes")
    with pytest.raises(InputError, match="quantized already"): compress(tmp_path/"bytes", "quantize", dataset, tmp_path/"small")
    if HAS_ONNX:
        with pytest.raises(InputError, match="bytes already"): compress(tmp_path/"bytes", "onnx", dataset, tmp_path/"small")
        with pytest.raises(InputError, match="no model.onnx"): quantize_onnx(tmp_path)
    assert not (tmp_path/"small").exists()

def test_without_onnx_it_is_one_line(tmp_path, dataset, original, monkeypatch):
    if HAS_ONNX: compress(original, "onnx", dataset, tmp_path/"there")
    monkeypatch.setattr(onnx_models, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'plm_nb\[onnx\]'"): compress(original, "onnx", dataset, tmp_path/"small")
    if HAS_ONNX:
        with pytest.raises(InputError, match=r"pip install 'plm_nb\[onnx\]'"): load(tmp_path/"there", "text-classification")
