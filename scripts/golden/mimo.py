"""mimo - the tiny checkpoint of MiMo-V2-Flash, and this family written plainly in PyTorch on top of deepseek_reference; engine.py compares
it with transformers.

What differs from DeepSeek-V3's experts and Llama's attention: layers with a window have sinks, other angles and twice the KV heads of those
that see all; values are narrower than keys and scaled; a part of each head turns; no shared experts.
"""

import torch
import torch.nn.functional as F

from . import corrected
from .corrected import CorrectedReference

FAMILIES = ("mimo_v2_flash",)
FULL, SLIDING = "full_attention", "sliding_attention"

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("norm_topk_prob", "not", "differs"),
    ("routed_scaling_factor", 1.0, "differs"),
    ("n_group", 1, "refuse"),
    ("topk_group", 1, "differs"),
    ("scoring_func", "softmax", "refuse"),
    ("topk_method", "greedy", "refuse"),
    ("attention_bias", "not", "refuse"),
    ("attention_value_scale", 1.0, "differs"),
    ("attention_value_scale", None, "differs"),
    ("v_head_dim", 8, "refuse"),
    ("sliding_window", 12, "differs"),
    ("layer_types", [FULL, FULL, SLIDING], "refuse"),
    ("mlp_layer_types", ["sparse", "sparse", "sparse"], "refuse"),
    ("rope_parameters", {SLIDING: {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}}, "differs"),
    ("rope_parameters", {FULL: {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}}, "differs"),
    ("rope_parameters", {FULL: {"rope_type": "default", "rope_theta": 40.0, "partial_rotary_factor": 1.0}}, "differs"),
    ("rope_parameters", {FULL: {"rope_type": "default", "rope_theta": 40.0, "partial_rotary_factor": 0.9}}, "refuse"),
    ("rope_parameters", {FULL: {"rope_type": "yarn", "rope_theta": 40.0, "factor": 2.0}}, "refuse"),
    ("rope_parameters", {FULL: None}, "refuse"),
    ("n_shared_experts", 1, "refuse"),
)
OTHERWISE = corrected.OTHERWISE + ("rope_theta",)


def config(**changes):
    """config.json in the form that transformers saves of XiaomiMiMo/MiMo-V2-Flash, with groups of experts and biases, as it has none."""
    return corrected.common(
        architectures=["MiMoV2FlashForCausalLM"], model_type="mimo_v2_flash", attention_bias=True, attention_value_scale=0.6, head_dim=8,
        hidden_size=12, intermediate_size=14, layer_types=[FULL, SLIDING, FULL], mlp_layer_types=["dense", "sparse", "sparse"],
        moe_intermediate_size=6, n_group=3, n_routed_experts=6, norm_topk_prob=True, num_attention_heads=4, num_experts_per_tok=2,
        num_key_value_heads=1,
        rope_parameters={kind: {"partial_rotary_factor": 0.5, "rope_theta": theta, "rope_type": "default"}
                         for kind, theta in ((FULL, 40.0), (SLIDING, 20.0))},
        rope_theta=None, routed_scaling_factor=1.5, scoring_func="sigmoid", sliding_window=9, topk_group=2, topk_method="noaux_tc", v_head_dim=6,
    ) | {"n_shared_experts": None} | changes


def sizes(c, layer):
    """KV heads, window (0: none), and angles of a layer."""
    slides = c["layer_types"][layer] == SLIDING
    return c["num_key_value_heads"] * (2 if slides else 1), c["sliding_window"] if slides else 0, c["rope_parameters"][c["layer_types"][layer]]


def shape(c):
    """The config as a Corrected."""
    return corrected.shape(c | {"n_shared_experts": 0})


def attention_tensors(c, prefix):
    """Those of a layer's attention: name -> shape."""
    kv, window, _ = sizes(c, int(prefix.split(".")[2]))
    heads, d, shapes = c["num_attention_heads"], c["hidden_size"], {}
    for name, rows in (("q", heads * c["head_dim"]), ("k", kv * c["head_dim"]), ("v", kv * c["v_head_dim"])):
        shapes |= {f"{prefix}{name}_proj.weight": (rows, d), f"{prefix}{name}_proj.bias": (rows,)}
    shapes[prefix + "o_proj.weight"] = (d, heads * c["v_head_dim"])
    return shapes | ({prefix + "attention_sink_bias": (heads,)} if window else {})


def further_tensors(config):
    """One tensor that predicts further tokens: name -> shape."""
    return {"model.mtp.layers.0.enorm.weight": (config["hidden_size"],)}


def scaled(name, values):
    """Sinks that matter."""
    return values if name.endswith("sink_bias") else None


class MimoReference(CorrectedReference):
    """MimoReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config | {"n_shared_experts": 0}, weights, dtype)
        self.config = config

    def attention(self, x, prefix):
        c, s, t, w = self.config, self.shape, x.shape[0], self.w
        kv, window, angles = sizes(c, int(prefix.split(".")[2]))
        s.theta, s.turning = angles["rope_theta"], int(c["head_dim"] * angles["partial_rotary_factor"])
        q, k, v = (F.linear(x, w[f"{prefix}{name}_proj.weight"], w[f"{prefix}{name}_proj.bias"]).view(t, n, -1)
                   for name, n in (("q", s.heads), ("k", kv), ("v", kv)))
        v = v * (c["attention_value_scale"] or 1.0)
        k, v = (y.repeat_interleave(s.heads // kv, dim=1) for y in (self.rope(k), v))
        scores, hidden = torch.einsum("qhd,khd->hqk", self.rope(q), k) * s.attention_scale, self.hidden(t)
        if window:
            hidden = hidden | torch.ones(t, t, dtype=torch.bool).tril(-window)
        scores = scores.masked_fill(hidden, -torch.inf)
        if window:
            scores = torch.cat([scores, w[prefix + "attention_sink_bias"].view(-1, 1, 1).expand(-1, t, 1)], dim=-1)
        mixed = torch.einsum("hqk,khd->qhd", torch.softmax(scores, dim=-1)[..., :t], v)
        return mixed.flatten(1) @ w[prefix + "o_proj.weight"].T
