"Pairs and dialogues become rows, writers learn from them, and their folders open in plain transformers"
import itertools, random
import numpy as np
import pytest, torch
from datasets import Dataset, DatasetDict
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from plm_nb.files import InputError
from plm_nb.decoding import generate
from plm_nb.finetuning import FinetuningArguments, fit, padded
from plm_nb.dialogue import Dialogue
from plm_nb.text_generation import (Summarization, Translation, baselines, encode_pairs, new_writer, warm_start)
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.tokenizer import KINDS, encode, load_tokenizer, train_tokenizer
from plm_nb.training import logits_at_labels
from plm_nb.models import build

WORDS = "one two three four five six seven eight nine ten".split()
PROMPTS = ["one two three four five six", "seven", "two nine", "ten ten ten ten", "three", "seven"]

@pytest.fixture(scope='module')
def tokenizer(): return train_tokenizer([' '.join(WORDS), 'user: assistant: system:']*9, 'wordpiece', 140)

@pytest.fixture(scope='module')
def writers(tokenizer, tmp_path_factory):
    "One of each kind, with larger weights than a fresh model has, so that answers differ"
    found = {a: build('tiny', tokenizer, 'text-generation', a, seed=1) for a in ('gpt2', 'llama', 'lstm', 'gru', 'xlnet')}
    found |= {a: build('tiny', tokenizer, 'text2text-generation', a, seed=1) for a in ('t5', 'bart')}
    body = tmp_path_factory.mktemp('body')
    build('tiny', tokenizer, 'fill-mask', seed=3).save_pretrained(body)
    tokenizer.save_pretrained(body)
    found['warm'] = warm_start(body, tokenizer, seed=1)
    with torch.no_grad():
        for model in found.values():
            for p in model.parameters():
                if p.ndim>1: p.mul_(3)
    counted = NGram.fit([[2, *ids, 3] for ids in encode(PROMPTS, tokenizer)], len(tokenizer), 3, bos=2)
    return found | dict(ngram=NGramForCausalLM.from_ngram(counted, tokenizer))

# Pairs

def pairs(texts, targets): return Dataset.from_dict(dict(text=texts, target=[[t] for t in targets]))

def test_pairs(tokenizer):
    rows = pairs(['one two', 'three '*9, 'five [SEP] six'], ['two one', 'nine', 'six '*9])
    found, cut = encode_pairs(rows, tokenizer, 6, 5)
    assert cut=={'sources cut': 2, 'targets cut': 1}
    assert all(len(i)<=6 and i[0]==2 and i[-1]==3 and i.count(3)==1 for i in found['input_ids'])
    assert all(len(l)<=5 and l[-1]==3 and -100 not in l for l in found['labels'])
    causal, again = encode_pairs(rows, tokenizer, 6, 5, causal=True)
    assert again==cut
    for c,f in zip(causal, found):
        assert c['input_ids']==f['input_ids']+f['labels'] and len(c['labels'])==len(c['input_ids'])
        assert [l for l in c['labels'] if l!=-100]==f['labels']
    for text,target in (('', 'one'), ('one', ' ')):
        with pytest.raises(InputError, match='row 2'): encode_pairs(pairs(['one', text], ['two', target]), tokenizer)
    with pytest.raises(InputError, match='row 1'):
        encode_pairs(Dataset.from_dict(dict(text=['one'], target=[['x']])).map(lambda r: dict(target=[])), tokenizer)

@pytest.mark.parametrize('kind', ['t5', 'bart', 'warm', 'gpt2', 'lstm'])
def test_the_engine_computes_the_loss(writers, tokenizer, kind):
    "Nats over asked tokens, equal to those of the logits of the library's own forward"
    model = writers[kind]
    both = model.config.is_encoder_decoder
    rows, _ = encode_pairs(pairs(PROMPTS, PROMPTS[::-1]), tokenizer, causal=not both)
    batch = padded(tokenizer)([rows[i] for i in range(len(rows))])
    logits, labels, row, _ = logits_at_labels(model, batch)
    labels_ = batch['labels']
    if both: start = {'decoder_input_ids': model.prepare_decoder_input_ids_from_labels(labels=labels_)}
    else: start, labels_ = {}, F.pad(labels_[:, 1:], (0, 1), value=-100)
    full = model(input_ids=batch['input_ids'], attention_mask=batch['attention_mask'], **start).logits
    want = F.cross_entropy(full.flatten(0, 1), labels_.flatten())
    torch.testing.assert_close(F.cross_entropy(logits, labels), want, atol=1e-4, rtol=1e-5)
    if kind!='lstm' and both:
        with pytest.warns() if kind=='warm' else torch.no_grad(): own = model(**batch).loss
        torch.testing.assert_close(own, want, atol=1e-4, rtol=1e-5)

# Warm start

@pytest.mark.parametrize('arch', ['bert', 'roberta'])
def test_warm_start(tokenizer, tmp_path, arch):
    body = build('tiny', tokenizer, 'fill-mask', arch, seed=3)
    body.save_pretrained(tmp_path/'body')
    before = torch.get_rng_state()
    model, again, other = (warm_start(tmp_path/'body', tokenizer, seed=s) for s in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    old, new = body.state_dict(), model.state_dict()
    copied = [k for k in new if 'crossattention' not in k and 'pooler' not in k]
    for k in copied: assert torch.equal(new[k], old[k.removeprefix('decoder.')] if k.startswith('decoder.') else
                                        body.base_model.state_dict()[k.removeprefix('encoder.')]), k
    assert all(torch.equal(v, w) for v,w in zip(new.values(), again.state_dict().values()))
    assert any(not torch.equal(v, w) for v,w in zip(new.values(), other.state_dict().values()))
    assert model.decoder.get_output_embeddings().weight is model.decoder.get_input_embeddings().weight
    model.save_pretrained(tmp_path/'warm'); tokenizer.save_pretrained(tmp_path/'warm')
    for opened in (AutoModelForSeq2SeqLM.from_pretrained(tmp_path/'warm').eval(), new_writer(tmp_path/'warm', tokenizer)):
        assert generate(opened, tokenizer, PROMPTS, 6)==generate(model, tokenizer, PROMPTS, 6)

def test_warm_start_refuses(tokenizer, tmp_path):
    build('tiny', tokenizer, 'fill-mask', 'distilbert').save_pretrained(tmp_path/'d')
    with pytest.raises(InputError, match='distilbert'): warm_start(tmp_path/'d', tokenizer)
    with pytest.raises(InputError): new_writer(tmp_path/'nothing', tokenizer)
    with pytest.raises(InputError, match='does not write; choose from'): new_writer(None, tokenizer, arch='bert')

# Jobs

@pytest.fixture(scope='module')
def toy():
    ways = [w for n in (1, 2) for w in itertools.product(range(4), repeat=n)]
    return pairs([' '.join(WORDS[i] for i in w) for w in ways], [' '.join(WORDS[i+4] for i in w) for w in ways])

@pytest.mark.parametrize('arch', ['bart', 'llama', 'warm', 'lstm'])
def test_learned_saved_and_opened_by_plain_transformers(toy, tokenizer, tmp_path, arch):
    job, start = Translation(max_target=6, arch=arch if arch!='warm' else 'bart'), None
    if arch=='warm': start = tmp_path/'body'; build('tiny', tokenizer, 'fill-mask').save_pretrained(start)
    net = job.new_model(start, tokenizer, dict(train=toy), 'tiny')
    rows, _ = job.encode(toy, tokenizer)
    fit(net, rows, tokenizer, FinetuningArguments(epochs=40, learning_rate=2e-3, head_learning_rate=2e-3, batch_size=10), bf16=False)
    lines = job.lines(net, tokenizer, toy)
    assert sum(l['prediction'] in l['label'] and l['ended'] for l in lines) >= 16
    net.save_pretrained(tmp_path/'run'); tokenizer.save_pretrained(tmp_path/'run')
    assert job.lines(job.load_model(tmp_path/'run'), load_tokenizer(tmp_path/'run'), toy)==lines
    plain = (AutoModelForCausalLM if job.causal else AutoModelForSeq2SeqLM).from_pretrained(tmp_path/'run').eval()
    theirs = AutoTokenizer.from_pretrained(tmp_path/'run')
    for row,line in zip(toy, lines):
        ids = theirs(row['text'], return_tensors='pt')['input_ids']
        said = plain.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6)[0]
        said = said[ids.shape[1] if job.causal else 1:]
        assert theirs.decode(said, skip_special_tokens=True)==line['prediction']

def test_a_new_decoder_begins_with_its_pairs(toy, tokenizer):
    "Its words stand nearest to what they are translated by; other families, and the special tokens, begin as they are built"
    def embedding(arch): return Translation(arch=arch).new_model(None, tokenizer, dict(train=toy), 'tiny').get_input_embeddings().weight
    def untouched(arch): return new_writer(None, tokenizer, 'tiny', arch).get_input_embeddings().weight
    special = tokenizer.all_special_ids
    for arch in ('llama', 'gpt2'):
        counted = embedding(arch).detach()
        assert torch.equal(counted, embedding(arch)) and torch.equal(counted[special], untouched(arch)[special])
        unit = F.normalize(counted)
        said, meant = (unit[tokenizer.convert_tokens_to_ids(some)] for some in (WORDS[:4], WORDS[4:8]))
        assert (said @ meant.T).argmax(1).tolist()==[0, 1, 2, 3]
    assert torch.equal(embedding('bart'), untouched('bart'))

def test_a_job_knows_its_limits(toy, tokenizer):
    with pytest.raises(InputError, match='max_length, max_target'):
        Summarization(max_length=500, max_target=64, arch='gpt2').new_model(None, tokenizer, None, 'tiny')
    Summarization(max_length=448, max_target=64, arch='gpt2').new_model(None, tokenizer, dict(train=toy), 'tiny')
    model = Summarization(max_length=500, max_target=64).new_model(None, tokenizer, None, 'tiny')
    with pytest.raises(InputError, match='max_length'): Dialogue(max_length=513).new_model(None, tokenizer, None, 'tiny')
    with pytest.raises(InputError, match='dialogue needs a decoder'): Dialogue(arch='bart').new_model(None, tokenizer, None, 'tiny')
    with pytest.raises(InputError, match='text 2 is empty'): Translation().predict(model, tokenizer, ['a', ''])

def test_rivals():
    train = pairs(['red apple', 'green pear', '红苹果'], ['A', 'B', 'C'])
    rows = pairs(['A green pear! It is ripe.', '一个红苹果。很甜。'], ['it is ripe', '很甜'])
    found = baselines(train, rows)
    assert found['copy']==rows['text'][:] and found['nearest']==['B', 'C']
    assert found['lead']==['A green pear!', '一个红苹果。'] and found['oracle']==['It is ripe.', '很甜。']
