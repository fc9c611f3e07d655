"""Folders of the published families, made by plain transformers: random weights, but the tokenizer class, special tokens and
head of the models that people download."""
import json
from functools import cache
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

WHO = ["the cat", "the dog", "my uncle", "a teacher", "the baker", "our neighbor"]
WHAT = ["bread", "a red car", "fresh milk", "two books", "warm soup", "a blue hat"]
SENTENCES = [f"{who} {does} {what}." for who in WHO for does in ("likes", "hates", "buys", "sells") for what in WHAT]

def _learned(model, trainer, before):
    tok = Tokenizer(model)
    tok.pre_tokenizer = before
    tok.train_from_iterator(SENTENCES, trainer)
    return tok

@cache
def wordpiece():
    trainer = trainers.WordPieceTrainer(vocab_size=150, show_progress=False)
    return sorted(_learned(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer()).get_vocab())

@cache
def byte_pairs():
    "Tokens by their numbers, and merges."
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tok = _learned(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))
    return _parts(tok)

@cache
def spaced_pairs():
    "The same as Llama cuts: spaces are part of the words, bytes are what it falls back to."
    tok = _learned(models.BPE(), trainers.BpeTrainer(vocab_size=100, show_progress=False), pre_tokenizers.Metaspace())
    return _parts(tok)

def _parts(tok):
    vocab = tok.get_vocab()
    return sorted(vocab, key=vocab.get), [tuple(pair) for pair in json.loads(tok.to_str())["model"]["merges"]]

@cache
def unigram():
    trainer = trainers.UnigramTrainer(vocab_size=100, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    tok = _learned(models.Unigram(), trainer, pre_tokenizers.Metaspace())
    return [tuple(piece) for piece in json.loads(tok.to_str())["model"]["vocab"] if piece[0]!="<unk>"]

def _numbered(*tokens): return {token: i for i,token in enumerate(tokens)}
def _pieces(*special): return [*((token, 0.) for token in special), *unigram()]

BERT = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
ROBERTA = "<s>", "<pad>", "</s>", "<unk>"

def _wordpiece(kind, *special, **settings): return kind(vocab=_numbered(*special, *wordpiece()), **settings)

def _bytes(kind, *special, last=(), **settings):
    tokens, merges = byte_pairs()
    return kind(vocab=_numbered(*special, *tokens, *last), merges=merges, **settings)

def _llama():
    tokens, merges = spaced_pairs()
    fallback = [f"<0x{i:02X}>" for i in range(256)]
    return hf.LlamaTokenizer(vocab=_numbered("<unk>", "<s>", "</s>", *fallback, *tokens), merges=merges, add_bos_token=True)

def _qwen2():
    "As the base model: a text ends with one token, a turn of its template with another."
    tok = _bytes(hf.Qwen2Tokenizer, last=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tok.add_special_tokens(dict(additional_special_tokens=["<|im_start|>", "<|im_end|>"]))
    tok.chat_template = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
                         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    return tok

def _t5():
    sentinels = [(f"<extra_id_{i}>", 0.) for i in range(9, -1, -1)]
    return hf.T5Tokenizer(vocab=[*_pieces("<pad>", "</s>", "<unk>"), *sentinels], extra_ids=10)

def _modern():
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), BERT))
    tok = _bytes(hf.GPT2Tokenizer, *BERT, bos_token=None, eos_token=None, **names).backend_tokenizer
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return hf.PreTrainedTokenizerFast(tokenizer_object=tok, model_input_names=["input_ids", "attention_mask"], **names)

TOKENIZERS = dict(
    bert=lambda: _wordpiece(hf.BertTokenizer, *BERT),
    distilbert=lambda: _wordpiece(hf.DistilBertTokenizer, *BERT),
    electra=lambda: _wordpiece(hf.ElectraTokenizer, *BERT),
    mpnet=lambda: _wordpiece(hf.MPNetTokenizer, *ROBERTA, "[UNK]", "<mask>"),
    roberta=lambda: _bytes(hf.RobertaTokenizer, *ROBERTA, last=["<mask>"]),
    bart=lambda: _bytes(hf.BartTokenizer, *ROBERTA, last=["<mask>"]),
    modernbert=_modern,
    gpt2=lambda: _bytes(hf.GPT2Tokenizer, last=["<|endoftext|>"]),
    gpt_neox=lambda: _bytes(hf.GPTNeoXTokenizer, "<|endoftext|>", "<|padding|>"),
    qwen2=_qwen2,
    llama=_llama,
    t5=_t5,
    albert=lambda: hf.AlbertTokenizer(vocab=_pieces("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
    deberta_v2=lambda: hf.DebertaV2Tokenizer(vocab=_pieces("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"), unk_id=3),
    xlnet=lambda: hf.XLNetTokenizer(vocab=_pieces("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"), unk_id=0),
)

def _sizes(tok):
    marks = dict(vocab_size=len(tok), pad_token_id=tok.pad_token_id, bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id)
    return dict(marks, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)

HEADS = dict( # configuration, head of the published model, settings with other names
    bert=(hf.BertConfig, hf.BertForMaskedLM, {}),
    roberta=(hf.RobertaConfig, hf.RobertaForMaskedLM, dict(type_vocab_size=1)),
    distilbert=(hf.DistilBertConfig, hf.DistilBertForMaskedLM, dict(hidden_dim=48)),
    modernbert=(hf.ModernBertConfig, hf.ModernBertForMaskedLM, dict(local_attention=16, cls_token_id=2, sep_token_id=3)),
    electra=(hf.ElectraConfig, hf.ElectraForPreTraining, dict(embedding_size=16)),
    mpnet=(hf.MPNetConfig, hf.MPNetForMaskedLM, {}),
    deberta_v2=(hf.DebertaV2Config, hf.DebertaV2ForMaskedLM, dict(
        relative_attention=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0, position_biased_input=False)),
    albert=(hf.AlbertConfig, hf.AlbertForMaskedLM, dict(embedding_size=16)),
    gpt2=(hf.GPT2Config, hf.GPT2LMHeadModel, {}),
    llama=(hf.LlamaConfig, hf.LlamaForCausalLM, dict(num_key_value_heads=1)),
    qwen2=(hf.Qwen2Config, hf.Qwen2ForCausalLM, dict(num_key_value_heads=1, pad_token_id=None)),
    gpt_neox=(hf.GPTNeoXConfig, hf.GPTNeoXForCausalLM, dict(pad_token_id=None)),
    xlnet=(hf.XLNetConfig, hf.XLNetLMHeadModel, dict(d_inner=48, d_head=16)),
    t5=(hf.T5Config, hf.T5ForConditionalGeneration, dict(d_kv=16, d_ff=48, num_layers=2, num_decoder_layers=2, decoder_start_token_id=0)),
    bart=(hf.BartConfig, hf.BartForConditionalGeneration, dict(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=48,
        decoder_ffn_dim=48, decoder_start_token_id=2, forced_eos_token_id=2)),
)

def publish(family, folder):
    "Write a model of `family` and its tokenizer to `folder`."
    tok = TOKENIZERS[family]()
    configuration, head, own = HEADS[family]
    torch.manual_seed(0)
    if family not in ("xlnet", "t5"): own = dict(max_position_embeddings=260, **own)
    model = head(configuration(**{**_sizes(tok), **own}))
    for p in model.parameters():
        if p.ndim>1: p.data.mul_(4) # so that answers differ
    if family=="bart": model.generation_config.forced_bos_token_id = 0 # as facebook/bart-base
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder
