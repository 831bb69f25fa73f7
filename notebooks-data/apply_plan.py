#!/usr/bin/env python3
"""A plan of gm-steer on a Hugging Face model: the bias is added to the router's logits by a forward hook.

usage: python3 notebooks-data/apply_plan.py MODEL run.plan.safetensors "Albert Einstein"

The model's family must be one of transformers' own: DeepSeek-MoE v1 (GigaChat-20B-A3B, the demo model) is not. It runs in f32, where its
logits are those of gm-steer --numerics f32. In bf16, which takes half the memory, roundings change choices of experts: on tiny
checkpoints 3 to 4 tokens of 100 then had another likeliest successor.
"""
import json
import sys

import torch
from safetensors import safe_open
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig


def model_of(folder, **how):
    """The model; a sentence where transformers does not have its family."""
    family = PretrainedConfig.get_config_dict(folder)[0].get("model_type")
    if family not in CONFIG_MAPPING:
        name = " (DeepSeek-MoE v1)" if family == "deepseek" else ""
        sys.exit(f"'{folder}' is of the family '{family}'{name}, which transformers does not have")
    return AutoModelForCausalLM.from_pretrained(folder, **how)


def steer(model, path):
    """Hooks that apply a plan of mode bias to every token; remove() of each takes it off again."""
    with safe_open(path, "pt") as plan:
        about, bias = plan.metadata(), plan.get_tensor("bias")  # (L,E)
    always = ("bias", "false", "prompt,generated,template", "constant")
    plan_is = (*(about.get(key) for key in ("mode", "mass_matched", "phases")), about.get("schedule", "constant"))
    if plan_is != always:
        raise ValueError(f"'{path}' has mode, mass_matched, phases, schedule {plan_is}, expected {always}")

    def add(router, given, out, row):
        if isinstance(out, torch.Tensor):  # transformers 4: the router is a linear layer
            return out + row
        if len(out) == 2:  # Llama 4's: scores of all experts, 0 but for the chosen, and logits
            logits = out[1] + row
            expert = logits.topk(router.top_k).indices
            return torch.zeros_like(logits).scatter(-1, expert, logits.sigmoid().gather(-1, expert)), logits
        scale = getattr(router, "per_expert_scale", None)  # Gemma 4's, which gives probabilities
        logits = (out[0] if scale is None else out[0].log()) + row  # (T,E); transformers 5: it also chooses
        mixer = getattr(sys.modules[type(router).__module__], "sparsemixer", None)  # Phi-3.5-MoE's
        if mixer:
            return logits, *mixer(logits, router.router_jitter_noise, training=False)
        gate, expert = choose(router, logits, correction_of(router, given))
        gate = gate / gate.sum(-1, keepdim=True).clamp(min=getattr(router, "norm_min", 0)) \
            if getattr(router, "norm_topk_prob", not hasattr(router, "topk_method")) else gate  # DeepSeek V2 never does
        gate = gate * (scale_of(router) if scale is None else scale[expert])
        return logits, gate.to(logits.dtype), expert

    window = range(int(about["first_layer"]), int(about["last_layer"]) + 1)
    rows = {layer: row for layer, row in zip(json.loads(about["layer_of_moe"]), bias) if layer in window}
    return [router_of(layers_of(model)[layer]).register_forward_hook(lambda *seen, row=row: add(*seen, row))
            for layer, row in rows.items()]


def scale_of(router):
    """By what the gates are multiplied; names differ."""
    names = ("routed_scaling_factor", "route_scale", "router_scaling_factor")
    return next((getattr(router, name) for name in names if hasattr(router, name)), 1)


def correction_of(router, given):
    """What some families add to the scores for the choice alone (E), or None."""
    own = getattr(getattr(router, "moe_statics", router), "e_score_correction_bias", None)
    return own.flatten() if own is not None else given[1] if len(given) > 1 else None


def choose(router, logits, correction):
    """Gates (T,K), not yet renormalised, and experts (T,K)."""
    if correction is None:
        limited = getattr(router, "topk_method", None) == "group_limited_greedy"
        expert = (in_groups(router, logits, 1) if limited else logits).topk(chosen(router)).indices
        scores = logits.sigmoid() if getattr(router, "expert_selection_fn", "") == "sigmoid" else logits.softmax(-1, dtype=torch.float)
        return scores.gather(-1, expert), expert  # sigmoids are Cohere's
    score = logits.softmax(-1) if hasattr(router, "moe_statics") else logits.float().sigmoid()
    choice = (score + correction).masked_fill(logits == -torch.inf, -torch.inf)
    if getattr(router, "num_group", 1) > 1:
        choice = in_groups(router, choice, 2)
    expert = choice.topk(chosen(router)).indices
    return score.gather(-1, expert), expert


def chosen(router):
    """Experts of a token."""
    return router.top_k if hasattr(router, "top_k") else router.config.top_k_experts


def in_groups(router, choice, n):
    """The same (T,E), with -inf outside the best groups; a group counts its best n."""
    parts = choice.unflatten(-1, (router.num_group, -1))
    top = parts.topk(n).values
    top[..., 1:] = top[..., 1:].masked_fill(top[..., 1:] == -torch.inf, 0)
    kept = top.sum(-1).topk(router.topk_group).indices
    others = torch.ones_like(parts[..., 0], dtype=torch.bool).scatter(-1, kept, False)
    return parts.masked_fill(others[..., None], -torch.inf).flatten(-2)


def layers_of(model):
    """DBRX's, or any other family's."""
    return model.transformer.blocks if hasattr(model, "transformer") else model.model.layers


def mlp_of(layer):
    """What has the experts, or the MLP of a dense layer."""
    names = ("block_sparse_moe", "mlp", "mixer", "feed_forward", "ffn")
    return next(getattr(layer, name) for name in names if getattr(layer, name, None) is not None)


def router_of(layer):
    """Those of Granite, gpt-oss, Nemotron-H, LFM2, Llama 4, DBRX and Gemma 4 are called otherwise than the other families'."""
    if hasattr(layer, "router"):
        return layer.router
    mlp = mlp_of(layer)
    return getattr(mlp, "router", None) or mlp.gate


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, plan, prompt = sys.argv[1:]
    language_model, tokenizer = model_of(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)
    steer(language_model, plan)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    print(tokenizer.decode(language_model.generate(ids, max_new_tokens=100, do_sample=False)[0]))
