"""windows - tiny checkpoints of the families whose heads turn only in layers with a window (AFMoE, EXAONE-MoE), and these families written
plainly in PyTorch on top of deepseek_reference; engine.py compares them with transformers.

What differs: layers that see all positions are told of none; scores are sigmoids that a correction is added to for the choice. AFMoE has
norms before and after attention and the MLP, a gate of attention's result, and an embedding that the root of the width multiplies.
"""

import dataclasses

import torch
import torch.nn.functional as F

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("afmoe", "exaone_moe")
TYPES = ["sliding_attention", "full_attention", "sliding_attention"]

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("sliding_window", 12, "differs"),
    ("sliding_window", None, "refuse"),
    ("layer_types", ["full_attention"] * 3, "refuse"),
    ("layer_types", ["full_attention"] * 2, "refuse"),
    ("num_shared_experts", 3, "refuse"),
    ("scoring_func", "softmax", "refuse"),
    ("attention_bias", True, "refuse"),
)
FLIPS_OF = {
    "afmoe": (
        ("layer_types", ["sliding_attention", "sliding_attention", "full_attention"], "differs"),
        ("rope_theta", 500.0, "differs"),
        ("route_scale", 1.0, "differs"),
        ("route_norm", False, "refuse"),
        ("score_func", "softmax", "refuse"),
        ("mup_enabled", False, "differs"),
        ("num_dense_layers", 0, "refuse"),
        ("num_expert_groups", 2, "refuse"),
        ("num_limited_groups", 2, "refuse"),
    ),
    "exaone_moe": (
        ("layer_types", ["full_attention", "sliding_attention"], "differs"),
        ("mlp_layer_types", ["sparse", "sparse"], "refuse"),
        ("rope_parameters", {"rope_theta": 500.0}, "differs"),
        ("n_group", 1, "differs"),
        ("topk_group", 2, "differs"),
        ("n_group", 3, "refuse"),
        ("routed_scaling_factor", 1.0, "differs"),
        ("num_nextn_predict_layers", 0, "refuse"),
        ("topk_method", "greedy", "refuse"),
    ),
}
OTHERWISE = ("attention_bias", "rope_theta", "scoring_func", "sliding_window")


@dataclasses.dataclass
class Windows(Shape):
    """A Shape, and what these families have beside it."""

    window: tuple = ()  # of each layer; 0: it sees all positions
    gated: bool = False
    sigmoid: bool = True
    correction: bool = True
    groups: int = 1
    top_groups: int = 1
    scale: float = 1.0
    least_sum: float = 0.0


def afmoe_config(**changes):
    """config.json in the form of arcee-ai/Trinity-Mini."""
    return corrected.common(
        architectures=["AfmoeForCausalLM"], model_type="afmoe", global_attn_every_n_layers=4, head_dim=10, intermediate_size=20,
        layer_types=TYPES, load_balance_coeff=0.001, moe_intermediate_size=6, mup_enabled=True, num_dense_layers=1, num_expert_groups=1,
        num_experts=9, num_experts_per_tok=3, num_limited_groups=1, num_shared_experts=2, rope_theta=20.0, route_norm=True, route_scale=1.75,
        score_func="sigmoid", sliding_window=9, use_grouped_mm=True,
    ) | {"rope_scaling": None} | changes


def exaone_config(**changes):
    """config.json in the form of LGAI-EXAONE/K-EXAONE-236B-A23B, with two groups of experts of which one is chosen from, as it has not."""
    return corrected.common(
        architectures=["ExaoneMoEForCausalLM"], model_type="exaone_moe", first_k_dense_replace=1, head_dim=10, intermediate_size=20,
        layer_types=TYPES[:2], mlp_layer_types=["dense", "sparse"], moe_intermediate_size=8, n_group=2, norm_topk_prob=True, num_experts=8,
        num_experts_per_tok=2, num_hidden_layers=2, num_nextn_predict_layers=1, num_shared_experts=1,
        rope_parameters={"rope_theta": 20.0, "rope_type": "default"}, rope_theta=None, routed_scaling_factor=2.5, scoring_func="sigmoid",
        sliding_window=9, sliding_window_pattern="LLLG", topk_group=1, topk_method="noaux_tc",
    ) | changes


def shape(c):
    """The config as a Windows."""
    afmoe = c["model_type"] == "afmoe"
    plain = dataclasses.asdict(Shape.from_config(c)) | {
        "first_moe": c["num_dense_layers" if afmoe else "first_k_dense_replace"], "qk_norm": "head", "shared": c["num_shared_experts"],
        "renorm": c.get("norm_topk_prob", True), "theta": c.get("rope_parameters", c)["rope_theta"],
        "embed_scale": c["hidden_size"] ** 0.5 if c.get("mup_enabled") else 1.0}
    if afmoe:
        plain["norms"] = ("input_layernorm.weight", "pre_mlp_layernorm.weight")
    return Windows(**plain, gated=afmoe, groups=c.get("n_group", 1), top_groups=c.get("topk_group", 1),
                   scale=c.get("routed_scaling_factor", c.get("route_scale")),
                   window=tuple(c["sliding_window"] if kind == "sliding_attention" else 0 for kind in c["layer_types"]))


def further_tensors(config):
    """Gates and norms after attention and the MLP, or one tensor that predicts further tokens: name -> shape."""
    s, shapes = shape(config), {}
    if not s.gated:
        return {"mtp.norm.weight": (s.width,)}
    for layer in range(s.layers):
        p = f"model.layers.{layer}."
        shapes |= {p + "self_attn.gate_proj.weight": (s.heads * s.head_dim, s.width), p + "post_attention_layernorm.weight": (s.width,),
                   p + "post_mlp_layernorm.weight": (s.width,)}
    return shapes


class WindowsReference(Reference):
    """WindowsReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))

    def choose(self, z, prefix, bias, mode):
        return corrected.route(z, self.w[prefix + "gate.e_score_correction_bias"], self.shape, bias, mode)

    def attention(self, x, prefix):
        s, t, w = self.shape, x.shape[0], self.w
        window, hidden = s.window[int(prefix.split(".")[2])], self.hidden(t)
        q, k, v = (F.linear(x, w[f"{prefix}{name}_proj.weight"]).view(t, -1, s.head_dim) for name in "qkv")
        q, k = self.norm(q, prefix + "q_norm.weight"), self.norm(k, prefix + "k_norm.weight")
        if window:
            q, k, hidden = self.rope(q), self.rope(k), hidden | torch.ones(t, t, dtype=torch.bool).tril(-window)
        k, v = (y.repeat_interleave(s.heads // s.kv_heads, dim=1) for y in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) * s.attention_scale
        mixed = torch.einsum("hqk,khd->qhd", torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1), v).flatten(1)
        if s.gated:
            mixed = mixed * torch.sigmoid(x @ w[prefix + "gate_proj.weight"].T)
        return mixed @ w[prefix + "o_proj.weight"].T

    def add(self, x, part, norm):
        if not self.shape.gated:
            return super().add(x, part, norm)
        after = norm.replace("input_layernorm", "post_attention_layernorm").replace("pre_mlp", "post_mlp")
        return x + self.norm(part(self.norm(x, norm)), after)
