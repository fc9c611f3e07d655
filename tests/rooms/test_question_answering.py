"Answers to questions: found back to the character in windows of any size, the same in batches of any size."
import random
from types import SimpleNamespace
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, fit
from plm_nb.models import build
from plm_nb.question_answering import QuestionAnswering, answer_questions, encode_questions, evidence, sentence_places
from plm_nb.tokenizer import load_tokenizer
from test_token_classification import KINDS, refused, text, toks

@pytest.fixture(scope="module")
def reader(toks): return build("tiny", toks["wordpiece"], "question-answering", seed=1).eval()

def questions(rng, n, long=300):
    "Random questions with an answer somewhere in a random context, or with none."
    rows = []
    for i in range(n):
        context = text(rng, rng.randrange(1, long))
        a = rng.randrange(len(context)); b = min(len(context), a+rng.randrange(1, 12))
        answers = dict(text=[context[a:b]], answer_start=[a]) if i%4 else dict(text=[], answer_start=[])
        rows.append(dict(id=f"q{i}", question=text(rng, 8), context=context, answers=answers))
    return Dataset.from_list(rows)

class Perfect(torch.nn.Module):
    "A model that points to the labels it was shown for these ids."
    def __init__(self, cut):
        super().__init__()
        self.known = {tuple(w["input_ids"]): w["labels"] for w in cut}
        self.config, self.device = SimpleNamespace(max_position_embeddings=512, model_type="bert", pad_token_id=0), torch.device("cpu")
    def forward(self, input_ids, attention_mask, token_type_ids=None):
        ends = torch.zeros(2, *input_ids.shape)
        for i,(ids,mask) in enumerate(zip(input_ids, attention_mask)):
            for side,at in enumerate(self.known[tuple(ids[mask==1].tolist())]): ends[side, i, at] = 9
        return SimpleNamespace(start_logits=ends[0], end_logits=ends[1])

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_a_perfect_model_finds_every_answer(toks, kind, seed):
    "Random contexts, windows and strides: what fits is found back to the character, what has no answer gets none."
    rng, tok = random.Random(seed), toks[kind]
    rows = questions(rng, 16)
    longest = max(len(tok(q)["input_ids"]) for q in rows["question"])
    length = longest+rng.randrange(8, 60)
    stride = rng.randrange(0, length-longest-2)
    cut, counts = encode_questions(rows, tok, length, stride)
    taught = {w["row"] for w in cut}
    assert len(taught)==len(rows)-counts["answers that no window holds"] and counts["windows"]==len(cut)
    rows = rows.select(sorted(taught))
    cut, counts = encode_questions(rows, tok, length, stride)
    said = answer_questions(Perfect(cut), tok, rows["question"][:], rows["context"][:], None, length, stride, batch_size=5)
    inexact = 0
    for row,answer in zip(rows, said):
        assert row["context"][answer["start"]:answer["end"]]==answer["text"]
        want = row["answers"]["text"]
        if not want: assert answer["text"]=="" and answer["score"] is None or answer["score"]<=0
        elif answer["text"]!=want[0].strip():
            inexact, start = inexact+1, row["answers"]["answer_start"][0]
            assert max(start, answer["start"]) < min(start+len(want[0]), answer["end"])
    assert inexact==counts["answers not of whole tokens"]

@pytest.mark.parametrize("seed", range(6))
def test_windows_of_questions(toks, seed):
    "Each window begins with the question, none is too long, and every character of the context is read."
    rng, tok = random.Random(seed), toks["char"]
    rows = questions(rng, 8)
    cut, _ = encode_questions(rows.remove_columns("answers"), tok, 40, rng.randrange(0, 20))
    assert "labels" not in cut.column_names
    for i,row in enumerate(rows):
        mine = [w for w in cut if w["row"]==i]
        head = tok(row["question"])["input_ids"]
        assert all(w["input_ids"][:len(head)]==head and len(w["input_ids"])<=40 for w in mine)
        read = {c for w in mine for a,b in w["places"] for c in range(a, b)}
        assert read=={c for c,s in enumerate(row["context"]) if not s.isspace()}

@pytest.mark.parametrize("side", ["right", "left"])
def test_questions_in_batches(toks, reader, side):
    "Batches of 1, 3 and 64, padded and truncated on either side, and each question alone: the same answers."
    tok, rows = toks["wordpiece"], questions(random.Random(3), 12)
    ask = rows["question"][:]+["abc"]*3, rows["context"][:]+["", " \n", "北京大学"]
    tok.padding_side = tok.truncation_side = side
    found = [answer_questions(reader, tok, *ask, -99., 40, batch_size=n) for n in (1, 3, 64)]
    alone = [answer_questions(reader, tok, [q], [c], -99., 40)[0] for q,c in zip(*ask)]
    tok.padding_side = tok.truncation_side = "right"
    for said in (*found[1:], alone):
        for a,b in zip(said, found[0]):
            assert (a["text"], a["start"], a["end"])==(b["text"], b["start"], b["end"])
            assert a["score"] is b["score"] is None or abs(a["score"]-b["score"])<1e-4
    assert [x["text"] for x in alone[12:14]]==["", ""] and alone[14]["text"] in "北京大学"
    assert answer_questions(reader, tok, [], [])==[]

def test_threshold(toks, reader):
    "An answer needs more than the threshold above no answer; where training always had one, it is always given."
    tok = toks["wordpiece"]
    ask = ["abc"], ["cab bca abc"]
    score = answer_questions(reader, tok, *ask, -99.)[0]["score"]
    assert answer_questions(reader, tok, *ask, score-.01)[0]["text"] and not answer_questions(reader, tok, *ask, score+.01)[0]["text"]
    assert bool(answer_questions(reader, tok, *ask)[0]["text"])==(score>0)
    job = QuestionAnswering()
    def task(*texts): return dict(train=Dataset.from_dict(dict(answers=[dict(text=t, answer_start=[0]*len(t)) for t in texts])))
    assert job.new_model(None, tok, task(["ab"], ["abcd", "a"]), "tiny").config.answers==dict(always=True, longest=4)
    assert job.new_model(None, tok, task(["ab"], []), "tiny").config.answers==dict(always=False, longest=2)
    refused("no question", job.new_model, None, tok, task([], []))
    reader.config.answers = dict(always=True, longest=2)
    assert all(0<len(a["text"])<=3 for a in answer_questions(reader, tok, ["x"]*9, [text(random.Random(i), 50)+"a" for i in range(9)]))
    del reader.config.answers

def test_wrong_questions(toks, reader):
    "An answer outside of its context, a question without end, more tokens than positions: each named."
    tok = toks["wordpiece"]
    def rows(answer, start): return Dataset.from_list([dict(id="a7", question="abc", context="cab bca", answers=dict(text=[answer], answer_start=[start]))])
    for start in (-1, 1, 99): refused("question a7: the answer 'bca'", encode_questions, rows("bca", start), tok)
    refused("question 2: its .* tokens leave no room", answer_questions, reader, tok, ["a", "abc "*200], ["cab"]*2)
    refused("context 2 is None", answer_questions, reader, tok, ["a", "b"], ["c", None])
    refused("2 questions but 1", answer_questions, reader, tok, ["a", "b"], ["c"])
    refused("at most 512", answer_questions, reader, tok, ["a"], ["b"], max_length=513)

def test_the_job_learns_answers(toks, tmp_path):
    "Trained, saved and loaded: what it learned to find, it finds in long texts, and says so when it is not there."
    rng, job, tok, rows = random.Random(0), QuestionAnswering(max_length=32), toks["wordpiece"], []
    for i in range(120):
        said = [rng.choice("a b c d e .".split()) for _ in range(rng.randrange(5, 30))]
        if i%3: said.insert(rng.randrange(len(said)), answer := rng.choice(["3", "小"]))
        context = " ".join(said)
        answers = dict(text=[answer], answer_start=[context.index(answer)]) if i%3 else dict(text=[], answer_start=[])
        rows.append(dict(id=str(i), question="x", context=context, answers=answers))
    task = DatasetDict(train=Dataset.from_list(rows[:90]), validation=Dataset.from_list(rows[90:]))
    model = job.new_model(None, tok, task, "tiny")
    data, counts = job.encode(task["train"], tok)
    fit(model, data, tok, FinetuningArguments(epochs=6, learning_rate=1e-3), job.collator(tok), bf16=False)
    assert job.score(job.lines(model, tok, task["validation"]))["exact_match"]>.8
    model.save_pretrained(tmp_path); tok.save_pretrained(tmp_path)
    model, tok = job.load_model(tmp_path), load_tokenizer(tmp_path)
    assert model.config.answers==dict(always=False, longest=1)
    found = job.predict(model, tok, [dict(id="long", question="x", context="a b "*40+"小"+" c d"*40), dict(question="x", context="a b")])
    assert found[0]["text"]=="小" and found[0]["start"]==160 and found[1]["text"]==""

# Sentences that are read

def telling(n):
    "Questions after one of twelve sentences about towns, in Latin and in Chinese characters."
    rows, rng = [], random.Random(0)
    forms = (("The river of {} is called {}. ", "What is the river of {} called?"), ("{}的河流名叫{}。", "{}的河流叫什么名字？"))
    for i in range(n):
        form, asked = forms[i%2]
        names = rng.sample(["Ara", "Bolo", "Cefi", "Dunu", "Elma", "Fara", "Gobi", "Hilo", "Iria", "Juna", "Kobe", "Lima"], 12)
        rivers = [name[::-1].title() for name in names]
        context = "".join(form.format(*pair) for pair in zip(names, rivers))
        k = rng.randrange(12)
        start = context.index(rivers[k], context.index(form.format(names[k], rivers[k])))
        rows.append(dict(id=str(i), question=asked.format(names[k]), context=context,
                         answers=dict(text=[rivers[k]], answer_start=[start])))
    return Dataset.from_list(rows)

@pytest.mark.parametrize("seed", range(6))
def test_sentences_touch(seed):
    "Sentences cover all of a text but white space, and no character twice."
    rng = random.Random(seed)
    some = "".join(rng.choice("ab 。.!\n？é ") for _ in range(rng.randrange(60)))
    places = sentence_places(some)
    covered = [i for a,b in places for i in range(a, b)]
    assert covered==sorted(set(covered)) and {i for i,c in enumerate(some) if not c.isspace()}<={*covered}

def test_the_sentence_that_is_asked_for():
    "It is found by what it shares with the question, in either script, and one that holds the answer always."
    for row in telling(20):
        start = row["answers"]["answer_start"][0]
        (a, b), = evidence(row["question"], row["context"], 1)
        assert a<=start<b
        assert evidence(row["question"], row["context"], 99)==sentence_places(row["context"])
        (a, b), = evidence("?", row["context"], 1, (start, start+1))
        assert a<=start<b
    assert evidence("Who?", "", 2)==[] and evidence("", " \n\n ", 2)==[]

@pytest.mark.parametrize("kind", KINDS)
def test_only_these_sentences_are_read(toks, kind):
    "What is read is shorter, and places are still those of the whole text, with answers in it or not."
    rows = telling(12)
    cut, counts = encode_questions(rows, toks[kind], 128, sentences=1)
    whole, _ = encode_questions(rows, toks[kind], 128)
    assert sum(map(len, cut["input_ids"])) < sum(map(len, whole["input_ids"]))/3
    for window in cut:
        row = rows[window["row"]]
        first, last = window["labels"]
        if not first: continue
        start, end = window["places"][first][0], window["places"][last][1]
        assert start<=row["answers"]["answer_start"][0]<end and row["answers"]["text"][0] in row["context"][start:end]
    assert counts["answers that no window holds"]==0
    said = answer_questions(Perfect(cut), toks[kind], rows["question"][:], rows["context"][:], sentences=1)
    for row,answer in zip(rows, said): assert row["answers"]["text"][0] in answer["text"]==row["context"][answer["start"]:answer["end"]]

def test_sentences_are_kept_with_the_task(toks, reader):
    "The task hands its number on, and refuses what is none."
    task = QuestionAnswering(sentences=1)
    assert task.options==dict(max_length=128, sentences=1)
    asked = dict(question="Say what b is", context="a is c. b is d. e is f.")
    windows, _ = task.encode(Dataset.from_list([asked]), toks["wordpiece"])
    assert all(8<=a<b<=15 for a,b in windows[0]["places"] if a<b)
    found, = task.predict(reader, toks["wordpiece"], [asked])
    assert found["start"]==0==found["end"] or 8<=found["start"]<found["end"]<=15
    for wrong in (0, -1, 1.5):
        with pytest.raises(InputError, match="sentences"): QuestionAnswering(sentences=wrong)
