"""The notebooks under `nbs/` as the pages that Sphinx reads.

A page is its notebook with hidden cells dropped, links resolved, and each exported name introduced by a reference made
from its docments. Nothing is imported and nothing runs: names, parameters and comments are read from the source."""
import ast, io, json, re, tokenize
from configparser import ConfigParser
from pathlib import Path
from posixpath import normpath, relpath
import road
from road import ROOT

ini = ConfigParser(delimiters=['='])
ini.read(ROOT/'settings.ini', encoding='utf-8')
settings = ini['DEFAULT']
SITE = settings['doc_host'] + settings['doc_baseurl']
FILES = f"{settings['git_url']}/blob/{settings['branch']}"
COLAB = f"https://colab.research.google.com/github/{settings['user']}/{settings['repo']}/blob/{settings['branch']}"

# what stands before and behind a name that is another library's, not ours
OTHERS = r"(HF|Hugging Face|transformers|torch|PyTorch|scikit-learn|accelerate|the library|library)"
BEFORE = re.compile(rf"\b(stock|plain|its|their|{OTHERS}(['’]s?)?)(\s+own)?\s+$", re.I)
BEHIND = re.compile(rf"\s+of\s+(stock\s+|plain\s+)?({OTHERS}|XLNet|BERT|GPT-2)\b")

def slug(title):
    "The anchor of a heading, as nbdev's links expect it."
    return re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', title.strip().lower()))

def directives(cell):
    "The `#| key: value` lines of `cell` as a dict, and the rest of its source."
    found, rest = {}, []
    for line in ''.join(cell['source']).split('\n'):
        if m := re.match(r'#\|\s*([\w-]+)\W*(.*)', line): found[m[1]] = m[2].strip()
        else: rest.append(line)
    return found, '\n'.join(rest).strip('\n')

def comments(source):
    "The comment on each line of `source`, by line number."
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type==tokenize.COMMENT: found[token.start[0]] = token.string.lstrip('# ')
    return found

NO_DEFAULT = object()

def arguments(function):
    "What the syntax tree `function` takes: name, annotation, default (or `NO_DEFAULT`) and node of each argument."
    a = function.args
    plain = a.posonlyargs + a.args
    defaults = [NO_DEFAULT]*(len(plain)-len(a.defaults)) + a.defaults
    found = [(p.arg, p.annotation, value, p) for p,value in zip(plain, defaults)]
    if a.vararg: found.append((f'*{a.vararg.arg}', a.vararg.annotation, NO_DEFAULT, a.vararg))
    for p,value in zip(a.kwonlyargs, a.kw_defaults): found.append((p.arg, p.annotation, value or NO_DEFAULT, p))
    if a.kwarg: found.append((f'**{a.kwarg.arg}', a.kwarg.annotation, NO_DEFAULT, a.kwarg))
    return found

def fields(node):
    "The annotated fields of the class `node`, as `arguments` gives those of a function."
    found = [f for f in node.body if isinstance(f, ast.AnnAssign)]
    return [(f.target.id, f.annotation, f.value or NO_DEFAULT, f) for f in found]

def returned(function, said):
    "What the comment behind the arguments of `function` says of what it returns; nothing if there is none."
    last = max([function.lineno, *(node.end_lineno for *_,node in arguments(function))])
    if last==function.lineno and function.lineno in said: return said[last]
    for line in range(last+1, function.body[0].lineno):
        if line in said: return said[line]
    return ''

def parameters(node, said):
    "Name, annotation, default and meaning of what the function or class `node` takes, and of what it returns."
    function = node
    if isinstance(node, ast.ClassDef):
        function = None
        for f in node.body:
            if isinstance(f, ast.FunctionDef) and f.name=='__init__' and not fields(node): function = f
    taken = arguments(function) if function else fields(node)
    first = function.lineno if function else node.lineno
    found = []
    for name,kind,value,where in taken:
        if name in ('self', 'cls'): continue
        default = '' if value is NO_DEFAULT else ast.unparse(value)
        meaning = said.get(where.lineno, '') if where.lineno>first else ''
        found.append((name, ast.unparse(kind) if kind else '', default, meaning))
    if isinstance(function, ast.FunctionDef):
        kind, meaning = function.returns, returned(function, said)
        if kind or meaning: found.append(('returns', ast.unparse(kind) if kind else '', '', meaning))
    return found

def definitions(source):
    "The public functions, classes and methods that `source` defines: qualified name and node."
    for node in ast.parse(source).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'): continue
        name = node.name
        if any(ast.unparse(d).startswith('patch') for d in node.decorator_list):
            name = f'{ast.unparse(node.args.args[0].annotation)}.{name}'
        yield name, node
        if isinstance(node, ast.ClassDef): yield from methods(node)

def methods(node):
    "The public methods of the class `node` that say what they do: qualified name and node."
    for f in node.body:
        if not isinstance(f, ast.FunctionDef) or f.name.startswith('_'): continue
        if ast.get_docstring(f): yield f'{node.name}.{f.name}', f

def lines(module):
    "The line of `plm_nb/MODULE.py` on which each public name is defined."
    source = (ROOT/settings['lib_path']/f'{module}.py').read_text('utf-8')
    return {name: node.lineno for name,node in definitions(source)}

UNSAID = '<span class="unsaid"></span>' # a term of a list has a meaning; this one takes no place on the page

def reference(source, module, where):
    "What a reader of the reference wants to know of the names that `source` defines."
    said, parts = comments(source), []
    for name,node in definitions(source):
        if name not in where: raise SystemExit(f'{name} is not in {module}.py: run nbdev_export')
        link = f"{FILES}/{settings['lib_path']}/{module}.py#L{where[name]}"
        parts += [f'### `{name}`', f'<a class="source" href="{link}">source</a>', ast.get_docstring(node) or '']
        for arg,kind,value,meaning in parameters(node, said):
            head = f'**{arg}**' if arg=='returns' else f'`{arg}`'
            if kind: head += f' *{kind}*'.replace('|', r'\|')
            if value: head += f' = `{value}`'
            parts.append(f'{head}\n: {meaning or UNSAID}')
    return '\n\n'.join(parts)

class Site:
    "All pages, and what they must know of each other."
    def __init__(self, nbs=ROOT/'nbs'):
        self.nbs, self.notebooks = nbs, road.notebooks(nbs)
        self.names = {}                                     # where each public name is introduced
        for file,nb in self.notebooks.items():
            for found,source in (directives(c) for c in nb['cells'] if c['cell_type']=='code'):
                for name,_ in definitions(source) if 'export' in found else []:
                    self.names.setdefault(name, file)

    def page(self, file):
        "The name of the page of notebook `file`: without its number, so that renumbering breaks no link."
        return re.sub(r'(^|/)\d+_', r'\1', file).removesuffix('.ipynb')

    def title(self, file):
        "The title of notebook `file`, and the line under it."
        return road.title(self.notebooks[file])

    def linked(self, text, file):
        "The markdown `text` of notebook `file`, its links leading to pages and files, its names to their reference."
        here = Path(self.page(file)).parent.as_posix()
        def target(m):
            path, anchor = normpath((Path(file).parent/m[1]).as_posix()), m[2] or ''
            if path in self.notebooks: return f'](./{relpath(self.page(path), here)}.ipynb{anchor})'
            found = (self.nbs/path).resolve()
            if not found.exists(): raise SystemExit(f'nbs/{file}: links to {m[1]}, which does not exist')
            return f']({FILES}/{found.relative_to(ROOT).as_posix()}{anchor})'
        def name(m):
            to = self.names.get(m[1])
            known = to and to<=file                         # a room speaks of lower rooms only, as it imports
            if BEFORE.search(m.string[:m.start()]) or BEHIND.match(m.string[m.end():]): return m[0]
            return f'[`{m[1]}`](./{relpath(self.page(to), here)}.ipynb#{slug(m[1])})' if known else m[0]
        parts = re.split(r'(^```.*?^```[ ]*$|^#[^\n]*$|^\$\$.*?\$\$)', text, flags=re.M | re.S)
        for i in range(0, len(parts), 2):
            parts[i] = re.sub(r'\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)', target, parts[i])
            parts[i] = re.sub(r'(?<![\[`])`([A-Za-z_][\w.]*)`(?![\]`])', name, parts[i])
        return ''.join(parts)

    def opening(self, text, file):
        "The first cell of a page: title, lead, and the ways to take the notebook away."
        head, lead, rest = re.match(r'(# .+\n+)> (.+)\n?([\s\S]*)', text).groups()
        up = relpath('.', Path(self.page(file)).parent.as_posix())
        take = (f'<p class="take"><a class="colab" href="{COLAB}/nbs/{file}">Open in Colab</a>'
                f'<a class="download" href="{up}/nbs/{file}" download>Download</a></p>')
        return f'{head}{{.lead}}\n{lead}\n\n{take}\n\n{self.linked(rest, file)}'

    def toctree(self):
        "The side bar: the road in its parts, the tutorials, and what else there is."
        trees = []
        for name,_,files in road.sections(self.notebooks):
            entries = [f'{road.label(f, self.notebooks[f])} <{self.page(f)}>' for f in files]
            trees.append(f':hidden:\n:caption: "{name}"\n\n' + '\n'.join(entries))
        return '\n\n'.join(f'```{{toctree}}\n{t}\n```' for t in trees)

    def cells(self, file):
        "The cells of the page of notebook `file`."
        first, module = True, self.page(file)
        where = lines(module) if (ROOT/settings['lib_path']/f'{module}.py').exists() else {}
        for cell in self.notebooks[file]['cells']:
            if cell['cell_type']=='markdown':
                text = ''.join(cell['source'])
                yield markdown(self.opening(text, file) if first else self.linked(text, file))
                first = False
                continue
            found, source = directives(cell)
            if found.keys() & {'hide', 'default_exp'} or not source: continue
            kinds = set()
            if 'export' in found:
                kinds = {type(n) for n in ast.parse(source).body}
                if kinds <= {ast.Import, ast.ImportFrom}: continue
                text = reference(source, module, where)
                if text: yield markdown(self.linked(text, file))
            yield shown(source, found, kinds, cell['outputs'])
        if file=='index.ipynb': yield markdown(self.toctree())

    def write(self, folder):
        "Write each page as a notebook for MyST-NB under `folder`."
        for file,nb in self.notebooks.items():
            cells = [dict(c, id=f'c{i}') for i,c in enumerate(self.cells(file))]
            path = folder/f'{self.page(file)}.ipynb'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(dict(nb, cells=cells)), 'utf-8')

def markdown(text): return dict(cell_type='markdown', metadata={}, source=text)

def shown(source, found, kinds, outputs):
    "A cell of code with its outputs; `found` are its directives, `kinds` the kinds of statements that it exports."
    tags = sorted(found.keys() & {'slow', 'gpu', 'hub'})
    if kinds & {ast.FunctionDef, ast.ClassDef}: tags.append('hide-input')
    if found.get('echo')=='false': tags.append('remove-input')
    settled = dict(image=dict(alt=found['fig-alt'])) if 'fig-alt' in found else {}
    return dict(cell_type='code', source=source, outputs=outputs, execution_count=None,
                metadata=dict(tags=tags, mystnb=settled))
