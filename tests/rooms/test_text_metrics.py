"Scores of partly right answers against the packages and the definitions that everybody quotes, on 1,000 random cases each."
import random, re, string, unicodedata
from collections import Counter
import numpy as np
import pytest
from plm_nb.files import InputError
from plm_nb.metrics import bootstrap, f1, score_metric
from plm_nb.text_metrics import (_longest_common, answer_scores, bleu, chrf, entity_scores, exact_match, label_scores,
    number_scores, redrawn, rouge, spans, token_f1)

CASES = 1000

# spans against seqeval

def names(marks): return ["O", *(f"{m}-{k}" for m in marks for k in ("PER", "ORG.NAM", "a-b"))]

def drawn(rng, marks, n): return rng.choices(names(marks), k=n)

def written(rng, dialect, n):
    "The tags of random spans over `n` words, as one who keeps to `dialect` writes them."
    tags, at, last = ["O"]*n, 0, None
    while at<n:
        size, kind = rng.randint(1, min(4, n-at)), rng.choice(["PER", "ORG", None])
        if kind:
            first = {"IOB1": "B" if last==kind else "I", "IOB2": "B"}.get(dialect, "B" if size>1 else "S")
            tags[at:at+size] = [f"{first}-{kind}"] + [f"I-{kind}"]*(size-1)
            if size>1 and dialect in ("IOBES", "BILOU"): tags[at+size-1] = f"E-{kind}"
        at, last = at+size, kind
    return ["U"+t[1:] if t[0]=="S" else "L"+t[1:] if t[0]=="E" else t for t in tags] if dialect=="BILOU" else tags

def seqeval(references, predictions, **mode):
    score = pytest.importorskip("seqeval.metrics.v1" if mode else "seqeval.metrics.sequence_labeling") # strict: v1
    p, r, f, _ = score.precision_recall_fscore_support(references, predictions, average="micro", zero_division=0, **mode)
    return pytest.approx(dict(precision=p, recall=r, f1=f))

def ours(references, predictions): return {k: v for k,v in entity_scores(references, predictions).items() if k!="spans"}

@pytest.mark.parametrize("marks", ["BI", "I", "IE", "BIES"])
def test_any_tags_equal_seqeval(marks):
    "In seqeval's default mode, which like CoNLL's own scorer reads a span wherever one seems meant, any tags agree."
    chunks = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    rng = random.Random(0)
    for _ in range(CASES):
        sizes = [rng.randint(1, 12) for _ in range(rng.randint(1, 3))]
        references, predictions = ([drawn(rng, marks, n) for n in sizes] for _ in range(2))
        assert spans(references[0])==[(a, b+1, kind) for kind,a,b in chunks(references[0])]
        assert ours(references, predictions)==seqeval(references, predictions)

@pytest.mark.parametrize("dialect", ["IOB1", "IOB2", "IOBES", "BILOU"])
def test_well_formed_tags_equal_strict_seqeval(dialect):
    "In its strict mode seqeval drops what breaks the dialect; tags that keep to it agree."
    scheme = getattr(pytest.importorskip("seqeval.scheme"), dialect)
    rng = random.Random(1)
    for _ in range(CASES):
        sizes = [rng.randint(1, 12) for _ in range(rng.randint(1, 3))]
        references, predictions = ([written(rng, dialect, n) for n in sizes] for _ in range(2))
        assert ours(references, predictions)==seqeval(references, predictions, scheme=scheme)

def test_strict_seqeval_drops_what_ours_reads():
    scheme = pytest.importorskip("seqeval.scheme")
    references, predictions = [["B-PER", "I-PER"]], [["I-PER", "I-PER"]]
    assert ours(references, predictions)["f1"]==1
    assert seqeval(references, predictions, scheme=scheme.IOB2)==dict(precision=0, recall=0, f1=0)

def test_dialects_mean_the_same():
    for seed in range(CASES):
        found = [spans(written(random.Random(seed), d, 12)) for d in ("IOB1", "IOB2", "IOBES", "BILOU")]
        assert found[0]==found[1]==found[2]==found[3]
        assert found[0]==spans([t.replace("I-", "M-") for t in written(random.Random(seed), "IOBES", 12)]) # BMES

def test_tags_without_a_mark_are_words():
    "Parts of speech: F1 is the share of the words that are right."
    references, predictions = [["NOUN", "VERB", "."]], [["NOUN", "NOUN", "."]]
    assert entity_scores(references, predictions)["f1"]==pytest.approx(2/3)
    assert spans(["B", "I", "O", "S"])==[(0, 2, ""), (3, 4, "")]

@pytest.mark.parametrize("tag", ["P-ER", "b-PER", "-PER", 3, None])
def test_an_unknown_tag(tag):
    with pytest.raises(InputError, match="of word 1: unknown"): spans(["O", tag])

# answers against SQuAD 2.0, written down again from its definition

def squad_text(s):
    kept = "".join(c for c in s.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())

def squad(answers, prediction):
    answers, b = [a for a in answers if squad_text(a)] or [""], squad_text(prediction).split()
    def f1(a):
        same = sum((Counter(a)&Counter(b)).values())
        if not a or not b: return float(a==b)
        if not same: return 0.
        p, r = same/len(b), same/len(a)
        return 2*p*r/(p+r)
    return max(float(squad_text(a)==squad_text(prediction)) for a in answers), max(f1(squad_text(a).split()) for a in answers)

WORDS = ["the", "a", "An", "cat", "Cat.", "sat", "U.S.", "naïve", "état", "x-ray", "'", "—", "12", "1,000", "“so”", "ß", "\xa0", ""]

def said(rng, most=6): return rng.choice([" ", "  ", "\t"]).join(rng.choices(WORDS, k=rng.randint(0, most)))

def test_answers_equal_squad():
    rng, references, predictions = random.Random(2), [], []
    for _ in range(CASES):
        answers = [said(rng) for _ in range(rng.randint(0, 3))]
        text = rng.choice([said(rng), *answers])
        assert (exact_match(answers, text), token_f1(answers, text))==pytest.approx(squad(answers, text))
        references.append(answers); predictions.append(text)
    mean = np.mean([squad(a, b) for a,b in zip(references, predictions)], axis=0)
    assert list(answer_scores(references, predictions).values())==pytest.approx(mean.tolist())

HAN = "北京大学的猫坐在垫子上ひらカナ"

def test_chinese_answers_are_characters():
    "The same as SQuAD on text in which each character was set apart."
    rng = random.Random(3)
    def drawn(): return "".join(rng.choices(HAN, k=rng.randint(1, 6)))
    for _ in range(CASES):
        a, b = drawn(), rng.choice([drawn(), HAN[:4]])
        assert (exact_match([a], b), token_f1([a], b))==pytest.approx(squad([" ".join(a)], " ".join(b)))
    assert exact_match(["《红楼梦》"], "红楼梦。")==1 and token_f1(["iPhone手机"], "手机")==pytest.approx(4/5)

def test_no_answer():
    assert [exact_match([], s) for s in ("", " ", "the", "no")]==[1, 1, 1, 0]==[token_f1([], s) for s in ("", " ", "the", "no")]
    assert exact_match(["cat"], "")==token_f1(["cat"], "")==0

# BLEU and chrF against sacrebleu's own functions

def corpus(rng, words, glue=" "):
    "Random references, some rows with several, some texts empty; guesses that are near them."
    references, predictions = [], []
    for _ in range(rng.randint(1, 5)):
        refs = [[rng.choice(words) for _ in range(rng.randint(0, 9))] for _ in range(rng.randint(1, 3))]
        near = [w if rng.random()<.8 else rng.choice(words) for w in rng.choice(refs)][:rng.randint(0, 9)]
        references.append([glue.join(r) for r in refs]); predictions.append(glue.join(near))
    return references, predictions

def columns(references):
    return [[r[i] if i<len(r) else None for r in references] for i in range(max(map(len, references)))]

ENGLISH = "The the cat, sat on mats. x-ray 1,000 (so) it's &amp; 3.5% Über don't!".split()

CHINESE = HAN[:11]

@pytest.mark.parametrize("words, glue, tokenize", [(ENGLISH, " ", "13a"), (list(CHINESE), "", "zh")])
def test_equal_to_sacrebleu(words, glue, tokenize):
    import sacrebleu
    rng = random.Random(4)
    for _ in range(CASES):
        references, predictions = corpus(rng, words, glue)
        if not "".join("".join(r) for r in references): continue # no text, no language
        want = sacrebleu.corpus_bleu(predictions, columns(references), tokenize=tokenize).score
        assert bleu(references, predictions)["bleu"]==want
        assert chrf(references, predictions)["chrf"]==sacrebleu.corpus_chrf(predictions, columns(references)).score

# without spaces between words: each character, with its marks; Thai, Lao, Khmer, Burmese, Japanese
UNSPACED = dict(thai="ก ที่ น้ ำ บ้ สู่ ด เ", lao="ກ ນ້ ຂຶ້ ວ ມື", khmer="ក ខ្ មែ រ ភា សា", burmese="မြ န် မာ ဘာ သ", japanese="ね こ は マ ッ ト 上 パ")

@pytest.mark.parametrize("script", UNSPACED)
def test_scripts_without_spaces_are_counted_by_character(script):
    "BLEU, ROUGE and F1 are those of the text in which every character was set apart by hand."
    import sacrebleu
    rng, characters = random.Random(13), UNSPACED[script].split()
    def drawn(): return rng.choices(characters, k=rng.randint(4, 9))
    for _ in range(100):
        a, b = drawn(), drawn()
        found = bleu([["".join(a)]], ["".join(b)+" GPT-2."])
        assert found["bleu"]==sacrebleu.corpus_bleu([" ".join(b)+" GPT-2."], [[" ".join(a)]]).score
        assert "tok:by-character" in found["signature"]
        latin = {c: f"x{i}" for i,c in enumerate(characters)}
        def spaced(text): return " ".join(latin[c] for c in text)
        assert rouge([["".join(a)]], ["".join(b)])==rouge([[spaced(a)]], [spaced(b)])
        assert token_f1(["".join(a)], "".join(b))==token_f1([spaced(a)], spaced(b))

def test_a_tokenization_by_name():
    assert bleu([["แมวนั่ง"]], ["แมวนั่ง"])["bleu"]==pytest.approx(100)
    assert bleu([["แมวนั่งบนเสื่อ"]], ["แมวนั่งบน"], tokenize="13a")["bleu"]==0
    assert "tok:intl" in bleu([["यह है।"]], ["यह है।"], tokenize="intl")["signature"]
    with pytest.raises(InputError, match="tokenize 'thai': give by-character"): bleu([["x"]], ["x"], tokenize="thai")

def test_signatures():
    assert "tok:13a" in bleu([["кот 猫 сидит"]], ["x"])["signature"] # one character is not the language
    assert bleu([["a b"]], ["a b"])["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.")
    assert "tok:zh" in bleu([["返回一个 datetime 对象"]], ["x"])["signature"]
    assert "tok:13a" in bleu([["the character 猫 means cat"]], ["x"])["signature"]
    assert "nrefs:var" in chrf([["a", "b"], ["c"]], ["a", "c"])["signature"]

# ROUGE against rouge-score

def rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    return scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)

def test_equal_to_rouge_score():
    scorer, rng = rouge_score(), random.Random(5)
    for _ in range(CASES):
        references, predictions = corpus(rng, ENGLISH + ["naïve", "β-VAE", "…", "10k"])
        references.append(["a b "*300]) # so that this is a text in English, all in all
        predictions.append(rng.choice(["a", "naïve"]))
        found = [scorer.score_multi(r, g) for r,g in zip(references, predictions)]
        want = {k: np.mean([f[k].fmeasure for f in found]) for k in ("rouge1", "rouge2", "rougeL")}
        assert rouge(references, predictions)==pytest.approx(want)

def test_chinese_rouge_counts_characters():
    "The same as rouge-score on text in which each character is a Latin word."
    scorer, rng = rouge_score(), random.Random(6)
    def latin(text): return " ".join(f"x{HAN.index(c)}" for c in text)
    for _ in range(200):
        a, b = ("".join(rng.choices(HAN, k=rng.randint(1, 9))) for _ in range(2))
        want = {k: v.fmeasure for k,v in scorer.score(latin(a), latin(b)).items()}
        assert rouge([[a]], [b])==pytest.approx(want)
        assert not scorer.score(a, b)["rouge1"].fmeasure # what the package makes of it

# five words of a language, all different
WORDS_OF = dict(
    arabic="القِطَّة تجلس على السجادة الحمراء", hindi="बिल्ली लाल क़ालीन पर बैठी", korean="고양이가 빨간 매트 위에 앉았다",
    greek="η γάτα κάθεται στο χαλί", russian="кошка сидит на красном ковре", hebrew="החתול יושב על השטיח האדום",
    vietnamese="con mèo ngồi trên thảm", german="die Größe für schöne Füße", persian="گربه روی فرش می\u200cنشیند آرام",
    tamil="பூனை சிவப்பு பாயில் அமர்ந்து இருக்கிறது", turkish="kedi kırmızı halının üstünde oturuyor")

@pytest.mark.parametrize("language", WORDS_OF)
def test_words_of_any_alphabet(language):
    "What two texts share depends on their words, not on their letters: as of five Latin words."
    words = WORDS_OF[language].split()
    rng = random.Random(14)
    for _ in range(100):
        a, b = (rng.choices(range(5), k=rng.randint(1, 8)) for _ in range(2))
        def said(numbers, words): return ", ".join(words[i] for i in numbers)+"."
        latin = [f"x{i}" for i in range(5)]
        # all five stand in another row, so that the language is known
        true, other = [[said(a, words)], [" ".join(words)]], [[said(a, latin)], [" ".join(latin)]]
        assert rouge(true, [said(b, words), ""])==rouge(other, [said(b, latin), ""])
        assert answer_scores(true, [said(b, words), ""])==answer_scores(other, [said(b, latin), ""])
        assert bleu(true, [said(b, words), ""])==bleu(other, [said(b, latin), ""])

@pytest.mark.parametrize("language", ["vietnamese", "greek", "korean", "hindi"])
def test_two_spellings_of_a_letter_are_one(language):
    "An accent may be a character of its own (NFD) or not (NFC)."
    apart = unicodedata.normalize("NFD", WORDS_OF[language])
    assert rouge([[WORDS_OF[language]]], [apart])["rougeL"]==1
    assert exact_match([WORDS_OF[language]], apart)==1

@pytest.mark.parametrize("right, said", [("«Кот», да!", "кот да"), ("हाँ।", "हाँ"), ("نعم؟", "نعم"), ("כן־לא״", "כןלא"), ("ما؛", "ما"), ("ខ្មែរ។", "ខ្មែរ")])
def test_punctuation_of_other_scripts_is_dropped(right, said): assert exact_match([right], said)==1

def test_words_and_not_numbers_make_a_russian_score():
    assert rouge([["кот видит дом 5"]], ["снег любит хлеб 5"])==dict(rouge1=1/4, rouge2=0, rougeL=1/4)
    assert rouge([["die Größe"]], ["die Gräße"])["rouge1"]==1/2

def test_references_without_a_word_score_nothing():
    for references in ([["👍"]], [["…"], ["!?"]], [["—", "👍"], ["кот"]]):
        assert rouge(references, ["👍"]*len(references))==dict(rouge1=0, rouge2=0, rougeL=0)

def test_english_with_a_foreign_name_is_cut_as_rouge_score_does():
    rows = [["the Fréchet distance"]]*9 + [["a distance of two sets of points in a plane"]]*20
    predictions = ["the Frechet distance", *["a distance"]*28]
    want = [rouge_score().score_multi(r, p) for r,p in zip(rows, predictions)]
    assert rouge(rows, predictions)["rouge1"]==pytest.approx(np.mean([w["rouge1"].fmeasure for w in want]))

def test_longest_common_subsequence():
    "Against the definition: the longest of all subsequences of one that the other has too."
    def within(small, large):
        rest = iter(large)
        return all(x in rest for x in small)
    rng = random.Random(7)
    for _ in range(200):
        a, b = (rng.choices("abc", k=rng.randint(0, 7)) for _ in range(2))
        every = ([x for i,x in enumerate(a) if m>>i&1] for m in range(2**len(a)))
        assert _longest_common(a, b)==max(len(s) for s in every if within(s, b))==_longest_common(b, a)

# label sets and numbers against scikit-learn and scipy

def test_labels_equal_sklearn():
    from sklearn import metrics as sk
    rng = np.random.default_rng(8)
    for _ in range(200):
        references, predictions = (rng.random((rng.integers(1, 9) if i else 6, 4))<.4 for i in (0, 0))
        sets = [[[str(j) for j in np.flatnonzero(row)] for row in x] for x in (references, predictions)]
        kept = (references|predictions).any(0) # a label that occurs nowhere has no vote
        want = {f"{a}_f1": sk.f1_score(references[:, kept], predictions[:, kept], average=a, zero_division=0) if kept.any() else 0
                for a in ("micro", "macro")}
        assert label_scores(*sets)==pytest.approx(dict(exact_match=(references==predictions).all(1).mean(), **want))

def test_numbers_equal_scipy():
    from scipy import stats
    rng = np.random.default_rng(9)
    for _ in range(200):
        a, b = rng.normal(size=12).round(1), rng.normal(size=12).round(1)+1e3 # with ties, and far from 0
        want = dict(mae=abs(a-b).mean(), rmse=((a-b)**2).mean()**.5, pearson=stats.pearsonr(a, b)[0],
                    spearman=stats.spearmanr(a, b)[0])
        assert number_scores(a, b)==pytest.approx(want)
    assert number_scores([.1]*10, range(10))["pearson"]==0==number_scores([.1]*10, [.3]*10)["spearman"]

# weights and intervals

SCORES = [entity_scores, answer_scores, bleu, chrf, rouge, label_scores, number_scores]
named = dict(ids=lambda score: score.__name__)

def task_rows(rng, score, n=40):
    "References and predictions that `score` can score, drawn at random."
    def text(): return " ".join(rng.choices(ENGLISH, k=rng.randint(1, 8)))
    def texts(): return [text() for _ in range(rng.randint(1, 2))], text()
    draw = {entity_scores: lambda: [drawn(rng, "BI", 9) for _ in range(2)],
            number_scores: lambda: [rng.random(), rng.random()],
            label_scores: lambda: [rng.sample("abcd", rng.randint(0, 3)) for _ in range(2)]}.get(score, texts)
    rows = [draw() for _ in range(n)]
    return [a for a,_ in rows], [b for _,b in rows]

def numbers(scored): return {k: v for k,v in scored.items() if k not in ("signature", "spans")}

@pytest.mark.parametrize("score", SCORES, **named)
def test_rows_that_count_twice(score):
    "Scores of weighted rows are the scores of the rows written out, one set of weights at a time or all at once."
    rng = random.Random(10)
    references, predictions = task_rows(rng, score)
    weights = np.random.default_rng(0).multinomial(40, [1/40]*40, size=10)
    at_once = numbers(score(references, predictions, weights=weights))
    for i,row in enumerate(weights):
        again = [[x for x,k in zip(xs, row) for _ in range(k)] for xs in (references, predictions)]
        found = score(references, predictions, weights=row)
        want = numbers(score(*again))
        assert numbers(found)==pytest.approx(want)
        assert {k: v[i] for k,v in at_once.items()}==pytest.approx(want)
        assert all(type(v) is float for v in want.values())

@pytest.mark.parametrize("score", SCORES, **named)
def test_interval(score):
    "The score lies within its interval, which narrows with more rows; a seed fixes it."
    rng = random.Random(11)
    few, many = task_rows(rng, score, 40), task_rows(rng, score, 640)
    def interval(rows, **settings): return bootstrap(lambda w: score(*rows, weights=w), len(rows[0]), n=200, **settings)
    ends, narrow = interval(few), interval(many)
    for name,value in numbers(score(*few)).items():
        assert ends[f"{name}_low"]-1e-9 <= value <= ends[f"{name}_high"]+1e-9 or name in ("bleu", "macro_f1")
        wide = ends[f"{name}_high"]-ends[f"{name}_low"]
        assert narrow[f"{name}_high"]-narrow[f"{name}_low"] < .6*wide or not wide or name=="bleu" # which has zeros here
    assert len(ends)==2*len(numbers(score(*few)))
    assert ends==interval(few)
    assert interval(many, seed=1)!=narrow

@pytest.mark.parametrize("score", SCORES, **named)
def test_weights_that_do_not_fit(score):
    rows = task_rows(random.Random(12), score)
    for weights, why in (([1]*39, "must be 40"), ([-1]+[1]*39, "0 or more"), ([0]*40, "all 0")):
        with pytest.raises(InputError, match=why): score(*rows, weights=weights)

# what is wrong is said

@pytest.mark.parametrize("score", [entity_scores, answer_scores, bleu, chrf, rouge, label_scores, number_scores])
def test_rows_and_predictions(score):
    row = dict(entity_scores=(["O"], ["O"]), label_scores=(["x"], ["x"]), number_scores=(1., 2.)).get(score.__name__, (["x"], "x"))
    with pytest.raises(InputError, match="2 rows but 1 predictions"): score([row[0]]*2, [row[1]])
    with pytest.raises(InputError, match="no rows"): score([], [])

@pytest.mark.parametrize("score", [bleu, chrf, rouge])
def test_references(score):
    def first(*rows): return next(iter(score(*rows).values()))
    with pytest.raises(InputError, match="row 1 has no reference"): score([["x"], []], ["x", "x"])
    with pytest.raises(InputError, match="row 0: give a list"): score(["x"], ["x"])
    with pytest.raises(InputError, match="row 1: give a list"): score([["x"], ["x"]], ["x", None])
    assert first([["a cat"]], [""])==0==first([["", "a cat"]], [""])
    full = first([["a cat sat here"], [""]], ["a cat sat here", "dog"])/first([["a cat sat here"]], ["a cat sat here"])
    assert full==1 if score is chrf else 0<full<1 # chrF passes over a row whose only reference is empty

def test_other_errors():
    with pytest.raises(InputError, match="row 1 has 2 tags but 1"): entity_scores([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(InputError, match="row 1: 2.0 and nan"): number_scores([1, 2], [1, float("nan")])
    with pytest.raises(InputError, match="list of texts"): exact_match("Paris", "Paris")

# evaluate

TEXTS = dict(references=[["the cat sat"], ["a dog", "one dog"]], predictions=["the cat", "a dog"])
ROWS = {entity_scores: dict(references=[["B-PER", "O"], ["O"]], predictions=[["B-PER", "B-LOC"], ["O"]]),
        answer_scores: TEXTS, bleu: TEXTS, chrf: TEXTS, rouge: TEXTS,
        label_scores: dict(references=[["a", "b"], ["b"]], predictions=[["a"], ["b"]]),
        number_scores: dict(references=[.5, 1.25, -2], predictions=[.75, 1.5, -3])}

@pytest.mark.parametrize("score", ROWS, ids=lambda f: f.__name__)
def test_every_score_is_a_metric_of_evaluate(score):
    "In one piece or in batches, whatever kind of row it takes; half a number stays half a number."
    rows = ROWS[score]
    assert score_metric(score).compute(**rows)==score(**rows)
    metric = score_metric(score)
    for i in range(len(rows["references"])): metric.add_batch(**{name: column[i:i+1] for name,column in rows.items()})
    assert metric.compute()==score(**rows)

def test_settings_of_a_metric():
    assert score_metric(bleu, tokenize="zh").compute(**TEXTS)==bleu(**TEXTS, tokenize="zh")

def test_a_metric_of_others_has_an_interval():
    "Equal to the interval of the same score that counts all redraws at once; rows of weight 0 are not asked."
    y, p = [random.Random(seed).choices(range(3), k=60) for seed in (0, 1)]
    score = redrawn(score_metric(f1), y, p)
    weights = np.random.default_rng(0).integers(0, 3, (4, 60))
    assert score(weights)["f1"]==pytest.approx([f1(y, p, weights=w) for w in weights])
    assert len(bootstrap(score, 60, n=20))==2
