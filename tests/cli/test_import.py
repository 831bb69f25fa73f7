#!/usr/bin/env python3
"""gm-probe import: a trace that was exported comes back to the last bit; one made by hand holds what was written. Skips (77) without h5py."""
import gzip
import json
import os
import pathlib
import random
import subprocess
import sys

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROBE = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")) / "gm-probe"
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"
MODEL_LAYERS, EXPERTS = "1-3", 12  # its layer 0 is dense
if not PROBE.exists():
    print("skipped: no gm-probe")
    sys.exit(77)


def run(*arguments, code=0):
    done = subprocess.run([PROBE, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr


def datasets(path):
    found = {}
    with h5py.File(path) as trace:
        trace.visititems(lambda name, item: found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


def check_same(a, b, *, without=()):
    """All datasets are the same but `without`, which only the first has."""
    a, b = datasets(a), datasets(b)
    assert a.keys() - b.keys() == set(without) and not b.keys() - a.keys(), (a.keys() ^ b.keys(), without)
    for name in b:
        same = a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f")
        assert same, (name, a[name], b[name])


def write(path, records):
    with (gzip.open if path.endswith(".gz") else open)(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def imported(path, out, *options):
    """Import, and check the trace by its own self-checks."""
    said = run("import", path, "-o", out, "--force", "--quiet", *options)
    run("verify", out)
    run("stats", out)
    assert not pathlib.Path(f"{out}.parts").exists()
    return said


def check_round_trip():
    with open("c.jsonl", "w", encoding="utf-8") as corpus:
        for i in range(40):
            text = " ".join(random.Random(i).choices("soup broth «stars» gale \U0001f344 deck".split(), k=20 + i))
            record = {"text": text, "meta": {"pile_set_name": f"kind {i % 3}"}, "lang": ["en", "ru", None][i % 3]}
            corpus.write(json.dumps(record) + "\n")
    run("collect", "--model", MODEL, "--corpus", "c.jsonl", "--min-tokens", 8, "--doc-tokens", 90, "--language-field", "lang",
        "-o", "t.h5", "--force", "--quiet")
    run("export", "t.h5", "--gates", "--texts", "-o", "t.jsonl", "--force")
    lines = [json.loads(line) for line in open("t.jsonl", encoding="utf-8")]
    assert any(line.get("truncated") for line in lines) and len(lines) == 40
    imported("t.jsonl", "back.h5", "--model", MODEL, "--language-field", "language")
    check_same("t.h5", "back.h5")
    imported("t.jsonl", "back.h5", "--experts", EXPERTS, "--layers", MODEL_LAYERS, "--language-field", "language", "--name", "tiny")
    check_same("t.h5", "back.h5")
    with h5py.File("back.h5") as trace:
        assert (trace.attrs["model"], trace.attrs["device"], trace.attrs["model_digest"]) == (b"tiny", b"imported", b""), dict(trace.attrs)

    margins, gates = {"routing/topk_mass", "routing/margin"}, {"routing/gate"}
    language, texts = {"samples/language"}, {"text/bytes", "text/offset", "byte"}
    for absent, without in ((("topk_mass", "margin"), margins), (("gates",), gates), (("gates", "topk_mass", "margin"), gates | margins)):
        write("part.jsonl.gz", ({k: v for k, v in line.items() if k not in absent} for line in lines))
        imported("part.jsonl.gz", "part.h5", "--model", MODEL, "--no-text")
        check_same("t.h5", "part.h5", without=without | language | texts)
    run("export", "part.h5", "-o", "again.jsonl", "--force")
    imported("again.jsonl", "again.h5", "--model", MODEL)
    check_same("part.h5", "again.h5")
    assert "same_set" in run("stats", "part.h5", "--against", "t.h5")
    run("read", "part.h5", "--model", MODEL, "-o", "part.html", "--expert", "2:1", "--force")
    assert "without gates" in run("export", "part.h5", "--gates", "-o", "no.jsonl", code=1)
    return lines


def check_counts(lines):
    """Counts, by us of the tokens and by the lines themselves."""
    with h5py.File("t.h5") as trace:
        counts, n_tokens = trace["samples/counts"][:], trace["samples/n_tokens"][:]
    write("counts.jsonl", ({"id": line["id"], "sha": line["sha"], "subset": line["subset"], "n_tokens": int(n), "counts": c.tolist()}
                           for line, n, c in zip(lines, n_tokens, counts)))
    imported("counts.jsonl", "counts.h5", "--model", MODEL)
    imported("t.jsonl", "counted.h5", "--model", MODEL, "--record", "counts", "--no-text")
    for name in ("counts.h5", "counted.h5"):
        found = datasets(name)
        assert "routing/expert_id" not in found and np.array_equal(found["samples/counts"], counts), name
        assert np.array_equal(found["samples/n_tokens"], n_tokens) and found["samples/sha"][3].decode() == lines[3]["sha"]


def check_servers(lines):
    """As vLLM gives it: zeros for the dense layer, a last token that was never read, ids alone, no names; more than one block."""
    def by_server(line):
        return {"text": line["text"], "token_ids": [*line["token_ids"], 3], "routed_experts": [[[0] * len(t[0]), *t]
                                                                                           for t in line["routed_experts"]]}
    many = [by_server(lines[i % 40]) for i in range(1100)]
    write("many.jsonl", many)
    assert "1100 documents" in imported("many.jsonl", "many.h5", "--experts", EXPERTS, "--layers", MODEL_LAYERS)
    found = datasets("many.h5")
    wanted = np.concatenate([np.asarray(line["routed_experts"])[:, 1:] for line in many])
    assert np.array_equal(found["routing/expert_id"], wanted) and found["layer"].tolist() == [1, 2, 3]
    assert found["samples/id"][1070] == b"many.jsonl:1071"
    assert np.array_equal(found["tokens/token_id"], np.concatenate([line["token_ids"][:-1] for line in many]))
    said = run("import", "many.jsonl", "--experts", EXPERTS, "-o", "no.h5", code=1)
    assert "'routed_experts[0][0]' has expert 0 twice" in said and "--layers" in said, said

    many[1090] = json.loads(json.dumps(many[1090]))
    many[1090]["routed_experts"][2][1][0] = EXPERTS  # in the second block: nothing stays
    write("bad.jsonl", many)
    said = run("import", "bad.jsonl", "--experts", EXPERTS, "--layers", MODEL_LAYERS, "-o", "no.h5", code=1)
    assert "'bad.jsonl:1091': 'routed_experts[2][1][0]' is 12, expected an expert from 0 to 11" in said, said
    assert not list(pathlib.Path().glob("no.h5*"))


def check_wrong_tokens(lines):
    line = json.loads(json.dumps(lines[0]))
    write("ids.jsonl", [line | {"token_ids": [10**6, *line["token_ids"][1:]]}])
    said = run("import", "ids.jsonl", "--model", MODEL, "-o", "no.h5", code=1)
    assert "token 0 has id 1000000, the tokenizer of" in said, said
    line["routed_experts"][2][0] = [None] * len(line["routed_experts"][2][0])
    write("bad.jsonl", [line])
    said = run("import", "bad.jsonl", "--model", MODEL, "-o", "bad.h5", "--force", code=3)
    assert "bad_rows" in said, said
    run("import", "bad.jsonl", "--model", MODEL, "-o", "bad.h5", "--force", "--allow-bad")
    found = datasets("bad.h5")
    assert found["samples/bad"].tolist() == [1] and (found["routing/expert_id"][2, 0] == 255).all()


LINES = check_round_trip()
check_counts(LINES)
check_servers(LINES)
check_wrong_tokens(LINES)
print("ok")
