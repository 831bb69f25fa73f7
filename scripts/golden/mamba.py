"""mamba - tiny checkpoints of the families with Mamba2 (GraniteMoeHybrid, Nemotron-H) and of GraniteMoeShared, the first without Mamba2, and
these families written plainly in PyTorch on top of deepseek_reference; engine.py compares them with transformers.

What differs: most layers keep one matrix a head instead of keys and values, which each token lets decay and adds to, after a causal
convolution; what the heads of a group give is gated before its norm; attention does not turn with positions. A layer of Nemotron-H is
one block, and its MLPs have no gate.
"""

import dataclasses

import torch
import torch.nn.functional as F

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("granitemoehybrid", "granitemoeshared", "nemotron_h")

# For engine.py, as corrected.FLIPS.
HYBRID_FLIPS = (
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
NEMOTRON_FLIPS = (
    ("mamba_num_heads", "half", "refuse"),
    ("mamba_head_dim", "half", "refuse"),
    ("n_groups", 1, "refuse"),
    ("ssm_state_size", "minus 1", "refuse"),
    ("conv_kernel", "minus 1", "refuse"),
    ("use_conv_bias", False, "refuse"),
    ("use_bias", True, "refuse"),
    ("mamba_hidden_act", "gelu", "refuse"),
    ("mlp_hidden_act", "silu", "refuse"),
    ("layer_norm_epsilon", 0.02, "differs"),
    ("hybrid_override_pattern", "EM*E-M", "refuse"),
    ("hybrid_override_pattern", "ME*E-", "refuse"),
    ("hybrid_override_pattern", "ME*E-X", "refuse"),
    ("moe_shared_expert_intermediate_size", "half", "refuse"),
    ("moe_latent_size", 8, "refuse"),
    ("routed_scaling_factor", 1.0, "differs"),
    ("topk_group", 2, "differs"),
    ("n_group", 1, "differs"),
    ("chunk_size", 2, "same"),
)
SHARED_FLIPS = (
    ("rope_theta", 500.0, "differs"),
    ("shared_intermediate_size", "half", "refuse"),
    ("shared_intermediate_size", 0, "refuse"),
)
FLIPS = ()
FLIPS_OF = {"granitemoehybrid": HYBRID_FLIPS, "granitemoeshared": SHARED_FLIPS, "nemotron_h": NEMOTRON_FLIPS}
OTHERWISE = ("rope_theta",)


@dataclasses.dataclass
class Mamba(Shape):
    """A Shape, and what these families have beside it."""

    kinds: tuple = ()  # of each layer, whether it has Mamba2
    key_heads: int = 0
    value_heads: int = 0
    key: int = 0
    value: int = 0
    taps: int = 0
    turns: bool = False  # positions enter attention
    letters: str = ""  # Nemotron-H: of each layer its one block
    scale: float = 1.0
    sigmoid: bool = True
    groups: int = 1  # of experts
    top_groups: int = 1
    least_sum: float = 0.0


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


def shared_config(**changes):
    """config.json in the form of ibm-research/moe-7b-1b-active-shared-experts."""
    return corrected.common(
        architectures=["GraniteMoeSharedForCausalLM"], model_type="granitemoeshared", attention_bias=False, attention_multiplier=0.3,
        embedding_multiplier=1.5, hidden_size=12, intermediate_size=6, logits_scaling=1.25, num_attention_heads=3, num_experts_per_tok=2,
        num_hidden_layers=1, num_key_value_heads=1, num_local_experts=5, residual_multiplier=0.6, rope_scaling=None, rope_theta=40.0,
        shared_intermediate_size=7, tie_word_embeddings=True,
    ) | changes


def nemotron_config(**changes):
    """config.json in the form of nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16, with groups of experts and a dense MLP, as it has none."""
    return corrected.common(
        architectures=["NemotronHForCausalLM"], model_type="nemotron_h", attention_bias=False, chunk_size=128, conv_kernel=3, expand=2,
        head_dim=10, hidden_act=None, hidden_dropout=0.0, hidden_size=18, hybrid_override_pattern="ME*E-M", intermediate_size=21,
        layer_norm_epsilon=1e-3, mamba_head_dim=6, mamba_hidden_act="silu", mamba_num_heads=4, mamba_proj_bias=False,
        mamba_ssm_cache_dtype="float32", mlp_bias=False, mlp_hidden_act="relu2", moe_intermediate_size=9,
        moe_shared_expert_intermediate_size=13, n_group=2, n_groups=2, n_routed_experts=8, n_shared_experts=1, norm_eps=1e-3,
        norm_topk_prob=True, num_attention_heads=4, num_experts_per_tok=2, num_hidden_layers=6, num_key_value_heads=2, num_logits_to_keep=1,
        num_nextn_predict_layers=1, partial_rotary_factor=1.0, rescale_prenorm_residual=True, residual_in_fp32=False, rms_norm_eps=None,
        rope_theta=40.0, routed_scaling_factor=2.5, ssm_state_size=5, time_step_floor=1e-4, time_step_max=0.1, time_step_min=1e-3,
        topk_group=1, use_bias=False, use_conv_bias=True, use_mamba_kernels=True,
    ) | {"moe_latent_size": None, "sliding_window": None, "rope_scaling": None} | changes


def shape(c):
    """The config as a Mamba."""
    if c["model_type"] == "nemotron_h":
        letters = c["hybrid_override_pattern"]
        plain = dataclasses.asdict(Shape.from_config(c | {"rms_norm_eps": c["layer_norm_epsilon"]})) | {
            "renorm": c["norm_topk_prob"], "shared": 1, "layers": len(letters),
            "dense": tuple(i for i, letter in enumerate(letters) if letter != "E")}
        return Mamba(**plain, kinds=tuple(letter == "M" for letter in letters), key_heads=c["n_groups"], value_heads=c["mamba_num_heads"],
                     key=c["ssm_state_size"], value=c["mamba_head_dim"], taps=c["conv_kernel"], letters=letters,
                     scale=c["routed_scaling_factor"], groups=c["n_group"], top_groups=c["topk_group"])
    plain = dataclasses.asdict(Shape.from_config(c)) | {"renorm": True, "shared": 1}
    if c["model_type"] == "granitemoeshared":
        return Mamba(**plain, kinds=(False,) * plain["layers"], turns=True)
    return Mamba(**plain, kinds=tuple(kind == "mamba" for kind in c["layer_types"]), key_heads=c["mamba_n_groups"],
                 value_heads=c["mamba_n_heads"], key=c["mamba_d_state"], value=c["mamba_d_head"], taps=c["mamba_d_conv"],
                 turns=c["position_embedding_type"] == "rope")


def mamba_tensors(config, prefix):
    """Tensors of a layer's Mamba2: name -> shape."""
    s = shape(config)
    values, heads = s.value_heads * s.value, s.value_heads
    channels = values + 2 * s.key_heads * s.key
    return {prefix + "in_proj.weight": (values + channels + heads, s.width), prefix + "conv1d.weight": (channels, 1, s.taps),
            prefix + "conv1d.bias": (channels,), prefix + "A_log": (heads,), prefix + "dt_bias": (heads,), prefix + "D": (heads,),
            prefix + "norm.weight": (values,), prefix + "out_proj.weight": (s.width, values)}


def shared_tensors(config, prefix):
    """Tensors of the MLP that all tokens take, gate above up: name -> shape."""
    d, wide = config["hidden_size"], config["shared_intermediate_size"]
    return {prefix + "shared_mlp.input_linear.weight": (2 * wide, d), prefix + "shared_mlp.output_linear.weight": (d, wide)}


def nemotron_tensors(config):
    """Every tensor of a Nemotron-H: name -> shape."""
    s, d = shape(config), config["hidden_size"]
    shapes = {"backbone.embeddings.weight": (config["vocab_size"], d)}

    def mlp(prefix, wide):
        shapes[prefix + "up_proj.weight"] = (wide, d)
        shapes[prefix + "down_proj.weight"] = (d, wide)

    for layer, letter in enumerate(s.letters):
        p = f"backbone.layers.{layer}."
        shapes[p + "norm.weight"] = (d,)
        p += "mixer."
        if letter == "M":
            shapes |= mamba_tensors(config, p)
        elif letter == "*":
            for name, heads in (("q", s.heads), ("k", s.kv_heads), ("v", s.kv_heads)):
                shapes[f"{p}{name}_proj.weight"] = (heads * s.head_dim, d)
            shapes[p + "o_proj.weight"] = (d, s.heads * s.head_dim)
        elif letter == "-":
            mlp(p, config["intermediate_size"])
        else:
            shapes[p + "gate.weight"] = (s.experts, d)
            shapes[p + "gate.e_score_correction_bias"] = (s.experts,)
            for e in range(s.experts):
                mlp(f"{p}experts.{e}.", config["moe_intermediate_size"])
            mlp(p + "shared_experts.", config["moe_shared_expert_intermediate_size"])
    return shapes | {"backbone.norm_f.weight": (d,), "lm_head.weight": (config["vocab_size"], d), "mtp.norm.weight": (d,)}


def scaled(name, values):
    """Random values of a tensor that is not like those of other families, or None."""
    if name.endswith("A_log"):
        return values * 0.7
    if name.endswith("dt_bias"):
        return values - 1.0
    return values if name.endswith(".D") else None


def nemotron_names(weights, letters):
    """The weights of a Nemotron-H as those of others are called."""
    kinds = {"M": ("input_layernorm", "mamba"), "*": ("input_layernorm", "self_attn"), "E": ("post_attention_layernorm", "mlp"),
             "-": ("post_attention_layernorm", "mlp")}
    plain = {}
    for name, w in weights.items():
        part = name.split(".")
        if part[1] == "layers":
            norm, mixer = kinds[letters[int(part[2])]]
            part[3] = norm if part[3] == "norm" else mixer
        name = ".".join(part).replace("backbone.", "model.").replace(".embeddings.", ".embed_tokens.").replace(".norm_f.", ".norm.")
        plain[name] = w
    return plain


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
        s = shape(config)
        super().__init__(config, plain_names(nemotron_names(weights, s.letters) if s.letters else weights), dtype, s)

    def rope(self, x):
        return super().rope(x) if self.shape.turns else x

    def add(self, x, part, norm):
        return super().add(x, part, norm) if norm in self.w else x  # one block a layer

    def mlp(self, x, prefix):
        if not self.shape.letters:
            return super().mlp(x, prefix)
        return F.relu(x @ self.w[prefix + "up_proj.weight"].T) ** 2 @ self.w[prefix + "down_proj.weight"].T

    def choose(self, z, prefix, bias, mode):
        if not self.shape.letters:
            return super().choose(z, prefix, bias, mode)
        return corrected.route(z, self.w[prefix + "gate.e_score_correction_bias"], self.shape, bias, mode)

    def attention(self, x, prefix):
        if self.shape.kinds[int(prefix.split(".")[2])]:
            return self.mamba(x, prefix.replace("self_attn", "mamba"))
        return super().attention(x, prefix)

    def mamba(self, x, prefix):
        """Token by token, as arXiv:2405.21060 has it in equation 1."""
        s, t, w = self.shape, x.shape[0], self.w
        values, keys, each = s.value_heads * s.value, s.key_heads * s.key, s.value_heads // s.key_heads
        z, xbc, dt = (x @ w[prefix + "in_proj.weight"].T).split([values, values + 2 * keys, s.value_heads], dim=-1)
        padded = torch.cat([xbc.new_zeros(s.taps - 1, xbc.shape[1]), xbc])
        xbc = sum(padded[i : i + t] * w[prefix + "conv1d.weight"][:, i] for i in range(s.taps))
        v, b, c = F.silu(xbc + w[prefix + "conv1d.bias"]).split([values, keys, keys], dim=-1)
        v = v.view(t, s.value_heads, s.value)
        b, c = (y.view(t, s.key_heads, s.key).repeat_interleave(each, dim=1) for y in (b, c))
        dt = F.softplus(dt + w[prefix + "dt_bias"])
        stays = torch.exp(-torch.exp(w[prefix + "A_log"]) * dt)
        state, given = x.new_zeros(s.value_heads, s.key, s.value), []
        for i in range(t):
            state = state * stays[i, :, None, None] + torch.einsum("h,hk,hv->hkv", dt[i], b[i], v[i])
            given.append(torch.einsum("hk,hkv->hv", c[i], state) + w[prefix + "D"][:, None] * v[i])
        y = (torch.stack(given).reshape(t, values) * F.silu(z)).view(t, s.key_heads, -1)
        y = (y * torch.rsqrt((y * y).mean(-1, keepdim=True) + s.eps)).reshape(t, values) * w[prefix + "norm.weight"]
        return y @ w[prefix + "out_proj.weight"].T
