"""dbrx - the tiny checkpoint of DBRX, and this family written plainly in PyTorch on top of deepseek_reference; engine.py compares it with
transformers.

What differs: LayerNorm without a bias, one matrix for queries, keys and values, which are clamped, experts one below the other in three
matrices, and a config with other names, some of them in objects of it.
"""

import torch
import torch.nn.functional as F

from .deepseek_reference import Reference, Shape

FAMILIES = ("dbrx",)
LAYER = "transformer.blocks."

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("rms_norm_eps", 0.3, "same"),
    ("d_model", 24, "refuse"),
    ("n_heads", 4, "refuse"),
    ("n_layers", 1, "refuse"),
    ("hidden_size", 24, "refuse"),
    ("attn_config", {"clip_qkv": 0.3}, "differs"),
    ("attn_config", {"clip_qkv": None}, "differs"),
    ("attn_config", {"kv_n_heads": 2}, "refuse"),
    ("attn_config", {"kv_n_heads": None}, "refuse"),
    ("attn_config", {"rope_theta": None}, "same"),
    ("attn_config", {"rope_theta": 500.0}, "refuse"),
    ("rope_parameters", None, "same"),
    ("rope_parameters", {"rope_theta": 500.0}, "refuse"),
    ("ffn_config", {"moe_top_k": 2}, "differs"),
    ("ffn_config", {"moe_num_experts": 5}, "refuse"),
    ("ffn_config", {"ffn_hidden_size": 4}, "refuse"),
    ("ffn_config", {"moe_normalize_expert_weights": None}, "differs"),
    ("ffn_config", {"moe_normalize_expert_weights": 2.0}, "refuse"),
    ("ffn_config", {"ffn_act_fn": {"name": "gelu"}}, "refuse"),
    ("ffn_config", {"ffn_act_fn": None}, "same"),
)
OTHERWISE = ("rms_norm_eps", "rope_theta")


def config(**changes):
    """config.json in the form of databricks/dbrx-base; theta stands once more where transformers 5 looks for it."""
    return {
        "architectures": ["DbrxForCausalLM"],
        "attn_config": {"clip_qkv": 0.8, "kv_n_heads": 1, "model_type": "", "rope_theta": 20.0},
        "bos_token_id": 1,
        "d_model": 12,
        "emb_pdrop": 0.0,
        "eos_token_id": [2, 5],
        "ffn_config": {
            "ffn_act_fn": {"name": "silu"}, "ffn_hidden_size": 7, "model_type": "", "moe_jitter_eps": 0.01, "moe_loss_weight": 0.05,
            "moe_normalize_expert_weights": 1.0, "moe_num_experts": 6, "moe_top_k": 3},
        "initializer_range": 0.02,
        "max_seq_len": 128,
        "model_type": "dbrx",
        "n_heads": 2,
        "n_layers": 2,
        "output_router_logits": False,
        "pad_token_id": 1,
        "resid_pdrop": 0.0,
        "rope_parameters": {"rope_theta": 20.0, "rope_type": "default"},
        "router_aux_loss_coef": 0.05,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.38.2",
        "use_cache": True,
        "vocab_size": 97,
    } | changes


def flat(c):
    """The config by the names that other families have."""
    if c["model_type"] not in FAMILIES:
        return c
    attention, ffn = c["attn_config"], c["ffn_config"]
    return c | {
        "hidden_size": c["d_model"], "num_hidden_layers": c["n_layers"], "num_attention_heads": c["n_heads"],
        "num_key_value_heads": attention["kv_n_heads"], "clip_qkv": attention["clip_qkv"], "num_experts": ffn["moe_num_experts"],
        "num_experts_per_tok": ffn["moe_top_k"], "norm_topk_prob": ffn["moe_normalize_expert_weights"] is not None,
        "intermediate_size": ffn["ffn_hidden_size"], "rms_norm_eps": 1e-5, "rope_theta": (c["rope_parameters"] or attention)["rope_theta"]}


def shape(c):
    """The config as a Shape."""
    return Shape.from_config(flat(c))


def tensor_shapes(c):
    """Every tensor of the checkpoint: name -> shape."""
    s, wide = shape(c), c["ffn_config"]["ffn_hidden_size"]
    shapes = {"transformer.wte.weight": (c["vocab_size"], s.width)}
    for layer in range(s.layers):
        p = f"{LAYER}{layer}."
        shapes |= {p + f"norm_attn_norm.norm_{i}.weight": (s.width,) for i in (1, 2)}
        shapes[p + "norm_attn_norm.attn.Wqkv.weight"] = ((s.heads + 2 * s.kv_heads) * s.head_dim, s.width)
        shapes[p + "norm_attn_norm.attn.out_proj.weight"] = (s.width, s.width)
        shapes[p + "ffn.router.layer.weight"] = (s.experts, s.width)
        shapes |= {f"{p}ffn.experts.mlp.{name}": (s.experts * wide, s.width) for name in ("w1", "v1", "w2")}
    return shapes | {"transformer.norm_f.weight": (s.width,), "lm_head.weight": (c["vocab_size"], s.width)}


def scaled(name, values):
    """Weights where their names say too little: norm_attn_norm is no norm, and w2's rows are not what it sums over."""
    if name.endswith("wte.weight"):
        return values * 0.04
    if ".attn." in name:
        return values * (1.1 / values.shape[1] ** 0.5)
    return values * 0.4 if name.endswith("mlp.w2") else None


def plain_weights(c, weights):
    """The tensors by the names of deepseek_reference."""
    s, plain = shape(c), {"model.embed_tokens.weight": weights["transformer.wte.weight"], "model.norm.weight": weights["transformer.norm_f.weight"]}
    for layer in range(s.layers):
        ours, theirs = f"model.layers.{layer}.", f"{LAYER}{layer}."
        kv, attention = s.kv_heads * s.head_dim, theirs + "norm_attn_norm.attn."
        for name, rows in zip("qkv", weights[attention + "Wqkv.weight"].split([s.width, kv, kv])):
            plain[f"{ours}self_attn.{name}_proj.weight"] = rows
        plain[ours + "self_attn.o_proj.weight"] = weights[attention + "out_proj.weight"]
        for i, name in enumerate(s.norms):
            plain[ours + name] = weights[f"{theirs}norm_attn_norm.norm_{i + 1}.weight"]
        plain[ours + "mlp.gate.weight"] = weights[theirs + "ffn.router.layer.weight"]
        for name, part in (("w1", "gate"), ("v1", "up"), ("w2", "down")):
            for e, rows in enumerate(weights[f"{theirs}ffn.experts.mlp.{name}"].chunk(s.experts)):
                plain[f"{ours}mlp.experts.{e}.{part}_proj.weight"] = rows.T if name == "w2" else rows
    return plain | {"lm_head.weight": weights["lm_head.weight"]}


class DbrxReference(Reference):
    """DbrxReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, plain_weights(config, weights), dtype, shape(config))

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name], None, self.shape.eps)
