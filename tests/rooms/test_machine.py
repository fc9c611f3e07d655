"What is faster on a machine is measured once and kept; whoever may not measure goes by what the processor says."
import json, os, subprocess, sys
import pytest
import torch
from plm_nb import machine as room
from plm_nb.machine import calibrate, calibration, go_by, is_kept, kept_calibration, least_seconds, machine_facts, may_measure, plain_up_to

@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    "A cache of its own, and nothing known yet."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path/"cache"))
    monkeypatch.delenv("PLM_CALIBRATE", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(room, "_taken", [])
    room._answers.cache_clear()
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    room._answers.cache_clear()

on_cpu = pytest.mark.skipif(torch.accelerator.is_available(), reason="a GPU is asked, not tried")
MEASURED = dict(measured=True, bf16=False, plain_attention=128, threads=1)

@on_cpu
def test_once(monkeypatch):
    tries = []
    monkeypatch.setattr(room, "_measured", lambda: tries.append(1) or MEASURED)
    assert may_measure() and not is_kept()
    assert calibration()==calibration()==MEASURED and len(tries)==1 and is_kept()
    room._answers.cache_clear() # as in the next process
    assert calibration()==MEASURED==machine_facts()["calibration"] and len(tries)==1
    assert json.loads(kept_calibration().read_text("utf-8"))=={room._key(): MEASURED}
    calibrate()
    assert calibration()==MEASURED and len(tries)==2

@on_cpu
def test_what_is_returned_is_the_caller_s(monkeypatch):
    monkeypatch.setattr(room, "_measured", lambda: MEASURED)
    calibration()["threads"] = 9
    assert calibration()==MEASURED

@on_cpu
def test_a_run_goes_on_by_what_it_recorded(monkeypatch):
    "Whatever was measured since; but not by what another kind of processor said."
    monkeypatch.setattr(room, "_measured", lambda: MEASURED)
    facts, then = machine_facts(), dict(MEASURED, plain_attention=64)
    for wrong in (dict(facts, cpu="another", calibration=then), dict(facts, calibration=None), {}, dict(facts, calibration={"bf16": True})):
        go_by(wrong)
        assert calibration()==MEASURED
    go_by(dict(facts, calibration=then))
    assert calibration()==then

@on_cpu
def test_answers_from_the_environment(monkeypatch):
    "As a run that is made again by `plm verify --retrain` gets them."
    monkeypatch.setattr(room, "_measured", lambda: MEASURED)
    monkeypatch.setenv("PLM_CALIBRATE", json.dumps(dict(MEASURED, plain_attention=512)))
    assert calibration()["plain_attention"]==512 and not may_measure()

@on_cpu
@pytest.mark.parametrize("text", ["", "[1]", "{", '{"other": 1}', "null", "KEY: 5", 'KEY: {"measured": true}',
                                  'KEY: {"measured": true, "bf16": false, "plain_attention": 1, "threads": "many"}',
                                  'KEY: {"measured": true, "bf16": false, "plain_attention": 1, "threads": 0}'])
def test_a_damaged_file_is_written_again(text, monkeypatch):
    if text.startswith("KEY"): text = "{"+text.replace("KEY", json.dumps(room._key()))+"}"
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

@pytest.mark.parametrize("name,value", [("PLM_CALIBRATE", "0"), ("WORLD_SIZE", "2"), ("WORLD_SIZE", "abc")])
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
    with pytest.warns(UserWarning, match="is not kept"): assert calibration()==MEASURED

def test_all_of_it_in_a_process(tmp_path):
    program = """from plm_nb.machine import calibration, machine_facts
found = calibration()
print(found["measured"], found["threads"]>=1, found==machine_facts()["calibration"])"""
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

@pytest.mark.parametrize("gains,narrow,longest", [
    ({}, True, 0), ({64: 2.}, False, 64), ({64: 1.2}, False, 0), ({128: .8, 64: .8}, True, 128), ({64: .7, 128: 2.}, True, 0),
    ({64: 1., 128: 1., 256: 1., 512: 1.}, True, 256), ({64: 1., 128: 1., 256: 1., 512: 1.4}, True, 512)])
def test_the_longest_row(gains, narrow, longest): assert plain_up_to(gains, narrow)==longest

def test_the_first_time_does_not_count():
    calls = []
    [seconds] = least_seconds(lambda: calls.append(1), times=3)
    assert seconds<1 and len(calls)==4
