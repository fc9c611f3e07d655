"`plm_nb.compression`: bytes multiply exactly on any processor, and every family that is made smaller loads again and answers as it did."
import json, os, subprocess, sys
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification
import plm_nb.compression as compression
from plm_nb.compression import (QuantizedLinear, head_importance, model_bytes, prune_heads, prune_weights, quantize, to_int8,
                                trim_vocabulary)
from plm_nb.files import InputError
from plm_nb.models import build, load
from plm_nb.tokenizer import KINDS, encode, load_tokenizer, train_tokenizer

TEXTS = ["The cat sat on the mat.", "A dog ran over the hill, 42 times.", "the cat and the dog slept; naïve Café", "unrelated words: zebra, quixotic"]*3
FAMILIES = [("bert", "text-classification"), ("roberta", "text-classification"), ("distilbert", "token-classification"), ("modernbert", "fill-mask"),
            ("gpt2", "text-generation"), ("gpt2", "text-classification"), ("llama", "text-generation"), ("bert", "fill-mask")]

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(TEXTS, "byte-bpe", 320)

def made(arch, task, tokenizer):
    labels = ["a", "b", "c"] if task in ("text-classification", "token-classification") else None
    return build("tiny", tokenizer, task, arch, labels=labels, max_positions=80).eval()

def save(folder, model, tokenizer):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

def logits(model, tokenizer, texts=TEXTS[:4]):
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask"]
    with torch.no_grad(): return model(**{name: batch[name] for name in names}).logits*batch["attention_mask"].sum().sign()

@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_off_by_half_a_scale(seed):
    g = torch.Generator().manual_seed(seed)
    matrix = torch.randn(30, 70, generator=g)*torch.logspace(-20, 20, 30)[:, None]
    for largest in (63, 127):
        small, scale = to_int8(matrix, largest)
        assert small.abs().amax(1).tolist()==[largest]*30
        assert ((small*scale-matrix).abs()<=scale*.5001).all()

@pytest.mark.parametrize("seed", range(5))
def test_products_of_bytes_are_exact(seed, monkeypatch):
    "By the processor's own instructions and by floats, the same"
    g = torch.Generator().manual_seed(seed)
    a = torch.randint(-127, 128, (seed+1, 384), dtype=torch.int8, generator=g)
    b = torch.randint(-63, 64, (50, 384), dtype=torch.int8, generator=g)
    found = compression._product(a, b).float()
    monkeypatch.setattr(compression, "_adds_exactly", lambda: False)
    assert torch.equal(found, compression._product(a, b)) and torch.equal(found, a.float()@b.float().T)

OLD = """import torch
from plm_nb.compression import _adds_exactly, _product
a, b = torch.full((40, 96), 127, dtype=torch.int8), torch.full((8, 96), -63, dtype=torch.int8)
assert (_product(a, b)==-127*63*96).all(), _product(a, b)
print(_adds_exactly())"""

@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_older_processors_compute_the_same(isa):
    r = subprocess.run([sys.executable, "-c", OLD], env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa}, capture_output=True, text=True, timeout=120)
    assert r.returncode==0, r.stderr

def test_a_token_does_not_depend_on_its_neighbors(tokenizer):
    model = quantize(made("bert", "text-classification", tokenizer))
    both = logits(model, tokenizer)
    for i,text in enumerate(TEXTS[:4]): assert torch.allclose(logits(model, tokenizer, [text])[0], both[i], atol=1e-3)

@pytest.mark.parametrize("arch,task", FAMILIES)
def test_bytes_load_again(tmp_path, tokenizer, arch, task):
    "`load` and transformers read the folder; the logits are those before saving, near those of floats, and the folder is smaller"
    model = made(arch, task, tokenizer)
    before, floats = logits(model, tokenizer), model_bytes(save(tmp_path/"floats", model, tokenizer))
    folder = save(tmp_path/"bytes", quantize(model), tokenizer)
    again = load(folder, task, tokenizer=tokenizer)
    assert torch.equal(logits(again, tokenizer), logits(model, tokenizer))
    assert (logits(again, tokenizer)-before).abs().max()<.1*before.abs().max()+.02
    assert model_bytes(folder)<.6*floats
    config = json.loads((folder/"config.json").read_text())
    assert config["quantization_config"]["quant_method"]=="plm_int8"
    if task=="text-classification":
        theirs = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
        assert torch.equal(logits(theirs, tokenizer), logits(again, tokenizer))
    save(tmp_path/"twice", again, tokenizer)
    assert torch.equal(logits(load(tmp_path/"twice", task), tokenizer), logits(again, tokenizer))

def test_a_fresh_process_reads_it(tmp_path, tokenizer):
    "`load` enters the format where a folder has it, so bytes are never taken for weights"
    save(tmp_path/"bytes", quantize(made("bert", "text-classification", tokenizer)), tokenizer)
    code = f"from plm_nb.models import load\nmodel = load({str(tmp_path/'bytes')!r}, 'text-classification')\nprint(type(model.classifier).__name__)"
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert r.stdout.strip()=="QuantizedLinear", r.stdout+r.stderr

def test_what_is_not_quantized(tokenizer):
    with pytest.raises(InputError, match="t5 model"): quantize(build("tiny", tokenizer, "text2text-generation", "t5"))
    with pytest.raises(InputError, match="no layer to quantize"): quantize(_Empty())
    model = quantize(made("bert", "fill-mask", tokenizer))
    with pytest.raises(InputError, match="quantized already"): quantize(model)

class _Empty(nn.Module):
    class config: is_encoder_decoder, model_type, quantization_config = False, "empty", None

@pytest.mark.parametrize("share", [0, .3, .5, .99, 1])
def test_share_of_zeros(tokenizer, share):
    model = prune_weights(made("gpt2", "text-generation", tokenizer), share)
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer is not model.lm_head:
            assert (layer.weight==0).float().mean().item()==pytest.approx(share, abs=.01)

@pytest.mark.parametrize("arch", ["bert", "roberta", "distilbert", "modernbert", "gpt2", "llama"])
def test_importance_is_the_derivative(tokenizer, arch):
    model = made(arch, "text-classification", tokenizer)
    model.config.pad_token_id = tokenizer.pad_token_id
    batch = {name: x for name,x in tokenizer(TEXTS[:1], return_tensors="pt").items() if name in ("input_ids", "attention_mask")}
    batch["labels"] = torch.tensor([1])
    model.double() # or rounding weighs as much as a hundredth of a head
    found = head_importance(model, [batch])
    joints = compression._joints(model)
    for layer in range(len(joints)):
        losses = []
        for factor in (.99, 1.01):
            factors = [torch.ones(1, 1, 2, 1, dtype=torch.float64) for _ in joints]
            factors[layer][0, 0, 1] = factor
            with torch.no_grad(), compression._scaled_heads(joints, factors): losses.append(model(**batch).loss.item())
        assert abs(losses[1]-losses[0])/.02==pytest.approx(found[layer, 1].item(), rel=.01, abs=1e-9)

def test_wrong_heads(tokenizer):
    model = build("mini", tokenizer, "text-generation", "llama")
    for kept in ([[0]], [[0]]*3+[[0, 1]], [[]]*4, [[7]]*4):
        with pytest.raises(InputError, match="for each of 4 layers as many heads"): prune_heads(model, kept)
    with pytest.raises(InputError, match="no words for it"): prune_heads(model, [[0, 1, 2]]*4) # 256 is no multiple of 3
    for arch in ("bert", "gpt2", "modernbert"):
        with pytest.raises(InputError, match="prune layers"): prune_heads(build("mini", tokenizer, arch=arch, task="text-generation" if arch=="gpt2" else "fill-mask"), [[0]]*4)

@pytest.mark.parametrize("kind", KINDS)
def test_trimming_any_kind(tmp_path, kind):
    "Texts whose tokens stay have the same tokens and logits; every text still encodes; the folder loads"
    long = TEXTS + [f"some {word} and more {word}s" for word in "alpha beta gamma delta epsilon zeta theta kappa lambda sigma omega".split()*4]
    tokenizer = train_tokenizer(long, kind, 200 if kind!="byte-bpe" else 400)
    model = build("tiny", tokenizer).eval()
    before = logits(model, tokenizer)
    smaller = trim_vocabulary(model, tokenizer, TEXTS)
    assert len(smaller)<len(tokenizer) or kind=="char"
    assert model.get_input_embeddings().weight.shape[0]==len(smaller)
    assert max(smaller.get_vocab().values())+1==len(smaller)
    for text in TEXTS: assert smaller.tokenize(text)==tokenizer.tokenize(text)
    assert smaller(TEXTS[0], TEXTS[1])["input_ids"]==[smaller.convert_tokens_to_ids(token) for token in tokenizer.convert_ids_to_tokens(tokenizer(TEXTS[0], TEXTS[1])["input_ids"])]
    old_ids = tokenizer.convert_tokens_to_ids(smaller.convert_ids_to_tokens(range(len(smaller))))
    assert torch.allclose(logits(model, smaller), before[..., old_ids], atol=1e-5)
    for text in long:
        unknown = [list(ids).count(tok.unk_token_id) for tok in (smaller, tokenizer) for ids in encode([text], tok)]
        assert unknown[0]<=unknown[1]
    folder = save(tmp_path/"smaller", model, smaller)
    again = load_tokenizer(folder)
    assert again(TEXTS)["input_ids"]==smaller(TEXTS)["input_ids"]
    assert torch.allclose(logits(load(folder, tokenizer=again), again), logits(model, smaller), atol=1e-6)

@pytest.mark.parametrize("arch,task", [("roberta", "text-classification"), ("gpt2", "text-generation"), ("llama", "text-generation")])
def test_trimming_any_family(tokenizer, arch, task):
    model = made(arch, task, tokenizer)
    before = logits(model, tokenizer, TEXTS[:1])
    smaller = trim_vocabulary(model, tokenizer, TEXTS[:1])
    after = logits(model, smaller, TEXTS[:1])
    if task=="text-generation": before = before[..., tokenizer.convert_tokens_to_ids(smaller.convert_ids_to_tokens(range(len(smaller))))]
    assert torch.allclose(after, before, atol=1e-5)
    assert model.config.vocab_size==len(smaller)

def test_layer_knows_its_matrix():
    layer = QuantizedLinear(8, 3, bias=False)
    assert layer.weight.shape==(3, 8) and layer(torch.zeros(2, 5, 8)).shape==(2, 5, 3) and layer(torch.zeros(0, 8)).shape==(0, 3)
