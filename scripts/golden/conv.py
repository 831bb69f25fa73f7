"""conv - the tiny checkpoint of the family with short convolutions (LFM2-MoE), and this family written plainly in PyTorch on top of
deepseek_reference; engine.py compares it with transformers.

What differs: most layers mix each channel with its last tokens alone, between two gates that the token itself gives; scores are sigmoids
that a correction is added to for the choice.
"""

import dataclasses

import torch

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("lfm2_moe",)

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("norm_eps", 0.05, "differs"),
    ("conv_L_cache", "minus 1", "refuse"),
    ("conv_bias", True, "refuse"),
    ("layer_types", ["conv", "conv", "full_attention"], "refuse"),
    ("layer_types", ["conv", "full_attention", "short_conv"], "refuse"),
    ("num_dense_layers", 0, "refuse"),
    ("use_expert_bias", False, "refuse"),
    ("routed_scaling_factor", 1.0, "differs"),
    ("tie_embedding", False, "refuse"),
)
OTHERWISE = ("rms_norm_eps", "tie_word_embeddings")


@dataclasses.dataclass
class Conv(Shape):
    """A Shape, and what this family has beside it."""

    kinds: tuple = ()  # of each layer, whether it has a convolution
    taps: int = 0
    sigmoid: bool = True
    correction: bool = True
    groups: int = 1
    scale: float = 1.0
    least_sum: float = 0.0
    more: float = 1e-6


def config(**changes):
    """config.json in the form of LiquidAI/LFM2-8B-A1B, with a scale of what the experts give, as it has none."""
    return corrected.common(
        architectures=["Lfm2MoeForCausalLM"], model_type="lfm2_moe", conv_L_cache=3, conv_bias=False, hidden_act=None, hidden_size=18,
        intermediate_size=21, layer_types=["conv", "full_attention", "conv"], moe_intermediate_size=9, norm_eps=1e-3, norm_topk_prob=True,
        num_attention_heads=3, num_dense_layers=1, num_experts=8, num_experts_per_tok=2, num_key_value_heads=1, rms_norm_eps=None,
        rope_theta=40.0, routed_scaling_factor=1.5, tie_word_embeddings=True, use_expert_bias=True,
    ) | changes


def shape(c):
    """The config as a Conv."""
    plain = dataclasses.asdict(Shape.from_config(c | {"rms_norm_eps": c["norm_eps"]})) | {
        "first_moe": c["num_dense_layers"], "qk_norm": "head"}
    return Conv(**plain, kinds=tuple(kind == "conv" for kind in c["layer_types"]), taps=c["conv_L_cache"],
                scale=c["routed_scaling_factor"])


def conv_tensors(config, prefix):
    """Tensors of a layer's convolution: name -> shape."""
    s = shape(config)
    return {prefix + "in_proj.weight": (3 * s.width, s.width), prefix + "conv.weight": (s.width, 1, s.taps),
            prefix + "out_proj.weight": (s.width, s.width)}


class ConvReference(Reference):
    """ConvReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        taps = {name: w.squeeze(1) if name.endswith("conv.conv.weight") else w for name, w in weights.items()}
        super().__init__(config, taps, dtype, shape(config))

    def choose(self, z, prefix, bias, mode):
        return corrected.route(z, self.w[prefix + "gate.e_score_correction_bias"], self.shape, bias, mode)

    def attention(self, x, prefix):
        s, t, w = self.shape, x.shape[0], self.w
        if not s.kinds[int(prefix.split(".")[2])]:
            return super().attention(x, prefix)
        prefix = prefix.replace("self_attn", "conv")
        before, after, value = (x @ w[prefix + "in_proj.weight"].T).chunk(3, dim=-1)
        padded = torch.cat([x.new_zeros(s.taps - 1, s.width), before * value])
        mixed = sum(padded[i : i + t] * w[prefix + "conv.weight"][:, i] for i in range(s.taps))
        return (after * mixed) @ w[prefix + "out_proj.weight"].T
