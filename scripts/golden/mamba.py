"""mamba - tiny checkpoints of the families with Mamba2 (GraniteMoeHybrid), and these families written plainly in PyTorch on top of
deepseek_reference; engine.py compares them with transformers.

What differs: most layers keep one matrix a head instead of keys and values, which each token lets decay and adds to, after a causal
convolution; what the heads of a group give is gated before its norm; attention does not turn with positions.
"""

import dataclasses

import torch
import torch.nn.functional as F

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("granitemoehybrid",)

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("mamba_n_heads", "half", "refuse"),
    ("mamba_d_head", "half", "refuse"),
    ("mamba_n_groups", 1, "refuse"),
    ("mamba_d_state", "minus 1", "refuse"),
    ("mamba_d_conv", "minus 1", "refuse"),
    ("mamba_conv_bias", False, "refuse"),
    ("mamba_proj_bias", True, "refuse"),
    ("mamba_chunk_size", 2, "same"),
    ("time_step_limit", [0.0, 0.1], "refuse"),
    ("position_embedding_type", "rope", "differs"),
    ("position_embedding_type", "learned", "refuse"),
    ("normalization_function", "layernorm", "refuse"),
    ("shared_intermediate_size", "half", "refuse"),
    ("layer_types", ["mamba", "mamba", "attention"], "refuse"),
)
OTHERWISE = ("rope_theta",)


@dataclasses.dataclass
class Mamba(Shape):
    """A Shape, and what these families have beside it."""

    kinds: tuple = ()  # of each layer, whether it has Mamba2
    groups: int = 0
    value_heads: int = 0
    key: int = 0
    value: int = 0
    taps: int = 0
    turns: bool = False  # positions enter attention


def hybrid_config(**changes):
    """config.json in the form of ibm-granite/granite-4.0-h-tiny."""
    return corrected.common(
        architectures=["GraniteMoeHybridForCausalLM"], model_type="granitemoehybrid", attention_bias=False, attention_multiplier=0.3,
        embedding_multiplier=1.5, hidden_size=18, init_method="mup", intermediate_size=7, layer_types=["mamba", "attention", "mamba"],
        logits_scaling=1.25, mamba_chunk_size=256, mamba_conv_bias=True, mamba_d_conv=4, mamba_d_head=6, mamba_d_state=5, mamba_expand=2,
        mamba_n_groups=2, mamba_n_heads=6, mamba_proj_bias=False, normalization_function="rmsnorm", num_attention_heads=3,
        num_experts_per_tok=2, num_key_value_heads=1, num_local_experts=6, output_router_logits=False, position_embedding_type="nope",
        residual_multiplier=0.6, rope_scaling=None, rope_theta=40.0, router_aux_loss_coef=0.0, shared_intermediate_size=10,
        tie_word_embeddings=True,
    ) | changes


def shape(c):
    """The config as a Mamba."""
    plain = dataclasses.asdict(Shape.from_config(c)) | {"renorm": True, "shared": 1}
    return Mamba(**plain, kinds=tuple(kind == "mamba" for kind in c["layer_types"]), groups=c["mamba_n_groups"],
                 value_heads=c["mamba_n_heads"], key=c["mamba_d_state"], value=c["mamba_d_head"], taps=c["mamba_d_conv"],
                 turns=c["position_embedding_type"] == "rope")


def mamba_tensors(config, prefix):
    """Tensors of a layer's Mamba2: name -> shape."""
    s = shape(config)
    values, heads = s.value_heads * s.value, s.value_heads
    channels = values + 2 * s.groups * s.key
    return {prefix + "in_proj.weight": (values + channels + heads, s.width), prefix + "conv1d.weight": (channels, 1, s.taps),
            prefix + "conv1d.bias": (channels,), prefix + "A_log": (heads,), prefix + "dt_bias": (heads,), prefix + "D": (heads,),
            prefix + "norm.weight": (values,), prefix + "out_proj.weight": (s.width, values)}


def shared_tensors(config, prefix):
    """Tensors of the MLP that all tokens take, gate above up: name -> shape."""
    d, wide = config["hidden_size"], config["shared_intermediate_size"]
    return {prefix + "shared_mlp.input_linear.weight": (2 * wide, d), prefix + "shared_mlp.output_linear.weight": (d, wide)}


def scaled(name, values):
    """Random values of a tensor that is not like those of other families, or None."""
    if name.endswith("A_log"):
        return values * 0.7
    if name.endswith("dt_bias"):
        return values - 1.0
    return values if name.endswith(".D") else None


def plain_names(weights):
    """The weights, the shared MLP's as those of others are."""
    plain = {}
    for name, w in weights.items():
        layer, is_shared, part = name.partition("shared_mlp.")
        if part.startswith("input_linear"):
            for half, rows in zip(("gate", "up"), w.chunk(2)):
                plain[f"{layer}mlp.shared_experts.{half}_proj.weight"] = rows
        elif is_shared:
            plain[f"{layer}mlp.shared_experts.down_proj.weight"] = w
        else:
            plain[name] = w.squeeze(1) if name.endswith("conv1d.weight") else w
    return plain


class MambaReference(Reference):
    """MambaReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, plain_names(weights), dtype, shape(config))

    def rope(self, x):
        return super().rope(x) if self.shape.turns else x

    def attention(self, x, prefix):
        if self.shape.kinds[int(prefix.split(".")[2])]:
            return self.mamba(x, prefix.replace("self_attn", "mamba"))
        return super().attention(x, prefix)

    def mamba(self, x, prefix):
        """Token by token, as arXiv:2405.21060 has it in equation 1."""
        s, t, w = self.shape, x.shape[0], self.w
        values, keys, each = s.value_heads * s.value, s.groups * s.key, s.value_heads // s.groups
        z, xbc, dt = (x @ w[prefix + "in_proj.weight"].T).split([values, values + 2 * keys, s.value_heads], dim=-1)
        padded = torch.cat([xbc.new_zeros(s.taps - 1, xbc.shape[1]), xbc])
        xbc = sum(padded[i : i + t] * w[prefix + "conv1d.weight"][:, i] for i in range(s.taps))
        v, b, c = F.silu(xbc + w[prefix + "conv1d.bias"]).split([values, keys, keys], dim=-1)
        v = v.view(t, s.value_heads, s.value)
        b, c = (y.view(t, s.groups, s.key).repeat_interleave(each, dim=1) for y in (b, c))
        dt = F.softplus(dt + w[prefix + "dt_bias"])
        stays = torch.exp(-torch.exp(w[prefix + "A_log"]) * dt)
        state, given = x.new_zeros(s.value_heads, s.key, s.value), []
        for i in range(t):
            state = state * stays[i, :, None, None] + torch.einsum("h,hk,hv->hkv", dt[i], b[i], v[i])
            given.append(torch.einsum("hk,hkv->hv", c[i], state) + w[prefix + "D"][:, None] * v[i])
        y = (torch.stack(given).reshape(t, values) * F.silu(z)).view(t, s.groups, -1)
        y = (y * torch.rsqrt((y * y).mean(-1, keepdim=True) + s.eps)).reshape(t, values) * w[prefix + "norm.weight"]
        return y @ w[prefix + "out_proj.weight"].T
