"The command line from end to end on small files, and one line for everything that a user can get wrong."
import io, json, math, os, random, shutil, subprocess, sys, warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
import pytest
import plm_nb
from plm_nb.cli import COMMANDS, main
from plm_nb.data import sha256
from typed import found, plm

NOUNS, VERBS = "cat dog bird tree house river child stone".split(), "sees finds loves hears".split()
WORDS = dict(bad="cold dark sad wet grey".split(), good="warm bright glad dry green".split())

def sentence(rng, words):
    "A sentence with one of `words` in it."
    return f"the {rng.choice(words)} {rng.choice(NOUNS)} {rng.choice(VERBS)} the {rng.choice(NOUNS)} ."

def labelled(n, seed=0):
    "`n` rows `(text, label)`, the two labels in turn."
    rng = random.Random(seed)
    return [(f"{i} {sentence(rng, WORDS[l])}", l) for i in range(n) for l in (sorted(WORDS)[i%2],)]

def table(path, rows, sep, header=None):
    "Write `rows` to `path`, and give it back."
    path.write_text("".join(sep.join(map(str, r))+"\n" for r in ([header] if header else [])+rows), encoding="utf-8")
    return path

def content(folder): return {p.relative_to(folder).as_posix(): sha256(p) for p in folder.rglob("*") if p.is_file()}

@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "A folder of files as people have them, good and bad."
    d, rng, rows = tmp_path_factory.mktemp("files"), random.Random(0), labelled(80)
    (d/"corpus.txt").write_text("\n".join(sentence(rng, sum(WORDS.values(), [])) for _ in range(1500)))
    header = ("text", "label")
    table(d/"rows.tsv", [(i, l, "*", t) for i,(t,l) in enumerate(rows)], "\t")
    table(d/"rows.csv", [(f'"{t}"', l) for t,l in rows], ",", header)
    table(d/"pairs.csv", [(t, l, "and so on") for t,l in rows], ",", ("text", "label", "second"))
    (d/"rows.jsonl").write_text("".join(json.dumps(dict(zip(header, r)))+"\n" for r in rows))
    for i,part in enumerate(("train", "validation", "test")): table(d/f"{part}.csv", labelled(20, i), ",", header)
    table(d/"few.csv", labelled(3), ",", header)
    table(d/"foreign.csv", [*labelled(20), ("a text", "neither")], ",", header)
    table(d/"one.csv", [(t, "good") for t,_ in rows], ",", header)
    table(d/"hole.csv", [*rows[:5], ("a text", ""), *rows[5:]], ",", header)
    table(d/"uneven.csv", [*rows[:5], ("a", "b", "c"), *rows[5:]], ",", header)
    (d/"latin.csv").write_bytes((d/"rows.csv").read_bytes().replace(b"warm", b"caf\xe9"))
    (d/"latin.txt").write_bytes("Le café est fermé, la forêt brûle.\n".encode("latin-1")*9)
    for name in ("empty.txt", "empty.csv"): (d/name).touch()
    for name in ("blank.txt", "blank.csv"): (d/name).write_text(" \n\t\n")
    (d/"lines.txt").write_text("a warm cat\n\nthe dark dog\n")
    (d/"short.txt").write_text("the cat")
    (d/"page.pdf").write_text("text")
    (d/"folder").mkdir()
    return d

@pytest.fixture(scope="module")
def tok(here):
    "The folder of a tokenizer that the command line trained."
    keys = found("tokenizer", "--corpus", here/"corpus.txt", "--vocab-size", 120, "--out", here/"tok")
    assert {"vocab_size", "bytes_per_token", "unknown_rate", "sha256"} <= keys.keys()
    return here/"tok"

@pytest.fixture(scope="module")
def mlm(here, tok):
    "The folder of a pretraining of three steps."
    keys = found("pretrain", "--corpus", here/"corpus.txt", "--tokenizer", tok, "--size", "tiny", "--block-size", 32,
                 "--steps", 3, "--out", here/"mlm")
    assert {"loss", "tokens", "seconds"} <= keys["train"].keys()
    assert "nats_per_token" in keys["heldout"] and keys["train"]["tokens"]==3*16*32
    return here/"mlm"

LITTLE = ("--epochs", 1, "--labels-per-class", 4)
SCORES = {"accuracy", "precision", "recall", "f1"}

@pytest.fixture(scope="module")
def clf(here, mlm):
    "The folder of a classifier that started from the pretrained body."
    keys = found("finetune", "--data", here/"rows.csv", "--model", mlm, "--epochs", 1, "--out", here/"clf")
    assert SCORES <= keys["validation"].keys() and SCORES <= keys["test"].keys()
    return here/"clf"

def test_chain(here, clf):
    "Evaluate agrees with finetune, predict answers each line, verify believes all three runs."
    results = json.loads((clf/"run.json").read_text())["results"]
    scored = found("evaluate", "--model", clf, "--data", here/"rows.csv")["validation"]
    assert {k: scored[k] for k in SCORES}=={k: results["validation"][k] for k in SCORES}
    for run in ("tok", "mlm", "clf"):
        said = found("verify", here/run)
        assert said["ok"] is True and set(said["files"].values())=={"ok"} and set(said["scores"].values())<={"ok"}

def test_people_read_a_table(here, clf):
    "Without `--json` the same figures stand one a line."
    code, out, _ = plm("verify", clf)
    assert code==0 and "model.safetensors" in out and not out.startswith("{")

def test_predict(here, clf):
    "One JSON line per line of input, blank ones too, from a file, from standard input and into a file."
    code, out, _ = plm("predict", here/"lines.txt", "--model", clf)
    rows = [json.loads(l) for l in out.splitlines()]
    assert code==0 and [r["text"] for r in rows]==["a warm cat", "", "the dark dog"]
    for r in rows: assert r["label"] in WORDS and r["probabilities"][r["label"]]==r["probability"]
    assert plm("predict", "-", "--model", clf, stdin=(here/"lines.txt").read_bytes())[:2]==(0, out)
    assert plm("predict", here/"lines.txt", "--model", clf, "--out", here/"answers.jsonl")[:2]==(0, "")
    assert (here/"answers.jsonl").read_text()==out

def test_predict_counts_lines_as_the_shell_does(clf, tmp_path):
    "Only a line feed ends a line, with or without a carriage return before it."
    (tmp_path/"odd.txt").write_bytes("one\u2028same\r\ntwo\x0csame\r\nthree\x85same".encode())
    _, out, _ = plm("predict", tmp_path/"odd.txt", "--model", clf)
    assert [json.loads(l)["text"] for l in out.split("\n")[:-1]]==["one\u2028same", "two\x0csame", "three\x85same"]

@pytest.mark.parametrize("data", ["rows.tsv --text 3 --label 1", "rows.jsonl", "pairs.csv --text2 second"])
def test_tables(here, mlm, tmp_path, data):
    "A table without a header by the numbers of its columns, JSON lines, pairs."
    file, *columns = data.split()
    run = "finetune", "--data", here/file, *columns, "--model", mlm, *LITTLE
    assert SCORES <= found(*run, "--out", tmp_path/"run")["test"].keys()
    assert found("evaluate", "--data", here/file, *columns, "--model", tmp_path/"run")["validation"]["n"]>0

def test_parts_seeds_encoding(here, tok, tmp_path):
    "Three files, two seeds, from random weights; then a table in another encoding."
    start = "--size", "tiny", "--tokenizer", tok, *LITTLE
    parts = [x for p in ("train", "validation", "test") for x in (f"--{p}", here/f"{p}.csv")]
    keys = found("finetune", *parts, *start, "--seeds", 2, "--out", tmp_path/"two")
    assert keys["test"]["n"]==20 and set(keys["seeds"])=={"0", "1"}
    for s in "01": assert found("verify", tmp_path/f"two/seed-{s}")["ok"]
    weights = {sha256(tmp_path/f"two/seed-{s}/model.safetensors") for s in "01"}
    assert len(weights)==2
    keys = found("finetune", "--data", here/"latin.csv", "--encoding", "latin-1", *start, "--out", tmp_path/"latin")
    assert keys["validation"]["n"]>0

def test_looks_are_counted(here, clf, tmp_path):
    "Each look at the test split stands in the record and on the card, which stay valid."
    run = tmp_path/"run"
    shutil.copytree(clf, run)
    for looks in (2, 3):
        found("evaluate", "--model", run, "--data", here/"rows.csv", "--split", "test")
        card = (run/"README.md").read_text()
        assert f"Looks at the test split: {looks}." in card
    assert found("verify", run)["ok"]

def test_resume(here, tok, mlm, tmp_path):
    "A finished run says so and stays as it is; an empty folder starts at step 0."
    run = ("pretrain", "--corpus", here/"corpus.txt", "--tokenizer", tok, "--size", "tiny", "--block-size", 32,
           "--steps", 3, "--resume", "--out")
    before = content(mlm)
    code, out, err = plm(*run, mlm)
    assert code==0 and "finished" in err and content(mlm)==before
    keys = found(*run, tmp_path)
    assert keys["train"]["steps"]==3 and found("verify", tmp_path)["ok"]
    assert sha256(tmp_path/"model.safetensors")==sha256(mlm/"model.safetensors")

def test_causal_models(here, tmp_path):
    "A network and an n-gram on the same characters, in the same units; both open."
    run = ["--corpus", here/"corpus.txt", "--tokenizer", "char", "--objective", "clm"]
    lstm = found("pretrain", *run, "--arch", "lstm", "--size", "tiny", "--steps", 20, "--out", tmp_path/"lstm")
    counted = found("pretrain", *run, "--arch", "ngram", "--order", 4, "--out", tmp_path/"ngram")
    for f in (lstm, counted):
        held = f["heldout"]
        assert held["perplexity"]==pytest.approx(math.exp(held["nats_per_token"]))
        assert held["bits_per_byte"]==pytest.approx(held["nats_per_char"]/math.log(2), rel=1e-6) # ASCII, no end is asked
        assert found("verify", f["out"])["ok"]
    assert counted["heldout"]["bits_per_byte"]<lstm["heldout"]["bits_per_byte"]<8

def test_the_ladder_prints_a_table(here):
    code, out, err = plm("bench", "ladder", "--corpus", here/"corpus.txt", "--quick")
    assert code==0, err
    lines = [l.split() for l in out.splitlines()]
    assert {"zlib", "xz", "1-gram", "3-gram", "rnn", "gru", "lstm", "gpt2", "bert", "xlnet"}<={l[0] for l in lines if l}

def test_char_tokenizer(here, tmp_path):
    "`--tokenizer char` needs no folder; `--epochs` takes a fraction."
    run = "pretrain", "--corpus", here/"corpus.txt", "--tokenizer", "char", "--size", "tiny", "--epochs", .01
    assert found(*run, "--out", tmp_path)["train"]["steps"]>0 and (tmp_path/"tokenizer.json").is_file()

TOKENIZER = "tokenizer --corpus {d}/corpus.txt "
PRETRAIN = "pretrain --corpus {d}/corpus.txt --tokenizer {tok} --size tiny --block-size 32 --steps 1 "
COUNT = "pretrain --corpus {d}/corpus.txt --tokenizer char --arch ngram "
FINETUNE = "finetune --data {d}/rows.csv --model {mlm} --epochs 1 "
SCRATCH = "finetune --data {d}/rows.csv --size tiny --tokenizer {tok} --epochs 1 "
EVALUATE = "evaluate --data {d}/rows.csv --model {clf} "
PREDICT = "predict {d}/lines.txt --model {clf} "

BAD = [ # command line, where a later option overrides an earlier one; what the one line must name
    (TOKENIZER+"--corpus {d}/none.txt", "none.txt", "existing"),
    (TOKENIZER+"--corpus {d}/none", "none", "give"),
    (TOKENIZER+"--corpus {d}/empty.txt", "empty.txt", "at least one word"),
    (TOKENIZER+"--corpus {d}/blank.txt", "blank.txt", "at least one word"),
    (TOKENIZER+"--corpus {d}/latin.txt", "latin.txt", "line 1", "encoding"),
    (TOKENIZER+"--corpus {d}/page.pdf", "page.pdf", ".txt"),
    (TOKENIZER+"--corpus {d}/folder", "folder", ".txt"),
    (TOKENIZER+"--corpus {d}/rows.csv --text body", "rows.csv", "body", "text, label"),
    (TOKENIZER+"--corpus owner/name", "owner/name", "docs-all"),
    (TOKENIZER+"--corpus name", "name", "docs-all"),
    (TOKENIZER+"--kind words", "words", "wordpiece"),
    (TOKENIZER+"--vocab-size 20", "20", "at least"),
    (TOKENIZER+"--vocab-size -1", "-1", "more than 0"),
    (TOKENIZER+"--vocab-size many", "many", "--help"),
    (TOKENIZER+"--holdout tail:2", "tail:2", "tail:0.1"),
    (TOKENIZER+"--holdout random:0.1", "random:0.1", "tail"),
    (TOKENIZER+"--what 1", "--what", "--help"),
    ("tokenise", "tokenise", "tokenizer"),
    (PRETRAIN+"--corpus {d}/none.txt", "none.txt", "existing"),
    (PRETRAIN+"--corpus owner/name", "owner/name", "docs-all"),
    (PRETRAIN+"--tokenizer {d}/none", "none", "give"),
    (PRETRAIN+"--tokenizer {d}/folder", "folder", "give"),
    (PRETRAIN+"--tokenizer {d}/corpus.txt", "corpus.txt", "folder"),
    (PRETRAIN+"--tokenizer owner/name", "owner/name", "folder"),
    (PRETRAIN+"--size huge", "huge", "tiny"),
    (PRETRAIN+"--objective magic", "magic", "mlm"),
    (PRETRAIN+"--arch magic", "magic", "bert"),
    (PRETRAIN+"--arch gpt2", "gpt2", "bert, roberta"),
    (PRETRAIN+"--objective clm --arch bert", "bert", "gpt2, llama, rnn, gru, lstm"),
    (PRETRAIN+"--objective plm --arch t5", "t5", "xlnet"),
    (PRETRAIN+"--objective denoise --arch gpt2", "gpt2", "t5, bart"),
    (PRETRAIN+"--objective mlm+nsp --arch roberta", "roberta", "bert"),
    (PRETRAIN+"--arch ngram", "ngram", "--block-size, --size, --steps", "leave out"),
    (PRETRAIN+"--order 3", "order 3", "--arch ngram"),
    (COUNT+"--objective mlm", "ngram", "clm"), (COUNT+"--order 0", "order 0", "more than 0"),
    ("bench speeed", "speeed", "ladder"),
    (PRETRAIN+"--steps 0", "steps", "0", "more than 0"),
    (PRETRAIN+"--steps -3", "-3", "more than 0"),
    (PRETRAIN+"--minutes 1", "minutes", "one"),
    (PRETRAIN+"--epochs 1", "epochs", "one"),
    (PRETRAIN+"--corpus {d}/short.txt --block-size 64", "64", "at most"),
    (PRETRAIN+"--block-size 0", "block_size 0", "more than 0"),
    (PRETRAIN+"--batch-size 0", "batch", "0"),
    (PRETRAIN+"--save-steps -1", "-1"),
    (PRETRAIN+"--seed -1", "seed", "-1"),
    (FINETUNE+"--data {d}/none.csv", "none.csv", "existing"),
    (FINETUNE+"--data {d}/empty.csv", "empty.csv", "at least"),
    (FINETUNE+"--data {d}/blank.csv", "blank.csv", "at least"),
    (FINETUNE+"--data {d}/latin.csv", "latin.csv", "encoding"),
    (FINETUNE+"--encoding klingon", "klingon", "utf-8"),
    (FINETUNE+"--data {d}/folder", "folder", "train.csv"),
    (FINETUNE+"--data {d}/uneven.csv", "uneven.csv", "line 7", "same columns"),
    (FINETUNE+"--data {d}/one.csv", "one.csv", "good", "two classes"),
    (FINETUNE+"--data {d}/hole.csv", "hole.csv", "row 6", "label"),
    (FINETUNE+"--data {d}/few.csv", "few.csv", "training never shows"),
    (FINETUNE+"--data owner/name", "owner/name", "docs-package"),
    (FINETUNE+"--text body", "body", "text, label"),
    (FINETUNE+"--label stars", "stars", "text, label"),
    (FINETUNE+"--data {d}/rows.tsv --text 3 --label 7", "7", "0, 1, 2, 3"),
    (FINETUNE+"--train {d}/train.csv", "--data", "--train"),
    ("finetune --model {mlm}", "--data", "--train"),
    ("finetune --model {mlm} --train {d}/train.csv --test {d}/foreign.csv", "foreign.csv", "neither", "bad, good"),
    ("finetune --model {mlm} --train {d}/train.csv --validation {d}/none.csv", "none.csv", "existing"),
    (FINETUNE+"--task poetry", "poetry", "text-classification"),
    (FINETUNE+"--task summarization", "rows.csv", "target", "text, label"),
    (FINETUNE+"--task token-classification", "rows.csv", "row"),
    (FINETUNE+"--task question-answering", "rows.csv", "text, label"),
    (FINETUNE+"--problem-type regression", "rows.csv", "row 1", "number"),
    (FINETUNE+"--arch bart", "bart", "one of its own"), (SCRATCH+"--arch bart", "bart", "tasks that write"),
    (FINETUNE+"--trainable most", "most", "last-1"),
    (FINETUNE+"--lora --trainable head", "--lora", "--trainable head", "one of them"),
    (FINETUNE+"--l2-sp -1", "l2_sp", "0 or more"),
    ("finetune --data docs-code --task dialogue --model {mlm}", "docs-code", "token-classification"),
    ("generate --model {mlm}", "--prompt"),
    ("generate --model {d}/none --prompt x", "none", "folder"),
    ("chat --model {mlm} --prompt hello", "mlm", "bert", "fill-mask"),
    ("chat --model {clf} --prompt hello", "clf", "text-classification", "dialogue"),
    ("predict {d}/lines.txt --jsonl --model {clf}", "lines.txt", "line 1", "JSON"),
    (FINETUNE+"--model {d}/none", "none", "give"),
    (FINETUNE+"--model {d}/folder", "folder", "give a folder"),
    (FINETUNE+"--model owner/name", "owner/name", "folder"),
    (FINETUNE+"--model {mlm} --tokenizer {big}", "mlm", "tokenizer"),
    (SCRATCH+"--tokenizer {d}/none", "none", "give"),
    (SCRATCH+"--size huge", "huge", "tiny"),
    ("finetune --data {d}/rows.csv --size tiny", "--tokenizer", "--model"),
    (FINETUNE+"--labels-per-class 1000", "1000", "bad has", "fewer"),
    (FINETUNE+"--labels-per-class 0", "0"),
    (FINETUNE+"--epochs 0", "0", "more than 0"),
    (FINETUNE+"--seeds 0", "seeds", "0"),
    (FINETUNE+"--seed -1", "seed", "-1"),
    (FINETUNE+"--batch-size 0", "batch", "0"),
    (FINETUNE+"--max-length 0", "length", "0"),
    (FINETUNE+"--max-length 1000", "1000", "512"),
    (EVALUATE+"--data {d}/foreign.csv", "neither", "bad, good"),
    ("evaluate --model {clf} --train {d}/train.csv --validation {d}/foreign.csv", "foreign.csv", "neither", "bad,"),
    (EVALUATE+"--data {d}/none.csv", "none.csv", "existing"),
    (EVALUATE+"--data owner/name", "owner/name", "docs-package"),
    (EVALUATE+"--model owner/name", "owner/name", "folder"),
    (EVALUATE+"--model {d}/none", "none", "folder"),
    (EVALUATE+"--model {mlm}", "mlm", "head"),
    (EVALUATE+"--split exam", "exam", "validation"),
    ("evaluate --model {clf} --train {d}/train.csv --validation {d}/test.csv --split test", "test", "validation"),
    (EVALUATE+"--task magic", "magic", "text-classification"),
    (PREDICT+"--model {mlm}", "mlm", "head"),
    (PREDICT+"--model {tok}", "tok", "config.json"),
    (PREDICT+"--model {d}/none", "none", "folder"),
    (PREDICT+"--model owner/name", "owner/name", "folder"),
    ("predict {d}/none.txt --model {clf}", "none.txt", "existing"),
    ("predict {d}/folder --model {clf}", "folder", "file"),
    ("predict {d}/empty.txt --model {clf}", "empty.txt", "at least"),
    ("predict {d}/latin.txt --model {clf}", "latin.txt", "line 1"),
    ("verify {d}/none", "none", "folder"),
    ("verify {d}/folder", "folder", "run.json"),
    ("verify {d}/corpus.txt", "corpus.txt", "folder"),
]

@pytest.fixture(scope="module")
def places(here, tok, mlm, clf):
    "What stands in braces in a command line."
    found("tokenizer", "--corpus", here/"corpus.txt", "--kind", "byte-bpe", "--vocab-size", 400, "--out", here/"big")
    return dict(d=here, tok=tok, mlm=mlm, clf=clf, big=here/"big")

def refused(code, out, err, words):
    "Assert that a command ended with one line that holds `words`."
    assert code==2 and out=="", (code, out, err)
    assert err.count("\n")==1 and "Traceback" not in err and err.startswith("plm"), err
    for w in words: assert w in err, (w, err)

@pytest.mark.parametrize("line, words", [(l, w) for l,*w in BAD], ids=[l.replace("{d}/", "") for l,*_ in BAD])
def test_wrong_input(places, tmp_path, line, words):
    "Exit code 2 and one line that says what and what would be right; nothing is written."
    args, out = line.format(**places).split(), tmp_path/"out"
    if args[0] in ("tokenizer", "pretrain", "finetune", "evaluate", "predict"): args += ["--out", out]
    before = {k: content(p) for k,p in places.items() if k!="d"}
    refused(*plm(*args), words)
    assert not out.exists()
    assert before=={k: content(p) for k,p in places.items() if k!="d"}

def test_a_warning_is_one_line(monkeypatch):
    "What a room warns of, without the place in its code."
    def warned(run:str): # A folder
        "Warn, and be content."
        for i in range(3): warnings.warn(f"{run}: an odd row", stacklevel=i+1) # the same note is said once
        return dict(ok=True)
    monkeypatch.setitem(COMMANDS, "verify", warned)
    code, out, err = plm("verify", "here")
    assert code==0 and out.split()==["ok", "True"] and err=="plm verify: here: an odd row\n"

TAKEN = [("{clf}", "another run", "finetune"), ("{d}/full", "not empty"), ("{d}/corpus.txt", "file", "folder")]

@pytest.mark.parametrize("line", [TOKENIZER, PRETRAIN, PRETRAIN+"--resume ", FINETUNE, SCRATCH+"--seeds 2 ", "demo "])
@pytest.mark.parametrize("out, words", [(o, w) for o,*w in TAKEN], ids=["run", "full", "file"])
def test_folder_is_taken(places, line, out, words):
    "A folder that holds something, or a file, stays as it is, byte for byte."
    d = places["d"]
    (d/"full").mkdir(exist_ok=True)
    (d/"full/note").write_text("mine")
    before = content(d)
    refused(*plm(*f"{line}--out {out}".format(**places).split()), [Path(out.format(**places)).name, *words])
    assert content(d)==before

@pytest.mark.parametrize("out, word", [("{clf}", "clf"), ("{d}/folder", "folder"), ("{d}/none/answers.jsonl", "none")])
def test_predict_into_a_folder(places, out, word):
    "`plm predict --out` names a file; a folder, or a file in no folder, is refused."
    before = content(places["d"])
    refused(*plm(*f"{PREDICT}--out {out}".format(**places).split()), [word])
    assert content(places["d"])==before

@pytest.mark.parametrize("stdin, word", [(b"", "no text"), (b"caf\xe9\n", "utf-8")])
def test_wrong_standard_input(clf, stdin, word):
    "Nothing to read, or bytes that are not text."
    refused(*plm("predict", "-", "--model", clf, stdin=stdin), [word])

def test_unfinished_run_is_not_verified(mlm, tmp_path):
    "A run without a manifest, and a run whose record is damaged."
    run = tmp_path/"run"
    shutil.copytree(mlm, run)
    (run/"MANIFEST.json").unlink()
    refused(*plm("verify", run), ["not finished"])
    (run/"run.json").write_text("{")
    refused(*plm("verify", run), ["run.json"])

def test_damage_is_told(mlm, tmp_path):
    "A changed file gives exit code 2 and its name, still as one JSON object."
    run = tmp_path/"run"
    shutil.copytree(mlm, run)
    (run/"model.safetensors").write_bytes(b"")
    code, out, _ = plm("verify", run, "--json")
    said = json.loads(out)
    assert code==2 and not said["ok"] and said["files"]["model.safetensors"]=="changed"

def process(*args, **env):
    "Run a program of this environment, with `env` in place of what tests set."
    kept = {k: v for k,v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}
    return subprocess.run([str(a) for a in args], env=kept|env, capture_output=True, text=True, timeout=200)

def test_console_script():
    "`plm` is on the path; its help names every command, and an unknown one is one line."
    script = [Path(sys.executable).with_name("plm")]
    if not script[0].exists(): script = [sys.executable, "-c", "from plm_nb.cli import main; raise SystemExit(main())"]
    r = process(*script, "--help")
    assert r.returncode==0 and r.stderr=="" and all(c in r.stdout for c in COMMANDS)
    r = process(*script, "nothing")
    refused(r.returncode, r.stdout, r.stderr, ["nothing"])

HUB = ["tokenizer --corpus owner/name --out {d}/hub", "finetune --data owner/name --model {mlm} --out {d}/hub",
       "pretrain --corpus {d}/corpus.txt --tokenizer owner/name --out {d}/hub",
       "predict {d}/lines.txt --model owner/name"]

def test_hub_name_without_a_network(places):
    "With a network that refuses every connection, four hub names are four lines, and no minutes of retries."
    argv = [l.format(**places).split() for l in HUB]
    code = f"from plm_nb.cli import main\nfor a in {argv!r}: print(main(a))"
    closed = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    r = process(sys.executable, "-c", code, **closed, HF_HOME=str(places["d"]/"cache"))
    assert r.stdout.split()==["2"]*len(HUB), r.stderr
    assert r.stderr.count("\n")==len(HUB) and r.stderr.count("owner/name")==len(HUB), r.stderr
    assert not (places["d"]/"hub").exists()

@pytest.mark.parametrize("words,said", [(["docter"], "no command docter; did you mean doctor?"), (["xyzzy"], "no command xyzzy;"),
                                        (["pretrain", "--step", "5", "--out", "x"], "there is no --step; did you mean --steps?")])
def test_what_is_mistyped(words, said, capsys):
    assert main(words)==2 and said in capsys.readouterr().err

def completed(line, folder):
    "What a shell is offered behind `line`."
    answer = folder/"answer"
    asked = dict(_ARGCOMPLETE="1", _ARGCOMPLETE_IFS="\n", _ARGCOMPLETE_STDOUT_FILENAME=str(answer), COMP_LINE=line,
                 COMP_POINT=str(len(line)))
    r = process(sys.executable, "-c", "from plm_nb.cli import main; main()", **asked)
    assert r.returncode==0, r.stderr
    return {word.strip() for word in answer.read_text().split("\n")}

@pytest.mark.parametrize("line, offered", [("plm pre", {"pretrain", "predict"}), ("plm pretrain --obj", {"--objective"}),
                                           ("plm pretrain --objective c", {"clm"}), ("plm data d", {"describe"}),
                                           ("plm tokenizer --kind ", {"bpe", "byte-bpe", "wordpiece", "unigram", "char"})])
def test_completion(tmp_path, line, offered):
    pytest.importorskip("argcomplete", reason="needs the extra completion")
    assert completed(line, tmp_path)==offered

def test_completion_without_argcomplete(monkeypatch, capsys):
    "A shell that asks gets no answer, and nothing is run."
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main(["doctor"])==1 and capsys.readouterr()==("", "")

def test_start_up_stays_light():
    "The help imports neither torch nor what completes; a single command has its options from a parser of the same kind."
    code = "import sys\nfrom plm_nb.cli import parser\nparser().format_help()\nprint({'torch', 'pandas', 'argcomplete'} & sys.modules.keys())"
    assert process(sys.executable, "-c", code).stdout.strip()=="set()"

COUNTED = """command = "pretrain"
corpus = "{d}/corpus.txt"
tokenizer = "char"
arch = "ngram"
"""

def recipe_at(path, text, **places):
    for name,place in places.items(): text = text.replace(f"{{{name}}}", str(place))
    path.write_text(text)
    return path

def test_a_recipe_of_one_command(here, tmp_path, monkeypatch):
    "It does what would have been typed, and the run records that, so that it can be made again."
    monkeypatch.setattr(sys, "argv", ["plm", "run", "recipe.toml"])
    steps = recipe_at(tmp_path/"recipe.toml", COUNTED+'order = 2\nout = "{t}/made"\n', d=here, t=tmp_path)
    [step] = found("run", steps)["steps"]
    run = json.loads((tmp_path/"made/run.json").read_text())
    assert run["typed"]=="plm pretrain --corpus corpus.txt --tokenizer char --arch ngram --order 2 --out made"
    assert step["results"]["heldout"]["bits_per_byte"]==run["results"]["validation"]["bits_per_byte"]
    assert sys.argv==["plm", "run", "recipe.toml"]

STEPS = """[[step]]
command = "verify"
run = "{t}/run"

[[step]]
command = "predict"
file = "{d}/lines.txt"
model = "{clf}"
out = "{t}/answers.jsonl"
"""

def test_a_recipe_of_several(here, mlm, clf, tmp_path):
    "A step that finds something wrong is the last; --from-step passes over what is done."
    run = tmp_path/"run"
    shutil.copytree(mlm, run)
    steps = recipe_at(tmp_path/"recipe.toml", STEPS, d=here, clf=clf, t=tmp_path)
    done = found("run", steps)
    assert done["ok"] and done["steps"][0]["results"]["ok"] and done["steps"][1]["results"]["lines"]==3
    assert len((tmp_path/"answers.jsonl").read_text().splitlines())==3
    (run/"config.json").write_text("{}")
    code, out, _ = plm("run", steps, "--json")
    assert code==2 and len(json.loads(out)["steps"])==1
    assert len(found("run", steps, "--from-step", 2)["steps"])==1

WRONG_RECIPES = [ # text; what the one line must name
    ("command = ", "is no TOML"),
    ("corpus = 'a'", "command is missing"),
    ("command = 'pretrian'", "pretrian", "did you mean pretrain?"),
    ("command = 'run'\nfile = 'x'", "no command run"),
    (COUNTED+"vocab-size = 3", "plm pretrain has no vocab-size"),
    (COUNTED+"save_steps = 3", "no save_steps; did you mean save-steps?"),
    (COUNTED+"order = 'many'", "step 1", "--order", "many"),
    (COUNTED+"order = true", "order = True", "a value"),
    (COUNTED+"resume = 'yes'", "resume = yes", "true or false"),
    (COUNTED+"order = [2, 3]", "order = [2, 3]", "one value"),
    (COUNTED+"[set]\nmax_grad_norm = 1", "set = ", "text or a number"),
    (COUNTED+"[[step]]\ncommand = 'doctor'", "arch stands beside [[step]]"),
    ("[step]\ncommand = 'doctor'", "[[step]], in two brackets"),
    ("[[step]]\ncommand = 'doctor'\n[[step]]\ncommand = 'score'\nfile = 'x'", "step 2", "--model")]

@pytest.mark.parametrize("text, words", [(text, words) for text,*words in WRONG_RECIPES], ids=[words[0] for _,*words in WRONG_RECIPES])
def test_wrong_recipe(here, tmp_path, text, words):
    "The file, the step, what is wrong and what would be right; no step was done."
    steps = recipe_at(tmp_path/"recipe.toml", text, d=here)
    refused(*plm("run", steps), ["recipe.toml", *words])

@pytest.mark.parametrize("step", [0, 2])
def test_a_step_that_is_not_there(tmp_path, step):
    steps = recipe_at(tmp_path/"recipe.toml", "command = 'doctor'")
    refused(*plm("run", steps, "--from-step", step), [f"--from-step {step}", "is 1"])

def test_no_recipe(tmp_path): refused(*plm("run", tmp_path/"none.toml"), ["none.toml", "existing"])

def test_a_step_that_fails_is_named(here, tmp_path):
    steps = recipe_at(tmp_path/"recipe.toml", "[[step]]\ncommand = 'verify'\nrun = '{d}/folder'", d=here)
    code, _, err = plm("run", steps)
    assert code==2 and "recipe.toml, step 1, verify: " in err and "run.json" in err

class Terminal(io.StringIO):
    def isatty(self): return True

@pytest.mark.parametrize("more, no_color, colored", [((), "", True), (("--json",), "", False), ((), "1", False)])
def test_color_is_for_a_terminal(clf, monkeypatch, more, no_color, colored):
    "Not for a program that reads JSON, and not for who wants none."
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    err = Terminal()
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        assert main(["explain", "--model", str(clf), "--text", "a warm cat", "--method", "gradient", *more])==0
    assert ("\x1b[" in err.getvalue())==colored

def test_the_version(capsys):
    with pytest.raises(SystemExit) as ended: main(["--version"])
    assert ended.value.code==0 and capsys.readouterr().out==f"plm_nb {plm_nb.__version__}\n"

def test_what_is_no_text_for_a_terminal_is_written_out():
    "A line break and a mark that clears the screen are shown as they are written in Python"
    from plm_nb.cli import show
    assert show(dict(text="a\nb\x1b[2J语\ud83d"))=="text  a\\nb\\x1b[2J语\\ud83d"
