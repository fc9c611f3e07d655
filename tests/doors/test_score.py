"`plm score` and `plm fill` as somebody types them, on folders of every kind, and on files as they come."
import json, math
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertModel, GPT2ForSequenceClassification
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.tokenizer import encode, load_tokenizer
from families import SENTENCES, publish
from typed import found, plm

CAUSAL, MASKED = ["gpt2", "llama", "qwen2", "gpt_neox", "xlnet"], ["bert", "roberta", "distilbert", "modernbert", "mpnet", "deberta_v2", "albert"]
KEYS = {True: {"nats_per_token", "bits_per_byte", "perplexity", "tokens", "bytes"}, False: {"pseudo_nats_per_token", "tokens", "bytes"}}

@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts")/"a.txt"
    path.write_text("\n".join(SENTENCES[:4])+"\n")
    return path

@pytest.mark.parametrize("family", CAUSAL+MASKED)
def test_published_families(tmp_path, text, family):
    "The keys of the contract at the top level; perplexity only where there is one; per line the same, in order."
    publish(family, tmp_path/"model")
    is_causal = family in CAUSAL
    whole = found("score", text, "--model", tmp_path/"model")
    assert whole.keys()==KEYS[is_causal] and whole["bytes"]==text.stat().st_size
    if is_causal: assert whole["perplexity"]==pytest.approx(math.exp(whole["nats_per_token"]))
    code, out, _ = plm("score", text, "--model", tmp_path/"model", "--jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code==0 and [row["text"] for row in rows]==SENTENCES[:4]
    for row in rows: assert row.keys()==KEYS[is_causal] | {"text"} and row["bytes"]==len(row["text"])

@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_equal_to_plain_transformers(tmp_path, text, family):
    "A text of one window costs what the loss of the stock model says, after the token that opens it."
    publish(family, tmp_path/"model")
    model, tok = AutoModelForCausalLM.from_pretrained(tmp_path/"model"), AutoTokenizer.from_pretrained(tmp_path/"model")
    ids = torch.tensor([[tok.bos_token_id, *tok(text.read_text(), add_special_tokens=False)["input_ids"]]])
    with torch.no_grad(): loss = model(ids, labels=ids).loss.item()
    whole = found("score", text, "--model", tmp_path/"model")
    assert whole["nats_per_token"]==pytest.approx(loss, rel=1e-4) and whole["tokens"]==ids.shape[1]-1
    assert whole["bits_per_byte"]==pytest.approx(loss*whole["tokens"]/math.log(2)/whole["bytes"], rel=1e-4)

@pytest.mark.parametrize("kind", ["ngram", "lstm", "bert", "pairs"])
def test_our_own(tmp_path, text, kind):
    publish("bert", tmp_path/"tok")
    tok = load_tokenizer(tmp_path/"tok")
    if kind=="ngram": model = NGramForCausalLM.from_ngram(NGram.fit([[2, *ids, 3] for ids in encode(SENTENCES, tok)], len(tok), 3, bos=2), tok)
    if kind=="lstm": model = build("tiny", tok, "text-generation", "lstm")
    if kind=="bert": model = build("tiny", tok, "fill-mask")
    if kind=="pairs": model = build("tiny", tok, "pretraining")
    for part in (model, tok): part.save_pretrained(tmp_path/"model")
    assert found("score", text, "--model", tmp_path/"model").keys()==KEYS[kind in ("ngram", "lstm")]
    if kind=="ngram": assert found("score", text, "--model", tmp_path/"model")["perplexity"]<12 # the vocabulary has ten times as many
    answers = found("fill", "the cat likes ___", "--model", tmp_path/"model", "--k", 3)["answers"]
    assert len(answers)==3 and all(answer.keys()=={"token", "probability"} for answer in answers)

def test_standard_input_and_people(tmp_path, text):
    publish("llama", tmp_path/"model")
    score = "score", "-", "--model", tmp_path/"model"
    assert found(*score, stdin=text.read_bytes())==found("score", text, "--model", tmp_path/"model")
    code, out, _ = plm(*score, stdin=text.read_bytes())
    assert code==0 and out.startswith("nats_per_token")
    code, out, _ = plm("fill", "the cat likes ___", "--model", tmp_path/"model")
    assert code==0 and out.startswith("token") and len(out.splitlines())==6

def bodies(tmp_path):
    "Folders that hold no head for tokens."
    for family in ("t5", "bart", "electra"): yield publish(family, tmp_path/family)
    publish("bert", tmp_path/"bert")
    BertModel.from_pretrained(tmp_path/"bert").save_pretrained(tmp_path/"bert")
    yield tmp_path/"bert"
    publish("gpt2", tmp_path/"gpt2")
    GPT2ForSequenceClassification.from_pretrained(tmp_path/"gpt2").save_pretrained(tmp_path/"gpt2")
    yield tmp_path/"gpt2"

def test_what_has_no_likelihood(tmp_path, text):
    "One line that says what would be right, exit code 2, nothing on standard output."
    for folder in (*bodies(tmp_path), tmp_path/"none"):
        for command in (("score", text), ("fill", "the ___")):
            code, out, err = plm(*command, "--model", folder)
            assert (code, out, err.count("\n"))==(2, "", 1) and "give" in err, err

@pytest.mark.parametrize("name,content,why", [
    ("a.txt", b"", "no text"), ("a.txt", b" \n", "no text"), ("a.txt", b"caf\xe9", "not utf-8"), ("a.jsonl", b"{}\n", "line 1 has no text"),
    ("a.jsonl", b"words\n", "no JSON object"), ("none.txt", None, "no such file")])
def test_wrong_files(tmp_path, name, content, why):
    publish("gpt2", tmp_path/"model")
    if content is not None: (tmp_path/name).write_bytes(content)
    code, out, err = plm("score", tmp_path/name, "--model", tmp_path/"model")
    assert (code, out, err.count("\n"))==(2, "", 1) and why in err, err
