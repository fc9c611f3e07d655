"How the notebooks become pages: the road follows `nbs/`, names of other libraries stay unlinked, stray formulas are seen."
import json, re, sys
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT/'docs'))
import road
from checks import stray_dollars
from pages import UNSAID, Site, reference

def notebook(title, lead='It says this.'):
    return dict(cells=[dict(cell_type='markdown', source=[f'# {title}\n\n', f'> {lead}\n'])])

def test_one_number_per_room():
    numbers = [road.number(f) for f in road.notebooks() if road.number(f)]
    assert len(numbers)==len({*numbers}), 'two rooms bear one number'

def test_every_room_stands_in_a_part():
    named = {f for _,_,files in road.sections(road.notebooks()) for f in files}
    assert named=={*road.notebooks()} - {'index.ipynb'}

def test_a_new_room_needs_no_list():
    found = {'00_start.ipynb': notebook('Start'), '12_new.ipynb': notebook('New', 'It is new.'), 'index.ipynb': notebook('x'),
             'tutorials/long.ipynb': notebook('Long'), 'words.ipynb': notebook('Words')}
    text = road.table(found)
    assert '### Part 1: Text' in text and '| 12 [New](12_new.ipynb) | It is new. |' in text
    assert '### Part 2' not in text, 'a part without rooms'
    assert text.index('### Start here') < text.index('### Part 1') < text.index('### Tutorials') < text.index('### To look up')

def test_the_workshop_is_marked():
    assert 'workshop' in road.heading(road.WORKSHOP) and 'skip it unless' in road.PARTS[road.WORKSHOP][1]

def test_titles_of_rooms_follow_the_rooms():
    row = '| corpus | 语料库 | Some text. | [Old](12_new.ipynb) |'
    assert road.titled(row, {'12_new.ipynb': notebook('New')}) == row.replace('Old', 'New')

@pytest.mark.parametrize('text', ['stock `Trainer`', 'Stock\n`Trainer`', "transformers' `Trainer`", "HF's `Trainer`",
                                  "the library's own `Trainer`", 'plain `Trainer`', 'the `Trainer` of transformers',
                                  'Its own `Trainer`', 'the `Trainer` of\nHugging Face'])
def test_a_name_of_another_library_is_not_linked(text):
    site = Site()
    site.names['Trainer'] = '31_training.ipynb'
    assert site.linked(text, '40_tasks.ipynb')==text
    assert '(./training.ipynb#trainer)' in site.linked('Our `Trainer` does it.', '40_tasks.ipynb')

def test_a_parameter_without_a_comment_takes_no_place():
    text = reference('def f(\n    x,\n    y:int, # How many\n):\n    "Do it."', 'any', dict(f=1))
    assert f'`x`\n: {UNSAID}' in text and '`y` *int*\n: How many' in text
    assert '.unsaid) { display: none; }' in (ROOT/'docs/static/site.css').read_text('utf-8')

def test_a_stray_dollar_is_seen():
    good = '<p>A <span class="math">x</span> and <code>$HOME</code>.</p><pre>a $ b</pre><script>$()</script>'
    assert not stray_dollars(good)
    assert not stray_dollars('<table class="dataframe"><tr><td>$HOME</td></tr></table>')
    assert stray_dollars(good + '<p>Attention is\n$$\\frac{a}{b}$$</p>')

def test_the_picture_of_the_road_names_every_part_that_has_rooms():
    cells = json.loads((ROOT/'nbs/index.ipynb').read_text('utf-8'))['cells']
    shown = [''.join(o['data'].get('image/svg+xml', '')) for c in cells for o in c.get('outputs', []) if 'data' in o]
    words = ' '.join(re.findall(r'>([^<>]+)</text>', shown[0]))
    for digit,(name,_) in road.PARTS.items():
        rooms = [f for f in road.notebooks() if road.number(f).startswith(digit)]
        if rooms: assert name.lower() in words.lower(), f'the picture has no {name}'
