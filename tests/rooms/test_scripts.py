"What a script uses of a library is read from its tree: imports by any name, attributes, calls, overrides, in files and in notebooks."
import ast, json
import pytest
from plm_nb.scripts import Names, Use, names_of, read_script, uses_in

def meanings(text, kind=None): return [use.meaning for use in uses_in(ast.parse(text)) if kind in (None, use.kind)]

@pytest.mark.parametrize("text, meaning", [
    ("import a\na.b", "a.b"), ("import a as c\nc.b", "a.b"), ("import a.d\na.d.b", "a.d.b"), ("import a.d as e\ne.b", "a.d.b"),
    ("from a import d\nd.b", "a.d.b"), ("from a import d as e\ne.b", "a.d.b"), ("from . import d\nd.b", "..d.b"), ("from a import *\nd.b", "a.d.b"),
    ("x.b", ""), ("import a\nx = a.f(1)\nx.b", "a.f().b"), ("import a\nself.x = a.f()\nself.x.b", "a.f().b"), ("def x(): pass\nx.b", "own.x.b"),
    ("import a\nx = a.f().to(3)\nx.b", "a.f().to().b"), ("import a\nx = y = a.f()\ny.b", "a.f().b"), ("print.b", "builtins.print.b")])
def test_what_a_name_stands_for(text, meaning): assert meanings(text, "attribute")[-1]==meaning

def test_a_function_may_use_what_stands_below():
    assert "a.b" in meanings("def f(): return a.b\nimport a")

def test_self_is_of_the_class_that_it_derives_from():
    text = "import a\nclass Mine(a.B):\n    def f(self, x, *y, **z): self.c\nself.c\nclass Other:\n    def g(self): self.d"
    found = uses_in(ast.parse(text))
    assert [use.meaning for use in found if use.text.startswith("self.")]==["a.B().c", "", ""]
    [method] = [use for use in found if use.kind=="method"]
    assert method==Use(3, "method", "Mine.f", "a.B.f", "a.B", ("self", "x", "*", "**"))

def test_a_class_with_its_own_arguments_is_ones_own():
    plain, own = (names_of(ast.parse(f"import a\nclass B(a.C):\n    def {name}(self): pass")) for name in ("f", "__init__"))
    assert plain.known["B"]=="a.C" and "B" in own.own

def test_arguments_and_unpacking():
    found = uses_in(ast.parse("import a\nx, y = a.f('w', k=1, m=n, **more)"))
    assert [use.words for use in found if use.kind=="call"]==[("k=", "k=1", "m=", "None=", "'w'")]
    assert [use.meaning for use in found if use.kind=="unpacking"]==["a.f()"]

def notebook(path, *cells):
    path.write_text(json.dumps(dict(cells=[dict(cell_type=kind, source=text) for kind,text in cells])))
    return path

def test_a_notebook(tmp_path):
    "Lines are those of the cell; magic, other languages and text are passed over, lists of lines are joined."
    path = notebook(tmp_path/"a.ipynb", ("markdown", "import z"), ("code", ["!pip install a\n", "import a"]), ("code", "%%bash\nimport b\n"),
                    ("code", "%%time\nif a:\n    %matplotlib inline\n    x = !ls\na.b?\na.c"))
    assert [(cell, use.line, use.meaning) for cell,use in read_script(path)]==[(2, 2, "a"), (4, 6, "a.c")]

@pytest.mark.parametrize("name, data, says", [
    ("a.py", b"print 'old'", "a.py: no Python 3 at line 1 "), ("a.py", b"x = 'caf\xe9'", "a.py: no Python 3"), ("a.py", b"\0", "a.py: no Python 3"),
    ("a.ipynb", b"x = 3", "a.ipynb: no notebook"), ("a.ipynb", b"[]", "a.ipynb: no notebook"), ("a.ipynb", b'{"worksheets": []}', "a.ipynb: no notebook"),
    ("a.ipynb", json.dumps(dict(cells=[dict(cell_type="code", source="x\n1 +")])).encode(), "a.ipynb: no Python 3 at cell 1, line 2 ")])
def test_what_is_no_script(tmp_path, name, data, says):
    (tmp_path/name).write_bytes(data)
    with pytest.raises(ValueError, match=says) as e: read_script(tmp_path/name)
    assert "\n" not in str(e.value)

def test_files_as_they_come(tmp_path):
    "Another encoding that is declared, a mark at the beginning, an odd escape; a missing file is missing."
    for name,data in dict(latin="# coding: latin-1\nimport a # é".encode("latin-1"), mark=b"\xef\xbb\xbfimport a", escape=b"import a\nx = '\\d'").items():
        (tmp_path/name).write_bytes(data)
        assert [use.meaning for _,use in read_script(tmp_path/name)]==["a"]
    with pytest.raises(FileNotFoundError): read_script(tmp_path/"gone.py")
    assert Names().meaning(ast.parse("x[0]").body[0].value)==""
