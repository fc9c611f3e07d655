"The page of promises: every lesson and every test that it names is there."
import json, re, sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT/'docs'))
from pages import slug
CELLS = [''.join(c['source']) for c in json.loads((ROOT/'nbs/promises.ipynb').read_text('utf-8'))['cells']]
PROMISES = [c for c in CELLS if c.startswith('## ')]

def headings(file):
    "The anchors of the headings of a notebook."
    cells = json.loads((ROOT/'nbs'/file).read_text('utf-8'))['cells']
    found = re.findall(r'^#+ (.+)$', '\n'.join(''.join(c['source']) for c in cells if c['cell_type']=='markdown'), flags=re.M)
    return {*map(slug, found)}

def test_promises_are_numbered(): assert [int(p[3:].split('.')[0]) for p in PROMISES]==[*range(1, 12)]

def test_each_has_a_lesson_and_a_test_or_says_not_yet():
    for p in PROMISES:
        kept = '.ipynb#' in p and '../tests/' in p
        assert kept or '**not yet**' in p, p.splitlines()[0]

def test_lessons_exist():
    named = re.findall(r'\((\w+\.ipynb)#([^)]+)\)', '\n'.join(PROMISES))
    assert len(named)>8
    for file,anchor in named: assert anchor in headings(file), f'{file} has no heading #{anchor}'

def test_tests_exist():
    named = re.findall(r'\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)', '\n'.join(PROMISES))
    assert len(named)>12
    for test,file in named: assert f'def {test}(' in (ROOT/file).read_text('utf-8'), f'{file} has no {test}'
