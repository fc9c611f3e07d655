"`plm_nb.reports`: nothing of a file gets into a page as it is, tables keep their columns, and commands their words."
import re, shlex
import pytest
from plm_nb.reports import Part, as_markdown, as_page, escaped, markdown_table, plot_scores, shell_command, write_report

EVIL = ["<script>alert(1)</script>", "a|b", "a\nb", "`x`", "[x](http://y)", "![x](y)", "a\\|b", "**x**", "&lt;", "\u2028", "# x", "</pre>"]

@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_escaped(text):
    "One line without a tag, a bar, a link or a mark that is not escaped."
    found = escaped(text)
    assert "<" not in found and len(found.splitlines())<=1
    assert not re.search(r"(?<!\\)(\\\\)*[|`*\[\]]", found)

@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_everywhere(text):
    "In headings, sentences, names of columns, cells, titles and commands."
    parts = [Part(text, [text], [{text: text, "b": 1}])]
    page = as_page(text, parts, "plm x", b"png")
    tags = set(re.findall(r"</?(\w+)", page.split("</style>")[1]))
    assert tags<={"body", "h1", "h2", "p", "div", "table", "thead", "tbody", "tr", "th", "td", "img", "pre", "head", "html"}
    said = as_markdown(text, parts, "plm x", "scores.png")
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert len(table)==3 and {len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) for line in table}=={3}
    assert "<" not in said

def test_a_command_is_one_line_of_code():
    command = shell_command("plm evaluate", dict(model="a'b\n<i>", batch_size=8, none=None, set=["x=1", "y=2"], empty=[]))
    assert "\n" not in command and shlex.split(command)==["plm", "evaluate", "--model", "a'b <i>", "--batch-size", "8", "--set", "x=1", "--set", "y=2"]
    assert "<i>" not in as_page("t", [], command, b"") and "&lt;i&gt;" in as_page("t", [], command, b"")
    assert as_markdown("t", [], command, "x.png").splitlines()[-1]=="    "+command

def test_table():
    assert markdown_table([dict(a=1, b="x"), dict(a=2, b="")]).splitlines()==["| a | b |", "| --- | --- |", "| 1 | x |", "| 2 |  |"]

def test_picture(tmp_path):
    "Tasks from the top down; the title counts those whose interval lies above the constant answer."
    tasks = [dict(task=t, score=s, low=s-.1, high=s+.1, constant=c) for t,s,c in (("A", .9, .5), ("B", .5, .5), ("C", .65, .5))]
    ax = plot_scores(tasks).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()]==["C", "B", "A"] and ax.get_title().endswith("in 2 of 3")
    for _ in range(2): write_report(tmp_path, "t", [Part("x", ["y"])], "plm x", tasks) # a second one takes the place of the first
    assert sorted(p.name for p in tmp_path.iterdir())==["report.html", "report.md", "scores.png"]
