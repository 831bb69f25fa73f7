"""mistral - the tiny checkpoint of Mistral 4, as the text's part of Mistral Small 4, and this family written plainly in PyTorch on top of
latent; engine.py compares it with transformers.

What differs from DeepSeek-V2: queries grow with the position; chosen scores of a softmax are renormalised; YaRN leaves attention's scale
alone. Experts are stacked, and weights are fp8, a scale for each matrix, beside fixed scales of activations that nobody reads.
"""

import torch

from . import corrected, latent
from .deepseek_reference import route

FAMILIES = ("mistral4",)
YARN = {"attention_factor": 1.0, "beta_fast": 2, "beta_slow": 0.25, "factor": 4, "llama_4_scaling_beta": 0.5, "max_position_embeddings": 128,
        "original_max_position_embeddings": 12, "partial_rotary_factor": 0.6, "rope_theta": 40.0, "rope_type": "yarn", "type": "yarn"}

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("norm_topk_prob", False, "differs"),
    ("routed_scaling_factor", 1.0, "differs"),
    ("n_group", 5, "refuse"),
    ("n_shared_experts", 2, "refuse"),
    ("kv_lora_rank", "half", "refuse"),
    ("q_lora_rank", None, "refuse"),
    ("qk_rope_head_dim", "half", "refuse"),
    ("rope_interleave", False, "refuse"),
    ("first_k_dense_replace", 0, "refuse"),
    ("quantization_config", {"activation_scheme": "dynamic"}, "refuse"),
    ("quantization_config", {"weight_block_size": [4, 4]}, "refuse"),
    ("rope_parameters", {"factor": 2.0}, "differs"),
    ("rope_parameters", {"beta_fast": 0.5}, "differs"),
    ("rope_parameters", {"beta_slow": 0.05}, "differs"),
    ("rope_parameters", {"original_max_position_embeddings": 16}, "differs"),
    ("rope_parameters", {"llama_4_scaling_beta": 0.1}, "differs"),
    ("rope_parameters", {"llama_4_scaling_beta": None}, "refuse"),
    ("rope_parameters", {"attention_factor": 1.2}, "differs"),
    ("rope_parameters", {"attention_factor": None, "mscale": 1.0, "mscale_all_dim": 1.0}, "same"),
    ("rope_parameters", {"partial_rotary_factor": 0.25}, "refuse"),
    ("rope_parameters", {"rope_type": "default"}, "refuse"),
)
OTHERWISE = ("head_dim", "norm_topk_prob", "scoring_func", "num_key_value_heads", "rope_theta", "first_k_dense_replace", "n_shared_experts")


def config(**changes):
    """config.json in the form of the text's part of mistralai/Mistral-Small-4-119B-2603, with a dense layer as it has none."""
    return corrected.common(
        architectures=["Mistral4ForCausalLM"], model_type="mistral4", attention_bias=False, first_k_dense_replace=1, hidden_size=10,
        intermediate_size=13, kv_lora_rank=8, moe_intermediate_size=6, n_group=1, n_routed_experts=5, n_shared_experts=1, norm_topk_prob=True,
        num_attention_heads=4, num_experts_per_tok=2, num_hidden_layers=2, num_key_value_heads=4, q_lora_rank=7, qk_head_dim=10,
        qk_nope_head_dim=4, qk_rope_head_dim=6, rope_interleave=True, rope_parameters=YARN, rope_theta=None, routed_scaling_factor=1.5,
        topk_group=1, v_head_dim=6,
        quantization_config={"activation_scheme": "static", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": None},
    ) | changes


def shape(c):
    """The config as a Latent; where the amplitude is left to two equal factors it is 1, as here."""
    yarn = c["rope_parameters"]
    s = latent.shape(c | {"q_lora_rank": c["q_lora_rank"], "rope_theta": yarn["rope_theta"], "topk_method": "greedy",
                          "rope_scaling": yarn | {"mscale": 0, "mscale_all_dim": 0}})
    s.correction = s.sigmoid = False
    return s


class MistralReference(latent.LatentReference):
    """MistralReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype)
        self.shape = shape(config)

    def rope(self, x):
        return super().rope(x) * (self.shape.yarn.get("attention_factor") or 1.0)

    def queries(self, q):
        yarn = self.shape.yarn
        steps = torch.arange(len(q)) // yarn["original_max_position_embeddings"]
        return q * (1 + yarn["llama_4_scaling_beta"] * torch.log1p(steps)).to(q.dtype)[:, None, None]

    def choose(self, z, prefix, bias, mode):
        return route(z, self.shape.chosen, self.shape.renorm, bias, mode)
