"""gpt_oss - the tiny gpt-oss checkpoints, as published (experts in MXFP4) and as transformers saves what it has dequantised,
and the family written plainly in PyTorch on top of deepseek_reference; engine.py compares it with transformers.

What differs: YaRN, a logit per head that takes part in the softmax without a value (sinks), a window in some layers, biases,
softmax over the chosen logits, gates and ups taking turns, clamped SwiGLU. MXFP4 is the OCP MX specification's: blocks of 32
inputs share a power of two (E8M0, bias 127), two E2M1 numbers a byte, the low half first.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .deepseek_reference import Reference, Shape, route

E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0])
BLOCK = 32

# For engine.py: fields that change the mathematics, beside those of all families; and those that mean something else here.
FLIPS = (
    ("sliding_window", 19, "differs"),
    ("layer_types", ["full_attention", "sliding_attention", "full_attention"], "differs"),
    ("layer_types", ["full_attention", "chunked_attention", "full_attention"], "refuse"),
    ("swiglu_limit", 1.25, "differs"),
    ("swiglu_alpha", 1.6, "differs"),
    ("attention_bias", False, "refuse"),
    ("experts_per_token", 2, "refuse"),
    ("quantization_config", {"quant_method": "awq"}, "refuse"),
    ("rope_scaling", {"factor": 2.0}, "differs"),
    ("rope_scaling", {"beta_fast": 8.0}, "differs"),
    ("rope_scaling", {"beta_slow": 0.5}, "differs"),
    ("rope_scaling", {"truncate": "not"}, "differs"),
    ("rope_scaling", {"original_max_position_embeddings": 48}, "differs"),
    ("rope_scaling", {"attention_factor": 1.0}, "differs"),
)
OTHERWISE = ("sliding_window", "attention_bias")


def config(**changes):
    """config.json in the form of openai/gpt-oss-20b; the context is longer than the one its angles were made for."""
    fields = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "eos_token_id": 2,
        "experts_per_token": 3,
        "head_dim": 12,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initial_context_length": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "max_position_embeddings": 128,
        "num_attention_heads": 6,
        "num_experts_per_tok": 3,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "num_local_experts": 7,
        "output_router_logits": False,
        "pad_token_id": 1,
        "quantization_config": {
            "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": 1e-5,
        "rope_scaling": {
            "beta_fast": 3.0,
            "beta_slow": 1.0,
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": 1500,
        "router_aux_loss_coef": 0.9,
        "sliding_window": 20,
        "swiglu_limit": 1.5,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.55.0.dev0",
        "use_cache": True,
        "vocab_size": 289,
    }
    fields.update(changes)
    return {k: v for k, v in fields.items() if v is not None}


def plain_config(**changes):
    """The same as transformers saves it without quantisation: sizes that fill no block, a window of more than one."""
    return config(
        experts_per_token=None, initial_context_length=None, head_dim=12, hidden_size=20, intermediate_size=14, num_attention_heads=4,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"], num_experts_per_tok=2, num_local_experts=6,
        quantization_config=None, rms_norm_eps=1e-3, sliding_window=41, swiglu_alpha=1.25, **changes,
    )


def shapes(config):
    """Every tensor as it is before quantisation, in the order of the model: name -> shape."""
    d, f, e = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    heads, kv, head = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    result = {"model.embed_tokens.weight": (config["vocab_size"], d)}
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        result[p + "input_layernorm.weight"] = (d,)
        for name, rows, cols in (("q", heads * head, d), ("k", kv * head, d), ("v", kv * head, d), ("o", d, heads * head)):
            result[f"{p}self_attn.{name}_proj.weight"] = (rows, cols)
            result[f"{p}self_attn.{name}_proj.bias"] = (rows,)
        result[p + "self_attn.sinks"] = (heads,)
        result[p + "post_attention_layernorm.weight"] = (d,)
        result[p + "mlp.router.weight"] = (e, d)
        result[p + "mlp.router.bias"] = (e,)
        result[p + "mlp.experts.gate_up_proj"] = (e, d, 2 * f)
        result[p + "mlp.experts.gate_up_proj_bias"] = (e, 2 * f)
        result[p + "mlp.experts.down_proj"] = (e, f, d)
        result[p + "mlp.experts.down_proj_bias"] = (e, d)
    result["model.norm.weight"] = (d,)
    result["lm_head.weight"] = (config["vocab_size"], d)
    return result


def make_weights(config, seed):
    """Seeded normal weights, in bf16 but for the experts when the config quantises them."""
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    for name, shape in shapes(config).items():
        values = rng.standard_normal(shape)
        inputs = shape[1] if len(shape) > 1 else 1
        if "norm" in name:
            values = 1.0 + 0.2 * values
        elif name.endswith("sinks"):
            values *= 1.5
        elif name.endswith("bias"):
            values *= 0.3
        elif name == "model.embed_tokens.weight":
            values *= 0.04
        else:
            values *= (1.8 if ".router." in name else 2.0 if name == "lm_head.weight" else 1.2) / inputs**0.5
        values = torch.from_numpy(values).to(torch.float32)
        if name.endswith("_proj") and "quantization_config" in config:
            weights[name + "_blocks"], weights[name + "_scales"] = quantise(values.transpose(1, 2))
        else:
            weights[name] = values.to(torch.bfloat16)
    return weights


def quantise(values):
    """[E, out, in] -> blocks [E, out, in / 32, 16] and scales [E, out, in / 32], both bytes; nearest, ties to the smaller."""
    e, rows, cols = values.shape
    parts = values.reshape(e, rows, cols // BLOCK, BLOCK)
    exponent = torch.floor(torch.log2(parts.abs().amax(-1))) - 2  # the largest is then 4 or more, 6 at most
    scaled = parts * torch.exp2(-exponent)[..., None]
    code = (scaled[..., None] - E2M1).abs().argmin(-1)
    blocks = (code[..., 0::2] + 16 * code[..., 1::2]).to(torch.uint8)
    return blocks.contiguous(), (exponent + 127).to(torch.uint8).contiguous()


def dequantise(blocks, scales):
    """The reverse, as transformers has them: [E, in, out]."""
    code = torch.stack([blocks & 15, blocks >> 4], dim=-1).flatten(-2).to(torch.int64)
    values = E2M1[code] * torch.exp2(scales.to(torch.float32) - 127)[..., None]
    return values.flatten(-2).transpose(1, 2).contiguous()


class GptOss(Reference):
    """GptOss(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        self.config, self.dtype = config, dtype
        self.shape = Shape.from_config(config)
        self.shape.renorm = True  # a softmax over the chosen is one over all, renormalised
        self.moe_layers = list(range(self.shape.layers))
        self.w = {}
        for name, tensor in weights.items():
            if name.endswith("_blocks"):
                name = name.removesuffix("_blocks")
                tensor = dequantise(tensor, weights[name + "_scales"])
            if not name.endswith("_scales"):
                self.w[name] = tensor.to(dtype)

    def rope(self, x):
        """x: [T, heads, head_dim]; angles in fp32, stretched by YaRN, whose factor multiplies cosine and sine."""
        yarn, theta, dim = self.config["rope_scaling"], self.shape.theta, x.shape[-1]
        first = yarn["original_max_position_embeddings"]

        def pair(turns):
            return dim * math.log(first / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low, high = pair(yarn["beta_fast"]), pair(yarn["beta_slow"])
        if yarn["truncate"]:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        slow = ((torch.arange(dim // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
        plain = 1.0 / theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * (plain * (1 - slow) + plain / yarn["factor"] * slow)
        factor = yarn.get("attention_factor", 0.1 * math.log(yarn["factor"]) + 1.0)
        cos, sin = (angle.cos() * factor).to(x.dtype)[:, None, :], (angle.sin() * factor).to(x.dtype)[:, None, :]
        a, b = x[..., : dim // 2], x[..., dim // 2 :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def attention(self, x, prefix):
        s, t = self.shape, x.shape[0]
        linear = {n: F.linear(x, self.w[f"{prefix}{n}_proj.weight"], self.w[f"{prefix}{n}_proj.bias"]) for n in "qkv"}
        q = self.rope(linear["q"].view(t, s.heads, s.head_dim)).transpose(0, 1)
        k = self.rope(linear["k"].view(t, s.kv_heads, s.head_dim)).transpose(0, 1)
        v = linear["v"].view(t, s.kv_heads, s.head_dim).transpose(0, 1)
        k, v = (y.repeat_interleave(s.heads // s.kv_heads, dim=0) for y in (k, v))
        scores = (q @ k.transpose(1, 2)) * s.head_dim**-0.5
        hidden = torch.ones(t, t, dtype=torch.bool).triu(1)
        if self.config["layer_types"][int(prefix.split(".")[2])] == "sliding_attention":
            hidden |= torch.ones(t, t, dtype=torch.bool).tril(-self.config["sliding_window"])
        sinks = self.w[prefix + "sinks"][:, None, None].expand(-1, t, 1)
        p = torch.softmax(torch.cat([scores.masked_fill(hidden, -torch.inf), sinks], dim=-1), dim=-1)[..., :-1]
        mixed = (p @ v).transpose(0, 1).reshape(t, s.heads * s.head_dim)
        return F.linear(mixed, self.w[prefix + "o_proj.weight"], self.w[prefix + "o_proj.bias"])

    def expert(self, x, prefix, e):
        gate_up = x @ self.w[prefix + "gate_up_proj"][e] + self.w[prefix + "gate_up_proj_bias"][e]
        limit, alpha = self.config["swiglu_limit"], self.config.get("swiglu_alpha", 1.702)
        gate, up = gate_up[:, 0::2].clamp(max=limit), gate_up[:, 1::2].clamp(-limit, limit)
        unit = (up + 1) * gate * torch.sigmoid(alpha * gate)
        return unit @ self.w[prefix + "down_proj"][e] + self.w[prefix + "down_proj_bias"][e]

    def moe(self, x, prefix, bias, mode):
        s = self.shape
        z = F.linear(x, self.w[prefix + "router.weight"], self.w[prefix + "router.bias"])
        ids, gates, mass, margin = route(z, s.chosen, s.renorm, bias, mode)
        y = torch.zeros_like(x)
        for e in range(s.experts):
            rows, rank = torch.nonzero(ids == e, as_tuple=True)
            if len(rows):
                y[rows] += gates[rows, rank, None] * self.expert(x[rows], prefix + "experts.", e)
        return y, {"router_logits": z, "expert_id": ids, "gate": gates, "topk_mass": mass, "margin": margin}
