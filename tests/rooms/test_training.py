"The loss is the mean over asked tokens however the batch is cut, and a score does not depend on how it is computed."
from copy import deepcopy
from types import SimpleNamespace
import pytest
import torch
from datasets import Dataset
from transformers import (BertConfig, BertForMultipleChoice, BertForSequenceClassification, CamembertConfig,
    CamembertForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification, ElectraConfig,
    ElectraForSequenceClassification, RobertaConfig, RobertaForMultipleChoice, RobertaForSequenceClassification,
    XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaForSequenceClassification)
from torch.nn import functional as F
from plm_nb.files import InputError
from plm_nb.text_classification import encode_rows
from plm_nb.finetuning import padded
from plm_nb.objectives import OBJECTIVES, MaskedLM, add_sentinels
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
from plm_nb.budgets import arguments, warmup_stable_decay
from plm_nb.training import Trainer, _HeadNats, _linear_head, _nats_and_gradient, _nats_of_rows, _summed_loss, logits_at_labels, only_first
from plm_nb.models import build, config, layout

TEXTS = [" ".join(f"word{(i*j)%31}" for j in range(1, 4+i%11)) for i in range(48)]
SPLITS = [(1, 16), (4, 4), (8, 2)]

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(TEXTS, "wordpiece", 120)

@pytest.fixture(scope="module")
def tasks(tok):
    "Rows and collator of two heads: blanks, one to many a row, and classes of texts of many lengths."
    blocks = pack(TEXTS*2, tok, 16).select(range(32))
    ids = torch.tensor(blocks["input_ids"][:])
    chance = torch.rand(ids.shape, generator=torch.Generator().manual_seed(0))
    labels = torch.where(chance<torch.arange(1, 33)[:, None]/40, ids, -100)
    labels[:, 0] = ids[:, 0]
    masked = Dataset.from_dict(dict(input_ids=ids.tolist(), labels=labels.tolist()))
    rows, _ = encode_rows(Dataset.from_dict(dict(text=TEXTS[:32], label=[i%3 for i in range(32)])), tok)
    def stack(batch): return {k: torch.tensor([r[k] for r in batch]) for k in ("input_ids", "labels")}
    return {"fill-mask": (masked, stack), "text-classification": (rows, padded(tok))}

def trainer(tok, task, tmp_path, seed=0, data=None, **settings):
    "A trainer of a tiny model; plain descent, so that weights show gradients."
    names = ["a", "b", "c"] if task=="text-classification" else None
    rows, collate = data
    usual = dict(steps=2, seed=seed, optim="sgd", learning_rate=.1, bf16=False, logging_steps=1)
    args = arguments(str(tmp_path/"out"), **{**usual, **settings})
    model = build("tiny", tok, task, labels=names, seed=seed)
    return Trainer(model=model, args=args, train_dataset=rows, data_collator=collate)

@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("task", ["fill-mask", "text-classification"])
def test_accumulation_changes_nothing(tok, tasks, tmp_path, task, seed):
    "Sixteen rows at once, or in 2, 4 or 16 parts: the same losses and the same weights."
    def run(size, parts):
        t = trainer(tok, task, tmp_path, seed, tasks[task], per_device_train_batch_size=size,
                    gradient_accumulation_steps=parts)
        t.train()
        losses = [l["loss"] for l in t.state.log_history if "loss" in l]
        return losses, torch.cat([p.detach().flatten() for p in t.model.parameters()])
    losses, weights = run(16, 1)
    for split in SPLITS:
        other, moved = run(*split)
        assert other==pytest.approx(losses, rel=2e-5), split # the log keeps four digits or so
        assert (moved-weights).abs().max()<2e-6, split

@pytest.mark.parametrize("arch", ["bert", "roberta", "distilbert", "modernbert"])
def test_what_is_not_asked_is_not_missed(tok, arch):
    "Where only the asked tokens go through the last layer and the head, loss and gradients are those of all tokens."
    model = build("tiny", tok, "fill-mask", arch).train()
    rows = pack(TEXTS*2, tok, 16)
    batch = MaskedLM(tok, seed=0, **layout(model.config))([rows[i] for i in range(8)])
    def gradients(loss):
        found = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
        return torch.cat([g.flatten() for g in found if g is not None])
    trainer = Trainer(model=model, args=arguments("unused", steps=1, bf16=False, use_cpu=True))
    ours = trainer.compute_loss(model, batch)
    logits = model(**{k: v for k,v in batch.items() if k!="labels"}).logits
    plain = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
    assert ours.item()==pytest.approx(plain.item(), rel=1e-6)
    a, b = gradients(ours), gradients(plain)
    assert ((a-b).norm()/b.norm()).item()<1e-5

def drawn(tok, objective, arch):
    "A tokenizer for `arch`, eight rows, and the collator that draws from them."
    tok = deepcopy(tok)
    if arch=="t5": add_sentinels(tok, 20)
    recipe = OBJECTIVES[objective]
    rows = recipe.rows([f"{a}. {b}. {a} {b} and {b}." for a,b in zip(TEXTS, TEXTS[::-1])], tok, 24).select(range(8))
    own = dict(infill=True) if arch=="bart" else {}
    own |= layout(config(arch, "tiny", len(tok))) if objective=="mlm" else {}
    return tok, rows, recipe.collator(tok, seed=0, **own)

@pytest.mark.parametrize("objective, arch", [(o, a) for o,r in OBJECTIVES.items() for a in r.archs])
def test_every_objective_counts_its_questions(tok, tmp_path, objective, arch):
    "Eight rows at once, or in parts: the same loss, and the same gradients to 1e-5."
    tok, rows, collator = drawn(tok, objective, arch)
    def step(size, parts):
        args = arguments(str(tmp_path/"out"), steps=1, optim="sgd", learning_rate=.1, bf16=False, logging_steps=1,
                         max_grad_norm=0, per_device_train_batch_size=size, gradient_accumulation_steps=parts)
        t = Trainer(model=build("tiny", tok, OBJECTIVES[objective].task, arch), args=args, train_dataset=rows,
                    data_collator=collator)
        t.train()
        return t.state.log_history[0]["loss"], torch.cat([p.detach().flatten() for p in t.model.parameters()])
    loss, weights = step(8, 1)
    assert loss>1
    for split in ((4, 2), (2, 4)):
        other, moved = step(*split)
        assert other==pytest.approx(loss, rel=2e-5) and (moved-weights).abs().max()<2e-6, split

@pytest.mark.parametrize("objective, arch", [(o, a) for o,r in OBJECTIVES.items() for a in r.archs])
def test_the_last_layer_is_taken_out(tok, objective, arch):
    "In pieces or with all logits: the same loss, gradients and scores. BART adds to its logits, so its layer stays."
    tok, rows, collator = drawn(tok, objective, arch)
    batch = collator([rows[i] for i in range(8)])
    model = build("tiny", tok, OBJECTIVES[objective].task, arch).train()
    before = dict(model.named_modules())
    layer = _linear_head(model, batch)
    assert (layer is None)==(arch=="bart") and model.training
    assert layer is None or layer is model.get_output_embeddings() and "forward" not in vars(layer)
    def found(layer):
        loss, at = _summed_loss(model, batch, layer)
        gradients = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
        return loss, torch.cat([g.flatten() for g in gradients if g is not None]), len(at.labels)
    loss, gradients, n = found(layer)
    plain, known, m = found(None)
    assert n==m and loss.item()==pytest.approx(plain.item(), rel=1e-5)
    assert ((gradients-known).norm()/known.norm()).item()<1e-5
    ours, theirs = (_nats_of_rows(model.eval(), batch, one)[0] for one in (layer, None))
    assert ours.numpy()==pytest.approx(theirs.numpy(), rel=1e-5)
    assert dict(model.named_modules()).keys()==before.keys()

def test_a_layer_after_which_something_comes(tok):
    "Logits that are bent afterwards are computed as the model computes them."
    from transformers import Gemma2Config, Gemma2ForCausalLM
    ids = torch.arange(8)[None]+5
    model = Gemma2ForCausalLM(Gemma2Config(vocab_size=len(tok), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                                           num_attention_heads=2, num_key_value_heads=1, head_dim=16, final_logit_softcapping=2.))
    assert _linear_head(model, dict(input_ids=ids, labels=ids)) is None
    model.config.final_logit_softcapping = None
    assert _linear_head(model, dict(input_ids=ids, labels=ids)) is model.lm_head

def test_what_no_float_holds():
    "A token that the model rules out costs its nats, not infinity; and half precision adds up in fp32."
    nats, gradient = _nats_and_gradient(torch.tensor([[0., 300., 0.]]), torch.tensor([2]))
    assert nats.item()==pytest.approx(300) and gradient.tolist()==[[0, 1, -1]]
    x, w = torch.randn(2000, 16), torch.randn(50, 16)
    labels = torch.randint(50, (2000,))
    whole = F.cross_entropy(x.bfloat16().float()@w.bfloat16().float().T, labels, reduction="sum")
    nats = _HeadNats.apply(x.requires_grad_(), w.requires_grad_(), None, labels, torch.bfloat16)
    assert nats.item()==pytest.approx(whole.item(), rel=2e-3)

@pytest.mark.parametrize("task", ["fill-mask", "text-classification"])
def test_the_logged_loss_is_the_mean(tok, tasks, tmp_path, task):
    "The first logged loss equals torch's cross-entropy of the untrained model over the whole batch."
    rows, collate = tasks[task]
    t = trainer(tok, task, tmp_path, data=(rows, collate), per_device_train_batch_size=4, gradient_accumulation_steps=8)
    batch = collate([rows[i] for i in range(32)])
    model = build("tiny", tok, task, labels=["a", "b", "c"] if "text" in task else None)
    labels = batch.pop("labels")
    with torch.no_grad(): logits = model(**batch).logits
    mean = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100).item()
    t.train()
    assert t.state.log_history[0]["loss"]==pytest.approx(mean, rel=1e-4)

@pytest.mark.parametrize("task", ["fill-mask", "text-classification"])
def test_evaluation_is_the_same_for_any_batch(tok, tasks, tmp_path, task):
    "Nats of each row, loss, logits and their order, for batches of 1, 3, 7 and 64 rows."
    rows, found = tasks[task][0], []
    for size in (64, 1, 3, 7):
        t = trainer(tok, task, tmp_path, data=tasks[task], per_device_eval_batch_size=size)
        out = t.predict(rows)
        loss = t.evaluate(rows)["eval_loss"]
        found.append((*t.score(rows), out.metrics["test_loss"], out.predictions, out.label_ids, loss))
    nats, n, loss, logits, labels, again = found[0]
    assert len(nats)==len(rows) and loss==again==pytest.approx((nats.sum()/n.sum()).item(), rel=1e-6)
    if task=="text-classification": assert labels.tolist()==rows["labels"][:] and logits.shape==(32, 3)
    for other in found[1:]:
        assert torch.allclose(other[0], nats, rtol=1e-5) and torch.equal(other[1], n)
        assert other[2]==pytest.approx(loss, rel=1e-5)
        if logits is not None: assert abs(other[3]-logits).max()<1e-5 and (other[4]==labels).all()

def test_evaluation_after_training_is_in_fp32(tok, tasks, tmp_path):
    "Training under bf16 leaves a model that scores as its saved copy does."
    rows, collate = tasks["fill-mask"]
    t = trainer(tok, "fill-mask", tmp_path, data=(rows, collate), bf16=True)
    t.train()
    nats, _ = t.score(rows)
    t.model.save_pretrained(tmp_path/"model")
    copy = trainer(tok, "fill-mask", tmp_path, data=(rows, collate))
    copy.model = type(copy.model).from_pretrained(tmp_path/"model", attn_implementation="eager").to(t.model.device)
    assert torch.allclose(copy.score(rows)[0], nats, rtol=1e-6)

@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_batch_that_asks_nothing(tok, tmp_path, accumulation):
    "Labels of nothing but -100 raise in training and in evaluation, never a loss of nan."
    rows = Dataset.from_dict(dict(input_ids=[[2, 9, 9, 3]]*8, labels=[[-100]*4]*8))
    def stack(batch): return {k: torch.tensor([r[k] for r in batch]) for k in ("input_ids", "labels")}
    t = trainer(tok, "fill-mask", tmp_path, data=(rows, stack), per_device_train_batch_size=2,
                gradient_accumulation_steps=accumulation)
    with pytest.raises(InputError, match="nothing to learn from"): t.train()
    with pytest.raises(InputError, match="nothing"): t.evaluate(rows)

def test_a_part_that_asks_nothing(tok, tmp_path):
    "Where the step asks something, its parts may be silent: else chance ends a training, in one of several processes."
    ids = [[2, 9+i, 19, 3] for i in range(4)]
    labels = [[-100]*4, [-100]*4, [-100, 9, -100, -100], [-100, 11, 12, -100]]
    rows = Dataset.from_dict(dict(input_ids=ids, labels=labels))
    def stack(batch): return {k: torch.tensor([r[k] for r in batch]) for k in ("input_ids", "labels")}
    def run(size, parts):
        t = trainer(tok, "fill-mask", tmp_path, data=(rows, stack), per_device_train_batch_size=size, steps=1,
                    gradient_accumulation_steps=parts, train_sampling_strategy="sequential")
        t.train()
        return t.state.log_history[0]["loss"], torch.cat([p.detach().flatten() for p in t.model.parameters()])
    loss, weights = run(4, 1)
    other, moved = run(2, 2)
    assert loss>1 and other==pytest.approx(loss, rel=1e-6) and (moved-weights).abs().max()<1e-6

def test_only_asked_logits_are_computed(tok):
    "Taking the rows before the head gives the logits that the whole head gives."
    model, rows = build("tiny", tok), pack(TEXTS, tok, 16)
    batch = MaskedLM(tok, seed=0)([rows[i] for i in range(8)])
    with torch.no_grad():
        logits, labels, row, _ = logits_at_labels(model, batch)
        all_ = model(**{k: v for k,v in batch.items() if k!="labels"}).logits
    asked = batch["labels"]!=-100
    assert (logits-all_[asked]).abs().max()<1e-5 and torch.equal(labels, batch["labels"][asked])
    assert torch.equal(row, asked.nonzero()[:, 0]) and not model.cls._forward_pre_hooks

@pytest.mark.parametrize("decay", [.1, .5, .9])
def test_warmup_stable_decay(decay):
    "Between 0 and 1, first up, then level, then down to zero, in straight lines."
    shape = [warmup_stable_decay(i/1000, decay=decay) for i in range(1001)]
    assert shape==pytest.approx([max(0, min(1, i/100, (1-i/1000)/decay)) for i in range(1001)], abs=1e-9)
    top = shape.index(max(shape))
    assert shape[0]==shape[-1]==0 and .5<=max(shape)<=1
    assert shape[:top+1]==sorted(shape[:top+1]) and shape[top:]==sorted(shape[top:], reverse=True)

BUDGETS = [dict(), dict(steps=1, epochs=1), dict(steps=1, minutes=1), dict(steps=0), dict(epochs=0), dict(minutes=0),
           dict(steps=-1), dict(epochs=float("nan"))]

@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_wrong_budget(tmp_path, budget):
    "No budget, two, and one of nothing."
    [said] = {"budget"} if len(budget)!=1 else {f"{name} {value}: this must be more than 0" for name,value in budget.items()}
    with pytest.raises(InputError, match=said): arguments(str(tmp_path), **budget)

def test_nothing_is_written_without_checkpoints(tok, tasks, tmp_path):
    "Training leaves no file unless `save_steps` asks for it."
    trainer(tok, "fill-mask", tmp_path, data=tasks["fill-mask"]).train()
    assert not list(tmp_path.iterdir())

def test_a_budget_in_minutes(tok, tasks, tmp_path, monkeypatch):
    "It ends where it says, with a rate of nothing, and the collator was told how much was spent; a batch takes 0.1 s here."
    rows, stack = tasks["fill-mask"]
    class Told:
        spent, now = [], 0.
        def __call__(self, batch):
            Told.now += .1
            return stack(batch)
        def spend(self, share): self.spent.append(share)
    monkeypatch.setattr("plm_nb.training.time", SimpleNamespace(monotonic=lambda: Told.now))
    t = trainer(tok, "fill-mask", tmp_path, data=(rows, Told()), steps=None, minutes=.02)
    t.minutes = .02
    t.train()
    told = t.data_collator.spent
    assert t.state.global_step>1 and t.lr_scheduler.get_last_lr()[0]<1e-5
    assert told[0]<.5 and told[-1]==1 and told==sorted(told)

def test_a_watched_layer_stays(tok):
    "Who watches the last layer by a hook sees its logits."
    model, rows = build("tiny", tok), pack(TEXTS, tok, 16)
    batch = MaskedLM(tok, seed=0)([rows[i] for i in range(4)])
    trainer = Trainer(model=model, args=arguments("unused", steps=1, bf16=False, use_cpu=True))
    plain, seen = trainer.compute_loss(model, batch), []
    hook = model.get_output_embeddings().register_forward_hook(lambda layer, args, out: seen.append(out.shape[-1]))
    assert trainer.compute_loss(model, batch).item()==pytest.approx(plain.item(), rel=1e-6) and seen==[len(tok)]
    hook.remove()
    trainer.compute_loss(model, batch)
    assert len(seen)==1

SMALL = dict(vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
OF_TEXTS = [(BertForSequenceClassification, BertConfig, True), (BertForMultipleChoice, BertConfig, True),
            (RobertaForSequenceClassification, RobertaConfig, True), (RobertaForMultipleChoice, RobertaConfig, True),
            (XLMRobertaForSequenceClassification, XLMRobertaConfig, True), (CamembertForSequenceClassification, CamembertConfig, True),
            (ElectraForSequenceClassification, ElectraConfig, False), (DistilBertForSequenceClassification, DistilBertConfig, False)]

@pytest.mark.parametrize("head, shape, spared", OF_TEXTS, ids=lambda x: getattr(x, "__name__", x))
def test_the_last_layer_computes_one_token_of_a_text(head, shape, spared):
    "Logits and gradients are those of the whole layer, whatever the head, also where nothing is spared."
    own = dict(dim=32, n_layers=2, n_heads=2, hidden_dim=64) if head is DistilBertForSequenceClassification else {}
    torch.manual_seed(0)
    model = head(shape(**SMALL|own, num_labels=3)).eval()
    ids = torch.randint(5, 120, (3, 2, 9) if "Choice" in head.__name__ else (3, 9))
    mask = torch.ones_like(ids)
    mask[1, ..., 6:] = 0
    def learned():
        logits = model(input_ids=ids, attention_mask=mask).logits
        model.zero_grad()
        logits.square().sum().backward()
        return [logits, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
    tokens = []
    if spared: model.base_model.encoder.layer[-1].output.register_forward_hook(lambda m, args, out: tokens.append(out.shape[1]))
    every = learned()
    with only_first(model): first = learned()
    assert len(every)==len(first)
    for a,b in zip(every, first): assert torch.allclose(a, b, atol=1e-5)
    if spared: assert tokens==[9, 1]

def test_the_labels_of_tokens_are_those_of_xlm_roberta_too():
    torch.manual_seed(0)
    model = XLMRobertaForMaskedLM(XLMRobertaConfig(**SMALL)).eval()
    ids = torch.randint(5, 120, (2, 9))
    labels = torch.full_like(ids, -100)
    labels[0, 3], labels[1, 7] = 9, 11
    logits, right, *_ = logits_at_labels(model, dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels))
    assert torch.allclose(logits, model(ids).logits[labels!=-100], atol=1e-5) and right.tolist()==[9, 11]

@pytest.mark.parametrize("task", ["fill-mask", "text-classification"])
def test_a_layer_that_is_computed_again_is_left_whole(tok, tasks, task, tmp_path):
    "Activation checkpointing changes no weight."
    found = []
    for again in (False, True):
        one = trainer(tok, task, tmp_path/str(again), data=tasks[task], gradient_checkpointing=again, per_device_train_batch_size=8, max_steps=2)
        one.train()
        found.append(torch.cat([p.detach().flatten() for p in one.model.parameters()]))
    assert torch.allclose(*found, atol=1e-6)

def test_a_layer_in_pieces_is_left_whole():
    "Where the feed-forward layers are cut into pieces of tokens, one token is no piece."
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**SMALL, chunk_size_feed_forward=3)).eval()
    ids = torch.randint(5, 120, (2, 9))
    found = logits_at_labels(model, dict(input_ids=ids, labels=torch.tensor([0, 1]))).logits
    assert torch.allclose(found, model(ids).logits, atol=1e-6)
