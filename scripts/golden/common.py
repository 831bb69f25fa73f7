"""common - what every golden maker shares: versions, stable JSON, safetensors, hashes."""

import importlib.metadata
import json
import os
import pathlib
import platform

import numpy as np

REPO = pathlib.Path(__file__).resolve().parents[2]


def versions(*packages):
    """The versions that made a golden: {"python": ..., package: ...}."""
    found = {"python": platform.python_version()}
    for name in packages:
        found[name] = importlib.metadata.version(name)
    return found


def short_json(value, most=120):
    """JSON with sorted keys in lines of at most `most` characters where its values allow it, as many as fit in each."""
    line = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    if len(line) <= most or not isinstance(value, (dict, list)):
        return line
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}:{short_json(value[key], most)}" for key in sorted(value)]
    else:
        items = [short_json(item, most) for item in value]
    lines = [items[0]]
    for item in items[1:]:
        if len(lines[-1]) - lines[-1].rfind("\n") + len(item) <= most:
            lines[-1] += "," + item
        else:
            lines.append(item)
    return ("{%s}" if isinstance(value, dict) else "[%s]") % ",\n".join(lines)


def write_json(path, value, indent=None):
    """Writes JSON with sorted keys and a final newline, so that the same value gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=indent, sort_keys=True, allow_nan=False) if indent else short_json(value)
    path.write_text(text + "\n")


def narrow(tensors):
    """The same tensors, whole numbers in one byte each where all of them fit."""
    def fits(array, dtype):
        return array.dtype.kind in "iu" and np.iinfo(dtype).min <= array.min() and array.max() <= np.iinfo(dtype).max

    as_bytes = {name: next((t for t in (np.uint8, np.int8) if fits(a, t)), a.dtype) for name, a in tensors.items()}
    return {name: a.astype(as_bytes[name]) for name, a in tensors.items()}


def write_tensors(path, tensors, metadata=None):
    """Writes numpy arrays (f32, f64, i32, i64, u8) as one safetensors file."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    save_file(whole, path, metadata=metadata)
    path.chmod(0o644)


def transformers_model(folder):
    """A checkpoint in transformers, f32, attention and experts as written; MXFP4 dequantised."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, Mxfp4Config

    config = json.loads((folder / "config.json").read_text())
    quantised = "quantization_config" in config
    own = {"mistral4": "Mistral4ForCausalLM"}.get(config["model_type"])  # which the other does not know
    how = {"quantization_config": Mxfp4Config(dequantize=True)} if quantised else {}
    how |= {"attn_implementation": "eager", "experts_implementation": "eager"}  # the faster ways want sizes in steps of 4
    return (getattr(transformers, own) if own else AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float32, **how).eval()


def fnv1a32(data):
    """FNV-1a, 32 bits, of a bytes object."""
    h = 0x811C9DC5
    for byte in data:
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


def fnv1a32_rows(ids):
    """FNV-1a 32 over the little-endian u32 values of a list of token ids."""
    return fnv1a32(np.asarray(ids, dtype="<u4").tobytes())


def shared_dir():
    """The folder with tokenizers/ and minipile/: $GM_SHARED or ../shared beside the checkout; None when absent."""
    for place in (os.environ.get("GM_SHARED"), REPO.parent / "shared"):
        if place and pathlib.Path(place).is_dir():
            return pathlib.Path(place)
    return None
