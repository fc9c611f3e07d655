import numpy as np
import pytest
import torch
from transformers import (BartConfig, BartForConditionalGeneration, BertConfig, BertForMaskedLM, BertForPreTraining,
                          DistilBertConfig, DistilBertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM, ModernBertConfig, ModernBertForMaskedLM, RobertaConfig, RobertaForMaskedLM,
                          T5Config, T5ForConditionalGeneration, XLNetConfig, XLNetLMHeadModel)
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.objectives import (OBJECTIVES, CausalLM, MaskedLM, PermutationLM, SentencePairs, SpanDenoising,
                               add_sentinels, check_objective, document_ids, document_mask,
                               draw_spans, mask_tokens, permutation_mask, sentence_pairs, sentences)
from plm_nb.packing import document_rows, pack
from plm_nb.tokenizer import KINDS, train_tokenizer
from plm_nb.words import cut_words, spelling, word_ids

TEXTS = [" ".join(f"word{(i*j)%97} and" for j in range(1, 5+i%9)) for i in range(60)]
STORIES = [" ".join(f"Story {i} goes on with part {j} and {(i*j)%89} more." for j in range(3+i%5)) for i in range(40)]
CHINESE = ["图书馆里有很多书。我们在图书馆里读书。", "语言模型在猜下一个词。猜对了，它就学会了。"]*4

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(TEXTS, "wordpiece", 200)

@pytest.fixture(scope="module")
def marked(): return add_sentinels(train_tokenizer(STORIES, "wordpiece", 200), 40)

def within(n, total, share): return abs(n - total*share) < 5*(total*share*(1-share))**.5

@pytest.mark.parametrize("p", [.15, .3])
@pytest.mark.parametrize("seed", range(5))
def test_80_10_10(seed, p):
    "Of the asked tokens 80 % are hidden, 10 % replaced and 10 % kept, within five standard deviations; others stay."
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 30_000, (64, 512), generator=g)
    new, labels = mask_tokens(ids, torch.zeros_like(ids, dtype=torch.bool), 4, torch.arange(5, 30_000), p, g=g)
    asked = labels!=-100
    n = asked.sum().item()
    assert n==round(p*ids.numel()) and torch.equal(labels[asked], ids[asked]) and torch.equal(new[~asked], ids[~asked])
    hidden, kept = (new[asked]==4).sum().item(), (new[asked]==ids[asked]).sum().item()
    assert within(hidden, n, .8) and within(kept, n, .1) and within(n-hidden-kept, n, .1)

@pytest.mark.parametrize("seed", range(5))
def test_specials_are_neither_asked_nor_drawn(tok, seed):
    "No label and no replacement is a special token, and `[CLS]`, `[SEP]` stay where they are."
    rows, special = pack(TEXTS, tok, 64), torch.tensor(tok.all_special_ids)
    ids = torch.tensor(rows["input_ids"][:])
    torch.manual_seed(seed)
    for collator in (MaskedLM(tok, .5), MaskedLM(tok, .5, seed=seed)):
        batch = collator([rows[i] for i in range(len(rows))])
        asked = batch["labels"]!=-100
        assert not torch.isin(batch["labels"][asked], special).any()
        assert torch.equal(batch["input_ids"][~asked], ids[~asked])
        new = batch["input_ids"][asked]
        assert not torch.isin(new[new!=tok.mask_token_id], special).any()

def test_fixed_questions_belong_to_the_row(tok):
    "With a seed a row gets the same questions alone, in any batch and in any order; another seed asks others."
    rows = [r for r in pack(TEXTS, tok, 32)][:8]
    ask = MaskedLM(tok, seed=3)
    all_, back = ask(rows), ask(rows[::-1])
    for k in ("labels", "input_ids"): assert torch.equal(all_[k], back[k].flip(0))
    for i,r in enumerate(rows): assert torch.equal(ask([r])["labels"][0], all_["labels"][i])
    assert not torch.equal(MaskedLM(tok, seed=4)(rows)["labels"], all_["labels"])

def test_a_fixed_draw_leaves_the_global_generator_alone(tok):
    "Evaluation does not shift the random numbers of training."
    rows = [r for r in pack(TEXTS, tok, 32)][:4]
    state = torch.get_rng_state()
    MaskedLM(tok, seed=0)(rows)
    assert torch.equal(state, torch.get_rng_state())

@pytest.mark.parametrize("seed", range(3))
def test_packed_documents_are_read_apart(tok, seed):
    "The outputs for packed documents equal those for each document alone."
    model = build("tiny", tok, None, seed=seed).eval()
    docs = [tok(t)["input_ids"] for t in TEXTS[seed*3:seed*3+4]]
    ids = torch.tensor([sum(docs, [])])
    with torch.no_grad():
        packed = model(input_ids=ids, **document_mask(ids, tok.cls_token_id)).last_hidden_state[0]
        alone = torch.cat([model(input_ids=torch.tensor([d])).last_hidden_state[0] for d in docs])
        mixed = model(input_ids=ids).last_hidden_state[0]
    assert (packed-alone).abs().max()<1e-5<(mixed-alone).abs().max()

def test_a_block_that_begins_inside_a_document(tok):
    "The rest of a document is a segment of its own, with positions from 0."
    cls = tok.cls_token_id
    ids = torch.tensor([[9, 9, 3, cls, 9, 3, cls, 9]])
    assert document_ids(ids, cls).tolist()==[[0, 0, 0, 1, 1, 1, 2, 2]]
    got = document_mask(ids, cls)
    assert got["position_ids"].tolist()==[[0, 1, 2, 0, 1, 2, 0, 1]]
    sees = got["attention_mask"][0, 0]==0
    assert sees.sum(1).tolist()==[3, 3, 3, 3, 3, 3, 2, 2]

def test_wrong_settings(tok):
    "A share outside of 0 and 1, and a batch of nothing but special tokens."
    for p in (0, 1, -1, 2):
        with pytest.raises(InputError, match="between 0 and 1"): MaskedLM(tok, p)
    with pytest.raises(InputError, match="nothing to mask"): MaskedLM(tok)([dict(input_ids=[2, 3, 2, 3])])

# whole words

@pytest.mark.parametrize("kind", KINDS)
def test_no_word_is_torn(kind):
    "Whatever the tokenizer, each word is asked as a whole or not at all, and about the right share is asked."
    tok = train_tokenizer(TEXTS+STORIES, kind, 300)
    rows = list(pack(TEXTS+STORIES, tok, 48))[:20]
    ids = torch.tensor([r["input_ids"] for r in rows])
    number = word_ids(ids, spelling(tok))
    for seed in (None, 0, 1):
        asked = MaskedLM(tok, seed=seed, segmenter=cut_words)(rows)["labels"]!=-100
        share = [asked[number==n].float().mean().item() for n in number.unique()]
        assert set(share)=={0., 1.}
        assert .08<asked.float().mean()<.16

def test_a_segmenter_that_loses_text_is_refused(tok):
    with pytest.raises(InputError, match="do not join"): MaskedLM(tok, segmenter=str.split)(list(pack(TEXTS, tok, 32))[:1])

# schedules

def test_schedule(tok):
    "The share follows what the trainer says."
    rows = list(pack(TEXTS, tok, 32))[:16]
    ask = MaskedLM(tok, (.4, .1))
    free = (~torch.isin(torch.tensor([r["input_ids"] for r in rows]), torch.tensor(tok.all_special_ids))).sum().item()
    for spent,share in ((0, .4), (.5, .25), (1, .1)):
        ask.spend(spent)
        assert (ask(rows)["labels"]!=-100).sum()==round(share*free)
    with pytest.raises(InputError, match="between 0 and 1"): MaskedLM(tok, (.3, 0.))

# documents apart

def tiny(family):
    "A random model of `family` over 40 tokens, in evaluation mode, and what `document_mask` must know for it."
    common = dict(vocab_size=40, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0,
                  attn_implementation="eager")
    torch.manual_seed(0)
    if family=="distilbert":
        config = DistilBertConfig(vocab_size=40, dim=32, n_layers=2, n_heads=2, hidden_dim=64, pad_token_id=0,
                                  attn_implementation="eager")
        return DistilBertForMaskedLM(config).eval(), {}
    if family=="gpt2":
        config = GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=2, attn_implementation="eager")
        return GPT2LMHeadModel(config).eval(), dict(causal=True)
    kinds = dict(bert=(BertConfig, BertForMaskedLM), roberta=(RobertaConfig, RobertaForMaskedLM),
                 modernbert=(ModernBertConfig, ModernBertForMaskedLM), llama=(LlamaConfig, LlamaForCausalLM))
    make, model = kinds[family]
    extra = dict(local_attention=8, global_attn_every_n_layers=2) if family=="modernbert" else {}
    config = make(hidden_size=32, intermediate_size=64, **common, **extra)
    how = dict(roberta=dict(first=1), modernbert=dict(window=4), llama=dict(causal=True)).get(family, {})
    return model(config).eval(), how

FAMILIES = ["bert", "roberta", "distilbert", "modernbert", "gpt2", "llama"]

@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_document_is_read_as_if_alone(family):
    "Another neighbor changes no logit, and the logits are those that plain transformers gives the document alone."
    model, how = tiny(family)
    g = torch.Generator().manual_seed(0)
    ends = torch.tensor([2]), torch.tensor([3])
    docs = [torch.cat([ends[0], torch.randint(5, 40, (n,), generator=g), ends[1]]) for n in (9, 14, 5)]
    other = torch.cat([docs[0].where(docs[0]<5, (docs[0]+11-5)%35+5), *docs[1:]])
    with torch.no_grad():
        logits = [model(input_ids=x[None], **document_mask(x[None], 2, **how)).logits[0] for x in (torch.cat(docs), other)]
        alone = torch.cat([model(input_ids=d[None]).logits[0] for d in docs])
    moved = (logits[0]-logits[1]).abs().amax(1)
    assert moved[11:].max()<1e-5 and moved[:11].max()>1e-3
    assert (logits[0]-alone).abs().max()<1e-5

@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_no_future_in_a_causal_batch(tok, family):
    "A changed token changes no logit before it."
    model, _ = tiny(family)
    x = torch.tensor([[9, 8, 3, 2, 7, 6, 12, 3, 2, 5]])
    y = x.clone(); y[0, 6] = 20
    with torch.no_grad():
        a, b = (model(input_ids=z, **document_mask(z, 2, causal=True)).logits[0] for z in (x, y))
    moved = (a-b).abs().amax(1)
    assert moved[:6].max()<1e-5 and moved[6:8].min()>1e-4 and moved[8:].max()<1e-5

def test_causal_labels(tok):
    "Labels are the ids, a `[CLS]` is never asked, and HF's own loss is that of the shifted labels."
    rows = list(pack(TEXTS, tok, 32))[:4]
    ids = torch.tensor([r["input_ids"] for r in rows])
    batch = CausalLM(tok)(rows)
    assert torch.equal(batch["labels"], torch.where(ids==tok.cls_token_id, -100, ids))
    assert (batch["labels"]==tok.sep_token_id).any()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), n_embd=32, n_layer=1, n_head=2)).eval()
    with torch.no_grad(): out = model(**batch)
    loss = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())
    assert abs(out.loss-loss)<1e-5
    assert CausalLM(tok, isolated=False)(rows)["attention_mask"].shape==ids.shape

# sentence pairs

@pytest.mark.parametrize("seed", range(5))
def test_sentence_pairs_are_honest(tok, seed):
    "Half are true; a false second half is another document's; a row holds both halves, and every half occurs once."
    rows = sentence_pairs(STORIES, tok, 48, seed)
    whole = [sum((tok(s, add_special_tokens=False)["input_ids"] for s in sentences(t)), []) for t in STORIES]
    inside = lambda part, doc: any(doc[i:i+len(part)]==part for i in range(len(doc)-len(part)+1))
    labels, seen = rows["next_sentence_label"], []
    assert sum(labels)*2==len(labels)>20
    for r in rows:
        ids, kind = r["input_ids"], r["token_type_ids"]
        assert len(ids)==len(kind)<=48 and ids[0]==2 and ids[-1]==3 and ids.count(3)==2
        cut = ids.index(3)
        a, b = ids[1:cut], ids[cut+1:-1]
        assert kind==[0]*(cut+1)+[1]*(len(b)+1)
        assert any(inside(a+b, d) for d in whole)==(r["next_sentence_label"]==0)
        assert not r["next_sentence_label"] or not any(inside(a, d) and inside(b, d) for d in whole)
        seen.append(tuple(b))
    assert len(set(seen))==len(seen)
    assert rows["input_ids"][:]==sentence_pairs(STORIES, tok, 48, seed)["input_ids"][:]
    assert rows["input_ids"][:]!=sentence_pairs(STORIES, tok, 48, seed+1)["input_ids"][:]

def test_sentence_pairs_need_documents(tok):
    for texts in (STORIES[:1], ["one sentence only"]*5, []):
        with pytest.raises(InputError, match="two documents"): sentence_pairs(texts, tok, 48)
    with pytest.raises(InputError, match="block_size is 4"): sentence_pairs(STORIES, tok, 4)

def test_sentences():
    assert sentences("One. Two? Three!\nFour 3.5 five")==["One.", "Two?", "Three!", "Four 3.5 five"]
    assert sentences(CHINESE[0])==["图书馆里有很多书。", "我们在图书馆里读书。"]

def test_padding_asks_nothing_and_changes_nothing(tok):
    "A pair's fixed questions are the same in any batch, and `[PAD]` is neither read nor asked."
    rows = sorted(sentence_pairs(STORIES, tok, 48), key=lambda r: len(r["input_ids"]))
    ask = SentencePairs(tok, seed=1)
    long, short = ask([rows[0], rows[-1]]), ask(rows[:1])
    n = short["labels"].shape[1]
    for k in ("input_ids", "labels", "token_type_ids"): assert torch.equal(long[k][0, :n], short[k][0])
    assert (long["labels"][0, n:]==-100).all() and long["attention_mask"][0].sum()==n
    assert long["next_sentence_label"].tolist()==[rows[0]["next_sentence_label"], rows[-1]["next_sentence_label"]]

# any order

@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 2, 3, 7, 50, 201])
def test_spans(n, seed):
    "The share is exact, spans do not touch, and nothing outside of `free` is taken."
    g = torch.Generator().manual_seed(seed)
    for p in (.15, 1/6, .5, .9):
        for mean in (1., 3.):
            free = torch.cat([torch.tensor([False]), torch.ones(n, dtype=torch.bool), torch.tensor([False])])
            taken = draw_spans(free, p, mean, g)
            k = max(1, round(p*n))
            assert taken.sum()==k and not (taken & ~free).any()
            assert (taken & ~torch.nn.functional.pad(taken, (1, 0))[:-1]).sum()==max(1, min(round(k/mean), n-k+1))

@pytest.mark.parametrize("size", [31, 32])
@pytest.mark.parametrize("span", [1., 3.])
def test_permutation(tok, size, span):
    "XLNet's answers depend on the open tokens and on those asked before, never on themselves, later ones or neighbors."
    rows = list(pack(TEXTS, tok, size))[:3]
    batch = PermutationLM(tok, mlm_probability=.3, span=span, seed=0)(rows)
    torch.manual_seed(0)
    model = XLNetLMHeadModel(XLNetConfig(vocab_size=len(tok), d_model=32, n_layer=2, n_head=2, d_inner=64)).eval()
    labels = batch.pop("labels")
    own, place = document_ids(batch["input_ids"], tok.cls_token_id), batch["target_mapping"].argmax(2)
    with torch.no_grad(): before = model(**batch).logits
    for k in range(labels.shape[1]):
        ids = batch["input_ids"].clone()
        ids[torch.arange(3), place[:, k]] = 5 + (ids[torch.arange(3), place[:, k]]+1-5)%(len(tok)-5)
        with torch.no_grad(): changed = (model(**{**batch, "input_ids": ids}).logits-before).abs().amax(2)>1e-6 # above rounding
        for b in range(3):
            if labels[b, k]==-100: continue
            later = torch.arange(labels.shape[1])>k
            may = later & (own[b, place[b]]==own[b, place[b, k]]) & (labels[b]!=-100)
            assert not (changed[b] & ~may & (labels[b]!=-100)).any()
            assert (changed[b] & may).sum()==may.sum()

def test_permutation_counts(tok):
    "A sixth is asked in each row, each asked token once, and never a special one."
    rows = list(pack(TEXTS, tok, 40))[:10]
    batch = PermutationLM(tok)(rows)
    ids, place, there = batch["input_ids"], batch["target_mapping"].argmax(2), batch["labels"]!=-100
    for b in range(10):
        at = place[b][there[b]]
        free = (~torch.isin(ids[b], torch.tensor(tok.all_special_ids))).sum().item()
        assert len(set(at.tolist()))==len(at)==max(1, round(free/6))
        assert torch.equal(ids[b, at], batch["labels"][b, there[b]]) and ids[b, at].min()>4
    assert torch.equal(ids, torch.tensor([r["input_ids"] for r in rows]))

def test_left_to_right_is_causal():
    for n in (1, 2, 9):
        assert torch.equal(permutation_mask(torch.arange(1, n+1)[None], torch.zeros(1, n))[0], torch.ones(n, n).triu())

def test_who_sees_nothing_is_not_asked(tok):
    "In a block within one document nothing special is left open; the first in the order is not asked if all are."
    batch = PermutationLM(tok, mlm_probability=.99)([dict(input_ids=[7, 8, 9])])
    assert (batch["labels"]!=-100).sum()==2

# spans out

@pytest.mark.parametrize("infill", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost(marked, seed, infill):
    "What is left and what is to be written make the row again; the share is exact."
    rows = list(document_rows(STORIES, marked, 60))
    batch = SpanDenoising(marked, mlm_probability=.2, seed=seed, infill=infill)(rows)
    base = len(marked)-40
    for i,row in enumerate(rows):
        left, gone = batch["input_ids"][i][batch["attention_mask"][i]==1].tolist(), batch["labels"][i]
        gone = gone[gone!=-100].tolist()
        if infill:
            assert gone==row["input_ids"][1:] and set(left)<={*row["input_ids"], marked.mask_token_id}
            continue
        assert gone[-1]==marked.sep_token_id
        spans = {}
        for t in gone[:-1]:
            if t>=base: spans[last := t] = []
            else: spans[last].append(t)
        assert list(spans)==list(range(base, base+len(spans)))==[t for t in left if t>=base]
        assert sum(([*spans.get(t, [t])] for t in left), [])==row["input_ids"]
        assert sum(map(len, spans.values()))==round(.2*(len(row["input_ids"])-2))

def test_marks_are_needed(tok, marked):
    with pytest.raises(InputError, match="add_sentinels"): SpanDenoising(tok)(list(document_rows(STORIES, tok, 60)))
    few = add_sentinels(train_tokenizer(STORIES, "wordpiece", 200), 2)
    with pytest.raises(InputError, match="2 marks"): SpanDenoising(few)(list(document_rows(STORIES, few, 60)))
    assert max(marked("<extra_id_0>")["input_ids"])<len(marked)-40 # in a text it is text

# all of them

@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_collator(marked, objective):
    "Questions are new in training and fixed in evaluation, and fixed ones leave the common generator alone."
    recipe = OBJECTIVES[objective]
    rows = list(recipe.rows(STORIES, marked, 48))[:6]
    same = lambda a, b: all(torch.equal(a[k], b[k]) for k in a if k!="attention_mask")
    train, fixed = recipe.collator(marked), recipe.collator(marked, seed=0)
    state = torch.get_rng_state()
    assert same(fixed(rows), fixed(rows)) and torch.equal(state, torch.get_rng_state())
    alone, all_ = [fixed([r])["labels"][0] for r in rows], fixed(rows)["labels"]
    assert all(torch.equal(a[a!=-100], l[l!=-100]) for a,l in zip(alone, all_))
    a, b = train(rows), train(rows)
    assert (a["input_ids"].shape==b["input_ids"].shape and same(a, b))==(objective=="clm")

def test_what_fits():
    with pytest.raises(InputError, match="mlm, mlm\\+nsp, clm, permutation, denoise"): check_objective("nsp", "bert")
    with pytest.raises(InputError, match="by permutation; it learns by clm; or choose from xlnet"): check_objective("permutation", "gpt2")
    for objective,recipe in OBJECTIVES.items():
        for arch in recipe.archs: assert check_objective(objective, arch) is recipe

@pytest.mark.parametrize("objective,arch", [("mlm+nsp", "bert"), ("permutation", "xlnet"), ("denoise", "t5"), ("denoise", "bart")])
def test_models_take_the_batches(marked, objective, arch):
    "HF's model takes a batch as it is, and its loss falls when it sees the batch again and again."
    v = len(marked)
    small = dict(vocab_size=v, pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2)
    torch.manual_seed(0)
    model = dict(
        bert=lambda: BertForPreTraining(BertConfig(vocab_size=v, hidden_size=32, num_hidden_layers=1,
                                                   num_attention_heads=2, intermediate_size=64)),
        xlnet=lambda: XLNetLMHeadModel(XLNetConfig(vocab_size=v, d_model=32, n_layer=1, n_head=2, d_inner=64)),
        t5=lambda: T5ForConditionalGeneration(T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, **small)),
        bart=lambda: BartForConditionalGeneration(BartConfig(
            d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=64, decoder_ffn_dim=64, forced_eos_token_id=3, **small)))[arch]()
    recipe = OBJECTIVES[objective]
    rows = list(recipe.rows(STORIES, marked, 40))[:8]
    batch = recipe.collator(marked, seed=0, **(dict(infill=True) if arch=="bart" else {}))(rows)
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=5e-3), []
    for _ in range(15):
        loss = model(**batch).loss
        loss.backward(); optimizer.step(); optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1]<.9*losses[0]
