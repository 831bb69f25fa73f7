"""latent - tiny checkpoints of the families with latent attention (DeepSeek-V2, DeepSeek-V3 and so GigaChat3, GLM-4.7-Flash), and these
written plainly in PyTorch on top of corrected; engine.py compares them with transformers.

What differs: keys and values of a head are products of one latent of a token, its norm's epsilon is no config's; after them a key
has a part that is rotated, by pairs of neighbours, and is the same for all heads. Queries may come from a latent too. YaRN has
DeepSeek's two factors. V2's router is DeepSeek v1's, with groups by their best expert and a scale; V3's and GLM's are that of corrected.
"""

import dataclasses
import math

import torch

from . import corrected
from .deepseek_reference import top_k

FAMILIES = ("deepseek_v2", "deepseek_v3", "glm4_moe_lite")
EPSILON = 1e-6  # of the latents' norms
PLAIN = {"beta_fast": 32, "beta_slow": 1, "factor": 1, "mscale": 1, "mscale_all_dim": 1, "original_max_position_embeddings": 32}  # YaRN that does nothing

# For engine.py, as corrected.FLIPS.
FLIPS = (
    ("routed_scaling_factor", 1.0, "differs"),
    ("topk_group", 1, "differs"),
    ("n_group", 5, "refuse"),
    ("kv_lora_rank", "half", "refuse"),
    ("qk_nope_head_dim", "half", "refuse"),
    ("qk_rope_head_dim", "half", "refuse"),
    ("v_head_dim", "half", "refuse"),
    ("rope_interleave", False, "refuse"),
    ("quantization_config", {"quant_method": "awq"}, "refuse"),
    ("quantization_config", {"weight_block_size": [8, 8]}, "refuse"),
    ("rope_scaling", {"factor": 2.0}, "differs"),
    ("rope_scaling", {"beta_fast": 0.5}, "differs"),
    ("rope_scaling", {"beta_slow": 0.05}, "differs"),
    ("rope_scaling", {"mscale": 3.0}, "differs"),
    ("rope_scaling", {"mscale_all_dim": 3.0}, "differs"),
    ("rope_scaling", {"original_max_position_embeddings": 64}, "differs"),
)
FLIPS_OF = {
    "deepseek_v2": (("topk_method", "greedy", "differs"), ("topk_method", "noaux_tc", "refuse"), ("norm_topk_prob", True, "refuse"),
                    ("scoring_func", "sigmoid", "refuse"), ("q_lora_rank", 8, "refuse")),
    "deepseek_v3": (("norm_topk_prob", "not", "differs"), ("topk_method", "greedy", "refuse"), ("scoring_func", "softmax", "refuse"),
                    ("q_lora_rank", "half", "refuse"), ("num_nextn_predict_layers", 0, "refuse")),
    "glm4_moe_lite": (("norm_topk_prob", "not", "differs"), ("topk_method", "greedy", "refuse"), ("q_lora_rank", "half", "refuse"),
                      ("partial_rotary_factor", 0.5, "refuse"), ("mlp_layer_types", ["dense", "sparse", "sparse"], "refuse")),
}
OTHERWISE = ("head_dim", "norm_topk_prob", "scoring_func", "num_key_value_heads")


@dataclasses.dataclass
class Latent(corrected.Corrected):
    """A Shape, and what these families have beside it; `turning` elements of a head turn, after `plain` others."""

    q_rank: int = 0
    kv_rank: int = 0
    plain: int = 0
    value: int = 0
    yarn: dict = dataclasses.field(default_factory=dict)


def v2_config(**changes):
    """config.json in the form of deepseek-ai/DeepSeek-V2-Lite, with the groups of DeepSeek-V2 and factors that tell its two uses apart."""
    return corrected.common(
        architectures=["DeepseekV2ForCausalLM"], model_type="deepseek_v2", attention_bias=False, aux_loss_alpha=0.001,
        first_k_dense_replace=1, intermediate_size=20, kv_lora_rank=20, moe_intermediate_size=8, moe_layer_freq=1, n_group=3, n_routed_experts=9,
        n_shared_experts=2, norm_topk_prob=False, num_attention_heads=8, num_experts_per_tok=3, num_key_value_heads=8,
        pretraining_tp=1, qk_nope_head_dim=6, qk_rope_head_dim=4, rms_norm_eps=1e-3, rope_theta=40,
        rope_scaling={"beta_fast": 2, "beta_slow": 0.25, "factor": 4, "mscale": 1.6, "mscale_all_dim": 0.8,
                      "original_max_position_embeddings": 32, "type": "yarn"},
        routed_scaling_factor=1.5, scoring_func="softmax", seq_aux=True, topk_group=2, topk_method="group_limited_greedy", v_head_dim=6,
    ) | {"q_lora_rank": None} | changes


def v3_config(**changes):
    """config.json in the form of ai-sage/GigaChat3-10B-A1.8B, with the queries' latent and the groups of deepseek-ai/DeepSeek-V3."""
    return corrected.common(
        architectures=["DeepseekV3ForCausalLM"], model_type="deepseek_v3", attention_bias=False, ep_size=1, first_k_dense_replace=1,
        head_dim=4, intermediate_size=20, kv_lora_rank=18, moe_intermediate_size=8, moe_layer_freq=1, n_group=3, n_routed_experts=9, n_shared_experts=1,
        norm_topk_prob=True, num_attention_heads=6, num_experts_per_tok=3, num_key_value_heads=6, num_nextn_predict_layers=1,
        q_lora_rank=12, qk_head_dim=10, qk_nope_head_dim=6, qk_rope_head_dim=4, rms_norm_eps=1e-3, rope_interleave=True, rope_theta=40,
        rope_scaling={"beta_fast": 2, "beta_slow": 0.25, "factor": 4, "mscale": 1.5, "mscale_all_dim": 1.5,
                      "original_max_position_embeddings": 32, "type": "yarn"},
        routed_scaling_factor=2.5, scoring_func="sigmoid", topk_group=2, topk_method="noaux_tc", v_head_dim=10,
    ) | changes


def lite_config(**changes):
    """config.json in the form of zai-org/GLM-4.7-Flash, plain angles, no groups; a list says which layer is dense, here the second."""
    return corrected.common(
        architectures=["Glm4MoeLiteForCausalLM"], model_type="glm4_moe_lite", attention_bias=False, intermediate_size=20, kv_lora_rank=14,
        mlp_layer_types=["sparse", "dense", "sparse"], moe_intermediate_size=8, n_group=1, n_routed_experts=7, n_shared_experts=1,
        norm_topk_prob=True, num_attention_heads=5, num_experts_per_tok=3, num_key_value_heads=5, num_nextn_predict_layers=1,
        partial_rotary_factor=1.0, q_lora_rank=10, qk_nope_head_dim=8, qk_rope_head_dim=6, rope_theta=40,
        routed_scaling_factor=1.8, topk_group=1, topk_method="noaux_tc", v_head_dim=6,
    ) | changes


def fp8_config(**changes):
    """The same in the form of deepseek-ai/DeepSeek-V3 itself: weights in fp8, of which blocks that fill no matrix share a scale."""
    return v3_config(
        n_group=2, n_routed_experts=6, num_experts_per_tok=2, num_hidden_layers=2, topk_group=1,
        quantization_config={"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [12, 8]},
    ) | changes


def shape(c):
    """The config as a Shape."""
    v2 = c["model_type"] == "deepseek_v2"
    grouped = not v2 or c["topk_method"] == "group_limited_greedy"
    plain = corrected.shape(c | {"head_dim": c["qk_nope_head_dim"] + c["qk_rope_head_dim"], "topk_group": c["topk_group"]})
    s = Latent(**{f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)})
    s.correction = s.sigmoid = not v2
    s.groups, s.top_groups = (c["n_group"], c["topk_group"]) if grouped else (1, 1)
    s.q_rank, s.kv_rank = c["q_lora_rank"] or 0, c["kv_lora_rank"]
    s.plain, s.turning, s.value, s.yarn = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c.get("rope_scaling") or PLAIN
    all_dim = mscale(s.yarn["factor"], s.yarn["mscale_all_dim"])
    s.attention_scale *= all_dim * all_dim
    return s


def mscale(factor, m):
    return 0.1 * m * math.log(factor) + 1.0


def attention_tensors(config, prefix):
    """Tensors of a layer's attention: name -> shape."""
    s = shape(config)
    queries, shapes = s.heads * s.head_dim, {}
    if s.q_rank:
        shapes["q_a_proj"], shapes["q_a_layernorm"], shapes["q_b_proj"] = (s.q_rank, s.width), (s.q_rank,), (queries, s.q_rank)
    else:
        shapes["q_proj"] = (queries, s.width)
    shapes["kv_a_proj_with_mqa"], shapes["kv_a_layernorm"] = (s.kv_rank + s.turning, s.width), (s.kv_rank,)
    shapes["kv_b_proj"] = (s.heads * (s.plain + s.value), s.kv_rank)
    shapes["o_proj"] = (s.width, s.heads * s.value)
    return {f"{prefix}{name}.weight": dims for name, dims in shapes.items()}


def limited(z, s, bias=None, mode=None):
    """V2's router: deepseek_reference.route among the experts of the groups whose best logit is largest."""
    zero = torch.zeros_like(z[0]) if bias is None else bias.to(z.dtype)
    choice = z + zero if mode in ("bias", "select", "bias_mass") else z
    best = choice.view(len(z), s.groups, -1).max(dim=-1).values
    kept = torch.zeros_like(best).scatter(1, top_k(best, s.top_groups), 1.0)
    choice = choice.masked_fill(kept.repeat_interleave(s.experts // s.groups, dim=1) == 0, -torch.inf)
    ranked = torch.sort(choice, dim=-1, descending=True).values
    margin = ranked[:, s.chosen - 1] - ranked[:, s.chosen]
    ids = torch.sort(top_k(choice, s.chosen), dim=-1).values
    weight = torch.softmax(z + zero if mode in ("bias", "gate", "bias_mass") else z, dim=-1).gather(1, ids)
    order = torch.argsort(weight, dim=-1, descending=True, stable=True)
    ids, gates = ids.gather(1, order), weight.gather(1, order)
    mass = gates.sum(dim=-1)
    if mode == "bias_mass":
        gates = gates * (limited(z, s)[1].sum(-1) / mass)[:, None]
    return ids, gates, mass, margin


class LatentReference(corrected.CorrectedReference):
    """LatentReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype)
        self.shape = shape(config)

    def rope(self, x):
        """x: [T, heads, turning]; pairs are neighbours; angles in fp32, stretched by YaRN."""
        s, y, dim = self.shape, self.shape.yarn, self.shape.turning

        def pair(turns):
            return dim * math.log(y["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(s.theta))

        low, high = max(math.floor(pair(y["beta_fast"])), 0), min(math.ceil(pair(y["beta_slow"])), dim - 1)
        slow = ((torch.arange(dim // 2, dtype=torch.float32) - low) / max(high - low, 0.001)).clamp(0, 1)
        plain = 1.0 / s.theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * (plain * (1 - slow) + plain / y["factor"] * slow)
        amplitude = mscale(y["factor"], y["mscale"]) / mscale(y["factor"], y["mscale_all_dim"])
        cos, sin = (angle.cos() * amplitude).to(x.dtype)[:, None, :], (angle.sin() * amplitude).to(x.dtype)[:, None, :]
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)

    def latent(self, x, name):
        return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + EPSILON) * self.w[name]

    def queries(self, q):
        """q: [T, heads, head_dim], turned, as keys are multiplied with it."""
        return q

    def attention(self, x, prefix):
        s, t = self.shape, x.shape[0]
        if s.q_rank:
            low = self.latent(x @ self.w[prefix + "q_a_proj.weight"].T, prefix + "q_a_layernorm.weight")
            q = low @ self.w[prefix + "q_b_proj.weight"].T
        else:
            q = x @ self.w[prefix + "q_proj.weight"].T
        q = q.view(t, s.heads, s.head_dim)
        kv = x @ self.w[prefix + "kv_a_proj_with_mqa.weight"].T
        latent = self.latent(kv[:, : s.kv_rank], prefix + "kv_a_layernorm.weight")
        k, v = (latent @ self.w[prefix + "kv_b_proj.weight"].T).view(t, s.heads, -1).split([s.plain, s.value], dim=-1)
        q = torch.cat([q[..., : s.plain], self.rope(q[..., s.plain :])], dim=-1)
        turned = self.rope(kv[:, None, s.kv_rank :]).expand(t, s.heads, s.turning)
        q, k = self.queries(q), torch.cat([k, turned], dim=-1)
        scores = torch.einsum("qhd,khd->hqk", q, k) * s.attention_scale
        future = torch.ones(t, t, dtype=torch.bool).triu(1)
        p = torch.softmax(scores.masked_fill(future, -torch.inf), dim=-1)
        mixed = torch.einsum("hqk,khv->qhv", p, v).reshape(t, s.heads * s.value)
        return mixed @ self.w[prefix + "o_proj.weight"].T

    def choose(self, z, prefix, bias, mode):
        return super().choose(z, prefix, bias, mode) if self.shape.sigmoid else limited(z, self.shape, bias, mode)

