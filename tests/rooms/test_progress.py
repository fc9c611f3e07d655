"A terminal is told what goes on; whatever is no terminal is told nothing."
import ast, io, os, pty, sys, threading
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path
import pytest
from plm_nb import progress
from plm_nb.progress import STAGES, Status, status

@pytest.mark.parametrize("name", [name for name in STAGES if not name.startswith("importlib.")])
def test_each_stage_is_a_function(name):
    "Else it would never be said."
    module, _, function = name.rpartition(".")
    tree = ast.parse(Path(find_spec(f"plm_nb.{module}").origin).read_text("utf-8"))
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

@pytest.fixture
def terminal():
    "A terminal as a program has it, and a function that gives what was written on it."
    ours, theirs = pty.openpty()
    def seen():
        os.write(theirs, b"\0")   # the system hands on what was written in its own time; this arrives last
        read = b""
        while not read.endswith(b"\0"): read += os.read(ours, 9999)
        return read[:-1].decode()
    with os.fdopen(theirs, "w", buffering=1) as stream: yield stream, seen
    os.close(ours)

def test_a_line_gives_way(terminal):
    "It is written after a second of silence, rewritten in place, and cleared before anything else is written."
    stream, seen = terminal
    shown = Status(stream, "plm toy")
    now = shown.since+10
    shown.look(now)
    assert seen()=="\r\x1b[Kplm toy: working, 0 s"
    shown.look(now+3)
    assert seen()=="\r\x1b[Kplm toy: working, 3 s"
    print("a note", file=shown)
    assert seen()=="\r\x1b[Ka note\r\n"
    shown.look(shown.last_write+.5)
    assert seen()==""
    shown.look(shown.last_write+1.5)
    assert "working" in seen()

def test_a_bar_speaks_for_itself(terminal):
    "While a bar stands on the line nothing is said, and once it is cleared something is."
    stream, seen = terminal
    shown = Status(stream, "plm toy")
    shown.write("\r 10% ###  00:01<00:09")
    seen()
    shown.look(shown.last_write+60)
    assert seen()==""
    shown.write("\r                      \r")
    seen()
    shown.look(shown.last_write+60)
    assert "working" in seen()

def test_a_narrow_terminal(terminal, monkeypatch):
    "A line that wrapped could not be rewritten."
    stream, seen = terminal
    monkeypatch.setattr(progress.os, "get_terminal_size", lambda fd: os.terminal_size((20, 9)))
    Status(stream, "plm toy").look(1e9)
    assert len(seen().removeprefix("\r\x1b[K"))<20

def test_who_types_is_not_disturbed(terminal, monkeypatch):
    stream, seen = terminal
    monkeypatch.setattr(progress, "stage_of", lambda thread: "")
    Status(stream, "plm toy").look(1e9)
    assert seen()==""

def test_a_terminal_is_left_as_it_was(terminal):
    "The thread ends, also where the program fails, and standard error is the terminal again."
    stream, seen = terminal
    threads = threading.active_count()
    with redirect_stderr(stream):
        with pytest.raises(ValueError), status("plm toy"):
            assert sys.stderr is not stream and sys.stderr.isatty() and threading.active_count()==threads+1
            with status("plm another"): assert threading.active_count()==threads+1 # one speaks
            raise ValueError
        assert sys.stderr is stream and threading.active_count()==threads

@pytest.mark.parametrize("name, value", [("TERM", "dumb"), ("TQDM_DISABLE", "1"), ("", "")])
def test_nothing_is_said(terminal, monkeypatch, name, value):
    "On a terminal that cannot clear a line, where bars are unwanted, and where no terminal is."
    if name: monkeypatch.setenv(name, value)
    stream = terminal[0] if name else io.StringIO()
    threads = threading.active_count()
    with redirect_stderr(stream), status("plm toy"):
        assert sys.stderr is stream and threading.active_count()==threads
