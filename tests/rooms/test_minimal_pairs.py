"`plm_nb.minimal_pairs`: what is read and refused, every kind of model, ties, intervals over paradigms, and a suite that goes on."
import json, math, os, shutil, subprocess, sys, zipfile
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, BertModel
from plm_nb import minimal_pairs as room
from plm_nb.files import InputError, read_json_lines
from plm_nb.metrics import bootstrap
from plm_nb.minimal_pairs import minimal_pairs, pair_figures, pair_lines, pair_scores, pair_table, plot_pairs, read_pairs
from plm_nb.models import build
from plm_nb.ngram import NGram, NGramForCausalLM
from plm_nb.perplexity import pseudo_text_nats, text_nats
from plm_nb.rescoring import log_likelihoods
from plm_nb.runs import Run
from plm_nb.tokenizer import encode, train_tokenizer
from plm_nb.verification import verify
from families import publish

DATA = Path(os.environ.get("PLM_DATA") or Path(__file__).resolve().parents[3]/"shared"/"data")
TEXTS = ["the cat sees the dogs", "the cats see the dog", "a dog is never seen", "the dogs of the cat are seen"]
ROWS = [("agree", "morphology", "the cat sees the dogs", "the cat see the dogs"),
        ("agree", "morphology", "the cats see the dog", "the cats sees the dog"),
        ("order", "syntax", "a dog is never seen", "a dog never seen is"),
        ("order", "syntax", "the cat sees the dog", "the cat the dog sees"),
        ("far", "morphology", "the dogs of the cat are seen", "the dogs of the cat is seen")]

def real(name):
    "A file of real data, where there is one."
    if not (DATA/name).exists(): pytest.skip(f"no {name} here; PLM_DATA may name the folder that holds it")
    return DATA/name

def row(uid="p", field="syntax", good="It is.", bad="It are.", **more):
    return dict(sentence_good=good, sentence_bad=bad, field=field, UID=uid, **more)

def written(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False)+"\n" for r in rows), encoding="utf-8")
    return path

@pytest.fixture(scope="module")
def tokenizer(): return train_tokenizer(TEXTS, "byte-bpe", 300)

@pytest.fixture(scope="module")
def pairs(): return pd.DataFrame(ROWS, columns=["paradigm", "field", "good", "bad"])

@pytest.fixture(scope="module")
def models(tokenizer):
    "One of each kind of likelihood."
    counted = NGram.fit([[2, *ids, 3] for ids in encode(TEXTS, tokenizer)], len(tokenizer), order=3, bos=2)
    causal = {arch: build("tiny", tokenizer, "text-generation", arch) for arch in ("gpt2", "lstm", "xlnet", "llama")}
    masked = {arch: build("tiny", tokenizer, "fill-mask", arch) for arch in ("bert", "roberta", "distilbert", "modernbert")}
    return dict(ngram=NGramForCausalLM.from_ngram(counted, tokenizer), both=build("tiny", tokenizer, "pretraining"), **causal, **masked)

KINDS = ["ngram", "gpt2", "lstm", "xlnet", "llama", "bert", "roberta", "distilbert", "modernbert", "both"]
MASKED = KINDS[5:]

# reading

def test_zip_folder_and_file_are_one(tmp_path):
    "What a Mac packs beside the pairs, folders and files of other kinds are passed over; rows keep their order within a paradigm."
    (tmp_path/"data").mkdir()
    written(tmp_path/"data"/"b.jsonl", [row("b", good=f"Good {i}.", bad=f"Bad {i}.") for i in range(3)])
    written(tmp_path/"data"/"a.jsonl", [row("a", pairID="0")])
    (tmp_path/"data"/"._a.jsonl").write_bytes(b"\0\5\26")
    (tmp_path/"data"/".DS_Store").write_bytes(b"\0")
    packed = tmp_path/"BLiMP.zip"
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("data/", "")
        z.writestr("__MACOSX/data/._b.jsonl", b"\0\5")
        for file in sorted((tmp_path/"data").iterdir(), reverse=True): z.write(file, f"data/{file.name}")
    both = read_pairs(tmp_path/"data")
    assert read_pairs(packed).equals(both) and list(both.columns)==["good", "bad", "field", "paradigm"]
    assert both.paradigm.tolist()==["a", "b", "b", "b"] and both.good.tolist()[1:]==["Good 0.", "Good 1.", "Good 2."]
    assert read_pairs(tmp_path/"data"/"b.jsonl").equals(both[1:].reset_index(drop=True))
    assert read_pairs(packed, 2).paradigm.tolist()==["a", "b", "b"] and read_pairs(packed, 2).index.tolist()==[0, 1, 2]
    packed.rename(tmp_path/"B.ZIP")
    assert read_pairs(tmp_path/"B.ZIP").equals(both)

BROKEN = dict(
    lacks_bad=({"sentence_good": "It is.", "field": "f", "UID": "u"}, "row 2 has no sentence_bad; each has sentence_good, "),
    lacks_field=({"sentence_good": "It is.", "sentence_bad": "It are.", "UID": "u"}, "row 2 has no field"),
    lacks_uid=({"sentence_good": "It is.", "sentence_bad": "It are.", "field": "f"}, "row 2 has no UID"),
    number=(row(good=7), "row 2 has 7 as its sentence_good; give a text"),
    none=(row(bad=None), "row 2 has None as its sentence_bad"),
    blank=(row(bad=" "), "row 2 has ' ' as its sentence_bad"),
    half=(row(bad="\ud83d"), "row 2 has '.ud83d' as its sentence_bad"),
    uid=(row(uid=["u"]), "row 2 has ..u.. as its UID"),
    array=([1, 2], "row 2 is no JSON object"))

@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_row_is_named(tmp_path, name, packed):
    bad, said = BROKEN[name]
    path = tmp_path/"one.jsonl"
    path.write_text(json.dumps(row())+"\n"+json.dumps(bad)+"\n", encoding="utf-8")
    if packed:
        with zipfile.ZipFile(tmp_path/"one.zip", "w") as z: z.write(path, "data/one.jsonl")
        path = tmp_path/"one.zip"
    with pytest.raises(InputError, match=said) as e: read_pairs(path)
    assert "\n" not in str(e.value) and "one.jsonl: row 2" in str(e.value) and str(path) in str(e.value)

def test_files_that_hold_no_pairs(tmp_path):
    def refused(path, said):
        with pytest.raises(InputError, match=said) as e: read_pairs(path)
        assert "\n" not in str(e.value) and str(path) in str(e.value)
    refused(tmp_path/"none.zip", "not there; give BLiMP.zip")
    for name,data,said in (("text.zip", b"no zip", "not a zip file"), ("cut.zip", None, "not a zip file"),
                           ("empty.jsonl", b"", "holds no pair"), ("blank.jsonl", b"\n \n", "holds no pair"),
                           ("latin.jsonl", json.dumps(row(good="caf\u00e9"), ensure_ascii=False).encode("latin-1"), "row 1 is no JSON"),
                           ("pairs.csv", b"a,b", "cannot read .csv"), ("pairs", b"a,b", "a file without a suffix")):
        if data is None:
            with zipfile.ZipFile(tmp_path/name, "w") as z: z.writestr("a.jsonl", json.dumps(row())*99)
            data = (tmp_path/name).read_bytes()[:-30]
        (tmp_path/name).write_bytes(data)
        refused(tmp_path/name, said)
    (tmp_path/"folder").mkdir()
    refused(tmp_path/"folder", "no .jsonl file in it")
    with zipfile.ZipFile(tmp_path/"folder"/"as it lies.zip", "w") as z: z.writestr("a.jsonl", json.dumps(row()))
    assert len(read_pairs(tmp_path/"folder"))==1
    with zipfile.ZipFile(tmp_path/"other.zip", "w") as z: z.writestr("readme.txt", "x")
    refused(tmp_path/"other.zip", "no .jsonl file in it")
    same = written(tmp_path/"same.jsonl", [row(good="It is.", bad="It is.")]*3)
    refused(same, "row 1 and all others have the same sentence twice")
    for limit in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="limit"): read_pairs(written(tmp_path/"one.jsonl", [row()]), limit)

def test_marks_and_line_ends(tmp_path):
    "A byte-order mark, CRLF, blank lines and a line separator inside a sentence change nothing."
    rows = [json.dumps(row(good=f"It\u2028is {i}."), ensure_ascii=False) for i in range(3)]
    (tmp_path/"a.jsonl").write_bytes(b"\xef\xbb\xbf"+"\r\n\r\n".join(rows).encode())
    assert read_pairs(tmp_path/"a.jsonl").good.tolist()==[f"It\u2028is {i}." for i in range(3)]

def test_one_field_with_two_spellings(tmp_path):
    rows = [row(field="syntax/semantics"), row(field="syntax_semantics", bad="Is it.")]
    assert set(read_pairs(written(tmp_path/"a.jsonl", rows)).field)=={"syntax_semantics"}

# likelihoods

@pytest.mark.parametrize("kind", KINDS)
def test_nats_are_those_of_the_model(models, tokenizer, pairs, kind):
    "All tokens of a sentence, without the end of a text; the masked ones by their pseudo-log-likelihood."
    model = models[kind]
    lines = pair_lines(model, tokenizer, pairs)
    for side in ("good", "bad"):
        texts = pairs[side].tolist()
        if kind in MASKED: nats = pseudo_text_nats(model, tokenizer, texts)
        else: nats = [n[:-1] for n in text_nats(model, tokenizer, texts)]
        assert [line[f"{side}_tokens"] for line in lines]==[len(ids) for ids in encode(texts, tokenizer)]
        assert np.allclose([line[f"{side}_nats"] for line in lines], [n.sum() for n in nats], rtol=1e-5)
    if kind in MASKED: assert np.allclose([-line["good_nats"] for line in lines], log_likelihoods(model, tokenizer, pairs.good), rtol=1e-5)
    assert [(line["paradigm"], line["field"]) for line in lines]==[r[:2] for r in ROWS]

@pytest.mark.parametrize("kind", KINDS)
def test_the_score_does_not_depend_on_company(models, tokenizer, pairs, kind):
    "Alone, in reverse, or repeated: the same nats to 1e-5 of them, and the same score."
    lines = pair_lines(models[kind], tokenizer, pairs)
    alone = [pair_lines(models[kind], tokenizer, pairs[i:i+1])[0] for i in range(len(pairs))]
    turned = pair_lines(models[kind], tokenizer, pairs[::-1])[::-1]
    for other in (alone, turned):
        for a,b in zip(lines, other): assert a["good_nats"]==pytest.approx(b["good_nats"], rel=1e-5)
        assert pair_scores(other)==pair_scores(lines)
    assert pair_lines(models[kind], tokenizer, pd.concat([pairs, pairs]))==lines*2

@pytest.mark.parametrize("kind", MASKED)
def test_the_head_sees_hidden_tokens_only(models, tokenizer, pairs, kind):
    "As many rows reach the head as tokens are hidden, and afterwards the model is as before."
    model, seen = models[kind], []
    hook = model.get_output_embeddings().register_forward_hook(lambda m, x, out: seen.append(out.numel()//out.shape[-1]))
    texts = pairs.good.tolist()
    pair_lines(model, tokenizer, pairs[:1].assign(bad=texts[0]))
    hook.remove()
    assert seen[-1]==len(next(encode(texts[:1], tokenizer))) # `both` is first asked which kind it is
    ids = torch.tensor([[2, 5, 6, 3]])
    assert model(ids).get("logits", model(ids).get("prediction_logits")).shape==(1, 4, len(tokenizer))

@pytest.mark.parametrize("family", ["albert", "electra", "deberta-v2", "mpnet", "esm", "mobilebert", "longformer", "convbert", "fnet"])
def test_heads_of_other_families(family):
    "Where the head is not a matrix of its own, or rows are padded inside, nothing is saved and nothing is wrong."
    sizes = dict(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, pad_token_id=0,
                 max_position_embeddings=64, embedding_size=16)
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model(family, **sizes)).eval()
    ids = torch.randint(5, 50, (3, 8))
    at = [0, 1, 2], [1, 4, 6]
    ids[at] = 55
    with torch.no_grad():
        usual = model(ids).logits[at]
        with room._head_where_hidden(model, 55): found = model(ids).logits[at]
    assert torch.allclose(usual, found, atol=1e-5)

def test_a_sentence_is_asked_once(models, tokenizer, pairs, monkeypatch):
    asked = []
    def noted(model, tokenizer, texts):
        asked.append(list(texts))
        return text_nats(model, tokenizer, texts)
    monkeypatch.setattr(room, "text_nats", noted)
    twice = pd.concat([pairs, pairs.rename(columns=dict(good="bad", bad="good"))])
    pair_lines(models["gpt2"], tokenizer, twice)
    assert len(asked)==1 and len(asked[0])==len(set(asked[0]))==len({*pairs.good, *pairs.bad})

def test_models_without_an_answer(tokenizer, tmp_path):
    "An encoder–decoder and a model without a head are refused in one line, and no folder is left."
    path = written(tmp_path/"one.jsonl", [row()])
    for name,model in dict(t5=build("tiny", tokenizer, "text2text-generation", "t5"),
                           body=BertModel(build("tiny", tokenizer).config)).items():
        for part in (model, tokenizer): part.save_pretrained(tmp_path/name)
        with pytest.raises(InputError) as e: minimal_pairs(tmp_path/name, path, out=tmp_path/"out")
        assert "\n" not in str(e.value) and not (tmp_path/"out").exists()

def test_a_character_nobody_knows_is_not_cheap():
    tok = train_tokenizer(TEXTS, "char", 40)
    model = build("tiny", tok, "text-generation", "gpt2")
    line = pair_lines(model, tok, pd.DataFrame([dict(good="a cat", bad="a c語t", field="f", paradigm="p")]))[0]
    assert line["bad_nats"] > line["good_nats"]+math.log(0x110000)/2

# scores

def line(good, bad, good_tokens=1, bad_tokens=1, paradigm="p", field="f"):
    return dict(paradigm=paradigm, field=field, good_nats=good, bad_nats=bad, good_tokens=good_tokens, bad_tokens=bad_tokens)

@pytest.mark.parametrize("value", [0., 7.25, 1e-9, 1e9, 7])
def test_a_constant_scorer_gets_one_half_exactly(value):
    lines = [line(value, value, 3, 3, paradigm=str(i%7), field=str(i%3)) for i in range(101)]
    assert pair_scores(lines)==dict(accuracy=.5, per_token_accuracy=.5)
    for by in (None, "field", "paradigm"):
        table = pair_table(lines, by)
        assert (table.filter(like="accuracy")==.5).all(axis=None)

def test_a_uniform_model(tokenizer, pairs):
    "It prefers fewer tokens, and per token it ties."
    model = build("tiny", tokenizer, "fill-mask")
    with torch.no_grad():
        for p in model.parameters(): p.zero_()
    lines = pair_lines(model, tokenizer, pairs)
    assert pair_scores(lines)["per_token_accuracy"]==.5
    fewer = [np.sign(l["bad_tokens"]-l["good_tokens"]) for l in lines]
    assert pair_scores(lines)["accuracy"]==(1+np.mean(fewer))/2

def test_ties_up_to_rounding():
    for nats in (.01, 3., 50., 4000.):
        assert pair_scores([line(nats, nats*(1+1e-6))])["accuracy"]==.5
        assert pair_scores([line(nats*(1+1e-6), nats)])["accuracy"]==.5
        assert pair_scores([line(nats, nats*(1+1e-4))])["accuracy"]==1
        assert pair_scores([line(nats*(1+1e-4), nats)])["accuracy"]==0

def test_sides_exchanged():
    "With good and bad exchanged, what was right is wrong; ties stay."
    rng = np.random.default_rng(0)
    nats = rng.integers(5, 9, (200, 2)).astype(float)
    tokens = rng.integers(1, 4, (200, 2))
    lines = [line(*n, *t) for n,t in zip(nats, tokens)]
    turned = [line(*n[::-1], *t[::-1]) for n,t in zip(nats, tokens)]
    for a,b in zip(pair_scores(lines).values(), pair_scores(turned).values()): assert a==pytest.approx(1-b)
    slowly = np.mean([1 if a<b else .5 if a==b else 0 for a,b in nats])
    assert pair_scores(lines)["accuracy"]==pytest.approx(slowly)

def test_weights():
    "A line that counts twice is a line that stands there twice; several sets at once."
    lines = [line(1, 2, 2, 1), line(2, 1), line(1, 1)]
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0]])
    many = pair_scores(lines, weights)
    for i,some in enumerate(weights):
        again = pair_scores([l for l,n in zip(lines, some) for _ in range(n)])
        assert {k: v[i] for k,v in many.items()}==pytest.approx(again) and pair_scores(lines, some)==pytest.approx(again)
    with pytest.raises(InputError, match="weights"): pair_scores(lines, [1, 2])

@pytest.mark.parametrize("wrong", [math.nan, math.inf, None])
def test_nats_that_are_none(wrong):
    with pytest.raises(InputError, match="pair 2: has nats that are not finite"): pair_scores([line(1, 2), line(1, wrong)])

def test_intervals_are_those_of_the_bootstrap():
    "Over paradigms as groups where there are several, else over pairs; paradigms may differ in size."
    rng = np.random.default_rng(1)
    lines = [line(*rng.integers(1, 4, 2), *rng.integers(1, 3, 2), paradigm=f"p{p}", field=f"f{p%2}") for p in range(6) for _ in range(p+2)]
    names = [l["paradigm"] for l in lines]
    ends = bootstrap(lambda w: pair_scores(lines, w), len(lines), groups=names)
    whole = pair_table(lines).loc["all"]
    for name,end in ends.items(): assert whole[name]==pytest.approx(end)
    assert whole.pairs==len(lines) and whole.paradigms==6
    one = [l for l in lines if l["paradigm"]=="p5"]
    ends = bootstrap(lambda w: pair_scores(one, w), len(one))
    for name,end in ends.items(): assert pair_table(lines, "paradigm").loc["p5", name]==pytest.approx(end)
    fields = pair_table(lines, "field")
    assert fields.index.tolist()==["f0", "f1"] and fields.pairs.sum()==len(lines) and fields.paradigms.tolist()==[3, 3]
    for f in fields.index: assert fields.accuracy[f]==pytest.approx(pair_scores([l for l in lines if l["field"]==f])["accuracy"])

def test_picture():
    "A row for all pairs and one for each field, two points a row; a share in the title."
    lines = [line(1, 2, paradigm=str(i%3), field=str(i%2)) for i in range(6)]
    figure = plot_pairs(lines)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()]==["0", "1", "all"] and "100.0%" in ax.get_title()

# the suite

@pytest.fixture
def home(models, tokenizer, tmp_path):
    "The folder of a model, and a file of pairs."
    for part in (models["ngram"], tokenizer): part.save_pretrained(tmp_path/"model")
    file = written(tmp_path/"pairs.jsonl", [row(uid, field, good, bad) for uid,field,good,bad in ROWS])
    return tmp_path/"model", file

def test_suite(home, models, tokenizer, pairs, tmp_path):
    found = minimal_pairs(*home)
    lines = pair_lines(models["ngram"], tokenizer, pairs)
    assert found["accuracy"]==pytest.approx(pair_scores(lines)["accuracy"]) and found["pairs"]==5 and found["paradigms"]==3
    assert set(found["fields"])=={"morphology", "syntax"} and set(found["by_paradigm"])=={"agree", "far", "order"}
    assert json.loads(json.dumps(found))==found
    kept = minimal_pairs(*home, out=tmp_path/"run")
    assert kept==found
    again = Run(tmp_path/"run").record
    assert again["results"]["pairs"]["accuracy"]==found["accuracy"] and again["lines"]=={"pairs": 5}
    assert again["results"]["pairs"]["syntax_accuracy_low"]==found["fields"]["syntax"]["accuracy_low"]
    assert not (tmp_path/"run"/"checkpoints").exists() and str(tmp_path) not in (tmp_path/"run"/"run.json").read_text()
    with pytest.raises(InputError, match="holds another run"): minimal_pairs(*home, out=tmp_path/"run")
    assert minimal_pairs(*home, out=tmp_path/"run", resume=True)==found
    assert minimal_pairs(*home, limit=1)["pairs"]==3

def test_suite_is_verified(home, tmp_path):
    "Every figure follows from the lines; one that was changed is found."
    minimal_pairs(*home, out=tmp_path/"run")
    assert verify(tmp_path/"run", pair_figures)["ok"]
    file = tmp_path/"run"/"scores.jsonl"
    lines = read_json_lines(file)
    lines[0]["good_nats"], lines[0]["bad_nats"] = lines[0]["bad_nats"], lines[0]["good_nats"]
    written(file, lines)
    again = verify(tmp_path/"run", pair_figures)
    assert not again["ok"] and "accuracy is" in again["scores"]["pairs"] and again["files"]["scores.jsonl"]=="changed"

@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_suite_goes_on(home, tmp_path, after, monkeypatch):
    "What was scored is not scored again, and the result is that of a suite in one go."
    def stops(paradigm):
        if len(said)==after: raise KeyboardInterrupt
        said.append(paradigm)
    said = []
    with pytest.raises(KeyboardInterrupt): minimal_pairs(*home, out=tmp_path/"run", say=stops)
    rest = []
    found = minimal_pairs(*home, out=tmp_path/"run", resume=True, say=rest.append)
    assert [*said, *rest]==["agree", "far", "order"] and len(said)==after
    assert found==minimal_pairs(*home) and verify(tmp_path/"run", pair_figures)["ok"]
    whole = minimal_pairs(*home, out=tmp_path/"whole")
    assert (tmp_path/"run"/"scores.jsonl").read_bytes()==(tmp_path/"whole"/"scores.jsonl").read_bytes() and whole==found

def test_a_killed_suite_goes_on(home, tmp_path):
    "Killed without warning by the system, in a process of its own."
    code = ("import os, signal, sys; from plm_nb.minimal_pairs import minimal_pairs\n"
            "def say(name):\n    if name=='far': os.kill(os.getpid(), signal.SIGKILL)\n"
            "minimal_pairs(*sys.argv[1:3], out=sys.argv[3], say=say)")
    r = subprocess.run([sys.executable, "-c", code, *map(str, home), str(tmp_path/"run")], capture_output=True, timeout=200)
    assert r.returncode==-9, r.stderr.decode()[-500:]
    rest = []
    minimal_pairs(*home, out=tmp_path/"run", resume=True, say=rest.append)
    assert rest==["far", "order"] and verify(tmp_path/"run", pair_figures)["ok"]

def test_another_model_or_other_pairs_do_not_go_on(home, models, tokenizer, tmp_path):
    "Lines of two models, or of two sets of pairs, never stand in one run."
    def stops(paradigm):
        if paradigm=="far": raise KeyboardInterrupt
    def again(said, *args, **kwargs):
        with pytest.raises(InputError, match=said): minimal_pairs(*args, out=tmp_path/"run", resume=True, **kwargs)
    with pytest.raises(KeyboardInterrupt): minimal_pairs(*home, out=tmp_path/"run", say=stops)
    again("limit", *home, limit=1)
    other = written(tmp_path/"other.jsonl", [row("agree", "morphology", "a dog", "dog a")])
    again("data", home[0], other)
    counted = NGram.fit([[2, *ids, 3] for ids in encode(TEXTS[:2], tokenizer)], len(tokenizer), order=3, bos=2)
    NGramForCausalLM.from_ngram(counted, tokenizer).save_pretrained(home[0])
    again("weights", *home)

def test_an_error_leaves_no_folder(home, tmp_path):
    with pytest.raises(InputError): minimal_pairs(home[0], tmp_path/"no.zip", out=tmp_path/"run")
    with pytest.raises(InputError): minimal_pairs(tmp_path/"no-model", home[1], out=tmp_path/"run")
    assert not (tmp_path/"run").exists()

def test_weights_that_are_not_finite(home, tokenizer, tmp_path):
    model = build("tiny", tokenizer, "text-generation", "lstm")
    with torch.no_grad(): next(model.parameters()).fill_(torch.nan)
    for part in (model, tokenizer): part.save_pretrained(tmp_path/"nan")
    with pytest.raises(InputError, match="not finite|has no head|sees what follows"): minimal_pairs(tmp_path/"nan", home[1])

@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "roberta"])
def test_published_tokenizers(family, tmp_path):
    "Models as others publish them, whatever marks their tokenizers have."
    model = publish(family, tmp_path/family)
    path = written(tmp_path/"one.jsonl", [row("p", "f", "The cat is here.", "The cat are here."), row("q", "f", "It is.", "Is it.")])
    found = minimal_pairs(tmp_path/family, path)
    assert 0<=found["accuracy"]<=1 and found["pairs"]==2

def test_chinese(tmp_path):
    "Pairs without white space and without a mark at the end, in the same columns; an n-gram of characters knows the measure words."
    texts = ["他买了一本书", "那里有一条河", "房间里有三张桌子", "水里有两条鱼"]*3
    rows = [row("量词", "句法", f"我看见了{good}", f"我看见了{bad}")
            for good,bad in [("一本书", "一条书"), ("一条河", "一本河"), ("三张桌子", "三条桌子"), ("两条鱼", "两张鱼")]]
    path = written(tmp_path/"zh.jsonl", rows)
    tok = train_tokenizer(texts, "char")
    counted = NGram.fit([[2, *ids, 3] for ids in encode(texts, tok)], len(tok), order=3, bos=2)
    for part in (NGramForCausalLM.from_ngram(counted, tok), tok): part.save_pretrained(tmp_path/"zh")
    found = minimal_pairs(tmp_path/"zh", path, out=tmp_path/"run")
    assert found["accuracy"]==1 and found["fields"]["句法"]["pairs"]==4 and found["by_paradigm"]["量词"]["accuracy"]==1
    assert verify(tmp_path/"run", pair_figures)["ok"]

# the real thing

def test_blimp_as_it_lies():
    "67 paradigms of 1,000 pairs in four fields; seven pairs consist of one sentence twice, and count one half."
    pairs = read_pairs(real("blimp/BLiMP.zip"))
    assert len(pairs)==67_000 and (pairs.paradigm.value_counts()==1000).all()
    assert pairs.groupby("field").paradigm.nunique().to_dict()==dict(morphology=18, semantics=9, syntax=26, syntax_semantics=14)
    twice = pairs[pairs.good==pairs.bad]
    assert twice.paradigm.value_counts().to_dict()==dict(principle_A_case_2=5, passive_1=2)
    said = pair_lines(build("tiny", t := train_tokenizer(TEXTS, "byte-bpe", 300), "text-generation", "lstm"), t, twice)
    assert pair_scores(said)==dict(accuracy=.5, per_token_accuracy=.5)
    lines = [line(1., 1., paradigm=p, field=f) for p,f in zip(pairs.paradigm, pairs.field)]
    figures = pair_figures(lines)
    assert figures["accuracy"]==figures["accuracy_low"]==figures["syntax_accuracy_high"]==.5

def test_stories_on_blimp(tmp_path):
    "A published Llama on five pairs of each paradigm; the same sentences score the same whatever the limit."
    found = minimal_pairs(real("stories260K/hf"), real("blimp/BLiMP.zip"), limit=5, out=tmp_path/"run")
    assert found["pairs"]==335 and found["paradigms"]==67 and .42<found["accuracy"]<.65
    assert found["accuracy_low"]<found["accuracy"]<found["accuracy_high"] and len(found["fields"])==4
    assert verify(tmp_path/"run", pair_figures)["ok"]
