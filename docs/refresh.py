"""Run the notebooks and save what their cells show: `python docs/refresh.py [NAME ...]` (no name: all of them).

Each notebook runs in a process and an empty folder of its own, and runs what `nbdev_test` runs: cells marked
`#| eval: false` or with one of `tst_flags` are passed over and keep their outputs, but `--nb-flags slow` runs those
too. Warnings and progress bars are not saved. If a cell fails, its notebook stays as it was. A second run changes nothing."""
import argparse, os, sys, subprocess, tempfile, time, traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENV = dict(OMP_NUM_THREADS='1', TOKENIZERS_PARALLELISM='false', HF_HUB_OFFLINE='1', IN_TEST='1', PLM_CALIBRATE='0',
           TQDM_DISABLE='1', HF_HUB_DISABLE_PROGRESS_BARS='1', HF_DATASETS_DISABLE_PROGRESS_BARS='1')

def notebooks(nbs, names):
    "The notebooks that `names` mean: paths under `nbs` with or without `.ipynb`, or any path; no names mean all"
    if not names:
        return sorted(p for p in nbs.rglob('*.ipynb') if not any(o[0] in '._' for o in p.relative_to(nbs).parts))
    return [next((p for p in (nbs/f'{n}.ipynb', nbs/n, Path(n)) if p.is_file()), None)
            or sys.exit(f'{n}: no such notebook under {nbs.name}/') for n in names]

def where(fn):
    "`fn` as it is named in messages"
    return fn.resolve().relative_to(ROOT) if fn.resolve().is_relative_to(ROOT) else fn.name

def save(fn, flags):
    "Run the notebook `fn`, with the cells that bear one of `flags`, and write its outputs back"
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from matplotlib import rcParams
    from matplotlib_inline.backend_inline import set_matplotlib_formats
    from nbdev.clean import clean_nb
    from nbdev.config import get_config
    from nbdev.process import NBProcessor
    cfg = get_config(path=ROOT)
    sys.path.insert(0, str(ROOT))                              # this checkout's package, whatever is installed
    ran, kept = NBProcessor(fn).nb, read_nb(fn)                # `ran` loses its directives: only outputs go back
    skip = set(cfg.tst_flags.split()) - set(flags)
    def passed_over(c):
        off = c.directives_.get('eval:', [''])[0].lower()=='false'
        return c.cell_type!='code' or off or skip & c.directives_.keys()
    for c in ran.cells: c['outputs'] = []
    shell = CaptureShell()
    rcParams['svg.hashsalt'] = 'plm_nb'
    set_matplotlib_formats('svg', metadata={'Date': None, 'Creator': None}) # sharp, the same bytes each time
    for c in ran.cells:
        if passed_over(c): continue
        shell.cell(c)
        if shell.exc: sys.exit(report(fn, c.idx_, ''.join(kept.cells[c.idx_].source), shell.exc))
    for a,b in zip(ran.cells, kept.cells):
        if not passed_over(a): b['outputs'] = [o for o in a.outputs if o.get('name')!='stderr']
    clean_nb(kept, clean_ids=cfg.clean_ids)
    write_nb(kept, fn)

def report(fn, i, source, error):
    "What it takes to mend cell `i` of `fn`: the error, the cell, and the calls below the notebook machinery"
    machinery = {'IPython', 'execnb'}
    calls = [f for f in traceback.extract_tb(error.__traceback__) if not machinery & {*Path(f.filename).parts}]
    head = f'{where(fn)}: cell {i}: {type(error).__name__}: {error}'
    return '\n'.join([head, '', source, '', *traceback.format_list(calls)])

def refresh(fn, flags):
    "Run `save` on `fn` in a fresh process; True if it went well"
    start, env = time.time(), {**os.environ, **ENV}
    if flags: # the long cells have the machine to themselves
        env['OMP_NUM_THREADS'] = str(os.cpu_count())
        del env['TOKENIZERS_PARALLELISM']
    with tempfile.TemporaryDirectory() as cwd:
        r = subprocess.run([sys.executable, Path(__file__).resolve(), '--in-process', fn.resolve(), *flags], cwd=cwd,
                           env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if r.returncode: print(r.stdout or f'{where(fn)}: ended with code {r.returncode}', flush=True)
    else: print(f'{where(fn)}: {time.time()-start:.0f} s', flush=True)
    return r.returncode==0

if __name__=='__main__':
    if sys.argv[1:2]==['--in-process']: save(Path(sys.argv[2]), sys.argv[3:])
    else:
        parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
        parser.add_argument('names', nargs='*', help='notebooks; all of them if none is named')
        parser.add_argument('--nb-flags', default='', help='flags whose cells run too, with commas')
        args = parser.parse_args()
        flags = [f for f in args.nb_flags.split(',') if f]
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda fn: refresh(fn, flags), notebooks(ROOT/'nbs', args.names)))
        sys.exit(not all(done))
