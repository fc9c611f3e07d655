"Names on the hub, asked of a small one on this machine: what is loaded, what is kept, and what is said when it cannot be had."
import hashlib, json, os, pickle, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, PreTrainedTokenizerFast

TESTS = Path(__file__).resolve().parents[1]

class Hub:
    "As much of the hub as its clients ask for: repositories with versions, in memory."
    def __init__(self):
        self.repos, self.log, self.wrong = {}, [], {}    # (kind, name) to versions; lines; name to what is wrong with it
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answers,), dict(hub=self)))
        self.port = self.server.server_port
        self.start()

    def start(self):
        if self.server is None: self.server = ThreadingHTTPServer(("127.0.0.1", self.port), type("Handler", (Answers,), dict(hub=self)))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs=dict(poll_interval=.02), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    def push(self, name, files, kind="models", tag=None):
        "A new version of `name`; its commit."
        if isinstance(files, Path): files = {p.relative_to(files).as_posix(): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        files = {k: v if isinstance(v, bytes) else v.encode() for k,v in files.items()}
        commit = hashlib.sha1(repr((name, sorted(files.items()))).encode()).hexdigest()
        versions = self.repos.setdefault((kind, name), {})
        versions[commit] = versions["main"] = commit, files
        if tag: versions[tag] = commit, files
        return commit

class Answers(BaseHTTPRequestHandler):
    def log_message(self, *args): pass

    def say(self, status, body=b"", **headers):
        if not isinstance(body, bytes): body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        self.send_response(status)
        for name,value in {"Content-Length": len(body), **headers}.items(): self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command!="HEAD": self.wfile.write(body)

    def do_POST(self):
        self.asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer()

    def answer(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.log.append(f"{self.command} {path}")
        api = path.startswith("api/")
        kind, _, rest = path.removeprefix("api/").partition("/")
        if kind not in ("models", "datasets"): kind, rest = "models", path
        name, parts = "/".join(rest.split("/")[:2]), rest.split("/")[2:]
        wrong = self.hub.wrong.get(name)
        if wrong=="silent": return time.sleep(60)
        if wrong=="gated": return self.say(401, X_Error_Code="GatedRepo")
        if wrong=="broken": return self.say(500)
        versions = self.hub.repos.get((kind, name))
        if versions is None: return self.say(401 if wrong=="private" else 404, X_Error_Code="RepoNotFound")
        what, revision, *file = [*parts, "main"] if len(parts)==1 else parts or ["revision", "main"]
        if revision not in versions: return self.say(404, X_Error_Code="RevisionNotFound")
        commit, files = versions[revision]
        file = "/".join(file)
        if not api: return self.give(commit, files, file, wrong)
        listed = [dict(type="file", path=path, oid=hashlib.sha1(body).hexdigest(), size=len(body)) for path,body in files.items()]
        if what=="revision": return self.say(200, dict(id=name, sha=commit, siblings=[dict(rfilename=f) for f in files], tags=[], private=False))
        if what=="tree": return self.say(200, [one for one in listed if one["path"].startswith(file)])
        paths = dict(p.split("=") for p in unquote(self.asked.decode()).split("&")) if b"=" in self.asked else json.loads(self.asked or b"{}")
        return self.say(200, [one for one in listed if one["path"] in str(paths)]) # paths-info

    def give(self, commit, files, file, wrong):
        if file not in files: return self.say(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        body, seen = files[file], self.headers.get("Range")
        about = dict(ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=commit, Accept_Ranges="bytes")
        if seen:
            first, _, last = seen.removeprefix("bytes=").partition("-")
            if wrong=="truncated": return self.say(416)
            part = body[int(first):int(last)+1 if last else None]
            return self.say(206, part, Content_Range=f"bytes {first}-{int(first)+len(part)-1}/{len(body)}", **about)
        if wrong=="truncated" and self.command=="GET" and file.endswith(".safetensors"):
            self.send_response(200)
            for key,value in {**about, "Content-Length": len(body)}.items(): self.send_header(key.replace("_", "-"), str(value))
            self.end_headers()
            self.wfile.write(body[:len(body)//2])
            return self.connection.shutdown(socket.SHUT_RDWR)
        self.say(200, body, **about)

    do_GET = do_HEAD = answer

CHILD = """
import contextlib, io, json, os, sys, warnings
sys.path.insert(0, sys.argv[1])
from network import offline
offline() # but for this machine
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from plm_nb.models import load, saved_config
from plm_nb.tokenizer import _copied, commit_of, load_tokenizer
from plm_nb.data import load_corpus, load_hub
from plm_nb import load_task, predict
from plm_nb.cli import main
def plm(*args):
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()): code = main([*args])
    return [code, err.getvalue()]
print("ready", file=answers, flush=True)
for line in sys.stdin:
    _copied.cache_clear()
    try: found = dict(value=eval(json.loads(line)))
    except Exception as error: found = dict(error=f"{type(error).__name__}: {error}")
    print(json.dumps(found, default=str), file=answers, flush=True)
"""

@pytest.fixture(scope="module")
def hub():
    hub = Hub()
    yield hub
    if hub.server: hub.stop()

@pytest.fixture(scope="module")
def env(hub, tmp_path_factory):
    "Of a client that knows only the small hub, with an empty cache, and not offline."
    home = tmp_path_factory.mktemp("home")
    gone = {k: v for k,v in os.environ.items() if not k.startswith("HF_")}
    return dict(gone, HF_ENDPOINT=f"http://127.0.0.1:{hub.port}", HF_HOME=str(home), HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1",
                HF_DATASETS_DISABLE_PROGRESS_BARS="1", NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")

@pytest.fixture(scope="module")
def ask(hub, env):
    "What an expression is in the client's process; an error comes as a string."
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(TESTS)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline()=="ready\n"
    def ask(code):
        del hub.log[:]
        child.stdin.write(json.dumps(code)+"\n")
        child.stdin.flush()
        found = json.loads(child.stdout.readline())
        return found.get("error") or found["value"]
    yield ask
    child.kill()
    child.wait()

@pytest.fixture(scope="module")
def words():
    vocab = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on mat".split()
    plain = Tokenizer(models.WordLevel({w: i for i,w in enumerate(vocab)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")

def small(kind, seed=0):
    torch.manual_seed(seed)
    return kind(BertConfig(vocab_size=10, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32))

SUM = ".base_model.embeddings.word_embeddings.weight.sum().item()"
def total(model): return model.base_model.embeddings.word_embeddings.weight.sum().item()

@pytest.fixture(scope="module")
def bert(hub, words, tmp_path_factory):
    "Two versions of a model: the folders, and their commits."
    folders, commits = [], []
    for seed in (0, 1):
        d = tmp_path_factory.mktemp(f"bert{seed}")
        small(BertForMaskedLM, seed).save_pretrained(d)
        words.save_pretrained(d)
        (d/"README.md").write_text("# A model")
        (d/"program.py").write_text("raise SystemExit('ran')")
        (d/"pytorch_model.bin").write_bytes(b"a pickle")
        (d/"onnx").mkdir()
        (d/"onnx/config.json").write_text("{}")
        folders.append(d)
        commits.append(hub.push("owner/bert", d, tag=f"v{seed}"))
    return folders, commits

def one_line(said, *words):
    assert said.startswith("InputError: ") and "\n" not in said, said
    for word in words: assert word in said, said

def test_a_model_and_its_tokenizer(hub, ask, bert, words):
    assert ask("saved_config('owner/bert').architectures")==["BertForMaskedLM"]
    assert not any("safetensors" in line for line in hub.log), "the weights are not needed yet"
    assert ask("load('owner/bert')"+SUM)==pytest.approx(total(small(BertForMaskedLM, 1)))
    assert not [line for line in hub.log if line.endswith((".py", ".bin", ".md", "onnx/config.json"))], hub.log
    assert ask("load_tokenizer('owner/bert')('the cat')['input_ids']")==words("the cat")["input_ids"]
    assert ask("load('owner/bert')"+SUM) and not [line for line in hub.log if "/resolve/" in line], "all is in the cache"

def test_a_version(ask, bert):
    folders, (old, new) = bert
    assert ask("commit_of('owner/bert')")==new and ask("commit_of('owner/bert', 'v0')")==old
    assert ask(f"commit_of({str(folders[0])!r})") is None
    for revision in ("v0", old): assert ask(f"load('owner/bert', revision={revision!r})"+SUM)==pytest.approx(total(small(BertForMaskedLM)))
    assert ask(f"load_tokenizer('owner/bert', revision={old!r})('the')['input_ids']")
    one_line(ask("load('owner/bert', revision='v7')"), "owner/bert", "no such revision")
    one_line(ask(f"load({str(folders[0])!r}, revision='v0')"), "only a name on the hub has revisions")

def test_without_a_network(hub, ask, bert):
    new = ask("commit_of('owner/bert')")
    for revision in ("None", "'v0'"): ask(f"load('owner/bert', revision={revision})"+SUM)
    ask("load_tokenizer('owner/bert')('the')")
    hub.stop()
    start = time.time()
    try:
        assert ask("commit_of('owner/bert')")==new
        assert ask("load('owner/bert')"+SUM)==pytest.approx(total(small(BertForMaskedLM, 1)))
        assert ask("load('owner/bert', revision='v0')"+SUM)==pytest.approx(total(small(BertForMaskedLM)))
        assert ask("len(load_tokenizer('owner/bert'))")==10
        for code in ("load('owner/never')", "load_tokenizer('owner/never')", "load_corpus('owner/never')"):
            one_line(ask(code), "owner/never", "cannot be reached")
        assert time.time()-start<8
    finally: hub.start()

@pytest.mark.parametrize("wrong,says", [("gated", "consent"), ("private", "private"), (None, "does not have it"), ("broken", "refuses to answer")])
def test_what_the_hub_refuses(hub, ask, wrong, says, tmp_path):
    name = f"owner/{wrong}"
    hub.wrong[name] = wrong
    for code in (f"load({name!r})", f"load_tokenizer({name!r})", f"load_corpus({name!r})", f"load_task({name!r})"): one_line(ask(code), name, says)
    (tmp_path/"lines.txt").write_text("the cat\n")
    code, err = ask(f"plm('predict', {str(tmp_path/'lines.txt')!r}, '--model', {name!r})")
    assert code==2 and err.count("\n")==1 and says in err, err

def test_a_hub_that_never_answers(hub, ask, bert):
    ask("load('owner/bert')"+SUM)
    hub.wrong |= {"owner/silent": "silent", "owner/bert": "silent"}
    start = time.time()
    try:
        one_line(ask("load('owner/silent')"), "owner/silent", "cannot be reached (ReadTimeout)")
        assert time.time()-start<9
        assert ask("load('owner/bert')"+SUM) # of the cache
        assert time.time()-start<18
    finally: del hub.wrong["owner/bert"]

def test_weights_that_end_early(hub, ask, bert):
    [folder, _], _ = bert
    hub.push("owner/cut", folder)
    hub.wrong["owner/cut"] = "truncated"
    one_line(ask("load('owner/cut')"), "owner/cut", "broke off", "try again")
    del hub.wrong["owner/cut"]
    assert ask("load('owner/cut')"+SUM)
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    hub.push("owner/short", dict(files, **{"model.safetensors": files["model.safetensors"][:-100]}))
    one_line(ask("load('owner/short')"), "owner/short", "model.safetensors")

class Program:
    "What a pickle does that is more than data."
    def __init__(self, path): self.path = path
    def __reduce__(self): return (open, (str(self.path), "w"))

def pickled(folder, words):
    "A folder of the old kind, with a pickle of weights."
    model = small(BertForMaskedLM)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    (folder/"model.safetensors").unlink()
    torch.save(model.state_dict(), folder/"pytorch_model.bin")
    return model

def test_a_pickle_of_weights(hub, ask, words, tmp_path):
    model = pickled(tmp_path, words)
    hub.push("owner/old", tmp_path)
    assert ask("load('owner/old')"+SUM)==pytest.approx(total(model))
    assert ask(f"load({str(tmp_path)!r})"+SUM)==pytest.approx(total(model))

@pytest.mark.parametrize("save", [lambda state, path: torch.save(state, path), lambda state, path: path.write_bytes(pickle.dumps(state)),
                                  lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False)])
def test_a_pickle_of_a_program(hub, ask, words, tmp_path, save):
    model = pickled(tmp_path, words)
    ran = tmp_path/"ran"
    save({**model.state_dict(), "extra": Program(ran)}, tmp_path/"pytorch_model.bin")
    name = f"owner/evil{hashlib.sha1((tmp_path/'pytorch_model.bin').read_bytes()).hexdigest()[:4]}"
    hub.push(name, tmp_path)
    for path in (name, str(tmp_path)): one_line(ask(f"load({path!r})"), path, "perhaps a program", "not read")
    assert not ran.exists()

def test_code_is_never_run(hub, ask, bert, tmp_path):
    [folder, _], _ = bert
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    config = json.loads(files["config.json"])
    ran = tmp_path/"ran"
    files["code.py"] = f"open({str(ran)!r}, 'w')\n".encode()
    files["tokenizer_config.json"] = json.dumps(dict(json.loads(files["tokenizer_config.json"]), auto_map=dict(AutoTokenizer=["code.T", "code.T"]))).encode()
    own = dict(auto_map={"AutoConfig": "code.C", "AutoModelForMaskedLM": "code.M", "AutoModel": "code.M"})
    hub.push("owner/code", dict(files, **{"config.json": json.dumps(dict(config, model_type="new", **own))}))
    hub.push("owner/known", dict(files, **{"config.json": json.dumps(dict(config, **own))}))
    for code in ("load('owner/code')", "saved_config('owner/code')"):
        one_line(ask(code), "owner/code", "custom code")
    for code in ("load_tokenizer('owner/code')", "load_tokenizer('owner/known')"): ask(code)
    assert ask("type(load('owner/known')).__module__")=="transformers.models.bert.modeling_bert" # the library's own
    assert not ran.exists() and not any(line.endswith(".py") for line in hub.log)

CARD = """---
configs:
- config_name: one
  data_files:
  - {split: train, path: one/train.jsonl}
  - {split: test, path: one/test.jsonl}
- config_name: two
  data_files: two.jsonl
---
"""
def rows(label, n=30): return "".join(json.dumps(dict(text=f"the {label} number {i} sat", label=label))+"\n" for i in range(n))

def test_a_data_set_with_configurations(hub, ask):
    files = {"README.md": CARD, "one/train.jsonl": rows("cat")+rows("mat"), "one/test.jsonl": rows("cat"), "two.jsonl": rows("rat")+rows("bat")}
    old = hub.push("owner/data", files, "datasets")
    hub.push("owner/data", dict(files, **{"two.jsonl": rows("new", 50)}), "datasets")
    assert ask("sorted(load_corpus('owner/data:one'))")==["test", "train", "validation"]
    assert ask("[sorted(load_task('owner/data:one')), load_task('owner/data:one')['test']['text'][0]]")==[["test", "train"], "the cat number 0 sat"]
    assert ask("load_hub('owner/data:two')['train'].num_rows")==50
    assert ask(f"load_hub('owner/data:two', {old!r})['train'].num_rows")==60
    for source in ("owner/data", "owner/data:three"): one_line(ask(f"load_corpus({source!r})"), source, "'one', 'two'", "colon")
    one_line(ask("load_hub('owner/data:one', 'v9')"), "no such revision")
    hub.push("owner/data-1.5", {"train.jsonl": rows("cat")}, "datasets") # a version, and no suffix of a file
    assert ask("load_task('owner/data-1.5').name")=="owner/data-1.5 of train"
    hub.stop()
    try:
        assert ask("load_hub('owner/data:one')['train'].num_rows")==60
        assert ask(f"load_hub('owner/data:two', {old!r})['train'].num_rows")==60
        one_line(ask(f"load_hub('owner/data:one', {'0'*40!r})"), "cannot be reached")
        one_line(ask("load_hub('owner/data:three')"), "cannot be reached")
    finally: hub.start()
