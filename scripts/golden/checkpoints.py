"""checkpoints - tiny models in the form Hugging Face ships them: config, generation config, safetensors.

Sizes are chosen for their awkwardness (40, 24, 317: no multiples of 16), weights for healthy routers: logit std >= 1.
"""

import numpy as np
import torch
from safetensors.torch import save_file

from . import common, conv, corrected, dbrx, delta, fp8, global_heads, gpt_oss, kimi, latent, llama, mamba, mellum, mimo, mistral, norms, parallel, phimoe, windows
from .deepseek_reference import OTHER_NAMES, Shape

# What stacks experts' gate above up, and what stacks down.
LINEAR = ("input_linear.weight", "output_linear.weight")
STACKED = {"granitemoe": LINEAR, "granitemoeshared": LINEAR, "granitemoehybrid": LINEAR,
           "qwen3_5_moe": ("experts.gate_up_proj", "experts.down_proj"), "llama4_text": ("experts.gate_up_proj", "experts.down_proj"),
           "mistral4": ("experts.gate_up_proj", "experts.down_proj")}
DENSE_WIDTH = ("intermediate_size_mlp", "prefix_dense_intermediate_size", "intermediate_size")  # the first that is there
ROUTERS = (".gate.weight", ".gate.wg.weight", ".shared_expert_gate.weight", ".router.layer.weight")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def deepseek_config(**changes):
    """config.json of the DeepSeek-MoE v1 family with tiny sizes; changes=None removes a field."""
    config = {
        "architectures": ["DeepseekForCausalLM"],
        "model_type": "deepseek",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "aux_loss_alpha": 0.001,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "first_k_dense_replace": 1,
        "hidden_act": "silu",
        "hidden_size": 40,
        "initializer_range": 0.006,
        "intermediate_size": 56,
        "max_position_embeddings": 256,
        "mlp_bias": False,
        "moe_implementation": "eager",
        "moe_intermediate_size": 24,
        "moe_layer_freq": 1,
        "n_routed_experts": 12,
        "n_shared_experts": 2,
        "norm_topk_prob": False,
        "num_attention_heads": 4,
        "num_experts_per_tok": 3,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-5,
        "rope_scaling": None,
        "rope_theta": 1400000,
        "scoring_func": "softmax",
        "seq_aux": True,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.47.0",
        "use_cache": True,
        "vocab_size": 317,
    }
    config.update(changes)
    return {k: v for k, v in config.items() if v is not None or k == "rope_scaling"}


def olmoe_config(**changes):
    """config.json in the form of allenai/OLMoE-1B-7B-0924 (which leaves rms_norm_eps to its default, 1e-5)."""
    config = {
        "architectures": ["OlmoeForCausalLM"],
        "model_type": "olmoe",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "clip_qkv": None,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 16,
        "initializer_range": 0.02,
        "intermediate_size": 9,
        "max_position_embeddings": 128,
        "norm_topk_prob": False,
        "num_attention_heads": 4,
        "num_experts": 16,
        "num_experts_per_tok": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 4,
        "output_router_logits": False,
        "pad_token_id": 1,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "router_aux_loss_coef": 0.01,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.43.0.dev0",
        "use_cache": True,
        "vocab_size": 288,
    }
    config.update(changes)
    return config


def qwen3_config(**changes):
    """config.json in the form of Qwen/Qwen3-30B-A3B: heads x head_dim is not the width, what is idle stands there."""
    config = olmoe_config(
        architectures=["Qwen3MoeForCausalLM"], model_type="qwen3_moe", bos_token_id=1, decoder_sparse_step=1, head_dim=10,
        hidden_size=16, intermediate_size=72, max_window_layers=3, mlp_only_layers=[], moe_intermediate_size=10,
        norm_topk_prob=True, num_attention_heads=4, num_experts=10, num_experts_per_tok=3, num_key_value_heads=2,
        rms_norm_eps=1e-4, rope_theta=1000000.0, sliding_window=None, torch_dtype="bfloat16", use_sliding_window=False,
        vocab_size=289,
    )
    del config["clip_qkv"]
    return config | changes


def qwen2_config(**changes):
    """config.json in the form of Qwen/Qwen1.5-MoE-A2.7B, with one layer dense: a gate of its own for the shared expert."""
    config = qwen3_config(
        architectures=["Qwen2MoeForCausalLM"], model_type="qwen2_moe", hidden_size=16, intermediate_size=20, max_window_layers=2,
        mlp_only_layers=[1], moe_intermediate_size=6, norm_topk_prob=False, num_attention_heads=4, num_experts=16,
        num_experts_per_tok=4, num_hidden_layers=3, qkv_bias=True, shared_expert_intermediate_size=14, sliding_window=32, torch_dtype="float32",
    )
    for key in ("attention_bias", "head_dim", "rope_scaling"):
        del config[key]
    return config | changes


def mixtral_config(**changes):
    """config.json in the form of mistralai/Mixtral-8x7B-v0.1; rope_theta is left to its default, 1e6."""
    config = olmoe_config(
        architectures=["MixtralForCausalLM"], model_type="mixtral", bos_token_id=1, hidden_size=16, intermediate_size=14,
        num_attention_heads=4, num_experts_per_tok=2, num_key_value_heads=2, num_local_experts=6, sliding_window=None,
        torch_dtype="bfloat16", vocab_size=289,
    )
    for key in ("clip_qkv", "norm_topk_prob", "num_experts", "rope_theta", "rope_scaling"):
        del config[key]
    return config | changes


def granite_config(**changes):
    """config.json in the form of ibm-granite/granite-3.0-1b-a400m-base; rope_theta is left to its default, 1e4."""
    config = mixtral_config(
        architectures=["GraniteMoeForCausalLM"], model_type="granitemoe", attention_multiplier=0.25, embedding_multiplier=1.5,
        logits_scaling=1.25, num_experts_per_tok=3, residual_multiplier=0.6, rms_norm_eps=1e-3, rope_scaling=None,
        tie_word_embeddings=True,
    )
    del config["sliding_window"]
    return config | changes


def int4_config(method, **settings):
    """A config with few and small matrices whose sizes the programs that pack them want: multiples of 32."""
    sizes = {"hidden_size": 32, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": corrected.FEWEST, "mlp_only_layers": []}
    return qwen3_config(quantization_config={"quant_method": method, **settings}, torch_dtype="float16", head_dim=16, **sizes)


def kimi_config():
    """config.json in the form of moonshotai/Kimi-K2-Thinking: DeepSeek-V3 whose experts are int4, symmetric, in groups."""
    weights = {"actorder": None, "block_structure": None, "dynamic": False, "group_size": 16, "num_bits": 4, "observer": "minmax",
               "observer_kwargs": {}, "strategy": "group", "symmetric": True, "type": "int"}
    group = {"input_activations": None, "output_activations": None, "targets": ["Linear"], "weights": weights}
    return latent.v3_config(
        vocab_size=corrected.FEWEST, hidden_size=32, moe_intermediate_size=16, n_routed_experts=3, num_experts_per_tok=2, n_group=1,
        topk_group=1, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        quantization_config={"config_groups": {"group_0": group}, "format": "pack-quantized", "ignore": [
            "lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
            "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed"})


# name: (config, shards, seed). The seeds are the first ones that pass the checks of engine.py.
MODELS = {
    "deepseek-tiny": (deepseek_config(), 3, 1),
    "deepseek-tied": (
        deepseek_config(
            hidden_size=24, head_dim=None, num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=2,
            n_shared_experts=1, moe_intermediate_size=8, intermediate_size=20, norm_topk_prob=True, rms_norm_eps=1e-3,
            rope_theta=10000.0, moe_layer_freq=2, num_hidden_layers=5, tie_word_embeddings=True, torch_dtype="bfloat16",
            vocab_size=312, max_position_embeddings=128, mlp_bias=None, moe_implementation=None,
        ),
        1, 1,
    ),
    "olmoe-tiny": (olmoe_config(), 1, 1),
    "olmoe-clip": (
        olmoe_config(
            hidden_size=24, intermediate_size=10, num_attention_heads=6, num_key_value_heads=2, num_experts=8,
            num_experts_per_tok=3, norm_topk_prob=True, clip_qkv=0.75, rms_norm_eps=1e-4, rope_theta=50000.0,
            torch_dtype="bfloat16", vocab_size=289,
        ),
        2, 1,
    ),
    "qwen3-tiny": (qwen3_config(), 1, 1),
    "mixtral-tiny": (mixtral_config(vocab_size=corrected.FEW), 1, 2),
    "qwen2-tiny": (qwen2_config(vocab_size=corrected.FEW), 1, 4),
    "granite-tiny": (granite_config(), 1, 1),
    "glm-tiny": (corrected.glm_config(), 1, 1),
    "dots-tiny": (corrected.dots_config(), 1, 1),
    "ernie-tiny": (corrected.ernie_config(), 1, 3),
    "minimax-tiny": (corrected.minimax_config(), 1, 1),
    "deepseek-v2-tiny": (latent.v2_config(), 1, 1),
    "deepseek-v3-tiny": (latent.v3_config(), 1, 2),
    "phimoe-tiny": (phimoe.config(), 1, 2),
    "deepseek-v3-fp8": (latent.fp8_config(vocab_size=corrected.FEW), 1, 2),
    "glm-lite-tiny": (latent.lite_config(vocab_size=corrected.FEW), 1, 1),
    "qwen3-next-tiny": (delta.next_config(), 1, 2),
    "qwen3.5-tiny": (delta.text_config(vocab_size=corrected.FEW), 1, 12),
    "flexolmo-tiny": (norms.flex_config(vocab_size=corrected.FEW), 1, 1),
    "hunyuan-tiny": (norms.hunyuan_config(vocab_size=corrected.FEW), 1, 1),
    "granite-hybrid-tiny": (mamba.hybrid_config(vocab_size=corrected.FEW), 1, 1),
    "gemma4-tiny": (global_heads.config(), 1, 2),
    "nemotron-tiny": (mamba.nemotron_config(), 1, 2),
    "lfm-tiny": (conv.config(), 1, 2),
    "afmoe-tiny": (windows.afmoe_config(vocab_size=corrected.FEW), 1, 2),
    "exaone-tiny": (windows.exaone_config(vocab_size=corrected.FEW), 1, 3),
    "llama4-tiny": (llama.config(vocab_size=corrected.FEW), 1, 1),
    "mellum-tiny": (mellum.config(vocab_size=corrected.FEWEST), 1, 1),
    "granite-shared-tiny": (mamba.shared_config(vocab_size=corrected.FEWEST), 1, 1),
    "mistral4-tiny": (mistral.config(vocab_size=corrected.FEWEST), 1, 5),
    "cohere-tiny": (parallel.config(vocab_size=corrected.FEW), 1, 1),
    "mimo-tiny": (mimo.config(vocab_size=corrected.FEWEST), 1, 7),
    "kimi-linear-tiny": (kimi.config(vocab_size=12), 1, 1),
    "dbrx-tiny": (dbrx.config(vocab_size=corrected.FEWEST), 1, 1),
    "kimi-int4": (kimi_config(), 1, 1),
    "qwen3-gptq": (int4_config("gptq", bits=4, checkpoint_format="gptq", damp_percent=0.01, desc_act=False,
                               group_size=16, sym=False, true_sequential=True), 1, 1),
    "qwen3-awq": (int4_config("awq", bits=4, group_size=16, modules_to_not_convert=["gate"], version="gemm",
                              zero_point=True), 1, 1),
    "gptoss-tiny": (gpt_oss.config(), 1, 2),
    "gptoss-plain": (gpt_oss.plain_config(vocab_size=corrected.FEW), 2, 1),
}


def module_of(config):
    """The module that a family has to itself; None: deepseek_reference alone."""
    modules = (conv, corrected, dbrx, delta, global_heads, kimi, latent, llama, mamba, mellum, mimo, mistral, norms, parallel, phimoe, windows)
    return next((module for module in modules if config["model_type"] in module.FAMILIES), None)


def shape_of(config):
    """What the config says."""
    module = module_of(config)
    return module.shape(config) if module else Shape.from_config(config)


def attention_tensors(config, s, prefix):
    """Those of a layer's attention."""
    own = next((module for module in (kimi, mimo) if config["model_type"] in module.FAMILIES), None)
    if own:
        return own.attention_tensors(config, prefix)
    if config["model_type"] in latent.FAMILIES + mistral.FAMILIES:
        return latent.attention_tensors(config, prefix)
    q, kv, shapes = s.heads * s.head_dim, s.kv_heads * s.head_dim, {}
    for name, rows in (("q", q), ("k", kv), ("v", kv)):
        shapes[f"{prefix}{name}_proj.weight"] = (rows, s.width)
        if s.qkv_bias:
            shapes[f"{prefix}{name}_proj.bias"] = (rows,)
    shapes[prefix + "o_proj.weight"] = (s.width, q)
    if s.qk_norm:
        full = s.qk_norm == "full"
        shapes[prefix + "q_norm.weight"] = (q if full else s.head_dim,)
        shapes[prefix + "k_norm.weight"] = (kv if full else s.head_dim,)
    return shapes


def tensor_shapes(config):
    """Every tensor of the checkpoint, in the order of the model: name -> shape [out, in]."""
    if config["model_type"] in global_heads.FAMILIES:
        return global_heads.tensor_shapes(config)
    if config["model_type"] in dbrx.FAMILIES:
        return dbrx.tensor_shapes(config)
    config = delta.flat(config)
    if config["model_type"] == "nemotron_h":
        return mamba.nemotron_tensors(config)
    s = shape_of(config)
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], s.width)}

    def mlp(prefix, wide):
        for name in ("gate_proj", "up_proj"):
            shapes[f"{prefix}{name}.weight"] = (wide, s.width)
        shapes[f"{prefix}down_proj.weight"] = (s.width, wide)

    for layer in range(s.layers):
        p = f"model.layers.{layer}."
        shapes[p + s.norms[0]] = (s.width,)
        if config["model_type"] in delta.FAMILIES:
            shapes |= delta.attention_tensors(config, layer, p)
        elif config["model_type"] in conv.FAMILIES and s.kinds[layer]:
            shapes |= conv.conv_tensors(config, p + "conv.")
        elif config["model_type"] in mamba.FAMILIES and s.kinds[layer]:
            shapes |= mamba.mamba_tensors(config, p + "mamba.")
        else:
            shapes |= attention_tensors(config, s, p + "self_attn.")
        shapes[p + s.norms[1]] = (s.width,)
        if not s.is_moe(layer):
            mlp(p + "mlp.", next(config[key] for key in DENSE_WIDTH if key in config))
            continue
        shapes[p + "mlp.gate.weight"] = (s.experts, s.width)
        if getattr(s, "correction", False):
            stack = (1,) if config["model_type"] == "ernie4_5_moe" else ()
            shapes[p + "mlp.gate.e_score_correction_bias"] = (*stack, s.experts)
        expert_width = config.get("moe_intermediate_size") or config["intermediate_size"]
        if isinstance(expert_width, list):
            expert_width = expert_width[layer]
        for e in range(s.experts):
            mlp(f"{p}mlp.experts.{e}.", expert_width)
        if config["model_type"] in mamba.FAMILIES:
            shapes |= mamba.shared_tensors(config, p)
        elif s.shared:
            mlp(p + "mlp.shared_experts.", config.get("shared_expert_intermediate_size", s.shared * expert_width))
        if s.gated_shared:
            shapes[p + "mlp.shared_expert_gate.weight"] = (1, s.width)
    shapes["model.norm.weight"] = (s.width,)
    if not s.tied:
        shapes["lm_head.weight"] = (config["vocab_size"], s.width)
    if config["model_type"] not in delta.FAMILIES:
        further = next((module for module in (mellum, mimo, phimoe, windows) if config["model_type"] in module.FAMILIES), corrected)
        shapes |= further.further_tensors(config)
    if config["model_type"] in STACKED:
        shapes = stacked(shapes, s.experts, *STACKED[config["model_type"]])
    if config["model_type"] in llama.FAMILIES:
        shapes = {name: (shape[0], shape[2], shape[1]) if len(shape) == 3 else shape for name, shape in shapes.items()}
    named = {name_of(config["model_type"], name): shape for name, shape in shapes.items()}
    return named | delta.further_tensors(config) if config["model_type"] in delta.FAMILIES else named


def name_of(family, name):
    """A tensor's name as the family has it."""
    if family in kimi.FAMILIES:
        return kimi.name_of(name)
    for theirs, ours in OTHER_NAMES.get(family, {}).items():
        name = name.replace(ours, theirs)
    return name


def stacked(shapes, experts, gate_up, down):
    """One tensor for gate above up of all experts, one for down."""
    result = {}
    for name, shape in shapes.items():
        prefix, is_expert, part = name.partition(".mlp.experts.")
        if not is_expert:
            result[name] = shape
        elif part.endswith("gate_proj.weight"):
            result[f"{prefix}.mlp.{gate_up}"] = (experts, 2 * shape[0], shape[1])
        elif part.endswith("down_proj.weight"):
            result[f"{prefix}.mlp.{down}"] = (experts, *shape)
    return result


def make_weights(config, seed):
    """Seeded normal weights, rounded to the checkpoint's dtype. Gain over 1/sqrt(in): router 1.8, head 2."""
    if config["model_type"] == "gpt_oss":
        return gpt_oss.make_weights(config, seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    dtype = DTYPES[config["torch_dtype"]]
    weights = {}
    for name, shape in tensor_shapes(config).items():
        values = rng.standard_normal(shape)
        module = module_of(config)
        own = module.scaled(name, values) if hasattr(module, "scaled") else None
        if own is not None:
            values = own
        elif "norm" in name and not name.endswith(".bias"):
            values = 1.0 + 0.2 * values
        elif name.endswith(("embed_tokens.weight", "embeddings.weight")):
            values *= 2.0 / shape[1] ** 0.5 if config["tie_word_embeddings"] else 0.04
        elif name.endswith(("correction_bias", "expert_bias")):
            weights[name] = torch.from_numpy(0.15 * values).to(torch.float32)  # as published, whatever the others are
            continue
        elif name.endswith(".bias"):
            values *= 0.3
        else:
            gain = 1.8 if name.endswith(ROUTERS) else 2.0 if name == "lm_head.weight" else 1.1
            values *= gain / shape[-1] ** 0.5
        weights[name] = torch.from_numpy(values).to(torch.float32).to(dtype)
    return fp8.quantised(config, weights)


def write_checkpoint(folder, config, shards, seed):
    """Writes the folder. Shards are cut by tensor count, so that a layer's experts straddle two of them."""
    weights = make_weights(config, seed)
    common.write_json(folder / "config.json", config, indent=2)
    generation = {"eos_token_id": [2, 5], "pad_token_id": 1}
    if config["model_type"] == "deepseek":
        generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "max_new_tokens": 64}
    common.write_json(folder / "generation_config.json", generation, indent=2)
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names, weight_map = list(weights), {}
    for i in range(shards):
        part = names[len(names) * i // shards : len(names) * (i + 1) // shards]
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
    total = sum(t.numel() * t.element_size() for t in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    common.write_json(folder / "model.safetensors.index.json", index, indent=2)
