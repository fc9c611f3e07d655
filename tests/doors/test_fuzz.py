"""Whatever stands in a field of a row: it is taken as it is, or an `InputError` names the row and the field.

`pytest` tries 2,000 rows; `python tests/doors/test_fuzz.py --cases 100000` tries as many as one likes."""
import argparse, json, math
import pandas as pd
import pytest
from datasets import ClassLabel
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from plm_nb.files import InputError
from plm_nb.pipelines import load_task, task
from plm_nb.tables import class_name
from plm_nb.tokenizer import train_tokenizer

words = st.text(max_size=8) | st.sampled_from(["", " ", "\ud83d", "a\ud83d", "\ufeffa", "\0", "O", "B-x", "user", "-1", "nan"])
scalars = st.none() | st.booleans() | st.integers(-2, 3) | st.integers() | st.floats() | words | st.binary(max_size=3)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5)
values = words | words | st.lists(words, max_size=3) | st.integers(-2, 3) | anything

def classified(i): return dict(text=f"text {i}", label="ab"[i%2])
def paired(i): return dict(classified(i), text2=f"more {i}")
def numbered(i): return dict(text=f"text {i}", label=i/2)
def several(i): return dict(text=f"text {i}", label=["a", "b"][:i%2+1])
def chosen(i): return dict(text=f"text {i}", choices=["yes", "no"], label=i%2)
def tagged(i): return dict(words=["Ada", "ran", str(i)], tags=["B-x", "O", "O"])
def asked(i):
    return dict(id=f"q{i}", question="who?", context=f"Ada ran {i}", answers=dict(text=["Ada"], answer_start=[0]))
def translated(i): return dict(text=f"text {i}", target=[f"Text {i}"])
def talked(i): return dict(messages=[dict(role="user", content=f"hi {i}"), dict(role="assistant", content="hello")])

CASES = {
    "classes": (lambda: task("text-classification"), classified), "pairs": (lambda: task("text-classification"), paired),
    "numbers": (lambda: task("text-classification", problem_type="regression"), numbered),
    "several labels": (lambda: task("text-classification", problem_type="multi_label_classification"), several),
    "choices": (lambda: task("multiple-choice"), chosen), "tags": (lambda: task("token-classification"), tagged),
    "answers": (lambda: task("question-answering"), asked), "translations": (lambda: task("translation"), translated),
    "summaries": (lambda: task("summarization"), translated), "dialogues": (lambda: task("dialogue"), talked)}

def places(value, path=()):
    "Each place in nested lists and dicts, itself first."
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name,one in inside: yield from places(one, (*path, name))

def put(value, path, new):
    "`value` with `new` at `path`."
    if not path: return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy

@st.composite
def rows_with_one_fault(draw):
    "The name of a case, its rows, the number of the row and the field that were changed, and the door."
    name = draw(st.sampled_from(sorted(CASES)))
    rows = [CASES[name][1](i) for i in range(4)]
    i = draw(st.integers(0, 3))
    path = draw(st.sampled_from([place for place in places(rows[i]) if place]))
    rows[i] = put(rows[i], path, draw(values))
    return name, rows, i, path[0], draw(st.sampled_from(["list", "frame", "file"]))

def as_door(rows, door, folder):
    "`rows` as a program or a file has them; None where a file cannot hold them."
    if door=="list": return rows
    if door=="frame": return pd.DataFrame(rows, dtype=object)
    try: text = "".join(json.dumps(row)+"\n" for row in rows)
    except TypeError: return None # JSON has no bytes
    (folder/"rows.jsonl").write_text(text, encoding="utf-8")
    return folder/"rows.jsonl"

def same(given, kept, feature):
    "Is `kept` what was `given`, but for the name of a class and a number's type?"
    if isinstance(feature, ClassLabel): return class_name(given)==feature.int2str(kept)
    if isinstance(getattr(feature, "feature", None), ClassLabel):
        given = [one.strip() for one in given.split(",")] if isinstance(given, str) else given
        return {class_name(one) for one in given}-{""}=={feature.feature.int2str(one) for one in kept}
    if isinstance(kept, float): return math.isclose(float(given), kept, rel_tol=1e-12)
    if given in (kept, [kept]) or [given]==kept: return True
    if isinstance(given, list): return " ".join(filter(str.strip, given))==kept # sentences of one source
    return str(given)==kept and isinstance(given, int) # the id of a question

def try_rows(case, folder):
    "Read the rows; what is refused must say where."
    name, rows, i, field, door = case
    make, row = CASES[name]
    source = as_door(rows, door, folder)
    if source is None: return
    try: found = load_task(dict(train=source, validation=[row(0), row(1)]), task=make())
    except InputError as e:
        said = str(e)
        assert "\n" not in said, said
        if "differ by white space" in said or "no row has a label" in said: return
        assert any(where in said for where in (f"row {i+1} ", f"question q{i}", "line ")), said
        return
    kept = found["train"][i]
    label_of_choice = name=="choices" and field=="label"
    if name=="answers" or label_of_choice or field not in kept: return # places and numbers follow from the texts
    if field=="messages": assert [dict(role=m["role"], content=m["content"]) for m in rows[i]["messages"]]==kept["messages"]
    else: assert same(rows[i][field], kept[field], found["train"].features[field]), (rows[i][field], kept[field])

def fuzz(cases, folder):
    "Try so many rows, always the same ones."
    @settings(max_examples=cases, deadline=None, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))
    @given(rows_with_one_fault())
    def one(case): try_rows(case, folder)
    one()

def test_any_value_in_any_field(tmp_path): fuzz(2000, tmp_path)

@pytest.fixture(scope="module")
def models():
    "For each case its task and a model of random weights."
    tok = train_tokenizer(["Ada ran: who? yes or no, text and hello"]*30, "byte-bpe", 270)
    found = {}
    for name,(make,row) in CASES.items():
        one = make()
        if hasattr(one, "max_target"): one.max_target = 3
        rows = load_task(dict(train=[row(i) for i in range(8)]), task=one)
        found[name] = one, one.new_model(None, tok, rows, "tiny"), tok
    return found

def as_question(row):
    "`row` without its answer."
    row = {name: value for name,value in row.items() if name not in ("label", "tags", "target", "answers")}
    if isinstance(row.get("messages"), list): row["messages"] = row["messages"][:-1]
    return row

def test_any_input_is_answered_or_refused(models):
    "The same values, where a model is asked: an answer to each input, or the number of the one that is wrong."
    @settings(max_examples=600, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(rows_with_one_fault())
    def one(case):
        name, rows, i, field, _ = case
        asked, model, tok = models[name]
        inputs = [as_question(row) for row in rows]
        try: asked.check_inputs(inputs)
        except InputError as e:
            assert f"input {i+1}" in str(e) and "\n" not in str(e), e
            return
        try: assert len(asked.predict(model, tok, inputs))==4
        except InputError as e: assert "\n" not in str(e)
    one()

if __name__=="__main__":
    import tempfile
    from pathlib import Path
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    fuzz(parser.parse_args().cases, Path(tempfile.mkdtemp()))
    print("no other exception, and nothing was changed")
