"What every test process needs: one thread, no network, and the embedded corpus built once before the notebooks start."
import gc, os, subprocess, sys
import pytest
from network import offline

def pytest_addoption(parser):
    parser.addoption('--nb-flags', default='', metavar='gpu,hub,slow', help='also run notebook cells with these flags')

def pytest_configure(config):
    config.nb_flags = config.getoption('--nb-flags').replace(',', ' ').split()
    os.environ.update(OMP_NUM_THREADS='1', TOKENIZERS_PARALLELISM='false', PLM_CALIBRATE='0')
    if 'hub' in config.nb_flags: return
    os.environ['HF_HUB_OFFLINE'] = '1'
    offline()

def pytest_sessionstart(session):
    if hasattr(session.config, 'workerinput') or session.config.option.collectonly: return
    build = 'from plm_nb.data import load_corpus; load_corpus("docs")' # by the one process that starts the workers
    r = subprocess.run([sys.executable, '-c', build], cwd=session.config.rootpath, capture_output=True, text=True,
                       timeout=600)
    if r.returncode: sys.stderr.write(f'the embedded corpus could not be built:\n{r.stderr}\n')

def pytest_collection_finish(session):
    "What was imported stays: each training begins with a full garbage collection, which need not look at it"
    gc.collect()
    gc.freeze()

def pytest_collection_modifyitems(config, items):
    "Notebooks first: they take longest"
    if 'slow' in config.nb_flags:
        for o in items: o.add_marker(pytest.mark.timeout(0))
    items.sort(key=lambda o: 'notebook' not in getattr(o, 'fixturenames', ()))
