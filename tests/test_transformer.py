"`plm_nb.transformer`: what it builds, saves and loads is what plain transformers sees."
import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline

from plm_nb.data import InputError
from plm_nb.transformer import SIZES, bert_config, build, load

CLASSES = ["cat", "mat", "rat"]

@pytest.fixture(scope="module")
def tokenizer():
    vocab = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on mat".split()
    plain = Tokenizer(models.WordLevel({w: i for i,w in enumerate(vocab)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]")

@pytest.fixture(scope="module")
def batch(tokenizer): return tokenizer(["the cat sat on the mat", "the mat"], padding=True, return_tensors="pt")

def saved(folder, tokenizer, task="fill-mask", **kwargs):
    model = build("tiny", tokenizer, task, **kwargs).eval()
    model.save_pretrained(folder); tokenizer.save_pretrained(folder)
    return model

@pytest.mark.parametrize("task,labels,auto", [("fill-mask", None, AutoModelForMaskedLM),
    ("text-classification", CLASSES, AutoModelForSequenceClassification)])
def test_round_trip(tmp_path, tokenizer, batch, task, labels, auto):
    model = saved(tmp_path, tokenizer, task, labels=labels)
    want = model(**batch).logits
    assert torch.equal(load(tmp_path, task, tokenizer=tokenizer)(**batch).logits, want)
    plain = auto.from_pretrained(tmp_path)
    assert torch.allclose(plain(**batch).logits, want, atol=1e-5)
    if labels: assert list(plain.config.id2label.values()) == labels

def test_pipeline(tmp_path, tokenizer):
    saved(tmp_path, tokenizer, "text-classification", labels=CLASSES)
    answer = pipeline("text-classification", str(tmp_path))("the cat sat")[0]
    assert answer["label"] in CLASSES

@pytest.mark.parametrize("size", [s for s in SIZES if s!="base"])
def test_sizes(size, tokenizer):
    config = build(size, tokenizer, None, dropout=.1, max_positions=64).config
    layers,width = SIZES[size]
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (layers, width, width//64)
    assert (config.vocab_size, config.pad_token_id, config.max_position_embeddings) == (len(tokenizer), 0, 64)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == .1
    assert config._attn_implementation == "eager"

@pytest.mark.parametrize("seed", range(5))
def test_seed(tokenizer, seed):
    torch.manual_seed(99); state = torch.get_rng_state()
    a,b,c = (build("tiny", tokenizer, seed=s).state_dict() for s in (seed, seed, seed+1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["bert.embeddings.word_embeddings.weight"], c["bert.embeddings.word_embeddings.weight"])

def test_new_head_on_pretrained_body(tmp_path, tokenizer):
    model = saved(tmp_path, tokenizer)
    a,b,c = (load(tmp_path, "text-classification", CLASSES, seed=s) for s in (0, 0, 1))
    assert torch.equal(a.classifier.weight, b.classifier.weight) and not torch.equal(a.classifier.weight, c.classifier.weight)
    for k,w in model.bert.encoder.state_dict().items(): assert torch.equal(w, a.bert.encoder.state_dict()[k])
    bare = load(tmp_path, None)
    for k,w in model.bert.encoder.state_dict().items(): assert torch.equal(w, bare.encoder.state_dict()[k])

def test_labels_and_tokenizer_must_fit(tmp_path, tokenizer):
    saved(tmp_path, tokenizer, "text-classification", labels=CLASSES)
    with pytest.raises(InputError, match="has 3 classes, the data has 2"): load(tmp_path, "text-classification", ["a", "b"])
    with pytest.raises(InputError, match="in this order"): load(tmp_path, "text-classification", CLASSES[::-1])
    renamed = load(tmp_path, "text-classification", ["a", "b", "c"])
    assert renamed.config.id2label == {0: "a", 1: "b", 2: "c"}
    with pytest.raises(InputError, match="need two or more"): load(tmp_path, "text-classification", ["a", "a", "b"])
    with pytest.raises(InputError, match="fill-mask are missing"): load(tmp_path, "fill-mask")
    class Longer:
        def __len__(self): return 11
    with pytest.raises(InputError, match="embeds 10 tokens, the tokenizer has 11"): load(tmp_path, "text-classification", tokenizer=Longer())

def truncate(folder):
    file = folder/"model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])

def drop_layer(folder):
    from safetensors.torch import load_file, save_file
    weights = load_file(folder/"model.safetensors")
    save_file({k: w for k,w in weights.items() if "layer.1." not in k}, folder/"model.safetensors", metadata={"format": "pt"})

def bring_code(folder):
    (folder/"evil.py").write_text("raise SystemExit('ran')")
    (folder/"config.json").write_text(json.dumps(dict(model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForMaskedLM": "evil.M"})))

@pytest.mark.parametrize("damage,why", [
    (lambda d: (d/"config.json").unlink(), "no config.json"),
    (lambda d: (d/"config.json").write_text("{"), "not a valid JSON"),
    (lambda d: (d/"config.json").write_text('{"model_type": "gpt2"}'), "AutoModelForMaskedLM"),
    (lambda d: (d/"model.safetensors").unlink(), "model.safetensors"),
    (truncate, "model.safetensors"), (drop_layer, "16 weights"), (bring_code, "custom code")])
def test_damaged_folders(tmp_path, tokenizer, damage, why):
    saved(tmp_path, tokenizer)
    damage(tmp_path)
    with pytest.raises(InputError, match=why) as e: load(tmp_path)
    assert "\n" not in str(e.value) and str(tmp_path) in str(e.value)

@pytest.mark.parametrize("path", ["nobody/nothing", "/nowhere/at/all", "./a b", "runs/mlm"])
def test_nowhere(path, monkeypatch):
    monkeypatch.setattr("plm_nb.transformer._offline", lambda path: True) # as with the network off
    with pytest.raises(InputError, match="no such folder") as e: load(path)
    assert "\n" not in str(e.value) and path in str(e.value)

def test_unknown_names(tokenizer):
    with pytest.raises(InputError, match="choose from tiny"): bert_config("large", 100)
    with pytest.raises(InputError, match="choose from fill-mask"): build("tiny", tokenizer, "translation")
    with pytest.raises(InputError, match="takes no labels"): build("tiny", tokenizer, "fill-mask", CLASSES)
    with pytest.raises(InputError, match="two or more"): build("tiny", tokenizer, "text-classification")

def test_saved_folder_names_no_place(tmp_path, tokenizer):
    saved(tmp_path, tokenizer)
    load(tmp_path).save_pretrained(tmp_path/"again")
    assert str(tmp_path) not in (tmp_path/"again"/"config.json").read_text()

def test_half_precision_is_read_as_float32(tmp_path, tokenizer):
    build("tiny", tokenizer).bfloat16().save_pretrained(tmp_path)
    assert {w.dtype for w in load(tmp_path).parameters()} == {torch.float32}
