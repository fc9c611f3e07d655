"""Colab stood in for: every notebook runs from the installed wheel alone, with the newest releases of what it needs.

`python tests/colab.py`, by hand and weekly: it needs the package registry and some minutes, so pytest passes it by.
A fresh environment gets the wheel and whatever its requirements bring today, of torch alone the release in
`constraints.txt`; a notebook whose first cell installs extras runs in one that has these as well. There it runs in an
empty folder, once in a plain kernel and once in one like Colab's own, which has loaded `google.colab` before the first
cell. "Run all" also runs the cells that the tests pass over (`tst_flags` and `eval: false`): they are left out here,
and counted, unless `--flags` names them."""
import argparse, json, os, re, shutil, subprocess, sys, tempfile, time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT/'docs'))
from refresh import notebooks, where

INI = ConfigParser(delimiters=['='])
INI.read(ROOT/'settings.ini', encoding='utf-8')
FLAGS = {'eval', *INI['DEFAULT']['tst_flags'].split()}
LIMIT = 3600 # seconds for one cell
COLAB = '''"Libraries learn that they run in Colab from this module, loaded, and from the name of the shell's class."
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell

class Shell(ZMQInteractiveShell): pass
class Kernel(IPythonKernel): shell_class = Shell
'''
LAST = '''import os, sys, plm_nb
assert plm_nb.__file__.startswith(os.path.dirname(sys.prefix)), plm_nb.__file__
assert not any(f'{{p}}/'.startswith('{root}/') for p in sys.path), sys.path
assert ('google.colab' in sys.modules and 'google.colab' in str(get_ipython())) is {colab}'''

def extras(fn):
    "The extras that the notebook `fn` installs where the package is missing, as in `[lora]`; empty if it needs none"
    found = re.search(r"%s(\[[\w,-]+\]) @ git\+" % INI['DEFAULT']['lib_name'], fn.read_text(encoding='utf-8'))
    return found[1] if found else ''

def environment(home, wanted):
    "Make the environment `home`/env with the wheel and a kernel in it, one more for each of the extras `wanted`, and `google.colab` in `home`/colab"
    def pip(*args): subprocess.run([home/'env/bin/pip', *args, '--disable-pip-version-check'], check=True)
    module, torch = home/'colab/google/colab', home/'torch.txt'
    module.mkdir(parents=True)                    # no __init__.py in google: Colab's is a namespace too
    (module/'__init__.py').write_text(COLAB)
    torch.write_text(re.search(r'^torch==.+\n', (ROOT/'constraints.txt').read_text(), re.M)[0])
    subprocess.run([sys.executable, '-m', 'venv', home/'env'], check=True)
    shutil.rmtree(ROOT/'build', ignore_errors=True)  # what an older build left would get into the wheel
    pip('wheel', '-qq', '--no-deps', '-w', home/'dist', ROOT)
    shutil.rmtree(ROOT/'build')
    wheel, = (home/'dist').glob('*.whl')
    pip('install', '-qq', '-c', torch, wheel, 'nbclient', 'ipykernel', 'ipywidgets')
    for more in wanted:                           # borrows what the first one has
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', home/f'env{more}'], check=True)
        packages, = (home/f'env{more}').glob('lib/python*/site-packages')
        (packages/'borrowed.pth').write_text(str(home/'env'/packages.relative_to(home/f'env{more}')))
        pip('--python', home/f'env{more}/bin/python', 'install', '-qq', '-c', torch, f'{wheel}{more}')

def left_out(cell, flags):
    "The directives that keep `cell` from being run"
    found = re.findall(r'^#\|\s*(\w+)\b(?!:\s*true)', cell.source, re.M) if cell.cell_type=='code' else []
    return {*found} & FLAGS - flags

def execute(fn, colab, flags):
    "In the new environment: run the notebook `fn` in this folder, print how many cells it left out, end with the error"
    import nbformat
    from nbclient import NotebookClient
    nb, out = nbformat.read(fn, as_version=4), Counter()
    for c in nb.cells:
        if found := left_out(c, flags):
            out.update(found)
            c.cell_type = 'raw'
    nb.cells.append(nbformat.v4.new_code_cell(LAST.format(root=ROOT, colab=colab)))
    client = NotebookClient(nb, timeout=LIMIT, kernel_name='python3')
    if colab: client.extra_arguments = ['--IPKernelApp.kernel_class=google.colab.Kernel']
    with client.setup_kernel():
        for i,c in enumerate(nb.cells):
            try: client.execute_cell(c, i)
            except Exception as e: sys.exit(f'cell {i}: {e}')
    print(*(f', without {n} {flag}' for flag,n in sorted(out.items())), sep='')

def run(home, fn, colab, flags):
    "Run `execute` on `fn` in an empty folder of `home`; say how it went, and whether well"
    name = f'{where(fn)}{" with google.colab"*colab}'
    cwd, start = home/'runs'/name, time.time()
    cwd.mkdir(parents=True)
    env = {k: v for k,v in os.environ.items() if not re.match('PYTHON|JUPYTER|IPYTHON|HF_|PLM_', k)}
    env.update(PATH=f"{home/f'env{extras(fn)}/bin'}:{env['PATH']}", XDG_CACHE_HOME=str(home/'cache'), IPYTHONDIR=str(home/'ipython'),
               OMP_NUM_THREADS='1', **{'PYTHONPATH': str(home/'colab')} if colab else {})
    command = [home/f'env{extras(fn)}/bin/python', __file__, '--in-process', fn.resolve(), *['colab']*colab, *flags]
    r = subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True)
    how = f'FAILED\n{r.stderr}' if r.returncode else f'{time.time()-start:.0f} s{r.stdout.rstrip()}'
    print(f'{name}: {how}', flush=True)
    return not r.returncode

def versions(home):
    "Print the installed releases that are not those of `constraints.txt`"
    out = subprocess.run([home/'env/bin/pip', 'list', '--format', 'json'], check=True, stdout=subprocess.PIPE).stdout
    tested = dict(re.findall(r'^([\w-]+)==(\S+)', (ROOT/'constraints.txt').read_text(), re.M))
    print(f'\n{"package":24}{"constraints.txt":18}here')
    for p in json.loads(out):
        name, now = re.sub('[_.]', '-', p['name']).lower(), p['version'].split('+')[0]
        if now!=tested.get(name) and name not in ('pip', 'plm-nb'): print(f'{name:24}{tested.get(name, "-"):18}{now}')

def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these notebooks; all of them without it')
    parser.add_argument('--flags', default='', metavar=','.join(sorted(FLAGS)), help='run these cells too')
    parser.add_argument('--keep', action='store_true', help='keep the environment and the folders of the runs')
    args = parser.parse_args()
    flags = {f for f in args.flags.split(',') if f}
    if flags - FLAGS: parser.error(f'no such flag: {", ".join(flags - FLAGS)}')
    todo = list(product(notebooks(ROOT/'nbs', args.only)[::-1], [False, True])) # high numbers first: they take longest
    home = Path(tempfile.mkdtemp(prefix='colab-'))
    try:
        environment(home, {extras(fn) for fn,_ in todo} - {''})
        with ThreadPoolExecutor(2) as pool: ok = list(pool.map(lambda o: run(home, *o, flags), todo))
        versions(home)
    finally:
        if args.keep: print(f'kept: {home}')
        else: shutil.rmtree(home)
    print(f'\n{sum(ok)} passed, {len(ok)-sum(ok)} failed')
    sys.exit(not all(ok))

if __name__=='__main__':
    if sys.argv[1:2]==['--in-process']: execute(sys.argv[2], 'colab' in sys.argv[3:], set(sys.argv[3:]))
    else: main()
