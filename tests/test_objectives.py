"Questions are drawn as BERT says, never from special tokens, and no document of a block reads its neighbor."
import pytest
import torch
from plm_nb.data import InputError
from plm_nb.objectives import MaskedLM, isolate, mask_tokens, segments
from plm_nb.tokenizer import pack, train_tokenizer
from plm_nb.transformer import build

TEXTS = [" ".join(f"word{(i*j)%97} and" for j in range(1, 5+i%9)) for i in range(60)]

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(TEXTS, "wordpiece", 200)

def within(n, total, share): return abs(n - total*share) < 5*(total*share*(1-share))**.5

@pytest.mark.parametrize("p", [.15, .3])
@pytest.mark.parametrize("seed", range(5))
def test_80_10_10(seed, p):
    "Of the asked tokens 80 % are hidden, 10 % replaced and 10 % kept, within five standard deviations; others stay."
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 30_000, (64, 512), generator=g)
    new, labels = mask_tokens(ids, torch.zeros_like(ids, dtype=torch.bool), 4, torch.arange(5, 30_000), p, g)
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
        packed = model(input_ids=ids, **isolate(ids, tok.cls_token_id)).last_hidden_state[0]
        alone = torch.cat([model(input_ids=torch.tensor([d])).last_hidden_state[0] for d in docs])
        mixed = model(input_ids=ids).last_hidden_state[0]
    assert (packed-alone).abs().max()<1e-5<(mixed-alone).abs().max()

def test_a_block_that_begins_inside_a_document(tok):
    "The rest of a document is a segment of its own, with positions from 0."
    cls = tok.cls_token_id
    ids = torch.tensor([[9, 9, 3, cls, 9, 3, cls, 9]])
    assert segments(ids, cls).tolist()==[[0, 0, 0, 1, 1, 1, 2, 2]]
    got = isolate(ids, cls)
    assert got["position_ids"].tolist()==[[0, 1, 2, 0, 1, 2, 0, 1]]
    sees = got["attention_mask"][0, 0]==0
    assert sees.sum(1).tolist()==[3, 3, 3, 3, 3, 3, 2, 2]

def test_wrong_settings(tok):
    "A share outside of 0 and 1, and a batch of nothing but special tokens."
    for p in (0, 1, -1, 2):
        with pytest.raises(InputError, match="between 0 and 1"): MaskedLM(tok, p)
    with pytest.raises(InputError, match="nothing to mask"): MaskedLM(tok)([dict(input_ids=[2, 3, 2, 3])])
