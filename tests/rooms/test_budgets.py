"What every training can be told: the rate's shape, any other setting by its name, and what contradicts itself."
import sys
from types import SimpleNamespace
import pytest
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import TrainingArguments
from plm_nb.budgets import TrainerArguments, arguments, check_settings, has_bf16, in_their_words, is_watched, quick_dropout, read_setting, warmup_stable_decay
from plm_nb.files import InputError

@pytest.mark.parametrize("warmup, decay", [(.1, .5), (0, 1), (.5, .5), (.3, .2)])
def test_the_rate_is_within_its_bounds(warmup, decay):
    rates = [warmup_stable_decay(i/100, warmup, decay) for i in range(101)]
    assert all(0<=r<=1 for r in rates) and rates[-1]==pytest.approx(0, abs=.02) and max(rates)==pytest.approx(1, abs=.03)

@pytest.mark.parametrize("wrong, word", [
    (dict(max_grad_nrom=1), "did you mean max_grad_norm"), (dict(nothing_like_it=1), "no such field$"),
    (dict(num_train_epochs=2), "option epochs"), (dict(per_device_train_batch_size=2), "option batch_size"),
    (dict(label_smoothing_factor=.1), "no effect"), (dict(lr_scheduler_type="cosine"), "no effect")])
def test_settings_that_are_refused(wrong, word):
    with pytest.raises(InputError, match=word): check_settings(wrong)

@pytest.mark.parametrize("wrong, word", [
    (dict(batch_size=0), "batch_size 0"), (dict(gradient_accumulation_steps=1.5), "whole"), (dict(warmup=2), "warmup 2"),
    (dict(save_total_limit=1), "2 or more"), (dict(patience=2), "give eval_steps"), (dict(eval_steps=0), "eval_steps 0"),
    (dict(patience=2, eval_steps=5, save_steps=5), "leave save_steps out"), (dict(settings=dict(x=1)), "no such field")])
def test_impossible(wrong, word):
    with pytest.raises(InputError, match=word) as e: TrainerArguments(**wrong).check()
    assert "\n" not in str(e.value)

def test_settings_reach_the_trainer(tmp_path):
    args = TrainerArguments(batch_size=2, gradient_accumulation_steps=4, eval_steps=5, patience=2, save_total_limit=3,
                            settings=dict(max_grad_norm=.5, weight_decay=0, optim="sgd"))
    args.check()
    found = arguments(str(tmp_path), steps=10, **in_their_words(args))
    assert isinstance(found, TrainingArguments)
    assert (found.max_grad_norm, found.weight_decay, found.optim, found.save_total_limit)==(.5, 0, "sgd", 3)
    assert found.load_best_model_at_end and found.save_steps==found.eval_steps==5

def test_a_value_that_cannot_be_is_one_line(tmp_path):
    with pytest.raises(InputError) as e: arguments(str(tmp_path), steps=10, optim="no such optimizer")
    assert "\n" not in str(e.value)

@pytest.mark.parametrize("text, pair", [("a=1", ("a", 1)), ("a=.5", ("a", ".5")), ("a=0.5", ("a", .5)), ("a = x", ("a", " x")),
                                        ("a=b=c", ("a", "b=c")), ("a=[1, 2]", ("a", [1, 2])), ("a=null", ("a", None))])
def test_settings_of_a_shell(text, pair): assert read_setting(text)==pair

@pytest.mark.parametrize("text", ["", "a", "=1"])
def test_no_settings(text):
    with pytest.raises(InputError, match="NAME=VALUE"): read_setting(text)

def test_a_family_that_half_precision_breaks():
    from transformers import BertConfig, DebertaConfig, DebertaV2Config
    assert not has_bf16(DebertaConfig())
    assert has_bf16(BertConfig())==has_bf16(DebertaV2Config())==has_bf16()

def test_a_type_that_is_slow_or_needs_a_gpu(tmp_path, monkeypatch):
    from plm_nb import budgets
    if not torch.accelerator.is_available():
        with pytest.raises(InputError, match="fp16: no GPU is here"): check_settings(dict(fp16=True))
    with pytest.raises(InputError, match="'ja' is none of true, false"): check_settings(dict(bf16="ja"))
    monkeypatch.setattr(budgets, "calibration", lambda: dict(bf16=False))
    with pytest.warns(UserWarning, match="bf16 is slower"): arguments(str(tmp_path), steps=1, bf16=True)

def test_who_sees_a_bar(monkeypatch):
    "A terminal and a notebook's kernel do; a pipe, an IPython without a kernel, a closed stream, and who wants none, do not"
    def of(stream, shell=None):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        return is_watched()
    terminal, pipe = (SimpleNamespace(isatty=lambda there=there: there) for there in (True, False))
    kernel = SimpleNamespace(kernel="python3")
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert of(terminal) and of(pipe, kernel)
    assert not of(pipe) and not of(pipe, SimpleNamespace()) and not of(None, kernel)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert not of(terminal) and not of(pipe, kernel)

@pytest.mark.parametrize("p", [.1, .25, .5, .9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_is_fair(p, dtype):
    "As many zeros as asked for, wherever they stand, independent from call to call; what is left is divided."
    x = torch.ones(300, 400, dtype=dtype, requires_grad=True)
    with quick_dropout(): a, b = F.dropout(x, p), F.dropout(x, p)
    for zeros in ((a==0).float(), (b==0).float()):
        assert zeros.mean().item()==pytest.approx(p, abs=.006)
        assert zeros.mean(0).std().item()==pytest.approx((p*(1-p)/300)**.5, rel=.15)
    both = ((a==0) & (b==0)).float().mean().item()
    assert both==pytest.approx(p*p, abs=.006)
    assert a.max().item()==pytest.approx(1/(1-p), rel=.01) and a.dtype==dtype
    a.sum().backward()
    assert torch.equal(x.grad, a.detach())

def test_what_is_not_dropped_stays():
    x = torch.randn(5, 7)
    with quick_dropout():
        for p,training in ((0., True), (.3, False), (1e-9, True)): assert torch.equal(F.dropout(x, p, training), x)
        assert not F.dropout(x, 1.).any()
        with pytest.raises(ValueError): F.dropout(x, 1.5)
        assert F.dropout(torch.ones(0), .5).shape==(0,)
        assert F.dropout(torch.tensor(1.), .5).item() in (0., 2.)

@pytest.mark.parametrize("mask", ["none", "bool", "float"])
def test_attention_without_a_drop_is_the_stock_one(mask):
    "With a share that rounds to nothing, and at share 0, the attention is that of PyTorch; so it is where others are asked for."
    q, k, v = torch.randn(3, 2, 4, 6, 8).unbind()
    sees = torch.rand(2, 1, 6, 6)>.3
    sees[..., 0] = True
    given = dict(none=None, bool=sees, float=torch.where(sees, 0., -1e9))[mask]
    whole = F.scaled_dot_product_attention(q, k, v, given)
    with quick_dropout():
        for p in (0., 1e-9): assert torch.allclose(F.scaled_dot_product_attention(q, k, v, given, dropout_p=p), whole, atol=1e-5)
        many = [F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=.1) for _ in range(3000)]
        found = F.scaled_dot_product_attention(q, k, v, given, dropout_p=.5, scale=.2)
        assert found.shape==whole.shape and found.isfinite().all() and not torch.allclose(found, whole, atol=1e-2)
    causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(torch.stack(many).mean(0), causal, atol=.08)

def test_what_is_computed_again_drops_the_same():
    "A layer under activation checkpointing has the gradient of its own forward pass."
    x = torch.randn(50, 60, requires_grad=True)
    with quick_dropout():
        found = checkpoint(lambda x: F.dropout(x, .4).square(), x, use_reentrant=False)
        found.sum().backward()
    assert torch.allclose(x.grad*x, 2*found, atol=1e-5)

def test_what_others_put_in_their_place_stays(monkeypatch):
    "Somebody else's attention is used within, and is there afterwards; an error leaves the functions of PyTorch behind."
    stock = F.dropout
    with pytest.raises(ZeroDivisionError), quick_dropout(): 1/0
    assert F.dropout is stock
    def own(*args, **kwargs): return "own"
    monkeypatch.setattr(F, "scaled_dot_product_attention", own)
    with quick_dropout(): assert F.scaled_dot_product_attention is own and F.dropout is stock
    assert F.scaled_dot_product_attention is own
