"`plm_nb.exports`: the folder of ONNX gives the logits of torch without PyTorch, and llama.cpp's converter is foreseen."
import importlib.util, json
import pytest
import torch
from transformers import BertForPreTraining
import plm_nb.exports as exports
import plm_nb.onnx_models as onnx_models
from families import publish
from plm_nb.decoding import generate
from plm_nb.exports import export_llama_cpp, export_onnx, llama_cpp_problems, saved_task, to_ctranslate2
from plm_nb.files import InputError
from plm_nb.models import build, load
from plm_nb.text_generation import load_writer
from plm_nb.tokenizer import load_tokenizer, train_tokenizer

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnx and onnxruntime are not installed: pip install 'plm_nb[onnx]'")
HAS_CTRANSLATE2 = importlib.util.find_spec("ctranslate2")
needs_ctranslate2 = pytest.mark.skipif(not HAS_CTRANSLATE2, reason="ctranslate2 is not installed: pip install 'plm_nb[ctranslate2]'")
TEXTS = ["the cat sat on the mat", "a dog ran over the hill", "the cat and the dog slept"]*4

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(TEXTS, "byte-bpe", 320)

def save(folder, model, tokenizer):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

KINDS = [("bert", "fill-mask", None), ("bert", "pretraining", None), ("bert", "question-answering", None), ("roberta", "text-classification", "abc"),
         ("distilbert", "token-classification", "ab"), ("modernbert", "fill-mask", None), ("gpt2", "text-generation", None),
         ("gpt2", "text-classification", "a"), ("llama", "text-generation", None), ("xlnet", "text-classification", "ab")]

@needs_onnx
@pytest.mark.parametrize("arch,task,labels", KINDS)
def test_logits_of_onnx(tmp_path, tokenizer, arch, task, labels):
    "To 1e-4 for batches and lengths, padding and pairs that no example had; and the folder needs nothing else"
    import onnxruntime
    run = save(tmp_path/"run", build("tiny", tokenizer, task, arch, labels=labels and list(labels), max_positions=80), tokenizer)
    assert saved_task(run)==task
    assert export_onnx(run, tmp_path/"out")<1e-4
    session = onnxruntime.InferenceSession(tmp_path/"out"/"model.onnx")
    names = [place.name for place in session.get_inputs()]
    model, theirs = load(run, task), load_tokenizer(tmp_path/"out")
    for rows in (TEXTS[:1], TEXTS[:5], [(TEXTS[0], TEXTS[1]), ("a", "b")], [" ".join(TEXTS)]):
        batch = theirs(rows, padding=True, truncation=True, max_length=70, return_tensors="pt")
        given = {name: batch[name] for name in names}
        with torch.no_grad(): expected = model(**given, return_dict=True)
        found = session.run(None, {name: array.numpy() for name,array in given.items()})
        for place,logits in zip(session.get_outputs(), found, strict=True):
            apart = (torch.from_numpy(logits)-expected[place.name]).abs().max()
            assert apart<1e-4, (place.name, rows)

@needs_onnx
def test_what_is_not_exported_to_onnx(tmp_path, tokenizer, monkeypatch):
    "One line, and no folder"
    for arch,task,match in (("gru", "text-generation", "not exported"), ("t5", "text2text-generation", "t5 model is not exported"),
                            ("bert", None, "no head"), ("bert", "multiple-choice", "no head")):
        run = save(tmp_path/f"{arch}-{task}", build("tiny", tokenizer, task, arch), tokenizer)
        with pytest.raises(InputError, match=match): export_onnx(run, tmp_path/"out")
        assert not (tmp_path/"out").exists()
    run = save(tmp_path/"good", build("tiny", tokenizer), tokenizer)
    with pytest.raises(InputError, match="exists already"): export_onnx(run, run)
    monkeypatch.setattr(onnx_models, "largest_difference", lambda *args: float("nan"))
    with pytest.raises(InputError, match="differ by nan"): export_onnx(run, tmp_path/"out")
    assert not (tmp_path/"out").exists()

def test_the_extra_is_named(tmp_path, tokenizer, monkeypatch):
    run = save(tmp_path/"run", build("tiny", tokenizer), tokenizer)
    monkeypatch.setattr(onnx_models, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnx; pip install 'plm_nb\[onnx\]'"): export_onnx(run, tmp_path/"out")

def test_llama_cpp(tmp_path, tokenizer):
    "A copy that its converter takes but for one line; its tokenizer opens a text and does not close it; same weights"
    for arch in ("gpt2", "llama"):
        model = build("tiny", tokenizer, "text-generation", arch)
        run = save(tmp_path/arch, model, tokenizer)
        before = {line.split(":")[0] for line in llama_cpp_problems(run)}
        assert before==({"config.json", "tokenizer.json"} if arch=="gpt2" else {"tokenizer.json"})
        left = export_llama_cpp(run, tmp_path/f"{arch}-out")
        assert len(left)==1 and "chkhsh" in left[0] and left==llama_cpp_problems(tmp_path/f"{arch}-out")
        assert load_tokenizer(tmp_path/f"{arch}-out")("the cat").input_ids==tokenizer("the cat").input_ids[:-1]
        again = load(tmp_path/f"{arch}-out", "text-generation")
        assert all(torch.equal(w, again.state_dict()[name]) for name,w in model.state_dict().items())
        config = json.loads((tmp_path/f"{arch}-out"/"config.json").read_text())
        if arch=="gpt2": assert config["n_ctx"]==config["n_positions"]
        assert load_tokenizer(run)("the cat").input_ids==tokenizer("the cat").input_ids # the run is as it was

def test_what_llama_cpp_does_not_take(tmp_path, tokenizer):
    for kind in ("bpe", "unigram", "wordpiece", "char"):
        run = save(tmp_path/kind, build("tiny", train_tokenizer(TEXTS, kind, 120), "text-generation", "llama"), train_tokenizer(TEXTS, kind, 120))
        assert any("byte-bpe" in line for line in llama_cpp_problems(run))
    run = save(tmp_path/"bert", BertForPreTraining(build("tiny", tokenizer).config), tokenizer)
    with pytest.raises(InputError, match="BertForPreTraining is not converted"): export_llama_cpp(run, tmp_path/"out")
    assert "BertForPreTraining" in llama_cpp_problems(run)[0]
    with pytest.raises(InputError, match="no such file"): llama_cpp_problems(tmp_path)
    foreign = save(tmp_path/"foreign", build("tiny", tokenizer, "text-generation", "llama"), tokenizer)
    file = foreign/"tokenizer.json"
    file.write_text(file.read_text().replace("[PAD]", "<|endoftext|>"))
    assert llama_cpp_problems(foreign)==[] # of a vocabulary that was not learned here nothing is claimed

PROMPTS = ["the cat likes", "a", "my uncle hates fresh milk and", "the dog"]

@needs_ctranslate2
@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "t5", "bart"])
def test_a_published_writer_in_ctranslate2(tmp_path, family):
    "The same text, alone and beside others, as short as one token; and the original still writes it"
    folder = publish(family, tmp_path/family)
    tokenizer = load_tokenizer(folder)
    model = load_writer(folder, tokenizer)
    before = generate(model, tokenizer, PROMPTS, 12)
    copy = to_ctranslate2(model, tokenizer)
    for size in (1, 2, 4): assert generate(copy, tokenizer, PROMPTS, 12, batch_size=size)==before
    assert generate(model, tokenizer, PROMPTS, 12)==before

@needs_ctranslate2
def test_one_token_beside_many(tokenizer):
    "Ids are prompts too: of one token each, of unlike lengths, all at once"
    model = build("tiny", tokenizer, "text-generation", "llama", seed=3)
    copy = to_ctranslate2(model, tokenizer)
    rows = [[9], [10, 11], [12], [13, 14, 15, 16, 17], [9]]
    assert generate(copy, tokenizer, rows, 9)==generate(model, tokenizer, rows, 9)

@needs_ctranslate2
def test_the_end_that_a_model_writes(tokenizer):
    "An answer stops at its end, in both"
    model = build("tiny", tokenizer, "text-generation", "gpt2", seed=1)
    rows = [[20, 21, 22], [23, 24]]
    written = model.generate(torch.tensor(rows[:1]), max_new_tokens=4, do_sample=False, pad_token_id=0)
    model.generation_config.eos_token_id = written[0, 5].item() # the third that it writes
    expected = generate(model, tokenizer, rows, 9)
    assert expected[0]["ended"]
    assert generate(to_ctranslate2(model, tokenizer), tokenizer, rows, 9)==expected

@needs_ctranslate2
def test_what_ctranslate2_does_not_do(tmp_path, tokenizer, monkeypatch):
    "One line each: other ways of decoding, other models, other numbers, another answer"
    model = build("tiny", tokenizer, "text-generation", "gpt2")
    copy = to_ctranslate2(model, tokenizer, "int8")
    for how in (dict(num_beams=2), dict(temperature=1.), dict(repetition_penalty=1.2)):
        with pytest.raises(InputError, match="give the model itself"): generate(copy, tokenizer, TEXTS[:1], **how)
    for arch in ("lstm", "xlnet"):
        with pytest.raises(InputError, match="does not convert it"):
            to_ctranslate2(build("tiny", tokenizer, "text-generation", arch), tokenizer)
    with pytest.raises(InputError, match="runs/clm.*a model that writes"): to_ctranslate2("runs/clm", tokenizer)
    with pytest.raises(InputError, match="choose float32 or int8"): to_ctranslate2(model, tokenizer, "float64")
    monkeypatch.setattr(exports, "_its_log_probs", lambda copy, rows: torch.full((len(rows), rows.shape[1]-1), float("nan")))
    with pytest.raises(InputError, match="differ by nan"): to_ctranslate2(model, tokenizer)
