"Each stock fault is found on the families that have it, none is found on ours, and a broken engine of ours would be found."
import json
from copy import deepcopy
import pytest
import torch
import transformers
from tokenizers import Regex
from tokenizers.normalizers import Replace
from transformers import BertConfig, BertForTokenClassification, BertLMHeadModel, BertTokenizer, GPT2Config, GPT2LMHeadModel
from transformers import PreTrainedTokenizerFast
from plm_nb import conformance, engines
from plm_nb.conformance import INVARIANTS, Findings, check, measure
from plm_nb.data import load_corpus
from plm_nb.files import InputError
from plm_nb.engines import Subject
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.objectives import OBJECTIVES
from plm_nb.tokenizer import encode, train_tokenizer
from plm_nb.models import build

NAMES = ["accumulation", "batch_size", "padding_side", "packing", "resume", "reload", "sums_to_one", "unknown_rate", "eos",
         "prediction_order"]
FAMILIES = dict(bert="wordpiece", roberta="byte-bpe", distilbert="wordpiece", modernbert="bpe", gpt2="byte-bpe",
                xlnet="unigram", t5="unigram", bart="byte-bpe") # and the kind of tokenizer that they came with
TASKS = dict(gpt2="text-generation", xlnet="text-generation", t5="text2text-generation", bart="text2text-generation")
ALWAYS = {"batch_size", "resume", "reload", "prediction_order"}

@pytest.fixture(scope="module")
def texts(): return load_corpus("docs")["train"]["text"][:300]

@pytest.fixture(scope="module")
def toks(texts): return {k: train_tokenizer(texts, k, 500) for k in sorted({*FAMILIES.values()})}

@pytest.fixture(scope="module")
def tok(toks): return toks["wordpiece"]

def new(arch, tok, task=None):
    task = task or TASKS.get(arch, "fill-mask")
    return build("tiny", tok, task, arch, labels=["a", "b", "c"] if task=="text-classification" else None)

def verdicts(found): return {f["name"]: f["passed"] for f in found}
def broken(found): return {f["name"] for f in found if f["passed"] is False}
def idle(found): return {f["name"] for f in found if f["passed"] is None}
def detail(found, name): return next(f["detail"] for f in found if f["name"]==name)
def difference(found, name): return next(f["difference"] for f in found if f["name"]==name)

def not_applicable(arch):
    if arch in ("t5", "bart"): return {"packing"}
    return set() if arch=="gpt2" else {"eos"}

@pytest.mark.parametrize("arch", FAMILIES)
def test_stock_faults(toks, arch):
    "What is known of the stock engine, family by family, and nothing else."
    found = check(new(arch, toks[FAMILIES[arch]]), toks[FAMILIES[arch]], "stock")
    assert [f["name"] for f in found]==NAMES and idle(found)==not_applicable(arch)
    assert broken(found)==ALWAYS | ({"packing"}-idle(found)) | (set() if arch=="modernbert" else {"accumulation"})
    whole, cut, hand = (float(detail(found, "accumulation").split(w)[1].split()[0].strip(",;")) for w in ("loss ", "8, ", "hand "))
    assert hand>4 and cut/hand==pytest.approx(dict(modernbert=1, gpt2=36/44).get(arch, 4), rel=.02)
    assert whole/hand==pytest.approx(36/44 if arch=="gpt2" else 1, rel=1e-3)
    draws = arch not in ("gpt2", "t5", "bart") # collators that draw their questions
    assert (difference(found, "resume")>0)==draws
    for fault in ("checkpoint-999 is deleted", "model.safetensors goes unnoticed", "missing optimizer.pt goes unnoticed",
                  "half-written checkpoint ends in", "another batch size it is done at step 6"):
        assert fault in detail(found, "resume"), fault
    assert "training_args.bin" in detail(found, "reload")

@pytest.mark.parametrize("arch", FAMILIES)
def test_none_on_ours(toks, arch):
    found = check(new(arch, toks[FAMILIES[arch]]), toks[FAMILIES[arch]])
    assert broken(found)==set(), [f for f in found if f["passed"] is False]
    assert idle(found)==not_applicable(arch)
    assert max(difference(found, "resume"), difference(found, "reload"))<1e-5, found # rounding, where a processor rounds

@pytest.mark.parametrize("arch, task", [("bert", "pretraining"), ("bert", "text-classification"), ("llama", None), ("gru", None)])
def test_other_heads(tok, arch, task):
    "Pairs, classes, and families that the list does not name."
    model = new(arch, tok, task or "text-generation")
    ours, subject = check(model, tok), Subject(model, tok, "stock")
    stock = [measure(name, subject) for name in NAMES if name not in ("resume", "reload")]
    assert broken(ours)==set(), [f for f in ours if f["passed"] is False]
    own = {"accumulation", "batch_size"} if task=="pretraining" else {"accumulation"} if task else {"batch_size", "packing"}
    assert broken(stock)==own | {"prediction_order"}
    assert idle(stock)==idle(ours)==({"packing", "eos"} if task else set())

def test_bert_that_reads_to_the_left(tok):
    "`BertLMHeadModel` divides by the labels of T tokens, of which T-1 are asked for."
    model = BertLMHeadModel(BertConfig(vocab_size=len(tok), hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
                                       is_decoder=True))
    assert measure("accumulation", Subject(model, tok, "stock"))["difference"]==pytest.approx(8/44, abs=1e-3)
    assert measure("accumulation", Subject(model, tok, "ours"))["passed"]

@pytest.mark.parametrize("arch, kept", [("bert", False), ("distilbert", False), ("gpt2", False), ("roberta", True),
                                        ("llama", True), ("t5", True)])
def test_padding_before_the_text(tok, arch, kept):
    "It shifts the positions of whoever counts them from the left."
    left = deepcopy(tok)
    left.padding_side = "left"
    model = new(arch, left, dict(TASKS, llama="text-generation").get(arch))
    assert measure("padding_side", Subject(model, left, "stock"))["passed"] is kept
    assert measure("padding_side", Subject(model, left, "ours"))["passed"] is True
    assert measure("padding_side", Subject(model, tok, "stock"))["passed"] is True

@pytest.fixture(scope="module")
def bare(toks):
    "GPT-2's own kind of tokenizer: one special token, which is everything."
    end = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    return PreTrainedTokenizerFast(tokenizer_object=deepcopy(toks["byte-bpe"].backend_tokenizer), **end)

def test_a_tokenizer_with_one_special_token(bare):
    "Padded with its end, the stock collator never asks for an end; ours gets the marks that it needs, in copies."
    size = len(bare)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=64, n_layer=2, n_head=2, bos_token_id=size-1,
                                       eos_token_id=size-1))
    stock = measure("eos", Subject(model, bare, "stock"))
    assert stock["passed"] is False and stock["difference"]==1
    ours = Subject(model, bare, "ours")
    for name in ("accumulation", "batch_size", "packing", "eos", "reload"): assert measure(name, ours)["passed"], name
    assert len(bare)==size and bare.pad_token is None and model.config.vocab_size==size

def test_unknown_rate(tok, toks, texts):
    "A tokenizer that knows no word is found; one that knows another script is not."
    model, lost = new("bert", tok), BertTokenizer(vocab_file="no/such/vocab.txt")
    found = {k: measure("unknown_rate", Subject(model, t, "stock")) for k,t in dict(lost=lost, **toks,
             chinese=train_tokenizer(["狗在老房子里看见了三只猫"]*3, "char", 100)).items()}
    assert found.pop("lost")["difference"]==1
    assert all(f["passed"] for f in found.values())

def test_a_tokenizer_knows_its_own_text(tok, toks, chinese):
    "One that knows none of the plain sentences is measured on its own tokens; one that has lost its words is found there, too."
    assert not {*"".join(conformance.PLAIN)} & {*chinese.get_vocab()}-{*"的"}
    for tokenizer in (chinese, train_tokenizer(["मैं घर में हूँ और बिल्ली सो रही है"]*5, "char", 60), *toks.values()):
        assert measure("unknown_rate", Subject(new("bert", tokenizer), tokenizer))["difference"]<.1
    shouting = deepcopy(chinese) # a normalizer that was not there in training changes every character
    shouting.backend_tokenizer.normalizer = Replace(Regex("."), "狗")
    assert measure("unknown_rate", Subject(new("bert", chinese), shouting))["difference"]==1

def test_ids_fit(tok, toks):
    found = measure("sums_to_one", Subject(new("bert", tok), train_tokenizer(["a b c"], "char", 20), "stock"))
    assert found["passed"] is True
    larger = deepcopy(tok)
    larger.add_tokens(["onemore", "another"])
    found = measure("sums_to_one", Subject(new("bert", tok), larger, "ours"))
    assert found["passed"] is False and found["difference"]==2
    sick = new("bert", tok)
    with torch.no_grad(): sick.bert.embeddings.word_embeddings.weight.fill_(float("nan"))
    found = measure("sums_to_one", Subject(sick, tok, "ours"))
    assert found["passed"] is False and found["difference"] is None

@pytest.fixture(scope="module")
def counted(tok, texts):
    ids = [[tok.cls_token_id, *row, tok.sep_token_id] for row in encode(texts[:50], tok)]
    return NGramForCausalLM.from_ngram(NGram.fit(ids, len(tok), 3, bos=tok.cls_token_id), tok)

TRAINING = {"accumulation", "batch_size", "resume", "prediction_order"} # what needs a model that is trained

@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("engine", ["ours", "stock"])
def test_what_counts_is_not_trained(tok, counted, tmp_path, engine, loaded):
    "Nor is it after loading, which sets all that is stored as to be trained."
    model = counted
    if loaded:
        counted.save_pretrained(tmp_path)
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
        assert engines.learns(model)
    found = check(model, tok, engine)
    assert idle(found)==TRAINING and {detail(found, name) for name in TRAINING}=={"nothing in the model is trained"}
    assert broken(found)==({"reload"} if engine=="stock" else set())

def test_a_broken_count_is_found_after_loading(tok, counted, tmp_path):
    "The logits of what counts are measured as they are, not after a softmax that makes any numbers sum to 1."
    wrong = deepcopy(counted)
    with torch.no_grad(): wrong.logp[0][5] += 3
    wrong.save_pretrained(tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert measure("sums_to_one", Subject(model, tok))["passed"] is False
    assert measure("sums_to_one", Subject(counted, tok))["passed"] is True

def test_a_network_that_is_frozen_is_no_count(tok):
    "Its logits are no probabilities, and nothing in it is trained."
    found = check(new("bert", tok).requires_grad_(False), tok)
    assert broken(found)==set() and idle(found)==TRAINING | {"eos"}

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64)
GPT = dict(n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=2, eos_token_id=3)
T5 = dict(d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0, eos_token_id=3)
PLAIN_MODELS = dict(
    bert=lambda v: transformers.BertForMaskedLM(BertConfig(vocab_size=v, **SMALL)),
    classifier=lambda v: transformers.BertForSequenceClassification(BertConfig(vocab_size=v, num_labels=2, **SMALL)),
    tagger=lambda v: BertForTokenClassification(BertConfig(vocab_size=v, num_labels=5, **SMALL)),
    gpt2=lambda v: GPT2LMHeadModel(GPT2Config(vocab_size=v, **GPT)),
    t5=lambda v: transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=v, **T5)))

@pytest.fixture(scope="module")
def chinese(): return train_tokenizer(["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"]*3, "char", 100)

@pytest.mark.parametrize("kind", PLAIN_MODELS)
def test_no_false_alarm_on_fresh_models(tok, chinese, kind):
    "Models of plain transformers, with a tokenizer of English pieces and one of the characters of a Chinese poem."
    for tokenizer in (tok, chinese):
        torch.manual_seed(1)
        subject = Subject(PLAIN_MODELS[kind](len(tokenizer)), tokenizer)
        found = [measure(name, subject) for name in NAMES if name!="resume"]
        assert broken(found)==set(), [f for f in found if f["passed"] is False]
        close = [f for f in found if f["tolerance"] and (f["difference"] or 0)>.1*f["tolerance"]]
        assert {f["name"] for f in close}<={"unknown_rate"}, close # rounding is far from what is tolerated

@pytest.mark.parametrize("seed", range(5))
def test_small_gradients(tok, seed):
    "A new classifier hardly moves at any usual rate: the rounding of a weight must not count as a difference."
    torch.manual_seed(seed)
    model = PLAIN_MODELS["classifier"](len(tok)) # of two balanced classes: the steps of its rows cancel out
    assert measure("accumulation", Subject(model, tok))["difference"]<1e-5
    stock = measure("accumulation", Subject(model, tok, "stock"))
    assert stock["passed"] is False and stock["difference"]>.5

def test_a_head_that_says_nothing(tok):
    "All logits are 0, and so are their differences."
    model = PLAIN_MODELS["classifier"](len(tok))
    with torch.no_grad(): model.classifier.weight.zero_()
    found = check(model, tok)
    assert broken(found)==set(), [f for f in found if f["passed"] is False]

def test_tags(tok):
    model = BertForTokenClassification(BertConfig(vocab_size=len(tok), hidden_size=64, num_hidden_layers=1,
                                                  num_attention_heads=2, num_labels=5))
    subject = Subject(model, tok, "stock")
    assert {n: measure(n, subject)["passed"] for n in ("accumulation", "batch_size", "prediction_order")}==dict.fromkeys(
        ("accumulation", "batch_size", "prediction_order"), False)

def test_nothing_is_changed(tok, capfd):
    "Neither the model, nor the tokenizer, nor the random numbers of whoever asks; and nothing is printed."
    model = new("gpt2", tok).train()
    before, words, state = deepcopy(model.state_dict()), tok.backend_tokenizer.to_str(), torch.get_rng_state()
    found = check(model, tok)
    assert capfd.readouterr()==("", "")
    assert model.training and all(torch.equal(v, before[k]) for k,v in model.state_dict().items())
    assert words==tok.backend_tokenizer.to_str() and torch.equal(state, torch.get_rng_state())
    assert json.loads(json.dumps(found, allow_nan=False))==found and list(found[0])==[
        "name", "passed", "difference", "tolerance", "detail"]
    assert found._repr_markdown_().count("\n")==len(NAMES)+1 and list(INVARIANTS)==NAMES

def test_a_folder_is_not_told(tok, tmp_path):
    "A model that was loaded from a folder does not carry its path along."
    new("bert", tok).save_pretrained(tmp_path/"mine")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path/"mine")
    assert measure("reload", Subject(model, tok, "ours"))["passed"]

def test_a_table_is_escaped():
    found = Findings([dict(name="eos", passed=False, difference=None, tolerance=.1, detail="<b>a|b\nc")])
    assert found._repr_markdown_().splitlines()[-1]=="| eos | **broken** |  | 0.1 | &lt;b&gt;a\\|b c |"

class Twice(engines.ResumableTrainer):
    "Ours with a loss that depends on the parts."
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return 2*super().compute_loss(model, inputs, return_outputs, None)

class Shuffled(engines.ResumableTrainer):
    "Ours with the stock order of evaluation."
    _get_eval_sampler = transformers.Trainer._get_eval_sampler

class Careless(engines.ResumableTrainer):
    "Ours with the stock way of saving."
    _save = transformers.Trainer._save

@pytest.mark.parametrize("name, Broken", [("accumulation", Twice), ("prediction_order", Shuffled), ("reload", Careless)])
def test_a_broken_engine_of_ours_is_found(tok, monkeypatch, name, Broken):
    monkeypatch.setattr(engines, "ResumableTrainer", Broken)
    assert measure(name, Subject(new("bert", tok), tok, "ours"))["passed"] is False

def test_documents_that_are_not_apart_are_found(tok, monkeypatch):
    def mixed(tokenizer, **settings): return OBJECTIVES["mlm"].collator(tokenizer, isolated=False, **settings)
    monkeypatch.setitem(OBJECTIVES, "mlm", OBJECTIVES["mlm"]._replace(collator=mixed))
    assert measure("packing", Subject(new("bert", tok), tok, "ours"))["passed"] is False

def test_positions_that_do_not_start_again_are_found(toks, monkeypatch):
    "RoBERTa's first position is not 0; packed with another one a document reads otherwise than alone."
    subject = Subject(new("roberta", toks["byte-bpe"]), toks["byte-bpe"], "ours")
    assert measure("packing", subject)["difference"]<1e-5
    monkeypatch.setattr(engines, "layout", lambda config: {})
    assert measure("packing", subject)["passed"] is False

def test_a_lost_loss_is_found(tok, monkeypatch):
    "One loss that is NaN makes the largest NaN, whichever of them it is."
    assert all(conformance._largest(x)!=conformance._largest(x) for x in ([float("nan"), 1.], [1., float("nan")]))

def test_an_error_breaks_an_invariant_and_a_refusal_does_not(tok, monkeypatch):
    subject, said = Subject(new("bert", tok), tok, "ours"), {}
    for error in (KeyError("x"), InputError("not here")):
        def fail(s): raise error
        monkeypatch.setitem(INVARIANTS, "eos", (fail, 0.))
        said[type(error)] = measure("eos", subject)
    assert said[KeyError]["passed"] is False and said[KeyError]["detail"]=="KeyError: 'x'"
    assert said[InputError]["passed"] is None and said[InputError]["detail"]=="not here"
