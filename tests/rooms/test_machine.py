"What is faster on a machine is measured once and kept; whoever may not measure goes by what the processor says."
import json, os, subprocess, sys
import pytest
import torch
from plm_nb import machine as room
from plm_nb.machine import calibration, calibration_so_far, kept_calibration, least_seconds, machine_facts, plain_up_to

@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    "A cache of its own, and nothing known yet."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path/"cache"))
    monkeypatch.delenv("PLM_CALIBRATE", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    calibration.cache_clear()
    yield
    calibration.cache_clear()

on_cpu = pytest.mark.skipif(torch.accelerator.is_available(), reason="a GPU is asked, not tried")
MEASURED = dict(measured=True, bf16=False, plain_attention=128, threads=1)

@on_cpu
def test_once(monkeypatch):
    tries = []
    monkeypatch.setattr(room, "_measured", lambda: tries.append(1) or MEASURED)
    before = torch.get_num_threads()
    try:
        assert not calibration_so_far()["measured"] and not tries, "to ask what is known measures nothing"
        assert calibration()==calibration()==MEASURED and len(tries)==1
        calibration.cache_clear() # as in the next process
        assert calibration()==MEASURED==calibration_so_far() and len(tries)==1
        assert machine_facts()["calibration"]==MEASURED
        assert json.loads(kept_calibration().read_text("utf-8"))=={room._key(): MEASURED}
    finally: torch.set_num_threads(before)

@on_cpu
@pytest.mark.parametrize("text", ["", "[1]", "{", '{"other": 1}', "null"])
def test_a_damaged_file_is_written_again(text, monkeypatch):
    monkeypatch.setattr(room, "_measured", lambda: MEASURED)
    kept_calibration().parent.mkdir(parents=True)
    kept_calibration().write_text(text, "utf-8")
    assert calibration()==MEASURED and room._key() in json.loads(kept_calibration().read_text("utf-8"))

@on_cpu
def test_another_machine_stays(monkeypatch):
    monkeypatch.setattr(room, "_measured", lambda: MEASURED)
    kept_calibration().parent.mkdir(parents=True)
    kept_calibration().write_text('{"another": {"bf16": true}}', "utf-8")
    calibration()
    assert json.loads(kept_calibration().read_text("utf-8"))["another"]=={"bf16": True}

@pytest.mark.parametrize("name,value", [("PLM_CALIBRATE", "0"), ("WORLD_SIZE", "2")])
def test_nothing_is_measured(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(room, "_measured", lambda: pytest.fail("measured"))
    found = calibration()
    assert not found["measured"] and found["threads"]==torch.get_num_threads() and not kept_calibration().exists()

@on_cpu
def test_a_cache_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(room, "_measured", lambda: MEASURED)
    kept_calibration().parent.parent.mkdir(parents=True)
    kept_calibration().parent.write_text("a file where the folder should be")
    assert calibration()==MEASURED

def test_all_of_it_in_a_process(tmp_path):
    program = """from plm_nb.machine import calibration, calibration_so_far, machine_facts
found = calibration()
print(found["measured"], found["threads"]>=1, found==calibration_so_far()==machine_facts()["calibration"])"""
    env = dict(os.environ, XDG_CACHE_HOME=str(tmp_path/"c"), PLM_CALIBRATE="1")
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=200)
    assert done.stdout.split()==[str(not torch.accelerator.is_available()), "True", "True"], done.stderr

def test_measuring_leaves_the_seed_and_the_threads():
    "What is drawn for a measurement must not change what is drawn afterwards."
    torch.manual_seed(0)
    wanted, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(0)
    room._measured()
    assert torch.equal(torch.rand(3), wanted) and torch.get_num_threads()==threads

@pytest.mark.parametrize("gains,longest", [({}, 0), ({64: 2.}, 64), ({64: 1., 128: .99, 256: 3.}, 64), ({64: .5}, 0)])
def test_the_longest_row(gains, longest): assert plain_up_to(gains)==longest

def test_the_first_time_does_not_count():
    calls = []
    [seconds] = least_seconds(lambda: calls.append(1), times=3)
    assert seconds<1 and len(calls)==4
