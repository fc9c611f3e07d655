"The Chinese pages: whoever reads only Chinese finds every command, each typed as it can be typed, in the glossary's words."
import json, re, shlex, sys
from pathlib import Path
import pytest
from plm_nb.cli import COMMANDS, parser

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT/'docs'))
import road
from readme import READMES

HAN = '\u4e00-\u9fff'
PAGES = [file for file,nb in road.notebooks().items() if road.language(nb)=='zh-CN']
ROW = re.compile(r'^\| `plm (?P<command>\w+)` \| (?P<says>[^|]+) \| `(?P<example>plm [^|`]+)` \|$', re.M)
RIVALS = { # what other Chinese texts say -> the word of the glossary
    '令牌': '词元', '词汇表': '词表', '精调': '微调', '准确度': '准确率', '困惑值': '困惑度', '掩膜': '掩码'}

def prose(file):
    "The markdown of a notebook, without its code"
    cells = road.notebooks()[file]['cells']
    text = '\n\n'.join(''.join(c['source']) for c in cells if c['cell_type']=='markdown')
    return re.sub(r'^```.*?^```', '', text, flags=re.M|re.S)

def typed(file):
    "Every line of a page that begins with `plm` and has an argument"
    text = '\n'.join(''.join(c['source']) for c in road.notebooks()[file]['cells'] if c['cell_type']=='markdown')
    found = re.findall(r'^(plm [^\n]+)', text, re.M) + [m['example'] for m in ROW.finditer(text)]
    return [line for line in found if ' ' in line]

def test_there_are_chinese_pages():
    assert {'index_zh.ipynb', 'tutorials/chinese.ipynb'} <= {*PAGES}
    assert 'index.ipynb' not in PAGES and '11_tokenizer.ipynb' not in PAGES

@pytest.mark.parametrize('file', ['nbs/index_zh.ipynb', 'README.zh.md'])
def test_every_command_stands_in_the_table_once(file):
    text = prose('index_zh.ipynb') if file.endswith('.ipynb') else (ROOT/file).read_text('utf-8')
    rows = [m.groupdict() for m in ROW.finditer(text)]
    assert sorted(r['command'] for r in rows)==sorted(COMMANDS)
    for r in rows:
        assert re.search(f'[{HAN}]', r['says']), r
        assert r['example'].split()[1]==r['command'], r

LINES = sorted({(file, line) for file in PAGES for line in typed(file)})

@pytest.mark.parametrize('file, line', LINES, ids=[line for _,line in LINES])
def test_a_line_can_be_typed(file, line):
    try: _, rest = parser().parse_known_args(shlex.split(line)[1:])
    except (Exception, SystemExit) as error: pytest.fail(f'{file}: {line}: {error}', pytrace=False)
    assert not rest, f'{file}: no such option: {rest[0]}'

def test_a_line_that_cannot_be_typed_is_seen():
    with pytest.raises((Exception, SystemExit)): parser().parse_known_args(['generate', 'from here'])
    assert parser().parse_known_args(['doctor', '--no-such-option'])[1]

def test_both_readmes_lead_to_each_other():
    english, chinese = ((ROOT/name).read_text('utf-8') for name in READMES.values())
    assert '](README.zh.md)' in english and '](README.md)' in chinese
    for link in ('nbs/tutorials/chinese.ipynb', 'nbs/glossary.ipynb'): assert f']({link})' in chinese

def test_both_readmes_install_alike():
    english, chinese = (re.findall(r'^pip install .+', (ROOT/name).read_text('utf-8'), re.M) for name in READMES.values())
    assert chinese and {*chinese} <= {*english}

@pytest.mark.parametrize('file', PAGES)
def test_links_lead_somewhere(file):
    for link in re.findall(r'\]\((?!\w+:|#)([^)#]+)', prose(file)): assert (ROOT/'nbs'/file).parent.joinpath(link).exists(), link

@pytest.mark.parametrize('file', PAGES)
def test_no_space_falls_between_two_characters(file):
    "A browser shows a line break within a paragraph as a space, which Chinese does not have"
    broken = re.findall(rf'^(?![|#>\-]).*[{HAN}，。；：、]\n(?![|#>\-\n]).*[{HAN}]', prose(file), re.M)
    assert not broken, broken

@pytest.mark.parametrize('file', PAGES)
def test_words_are_those_of_the_glossary(file):
    rivals = {word: ours for word,ours in RIVALS.items() if word in prose(file)}
    assert not rivals, f'the glossary says otherwise: {rivals}'

def test_the_glossary_has_these_words():
    assert not [ours for ours in RIVALS.values() if ours not in prose('glossary.ipynb')]
