"`plm_nb.rescoring`: the formula, any model by its own likelihood, edit distances against a slow definition, and what cannot be asked."
import math
from copy import deepcopy
from functools import cache
import numpy as np
import pytest
import torch
from transformers import (BartConfig, BartForCausalLM, BertForSequenceClassification, BertModel, LlamaConfig, LlamaForCausalLM,
    MistralConfig, MistralForCausalLM, RobertaConfig, RobertaForCausalLM)
from plm_nb.decoding import generate
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.perplexity import pseudo_text_nats, text_nats
from plm_nb.rescoring import Drafted, as_before, load_language_model, log_likelihoods, rescore, word_errors
from plm_nb.tokenizer import encode, train_tokenizer
from families import HEADS, SENTENCES, publish

TEXTS = ["the cat sat on the mat", "a cat", "the hat sat on a rat"]

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(TEXTS, "byte-bpe", 300)

@pytest.fixture(scope="module")
def models(tokenizer):
    "One of each kind of likelihood."
    counted = NGram.fit([[2, *ids, 3] for ids in encode(TEXTS, tokenizer)], len(tokenizer), order=3, bos=2)
    causal = {arch: build("tiny", tokenizer, "text-generation", arch) for arch in ("gpt2", "lstm", "xlnet")}
    return dict(ngram=NGramForCausalLM.from_ngram(counted, tokenizer), bert=build("tiny", tokenizer, "fill-mask"),
                both=build("tiny", tokenizer, "pretraining"), **causal)

KINDS = ["ngram", "gpt2", "lstm", "xlnet", "bert", "both"]

@pytest.mark.parametrize("kind", KINDS)
def test_the_formula(models, tokenizer, kind):
    "Own score + weight × log-likelihood + length penalty × words; the likelihood is that of the model's own kind."
    model, own = models[kind], [-3., 2., .5]
    ask = pseudo_text_nats if kind in ("bert", "both") else text_nats
    logs = [-nats.sum().item() for nats in ask(model, tokenizer, TEXTS)]
    assert np.allclose(log_likelihoods(model, tokenizer, TEXTS), logs, atol=1e-4) and max(logs)<0
    for weight,penalty in ((0, 0), (1, 0), (.3, 2), (-.5, -1)):
        want = [s + weight*log + penalty*len(t.split()) for s,log,t in zip(own, logs, TEXTS)]
        assert np.allclose(rescore(models[kind], tokenizer, TEXTS, own, weight, penalty), want, atol=1e-4)
    assert np.allclose(rescore(model, tokenizer, tuple(TEXTS), np.array(own), 0), own)

def test_an_unreadable_reading_is_not_likely():
    "A character that the tokenizer does not know costs what any character costs."
    tok = train_tokenizer(TEXTS, "char", 40)
    model = build("tiny", tok, "text-generation", "gpt2")
    known, unknown = log_likelihoods(model, tok, ["a cat", "a c語t"])
    assert unknown < known-math.log(0x110000)/2

def test_an_empty_reading_is_a_reading(models, tokenizer):
    "Silence has a score too, with no words."
    for kind in KINDS: assert np.isfinite(rescore(models[kind], tokenizer, ["", "a cat"], [0, 0])).all()
    assert rescore(models["bert"], tokenizer, ["", "a cat"], [1., 0], 1., 9.)[0]==1.

def slowly(a, b):
    "The definition."
    @cache
    def d(i, j):
        if 0 in (i, j): return i+j
        return min(d(i-1, j-1) + (a[i-1]!=b[j-1]), d(i-1, j)+1, d(i, j-1)+1)
    return d(len(a), len(b))

def test_word_errors_equal_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(300):
        a, b = ([*rng.choice([*"abcd"], rng.integers(0, 8))] for _ in range(2))
        n = word_errors(" ".join(a), " ".join(b))
        assert n==slowly(a, b)==word_errors(" ".join(b), " ".join(a)) and abs(len(a)-len(b)) <= n <= max(len(a), len(b))

@pytest.mark.parametrize("hypotheses,scores,how,why", [
    (["a", "b"], [1.], {}, "2 hypotheses and 1 scores"), (["a"], [math.nan], {}, "finite"), (["a"], ["x"], {}, "finite"),
    (["a"], [None], {}, "finite"), (["a"], [1.], dict(weight=math.inf), "finite"), (["a"], [1.], dict(length_penalty=None), "finite"),
    (["", " "], [1., 2.], {}, "no text")])
def test_wrong_lists(models, tokenizer, hypotheses, scores, how, why):
    with pytest.raises(InputError, match=why) as e: rescore(models["gpt2"], tokenizer, hypotheses, scores, **how)
    assert "\n" not in str(e.value)

WITHOUT = ["t5", "bart", "electra"]

@pytest.mark.parametrize("family", [f for f in HEADS if f not in WITHOUT])
def test_every_published_family_ranks(tmp_path, family):
    "A folder of plain transformers is read with its own head, and says something of each reading."
    model, tok = load_language_model(publish(family, tmp_path))
    logs = log_likelihoods(model, tok, SENTENCES[:3])
    assert np.isfinite(logs).all() and (logs<0).all()

@pytest.mark.parametrize("family", WITHOUT)
def test_families_without_a_likelihood(tmp_path, family):
    with pytest.raises(InputError) as e: load_language_model(publish(family, tmp_path))
    assert "\n" not in str(e.value) and "give" in str(e.value)

@pytest.mark.parametrize("head", [BertModel, BertForSequenceClassification])
def test_no_head_for_tokens(tmp_path, tokenizer, head):
    head(build("tiny", tokenizer, "fill-mask").config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"{head.__name__} has no head that predicts tokens; give a model"): load_language_model(tmp_path)

@pytest.mark.parametrize("kind", KINDS)
def test_own_folders(models, tokenizer, tmp_path, kind):
    for part in (models[kind], tokenizer): part.save_pretrained(tmp_path)
    found = log_likelihoods(*load_language_model(tmp_path), TEXTS)
    assert np.allclose(found, log_likelihoods(models[kind], tokenizer, TEXTS), atol=1e-3)

# Tokens that are checked at once

def counted_on(texts, tokenizer, order=4):
    return NGram.fit([[2, *ids, 3] for ids in encode(texts, tokenizer)], len(tokenizer), order=order, bos=2)

@pytest.mark.parametrize("arch", ["gpt2", "llama"])
@pytest.mark.parametrize("how", [dict(), dict(temperature=1.), dict(temperature=.7, top_p=.9), dict(repetition_penalty=1.3),
                                 dict(temperature=2., top_k=5, repetition_penalty=1.2)], ids=str)
def test_a_draft_changes_no_text(tokenizer, arch, how):
    "Whoever guesses, and however many tokens, the texts are those of the model alone, side by side or not."
    model = build("tiny", tokenizer, "text-generation", arch, seed=3)
    prompts = ["the cat", "a", "the hat sat on a rat the hat"]
    alone = generate(model, tokenizer, prompts, 24, **how)
    for ngram in (None, counted_on(TEXTS, tokenizer)):
        for ahead in (1, 5): assert generate(Drafted(model, ngram, ahead), tokenizer, prompts, 24, **how)==alone

def test_a_reading_gives_at_least_a_token(tokenizer):
    "An n-gram that guesses what a bigram model would say is believed all along; each reading then gives `ahead` tokens and one."
    model = build("tiny", tokenizer, "text-generation", "gpt2", seed=3)
    said = generate(model, tokenizer, ["the cat"], 24)[0]
    class Told:
        "Knows what the model says."
        vocab_size = len(tokenizer)
        def probs(self, context):
            ids = torch.tensor([context])
            with torch.no_grad(): return model(ids).logits[0, -1].double().softmax(0).numpy()
    writer = Drafted(model, Told(), ahead=3)
    assert generate(writer, tokenizer, ["the cat"], 24)[0]==said
    counts = writer.counts
    assert counts["readings"]+counts["accepted"]==24 or said["ended"]
    nobody = Drafted(model, ahead=3)
    generate(nobody, tokenizer, ["the cat"], 24)
    assert counts["readings"]<=nobody.counts["readings"]

def test_a_window_is_no_hindrance(tokenizer):
    "Layers that see only the last tokens write the same with a draft."
    shape = MistralConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                          num_key_value_heads=1, sliding_window=6, bos_token_id=2, eos_token_id=3, pad_token_id=0)
    torch.manual_seed(1)
    model = MistralForCausalLM(shape).eval()
    for how in (dict(), dict(temperature=1.)):
        alone = generate(model, tokenizer, ["the cat sat on", "a"], 30, **how)
        for ngram in (None, counted_on(TEXTS, tokenizer)):
            assert generate(Drafted(model, ngram), tokenizer, ["the cat sat on", "a"], 30, **how)==alone

@pytest.mark.parametrize("arch,task,why", [
    ("lstm", "text-generation", "no cache"), ("xlnet", "text-generation", "no cache"), ("t5", "text2text-generation", "head for tokens"),
    ("bert", "fill-mask", "head for tokens"), ("gpt2", "text-classification", "head for tokens")])
def test_who_keeps_no_cache_is_refused(tokenizer, arch, task, why):
    model = build("tiny", tokenizer, task, arch, labels=["a", "b"] if task=="text-classification" else None)
    with pytest.raises(InputError, match=why): Drafted(model)

def test_what_a_draft_cannot_be(models, tokenizer):
    with pytest.raises(InputError, match="no cache"): Drafted(models["ngram"])
    for model in ("gpt2", None):
        with pytest.raises(InputError, match="a loaded model"): Drafted(model)
    for ahead in (0, 1.5, None):
        with pytest.raises(InputError, match="ahead"): Drafted(models["gpt2"], ahead=ahead)
    other = NGram.fit([[1, 2, 3]], 9, order=2)
    with pytest.raises(InputError, match="9 ids, the model"): Drafted(models["gpt2"], other)
    for ngram in ("abc", models["gpt2"], 7):
        with pytest.raises(InputError, match="give an NGram"): Drafted(models["gpt2"], ngram)
    with pytest.raises(InputError, match="load it in float32"): Drafted(deepcopy(models["gpt2"]).bfloat16())

@pytest.mark.parametrize("setting", [dict(no_repeat_ngram_size=2), dict(bad_words_ids=[[9]]), dict(min_new_tokens=6),
                                     dict(forced_bos_token_id=9), dict(guidance_scale=1.5)], ids=str)
def test_a_rule_of_the_model_that_no_draft_follows(models, setting):
    model = deepcopy(models["gpt2"])
    model.generation_config.update(**setting)
    with pytest.raises(InputError, match=f"no draft follows its {next(iter(setting))}"): Drafted(model)

def test_positions_that_are_counted_otherwise(tokenizer):
    "The `generate` of transformers counts the positions of a RoBERTa from 0, its forward pass from behind the padding's."
    torch.manual_seed(0)
    shape = RobertaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
                          max_position_embeddings=130, is_decoder=True, pad_token_id=0, initializer_range=.15)
    with pytest.raises(InputError, match="does not read several tokens at once"): Drafted(RobertaForCausalLM(shape).eval())

@pytest.mark.parametrize("size", [8, 12, 20])
def test_a_model_of_few_positions(tokenizer, size):
    "The trial fits, and so does a text up to the last position."
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                                         num_attention_heads=2, max_position_embeddings=size, bos_token_id=2, eos_token_id=3)).eval()
    prompts = [[2, 5, 6]]
    assert generate(Drafted(model), tokenizer, prompts, size-3)==generate(model, tokenizer, prompts, size-3)

def test_a_decoder_half_takes_prompts_of_one_length(tokenizer):
    "Padding would move the positions of what stands behind it; each prompt gets the answer that it gets alone."
    torch.manual_seed(0)
    shape = BartConfig(vocab_size=len(tokenizer), d_model=32, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=64, init_std=.15,
                       max_position_embeddings=64, is_decoder=True, pad_token_id=0, bos_token_id=2, eos_token_id=3)
    model = BartForCausalLM(shape).eval()
    prompts = ["the cat", "a", "the hat sat on a rat", "a hat"]
    alone = [generate(model, tokenizer, [prompt], 12)[0] for prompt in prompts]
    assert generate(model, tokenizer, prompts, 12)==alone==generate(Drafted(model), tokenizer, prompts, 12)

def test_as_before_by_definition():
    "The latest place with the most tokens alike, at least two."
    rng = np.random.default_rng(0)
    for _ in range(200):
        ids = rng.integers(0, 3, rng.integers(1, 12)).tolist()
        found = as_before(ids, 3)
        places = [(min(4, next((k for k in range(1, 5) if k>end or ids[end-k]!=ids[-k]), 5)-1), end) for end in range(1, len(ids))]
        alike, end = max(places, default=(0, 0))
        if alike<2: assert found==[]
        else: assert found==((ids[end:])*3)[:3]
