"The commands of the workshop refuse what would have no effect, and `check` takes any saved model."
import pytest
from plm_nb.bench import bench, check
from plm_nb.files import InputError

@pytest.mark.parametrize("options, words", [(dict(minutes=1), "--minutes")])
def test_options_of_the_ladder(options, words):
    with pytest.raises(InputError, match=words): bench("pretrain", **options)

def test_unknown_words(tmp_path):
    with pytest.raises(InputError, match="choose ladder or recipe"): bench("speed")
    with pytest.raises(InputError, match="choose plm or"): check(model=tmp_path, engine="steam")
    with pytest.raises(InputError, match="no model loads from there"): check(model=tmp_path)
