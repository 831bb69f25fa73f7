#!/usr/bin/env python3
"""live_checkpoints - checkpoints that transformers has saved in our engine, and those of gm-bench in transformers: logits in f32.

    live_checkpoints.py BUILD     BUILD: a build folder with gm-bench and tests/golden/engine_logits

The tiny checkpoints, as save_pretrained writes them: other keys in config.json, other shards. And random weights in published
widths, one or two layers of each shape that transformers has a class for (GigaChat's it has not), and of larger ones with fewer experts: up
to 8 GB of memory and 4 GB of disk. Tokens after a choice with a margin below CLOSE, in their document, are left out: there the two
may rightly choose otherwise.
Exit 77 when a program is absent, 3 when a bound does not hold.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common  # noqa: E402
from golden.live_plan import MODELS, engine_logits, folder_of, their_logits  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

SHAPES = {"granite-3.0-1b-a400m": 2, "olmoe-1b-7b": 2, "qwen1.5-moe-a2.7b": 1, "qwen3-30b-a3b": 1, "gpt-oss-20b": 1, "deepseek-v2-lite": 2,
          "gigachat3-10b-a1.8b": 2, "phi-3.5-moe": 1, "lfm2-8b-a1b": 4}  # name: layers
# Too large as published, or (ERNIE) with a correction of rank 2, which gm-bench writes as a vector: their widths and heads, but 16
# experts (FlexOlmo, DBRX and Llama 4 three, Hunyuan, K-EXAONE, DeepSeek-V3.2, MiMo-V2-Flash and GLM-5 8) and 8,192 tokens; two layers, of random weights. Phi-mini-MoE has angles of its larger sibling's kind.
KINDS = {"layer_types": ["linear_attention", "full_attention"], "rope_theta": 10000000}  # the other sizes are transformers' own
SMALL_VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "image_size": 16, "patch_size": 4}
FEWER = {
    "GLM-4.5-Air": {
        "model_type": "glm4_moe", "hidden_size": 4096, "intermediate_size": 10944, "num_attention_heads": 96, "num_key_value_heads": 8,
        "head_dim": 128, "partial_rotary_factor": 0.5, "attention_bias": True, "n_routed_experts": 16, "num_experts_per_tok": 8,
        "moe_intermediate_size": 1408, "rope_theta": 1000000},
    "GLM-4.7-Flash": {"model_type": "glm4_moe_lite", "n_routed_experts": 16, "rope_theta": 1000000, "bos_token_id": 1, "eos_token_id": 2},
    "DeepSeek-V3.2": {
        "model_type": "deepseek_v32", "n_routed_experts": 8, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 4, "num_attention_heads": 16,
        "num_key_value_heads": 16, "first_k_dense_replace": 1, "index_topk": 40,
        "rope_parameters": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "rope_type": "yarn",
                            "original_max_position_embeddings": 4096, "rope_theta": 10000}},
    "GLM-5": {
        "model_type": "glm_moe_dsa", "n_routed_experts": 8, "num_experts_per_tok": 4, "num_attention_heads": 16, "num_key_value_heads": 16,
        "first_k_dense_replace": 1, "index_topk": 40, "index_topk_freq": 2, "index_skip_topk_offset": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000}},
    "Ling-mini-2.0, as Sarvam": {
        "model_type": "sarvam_moe", "hidden_size": 2048, "intermediate_size": 5120, "num_attention_heads": 16, "num_key_value_heads": 4,
        "head_dim": 128, "partial_rotary_factor": 0.5, "n_routed_experts": 16, "num_experts_per_tok": 8, "n_group": 4, "topk_group": 3,
        "moe_intermediate_size": 512, "rope_parameters": {"rope_type": "default", "rope_theta": 600000.0, "partial_rotary_factor": 0.5}},
    "sarvam-30b": {"model_type": "sarvam_moe", "n_routed_experts": 16},
    "FlexOlmo-7x7B": {"model_type": "flex_olmo", "num_experts": 3, "num_experts_per_tok": 2, "pad_token_id": 1, "eos_token_id": 2},
    "Hunyuan-A13B": {
        "model_type": "hunyuan_v1_moe", "hidden_size": 4096, "intermediate_size": 3072, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "num_experts": 8, "moe_topk": 4,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 1000.0, "factor": 1.0}},
    "Gemma 4 26B-A4B, with a window of 21": {
        "model_type": "gemma4_text", "hidden_size": 2816, "intermediate_size": 2112, "num_attention_heads": 16, "num_key_value_heads": 8,
        "num_global_key_value_heads": 2, "attention_k_eq_v": True, "layer_types": ["sliding_attention", "full_attention"],
        "enable_moe_block": True, "num_experts": 16, "top_k_experts": 8, "moe_intermediate_size": 704, "hidden_size_per_layer_input": 0,
        "final_logit_softcapping": 30.0, "sliding_window": 21},
    "Trinity-Mini, with a window of 21": {
        "model_type": "afmoe", "hidden_size": 2048, "intermediate_size": 6144, "num_attention_heads": 32, "num_key_value_heads": 4,
        "head_dim": 128, "layer_types": ["sliding_attention", "full_attention"], "moe_intermediate_size": 1024, "mup_enabled": True,
        "num_experts": 16, "num_experts_per_tok": 8, "num_shared_experts": 1, "route_scale": 2.826, "sliding_window": 21},
    "K-EXAONE-236B-A23B, with a window of 21": {
        "model_type": "exaone_moe", "hidden_size": 6144, "intermediate_size": 18432, "num_attention_heads": 64, "num_key_value_heads": 8,
        "head_dim": 128, "layer_types": ["sliding_attention", "full_attention"], "moe_intermediate_size": 2048, "num_experts": 8,
        "num_experts_per_tok": 4, "sliding_window": 21},
    "Command A+, with a window of 21": {
        "model_type": "cohere2_moe", "hidden_size": 4096, "intermediate_size": 1536, "num_attention_heads": 64, "num_key_value_heads": 8,
        "head_dim": 128, "num_experts": 16, "num_experts_per_tok": 8, "num_shared_experts": 1, "expert_selection_fn": "sigmoid",
        "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 21, "logit_scale": 0.25, "bos_token_id": 1,
        "eos_token_id": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}},
    "DBRX, with experts half as wide": {  # theta stands in "attn_config" as published too, which transformers 5.24 does not read
        "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "attn_config": {"clip_qkv": 8, "kv_n_heads": 8, "rope_theta": 500000},
        "ffn_config": {"ffn_hidden_size": 5376, "moe_num_experts": 3, "moe_top_k": 2},
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000}},
    "MiMo-V2-Flash, with a window of 21": {
        "model_type": "mimo_v2_flash", "n_routed_experts": 8, "num_experts_per_tok": 4, "sliding_window": 21,
        "layer_types": ["full_attention", "sliding_attention"], "mlp_layer_types": ["dense", "sparse"]},
    "Kimi-Linear-48B-A3B": {
        "model_type": "kimi_linear", "num_local_experts": 16, "layer_types": ["linear_attention", "full_attention"], "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2},
    "Hy3": {
        "model_type": "hy_v3", "num_experts": 8, "num_experts_per_tok": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 11158840.0}},
    "sarvam-105b": {
        "model_type": "sarvam_mla", "n_routed_experts": 8, "num_experts_per_tok": 4,
        "rope_parameters": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "rope_type": "yarn",
                            "original_max_position_embeddings": 4096, "rope_theta": 10000}},
    "Mellum2-12B-A2.5B, with a window of 21": {
        "model_type": "mellum", "num_experts": 16, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 21,
        "rope_parameters": {
            "full_attention": {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 16.0, "original_max_position_embeddings": 8192},
            "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0}}},
    "moe-7b-1b-active-shared-experts": {
        "model_type": "granitemoeshared", "hidden_size": 1536, "intermediate_size": 512, "num_attention_heads": 24,
        "num_key_value_heads": 8, "num_local_experts": 16, "num_experts_per_tok": 6, "shared_intermediate_size": 1024,
        "attention_multiplier": 0.015625, "tie_word_embeddings": True},
    "Mistral Small 4, with queries that grow": {
        "model_type": "mistral3", "tie_word_embeddings": False,
        "vision_config": {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                          "num_attention_heads": 2, "head_dim": 8, "image_size": 16, "patch_size": 4},
        "text_config": {  # with the amplitude that the published factors of YaRN give; later transformers scale attention by them too
            "model_type": "mistral4", "n_routed_experts": 16, "first_k_dense_replace": 1,
            "rope_parameters": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 128.0, "attention_factor": 1.0, "rope_type": "yarn",
                                "original_max_position_embeddings": 16, "rope_theta": 10000.0, "llama_4_scaling_beta": 0.1}}},
    "Solar-Open-100B": {
        "model_type": "solar_open", "n_routed_experts": 16,
        "rope_parameters": {"factor": 2.0, "original_max_position_embeddings": 65536, "rope_theta": 1000000.0, "rope_type": "yarn"}},
    "Qwen3-VL-30B-A3B": {
        "model_type": "qwen3_vl_moe", "vision_config": SMALL_VISION | {"out_hidden_size": 2048, "deepstack_visual_indexes": [0]},
        "text_config": {
            "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 16,
            "num_experts_per_tok": 8, "moe_intermediate_size": 768,
            "rope_parameters": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_theta": 5000000.0, "rope_type": "default"}}},
    "GLM-4.5V": {
        "model_type": "glm4v_moe", "vision_config": SMALL_VISION,
        "text_config": {
            "hidden_size": 4096, "intermediate_size": 10944, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128,
            "n_routed_experts": 16, "num_experts_per_tok": 8, "moe_intermediate_size": 1408,
            "rope_parameters": {"mrope_section": [8, 12, 12], "partial_rotary_factor": 0.5, "rope_theta": 10000.0, "rope_type": "default"}}},
    "dots.llm1": {
        "model_type": "dots1", "hidden_size": 4096, "intermediate_size": 10944, "num_attention_heads": 32, "num_key_value_heads": 32,
        "n_routed_experts": 16, "num_experts_per_tok": 6, "n_shared_experts": 2, "first_k_dense_replace": 1, "norm_topk_prob": True,
        "moe_intermediate_size": 1408, "routed_scaling_factor": 2.5, "rope_theta": 10000000},
    "ERNIE-4.5-21B-A3B": {
        "model_type": "ernie4_5_moe", "hidden_size": 2560, "intermediate_size": 12288, "num_attention_heads": 20,
        "num_key_value_heads": 4, "moe_num_experts": 16, "moe_k": 6, "moe_num_shared_experts": 2, "moe_intermediate_size": 1536,
        "rope_theta": 500000},
    "ERNIE-4.5-VL-28B-A3B": {
        "model_type": "ernie4_5_vl_moe", "tie_word_embeddings": True, "vision_config": SMALL_VISION,
        "text_config": {
            "moe_num_experts": 16, "bos_token_id": 1, "eos_token_id": 2,
            "rope_parameters": {"mrope_section": [22, 22, 20], "rope_theta": 500000.0, "rope_type": "default"}}},
    "MiniMax-M2": {
        "model_type": "minimax_m2", "hidden_size": 3072, "intermediate_size": 1536, "num_attention_heads": 48, "num_key_value_heads": 8,
        "head_dim": 128, "rotary_dim": 64, "num_local_experts": 16, "num_experts_per_tok": 8, "bos_token_id": 1, "eos_token_id": 2},
    "Qwen3-Next-80B-A3B, a layer of each kind": {"model_type": "qwen3_next", "num_experts": 16, **KINDS},
    "Qwen3.5-35B-A3B, likewise": {"model_type": "qwen3_5_moe_text", "num_experts": 16, "num_experts_per_tok": 8, **KINDS},
    "granite-4.0-h-tiny, likewise": {
        "model_type": "granitemoehybrid", "hidden_size": 1536, "intermediate_size": 512, "shared_intermediate_size": 1024,
        "num_attention_heads": 12, "num_key_value_heads": 4, "num_local_experts": 16, "num_experts_per_tok": 6, "mamba_n_heads": 48,
        "mamba_d_head": 64, "mamba_d_state": 128, "tie_word_embeddings": True, "attention_multiplier": 0.0078125, **KINDS},
    "Llama 4 Maverick, with chunks of 21 and queries that grow": {
        "model_type": "llama4_text", "num_local_experts": 3, "interleave_moe_layer_step": 2, "no_rope_layer_interval": 2,
        "attention_chunk_size": 21, "floor_scale": 7, "pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 2,
        "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0,
                            "original_max_position_embeddings": 8192}},
    "Nemotron-3-Nano-30B-A3B, a layer of each kind": {
        "model_type": "nemotron_h", "hidden_size": 2688, "layers_block_type": ["mamba", "moe", "attention", "mlp"],
        "intermediate_size": 1856, "mamba_head_dim": 64, "mamba_num_heads": 64, "moe_intermediate_size": 1856,
        "moe_shared_expert_intermediate_size": 3712, "n_routed_experts": 16, "num_attention_heads": 32, "num_key_value_heads": 2,
        "num_experts_per_tok": 6, "routed_scaling_factor": 2.5},
    "Phi-mini-MoE, with a window of 21 and LongRoPE": {
        "model_type": "phimoe", "hidden_size": 4096, "intermediate_size": 960, "num_attention_heads": 32, "num_key_value_heads": 8,
        "num_local_experts": 16, "num_experts_per_tok": 2, "attention_bias": True, "lm_head_bias": True, "sliding_window": 21,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 4096, "short_mscale": 1.243163121016122,
            "long_mscale": 1.243163121016122, "short_factor": [1.0 + i / 40 for i in range(64)], "long_factor": [1.0 + i for i in range(64)]}},
}
BOUND = 5e-4  # of the logits' deviation
CLOSE = 1e-4
DOCUMENTS, TOKENS = 4, 40


def sure(margin):
    """Tokens [T] before the first close choice of their document."""
    return np.logical_and.accumulate((margin > CLOSE).reshape(DOCUMENTS, TOKENS), axis=1).reshape(-1)


def check(what, binary, folder, model=None):
    """Whether the bound holds; without a model the folder's is loaded when ours has gone."""
    import torch

    config = json.loads((folder / "config.json").read_text())
    rows = np.random.default_rng(7).integers(0, config.get("text_config", config)["vocab_size"], (DOCUMENTS, TOKENS)).tolist()
    ours, margin = engine_logits(binary, folder, rows, None, folder)
    theirs, kept = their_logits(torch, model or common.transformers_model(folder), rows), sure(margin)
    worst, deviation = float(np.abs(theirs - ours)[kept].max()), float(theirs.std())
    print(f"{what}: {kept.sum()} of {len(kept)} tokens, logits {worst:.2g}, {worst / deviation:.2g} of their deviation "
          f"(bound {BOUND:g})", flush=True)
    return worst <= BOUND * deviation and kept.mean() > 0.5


def fewer_experts(fields):
    """A model of transformers of these widths, whose corrections and biases are not 0, and whose routers are not flat."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    torch.manual_seed(1)
    inside = "text_config" in fields  # of a model that sees images
    sizes = {"vocab_size": 8192, "max_position_embeddings": 4096} | ({} if "layers_block_type" in fields else {"num_hidden_layers": 2})
    config = AutoConfig.for_model(**fields | ({"text_config": fields["text_config"] | sizes} if inside else sizes))
    auto = AutoModelForImageTextToText if inside else AutoModelForCausalLM
    model = auto.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    for name, correction in (*model.named_buffers(), *model.named_parameters()):
        if name.endswith(("correction_bias", "expert_bias", "router.gate.weight")) or (name.endswith(".bias") and fields["model_type"] == "phimoe"):
            correction.detach().normal_(std=0.02)
        if name.endswith("router.proj.weight"):  # Gemma 4's, of what has been divided by the width's root
            correction.detach().normal_()
    return model


def main():
    gm_bench, binary = program(sys.argv[1], "gm-bench"), program(sys.argv[1], "engine_logits")
    if gm_bench is None or binary is None:
        print("live_checkpoints: skipped, gm-bench or engine_logits is not built")
        return 77
    good = True
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            model = common.transformers_model(folder_of(name, pathlib.Path(folder, "golden")))
            model.save_pretrained(folder)
            good = check(f"{name}, saved again", binary, pathlib.Path(folder), model) and good
    for shape, layers in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([gm_bench, "checkpoint", "--shape", shape, "--layers", str(layers), "-o", folder], check=True)
            good = check(f"{shape}, {layers} layers", binary, pathlib.Path(folder)) and good
    for name, fields in FEWER.items():
        with tempfile.TemporaryDirectory() as folder:
            model = fewer_experts(fields)
            model.save_pretrained(folder)
            good = check(f"{name}, few experts, 2 layers", binary, pathlib.Path(folder), model) and good
    print("agree" if good else "DIFFER")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
