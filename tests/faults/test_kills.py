"A training that is killed at any moment and started again ends in the same bits."
import pytest
from kills import TASKS, Kills

@pytest.mark.parametrize("task, n", [*zip(TASKS, (6, 5, 5))])
def test_random_moments(jobs, tmp_path, task, n):
    "Else a power cut costs more than the steps since the last checkpoint: it costs the result."
    kills = Kills(jobs, tmp_path)
    kills.random(task, n)
    print(kills.summary())
    assert kills.fell.total()==n and not kills.wrong, "\n".join(kills.wrong)

def test_every_moment_of_a_save_and_a_rotation(jobs, tmp_path):
    "Else there is a moment in which a kill leaves no checkpoint, or one that is taken for whole."
    kills = Kills(jobs, tmp_path)
    kills.systematic("clm", every=2)
    print(kills.summary())
    assert kills.fell["in saving"]>10 and kills.fell["in rotating"]>3 and kills.passed>10
    assert not kills.wrong, "\n".join(kills.wrong)
