"""mellum - the tiny checkpoint of Mellum 2, and this family written plainly in PyTorch on top of deepseek_reference; engine.py compares it
with transformers.

What differs from Qwen3-MoE: layers with a window, which turn their heads by other angles than those that see all positions; these are
stretched by YaRN.
"""

import dataclasses
import math

import torch

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("mellum",)
FULL, SLIDING = "full_attention", "sliding_attention"

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("sliding_window", 12, "differs"),
    ("sliding_window", None, "refuse"),
    ("layer_types", [SLIDING, FULL], "differs"),
    ("mlp_layer_types", ["sparse", "dense"], "refuse"),
    ("rope_parameters", {SLIDING: {"rope_type": "default", "rope_theta": 500.0}}, "differs"),
    ("rope_parameters", {FULL: {"rope_type": "default", "rope_theta": 40.0}}, "differs"),
    ("rope_parameters", {FULL: None}, "refuse"),
    ("rope_parameters", {SLIDING: {"rope_type": "linear", "rope_theta": 20.0, "factor": 2.0}}, "refuse"),
    ("num_nextn_predict_layers", 0, "refuse"),
)
OTHERWISE = ("rope_theta", "sliding_window")


@dataclasses.dataclass
class Mellum(Shape):
    """A Shape, and what this family has beside it."""

    types: tuple = ()  # of the layers
    window: int = 0
    angles: dict = dataclasses.field(default_factory=dict)  # rope_parameters of each type


def config(**changes):
    """config.json in the form of JetBrains/Mellum2-12B-A2.5B-Base, tiny, with a dense layer as it has none."""
    return corrected.common(
        architectures=["MellumForCausalLM"], model_type="mellum", attention_bias=False, head_dim=6, hidden_size=10, intermediate_size=13,
        layer_types=[FULL, SLIDING], mlp_layer_types=["dense", "sparse"], moe_intermediate_size=6, norm_topk_prob=True,
        num_attention_heads=2, num_experts=5, num_experts_per_tok=2, num_hidden_layers=2, num_key_value_heads=1, num_nextn_predict_layers=1,
        rope_parameters={
            FULL: {"beta_fast": 2, "beta_slow": 0.25, "factor": 4, "original_max_position_embeddings": 16, "rope_theta": 40.0,
                   "rope_type": "yarn"},
            SLIDING: {"rope_theta": 20.0, "rope_type": "default"}},
        rope_theta=None, sliding_window=9,
    ) | changes


def shape(c):
    """The config as a Mellum."""
    plain = dataclasses.asdict(Shape.from_config(c)) | {
        "qk_norm": "head", "dense": tuple(i for i, kind in enumerate(c["mlp_layer_types"]) if kind == "dense")}
    return Mellum(**plain, types=tuple(c["layer_types"]), window=c["sliding_window"], angles=c["rope_parameters"])


def further_tensors(config):
    """One tensor that predicts further tokens: name -> shape."""
    return {"mtp.norm.weight": (config["hidden_size"],)}


def steps(angles, dim):
    """Angles of the pairs from one position to the next, and the amplitude; YaRN of arXiv:2309.00071."""
    plain = 1.0 / angles["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    if angles["rope_type"] == "default":
        return plain, 1.0

    def pair(turns):
        return dim * math.log(angles["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(angles["rope_theta"]))

    low, high = max(math.floor(pair(angles["beta_fast"])), 0), min(math.ceil(pair(angles["beta_slow"])), dim - 1)
    slow = ((torch.arange(dim // 2, dtype=torch.float32) - low) / max(high - low, 0.001)).clamp(0, 1)
    return plain * (1 - slow) + plain / angles["factor"] * slow, 0.1 * math.log(angles["factor"]) + 1.0


class MellumReference(Reference):
    """MellumReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))
        self.type = FULL  # of the layer that attention is asked for

    def attention(self, x, prefix):
        self.type = self.shape.types[int(prefix.split(".")[2])]
        return super().attention(x, prefix)

    def hidden(self, t):
        beyond = torch.ones(t, t, dtype=torch.bool).tril(-self.shape.window)
        return super().hidden(t) | beyond if self.type == SLIDING else super().hidden(t)

    def rope(self, x):
        half = x.shape[-1] // 2
        step, amplitude = steps(self.shape.angles[self.type], 2 * half)
        angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * step
        cos, sin = ((amplitude * y).to(x.dtype)[:, None, :] for y in (angle.cos(), angle.sin()))
        low, high = x[..., :half], x[..., half:]
        return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)
