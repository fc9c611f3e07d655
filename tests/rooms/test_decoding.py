"Every writer answers a batch as it answers one, as plain transformers does, and says whether it ended"
import copy
import numpy as np
import pytest, torch
from transformers import (AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, BertForNextSentencePrediction,
                          EncoderDecoderModel)
from plm_nb.files import InputError
from plm_nb.decoding import check_positions, fill, follows, generate, next_tokens, pairs_right
from plm_nb.models import build, config
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.objectives import sentence_pairs
from plm_nb.packing import roles
from plm_nb.perplexity import text_nats
from plm_nb.tokenizer import KINDS, encode, load_tokenizer, train_tokenizer
from families import publish

WORDS = "one two three four five six seven eight nine ten".split()
PROMPTS = ["one two three four five six", "seven", "two nine", "ten ten ten ten", "three", "seven"]
HOW = dict(greedy={}, beams=dict(num_beams=3), penalty=dict(repetition_penalty=1.3, num_beams=2),
           sampling=dict(temperature=.8, top_p=.9), few=dict(temperature=1.5, top_k=5))

@pytest.fixture(scope='module')
def tokenizer(): return train_tokenizer([' '.join(WORDS), 'user: assistant: system:']*9, 'wordpiece', 140)

def two_halves(tokenizer):
    "An encoder-decoder made of two models of the BERT family, as `EncoderDecoderModel` has them"
    reading = build('tiny', tokenizer, 'fill-mask', seed=3).config
    writing = copy.deepcopy(reading)
    writing.is_decoder = writing.add_cross_attention = True
    ids = dict(pad_token_id=0, eos_token_id=3, decoder_start_token_id=2)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = EncoderDecoderModel(encoder=AutoModel.from_config(reading), decoder=AutoModelForCausalLM.from_config(writing))
    model.config.update(ids)
    model.generation_config.update(**ids)
    return model.eval()

@pytest.fixture(scope='module')
def writers(tokenizer):
    "One of each kind, with larger weights than a fresh model has, so that answers differ"
    found = {a: build('tiny', tokenizer, 'text-generation', a, seed=1) for a in ('gpt2', 'llama', 'lstm', 'gru', 'xlnet')}
    found |= {a: build('tiny', tokenizer, 'text2text-generation', a, seed=1) for a in ('t5', 'bart')}
    found['warm'] = two_halves(tokenizer)
    with torch.no_grad():
        for model in found.values():
            for p in model.parameters():
                if p.ndim>1: p.mul_(3)
    counted = NGram.fit([[2, *ids, 3] for ids in encode(PROMPTS, tokenizer)], len(tokenizer), 3, bos=2)
    return found | dict(ngram=NGramForCausalLM.from_ngram(counted, tokenizer))

KINDS_OF_WRITER = ['gpt2', 'llama', 'lstm', 'gru', 'xlnet', 't5', 'bart', 'warm', 'ngram']

@pytest.mark.parametrize('how', HOW)
@pytest.mark.parametrize('kind', KINDS_OF_WRITER)
def test_a_batch_answers_as_one(writers, tokenizer, kind, how):
    model = writers[kind]
    many = generate(model, tokenizer, PROMPTS, 10, **HOW[how])
    assert many==generate(model, tokenizer, PROMPTS, 10, batch_size=2, **HOW[how])
    for prompt,answer in zip(PROMPTS[:5], many): # the sixth is the second once more: if sampled, its answer may differ
        assert generate(model, tokenizer, [prompt], 10, **HOW[how])==[answer]
    backwards = generate(model, tokenizer, PROMPTS[4::-1], 10, **HOW[how])
    assert backwards==many[4::-1]

@pytest.mark.parametrize('kind', [k for k in KINDS_OF_WRITER if k!='xlnet'])
def test_equal_to_plain_generate(writers, tokenizer, kind):
    model, never = writers[kind], [0, 1, 2, 4]
    both = model.config.is_encoder_decoder
    for how in (dict(num_beams=1), dict(num_beams=4), dict(num_beams=2, repetition_penalty=1.5)):
        ours = generate(model, tokenizer, PROMPTS, 8, **how)
        for prompt,answer in zip(PROMPTS, ours):
            ids = tokenizer(prompt, return_tensors='pt')['input_ids']
            if not both: ids = ids[:, :-1]
            found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8,
                                   suppress_tokens=never, eos_token_id=3, pad_token_id=0, **how)[0, 1 if both else ids.shape[1]:]
            before = [] if both else ids[0].tolist()
            read, all_of_it = tokenizer.decode(before, skip_special_tokens=True), tokenizer.decode([*before, *found], skip_special_tokens=True)
            assert read+answer['text']==all_of_it
            assert answer['ended']==(3 in found)

def test_draws_are_fair(writers, tokenizer):
    "A thousand first words have the distribution that `generate` of transformers draws from"
    model, how = writers['gpt2'], dict(temperature=1.2, top_k=20, top_p=.9, repetition_penalty=1.2)
    said = generate(model, tokenizer, ['two nine']*1500, 1, **how, batch_size=500)
    ids = tokenizer('two nine', return_tensors='pt')['input_ids'][:, :-1]
    stock = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, max_new_tokens=1, output_scores=True,
                           return_dict_in_generate=True, suppress_tokens=[0, 1, 2, 4], pad_token_id=0, **how)
    p, texts = stock.scores[0][0].softmax(0), [s['text'] for s in said]
    for i in p.nonzero().flatten().tolist():
        word = tokenizer.decode([*ids[0], i], skip_special_tokens=True).removeprefix('two nine')
        assert abs(texts.count(word)/1500-p[i]) < 4.5*(p[i]*(1-p[i])/1500)**.5 + 1e-3
    assert len(set(texts))<=int((p>0).sum())
    assert generate(model, tokenizer, ['two nine']*5, 1, seed=1, **how)==generate(model, tokenizer, ['two nine']*5, 1, seed=1, **how)

@pytest.mark.parametrize('kind', KINDS_OF_WRITER)
def test_what_cannot_work_is_said(writers, tokenizer, kind):
    model = writers[kind]
    def fails(match, *args, **kwargs):
        with pytest.raises(InputError, match=match) as e: generate(model, tokenizer, *args, **kwargs)
        assert '\n' not in str(e.value)
    fails('prompt 1 is empty', ['one', ' '])
    fails('prompt 0 is empty', [[]])
    fails('one str', 'one')
    fails('prompt 1 is None', ['one', None])
    for bad in (dict(top_p=.5), dict(top_k=3), dict(num_beams=2, temperature=1.)): fails('|'.join(bad), ['one'], **bad)
    larger = train_tokenizer(['abcdefghijklmnopqrstuvwxyz the quick brown fox '*3 + ' '.join(WORDS)]*9, 'wordpiece', 400)
    with pytest.raises(InputError, match='take the one it came with'): generate(model, larger, ['one'])
    if kind in ('gpt2', 'llama', 'bart', 'warm'):
        fails('prompt 1: 5', ['one', 'one '*520])
        fails('600 to write', ['one'], max_new_tokens=600)
    else: assert generate(model, tokenizer, ['one '*20], 2)

NO_NUMBERS = [float('nan'), float('inf'), -float('inf'), 'one', None, [1]]
OUT_OF_RANGE = dict(max_new_tokens=[0, -1, 1.5], num_beams=[0, -2, 2.5], batch_size=[0, -1, .5], top_k=[-1, 2.5], seed=[.5],
                    temperature=[-1, -1e-9, 1e-40], top_p=[0, -.1, 1.1, 2], repetition_penalty=[0, -1])

@pytest.mark.parametrize('name', OUT_OF_RANGE)
def test_each_number_is_checked_before_anything_runs(writers, tokenizer, name):
    class Untouched: # whatever is asked of it is a fault
        def __getattr__(self, name): raise AssertionError(f'{name} was asked for')
    for value in [*OUT_OF_RANGE[name], *NO_NUMBERS]:
        with pytest.raises(InputError, match=f'^{name} ') as e: generate(Untouched(), tokenizer, ['one'], **{name: value})
        assert '\n' not in str(e.value)

def test_numbers_of_numpy(writers, tokenizer):
    how = dict(max_new_tokens=np.int64(4), temperature=np.float32(1), top_p=np.float64(.5), top_k=np.int32(9), seed=np.int64(3))
    assert generate(writers['gpt2'], tokenizer, ['one'], **how)==generate(
        writers['gpt2'], tokenizer, ['one'], 4, temperature=1., top_p=.5, top_k=9, seed=3)

@pytest.mark.parametrize('prompt, why', [
    ('one \ud83d', r"prompt 1: character 4 is '\\ud83d', which is not a whole one"), ('\udcff', 'not a whole one'), ('\n', 'is empty'), (b'one', 'is b.one'),
    (7, 'prompt 1 is 7'), (['one'], "'one' is no id"), ([2, 9999], '9999 is no id; the model has 0 to'), ([2, -1], '-1 is no id'),
    ([2, 5.], '5.0 is no id'), ({'text': 'one'}, 'give a text or a list of ids')])
def test_a_prompt_that_is_none(writers, tokenizer, prompt, why):
    for kind in ('gpt2', 'bart', 'ngram'):
        with pytest.raises(InputError, match=why) as e: generate(writers[kind], tokenizer, ['one', prompt])
        assert '\n' not in str(e.value)

@pytest.mark.parametrize('prompts', [None, 7])
def test_prompts_that_are_no_list(writers, tokenizer, prompts):
    with pytest.raises(InputError, match=f'prompts is {prompts}'): generate(writers['gpt2'], tokenizer, prompts)

def test_prompts_of_any_iterable(writers, tokenizer):
    assert generate(writers['gpt2'], tokenizer, iter(['one', 'two']), 3)==generate(writers['gpt2'], tokenizer, ['one', 'two'], 3)

# prompt and answer together are what the model wrote

def by_heart(text, tokenizer, order=5):
    "An n-gram model that knows `text` only"
    [ids] = encode([text], tokenizer)
    return NGramForCausalLM.from_ngram(NGram.fit([[2, *ids, 3]]*2, len(tokenizer), order), tokenizer)

VERSES = 'the red rose\nthe blue violet\n\n  and a dog, he said'

@pytest.mark.parametrize('kind', KINDS)
def test_the_first_space_and_line_break_survive(kind):
    tokenizer = train_tokenizer([VERSES, VERSES.replace('\n', ' \n ')]*9, kind, 300)
    model = by_heart(VERSES, tokenizer, 8)
    [whole] = encode([VERSES], tokenizer)
    written = tokenizer.decode(whole) # WordPiece writes every white space as one space
    if kind!='wordpiece': assert written==VERSES
    cuts = 0
    for n in range(1, len(whole)):
        prompt = tokenizer.decode(whole[:n])
        if list(encode([prompt], tokenizer))!=[whole[:n]]: continue # stops within a token
        cuts += 1
        said = generate(model, tokenizer, [prompt], 80)[0]
        assert said==dict(text=written[len(prompt):], ended=True)
        assert generate(model, tokenizer, [[2, *whole[:n]]], 80)==[said] # the same of ids
    assert cuts>3

def test_letters_and_words_are_told_apart():
    tokenizer = train_tokenizer(['the dog likes']*9, 'char', 40)
    model = by_heart('the dog likes', tokenizer)
    assert [a['text'] for a in generate(model, tokenizer, ['the do', 'the dog', 'the dog '], 40)]==['g likes', ' likes', 'likes']

@pytest.mark.parametrize('kind', KINDS)
def test_a_space_is_not_written_twice(kind):
    "WordPiece drops the space at the end of a prompt; then it is the prompt's."
    tokenizer = train_tokenizer(['one two three']*9, kind, 300)
    text = generate(by_heart('one two three', tokenizer, 2), tokenizer, ['one two '], 1)[0]['text']
    assert not text.startswith(' ')

def test_special_tokens_begin_a_text_of_its_own():
    "Behind `[SEP]`, as in a decoder that translates, nothing stands before the answer; an unknown word is no such border."
    tokenizer = train_tokenizer(['one two three']*9, 'bpe', 60)
    one, two = encode(['one', 'two three'], tokenizer)
    counted = NGram.fit([[2, *one, 3, *two, 3]]*2, len(tokenizer), 4)
    model = NGramForCausalLM.from_ngram(counted, tokenizer)
    assert generate(model, tokenizer, [[2, *one, 3]], 20)==[dict(text='two three', ended=True)]
    [row] = encode(['one Ω'], tokenizer)
    assert tokenizer.unk_token_id in row
    assert generate(model, tokenizer, ['one Ω'], 20)[0]['text'][:1] in (' ', '')

def test_an_encoder_decoder_writes_a_text_of_its_own(writers, tokenizer):
    assert not any(a['text'].startswith(' ') for a in generate(writers['bart'], tokenizer, PROMPTS, 6))

def test_no_prompts(writers, tokenizer): assert generate(writers['gpt2'], tokenizer, [])==[]

def test_a_prompt_given_twice_is_drawn_twice(writers, tokenizer):
    said = generate(writers['gpt2'], tokenizer, ['two nine']*9, 4, temperature=1.)
    assert len({answer['text'] for answer in said})>1
    assert said==generate(writers['gpt2'], tokenizer, [[2, *next(encode(['two nine'], tokenizer))]]*9, 4, temperature=1.)
    assert said!=generate(writers['gpt2'], tokenizer, ['two nine']*9, 4, temperature=1., seed=1)

def test_a_text_needs_an_end(writers, tokenizer):
    endless, unnamed = copy.deepcopy(writers['gpt2']), copy.deepcopy(tokenizer)
    endless.generation_config.eos_token_id = None
    assert generate(endless, tokenizer, PROMPTS, 6)==generate(writers['gpt2'], tokenizer, PROMPTS, 6) # the tokenizer's [SEP]
    unnamed.sep_token = unnamed.eos_token = None
    with pytest.raises(InputError, match='eos_token'): generate(endless, unnamed, PROMPTS)

def test_positions_of_one_row_and_of_two_halves():
    one, two, none = [config(a, 'tiny', 100, max_positions=32) for a in ('gpt2', 'bart', 'xlnet')]
    check_positions(one, 20, 12, 'x'); check_positions(two, 32, 32, 'x'); check_positions(none, 999, 999, 'x')
    for model,read,write in ((one, 20, 13), (two, 33, 1), (two, 1, 33)):
        with pytest.raises(InputError, match=f'x: {read} tokens to read and {write} to write'):
            check_positions(model, read, write, 'x')

@pytest.fixture(scope='module', params=['bert', 'roberta', 'distilbert', 'modernbert', 'mpnet', 'deberta_v2', 'albert'])
def masked(request, tmp_path_factory):
    "The model and the tokenizer of a published masked family."
    folder = publish(request.param, tmp_path_factory.mktemp('masked'))
    return AutoModelForMaskedLM.from_pretrained(folder).eval(), load_tokenizer(folder)

def ids_seen(model, ask):
    "The ids that the last forward of `model` reads while `ask` is called."
    seen = []
    def keep(module, args, kwargs): seen.append([*args, *kwargs.values()][0][0].tolist())
    handle = model.register_forward_pre_hook(keep, with_kwargs=True)
    ask()
    handle.remove()
    return seen[-1]

@pytest.mark.parametrize('text', ['the cat ___ bread.', '___ cat likes bread.', 'the cat likes ___', 'the cat likes ___, and bread'])
def test_the_blank_is_one_hidden_token(masked, text):
    "The ids are those of the sentence with a token of its own in the blank, its space included, between the marks of the family."
    model, tok = masked
    found = fill(model, tok, text, len(tok))
    assert sum(p for _,p in found)==pytest.approx(1, abs=1e-4)
    if not text.startswith('___'): assert not any(token.startswith(' ') and token!=' ' for token,_ in found)
    ids = ids_seen(model, lambda: fill(model, tok, text))
    assert ids[0]==roles(tok).opens and ids[-1]==roles(tok).closes and ids.count(tok.mask_token_id)==1
    word = 'the'
    [whole] = encode([text.replace('___', word)], tok)
    hidden = next(encode([' '+word if ' ___' in text else word], tok))
    start = ids.index(tok.mask_token_id)-1
    assert whole[:start]==ids[1:start+1] and whole[start:start+len(hidden)]==hidden and whole[start+len(hidden):]==ids[start+2:-1]

@pytest.mark.parametrize('literal', ['[MASK]', '<mask>', '[SEP]', '</s>'])
def test_text_is_data_beside_a_blank(masked, literal):
    "Special strings before the blank are text: the answer is that at the blank."
    model, tok = masked
    text = f'the {literal} likes ___'
    before, = encode([f'the {literal} likes'], tok)
    if tok.mask_token_id in before: pytest.skip('a piece of its own in the vocabulary of this family')
    ids = ids_seen(model, lambda: fill(model, tok, text))
    assert ids==[roles(tok).opens, *before, tok.mask_token_id, roles(tok).closes]
    with torch.no_grad(): p = model(torch.tensor([ids])).logits[0, -2].softmax(-1)
    assert fill(model, tok, text, 1)[0][1]==pytest.approx(p.max().item(), abs=1e-5)

@pytest.mark.parametrize('family', ['gpt2', 'gpt_neox', 'qwen2', 'llama', 'xlnet'])
def test_the_next_token_is_as_likely_as_it_is_scored(tmp_path, family):
    "For each published family: the probabilities sum to 1, and each is what `text_nats` says of the same token."
    publish(family, tmp_path)
    model, tok = AutoModelForCausalLM.from_pretrained(tmp_path).eval(), load_tokenizer(tmp_path)
    everything = next_tokens(model, tok, 'the cat likes', len(tok)+9)
    chances = [p for _,p in everything]
    assert sum(chances)==pytest.approx(1, abs=1e-4) and chances==sorted(chances, reverse=True)
    score = text_nats(model, tok, 'the cat likes bread')[0]
    known = len(next(encode(['the cat likes'], tok)))
    assert min(abs(p-score[known].neg().exp().item()) for p in chances)<1e-6
    assert len(fill(model, tok, 'the cat likes ___', 4))==4
    for text in ('the ___ likes', 'no blank', '___ and ___'):
        with pytest.raises(InputError) as e: fill(model, tok, text)
        assert '\n' not in str(e.value)

def test_the_next_word_has_its_space(tokenizer):
    "What is shown could be written behind the text as it stands."
    for kind in KINDS:
        text = 'roses bloom in the dark'
        tok = train_tokenizer([text]*9, kind, 300)
        model = by_heart(text, tok)
        said = next_tokens(model, tok, 'roses bloom in', 1)[0][0]
        assert f'roses bloom in{said}' in text or kind=='char' and said==' '
        if said!=' ': assert fill(model, tok, 'roses bloom in ___', 1)[0][0]==said.removeprefix(' ')

def test_what_cannot_be_filled(masked):
    model, tok = masked
    with pytest.raises(InputError, match='ask it with fill'): next_tokens(model, tok, 'the cat')
    with pytest.raises(InputError, match='k'): fill(model, tok, 'the ___', 0)
    with pytest.raises(InputError, match='positions'): fill(model, tok, 'the cat '*500+'___')

def test_pairs_are_answered_alike_in_any_batch(tokenizer):
    "`follows` and `pairs_right` ask the same question, with and without padding, of either class that has the head."
    pair = build('tiny', tokenizer, 'pretraining', seed=1)
    for p in pair.cls.seq_relationship.parameters(): p.data.mul_(30)
    texts = [f'{a} {b}. {b} {c} {a}.' for a,b,c in zip(WORDS, WORDS[1:], WORDS[2:])]
    rows = sentence_pairs(texts, tokenizer, 24)
    assert len({tuple(pairs_right(pair, tokenizer, rows, n)) for n in (1, 3, 32)})==1
    alone = BertForNextSentencePrediction(pair.config)
    alone.load_state_dict(pair.state_dict(), strict=False)
    for model in (pair, alone):
        p = follows(model, tokenizer, 'one two', 'three')
        coded = tokenizer('one two', 'three', return_tensors='pt')
        with torch.no_grad(): logits = model.eval()(**coded)
        want = getattr(logits, 'seq_relationship_logits', getattr(logits, 'logits', None)).softmax(-1)[0, 0].item()
        assert p==pytest.approx(want, abs=1e-5)
    with pytest.raises(InputError, match='no head for pairs'): follows(build('tiny', tokenizer, 'fill-mask'), tokenizer, 'one', 'two')
