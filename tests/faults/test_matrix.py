"Every file of a checkpoint, damaged in every way: it is noticed, named, and an older checkpoint is taken."
import os, random, shutil
import pytest
from jobs import ends, trainer
from plm_nb.files import InputError
from plm_nb.runs import problems

def flip(path, at=None, mask=255):
    "Change the byte at `at`, counted as a share of the file."
    data = bytearray(path.read_bytes())
    data[int((at or 0)*len(data))] ^= mask
    path.write_bytes(data)

def half(path):
    data = path.read_bytes()
    path.write_bytes(data[:len(data)//2])

def last_byte(path): path.write_bytes(path.read_bytes()[:-1])
def empty(path): path.write_bytes(b"")
def remove(path): path.unlink()

DAMAGES = dict(flipped=(flip, "changed"), cut=(half, "changed"), shortened=(last_byte, "changed"),
               emptied=(empty, "changed"), removed=(remove, "missing"))

@pytest.fixture(scope="module")
def killed(jobs, tmp_path_factory):
    "A run that was killed after step 10, with its checkpoints 6 and 9, and the weights that it should end with."
    folder = tmp_path_factory.mktemp("matrix")
    whole = jobs(task="mlm", out=folder/"whole", resume=False)
    assert jobs(task="mlm", out=folder/"run", last=10)["code"]==-9
    assert sorted(p.name for p in (folder/"run").iterdir())==["checkpoint-6", "checkpoint-9"]
    return folder/"run", whole["weights"]

def files(checkpoint): return sorted(p.relative_to(checkpoint).as_posix() for p in checkpoint.rglob("*") if p.is_file())

def test_what_a_checkpoint_holds(killed):
    "Else a file is saved that nobody vouches for, or one that is a pickle of settings."
    there = files(killed[0]/"checkpoint-9")
    assert problems(killed[0]/"checkpoint-9")=={}
    assert {"MANIFEST.json", "model.safetensors", "config.json", "tokenizer.json", "optimizer.pt", "scheduler.pt",
            "trainer_state.json", "provenance.json"}<=set(there)
    assert not {"training_args.bin", "rng_state.pth"} & set(there)

def test_everything_is_on_the_disk(tmp_path, monkeypatch):
    "Else the power goes, and a checkpoint that was called finished holds files of zeros."
    synced, sync = [], os.fsync
    def fsync(fd): synced.append(os.fstat(fd).st_ino); sync(fd)
    monkeypatch.setattr(os, "fsync", fsync)
    trainer("clm", tmp_path, steps=1, save_steps=1).train()
    last = {p: len(synced)-1-synced[::-1].index(p.stat().st_ino) for p in (tmp_path, *tmp_path.rglob("*"))}
    manifest = tmp_path/"checkpoint-1/MANIFEST.json"
    assert all(last[p]<last[manifest] for p in manifest.parent.iterdir() if p!=manifest)
    assert last[manifest]<last[manifest.parent]<last[tmp_path] # then the names: of the manifest, of the checkpoint

@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file(killed, tmp_path, damage):
    "Else a training goes on from weights, averages or rates that were never its own."
    hurt, word = DAMAGES[damage]
    copy, rng = shutil.copytree(killed[0]/"checkpoint-9", tmp_path/"copy"), random.Random(damage)
    for name in files(copy):
        data = (copy/name).read_bytes()
        where = [dict(at=a, mask=1<<rng.randrange(8)) for a in (0, .999999, *(rng.random() for _ in range(20)))]
        for spot in where if damage=="flipped" else [{}]:
            hurt(copy/name, **spot)
            found = problems(copy)
            said = found=={name: word}
            if name=="MANIFEST.json": said = bool(found) and (damage=="flipped" or set(found)=={name}) # names may turn
            assert said, f"{name} {damage} {spot}: {found}"
            (copy/name).write_bytes(data)
    assert problems(copy)=={}

def test_added_and_unsealed(killed, tmp_path):
    "Else a file from elsewhere becomes part of a checkpoint, or an empty folder passes for one."
    copy = shutil.copytree(killed[0]/"checkpoint-9", tmp_path/"copy")
    (copy/"pytorch_model.bin").write_bytes(b"from elsewhere")
    assert problems(copy)=={"pytorch_model.bin": "added"}
    (tmp_path/"empty").mkdir()
    assert problems(tmp_path/"empty")=={"MANIFEST.json": "missing"}

CASES = [("model.safetensors", "flipped"), ("optimizer.pt", "flipped"), ("optimizer.pt", "removed"),
         ("scheduler.pt", "cut"), ("trainer_state.json", "emptied"), ("provenance.json", "removed"),
         ("MANIFEST.json", "removed"), ("MANIFEST.json", "cut")]

def resumed(jobs, run, whole):
    "Resume `run`, see that it ends as `whole`, and give what it said."
    found = jobs(task="mlm", out=run)
    assert found["code"]==0, found["stderr"]
    assert found["weights"]==whole and found["steps"]==14
    return found["stderr"]

@pytest.mark.parametrize("name, damage", CASES)
def test_fall_back(jobs, killed, tmp_path, name, damage):
    "Else one bad file ends the training, or is taken without a word."
    run = shutil.copytree(killed[0], tmp_path/"run")
    DAMAGES[damage][0](run/"checkpoint-9"/name)
    said = resumed(jobs, run, killed[1])
    assert f"checkpoint-9: passed over, {name} {DAMAGES[damage][1]}" in said

def test_fall_back_to_the_beginning(jobs, killed, tmp_path):
    "All checkpoints damaged: both are named, and the training starts at step 0."
    run = shutil.copytree(killed[0], tmp_path/"run")
    for p in run.iterdir(): half(p/"model.safetensors")
    said = resumed(jobs, run, killed[1])
    assert all(f"{name}: passed over, model.safetensors changed" in said for name in ("checkpoint-6", "checkpoint-9"))

def test_strangers(jobs, killed, tmp_path):
    "An added file, an empty folder with the highest number, and a file that is called like a checkpoint."
    run = shutil.copytree(killed[0], tmp_path/"run")
    (run/"checkpoint-9/pytorch_model.bin").write_bytes(b"from elsewhere")
    (run/"checkpoint-999").mkdir()
    (run/"checkpoint-1000").write_text("a note")
    said = resumed(jobs, run, killed[1])
    assert "checkpoint-9: passed over, pytorch_model.bin added" in said
    assert "checkpoint-999: passed over, MANIFEST.json missing" in said
    assert (run/"checkpoint-999").is_dir() and (run/"checkpoint-1000").read_text()=="a note"

@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_by_name(killed, tmp_path, damage):
    "Else a user who names a checkpoint gets another one, or a damaged one."
    run = shutil.copytree(killed[0], tmp_path/"run")
    DAMAGES[damage][0](run/"checkpoint-9/optimizer.pt")
    with pytest.raises(InputError, match="optimizer.pt "+DAMAGES[damage][1]):
        trainer("mlm", run).train(resume_from_checkpoint=run/"checkpoint-9")
    t = trainer("mlm", run)
    t.train(resume_from_checkpoint=run/"checkpoint-6")
    assert ends(t)["weights"]==killed[1]
