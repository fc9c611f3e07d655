"""What is trained, and a server that trains it in a process of its own and kills that process where it is told to.

`python jobs.py` reads a job a line, forks a child for it, and writes a line that says how the child ended. The server
imports everything once and never computes, so a child starts in a fifth of a second.
"""
import gc, json, logging, mmap, os, re, resource, signal, sys, tempfile, time, traceback
from functools import cache
from hashlib import sha256
from pathlib import Path
from datasets import Dataset
from tqdm import tqdm
from transformers import TrainerCallback
from forks import end_after, own_locks
from plm_nb.files import InputError
from plm_nb.text_classification import encode_rows
from plm_nb.finetuning import padded
from plm_nb.objectives import CausalLM, MaskedLM
from plm_nb.packing import pack
from plm_nb.tokenizer import train_tokenizer
from plm_nb.checkpoints import ResumableTrainer
from plm_nb.budgets import arguments
from plm_nb.models import build

TEXTS = [" ".join(f"word{(i*j)%31}" for j in range(1, 4+i%11)) for i in range(60)]
PHASES = "starting", "in a step", "in saving", "in rotating"
LIMIT = 90 # seconds for a job, unless it names its own; on a quiet machine the longest takes five

@cache
def tokenizer(): return train_tokenizer(TEXTS, "wordpiece", 120)

def blocks(tok): return pack(TEXTS, tok, 16).select(range(20))

def sorted_texts(tok): return encode_rows(Dataset.from_dict(dict(text=TEXTS[:20], label=[0, 1, 2, 1]*5)), tok)[0]

TASKS = dict( # rows, collator, what `build` takes, settings: two or three epochs, checkpoints in the middle of them
    mlm=(blocks, lambda tok: MaskedLM(tok, mlm_probability=(.3, .15)), dict(task="fill-mask", arch="bert"),
         dict(steps=14, save_steps=3, per_device_train_batch_size=4)),
    clm=(blocks, CausalLM, dict(task="text-generation", arch="gpt2"),
         dict(steps=13, save_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2)),
    classes=(sorted_texts, padded, dict(task="text-classification", arch="bert", labels=["a", "b", "c"]),
             dict(epochs=2, save_steps=3, per_device_train_batch_size=3, train_sampling_strategy="group_by_length",
                  eval_strategy="steps", eval_steps=3, metric_for_best_model="loss")))

def trainer(task, out, rows=None, collator=None, size="tiny", callbacks=(), metrics=None, **changes):
    "A trainer of `task` with dropout, whose checkpoints lie in `out`; `changes` of its settings."
    tok = tokenizer()
    own, collate, kind, usual = TASKS[task]
    own, settings = own(tok), {**dict(seed=3, learning_rate=1e-3, logging_steps=1), **usual, **changes}
    return ResumableTrainer(model=build(size, tok, dropout=.1, **kind), args=arguments(str(out), **settings),
                   train_dataset=own if rows is None else rows, data_collator=collator or collate(tok),
                   eval_dataset=own.select(range(6)) if "eval_strategy" in settings else None,
                   processing_class=tok, callbacks=list(callbacks), compute_metrics=metrics)

def ends(t):
    "What a run comes to: a fingerprint of its weights, its steps, and the losses on the way."
    found = sha256()
    for name,w in sorted(t.model.state_dict().items()): found.update(name.encode()+w.contiguous().numpy().tobytes())
    losses = [[l["step"], l["loss"]] for l in t.state.log_history if "loss" in l]
    return dict(weights=found.hexdigest(), steps=t.state.global_step, losses=losses)

class Watch:
    "Follows what this process does to the folder `out`, and kills it before change number `at`; None: only counts."
    GONE = {"os.remove", "os.rmdir", "shutil.rmtree"}
    CHANGES = GONE | {"os.rename", "os.mkdir", "os.truncate", "os.link", "os.symlink"}

    def __init__(self, out, memory, at=None, torn=False):
        self.out, self.memory, self.at, self.torn, sync = os.path.abspath(out), memory, at, torn, os.fsync
        def fsync(fd): self.change("os.fsync", self.out); sync(fd)
        os.fsync = fsync # of which no audit hook hears
        sys.addaudithook(self.hear)

    def hear(self, event, args):
        "Every audit event of this process."
        writes = event=="open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY|os.O_RDWR)
        if not writes and event not in self.CHANGES or isinstance(args[0], int): return
        inside = event in self.GONE and args[-1] not in (-1, None) # a name in a folder that `rmtree` opened
        if inside or os.path.abspath(os.fspath(args[0])).startswith(self.out): self.change(event, os.fspath(args[0]))

    def change(self, event, path):
        "A call that changes the disk is about to happen."
        goes = event in self.GONE | {"os.rename"} and re.search(r"checkpoint-\d+(?!.*\.partial)", path)
        if goes: self.phase("in rotating")
        elif event not in self.GONE and self.memory[0]!=0: self.phase("in saving")
        self.memory[1] += 1
        if self.memory[1]==self.at: self.kill()

    def phase(self, name): self.memory[0] = PHASES.index(name)

    def kill(self):
        if self.torn: tear(self.out)
        os.kill(os.getpid(), signal.SIGKILL)

def tear(out):
    "Cut the newest file of an unfinished checkpoint in half: so a kill in the middle of writing it leaves it."
    files = sorted(Path(out).glob("*.partial/**/*"), key=lambda p: p.stat().st_mtime_ns)
    if files and files[-1].is_file(): os.truncate(files[-1], files[-1].stat().st_size//2)

class Steps(TrainerCallback):
    "Tells the watch that a step begins, and kills after step `last`."
    def __init__(self, watch, last=None): self.watch, self.last = watch, last
    def on_step_begin(self, args, state, control, **kwargs):
        self.watch.phase("in a step")
        if self.watch.memory[2]<0: self.watch.memory[2] = state.global_step
        if state.global_step==self.last: self.watch.kill()

def work(task, out, memory, resume=True, at=None, torn=False, last=None, limit=None, **changes):
    "One run, in this process; with a `limit`, in bytes, of what a file may hold."
    watch = Watch(out, memory, at, torn)
    t = trainer(task, out, callbacks=[Steps(watch, last)], **changes)
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    t.train(resume_from_checkpoint=resume or None)
    return ends(t)

def die_with_locks(**ignored):
    "Be killed with every lock in hand that a child could hand down to the next one."
    tqdm.get_lock().acquire()
    logging._acquireLock()
    for handler in logging.root.handlers: handler.acquire()
    os.kill(os.getpid(), signal.SIGKILL)

def hang(**ignored):
    "Wait for what never comes."
    while True: time.sleep(1)

WORKS = dict(train=work, die_with_locks=die_with_locks, hang=hang)

def child(job, memory, said):
    "Do `job` and leave, with its result in the file `said`; exit code 2 for an `InputError`, 1 for any other error."
    end_after(job.pop("limit_seconds", LIMIT))
    do, code = WORKS[job.pop("do", "train")], 0
    try: json.dump(do(memory=memory, **job), said)
    except InputError as e: print(f"InputError: {e}", file=sys.stderr); code = 2
    except SystemExit as e: code = e.code
    except BaseException: traceback.print_exc(); code = 1
    for f in (said, sys.stderr): f.flush()
    os._exit(code)

def run(job, memory):
    "Fork a child for `job`; SIGKILL it after `job['after']` seconds, if that is given. `late`: it was ended at its limit."
    after, start = job.pop("after", None), time.monotonic()
    memory[0], memory[1], memory[2] = 0, 0, -1 # phase, changes of the disk so far, first step that was begun
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as err:
        if not (pid := os.fork()):
            os.dup2(err.fileno(), 2); os.dup2(2, 1)
            child(job, memory, said)
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if after is not None and time.monotonic()-start>after: os.kill(pid, signal.SIGKILL); after = None
            time.sleep(.001)
        said.seek(0)
        err.seek(0)
        code, stderr = os.waitstatus_to_exitcode(ended[1]), err.read()
        return dict(code=code, phase=PHASES[memory[0]], changes=memory[1], first=None if memory[2]<0 else memory[2],
                    seconds=time.monotonic()-start, stderr=stderr, late=code==1 and "Timeout (" in stderr,
                    **json.loads(said.read() or "{}"))

def warm_up():
    "Do once what every child would do before its first step."
    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS: trainer(task, folder).save_model()
    gc.collect(); gc.freeze()

if __name__=="__main__":
    own_locks()
    warm_up()
    answers = os.fdopen(os.dup(1), "w")
    memory = memoryview(mmap.mmap(-1, 24)).cast("q") # shared with every child
    os.dup2(2, 1) # nothing but answers on the standard output
    for line in sys.stdin: print(json.dumps(run(json.loads(line), memory)), file=answers, flush=True)
