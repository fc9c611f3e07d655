"What is released: archive and wheel hold the package and nothing beside it, one place holds the version, and the forms can be read."
import importlib.util, json, re, shutil, subprocess, sys, tarfile, zipfile
from configparser import ConfigParser
from pathlib import Path
import pytest, yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT/'.github'
INI = ConfigParser(delimiters=['='])
INI.read(ROOT/'settings.ini', encoding='utf-8')
SETTINGS = INI['DEFAULT']
LITTER = ['_build/pages/a.ipynb', '_site/index.html', '_docs/a.html', '_proc/a.ipynb', 'runs/mlm/model.safetensors', 'data/rows.csv',
          'nbs/.ipynb_checkpoints/10_data-checkpoint.ipynb', 'nbs/runs/mlm/run.json', 'plm_nb/__pycache__/data.cpython-311.pyc',
          'docs/__pycache__/road.cpython-311.pyc', 'tests/__pycache__/same.cpython-311.pyc', '.venv/lib/a.py', 'plm_nb/rows.csv']
CLASSES = {'textarea', 'input', 'markdown', 'dropdown', 'checkboxes'}

def script(name):
    "The module `.github/NAME.py`."
    spec = importlib.util.spec_from_file_location(name, GITHUB/f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def in_setuptools(code, folder):
    r = subprocess.run([sys.executable, '-c', code], cwd=folder, capture_output=True, text=True, timeout=250)
    assert not r.returncode, r.stderr[-3000:]

@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "The folder of the unpacked source archive, made from a littered checkout, and the files of the wheel that it gives."
    checkout = tmp_path_factory.mktemp('checkout')
    for name in ('settings.ini', 'setup.py', 'pyproject.toml', 'MANIFEST.in', 'constraints.txt', 'README.md', 'LICENSE', 'CHANGELOG.md',
                 'CONTRIBUTING.md', 'CITATION.cff', 'SECURITY.md'): shutil.copy(ROOT/name, checkout)
    for name in ('plm_nb', 'nbs', 'tests', 'docs', '.github'): shutil.copytree(ROOT/name, checkout/name)
    for name in LITTER:
        (checkout/name).parent.mkdir(parents=True, exist_ok=True)
        (checkout/name).write_text('litter')
    in_setuptools('from setuptools import build_meta as b; b.build_sdist("dist")', checkout)
    packed, = (checkout/'dist').glob('*.tar.gz')
    with tarfile.open(packed) as archive: archive.extractall(checkout/'unpacked', filter='data')
    source, = (checkout/'unpacked').iterdir()
    in_setuptools('from setuptools import build_meta as b; b.build_wheel("dist")', source)
    wheel, = (source/'dist').glob('*.whl')
    shutil.rmtree(source/'build')
    return source, zipfile.ZipFile(wheel)

def test_source_archive(built):
    source, _ = built
    there = {p.relative_to(source).as_posix() for p in source.rglob('*') if p.is_file()}
    for folder,kind in (('plm_nb', '*.py'), ('nbs', '*.ipynb'), ('tests', '*.py'), ('docs', '*.py')):
        wanted = {p.relative_to(ROOT).as_posix() for p in (ROOT/folder).rglob(kind) if '.ipynb_checkpoints' not in p.parts}
        assert not wanted-there
    assert {'README.md', 'LICENSE', 'CHANGELOG.md', 'CITATION.cff', 'SECURITY.md', 'settings.ini', 'constraints.txt'} <= there
    assert not {*LITTER} & there

def test_wheel(built):
    _, wheel = built
    names = wheel.namelist()
    inside = {n for n in names if not re.match(r'plm_nb-[\w.]+\.dist-info/', n)}
    modules = {f'plm_nb/{p.name}' for p in (ROOT/'plm_nb').glob('*.py')}
    notebooks = {n for n in inside if n.endswith('.ipynb')}
    assert inside-notebooks==modules | {'plm_nb/plm.mplstyle'}
    for name in notebooks:
        cells = [c for c in json.loads(wheel.read(name))['cells'] if c['cell_type']=='code']
        assert not any(c['outputs'] for c in cells), f'{name} holds outputs'
    assert any(n.endswith('.dist-info/licenses/LICENSE') for n in names)

def test_what_the_wheel_says_of_itself(built):
    _, wheel = built
    meta, = (wheel.read(n).decode() for n in wheel.namelist() if n.endswith('.dist-info/METADATA'))
    fields = re.findall(r'^([\w-]+): (.+)$', meta.split('\n\n')[0], re.M)
    said = dict(fields)
    assert said['Version']==SETTINGS['version'] and said['Requires-Python']==f">={SETTINGS['min_python']}"
    assert said['License-Expression']=='Apache-2.0' and said['Description-Content-Type']=='text/markdown'
    extras = {value for name,value in fields if name=='Provides-Extra'}
    assert extras=={k.removesuffix('_requirements') for k in SETTINGS if k.endswith('_requirements')}

def test_one_version():
    "`settings.ini` holds it; the package's is exported from there, the changelog's newest section bears it, nobody else says one."
    version = script('version')
    assert version.version()==SETTINGS['version']
    newest, date = version.top_section((ROOT/'CHANGELOG.md').read_text(encoding='utf-8'))
    assert newest==SETTINGS['version'] and re.fullmatch(r'\d{4}-\d\d-\d\d|not yet released', date)
    for name in ('setup.py', 'pyproject.toml', 'CITATION.cff'):
        assert not re.search(r'^\s*version\s*[=:]\s*.?\d', (ROOT/name).read_text(encoding='utf-8'), re.M), name

@pytest.mark.parametrize('tag, heading, why', [
    ('v1.2.0', '1.2.0 (2026-01-31)', ''), ('1.2.0', '1.2.0 (2026-01-31)', 'the tag is v1.2.0'),
    ('v1.3.0', '1.3.0 (2026-01-31)', 'settings.ini says 1.2.0'), ('v1.2.0', '1.1.0 (2026-01-31)', 'the top section is 1.1.0'),
    ('v1.2.0', '1.2.0 (not yet released)', 'give the day')])
def test_what_is_released_agrees(tag, heading, why):
    found = script('version').fault(tag, '1.2.0', f'# Changelog\n\n## {heading}\n\n- New.\n\n## 1.0.0 (2025-01-31)\n')
    assert why in found and bool(why)==bool(found)

def test_oldest_versions():
    oldest = script('oldest').oldest
    found = dict(line.split('==') for line in oldest(SETTINGS))
    needed = {re.split('[<>=[]', r)[0] for r in SETTINGS['requirements'].split()}
    assert needed <= {*found} and 'nbdev' not in found
    tested = dict(re.findall(r'^([\w-]+)==(\S+)', (ROOT/'constraints.txt').read_text(), re.M))
    def parts(version): return [int(n) for n in re.findall(r'\d+', version)]
    assert not [n for n in found if n in tested and parts(found[n])>parts(tested[n])], 'a lower bound above the tested version'
    with pytest.raises(ValueError, match='tqdm names no oldest version'): oldest(dict(requirements='numpy>=2 tqdm'))
    assert oldest(dict(requirements='a-b>=1.2,<3', lora_requirements='c>=2', dev_requirements='a-b>=2.5'))==['a-b==1.2', 'c==2']

def test_workflow_of_the_oldest_takes_every_extra():
    "Every extra whose tests would else be passed over."
    workflow = (GITHUB/'workflows/test.yml').read_text()
    taken = re.search(r"-c oldest.txt -e '\.\[([\w,]+)\]'", workflow)[1].split(',')
    assert {'lora', 'near', 'language', 'onnx', 'privacy'} <= {*taken} <= {k.removesuffix('_requirements') for k in SETTINGS}

def test_release_keeps_no_secret():
    flow = yaml.safe_load((GITHUB/'workflows/release.yml').read_text())
    assert flow['permissions']==dict(contents='read') and 'permissions' not in flow['jobs']['build']
    assert flow['jobs']['publish']['permissions']=={'id-token': 'write'} and flow['jobs']['publish']['needs']=='build'
    for path in (GITHUB/'workflows').glob('*.yml'): assert 'secrets.' not in path.read_text()

def test_every_workflow_is_yaml():
    for path in (GITHUB/'workflows').glob('*.yml'):
        flow = yaml.safe_load(path.read_text())
        for job in flow['jobs'].values(): assert job['timeout-minutes'] and job['steps']

@pytest.mark.parametrize('form', ['bug', 'question', 'result'])
def test_issue_form(form):
    found = yaml.safe_load((GITHUB/f'ISSUE_TEMPLATE/{form}.yml').read_text(encoding='utf-8'))
    assert found.keys()=={'name', 'description', 'labels', 'body'}
    ids = [part['id'] for part in found['body']]
    assert len(ids)==len({*ids}) and any(part.get('validations') for part in found['body'])
    for part in found['body']:
        assert part['type'] in CLASSES and part['attributes']['label'] and part.keys() <= {'type', 'id', 'attributes', 'validations'}

def test_citation():
    found = yaml.safe_load((ROOT/'CITATION.cff').read_text(encoding='utf-8'))
    assert found['cff-version']=='1.2.0' and found['authors']==[dict(name=SETTINGS['author'])] and found['license']=='Apache-2.0'
    assert found['repository-code']==SETTINGS['git_url'] and found['url'].rstrip('/')==(SETTINGS['doc_host']+SETTINGS['doc_baseurl']).rstrip('/')
