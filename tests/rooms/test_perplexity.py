"`plm_nb.perplexity`: every token once, the same for every cut and batch, and equal to a loop written out by hand."
import json, math

import numpy as np
import pytest
import torch
import transformers as hf
from transformers import (AutoConfig, BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
                          RobertaConfig, RobertaForMaskedLM, XLNetConfig, XLNetLMHeadModel)

import plm_nb.perplexity
from plm_nb.files import InputError
from plm_nb.perplexity import (is_left_to_right, longest_input, bits_per_byte, in_every_unit, perplexity, pseudo_nats, pseudo_text_nats, score_text, scoring_windows,
    text_nats, token_nats)
from plm_nb.recurrent import RecurrentConfig, RecurrentForCausalLM
from plm_nb.tokenizer import train_tokenizer

TEXTS = ["the cat sat on the mat", "a cat", "rats and mats,\nand a hat"]

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(TEXTS, "char", 40)

V, SMALL = 30, dict(num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, hidden_size=16)

def causal(kind, v=V, seed=0):
    torch.manual_seed(seed)
    if kind=="gpt2": return GPT2LMHeadModel(GPT2Config(vocab_size=v, n_positions=24, n_embd=16, n_layer=2, n_head=2, bos_token_id=2, initializer_range=.3))
    if kind=="llama": return LlamaForCausalLM(LlamaConfig(vocab_size=v, max_position_embeddings=24, bos_token_id=2, initializer_range=.3, **SMALL))
    if kind=="xlnet": return XLNetLMHeadModel(XLNetConfig(vocab_size=v, d_model=16, n_layer=2, n_head=2, d_inner=32, bos_token_id=2, initializer_range=.3))
    return RecurrentForCausalLM(RecurrentConfig(cell=kind, vocab_size=v, hidden_size=16))

KINDS = ["gpt2", "llama", "xlnet", "rnn", "gru", "lstm"]
def ids(n, seed=0): return torch.randint(5, V, (n,), generator=torch.Generator().manual_seed(seed)).tolist()
def masked(v=V, **kwargs):
    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(vocab_size=v, max_position_embeddings=40, initializer_range=.3, **SMALL, **kwargs))

def test_surprise():
    for v in (2, 27, 50_000): assert perplexity(10*math.log(v), 10) == pytest.approx(v)
    assert perplexity(math.inf, 1) == perplexity(1e6, 1) == math.inf
    assert bits_per_byte(8*math.log(2), 4) == pytest.approx(2)
    for score in (perplexity, bits_per_byte):
        for bad in ((1., 0), (math.nan, 1), (-1., 1)):
            with pytest.raises(InputError): score(*bad)

@pytest.mark.parametrize("n", [1, 2, 7, 16, 33, 100])
def test_every_token_once(n):
    for window in (1, 2, 3, 8, 33, 200):
        for stride in {1, 2, max(1, window//2), window} & set(range(1, window+1)):
            counted = np.zeros(n, int)
            for start,end,first in scoring_windows(n, window, stride):
                counted[first:end] += 1
                assert 0<=start<=first<end<=n and end-start==min(n, window)
                assert first==0 or first-start>=window-stride
            assert (counted==1).all()

def by_hand(model, stream, window, stride):
    "Token after token, each after as many as its window holds"
    found = []
    for i in range(1, len(stream)):
        start = 0
        while min(start+window, len(stream)-1)<i: start = min(start+stride, len(stream)-1-window)
        with torch.no_grad(): logits = model(torch.tensor([stream[start:i]])).logits[0, -1]
        found.append(-logits.double().log_softmax(-1)[stream[i]].item())
    return torch.tensor(found, dtype=torch.float64)

@pytest.mark.parametrize("kind", ["gpt2", "llama", "rnn", "gru", "lstm"])
@pytest.mark.parametrize("n,window,stride", [(1, 4, 2), (9, 24, 12), (30, 8, 8), (30, 8, 3), (31, 12, 1), (24, 24, 5), (25, 24, 24)])
def test_equals_the_loop(kind, n, window, stride):
    model, text = causal(kind).eval(), ids(n)
    assert torch.allclose(token_nats(model, text, window, stride), by_hand(model, [2, *text], window, stride), atol=1e-4)

@pytest.mark.parametrize("kind", KINDS)
def test_one_window_is_one_forward(kind):
    model, text = causal(kind).eval(), ids(20)
    nats = token_nats(model, text, window=20)
    assert torch.allclose(nats, token_nats(model, torch.tensor([text]), window=24, stride=1), atol=1e-5)
    if kind!="xlnet":
        stream = torch.tensor([[2, *text]])
        with torch.no_grad(): loss = model(stream, labels=stream).loss.item()
        assert math.isclose(nats.mean().item(), loss, rel_tol=1e-5)

@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaks_from_behind(kind):
    model, text = causal(kind), ids(20)
    nats = token_nats(model, text)
    assert torch.allclose(token_nats(model, text[:7]), nats[:7], atol=1e-5)
    other = [*text[:12], *ids(8, seed=1)]
    assert torch.allclose(token_nats(model, other)[:12], nats[:12], atol=1e-5)

@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_sum_to_one(kind):
    model, text = causal(kind), ids(4)
    p = [token_nats(model, [*text, last])[-1].neg().exp().item() for last in range(V)]
    assert math.isclose(sum(p), 1, rel_tol=1e-5)

@pytest.mark.parametrize("kind", KINDS)
def test_batches_change_nothing(kind, tokenizer, monkeypatch):
    model = causal(kind, len(tokenizer))
    want = text_nats(model, tokenizer, TEXTS, 12, 5)
    for rows in (1, 2, 5):
        monkeypatch.setattr(plm_nb.perplexity, "_batches", lambda jobs, length, model: (jobs[i:i+rows] for i in range(0, len(jobs), rows)))
        for a,b in zip(want, text_nats(model, tokenizer, TEXTS, 12, 5), strict=True): assert torch.allclose(a, b, atol=1e-5)
        for t,b in zip(TEXTS, want): assert torch.allclose(text_nats(model, tokenizer, [t], 12, 5)[0], b, atol=1e-5)

def test_large_vocabularies_and_long_rows_come_in_small_batches():
    class Model: config = type("Config", (), dict(vocab_size=2**15))
    assert [len(b) for b in plm_nb.perplexity._batches(range(5), lambda job: 512, Model)]==[2, 2, 1]
    assert [len(b) for b in plm_nb.perplexity._batches(range(2), lambda job: 4000, Model)]==[1, 1]

def test_mode_and_weights_are_left_as_they_were():
    model = causal("gpt2").train()
    a, b = token_nats(model, ids(9)), token_nats(model, ids(9)) # no dropout
    assert model.training and torch.allclose(a, b, atol=1e-6) and a.dtype==torch.float64 and not a.requires_grad
    assert all(p.grad is None for p in model.parameters())

def test_an_autocast_left_by_training_is_passed_by():
    model = causal("gpt2")
    want = token_nats(model, ids(9))
    model._original_forward = model.forward
    model.forward = torch.autocast(model.device.type, torch.bfloat16)(model.forward)
    assert torch.allclose(token_nats(model, ids(9)), want, atol=1e-6) # bfloat16 would miss it by a hundredth

@pytest.mark.parametrize("end", [True, False])
def test_units(tokenizer, end):
    model = causal("lstm", len(tokenizer))
    texts = TEXTS if end else TEXTS[2]
    score, documents = score_text(model, tokenizer, texts), TEXTS if end else [TEXTS[2]]
    streams = [[2, *tokenizer(t, add_special_tokens=False)["input_ids"], *[3]*end] for t in documents]
    nats = sum(by_hand(model.eval(), s, 100, 50).sum().item() for s in streams)
    n_bytes, words = sum(map(len, documents)), sum(len(t.split()) for t in documents)
    assert score["tokens"]==sum(map(len, streams))-len(streams)==n_bytes+end*len(documents)
    assert (score["bytes"], score["characters"], score["words"]) == (n_bytes, n_bytes, words)
    assert (score["unknown_rate"], score["round_trip"]) == (0, 1)
    for key,want in dict(nats_per_token=nats/score["tokens"], nats_per_char=nats/n_bytes, bits_per_byte=nats/n_bytes/math.log(2),
                         perplexity=math.exp(nats/score["tokens"]), perplexity_per_word=math.exp(nats/words)).items():
        assert math.isclose(score[key], want, rel_tol=1e-4), key
    assert next(iter(score))=="bits_per_byte"

UNSPACED = dict(chinese="猫坐在红色的垫子上。狗在门外睡觉，没有人看见它。", japanese="猫が赤いマットの上に座っている。犬は外で寝ている。", long="x"*900)

@pytest.mark.parametrize("text", UNSPACED)
def test_no_figure_per_word_without_words(text):
    "Where white space does not separate words, there is no key; every other figure is finite, and so is their JSON."
    text = UNSPACED[text]
    tokenizer = train_tokenizer([text], "char", 60)
    score = score_text(causal("gru", len(tokenizer)), tokenizer, [text*9, text])
    assert "perplexity_per_word" not in score and score["words"]==2
    json.dumps(score, allow_nan=False)

def test_the_figure_per_word_is_left_out_by_the_counted_words():
    row = dict(nats=300., unk_nats=0., tokens=100, characters=100, bytes=300, words=5)
    assert in_every_unit([row])["perplexity_per_word"]==pytest.approx(math.exp(60))
    for words in (4, 1, 0): assert "perplexity_per_word" not in in_every_unit([dict(row, words=words)])
    assert "perplexity_per_word" not in in_every_unit([dict(row, nats=5*710.)]) # words, but infinite
    assert "perplexity_per_word" in in_every_unit([dict(row, words=4), dict(row, words=30)]) # all rows together
    assert list(in_every_unit([row]))[0]=="bits_per_byte"

@pytest.mark.parametrize("text", ["고양이가 빨간 매트 위에 앉았다", "кошка сидит на ковре", "القطة تجلس على السجادة", "बिल्ली क़ालीन पर बैठी", "con mèo ngồi trên thảm"])
def test_words_of_other_scripts_are_counted(text):
    tokenizer = train_tokenizer([text], "char", 60)
    score = score_text(causal("gru", len(tokenizer)), tokenizer, [text])
    assert score["words"]==len(text.split()) and math.isfinite(score["perplexity_per_word"])

@pytest.mark.parametrize("kind", ["char", "bpe", "wordpiece", "unigram"])
def test_unknown_characters_are_charged(kind):
    tokenizer = train_tokenizer(TEXTS, kind, 60)
    model = causal("gru", len(tokenizer))
    text = "a é cat"
    score = score_text(model, tokenizer, text)
    known = text_nats(model, tokenizer, text)[0].sum().item()
    if kind!="wordpiece": assert 0<score["unknown_rate"]<1 and score["round_trip"]==0
    charged = score["nats_per_char"]*len(text)-known
    assert math.isclose(charged, math.log(1_114_112), rel_tol=1e-4) or kind=="wordpiece" # which may strip the accent
    assert score["bytes"]==len(text)+1

def test_bytes_lose_nothing():
    tokenizer = train_tokenizer(TEXTS, "byte-bpe", 300)
    score = score_text(causal("gru", len(tokenizer)), tokenizer, ["语言 é\n", "cat"])
    assert (score["unknown_rate"], score["round_trip"], score["characters"], score["bytes"])==(0, 1, 8, 13)

def test_lost_capitals_are_said():
    tokenizer = train_tokenizer(TEXTS, "wordpiece", 60)
    assert score_text(causal("gru", len(tokenizer)), tokenizer, ["The Cat"])["round_trip"]==0

def test_special_strings_are_text(tokenizer):
    model = causal("gru", len(tokenizer))
    assert score_text(model, tokenizer, "[SEP]")["tokens"]==5

def test_wide_texts_in_any_iterable(tokenizer):
    model = causal("gru", len(tokenizer))
    assert score_text(model, tokenizer, iter(TEXTS))==score_text(model, tokenizer, TEXTS)

def loop(model, tokenizer, text):
    row = torch.tensor([[2, *tokenizer(text, add_special_tokens=False)["input_ids"], 3]])
    for at in range(1, row.shape[1]-1):
        hidden = row.clone(); hidden[0, at] = tokenizer.mask_token_id
        with torch.no_grad(): yield -model(hidden).logits[0, at].log_softmax(-1)[row[0, at]].item()

def test_pseudo_likelihood_equals_the_loop(tokenizer):
    model = masked(len(tokenizer)).train()
    found = pseudo_text_nats(model, tokenizer, TEXTS)
    assert model.training
    model.eval()
    for text,nats in zip(TEXTS, found, strict=True): assert torch.allclose(nats.float(), torch.tensor([*loop(model, tokenizer, text)]), atol=1e-4)
    score = pseudo_nats(model, tokenizer, TEXTS)
    assert math.isclose(score["pseudo_nats_per_token"], torch.cat(found).mean().item()) and score["tokens"]==sum(map(len, TEXTS))
    assert not [k for k in score if "perplexity" in k]
    alone, listed = pseudo_text_nats(model, tokenizer, TEXTS[0])[0], pseudo_text_nats(model, tokenizer, TEXTS[:1])[0]
    assert torch.allclose(alone, listed, atol=1e-6)

def test_pseudo_likelihood_of_long_texts(tokenizer):
    model, text = masked(len(tokenizer)).eval(), " ".join(TEXTS*2)[:70]
    row = torch.tensor([[2, *tokenizer(text, add_special_tokens=False)["input_ids"], 3]])
    nats = pseudo_text_nats(model, tokenizer, text)[0]
    for at in (1, 19, 20, 21, 35, 60, 70):
        start = min(max(0, at-20), row.shape[1]-40)
        part = row[:, start:start+40].clone(); part[0, at-start] = tokenizer.mask_token_id
        with torch.no_grad(): want = -model(part).logits[0, at-start].log_softmax(-1)[row[0, at]].item()
        assert math.isclose(nats[at-1], want, rel_tol=1e-4)

def test_roberta_reads_two_tokens_less_than_it_embeds(tokenizer):
    torch.manual_seed(0)
    model = RobertaForMaskedLM(RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=18, pad_token_id=1, **SMALL))
    assert longest_input(model)==16
    assert pseudo_text_nats(model, tokenizer, TEXTS)[0].isfinite().all()

def test_a_model_without_a_limit_reads_any_window():
    assert plm_nb.perplexity._sizes(causal("gru"), None, None)==plm_nb.perplexity._sizes(causal("xlnet"), None, None)==(1024, 512)
    assert plm_nb.perplexity._sizes(causal("gpt2"), None, None)==(24, 12)
    assert plm_nb.perplexity._sizes(causal("gpt2"), 1, None)==(1, 1)

@pytest.mark.parametrize("settings,why", [
    (dict(input_ids=[]), "no tokens"), (dict(input_ids=[5, V]), f"0 to {V-1}"), (dict(input_ids=[5, -1]), "token -1"),
    (dict(input_ids=[5], window=25), "at most 24"), (dict(input_ids=[5], window=0), "at least 1"),
    (dict(input_ids=[5], stride=0), "must be 1 to 24"), (dict(input_ids=[5], window=4, stride=5), "skip tokens"),
    (dict(input_ids=[5], start=V), f"token {V}")])
def test_wrong_input(settings, why):
    with pytest.raises(InputError, match=why) as e: token_nats(causal("gpt2"), **settings)
    assert "\n" not in str(e.value)

def test_wrong_texts_and_tokenizers(tokenizer):
    model = causal("gru", len(tokenizer))
    for texts in ([], [""], "", ["  \n"]):
        with pytest.raises(InputError, match="no text"): score_text(model, tokenizer, texts)
    with pytest.raises(InputError, match="it came with"): score_text(causal("gru", 6), tokenizer, TEXTS)
    model.config.bos_token_id = None
    with pytest.raises(InputError, match="bos_token_id"): token_nats(model, [5])
    bare = train_tokenizer(TEXTS, "char", 40); bare.mask_token = None
    with pytest.raises(InputError, match="no mask token"): pseudo_nats(masked(len(tokenizer)), bare, TEXTS)

def tiny(kind, **settings):
    "A model of plain transformers by the name of its class."
    torch.manual_seed(0)
    head = getattr(hf, kind)
    return head(head.config_class(**{**dict(vocab_size=V, initializer_range=.3, **SMALL), **settings}))

ONE_WAY = dict(BertLMHeadModel=dict(is_decoder=True), BartForCausalLM=dict(d_model=16, decoder_layers=1, decoder_attention_heads=2),
               MixtralForCausalLM=dict(num_local_experts=4, num_key_value_heads=1), GPTNeoXForCausalLM={}, Qwen2ForCausalLM=dict(num_key_value_heads=1))
BOTH_WAYS = dict(BertForMaskedLM={}, BertLMHeadModel={}, BertForPreTraining={}, RobertaForMaskedLM={}, DistilBertForMaskedLM=dict(dim=16, hidden_dim=32, n_heads=2, n_layers=2),
                 MPNetForMaskedLM={}, ElectraForMaskedLM=dict(embedding_size=16), ModernBertForMaskedLM=dict(pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3))
NO_TOKENS = dict(BertModel={}, GPT2Model=dict(n_embd=16, n_head=2), ElectraForPreTraining=dict(embedding_size=16), BertForNextSentencePrediction={},
                 BertForSequenceClassification={}, LlamaForSequenceClassification=dict(num_labels=3), BertForTokenClassification={}, BertForQuestionAnswering={})
WRITES = dict(BartForConditionalGeneration=dict(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2),
              T5ForConditionalGeneration=dict(d_model=16, d_kv=8, num_heads=2, num_layers=1))

@pytest.mark.parametrize("kind", KINDS)
def test_causal_models_are_measured_as_such(kind): assert is_left_to_right(causal(kind))

@pytest.mark.parametrize("kind", ONE_WAY)
def test_one_way(kind): assert is_left_to_right(tiny(kind, **ONE_WAY[kind]))

@pytest.mark.parametrize("kind", BOTH_WAYS)
def test_both_ways(kind):
    model = tiny(kind, **BOTH_WAYS[kind]).train()
    assert not is_left_to_right(model) and model.training

@pytest.mark.parametrize("scale", [.005, .02, 1.])
def test_a_weak_influence_is_seen(scale):
    "However small the weights are, what follows is read."
    assert not is_left_to_right(tiny("BertForPreTraining", initializer_range=scale))
    assert is_left_to_right(tiny("GPT2LMHeadModel", n_embd=16, n_head=2, n_layer=2, initializer_range=scale))

def test_a_masked_head_is_asked_for_the_token_itself():
    "Its attention may look back only; its answer is the token that it reads, and no perplexity."
    assert not is_left_to_right(tiny("BertForMaskedLM", is_decoder=True))

def ways_to_score(model, tokenizer):
    yield lambda: score_text(model, tokenizer, TEXTS)
    yield lambda: text_nats(model, tokenizer, TEXTS[0])
    yield lambda: token_nats(model, [5, 6, 7], start=2)

@pytest.mark.parametrize("kind", [*BOTH_WAYS, *NO_TOKENS, *WRITES])
def test_perplexity_is_only_said_of_models_that_have_one(kind, tokenizer):
    "BERT, BART and all that see what follows, or predict no token of the text, are refused in one line that names the model."
    settings = {**BOTH_WAYS, **NO_TOKENS, **WRITES}[kind]
    model = tiny(kind, **{**settings, "vocab_size": len(tokenizer)})
    for score in ways_to_score(model, tokenizer):
        with pytest.raises(InputError, match=kind) as e: score()
        assert "\n" not in str(e.value) and ("pseudo_nats" in str(e.value) or kind in NO_TOKENS)

@pytest.mark.parametrize("kind", [*NO_TOKENS, *WRITES, "gpt2", "xlnet", "gru"])
def test_pseudo_likelihood_is_only_asked_of_masked_models(kind, tokenizer):
    if kind in KINDS: model = causal(kind, len(tokenizer))
    else: model = tiny(kind, **{**NO_TOKENS, **WRITES}[kind], vocab_size=len(tokenizer))
    with pytest.raises(InputError) as e: pseudo_nats(model, tokenizer, TEXTS)
    assert "\n" not in str(e.value)

def test_two_heads_say_what_one_says(tokenizer):
    "A BERT with a head for pairs beside the one for tokens."
    both = tiny("BertForPreTraining", vocab_size=len(tokenizer))
    one = BertForMaskedLM(both.config)
    one.load_state_dict(both.state_dict(), strict=False)
    for a,b in zip(pseudo_text_nats(both, tokenizer, TEXTS), pseudo_text_nats(one, tokenizer, TEXTS)): assert torch.allclose(a, b, atol=1e-5)

def test_a_window_of_a_masked_model(tokenizer):
    model = masked(len(tokenizer))
    wide, narrow = (torch.cat(pseudo_text_nats(model, tokenizer, TEXTS, window)) for window in (None, 5))
    assert wide.isfinite().all() and narrow.isfinite().all() and not torch.allclose(wide, narrow)

def test_a_model_of_long_texts_reads_windows():
    "As many tokens as it has positions for would not fit into memory."
    model = tiny("LlamaForCausalLM", max_position_embeddings=131_072)
    assert plm_nb.perplexity._sizes(model, None, None)==(1024, 512)
    assert plm_nb.perplexity._sizes(model, 4096, None)==(4096, 2048)
