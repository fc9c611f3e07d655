"Each module can be imported alone; importing starts nothing, and the light doors stay light."
import os, subprocess, sys
from pathlib import Path
import pytest

TESTS = str(Path(__file__).resolve().parents[1])
PACKAGE = Path(__file__).resolve().parents[2]/'plm_nb'
MODULES = [p.stem for p in sorted(PACKAGE.glob('*.py')) if not p.stem.startswith('_')]

def fresh(code, *arguments):
    "Run `code` in a process of its own"
    r = subprocess.run([sys.executable, '-c', code, *arguments], cwd=PACKAGE.parent, capture_output=True, text=True,
                       env=dict(os.environ, PYTHONPATH=TESTS), timeout=200)
    if r.returncode: pytest.fail(r.stdout + r.stderr, pytrace=False)
    return r.stdout

EACH = """
import importlib, os, sys, threading
from forks import end_after, own_locks
own_locks()
import datasets, matplotlib.pyplot, sklearn.model_selection, torch, transformers.trainer # seconds to import, not in question
assert threading.active_count()==1, threading.enumerate() # of the libraries either
for module in sys.argv[1:]:
    child = os.fork() # a process in which nothing else of the package was imported
    if not child:
        end_after(60)
        importlib.import_module('plm_nb.'+module)
        assert threading.active_count()==1, threading.enumerate()
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]: sys.exit(f'plm_nb.{module} cannot be imported alone, or starts threads')
"""

def test_each_alone_and_quiet():
    out = fresh(EACH, *MODULES)
    assert not out, f'importing prints {out!r}'

LIGHT = """
import sys, threading
assert 'torch' not in sys.modules, 'imports torch'
assert threading.active_count()==1, threading.enumerate()
"""

HELP = """
import sys
sys.argv = ['plm', '--help']
from plm_nb.cli import main
try: code = main()
except SystemExit as e: code = e.code
assert not code, code
"""

def test_data_without_torch(): fresh('import plm_nb.data' + LIGHT)

def test_help_without_torch():
    out = fresh(HELP + LIGHT)
    assert 'demo' in out and 'pretrain' in out
