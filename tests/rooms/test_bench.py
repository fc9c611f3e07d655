"The commands of the workshop refuse what would have no effect, and `check` takes any saved model."
import json, os, subprocess, sys
import pytest
import torch
from plm_nb import bench as bench_room
from plm_nb.bench import bench, check
from plm_nb.files import InputError

@pytest.mark.parametrize("options, words", [(dict(minutes=1), "--minutes")])
def test_options_of_the_ladder(options, words):
    with pytest.raises(InputError, match=words): bench("pretrain", **options)

def test_unknown_words(tmp_path):
    with pytest.raises(InputError, match="choose ladder or recipe"): bench("speed")
    with pytest.raises(InputError, match="choose plm or"): check(model=tmp_path, engine="steam")
    with pytest.raises(InputError, match="no model loads from there"): check(model=tmp_path)

def plm(*words, **env):
    done = subprocess.run([sys.executable, "-m", "plm_nb", *words], capture_output=True, text=True, timeout=200, env={**os.environ, **env})
    return done.returncode, done.stdout, done.stderr

def test_doctor(tmp_path):
    "What is measured is kept, and printed the second time as the first."
    env = dict(XDG_CACHE_HOME=str(tmp_path/"cache"), PLM_CALIBRATE="1", HF_HUB_OFFLINE="1")
    code, out, said = plm("doctor", "--json", **env)
    found = json.loads(out)
    assert code==0 and "faster" in said and found["hub"]=="not asked, since HF_HUB_OFFLINE is set"
    assert {"python", "cores", "threads", "cpu", "accelerator", "versions", "memory_gigabytes", "cache", "extras"} <= found.keys()
    assert found["calibration"]["measured"] is not torch.accelerator.is_available()
    code, out, said = plm("doctor", "--json", **env)
    assert json.loads(out)["calibration"]==found["calibration"] and not said, "nothing is tried again, nor said"
    code, _, said = plm("doctor", "--again", **env | dict(PLM_CALIBRATE="0"))
    assert code==0 and "without effect" in said and json.loads(plm("doctor", "--json", **env)[1])["calibration"]==found["calibration"]
    code, out, _ = plm("doctor", **env)
    assert code==0 and "calibration.threads" in out and "pip install" in out or all(row["installed"] for row in found["extras"])
    code, _, said = plm("doctor", "--agian", **env)
    assert code==2 and "did you mean --again?" in said

def test_doctor_of_a_script(tmp_path):
    "A finding is told as elsewhere, by exit code 2 and `ok`; what is no script in a line."
    (tmp_path/"old.py").write_text("from transformers import AdamW, Trainer\nTrainer(tokenizer=3)\n")
    (tmp_path/"new.py").write_text("from torch.optim import AdamW\n")
    cells = [dict(cell_type="markdown", source="# Old"), dict(cell_type="code", source="!pip install x\nfrom datasets import load_metric")]
    (tmp_path/"old.ipynb").write_text(json.dumps(dict(cells=cells)))
    (tmp_path/"none.py").write_text("print 'Python 2'")
    code, out, said = plm("doctor", str(tmp_path/"old.py"), "--json")
    found = json.loads(out)
    assert code==2 and not said and out.count("\n")==1 and found["ok"] is False
    assert [(row["line"], row["name"]) for row in found["found"]]==[(1, "transformers.AdamW"), (2, "Trainer(tokenizer=)")]
    code, out, said = plm("doctor", str(tmp_path/"old.ipynb"))
    assert code==2 and not said and "datasets.load_metric" in out and "cell" in out
    assert plm("doctor", str(tmp_path/"new.py"), "--json")==(0, json.dumps(dict(script=str(tmp_path/"new.py"), ok=True, found=[]))+"\n", "")
    for typed,words in ((["gone.py"], "no such file"), (["none.py"], "none.py: no Python 3 at line 1"), (["new.py", "--again"], "leave it out")):
        code, out, said = plm("doctor", str(tmp_path/typed[0]), *typed[1:])
        assert code==2 and not out and said.count("\n")==1 and words in said

def test_a_hub_that_does_not_answer(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://no-such-host.invalid")
    assert bench_room._hub().startswith("no-such-host.invalid does not answer")
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    assert "HF_ENDPOINT 'nonsense' is no address" in bench_room._hub()

def test_an_extra_that_is_not_here(monkeypatch):
    monkeypatch.setattr(bench_room, "_packages_of_extras", lambda: dict(here=["torch"], gone=["torch", "no-such-package"]))
    assert [row["install"] for row in bench_room._extras()]==["", "pip install 'plm_nb[gone]'"]
