"""export.py - writes the folder that Hugging Face naming expects of DeepseekForCausalLM, and reads it back.

bf16 safetensors in shards of at most SHARD bytes; every file is replaced atomically, so a reader never
meets half a file.
"""
import json
import os
import shutil

import torch

SHARD = 13_500_000


def config_json(cfg):
    return {
        "architectures": ["DeepseekForCausalLM"], "model_type": "deepseek",
        "attention_bias": False, "attention_dropout": 0.0, "aux_loss_alpha": 0.001,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1, "first_k_dense_replace": 1,
        "head_dim": cfg.head_dim, "hidden_act": "silu", "hidden_size": cfg.width,
        "initializer_range": 0.02, "intermediate_size": cfg.dense_width,
        "max_position_embeddings": cfg.context, "mlp_bias": False, "moe_implementation": "eager",
        "moe_intermediate_size": cfg.expert_width, "moe_layer_freq": 1, "n_routed_experts": cfg.experts,
        "n_shared_experts": 1, "norm_topk_prob": False, "num_attention_heads": cfg.heads,
        "num_experts_per_tok": cfg.top_k, "num_hidden_layers": cfg.layers,
        "num_key_value_heads": cfg.kv_heads, "pretraining_tp": 1, "rms_norm_eps": cfg.eps,
        "rope_scaling": None, "rope_theta": cfg.theta, "scoring_func": "softmax", "seq_aux": False,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.47.0",
        "use_cache": True, "vocab_size": cfg.vocab}


def tensors(net):
    """name -> parameter or slice of one, in the order of the layers"""
    out = {"model.embed_tokens.weight": net.embed}
    for i, (attn, mlp) in enumerate(zip(net.attn, net.mlp)):
        at = f"model.layers.{i}."
        out[at + "input_layernorm.weight"] = attn.norm
        for kind in "qkvo":
            out[f"{at}self_attn.{kind}_proj.weight"] = getattr(attn, kind)
        out[at + "post_attention_layernorm.weight"] = mlp.norm
        if i == 0:
            for kind in ("gate", "up", "down"):
                out[f"{at}mlp.{kind}_proj.weight"] = getattr(mlp, kind)
            continue
        out[at + "mlp.gate.weight"] = mlp.router
        for e in range(net.cfg.experts + 1):
            name = "shared_experts" if e == net.cfg.experts else f"experts.{e}"
            for kind in ("gate", "up", "down"):
                out[f"{at}mlp.{name}.{kind}_proj.weight"] = getattr(mlp, kind)[e]
    out["model.norm.weight"] = net.norm
    out["lm_head.weight"] = net.head
    return out


def write_json(path, value):
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")
    os.replace(path + ".tmp", path)


def export(net, tokenizer, folder):
    from safetensors.torch import save_file
    os.makedirs(folder, exist_ok=True)
    shards, size = [{}], 0
    for name, p in tensors(net).items():
        t = p.detach().to("cpu", torch.bfloat16).contiguous().clone()
        if size + t.numel() * 2 > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = t
        size += t.numel() * 2
    index, total = {}, 0
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, os.path.join(folder, file + ".tmp"), metadata={"format": "pt"})
        os.chmod(os.path.join(folder, file + ".tmp"), 0o644)
        os.replace(os.path.join(folder, file + ".tmp"), os.path.join(folder, file))
        index.update({name: file for name in shard})
        total += sum(t.numel() * 2 for t in shard.values())
    write_json(os.path.join(folder, "model.safetensors.index.json"),
               {"metadata": {"total_size": total}, "weight_map": index})
    write_json(os.path.join(folder, "config.json"), config_json(net.cfg))
    write_json(os.path.join(folder, "generation_config.json"), {
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "max_new_tokens": 128,
        "transformers_version": "4.47.0"})
    special = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                        "single_word": False, "special": True}
               for i, t in enumerate(("<unk>", "<s>", "</s>"))}
    write_json(os.path.join(folder, "tokenizer_config.json"), {
        "add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": special,
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False, "model_max_length": net.cfg.context,
        "tokenizer_class": "PreTrainedTokenizerFast"})
    shutil.copyfile(tokenizer, os.path.join(folder, "tokenizer.json.tmp"))
    os.replace(os.path.join(folder, "tokenizer.json.tmp"), os.path.join(folder, "tokenizer.json"))


def load(net, folder):
    """Fills net from an exported folder: the bf16 values, so that figures describe what is shipped."""
    from safetensors import safe_open
    with open(os.path.join(folder, "model.safetensors.index.json"), encoding="utf-8") as file:
        where = json.load(file)["weight_map"]
    for file in sorted(set(where.values())):
        with safe_open(os.path.join(folder, file), "pt") as f:
            own = tensors(net)
            with torch.no_grad():
                for name in f.keys():
                    own[name].copy_(f.get_tensor(name).float())
