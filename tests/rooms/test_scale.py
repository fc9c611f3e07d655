"A plan says what a rehearsal measured; its arithmetic is that of the run."
import math
import pytest
from plm_nb import scale
from plm_nb.files import InputError
from plm_nb.pretraining import PretrainingArguments, pretrain
from plm_nb.scale import Rehearsal, line_through, plan, power_law, rehearse, steps_of, training_operations

@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text")/"a.txt"
    path.write_text("".join(f"The {i}th line says nothing new. " for i in range(3000)))
    return path

def options(text): return ["--corpus", str(text), "--tokenizer", "char", "--size", "tiny", "--block-size", "32", "--batch-size", "4"]

def test_a_rehearsal_is_that_training(text):
    found = rehearse(options(text), 3)
    assert found.record["training"]["steps"]==3==found.steps
    assert 0<found.training<found.seconds and found.gb>.1
    assert found.record["arguments"]["block_size"]==32

@pytest.mark.parametrize("wrong,said", [
    (["--corpus", "nowhere.txt"], "nowhere.txt: no such file"), (["--size", "huge"], "size 'huge': unknown")])
def test_a_rehearsal_that_fails_says_why(text, wrong, said):
    with pytest.raises(InputError, match=said) as e: rehearse([*options(text), *wrong], 3)
    assert "\n" not in str(e.value) and str(e.value).startswith("the rehearsal failed: ")

@pytest.mark.parametrize("how", [dict(epochs=1), dict(epochs=2.5), dict(epochs=.1), dict(epochs=1, gradient_accumulation_steps=3)])
def test_steps_are_those_of_the_run(text, how, tmp_path):
    "Counted before, and made."
    from plm_nb.tokenizer import train_tokenizer
    args = PretrainingArguments(size="tiny", block_size=256, batch_size=32, **how)
    run = pretrain(text, train_tokenizer([text.read_text()], "char"), tmp_path/"run", args)
    assert steps_of(args, run.record["data"]["train blocks"], 1.)==run.record["training"]["steps"]

def made_up(steps, per_step, start, beside):
    record = dict(training=dict(parameters=1000, tokens=640*steps, seconds=start+steps*per_step), data={"train blocks": 1600})
    return Rehearsal(steps, start+steps*per_step+beside, start+steps*per_step, 1.5, record)

@pytest.mark.parametrize("budget,steps", [(dict(steps=1000), 1000), (dict(epochs=5), 500), (dict(minutes=2), 240)])
def test_the_arithmetic_of_a_plan(monkeypatch, budget, steps):
    "Half a second a step, 2 seconds before the first, 10 beside the training."
    monkeypatch.setattr(scale, "rehearse", lambda options, n: made_up(n, .5, 2., 10.))
    found = plan(["--size", "tiny"], PretrainingArguments(batch_size=16, **budget))
    assert found.steps==steps and found.tokens==640*steps and found.memory_gb==1.5
    training = 60*budget["minutes"] if "minutes" in budget else 2+.5*steps
    assert found.seconds==pytest.approx(training+10)
    assert found.tokens_per_second==pytest.approx(1280)
    assert found.operations==6*1000*640*steps
    assert found.on_cards["8 H100"]==pytest.approx(found.operations/(8*989e12*.4))

def test_power_laws():
    assert power_law([1, 2, 4, 8], [2, 8, 32, 128])[0]==pytest.approx(2)
    slope, low, high = power_law([1, 2, 4, 8, 16], [1, 2.2, 3.8, 8.5, 15])
    assert low<1<high and low<slope<high
    for sizes,costs in (([1, 2], [1, 2]), ([0, 1, 2], [1, 2, 3]), ([1, 2, 3], [1, math.nan, 3])):
        with pytest.raises(InputError, match="three or more"): power_law(sizes, costs)

def test_operations(): assert training_operations(10, 3, 2, 5, 7)==6*30+6*10+12*21
