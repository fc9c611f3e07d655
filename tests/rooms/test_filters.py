"What a document holds is found in any script, and what only looks like it is not."
import random, sys, time
import pytest
from plm_nb.files import InputError
from plm_nb.filters import (LIMITS, NearCopies, broken_rules, damaged, is_id_number, is_luhn, jaccard, language, main_script, mask,
                            minhashes, normalize_unicode, personal_data, quality, scripts, words_of)

CHINESE = """猫坐在垫子上，望着窗外，等着雨停下来。它想出去散步，可是雨一直没有停。
后来太阳出来了，院子里飞来一只小鸟。猫慢慢走到门口，看了它很久，然后又回到垫子上睡着了。"""
GERMAN = "Die Katze saß auf der Matte und schaute aus dem Fenster. Draußen regnete es seit Stunden. Niemand kam vorbei."

# Characters

@pytest.mark.parametrize("dirty, name, clean", [
    ("\ufeffa", "byte-order mark", "a"), ("a\ufeffb", "byte-order mark", "ab"), ("a\x00b", "control character", "ab"),
    ("a\x1b[0m", "control character", "a[0m"), ("a\x7f\x81", "control character", "a"), ("a\r\nb", "line end", "a\nb"),
    ("a\rb", "line end", "a\nb"), ("a\u2028b\u2029c", "line end", "a\nb\nc"), ("a\x85b", "line end", "a\nb"), ("a\x0cb", "line end", "a\nb"),
    ("e\u0301", "not NFC", "\u00e9"), ("a\ud83d", "half of a character", "a\ufffd"), ("\ud83d\ude00", "half of a character", "\U0001f600")])
def test_mended(dirty, name, clean): assert normalize_unicode(dirty)[0]==clean and [*normalize_unicode(dirty)[1]]==[name]

@pytest.mark.parametrize("text", ["a\tb\n\nc", "\U0001f469\u200d\U0001f680", "co\u00adop", "ＡＢＣ１２３", "می\u200cخواهم", CHINESE, GERMAN, ""])
def test_what_has_a_meaning_stays(text): assert normalize_unicode(text)==(text, {})

@pytest.mark.parametrize("seed", range(20))
def test_mended_once(seed):
    "A second pass finds nothing, whatever stands in the text, and UTF-8 can write the first."
    rng = random.Random(seed)
    signs = [chr(rng.randrange(0x110000)) for _ in range(200)] + list("\r\n\ufeff\x00\u0301e\ud83d\ude00\u2028a가ᄀ")*10
    text = "".join(rng.choices(signs, k=500))
    mended, changed = normalize_unicode(text)
    assert changed and normalize_unicode(mended)==(mended, {}) and mended.encode().decode()==mended

def test_damage():
    "Mojibake of three kinds is seen, and none in texts that are whole."
    whole = ["naïve “café”", "MENÜ» und «École»", "São Paulo, AÇÃO", CHINESE, GERMAN, "Пётр", "Ünïcödé"]
    assert not any(map(damaged, whole))
    for text in whole[:1]+["Äpfel und Öl", "Пётр Ильич", "猫坐"]: assert damaged(text.encode().decode("cp1252", "replace"))>.1, text
    assert damaged("锟斤拷锟斤拷")>.6 and damaged("a\ufffd")==.5 and damaged("")==0

# Scripts and languages

@pytest.mark.parametrize("text, script", [
    ("The cat.", "Latin"), (GERMAN, "Latin"), (CHINESE, "Han"), ("Кошка", "Cyrillic"), ("東京タワーです", "Kana"), ("고양이", "Hangul"), ("γάτα", "Greek"),
    ("قطة", "Arabic"), ("बिल्ली", "Devanagari"), ("แมวนั่ง", "Thai"), ("３．１４", "none"), ("", "none"), ("模块 :mod:`quopri`", "Han"),
    ("当前仅支持以下控制码： ``SIO_RCVALL``、``SIO_KEEPALIVE_VALS`` 和 ``SIO_LOOPBACK_FAST_PATH``。", "Han"), ("the word 猫 means a cat", "Latin")])
def test_script(text, script): assert main_script(text)==script

def test_words():
    assert words_of(CHINESE)[:3]==["猫", "坐", "在"] and len(words_of(GERMAN))==len(GERMAN.split())
    assert scripts("Ab cd 猫狗")==dict(Latin=2, Han=2)

def test_language():
    "English, German, Russian and Chinese are told apart, and a text too short to tell has none."
    pytest.importorskip("py3langid", reason="py3langid is not installed")
    for text,name in [(GERMAN, "de"), (CHINESE, "zh"), ("The cat sat on the mat, looked out of the window and waited for the rain.", "en"),
                      ("Кошка сидела на коврике, смотрела в окно и ждала, когда закончится дождь.", "ru")]: assert language(text)==name
    assert language("Ja.")==language("123")==language("")=="und"

def test_language_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(InputError, match="pip install"): language(GERMAN)

# Quality

@pytest.mark.parametrize("text, rule", [
    ("too short", "gopher: words"), ("a b c d e f "*20, "gopher: word_length"), ("1 2 3 4 5, 6 7 8, 9 "*20, "gopher: letters"),
    ("# heading and text "*30, "gopher: symbols"), ("- one line of it\n"*60, "gopher: bullets"), ("read more about it ...\n"*30, "gopher: ellipses"),
    ("the same line\n"*40, "gopher: repeated_lines"), ("the same long line again\n"*40, "gopher: repeated_characters"), ("alpha beta "*60, "gopher: top_2gram"),
    ("alpha beta gamma "*60, "gopher: top_3gram"), ("alpha beta gamma delta "*60, "gopher: top_4gram"), ("One. Two", "c4: sentences"),
    ("if (x) { y }", "c4: braces"), ("Lorem ipsum dolor", "c4: lorem_ipsum"), ("\ufffd"*3+"abc", "damaged: damaged")])
def test_each_rule(text, rule): assert rule in broken_rules(text, "gopher,c4,damaged")

def test_good_text_obeys():
    "A text in Chinese, Japanese or German breaks no rule, but for its length."
    japanese = "猫は窓の外を見ていました。雨が止むのを待っています。やがて日が出て、庭に小鳥が一羽やって来ました。"*2
    for text in (CHINESE, japanese): assert broken_rules(text, "gopher,c4,damaged")==[]
    assert broken_rules(GERMAN)==["gopher: words"]
    assert {name for limits in LIMITS.values() for name in limits} == {*quality(CHINESE)}

# Personal data

POSITIVE = {
    "email": "a@b.co ann.oneil@example.co.uk USER@EXAMPLE.COM wang_wei@sina.com.cn first.last+tag@sub.domain.org 12345678@qq.com zhang＠163.com".split(),
    "phone": ["13812345678", "138 1234 5678", "138-1234-5678", "+8613812345678", "+86 138 1234 5678", "86-13812345678", "(+86)13812345678",
              "0086 13812345678", "0571-87654321", "(010) 65529988", "010 6552 9988", "+86 10 6552 9988", "+86-21-65529988", "400-820-8820",
              "021-65529988转8012", "１３９１２３４５６７８", "0571—87654321", "(212) 555-0123", "(212)555-0123", "212-555-0123", "212.555.0123",
              "1-800-555-0199", "+1 212 555 0123", "+1 (212) 555-0123", "+12125550123", "+44 20 7946 0958", "+44 (0)20 7946 0958", "020 7946 0958",
              "07700 900123", "+49 30 901820", "+33 1 23 45 67 89", "01 23 45 67 89", "(555) 123-4567 ext. 89", "001-555-123-4567x123"],
    "card": ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005", "6011111111111117",
             "5555555555554444", "30569309025904", "3530111333300000", "6222021234567890128", "6222 0212 3456 7890 128"],
    "id number": ["11010519491231002X", "11010519491231002x", "440524188001010014"], "ip": ["203.0.113.5", "114.114.114.114"]}
FRAMES = ["Contact {} now.", "Contact: {}", "请联系{}谢谢", "（{}）", "{}", "at {}, or", "“{}”", "a\n{}\nb", "<{}>", "{}；其他"]

@pytest.mark.parametrize("kind", POSITIVE)
@pytest.mark.parametrize("frame", FRAMES)
def test_found(kind, frame):
    "Each form is found whole and as what it is, whatever stands around it."
    for piece in POSITIVE[kind]:
        text = frame.format(piece)
        assert [(text[a:b], name) for a,b,name in personal_data(text)]==[(piece, kind)], text

NEGATIVE = """version 2.14.0.1|v1.2.3.4|numpy 1.26.4|Chrome/91.0.4472.124|10.0.19041.1|ISBN 978-3-16-148410-0|ISBN 0-306-40615-2|ISBN: 9787302123456
ISBN 7-302-02368-9|978-7-111-12345-6|ISSN 0317-8471|2024-01-15|15.01.2024|01/15/2024|2024年1月15日|20240115|2024-01-15T10:20:30.123456|$1,234,567.89
¥13800000000|13800000000元|€ 1.234.567,89|1234567890|12345678901234567890|4111111111111112|4111 1111 1111 1112|1699999999|1699999999123
3.141592653589793|0.4111111111111111|1e10|a@b|@decorator|@app.route("/x")|x@W.T|q@k.transpose(-2, -1)|A@B.T@C|user@localhost
git@github.com:org/repo.git|foo@1.2.3|npm i left-pad@1.3.0|actions/checkout@v4.2.1|image@2x.png|@user.name|192.168.1.1|127.0.0.1|0.0.0.0
255.255.255.0|192.0.2.0/24|1.1.1.1|256.512.768.1024|10 000 000|1 234 567 890|512 256 1024|100-200-300|1999-2004|pp. 123-145|10.1145/3292500.3330701
arXiv:2112.11446|#13812345678|0x1381234567|id=13812345678|https://x.com/status/13812345678901|555-0123|24/7/365|00:1A:2B:3C:4D:5E
2001:0db8:85a3::8a2e|550e8400-e29b-41d4-a716-446655440000|1138123456789|110105194912310021|11010519491331002X|第1234-5678号|京ICP备12345678号
(2019) 123-4567|12,345,678,901|QQ群|1381234567|x@y.shape|self.w@self.v.mean()|m@m.dtype|a@b.c|2147483648|18446744073709551615|6.02214076e23
1920x1080|0123456789abcdef|+1.5|+100000|x+12345678|0110 1001 0110|0010 0000 0000|00 01 02 03 04 05|01 02 03 04 05 06"""

@pytest.mark.parametrize("text", NEGATIVE.replace("\n", "|").split("|"))
def test_not_found(text):
    for frame in ("see {} here.", "{}", "见{}。"): assert personal_data(frame.format(text))==[]

def test_bare_digits_are_announced():
    assert mask("Tel. 5551234567, 电话：87654321")[0]=="Tel. [phone], 电话：[phone]"
    assert mask("5551234567 87654321")[0]=="5551234567 87654321"

@pytest.mark.parametrize("holds, number, last", [(is_luhn, "411111111111111", "0123456789"), (is_id_number, "11010519491231002", "0123456789X")])
def test_one_checksum_holds(holds, number, last): assert sum(holds(number+sign) for sign in last)==1

def test_a_word_that_ends_in_v(): assert mask("Nov 13812345678")[0]=="Nov [phone]" and mask("v 1.2.3.100")[0]=="v 1.2.3.100"

def test_many_in_one_document():
    "A list of a hundred thousand addresses takes seconds: the time grows with the text, not with its square."
    text = "\n".join(f"p{i}@example.com 138{i:08}" for i in range(50_000))
    start = time.perf_counter()
    assert mask(text)[1]==dict(email=50_000, phone=50_000)
    assert time.perf_counter()-start<20

def test_masked_once():
    "A masked text has nothing left to mask, and what was not personal stands as it stood."
    pieces = [piece for some in POSITIVE.values() for piece in some]
    text = "。\n".join(f"行 {i}: {piece} end" for i,piece in enumerate(pieces))
    masked, found = mask(text)
    assert found=={kind: len(some) for kind,some in POSITIVE.items()} and mask(masked)==(masked, {})
    assert masked.count(" end")==len(pieces)

# Near copies

def changed(text, share, rng):
    words = text.split() if " " in text else list(text)
    for i in rng.sample(range(len(words)), round(share*len(words))): words[i] = rng.choice(words)
    return (" " if " " in text else "").join(words)

@pytest.mark.parametrize("glue", [" ", ""], ids=["words", "Han"])
@pytest.mark.parametrize("seed", range(5))
def test_near(glue, seed):
    "A copy with a tenth of its words changed, or its halves exchanged, is found; other text of the same words is not."
    pytest.importorskip("rensa", reason="rensa is not installed")
    rng = random.Random(seed)
    words = [f"w{i}" if glue else chr(0x4e00+i) for i in range(2000)]
    texts = [glue.join(rng.choices(words, k=300)) for _ in range(60)]
    index = NearCopies(.5)
    for one in minhashes(texts): index.add(one)
    near = [changed(text, .08, rng) for text in texts] + [text[len(text)//2:]+glue+text[:len(text)//2] for text in texts]
    hits = [index.nearest(one)==i%60 for i,one in enumerate(minhashes(near))]
    other = [glue.join(rng.choices(words, k=300)) for _ in range(60)]
    assert sum(hits)>=.95*len(hits) and {index.nearest(one) for one in minhashes(other)}=={None}

def test_jaccard(): assert jaccard("", "")==1 and jaccard("a b", "a c")==0 and jaccard("a b c d e", "a b c d f")==.5
