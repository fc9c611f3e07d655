"""Kill a training at any moment, go on, and compare with the training that was left alone.

The long form, with its result in one line: `python tests/faults/kills.py --kills 60`.
"""
import argparse, json, os, random, shutil, signal, subprocess, sys, tempfile, threading
from collections import Counter
from pathlib import Path

TASKS = dict(mlm=3, clm=2, classes=3) # of jobs.py, with the steps between their checkpoints
TESTS = str(Path(__file__).resolve().parents[1])
ENV = dict(os.environ, OMP_NUM_THREADS="1", PLM_CALIBRATE="0", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", TQDM_DISABLE="1",
           HF_DATASETS_DISABLE_PROGRESS_BARS="1", PYTHONPATH=TESTS)

class Jobs:
    "The server of `jobs.py`: call it with a job, get how it ended. A job that hangs is an error, and the next one goes on."
    LIMIT = 150 # seconds until the server itself is given up: longer than it gives a job

    def __init__(self): self.start()

    def start(self):
        self.server = subprocess.Popen([sys.executable, Path(__file__).with_name("jobs.py")], env=ENV, text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def __call__(self, **job):
        guard = threading.Timer(self.LIMIT, self.kill)
        guard.start()
        try:
            print(json.dumps(job, default=str), file=self.server.stdin, flush=True)
            answer = self.server.stdout.readline()
        finally: guard.cancel()
        if not answer:
            self.close()
            self.start()
            raise RuntimeError(f"the server of jobs.py ended, or said nothing in {self.LIMIT} s, at the job {job}")
        found = json.loads(answer)
        if found["late"]: raise TimeoutError(f"the job {job} was ended at its limit, where it stood:\n{found['stderr']}")
        return found

    def kill(self):
        "End the server and its child."
        try: os.killpg(self.server.pid, signal.SIGKILL)
        except ProcessLookupError: pass

    def close(self, limit=5):
        "Let the server end by itself; after `limit` seconds, end it."
        self.server.stdin.close()
        try: self.server.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            self.server.wait(limit)

def folders(out):
    "Steps of the sealed checkpoints in `out`, and the folders that are none."
    sealed = {p: not p.suffix and (p/"MANIFEST.json").is_file() for p in Path(out).glob("checkpoint-*")}
    return [int(p.name.split("-")[1]) for p in sealed if sealed[p]], [p for p in sealed if not sealed[p]]

class Kills:
    "Kills runs, resumes them, and keeps count."
    def __init__(self, jobs, folder):
        self.jobs, self.folder, self.whole = jobs, Path(folder), {}
        self.fell, self.passed, self.wrong = Counter(), 0, []

    def alone(self, task):
        "The run of `task` that nobody kills."
        if task not in self.whole:
            self.whole[task] = found = self.jobs(task=task, out=self.folder/f"{task}-alone", resume=False)
            assert found["code"]==0, found["stderr"]
        return self.whole[task]

    def go_on(self, task, out, **when):
        "Resume the run in `out` until it is killed; None if it comes to its end before, and is compared."
        last = max(folders(out)[0], default=0)
        found = self.jobs(task=task, out=out, **when)
        if found["first"] not in (None, last): self.wrong.append(f"{out.name}: began at {found['first']}, not {last}")
        if found["code"]==-9:
            self.fell[found["phase"]] += 1
            self.passed += len(folders(out)[1])>0
            return found
        if any(found.get(k)!=self.alone(task)[k] for k in ("weights", "steps", "losses")):
            self.wrong.append(f"{out.name}: {found['stderr'][-2000:] or found}")

    def random(self, task, n, seed=0):
        "Kill runs of `task` `n` times: at random moments and random changes of the disk, with files half-written."
        rng, whole, out, left = random.Random(f"{task} {seed}"), self.alone(task), None, n
        while left:
            out = self.folder/f"{task}-{seed}-{left}"
            while left:
                when = (dict(after=rng.uniform(0, whole["seconds"])) if rng.random()<.5 else
                        dict(at=rng.randint(1, whole["changes"]), torn=rng.random()<.5))
                if not self.go_on(task, out, **when): break
                left -= 1
            else: self.go_on(task, out)
            shutil.rmtree(out)

    def systematic(self, task, every=1, halves=(False, True)):
        "Kill before changes of the disk that a save and a rotation make, with the newest file whole, or in half."
        before, save = self.folder/f"{task}-before", TASKS[task]
        assert self.go_on(task, before, last=3*save+1)
        counted = shutil.copytree(before, self.folder/f"{task}-count")
        changes = self.go_on(task, counted, last=4*save+1)["changes"]
        assert changes>20, "a save and a rotation were expected"
        for at in range(1, changes+1, every):
            for half in halves[at//every%2:][:len(halves)//every]:
                out = shutil.copytree(before, self.folder/f"{task}-at-{at}-{half:d}")
                self.go_on(task, out, at=at, torn=half)
                if len(sealed := folders(out)[0])<2: self.wrong.append(f"{out.name}: only {sealed} is left")
                self.go_on(task, out)
                shutil.rmtree(out)

    def summary(self):
        "What happened, in a line."
        fell = ", ".join(f"{n} {phase}" for phase,n in sorted(self.fell.items()))
        return (f"{self.fell.total()} kills ({fell}), {self.passed} half-written folders passed over; "
                f"weights, steps and losses bit-equal: {'NO' if self.wrong else 'yes'}")

def main(n):
    "The long form."
    jobs = Jobs()
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(jobs, folder)
        for task in TASKS: kills.random(task, -(-n//len(TASKS)))
        print("random:", kills.summary(), flush=True)
        kills.fell.clear(); kills.passed = 0
        for task in TASKS: kills.systematic(task)
        print("systematic:", kills.summary())
        print(*kills.wrong, sep="\n", file=sys.stderr)
    jobs.close()
    return len(kills.wrong)>0

if __name__=="__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="random kills in all")
    sys.exit(main(parser.parse_args().kills))
