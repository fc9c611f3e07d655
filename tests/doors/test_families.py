"""A folder of each published family, as plain transformers writes it, is trained for every task that the family can do, answers
afterwards as it answered then, and is refused in one line for what it cannot do."""
import json
import numpy as np
import pytest
import torch
import transformers as hf
from datasets import Dataset
from families import SENTENCES, TOKENIZERS, publish
from plm_nb import FinetuningArguments, finetune, predict
from plm_nb.dialogue import Dialogue, encode_dialogue
from plm_nb.files import InputError
from plm_nb.models import load
from plm_nb.question_answering import answer_questions, encode_questions
from plm_nb.tasks import TASKS, trained_task
from plm_nb.text_classification import class_probabilities, encode_rows
from plm_nb.text_generation import Translation, encode_pairs
from plm_nb.token_classification import tag_probabilities
from plm_nb.tokenizer import load_tokenizer

FAMILIES = list(TOKENIZERS)
ARGS = FinetuningArguments(epochs=1, batch_size=8, seed=1)
CUT = [s[:4+i%17] for i,s in enumerate(SENTENCES)] # texts of many lengths

def text(i): return dict(text=CUT[i], label="neg" if i%2 else "pos")
def pair(i): return dict(text(i), text2=SENTENCES[-1-i])
def tags(i):
    words = SENTENCES[i].split()[:2+i%3]
    return dict(words=words, tags=["B-X", *["O"]*(len(words)-1)])
def question(i):
    answer = SENTENCES[i].split()[1]
    return dict(id=str(i), question="who?", context=SENTENCES[i], answers=dict(text=[answer], answer_start=[SENTENCES[i].index(answer)]))
def target(i): return dict(text=SENTENCES[i], target=[CUT[i]])
def talk(i): return dict(messages=[dict(role="user", content=SENTENCES[i]), dict(role="assistant", content=CUT[i])])

KINDS = dict(text=("text-classification", text), pair=("text-classification", pair), tags=("token-classification", tags),
             question=("question-answering", question), translation=("translation", target), summarization=("summarization", target),
             dialogue=("dialogue", talk))
ANSWERS = ("label", "tags", "answers", "target") # columns that are not asked
WRITERS = ["gpt2", "llama", "qwen2", "gpt_neox", "xlnet"] # that go on from a text
TRANSLATORS = [*WRITERS, "t5", "bart", "bert", "roberta"]
MAY_BE_REFUSED = {*((f, k) for f in ("t5", "bart") for k in ("tags", "question")), ("qwen2", "question"), ("llama", "question"),
                  ("t5", "text"), ("t5", "pair")} # `load` reads no such head of theirs, or there is none

@pytest.fixture(scope="session")
def published(tmp_path_factory):
    "Family to a folder, written once."
    root, found = tmp_path_factory.mktemp("published"), {}
    def folder(family):
        if family not in found: found[family] = publish(family, root/family)
        return found[family]
    return folder

@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    for kind in TASKS.values(): monkeypatch.setattr(kind, "picture", lambda self, lines: None)

def splits(kind):
    row = KINDS[kind][1]
    return {split: Dataset.from_list([row(i) for i in some])
            for split,some in dict(train=range(0, 144, 9), validation=range(5, 140, 23)).items()}

def task_of(kind):
    short = dict(max_target=8) if kind in ("translation", "summarization", "dialogue") else {}
    return TASKS[KINDS[kind][0]](**short)

def _lines(run): return [json.loads(line) for line in (run.path/"scores.jsonl").read_text(encoding="utf-8").splitlines()]

def learn(family, kind, published, out):
    "The run, what its model said of the validation split before it was saved, and what its folder says."
    data = splits(kind)
    run = finetune(data, out, task_of(kind), model=published(family), args=ARGS)
    asked = [{name: cell for name,cell in row.items() if name not in ANSWERS} for row in data["validation"]]
    if kind=="dialogue": asked = [row["messages"][0]["content"] for row in asked]
    return run, _lines(run), predict(run.path, asked), data["validation"]

def one_line(error): return "\n" not in str(error.value) and len(str(error.value))<400

@pytest.mark.parametrize("kind", ["text", "pair"])
@pytest.mark.parametrize("family", FAMILIES)
def test_texts(published, tmp_path, family, kind):
    try: run, then, now, rows = learn(family, kind, published, tmp_path/"run")
    except InputError as error:
        assert (family, kind) in MAY_BE_REFUSED and "\n" not in str(error), error
        return
    assert [line["prediction"] for line in then]==[line["label"] for line in now]
    assert np.allclose([line["probability"] for line in then], [line["probability"] for line in now], atol=2e-6)
    model, tok = load(run.path, "text-classification"), load_tokenizer(run.path)
    columns = [rows[name][:] for name in ("text", "text2") if name in rows.column_names]
    one, two, all_ = (class_probabilities(model, tok, *columns, batch_size=n) for n in (1, 2, 64))
    assert np.allclose(one, all_, atol=1e-6) and np.allclose(two, all_, atol=1e-6)
    assert len({*all_[:, 0].round(6)})>3, all_ # texts make a difference
    if kind=="pair" and not tok.num_special_tokens_to_add(pair=True): return # plain transformers puts nothing between
    plain = hf.AutoModelForSequenceClassification.from_pretrained(run.path).eval()
    words = hf.AutoTokenizer.from_pretrained(run.path)
    for i,texts in enumerate(zip(*columns)):
        with torch.no_grad(): logits = plain(**words(*texts, return_tensors="pt")).logits[0]
        assert np.allclose(logits.softmax(-1), all_[i], atol=1e-5), family

@pytest.mark.parametrize("kind", ["tags", "question"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens(published, tmp_path, family, kind):
    try: run, then, now, rows = learn(family, kind, published, tmp_path/"run")
    except InputError as error:
        assert (family, kind) in MAY_BE_REFUSED and "\n" not in str(error), error
        return
    said = [line["tags"] if kind=="tags" else line["predicted_text" if "predicted_text" in line else "text"] for line in now]
    assert [line["prediction"] for line in then]==said
    model, tok = load(run.path, KINDS[kind][0]), load_tokenizer(run.path)
    if kind=="tags":
        one, all_ = (tag_probabilities(model, tok, rows["words"][:], batch_size=n) for n in (1, 64))
        for a,b in zip(one, all_): assert np.allclose(a, b, atol=1e-6)
        assert len({*np.concatenate(all_)[:, 0].round(6)})>3
    else:
        one, all_ = (answer_questions(model, tok, rows["question"][:], rows["context"][:], batch_size=n) for n in (1, 64))
        assert [a["text"] for a in one]==[a["text"] for a in all_] and np.allclose(*([a["score"] for a in some] for some in (one, all_)), atol=1e-4)

@pytest.mark.parametrize("family, kind", [*((f, "translation") for f in TRANSLATORS), ("t5", "summarization"), ("bart", "summarization"),
                                          *((f, "dialogue") for f in WRITERS)])
def test_writers(published, tmp_path, family, kind):
    run, then, now, rows = learn(family, kind, published, tmp_path/"run")
    assert [(line["prediction"], line["ended"]) for line in then]==[(line.get("predicted_text", line["text"]), line["ended"]) for line in now]
    task = trained_task(run.path)
    model, tok = task.load_model(run.path), load_tokenizer(run.path)
    asked = [row["messages"][0]["content"] if kind=="dialogue" else row["text"] for row in rows]
    task.settings = dict(batch_size=1)
    assert [said["text"] for said in task.predict(model, tok, asked)]==[line["prediction"] for line in then]

@pytest.mark.parametrize("family, kind", [*((f, "dialogue") for f in FAMILIES if f not in WRITERS),
                                          *((f, "translation") for f in FAMILIES if f not in TRANSLATORS)])
def test_what_a_family_cannot_do(published, tmp_path, family, kind):
    with pytest.raises(InputError) as error: finetune(splits(kind), tmp_path/"run", KINDS[kind][0], model=published(family), args=ARGS)
    assert one_line(error) and not (tmp_path/"run").exists()

# What the rows look like

def tokens(tok, ids): return tok.convert_ids_to_tokens(ids)

@pytest.mark.parametrize("family, between", [("bert", ["[SEP]"]), ("roberta", ["</s>"]*2), ("mpnet", ["</s>"]*2), ("t5", ["</s>"]),
                                             ("llama", ["<s>"]), ("gpt2", ["<|endoftext|>"]), ("qwen2", ["<|endoftext|>"]), ("xlnet", ["<sep>"])])
def test_something_stands_between_two_texts(family, between):
    "What the family's own template writes, and what closes a text where it writes nothing; for questions too."
    tok = TOKENIZERS[family]()
    first, second = (tok(t, add_special_tokens=False)["input_ids"] for t in ("the cat", "a dog"))
    pairs, _ = encode_rows(Dataset.from_dict(dict(text=["the cat"], text2=["a dog"])), tok)
    asked, _ = encode_questions(Dataset.from_dict(dict(question=["the cat"], context=["a dog"])), tok)
    for row in (pairs["input_ids"][0], asked["input_ids"][0]):
        start = "".join(map(chr, row)).index("".join(map(chr, first)))+len(first)
        assert tokens(tok, row[start:start+len(between)])==between and row[start+len(between):][:len(second)]==second
    assert tok("the cat", "a dog")["input_ids"]==TOKENIZERS[family]()("the cat", "a dog")["input_ids"] # as it was before

@pytest.mark.parametrize("family, special", [("roberta", 4), ("bert", 3), ("gpt2", 1)])
def test_room_for_a_pair(family, special):
    "Below the number of its special tokens a tokenizer silently cuts nothing."
    pairs = Dataset.from_dict(dict(text=["the cat likes"], text2=["a dog hates"]))
    assert len(encode_rows(pairs, TOKENIZERS[family](), special+1)[0]["input_ids"][0])==special+1
    with pytest.raises(InputError, match=f"at least {special+1}"): encode_rows(pairs, TOKENIZERS[family](), special)

@pytest.mark.parametrize("family, source, answer", [
    ("t5", "{} </s>", "{} </s>"), ("bart", "<s> {} </s>", "<s> {} </s>"), ("bert", "[CLS] {} [SEP]", "{} [SEP]"),
    ("gpt2", "<|endoftext|> {} <|endoftext|>", "{} <|endoftext|>"), ("llama", "<s> {} </s>", "{} </s>"),
    ("qwen2", "{} <|endoftext|>", "{} <|endoftext|>")])
def test_sources_and_targets(published, family, source, answer):
    "Each family's own marks, as far as there are any; who is made to begin with a token learns it."
    task, tok = Translation(), load_tokenizer(published(family))
    model = task.new_model(published(family), tok, None)
    [row], _ = task.encode(Dataset.from_dict(dict(text=["the cat"], target=[["a dog"]])), tok)
    def marked(text, pattern): return " ".join(pattern.format(" ".join(tokens(tok, tok(text, add_special_tokens=False)["input_ids"]))).split())
    labels = [i for i in row["labels"] if i!=-100]
    assert " ".join(tokens(tok, labels))==marked("a dog", answer)
    read = row["input_ids"][:-len(labels)] if task.causal else row["input_ids"]
    assert " ".join(tokens(tok, read))==marked("the cat", source)
    assert labels[-1] in np.ravel(model.generation_config.eos_token_id)

def test_a_text_that_is_cut_has_no_end(published):
    "BART's configuration writes an end where there is no more room."
    task, tok = Translation(max_target=4), load_tokenizer(published("bart"))
    model = task.new_model(published("bart"), tok, None)
    model.generation_config.forced_bos_token_id = None
    [said] = task.predict(model, tok, ["the cat"])
    assert said["text"] and not said["ended"]

@pytest.mark.parametrize("family, written", [
    ("gpt2", "<|endoftext|>user: hi<|endoftext|>assistant: ok<|endoftext|>"), ("llama", "<s>user: hi</s>assistant: ok</s>"),
    ("qwen2", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nok<|im_end|>\n")])
def test_turns(published, family, written):
    "What opens and closes a text does so for turns; who has a template keeps it, and stops where that ends a turn."
    tok = load_tokenizer(published(family))
    model = Dialogue().new_model(published(family), tok, None)
    messages = [dict(role="user", content="hi"), dict(role="assistant", content="ok")]
    rows, _ = encode_dialogue(Dataset.from_dict(dict(messages=[messages])), tok)
    assert tok.apply_chat_template(messages, tokenize=False)==written
    learned = [i for i in rows["labels"][0] if i!=-100]
    assert tok.decode(learned).strip()==f"ok{written.strip()[written.strip().rindex('ok')+2:]}"
    assert learned[-1] in np.ravel(model.generation_config.eos_token_id)

def test_a_space_before_the_end():
    "Llama 2 writes a space before what ends a turn: the end is learned all the same, and only in answers."
    tok = TOKENIZERS["llama"]()
    tok.chat_template = ("{% for m in messages %}{% if m.role=='user' %}<s>[INST] {{ m.content }} [/INST]"
                         "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}")
    talks = [dict(role=r, content=c) for r,c in (("user", "a"), ("assistant", "the cat"), ("user", "b"), ("assistant", "a dog"))]
    rows, _ = encode_dialogue(Dataset.from_dict(dict(messages=[talks])), tok)
    learned = [i for i in rows["labels"][0] if i!=-100]
    assert learned.count(tok.eos_token_id)==2 and "[" not in tok.decode(learned)
    tok.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(InputError, match="nothing behind an answer"): Dialogue().new_model(None, tok, None, "tiny")

# What others trained

@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_a_classifier_without_padding(published, tmp_path, family):
    "Saved by plain transformers, with no id that pads: many texts at once are answered as one by one, an empty one too."
    tok = TOKENIZERS[family]()
    config = hf.AutoConfig.from_pretrained(published(family), num_labels=2)
    config.pad_token_id = None
    torch.manual_seed(0)
    hf.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    texts = [*CUT[:9], ""]
    alone = [predict(tmp_path, [text])[0] for text in texts]
    for a,b in zip(alone, predict(tmp_path, texts)): assert a["label"]==b["label"] and abs(a["probability"]-b["probability"])<1e-5
