"The harness survives its own jobs: one that dies with locks in hand, one that hangs, and a server that is gone."
import time
import pytest
from kills import Jobs

@pytest.fixture(scope="module")
def server():
    found = Jobs()
    yield found
    found.close()

def done(jobs, out): return jobs(task="mlm", out=out, resume=False)["code"]==0

def test_locks_are_not_handed_down(server, tmp_path):
    "Else one killed child leaves a lock taken, and every later one waits for ever."
    for _ in range(3): assert server(do="die_with_locks")["code"]==-9
    assert done(server, tmp_path)

def test_a_job_that_hangs_is_named(server, tmp_path):
    "Else a suite waits for ever, or says that it was stopped and not where."
    with pytest.raises(TimeoutError, match=r"'do': 'hang'(.|\n)*in hang"): server(do="hang", limit_seconds=2)
    assert done(server, tmp_path)

def test_a_server_that_hangs_is_replaced(server, tmp_path, monkeypatch):
    "Else all tests after it fail as well; and closing waits for it."
    monkeypatch.setattr(server, "LIMIT", 2)
    with pytest.raises(RuntimeError, match="said nothing in 2 s"): server(do="hang")
    monkeypatch.undo()
    assert done(server, tmp_path)

def test_closing_does_not_wait():
    server = Jobs()
    print('{"do": "hang"}', file=server.server.stdin, flush=True)
    start = time.monotonic()
    server.close(limit=1)
    assert server.server.returncode==-9 and time.monotonic()-start<30
