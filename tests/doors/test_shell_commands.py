"""Every subcommand as a process of its own: what it prints when it succeeds, the one object of `--json`, and the one line for what is
most likely typed wrong. The processes are forks of one that has imported everything, so that each takes its own time only."""
import json, os, shlex, subprocess, sys
from pathlib import Path
import pytest
from plm_nb.cli import COMMANDS

TESTS = str(Path(__file__).resolve().parents[1])
SERVER = """
import json, os, sys, traceback
from forks import end_after, own_locks
own_locks()
import sklearn.model_selection, torch, transformers.trainer
import plm_nb.audit, plm_nb.conformance, plm_nb.estimators, plm_nb.onnx_models, plm_nb.pipelines, plm_nb.speed
from plm_nb.cli import main

def answer(words):
    "The exit code of `plm` with these `words`, in a child whose standard streams are files."
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd,name in ((1, "stdout"), (2, "stderr")): os.dup2(os.open(name, os.O_CREAT|os.O_WRONLY|os.O_TRUNC, 0o600), fd)
    end_after(200)
    sys.argv = ["plm", *words]
    try: return main()
    except SystemExit as e: return e.code or 0
    except BaseException:
        traceback.print_exc()
        return 1

for line in sys.stdin:
    child = os.fork()
    if not child:
        code = answer(json.loads(line))
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

WORDS = dict(bad="cold dark sad wet grey".split(), good="warm bright glad dry green".split())
NOUNS = "cat dog bird tree house river child stone".split()

def rows(n):
    "`n` rows `(text, label)`, no two alike."
    for i in range(n):
        label = sorted(WORDS)[i%2]
        yield f"{i} the {WORDS[label][i%5]} {NOUNS[i%8]} sees the {NOUNS[i//8%8]}", label

RECIPE = """[[step]]
command = "pretrain"
corpus = "corpus.txt"
tokenizer = "words"
arch = "ngram"
order = 2
out = "counted"

[[step]]
command = "verify"
run = "counted"
"""

MAKE = [
    "tokenizer --corpus corpus.txt --kind char --vocab-size 99 --out words",
    "pretrain --corpus corpus.txt --tokenizer words --size tiny --block-size 32 --steps 2 --out mlm",
    "pretrain --corpus corpus.txt --tokenizer words --objective clm --arch gpt2 --size tiny --block-size 64 --steps 2 --out clm",
    "finetune --data rows.csv --model mlm --max-length 64 --epochs 1 --seeds 2 --out clf",
    "finetune --task dialogue --data talks.jsonl --tokenizer words --size tiny --arch gpt2 --max-length 64 --epochs .2 --out chat"]

@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    "A function that types a line in a folder with a few files and runs: its exit code and what it printed."
    d = tmp_path_factory.mktemp("shell")
    texts = [text for text,_ in rows(80)]
    (d/"corpus.txt").write_text("\n".join(texts*9))
    (d/"rows.csv").write_text("text,label\n"+"".join(f"{text},{label}\n" for text,label in rows(80)))
    (d/"lines.txt").write_text("a warm cat\nthe dark dog\n")
    talks = [[dict(role="user", content=text), dict(role="assistant", content=label)] for text,label in rows(40)]
    (d/"talks.jsonl").write_text("".join(json.dumps(dict(messages=talk))+"\n" for talk in talks))
    (d/"recipe.toml").write_text(RECIPE)
    (d/"wrong.toml").write_text(RECIPE.replace("order", "ordr"))
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=d, env=dict(os.environ, PYTHONPATH=TESTS), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    def typed(line):
        print(json.dumps(shlex.split(line)), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return code, (d/"stdout").read_text(), (d/"stderr").read_text()
    yield typed
    server.stdin.close()
    server.stdout.close()
    server.wait()

@pytest.fixture(scope="module")
def made(shell):
    "What was said where the runs were made, by line."
    return {line: shell(f"{line} --json") for line in MAKE}

HELDOUT = "heldout.nats_per_token heldout.bits_per_byte heldout.perplexity"
GOOD = [ # line, and keys that CLI.md fixes
    (MAKE[0], "vocab_size bytes_per_token unknown_rate sha256"),
    (MAKE[1], "train.loss train.tokens train.seconds heldout.nats_per_token"),
    (MAKE[2], "train.loss train.tokens train.seconds "+HELDOUT),
    (MAKE[3], "validation.accuracy test.precision test.recall test.f1"),
    (MAKE[4], "out"),
    ("evaluate --data rows.csv --model clf/seed-0", "validation.accuracy validation.precision validation.recall validation.f1"),
    ("score lines.txt --model clm", "nats_per_token bits_per_byte perplexity tokens bytes"),
    ("fill 'the w___rm cat' --model mlm", "answers"),
    ("generate --model clm --prompt the --max-new-tokens 4", "text"),
    ("chat --model chat --prompt hello --max-new-tokens 4", "text"),
    ("check --model clm", "checks"),
    ("compare clf/seed-0 clf/seed-1", "verdict difference low high p rows_needed"),
    ("tune --data rows.csv --tokenizer words --size tiny --max-length 32 --search epochs=0.1,0.2 --folds 2 --inner 2",
     "best nested naive"),
    ("compress --model clf/seed-0 --method bf16 --data rows.csv --out small", "bytes_before bytes_after latency_ratio"),
    ("explain --model clf/seed-0 --text 'a warm cat' --method gradient", "tokens attributions"),
    ("audit --model clm --out audited", "findings"),
    ("verify clf/seed-0", "ok files scores"),
    ("bench tokenize --quick", "ratios.vs_recipe machine"),
    ("doctor", "extras hub cache"),
    ("data describe --corpus corpus.txt", ""),
    ("lab mine --copy-only", "folder copied kept"),
    ("run recipe.toml", "ok steps")]
ELSEWHERE = {"predict", # which prints JSON lines: below
             "demo"} # minutes long; .ci/run walks it with the built wheel

@pytest.mark.parametrize("line, keys", GOOD, ids=[line.split(" --")[0] for line,_ in GOOD])
def test_success(shell, made, line, keys):
    "One JSON object, its fixed keys in it; standard error is no terminal, so no bar and no color is on it."
    code, out, err = made[line] if line in made else shell(f"{line} --json")
    assert code==0, err
    assert out.count("\n")==1 and "\r" not in err and "\x1b" not in err
    found = json.loads(out)
    for key in keys.split():
        value = found
        for name in key.split("."): value = value[name]

def test_every_command_is_here():
    assert {line.split()[0] for line,_ in GOOD}|ELSEWHERE=={*COMMANDS}
    assert {line.split()[0] for line,*_ in WRONG}=={*COMMANDS}

def test_predict(shell, made):
    "One JSON line for each line of the input, with `--json` and without."
    for line in ("predict lines.txt --model clf/seed-0", "predict lines.txt --model clf/seed-0 --json"):
        code, out, err = shell(line)
        assert code==0, err
        assert [json.loads(row)["text"] for row in out.splitlines()]==["a warm cat", "the dark dog"]

@pytest.mark.parametrize("line, said", [("verify clf/seed-0", "model.safetensors"), ("run recipe.toml --from-step 2", "plm verify counted")])
def test_people_read_a_table(shell, made, line, said):
    if line.startswith("run"): shell("run recipe.toml") # unless it was done
    code, out, _ = shell(line)
    assert code==0 and said in out and not out.startswith("{") and out.count("\n")>3

WRONG = [ # line, and what its answer names
    ("demo --out mlm", "mlm", "another run"),
    ("tokenizer --corpus none.txt --out no", "none.txt", "existing"),
    ("pretrain --corpus corpus.txt --steps 1 --out no", "--tokenizer"),
    ("finetune --data none.csv --model mlm --out no", "none.csv", "existing"),
    ("evaluate --data rows.csv --model none", "none", "folder"),
    ("predict none.txt --model clf/seed-0", "none.txt", "existing"),
    ("score lines.txt --model clf/seed-0", "clf/seed-0"),
    ("fill 'the warm cat' --model mlm", "___"),
    ("generate --model mlm --prompt the", "mlm"),
    ("chat --model clf/seed-0 --prompt hello", "clf/seed-0", "dialogue"),
    ("check --model words", "words"),
    ("compare clf/seed-0", "clf/seed-0", "two"),
    ("tune --data rows.csv --tokenizer words --search epochs", "epochs=2,5"),
    ("compress --model clf/seed-0 --method zip --data rows.csv --out no", "zip", "prune"),
    ("explain --model clf/seed-0 --text cat --method magic", "magic", "gradient"),
    ("audit --model none", "none"),
    ("verify rows.csv", "rows.csv", "folder"),
    ("bench speeed", "speeed", "ladder"),
    ("doctor --agian", "--agian", "did you mean --again?"),
    ("data descirbe --corpus corpus.txt", "descirbe", "describe"),
    ("lab rows.csv", "rows.csv", "folder"),
    ("run wrong.toml", "wrong.toml", "step 1", "ordr", "did you mean order?")]

@pytest.mark.parametrize("line, words", [(line, words) for line,*words in WRONG], ids=[line.split()[0] for line,*_ in WRONG])
def test_wrong_input(shell, made, line, words):
    "Exit code 2, one line with what, where and what would be right, and nothing on standard output."
    code, out, err = shell(f"{line} --json")
    assert (code, out, err.count("\n"))==(2, "", 1), err
    assert err.startswith(f"plm {line.split()[0]}: ")
    for word in words: assert word in err, err
