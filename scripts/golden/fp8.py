"""fp8 - weights of a tiny checkpoint in F8_E4M3 with a scale for each block, as DeepSeek-V3 is published, or for each matrix, also of those
that a tensor stacks, as Mistral Small 4 is, and widened again.

A weight is its value times the scale of its block, in f32 (deepseek-ai/DeepSeek-V3, inference/kernel.py). At the far ends of a
matrix blocks are cut. transformers 5.24 takes the size of blocks from the number of scales instead, which is the same only where
blocks fill the matrix: there it is held against this, and computes with what is widened here.
"""

import contextlib
import pathlib
import tempfile

import torch
from safetensors.torch import save_file

from . import common, int4

MOST = 448.0


def is_quantised(config):
    return config.get("quantization_config", {}).get("quant_method") == "fp8"


def block_of(config):
    """None: a scale for each matrix."""
    return config["quantization_config"]["weight_block_size"]


def spread(scales, block, shape):
    """[blocks of rows, blocks of columns] -> one scale for each element of the matrix."""
    return scales.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)[: shape[0], : shape[1]]


def one_scale(name, tensor):
    """A matrix with its scale, or a stack of them with one each; and a fixed scale of what they are multiplied with."""
    stacked = tensor.dim() == 3
    scale = tensor.float().abs().amax((1, 2), keepdim=True) / MOST if stacked else tensor.float().abs().max() / MOST
    values = (tensor.float() / scale).clamp(-MOST, MOST).to(torch.float8_e4m3fn)
    fixed = (name + "_" if stacked else name.removesuffix("weight")) + "activation_scale"
    return {name: values, name + "_scale_inv": scale, fixed: torch.full((len(tensor),) if stacked else (), 0.01)}


def quantised(config, weights):
    """Projections become fp8 and get scales, largest absolute value / 448; all other tensors stay. Four bits: int4.py."""
    if int4.is_quantised(config):
        return int4.quantised(config, weights)
    result = {}
    for name, tensor in weights.items():
        block = block_of(config) if is_quantised(config) else None
        if not is_quantised(config) or "_proj" not in name or tensor.dim() < 2:
            result[name] = tensor
            continue
        if block is None:
            result |= one_scale(name, tensor)
            continue
        rows, cols = tensor.shape
        padded = torch.nn.functional.pad(tensor.float().abs(), (0, -cols % block[1], 0, -rows % block[0]))
        parts = padded.reshape(padded.shape[0] // block[0], block[0], padded.shape[1] // block[1], block[1])
        scales = parts.amax((1, 3)) / MOST
        result[name] = (tensor.float() / spread(scales, block, tensor.shape)).clamp(-MOST, MOST).to(torch.float8_e4m3fn)
        result[name + "_scale_inv"] = scales
    return result


def widened(config, weights):
    """The reverse in f32, held against transformers where that reads blocks as they are."""
    if int4.is_quantised(config):
        return int4.widened(config, weights)
    block, result = block_of(config) if is_quantised(config) else None, {}
    for name, tensor in weights.items():
        if name.endswith(("_scale_inv", "activation_scale")):
            continue
        scales = weights.get(name + "_scale_inv")
        if scales is not None and block is None:
            result[name] = tensor.float() * scales
            continue
        result[name] = tensor if scales is None else tensor.float() * spread(scales, block, tensor.shape)
        if scales is not None and tensor.shape[0] % block[0] == 0 and tensor.shape[1] % block[1] == 0:
            from transformers.integrations.finegrained_fp8 import Fp8Dequantize

            theirs = Fp8Dequantize(None)._dequantize_one(tensor, scales, torch.float32)
            assert torch.equal(theirs, result[name]), name
    return result


@contextlib.contextmanager
def widened_folder(folder, config, weights):
    """The folder, or one of the weights as they are when nothing is fp8 or packed any more."""
    if not is_quantised(config) and not int4.is_quantised(config):
        yield folder
        return
    with tempfile.TemporaryDirectory() as other:
        other = pathlib.Path(other)
        common.write_json(other / "config.json", {k: v for k, v in config.items() if k != "quantization_config"}, indent=2)
        save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
        yield other
