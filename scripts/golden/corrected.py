"""corrected - tiny checkpoints of the families whose routers correct the choice (GLM-4.5, dots.llm1, ERNIE 4.5, MiniMax-M2), and
these families written plainly in PyTorch on top of deepseek_reference; engine.py compares them with transformers.

What differs: scores are sigmoids (ERNIE's a softmax), a correction is added to them for the choice alone, experts may lie in groups of
which the best can be chosen from, a scale multiplies what the routed experts give; a part of each head turns, or neighbours do.
"""

import dataclasses

import torch

from .deepseek_reference import EXPERTS, Reference, Shape, top_k

FAMILIES = ("glm4_moe", "dots1", "ernie4_5_moe", "minimax_m2")
VOCAB = 290  # as few as the tiny tokenizers allow
FEW = 97  # where no test runs a program on the model, which then has no tokenizer
FEWEST = 31  # likewise, for goldens of few bytes

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
    ("scoring_func", "softmax", "refuse"),
    ("topk_method", "greedy", "refuse"),
    ("max_window_layers", 1, "refuse"),
    ("moe_k", 2, "differs"),
    ("moe_norm_min", 1e-12, "differs"),
    ("moe_num_experts", "minus 1", "refuse"),
    ("moe_num_shared_experts", 1, "refuse"),
    ("moe_layer_start_index", 2, "refuse"),
    ("moe_layer_end_index", 2, "refuse"),
    ("moe_layer_interval", 2, "refuse"),
    ("moe_use_aux_free", False, "refuse"),
    ("use_bias", True, "refuse"),
    ("rotary_dim", 8, "differs"),
    ("rotary_dim", 14, "refuse"),
    ("qk_norm_type", "per_head", "refuse"),
    ("use_routing_bias", False, "refuse"),
    ("shared_intermediate_size", 8, "refuse"),
    ("attn_type_list", [1, 0], "refuse"),
    ("quantization_config", {"quant_method": "fp8"}, "refuse"),
)
OTHERWISE = ("attention_bias", "norm_topk_prob", "scoring_func", "sliding_window")


@dataclasses.dataclass
class Corrected(Shape):
    """A Shape, and what these families have beside it."""

    sigmoid: bool = True
    correction: bool = True
    groups: int = 1
    top_groups: int = 1
    scale: float = 1.0
    least_sum: float = 0.0  # what the chosen scores count together at least
    more: float = 1e-20  # than they sum to is what they are divided by, if they are sigmoids
    turning: int = 0  # elements of a head
    neighbours: bool = False  # turn together
    end: int = 0  # first layer without experts after those that have them

    def is_moe(self, layer):
        return super().is_moe(layer) and layer < self.end


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


def dots_config(**changes):
    """config.json in the form of rednote-hilab/dots.llm1.inst, which calls the scores by the name of the method."""
    return common(
        architectures=["Dots1ForCausalLM"], model_type="dots1", attention_bias=False, first_k_dense_replace=1, hidden_size=16,
        max_window_layers=2, num_hidden_layers=2, moe_intermediate_size=8, moe_layer_freq=1, n_group=1, n_routed_experts=8, n_shared_experts=2,
        norm_topk_prob=True, num_experts_per_tok=3, num_key_value_heads=4, rope_scaling=None, routed_scaling_factor=2.5,
        scoring_func="noaux_tc", sliding_window=16, topk_group=1, topk_method="noaux_tc",
    ) | changes


def ernie_config(**changes):
    """config.json in the form of baidu/ERNIE-4.5-21B-A3B-PT, with a dense layer after the others and a sum that counts more."""
    return common(
        architectures=["Ernie4_5_MoeForCausalLM"], model_type="ernie4_5_moe", hidden_size=16, moe_capacity=[8, 8, 8], moe_gate="topk",
        moe_intermediate_size=8, moe_k=3, moe_layer_end_index=1, moe_layer_interval=1, moe_layer_start_index=0, moe_norm_min=0.7,
        moe_num_experts=10, moe_num_shared_experts=2, moe_use_aux_free=True, num_nextn_predict_layers=1, tie_word_embeddings=True,
        use_bias=False,
    ) | changes


def minimax_config(**changes):
    """config.json in the form of MiniMaxAI/MiniMax-M2, its weights in BF16."""
    config = common(
        architectures=["MiniMaxM2ForCausalLM"], model_type="minimax_m2", attn_type_list=[1, 1], head_dim=12, intermediate_size=12,
        mtp_transformer_layers=1, num_experts_per_tok=2, num_hidden_layers=2, num_local_experts=8, num_mtp_modules=3,
        qk_norm_type="per_layer", rotary_dim=4, scoring_func="sigmoid", shared_intermediate_size=0, use_mtp=True, use_qk_norm=True,
        use_routing_bias=True,
    ) | changes
    del config["rope_theta"]  # means 5e6
    return config


def shape(c):
    """The config as a Shape."""
    family, heads, layers = c["model_type"], c["num_attention_heads"], c["num_hidden_layers"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    ernie, minimax = family == "ernie4_5_moe", family == "minimax_m2"
    return Corrected(
        layers=layers,
        width=c["hidden_size"],
        heads=heads,
        kv_heads=c["num_key_value_heads"],
        head_dim=head_dim,
        experts=next(c[k] for k in (*EXPERTS, "moe_num_experts") if k in c),
        chosen=c["moe_k" if ernie else "num_experts_per_tok"],
        shared=c.get("moe_num_shared_experts" if ernie else "n_shared_experts", 0),
        first_moe=c["moe_layer_start_index"] if ernie else c.get("first_k_dense_replace", 0),
        moe_every=1,
        renorm=c.get("norm_topk_prob", ernie or minimax),
        eps=c["rms_norm_eps"],
        theta=c.get("rope_theta", 5e6 if minimax else 1e4),
        tied=c["tie_word_embeddings"],
        qk_norm="full" if minimax else "head" if family == "dots1" or c.get("use_qk_norm") else None,
        clip=None,
        qkv_bias=c.get("attention_bias", False),
        gated_shared=False,
        dense=tuple(i for i, kind in enumerate(c.get("mlp_layer_types", ())) if kind == "dense"),
        embed_scale=1.0,
        attention_scale=head_dim**-0.5,
        residual_scale=1.0,
        logits_divisor=1.0,
        sigmoid=not ernie,
        groups=c.get("n_group", 1),
        top_groups=c.get("topk_group", 1),
        scale=c.get("routed_scaling_factor", 1.0),
        least_sum=c.get("moe_norm_min", 0.0),
        turning=c.get("rotary_dim", int(head_dim * c.get("partial_rotary_factor", 1.0))),
        neighbours=ernie,
        end=c.get("moe_layer_end_index", layers - 1) + 1,
    )


def further_tensors(config):
    """A few of the tensors that predict further tokens, which nobody here reads: name -> shape."""
    layers, d = config["num_hidden_layers"], config["hidden_size"]
    if "num_mtp_modules" in config:
        return {f"model.layers.{layers + 2}.input_layernorm.weight": (d,)}
    if "num_nextn_predict_layers" not in config:
        return {}
    if config["model_type"] == "ernie4_5_moe":
        return {"model.mtp_emb_norm.0.weight": (d,)}
    return {f"model.layers.{layers}.enorm.weight": (d,), f"model.layers.{layers}.eh_proj.weight": (d, 2 * d)}


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
    gates = weight / (mass[:, None].clamp(min=s.least_sum) + (getattr(s, "more", 1e-20) if s.sigmoid else 0.0)) if s.renorm else weight
    if mode == "bias_mass":
        gates = gates * (route(z, correction, s)[1].sum(-1) / gates.sum(-1))[:, None]
    return ids, gates, mass, margin


class CorrectedReference(Reference):
    """CorrectedReference(config dict, weights by name, dtype).forward(ids), as Reference."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))

    def rope(self, x):
        turning = self.shape.turning
        turned = x[..., :turning]
        if self.shape.neighbours:  # side by side what lies half a head apart there
            turned = turned.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
        turned = super().rope(turned)
        if self.shape.neighbours:
            turned = turned.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
        return torch.cat([turned, x[..., turning:]], dim=-1)

    def choose(self, z, prefix, bias, mode):
        return route(z, self.w[prefix + "gate.e_score_correction_bias"].view(-1), self.shape, bias, mode)
