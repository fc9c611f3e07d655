"`plm_nb.vocabulary`: tokens enter the tokenizers and models of all families, and nothing that was there changes."
import copy, string
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, AutoTokenizer
from families import HEADS, SENTENCES, TOKENIZERS, publish
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.packing import roles
from plm_nb.tokenizer import KINDS, encode, train_tokenizer
from plm_nb.vocabulary import Carried, add_tokens, carry_embeddings, new_tokens, with_tokens

NEW = ["the bookstore stores storybooks", "a storybook, unbooked", "book by book, storied!"]*3
N = 6
MASKED = dict(HEADS, electra=(hf.ElectraConfig, hf.ElectraForMaskedLM, dict(embedding_size=16)))

@pytest.fixture(params=HEADS)
def family(request): return request.param

@pytest.fixture
def folder(family, tmp_path, monkeypatch):
    monkeypatch.setitem(HEADS, "electra", MASKED["electra"])
    return publish(family, tmp_path/family)

def loaded(family, folder):
    "Model and tokenizer as plain transformers reads them; no row is like another, and no bias is 0."
    model = MASKED[family][1].from_pretrained(folder).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters(): p.add_(torch.randn_like(p)*.05)
        if hasattr(model, "final_logits_bias"): model.final_logits_bias.normal_()
    return model, AutoTokenizer.from_pretrained(folder)

def logits(model, ids):
    ids = torch.tensor([ids])
    more = dict(decoder_input_ids=ids) if model.config.is_encoder_decoder else {}
    with torch.no_grad(): return model(ids, **more).logits

def tables(model):
    "The embedding, and what the output has for each id."
    out = model.get_output_embeddings()
    found = [model.get_input_embeddings().weight, out.weight]
    if out.bias is not None: found.append(out.bias[:, None])
    if hasattr(model, "final_logits_bias"): found.append(model.final_logits_bias.T)
    return [table.detach().clone() for table in found]

def is_tied(model): return model.get_output_embeddings().weight is model.get_input_embeddings().weight

def written(tok, texts): return [tok.decode(tok(text)["input_ids"]) for text in texts]

def test_tokens_enter_every_tokenizer(family, folder, tmp_path):
    tok = AutoTokenizer.from_pretrained(folder)
    before = tok.backend_tokenizer.to_str()
    vocab = tok.get_vocab()
    new = new_tokens(tok, NEW, N)
    assert new==new_tokens(tok, NEW, N) and not set(new) & set(vocab)
    larger = with_tokens(tok, new)
    assert tok.backend_tokenizer.to_str()==before and type(larger) is type(tok)
    first = max(vocab.values())+1
    assert larger.convert_tokens_to_ids(list(new))==list(range(first, first+N))
    assert larger.get_vocab().items() >= vocab.items() and len(larger)==len(tok)+N
    assert (larger.all_special_ids, roles(larger))==(tok.all_special_ids, roles(tok))
    larger.save_pretrained(tmp_path/"larger")
    plain = AutoTokenizer.from_pretrained(tmp_path/"larger")
    special = " ".join(tok.all_special_tokens)
    for text in [*SENTENCES, *NEW, "", " ", "\n", "a  b", "狗 é 🦜", special, string.printable]:
        ids, more = tok(text)["input_ids"], larger(text)["input_ids"]
        assert plain(text)["input_ids"]==more
        assert plain.decode(more)==tok.decode(ids)
        assert len(more)<=len(ids) or tok.backend_tokenizer.model.__class__.__name__=="WordPiece"
        if max(more, default=0)<first: assert more==ids
    assert sum(len(larger(text)["input_ids"]) for text in NEW) < sum(len(tok(text)["input_ids"]) for text in NEW)
    assert any(larger(text)["input_ids"]==tok(text)["input_ids"] for text in SENTENCES)

def test_rows_are_means_and_the_rest_stays(family, folder, tmp_path):
    model, tok = loaded(family, folder)
    old = tables(model)
    tied = is_tied(model)
    ids = tok(SENTENCES[0])["input_ids"]
    before = logits(model, ids)
    larger = add_tokens(model, tok, NEW, N)
    assert larger(SENTENCES[0])["input_ids"]==ids, "no new token in it"
    after = logits(model, ids)
    assert torch.allclose(after[..., :len(tok)], before, atol=1e-5)
    assert after.shape[-1]==model.config.vocab_size==len(old[0])+N==len(larger)
    assert is_tied(model)==tied
    for table,was in zip(tables(model), old, strict=True):
        assert torch.equal(table[:len(was)], was)
        for i,token in enumerate(new_tokens(tok, NEW, N), len(tok)):
            pieces = old_pieces(tok, token)
            assert torch.allclose(table[i], was[pieces].mean(0), atol=1e-6), token
    model.save_pretrained(tmp_path/"m")
    larger.save_pretrained(tmp_path/"m")
    again, plain = loaded_as_is(family, tmp_path/"m")
    row = plain(NEW[0])["input_ids"]
    assert max(row)>=len(tok)
    assert torch.allclose(logits(again, row), logits(model, row), atol=1e-5)

def loaded_as_is(family, folder):
    return MASKED[family][1].from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

def old_pieces(tok, token):
    "The ids of the pieces of `token`, as the model of the tokenizer cuts it."
    model = tok.backend_tokenizer.model
    if token.startswith("##"): # WordPiece has no way to cut what is inside of a word: longest first
        vocab, ids, rest = tok.get_vocab(), [], token[2:]
        while rest:
            end = next(end for end in range(len(rest), 0, -1) if "##"+rest[:end] in vocab)
            ids.append(vocab["##"+rest[:end]])
            rest = rest[end:]
        return ids
    return [piece.id for piece in model.tokenize(token)]

def test_rows_that_are_there_are_used():
    "A published model often embeds more tokens than its tokenizer has: it is not made larger."
    tok = train_tokenizer(SENTENCES, "byte-bpe", 300)
    model = build("tiny", tok, "text-generation", "llama")
    model.resize_token_embeddings(len(tok)+64)
    larger = add_tokens(model, tok, NEW, N)
    assert model.config.vocab_size==len(tok)+64
    [last] = larger.convert_tokens_to_ids(list(new_tokens(tok, NEW, N))[-1:])
    assert last==len(tok)+N-1
    add_tokens(model, larger, ["".join(map(chr, range(0x4e00, 0x4e40)))]*2, 70)
    assert model.config.vocab_size==len(tok)+N+70

@pytest.mark.parametrize("head", ["BertModel", "BertForPreTraining", "BertForSequenceClassification", "ElectraForPreTraining"])
def test_other_heads(head):
    tok = TOKENIZERS["bert"]()
    kind = getattr(hf, head)
    model = kind(kind.config_class(vocab_size=len(tok), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                                   intermediate_size=32)).eval()
    ids = torch.tensor([tok(SENTENCES[0])["input_ids"]])
    with torch.no_grad(): before = model(ids)[0]
    larger = add_tokens(model, tok, NEW, N)
    with torch.no_grad(): after = model(ids)[0]
    assert torch.allclose(after[..., :before.shape[-1]], before, atol=1e-5)
    assert len(model.get_input_embeddings().weight)==model.config.vocab_size==len(larger)

def test_untied_output_gets_means_of_its_own():
    tok = TOKENIZERS["llama"]()
    settings = hf.LlamaConfig(vocab_size=len(tok), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                              intermediate_size=32, tie_word_embeddings=False)
    model = hf.LlamaForCausalLM(settings)
    add_tokens(model, tok, NEW, N)
    assert not is_tied(model) and len(model.lm_head.weight)==model.lm_head.out_features==len(tok)+N
    assert not torch.allclose(model.lm_head.weight[-1], model.model.embed_tokens.weight[-1], atol=1e-3)

def test_half_precision():
    tok = TOKENIZERS["gpt2"]()
    model = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=len(tok), n_embd=32, n_layer=1, n_head=2)).to(torch.bfloat16)
    add_tokens(model, tok, NEW, N)
    assert model.dtype==torch.bfloat16 and model.transformer.wte.weight[-1].isfinite().all()

@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind!="char"])
def test_first_tokens_of_many_are_the_few(kind):
    tok = train_tokenizer(SENTENCES, kind, 300)
    many = new_tokens(tok, NEW, N)
    assert list(new_tokens(tok, NEW, 3).items())==list(many.items())[:3]
    twice = with_tokens(with_tokens(tok, new_tokens(tok, NEW, 3)), dict(list(many.items())[3:]))
    assert twice.get_vocab()==with_tokens(tok, many).get_vocab()
    assert list(encode(NEW, twice))==list(encode(NEW, with_tokens(tok, many)))

@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind!="char"])
def test_special_strings_stay_text(kind):
    "What looks like a special token in a text becomes no new token, and no special id."
    tok = train_tokenizer([*SENTENCES, string.printable], kind, 400)
    texts = ["[MASK] [SEP] [MASK][CLS]"]*5
    known = len(new_tokens(tok, texts+NEW, 1))
    larger = with_tokens(tok, new_tokens(tok, texts+NEW, 8))
    assert known and not set(larger.all_special_ids) & set(larger(texts[0], add_special_tokens=False)["input_ids"])
    assert larger.all_special_ids==tok.all_special_ids

def test_tokens_that_were_added_keep_their_ids(tmp_path):
    "Qwen's kind: tokens behind the vocabulary, some special, some not, in BPE and in unigram."
    for family in ("qwen2", "t5", "deberta_v2", "bert"):
        tok = TOKENIZERS[family]()
        tok.add_tokens(["<tool>", "covid"])
        tok.add_special_tokens({"additional_special_tokens": ["<|late|>"]}) if hasattr(tok, "additional_special_tokens") \
            else tok.add_tokens(["<|late|>"], special_tokens=True)
        late = tok.convert_tokens_to_ids(["<tool>", "covid", "<|late|>"])
        larger = with_tokens(tok, new_tokens(tok, NEW, N))
        larger.save_pretrained(tmp_path/family)
        plain = AutoTokenizer.from_pretrained(tmp_path/family)
        assert plain.convert_tokens_to_ids(["<tool>", "covid", "<|late|>"])==late
        for text in ("a <tool> of covid <|late|>", "<to", "ol>", "the covid-tokens"):
            ids, more = tok(text)["input_ids"], plain(text)["input_ids"]
            assert plain.decode(more)==tok.decode(ids)
            if max(more)<max(late)+1: assert more==ids

def test_text_is_no_added_token():
    "With special strings read as text, those behind the vocabulary of a unigram are not found in a text."
    tok = TOKENIZERS["deberta_v2"]()
    tok.add_tokens(["<|late|>"], special_tokens=True)
    larger = with_tokens(tok, new_tokens(tok, NEW, N))
    for t in (tok, larger): t.backend_tokenizer.encode_special_tokens = True
    assert larger("the <|late|> cat")["input_ids"]==tok("the <|late|> cat")["input_ids"]

def test_the_tokenizers_state_of_the_last_call_is_left():
    tok = train_tokenizer(SENTENCES, "wordpiece", 300)
    tok(SENTENCES[:2], padding="max_length", truncation=True, max_length=4)
    larger = with_tokens(tok, new_tokens(tok, NEW, N))
    assert larger.backend_tokenizer.padding is None and larger.backend_tokenizer.truncation is None
    assert larger.name_or_path==tok.name_or_path

def test_chinese_text():
    "Byte BPE joins bytes to characters and these to words; WordPiece cuts Chinese into characters anyway."
    texts = ["深度学习的模型", "机器学习的模型"]*3
    byte = train_tokenizer(SENTENCES, "byte-bpe", 300)
    larger = with_tokens(byte, new_tokens(byte, texts, 12))
    assert len(larger.tokenize(texts[0])) < len(byte.tokenize(texts[0]))
    assert larger.decode(larger(texts[0], add_special_tokens=False)["input_ids"])==texts[0]
    with pytest.raises(InputError, match="n 5: in these texts 0 pairs"):
        new_tokens(train_tokenizer(texts, "wordpiece", 300), texts, 5)

@pytest.mark.parametrize("texts,n,says", [
    (NEW, 0, "n 0: this must be whole and more than 0"), (NEW, 2.5, "n 2.5"), (NEW, True, "n True"),
    (NEW, 10_000, "an n of at most"), ([], 5, "0 pairs"), (["", " "], 5, "0 pairs"), (["abc def"], 5, "0 pairs"),
    ("one text", 5, "texts is one str"), ([None], 5, "row 1 of the texts is NoneType"), ([b"bytes"], 5, "is bytes"),
    (["half \ud83d"], 5, "half of a character")])
def test_unhappy_inputs(texts, n, says):
    tok = train_tokenizer(SENTENCES, "byte-bpe", 400)
    model = build("tiny", tok)
    before = model.state_dict()
    with pytest.raises(InputError, match=says): new_tokens(tok, texts, n)
    with pytest.raises(InputError, match=says): add_tokens(model, tok, texts, n)
    assert all(torch.equal(a, b) for a,b in zip(before.values(), model.state_dict().values(), strict=True))

def test_the_count_in_the_error_can_be_had():
    tok = train_tokenizer(SENTENCES, "byte-bpe", 400)
    with pytest.raises(InputError) as e: new_tokens(tok, NEW, 10_000)
    most = int(str(e.value).split()[-1])
    assert len(new_tokens(tok, NEW, most))==most
    with pytest.raises(InputError): new_tokens(tok, NEW, most+1)

def test_a_letter_that_is_no_piece():
    "The limit that the lesson names: WordPiece takes the longest piece, and the rest must be there too."
    vocab = {token: i for i,token in enumerate(["[UNK]", "ten", "##sor", "##sory"])}
    words = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tok = hf.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    new = new_tokens(tok, ["tensor tensor"], 1)
    assert tok.tokenize("tensory")==["ten", "##sory"] and with_tokens(tok, new).tokenize("tensory")==["[UNK]"]
    vocab["##y"] = 4
    words.model = models.WordPiece(vocab, unk_token="[UNK]")
    tok = hf.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    assert with_tokens(tok, new).tokenize("tensory")==["tensor", "##y"]

def test_one_token_for_each_word():
    "A tokenizer of characters, or of whole words, cuts nothing that could be joined."
    with pytest.raises(InputError, match="0 pairs"): new_tokens(train_tokenizer(SENTENCES, "char", 99), NEW, 1)
    words = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(InputError, match="0 pairs"):
        new_tokens(hf.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]"), ["a a", "b a"]*3, 1)

def test_a_model_that_cannot():
    tok = train_tokenizer(SENTENCES, "wordpiece", 200)
    counted = NGramForCausalLM.from_ngram(NGram.fit([[2, *ids, 3] for ids in encode(SENTENCES, tok)], len(tok), order=2), tok)
    with pytest.raises(InputError, match="that can be given other tokens"): add_tokens(counted, tok, NEW, 3)
    with pytest.raises(InputError, match="that can be given other tokens"): carry_embeddings(counted, tok, tok)
    small = build("tiny", train_tokenizer(SENTENCES, "wordpiece", 100))
    with pytest.raises(InputError, match="take the one it came with"): add_tokens(small, tok, NEW, 3)
    with pytest.raises(InputError, match="take the one it came with"): carry_embeddings(small, tok, tok)

def test_carried_to_itself_nothing_changes(family, folder):
    model, tok = loaded(family, folder)
    config = copy.deepcopy(model.config).to_dict()
    ids = tok(SENTENCES[0])["input_ids"]
    before, old, tied = logits(model, ids), tables(model), is_tied(model)
    found = carry_embeddings(model, tok, tok)
    assert found.copied>=len(set(tok.get_vocab()))-3 and found.nothing==0
    assert is_tied(model)==tied
    assert torch.allclose(logits(model, ids), before, atol=1e-5)
    now = model.config.to_dict()
    assert {k for k in config if config[k]!=now[k]} <= {"cls_token_id", "sep_token_id"}

PAIRS = [("gpt2", "modernbert"), ("roberta", "bart"), ("bart", "qwen2"), ("bert", "mpnet"), ("xlnet", "t5"), ("t5", "xlnet"),
         ("deberta_v2", "albert"), ("gpt2", "bert"), ("llama", "gpt2"), ("bert", "llama"), ("modernbert", "t5")]
@pytest.mark.parametrize("a,b", PAIRS)
def test_carried_from_family_to_family(a, b, tmp_path):
    model, old = loaded(a, publish(a, tmp_path/a))
    new = TOKENIZERS[b]()
    was = tables(model)
    found = carry_embeddings(model, old, new)
    assert isinstance(found, Carried) and sum(found)==len(new)==model.config.vocab_size
    assert found.copied>20
    rows, before, after = tables(model)[0], roles(old), roles(new)
    assert torch.equal(rows[after.closes], was[0][before.closes if after.closes!=after.opens else before.start])
    for name in ("pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id"):
        value = getattr(model.config, name, None)
        assert value is None or value in new.all_special_ids+[after.pads], name
    model.save_pretrained(tmp_path/"m")
    new.save_pretrained(tmp_path/"m")
    again, plain = loaded_as_is(a, tmp_path/"m")
    ids = plain(SENTENCES[0])["input_ids"]
    assert torch.allclose(logits(again, ids), logits(model, ids), atol=1e-5)

def test_an_encoder_and_a_decoder_with_a_vocabulary_each():
    tok = TOKENIZERS["bert"]()
    part = hf.BertConfig(vocab_size=len(tok), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    part.vocab_size += 64 # room enough, and still not to be taken
    both = hf.EncoderDecoderModel(hf.EncoderDecoderConfig.from_encoder_decoder_configs(part, part))
    with pytest.raises(InputError, match="that can be given other tokens"): add_tokens(both, tok, NEW, 3)
    with pytest.raises(InputError, match="that can be given other tokens"): carry_embeddings(both, tok, tok)

def test_recurrent_networks():
    tok = train_tokenizer(SENTENCES, "unigram", 100)
    model = build("tiny", tok, "text-generation", "lstm").eval()
    before = logits(model, [2, 7, 8, 9])
    larger = add_tokens(model, tok, NEW, N)
    assert torch.allclose(logits(model, [2, 7, 8, 9])[..., :len(tok)], before, atol=1e-5)
    assert sum(carry_embeddings(model, larger, tok))==len(tok)
    assert torch.allclose(logits(model, [2, 7, 8, 9]), before, atol=1e-5), "there and back"

def test_same_pieces_other_marks(tmp_path):
    "GPT-2's and RoBERTa's tokenizers here have the same pieces under other ids: the same text, the same logits."
    model, old = loaded("gpt2", publish("gpt2", tmp_path/"gpt2"))
    new = TOKENIZERS["roberta"]()
    a = old(SENTENCES[0])["input_ids"]
    before = logits(model, a)
    found = carry_embeddings(model, old, new)
    b = new(SENTENCES[0], add_special_tokens=False)["input_ids"]
    assert new.convert_ids_to_tokens(b)==old.convert_ids_to_tokens(a)
    ids = new.convert_tokens_to_ids(old.convert_ids_to_tokens(range(len(old)-1)))
    assert torch.allclose(logits(model, b)[..., ids], before[..., :len(old)-1], atol=1e-5)
    assert found.averaged==0 and found.nothing==1 # <mask>

def test_words_inside_and_at_the_beginning():
    "`##s` and `s` of byte BPE both go on with a word, `s` of WordPiece and `Ġs` begin one."
    wordpiece = train_tokenizer(SENTENCES, "wordpiece", 200)
    byte = train_tokenizer(SENTENCES, "byte-bpe", 400)
    model = build("tiny", wordpiece)
    was = model.get_input_embeddings().weight.detach().clone()
    carry_embeddings(model, wordpiece, byte)
    rows = model.get_input_embeddings().weight
    for new,old in {"s": "##s", "Ġcat": "cat", "at": "##at", "Ġthe": "the", ".": "."}.items():
        i, j = byte.convert_tokens_to_ids(new), wordpiece.convert_tokens_to_ids(old)
        if None in (i, j) or byte.unk_token_id==i or wordpiece.unk_token_id==j: continue
        assert torch.equal(rows[i], was[j]), new
    capital = byte.convert_tokens_to_ids("S")
    assert torch.equal(rows[capital], was[wordpiece.convert_tokens_to_ids("##s")]), "written without capitals"

def test_positions_that_begin_behind_the_padding():
    tok = TOKENIZERS["roberta"]()
    model = hf.RobertaForMaskedLM(hf.RobertaConfig(vocab_size=len(tok), hidden_size=32, num_hidden_layers=1,
                                                   num_attention_heads=2, intermediate_size=32))
    with pytest.raises(InputError, match="give one that pads with 1"): carry_embeddings(model, tok, TOKENIZERS["bert"]())
    assert model.config.vocab_size==len(tok)
    assert carry_embeddings(model, tok, TOKENIZERS["bart"]()).nothing==0

def test_ids_of_the_generation_follow():
    tok = TOKENIZERS["bart"]()
    configuration, head, own = HEADS["bart"]
    model = head(configuration(vocab_size=len(tok), **own))
    new = train_tokenizer(SENTENCES, "byte-bpe", 300)
    carry_embeddings(model, tok, new)
    for settings in (model.config, model.generation_config):
        assert settings.pad_token_id==0 and settings.eos_token_id==3
        assert settings.decoder_start_token_id==3, "BART begins with what closes a text"
    assert model.get_input_embeddings().padding_idx==0
