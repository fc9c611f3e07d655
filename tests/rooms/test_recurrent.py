"`plm_nb.recurrent`: torch's sums, no look ahead, no look across a border, and everything that transformers asks of a model."
import json, math

import pytest
import torch
import transformers
from datasets import Dataset
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, TrainingArguments

from plm_nb.files import InputError
from plm_nb.recurrent import CELLS, RecurrentConfig, RecurrentForCausalLM

CASES = [(cell, layers) for cell in CELLS for layers in (1, 2)]
WAYS = dict(greedy={}, beams=dict(num_beams=4), sampling=dict(do_sample=True, top_k=0),
            beam_sampling=dict(num_beams=3, do_sample=True), several=dict(num_beams=3, num_return_sequences=3))

def lm(cell="lstm", layers=1, seed=0, **kwargs):
    torch.manual_seed(seed)
    config = RecurrentConfig(**{**dict(cell=cell, num_hidden_layers=layers, vocab_size=40, hidden_size=16), **kwargs})
    return RecurrentForCausalLM(config).eval()

def tokens(*shape, seed=0): return torch.randint(5, 40, shape, generator=torch.Generator().manual_seed(seed))

@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad(): yield

@pytest.mark.parametrize("cell,layers", CASES)
def test_is_torchs_network(cell, layers):
    m, ids = lm(cell, layers), tokens(3, 9)
    plain = CELLS[cell](16, 16, layers, batch_first=True)
    plain.load_state_dict(m.rnn.state_dict())
    states, last = plain(m.embed_tokens.weight[ids]*4)
    out = m(ids)
    assert torch.allclose(out.logits, states@m.embed_tokens.weight.T, atol=1e-6)
    for a,b in zip(out.state, last if cell=="lstm" else (last,), strict=True): assert torch.allclose(a, b, atol=1e-6)

@pytest.mark.parametrize("cell,layers", CASES)
@pytest.mark.parametrize("at", [0, 3, 7])
def test_no_look_ahead(cell, layers, at):
    m, ids = lm(cell, layers), tokens(2, 8)
    other = ids.clone(); other[:, at] = 39-ids[:, at]+5
    change = (m(ids).logits-m(other).logits).abs().amax((0, 2))
    assert not change[:at].any() and (change[at:]>0).all()

def packed(*lengths): return torch.cat([torch.arange(n) for n in lengths])

@pytest.mark.parametrize("cell,layers", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_documents_of_a_block_are_alone(cell, layers, seed):
    m, ids = lm(cell, layers, seed), tokens(3, 12, seed=seed)
    cuts = [(5, 4, 3), (1, 1, 10), (12,)]
    positions = torch.stack([packed(*c) for c in cuts])
    together = m(ids, position_ids=positions, attention_mask=torch.zeros(3, 1, 12, 12))
    for row,lengths in enumerate(cuts):
        alone = [m(part[None]) for part in ids[row].split(list(lengths))]
        assert torch.allclose(together.logits[row], torch.cat([a.logits[0] for a in alone]), atol=1e-5)
        for s,t in zip(together.state, alone[-1].state): assert torch.allclose(s[:, row], t[:, 0], atol=1e-6)

@pytest.mark.parametrize("cell", CELLS)
def test_a_changed_document_changes_no_neighbor(cell):
    m, ids = lm(cell), tokens(1, 12)
    positions = packed(4, 4, 4)[None]
    other = ids.clone(); other[:, 4:8] = tokens(1, 4, seed=9)
    change = (m(ids, position_ids=positions).logits-m(other, position_ids=positions).logits).abs().amax((0, 2))
    assert change[4:8].min()>1e-3 and change[:4].max()<1e-5 and change[8:].max()<1e-5

@pytest.mark.parametrize("cell", CELLS)
def test_a_block_that_begins_inside_a_document(cell):
    m, ids = lm(cell), tokens(2, 6)
    assert torch.allclose(m(ids, position_ids=torch.arange(7, 13)[None]).logits, m(ids).logits, atol=1e-6)

@pytest.mark.parametrize("cell,layers", CASES)
@pytest.mark.parametrize("parts", [[1]*8, [3, 5], [7, 1]])
def test_read_in_parts(cell, layers, parts):
    m, ids = lm(cell, layers), tokens(2, 8)
    state, logits = None, []
    for part in ids.split(parts, 1):
        out = m(part, state=state)
        state = out.state; logits.append(out.logits)
    assert torch.allclose(torch.cat(logits, 1), m(ids).logits, atol=1e-5)

@pytest.mark.parametrize("cell", CELLS)
def test_loss_by_hand(cell):
    m, ids = lm(cell), tokens(3, 7)
    labels = ids.clone(); labels[0, 3:] = -100; labels[2, 1] = -100
    logp = m(ids).logits.log_softmax(-1)
    asked = [(i, t) for i in range(3) for t in range(1, 7) if labels[i, t]!=-100]
    by_hand = -sum(logp[i, t-1, labels[i, t]] for i,t in asked).item()/len(asked)
    assert math.isclose(m(ids, labels=labels).loss.item(), by_hand, rel_tol=1e-5)
    assert math.isclose(m(ids, labels=labels, num_items_in_batch=torch.tensor(5)).loss.item(), by_hand*len(asked)/5, rel_tol=1e-5)

@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(2))
def test_generate_with_the_state_carried(cell, way, seed):
    m, prompt = lm(cell, 2, seed), tokens(2, 5, seed=seed)
    reads = []
    hook = m.embed_tokens.register_forward_hook(lambda _, args, out: reads.append(args[0].shape[1]))
    written = []
    for use_cache in (True, False):
        torch.manual_seed(seed); reads.clear()
        written.append(m.generate(prompt, max_new_tokens=10, min_new_tokens=10, use_cache=use_cache, **WAYS[way]))
        if use_cache: assert reads[0]==5 and set(reads[1:])=={1}
    hook.remove()
    assert torch.equal(*written)

@pytest.mark.parametrize("cell,layers", CASES)
@pytest.mark.parametrize("way", ["greedy", "beams"])
def test_generate_from_prompts_of_different_lengths(cell, layers, way):
    m, prompts = lm(cell, layers), [tokens(n, seed=n) for n in (2, 5, 3)]
    ids = torch.stack([F.pad(p, (5-len(p), 0)) for p in prompts])
    settings = dict(max_new_tokens=8, min_new_tokens=8, **WAYS[way])
    batch = m.generate(ids, attention_mask=(ids!=0).long(), **settings)
    for row,p in zip(batch, prompts): assert torch.equal(row[5:], m.generate(p[None], **settings)[0, len(p):])

@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cell", CELLS)
def test_padding(cell, side):
    m, row = lm(cell), tokens(1, 4)
    pad = (3, 0) if side=="left" else (0, 3)
    ids, mask = F.pad(row, pad), F.pad(torch.ones_like(row), pad)
    both, labels = torch.cat([ids, tokens(1, 7)]), ids.masked_fill(mask==0, -100)
    logits = m(both, attention_mask=torch.cat([mask, torch.ones_like(mask)])).logits
    assert torch.allclose(logits[:1][mask==1], m(row).logits[0], atol=1e-5)
    if side=="right": assert math.isclose(m(ids, attention_mask=mask, labels=labels).loss, m(row, labels=row).loss, rel_tol=1e-5)

@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tied", [True, False])
def test_save_and_load(tmp_path, cell, tied):
    m, ids = lm(cell, 2, tie_word_embeddings=tied, dropout=.1), tokens(2, 6)
    m.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(p, q) for p,q in zip(again.parameters(), m.parameters(), strict=True))
    assert torch.allclose(again(ids).logits, m(ids).logits, atol=1e-5) and not again.training
    assert (again.lm_head.weight is again.embed_tokens.weight)==tied
    assert type(AutoConfig.from_pretrained(tmp_path)) is RecurrentConfig
    config = json.loads((tmp_path/"config.json").read_text())
    assert (config["cell"], config["num_hidden_layers"], config["dropout"]) == (cell, 2, .1)
    assert torch.equal(m.generate(ids, max_new_tokens=5), again.generate(ids, max_new_tokens=5))

@pytest.mark.parametrize("cell,layers", CASES)
def test_start(cell, layers):
    m, ids = lm(cell, layers, hidden_size=64), tokens(8, 30)
    assert abs(m(ids, labels=ids).loss.item()-math.log(40)) < .5
    for name,p in m.rnn.named_parameters():
        if name.startswith("weight_hh"):
            for U in p.split(64): assert torch.allclose(U@U.T, torch.eye(64), atol=1e-5)
        if name.startswith("bias"):
            kept = p[64:128].sum() if cell!="rnn" else 0
            assert p.sum()==kept==(64 if name.startswith("bias_ih") and cell!="rnn" else 0)
    assert all(torch.equal(a, b) for a,b in zip(m.parameters(), lm(cell, layers, hidden_size=64).parameters()))

@pytest.mark.parametrize("bad,why", [(dict(cell="brain"), "choose from rnn, gru, lstm"), (dict(dropout=1.), "less than 1"),
                                     (dict(dropout=-.1), "0 or more")])
def test_impossible_settings(bad, why):
    with pytest.raises(InputError, match=why) as e: RecurrentConfig(**bad)
    assert "\n" not in str(e.value)

def test_only_the_asked_rows_reach_the_head():
    "What `Trainer` does to save work: a hook on the head flattens its input and picks rows."
    m, ids = lm(), tokens(2, 6)
    index = torch.tensor([0, 4, 7])
    want = m(ids).logits.flatten(0, 1)[index]
    hook = m.get_output_embeddings().register_forward_pre_hook(lambda _, args: (args[0].flatten(0, -2).index_select(0, index),))
    assert torch.allclose(m(ids).logits, want, atol=1e-6)
    hook.remove()
    assert m.get_input_embeddings() is m.embed_tokens
    m.resize_token_embeddings(45)
    assert m(ids).logits.shape[-1]==m.config.vocab_size==45

def test_stateful_models_cannot_be_rolled_back():
    with pytest.raises(ValueError): lm().generate(tokens(1, 4), assistant_model=lm())

def test_tuples():
    out = lm()(tokens(1, 4), return_dict=False)
    assert isinstance(out, tuple) and out[0].shape==(1, 4, 40)
    assert lm()(tokens(1, 4), use_cache=False).state is None

@pytest.mark.parametrize("cell", CELLS)
@torch.enable_grad()
def test_stock_trainer(tmp_path, cell):
    rows = Dataset.from_list([dict(input_ids=x.tolist(), labels=x.tolist(), position_ids=packed(5, 7).tolist())
                              for x in tokens(8, 12)])
    args = TrainingArguments(tmp_path, max_steps=20, learning_rate=1e-2, report_to=[], save_strategy="no", disable_tqdm=True,
                             use_cpu=not torch.accelerator.is_available(), gradient_accumulation_steps=2,
                             per_device_train_batch_size=4, per_device_eval_batch_size=4)
    m = lm(cell, 2, dropout=.1)
    trainer = transformers.Trainer(model=m, args=args, train_dataset=rows, eval_dataset=rows)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before-.3
    assert trainer.predict(rows).predictions.shape==(8, 12, 40)

@pytest.mark.parametrize("cell", CELLS)
@torch.enable_grad()
def test_mixed_precision(cell):
    "Also on a processor without an LSTM in bf16."
    m, ids = lm(cell, 2), tokens(2, 9)
    want = m(ids, labels=ids).loss.item()
    with torch.autocast(m.device.type, torch.bfloat16): loss = m(ids, labels=ids, position_ids=packed(4, 5)[None]).loss
    loss.backward()
    assert abs(loss.item()-want) < .3 and all(p.grad.isfinite().all() for p in m.parameters())
