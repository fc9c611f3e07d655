"Counting, checked against a slow and plain version of the same formulas, and on files that nobody prepared."
import math, os
from collections import Counter, defaultdict
from pathlib import Path
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from plm_nb.files import InputError
from plm_nb.ngram import NGram, NGramConfig, NGramForCausalLM, discounts, place
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")

def real(name):
    "The text of a file of real data, or a reason to skip."
    if not (DATA/name).is_file(): pytest.skip(f"no {name} here; PLM_DATA may name the folder that holds it")
    return (DATA/name).read_text(encoding="utf-8")

class Plain:
    "Modified Kneser-Ney with dictionaries, token by token, from Chen & Goodman's formulas."
    def __init__(self, docs, v, order, bos=None):
        self.v, self.order, self.bos = v, order, bos
        times, left, opening = [Counter() for _ in range(order+1)], [defaultdict(set) for _ in range(order+1)], [Counter() for _ in range(order+1)]
        for doc in docs:
            for k in range(1, order+1):
                for i in range(len(doc)-k+1):
                    gram = tuple(doc[i:i+k])
                    times[k][gram] += 1
                    if i: left[k][gram].add(doc[i-1])
                    else: opening[k][gram] += 1
        self.c = [None]*(order+1)
        for k in range(1, order+1):
            self.c[k] = times[k] if k==order else Counter({g: len(left[k][g]) + opening[k][g] for g in times[k]})
        if bos is not None: self.c[1].pop((bos,), None)
        self.D, self.sum, self.saved = [None]*(order+1), [Counter() for _ in range(order+1)], [Counter() for _ in range(order+1)]
        for k in range(1, order+1):
            n1, n2, n3, n4 = (sum(c==r for c in self.c[k].values()) for r in (1, 2, 3, 4))
            if min(n1, n2, n3, n4)==0: D = [.5, 1, 1.5]
            else:
                Y = n1/(n1+2*n2)
                D = [1-2*Y*n2/n1, 2-3*Y*n3/n2, 3-4*Y*n4/n3]
                if min(D)<=0: D = [.5, 1, 1.5]
            self.D[k] = [0, *D]
            for gram,c in self.c[k].items():
                self.sum[k][gram[:-1]] += c
                self.saved[k][gram[:-1]] += self.D[k][min(c, 3)]
    def p(self, context, w):
        p = 1/self.v
        for k in range(1, min(self.order, len(context)+1)+1):
            h = tuple(context[len(context)-k+1:])
            if not self.sum[k][h]: break
            c = self.c[k].get((*h, w), 0)
            p = (c - self.D[k][min(c, 3)] + self.saved[k][h]*p)/self.sum[k][h]
        return p
    def nats(self, docs):
        return np.array([0. if w==self.bos else -math.log(self.p(doc[max(0, i-self.order+1):i], w))
                         for doc in docs for i,w in enumerate(doc)])

def corpus(seed, v, bos):
    "A few documents of random lengths, some of one token, with more of some ids than of others."
    rng = np.random.default_rng(seed)
    docs = [np.minimum(rng.geometric(.25, rng.integers(1, 60)), v-1).tolist() for _ in range(rng.integers(1, 9))]
    return docs if bos is None else [[bos, *(x if x!=bos else v-1 for x in d)] for d in docs]

CASES = [(seed, v, order, bos) for seed,(v,bos) in enumerate([(5, None), (12, 0), (40, 2)]) for order in range(1, 6)]

@pytest.fixture(params=CASES, ids=lambda c: f"v{c[1]}-order{c[2]}-{'stream' if c[3] is None else 'bos'}")
def case(request):
    seed, v, order, bos = request.param
    docs, other = corpus(seed, v, bos), corpus(seed+100, v, bos)
    return docs, other, v, order, bos, NGram.fit(docs, v, order, bos)

def contexts(docs, other, v):
    rng = np.random.default_rng(0)
    return [[], docs[0][:1], docs[0][:4], other[0][:7], *(rng.integers(0, v, n) for n in (1, 2, 5, 9))]

def test_equal_to_dictionaries(case):
    docs, other, v, order, bos, model = case
    plain = Plain(docs, v, order, bos)
    for texts in (docs, other): np.testing.assert_allclose(model.nats(texts), plain.nats(texts), atol=1e-9)
    for h in contexts(docs, other, v):
        if bos is None or bos not in list(h)[1:]: # the plain version knows no border within a context
            np.testing.assert_allclose(model.probs(h), [plain.p(list(h)[-order+1:] if order>1 else [], w) for w in range(v)], atol=1e-9)

def test_sums_to_one_and_agrees(case):
    docs, other, v, order, bos, model = case
    for h in contexts(docs, other, v):
        p = model.probs(h)
        assert p.shape==(v,) and p.min()>0 and abs(p.sum()-1)<1e-9
    text = max(other, key=len)
    for i,cost in enumerate(model.nats(text)):
        assert text[i]==bos or abs(cost + math.log(model.probs(text[:i])[text[i]]))<1e-9

def assert_close(a, b): np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12) # sums of the same numbers

def test_documents_do_not_touch(case):
    docs, other, v, order, bos, model = case
    assert_close(model.nats(other), np.concatenate([model.nats(d) for d in other]))
    if bos is not None:
        flat = np.concatenate(other)
        assert_close(model.nats(flat), model.nats(other))
        assert_close(NGram.fit(np.concatenate(docs), v, order, bos).nats(other), model.nats(other))

def test_save_and_load(case, tmp_path):
    docs, other, v, order, bos, model = case
    model.save(tmp_path)
    again = NGram.load(tmp_path)
    assert (again.vocab_size, again.bos, again.order)==(v, bos, model.order)
    assert_close(again.nats(other), model.nats(other))
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix not in (".json", ".safetensors"))==[]

@pytest.mark.parametrize("ids,kw,says", [
    ([0, 1], dict(order=0), "order 0"), ([0, 1], dict(order=-1), "order -1"), ([0, 9], {}, "id 9"), ([0, -1], {}, "id -1"),
    ([], {}, "no tokens"), ([[], []], {}, "no tokens"), ([.5, 1.], {}, "float64"), ([0, 1], dict(bos=9), "bos 9")])
def test_errors(ids, kw, says):
    with pytest.raises(InputError, match=says): NGram.fit(ids, vocab_size=9, **kw)

def test_errors_of_a_model(tmp_path):
    model = NGram.fit([0, 1, 2], 3)
    for call in (model.nats, model.probs):
        with pytest.raises(InputError, match="id 3"): call([3])
    with pytest.raises(InputError, match="no tokens"): model.nats([])
    with pytest.raises(InputError, match="no n-gram model"): NGram.load(tmp_path)

def test_place():
    keys = np.array([2, 5, 9])
    assert place(keys, np.array([9, 1, 2, 10, 5])).tolist()==[2, -1, 0, -1, 1]

def test_discounts():
    np.testing.assert_allclose(discounts(np.repeat([1, 2, 3, 4], [8, 4, 2, 1])), [0, .5, 1.25, 2])
    for n in ([0, 4, 2, 1], [8, 4, 2, 0], [1, 1, 1, 50]):
        np.testing.assert_array_equal(discounts(np.repeat([1, 2, 3, 4], n)), [0, .5, 1, 1.5])

def test_packed_blocks_are_a_stream():
    texts = ["one two", "two one two", "three"]
    tok = train_tokenizer(texts, "char", 40)
    whole = np.ravel(pack(texts, tok, 1)["input_ids"][:])
    docs = [[tok.cls_token_id, *tok.encode(t, add_special_tokens=False), tok.sep_token_id] for t in texts]
    a, b = (NGram.fit(x, len(tok), 3, bos=tok.cls_token_id) for x in (whole, docs))
    assert_close(a.nats(docs), b.nats(docs))
    assert (a.nats(docs)==0).sum()==3 # one `[CLS]` a document

@pytest.fixture(scope="module")
def lm():
    docs = [[2, *d, 3] for d in np.random.default_rng(3).choice(np.arange(4, 20), (40, 25), p=np.arange(16, 0, -1)/136).tolist()]
    tok = train_tokenizer(["abcdefghijklmno"]*3, "char", 20)
    return NGramForCausalLM.from_ngram(NGram.fit(docs, 20, 4, bos=2), tok), docs

def test_logits_are_log_probabilities(lm):
    model, docs = lm
    out = model(torch.tensor(docs[:3]))
    assert out.loss is None and out.logits.dtype==torch.float32 and out.logits.shape==(3, 27, 20)
    for i,j in ((0, 0), (1, 5), (2, 26)):
        np.testing.assert_allclose(out.logits[i,j].double().exp(), model.ngram.probs(docs[i][:j+1]), atol=1e-6)

def test_loss_is_the_mean_over_shifted_labels(lm):
    model, docs = lm
    ids = torch.tensor(docs[:4])
    want = np.mean([model.ngram.nats(d)[1:] for d in docs[:4]])
    assert model(ids, labels=ids).loss.item()==pytest.approx(want, rel=1e-6)
    labels = ids.masked_fill(ids==3, -100)
    kept = np.concatenate([model.ngram.nats(d)[1:-1] for d in docs[:4]])
    assert model(ids, labels=labels).loss.item()==pytest.approx(kept.mean(), rel=1e-6)
    summed = model(ids, labels=labels, num_items_in_batch=torch.tensor(10)).loss
    assert summed.item()==pytest.approx(kept.sum()/10, rel=1e-6)

def test_documents_of_a_block_are_apart(lm):
    model, docs = lm
    row = torch.tensor([docs[0]+docs[1]])
    alone = model(torch.tensor([docs[1]])).logits[0]
    assert torch.allclose(model(row).logits[0,27:], alone) # by `[CLS]`
    bare = torch.tensor([docs[0][:26]+docs[1][1:]])
    position_ids = torch.tensor([[*range(26), *range(26)]])
    apart = model(bare, position_ids=position_ids, attention_mask=torch.ones(1, 1, 52, 52)).logits[0,26:]
    assert torch.allclose(apart, model(torch.tensor([docs[1][1:]])).logits[0])
    assert (apart[0]-model(bare).logits[0,26]).abs().max()>.001

def test_no_token_reads_the_future(lm):
    model, docs = lm
    a, b = torch.tensor([docs[0], docs[0]])
    b = b.clone(); b[13:] = torch.tensor(docs[5][13:])
    assert torch.allclose(model(a[None]).logits[0,:13], model(b[None]).logits[0,:13])

def test_padding_on_the_left_changes_nothing(lm):
    model, docs = lm
    short = docs[0][1:6] # no `[CLS]`: only the mask says where it starts
    ids, mask = torch.tensor([[0]*4 + short, docs[1][:9]]), torch.tensor([[0]*4 + [1]*5, [1]*9])
    assert torch.allclose(model(ids, attention_mask=mask).logits[0,4:], model(torch.tensor([short])).logits[0])
    together = model.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False, eos_token_id=None)
    alone = model.generate(torch.tensor([short]), max_new_tokens=6, do_sample=False, eos_token_id=None)
    assert together[0,4:].tolist()==alone[0].tolist()

def test_generate(lm, tmp_path):
    model, docs = lm
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(again, NGramForCausalLM) and again.dtype==torch.float64
    prompt = torch.tensor([docs[0][:3]])
    greedy = again.generate(prompt, max_new_tokens=12, do_sample=False)[0].tolist()
    by_hand = docs[0][:3]
    while len(by_hand)<15 and by_hand[-1]!=3: by_hand.append(int(model.ngram.probs(by_hand).argmax()))
    assert greedy==by_hand
    beams = again.generate(prompt, max_new_tokens=5, num_beams=50, eos_token_id=None, length_penalty=0.)[0].tolist()
    for other in (again.generate(prompt, max_new_tokens=5, do_sample=False, eos_token_id=None)[0].tolist(),
                  again.generate(prompt, max_new_tokens=5, do_sample=True, eos_token_id=None)[0].tolist()):
        assert model.ngram.nats(beams).sum()<=model.ngram.nats(other).sum()+1e-6
    torch.manual_seed(0)
    drawn = again.generate(prompt.expand(4000, -1), max_new_tokens=1, do_sample=True, top_k=0)[:,3]
    assert np.abs(np.bincount(drawn, minlength=20)/4000 - model.ngram.probs(docs[0][:3])).max()<.04
    assert again.generate(prompt, max_new_tokens=3, do_sample=False, use_cache=True).shape[1]<=6

def test_order_one_and_float32(tmp_path):
    model = NGram.fit([4, 5, 4, 6], 8, order=1)
    model.save(tmp_path)
    single = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    np.testing.assert_allclose(single(torch.tensor([[4, 5]])).logits[0].exp(), np.tile(model.probs([]), (2, 1)), atol=1e-6)
    assert single.generate(torch.tensor([[5]]), max_new_tokens=2, do_sample=False)[0].tolist()==[5, 4, 4]
    assert single.num_parameters()==8

def test_an_empty_config_builds():
    assert NGramForCausalLM(NGramConfig()).ngram.order==1

def test_shakespeare_characters():
    "The held-out part begins with the end of the training part as its context."
    text = real("tinyshakespeare/input.txt")
    kinds = sorted(set(text))
    ids = np.searchsorted(kinds, list(text))
    cut = int(.9*len(ids))
    for order,nats in ((5, 1.5612), (7, 1.5165)):
        model = NGram.fit(ids[:cut], len(kinds), order)
        cost = model.nats(ids[cut-order:])[order:].mean()
        assert cost==pytest.approx(nats, abs=1e-4)

def test_wikitext_words():
    "Trained on valid.txt, scored on test.txt, `<eos>` after each line; a word that training never had is its `<unk>`."
    lines = {part: [line.split()+["<eos>"] for line in real(f"wikitext2/{part}.txt").split("\n")] for part in ("valid", "test")}
    vocab = {w: i for i,w in enumerate(dict.fromkeys(w for line in lines["valid"] for w in line))}
    train, test = ([[vocab.get(w, vocab["<unk>"]) for w in line] for line in lines[part]] for part in ("valid", "test"))
    train, test = np.concatenate(train).tolist(), np.concatenate(test).tolist()
    ours = math.exp(NGram.fit(train, len(vocab), 5).nats(test).mean())
    plain = math.exp(Plain([train], len(vocab), 5).nats([test]).mean())
    print(f"perplexity {ours:.2f}, by dictionaries {plain:.2f}")
    assert ours==pytest.approx(plain, rel=.005) and 50<ours<1000
