#!/usr/bin/env python3
"""gm-probe export: every array, table and line holds what h5py reads from the trace. Skips (77) without h5py."""
import csv
import json
import os
import pathlib
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
if not PROBE.exists():
    print("skipped: no gm-probe")
    sys.exit(77)

for left in pathlib.Path().glob("y.*"):  # a run before this one, which failed
    left.unlink()
PER_DOCUMENT, PER_TOKEN = ("counts",), ("expert_id", "gate", "topk_mass", "margin", "token_id", "pos", "phase", "nll")


def run(*arguments, code=0):
    done = subprocess.run([PROBE, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, (arguments, done.stderr)
    return done.stderr


def export(trace, out, *options):
    run("export", trace, "-o", out, "--force", *options)
    return np.load(out) if out.endswith(".npy") else None


with open("c.jsonl", "w", encoding="utf-8") as corpus:
    for i in range(9):
        text = f"soup, \"broth\" and stars {i} " * (4 + i)
        record = {"text": text, "meta": {"pile_set_name": f"kind {i % 2}, \"quoted\""}, "lang": ["en", "ru", None][i % 3]}
        corpus.write(json.dumps(record) + "\n")
for name, level in (("t.h5", "logits:0.3"), ("norms.h5", "norms"), ("counts.h5", "counts")):
    run("collect", "--model", MODEL, "--corpus", "c.jsonl", "--min-tokens", 8, "-o", name, "--record", level, "--quiet", "--force",
        *(["--nll", "--language-field", "lang"] if name == "t.h5" else []))

with h5py.File("t.h5") as trace:
    offset = trace["samples/offset"][:]
    token = trace["routing/logits_token"][:]
    for skip, limit in ((0, 0), (2, 3), (8, 5)):
        first, last = skip, min(skip + limit, 9) if limit else 9
        rows = slice(offset[first], offset[last])
        part = ("--skip", skip, "--limit", limit)
        for name in PER_DOCUMENT:
            assert np.array_equal(export("t.h5", "x.npy", "--array", name, *part), trace["samples"][name][first:last])
        for name in PER_TOKEN:
            group = "routing" if name in trace["routing"] else "tokens"
            theirs = trace[group][name][rows].astype(np.uint16 if name == "expert_id" else trace[group][name].dtype)
            ours = export("t.h5", "x.npy", "--array", name, *part)
            assert ours.shape == theirs.shape and ours.dtype.isnative
            assert np.array_equal(ours, theirs, equal_nan=name == "nll"), name
        assert np.array_equal(export("t.h5", "x.npy", "--array", "offset", *part), offset[first : last + 1] - offset[first])
        mine = (token >= rows.start) & (token < rows.stop)
        assert np.array_equal(export("t.h5", "x.npy", "--array", "logits_token", *part), token[mine] - rows.start)
        ours = export("t.h5", "x.npy", "--array", "logits", *part)
        assert np.array_equal(ours, trace["routing/logits"][:][mine]) and (limit or len(ours) > 0)

        export("t.h5", "x.csv", *part)
        with open("x.csv", newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        subsets = {number: name for name, number in h5py.check_enum_dtype(trace["samples/subset"].dtype).items()}
        for i, row in enumerate(table, first):
            assert row["id"] == trace["samples/id"][i].decode() and row["sha"] == trace["samples/sha"][i].decode()
            assert row["subset"] == subsets[trace["samples/subset"][i]]
            assert [int(row[key]) for key in ("n_tokens", "bad", "truncated")] == [
                trace["samples"][key][i] for key in ("n_tokens", "bad", "truncated")]
            assert int(row["first_row"]) == offset[i] - rows.start
            assert row["language"] == trace["samples/language"][i].decode() == ["en", "ru", ""][i % 3]
        assert len(table) == last - first

        export("t.h5", "x.jsonl", "--gates", *part)
        lines = [json.loads(line) for line in open("x.jsonl", encoding="utf-8")]
        for key in "id", "sha", "subset", "language":
            assert [line[key] for line in lines] == [row[key] for row in table]
        for i, line in enumerate(lines, first):
            of = slice(offset[i], offset[i + 1])
            assert line["token_ids"] == trace["tokens/token_id"][of].tolist()
            assert line["phase"] == trace["tokens/phase"][of].tolist()
            assert line["routed_experts"] == trace["routing/expert_id"][of].tolist()
            assert line["gates"] == trace["routing/gate"][of].astype(float).tolist()

with h5py.File("norms.h5") as trace:
    assert np.array_equal(export("norms.h5", "x.npy", "--array", "output_norm", "--skip", 2), trace["routing/output_norm"][offset[2] :])
assert "without norms" in run("export", "t.h5", "-o", "y.npy", "--array", "output_norm", code=1)
for name, option in (("y.csv", "--array=counts"), ("y.jsonl", "--array=gate"), ("y.npy", "--gates"), ("y.csv", "--texts")):
    assert f"{option.partition('=')[0]} goes into a ." in run("export", "t.h5", "-o", name, option, code=2)
with h5py.File("counts.h5") as trace:
    assert np.array_equal(export("counts.h5", "x.npy"), trace["samples/counts"][:])
    unsaid = []
    trace.visititems(lambda name, o: unsaid.append(name) if "/" in name and "description" not in o.attrs else None)
    assert unsaid == [], unsaid
    export("counts.h5", "x.csv")
    assert pathlib.Path("x.csv").read_text(encoding="utf-8").splitlines()[0].endswith(",first_row")
assert "counts but no tokens" in run("export", "counts.h5", "-o", "y.npy", "--array", "gate", code=1)
assert "counts but no tokens" in run("export", "counts.h5", "-o", "y.jsonl", code=1)
assert "leaves none of the 9 documents" in run("export", "t.h5", "-o", "y.csv", "--skip", 9, code=1)
assert "expected a name that ends in" in run("export", "t.h5", "-o", "y.parquet", code=2)
assert "exists; choose" in run("export", "t.h5", "-o", "x.csv", code=1)
assert not list(pathlib.Path().glob("y.*")), "a failed export leaves nothing"
