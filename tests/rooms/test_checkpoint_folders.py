"A folder that is whole or not there, and the choice of the checkpoint to go on from."
import json
import pytest
from plm_nb.checkpoint_folders import atomic_folder, checkpoints_in, latest_valid_checkpoint, rotate_checkpoints, unfit
from plm_nb.runs import problems

def checkpoint(folder, n, **provenance):
    with atomic_folder(folder/f"checkpoint-{n}") as to: (to/"provenance.json").write_text(json.dumps(provenance))

def names(folder): return sorted(p.name for p in folder.iterdir())

@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_a_folder_that_fails_leaves_nothing(tmp_path, error):
    "Else half a folder bears the name of a whole one, whatever ended its writing."
    with pytest.raises(error), atomic_folder(tmp_path/"model") as folder:
        (folder/"weights").write_text("half")
        raise error
    assert names(tmp_path)==[]

def test_what_has_the_name_is_moved_aside(tmp_path):
    "Else a user's folder is written over; and a second one must not push out the first."
    for text in ("first", "second", "third"):
        with atomic_folder(tmp_path/"model") as folder: (folder/"note").write_text(text)
    kept = {p.name: (p/"note").read_text() for p in tmp_path.iterdir()}
    assert kept=={"model": "third", "model.old": "first", "model.old.old": "second"}
    assert not any(map(problems, tmp_path.iterdir()))

def test_a_torn_folder_is_made_anew(tmp_path):
    "What a kill left under `.partial` does not get into the next folder of that name."
    (tmp_path/"model.partial").mkdir()
    (tmp_path/"model.partial/old").touch()
    with atomic_folder(tmp_path/"model") as folder: (folder/"new").touch()
    assert names(tmp_path)==["model"] and names(tmp_path/"model")==["MANIFEST.json", "new"]

def test_the_latest_is_by_number(tmp_path, capfd):
    "Not by name, in which 9 stands behind 10, and not by date."
    for n in (10, 100, 9): checkpoint(tmp_path, n, seed=0)
    assert latest_valid_checkpoint(tmp_path, dict(seed=0)).name=="checkpoint-100"
    assert capfd.readouterr().err=="" and latest_valid_checkpoint(tmp_path/"none", {}) is None

def test_another_machine_is_told_and_no_reason_to_refuse(tmp_path, capfd):
    checkpoint(tmp_path, 3, **{"seed": 0, "machine.cpu": "A"})
    assert latest_valid_checkpoint(tmp_path, {"seed": 0, "machine.cpu": "B"}).name=="checkpoint-3"
    said = capfd.readouterr().err
    assert "machine.cpu A, not B" in said and "not be the same bits" in said

def test_rotation_keeps_the_best_and_what_is_not_its_own(tmp_path):
    for n in (1, 2, 3, 4): checkpoint(tmp_path, n, seed=0)
    checkpoint(tmp_path, 9, seed=1)
    (tmp_path/"checkpoint-5").mkdir() # without a manifest
    rotate_checkpoints(tmp_path, 2, dict(seed=0), best="checkpoint-1")
    assert names(tmp_path)==[f"checkpoint-{n}" for n in (1, 3, 4, 5, 9)]

def test_checkpoints_are_those_with_a_number(tmp_path):
    for name in ("checkpoint-3", "checkpoint-20", "checkpoint-mine", "checkpoint-3.old", "other"): (tmp_path/name).mkdir()
    assert [p.name for p in checkpoints_in(tmp_path)]==["checkpoint-20", "checkpoint-3"] and not checkpoints_in(tmp_path/"none")

def test_what_is_wrong_is_named(tmp_path):
    checkpoint(tmp_path, 3, seed=0)
    path = tmp_path/"checkpoint-3"
    assert unfit(path, dict(seed=0))==("", "") and unfit(path, dict(seed=1))==("", "seed 0, not 1")
    (path/"provenance.json").write_text("{}")
    assert unfit(path, dict(seed=0))==("provenance.json changed", "")

def test_an_older_one_knew_its_number_of_processes(tmp_path):
    "Which is no reason to refuse it."
    checkpoint(tmp_path, 3, seed=0, world_size=1)
    assert latest_valid_checkpoint(tmp_path, dict(seed=0)).name=="checkpoint-3"
