"nbdev's own way to a site stays open: its processing step reads every notebook, and leaves nothing in the checkout."
import json, os, shutil, subprocess
from pathlib import Path
import pytest, yaml

ROOT = Path(__file__).resolve().parents[2]

def processed(folder):
    "Run `nbdev_proc_nbs` on a copy of the checkout in `folder`, where Quarto seems to be installed; the folder of its pages."
    for name in ('settings.ini', 'pyproject.toml', 'README.md'): shutil.copy(ROOT/name, folder)
    for name in ('nbs', 'plm_nb'): shutil.copytree(ROOT/name, folder/name, ignore=shutil.ignore_patterns('.ipynb_checkpoints', '__pycache__'))
    stand_in = folder/'bin/quarto' # else nbdev fetches Quarto and installs it; the processing step does not call it
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nexit 1\n')
    stand_in.chmod(0o755)
    env = dict(os.environ, PATH=f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}", HF_HUB_OFFLINE='1')
    r = subprocess.run(['nbdev_proc_nbs', '--n_workers', '1'], cwd=folder, env=env, capture_output=True, text=True, timeout=1100)
    assert not r.returncode, r.stderr[-3000:]
    return folder/'_proc'

@pytest.mark.timeout(1200)
def test_processing_reads_every_notebook(tmp_path):
    pages = processed(tmp_path)
    made = {p.relative_to(pages).as_posix() for p in pages.rglob('*.ipynb')}
    rooms = {p.relative_to(ROOT/'nbs').as_posix() for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts}
    assert made==rooms
    for name in rooms:
        cells = json.loads((pages/name).read_text(encoding='utf-8'))['cells']
        front = ''.join(cells[0]['source'])
        assert front.startswith('---') and yaml.safe_load(front.strip().strip('-'))['title'], f'{name} has no title'
    metrics = json.loads((pages/'41_metrics.ipynb').read_text(encoding='utf-8'))['cells']
    shown = [''.join(o.get('data', {}).get('text/markdown', '')) for c in metrics for o in c.get('outputs', [])]
    assert any('Harmonic mean of precision and recall' in text for text in shown), 'no reference is shown'
    assert yaml.safe_load((tmp_path/'nbs/_quarto.yml').read_text())['project']['type']=='website'
    assert not [p for p in ('_quarto.yml', 'nbdev.yml', 'sidebar.yml') if (ROOT/'nbs'/p).exists()], 'left in the checkout'
