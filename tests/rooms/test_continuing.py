"What has to be known of a model before it goes on."
import pytest
import torch
import transformers as hf
from datasets import Dataset
from families import HEADS, TOKENIZERS, publish
from torch import nn
from plm_nb.continuing import keeps_apart, made_here, pull_to_start, set_dropout, usual_objective, weights_hash, with_replay
from plm_nb.files import InputError
from plm_nb.models import load
from plm_nb.tokenizer import load_tokenizer

@pytest.mark.parametrize("family", HEADS)
def test_by_what_a_family_learns(family):
    config, head, own = HEADS[family]
    found = usual_objective(config(architectures=[head.__name__]))
    writes = dict(gpt2="clm", llama="clm", qwen2="clm", gpt_neox="clm", t5="denoise", bart="denoise", xlnet="permutation")
    assert found==writes.get(family, "mlm")

def test_what_learns_from_no_text():
    with pytest.raises(InputError, match="no head that predicts tokens"): usual_objective(hf.ViTConfig())

@pytest.mark.parametrize("family, apart", [("bert", True), ("roberta", True), ("modernbert", True), ("gpt2", True), ("llama", True),
                                           ("qwen2", True), ("deberta_v2", False)])
def test_documents_apart(tmp_path, family, apart):
    "As measured on the model: what a document gives in a packed row and alone."
    publish(family, tmp_path)
    causal = family in ("gpt2", "llama", "qwen2")
    model = load(tmp_path, "text-generation" if causal else "fill-mask")
    assert keeps_apart(model, load_tokenizer(tmp_path), causal)==apart

def test_a_model_that_mixes_documents_is_found_out():
    "A memory that runs through the whole row makes the second document depend on the first."
    class Mixes(nn.Module):
        def __init__(self):
            super().__init__()
            self.config = hf.BertConfig()
        def forward(self, input_ids, **kwargs):
            mean = input_ids.float().cumsum(1)[..., None]
            return hf.modeling_outputs.MaskedLMOutput(logits=torch.cat([mean, -mean], -1))
    from plm_nb.tokenizer import train_tokenizer
    assert not keeps_apart(Mixes(), train_tokenizer(["abcdefghijklmnop"], "char", 30), True)

@pytest.mark.parametrize("n, old, share", [(100, 7, .5), (100, 300, .1), (10, 1, .9), (3, 5, .25)])
def test_replay(n, old, share):
    "All new rows once; the others make up the share, and each comes as often as any other, give or take one."
    def rows(ids): return Dataset.from_dict(dict(input_ids=[[i] for i in ids]))
    mixed = sum(with_replay(rows(range(n)), rows(range(1000, 1000+old)), share, 3)["input_ids"][:], [])
    assert [i for i in mixed if i<1000]==list(range(n))
    assert (len(mixed)-n)/len(mixed)==pytest.approx(share, abs=1/n)
    times = [mixed.count(i) for i in range(1000, 1000+old)]
    assert max(times)-min(times)<=1
    assert mixed==sum(with_replay(rows(range(n)), rows(range(1000, 1000+old)), share, 3)["input_ids"][:], [])

def test_new_weights_are_not_pulled():
    old, new = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([dict(params=[old]), dict(params=[new], new=True)], lr=.1)
    pull_to_start(optimizer, 100.) # the whole way back
    (old.sum()+new.sum()).backward()
    optimizer.step()
    assert old.tolist()==[1, 1] and new.tolist()==pytest.approx([.9, .9])

@pytest.mark.parametrize("family", TOKENIZERS)
def test_without_dropout_a_step_repeats_itself(tmp_path, family):
    "And the configuration that is saved keeps its shares."
    publish(family, tmp_path)
    model = hf.AutoModel.from_pretrained(tmp_path).train()
    before = model.config.to_dict()
    set_dropout(model, 0.)
    ids = dict(input_ids=torch.tensor([[5, 6, 7, 8]]))
    if model.config.is_encoder_decoder: ids["decoder_input_ids"] = ids["input_ids"]
    assert torch.equal(model(**ids)[0], model(**ids)[0]) and model.config.to_dict()==before

def test_weights_hash(tmp_path):
    "The same in another process, and after saving; another bit, another hash."
    publish("bert", tmp_path)
    model = load(tmp_path, "fill-mask")
    assert weights_hash(model)==weights_hash(load(tmp_path, "fill-mask")) and not made_here(tmp_path)
    with torch.no_grad(): next(model.parameters())[0, 0] += 1
    assert weights_hash(model)!=weights_hash(load(tmp_path, "fill-mask"))
