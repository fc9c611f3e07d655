"`plm_nb.interpretability`: maps of every family, attributions against captum and by hand, their sum, and a planted word that is found."
import numpy as np
import pytest
import torch
import transformers as hf
from datasets import Dataset
from transformers import AutoModelForSequenceClassification
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, finetune, padded
from plm_nb.interpretability import *
from plm_nb.interpretability import _weights
from plm_nb.models import build, load
from plm_nb.text_classification import TextClassification, encode_rows
from plm_nb.tokenizer import KINDS, train_tokenizer
from families import HEADS, TOKENIZERS, publish

TEXT = "the cat likes fresh milk"

def classifier(family, labels=3, folder=None):
    "A classifier of `family` of plain transformers with random weights, and its tokenizer."
    tok = TOKENIZERS[family]()
    configuration, _, own = HEADS[family]
    sizes = dict(vocab_size=len(tok), pad_token_id=tok.pad_token_id, bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id,
                 hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, num_labels=labels)
    if family not in ("xlnet", "t5"): own = dict(max_position_embeddings=260, **own)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(configuration(**{**sizes, **own})).eval()
    for p in model.parameters():
        if p.ndim>1: p.data.mul_(4)
    return model, tok

def asked(model, tok, text=TEXT, **settings):
    rows, _ = encode_rows(Dataset.from_dict(dict(text=[text])), tok)
    names = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
    return question_of(model, tok, padded(tok, model)([rows[0]]), names, **settings)

READERS = ["bert", "roberta", "distilbert", "electra", "mpnet", "deberta_v2", "albert", "modernbert", "gpt2", "llama", "qwen2",
           "gpt_neox", "xlnet", "bart"]

@pytest.fixture(scope="module")
def bert(): return classifier("bert")

# tokens

@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_every_kind(kind):
    texts = ["The café is open, 我们 are here.", "no more"]
    tok = train_tokenizer(texts, kind, 300)
    ids = tok(texts[0])["input_ids"]
    found = shown_tokens(tok, ids)
    assert len(found)==len(ids) and found[0]=="[CLS]" and found[-1]=="[SEP]" and all(found)
    assert not any("Ġ" in t or "##" in t or "▁" in t or "�" in t for t in found)
    assert any("我" in t for t in found)

@pytest.mark.parametrize("family", TOKENIZERS)
def test_tokens_of_every_family(family):
    tok = TOKENIZERS[family]()
    ids = tok("the cat likes 我 milk.")["input_ids"]
    found = shown_tokens(tok, ids)
    assert len(found)==len(ids) and "cat" in "".join(found) and not any("Ġ" in t or "▁" in t for t in found)

# attention

@pytest.mark.parametrize("family", [f for f in READERS if f not in ("xlnet", "deberta_v2", "mpnet")])
def test_maps_are_eager_whatever_was_loaded(family, tmp_path):
    "Loaded with sdpa, or eager: the same maps, and the model is left as it was."
    publish(family, tmp_path)
    tok = hf.AutoTokenizer.from_pretrained(tmp_path)
    fast = hf.AutoModel.from_pretrained(tmp_path, attn_implementation="sdpa").train()
    tokens, maps = attention_maps(fast, tok, TEXT)
    assert fast.training and fast.config._attn_implementation=="sdpa"
    assert all(m.config._attn_implementation=="sdpa" for m in fast.modules() if isinstance(m, hf.PreTrainedModel))
    plain = hf.AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    ids = tok(TEXT, return_tensors="pt")
    with torch.no_grad(): output = plain(**ids, output_attentions=True)
    theirs = output.get("attentions") or output.get("encoder_attentions")
    assert torch.allclose(maps, torch.cat(theirs), atol=1e-5) and len(tokens)==maps.shape[-1]

@pytest.mark.parametrize("family", READERS)
def test_rows_of_maps_sum_to_one(family):
    model, tok = classifier(family)
    _, maps = attention_maps(model, tok, TEXT)
    assert torch.allclose(maps.sum(-1), torch.ones(maps.shape[:-1]), atol=1e-4)
    if family in ("gpt2", "llama", "qwen2", "gpt_neox"): assert not maps.triu(1).any()

def test_models_without_maps():
    tok = train_tokenizer([TEXT], "wordpiece", 60)
    with pytest.raises(InputError, match="no attention of each token to each"):
        attention_maps(build("tiny", tok, "text-generation", "lstm"), tok, TEXT)
    fnet = hf.FNetModel(hf.FNetConfig(vocab_size=60, hidden_size=32, num_hidden_layers=1, intermediate_size=40))
    with pytest.raises(InputError, match="no attention"): attention_maps(fnet, tok, TEXT)
    with pytest.raises(InputError, match="at least one word"): attention_maps(classifier("gpt2")[0], TOKENIZERS["gpt2"](), "")
    with pytest.raises(InputError, match="max_length"): attention_maps(*classifier("bert"), TEXT*300)

def test_rollout():
    "Equal to the sums over all ways through the layers; one layer of equal weights is half the token itself."
    g = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 2, 4, 4, generator=g).softmax(-1)
    one, two, three = (m.mean(0)/2+torch.eye(4)/2 for m in maps)
    assert torch.allclose(rollout(maps), three@two@one)
    assert torch.allclose(rollout(torch.full((1, 2, 4, 4), .25)), torch.eye(4)/2+.125)

def test_picture(bert):
    tokens, maps = attention_maps(*bert, TEXT)
    ax = plot_attention(maps[0, 0], tokens)
    assert [t.get_text() for t in ax.get_xticklabels()]==tokens==[t.get_text() for t in ax.get_yticklabels()]

# questions

@pytest.mark.parametrize("family", READERS)
def test_vectors_stand_for_tokens(family):
    "With its own vectors the model answers as with its ids, and a hidden token is as if its id were that of the mask."
    model, tok = classifier(family)
    question = asked(model, tok)
    with torch.no_grad(): logits = model(**question.inputs).logits[0]
    assert torch.allclose(question.logits(question.vectors())[0], logits, atol=1e-5)
    keep = np.ones(len(question.tokens), bool)
    keep[3] = False
    ids = question.inputs["input_ids"].clone()
    ids[0, 3] = question.hidden_id
    if question.hidden_id==tok.pad_token_id or tok.mask_token is None: return # positions and ends would move with the id
    with torch.no_grad(): logits = model(**dict(question.inputs, input_ids=ids)).logits[0]
    assert torch.allclose(question.logits(question.vectors([keep]))[0], logits, atol=1e-4)

def test_tables_that_are_scaled():
    "BART and its kin may multiply the vectors that they look up."
    model, tok = classifier("bart")
    model.config.scale_embedding = True
    scaled = hf.BartForSequenceClassification(model.config).eval()
    question = asked(scaled, tok)
    with torch.no_grad(): logits = scaled(**question.inputs).logits[0]
    assert torch.allclose(question.logits(question.vectors())[0], logits, atol=1e-5)

class Odd(torch.nn.Module):
    "Looks nothing up."
    config, device = hf.PretrainedConfig(num_labels=2), torch.device(type="cpu")
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(60, 1)
    def get_input_embeddings(self): return self.table
    def forward(self, input_ids, **kwargs): return hf.modeling_outputs.SequenceClassifierOutput(logits=torch.zeros(len(input_ids), 2))

def test_a_model_whose_vectors_cannot_be_given():
    tok = train_tokenizer([TEXT], "wordpiece", 60)
    with pytest.raises(InputError, match="not known here"): question_of(Odd(), tok, tok(TEXT, return_tensors="pt"), ["a", "b"])

def test_score_is_the_log_odds(bert):
    question = asked(*bert)
    p = bert[0](**question.inputs).logits.softmax(-1)[0].detach().numpy()
    assert p.argmax()==question.target
    assert scores(question)[0]==pytest.approx(np.log(p.max()/(1-p.max())), abs=1e-4)
    each = [scores(question.about([i]))[0] for i in range(3)]
    assert 1/(1+np.exp(-np.array(each)))==pytest.approx(p, abs=1e-5)

def test_score_of_labels_and_numbers(bert):
    logits = bert[0](**asked(*bert).inputs).logits[0].detach()
    for kind in ("labels", "number"):
        assert scores(asked(*bert, kind=kind))[0]==pytest.approx(logits.max().item(), abs=1e-5)

def test_nothing_to_ask(bert):
    with pytest.raises(InputError, match="at least one word"): asked(*bert, text="")

# attributions

@pytest.mark.parametrize("family", READERS)
def test_attributions_sum_to_the_difference(family):
    question = asked(*classifier(family))
    found = integrated_gradients(question)
    nothing = np.zeros(len(question.tokens), bool)
    difference = scores(question)[0]-scores(question, [nothing])[0]
    assert found.attributions.sum()==pytest.approx(difference, abs=1e-3) and abs(found.gap)<=1e-3
    for values in (found.attributions, gradient(question), leave_one_out(question)):
        assert len(values)==len(question.tokens) and not values[question.is_mark].any() and np.isfinite(values).all()

def test_a_gap_that_stays_is_said(bert):
    with pytest.warns(UserWarning, match="nats off"): found = integrated_gradients(asked(*bert), tolerance=0, most=64)
    assert found.steps==64 and found.gap!=0

def captums(question, score):
    "What captum gives to the tokens of `question`, whose `score` is a function of ids, by the same rule and steps."
    attr = pytest.importorskip("captum.attr")
    ids = question.inputs["input_ids"]
    nothing = torch.where(torch.tensor(question.is_mark), ids, question.hidden_id)
    method = attr.LayerIntegratedGradients(score, question.model.get_input_embeddings())
    steps = integrated_gradients(question).steps
    return method.attribute(ids, nothing, n_steps=steps, method="riemann_middle").sum(-1)[0].detach().numpy()

def log_odds(logits, i): return logits[:, i]-torch.cat([logits[:, :i], logits[:, i+1:]], 1).logsumexp(1)

@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra"])
def test_captum_of_a_class(family):
    "The same as captum's layer integrated gradients at the embedding."
    question = asked(*classifier(family))
    rest = {k: v for k,v in question.inputs.items() if k!="input_ids"}
    def score(ids):
        return log_odds(question.model(input_ids=ids, **{k: v.expand(len(ids), -1) for k,v in rest.items()}).logits, question.target)
    assert integrated_gradients(question).attributions==pytest.approx(captums(question, score), abs=1e-3)

@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_captum_of_the_next_token(family, tmp_path):
    publish(family, tmp_path)
    tok, model = hf.AutoTokenizer.from_pretrained(tmp_path), hf.AutoModelForCausalLM.from_pretrained(tmp_path)
    names = tok.convert_ids_to_tokens(range(len(tok)))
    question = question_of(model, tok, dict(input_ids=tok(TEXT, return_tensors="pt")["input_ids"]), names, kind="next")
    with torch.no_grad(): assert question.target==model(question.inputs["input_ids"]).logits[0, -1].argmax()
    def score(ids): return log_odds(model(ids).logits[:, -1], question.target)
    assert integrated_gradients(question).attributions==pytest.approx(captums(question, score), abs=1e-3)

class Sum(torch.nn.Module):
    "A bag of words: the second logit is the sum of what its tokens weigh."
    config = hf.PretrainedConfig(num_labels=2)
    device = torch.device(type="cpu")
    def __init__(self, weights):
        super().__init__()
        self.table = torch.nn.Embedding(len(weights), 1)
        self.table.weight.data = torch.tensor(weights)[:, None]
    def get_input_embeddings(self): return self.table
    def forward(self, input_ids, **kwargs):
        total = self.table(input_ids).sum((1, 2))
        return hf.modeling_outputs.SequenceClassifierOutput(logits=torch.stack([total*0, total], 1))

@pytest.fixture
def bag():
    tok = train_tokenizer(["a b c d"], "char", 20)
    weights = [0.]*len(tok)
    for letter,weight in dict(a=1., b=2., c=-.5, d=0.).items(): weights[tok.convert_tokens_to_ids(letter)] = weight
    return question_of(Sum(weights), tok, tok("abcd", return_tensors="pt"), ["no", "yes"])

def test_a_sum_is_taken_apart(bag):
    "Where the score is a sum, all ways of sharing it give its parts."
    parts = [0, 1, 2, -.5, 0, 0]
    assert bag.names[bag.target]=="yes" and scores(bag)[0]==pytest.approx(2.5)
    assert leave_one_out(bag)==pytest.approx(parts, abs=1e-6) and gradient(bag)==pytest.approx(parts, abs=1e-6)
    assert integrated_gradients(bag).attributions==pytest.approx(parts, abs=1e-6)
    assert leave_one_out(bag.about([0]))==pytest.approx([-x for x in parts], abs=1e-6)

def test_curves_by_hand(bag):
    def p(score): return 1/(1+np.exp(-score))
    deletion, insertion = curves(bag, leave_one_out(bag)) # b, a, d, c
    assert deletion==pytest.approx([p(2.5), p(.5), p(-.5), p(-.5), p(0)], abs=1e-6)
    assert insertion==pytest.approx([p(0), p(2), p(3), p(3), p(2.5)], abs=1e-6)
    said = faithfulness(bag, leave_one_out(bag))
    assert said["deletion"]==pytest.approx(np.mean([(a+b)/2 for a,b in zip(deletion, deletion[1:])]))
    assert said["deletion"]<said["random_deletion"] and said["insertion"]>said["random_insertion"]
    one_one_one_one_two = [1, 1, 1, 1, 2] # tokens of four at 1, 5, 10, 20 and 50 %
    assert said["comprehensiveness"]==pytest.approx(p(2.5)-deletion[one_one_one_one_two].mean())
    assert said["sufficiency"]==pytest.approx(p(2.5)-insertion[one_one_one_one_two].mean())
    assert faithfulness(bag, leave_one_out(bag), seed=1)!=said and faithfulness(bag, leave_one_out(bag))==said
    assert area([3, 1])==2 and area([1, 1, 1])==1

@pytest.mark.parametrize("family", READERS)
def test_attention_where_the_answer_is_read(family):
    model, tok = classifier(family)
    question = asked(model, tok)
    if family=="bart":
        with pytest.raises(InputError, match="take another method"): attention(question)
        return
    values = attention(question)
    whole = rollout(_weights(model, question.inputs)).numpy()
    at = -1 if family in ("gpt2", "llama", "qwen2", "gpt_neox", "xlnet") else 0
    assert values==pytest.approx(whole[at], abs=1e-5) and values.sum()==pytest.approx(1, abs=1e-4)
    if family=="modernbert":
        model.config.classifier_pooling = "mean"
        assert attention(asked(model, tok))==pytest.approx(whole.mean(0), abs=1e-5)

# a planted word

def note(rng):
    "A note whose label depends on its day, as in the room."
    day = "tuesday" if rng.random()<.5 else rng.choice("monday wednesday thursday friday".split())
    who, does, what, where = (rng.choice(x.split()) for x in ("anna ben carl dora emil frida", "sends reads copies signs folds",
                              "letter form list plan report note", "office station library garden"))
    text = f"{who} {does} the {what} at the {where}"
    text = f"on {day} {text}" if rng.random()<.5 else f"{text} on {day}"
    return dict(text=text, label="urgent" if day=="tuesday" else "normal")

def test_the_planted_word_is_found(pytestconfig, tmp_path):
    "By every method first of all tokens, and the deletion curve beats random ones, in 95 of 100 texts or more."
    for seed in range(5) if "slow" in pytestconfig.nb_flags else [0]:
        rng = np.random.default_rng(seed)
        notes = [note(rng) for _ in range(500)]
        tok = train_tokenizer([row["text"] for row in notes], "wordpiece", 150)
        run = finetune(dict(train=notes[:400], validation=notes[400:]), tmp_path/str(seed), TextClassification(24), None, tok,
                       FinetuningArguments(size="tiny", epochs=4, seed=seed))
        model = load(run.path, "text-classification")
        texts = [row["text"] for row in (note(rng) for _ in range(400)) if row["label"]=="urgent"][:100]
        won, first = 0, 0
        for text in texts:
            question = asked(model, tok, text)
            assert question.names[question.target]=="urgent"
            found = integrated_gradients(question)
            assert abs(found.gap)<=1e-3
            said = faithfulness(question, found.attributions, n=3)
            won += said["deletion"]<said["random_deletion"] and said["insertion"]>said["random_insertion"]
            at = question.tokens.index("tuesday")
            first += all(values.argmax()==at for values in (found.attributions, gradient(question), leave_one_out(question)))
        assert len(texts)==100 and won>=95 and first>=95
        print(f"seed {seed}: deletion and insertion beat random in {won} of 100, the word is first in {first}")
