"""Bring up to date what follows from `nbs/`: the road in the index, the titles of rooms in the glossary, README.md and its
pictures, README.zh.md; with `--check`, only say what differs (exit 1)."""
import json, re, sys
from road import ROOT, notebooks, table, titled

READMES = {'index.ipynb': 'README.md', 'index_zh.ipynb': 'README.zh.md'}

def links(text):
    "`text` with its links to notebooks leading to the files in the repository"
    def target(m): return f"]({READMES.get(m[1], f'nbs/{m[1]}')}"
    return re.sub(r'\]\((?!\w+:)([\w/-]+\.ipynb)(?=[#)])', target, text)

def shown(output, words, picture):
    "What a page of text shows of an `output`: a picture, which `words` describe, its markdown, or its text in a fence"
    data = output.get('data', {})
    if 'image/svg+xml' in data: return picture(words, ''.join(data['image/svg+xml']))
    if 'image/png' in data: return f'*{words}*'
    if 'text/markdown' in data: return ''.join(data['text/markdown']).strip()
    text = ''.join(output.get('text') or data.get('text/plain', '')).rstrip()
    return f'```text\n{text}\n```' if text else ''

def page(nb, picture=lambda words, svg: f'*{words}*'):
    "The notebook `nb` as one page of markdown; `picture` says how one is shown"
    parts = []
    for c in nb['cells']:
        source = ''.join(c['source'])
        if c['cell_type']=='markdown': parts.append(source.strip())
        elif c['cell_type']=='code' and not re.search(r'^#\|\s*(hide|default_exp)\b', source, flags=re.M):
            words = re.search(r'^#\| fig-alt: (.*)', source, flags=re.M)
            code = '' if '#| echo: false' in source else re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip()
            shows = [shown(o, words and words[1], picture) for o in c['outputs']]
            parts += [f'```python\n{code}\n```' if code else '', *shows]
    return '\n\n'.join(filter(None, parts)) + '\n'

def saved(nb): return json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + '\n'

def readme(file, nb):
    "The README that the notebook `nb` in `file` is made into, and each picture that it shows, by its path"
    files = {}
    def picture(words, svg):
        name = f"docs/{file.removesuffix('.ipynb')}-{len(files)}.svg"
        files[name] = svg
        return f'![{words}]({name})'
    files[READMES[file]] = links(page(nb, picture))
    return files

def followers():
    "The text of each file that follows from `nbs/`, by its path"
    found = notebooks()
    for c in found['index.ipynb']['cells']:
        if ''.join(c['source']).startswith('## The road'): c['source'] = table(found).splitlines(keepends=True)
    for c in found['glossary.ipynb']['cells']:
        if c['cell_type']=='markdown': c['source'] = titled(''.join(c['source']), found).splitlines(keepends=True)
    files = {f'nbs/{f}': saved(found[f]) for f in ('index.ipynb', 'glossary.ipynb')}
    for file in READMES: files |= readme(file, found[file])
    return files

if __name__=='__main__':
    for name,text in followers().items():
        file = ROOT/name
        if '--check' not in sys.argv[1:]: file.write_text(text, encoding='utf-8')
        elif not file.exists() or file.read_text(encoding='utf-8')!=text:
            sys.exit(f'{name} does not follow from nbs/: run python docs/readme.py')
