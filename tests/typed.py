"The command line, typed in this process."
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from plm_nb.cli import main

def plm(*args, stdin=None):
    "Exit code, standard output and standard error of `plm` in this process."
    out, err, old = io.StringIO(), io.StringIO(), sys.stdin
    if stdin is not None: sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err): code = main([str(a) for a in args])
    except SystemExit as e: code = e.code
    finally: sys.stdin = old
    return code, out.getvalue(), err.getvalue()

def found(*args, **kwargs):
    "The one JSON object that `plm … --json` prints."
    code, out, err = plm(*args, "--json", **kwargs)
    assert code==0, err
    assert out.count("\n")==1
    return json.loads(out)
