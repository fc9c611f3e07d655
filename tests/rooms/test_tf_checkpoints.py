"`plm_nb.tf_checkpoints`: a checkpoint that is written here byte by byte, in blocks and shards, and what is none."
import json, struct
import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForPreTraining
from plm_nb.files import InputError
from plm_nb.models import load
from plm_nb.tf_checkpoints import bert_weights, protobuf_fields, read_bert_checkpoint, tf_tensors
from plm_nb.tokenizer import load_tokenizer

SIZES = dict(vocab_size=12, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
             max_position_embeddings=16)
WORDS = "[PAD] [unused1] [UNK] [CLS] [SEP] [MASK] the cat ##s sat é mat".split()
MAGIC = 0xdb4775248b80fb57 # of a table of LevelDB

def varint(n):
    out = b""
    while n>127: out, n = out+bytes([n & 127 | 128]), n>>7
    return out+bytes([n])

def field(number, value):
    if isinstance(value, int): return varint(number<<3)+varint(value)
    return varint(number<<3 | 2)+varint(len(value))+value

def entry(array, begin, shard=0, kind=1):
    shape = b"".join(field(2, field(1, n)) for n in array.shape)
    return (field(1, kind)+field(2, shape)+(field(3, shard) if shard else b"")+(field(4, begin) if begin else b"")
            +field(5, array.nbytes)+varint(6<<3 | 5)+struct.pack("<I", 99)) # the checksum, which nobody reads

def block(entries, every=3):
    "Prefix-compressed, with a restart at every third entry"
    body, restarts, last = b"", [], b""
    for i,(name,value) in enumerate(entries):
        shared = 0
        if i%every==0: restarts.append(len(body))
        else:
            while shared<min(len(name), len(last)) and name[shared]==last[shared]: shared += 1
        body += varint(shared)+varint(len(name)-shared)+varint(len(value))+name[shared:]+value
        last = name
    return body+struct.pack(f"<{len(restarts)+1}I", *restarts, len(restarts))

def table(entries, per_block=5, compressed=0):
    entries = sorted(entries.items())
    out, places = b"", []
    for i in range(0, len(entries), per_block):
        body = block(entries[i:i+per_block])
        places.append((entries[min(i+per_block, len(entries))-1][0]+b"\xff", varint(len(out))+varint(len(body))))
        out += body+bytes([compressed])+b"\0"*4
    def put(body):
        nonlocal out
        place = varint(len(out))+varint(len(body))
        out += body+b"\0"*5
        return place
    footer = put(block([]) or b"")+put(block([(n.rstrip(b"\xff")+b"~", v) for n,v in places]))
    return out+footer.ljust(40, b"\0")+struct.pack("<Q", MAGIC)

def tf_name(name):
    "The name of a weight in Google's release"
    named = {"cls.predictions.bias": "cls/predictions/output_bias", "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
             "cls.seq_relationship.bias": "cls/seq_relationship/output_bias"}
    if name in named: return named[name]
    name = name.replace(".", "/").replace("layer/", "layer_").replace("_embeddings/weight", "_embeddings")
    name = name.replace("LayerNorm/weight", "LayerNorm/gamma").replace("LayerNorm/bias", "LayerNorm/beta")
    return name.replace("/weight", "/kernel")

def arrays_of(model):
    for name,weight in model.state_dict().items():
        if ".decoder." in name: continue
        called = tf_name(name)
        yield called, np.ascontiguousarray((weight.T if called.endswith("kernel") else weight).numpy())

def write(folder, arrays, shards=1, words=WORDS, **options):
    folder.mkdir(exist_ok=True)
    data, entries = [b""]*shards, {b"": field(1, shards)}
    for i,(name,array) in enumerate(arrays):
        shard = i%shards
        kind = {"float32": 1, "int64": 9}[str(array.dtype)]
        entries[name.encode()] = entry(array, len(data[shard]), shard, kind)
        data[shard] += array.tobytes()
    for i,part in enumerate(data): (folder/f"bert_model.ckpt.data-{i:05}-of-{shards:05}").write_bytes(part)
    (folder/"bert_model.ckpt.index").write_bytes(table(entries, **options))
    (folder/"bert_config.json").write_text(json.dumps(SIZES))
    (folder/"vocab.txt").write_text("\n".join(words)+"\n", encoding="utf-8")
    return folder

@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(1)
    return BertForPreTraining(BertConfig(**SIZES))

@pytest.mark.parametrize("shards,per_block", [(1, 5), (3, 1), (2, 100)])
def test_bert_comes_back_bit_for_bit(tmp_path, bert, shards, per_block):
    "Whatever the number of files and blocks, with the optimizer's averages and the step beside the weights"
    arrays = dict(arrays_of(bert))
    for name in list(arrays): arrays |= {f"{name}/adam_m": np.zeros_like(arrays[name]), f"{name}/adam_v": np.ones_like(arrays[name])}
    arrays["global_step"] = np.array(7)
    google = write(tmp_path/"google", arrays.items(), shards, per_block=per_block)
    found = tf_tensors(google/"bert_model.ckpt")
    assert found.keys()==arrays.keys() and found["global_step"]==7
    assert all(np.array_equal(found[name], array) for name,array in arrays.items())
    model = read_bert_checkpoint(google, tmp_path/"out")
    for task in ("pretraining", "fill-mask", None):
        opened = load(tmp_path/"out", task)
        own = model if task=="pretraining" else model.bert if task is None else None
        weights = (own or opened).state_dict()
        assert all(torch.equal(weight, weights[name]) for name,weight in opened.state_dict().items())
    assert all(torch.equal(weight, model.state_dict()[name]) for name,weight in bert.state_dict().items())
    assert json.loads((tmp_path/"out"/"config.json").read_text())["architectures"]==["BertForPreTraining"]

def test_the_vocabulary_says_whether_capitals_are_made_small(tmp_path, bert):
    for words,text,ids in ((WORDS, "The CATS", [3, 6, 7, 8, 4]), ([*WORDS[:-1], "Mat"], "The cats Mat", [3, 2, 7, 8, 11, 4])):
        read_bert_checkpoint(write(tmp_path/words[-1], arrays_of(bert), words=words), tmp_path/f"{words[-1]}.out")
        assert load_tokenizer(tmp_path/f"{words[-1]}.out")(text).input_ids==ids
    read_bert_checkpoint(tmp_path/"mat", tmp_path/"told", lowercase=False)
    assert load_tokenizer(tmp_path/"told")("The cats").input_ids==[3, 2, 7, 8, 4]

def refused(match, *args, **kwargs):
    with pytest.raises(InputError, match=match) as error: read_bert_checkpoint(*args, **kwargs)
    assert "\n" not in str(error.value)

def test_what_is_no_such_checkpoint(tmp_path, bert):
    "One line, and nothing is written"
    out = tmp_path/"out"
    refused("bert_model.ckpt.index: no such file", tmp_path/"nowhere", out)
    google = write(tmp_path/"google", arrays_of(bert))
    refused("7 tokens, the model has 12", write(tmp_path/"short", arrays_of(bert), words=WORDS[:7]), out)
    refused(r"no \[MASK\]", write(tmp_path/"maskless", arrays_of(bert), words=[w for w in WORDS if w!="[MASK]"]), out)
    headless = {n: a for n,a in arrays_of(bert) if not n.startswith("cls")}
    refused("the shape of cls.* is none", write(tmp_path/"headless", headless.items()), out)
    more = dict(arrays_of(bert)) | {"bert/encoder/layer_2/output/dense/bias": np.zeros(32, "f4")}
    refused("asks for none", write(tmp_path/"more", more.items()), out)
    garden = {f"model/layer-{i}/.ATTRIBUTES/VARIABLE_VALUE": a for i,(_,a) in enumerate(arrays_of(bert))}
    refused("TF Model Garden", write(tmp_path/"garden", garden.items()), out)
    refused("no index of a TensorFlow checkpoint", write(tmp_path/"snappy", arrays_of(bert), compressed=1), out)
    index = google/"bert_model.ckpt.index"
    whole = index.read_bytes()
    for damaged in (b"", whole[:-1], whole[100:], b"\xff"*200+whole[-48:], b"PK\x03\x04 a zip, perhaps a pickle"):
        index.write_bytes(damaged)
        refused("no index of a TensorFlow checkpoint", google, out)
    index.write_bytes(whole)
    data = google/"bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    refused("no index of a TensorFlow checkpoint, or not whole", google, out)
    data.unlink()
    refused("data-00000-of-00001: no such file", google, out)
    assert not out.exists()

def test_only_berts_weights_are_taken():
    arrays = {"bert/pooler/dense/kernel": np.arange(6, dtype="f8").reshape(2, 3), "bert/pooler/dense/kernel/lamb_m": np.zeros(1),
              "bert/pooler/dense/kernel/Adam_1": np.zeros(1), "global_step": np.array(3), "output_weights": np.zeros(1)}
    found = bert_weights(arrays)
    assert list(found)==["bert.pooler.dense.weight"] and found["bert.pooler.dense.weight"].dtype==torch.float32
    assert found["bert.pooler.dense.weight"].tolist()==[[0, 3], [1, 4], [2, 5]]

def test_fields_of_a_message():
    data = field(1, 2**40+5)+field(20, b"cat")+varint(3<<3 | 5)+b"abcd"+varint(4<<3 | 1)+b"12345678"+field(1, 0)
    assert list(protobuf_fields(data))==[(1, 2**40+5), (20, b"cat"), (3, b"abcd"), (4, b"12345678"), (1, 0)]
