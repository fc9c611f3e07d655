"Write README.md from `nbs/index.ipynb`; with `--check`, only say whether they differ (exit 1)."
import json, re, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

def links(text):
    "`text` with its links to notebooks leading to the files in the repository"
    return re.sub(r'\]\((?!\w+:)([\w/-]+\.ipynb)(?=[#)])', r'](nbs/\1', text)

def shown(output):
    "What a page of text shows of an `output`: its markdown, or its text in a fence"
    data = output.get('data', {})
    if 'text/markdown' in data: return ''.join(data['text/markdown']).strip()
    text = ''.join(output.get('text') or data.get('text/plain', '')).rstrip()
    return f'```text\n{text}\n```' if text else ''

def readme(nb):
    "The notebook `nb` as one page of markdown"
    parts = []
    for c in nb['cells']:
        source = ''.join(c['source'])
        if c['cell_type']=='markdown': parts.append(links(source).strip())
        elif c['cell_type']=='code' and not re.search(r'^#\|\s*hide\b', source, flags=re.M):
            code = re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip()
            parts += [f'```python\n{code}\n```' if code else '', *map(shown, c['outputs'])]
    return '\n\n'.join(filter(None, parts)) + '\n'

if __name__=='__main__':
    file = ROOT/'README.md'
    page = readme(json.loads((ROOT/'nbs/index.ipynb').read_text(encoding='utf-8')))
    if '--check' not in sys.argv[1:]: file.write_text(page, encoding='utf-8')
    elif file.read_text(encoding='utf-8')!=page:
        sys.exit('README.md differs from nbs/index.ipynb: run python docs/readme.py')
