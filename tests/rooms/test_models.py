"`plm_nb.models`: what it builds, saves and loads is what plain transformers sees."
import json
import math

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification
from transformers import EncoderDecoderConfig, PreTrainedTokenizerFast, pipeline

from plm_nb.files import InputError
from plm_nb.ngram import NGram
from plm_nb.models import ARCHS, AUTO_CLASSES, SIZES, build, check_length, config, layout, load, longest_input

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

def same_weights(a, b):
    "The same bits: weights are stored, not computed."
    return all(torch.equal(p, q) for p,q in zip(a.parameters(), b.parameters(), strict=True))

@pytest.mark.parametrize("task,labels,auto", [("fill-mask", None, AutoModelForMaskedLM),
    ("text-classification", CLASSES, AutoModelForSequenceClassification)])
def test_round_trip(tmp_path, tokenizer, batch, task, labels, auto):
    model = saved(tmp_path, tokenizer, task, labels=labels)
    want = model(**batch).logits
    again = load(tmp_path, task, tokenizer=tokenizer)
    assert same_weights(again, model)
    assert torch.allclose(again(**batch).logits, want, atol=1e-5)
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
    assert load(tmp_path, "text-classification", ["a", "b"]).config.id2label == {0: "a", 1: "b"}
    with pytest.raises(InputError, match="in this order"): load(tmp_path, "text-classification", CLASSES[::-1])
    renamed = load(tmp_path, "text-classification", ["a", "b", "c"])
    assert renamed.config.id2label == {0: "a", 1: "b", 2: "c"}
    with pytest.raises(InputError, match="need one or more"): load(tmp_path, "text-classification", ["a", "a", "b"])
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
    (lambda d: (d/"config.json").write_text('{"model_type": "gpt2"}'), "does not do fill-mask here"),
    (lambda d: (d/"model.safetensors").unlink(), "model.safetensors"),
    (truncate, "model.safetensors"), (drop_layer, "16 weights"), (bring_code, "custom code")])
def test_damaged_folders(tmp_path, tokenizer, damage, why):
    saved(tmp_path, tokenizer)
    damage(tmp_path)
    with pytest.raises(InputError, match=why) as e: load(tmp_path)
    assert "\n" not in str(e.value) and str(tmp_path) in str(e.value)

@pytest.mark.parametrize("path", ["nobody/nothing", "/nowhere/at/all", "./a b", "runs/mlm"])
def test_nowhere(path):
    with pytest.raises(InputError, match="no such folder") as e: load(path)
    assert "\n" not in str(e.value) and path in str(e.value)

def test_unknown_names(tokenizer):
    with pytest.raises(InputError, match="choose from tiny"): config("bert", "large", 100)
    with pytest.raises(InputError, match="choose from bert, roberta"): build("tiny", tokenizer, arch="elmo")
    with pytest.raises(InputError, match="choose from bert, roberta"): config("elmo", "tiny", 100)
    with pytest.raises(InputError, match="choose from fill-mask"): build("tiny", tokenizer, "translation")
    with pytest.raises(InputError, match="takes no labels"): build("tiny", tokenizer, "fill-mask", labels=CLASSES)
    with pytest.raises(InputError, match="one or more"): build("tiny", tokenizer, "text-classification")

def test_saved_folder_names_no_place(tmp_path, tokenizer):
    saved(tmp_path, tokenizer)
    load(tmp_path).save_pretrained(tmp_path/"again")
    assert str(tmp_path) not in (tmp_path/"again"/"config.json").read_text()

def test_half_precision_is_read_as_float32(tmp_path, tokenizer):
    build("tiny", tokenizer).bfloat16().save_pretrained(tmp_path)
    assert {w.dtype for w in load(tmp_path).parameters()} == {torch.float32}

PAIRS = [(arch, task) for arch,tasks in ARCHS.items() for task in tasks]
WRITERS = [(a, t) for a,t in PAIRS if t in ("text-generation", "text2text-generation")]
CAUSAL = [a for a,t in WRITERS if t=="text-generation" and a!="xlnet"]

def made(arch, task, tokenizer, **kwargs):
    if task in ("text-classification", "token-classification"): kwargs["labels"] = CLASSES
    return build("tiny", tokenizer, task, arch, **kwargs).eval()

def sharp(model, factor=6):
    "`model` with larger weights, so that what it reads shows in what it says"
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim>1: p.mul_(factor)
    return model.eval()

@torch.no_grad()
def said(model, ids, **kwargs):
    if model.config.is_encoder_decoder and "decoder_input_ids" not in kwargs: kwargs["decoder_input_ids"] = ids
    out = model(ids, **kwargs)
    return next(v for v in out.values() if torch.is_tensor(v)) # logits, or the bare body's vectors

@pytest.mark.parametrize("arch,task", PAIRS)
def test_every_combination(arch, task, tokenizer, tmp_path):
    ids = torch.randint(5, 10, (2, 16), generator=torch.Generator().manual_seed(0))
    ids[:, 0],ids[:, -1] = 2, 3
    model,twin,other = (made(arch, task, tokenizer, seed=s) for s in (0, 0, 1))
    assert same_weights(model, twin) and not same_weights(model, other)
    if task=="multiple-choice": ids = ids[:, None].repeat(1, 3, 1) # three choices, all alike
    want = said(model, ids)
    assert want.isfinite().all() and want.shape[0]==2
    model.save_pretrained(tmp_path)
    again = load(tmp_path, task, tokenizer=tokenizer)
    assert same_weights(again, model)
    assert torch.allclose(said(again, ids), want, atol=1e-5)
    plain = AUTO_CLASSES[task].from_pretrained(tmp_path).eval()
    assert torch.allclose(said(plain, ids), want, atol=1e-5)
    if task in ("text-classification", "token-classification"): assert list(plain.config.id2label.values())==CLASSES
    if task=="pretraining":
        out = plain(ids, labels=ids, next_sentence_label=torch.tensor([0, 1]))
        assert out.loss.isfinite() and out.seq_relationship_logits.shape==(2, 2)

@pytest.mark.parametrize("arch,task", WRITERS)
def test_ids(arch, task, tokenizer):
    model = made(arch, task, tokenizer)
    for settings in (model.config, model.generation_config):
        assert (settings.pad_token_id, settings.bos_token_id, settings.eos_token_id) == (0, 2, 3)
    assert (model.config.cls_token_id, model.config.sep_token_id) == (2, 3)
    if model.config.is_encoder_decoder:
        assert model.config.decoder_start_token_id==model.generation_config.decoder_start_token_id==2
        assert model.generation_config.forced_eos_token_id is None

@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_alike(arch, size):
    def count(arch):
        with torch.device("meta"): model = AUTO_CLASSES[next(filter(None, ARCHS[arch]))].from_config(config(arch, size, 4096))
        return model.num_parameters()
    times = count(arch)/count("bert")
    low,high = .85, 1.1
    if arch in ("t5", "bart"): low,high = 1.4, 2.3
    if arch in ("distilbert", "rnn", "gru", "lstm"): low,high = .1, .9
    assert low<times<high

@pytest.mark.parametrize("arch", ARCHS)
def test_dropout_has_one_name(arch, tokenizer):
    settings = made(arch, ARCHS[arch][-1], tokenizer, dropout=.25).config
    assert {v for k,v in settings.to_dict().items() if "dropout" in k or "pdrop" in k} == {.25}

@pytest.mark.parametrize("arch", [a for a in ARCHS if a not in ("xlnet", "t5", "rnn", "gru", "lstm")])
def test_longest_text(arch, tokenizer):
    model = made(arch, ARCHS[arch][1], tokenizer, max_positions=32)
    ids = torch.full((1, 32), 5)
    assert said(model, ids).isfinite().all()
    assert model.config.max_position_embeddings==32+(arch=="roberta")
    assert longest_input(model)==longest_input(model.config)==32
    check_length(model, 32)
    with pytest.raises(InputError, match="max_length 33: the model reads at most 32 tokens"): check_length(model, 33)
    if arch in ("modernbert", "llama"): return # rotary positions have no table that could end
    with pytest.raises((IndexError, RuntimeError)): said(model, torch.full((1, 33), 5))

@pytest.mark.parametrize("arch", ["xlnet", "t5", "rnn", "gru", "lstm"])
def test_no_longest_text(arch, tokenizer):
    model = made(arch, ARCHS[arch][-1], tokenizer, max_positions=32)
    assert longest_input(model)==longest_input(model, decoder=True)==math.inf
    check_length(model, 10**6)
    assert said(model, torch.full((1, 64), 5)).isfinite().all()

def test_longest_text_of_two_halves():
    halves = config("roberta", "tiny", 10, max_positions=48), config("gpt2", "tiny", 10, max_positions=32)
    both = EncoderDecoderConfig.from_encoder_decoder_configs(*halves)
    assert (longest_input(both), longest_input(both, decoder=True))==(48, 32)
    with pytest.raises(InputError, match="at most 48 tokens"): check_length(both, 49)
    bart = config("bart", "tiny", 10, max_positions=32)
    assert longest_input(bart)==longest_input(bart, decoder=True)==32

@pytest.mark.parametrize("task", [t for t in AUTO_CLASSES if t])
def test_refusals_name_what_works(task, tokenizer):
    for arch in ARCHS:
        if task in ARCHS[arch]: continue
        with pytest.raises(InputError, match=f"not for {arch}.* it is for ") as e: build("tiny", tokenizer, task, arch)
        for other in ARCHS: assert (task in ARCHS[other])==(other in str(e.value).split("it is for ")[1].split(", "))

@pytest.mark.parametrize("family, marks", [("gpt2", (320, 320, 320)), ("llama", (2, 1, 2)), ("bert", (0, 2, 3))])
def test_a_model_takes_the_marks_of_any_tokenizer(family, marks):
    "What pads, opens and closes in its rows, whatever it is called there, and though one mark does all three."
    from families import TOKENIZERS
    config = build("tiny", TOKENIZERS[family](), "text-generation", "llama").config
    found = config.pad_token_id, config.bos_token_id, config.eos_token_id
    assert found==marks or family=="gpt2" and len({*found})==1

def test_a_tokenizer_without_marks_is_refused(tokenizer):
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(InputError, match="opens or closes a text"): build("tiny", bare)

@pytest.mark.parametrize("saved_as,asked", [("fill-mask", "text-generation"), ("fill-mask", "text2text-generation")])
def test_load_refuses_other_jobs(tmp_path, tokenizer, saved_as, asked):
    made("bert", saved_as, tokenizer).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="a bert model does not do .* it does fill-mask"): load(tmp_path, asked)

@pytest.mark.parametrize("arch", [a for a in ARCHS if ARCHS[a][0] is None and "text-classification" in ARCHS[a]])
def test_new_head_on_any_body(tmp_path, tokenizer, arch):
    body = made(arch, ARCHS[arch][1], tokenizer)
    body.save_pretrained(tmp_path)
    a,b,c = (load(tmp_path, "text-classification", CLASSES, seed=s) for s in (0, 0, 1))
    old = dict(body.base_model.named_parameters())
    new = dict(a.base_model.named_parameters())
    assert all(torch.equal(old[k], new[k]) for k in old)
    assert same_weights(a, b) and not same_weights(a, c)

@pytest.mark.parametrize("arch", CAUSAL)
@pytest.mark.parametrize("seed", range(3))
def test_no_causal_model_reads_the_future(arch, seed, tokenizer):
    g = torch.Generator().manual_seed(seed)
    model = sharp(made(arch, "text-generation", tokenizer, seed=seed))
    ids = torch.randint(5, 10, (2, 16), generator=g)
    for at in (1, 7, 15):
        changed = ids.clone()
        changed[:, at] = (changed[:, at]-4)%5+5
        moved = (said(model, changed)-said(model, ids)).abs().amax(-1)
        assert moved[:, :at].max() < moved[:, at].min()/1000

@pytest.mark.parametrize("arch", ["t5", "bart"])
def test_decoders_read_the_source_and_their_past(arch, tokenizer):
    model = sharp(made(arch, "text2text-generation", tokenizer), 2)
    source,target = torch.randint(5, 10, (2, 2, 8), generator=torch.Generator().manual_seed(0))
    before = said(model, source, decoder_input_ids=target)
    later,other = target.clone(), source.clone()
    later[:, 5] = (later[:, 5]-4)%5+5; other[:, -1] = (other[:, -1]-4)%5+5
    assert torch.allclose(said(model, source, decoder_input_ids=later)[:, :5], before[:, :5], atol=1e-5)
    assert (said(model, source, decoder_input_ids=later)-before)[:, 5:].abs().amax()>1e-3
    assert (said(model, other, decoder_input_ids=target)-before).abs().amax(-1).min()>0
    padded = torch.cat([source, torch.zeros(2, 3, dtype=torch.long)], 1)
    masked = said(model, padded, attention_mask=(padded!=0).long(), decoder_input_ids=target)
    assert torch.allclose(masked, before, atol=1e-4)

def additive(forbidden): return forbidden[:, None]*torch.finfo(torch.float).min

@pytest.mark.parametrize("arch", [a for a in ARCHS if a not in ("t5", "bart")]) # those take a document per row
@pytest.mark.parametrize("seed", range(3))
def test_documents_of_a_row_are_isolated(arch, seed, tokenizer):
    "What each family must be given (see `layout`) so that a document reads as if it were alone"
    g = torch.Generator().manual_seed(seed)
    def document(n): return torch.cat([torch.tensor([2]), torch.randint(5, 10, (n,), generator=g), torch.tensor([3])])
    first,other,text = document(6), document(6), document(12)
    model = made(arch, ARCHS[arch][0 if len(ARCHS[arch])==1 else 1], tokenizer, seed=seed)
    if arch=="modernbert": # a window smaller than the document
        model.config.local_attention = 6
    model,know = sharp(model, 2), layout(model.config)
    def read(row):
        row,t = row[None], len(row)
        number,at = (row==2).cumsum(1), torch.arange(t)
        position = at - torch.where(row==2, at, 0).cummax(1).values
        forbidden = number[:, :, None]!=number[:, None, :]
        if arch=="xlnet": # one order, from left to right
            forbidden = forbidden | (at>=at[:, None])
            return said(model, row, perm_mask=forbidden.float(), target_mapping=torch.eye(t)[None])[0, -len(text)+1:]
        kwargs = dict(position_ids=position+know["first"])
        if arch in ("gpt2", "llama"): forbidden = forbidden | (at>at[:, None])
        if know["window"]: kwargs["attention_mask"] = dict(full_attention=additive(forbidden),
            sliding_attention=additive(forbidden | ((at-at[:, None]).abs()>know["window"])))
        elif arch not in ("rnn", "gru", "lstm"): kwargs["attention_mask"] = additive(forbidden)
        return said(model, row, **kwargs)[0, -len(text):]
    with_one,with_other = read(torch.cat([first, text])), read(torch.cat([other, text]))
    assert torch.allclose(with_one, with_other, atol=1e-4)
    alone = read(text) if arch=="xlnet" else said(model, text[None])[0]
    assert torch.allclose(with_one, alone, atol=1e-4)

@pytest.mark.parametrize("arch,task", WRITERS)
@pytest.mark.parametrize("how", [dict(num_beams=1), dict(num_beams=3)])
def test_generate_in_a_batch(arch, task, how, tokenizer):
    "Greedy and beam search: a padded batch gives each prompt what it would get alone"
    for seed in range(3):
        model = sharp(made(arch, task, tokenizer, seed=seed), 1.5)
        texts = ["the cat sat on", "mat on the the" if arch=="xlnet" else "the mat"] # XLNet's generate takes no mask
        def write(texts): # up to the first [SEP]: beam search fills up with it, as our [PAD] is 0
            batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False,
                padding_side="right" if model.config.is_encoder_decoder else "left")
            out = model.generate(**batch, do_sample=False, max_new_tokens=8, **how)
            rows = [[i for i in row if i] + [3] for row in out.tolist()]
            return [row[:row.index(3)] for row in rows]
        assert write(texts)==[write([t])[0] for t in texts]

def test_load_ngram(tmp_path, tokenizer):
    NGram.fit([[2, 5, 6, 3], [2, 5, 9, 3]], vocab_size=10, order=2, bos=2).save(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([[2, 5, 6]])
    assert torch.allclose(said(load(tmp_path, "text-generation", tokenizer=tokenizer), ids), said(plain, ids), atol=1e-5)
    with pytest.raises(InputError, match="AutoModelForMaskedLM"): load(tmp_path)

@pytest.mark.parametrize("arch,task", WRITERS)
def test_generate_samples(arch, task, tokenizer):
    model = made(arch, task, tokenizer)
    ids = torch.tensor([[2, 5, 6, 7]])
    def write(seed):
        torch.manual_seed(seed)
        return model.generate(ids, do_sample=True, min_new_tokens=12, max_new_tokens=12, top_k=0).tolist()
    assert write(0)==write(0) and len({str(write(s)) for s in range(5)})>1
