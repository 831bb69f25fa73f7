#!/usr/bin/env python3
"""Opens a trace and an atlas that our programs wrote with h5py and xarray, and runs
notebooks-data/read_trace.py. Skips (77) without them."""
import json
import os
import pathlib
import subprocess
import sys

try:
    import h5py
    import numpy as np
    import xarray
    import h5netcdf  # noqa: F401  (xarray's engine)
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin"))
MODEL = SOURCE / "notebooks-data/demo-model"
if not (BIN / "gm-probe").exists() or not (MODEL / "config.json").exists():
    print("skipped: no gm-probe or no demo model")
    sys.exit(77)

# Two kinds of documents of whole sentences, so that there is something to cluster.
TOPICS = {
    "A": ["the river runs past stones", "a road leads over the hill", "the valley lies under snow"],
    "B": ["SELECT name FROM rivers", "CREATE TABLE roads (id int)", "DROP INDEX hills_by_name"],
}
with open("corpus.jsonl", "w", encoding="utf-8") as corpus:
    for i in range(40):
        name = "AB"[i % 2]
        words = [TOPICS[name][(i + j * (i % 3 + 1)) % 3] for j in range(6 + i % 5)]
        text = f"Document {i}: " + (". " if name == "A" else ";\n").join(words)
        corpus.write(json.dumps({"text": text, "meta": {"pile_set_name": name}}) + "\n")
subprocess.run(
    [BIN / "gm-probe", "collect", "--model", MODEL, "--corpus", "corpus.jsonl", "-o", "t.h5",
     "--nll", "--min-tokens", "8", "--force", "--quiet"],
    check=True,
)
subprocess.run(
    [BIN / "gm-cluster", "fit", "t.h5", "-o", "a.h5", "--min-cluster-size", "8", "--force",
     "--quiet"],
    check=True,
)


def text(value):
    """A text attribute is bytes of UTF-8."""
    assert isinstance(value, bytes), type(value)
    return value.decode()


with h5py.File("t.h5") as trace:
    expert = trace["routing/expert_id"][:]  # (T,L,K), strongest first
    counts = trace["samples/counts"][:]  # (N,L,E)
    phase = trace["tokens/phase"][:]
    offset = trace["samples/offset"][:]
    ids = trace["samples/id"][:]
    assert text(trace.attrs["schema_name"]) == "gm-trace" and trace.attrs["schema"] == 1
    assert json.loads(text(trace.attrs["options"])), "options are an object"
    assert trace["routing/gate"].dtype == np.float16
    assert h5py.check_enum_dtype(trace["samples/subset"].dtype) == {"A": 0, "B": 1}
    for i, of_document in enumerate(counts):
        rows = slice(offset[i], offset[i + 1])
        chosen = expert[rows][phase[rows] != 2]
        for layer in range(expert.shape[1]):
            again = np.bincount(chosen[:, layer].ravel(), minlength=counts.shape[2])
            assert (again == of_document[layer]).all()

with h5py.File("a.h5") as atlas:
    cluster = atlas["samples/cluster"][:]  # (N), -1: noise
    size = atlas["clusters/size"][:]  # (C)
    usage = counts / counts.sum(axis=(1, 2), keepdims=True)
    assert text(atlas.attrs["schema_name"]) == "gm-atlas" and atlas.attrs["schema"] == 4
    assert (atlas["clusters/id"][:] == np.arange(len(size))).all()
    assert (atlas["samples/id"][:] == ids).all()
    assert [(cluster == c).sum() for c in range(len(size))] == list(size) and len(size) > 0
    assert np.allclose(atlas["corpus/usage"][:], usage.mean(axis=0), atol=1e-7)
    for c in range(len(size)):
        assert np.allclose(atlas["clusters/usage"][c], usage[cluster == c].mean(axis=0), atol=1e-7)
    e = 0.05 / usage[0].size
    lift = (atlas["clusters/usage"][:] + e) / (atlas["corpus/usage"][:] + e)
    assert np.allclose(atlas["clusters/lift"][:], lift, rtol=1e-5)
    quality = json.loads(text(atlas["quality"].attrs["json"]))
    assert atlas["quality"].attrs["trustworthiness"] == quality["trustworthiness"]
    assert atlas["parameters"].attrs["n_neighbors"] == 15
    scripts = h5py.check_enum_dtype(atlas["samples/script"].dtype)
    assert (atlas["samples/script"][:] == scripts["Latin"]).all()
    parent, node = atlas["condensed/parent"][:], atlas["samples/node"][:]
    below = np.bincount(node, minlength=len(parent))  # documents at or below each node
    for r in range(len(parent) - 1, 0, -1):
        below[parent[r]] += below[r]
    assert (below == atlas["condensed/size"][:]).all() and below[0] == len(cluster)
    assert sorted(c for c in atlas["condensed/cluster"][:] if c >= 0) == list(range(len(size)))
    first = atlas["samples/first"][:]
    assert (usage[first] == usage).all() and (first <= np.arange(len(first))).mean() > 0.5
    assert text(atlas["parameters"].attrs["metric"]) == "hellinger"

DIMENSIONS = {
    "t.h5": {
        "routing": {"token", "layer", "rank"},
        "tokens": {"token"},
        "samples": {"document", "layer", "expert", "bound", "subset"},
        "text": {"byte", "bound"},
    },
    "a.h5": {
        "samples": {"document", "pair", "place", "axis"},
        "clusters": {"cluster", "keyword", "layer", "expert", "subset", "pair", "example"},
        "condensed": {"node", "keyword"},
        "corpus": {"layer", "expert", "subset", "pair"},
        "graph": {"bound", "edge"},
        "tree": {"merge"},
    },
}
for name, groups in DIMENSIONS.items():
    for group, dims in groups.items():
        with xarray.open_dataset(name, group=group, engine="h5netcdf") as data:
            assert set(data.dims) == dims, (name, group, dict(data.dims))
            data.load()

# netCDF-C reads the fill value of a text, 64 bytes, into 8 of its own: none may be set.
for name in DIMENSIONS:
    with h5py.File(name) as file:
        texts = []
        file.visititems(lambda _, o: texts.append(o) if getattr(o, "dtype", None) == "S64" else None)
        assert len(texts) > 3
        for t in texts:
            assert t.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_DEFAULT, t

shown = subprocess.run(
    [sys.executable, SOURCE / "notebooks-data/read_trace.py", "t.h5"],
    check=True, stdout=subprocess.PIPE, text=True,
).stdout.splitlines()
assert shown[0] == f"demo-model - 40 documents, {counts.shape[1:]} layers and experts", shown[0]
assert [line.split()[0] for line in shown[1:]] == ["A", "B"], shown
print("h5py and xarray agree")
