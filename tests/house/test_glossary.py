"""The glossary's promises: a term stands there once, in two languages, and occurs in the room that its row links to; and no
room that stands before that one uses it."""
import json, re
from collections import Counter
from functools import cache
from pathlib import Path
import pytest

NBS = Path(__file__).resolve().parents[2]/'nbs'
ROW = re.compile(r'\| (?P<term>[^|]+) \| (?P<zh>[^|]+) \| (?P<says>[^|]+) '
                 r'\| \[(?P<title>[^]|]+)\]\((?P<room>[^)|]+)\) \|')

@cache
def sources(name): return [''.join(c['source']) for c in json.loads((NBS/name).read_text(encoding='utf-8'))['cells']]

def lines():
    "The lines of all tables, without their two lines of heading"
    for source in sources('glossary.ipynb'):
        yield from [l for l in source.splitlines() if l.startswith('|')][2:]

def plain(text): return ' '.join(re.sub(r'[*`_]', ' ', text).split()).casefold()

def occurs(term, text):
    "Is `term` a word of `text`, in the singular or the plural?"
    return re.search(rf'(?<!\w){re.escape(plain(term))}s?(?!\w)', plain(text)) is not None

ROWS = [m.groupdict() for l in lines() if (m := ROW.fullmatch(l))]

def test_every_line_is_a_row():
    assert ROWS and not [l for l in lines() if not ROW.fullmatch(l)]

def test_terms_are_unique():
    assert not [t for t,n in Counter(plain(r['term']) for r in ROWS).items() if n>1]

@pytest.mark.parametrize('row', ROWS, ids=[r['term'] for r in ROWS])
def test_row(row):
    assert re.search(r'[\u4e00-\u9fff]', row['zh']), 'no Chinese characters'
    assert row['says'].endswith('.') and len(row['says'].split())<=20, 'not one short sentence'
    assert (NBS/row['room']).is_file(), 'no such room'
    text = '\n'.join(sources(row['room']))
    assert re.search(rf"^# {re.escape(row['title'])}$", text, re.M), 'the room has another title'
    assert occurs(row['term'], text), 'the room does not know the term'

ROOMS = sorted(p.name for p in NBS.glob('[0-9][0-9]_*.ipynb'))
EVERYDAY = { # plain English too: no machine sees in which sense a room uses such a word
    'head', 'impossible', 'key', 'look', 'position', 'precision', 'state', 'stream', 'turn', 'value'}
NOT_YET = { # term -> why a room before its own uses it: to be emptied
}

@cache
def prose(room):
    "What a reader reads in `room`, without code, formulas and the names of links: those may point ahead."
    cells = json.loads((NBS/room).read_text(encoding='utf-8'))['cells']
    text = '\n\n'.join(''.join(c['source']) for c in cells if c['cell_type']=='markdown')
    fences, formulas = r'^```.*?^```', r'\$\$.*?\$\$|\$[^$\n]+\$'
    code, links, addresses = r'`[^`\n]+`', r'\[[^]]*\]\([^)]*\)', r'https?://\S+'
    return re.sub('|'.join((fences, formulas, links, code, addresses)), ' ', text, flags=re.M | re.S)

def too_early(row):
    "The rooms before that of `row` that use its term."
    return [room for room in ROOMS if room<row['room'] and occurs(row['term'], prose(room))]

@pytest.mark.parametrize('row', [r for r in ROWS if plain(r['term']) not in EVERYDAY], ids=lambda r: r['term'])
def test_no_term_before_its_room(row):
    early, reason = too_early(row), NOT_YET.get(plain(row['term']))
    if reason:
        assert early, 'no longer used too early: take it off the list'
        pytest.skip(reason)
    assert not early, f"{row['room']} explains it, but {', '.join(early)} uses it before"

def test_the_lists_name_terms():
    assert not ({*EVERYDAY} | {*NOT_YET}) - {plain(r['term']) for r in ROWS}

def test_occurs_means_the_word():
    assert occurs('`run_folder`', 'Two run\nfolders.') and occurs('[MASK]', 'a `[MASK]`') and occurs('key', 'a **Key**')
    assert not occurs('nat', 'a native') and not occurs('bit', 'habit')
