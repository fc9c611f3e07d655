"The package offers a few names, loaded when they are first used."
import importlib, subprocess, sys
from configparser import ConfigParser
from pathlib import Path
import pytest
import plm_nb

ROOT = Path(__file__).resolve().parents[2]

@pytest.mark.parametrize('name', plm_nb.__all__)
def test_name_is_there(name):
    module = importlib.import_module(f'plm_nb.{plm_nb._MODULES[name]}')
    assert getattr(plm_nb, name) is getattr(module, name)
    home = importlib.import_module(getattr(plm_nb, name).__module__)
    assert name in home.__all__, f'{home.__name__} does not export it'

def test_tasks_are_known_at_once():
    "Whoever takes a name from the package alone has all tasks, as the shell has."
    code = 'from plm_nb import load_task; print(type(load_task("docs-package")).__name__)'
    r = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert r.returncode==0, r.stderr
    from plm_nb.pipelines import verify
    assert plm_nb.verify is verify

def test_no_name_hides_a_module():
    modules = {p.stem for p in (ROOT/'plm_nb').glob('*.py')}
    assert not modules & {*plm_nb.__all__}

def test_unknown_name():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"): plm_nb.nothing

def test_import_loads_no_library():
    heavy = ['torch', 'transformers', 'datasets', 'numpy', 'pandas']
    code = f'import sys, plm_nb; dir(plm_nb); print([m for m in {heavy} if m in sys.modules])'
    r = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert r.stdout.strip()=='[]', r.stdout + r.stderr

def test_version():
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    assert plm_nb.__version__==ini['DEFAULT']['version']
