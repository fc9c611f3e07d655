"Every look at a test split is counted, whichever run had it."
import json
import pytest
from plm_nb.looks import count_look, looks_at, note_looks
from plm_nb.runs import Run

def run_at(folder, **looks):
    run = Run.start(folder, "finetune", {}, test_looks=looks)
    note_looks(run)
    run.finish()
    return folder

def test_seeds_and_neighbors(tmp_path):
    "Runs beside, and runs of seeds in folders beside, count; what lies elsewhere and other rows do not."
    first = run_at(tmp_path/"runs/first", a=1)
    seed = run_at(tmp_path/"runs/second/seed-0", a=2)
    run_at(tmp_path/"runs/second/seed-1", b=4)
    run_at(tmp_path/"elsewhere/third", a=8)
    assert looks_at(["a"], first)==looks_at(["a"], seed)==looks_at(["a"], first, seed)==3
    assert looks_at(["a", "b"], first)==7 and looks_at(["c"], first)==0
    assert Run(seed).record["test_looks_beside"]==1

def test_the_card_says_both(tmp_path):
    run_at(tmp_path/"first", a=1)
    second = run_at(tmp_path/"second", a=1)
    count_look(second, "a")
    card = (second/"README.md").read_text()
    assert "Looks at the test split: 2, and 1 more by runs beside this one." in card
    assert json.loads((second/"run.json").read_text())["test_looks"]=={"a": 2}

@pytest.mark.parametrize("text", ["", "{}", '{"test_looks": null}', '{"command": "finetune"}'])
def test_a_damaged_neighbor(tmp_path, text):
    "A record that cannot be read, or knows no looks, stops nobody."
    run = run_at(tmp_path/"run", a=1)
    (tmp_path/"odd").mkdir()
    (tmp_path/"odd/run.json").write_text(text)
    assert looks_at(["a"], run)==1

def test_no_run_no_count(tmp_path):
    "A model without a run has no record to keep a look in."
    count_look(tmp_path, "a")
    assert not list(tmp_path.iterdir())
