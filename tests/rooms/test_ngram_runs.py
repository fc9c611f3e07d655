"A run that counts is a run like any other."
import pytest
from datasets import Dataset, DatasetDict
from transformers import AutoTokenizer
from plm_nb.files import InputError
from plm_nb.models import load
from plm_nb.ngram_runs import count_ngrams
from plm_nb.perplexity import score_text
from plm_nb.verification import verify
from plm_nb.tokenizer import train_tokenizer

WORDS, PARTS = "cat dog owl fox hen bee ant elk cow pig rat bat".split(), dict(train=60, validation=12)

@pytest.fixture(scope="module")
def tales():
    "Documents of several sentences each."
    def tale(i): return " ".join(f"The {a} saw {b} and {a}." for a,b in zip(WORDS[i%5:], WORDS[i%7:]))
    return DatasetDict({p: Dataset.from_dict(dict(text=[tale(i) for i in range(n)])) for p,n in PARTS.items()})

def test_ngrams_are_a_run(tales, tmp_path):
    letters = train_tokenizer(tales["train"]["text"], "char")
    made = count_ngrams(tales, letters, tmp_path/"run", order=4)
    held = made.record["results"]["validation"]
    assert verify(made.path)["ok"] and 1<held["perplexity"]<4
    scored = score_text(load(made.path, "text-generation"), AutoTokenizer.from_pretrained(made.path), tales["validation"]["text"][:])
    assert scored["nats_per_token"]==pytest.approx(held["loss"], rel=1e-4)
    with pytest.raises(InputError): count_ngrams(tales, letters, tmp_path/"run", order=4)

def test_a_mark_that_opens_and_closes_is_refused(tales, tmp_path):
    "An n-gram never predicts what opens a text, so it needs another mark for the end."
    from families import publish
    with pytest.raises(InputError, match="another one that closes"):
        count_ngrams(tales, publish("gpt2", tmp_path/"gpt2"), tmp_path/"run")
