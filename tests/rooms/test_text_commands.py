"The questions to a language model as functions: what is read from where, and figures that follow from the rows."
import io, json, math, sys
import pytest
from plm_nb import commands, text_commands
from plm_nb.files import InputError
from plm_nb.models import build
from plm_nb.perplexity import pseudo_nats, score_text
from plm_nb.rescoring import load_language_model
from plm_nb.tokenizer import train_tokenizer

TEXTS = ["the cat sat on the mat", "", "a hat"]

@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    "A left-to-right model and a masked one."
    here, tok = tmp_path_factory.mktemp("models"), train_tokenizer(TEXTS, "byte-bpe", 300)
    for name,task,arch in (("gpt2", "text-generation", "gpt2"), ("bert", "fill-mask", "bert")):
        build("tiny", tok, task, arch, max_positions=32).save_pretrained(here/name)
        tok.save_pretrained(here/name)
    return here

def test_they_are_commands():
    for name in ("score", "fill", "generate", "chat"): assert commands.COMMANDS[name] is getattr(text_commands, name)

def test_a_file_is_one_document(folders, tmp_path):
    "Byte for byte: line breaks and blanks are text, and no end is predicted."
    text = "the cat\r\n\n  sat\n"
    (tmp_path/"a.txt").write_bytes(text.encode())
    net, words = load_language_model(folders/"gpt2")
    found, want = text_commands.score(tmp_path/"a.txt", model=folders/"gpt2"), score_text(net, words, text)
    assert found=={name: want[name] for name in ("nats_per_token", "bits_per_byte", "perplexity", "tokens", "bytes")}
    assert found["bytes"]==len(text)
    net, words = load_language_model(folders/"bert")
    found, want = text_commands.score(tmp_path/"a.txt", model=folders/"bert"), pseudo_nats(net, words, text)
    assert found==dict(pseudo_nats_per_token=pytest.approx(want["pseudo_nats_per_token"]), tokens=want["tokens"], bytes=len(text))

@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_lines_and_objects(folders, tmp_path, kind):
    "One object a line, in order; an object keeps its other fields; the whole is the sum of its documents."
    (tmp_path/"a.txt").write_text("\n".join(TEXTS)+"\n")
    (tmp_path/"a.jsonl").write_text("".join(json.dumps(dict(id=i, text=t))+"\n" for i,t in enumerate(TEXTS)))
    lines, objects = (text_commands.score(tmp_path/name, model=folders/kind, jsonl=True) for name in ("a.txt", "a.jsonl"))
    assert [row["text"] for row in lines]==TEXTS and objects==[dict(id=i, **row) for i,row in enumerate(lines)]
    mean = "pseudo_nats_per_token" if kind=="bert" else "nats_per_token"
    assert lines[1][mean] is None and lines[1]["bytes"]==0
    whole = text_commands.score(tmp_path/"a.jsonl", model=folders/kind)
    assert whole["tokens"]==sum(row["tokens"] for row in lines) and whole["bytes"]==sum(map(len, TEXTS))
    if kind=="bert":
        assert whole[mean]*whole["tokens"]==pytest.approx(sum(row[mean]*row["tokens"] for row in (lines[0], lines[2])))
        assert not [name for row in (whole, *lines) for name in row if "perplexity" in name or "bits" in name]
    else:
        for row in (whole, lines[0], lines[2]): assert row["perplexity"]==pytest.approx(math.exp(row[mean]))
        net, words = load_language_model(folders/kind)
        assert whole["bits_per_byte"]==pytest.approx(score_text(net, words, TEXTS)["bits_per_byte"])

def test_one_object_is_a_document(folders, tmp_path):
    "Its end is predicted, as that of each of many."
    (tmp_path/"a.jsonl").write_text('{"text": "a hat"}')
    (tmp_path/"a.txt").write_text("a hat")
    [line] = text_commands.score(tmp_path/"a.txt", model=folders/"gpt2", jsonl=True)
    whole = text_commands.score(tmp_path/"a.jsonl", model=folders/"gpt2")
    assert line==dict(text="a hat", **whole) and whole["tokens"]==1+text_commands.score(tmp_path/"a.txt", model=folders/"gpt2")["tokens"]

def test_windows(folders, tmp_path):
    (tmp_path/"a.txt").write_text("the cat sat on the mat "*20)
    def bits(**how): return text_commands.score(tmp_path/"a.txt", model=folders/"gpt2", **how)["bits_per_byte"]
    assert bits()==bits(window=32, stride=16)!=bits(stride=32)!=bits(window=8)
    for how,why in ((dict(stride=33), "must be 1 to 32"), (dict(stride=0), "more than 0"), (dict(window=33), "at most 32")):
        with pytest.raises(InputError, match=why): bits(**how)
    def nats(**how): return text_commands.score(tmp_path/"a.txt", model=folders/"bert", **how)["pseudo_nats_per_token"]
    assert nats()!=nats(window=4)
    with pytest.raises(InputError, match="leave it out"): nats(stride=4)

@pytest.mark.parametrize("line", ["{}", '{"text": 3}', '{"text": null}', "[1]", "words", '{"txt": "a"}'])
def test_objects_without_a_text(folders, tmp_path, line):
    (tmp_path/"a.jsonl").write_text('{"text": "a"}\n'+line)
    for jsonl in (False, True):
        with pytest.raises(InputError, match="line 2") as e: text_commands.score(tmp_path/"a.jsonl", model=folders/"gpt2", jsonl=jsonl)
        assert "\n" not in str(e.value)

def test_other_encodings_and_standard_input(folders, tmp_path, monkeypatch):
    (tmp_path/"a.txt").write_bytes("the café".encode("latin-1"))
    want = text_commands.score(tmp_path/"a.txt", model=folders/"gpt2", encoding="latin-1")
    assert want["bytes"]==9
    def typed(data): monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    typed("\ufeffthe café".encode())
    assert text_commands.score("-", model=folders/"gpt2")==want
    typed(b"one\r\ntwo")
    assert [row["text"] for row in text_commands.score("-", model=folders/"gpt2", jsonl=True)]==["one", "two"]
    for data,why in ((b"", "no text"), (b"\n\n", "no text"), (b"\xff", "not utf-8")):
        typed(data)
        with pytest.raises(InputError, match=why): text_commands.score("-", model=folders/"gpt2")

def test_answers(folders):
    "Probabilities fall; a left-to-right model fills the end."
    for text,kind in (("the ___ sat", "bert"), ("the cat sat on the ___", "gpt2")):
        answers = text_commands.fill(text, model=folders/kind, k=4)["answers"]
        chances = [answer["probability"] for answer in answers]
        assert len(answers)==4 and chances==sorted(chances, reverse=True) and answers[0].keys()=={"token", "probability"}
    with pytest.raises(InputError, match="at the end"): text_commands.fill("the ___ sat", model=folders/"gpt2")
    with pytest.raises(InputError, match="one blank"): text_commands.fill("the", model=folders/"bert")

def test_a_chat_asks_a_model_of_dialogue(folders, tmp_path):
    with pytest.raises(InputError): text_commands.chat(model=tmp_path, prompt="hello")
    with pytest.raises(InputError): text_commands.generate(model=folders/"bert", prompt="hello")
