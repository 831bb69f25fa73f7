#!/usr/bin/env python3
"""Opens a trace that gm-probe wrote with h5py and xarray. Skips (77) without them."""
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
PROBE = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")) / "gm-probe"
MODEL = SOURCE / "notebooks-data/demo-model"
if not PROBE.exists() or not (MODEL / "config.json").exists():
    print("skipped: no gm-probe or no demo model")
    sys.exit(77)

with open("corpus.jsonl", "w", encoding="utf-8") as corpus:
    for i in range(6):
        text = f"Document {i} speaks of rivers, stones and roads. " * (5 + i)
        corpus.write(json.dumps({"text": text, "meta": {"pile_set_name": "AB"[i % 2]}}) + "\n")
subprocess.run(
    [PROBE, "collect", "--model", MODEL, "--corpus", "corpus.jsonl", "-o", "t.h5", "--nll",
     "--min-tokens", "8", "--force", "--quiet"],
    check=True,
)

with h5py.File("t.h5") as trace:
    expert = trace["routing/expert_id"][:]  # (T,L,K), strongest first
    counts = trace["samples/counts"][:]  # (N,L,E)
    phase = trace["tokens/phase"][:]
    offset = trace["samples/offset"][:]
    assert trace.attrs["schema_name"] == "gm-trace" and trace.attrs["schema"] == 1
    assert trace["routing/gate"].dtype == np.float16
    assert h5py.check_enum_dtype(trace["samples/subset"].dtype) == {"A": 0, "B": 1}
    for i, of_document in enumerate(counts):
        rows = slice(offset[i], offset[i + 1])
        chosen = expert[rows][phase[rows] != 2]
        for layer in range(expert.shape[1]):
            again = np.bincount(chosen[:, layer].ravel(), minlength=counts.shape[2])
            assert (again == of_document[layer]).all()

for group, dims in (
    ("routing", {"token", "layer", "rank"}),
    ("tokens", {"token"}),
    ("samples", {"document", "layer", "expert", "bound", "subset"}),
    ("text", {"byte", "bound"}),
):
    with xarray.open_dataset("t.h5", group=group, engine="h5netcdf") as data:
        assert set(data.dims) == dims, (group, dict(data.dims))
        data.load()
print("h5py and xarray agree")
