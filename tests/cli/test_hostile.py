#!/usr/bin/env python3
"""Files made to break the programs: each ends as one clean sentence that names file and place, exit code 1, nothing
written, in bounded memory; and what is odd but allowed (NUL in a text, control characters in names) is kept, counted,
and reaches neither terminal nor page as it is. What HDF5 files can declare: unit.h5_set.

All of it is made here; the largest file has 100 MB and is removed again."""
import json
import os
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")).resolve()
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"
DEEP = "[" * 1_000_000
MOST_MEMORY = 2_000_000  # KiB, of any program, a sanitizer's share included

# What must not reach a terminal: control characters but the line end, and marks that turn the writing direction.
UNCLEAN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def run(*words, code=0):
    """(stdout, stderr) of a command, which must exit with `code` and print nothing unclean."""
    words = [os.fsencode(str(w)) for w in words]
    done = subprocess.run([BIN / os.fsdecode(words[0]), *words[1:]], capture_output=True, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()  # not UTF-8 would be a failure too
    assert done.returncode == code, (words, done.returncode, out[:500], err[:500])
    assert not UNCLEAN.search(out + err), (words, ascii(out[:2000]), ascii(err[:2000]))
    return out, err


def collect_words(model, corpus, out, *words):
    return ("gm-probe", "collect", "--model", model, "--corpus", corpus, "-o", out, "--min-tokens", "4", "--doc-tokens",
            "100", "--quiet", *words)


def refused(words, *parts):
    """The command fails with one sentence that has all the parts, and leaves no output."""
    out, err = run(*words, code=1)
    assert out == "" and err.count("\n") == 1, (words, out, err)
    assert err.startswith(f"{words[0]} {words[1]}: "), (words, err)
    for part in parts:
        assert part in err, (part, err)
    left = [name for name in os.listdir(".") if name.startswith("never")]
    assert not left, left


def copy_model(name):
    shutil.rmtree(name, ignore_errors=True)
    os.mkdir(name)
    for path in MODEL.iterdir():
        if not path.name.startswith("golden"):
            shutil.copyfile(path, os.path.join(name, path.name))
    return pathlib.Path(name)


def read_shard(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_shard(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_lines(path, *documents):
    with open(path, "w", encoding="utf-8") as corpus:
        for document in documents:
            corpus.write((document if isinstance(document, str) else json.dumps(document)) + "\n")


# ---- what is refused ----


def check_nesting():
    """A million open brackets, wherever JSON is read."""
    for name in "config.json", "generation_config.json", "tokenizer.json", "model.safetensors.index.json":
        model = copy_model("m")
        (model / name).write_text(DEEP)
        refused(collect_words("m", "good.jsonl", "never.h5"), f"'m/{name}': byte 512: nested more than 512 levels deep")
    model = copy_model("m")
    write_shard(model / "model-00002-of-00003.safetensors", b'{"a":' + DEEP.encode(), b"")
    refused(collect_words("m", "good.jsonl", "never.h5"), "'m/model-00002-of-00003.safetensors': byte", "512 levels deep")
    write_shard(pathlib.Path("deep.plan"), b'{"bias":' + DEEP.encode(), b"")
    refused(("gm-steer", "plan", "deep.plan"), "'deep.plan': byte 519: nested more than 512 levels deep")
    write_lines("deep.txt", "a prompt", '{"prompt":' + DEEP)
    refused(("gm-steer", "generate", "--model", MODEL, "--prompts", "deep.txt"), "'deep.txt:2': byte 521: nested")
    write_lines("deep.jsonl", {"text": "the first line is fine"}, '{"text":' + DEEP, {"text": "the last line is fine"})
    refused(collect_words(MODEL, "deep.jsonl", "never.h5", "--strict"), "'deep.jsonl', line 2: not JSON: byte 519: nest")
    result = json.loads(run(*collect_words(MODEL, "deep.jsonl", "deep.h5", "--force", "--json"))[0])
    assert result["documents"] == 2
    assert "not_json           1" in run("gm-probe", "info", "deep.h5")[0]


def check_tensors():
    model = copy_model("m")
    path = model / "model-00002-of-00003.safetensors"
    header, data = read_shard(path)
    first, second = [name for name in header if ".experts." in name and "up_proj" in name][:2]
    twice = {**header, second: {**header[second], "data_offsets": header[first]["data_offsets"]}}
    write_shard(path, twice, data)
    refused(collect_words("m", "good.jsonl", "never.h5"), f"'m/{path.name}': tensors '", "overlap")
    named = {("a\x1b[31m\nb" if name == first else name): value for name, value in header.items()}
    write_shard(path, named, data)
    refused(collect_words("m", "good.jsonl", "never.h5"), f"shard 'm/{path.name}' has no tensor '{first}'")
    named["a\x1b[31m\nb"] = {"dtype": "F9", "shape": [1], "data_offsets": [0, 1]}
    write_shard(path, named, data)
    refused(collect_words("m", "good.jsonl", "never.h5"), "tensor 'a\\x1b[31m\\nb' has dtype 'F9', expected")


def check_config():
    for key, value, says in (
        ("num_experts_per_tok", 13, "'num_experts_per_tok' is 13, expected at most the 12 experts"),
        ("n_routed_experts", 65536, "'n_routed_experts' is 65536, expected an integer from 1 to 65535"),
        ("n_routed_experts", 16384, "gate.weight' is 12 x 40, expected 16384 x 40"),
        ("num_hidden_layers", 1024, "'m': the checkpoint has no tensor 'model.layers.4."),
        ("vocab_size", 1 << 28, "embed_tokens.weight' is 317 x 40, expected 268435456 x 40"),
        ("hidden_act", "\x1b]0;title\x07", "'hidden_act' is '\\x1b]0;title\\x07'"),
    ):
        model = copy_model("m")
        config = json.loads((model / "config.json").read_text())
        config[key] = value
        (model / "config.json").write_text(json.dumps(config))
        refused(collect_words("m", "good.jsonl", "never.h5"), "'m", says)


def check_long_line():
    """Longer than the 64 MiB that are allowed: counted, named, passed over."""
    with open("long.jsonl", "w", encoding="utf-8") as corpus:
        corpus.write('{"text": "the line before it"}\n{"text": "' + "ab " * 33_400_000 + '"}\n')
        corpus.write('{"text": "the line after it"}\n')
    assert os.path.getsize("long.jsonl") > 100_000_000
    strict = collect_words(MODEL, "long.jsonl", "never.h5", "--strict")
    refused(strict, "'long.jsonl', line 2: longer than 67108864 bytes")
    out, err = run("gm-probe", "tokenize", "--model", MODEL, "long.jsonl")
    assert [line[:1] for line in out.splitlines()] == ["[", "n", "["] and "long.jsonl:2: longer than 67108864" in err
    run(*collect_words(MODEL, "long.jsonl", "long.h5", "--force"))
    os.remove("long.jsonl")
    shown = run("gm-probe", "info", "long.h5")[0]
    assert "too_long           1" in shown and re.search("documents +2\n", shown), shown


# ---- what is odd and works ----


def many_experts(name, n_experts):
    """A model of one MoE layer with that many experts of width 2."""
    width = 8
    model = copy_model(name)
    for path in list(model.glob("model*")):
        path.unlink()
    config = json.loads((model / "config.json").read_text())
    config.update(n_routed_experts=n_experts, hidden_size=width, moe_intermediate_size=2, intermediate_size=2,
                  num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=4,
                  first_k_dense_replace=1, n_shared_experts=1)
    (model / "config.json").write_text(json.dumps(config))
    header, values, draw = {}, bytearray(), random.Random(1)

    def put(tensor, rows, cols):
        shape = [rows, cols] if rows else [cols]
        begin, n = len(values), max(rows, 1) * cols
        bits = (0x3E00 | draw.getrandbits(8) | draw.getrandbits(1) << 15 for _ in range(n))
        values.extend(b"".join(struct.pack("<H", b) for b in bits))
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, len(values)]}

    def put_mlp(prefix):
        for kind, rows, cols in ("gate", 2, width), ("up", 2, width), ("down", width, 2):
            put(f"{prefix}.{kind}_proj.weight", rows, cols)

    for tensor in "model.embed_tokens.weight", "lm_head.weight":
        put(tensor, config["vocab_size"], width)
    put("model.norm.weight", 0, width)
    for layer in range(2):
        prefix = f"model.layers.{layer}"
        put(f"{prefix}.input_layernorm.weight", 0, width)
        put(f"{prefix}.post_attention_layernorm.weight", 0, width)
        for kind in "qkvo":
            put(f"{prefix}.self_attn.{kind}_proj.weight", width, width)
    put_mlp("model.layers.0.mlp")
    put("model.layers.1.mlp.gate.weight", n_experts, width)
    put_mlp("model.layers.1.mlp.shared_experts")
    for expert in range(n_experts):
        put_mlp(f"model.layers.1.mlp.experts.{expert}")
    write_shard(model / "model.safetensors", header, bytes(values))


def check_many_experts():
    many_experts("many", 16384)
    result = json.loads(run(*collect_words("many", "good.jsonl", "many.h5", "--limit", "2", "--force", "--json"))[0])
    assert result["documents"] == 2 and result["passed"] is True, result
    shutil.rmtree("many")


def check_nul_and_names():
    """NUL in texts and subsets, control characters in the names of corpus, subset and model."""
    model, corpus = "mo\x1b[7mdel\n<b>", "na\x1b[31mme\n<i>.jsonl"
    subset = {"soup": "so\x1b[31mup\n<b>", "ships": 'ships"&\u202e', "stars": "st\x00ars"}
    word = {"soup": "onion broth simmer carrot pepper", "ships": "harbour anchor captain rigging tide",
            "stars": "orbit comet telescope nebula planet"}
    copy_model(model)
    documents, draw = [], random.Random(2)
    for i in range(60):
        topic = list(subset)[i % 3]
        some = word[topic].split()
        text = "\x00the\x00 " + " ".join(draw.choice(some) for _ in range(30)) + "\x00"
        documents.append({"text": text, "meta": {"pile_set_name": subset[topic]}})
    write_lines(corpus, *documents)
    ids = [json.loads(line) for line in run("gm-probe", "tokenize", "--model", model, corpus)[0].splitlines()]
    refused(collect_words("mo\x1bdel", corpus, "never.h5"), "mo\\x1bdel")
    refused(collect_words(model, "na\x1bme.jsonl", "never.h5"), "'na\\x1bme.jsonl'")
    write_lines("bad\x9b\n.jsonl", "{")
    strict = collect_words(model, "bad\x9b\n.jsonl", "never.h5", "--strict")
    refused(strict, "'bad\\u{9b}\\n.jsonl', line 1: not JSON")
    write_lines("cut.jsonl", *({"text": d["text"].replace("\x00", "")} for d in documents))
    cut = [json.loads(line) for line in run("gm-probe", "tokenize", "--model", model, "cut.jsonl")[0].splitlines()]
    nul = ids[0][1]  # after the first token, which the template adds
    assert all(line.count(nul) == 3 and [i for i in line if i != nul] != [] and line[-1] == nul for line in ids)
    assert all(nul not in line for line in cut) and len(cut) == len(ids) == 60

    words = ("gm-probe", "collect", "--model", model, "--corpus", corpus, "-o", "nul.h5", "--min-tokens", "4", "--force",
             "--quiet", "--json")
    result = json.loads(run(*words)[0])
    assert result["documents"] == 60 and result["tokens"] == sum(len(line) - 1 for line in ids), result
    shown = run("gm-probe", "info", "nul.h5")[0]
    assert "na\\x1b[31mme\\n<i>.jsonl" in shown and "mo\\x1b[7mdel\\n<b>" in shown, shown
    run("gm-probe", "verify", "nul.h5")
    run("gm-cluster", "fit", "nul.h5", "-o", "nul.a.h5", "--min-cluster-size", "5", "--report", "nul.html", "--force",
        "--quiet")
    table = run("gm-cluster", "show", "nul.a.h5")[0]
    assert "onion" in table and "telescope" in table, table  # words after a NUL
    details = "".join(run("gm-cluster", "show", "nul.a.h5", "--cluster", c)[0] for c in range(table.count(" | ") - 1))
    for name in "so\\x1b[31mup\\n<b>", 'ships"&\\u{202e}', "st\\x00ars", "na\\x1b[31mme\\n<i>.jsonl:1":
        assert name in details, (name, details)
    page = pathlib.Path("nul.html").read_text(encoding="utf-8")
    assert not UNCLEAN.search(page.replace("\t", " ")) and "<i>" not in page, "the page holds a name as it is"
    assert "so\\x1b[31mup" in page and "&lt;b&gt;" in page and "onion" in page

    part = "20 of 60 documents, those of the subset 'so\\x1b[31mup\\n<b>'."
    for words in (("fit", "nul.h5", "--subset", subset["soup"], "-o", "part.a.h5", "--force", "--quiet"),
                  ("show", "part.a.h5"), ("compare", "nul.a.h5", "part.a.h5")):
        assert part in run("gm-cluster", *words)[0], words


def check_plan():
    """Labels in a plan are somebody else's too: here a C1 control character, which JSON lets stand in a string."""
    notes = {"format": "gm-plan", "schema": "1", "mode": "bias", "mass_matched": "false", "layer_of_moe": "[1]",
             "first_layer": "1", "last_layer": "1", "phases": "prompt", "model_digest": "",
             "source": '{"atlas":"\x9b2J\u202e"}'}
    tensor = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
    write_shard(pathlib.Path("odd.plan"), {"__metadata__": notes, "bias": tensor}, bytes(8))
    assert 'source {"atlas":"\\u{9b}2J\\u{202e}"}' in run("gm-steer", "plan", "odd.plan")[0]
    run("gm-steer", "plan", "--model", MODEL, "--expert", "1:0=1", "-o", "deep.plan.safetensors",
        "--force")
    header, bias = read_shard(pathlib.Path("deep.plan.safetensors"))
    header["__metadata__"]["source"] = '{"atlas": {"\x9b2J": 1}}'
    write_shard(pathlib.Path("deep.plan.safetensors"), header, bias)
    write_lines("deep.jsonl", {"text": "soup and ships and stars"})
    run(*collect_words(MODEL, "deep.jsonl", "deep.h5", "--plan", "deep.plan.safetensors", "--force"))
    assert re.search(r"atlas +\\u\{9b\}2J 1\n", run("gm-probe", "info", "deep.h5")[0])


def main():
    write_lines("good.jsonl", *({"text": f"the road {i} and the river and the hill"} for i in range(3)))
    check_nesting()
    check_tensors()
    check_config()
    check_long_line()
    check_many_experts()
    check_nul_and_names()
    check_plan()
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert most < MOST_MEMORY, f"a program took {most} KiB"
    print(f"nesting, tensors, config, long line, experts, NUL and names: as stated; at most {most >> 10} MiB")


if __name__ == "__main__":
    main()
