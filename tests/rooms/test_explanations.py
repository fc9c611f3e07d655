"`plm_nb.explanations`: classifiers, taggers and language models of every family in a folder, what they are asked, and colors."
import json, math, os
from pathlib import Path
import numpy as np
import pytest
import torch
import transformers as hf
from plm_nb import pipelines
from plm_nb.decoding import fill, next_tokens
from plm_nb.explanations import *
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, finetune
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.rescoring import load_language_model
from plm_nb.text_classification import TextClassification
from plm_nb.token_classification import TokenClassification
from plm_nb.tokenizer import encode, train_tokenizer
from families import HEADS, TOKENIZERS, WHO, publish

TEXT = "the cat likes fresh milk."
FAST = FinetuningArguments(size="tiny", epochs=1)

def headed(family, folder, auto_class=hf.AutoModelForSequenceClassification, **settings):
    "A folder with a model of `family` as plain transformers makes it, with a head of `auto_class`, and its tokenizer."
    tok = TOKENIZERS[family]()
    configuration, _, own = HEADS[family]
    sizes = dict(vocab_size=len(tok), pad_token_id=tok.pad_token_id, bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id,
                 hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, num_labels=3)
    if family not in ("xlnet", "t5"): own = dict(max_position_embeddings=260, **own)
    torch.manual_seed(0)
    model = auto_class.from_config(configuration(**{**sizes, **own, **settings}))
    for p in model.parameters():
        if p.ndim>1: p.data.mul_(4)
    for part in (model, tok): part.save_pretrained(folder)
    return folder

def check(said, n=None):
    "Is `said` whole, and can it be written as JSON?"
    assert len(said["tokens"])==len(said["attributions"]) and np.isfinite(said["attributions"]).all()
    assert json.loads(json.dumps(said, allow_nan=False))==said
    if said["method"]=="integrated-gradients": assert abs(said["completeness_gap"])<=1e-3 and said["steps"]>=32
    if said["method"]=="attention": assert sum(said["attributions"])==pytest.approx(1, abs=1e-4)
    return said

CLASSIFIERS = ["bert", "roberta", "distilbert", "electra", "mpnet", "deberta_v2", "albert", "modernbert", "gpt2", "llama", "qwen2",
               "xlnet", "bart"]

@pytest.mark.parametrize("family", CLASSIFIERS)
def test_classifiers_of_every_family(family, tmp_path):
    "The class and its probability are those of `predict`; each method gives a number to each token."
    headed(family, tmp_path)
    [answer] = pipelines.predict(tmp_path, [TEXT])
    for method in METHODS:
        if family=="bart" and method=="attention":
            with pytest.raises(InputError, match="another method"): explain(tmp_path, TEXT, method)
            continue
        said = check(explain(tmp_path, TEXT, method))
        assert said["prediction"]==answer["label"] and said["probability"]==pytest.approx(answer["probability"], abs=1e-5)
    other = check(explain(tmp_path, TEXT, target="LABEL_1"))
    assert other["target"]=="LABEL_1" and other["prediction"]==answer["label"] and other["probability"]==pytest.approx(answer["probabilities"]["LABEL_1"], abs=1e-5)

@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_labels_and_numbers(kind, tmp_path):
    headed("bert", tmp_path, problem_type=kind, num_labels=1 if kind=="regression" else 3)
    [answer] = pipelines.predict(tmp_path, [TEXT])
    for method in METHODS:
        said = check(explain(tmp_path, TEXT, method))
        if kind=="regression": assert said["prediction"]==said["score"]==pytest.approx(answer["score"], abs=1e-5) and "probability" not in said
        else: assert said["probability"]==pytest.approx(max(answer["probabilities"].values()), abs=1e-5)

MASKED = ["bert", "roberta", "distilbert", "modernbert", "mpnet", "deberta_v2", "albert"]
CAUSAL = ["gpt2", "llama", "qwen2", "gpt_neox"]

@pytest.mark.parametrize("family", MASKED)
def test_masked_models(family, tmp_path):
    "The token and its probability are those of `fill`; the hidden one gets nothing."
    publish(family, tmp_path)
    text = "the cat ___ fresh milk."
    assert explain(tmp_path, text, "gradient")==explain(tmp_path, text.replace("___", "_____"), "gradient")
    [(token, p)] = fill(*load_language_model(tmp_path), text, k=1)
    for method in METHODS:
        said = check(explain(tmp_path, text, method))
        assert said["probability"]==pytest.approx(p, abs=1e-5) and said["prediction"]==token.strip()
        if method!="attention": assert said["attributions"][said["tokens"].index(said["about"])]==0
    with pytest.raises(InputError, match="write one ___"): explain(tmp_path, TEXT)

@pytest.mark.parametrize("family", [*CAUSAL, "xlnet"])
def test_left_to_right_models(family, tmp_path):
    publish(family, tmp_path)
    [(token, p)] = next_tokens(*load_language_model(tmp_path), "the cat likes", k=1)
    for method in METHODS:
        if family=="xlnet" and method=="attention":
            with pytest.raises(InputError, match="another method"): explain(tmp_path, "the cat likes", method)
            continue
        said = check(explain(tmp_path, "the cat likes", method))
        assert said["probability"]==pytest.approx(p, abs=1e-5)
        assert said["attributions"]==explain(tmp_path, "the cat likes ___", method)["attributions"]
    with pytest.raises(InputError, match="at the end"): explain(tmp_path, "the ___ likes")

def test_a_given_token(tmp_path):
    publish("bert", tmp_path)
    said = check(explain(tmp_path, "the cat ___ milk.", target="milk"))
    assert said["target"]=="milk" and 0<said["probability"]<1
    with pytest.raises(InputError, match="'zebra': not among the answers.*give one of its tokens"): explain(tmp_path, "a ___", target="zebra")

def test_a_published_llama():
    path = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")/"stories260K"/"hf"
    if not path.exists(): pytest.skip("no stories260K here; PLM_DATA may name the folder that holds it")
    for method in METHODS: check(explain(path, "Once upon a time there was a little", method))

# ours

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer([TEXT, *WHO, "[MASK] a <b>bold</b> word", "猫喜欢牛奶"], "wordpiece", 200)

@pytest.fixture(scope="module")
def tagger(tokenizer, tmp_path_factory):
    rows = [dict(words=f"{who} likes milk .".split(), tags=["O", "B-WHO", "O", "O", "O"]) for who in WHO for _ in range(4)]
    data = dict(train=rows, validation=rows[:4])
    return finetune(data, tmp_path_factory.mktemp("tagger")/"run", TokenClassification(16), None, tokenizer, FAST).path

def test_tagger(tagger):
    "The tag is that of `predict`, of the word that is meant."
    words = "the cat likes milk .".split()
    [answer] = pipelines.predict(tagger, [dict(words=words)])
    for word,tag in zip(words, answer["tags"]):
        said = check(explain(tagger, " ".join(words), target=word))
        assert said["prediction"]==tag and said["about"]==word
    assert check(explain(tagger, "the cat likes milk .", "attention"))["about"] in words
    with pytest.raises(InputError, match="no word of the text; choose from the, cat"): explain(tagger, "the cat", target="dog")
    with pytest.raises(InputError, match="no word"): explain(tagger, "   ")

def test_a_word_behind_the_first_window(tagger):
    "A text of several windows: the one that holds the word is explained."
    said = explain(tagger, "the cat likes milk . "*10+"a dog", target="dog")
    assert said["about"] in ("dog", "d") and len(said["tokens"])==16

@pytest.fixture(scope="module")
def pairs(tokenizer, tmp_path_factory):
    rows = [dict(text=who, text2=other, label="same" if who==other else "no") for who in WHO for other in WHO]
    data = dict(train=rows, validation=rows[:6])
    return finetune(data, tmp_path_factory.mktemp("pairs")/"run", TextClassification(16), None, tokenizer, FAST).path

def test_pairs(pairs, tokenizer):
    "Both texts stand among the tokens, with types of their own; one text alone is refused."
    said = check(explain(pairs, "the cat", text2="the dog"))
    [answer] = pipelines.predict(pairs, [dict(text="the cat", text2="the dog")])
    assert said["tokens"].count("[SEP]")==2 and said["probability"]==pytest.approx(answer["probability"], abs=1e-5)
    question = ask(pairs, "the cat", text2="the dog")
    assert question.inputs["token_type_ids"].max()==1
    with pytest.raises(InputError, match="text2 is missing"): explain(pairs, "the cat")

def test_text_is_data(pairs):
    "Special strings in a text are text, and their tokens can be hidden."
    said = explain(pairs, "[SEP] [MASK]", text2="<b>")
    assert said["tokens"].count("[SEP]")==2 and "[MASK]" not in said["tokens"]

def test_a_long_text_is_cut_aloud(pairs):
    with pytest.warns(UserWarning, match="cut at 16 tokens"): said = explain(pairs, "the cat "*30, text2="the dog")
    assert len(said["tokens"])==16

def test_single_texts_have_no_second(tokenizer, tmp_path):
    data = dict(train=[dict(text=w, label=w[0]) for w in WHO]*4)
    run = finetune(data, tmp_path/"run", TextClassification(16), None, tokenizer, FAST)
    with pytest.raises(InputError, match="single texts; leave it out"): explain(run.path, "the cat", text2="the dog")
    assert check(explain(run.path, "猫喜欢牛奶"))["tokens"][1:-1]==list("猫喜欢牛奶")

def test_chinese_in_bytes(tmp_path):
    "Three pieces of a character are shown as it, with dots where it is torn."
    tok = train_tokenizer(["abc"], "byte-bpe", 262)
    for part in (build("tiny", tok, "text-generation", "gpt2"), tok): part.save_pretrained(tmp_path)
    said = check(explain(tmp_path, "我们"))
    assert said["tokens"]==["[CLS]", "我…", "…我…", "…我", "们…", "…们…", "…们"]

def test_recurrent(tokenizer, tmp_path):
    for part in (build("tiny", tokenizer, "text-generation", "lstm"), tokenizer): part.save_pretrained(tmp_path)
    for method in METHODS:
        if method!="attention": check(explain(tmp_path, "the cat", method))
    with pytest.raises(InputError, match="no attention"): explain(tmp_path, "the cat", "attention")

# refused in one line

def test_what_cannot_be_explained(tokenizer, tmp_path):
    counted = NGram.fit([[2, *ids, 3] for ids in encode([TEXT], tokenizer)], len(tokenizer), order=3, bos=2)
    kinds = dict(ngram=NGramForCausalLM.from_ngram(counted, tokenizer), t5=build("tiny", tokenizer, "text2text-generation", "t5"),
                 body=build("tiny", tokenizer, None), qa=build("tiny", tokenizer, "question-answering"),
                 choice=build("tiny", tokenizer, "multiple-choice"))
    for name,model in kinds.items():
        for part in (model, tokenizer): part.save_pretrained(tmp_path/name)
        with pytest.raises(InputError) as e: explain(tmp_path/name, TEXT)
        assert "\n" not in str(e.value) and len(str(e.value))>20, name
    with pytest.raises(InputError): explain(tmp_path/"nowhere", TEXT)

def test_wrong_input(pairs, tagger, tmp_path):
    headed("bert", tmp_path)
    for said,args in {"unknown; choose from integrated": (tmp_path, TEXT, "shap"), "not among the answers": (tmp_path, TEXT, "gradient", "x"),
                      "only for models that classify pairs": (tagger, TEXT, "gradient", None, "b")}.items():
        with pytest.raises(InputError, match=said): explain(*args)
    for text in ("", None, 5):
        with pytest.raises(InputError): explain(tmp_path, text)

# colors

def test_html_is_escaped():
    found = as_html(["<script>", "&", "\x1b[31m", "我"], [1, -.5, 0, .1])
    assert "<script>" not in found and "&lt;script&gt;" in found and "&amp;" in found and "\x1b" not in found and "我" in found
    assert found.count("<span")==4 and "rgba(47,93,138,1.00)" in found and "rgba(200,85,61,0.50)" in found
    assert as_html(["a"], [0.]).count("0.00")>0
    with pytest.raises(ValueError): as_html(["a"], [])

def test_ansi_obeys_nothing():
    found = as_ansi(["a\x1b[2J", "b\nc"], [2, -1])
    assert "\x1b[2J" not in found and "\n" not in found and found.count("\x1b[0m")==2
    assert "48;2;47;93;138" in found

def test_colors_do_not_depend_on_the_scale():
    assert as_html(["a", "b"], [1, -2]).split("title")[0]==as_html(["a", "b"], [10, -20]).split("title")[0]
    assert not math.isnan(float(as_html(["a"], [0.]).split(",")[3].split(")")[0]))
