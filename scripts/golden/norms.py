"""norms - tiny checkpoints of the families whose norms lie elsewhere than Llama's (FlexOlmo: behind attention and the experts), and
these families written plainly in PyTorch on top of deepseek_reference; engine.py compares them with transformers.
"""

import torch

from . import corrected
from .deepseek_reference import Reference, Shape

FAMILIES = ("flex_olmo",)

# For engine.py, as corrected.FLIPS.
FLIPS = ()
OTHERWISE = ()


def flex_config(**changes):
    """config.json in the form of allenai/FlexOlmo-7x7B-1T; rope_theta is left to its default, 5e5."""
    config = corrected.common(
        architectures=["FlexOlmoForCausalLM"], model_type="flex_olmo", attention_bias=False, hidden_size=24, intermediate_size=10,
        norm_topk_prob=False, num_experts=7, num_experts_per_tok=3, num_attention_heads=6, output_router_logits=False,
        router_aux_loss_coef=0.01,
    )
    del config["rope_theta"]
    return config | changes


def shape(c):
    """The config as a Shape."""
    s = Shape.from_config(c)
    s.qk_norm, s.theta, s.behind = "full", c.get("rope_theta", 5e5), True
    s.norms = ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")
    return s


class NormsReference(Reference):
    """NormsReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))
