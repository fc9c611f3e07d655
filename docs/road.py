"""The road: the rooms under `nbs/` in the order of their numbers, in parts by the first digit of the number.

The table in the index and in README, the side bar of the site and the titles in the glossary are made from what lies in
`nbs/`: a room's title and its sentence are those of its notebook. Only the parts are named here."""
import json, re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = { # first digit of a room -> name of the part, and what a reader finds in it
    '0': ('Start here', 'Here stands what a language model is, the words that all other rooms use, and how files are read.'),
    '1': ('Text', 'Documents are collected, some are kept apart for the test, and a tokenizer turns all of them into ids.'),
    '2': ('Language models', 'Counting, memory and attention are three ways to guess the next token, and one unit compares them.'),
    '3': ('Pretraining', 'A model learns from text alone, in a run that can be stopped, resumed and verified.'),
    '4': ('Tasks', 'The pretrained model learns to classify, to tag, to answer and to write, and each task is scored in its own unit.'),
    '5': ('Evidence', 'These rooms ask which of two models is better, and how sure the answer is.'),
    '6': ('Open questions', 'These rooms ask what a model looks at, whom it fails, what it remembers, and whether it can be smaller.'),
    '7': ('The machine', 'These rooms measure how fast training is and how it grows, whether a stack keeps its invariants, and how models move between stacks. '
                         'They are the workshop: skip it unless you change the machine.'),
    '8': ('In use', 'Here the whole road takes five minutes, and its verbs work in a shell.'),
}
WORKSHOP = '7'

def notebooks(nbs=ROOT/'nbs'):
    "The notebooks below `nbs`, by their paths in it."
    found = {}
    for path in sorted(nbs.rglob('*.ipynb')):
        inside = path.relative_to(nbs)
        if not any(part[0] in '._' for part in inside.parts):
            found[inside.as_posix()] = json.loads(path.read_text('utf-8'))
    return found

def title(nb):
    "The title of the notebook `nb`, and the line under it."
    text = ''.join(next(c['source'] for c in nb['cells'] if c['cell_type']=='markdown'))
    return re.match(r'# (.+)', text)[1], re.search(r'^> (.+)', text, flags=re.M)[1]

def language(nb):
    "The language of the notebook `nb`, as a browser calls it: that of its title."
    return 'zh-CN' if re.search('[\u4e00-\u9fff]', title(nb)[0]) else 'en'

def number(file):
    "The number of a room, as its two digits; nothing for what is no room."
    m = re.match(r'(\d\d)_', file)
    return m[1] if m else ''

def heading(digit):
    "The heading of the part of the rooms that begin with `digit`."
    name = PARTS[digit][0]
    if digit=='0': return name
    return f'Part {digit}: {name}' + (' (workshop)' if digit==WORKSHOP else '')

def sections(notebooks):
    "Heading, sentence and files of each part that has rooms, then of the tutorials, and of what there is to look up."
    found, rest = [], {*notebooks} - {'index.ipynb'}
    for digit,(_,sentence) in PARTS.items():
        files = [f for f in notebooks if number(f).startswith(digit)]
        if files: found.append((heading(digit), sentence, files))
        rest -= {*files}
    tutorials = sorted(f for f in rest if f.startswith('tutorials/'))
    if tutorials: found.append(('Tutorials', 'These notebooks walk through several rooms.', tutorials))
    others = sorted(rest - {*tutorials})
    if others: found.append(('To look up', 'These pages serve every reader at any time.', others))
    return found

def label(file, nb):
    "A room's number and title; the title of any other page."
    return f'{number(file)} {title(nb)[0]}'.strip()

def table(notebooks):
    "The road in markdown: a heading, a sentence and a table for each section."
    parts = ['## The road']
    for name,sentence,files in sections(notebooks):
        rows = ['| room | what it is about |', '|---|---|']
        for f in files:
            name_of_room, lead = title(notebooks[f])
            rows.append(f'| {number(f)} [{name_of_room}]({f}) | {lead} |'.replace('|  [', '| ['))
        parts += [f'### {name}', sentence, '\n'.join(rows)]
    return '\n\n'.join(parts)

def titled(text, notebooks):
    "The markdown `text`, in which each row of a table that ends with a link to a notebook bears that notebook's title."
    def renamed(m): return f'[{title(notebooks[m[2]])[0]}]({m[2]}) |' if m[2] in notebooks else m[0]
    return re.sub(r'\[([^]|]+)\]\(([\w/]+\.ipynb)\) \|$', renamed, text, flags=re.M)
