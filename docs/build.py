"""Build the site: `python docs/build.py` turns `nbs/` into `_site/`, without a network once KaTeX lies in `_build`.

Notebooks -> pages (`pages.py`) -> Sphinx (`conf.py`). A warning, a dead link or anchor, a formula that does not parse, or
a `$` that was not read as a formula's ends the build with code 1."""
import re, shutil, subprocess, sys, tempfile
from pathlib import Path
from sphinxcontrib.katex import katex_version
from checks import broken_formulas, stray_dollars
from pages import ROOT, SITE, Site, settings
from readme import page

BUILD, OUT = ROOT/'_build', ROOT/'_site'

def run(*command):
    "Run `command`; end with its code if it fails."
    if code := subprocess.run([str(c) for c in command]).returncode: sys.exit(code)

def katex(folder):
    "Bring the style and the fonts of KaTeX to `folder`, once."
    if (folder/'katex.min.css').exists(): return
    with tempfile.TemporaryDirectory() as d:
        run('npm', 'install', '--prefix', d, '--no-save', '--silent', f'katex@{katex_version}')
        found = Path(d)/'node_modules/katex/dist'
        shutil.copytree(found/'fonts', folder/'fonts', ignore=shutil.ignore_patterns('*.ttf', '*.woff'))
        shutil.copy(found/'katex.min.css', folder)

def style():
    "The palette and the typeface of the plots, from the one file that holds them: CSS variables by name."
    text = (ROOT/settings['lib_path']/'plm.mplstyle').read_text('utf-8')
    cycle = re.search(r'^axes.prop_cycle:.*?\[(.*)\]', text, flags=re.M)[1]
    found = {f'plm-{i}': f'#{c}' for i,c in enumerate(re.findall(r'"(\w+)"', cycle))}
    for name,key in dict(ink='text.color', rule='grid.color').items():
        found[f'plm-{name}'] = '#' + re.search(rf'^{re.escape(key)}:\s*(\w+)', text, flags=re.M)[1]
    return found | {'plm-sans': re.search(r'^font.sans-serif:\s*(.+?)\s*$', text, flags=re.M)[1]}

def static(folder):
    "Write the palette and both colors of the wordmark to `folder`."
    found, logo = style(), (ROOT/'docs/logo.svg').read_text('utf-8')
    (folder/'palette.css').write_text(':root{' + ';'.join(f'--{k}:{v}' for k,v in found.items()) + '}\n', 'utf-8')
    for name,ink in dict(light=found['plm-ink'], dark='#e6e9ee').items():
        (folder/f'logo-{name}.svg').write_text(logo.replace('currentColor', ink), 'utf-8')

def extra(folder, site):
    "Write the notebooks, each page as markdown, and `llms.txt` to `folder`."
    index = [f"# {settings['lib_name']}", f"> {settings['description']}", '## Pages']
    def link(m): return f"]({m[1]}{'.html#' if m[2] else '.md'}"
    for file,nb in site.notebooks.items():
        twin, (title,lead) = f'{site.page(file)}.md', site.title(file)
        for path in (folder/'nbs'/file, folder/twin): path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(site.nbs/file, folder/'nbs'/file)
        text = re.sub(r'\]\(\./([\w/.-]+)\.ipynb(#?)', link, site.linked(page(nb), file))
        (folder/twin).write_text(text, 'utf-8')
        index.append(f'- [{title}]({SITE}{twin}): {lead}')
    (folder/'llms.txt').write_text('\n\n'.join(index[:3]) + '\n\n' + '\n'.join(index[3:]) + '\n', 'utf-8')

def faults(out):
    "What the finished pages under `out` show that no page may show, a line each."
    found = []
    for path in sorted(out.rglob('*.html')):
        if '_static' in path.parts: continue
        name, html = path.relative_to(out), path.read_text('utf-8')
        if broken_formulas(html): found.append(f'{name}: a formula does not parse')
        found += [f'{name}: a `$` that is no formula\'s: …{text}…; put a blank line before `$$`, or a backslash before `$`'
                  for text in stray_dollars(html)]
    return found

if __name__=='__main__':
    for folder in (OUT, *(BUILD/d for d in ('pages', 'extra', 'doctrees', 'html'))):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in ('extra', 'static/katex'): (BUILD/folder).mkdir(parents=True, exist_ok=True)
    site = Site()
    katex(BUILD/'static/katex')
    static(BUILD/'static')
    extra(BUILD/'extra', site)
    site.write(BUILD/'pages')
    run(sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-n', '-q', '-c', ROOT/'docs', '-d', BUILD/'doctrees',
        BUILD/'pages', BUILD/'html')
    shutil.move(BUILD/'html', OUT)
    run('lychee', '--offline', '--include-fragments', '--no-progress', '--root-dir', OUT, '--exclude-path', OUT/'_static',
        OUT)
    wrong = faults(OUT)
    if wrong: sys.exit('\n'.join(wrong))
    print(f'{OUT.relative_to(ROOT)}: {len(site.notebooks)} pages')
