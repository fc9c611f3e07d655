"Both engines get copies of the same model and the same batch, and its loss is known."
from copy import deepcopy
import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig
from plm_nb.files import InputError
from plm_nb.engines import ENGINES, PLANTED_TOKEN, Subject, embedded_ids, kind_of, learns, with_dropout
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.tokenizer import train_tokenizer

TEXTS = [" ".join(f"word{(i*j)%97}" for j in range(1, 30+i%50)) for i in range(100)]
KINDS = {"mlm": ("bert", "fill-mask"), "mlm+nsp": ("bert", "pretraining"), "clm": ("gpt2", "text-generation"),
         "permutation": ("xlnet", "text-generation"), "denoise": ("t5", "text2text-generation"),
         "text-classification": ("bert", "text-classification")}

@pytest.fixture(scope="module")
def tok(): return train_tokenizer(TEXTS, "wordpiece", 300)

def new(kind, tok):
    arch, task = KINDS[kind]
    return build("tiny", tok, task, arch, labels=["a", "b", "c"] if kind=="text-classification" else None)

def tags(tok):
    return transformers.BertForTokenClassification(BertConfig(
        vocab_size=len(tok), hidden_size=64, num_hidden_layers=1, num_attention_heads=2, num_labels=5))

@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_sorted_by_its_objective(tok, kind): assert kind_of(new(kind, tok))==kind

def test_tags(tok): assert kind_of(tags(tok))=="token-classification"

def test_refusals(tok):
    with pytest.raises(InputError, match="BertModel"): kind_of(build("tiny", tok, None))
    with pytest.raises(InputError, match="engine 'fast'"): Subject(new("mlm", tok), tok, "fast")
    one = transformers.BertForSequenceClassification(BertConfig(vocab_size=len(tok), num_labels=1, hidden_size=32,
                                                                num_hidden_layers=1, num_attention_heads=2))
    with pytest.raises(InputError, match="one class of several"): Subject(one, tok)

@pytest.mark.parametrize("kind", [k for k in KINDS if k!="text-classification"])
def test_rows_differ_in_their_labels(tok, kind):
    "Row `i` has `2+i` labels, whatever the head; only a right-to-left shift may take the first."
    batch = Subject(new(kind, tok), tok).batch()
    assert (batch["labels"]!=-100).sum(1).tolist()==[*range(2, 10)]
    assert all(len(x)==8 for x in batch.values())

def test_each_row_has_a_class(tok):
    assert Subject(new("text-classification", tok), tok).batch()["labels"].tolist()==[0, 1, 2, 0, 1, 2, 0, 1]

@pytest.mark.parametrize("kind", ["mlm", "denoise", "text-classification"])
def test_the_loss_by_hand_is_that_of_the_model(tok, kind):
    "Where transformers divides a whole batch by its labels, the model's own loss agrees."
    subject = Subject(new(kind, tok), tok, "stock")
    with torch.no_grad(): assert subject.loss(subject.model).item()==pytest.approx(subject.model(**subject.batch()).loss.item())

def test_pairs_add_a_loss(tok):
    subject = Subject(new("mlm+nsp", tok), tok)
    with torch.no_grad(): both, words = (subject.loss(subject.model, pairs).item() for pairs in (True, False))
    assert .1<both-words<3

@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_given_stays(tok, engine):
    "Model and tokenizer are copied, and the trainer copies once more."
    model = new("clm", tok).train()
    before, words = deepcopy(model.state_dict()), tok.get_vocab()
    subject = Subject(model, tok, engine)
    trainer = subject.trainer(learning_rate=1.)
    trainer.train()
    assert model.training and tok.get_vocab()==words
    assert all(torch.equal(x, before[name]) for name,x in model.state_dict().items())
    assert all(torch.equal(x, before[name]) for name,x in subject.model.state_dict().items())
    assert any(not torch.equal(x.cpu(), before[name]) for name,x in trainer.model.state_dict().items())
    assert trainer.args.hub_token==PLANTED_TOKEN and isinstance(trainer, transformers.Trainer)

def test_marks_are_added_to_a_copy(tok):
    "A tokenizer whose only special token ends a text is enough for a decoder; who hides tokens gets a mask, and the model embeds it."
    end = "<|endoftext|>"
    bare = transformers.PreTrainedTokenizerFast(
        tokenizer_object=deepcopy(tok.backend_tokenizer), bos_token=end, eos_token=end, unk_token="[UNK]")
    model, masked = build("tiny", tok, "text-generation", "gpt2"), build("tiny", tok, "fill-mask")
    for each in (model, masked): each.resize_token_embeddings(len(bare))
    ours, stock, hides = Subject(model, bare), Subject(model, bare, "stock"), Subject(masked, bare)
    assert stock.tokenizer.pad_token==end and bare.pad_token is None
    assert ours.tokenizer.get_vocab()==bare.get_vocab() and ours.document(3)[::4]==[ours.roles.closes]*2
    assert hides.tokenizer.mask_token=="[MASK]" and embedded_ids(hides.model)>=len(hides.tokenizer)

@pytest.mark.parametrize("arch", ["bert", "gpt2", "xlnet", "t5", "llama"])
def test_dropout_is_set_in_a_copy(tok, arch):
    "Without dropout a model answers in training as in evaluation."
    task = dict(bert="fill-mask", t5="text2text-generation").get(arch, "text-generation")
    model = build("tiny", tok, task, arch, dropout=.1)
    subject = Subject(model, tok, "stock")
    with torch.no_grad(): still, moving = (subject.loss(with_dropout(model).train()) for _ in range(2))
    assert still==moving
    layers = [m for m in with_dropout(model, .3).modules() if isinstance(m, nn.Dropout)]
    assert all(layer.p==.3 for layer in layers) and all(m.p in (0., .1) for m in model.modules() if isinstance(m, nn.Dropout))

def test_what_counts_does_not_learn(tok):
    ids = [[tok.cls_token_id, 7, 8, 9, tok.sep_token_id]]*3
    model = NGramForCausalLM.from_ngram(NGram.fit(ids, len(tok), 2, bos=tok.cls_token_id), tok)
    assert not learns(model) and learns(new("mlm", tok)) and kind_of(model)=="clm"

def test_words_are_drawn_by_their_seed(tok):
    "None of them is special, and the same seed draws the same."
    subject = Subject(new("mlm", tok), tok)
    ids = subject.ids(1000, 3)
    assert not {*ids.tolist()} & {*tok.all_special_ids}
    assert torch.equal(ids, subject.ids(1000, 3)) and not torch.equal(ids, subject.ids(1000, 4))

def test_collators_of_ours_pad_behind(tok):
    "Whatever the tokenizer says, and whatever the head answers."
    left = deepcopy(tok)
    left.padding_side = "left"
    rows = [dict(input_ids=[5, 6, 7], labels=0), dict(input_ids=[5], labels=1)]
    found = Subject(new("text-classification", left), left).collator()(rows)
    assert found["input_ids"][1].tolist()==[5, left.pad_token_id, left.pad_token_id]
    found = Subject(new("text-classification", left), left, "stock").collator()(rows)
    assert found["input_ids"][1].tolist()==[left.pad_token_id, left.pad_token_id, 5]
