"""delta - tiny checkpoints of the families with Gated DeltaNet (Qwen3-Next, Qwen3.5-MoE), and these families written plainly in PyTorch
on top of deepseek_reference; engine.py compares them with transformers.

What differs: most layers keep one matrix a head instead of keys and values, which each token lets decay, reads and corrects, after a
causal convolution; attention has a gate, and of each head a part turns; norms are stored as what they are more than 1; a shared expert
has a gate. Qwen3.5's config and names lie inside those of a model that sees images, and its experts are stacked.
"""

import dataclasses

import torch
import torch.nn.functional as F

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("qwen3_next", "qwen3_5_moe")
EPSILON = 1e-6  # of the lengths of queries and keys

# For engine.py: fields that change the mathematics, beside those of all families; and those that mean something else here.
FLIPS = (
    ("linear_num_key_heads", 1, "refuse"),
    ("linear_num_value_heads", "half", "refuse"),
    ("linear_key_head_dim", "half", "refuse"),
    ("linear_value_head_dim", "half", "refuse"),
    ("linear_conv_kernel_dim", "minus 1", "refuse"),
    ("full_attention_interval", 2, "refuse"),
)
FLIPS_OF = {
    "qwen3_next": (("rope_theta", 500.0, "differs"), ("partial_rotary_factor", 1.0, "differs"), ("partial_rotary_factor", 0.1, "refuse")),
    "qwen3_5_moe": (("attn_output_gate", False, "refuse"), ("output_gate_type", "sigmoid", "refuse"), ("mtp_num_hidden_layers", 0, "refuse")),
}
OTHERWISE = ("rope_theta", "rope_scaling")


@dataclasses.dataclass
class Delta(Shape):
    """A Shape, and what these families have beside it."""

    kinds: tuple = ()  # of each layer, whether it has Gated DeltaNet
    key_heads: int = 0
    value_heads: int = 0
    key: int = 0
    value: int = 0
    taps: int = 0
    turning: int = 0


def next_config(**changes):
    """config.json in the form of Qwen/Qwen3-Next-80B-A3B-Instruct, with a dense layer, as no published one has."""
    return corrected.common(
        architectures=["Qwen3NextForCausalLM"], model_type="qwen3_next", attention_bias=False, decoder_sparse_step=1, full_attention_interval=3,
        head_dim=12, hidden_size=16, linear_conv_kernel_dim=4, linear_key_head_dim=6, linear_num_key_heads=2, linear_num_value_heads=4,
        linear_value_head_dim=10, mlp_only_layers=[1], moe_intermediate_size=8, norm_topk_prob=True, num_experts=6, num_experts_per_tok=2,
        output_router_logits=False, partial_rotary_factor=0.5, rope_theta=40.0, router_aux_loss_coef=0.001, shared_expert_intermediate_size=12,
    ) | {"rope_scaling": None} | changes


def text_config(vocab_size):
    """config.json in the form of Qwen/Qwen3.5-35B-A3B: that of the text inside, and a part that sees images."""
    text = corrected.common(
        attention_bias=False, attn_output_gate=True, head_dim=8, linear_conv_kernel_dim=3, linear_key_head_dim=8, linear_num_key_heads=3,
        layer_types=["linear_attention", "full_attention", "linear_attention"], linear_num_value_heads=6, linear_value_head_dim=6,
        mamba_ssm_dtype="float32", model_type="qwen3_5_moe_text", moe_intermediate_size=8, mtp_num_hidden_layers=1, num_experts=6,
        num_experts_per_tok=2, output_gate_type="swish", partial_rotary_factor=0.5,
        rope_parameters={"mrope_interleaved": True, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.5, "rope_theta": 40.0,
                         "rope_type": "default"},
        shared_expert_intermediate_size=12, intermediate_size=None, rope_theta=None, tie_word_embeddings=None, torch_dtype=None,
        transformers_version=None, vocab_size=vocab_size,
    )
    return {
        "architectures": ["Qwen3_5MoeForConditionalGeneration"], "image_token_id": 93, "model_type": "qwen3_5_moe", "text_config": text,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.57.1", "video_token_id": 94,
        "vision_config": {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "model_type": "qwen3_5_moe", "num_heads": 2,
                          "num_position_embeddings": 16, "out_hidden_size": 16, "patch_size": 4},
        "vision_end_token_id": 95, "vision_start_token_id": 96,
    }


def flat(config):
    """The fields of the text's model, with those around it that matter."""
    outside = {k: config[k] for k in ("architectures", "model_type", "tie_word_embeddings", "torch_dtype") if k in config}
    return config.get("text_config", {}) | outside if "text_config" in config else config


def shape(c):
    """The config as a Delta."""
    layers, part = c["num_hidden_layers"], c.get("rope_parameters") or c
    kinds = c.get("layer_types") or ["linear_attention" if (i + 1) % c["full_attention_interval"] else "full_attention" for i in range(layers)]
    plain = dataclasses.asdict(Shape.from_config(c)) | {
        "qk_norm": "head", "gated_shared": True, "shared": 1, "theta": part["rope_theta"], "renorm": c.get("norm_topk_prob", True)}
    # what stands outside counts for the angles only where nothing does inside, as transformers has it
    return Delta(**plain, kinds=tuple(kind == "linear_attention" for kind in kinds), key_heads=c["linear_num_key_heads"],
                 value_heads=c["linear_num_value_heads"], key=c["linear_key_head_dim"], value=c["linear_value_head_dim"],
                 taps=c["linear_conv_kernel_dim"], turning=int(c["head_dim"] * part["partial_rotary_factor"]))


def attention_tensors(config, layer, prefix):
    """Tensors of a layer's attention, or of what it has instead: name -> shape."""
    s = shape(config)
    keys, values, p = s.key_heads * s.key, s.value_heads * s.value, f"{prefix}linear_attn."
    if not s.kinds[layer]:
        p, q, kv = f"{prefix}self_attn.", s.heads * s.head_dim, s.kv_heads * s.head_dim
        return {p + "q_proj.weight": (2 * q, s.width), p + "k_proj.weight": (kv, s.width), p + "v_proj.weight": (kv, s.width),
                p + "o_proj.weight": (s.width, q), p + "q_norm.weight": (s.head_dim,), p + "k_norm.weight": (s.head_dim,)}
    if config["model_type"] == "qwen3_next":
        inputs = {"in_proj_qkvz": 2 * keys + 2 * values, "in_proj_ba": 2 * s.value_heads}
    else:
        inputs = {"in_proj_qkv": 2 * keys + values, "in_proj_z": values, "in_proj_b": s.value_heads, "in_proj_a": s.value_heads}
    shapes = {f"{p}{name}.weight": (rows, s.width) for name, rows in inputs.items()}
    return shapes | {p + "conv1d.weight": (2 * keys + values, 1, s.taps), p + "A_log": (s.value_heads,), p + "dt_bias": (s.value_heads,),
                     p + "norm.weight": (s.value,), p + "out_proj.weight": (s.width, values)}


def further_tensors(config):
    """A few of the tensors that predict further tokens, or see images, which nobody here reads: name -> shape."""
    d = config["hidden_size"]
    further = {"mtp.fc.weight": (d, 2 * d), "mtp.norm.weight": (d,)}
    return further if config["model_type"] == "qwen3_next" else further | {"model.visual.patch_embed.proj.weight": (8, 3, 2, 4, 4)}


def scaled(name, values):
    """Random values of a tensor that is not like those of other families, or None."""
    if name.endswith("A_log"):
        return values * 0.7
    if name.endswith("dt_bias"):
        return values - 1.0
    return 0.2 * values if "norm" in name and "linear_attn" not in name else None


class DeltaReference(Reference):
    """DeltaReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        config = flat(config)
        weights = {name: w.squeeze(1) if name.endswith("conv1d.weight") else w for name, w in weights.items()}
        super().__init__(config, {name: w for name, w in weights.items() if "visual" not in name}, dtype, shape(config))

    def norm(self, x, name):
        return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + self.shape.eps) * (1.0 + self.w[name])

    def rope(self, x):
        turning = self.shape.turning
        return torch.cat([super().rope(x[..., :turning]), x[..., turning:]], dim=-1)

    def attention(self, x, prefix):
        s, t = self.shape, x.shape[0]
        if s.kinds[int(prefix.split(".")[2])]:
            return self.delta(x, prefix.replace("self_attn", "linear_attn"))
        w = self.w
        q, gate = (x @ w[prefix + "q_proj.weight"].T).view(t, s.heads, 2 * s.head_dim).chunk(2, dim=-1)
        k, v = ((x @ w[f"{prefix}{name}_proj.weight"].T).view(t, s.kv_heads, s.head_dim) for name in "kv")
        q, k = self.rope(self.norm(q, prefix + "q_norm.weight")), self.rope(self.norm(k, prefix + "k_norm.weight"))
        k, v = (y.repeat_interleave(s.heads // s.kv_heads, dim=1) for y in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) * s.attention_scale
        p = torch.softmax(scores.masked_fill(self.hidden(t), -torch.inf), dim=-1)
        mixed = torch.einsum("hqk,khd->qhd", p, v) * torch.sigmoid(gate)
        return mixed.reshape(t, -1) @ w[prefix + "o_proj.weight"].T

    def project(self, x, prefix):
        """q, k [T, key heads, key], v, z [T, value heads, value] and b, a [T, value heads] of x."""
        s, t, w = self.shape, x.shape[0], self.w
        each, keys = s.value_heads // s.key_heads, s.key_heads * s.key
        if prefix + "in_proj_ba.weight" in w:  # key head by key head
            mixed = (x @ w[prefix + "in_proj_qkvz.weight"].T).view(t, s.key_heads, -1)
            q, k, v, z = mixed.split([s.key, s.key, each * s.value, each * s.value], dim=-1)
            b, a = (x @ w[prefix + "in_proj_ba.weight"].T).view(t, s.key_heads, -1).split([each, each], dim=-1)
        else:
            q, k, v = (x @ w[prefix + "in_proj_qkv.weight"].T).split([keys, keys, s.value_heads * s.value], dim=-1)
            z, b, a = (x @ w[f"{prefix}in_proj_{name}.weight"].T for name in "zba")
        return [y.reshape(t, -1) for y in (q, k, v, z, b, a)]

    def delta(self, x, prefix):
        """Token by token, as arXiv:2412.06464 has it in equation 10."""
        s, t, w = self.shape, x.shape[0], self.w
        *qkv, z, b, a = self.project(x, prefix)
        qkv = torch.cat(qkv, dim=-1)
        padded = torch.cat([qkv.new_zeros(s.taps - 1, qkv.shape[1]), qkv])
        qkv = F.silu(sum(padded[i : i + t] * w[prefix + "conv1d.weight"][:, i] for i in range(s.taps)))
        q, k, v = qkv.split([s.key_heads * s.key] * 2 + [s.value_heads * s.value], dim=-1)
        q, k = (y.view(t, s.key_heads, s.key) for y in (q, k))
        q, k = (y * torch.rsqrt((y * y).sum(-1, keepdim=True) + EPSILON) for y in (q, k))
        q, k = (y.repeat_interleave(s.value_heads // s.key_heads, dim=1) for y in (q * s.key**-0.5, k))
        v, beta = v.view(t, s.value_heads, s.value), torch.sigmoid(b)
        stays = torch.exp(-torch.exp(w[prefix + "A_log"]) * F.softplus(a + w[prefix + "dt_bias"]))
        state, given = x.new_zeros(s.value_heads, s.key, s.value), []
        for i in range(t):
            state = state * stays[i, :, None, None]
            step = beta[i, :, None] * (v[i] - torch.einsum("hk,hkv->hv", k[i], state))
            state = state + torch.einsum("hk,hv->hkv", k[i], step)
            given.append(torch.einsum("hk,hkv->hv", q[i], state))
        y = torch.stack(given)
        y = y * torch.rsqrt((y * y).mean(-1, keepdim=True) + s.eps) * w[prefix + "norm.weight"] * F.silu(z.view(y.shape))
        return y.reshape(t, -1) @ w[prefix + "out_proj.weight"].T
