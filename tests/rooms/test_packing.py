"Special tokens by what they do, and rows that keep every token of a text, in every published family."
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from plm_nb.files import InputError
from plm_nb.packing import Roles, document_rows, pack, roles
from plm_nb.tokenizer import train_tokenizer

STORIES = [" ".join(f"Story {i} goes on with part {j} and {(i*j)%89} more." for j in range(3+i%5)) for i in range(40)]

def family(**marks):
    "A tokenizer of letters with these special tokens."
    words = [*"abcdefghij", *dict.fromkeys(marks.values())]
    tok = Tokenizer(models.WordLevel({w: i for i,w in enumerate(words)}, unk_token="a"))
    tok.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tok, split_special_tokens=True, **marks)

FAMILIES = dict( # marks, then (opens, closes, pads, masks), then start and whether one mark does both
    bert=(dict(cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]"), (10, 11, 12, 13), 10, False),
    roberta=(dict(bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", pad_token="<pad>", mask_token="<mask>"),
             (10, 11, 12, 13), 10, False),
    t5=(dict(eos_token="</s>", pad_token="<pad>"), (None, 10, 11, None), 10, True),
    gpt2=(dict(bos_token="<|e|>", eos_token="<|e|>"), (10, 10, 10, None), 10, True),
    llama=(dict(bos_token="<s>", eos_token="</s>"), (10, 11, 11, None), 10, False),
    qwen=(dict(eos_token="<|e|>", pad_token="<|p|>"), (None, 10, 11, None), 10, True),
    xlnet=(dict(bos_token="<s>", eos_token="</s>", sep_token="<sep>", cls_token="<cls>", pad_token="<pad>"),
           (13, 12, 14, None), 13, False),
    bos_only=(dict(bos_token="<s>"), (10, None, 0, None), 10, False),
    none=({}, (None, None, 0, None), None, True))

@pytest.mark.parametrize("name", FAMILIES)
def test_roles(name):
    marks, ids, start, shared = FAMILIES[name]
    found = roles(family(**marks))
    assert found==Roles(*ids) and found.start==start and found.shared==shared
    row = [i for i in (ids[0], 1, 2, ids[1]) if i is not None]
    assert found.row([1, 2])==row and found.row([])==[i for i in ids[:2] if i is not None]

@pytest.mark.parametrize("name", FAMILIES)
def test_packed_and_cut_rows_hold_every_text_once(name):
    "Between the marks stand the texts, in order; a mark that opens and closes stands once between two texts."
    marks, ids, start, shared = FAMILIES[name]
    tok = family(**marks)
    texts = ["abc", "defgh", "j"]
    if not any(marks): # nothing says where a text ends
        with pytest.raises(InputError, match="open and close"): pack(texts, tok, 4)
    elif name=="bos_only":
        with pytest.raises(InputError, match="open and close"): pack(texts, tok, 4)
    else:
        stream = sum(pack(texts, tok, 1)["input_ids"][:], [])
        after = [] if shared else [ids[1]]
        assert stream==[start, 0, 1, 2, *after, start, 3, 4, 5, 6, 7, *after, start, 9, *after]
    rows = document_rows(texts, tok, 4)["input_ids"]
    inside = [[i for i in row if i<10] for row in rows]
    assert sum(inside, [])==[0, 1, 2, 3, 4, 5, 6, 7, 9] and max(map(len, rows))<=4
    assert all(row==roles(tok).row(some) for row,some in zip(rows, inside))

def test_document_rows():
    "No text is lost, no row holds two documents, and the rows of one are as few and as equal as can be."
    tok = train_tokenizer(STORIES, "wordpiece", 200)
    rows = document_rows([*STORIES, ""], tok, 20)["input_ids"]
    ids = [tok(t, add_special_tokens=False)["input_ids"] for t in STORIES]
    assert sum((r[1:-1] for r in rows), [])==sum(ids, [])
    assert len(rows)==sum(-(-len(d)//18) for d in ids) and max(map(len, rows))<=20
    with pytest.raises(InputError, match="at least 3"): document_rows(STORIES, tok, 2)
