"`plm_nb.distillation`: layers that go leave a model that loads, and a student learns its teacher's answers, at five seeds."
import random
import pytest
import torch
from datasets import Dataset, DatasetDict
from torch.nn import functional as F
from plm_nb.distillation import (DistillationArguments, Distiller, distill, distill_language_model, layer_losses, mean_loss, prune_layers, softened_nats,
                                 speed_ratio, spread_layers, student_of, teach)
from plm_nb.files import InputError
from plm_nb.finetuning import FinetuningArguments, finetune, padded
from plm_nb.models import build, load
from plm_nb.pipelines import predict, verify
from plm_nb.runs import Run
from plm_nb.tasks import load_task
from plm_nb.text_classification import TextClassification
from plm_nb.tokenizer import train_tokenizer

SEA = "wave harbor sail tide coral gull".split()
HILLS = "peak valley ridge boulder cliff goat".split()
OTHERS = "old new red blue small great one two day night road house".split()

def drawn(n, seed):
    "Texts that are about what they have more words of"
    rng, rows = random.Random(seed), []
    for _ in range(n):
        first, second = rng.choice([(3, 1), (1, 3), (4, 1), (1, 4)])
        words = rng.choices(SEA, k=first)+rng.choices(HILLS, k=second)
        words += rng.choices(OTHERS, k=8-len(words))
        rng.shuffle(words)
        rows.append(dict(text=" ".join(words), label="sea" if first>second else "hills"))
    return rows

ROWS = drawn(2200, 0)
TASK = TextClassification(12)

@pytest.fixture(scope="module")
def dataset(): return load_task(dict(train=ROWS[:1500], validation=ROWS[1500:1700]))

@pytest.fixture(scope="module")
def tokenizer(dataset): return train_tokenizer(dataset["train"]["text"], "wordpiece", 250)

@pytest.fixture(scope="module")
def teacher(dataset, tokenizer, tmp_path_factory):
    args = FinetuningArguments(size="tiny", epochs=4, batch_size=32, learning_rate=1e-3)
    run = finetune(dataset, tmp_path_factory.mktemp("teacher")/"run", TASK, None, tokenizer, args)
    assert run.record["results"]["validation"]["accuracy"]>.9
    return run.path

def encoded(dataset, tokenizer, n=64): return TASK.encode(dataset["train"].select(range(n)), tokenizer)[0]

@pytest.mark.parametrize("seed", range(5))
def test_student_learns_the_answers(seed, dataset, tokenizer, teacher, tmp_path):
    "From eight labels a class and texts without labels, a random student nearly reaches its teacher; without the teacher it does not"
    more = [row["text"] for row in ROWS[1700:]]
    few = dict(size="tiny", epochs=8, labels_per_class=8, seed=seed)
    how = DistillationArguments(batch_size=32, **few)
    taught = distill(dataset, tmp_path/"taught", teacher, args=how, unlabelled=more).record["results"]["validation"]["accuracy"]
    alone = finetune(dataset, tmp_path/"alone", TASK, None, tokenizer, FinetuningArguments(**few)).record["results"]["validation"]["accuracy"]
    assert taught>alone+.05 and taught>Run(teacher).record["results"]["validation"]["accuracy"]-.06, (taught, alone)

@pytest.mark.parametrize("temperature", [.5, 1, 4])
def test_divergence_is_that_of_torch(temperature):
    a, b = torch.randn(2, 20, 7, generator=torch.Generator().manual_seed(0))
    theirs = F.kl_div((a/temperature).log_softmax(-1), (b/temperature).softmax(-1), reduction="none").sum(-1)*temperature**2
    assert torch.allclose(softened_nats(a, b, temperature), theirs, atol=1e-5)

def test_the_loss_is_the_sum_of_its_parts(dataset, tokenizer, teacher, tmp_path):
    "Of labels, answers and hidden states, and the same whether a step is one batch or several"
    rows = encoded(dataset, tokenizer, 16)
    batch = padded(tokenizer)([rows[i] for i in range(16)])
    student, net = student_of(load(teacher, "text-classification")), load(teacher, "text-classification")
    losses = {}
    for soft,hidden in ((0, 0), (1, 0), (.25, 0), (.25, 2.)):
        how = DistillationArguments(soft=soft, hidden=hidden, settings=dict(bf16=False))
        trainer = distiller(student, net, rows, tokenizer, how, tmp_path)
        losses[soft, hidden] = trainer.compute_loss(student, trainer._prepare_inputs(dict(batch))).item()
    with torch.no_grad(): ours, theirs = student.cpu()(**batch), net.cpu()(**batch)
    assert losses[0, 0]==pytest.approx(ours.loss.item(), rel=1e-4)
    assert losses[1, 0]==pytest.approx(softened_nats(ours.logits, theirs.logits, 2.).mean().item(), rel=1e-3)
    assert losses[.25, 0]==pytest.approx(.25*losses[1, 0]+.75*losses[0, 0], rel=1e-4)
    assert losses[.25, 2.]>losses[.25, 0]

def distiller(student, teacher, rows, tokenizer, how, folder):
    from plm_nb.budgets import arguments, in_their_words
    return Distiller(model=student, args=arguments(str(folder/"none"), epochs=1, **in_their_words(how)), train_dataset=rows, teacher=teacher, how=how,
                     data_collator=padded(tokenizer), processing_class=tokenizer)

def test_accumulation_changes_nothing(dataset, tokenizer, teacher, tmp_path):
    rows, weights = encoded(dataset, tokenizer, 64), []
    for size,parts in ((16, 1), (4, 4)):
        how = DistillationArguments(epochs=1, batch_size=size, gradient_accumulation_steps=parts, settings=dict(bf16=False))
        student = student_of(load(teacher, "text-classification"))
        teach(student, load(teacher, "text-classification"), rows, tokenizer, how, checkpoints=tmp_path/"none")
        weights.append(student.classifier.weight.detach())
    assert torch.allclose(*weights, atol=1e-5)

def test_a_narrower_student_learns_a_map(dataset, tokenizer, teacher, tmp_path):
    "… which is not there afterwards"
    wide = build("mini", tokenizer, "text-classification", labels=["hills", "sea"])
    student = load(teacher, "text-classification")
    teach(student, wide, encoded(dataset, tokenizer), tokenizer, DistillationArguments(epochs=1, hidden=1.), checkpoints=tmp_path/"none")
    assert not hasattr(student, "hidden_map") and not any("hidden_map" in name for name in student.state_dict())
    deep = build("mini", tokenizer, "text-classification", labels=["hills", "sea"])
    with pytest.raises(InputError, match="more layers than the teacher"):
        teach(deep, student, encoded(dataset, tokenizer), tokenizer, DistillationArguments(hidden=1.), checkpoints=tmp_path/"none")

def test_an_interrupted_distillation_goes_on(dataset, teacher, tmp_path, monkeypatch):
    small = DatasetDict(train=dataset["train"].select(range(160)), validation=dataset["validation"].select(range(40)))
    how = DistillationArguments(epochs=2, save_steps=5)
    whole = distill(small, tmp_path/"whole", teacher, args=how)
    stock = Distiller.compute_loss
    def broken(self, *args, **kwargs):
        if self.state.global_step==12: raise RuntimeError("the light went out")
        return stock(self, *args, **kwargs)
    monkeypatch.setattr(Distiller, "compute_loss", broken)
    with pytest.raises(RuntimeError): distill(small, tmp_path/"parted", teacher, args=how)
    monkeypatch.undo()
    parted = distill(small, tmp_path/"parted", teacher, args=how, resume=True)
    a, b = (load(run.path, "text-classification").state_dict() for run in (whole, parted))
    assert all(torch.equal(a[name], b[name]) for name in a)

@pytest.mark.parametrize("arch,task", [("bert", "text-classification"), ("roberta", "fill-mask"), ("modernbert", "fill-mask"), ("gpt2", "text-generation"),
                                       ("llama", "text-generation"), ("xlnet", "text-generation")])
def test_fewer_layers_load(tmp_path, tokenizer, arch, task):
    model = build("mini", tokenizer, task, arch, labels=["a", "b"] if task=="text-classification" else None).eval()
    ids = tokenizer(["old wave"], return_tensors="pt").input_ids
    fewer = prune_layers(model, [0, 3])
    with torch.no_grad(): before = fewer(ids).logits
    fewer.save_pretrained(tmp_path/"fewer")
    with torch.no_grad(): assert torch.allclose(load(tmp_path/"fewer", task)(ids).logits, before, atol=1e-6)

def test_what_has_no_layers(tokenizer):
    with pytest.raises(InputError, match="t5 model"): student_of(build("tiny", tokenizer, "text2text-generation", "t5"))
    with pytest.raises(InputError, match="no list of layers"): student_of(build("tiny", tokenizer, "text-generation", "gru"))
    with pytest.raises(InputError, match="cannot be saved without"): prune_layers(build("mini", tokenizer, arch="modernbert"), [1, 2]) # its first layer is another one
    for kept in ([], [1, 0], [0, 0], [4], [-1]):
        with pytest.raises(InputError, match="layers 0 to 3"): prune_layers(build("mini", tokenizer), kept)

def test_losses_of_absent_layers(dataset, tokenizer, teacher):
    model, rows = load(teacher, "text-classification"), encoded(dataset, tokenizer)
    batch = padded(tokenizer)([rows[i] for i in range(64)])
    before = mean_loss(model, [batch])
    losses = layer_losses(model, [batch])
    assert len(losses)==3 and mean_loss(model, [batch])==before
    assert losses[2]==pytest.approx(mean_loss(prune_layers(load(teacher, "text-classification"), [0, 1]), [batch]))
    assert mean_loss(model, [{name: x[:20] for name,x in batch.items()}, {name: x[20:] for name,x in batch.items()}])==pytest.approx(before, rel=1e-4)

def test_a_language_model_teaches(tokenizer, tmp_path):
    "The run is scored, loads, and is reproducible"
    build("tiny", tokenizer).save_pretrained(tmp_path/"teacher")
    tokenizer.save_pretrained(tmp_path/"teacher")
    texts = [row["text"] for row in ROWS]
    corpus = DatasetDict(train=Dataset.from_dict(dict(text=texts[:200], id=texts[:200])), validation=Dataset.from_dict(dict(text=texts[200:240], id=texts[200:240])))
    losses = []
    for name in "ab":
        run = distill_language_model(corpus, tmp_path/name, tmp_path/"teacher", DistillationArguments(epochs=1), block_size=16)
        losses.append(run.record["results"]["validation"]["loss"])
        assert verify(run.path)["ok"]
    assert losses[0]==losses[1] and load(run.path).config.num_hidden_layers==1

def test_the_record_and_the_answers(dataset, teacher, tmp_path):
    run = distill(dataset, tmp_path/"run", teacher, args=DistillationArguments(epochs=1))
    assert run.record["command"]=="distill" and run.record["arguments"]["task"]=="text-classification"
    assert verify(run.path)["ok"] and predict(run.path, ["wave tide gull"])[0]["label"]=="sea"
    assert load(run.path, "text-classification").config.num_hidden_layers==2

def test_wrong_input(dataset, teacher, tmp_path):
    for field,value in (("temperature", 0), ("soft", 2), ("layers", 0), ("hidden", -1), ("epochs", -1)):
        with pytest.raises(InputError, match=field): DistillationArguments(**{field: value})
    with pytest.raises(InputError, match="give one of them"): DistillationArguments(layers=2, size="tiny")
    with pytest.raises(InputError, match="give 1 to 3"): distill(dataset, tmp_path/"out", teacher, args=DistillationArguments(layers=4))
    other = load_task(dict(train=[dict(text=x, label=x) for x in "abc"]*4, validation=[dict(text="a", label="a"), dict(text="b", label="b")]))
    with pytest.raises(InputError, match="take a teacher of this task"): distill(other, tmp_path/"out", teacher)
    with pytest.raises(InputError, match="row 1 of the texts is int"): distill(dataset, tmp_path/"out", teacher, unlabelled=[7])
    assert not (tmp_path/"out").exists()

def test_speed_is_a_ratio_of_what_is_timed():
    import time
    assert 1.5<speed_ratio(lambda: time.sleep(.04), lambda: time.sleep(.02), 3)<2.5
    with pytest.raises(InputError, match="rounds"): speed_ratio(print, print, 0)

@pytest.mark.parametrize("n", range(1, 13))
def test_spread_layers(n):
    for m in range(1, n+1):
        found = spread_layers(n, m)
        assert len(set(found))==m and found==sorted(found) and found[-1]==n-1
