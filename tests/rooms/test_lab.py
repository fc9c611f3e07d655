"The notebooks reach whoever installs the package, and nothing of theirs is overwritten."
import json, os, subprocess, sys
from pathlib import Path
import pytest
from plm_nb import lab as room
from typed import plm

ROOT = Path(__file__).resolve().parents[2]

def of_ours(folder):
    "The notebooks in `folder`, by their paths in it."
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*.ipynb")]
    return {path for path in paths if not any(part[0] in "._" for part in path.split("/"))}

def shell(*args, **env):
    "`plm` in a process of its own."
    code = "import sys; from plm_nb.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], env=os.environ|env, capture_output=True, text=True,
                          cwd=env.get("PWD"), timeout=200)

def test_a_wheel_holds_the_notebooks_without_what_they_show(tmp_path):
    "And `plm lab` finds them there, outside of a checkout."
    if not (ROOT/"setup.py").is_file(): pytest.skip("no checkout")
    build = [sys.executable, "setup.py", "-q", "build", "--build-base", tmp_path/"base", "--build-lib", tmp_path/"lib"]
    subprocess.run([*map(str, build)], cwd=ROOT, check=True, capture_output=True)
    there = tmp_path/"lib/plm_nb/notebooks"
    assert of_ours(there)==of_ours(ROOT/"nbs")
    for path in there.rglob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        assert not any(cell.get("outputs") for cell in cells), path
    r = shell("lab", "mine", "--copy-only", "--json", PYTHONPATH=str(tmp_path/"lib"), PWD=str(tmp_path))
    assert r.returncode==0, r.stderr
    assert json.loads(r.stdout)==dict(folder="mine", copied=len(of_ours(there)), kept=0)
    assert (tmp_path/"mine/index.ipynb").read_bytes()==(there/"index.ipynb").read_bytes()

STAND_IN = """import os, sys
print("started", sys.argv[1:], os.path.basename(os.getcwd()), os.environ["JUPYTER_PREFER_ENV_PATH"], sys.executable)
sys.exit(int(os.environ.get("CODE", 0)))"""

@pytest.fixture
def stand_in(tmp_path):
    "A package that is found in place of JupyterLab, and says how it was started."
    (tmp_path/"path/jupyterlab").mkdir(parents=True)
    (tmp_path/"path/jupyterlab/__init__.py").touch()
    (tmp_path/"path/jupyterlab/__main__.py").write_text(STAND_IN)
    return dict(PYTHONPATH=str(tmp_path/"path"), PWD=str(tmp_path))

def test_jupyterlab_is_started_in_the_folder(stand_in, tmp_path):
    "By this Python, with the kernel of this environment, and what it says does not reach standard output."
    r = shell("lab", "mine", "--no-browser", "--json", **stand_in)
    assert r.returncode==0 and set(json.loads(r.stdout))=={"folder", "copied", "kept"}, r.stderr
    assert f"started ['--no-browser', 'index.ipynb'] mine 1 {sys.executable}" in r.stderr
    r = shell("lab", "mine", CODE="3", **stand_in)
    assert r.returncode==2 and r.stdout=="" and "JupyterLab ended with code 3" in r.stderr

def test_without_jupyterlab(monkeypatch, tmp_path):
    "One line says what to install, and nothing is copied."
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    code, out, err = plm("lab", tmp_path/"mine")
    assert (code, out, err.count("\n"))==(2, "", 1) and "pip install jupyterlab" in err
    assert not (tmp_path/"mine").exists()

def test_an_install_without_notebooks(monkeypatch, tmp_path):
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: type("", (), dict(origin=str(tmp_path/"plm_nb/__init__.py"))))
    code, _, err = plm("lab", tmp_path/"mine", "--copy-only")
    assert code==2 and "no notebooks" in err
