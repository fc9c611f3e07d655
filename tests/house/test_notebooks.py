"Every notebook runs from top to bottom, each in a process and an empty folder of its own, within a time limit."
import faulthandler, gc, json, multiprocessing, os, shutil, signal, subprocess, sys, tempfile
from pathlib import Path
import pytest
from forks import own_locks

ROOT = Path(__file__).resolve().parents[2]
NBS = ROOT/'nbs'
NOTEBOOKS = sorted((p for p in NBS.rglob('*.ipynb') if not any(o[0] in '._' for o in p.relative_to(NBS).parts)),
                   reverse=True) # high numbers first: they train, so they take longest
LIMIT = 180 # seconds: 90 on a quiet machine, twice that on a busy one
fork = multiprocessing.get_context('forkserver') # forks a process that has imported what takes seconds, and no room
fork.set_forkserver_preload(['datasets', 'matplotlib.pyplot', 'nbdev.test', 'sklearn.model_selection', 'torch._dynamo',
                             'transformers.trainer', 'transformers.models.bert.modeling_bert'])

def run(fn, log, flags, limit):
    "In a process of its own: run the notebook `fn` in its folder, with `log` as its output"
    os.setsid()
    if limit: signal.alarm(int(limit)+30) # it ends itself if who waits for it is gone
    own_locks()
    gc.freeze() # what is inherited is no garbage, and each training looks for some
    os.chdir(fn.parent)
    for fd in 1, 2: os.dup2(os.open(log, os.O_WRONLY|os.O_APPEND), fd)
    faulthandler.enable(os.dup(2)) # SIGABRT shows where it stands
    if 'hub' not in flags:
        from network import offline
        offline()
    from nbdev.config import get_config
    from nbdev.test import test_nb
    ok, _ = test_nb(fn, skip_flags=get_config(path=ROOT).tst_flags.split(), force_flags=flags, basepath=ROOT)
    sys.exit(not ok)

def run_notebook(fn, folder, flags=(), limit=LIMIT):
    "Run a copy of the notebook `fn` in `folder`; fail with the last line that it printed, or at `limit` seconds"
    with tempfile.NamedTemporaryFile() as log:
        p = fork.Process(target=run, args=(Path(shutil.copy(fn, folder)), log.name, list(flags), limit))
        p.start()
        try:
            p.join(limit)
            late = p.is_alive()
            if late:
                os.kill(p.pid, signal.SIGABRT)
                p.join(5)
        finally: stop(p)
        out = log.read().decode(errors='replace')
    print(out) # pytest shows it if the notebook is red
    if late: pytest.fail(f'{fn.name}: stopped after {limit} seconds', pytrace=False)
    last = (out.strip() or f'ended with code {p.exitcode}').splitlines()[-1]
    if p.exitcode: pytest.fail(f'{fn.name}: {last}', pytrace=False)

def stop(p):
    "End `p` and whatever it started"
    try: os.killpg(p.pid, signal.SIGKILL)
    except ProcessLookupError: p.kill()
    p.join(10)

@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda p: p.relative_to(NBS).with_suffix('').as_posix())
def test_notebook(notebook, tmp_path, pytestconfig):
    flags = pytestconfig.nb_flags
    run_notebook(notebook, tmp_path, flags, limit=None if 'slow' in flags else LIMIT)

@pytest.fixture
def room(tmp_path):
    "A function that writes a notebook of these cells, and returns it with a folder to run it in"
    def write(*sources):
        new = [dict(cell_type='code', id=f'a{i}', metadata={}, source=s, outputs=[], execution_count=None)
               for i,s in enumerate(sources)]
        fn, folder = tmp_path/'room.ipynb', tmp_path/'run'
        fn.write_text(json.dumps(dict(cells=new, metadata={}, nbformat=4, nbformat_minor=5)))
        folder.mkdir(exist_ok=True)
        return fn, folder
    return write

def test_a_broken_lesson_is_red(room):
    with pytest.raises(pytest.fail.Exception, match='AssertionError: two'): run_notebook(*room('assert 1+1==3, "two"'))

def test_an_endless_lesson_is_stopped(room, capfd):
    with pytest.raises(pytest.fail.Exception, match='stopped after'): run_notebook(*room('while True: pass'), limit=5)
    assert 'most recent call first' in capfd.readouterr().out, 'it does not say where it stood'

def test_a_lesson_that_is_stopped_leaves_no_lock_taken(room):
    hold = 'from tqdm import tqdm\ntqdm.get_lock().acquire()\nwhile True: pass'
    with pytest.raises(pytest.fail.Exception, match='stopped after'): run_notebook(*room(hold), limit=5)
    run_notebook(*room('from tqdm import tqdm\nfor _ in tqdm(range(3)): pass'), limit=30)

def test_a_flagged_cell_runs_on_demand(room):
    fn = room('#| slow\nassert False, "flagged"')
    run_notebook(*fn)
    with pytest.raises(pytest.fail.Exception, match='flagged'): run_notebook(*fn, flags=['slow'])

def test_a_lesson_reaches_no_network(room):
    call = 'import socket\nsocket.create_connection(("192.0.2.1", 80), timeout=3)' # an address that belongs to nobody
    with pytest.raises(pytest.fail.Exception, match='no network in tests'): run_notebook(*room(call))

def refresh(fn):
    return subprocess.run([sys.executable, ROOT/'docs/refresh.py', fn], capture_output=True, text=True, timeout=LIMIT)

def test_refresh_saves_what_cells_show(room):
    fn, _ = room('import sys, warnings\nimport matplotlib.pyplot as plt', '_ = plt.plot([1, 2])',
                 'warnings.warn("not saved")\nprint("not saved", file=sys.stderr)\n1+1', '#| slow\n1/0')
    assert not refresh(fn).returncode
    first = fn.read_text()
    none, picture, two, flagged = [c['outputs'] for c in json.loads(first)['cells']]
    assert not none and not flagged and 'image/svg+xml' in picture[0]['data']
    assert [o['data'] for o in two]==[{'text/plain': ['2']}]
    assert not refresh(fn).returncode and fn.read_text()==first, 'a second refresh changes the notebook'

def test_refresh_leaves_a_broken_room_alone(room):
    fn, _ = room('1+1', 'x = 1\nassert x==2, "no"')
    before, r = fn.read_text(), refresh(fn)
    assert r.returncode==1 and fn.read_text()==before
    assert 'room.ipynb: cell 1: AssertionError: no' in r.stdout
