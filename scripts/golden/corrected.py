"""corrected - tiny checkpoints of the families whose routers correct the choice (GLM-4.5), and these families written plainly in
PyTorch on top of deepseek_reference; engine.py compares them with transformers.

What differs: scores are sigmoids, a correction is added to them for the choice alone, experts may lie in groups of which the best can
be chosen from, a scale multiplies what the routed experts give; a part of each head turns.
"""

import dataclasses

import torch

from .deepseek_reference import Reference, Shape, top_k

FAMILIES = ("glm4_moe",)
VOCAB, LENGTHS = 290, (1, 5, 33)  # as few as the tiny tokenizers allow, and a second block of the cache: goldens stay small

# For engine.py: fields that change the mathematics, beside those of all families; and those that mean something else here.
FLIPS = (
    ("norm_topk_prob", "not", "differs"),
    ("routed_scaling_factor", 1.0, "differs"),
    ("n_group", 1, "refuse"),
    ("topk_group", 1, "differs"),
    ("n_group", 5, "refuse"),
    ("partial_rotary_factor", 1.0, "differs"),
    ("partial_rotary_factor", 0.1, "refuse"),
    ("use_qk_norm", "not", "refuse"),
    ("attention_bias", "not", "refuse"),
    ("num_nextn_predict_layers", 0, "refuse"),
)
OTHERWISE = ("attention_bias", "norm_topk_prob", "scoring_func")


@dataclasses.dataclass
class Corrected(Shape):
    """A Shape, and what these families have beside it."""

    sigmoid: bool = True
    correction: bool = True
    groups: int = 1
    top_groups: int = 1
    scale: float = 1.0
    turning: int = 0  # elements of a head


def common(**changes):
    """The fields of config.json that these families share, tiny."""
    fields = {
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": [2, 5],
        "hidden_act": "silu",
        "hidden_size": 16,
        "initializer_range": 0.02,
        "intermediate_size": 36,
        "max_position_embeddings": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "pad_token_id": 1,
        "rms_norm_eps": 1e-3,
        "rope_theta": 5000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.54.0",
        "use_cache": True,
        "vocab_size": VOCAB,
    }
    return {k: v for k, v in (fields | changes).items() if v is not None}


def glm_config(**changes):
    """config.json in the form of zai-org/GLM-4.5, with three groups of experts, of which two can be chosen from, as no published one has."""
    return common(
        architectures=["Glm4MoeForCausalLM"], model_type="glm4_moe", attention_bias=True, first_k_dense_replace=1, head_dim=12,
        moe_intermediate_size=12, n_group=3, n_routed_experts=9, n_shared_experts=1, norm_topk_prob=True, num_experts_per_tok=3,
        num_nextn_predict_layers=1, partial_rotary_factor=0.5, rope_scaling=None, routed_scaling_factor=1.5, topk_group=2,
        use_qk_norm=True,
    ) | changes


def shape(c):
    """The config as a Shape."""
    heads = c["num_attention_heads"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    return Corrected(
        layers=c["num_hidden_layers"],
        width=c["hidden_size"],
        heads=heads,
        kv_heads=c["num_key_value_heads"],
        head_dim=head_dim,
        experts=c["n_routed_experts"],
        chosen=c["num_experts_per_tok"],
        shared=c["n_shared_experts"],
        first_moe=c["first_k_dense_replace"],
        moe_every=1,
        renorm=c["norm_topk_prob"],
        eps=c.get("rms_norm_eps", 1e-5),
        theta=c.get("rope_theta", 1e4),
        tied=c["tie_word_embeddings"],
        qk_norm="head" if c.get("use_qk_norm") else None,
        clip=None,
        qkv_bias=c.get("attention_bias", False),
        gated_shared=False,
        dense=(),
        embed_scale=1.0,
        attention_scale=head_dim**-0.5,
        residual_scale=1.0,
        logits_divisor=1.0,
        groups=c["n_group"],
        top_groups=c["topk_group"],
        scale=c["routed_scaling_factor"],
        turning=int(head_dim * c.get("partial_rotary_factor", 1.0)),
    )


def further_tensors(config):
    """A few of the tensors that predict further tokens, which nobody here reads: name -> shape."""
    if "num_nextn_predict_layers" not in config:
        return {}
    prefix, d = f"model.layers.{config['num_hidden_layers']}.", config["hidden_size"]
    return {prefix + "enorm.weight": (d,), prefix + "eh_proj.weight": (d, 2 * d)}


def route(z, correction, s, bias=None, mode=None):
    """deepseek_reference.route with scores of z [T, E] that a correction [E] is added to for the choice."""
    zero = torch.zeros_like(z[0]) if bias is None else bias.to(z.dtype)
    score = torch.sigmoid if s.sigmoid else lambda x: torch.softmax(x, dim=-1)
    choice = score(z + zero if mode in ("bias", "select", "bias_mass") else z) + correction
    if s.groups > 1:
        best = choice.view(len(z), s.groups, -1).topk(2, dim=-1).values.sum(-1)
        kept = torch.zeros_like(best).scatter(1, top_k(best, s.top_groups), 1.0)
        choice = choice.masked_fill(kept.repeat_interleave(s.experts // s.groups, dim=1) == 0, -torch.inf)
    ranked = torch.sort(choice, dim=-1, descending=True).values
    margin = ranked[:, s.chosen - 1] - ranked[:, s.chosen]
    ids = torch.sort(top_k(choice, s.chosen), dim=-1).values
    weight = score(z + zero if mode in ("bias", "gate", "bias_mass") else z).gather(1, ids)
    order = torch.argsort(weight, dim=-1, descending=True, stable=True)
    ids, weight = ids.gather(1, order), weight.gather(1, order)
    mass = weight.sum(dim=-1)
    gates = weight / (mass[:, None] + 1e-20) if s.renorm else weight
    if mode == "bias_mass":
        gates = gates * (route(z, correction, s)[1].sum(-1) / gates.sum(-1))[:, None]
    return ids, gates, mass, margin


class CorrectedReference(Reference):
    """CorrectedReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))

    def rope(self, x):
        turning = self.shape.turning
        return torch.cat([super().rope(x[..., :turning]), x[..., turning:]], dim=-1)

    def choose(self, z, prefix, bias, mode):
        return route(z, self.w[prefix + "gate.e_score_correction_bias"].view(-1), self.shape, bias, mode)
