"`plm_nb.privacy`: gradients by row are those of the rows, empty draws are steps, filters hold against every way of cutting; wrong input."
import math, re, sys
from importlib.util import find_spec
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LogitsProcessor
from plm_nb import privacy as room
from plm_nb.decoding import generate
from plm_nb.files import InputError
from plm_nb.filters import mask
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.objectives import CausalLM
from plm_nb.packing import document_rows
from plm_nb.privacy import (CopyFilter, PrivacyArguments, StopList, guarded, listed_words, noise_multiplier, row_losses, scan,
                            train_privately)
from plm_nb.tokenizer import encode, train_tokenizer
from plm_nb.words import spelling

TEXTS = ["anna meets ben in the garden on monday", "carl calls dora from the station", "the garden is open on friday",
         "emil and frida garden in the school", "ben calls anna", "我在花园里看书。"]
needs_opacus = pytest.mark.skipif(not find_spec("opacus"), reason="no opacus here: pip install 'plm_nb[privacy]'")

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(TEXTS, "byte-bpe", 300)

@pytest.fixture(scope="module")
def rows(tokenizer): return list(document_rows(TEXTS, tokenizer, 32))

def tiny(tokenizer, arch="llama"): return build("tiny", tokenizer, "text-generation", arch)
def weights(model): return [p.detach().clone() for p in model.parameters()]

# personal data

def test_scan_counts_what_mask_masks():
    texts = ["call 555-010-1234 or 555-010-1235", "a@b.org", "none", "555-010-1236"]
    found = scan(texts)
    assert found["times"].sum()==sum(sum(mask(t)[1].values()) for t in texts) and found["documents"]["phone"]==2
    assert not re.search(r"555|a@b", str(found["samples"].tolist()))
    with pytest.raises(InputError): scan([])

# training

@needs_opacus
@pytest.mark.parametrize("arch", ["gpt2", "llama"])
def test_gradients_by_row_are_those_of_the_rows(tokenizer, rows, arch):
    "Each row alone, without padding, gives the gradient that opacus finds for it within a batch; tied weights too."
    from opacus import GradSampleModule
    collator = CausalLM(tokenizer, isolated=False)
    net = GradSampleModule(tiny(tokenizer, arch).train())
    row_losses(net, collator(rows)).mean().backward()
    for i,row in enumerate(rows[:3]):
        alone = tiny(tokenizer, arch)
        row_losses(alone, collator([row])).sum().backward()
        for a,b in zip(alone.parameters(), net.parameters()): assert torch.allclose(a.grad, b.grad_sample[i], atol=2e-5)

@needs_opacus
def test_a_head_is_trained_alone(tokenizer):
    "A classifier whose base is frozen: only the head moves; opacus needs no positions then."
    model = build("tiny", tokenizer, "text-classification", labels=["a", "b"])
    model.requires_grad_(False)
    model.classifier.requires_grad_(True)
    before = weights(model)
    examples = [dict(input_ids=ids[:8]+[0]*(8-len(ids[:8])), labels=i%2) for i,ids in enumerate(encode(TEXTS*3, tokenizer))]
    def collator(some): return {k: torch.tensor([row[k] for row in some]) for k in ("input_ids", "labels")}
    spent = train_privately(model, examples, collator, PrivacyArguments(steps=5, batch_size=4, seed=0))
    moved = [not torch.equal(a, b) for a,b in zip(before, model.parameters())]
    assert moved==[p.requires_grad for p in model.parameters()] and any(moved) and spent["epsilon"]<=8

@needs_opacus
def test_one_step_is_clip_and_mean(tokenizer, rows, monkeypatch):
    "Without noise the weights move by the mean of clipped gradients over the expected batch."
    from opacus import GradSampleModule
    monkeypatch.setattr(room, "noise_multiplier", lambda *_: 0.)
    monkeypatch.setattr(torch.optim, "AdamW", torch.optim.SGD)
    monkeypatch.setattr("opacus.accountants.RDPAccountant.get_epsilon", lambda *_: 0.)
    collator, model = CausalLM(tokenizer, isolated=False), tiny(tokenizer)
    before = weights(model)
    net = GradSampleModule(tiny(tokenizer).train())
    row_losses(net, collator(rows)).mean().backward()
    samples = [p.grad_sample for p in net.parameters()]
    norms = torch.stack([x.flatten(1).norm(dim=1) for x in samples]).norm(dim=0)
    factor = (.5/(norms+1e-6)).clamp(max=1)
    train_privately(model, rows, collator, PrivacyArguments(steps=1, batch_size=len(rows), learning_rate=1., max_grad_norm=.5, seed=0))
    for old,new,x in zip(before, model.parameters(), samples):
        step = (x*factor.view(-1, *[1]*(x.ndim-1))).sum(0)/len(rows)
        assert torch.allclose(old-step, new, atol=1e-5)

@needs_opacus
def test_empty_draws_are_steps_of_noise(tokenizer, rows):
    "Of 12 draws of one row in 6 on average several are empty; the weights still move, and stay finite."
    model = tiny(tokenizer)
    before = weights(model)
    room._learn(model, list(model.parameters()), [], None)
    assert all(p.grad_sample.shape==(0, *p.shape) for p in model.parameters())
    for p in model.parameters(): del p.grad_sample
    spent = train_privately(model, rows, CausalLM(tokenizer, isolated=False), PrivacyArguments(steps=12, batch_size=1, seed=1))
    assert all(p.isfinite().all() for p in model.parameters()) and not torch.equal(before[0], next(model.parameters()))
    assert spent["sample_rate"]==pytest.approx(1/6) and spent["delta"]==pytest.approx(1/60)

@needs_opacus
def test_the_seed_and_what_is_left_behind(tokenizer, rows, tmp_path):
    collator = CausalLM(tokenizer, isolated=False)
    def run(seed):
        model = tiny(tokenizer)
        train_privately(model, rows, collator, PrivacyArguments(steps=2, batch_size=2, seed=seed))
        return model
    a, b, c, d = run(5), run(5), run(None), run(None)
    def same(x, y): return all(map(torch.equal, x.parameters(), y.parameters()))
    assert same(a, b) and not same(a, c) and not same(c, d)
    assert not a.training and not any(hasattr(p, "grad_sample") for p in a.parameters())
    a.save_pretrained(tmp_path)
    assert same(a, AutoModelForCausalLM.from_pretrained(tmp_path))
    train_privately(a, rows, collator, PrivacyArguments(steps=1, batch_size=3)) # and once more

@needs_opacus
def test_epsilon_is_that_of_the_accountant():
    from opacus.accountants import RDPAccountant
    for epsilon,rate,steps in ((1, .1, 50), (8, .02, 200)):
        accountant = RDPAccountant()
        noise = noise_multiplier(epsilon, 1e-4, rate, steps)
        for _ in range(steps): accountant.step(noise_multiplier=noise, sample_rate=rate)
        assert .98*epsilon<accountant.get_epsilon(1e-4)<=epsilon
    assert noise_multiplier(8, 1e-4, .1, 50)<noise_multiplier(2, 1e-4, .1, 50)<noise_multiplier(2, 1e-4, .1, 200)

def test_inf_is_a_plain_training(tokenizer, rows):
    model, collator = tiny(tokenizer), CausalLM(tokenizer, isolated=False)
    before = row_losses(model, collator(rows)).mean()
    spent = train_privately(model, rows, collator, PrivacyArguments(epsilon=math.inf, steps=20, batch_size=4, learning_rate=1e-3, seed=0))
    assert row_losses(model, collator(rows)).mean()<before/2 and spent["epsilon"]==math.inf and spent["noise"]==0

@pytest.mark.parametrize("wrong, said", [(dict(epsilon=0), "epsilon"), (dict(epsilon=math.nan), "epsilon"), (dict(delta=0), "delta"),
    (dict(steps=0), "steps"), (dict(max_grad_norm=-1), "max_grad_norm"), (dict(seed=-1), "seed"), (dict(batch_size=1.5), "batch_size")])
def test_wrong_arguments(wrong, said):
    with pytest.raises(InputError, match=said): PrivacyArguments(**wrong)

def test_what_cannot_be_trained(tokenizer, rows, monkeypatch):
    with pytest.raises(InputError, match="no rows"): train_privately(tiny(tokenizer), [], None)
    with pytest.raises(InputError, match="at most 6"): train_privately(tiny(tokenizer), rows, None)
    with pytest.raises(InputError, match="recurrent"): train_privately(tiny(tokenizer, "lstm"), rows, None, PrivacyArguments(batch_size=2))
    for name in [n for n in sys.modules if n.split(".")[0]=="opacus"]: monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(InputError, match=r"plm_nb\[privacy\]"): noise_multiplier(1, 1e-4, .1, 10)

# what is written

def counted(texts, tokenizer, order=8):
    marked = [[2, *ids, 3] for ids in encode(texts, tokenizer)]
    return NGramForCausalLM.from_ngram(NGram.fit(marked, len(tokenizer), order, bos=2), tokenizer)

class Kept(LogitsProcessor):
    "Keeps the ids that were written."
    def __call__(self, input_ids, scores):
        self.ids = input_ids.tolist()
        return scores

@pytest.mark.parametrize("most", [1, 3, 6])
@pytest.mark.parametrize("how", [dict(), dict(temperature=1.), dict(num_beams=3)])
def test_no_longer_run_is_copied(tokenizer, most, how):
    model, seen = counted(TEXTS, tokenizer), Kept()
    runs = {tuple(ids[i:i+most+1]) for ids in encode(TEXTS, tokenizer) for i in range(len(ids)-most)}
    with guarded(model, CopyFilter(TEXTS, tokenizer, most), seen): generate(model, tokenizer, ["anna", "the", "carl"], 24, **how)
    start = 1+max(map(len, encode(["anna", "the", "carl"], tokenizer)))
    for ids in seen.ids: assert not any(tuple(ids[i-most:i+1]) in runs for i in range(start, len(ids)))

def test_a_copy_is_written_without_the_filter(tokenizer):
    model = counted(TEXTS, tokenizer)
    assert generate(model, tokenizer, ["carl calls"], 24)[0]["text"]==" dora from the station"
    with guarded(model, CopyFilter(TEXTS, tokenizer, 6)): assert generate(model, tokenizer, ["carl calls"], 24)[0]["text"]!=" dora from the station"
    with pytest.raises(InputError, match="most"): CopyFilter(TEXTS, tokenizer, 0)

@pytest.mark.parametrize("kind", ["byte-bpe", "bpe", "wordpiece", "char", "unigram"])
def test_forbidden_tokens_are_those_that_complete_a_word(kind):
    "As a regular expression finds it, for 200 random beginnings and each token."
    tok = train_tokenizer(TEXTS, kind, 300)
    words = ["garden", "on", "花园", "a"]
    stop = StopList(words, tok)
    spelled = [piece.lower() for piece in spelling(tok)]
    shape = re.compile("|".join(f"(?<![a-z0-9]){w}" if w.isascii() else w for w in words).encode())
    rng = np.random.default_rng(0)
    for _ in range(200):
        ids = rng.integers(5, len(tok), rng.integers(0, 12)).tolist()
        text = b"".join(spelled[i] for i in ids)
        def completes(piece):
            whole = text+piece
            return any(m and m.start()==at and m.end()>len(text) for at in range(len(whole)) for m in [shape.match(whole, at)])
        assert sorted(set(stop.forbidden(ids)))==[i for i,piece in enumerate(spelled) if completes(piece)]

@pytest.mark.parametrize("kind", ["byte-bpe", "wordpiece", "char"])
def test_a_forbidden_word_is_never_written(kind):
    tok = train_tokenizer(TEXTS, kind, 300)
    model = counted(TEXTS, tok, 4)
    prompts = ["anna meets ben in the", "carl calls dora from the"]*20
    def written():
        answers = generate(model, tok, prompts, 24, temperature=1.)
        whole = [prompt+answer["text"] for prompt,answer in zip(prompts, answers)]
        return sum(bool(re.search("(?<![a-z0-9])(garden|station)", text.lower())) for text in whole)
    with guarded(model, StopList(["Garden", "station"], tok)): assert written()==0
    assert written()>0

@pytest.mark.parametrize("words", [[], [" "], ["a", ""]])
def test_empty_stop_lists(tokenizer, words):
    with pytest.raises(InputError, match="words"): StopList(words, tokenizer)
    with pytest.raises(InputError, match="words"): listed_words(["text"], words)

def test_a_guard_goes_when_its_block_ends(tokenizer):
    model = counted(TEXTS, tokenizer)
    plain = generate(model, tokenizer, ["anna"], 8)
    with pytest.raises(KeyError):
        with guarded(model, StopList(["meets"], tokenizer)):
            assert generate(model, tokenizer, ["anna"], 8)!=plain
            raise KeyError
    assert generate(model, tokenizer, ["anna"], 8)==plain and "generate" not in vars(model)

def test_listed_words_are_whole_words():
    words = ["fool", "old fool", "c++", "傻瓜"]
    assert listed_words(["An OLD fool, foolish", "c++!", "他是傻瓜吗", "", "tomfool"], words)==[["OLD fool"], ["c++"], ["傻瓜"], [], []]
