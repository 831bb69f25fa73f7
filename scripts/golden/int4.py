"""int4 - weights of a tiny checkpoint in four bits, packed by the programs that publish them, and widened again.

compressed-tensors as Kimi-K2-Thinking is published (experts only, symmetric), AutoGPTQ's as Qwen's GPTQ-Int4 are, and AutoAWQ's
"gemm". Their own code packs, and unpacks what is computed with here: (code - zero) x scale in f32, which rounded to their type
has to be what they give. scripts/oracles installs the latter two without what they need to run models.
"""

import importlib
import importlib.util
import sys
import types

import torch

BITS = 4
SKIPPED = ("gate.weight", "shared_expert_gate.weight", "lm_head.weight", "embed_tokens.weight")


def settings(config):
    return config.get("quantization_config", {})


def is_quantised(config):
    return settings(config).get("quant_method") in ("compressed-tensors", "gptq", "awq")


def group_of(config):
    s = settings(config)
    return s["config_groups"]["group_0"]["weights"]["group_size"] if "config_groups" in s else s["group_size"]


def module_of(package, name):
    """One module of a package whose __init__ asks for an older transformers: none of them is run."""
    parts = name.split(".")
    for i in range(len(parts)):
        outer = ".".join([package, *parts[:i]])
        if outer not in sys.modules:
            path = sys.modules[package].__path__ if i else importlib.util.find_spec(package).submodule_search_locations
            sys.modules[outer] = types.ModuleType(outer)
            sys.modules[outer].__path__ = ["/".join([path[0], *parts[:i]])]
    return importlib.import_module(f"{package}.{name}")


def rounded(weight, group, symmetric, dtype):
    """(codes - zeros) x scales, and the latter two [out, groups], as floats; the scales are of the dtype."""
    parts = weight.float().reshape(weight.shape[0], -1, group)
    low, high = parts.amin(-1), parts.amax(-1)
    scale = (torch.maximum(-low, high) / 7.0 if symmetric else (high - low) / 15.0).to(dtype).float()
    zero = torch.full_like(scale, 8.0) if symmetric else (-low / scale).round().clamp(1.0, 15.0)
    codes = (parts / scale[..., None] + zero[..., None]).round().clamp(0.0, 15.0)
    return ((codes - zero[..., None]) * scale[..., None]).reshape(weight.shape), scale, zero


def linear_of(weight):
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    linear.weight.data = weight
    return linear


# ---- compressed-tensors ----


def scheme_of(config):
    from compressed_tensors.quantization import QuantizationScheme

    return QuantizationScheme(**settings(config)["config_groups"]["group_0"])


def compress(config, weight):
    from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor

    value, scale, _ = rounded(weight, group_of(config), True, weight.dtype)
    scale = scale.to(weight.dtype)
    parts = {"weight": value.to(weight.dtype), "weight_scale": scale, "weight_zero_point": torch.zeros_like(scale, dtype=torch.int8)}
    return PackedQuantizationCompressor.compress(parts, scheme_of(config))


def decompress(config, parts):
    from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32

    codes = unpack_from_int32(parts["weight_packed"], BITS, torch.Size(parts["weight_shape"].tolist()))
    scale = parts["weight_scale"]
    weight = codes.float() * scale.float().repeat_interleave(group_of(config), 1)
    theirs = PackedQuantizationCompressor.decompress(parts, scheme_of(config))["weight"]
    assert torch.equal(theirs, weight.to(scale.dtype))
    return weight


# ---- AutoGPTQ ----


def gptq_linear(config, out, width):
    return module_of("auto_gptq", "nn_modules.qlinear.qlinear_cuda_old").QuantLinear(BITS, group_of(config), width, out, False)


def pack_gptq(config, weight):
    value, scale, zero = rounded(weight, group_of(config), settings(config)["sym"], torch.float16)
    linear = gptq_linear(config, *weight.shape)
    linear.pack(linear_of(value.to(torch.float16)), scale, zero, None)
    return {name: getattr(linear, name).clone() for name in ("qweight", "qzeros", "scales", "g_idx")}


def unpack_gptq(config, parts):
    width, out = parts["g_idx"].shape[0], parts["scales"].shape[1]
    linear = gptq_linear(config, out, width)
    for name, tensor in parts.items():
        setattr(linear, name, tensor)
    theirs = linear(torch.eye(width, dtype=torch.float16)).T
    linear.scales = torch.ones_like(parts["scales"])  # codes less zeros
    group = torch.arange(width) // group_of(config)
    weight = linear(torch.eye(width, dtype=torch.float16)).T.float() * parts["scales"].float()[group].T
    assert torch.equal(theirs, weight.to(torch.float16))
    return weight.contiguous()


# ---- AutoAWQ ----


def pack_awq(config, weight):
    value, scale, zero = rounded(weight, group_of(config), False, torch.float16)
    gemm = module_of("awq", "modules.linear.gemm").WQLinear_GEMM
    packed = gemm.from_linear(linear_of(value), BITS, group_of(config), False, scale.T.contiguous(), zero.T.contiguous())
    return {name: getattr(packed, name).clone() for name in ("qweight", "qzeros", "scales")}


def unpack_awq(config, parts):
    dequantise = module_of("awq", "utils.packing_utils").dequantize_gemm
    how = (parts["qweight"], parts["qzeros"])
    scales = parts["scales"]
    whole = dequantise(*how, torch.ones_like(scales), BITS, group_of(config)).float()  # codes less zeros
    weight = whole * scales.float().repeat_interleave(group_of(config), 0)
    assert torch.equal(dequantise(*how, scales, BITS, group_of(config)), weight.to(scales.dtype))
    return weight.T.contiguous()


METHODS = {"compressed-tensors": (compress, decompress), "gptq": (pack_gptq, unpack_gptq), "awq": (pack_awq, unpack_awq)}


def is_packed(config, name, tensor):
    """Experts alone in the form of Kimi; else every matrix but routers, embeddings and the head."""
    if tensor.dim() != 2 or name.endswith(SKIPPED):
        return False
    return ".experts." in name or settings(config)["quant_method"] != "compressed-tensors"


def quantised(config, weights):
    """Matrices are packed, all other tensors stay."""
    pack, result = METHODS[settings(config)["quant_method"]][0], {}
    for name, tensor in weights.items():
        if is_packed(config, name, tensor):
            stem = name.removesuffix("weight")
            result |= {stem + part: value.contiguous() for part, value in pack(config, tensor).items()}
        else:
            result[name] = tensor
    return result


def widened(config, weights):
    """The reverse in f32."""
    unpack, result = METHODS[settings(config)["quant_method"]][1], {}
    for name, tensor in weights.items():
        stem = next((name.removesuffix(end) for end in ("weight_packed", "qweight") if name.endswith(end)), None)
        if stem is not None:
            parts = {n.removeprefix(stem): t for n, t in weights.items() if n.startswith(stem) and n != stem + "bias"}
            result[stem + "weight"] = unpack(config, parts)
        elif not name.endswith(("weight_scale", "weight_shape", "scales", "qzeros", "g_idx")):
            result[name] = tensor
    return result
