"""One idea a line: how many nodes of syntax a line of exported code holds.

The weight of a statement is the number of its syntax nodes over the number of lines that it takes. Per module the median
is at most 8, nine of ten statements are at most 14, at most 2 % are above 20, and no line has more than 100 columns."""
import ast
from pathlib import Path
from statistics import median
import pytest

PACKAGE = Path(__file__).resolve().parents[2]/'plm_nb'
MODULES = [p.stem for p in sorted(PACKAGE.glob('*.py')) if not p.stem.startswith('_')]
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr, ast.Raise, ast.Assert, ast.Delete)
MARKS = (ast.expr_context, ast.operator, ast.boolop, ast.unaryop, ast.cmpop) # belong to the node above them
COLUMNS, MEDIAN, NINE_OF_TEN, HEAVY, SHARE = 100, 8, 14, 20, .02
NOT_YET = set() # modules that do not hold this yet, by name: to be emptied

def is_docstring(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)

def weights(source):
    "Weight and first line of each simple statement of `source`, the heaviest last."
    found = []
    for statement in ast.walk(ast.parse(source)):
        if not isinstance(statement, SIMPLE) or is_docstring(statement): continue
        nodes = sum(not isinstance(n, MARKS) for n in ast.walk(statement))
        lines = statement.end_lineno - statement.lineno + 1
        found.append((nodes/lines, statement.lineno))
    return sorted(found)

def too_dense(source):
    "What is too dense in `source`, a line each."
    found = weights(source)
    values = [w for w,_ in found] or [0]
    heavy = [(w, line) for w,line in found if w>HEAVY]
    where = ', '.join(f'line {line} ({w:.0f})' for w,line in found[:-6:-1])
    tenth = values[int(.9*len(values))]
    if median(values)>MEDIAN: yield f'median {median(values):.1f}: at most {MEDIAN}'
    if tenth>NINE_OF_TEN: yield f'90th percentile {tenth:.1f}: at most {NINE_OF_TEN}; the densest: {where}'
    if len(heavy)>SHARE*len(values): yield f'{len(heavy)} of {len(values)} above {HEAVY}: at most {SHARE:.0%}; the densest: {where}'
    names = listed(source)
    for i,line in enumerate(source.splitlines(), 1):
        if len(line)>COLUMNS and i not in names: yield f'line {i} has {len(line)} columns: at most {COLUMNS}'

def listed(source):
    "The lines of `__all__`, which nbdev writes and breaks at 120 columns."
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0])=='__all__':
            return range(statement.lineno, statement.end_lineno+1)
    return range(0)

@pytest.mark.parametrize('module', MODULES)
def test_one_idea_a_line(module):
    found = [*too_dense((PACKAGE/f'{module}.py').read_text('utf-8'))]
    if module in NOT_YET:
        assert found, f'{module} holds it: take it off the list'
        pytest.skip(f'not yet: {found[0]}')
    if found: pytest.fail('\n'.join(found), pytrace=False)

def test_the_list_names_modules(): assert NOT_YET <= {*MODULES}

def test_weights_are_nodes_over_lines():
    assert weights('"words"\nx = 1') == [(3.0, 2)]                      # the statement, its name and its number
    assert weights('x = [1,\n     2]') == [(2.5, 1)]                     # five nodes on two lines
    assert [*too_dense('x = {a: b for a,b in map(f, zip(*rows)) if a and b or c}')]
    assert [*too_dense('x = 1 # ' + 'words '*20)] == ['line 1 has 128 columns: at most 100']
