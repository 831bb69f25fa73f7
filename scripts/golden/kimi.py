"""kimi - the tiny checkpoint of Kimi-Linear, and this family written plainly in PyTorch on top of latent; engine.py compares it with
transformers.

What differs from DeepSeek-V3: no positions; most layers have Kimi Delta Attention, Gated DeltaNet (delta.py) with a decay for each
channel of the keys, whose rates and gates are products of latents, and a sigmoid as gate of the norm. Keys of the config and tensors
have names of their own.
"""

import torch
import torch.nn.functional as F

from . import corrected, latent
from .delta import EPSILON

FAMILIES = ("kimi_linear",)
NAMES = {"num_expert_group": "n_group", "moe_renormalize": "norm_topk_prob", "num_experts": "n_routed_experts",
         "num_shared_experts": "n_shared_experts", "num_experts_per_token": "num_experts_per_tok"}

# For engine.py, as corrected.FLIPS; what is refused is in tests/unit/test_families_kimi.c.
FLIPS = (
    ("moe_renormalize", "not", "differs"),
    ("num_experts_per_token", 1, "differs"),
    ("routed_scaling_factor", 1.0, "differs"),
)
OTHERWISE = latent.OTHERWISE + ("rope_theta",)  # which may be absent and is idle


def config(**changes):
    """config.json in the form of moonshotai/Kimi-Linear-48B-A3B-Instruct."""
    fields = corrected.common(
        architectures=["KimiLinearForCausalLM"], model_type="kimi_linear", first_k_dense_replace=1, hidden_size=6, intermediate_size=7,
        kv_lora_rank=6, linear_attn_config={"full_attn_layers": [2], "head_dim": 5, "kda_layers": [1], "num_heads": 3,
                                            "short_conv_kernel_size": 4},
        mla_use_nope=True, model_max_length=128, moe_intermediate_size=3, moe_layer_freq=1, moe_renormalize=True,
        moe_router_activation_func="sigmoid", num_attention_heads=3, num_expert_group=1, num_experts=3, num_experts_per_token=2,
        num_hidden_layers=2, num_key_value_heads=3, num_shared_experts=1, qk_nope_head_dim=4, qk_rope_head_dim=2,
        routed_scaling_factor=2.446, topk_group=1, use_grouped_topk=True, v_head_dim=5)
    del fields["max_position_embeddings"], fields["rope_theta"], fields["transformers_version"], fields["initializer_range"]
    return fields | {"q_lora_rank": None} | changes


def flat(c):
    """The fields by the names that DeepSeek-V3 has for them."""
    return {NAMES.get(key, key): value for key, value in c.items()}


def shape(c):
    """The config as a Latent, and what Kimi Delta Attention has beside it."""
    s, linear = latent.shape(flat(c)), c["linear_attn_config"]
    s.kinds = [layer + 1 in linear["kda_layers"] for layer in range(s.layers)]
    s.linear_heads, s.linear_dim, s.taps = linear["num_heads"], linear["head_dim"], linear["short_conv_kernel_size"]
    return s


def attention_tensors(config, prefix):
    """Those of a layer's attention, or of what it has instead: name -> shape."""
    s = shape(config)
    if not s.kinds[int(prefix.split(".")[2])]:
        return latent.attention_tensors(flat(config), prefix)
    rank, all_heads = s.linear_dim, s.linear_heads * s.linear_dim
    shapes = {f"{prefix}{name}_proj.weight": (all_heads, s.width) for name in "qkv"}
    shapes |= {f"{prefix}{name}_conv1d.weight": (all_heads, 1, s.taps) for name in "qkv"}
    for name in "fg":
        shapes |= {f"{prefix}{name}_a_proj.weight": (rank, s.width), f"{prefix}{name}_b_proj.weight": (all_heads, rank)}
    return shapes | {prefix + "b_proj.weight": (s.linear_heads, s.width), prefix + "A_log": (1, 1, s.linear_heads, 1),
                     prefix + "dt_bias": (all_heads,), prefix + "o_norm.weight": (rank,), prefix + "o_proj.weight": (s.width, all_heads)}


def name_of(name):
    """A tensor's published name: that of layers with experts has another module, with parts of its own names."""
    layer, inside, part = name.partition(".mlp.")
    if not part.startswith(("experts", "gate.", "shared_experts")):
        return name
    if part.startswith("experts"):
        for ours, theirs in (("gate_proj", "w1"), ("up_proj", "w3"), ("down_proj", "w2")):
            part = part.replace(ours, theirs)
    return f"{layer}.block_sparse_moe.{part}"


def scaled(name, values):
    """Random values of a tensor that is not like those of other families, or None."""
    if name.endswith("A_log"):
        return values * 0.7
    return values - 1.0 if name.endswith("dt_bias") else None


class KimiReference(latent.LatentReference):
    """KimiReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        plain = {name: w.reshape(-1) if name.endswith("A_log") else w.squeeze(1) if "conv1d" in name else w for name, w in weights.items()}
        super().__init__(flat(config), plain, dtype)
        self.shape = shape(config)

    def rope(self, x):
        return x

    def attention(self, x, prefix):
        return self.delta(x, prefix) if self.shape.kinds[int(prefix.split(".")[2])] else super().attention(x, prefix)

    def product(self, x, name):
        return x @ self.w[name + "_proj.weight"].T

    def convolved(self, x, prefix, name):
        """Queries, keys or values [T, heads, channels], each channel with those of the tokens before."""
        s, t = self.shape, x.shape[0]
        y = self.product(x, prefix + name)
        padded = torch.cat([y.new_zeros(s.taps - 1, y.shape[1]), y])
        y = F.silu(sum(padded[i : i + t] * self.w[f"{prefix}{name}_conv1d.weight"][:, i] for i in range(s.taps)))
        return y.view(t, s.linear_heads, s.linear_dim)

    def delta(self, x, prefix):
        """Token by token, as arXiv:2510.26692 has it in equation 1."""
        s, t, w = self.shape, x.shape[0], self.w
        q, k, v = (self.convolved(x, prefix, name) for name in "qkv")
        q, k = (y * torch.rsqrt((y * y).sum(-1, keepdim=True) + EPSILON) for y in (q, k))
        q, beta = q * s.linear_dim**-0.5, torch.sigmoid(self.product(x, prefix + "b"))
        rates, gates = (self.product(self.product(x, f"{prefix}{name}_a"), f"{prefix}{name}_b") for name in "fg")
        stays = torch.exp(-torch.exp(w[prefix + "A_log"])[:, None] * F.softplus(rates + w[prefix + "dt_bias"]).view(t, s.linear_heads, -1))
        state, given = x.new_zeros(s.linear_heads, s.linear_dim, s.linear_dim), []
        for i in range(t):
            state = state * stays[i, :, :, None]
            step = beta[i, :, None] * (v[i] - torch.einsum("hk,hkv->hv", k[i], state))
            state = state + torch.einsum("hk,hv->hkv", k[i], step)
            given.append(torch.einsum("hk,hkv->hv", q[i], state))
        y = torch.stack(given)
        y = y * torch.rsqrt((y * y).mean(-1, keepdim=True) + s.eps) * w[prefix + "o_norm.weight"] * torch.sigmoid(gates.view(y.shape))
        return y.reshape(t, -1) @ w[prefix + "o_proj.weight"].T
