"""The listings of five articles on pretrained language models, one by one and in their order, with calls of this package and with
folders on this disk in place of names on the hub. At the end what a reader of theirs would type that is not taken, and what is said."""
import math
from collections import namedtuple
from importlib.metadata import requires, version
import numpy as np
import pytest
import torch
import transformers as hf
from datasets import Dataset, DatasetDict
from sklearn.metrics import precision_recall_fscore_support
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, cross_val_score
from families import SENTENCES, WHAT, WHO, publish
import plm_nb
from plm_nb import FinetuningArguments, PretrainingArguments, TextClassifier
from plm_nb import evaluate, finetune, generate, load_corpus, load_tokenizer, predict, pretrain
from plm_nb.budgets import arguments
from plm_nb.checkpoints import ResumableTrainer
from plm_nb.continuing import weights_hash
from plm_nb.decoding import fill, follows, next_tokens
from plm_nb.files import InputError
from plm_nb.models import build, load
from plm_nb.objectives import MaskedLM
from plm_nb.packing import document_rows
from plm_nb.perplexity import score_text
from plm_nb.runs import read_json_lines
from plm_nb.text_metrics import bleu
from typed import plm

TEXT = "the cat hates fresh milk."
PAIRS = [(text, int("likes" in text or "buys" in text)) for text in SENTENCES]
UNSEEN = PAIRS[::5]
SEEN = [pair for i,pair in enumerate(PAIRS) if i%5]
AS_THEY_DO = dict(epochs=1, batch_size=64, save_steps=10_000, save_total_limit=2)
LINE_BY_LINE = PretrainingArguments(documents="lines", block_size=128, mlm_probability=.15, **AS_THEY_DO)

Place = namedtuple("Place", "bert gpt2 both corpus root")

@pytest.fixture(scope="module")
def there(tmp_path_factory):
    "What the articles take from the hub: a masked model, one that writes, one with both heads of BERT; and a file of lines."
    root = tmp_path_factory.mktemp("listings")
    bert, gpt2 = (publish(family, root/family) for family in ("bert", "gpt2"))
    torch.manual_seed(0)
    hf.BertForPreTraining.from_pretrained(bert).save_pretrained(root/"both")
    hf.BertTokenizer.from_pretrained(bert).save_pretrained(root/"both")
    (root/"lines.txt").write_text("\n\n".join(SENTENCES*3), encoding="utf-8")
    return Place(bert, gpt2, root/"both", root/"lines.txt", root)

@pytest.fixture(scope="module")
def gone_on(there): return pretrain(there.corpus, out=there.root/"gone_on", model=there.bert, args=LINE_BY_LINE)

@pytest.fixture(scope="module")
def classifier(there, gone_on):
    args = FinetuningArguments(epochs=8, learning_rate=1e-3, head_learning_rate=5e-3)
    rows = dict(train=SEEN, validation=UNSEEN)
    return finetune(rows, there.root/"classifier", model=gone_on.path, args=args)

def encoded(folder, text=TEXT): return load_tokenizer(folder)(text, return_tensors="pt")

def hidden(folder, texts=SENTENCES[:16], **settings):
    "A batch with tokens to predict."
    tok = load_tokenizer(folder)
    return MaskedLM(tok, isolated=False, **settings)(document_rows(texts, tok, 128))

def checkpoints(folder): return sorted(p.name for p in folder.glob("checkpoint-*"))

# The first: from a corpus to a classifier

def test_it_is_installed():
    assert version("plm_nb")==plm_nb.__version__
    assert any(line.startswith("transformers") for line in requires("plm_nb"))

def test_masked_pretraining_from_a_checkpoint_line_by_line(there, gone_on):
    "Each line is a row, none is lost; the record knows the start, which is left as it was."
    record = gone_on.record
    lines = [line for line in load_corpus(there.corpus)["train"]["text"][0].splitlines() if line]
    assert record["data"]["train blocks"]==len(lines)>64 and record["training"]["steps"]==math.ceil(len(lines)/64)
    assert record["results"]["validation"]["loss"]<record["before"]["validation"]["loss"]-.05
    assert record["start"]["sha256"]==weights_hash(load(there.bert))!=weights_hash(load(gone_on.path))
    assert checkpoints(gone_on.path/"checkpoints")==[f"checkpoint-{record['training']['steps']}"], "none but at the end"
    assert weights_hash(hf.BertForMaskedLM.from_pretrained(gone_on.path))==weights_hash(load(gone_on.path))

def test_checkpoints_are_written_and_only_the_last_are_kept(there, tmp_path):
    "After every second of eight steps; each can be loaded, and the last is the model."
    args = PretrainingArguments(documents="lines", block_size=128, steps=8, save_steps=2, save_total_limit=2)
    run = pretrain(there.corpus, out=tmp_path/"run", model=there.bert, args=args)
    assert checkpoints(run.path/"checkpoints")==["checkpoint-6", "checkpoint-8"]
    earlier, last = (weights_hash(load(run.path/"checkpoints"/name)) for name in ("checkpoint-6", "checkpoint-8"))
    assert earlier!=last==weights_hash(load(run.path))

def test_fine_tuning_from_pairs(there, gone_on, tmp_path):
    "A text and its label; what was pretrained is where it starts, and the number of labels follows from the data."
    run = finetune(PAIRS, tmp_path/"run", model=gone_on.path, args=FinetuningArguments(**AS_THEY_DO))
    model = load(run.path, "text-classification")
    def distance(folder): return (load(folder).get_input_embeddings().weight-model.get_input_embeddings().weight).abs().max()
    assert model.num_labels==2 and run.record["data"]["rows learned from"]>64
    assert 0<distance(gone_on.path)<distance(there.bert)/3
    assert {"validation", "test"}<=run.record["results"].keys()
    assert {line["step"] for line in read_json_lines(run.path/"log.jsonl")}>={1, run.record["training"]["steps"]}

def test_cross_validation_and_grid_search(there):
    "Each part is answered by a model that learned from the others; the rate at which nothing is learned loses."
    texts, labels = zip(*PAIRS)
    model = TextClassifier(there.bert, epochs=8, learning_rate=1e-3)
    found = cross_val_score(model, texts, labels, cv=2, error_score="raise")
    assert len(found)==2 and min(found)>.7
    once = StratifiedShuffleSplit(1, test_size=.5, random_state=0)
    search = GridSearchCV(model, dict(learning_rate=[1e-9, 1e-3]), cv=once, error_score="raise", refit=False)
    assert search.fit(texts, labels).best_params_==dict(learning_rate=1e-3)

def test_accuracy_precision_recall_and_f1(classifier):
    "Of rows that it never saw, as scikit-learn computes them from the answers."
    found = evaluate(classifier.path, dict(validation=UNSEEN))
    said = [int(answer["label"]) for answer in predict(classifier.path, [text for text,_ in UNSEEN])]
    true = [label for _,label in UNSEEN]
    *expected, _ = precision_recall_fscore_support(true, said, average="macro")
    assert [found["precision"], found["recall"], found["f1"]]==pytest.approx(expected)
    assert found["accuracy"]==pytest.approx(np.mean(np.equal(said, true))) and found["n"]==len(UNSEEN)
    assert found["accuracy"]>.7

# The second: what a model says of a sentence

def test_the_next_word_has_a_distribution(there):
    model, tok = load(there.gpt2, "text-generation"), load_tokenizer(there.gpt2)
    ids = torch.tensor([[tok.bos_token_id, *tok("the cat")["input_ids"]]])
    with torch.no_grad(): expected = model(ids).logits[0, -1].softmax(-1)
    shares = [p for _,p in next_tokens(model, tok, "the cat", k=len(tok))]
    assert sum(shares)==pytest.approx(1, abs=1e-4) and shares==pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)

def test_a_hidden_word_is_found_from_both_sides(there):
    model, tok = load(there.bert), load_tokenizer(there.bert)
    [(word, p), *_] = fill(model, tok, "the cat ___ fresh milk.")
    inputs = hf.BertTokenizer.from_pretrained(there.bert)("the cat [MASK] fresh milk.", return_tensors="pt")
    with torch.no_grad(): expected = model(**inputs).logits[0, 3].softmax(-1)
    assert word==tok.decode([expected.argmax()]) and p==pytest.approx(expected.max().item(), abs=1e-5)

def test_does_one_sentence_follow_another(there, tmp_path):
    "What was learned of pairs is known of them, and stock transformers answers the same."
    def tale(who, things): return " ".join(f"{who} {does} {what}." for does,what in zip(("likes", "hates", "buys", "sells"), things))
    both = Dataset.from_dict(dict(text=[tale(who, WHAT[i%3:]) for i in range(6) for who in WHO]))
    args = PretrainingArguments(objective="mlm+nsp", steps=250, block_size=32, batch_size=8, learning_rate=.01)
    run = pretrain(DatasetDict(train=both, validation=both), out=tmp_path/"run", model=there.both, args=args)
    before, after = (run.record[name]["validation"]["pair_accuracy"] for name in ("before", "results"))
    assert before<.7 and after>.8
    tok = load_tokenizer(run.path)
    said = follows(load(run.path, "pretraining"), tok, SENTENCES[0], TEXT)
    stock = hf.BertForNextSentencePrediction.from_pretrained(run.path)
    with torch.no_grad(): logits = stock(**tok(SENTENCES[0], TEXT, return_tensors="pt")).logits
    assert said==pytest.approx(logits.softmax(-1)[0, 0].item(), abs=1e-5)

def test_an_untrained_head_classifies_a_sentence_and_says_that_it_knows_nothing(there):
    with pytest.warns(UserWarning, match="its head for text-classification .* was never trained"):
        [answer] = predict(there.bert, ["This is a great movie!"], "text-classification")
    model = load(there.bert, "text-classification")
    with pytest.warns(UserWarning, match="never trained"), torch.no_grad():
        logits = model(**encoded(there.bert, "This is a great movie!")).logits
    which = logits.argmax(-1).item()
    assert logits.shape==(1, 2) and answer["label"]==model.config.id2label[which]
    assert answer["probability"]==pytest.approx(logits.softmax(-1).max().item(), abs=1e-5)

# The third: a model is called, saved, loaded, changed by one step and evaluated by hand

def test_perplexity_follows_from_the_chain_rule(there):
    "The probability of a text is the product of those of its tokens; the perplexity its root, turned over."
    model, tok = load(there.gpt2, "text-generation"), load_tokenizer(there.gpt2)
    found = score_text(model, tok, [TEXT])
    ids = torch.tensor([tok.bos_token_id, *tok(TEXT)["input_ids"], tok.eos_token_id])
    with torch.no_grad(): p = model(ids[None]).logits[0].double().softmax(-1)
    chances = p[torch.arange(len(ids)-1), ids[1:]]
    assert found["tokens"]==len(chances) and found["perplexity"]==pytest.approx(chances.prod().item()**(-1/len(chances)), rel=1e-4)

def test_a_sentence_is_cut_into_tokens(there):
    "Between the two marks of its family, padded together with a shorter one, and back again."
    tok = load_tokenizer(there.bert)
    inputs = tok([TEXT, "the cat"], padding=True, return_tensors="pt")
    words = tok.convert_ids_to_tokens(inputs["input_ids"][0])
    assert words[0]=="[CLS]" and words[-1]=="[SEP]" and "[UNK]" not in words
    assert inputs["attention_mask"].sum(1).tolist()==[len(words), 4] and tok.decode(inputs["input_ids"][0, 1:-1])==TEXT
    assert inputs["input_ids"].tolist()==hf.AutoTokenizer.from_pretrained(there.bert)([TEXT, "the cat"], padding=True)["input_ids"]

def test_a_masked_model_reads_it(there):
    with torch.no_grad():
        logits = load(there.bert)(**encoded(there.bert)).logits
        expected = hf.BertForMaskedLM.from_pretrained(there.bert)(**encoded(there.bert)).logits
    assert logits.shape==(1, encoded(there.bert)["input_ids"].shape[1], len(load_tokenizer(there.bert)))
    assert torch.allclose(logits, expected, atol=1e-5)

def test_a_model_is_saved_and_loaded_again(there, tmp_path):
    "Beside its tokenizer: without it the folder is no start, and it says so."
    model = load(there.bert)
    torch.nn.init.ones_(model.cls.predictions.bias)
    model.save_pretrained(tmp_path/"saved")
    assert weights_hash(load(tmp_path/"saved"))==weights_hash(model)!=weights_hash(load(there.bert))
    with pytest.raises(InputError, match="save_pretrained"): load_tokenizer(tmp_path/"saved")
    load_tokenizer(there.bert).save_pretrained(tmp_path/"saved")
    assert encoded(tmp_path/"saved")["input_ids"].equal(encoded(there.bert)["input_ids"])

def test_a_step_by_hand(there):
    "With tokens to predict there is a loss, and a step against its gradient lowers it."
    model = load(there.bert).train()
    batch = hidden(there.bert, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    assert (batch["labels"]!=-100).any() and model(**batch).loss<loss-.01

def test_the_loss_of_unseen_text(there, gone_on):
    "In evaluation mode, without a gradient: the mean over the hidden tokens, and what a trainer says."
    batch = hidden(there.bert, seed=0)
    losses = []
    for folder in (there.bert, gone_on.path):
        model = load(folder)
        with torch.no_grad(): output = model(**batch)
        asked = batch["labels"]!=-100
        nats = -output.logits.log_softmax(-1)[asked].gather(1, batch["labels"][asked][:, None])
        assert not model.training and output.loss.item()==pytest.approx(nats.mean().item(), abs=1e-5)
        losses.append(output.loss.item())
    assert losses[1]<losses[0]

# The fourth: kinds of models, and what they are measured by

def test_the_base_model_alone(there):
    with torch.no_grad():
        output = load(there.bert, None)(**encoded(there.bert))
        expected = hf.BertModel.from_pretrained(there.bert)(**encoded(there.bert))
    assert output.last_hidden_state.shape[-1]==32 and torch.allclose(output.last_hidden_state, expected.last_hidden_state, atol=1e-5)

def test_a_labelled_sentence_has_a_loss_and_a_step_learns_it(there):
    "Of shape (1, 1) as the article has it; a call with labels is no answer, so nothing is warned of."
    model = load(there.bert, "text-classification", ["bad", "good"])
    labels = torch.tensor([1]).unsqueeze(0)
    output = model(**encoded(there.bert), labels=labels)
    assert output.loss.item()==pytest.approx(-output.logits.log_softmax(-1)[0, 1].item(), abs=1e-6)
    output.loss.backward()
    torch.optim.AdamW(model.parameters(), lr=1e-2).step()
    assert model(**encoded(there.bert), labels=labels).loss<output.loss

def test_a_model_that_reads_from_left_to_right_learns_and_writes(there, tmp_path):
    "Greedy, as the pipeline of transformers writes; what it learned shows in what it writes."
    args = PretrainingArguments(documents="lines", block_size=32, steps=60, learning_rate=3e-3)
    run = pretrain(there.corpus, out=tmp_path/"run", model=there.gpt2, args=args)
    before, after = (run.record[name]["validation"]["perplexity"] for name in ("before", "results"))
    assert run.record["arguments"]["objective"]=="clm" and after<before/4
    model, tok = load(run.path, "text-generation"), load_tokenizer(run.path)
    [answer] = generate(model, tok, ["my uncle buys"], max_new_tokens=12)
    [written] = hf.pipeline("text-generation", model=str(run.path))("my uncle buys", max_new_tokens=12, do_sample=False)
    assert written["generated_text"]=="my uncle buys"+answer["text"] and any(what in answer["text"] for what in WHAT)

def test_bleu():
    references = [[TEXT], [SENTENCES[0]]]
    good, poor = (bleu(references, [TEXT, text])["bleu"] for text in (SENTENCES[0], SENTENCES[-1]))
    assert good==pytest.approx(100) and 0<poor<good

# The fifth: a new model and a trainer, then rows to look at on the way

def test_a_data_set_of_lines(there):
    "Each line between its marks, cut at the block; blank ones are dropped."
    tok = load_tokenizer(there.bert)
    lines = there.corpus.read_text(encoding="utf-8").splitlines()
    rows = document_rows(lines, tok, 128)
    assert len(lines)>len(rows)==3*len(SENTENCES) and tok.decode(rows[1]["input_ids"][1:-1])==SENTENCES[1]
    assert max(map(len, document_rows(lines, tok, 5)["input_ids"]))==5

def test_a_new_model_and_a_trainer(there, tmp_path):
    "From random weights; checkpoints are limited, and what is saved loads."
    tok = load_tokenizer(there.bert)
    rows = document_rows(SENTENCES, tok, 128)
    collator = MaskedLM(tok, mlm_probability=.15, isolated=False)
    args = arguments(str(tmp_path/"checkpoints"), epochs=2, per_device_train_batch_size=32, learning_rate=1e-3,
                     save_steps=3, save_total_limit=2)
    trainer = ResumableTrainer(model=build("tiny", tok), args=args, data_collator=collator, train_dataset=rows, eval_dataset=rows,
                               eval_collator=MaskedLM(tok, seed=0, isolated=False), processing_class=tok)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert before==pytest.approx(math.log(len(tok)), abs=.5) and after<before-.3
    assert checkpoints(tmp_path/"checkpoints")==["checkpoint-10", "checkpoint-9"]
    trainer.save_model(str(tmp_path/"model"))
    assert weights_hash(load(tmp_path/"model"))==weights_hash(trainer.model) and len(load_tokenizer(tmp_path/"model"))==len(tok)

def test_fine_tuning_with_rows_to_look_at(there, tmp_path):
    "Looks at rows that it does not learn from, in the log and at the end."
    args = FinetuningArguments(epochs=1, batch_size=16, eval_steps=2, save_steps=4, save_total_limit=2)
    run = finetune(dict(train=SEEN, validation=UNSEEN), tmp_path/"run", model=there.bert, args=args)
    looks = [line for line in read_json_lines(run.path/"log.jsonl") if "validation" in line]
    assert [line["step"] for line in looks]==[2, 4, 6, 8] and run.record["data"]["rows learned from"]==len(SEEN)
    assert run.record["results"]["validation"]["n"]==len(UNSEEN) and "test" not in run.record["results"]
    assert checkpoints(run.path/"checkpoints")==["checkpoint-4", "checkpoint-8"]

# What is written here is read there

def test_a_pipeline_of_stock_transformers_answers_alike(classifier):
    texts = [text for text,_ in UNSEEN]
    there = hf.pipeline("text-classification", model=str(classifier.path))(texts)
    here = predict(classifier.path, texts)
    assert [answer["label"] for answer in here]==[answer["label"] for answer in there] and len({answer["label"] for answer in here})==2
    assert [answer["probability"] for answer in here]==pytest.approx([answer["score"] for answer in there], abs=1e-4)

# What a reader of theirs would type too: one line, with what would be right

NOWHERE = "./nowhere/vocab.txt"

def empty(): return hf.BertTokenizer(vocab_file=NOWHERE) # which is stock, says nothing, and knows five tokens

NO_TOKENIZER = "no tokenizer folder .*nowhere/vocab.txt; give a folder"

REFUSED = { # what the line says, and what is typed, with the folders that there are and a new one
    "a vocabulary that is not there": (NO_TOKENIZER,
        lambda there, out: load_tokenizer(NOWHERE)),
    "pretrain with it": (NO_TOKENIZER,
        lambda there, out: pretrain(there.corpus, NOWHERE, out)),
    "finetune with it": (NO_TOKENIZER,
        lambda there, out: finetune(PAIRS, out, tokenizer=NOWHERE)),
    "pretrain with what stock made of it": ("take a tokenizer that was trained on such text",
        lambda there, out: pretrain(there.corpus, empty(), out)),
    "go on with what stock made of it": ("take a tokenizer that was trained",
        lambda there, out: pretrain(there.corpus, empty(), out, model=there.bert)),
    "finetune with what stock made of it": ("leave the tokenizer out",
        lambda there, out: finetune(PAIRS, out, model=there.bert, tokenizer=empty())),
    "a corpus that is not there": ("no such file or folder; give an existing path",
        lambda there, out: pretrain("unlabeled.txt", out=out, model=there.bert)),
    "a model that is not there": ("no such folder.*give the path of a folder",
        lambda there, out: finetune(PAIRS, out, model="path_to_a_model")),
    "a folder to overwrite": ("is not empty; give an --out that is new",
        lambda there, out: pretrain(there.corpus, out=there.gpt2, model=there.bert)),
    "a folder to overwrite, of a fine-tuning": ("is not empty; give an --out that is new",
        lambda there, out: finetune(PAIRS, there.gpt2, model=there.bert)),
    "one checkpoint": ("keep 2 or more",
        lambda there, out: PretrainingArguments(save_steps=1, save_total_limit=1)),
    "one checkpoint of a trainer": ("keep 2 or more",
        lambda there, out: ResumableTrainer(model=load(there.bert), args=arguments(str(out), epochs=1, save_total_limit=1))),
    "pairs of ids": ("for its text; give a string",
        lambda there, out: finetune([(encoded(there.bert)["input_ids"][0].tolist(), 1)], out, model=there.bert)),
    "pairs of encodings": ("for its text; give a string",
        lambda there, out: finetune([(encoded(there.bert), 1)], out, model=there.bert)),
    "texts, then labels": ("in every row a text and its label",
        lambda there, out: finetune(tuple(zip(*PAIRS)), out, model=there.bert)),
    "pairs to predict": ("input 1 is .*; give text",
        lambda there, out: predict(there.bert, PAIRS[:1], "text-classification")),
    "the perplexity of a masked model": ("no perplexity; ask for its pseudo_nats",
        lambda there, out: score_text(load(there.bert), load_tokenizer(there.bert), [TEXT])),
    "one prompt": (r"give a list, \[prompt\]",
        lambda there, out: generate(load(there.gpt2, "text-generation"), load_tokenizer(there.gpt2), TEXT)),
    "the name of a class": ("unknown; choose from fill-mask",
        lambda there, out: load(there.bert, "BertForMaskedLM")),
    "BERT as a writer": ("does not do text-generation here; it does fill-mask",
        lambda there, out: load(there.bert, "text-generation")),
    "NSP without its head": (r"pretrained with mlm\+nsp",
        lambda there, out: follows(load(there.bert), load_tokenizer(there.bert), TEXT, TEXT)),
    "GPT-2 with hidden tokens": ("no token that masks",
        lambda there, out: MaskedLM(load_tokenizer(there.gpt2))),
    "settings": ("this is the option batch_size",
        lambda there, out: PretrainingArguments(settings=dict(per_device_train_batch_size=64))),
    "settings of a fine-tuning": ("this is the option epochs",
        lambda there, out: FinetuningArguments(settings=dict(num_train_epochs=1))),
    "settings of old": ("this is the option eval_steps",
        lambda there, out: PretrainingArguments(settings=dict(evaluation_strategy="steps"))),
}

@pytest.mark.parametrize("typed", REFUSED)
def test_what_is_typed_otherwise_is_refused_in_a_line(there, tmp_path, typed):
    "Nothing is written where it is refused."
    words, call = REFUSED[typed]
    with pytest.raises(InputError, match=words) as e: call(there, tmp_path/"run")
    assert "\n" not in str(e.value) and not (tmp_path/"run").exists()

def test_the_shell_refuses_it_too(there, tmp_path):
    said = ["pretrain", "--corpus", there.corpus, "--out", tmp_path/"run"]
    asked = {"no tokenizer folder": ("--tokenizer", NOWHERE), "batch_size": ("--model", there.bert, "--set", "per_device_train_batch_size=64"),
             "--overwrite-output-dir": ("--model", there.bert, "--overwrite-output-dir")}
    for words,typed in asked.items():
        code, out, err = plm(*said, *typed)
        assert code==2 and not out and err.count("\n")==1 and words in err
    assert not (tmp_path/"run").exists()
