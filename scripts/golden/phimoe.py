"""phimoe - the tiny checkpoint of Phi-3.5-MoE, and the family written plainly in PyTorch on top of deepseek_reference; engine.py compares
it with transformers.

What differs: LayerNorm with a bias in place of every norm, biases of q, k, v, o and the head, LongRoPE, a window in every layer, and
sparsemixer: each of two experts is weighed in a round of its own, by a softmax over those about as strong.
"""

import dataclasses

import torch
import torch.nn.functional as F

from .deepseek_reference import Reference, Shape, top_k

FAMILIES = ("phimoe",)
CLOSEST = 1e-4  # to the end of what counts in a round: a gate jumps there

# For engine.py: fields that change the mathematics, beside those of all families; and those that mean something else here.
FLIPS = (
    ("num_experts_per_tok", 1, "refuse"),
    ("router_jitter_noise", 0.01, "differs"),
    ("sliding_window", 9, "differs"),
    ("attention_bias", "not", "refuse"),
    ("lm_head_bias", "not", "refuse"),
    ("original_max_position_embeddings", 32, "refuse"),
    ("rope_scaling", {"short_mscale": 1.0}, "differs"),
    ("rope_scaling", {"short_factor": [1.5, 1.0, 1.0, 1.0]}, "differs"),
    ("rope_scaling", {"short_factor": [1.5, 1.0, 1.0]}, "refuse"),
    ("rope_scaling", {"rope_type": "yarn"}, "refuse"),
)
OTHERWISE = ("num_experts_per_tok", "sliding_window", "attention_bias")


@dataclasses.dataclass
class PhiMoE(Shape):
    """A Shape, and what this family has beside it."""

    within: float = 0.02  # how far behind an expert may be to count in a round
    window: int = 0
    factors: tuple = ()
    amplitude: float = 1.0


def config(**changes):
    """config.json in the form of microsoft/Phi-3.5-MoE-instruct; near experts are not as near as published, so that rounds have some."""
    return {
        "architectures": ["PhiMoEForCausalLM"],
        "model_type": "phimoe",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": [2, 5],
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_dropout": 0.0,
        "hidden_size": 18,
        "initializer_range": 0.02,
        "input_jitter_noise": 0.01,
        "intermediate_size": 10,
        "lm_head_bias": True,
        "max_position_embeddings": 512,
        "num_attention_heads": 4,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "num_local_experts": 6,
        "original_max_position_embeddings": 128,
        "output_router_logits": False,
        "pad_token_id": 1,
        "rms_norm_eps": 1e-3,
        "rope_scaling": {
            "long_factor": [1.0, 1.5, 4.0, 8.0],
            "long_mscale": 1.25,
            "original_max_position_embeddings": 128,
            "short_factor": [1.0, 1.0625, 1.25, 2.0],
            "short_mscale": 1.25,
            "type": "longrope",
        },
        "rope_theta": 300.0,
        "router_aux_loss_coef": 0.0,
        "router_jitter_noise": 0.1,
        "sliding_window": 21,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.43.3",
        "use_cache": True,
        "vocab_size": 290,
    } | changes


def shape(c):
    """The config as a PhiMoE."""
    plain = Shape.from_config(c)
    return PhiMoE(**dataclasses.asdict(plain), within=2 * c["router_jitter_noise"], window=c["sliding_window"],
                  factors=tuple(c["rope_scaling"]["short_factor"]), amplitude=c["rope_scaling"]["short_mscale"])


def further_tensors(config):
    """The biases that no other family has: name -> shape."""
    d, biases = config["hidden_size"], {"model.norm.bias": (config["hidden_size"],), "lm_head.bias": (config["vocab_size"],)}
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        for name in ("input_layernorm", "self_attn.o_proj", "post_attention_layernorm"):
            biases[f"{p}{name}.bias"] = (d,)
    return biases


def route(z, s, bias=None, mode=None):
    """deepseek_reference.route for sparsemixer, and how close [T] the nearest expert is to the end of what counts in a round."""
    zero = torch.zeros_like(z[0]) if bias is None else bias.to(z.dtype)
    choice = z + zero if mode in ("bias", "select", "bias_mass") else z
    g = z + zero if mode in ("bias", "gate", "bias_mass") else z
    ranked = torch.sort(choice, dim=-1, descending=True).values
    ids, left = top_k(choice, s.chosen), torch.ones_like(z, dtype=torch.bool)
    gates, closest = torch.zeros_like(ids, dtype=z.dtype), torch.full_like(z[:, 0], torch.inf)
    for k in range(s.chosen):
        own = g.gather(1, ids[:, k : k + 1])
        behind = (own - g) / torch.maximum(g.abs(), own)
        part = left & ~(behind > s.within)
        gates[:, k] = (g.masked_fill(~part, -torch.inf).softmax(-1)).gather(1, ids[:, k : k + 1])[:, 0]
        closest = torch.minimum(closest, (behind - s.within).abs().masked_fill(~left, torch.inf).amin(-1))
        left = left.scatter(1, ids[:, k : k + 1], False)
    mass = g.softmax(-1).gather(1, ids).sum(-1)
    by_id = torch.argsort(ids, dim=-1)
    ids, gates = ids.gather(1, by_id), gates.gather(1, by_id)
    order = torch.argsort(gates, dim=-1, descending=True, stable=True)
    ids, gates = ids.gather(1, order), gates.gather(1, order)
    if mode == "bias_mass":
        gates = gates * (route(z, s)[1].sum(-1) / gates.sum(-1))[:, None]
    return ids, gates, mass, ranked[:, s.chosen - 1] - ranked[:, s.chosen], closest


class PhiMoEReference(Reference):
    """PhiMoEReference(config dict, weights by name, dtype).forward(ids), as Reference; closest is the least distance of all choices so far."""

    def __init__(self, config, weights, dtype=torch.float32):
        super().__init__(config, weights, dtype, shape(config))
        self.closest = torch.inf

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name], self.w[name.removesuffix("weight") + "bias"], self.shape.eps)

    def rope(self, x):
        """x: [T, heads, head_dim]; angles in fp32, each pair's divided by a number of its own."""
        s, half = self.shape, x.shape[-1] // 2
        step = 1.0 / (torch.tensor(s.factors) * s.theta ** (torch.arange(half, dtype=torch.float32) / half))
        angle = torch.arange(x.shape[0], dtype=torch.float32)[:, None] * step
        cos, sin = ((y * s.amplitude).to(x.dtype)[:, None, :] for y in (angle.cos(), angle.sin()))
        low, high = x[..., :half], x[..., half:]
        return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)

    def hidden(self, t):
        hidden = super().hidden(t)
        return hidden | torch.ones_like(hidden).tril(-self.shape.window)

    def choose(self, z, prefix, bias, mode):
        *found, closest = route(z, self.shape, bias, mode)
        self.closest = min(self.closest, float(closest.min()))
        return found
