"How a step is shared by several processes, told to each by its environment; what needs a launcher is in `tests/doors`."
import os, subprocess, sys, time
import pytest
import torch
from datasets import Dataset
from plm_nb import processes as room
from plm_nb.budgets import TrainerArguments
from plm_nb.files import InputError
from plm_nb.processes import LaterBatch, check_sharding, gathered, in_parts, main_only, on_main, own_part, passes, share, shared_lines

@pytest.fixture
def as_one(monkeypatch):
    "Makes this process believe that it is one of several."
    def be(index, of):
        for name,value in (("LOCAL_RANK", index), ("RANK", index), ("WORLD_SIZE", of)): monkeypatch.setenv(name, str(value))
    return be

def test_without_a_launcher_there_is_one(monkeypatch):
    "Also where a cluster sets the size of the world, and no launcher the place in it."
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert room.processes()==1 and room.process_index()==0

def test_a_launcher_says_who_is_who(as_one, capfd):
    as_one(2, 3)
    assert (room.processes(), room.process_index())==(3, 2)
    room.note("said once")
    as_one(0, 3)
    room.note("said once")
    assert capfd.readouterr().err=="said once\n"

@pytest.mark.parametrize("n", [0, 1, 2, 7, 16])
def test_shares_make_the_whole(as_one, n):
    "In order, none twice, and of sizes that differ by one at most."
    for of in range(1, 9):
        shares = [share(n, i, of) for i in range(of)]
        assert [row for own in shares for row in own]==[*range(n)]
        assert max(map(len, shares))-min(map(len, shares))<=1
    as_one(1, 2)
    assert share(n)==share(n, 1, 2)

@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 7])
def test_passes(at_once):
    "One process does as many as it was told; more of them do no more, and never hold more rows at once; the step stays whole."
    for parts in range(1, 7):
        rows = at_once*parts
        found = [passes(rows, at_once, of) for of in range(1, 9)]
        assert found[0]==parts and found==sorted(found, reverse=True) and found[7]==passes(rows, at_once, 8)
        for of,n in enumerate(found, 1):
            assert rows%n==0 and all(len(share(rows//n, i, of))<=at_once for i in range(of))

def test_a_process_without_a_row_reads_one_that_does_not_count(as_one):
    later = LaterBatch(None, ([8, 9], ["a", "b"]))
    batch = dict(input_ids=torch.tensor([[1], [2]]))
    read = []
    for i in range(3):
        as_one(i, 3)
        numbers, own = own_part(later, batch)
        read.append((numbers, own["input_ids"].tolist()))
    assert read==[([], [[1]]), ([8], [[1]]), ([9], [[2]])]

def test_one_process_does_all(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    rows = Dataset.from_dict(dict(x=[3, 1, 2]))
    def double(some): return [dict(row=i, twice=2*x) for i,x in enumerate(some["x"])]
    assert shared_lines(double, rows)==double(rows) and gathered([1])==[1] and on_main(lambda: 7)==7
    def fails(): raise InputError("no")
    with pytest.raises(InputError, match="no"): main_only(fails)()
    assert main_only(max)(2, 3)==3 and main_only(check_sharding).__doc__==check_sharding.__doc__

@pytest.mark.parametrize("more", [dict(l2_sp=.1), dict(trainable="head")], ids=str)
def test_what_cannot_be_in_parts(as_one, monkeypatch, more):
    "The launcher asks for parts, and accelerate is not to hear of it."
    class Args(TrainerArguments): l2_sp, trainable = more.get("l2_sp", 0), more.get("trainable", "all")
    monkeypatch.setattr(room, "_parts", [])
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert not in_parts() and "ACCELERATE_USE_FSDP" not in os.environ # one process has nobody to share with
    check_sharding(Args())
    as_one(0, 2)
    assert in_parts()
    check_sharding(TrainerArguments())
    with pytest.raises(InputError, match="leave trainable and l2_sp out") as e: check_sharding(Args())
    assert "\n" not in str(e.value)

def test_who_has_ended_is_seen(monkeypatch):
    "Also while nobody has asked for its exit code."
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(room, "_peers", [(room.socket.gethostname(), room.os.getpid()), (room.socket.gethostname(), child.pid), ("elsewhere", 1)])
    assert room._gone(0)==[]
    child.kill()
    start = time.monotonic()
    assert room._gone(10)==[1] and time.monotonic()-start<5
    child.wait()
