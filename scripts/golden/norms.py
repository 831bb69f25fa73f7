"""norms - tiny checkpoints of the families whose norms are in other places than Llama's (FlexOlmo: after attention and the experts;
Hunyuan: of q and k after the rotation), and these families written plainly in PyTorch on top of deepseek_reference; engine.py
compares them with transformers.
"""

import torch

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("flex_olmo", "hunyuan_v1_moe")

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("moe_topk", [2, 2], "differs"),
    ("moe_topk", [3, 2], "refuse"),
    ("num_shared_expert", [2, 2], "refuse"),
    ("moe_intermediate_size", [6, 6], "refuse"),
    ("attention_head_dim", 8, "refuse"),
    ("rope_scaling", {"alpha": 1.0}, "differs"),
    ("rope_scaling", {"alpha": None}, "refuse"),
    ("rope_scaling", {"type": "linear", "factor": 2.0}, "refuse"),
    ("use_qk_norm", False, "refuse"),
    ("use_mixed_mlp_moe", False, "refuse"),
    ("use_cla", True, "refuse"),
    ("norm_topk_prob", False, "refuse"),
)
OTHERWISE = ("moe_intermediate_size", "norm_topk_prob", "rope_scaling")
FLIPS_OF = {"flex_olmo": (("norm_topk_prob", True, "differs"),)}


def flex_config(**changes):
    """config.json in the form of allenai/FlexOlmo-7x7B-1T; rope_theta is left to its default, 5e5."""
    config = corrected.common(
        architectures=["FlexOlmoForCausalLM"], model_type="flex_olmo", attention_bias=False, hidden_size=16, intermediate_size=10,
        norm_topk_prob=False, num_experts=7, num_experts_per_tok=3, num_attention_heads=4, output_router_logits=False,
        router_aux_loss_coef=0.01,
    )
    del config["rope_theta"]
    return config | changes


def hunyuan_config(**changes):
    """config.json in the form of tencent/Hunyuan-A13B-Instruct, which says many things once a layer."""
    return corrected.common(
        architectures=["HunYuanMoEV1ForCausalLM"], model_type="hunyuan_v1_moe", attention_bias=False, attention_head_dim=10, cla_share_factor=2,
        eod_token_id=3, head_dim=10, hidden_size=16, intermediate_size=12, mlp_bias=False, moe_intermediate_size=[12, 12],
        moe_layer_num_skipped=0, moe_topk=[3, 3], norm_topk_prob=True, norm_type="hf_rms", num_attention_heads=6, num_experts=9,
        num_hidden_layers=2, num_key_value_heads=3, num_shared_expert=[1, 1],
        rope_scaling={"alpha": 50.0, "beta_fast": 32, "beta_slow": 1, "factor": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "type": "dynamic"},
        rope_theta=40.0, tie_word_embeddings=True, use_cla=False, use_mixed_mlp_moe=True, use_qk_norm=True,
    ) | changes


def shape(c):
    """The config as a Shape."""
    if c["model_type"] == "hunyuan_v1_moe":
        s = Shape.from_config(c | {"num_experts_per_tok": c["moe_topk"][0], "norm_topk_prob": True})
        s.qk_norm, s.norm_last, s.shared = "head", True, 1
        s.theta *= c["rope_scaling"]["alpha"] ** (s.head_dim / (s.head_dim - 2))
        return s
    s = Shape.from_config(c)
    s.qk_norm, s.theta, s.post_norm = "full", c.get("rope_theta", 5e5), True
    s.norms = ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")
    return s


class NormsReference(Reference):
    """NormsReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))
