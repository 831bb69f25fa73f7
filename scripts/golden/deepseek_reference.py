"""deepseek_reference - DeepSeek-MoE v1 (and its cousins) written plainly in PyTorch, to be read rather than to be fast.

The DeepSeek path follows the facts of the family: pre-norm blocks, grouped-query attention with half-split RoPE and fp32
angles, softmax router over all experts, top-k with ties to the lower id, optional renormalisation, shared experts with
weight 1. With `qk_norm` "full" it is OLMoE, with "head" Qwen3-MoE, with biases and a gate for the shared expert Qwen2-MoE,
with other tensor names Mixtral, and with four scales more Granite; in those forms it is compared with transformers (see
engine.py), which vouches for everything the families share. One sequence at a time, no
cache, whole matrices in the dtype asked for.
"""

import dataclasses
import json

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts")  # what families call their number
OTHER_NAMES = {  # a family's names, and what they are called here
    "mixtral": {".block_sparse_moe.": ".mlp.", ".w1.": ".gate_proj.", ".w3.": ".up_proj.", ".w2.": ".down_proj."},
    "minimax_m2": {  # the first before the second
        ".block_sparse_moe.e_score": ".mlp.gate.e_score", ".block_sparse_moe.": ".mlp.", ".w1.": ".gate_proj.", ".w3.": ".up_proj.",
        ".w2.": ".down_proj.",
    },
    "phimoe": {".block_sparse_moe.": ".mlp.", ".w1.": ".gate_proj.", ".w3.": ".up_proj.", ".w2.": ".down_proj."},
    "llama4_text": {".feed_forward.shared_expert.": ".mlp.shared_experts.", ".feed_forward.router.": ".mlp.gate.", ".feed_forward.": ".mlp."},
    "granitemoe": {".block_sparse_moe.": ".mlp.", ".router.layer.": ".gate."},
    "granitemoeshared": {".block_sparse_moe.": ".mlp.", ".router.layer.": ".gate."},
    "granitemoehybrid": {".block_sparse_moe.": ".mlp.", ".router.layer.": ".gate."},
    "ernie4_5_moe": {".mlp.moe_statics.e_score": ".mlp.gate.e_score"},
    "lfm2_moe": {
        ".embedding_norm.": ".norm.", ".operator_norm.": ".input_layernorm.", ".ffn_norm.": ".post_attention_layernorm.",
        ".feed_forward.expert_bias": ".mlp.gate.e_score_correction_bias", ".feed_forward.": ".mlp.", ".w1.": ".gate_proj.",
        ".w3.": ".up_proj.", ".w2.": ".down_proj.", ".q_layernorm.": ".q_norm.", ".k_layernorm.": ".k_norm.",
        ".self_attn.out_proj.": ".self_attn.o_proj.",
    },
    "hunyuan_v1_moe": {
        ".query_layernorm.": ".q_norm.", ".key_layernorm.": ".k_norm.", ".gate.wg.": ".gate.", ".shared_mlp.": ".shared_experts.",
    },
    "kimi_linear": {".block_sparse_moe.": ".mlp.", ".w1.": ".gate_proj.", ".w3.": ".up_proj.", ".w2.": ".down_proj."},
    "afmoe": {".mlp.expert_bias": ".mlp.gate.e_score_correction_bias", ".mlp.router.gate.": ".mlp.gate."},  # the first before the second
    "exaone_moe": {".mlp.e_score": ".mlp.gate.e_score"},
    "qwen2_moe": {".shared_expert.": ".shared_experts."},
    "qwen3_next": {".shared_expert.": ".shared_experts."},
    "qwen3_5_moe": {"model.language_model.": "model.", ".shared_expert.": ".shared_experts."},
}
MODES = ("bias", "select", "gate", "bias_mass")


@dataclasses.dataclass
class Shape:
    """What config.json says, with the defaults of the family filled in."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int
    chosen: int
    shared: int
    first_moe: int
    moe_every: int
    renorm: bool
    eps: float
    theta: float
    tied: bool
    qk_norm: str | None  # over the "full" projection or over each "head"
    clip: float | None
    qkv_bias: bool
    gated_shared: bool
    dense: tuple  # layers without experts, beside the rule
    embed_scale: float
    attention_scale: float
    residual_scale: float
    logits_divisor: float
    norms: tuple = ("input_layernorm.weight", "post_attention_layernorm.weight")  # of attention and of the MLP,
    post_norm: bool = False  # the norms are after them, not before
    norm_last: bool = False  # of q and k, after the rotation

    @staticmethod
    def from_config(c):
        family = c["model_type"]
        deepseek, qwen2 = family == "deepseek", family == "qwen2_moe"
        heads = c["num_attention_heads"]
        head_dim = c.get("head_dim") or c["hidden_size"] // heads
        return Shape(
            layers=c["num_hidden_layers"],
            width=c["hidden_size"],
            heads=heads,
            kv_heads=c.get("num_key_value_heads") or heads,
            head_dim=head_dim,
            experts=next(c[k] for k in EXPERTS if k in c),
            chosen=c["num_experts_per_tok"],
            shared=(c.get("n_shared_experts") or 0) if deepseek else int(qwen2),
            first_moe=c.get("first_k_dense_replace", 0) if deepseek else 0,
            moe_every=c.get("moe_layer_freq", 1) if deepseek else 1,
            renorm=c.get("norm_topk_prob", family in ("mixtral", "granitemoe")),
            eps=c.get("rms_norm_eps", 1e-5 if family in ("olmoe", "mixtral") else 1e-6),
            theta=c.get("rope_theta", 1e6 if family == "mixtral" else 1e4),
            tied=c.get("tie_word_embeddings", False),
            qk_norm={"olmoe": "full", "qwen3_moe": "head"}.get(family),
            clip=c.get("clip_qkv"),
            qkv_bias=qwen2 or c.get("attention_bias", False),
            gated_shared=qwen2,
            dense=tuple(c.get("mlp_only_layers") or ()),
            embed_scale=c.get("embedding_multiplier", 1.0),
            attention_scale=c.get("attention_multiplier", head_dim**-0.5),
            residual_scale=c.get("residual_multiplier", 1.0),
            logits_divisor=c.get("logits_scaling", 1.0),
        )

    def is_moe(self, layer):
        return layer >= self.first_moe and layer % self.moe_every == 0 and layer not in self.dense


def load_weights(folder):
    """Every tensor of a checkpoint folder, single file or sharded, in its stored dtype."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return load_file(folder / "model.safetensors")
    weight_map = json.loads(index.read_text())["weight_map"]
    weights = {}
    for shard in sorted(set(weight_map.values())):
        weights.update(load_file(folder / shard))
    return weights


def plain_weights(family, weights):
    """A family's tensors under the names of DeepSeek's, those of stacked experts one by one."""
    plain = {}
    for name, tensor in weights.items():
        for theirs, ours in OTHER_NAMES.get(family, {}).items():
            name = name.replace(theirs, ours)
        prefix = name.rpartition("mlp.")[0] + "mlp.experts."
        for e, matrix in enumerate(tensor if tensor.dim() == 3 else ()):
            parts = {"gate": matrix[: len(matrix) // 2], "up": matrix[len(matrix) // 2 :]}
            for part, rows in (parts if "input_linear" in name or "gate_up" in name else {"down": matrix}).items():
                plain[f"{prefix}{e}.{part}_proj.weight"] = rows
        if tensor.dim() < 3:
            plain[name] = tensor
    return plain


def top_k(scores, k):
    """Indices of the k largest scores per row, largest first; equal scores go to the lower index."""
    return torch.argsort(scores, dim=-1, descending=True, stable=True)[:, :k]


def softmax(x):
    return torch.softmax(x, dim=-1)


def route(z, k, renorm, bias=None, mode=None, score=softmax):
    """The router after its matrix product. z: [T, E] fp32 logits -> ids [T, K], gates [T, K], mass [T], margin [T].

    bias: edit added before the softmax, for the choice and for the weights (the article's).
    select: edit for the choice only; the weights come from the unedited softmax.
    gate: edit for the weights only. bias_mass: as bias, then the K weights are scaled to the sum they have unedited.
    """
    zero = torch.zeros_like(z[0]) if bias is None else bias.to(z.dtype)
    for_choice = z + zero if mode in ("bias", "select", "bias_mass") else z
    for_weight = z + zero if mode in ("bias", "gate", "bias_mass") else z
    ranked = torch.sort(for_choice, dim=-1, descending=True).values
    margin = ranked[:, k - 1] - ranked[:, k] if k < z.shape[1] else torch.full_like(z[:, 0], torch.inf)
    ids = torch.sort(top_k(score(for_choice), k), dim=-1).values
    weight = score(for_weight).gather(1, ids)
    order = torch.argsort(weight, dim=-1, descending=True, stable=True)
    ids, weight = ids.gather(1, order), weight.gather(1, order)
    mass = weight.sum(dim=-1)
    gates = weight / (mass[:, None] + 1e-20) if renorm else weight
    if mode == "bias_mass":
        _, plain, _, _ = route(z, k, renorm, score=score)
        gates = gates * (plain.sum(-1) / gates.sum(-1))[:, None]
    return ids, gates, mass, margin


class Reference:
    """A model: Reference(config dict, weights by name, dtype).forward(ids) -> dict of tensors."""

    def __init__(self, config, weights, dtype=torch.float32, shape=None):
        self.shape = shape or Shape.from_config(config)
        self.dtype = dtype
        self.w = {name: tensor.to(dtype) for name, tensor in plain_weights(config["model_type"], weights).items()}
        self.moe_layers = [l for l in range(self.shape.layers) if self.shape.is_moe(l)]

    def norm(self, x, name):
        y = x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + self.shape.eps)
        return y * self.w[name]

    def rope(self, x):
        """x: [T, heads, head_dim]; pairs are (i, i + head_dim/2); angles in fp32."""
        half = x.shape[-1] // 2
        exponent = torch.arange(0, 2 * half, 2, dtype=torch.float32) / (2 * half)
        inverse = 1.0 / (torch.tensor(self.shape.theta, dtype=torch.float32) ** exponent)
        angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * inverse[None, :]
        cos, sin = angle.cos().to(x.dtype)[:, None, :], angle.sin().to(x.dtype)[:, None, :]
        low, high = x[..., :half], x[..., half:]
        return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)

    def turned(self, x, norm):
        """Heads [T, heads, head_dim] rotated, and through their norm where that comes last."""
        return self.norm(self.rope(x), norm) if self.shape.norm_last else self.rope(x)

    def attention(self, x, prefix):
        s, t = self.shape, x.shape[0]
        q, k, v = (F.linear(x, self.w[f"{prefix}{name}_proj.weight"], self.w.get(f"{prefix}{name}_proj.bias")) for name in "qkv")
        if s.qk_norm and not s.norm_last:
            rows = (t, -1) if s.qk_norm == "full" else (t, -1, s.head_dim)
            q = self.norm(q.view(rows), prefix + "q_norm.weight").view(t, -1)
            k = self.norm(k.view(rows), prefix + "k_norm.weight").view(t, -1)
        if s.clip is not None:
            q, k, v = (y.clamp(-s.clip, s.clip) for y in (q, k, v))
        q = self.turned(q.view(t, s.heads, s.head_dim), prefix + "q_norm.weight").transpose(0, 1)
        k = self.turned(k.view(t, s.kv_heads, s.head_dim), prefix + "k_norm.weight").transpose(0, 1)
        v = v.view(t, s.kv_heads, s.head_dim).transpose(0, 1)
        k = k.repeat_interleave(s.heads // s.kv_heads, dim=0)
        v = v.repeat_interleave(s.heads // s.kv_heads, dim=0)
        scores = (q @ k.transpose(1, 2)) * s.attention_scale
        p = torch.softmax(scores.masked_fill(self.hidden(t), -torch.inf), dim=-1)
        mixed = (p @ v).transpose(0, 1).reshape(t, s.heads * s.head_dim)
        return F.linear(mixed, self.w[prefix + "o_proj.weight"], self.w.get(prefix + "o_proj.bias"))

    def hidden(self, t):
        """[T, T]: the positions that a query does not see."""
        return torch.ones(t, t, dtype=torch.bool).triu(1)

    def mlp(self, x, prefix):
        gate = F.silu(x @ self.w[prefix + "gate_proj.weight"].T)
        return (gate * (x @ self.w[prefix + "up_proj.weight"].T)) @ self.w[prefix + "down_proj.weight"].T

    def choose(self, z, prefix, bias, mode):
        """Experts and gates of the logits z, as route gives them."""
        return route(z, self.shape.chosen, self.shape.renorm, bias, mode)

    def moe(self, x, prefix, bias, mode):
        s = self.shape
        z = x @ self.w[prefix + "gate.weight"].T
        ids, gates, mass, margin = self.choose(z, prefix, bias, mode)
        y = torch.zeros_like(x)
        for e in range(s.experts):
            rows, rank = torch.nonzero(ids == e, as_tuple=True)
            if len(rows):
                y[rows] += getattr(s, "scale", 1.0) * gates[rows, rank, None] * self.mlp(x[rows], f"{prefix}experts.{e}.")
        if s.shared:
            shared = getattr(s, "shared_scale", 1.0) * self.mlp(x, prefix + "shared_experts.")
            y = y + (torch.sigmoid(x @ self.w[prefix + "shared_expert_gate.weight"].T) * shared if s.gated_shared else shared)
        return y, {"router_logits": z, "expert_id": ids, "gate": gates, "topk_mass": mass, "margin": margin}

    def add(self, x, part, norm):
        """x and what a part of the layer gives, its norm before or after it."""
        y = self.norm(part(x), norm) if self.shape.post_norm else part(self.norm(x, norm))
        return x + self.shape.residual_scale * y

    def layer(self, x, attention, mlp, norms):
        """x after a layer, whose parts are added one after the other."""
        return self.add(self.add(x, attention, norms[0]), mlp, norms[1])

    def forward(self, ids, bias=None, mode=None):
        """ids: list of T token ids; bias: [L, E] or None -> logits [T, V], and per MoE layer [L, T, ...]."""
        x = self.w["model.embed_tokens.weight"][torch.tensor(ids)] * self.shape.embed_scale
        records = []

        def feed(h, layer, prefix):
            if not self.shape.is_moe(layer):
                return self.mlp(h, prefix)
            y, record = self.moe(h, prefix, None if bias is None else bias[len(records)], mode)
            records.append(record)
            return y

        for layer in range(self.shape.layers):
            prefix = f"model.layers.{layer}."
            norms = [prefix + name for name in self.shape.norms]
            x = self.layer(x, lambda h: self.attention(h, prefix + "self_attn."), lambda h: feed(h, layer, prefix + "mlp."), norms)
        x = self.norm(x, "model.norm.weight")
        head = self.w["model.embed_tokens.weight" if self.shape.tied else "lm_head.weight"]
        result = {name: torch.stack([r[name] for r in records]) for name in records[0]}
        result["logits"] = F.linear(x, head, self.w.get("lm_head.bias")) / self.shape.logits_divisor
        return result
