"Write README.md from `nbs/index.ipynb`; with `--check`, only say whether they differ (exit 1)."
import json, re, sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

def site():
    "Address of the documentation site, with a slash at the end"
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']['doc_host'].rstrip('/') + '/' + ini['DEFAULT']['doc_baseurl'].strip('/') + '/'

def links(text, base):
    "`text` with its links to notebooks leading to their pages under `base`, whose names have no number"
    return re.sub(r'\]\((?!\w+:)((?:[\w-]+/)*)(?:\d+_)?([\w-]+)\.ipynb(?=[#)])', rf']({base}\1\2.html', text)

def shown(output):
    "What a page of text shows of an `output`: its markdown, or its text in a fence"
    data = output.get('data', {})
    if 'text/markdown' in data: return ''.join(data['text/markdown']).strip()
    text = ''.join(output.get('text') or data.get('text/plain', '')).rstrip()
    return f'```text\n{text}\n```' if text else ''

def readme(nb, base):
    "The notebook `nb` as one page of markdown"
    parts = []
    for c in nb['cells']:
        source = ''.join(c['source'])
        if c['cell_type']=='markdown': parts.append(links(source, base).strip())
        elif c['cell_type']=='code' and not re.search(r'^#\|\s*hide\b', source, flags=re.M):
            code = re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip()
            parts += [f'```python\n{code}\n```' if code else '', *map(shown, c['outputs'])]
    return '\n\n'.join(filter(None, parts)) + '\n'

if __name__=='__main__':
    file = ROOT/'README.md'
    page = readme(json.loads((ROOT/'nbs/index.ipynb').read_text(encoding='utf-8')), site())
    if '--check' not in sys.argv[1:]: file.write_text(page, encoding='utf-8')
    elif file.read_text(encoding='utf-8')!=page:
        sys.exit('README.md differs from nbs/index.ipynb: run python docs/readme.py')
