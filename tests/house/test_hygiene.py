"The house rules that a machine can see: what is saved in the notebooks, and how their cells are laid out."
import ast, base64, json, re, shutil, subprocess, sys
from configparser import ConfigParser
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
NBS = ROOT/'nbs'
NOTEBOOKS = {p.relative_to(NBS).with_suffix('').as_posix(): p for p in sorted(NBS.rglob('*.ipynb'))
             if not any(o[0] in '._' for o in p.relative_to(NBS).parts)}
INI = ConfigParser(delimiters=['='])
INI.read(ROOT/'settings.ini', encoding='utf-8')
EXTRAS = {k.removesuffix('_requirements') for k in INI['DEFAULT'] if k.endswith('_requirements')}
PATHS = re.compile(r'(?<![\w.<:/-])/(home|root|tmp|work|Users|private)\b|\b[A-Z]:\\+Users|ipykernel_\d|<ipython-')
TIMES = re.compile(r'\b\d\d:\d\d:\d\d\b|\d(it/s|s/it)\b|[█▏▎▍▌▋▊▉]')
COLUMNS = 100
DEVICE = re.compile(r'(cuda|cpu|mps|xpu)(:\d+)?')

class Cell:
    "A cell with its directives taken apart from its code"
    def __init__(self, i, c):
        self.i, self.kind, self.source = i, c['cell_type'], ''.join(c['source'])
        self.outputs = c.get('outputs', [])
        lines = self.source.splitlines()
        self.directives = {m[1]: m[2].strip() for l in lines if (m := re.match(r'#\|\s*([\w-]+):?(.*)', l))}
        self.lines = [l for l in lines if not l.startswith('#|')]
        self.installs = 'git+' in self.source
        self.exported = bool({'export','exports','exporti'} & self.directives.keys())
    @property
    def tree(self):
        code = '\n'.join(l for l in self.lines if l[:1] not in '%!') if self.kind=='code' else ''
        return ast.parse(code)

def cells(fn): return [Cell(i, c) for i,c in enumerate(json.loads(fn.read_text(encoding='utf-8'))['cells'])]

def texts(output):
    "Everything in `output` that is text"
    yield ''.join(output.get('text', ''))
    for kind,data in output.get('data', {}).items():
        if kind.startswith('image/') and 'svg' not in kind: continue
        yield ''.join(data) if isinstance(data, (str,list)) else json.dumps(data)

def saved(fn, room):
    "What is wrong with the saved outputs of a notebook"
    if fn.stat().st_size>400_000: yield f'{fn.stat().st_size//1000} kB: at most 400'
    if any(c.kind=='code' and c.lines and not c.directives for c in room) and not any(c.outputs for c in room):
        yield 'no saved outputs: run docs/refresh.py'
    for c in room:
        for o in c.outputs:
            if o['output_type']=='error': yield f'cell {c.i}: a saved error, {o["ename"]}'
            if o.get('name')=='stderr': yield f'cell {c.i}: saved stderr'
            for rule,name in ((PATHS,'a path of one machine'), (TIMES,'a time of day or a progress bar')):
                for m in filter(None, map(rule.search, texts(o))): yield f'cell {c.i}: {name} in the output: {m[0]!r}'
            data = o.get('data', {})
            size = len(base64.b64decode(data.get('image/png', ''))) + len(''.join(data.get('image/svg+xml', '')))
            if size and 'fig-alt' not in c.directives: yield f'cell {c.i}: a picture without `#| fig-alt:`, its words for those who do not see it'
            if size>60_000: yield f'cell {c.i}: a picture of {size//1000} kB: at most 60'

def imports(tree): return [o for o in tree.body if isinstance(o, (ast.Import,ast.ImportFrom))]

def modules(tree):
    "Names of the modules that `tree` imports anywhere"
    for o in ast.walk(tree):
        if isinstance(o, ast.Import): yield from (a.name for a in o.names)
        if isinstance(o, ast.ImportFrom): yield o.module or ''

def devices(tree):
    "Calls in `tree` that place a tensor by name"
    for o in ast.walk(tree):
        if not isinstance(o, ast.Call): continue
        name = getattr(o.func, 'attr', getattr(o.func, 'id', ''))
        named = [k.value for k in o.keywords if k.arg=='device'] + (o.args if name in ('to','device') else [])
        literal = any(isinstance(a, ast.Constant) and DEVICE.fullmatch(str(a.value)) for a in named)
        if name=='cuda' or literal: yield ast.unparse(o)

def wide(cell):
    "The lines of `cell` that are too wide, but for words of a picture"
    for line in cell.lines:
        if len(line)>COLUMNS: yield f'cell {cell.i}: a line of {len(line)} columns: at most {COLUMNS}'

def is_sentence(text):
    "Does `text` look like a sentence, as far as a machine sees? It states something, in five words or ten Chinese characters"
    if text.endswith('。'): return len(re.findall('[\u4e00-\u9fff]', text))>=10
    return re.fullmatch(r'[^a-z].*[.]', text) is not None and len(text.split())>=5

def layout(stem, room):
    "What is wrong with the cells of a notebook"
    module = next((c.directives['default_exp'] for c in room if 'default_exp' in c.directives), None)
    code = [c for c in room if c.kind=='code']
    title = room[1 if module else 0]
    if module:
        if room[0].source.strip()!=f'#| default_exp {module}': yield 'the first cell is not `#| default_exp` alone'
        if not re.fullmatch(rf'\d\d_{module}', stem): yield f'{stem} exports {module}'
    quoted = re.match(r'# .+\n\n> (.+)', title.source)
    if not quoted: yield f'cell {title.i}: not a title and a quoted line'
    elif not is_sentence(quoted[1]): yield f'no full sentence: {quoted[1]}'
    for c in code:
        if c.installs: continue
        tree = c.tree
        if 'nbdev' in {m.split('.')[0] for m in modules(tree)}: yield f'cell {c.i}: imports nbdev'
        yield from (f'cell {c.i}: names a device: {d}' for d in devices(tree))
        if 0<len(imports(tree))<len(tree.body): yield f'cell {c.i}: imports and other code in one cell'
        limit = 40 if any(isinstance(o, ast.ClassDef) for o in tree.body) else 30
        if c.exported and len(c.lines)>limit: yield f'cell {c.i}: {len(c.lines)} exported lines: at most {limit}'
        yield from wide(c)
    exported = sum(len(c.lines) for c in code if c.exported)
    hidden = sum('hide' in c.directives for c in code)
    if exported>350: yield f'{exported} exported lines: at most 350'
    if hidden>max(3, len(room)/8): yield f'{hidden} of {len(room)} cells hidden: at most one in eight'

@pytest.mark.parametrize('stem', NOTEBOOKS)
def test_hygiene(stem):
    room = cells(NOTEBOOKS[stem])
    found = [*layout(stem.split('/')[-1], room), *saved(NOTEBOOKS[stem], room)]
    print(*found, sep='\n') # pytest shows it if the notebook is red
    if found: pytest.fail(f'{len(found)} findings, the first: {found[0]}', pytrace=False)

def test_one_install_cell():
    "Every notebook with code installs the package in the same hidden cell, from the address in `settings.ini`, with its extras"
    rooms = {k: cells(p) for k,p in NOTEBOOKS.items()}
    found = {k: [c.source for c in v if c.installs] for k,v in rooms.items() if any(c.kind=='code' for c in v)}
    assert not [k for k,v in found.items() if len(v)!=1], 'notebooks without exactly one install cell'
    name, extra = INI['DEFAULT']['lib_name'], r'"%s\[([\w,]+)\] @ (.+?)"'
    named = {k: re.findall(extra % name, v[0]) for k,v in found.items()}
    unknown = {e for got in named.values() for es,_ in got for e in es.split(',')} - EXTRAS
    assert not unknown, f'no such extras: {unknown}'
    same = {re.sub(extra % name, r'\2', v[0]) for v in found.values()}
    assert len(same)<=1, f'install cells differ: {same}'
    for source in same: assert source.startswith('#| hide\n') and f"git+{INI['DEFAULT']['git_url']}'" in source

def test_extras_of_a_room():
    "A room that imports what only an extra brings names that extra where it is installed"
    brings = {re.split('[<>=]', r)[0]: e for e in ('lora', 'zh') for r in INI['DEFAULT'][f'{e}_requirements'].split()}
    for k,p in NOTEBOOKS.items():
        room = cells(p)
        code = [c for c in room if c.kind=='code' and not c.installs]
        wanted = {brings[m.split('.')[0]] for c in code for m in modules(c.tree) if m.split('.')[0] in brings}
        assert all(any(e in c.source for c in room if c.installs) for e in wanted), f'{k} needs {wanted}'

def test_readme():
    r = subprocess.run([sys.executable, ROOT/'docs/readme.py', '--check'], capture_output=True, text=True)
    assert not r.returncode, r.stderr

def test_workflows():
    "Actions are pinned by commit, and `actionlint` finds nothing where it is installed"
    flows = sorted((ROOT/'.github/workflows').glob('*.yml'))
    uses = [u for f in flows for u in re.findall(r'uses:\s*(.+)', f.read_text())]
    assert not [u for u in uses if not re.fullmatch(r'[\w/-]+@[0-9a-f]{40} # v[\d.]+', u)]
    if not shutil.which('actionlint'): pytest.skip('actionlint is not installed; the workflow `test` runs it')
    lint = ['actionlint', '-config-file', ROOT/'.github/actionlint.yaml', *flows]
    r = subprocess.run(lint, capture_output=True, text=True)
    assert not r.returncode, r.stdout + r.stderr
