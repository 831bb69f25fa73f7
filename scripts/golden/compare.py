#!/usr/bin/env python3
"""compare - is a folder that make_golden wrote the same as the committed one, within what another machine may change?

    compare.py COMMITTED FRESH

Bytes, integers and strings must agree; floats within the tolerances below. Exit 3 when something differs.
"""

import json
import pathlib
import sys

import numpy as np

# Figures that say how far rounding went, and versions: reported by the golden, not compared.
NOT_COMPARED = {"versions", "fp32_against_fp64", "reference_against_transformers", "spectral_against_umap",
                "probability_apart", "shipped"}
TOLERANCE = [  # first match of the path: (part of the path, absolute, relative)
    ("cluster/umap.safetensors:iris100.eigenvector", 1e-5, 0.0),
    ("cluster/umap.safetensors:iris100.layout", 1e-4, 0.0),
    ("trustworthiness_of_umap", 0.02, 0.0),
    ("logits_move", 1e-3, 1e-3),
    ("models/", 5e-5, 1e-5),
    ("cluster/umap.safetensors", 1e-5, 1e-5),
    ("cluster/umap.json", 1e-5, 1e-5),
    ("cluster/map.safetensors", 1e-3, 0.0),
    ("cluster/map.json", 0.02, 0.0),
    ("cluster/densmap.safetensors", 1e-3, 0.0),
    ("cluster/densmap.json", 0.2, 0.0),  # plain maps of 150 points keep densities by chance only
    ("", 1e-9, 1e-7),
]


def tolerance(where):
    return next((absolute, relative) for part, absolute, relative in TOLERANCE if part in where)


def close(a, b, where):
    """Same shape, NaN in the same places, otherwise within the tolerance; written so that NaN cannot pass."""
    absolute, relative = tolerance(where)
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return False
    keep = ~np.isnan(a) & (a != b)
    return bool(np.all(np.abs(a[keep] - b[keep]) <= absolute + relative * np.abs(a[keep])))


def json_differences(a, b, where):
    """Paths at which two JSON values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            if key in NOT_COMPARED:
                continue
            if key not in a or key not in b:
                yield f"{where}.{key} is on one side only"
            else:
                yield from json_differences(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from json_differences(x, y, f"{where}[{i}]")
    elif isinstance(a, float) and isinstance(b, float):
        if not close(a, b, where):
            yield f"{where}: {a} and {b}"
    elif a != b or type(a) is not type(b):
        yield f"{where}: {str(a)[:60]} and {str(b)[:60]}"


def tensor_differences(a, b, where):
    """Names of tensors that differ between two safetensors files."""
    import torch
    from safetensors.torch import load_file

    a, b = load_file(a), load_file(b)
    for name in sorted(set(a) | set(b)):
        path = f"{where}:{name}"
        if name not in a or name not in b:
            yield f"{path} is on one side only"
        elif a[name].dtype != b[name].dtype or a[name].shape != b[name].shape:
            yield f"{path}: {a[name].dtype} {list(a[name].shape)} and {b[name].dtype} {list(b[name].shape)}"
        elif a[name].dtype in (torch.float32, torch.float64) and "/model" not in where[where.rfind("/"):]:
            if not close(a[name].numpy(), b[name].numpy(), path):
                gap = (a[name].double() - b[name].double()).abs().nan_to_num().max()
                yield f"{path}: up to {float(gap):.3g} apart, or NaN in other places"
        elif not torch.equal(a[name], b[name]):
            yield f"{path}: values differ"


def differences(old, new, where):
    if old.suffix == ".safetensors":
        yield from tensor_differences(old, new, where)
    elif old.suffix == ".json":
        yield from json_differences(json.loads(old.read_text()), json.loads(new.read_text()), where)
    elif old.read_bytes() != new.read_bytes():
        yield f"{where}: bytes differ"


def main():
    old, new = map(pathlib.Path, sys.argv[1:3])
    files = {p.relative_to(old) for p in old.rglob("*") if p.suffix in (".json", ".safetensors")}
    fresh = {p.relative_to(new) for p in new.rglob("*") if p.suffix in (".json", ".safetensors")}
    found = [f"{path} is new" for path in sorted(fresh - files)]
    missing = sorted(files - fresh)
    for path in sorted(files & fresh):
        found += differences(old / path, new / path, str(path))
    for line in found:
        print("differs:", line)
    for path in missing:
        print("not made:", path)
    print(f"compare: {len(files & fresh)} files compared, {len(found)} differences, {len(missing)} not made")
    return 3 if found else 0


if __name__ == "__main__":
    sys.exit(main())
