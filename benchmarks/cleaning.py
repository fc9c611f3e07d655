"""Cleaning in minutes: `python benchmarks/cleaning.py --mb 100 --workers 2`.

The corpus is made here: each document is a seeded draw of sentences of the embedded `docs`, no two documents alike. Into it are
planted, for one document in a hundred each, a near copy (3 to 10 % of its words changed, one in three also with its sentences
moved; anywhere in the corpus), and pieces of personal data beside numbers that look like some. Printed are, for `describe`
and for `clean`, seconds, MB/s and the peak of memory, of all processes together; precision and recall of what was found; and
whether one worker finds the same. `--quick` takes 5 MB."""
import argparse, hashlib, json, random, resource, time
from plm_nb.cleaning import CleaningArguments, clean, describe
from plm_nb.data import load_corpus
from plm_nb.filters import is_id_number, is_luhn, personal_data

def sentences():
    "The sentences of `docs`, each once, of 5 to 40 words."
    found = {}
    for text in load_corpus("docs")["train"]["text"]:
        for line in text.replace("\n", " ").split(". "):
            if 5<=len(line.split())<=40 and not personal_data(line): found[line.strip(" .")+"."] = None
    return list(found)

def digits(rng, n): return "".join(rng.choices("0123456789", k=n))

def with_luhn(start, n, rng):
    "A number of `n` digits that begins with `start` and whose last is Luhn's."
    number = start + digits(rng, n-len(start)-1)
    return next(number+d for d in "0123456789" if is_luhn(number+d))

def card(rng):
    "A card of one of five networks, in one piece or in its groups."
    start, n = rng.choice([("4", 16), (f"5{rng.randint(1, 5)}", 16), ("37", 15), ("6011", 16), ("62", 19)])
    number = with_luhn(start, n, rng)
    glue = rng.choice(["", " ", "-"])
    cuts = [0, 4, 10, 15] if n==15 else [0, 4, 8, 12, 16, n]
    return glue.join(filter(None, (number[a:b] for a,b in zip(cuts, cuts[1:]))))

def email(rng):
    user = rng.choice(["ann", "j.smith", "li.wei88", "first_last", "x+news"]) + digits(rng, rng.randint(0, 3))
    return f"{user}@{rng.choice(['example.com', 'mail.example.org', 'qq.com', '163.com', 'uni-mainz.de', 'bbc.co.uk'])}"

def phone_en(rng):
    a, b = str(rng.randint(200, 999)), str(rng.randint(200, 999))
    line = digits(rng, 4)
    return rng.choice([f"({a}) {b}-{line}", f"{a}-{b}-{line}", f"{a}.{b}.{line}", f"+1 {a} {b} {line}", f"+1-{a}-{b}-{line}",
                       f"+44 20 7946 {line}", f"020 7946 {line}", f"07700 900{line[:3]}", f"+49 30 {digits(rng, 7)}5"])

def phone_zh(rng):
    mobile = rng.choice(["138", "139", "150", "159", "176", "186", "188", "199"]) + digits(rng, 8)
    local = str(rng.randint(2, 8)) + digits(rng, 7)
    spaced = f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}"
    wide = "".join(chr(ord(c)+0xfee0) for c in mobile)
    return rng.choice([mobile, spaced, spaced.replace(" ", "-"), f"+86 {mobile}", f"+86-{mobile}", f"010-{local}",
                       f"（0{rng.randint(311, 999)}）{local[:7]}", f"021-{local}-{rng.randint(10, 999)}", f"400-{local[:3]}-{local[3:7]}", wide])

def id_number(rng):
    number = f"{rng.choice(['110101', '310104', '440305', '51010' + digits(rng, 1)])}{rng.randint(1950, 2010)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}{digits(rng, 3)}"
    return next(number+c for c in "0123456789X" if is_id_number(number+c))

def address(rng): return f"{rng.choice([81, 114, 202, 52])}.{rng.randint(100, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"

MAKERS = {"email": [("Write to {} today.", email), ("请发邮件到{}，谢谢。", email)],
          "phone": [("Call {} before noon.", phone_en), ("My number is {}.", phone_en), ("请拨打{}联系我们。", phone_zh), ("手机：{}。", phone_zh)],
          "card": [("The card {} was charged.", card), ("卡号{}，请核对。", card)],
          "id number": [("身份证号{}。", id_number)], "ip": [("The request came from {} again.", address)]}

def without_luhn(rng):
    number = "4" + digits(rng, 15)
    return number if not is_luhn(number) else without_luhn(rng)

HARD = [ # what looks like a finding and is none
    lambda r: f"It needs version {r.randint(1, 20)}.{r.randint(0, 30)}.{r.randint(0, 9)}.{r.randint(0, 9)} or later.",
    lambda r: f"See ISBN 978-7-302-{digits(r, 5)}-{digits(r, 1)} for more.", lambda r: f"ISBN 0-306-{digits(r, 5)}-{digits(r, 1)}.",
    lambda r: f"It was {r.randint(1900, 2030)}-{r.randint(1, 12):02}-{r.randint(1, 28):02} {r.randint(0, 23):02}:15:00.",
    lambda r: f"It costs ${r.randint(1, 999)},{digits(r, 3)},{digits(r, 3)}.{digits(r, 2)} now.", lambda r: f"总价{r.randint(10, 99)},{digits(r, 3)},{digits(r, 3)}元。",
    lambda r: f"Order {without_luhn(r)} was sent.", lambda r: f"订单号{without_luhn(r)}。", lambda r: f"The value is 0.{digits(r, 16)} here.",
    lambda r: "Use @app.route and a@b, or x@y.T, or q@k.transpose(0, 1).", lambda r: f"Clone git@github.com:ann/code{digits(r, 2)}.git now.",
    lambda r: f"In {r.randint(1900, 1999)}-{r.randint(2000, 2024)}, pages {digits(r, 3)}-{digits(r, 3)}.", lambda r: f"Sizes 256 512 {r.randint(1000, 9999)} were tried.",
    lambda r: f"The hash is a{digits(r, 11)}f and the port is 127.0.0.1:80{digits(r, 2)}.", lambda r: f"A timestamp of 17{digits(r, 11)} ms.",
    lambda r: f"身份证号11010519491231{digits(r, 3)}Z无效。", lambda r: f"第{r.randint(2000, 2024)}-{digits(r, 4)}号文件，共{digits(r, 6)}份。"]

def changed(words, rng, vocabulary):
    "`words` with 3 to 10 % of them replaced, and perhaps their sentences moved."
    words = list(words)
    for i in rng.sample(range(len(words)), max(1, round(rng.uniform(.03, .1)*len(words)))): words[i] = rng.choice(vocabulary)
    if rng.random()<1/3:
        cut = rng.randrange(len(words))
        words = words[cut:] + words[:cut]
    return words

class Corpus:
    "Documents of about 1,500 characters, made anew each time they are gone through; what was planted, by id."
    def __init__(self, mb, seed=0):
        self.n = int(mb*1e6/1500)
        self.seed = seed
        self.lines = sentences()
        self.words = " ".join(self.lines[:2000]).split()
        rng = random.Random(seed)
        self.source = {} # id of a near copy to that of its original, which may stand behind it
        for i in rng.sample(range(self.n), self.n//100): self.source[i] = rng.randrange(self.n)
        self.source = {i: j for i,j in self.source.items() if j not in self.source}
        self.private = {i: rng.choice(list(MAKERS)) for i in rng.sample(range(self.n), self.n//100)}
        self.private = {i: kind for i,kind in self.private.items() if i not in self.source}
        self.hard = set(rng.sample(range(self.n), self.n//50)) - set(self.source)

    def original(self, i):
        rng = random.Random(f"{self.seed} {i}")
        found, size = [], 0
        while size<1450:
            found.append(rng.choice(self.lines))
            size += len(found[-1])+1
        return found

    def document(self, i):
        "The text of document `i`, and the pieces of personal data in it."
        rng = random.Random(f"planted {self.seed} {i}")
        if i in self.source: return " ".join(changed(" ".join(self.original(self.source[i])).split(), rng, self.words)), []
        found, pieces = self.original(i), []
        if i in self.hard: found.insert(rng.randrange(len(found)), rng.choice(HARD)(rng))
        if i in self.private:
            frame, make = rng.choice(MAKERS[self.private[i]])
            piece = make(rng)
            pieces.append((self.private[i], piece))
            found.insert(rng.randrange(len(found)), frame.format(piece))
        return " ".join(found), pieces

    def __iter__(self):
        for i in range(self.n): yield i, self.document(i)[0]

def rates(found, right):
    "Precision and recall of the set `found`."
    both = len(found & right)
    return both/max(1, len(found)), both/max(1, len(right))

def peak():
    "The most memory that this process held, and the most that one of its workers did, MiB."
    return [resource.getrusage(who).ru_maxrss/1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]

def timed(name, work, mb):
    start = time.perf_counter()
    result = work()
    took = time.perf_counter()-start
    mine, theirs = peak()
    print(f"{name:28} {took:6.1f} s, {mb/took:5.1f} MB/s; peak {mine:,.0f} MiB here, {theirs:,.0f} MiB a worker", flush=True)
    return result, took

def digest(documents):
    "How many documents, and a fingerprint of all."
    total = hashlib.sha256()
    n = 0
    for row in documents:
        total.update(json.dumps(row).encode())
        n += 1
    return n, total.hexdigest()[:16]

def near(corpus, args, mb):
    "Clean, and say how well near copies were found: of documents alike, all but the first must go."
    cleaned = clean(corpus, args)
    (n, mark), took = timed(f"clean, {args.workers} worker{'s'*(args.workers>1)}", lambda: digest(cleaned), mb)
    alike = {}
    for copy,original in corpus.source.items(): alike.setdefault(original, [original]).append(copy)
    right = {i for group in alike.values() for i in sorted(group)[1:]}
    precision, recall = rates(set(cleaned.dropped["id"]), right)
    print(f"near copies: {len(right):,} planted; precision {precision:.4f}, recall {recall:.4f}", flush=True)
    return mark, cleaned.table

def private(corpus):
    "Precision and recall of personal data by kind; a piece counts if kind and characters are right."
    found, right = {}, {}
    for i in sorted(set(corpus.private) | corpus.hard):
        text, pieces = corpus.document(i)
        for kind,piece in pieces: right.setdefault(kind, set()).add((i, piece))
        for a,b,kind in personal_data(text): found.setdefault(kind, set()).add((i, text[a:b]))
    for kind in sorted(found.keys() | right.keys()):
        precision, recall = rates(found.get(kind, set()), right.get(kind, set()))
        print(f"{kind:10} {len(right.get(kind, [])):6,} planted; precision {precision:.4f}, recall {recall:.4f}")
        for which,some in dict(missed=right.get(kind, set())-found.get(kind, set()), wrong=found.get(kind, set())-right.get(kind, set())).items():
            if some: print(f"    {which}: {sorted(some)[:6]}")

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--same", action="store_true", help="clean once more with one worker, and compare")
    options = parser.parse_args()
    mb = 5 if options.quick else options.mb
    corpus = Corpus(mb)
    timed("making the text alone", lambda: digest(corpus), mb)
    mark, table = near(corpus, CleaningArguments(near=.5, personal="mask", workers=options.workers), mb)
    print(table.drop(columns="samples").to_string())
    private(corpus)
    if options.same or options.quick:
        again, other = near(corpus, CleaningArguments(near=.5, personal="mask"), mb)
        print("one worker finds the same:", again==mark and table.equals(other))
    described, _ = timed("describe", lambda: describe(corpus, workers=options.workers), mb)
    print(described.drop(columns="samples").to_string())

if __name__=="__main__": main()
