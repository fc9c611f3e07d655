"A module imports only from rooms that stand before its own."
import ast, json, re
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT/'plm_nb'

def rungs():
    "Module name -> how many rooms stand before the one that exports it"
    for i,fn in enumerate(sorted((ROOT/'nbs').rglob('[0-9]*_*.ipynb'))):
        first = ''.join(json.loads(fn.read_text(encoding='utf-8'))['cells'][0]['source'])
        if m := re.fullmatch(r'#\|\s*default_exp (\w+)\s*', first): yield m[1], i

RUNGS = dict(rungs())

def siblings(source):
    "Modules of this package that `source` imports, also inside functions"
    for o in ast.walk(ast.parse(source)):
        if isinstance(o, ast.Import): names = [a.name for a in o.names]
        elif isinstance(o, ast.ImportFrom):
            base = PACKAGE.name + (f'.{o.module}' if o.module else '') if o.level else o.module
            names = [base, *(f'{base}.{a.name}' for a in o.names)]
        else: continue
        inside = {n.split('.')[1] for n in names if n.startswith(f'{PACKAGE.name}.')}
        yield from (m for m in inside if (PACKAGE/f'{m}.py').exists())

def test_every_module_has_a_room():
    files = {p.stem for p in PACKAGE.glob('*.py') if not p.stem.startswith('_')}
    assert files==set(RUNGS)

@pytest.mark.parametrize('module', RUNGS)
def test_ladder(module):
    up = [m for m in siblings((PACKAGE/f'{module}.py').read_text(encoding='utf-8')) if RUNGS[m]>=RUNGS[module]]
    assert not up, f'{module} imports from {up}, which stand behind it'

def test_the_ladder_sees_every_import():
    source = 'from . import data\nfrom plm_nb.tasks import few\nimport torch\ndef f():\n    from .metrics import f1'
    assert set(siblings(source))=={'data', 'tasks', 'metrics'}
