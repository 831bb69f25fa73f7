"""llama - the tiny checkpoint of Llama 4, and this family written plainly in PyTorch on top of deepseek_reference; engine.py compares it
with transformers.

What differs: the sigmoids of the chosen logits multiply what the experts read, beside a shared expert; most layers turn neighbours by
angles with Llama 3's scaling, bring queries and keys to the length of the root of their width, and see the positions of their own chunk;
the others do neither, see all, and their queries grow with the position. Experts are stored as columns, gate before up.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F

from . import corrected
from .deepseek_reference import Reference, Shape, route

FAMILIES = ("llama4_text",)

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("rope_parameters", {"rope_theta": 500.0}, "differs"),
    ("rope_parameters", {"factor": 2.0}, "differs"),
    ("rope_parameters", {"low_freq_factor": 0.25}, "differs"),
    ("rope_parameters", {"high_freq_factor": 3.0}, "differs"),
    ("rope_parameters", {"original_max_position_embeddings": 60}, "differs"),
    ("rope_parameters", {"rope_type": "yarn"}, "refuse"),
    ("attention_chunk_size", 12, "differs"),
    ("no_rope_layers", [1, 1, 0], "differs"),
    ("no_rope_layers", [0, 0, 0], "refuse"),
    ("use_qk_norm", False, "differs"),
    ("attn_temperature_tuning", False, "differs"),
    ("floor_scale", 9, "differs"),
    ("attn_scale", 0.1, "differs"),
    ("moe_layers", [0, 1, 2], "refuse"),
    ("intermediate_size_mlp", "half", "refuse"),
    ("num_local_experts", "minus 1", "refuse"),
)
OTHERWISE = ("rope_theta", "rope_scaling", "num_local_experts")


@dataclasses.dataclass
class Llama(Shape):
    """A Shape, and what this family has beside it."""

    config: dict = dataclasses.field(default_factory=dict)

    def turns(self, layer):
        """Whether the layer's heads turn; then it sees a chunk."""
        return bool(self.config["no_rope_layers"][layer])


def config(**changes):
    """config.json in the form of the text's part of meta-llama/Llama-4-Scout-17B-16E, as transformers saves it, with a dense layer."""
    return corrected.common(
        architectures=["Llama4ForCausalLM"], model_type="llama4_text", attention_bias=False, attention_chunk_size=9, attn_scale=0.5,
        attn_temperature_tuning=True, floor_scale=4, for_llm_compressor=False, head_dim=6, interleave_moe_layer_step=2, intermediate_size=6,
        intermediate_size_mlp=14, moe_layers=[0, 2], no_rope_layers=[1, 0, 1], num_experts_per_tok=2, num_hidden_layers=3,
        num_key_value_heads=1, num_local_experts=5, output_router_logits=False, rms_norm_eps=1e-2,
        rope_parameters={"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 20,
                         "rope_theta": 20.0, "rope_type": "llama3"},
        rope_theta=None, router_aux_loss_coef=0.001, router_jitter_noise=0.0, use_qk_norm=True,
    ) | changes


def shape(c):
    """The config as a Llama; what is kept of the config is what a Shape has no place for."""
    plain = dataclasses.asdict(Shape.from_config(c)) | {
        "shared": 1, "dense": tuple(set(range(c["num_hidden_layers"])) - set(c["moe_layers"])), "renorm": False}
    return Llama(**plain, config=c)


def scaled(name, values):
    """Random values of a tensor that is not like those of other families, or None."""
    if name.endswith("router.weight"):
        return 1.8 / values.shape[-1] ** 0.5 * values
    return 1.1 / values.shape[1] ** 0.5 * values if values.ndim == 3 else None  # columns


class LlamaReference(Reference):
    """LlamaReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        rows = {name: tensor.transpose(1, 2) if tensor.dim() == 3 else tensor for name, tensor in weights.items()}
        super().__init__(config, rows, dtype, shape(config))

    def steps(self):
        """The angle of each pair from one position to the next, in fp32."""
        rope = self.shape.config["rope_parameters"]
        step = 1.0 / rope["rope_theta"] ** (torch.arange(0, self.shape.head_dim, 2, dtype=torch.float32) / self.shape.head_dim)
        turns, low, high = rope["original_max_position_embeddings"] * step / (2 * math.pi), rope["low_freq_factor"], rope["high_freq_factor"]
        keep = ((turns - low) / (high - low)).clamp(0, 1)
        return step * keep + step / rope["factor"] * (1 - keep)

    def rope(self, x):
        angle = (torch.arange(len(x), dtype=torch.float32)[:, None] * self.steps())[:, None]
        cos, sin, (a, b) = angle.cos().to(x.dtype), angle.sin().to(x.dtype), x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)

    def unit(self, x):
        return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + self.shape.eps)

    def attention(self, x, prefix):
        s, t, c = self.shape, x.shape[0], self.shape.config
        position, seen = torch.arange(t), ~self.hidden(t)
        q, k, v = (F.linear(x, self.w[f"{prefix}{name}_proj.weight"]).view(t, -1, s.head_dim) for name in "qkv")
        if s.turns(int(prefix.split(".")[2])):
            q, k = self.rope(q), self.rope(k)
            if c["use_qk_norm"]:
                q, k = self.unit(q), self.unit(k)
            chunk = position // c["attention_chunk_size"]
            seen = seen & (chunk[:, None] == chunk)
        elif c["attn_temperature_tuning"]:
            q = q * (1 + c["attn_scale"] * torch.log1p((position + 1) // c["floor_scale"]))[:, None, None].to(x.dtype)
        k, v = (y.repeat_interleave(s.heads // s.kv_heads, dim=1) for y in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) * s.head_dim**-0.5
        p = torch.softmax(scores.masked_fill(~seen, -torch.inf), dim=-1)
        return F.linear(torch.einsum("hqk,khd->qhd", p, v).flatten(1), self.w[prefix + "o_proj.weight"])

    def moe(self, x, prefix, bias, mode):
        s = self.shape
        z = x @ self.w[prefix + "gate.weight"].T
        ids, gates, mass, margin = route(z, s.chosen, False, bias, mode, torch.sigmoid)
        y = self.mlp(x, prefix + "shared_experts.")
        for e in range(s.experts):
            rows, rank = torch.nonzero(ids == e, as_tuple=True)
            if len(rows):
                y[rows] += self.mlp(gates[rows, rank, None] * x[rows], f"{prefix}experts.{e}.")
        return y, {"router_logits": z, "expert_id": ids, "gate": gates, "topk_mass": mass, "margin": margin}
