"""parallel - the tiny checkpoint of Cohere2-MoE, and this family written plainly in PyTorch on top of deepseek_reference; engine.py compares
it with transformers.

What differs: attention and the MLP read the same norm of the same residual, a LayerNorm without a bias; neighbours turn, in layers with a
window and in dense layers, the others are told of no positions; what shared experts give and what the chosen ones give count by half each.
"""

import dataclasses

import torch
import torch.nn.functional as F

from . import corrected
from .deepseek_reference import Reference, Shape, route, softmax

FAMILIES = ("cohere2_moe",)

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("layer_norm_eps", 0.3, "differs"),
    ("logit_scale", 1.0, "differs"),
    ("sliding_window", 12, "differs"),
    ("sliding_window", None, "refuse"),
    ("layer_types", ["full_attention", "full_attention", "sliding_attention"], "differs"),
    ("layer_types", ["full_attention"] * 2, "refuse"),
    ("mlp_layer_types", ["sparse", "sparse", "sparse"], "refuse"),
    ("prefix_dense_sliding_window_pattern", 2, "differs"),
    ("prefix_dense_intermediate_size", None, "refuse"),
    ("num_shared_experts", 2, "refuse"),
    ("shared_expert_combination_strategy", "sum", "differs"),
    ("shared_expert_combination_strategy", "product", "refuse"),
    ("expert_selection_fn", "softmax", "differs"),
    ("expert_selection_fn", "tanh", "refuse"),
    ("use_qk_norm", True, "refuse"),
    ("use_parallel_block", False, "refuse"),
    ("position_embedding_type", "rope_neox", "refuse"),
)
OTHERWISE = ("rms_norm_eps", "sliding_window", "head_dim")


@dataclasses.dataclass
class Parallel(Shape):
    """A Shape, and what this family has beside it."""

    config: dict = dataclasses.field(default_factory=dict)
    scale: float = 1.0  # of the chosen experts,
    shared_scale: float = 1.0  # and of the shared ones

    def window(self, layer):
        """Positions that the layer's queries see; 0: all."""
        return self.config["sliding_window"] if self.config["layer_types"][layer] == "sliding_attention" else 0

    def turns(self, layer):
        """Whether its heads turn."""
        return bool(self.window(layer)) or (layer in self.dense and self.config["prefix_dense_sliding_window_pattern"] == 1)


def config(**changes):
    """config.json of CohereLabs' Cohere2MoeForCausalLM as transformers saves it, tiny: a dense layer, one with a window, one without."""
    c = corrected.common(
        architectures=["Cohere2MoeForCausalLM"], model_type="cohere2_moe", attention_bias=False, expert_selection_fn="sigmoid", head_dim=6,
        hidden_size=12, intermediate_size=6, layer_norm_eps=1e-2, layer_types=["full_attention", "sliding_attention", "full_attention"],
        logit_scale=0.75, mlp_layer_types=["dense", "sparse", "sparse"], norm_topk_prob=True, num_attention_heads=2, num_experts=5,
        num_experts_per_tok=2, num_key_value_heads=1, num_shared_experts=1, position_embedding_type="rope_gptj",
        prefix_dense_intermediate_size=14, prefix_dense_sliding_window_pattern=1, rope_theta=20.0,
        shared_expert_combination_strategy="average", sliding_window=9, sliding_window_pattern=4, tie_word_embeddings=True,
        use_parallel_block=True, use_qk_norm=False,
    )
    del c["rms_norm_eps"]
    return c | changes


def shape(c):
    """The config as a Parallel; what is kept of the config is what a Shape has no place for."""
    average = c["shared_expert_combination_strategy"] == "average"
    plain = dataclasses.asdict(Shape.from_config(c)) | {
        "shared": c["num_shared_experts"], "dense": tuple(i for i, kind in enumerate(c["mlp_layer_types"]) if kind == "dense"),
        "eps": c["layer_norm_eps"], "logits_divisor": 1.0 / c["logit_scale"], "norms": ("input_layernorm.weight",) * 2}
    return Parallel(**plain, config=c, **dict.fromkeys(("scale", "shared_scale"), 0.5 if average else 1.0))


class ParallelReference(Reference):
    """ParallelReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name], None, self.shape.eps)

    def rope(self, x):
        """Neighbours: side by side what lies half a head apart there."""
        apart = x.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
        return super().rope(apart).unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)

    def attention(self, x, prefix):
        s, t = self.shape, x.shape[0]
        layer, hidden = int(prefix.split(".")[2]), self.hidden(t)
        q, k, v = (F.linear(x, self.w[f"{prefix}{name}_proj.weight"]).view(t, -1, s.head_dim) for name in "qkv")
        if s.turns(layer):
            q, k = self.rope(q), self.rope(k)
        if s.window(layer):
            hidden = hidden | torch.ones(t, t, dtype=torch.bool).tril(-s.window(layer))
        k, v = (y.repeat_interleave(s.heads // s.kv_heads, dim=1) for y in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) * s.attention_scale
        mixed = torch.einsum("hqk,khd->qhd", torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1), v)
        return mixed.flatten(1) @ self.w[prefix + "o_proj.weight"].T

    def choose(self, z, prefix, bias, mode):
        sigmoid = self.shape.config["expert_selection_fn"] == "sigmoid"
        return route(z, self.shape.chosen, self.shape.renorm or not sigmoid, bias, mode, torch.sigmoid if sigmoid else softmax)

    def layer(self, x, attention, mlp, norms):
        y = self.norm(x, norms[0])
        return x + attention(y) + mlp(y)
