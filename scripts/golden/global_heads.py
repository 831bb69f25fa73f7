"""global_heads - a tiny checkpoint of the family whose layers that see all positions have other heads than those with a window (Gemma 4), and
this family written plainly in PyTorch on top of deepseek_reference; engine.py compares it with transformers.

What differs: heads, KV heads and angles by the type of a layer, and in one type values that are keys before their norm; norms of q,
k and v, and attention without a scale; a router with a norm of its own, which reads what stands before the MLP's; a dense MLP beside
the experts, each between norms of its own, and a norm of their sum; a scale of each expert and of each layer; GELU; a cap of logits.
"""

import torch
import torch.nn.functional as F

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("gemma4_text",)

# For engine.py: fields that change the mathematics, beside those of all families; and those that mean something else here.
FLIPS = (
    ("top_k_experts", "minus 1", "differs"),
    ("final_logit_softcapping", 3.0, "differs"),
    ("sliding_window", 12, "differs"),
    ("rope_parameters", {"sliding_attention": {"rope_type": "default", "rope_theta": 500.0}}, "differs"),
    ("rope_parameters", {"full_attention": {"rope_type": "default", "rope_theta": 40.0}}, "differs"),
    ("rope_parameters", {"full_attention": {"rope_type": "linear", "rope_theta": 40.0, "factor": 2.0}}, "refuse"),
    ("rope_parameters", {"full_attention": None}, "refuse"),
    ("layer_types", ["full_attention", "full_attention", "full_attention"], "refuse"),
    ("layer_types", ["sliding_attention", "full_attention", "sliding_attention"], "refuse"),
    ("attention_k_eq_v", False, "refuse"),
    ("global_head_dim", "half", "refuse"),
    ("num_global_key_value_heads", 2, "refuse"),
    ("hidden_activation", "silu", "refuse"),
    ("enable_moe_block", False, "refuse"),
    ("hidden_size_per_layer_input", 8, "refuse"),
    ("num_kv_shared_layers", 1, "refuse"),
    ("use_bidirectional_attention", "all", "refuse"),
)
OTHERWISE = ("sliding_window", "rope_theta")


def config(**changes):
    """config.json in the form of the text's part of google/gemma-4-26B-A4B."""
    fields = corrected.common(
        architectures=["Gemma4ForCausalLM"], model_type="gemma4_text", attention_bias=False, attention_k_eq_v=True, enable_moe_block=True,
        final_logit_softcapping=6.0, global_head_dim=20, head_dim=10, hidden_act=None, hidden_activation="gelu_pytorch_tanh",
        hidden_size_per_layer_input=0, intermediate_size=20, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        moe_intermediate_size=6, num_attention_heads=4, num_experts=8, num_global_key_value_heads=1, num_key_value_heads=2,
        num_kv_shared_layers=0, rms_norm_eps=1e-2,
        rope_parameters={"full_attention": {"partial_rotary_factor": 0.5, "rope_theta": 40.0, "rope_type": "proportional"},
                         "sliding_attention": {"rope_theta": 20.0, "rope_type": "default"}},
        rope_theta=None, sliding_window=9, tie_word_embeddings=True, top_k_experts=3, transformers_version="5.5.0",
        use_bidirectional_attention="vision", use_double_wide_mlp=False, vocab_size_per_layer_input=262144,
    )
    return fields | changes


def shape(c):
    """The config as a Shape; heads are those of layers with a window."""
    s = Shape.from_config(c | {"num_experts_per_tok": c["top_k_experts"]})
    s.qk_norm, s.renorm, s.shared = "head", True, 1
    return s


def heads(c, layer):
    """KV heads, their width, and whether values are keys, in a layer."""
    if c["layer_types"][layer] == "sliding_attention":
        return c["num_key_value_heads"], c["head_dim"], False
    same = c["attention_k_eq_v"]
    return (c["num_global_key_value_heads"] or c["num_key_value_heads"]) if same else c["num_key_value_heads"], c["global_head_dim"], same


def tensor_shapes(c):
    """Every tensor of the checkpoint, in the order of the model: name -> shape."""
    d, wide, f, experts = c["hidden_size"], c["intermediate_size"], c["moe_intermediate_size"], c["num_experts"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], d)}
    for layer in range(c["num_hidden_layers"]):
        p, (kv, head, same) = f"model.layers.{layer}.", heads(c, layer)
        rows = {"q": c["num_attention_heads"] * head, "k": kv * head} | ({} if same else {"v": kv * head})
        shapes |= {f"{p}self_attn.{name}_proj.weight": (n, d) for name, n in rows.items()}
        shapes |= {p + "self_attn.o_proj.weight": (d, rows["q"]), p + "self_attn.q_norm.weight": (head,), p + "self_attn.k_norm.weight": (head,)}
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            shapes[f"{p}{norm}_layernorm.weight"] = (d,)
        for norm in ("pre_feedforward_layernorm_2", "post_feedforward_layernorm_1", "post_feedforward_layernorm_2"):
            shapes[f"{p}{norm}.weight"] = (d,)
        shapes |= {p + "mlp.gate_proj.weight": (wide, d), p + "mlp.up_proj.weight": (wide, d), p + "mlp.down_proj.weight": (d, wide)}
        shapes |= {p + "experts.gate_up_proj": (experts, 2 * f, d), p + "experts.down_proj": (experts, d, f)}
        shapes |= {p + "router.proj.weight": (experts, d), p + "router.scale": (d,), p + "router.per_expert_scale": (experts,)}
        shapes[p + "layer_scalar"] = (1,)
    return shapes | {"model.norm.weight": (d,)}


def scaled(name, values):
    """Random values of a tensor that is not like those of other families, or None."""
    if name.endswith("router.proj.weight"):
        return 1.8 * values  # of what has been divided by the width's root
    return 1.0 + 0.2 * values if name.endswith(("scale", "layer_scalar")) else None


class GlobalHeadsReference(Reference):
    """GlobalHeadsReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, {}, dtype, shape(config))
        self.config, self.w = config, {name: tensor.to(dtype) for name, tensor in weights.items()}

    def scaleless(self, x):
        return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + self.shape.eps)

    def rope_of(self, x, kind):
        part = self.config["rope_parameters"][kind]
        half, proportional = x.shape[-1] // 2, part["rope_type"] == "proportional"
        turning = int(part.get("partial_rotary_factor", 1.0) * half) if proportional else half
        step = float(part["rope_theta"]) ** (-torch.arange(half, dtype=torch.float32) / half)
        angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * step.where(torch.arange(half) < turning, 0.0)
        cos, sin = angle.cos().to(x.dtype)[:, None, :], angle.sin().to(x.dtype)[:, None, :]
        low, high = x[..., :half], x[..., half:]
        return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)

    def attend(self, x, layer):
        c, t, w, p = self.config, x.shape[0], self.w, f"model.layers.{layer}.self_attn."
        kind, (kv, head, same) = c["layer_types"][layer], heads(c, layer)
        q = (x @ w[p + "q_proj.weight"].T).view(t, -1, head)
        k = (x @ w[p + "k_proj.weight"].T).view(t, kv, head)
        v = self.scaleless(k if same else (x @ w[p + "v_proj.weight"].T).view(t, kv, head))
        q, k = (self.rope_of(self.norm(y, f"{p}{name}_norm.weight"), kind) for name, y in (("q", q), ("k", k)))
        k, v = (y.repeat_interleave(q.shape[1] // kv, dim=1) for y in (k, v))
        hidden = self.hidden(t)
        if kind == "sliding_attention":
            hidden = hidden | torch.ones(t, t, dtype=torch.bool).tril(-c["sliding_window"])
        weights = torch.softmax(torch.einsum("qhd,khd->hqk", q, k).masked_fill(hidden, -torch.inf), dim=-1)
        return torch.einsum("hqk,khd->qhd", weights, v).reshape(t, -1) @ w[p + "o_proj.weight"].T

    def feed(self, x, p, bias, mode):
        """What MLP and experts add to the residual x, and the record of the router."""
        w, root = self.w, self.shape.width**0.5
        z = (self.scaleless(x) * w[p + "router.scale"] / root) @ w[p + "router.proj.weight"].T
        ids, gates, mass, margin = self.choose(z, p, bias, mode)
        dense, h = self.norm(x, p + "pre_feedforward_layernorm.weight"), self.norm(x, p + "pre_feedforward_layernorm_2.weight")
        gate, up = (dense @ w[f"{p}mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        dense = (F.gelu(gate, approximate="tanh") * up) @ w[p + "mlp.down_proj.weight"].T
        routed = torch.zeros_like(x)
        for e in range(self.shape.experts):
            rows, rank = torch.nonzero(ids == e, as_tuple=True)
            gate, up = (h[rows] @ w[p + "experts.gate_up_proj"][e].T).chunk(2, dim=-1)
            y = (F.gelu(gate, approximate="tanh") * up) @ w[p + "experts.down_proj"][e].T
            routed[rows] += (gates[rows, rank] * w[p + "router.per_expert_scale"][e])[:, None] * y
        both = (self.norm(y, f"{p}post_feedforward_layernorm_{i}.weight") for i, y in ((1, dense), (2, routed)))
        record = {"router_logits": z, "expert_id": ids, "gate": gates, "topk_mass": mass, "margin": margin}
        return self.norm(sum(both), p + "post_feedforward_layernorm.weight"), record

    def forward(self, ids, bias=None, mode=None):
        c, w, records = self.config, self.w, []
        x = w["model.embed_tokens.weight"][torch.tensor(ids)] * self.shape.width**0.5
        for layer in range(self.shape.layers):
            p = f"model.layers.{layer}."
            x = x + self.norm(self.attend(self.norm(x, p + "input_layernorm.weight"), layer), p + "post_attention_layernorm.weight")
            y, record = self.feed(x, p, None if bias is None else bias[layer], mode)
            x = (x + y) * w[p + "layer_scalar"]
            records.append(record)
        head = w["model.embed_tokens.weight" if self.shape.tied else "lm_head.weight"]
        logits = self.norm(x, "model.norm.weight") @ head.T
        cap = c.get("final_logit_softcapping")
        result = {name: torch.stack([r[name] for r in records]) for name in records[0]}
        return result | {"logits": cap * torch.tanh(logits / cap) if cap else logits}
