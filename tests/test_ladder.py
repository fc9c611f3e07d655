"A module imports only from rooms with a lower number."
import ast, json, re
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT/'plm_nb'

def rungs():
    "Module name -> number of the notebook that exports it"
    for fn in sorted((ROOT/'nbs').rglob('[0-9]*_*.ipynb')):
        first = ''.join(json.loads(fn.read_text(encoding='utf-8'))['cells'][0]['source'])
        if m := re.fullmatch(r'#\|\s*default_exp (\w+)\s*', first): yield m[1], int(fn.name.split('_')[0])

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
    assert not up, f'{module} ({RUNGS[module]:02}) imports from {[(m, RUNGS[m]) for m in up]}'

def test_the_ladder_sees_every_import():
    source = 'from . import data\nfrom plm_nb.tasks import few\nimport torch\ndef f():\n    from .metrics import f1'
    assert set(siblings(source))=={'data', 'tasks', 'metrics'}
