#!/usr/bin/env python3
"""bench_peers - one measurement of another program, in a process of its own; prints a JSON object.

    bench_peers.py PART --work DIR --threads N [--weights bf16|q8_0] [--jobs probe,decode] [--quick] [--plain]

bench_engine.py calls it. PARTS are: the product in torch, transformers, llama.cpp, and the writing of GGUF files.
"""

import argparse
import ctypes
import json
import os
import pathlib
import platform
import sys
import time

DOCUMENT, WRITTEN, REPEATS = 512, 24, 2


def best(work, repeats, least_s=0.0):
    """Shortest of some runs, after one that does not count."""
    work()
    shortest, begin, n = float("inf"), time.perf_counter(), 0
    while n < repeats or time.perf_counter() - begin < least_s:
        start = time.perf_counter()
        work()
        shortest, n = min(shortest, time.perf_counter() - start), n + 1
    return shortest


def median_rate(work):
    """Calls a second, by the median of some calls after one that does not count."""
    seconds = []
    for i in range(1 + WRITTEN):
        start = time.perf_counter()
        work(i)
        seconds.append(time.perf_counter() - start)
    return 1 / sorted(seconds[1:])[WRITTEN // 2]


def torch_product(a):
    import torch

    torch.set_num_threads(a.threads)
    x, w = torch.randn(512, 2048).bfloat16(), torch.randn(3584, 2048).bfloat16()
    seconds = best(lambda: torch.nn.functional.linear(x, w), 30, 1.0)
    return {"version": f"oneDNN in torch {torch.__version__}", "gflop_s": 2e-9 * 512 * 3584 * 2048 / seconds}


# ---- transformers ----


def probe_in_transformers(a, model, way):
    import torch

    out = {}
    for documents in (1,) if a.quick else (1, 4, 8):
        ids = torch.randint(0, model.config.vocab_size, (documents, DOCUMENT))
        kept = []
        seconds = best(lambda: kept.append(model.model(ids, output_router_logits=True, use_cache=False).router_logits), REPEATS)
        assert len(kept[-1]) == model.config.num_hidden_layers
        out[f"{documents} documents, {way}"] = documents * DOCUMENT / seconds
    return out


def decode_in_transformers(model, way):
    import torch

    model.set_experts_implementation("eager")
    past = model(torch.randint(0, model.config.vocab_size, (1, DOCUMENT)), use_cache=True).past_key_values
    token = torch.zeros((1, 1), dtype=torch.long)

    model.set_experts_implementation(way)

    def write(_):
        nonlocal token
        token = model(token, past_key_values=past, use_cache=True).logits[:, -1:].argmax(-1)

    return median_rate(write)


def hugging_face(a):
    """Each way that transformers has of computing experts; batched_mm copies the experts of every token, which decoding survives."""
    import torch
    import transformers

    torch.set_num_threads(a.threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(a.work / "model", dtype=torch.bfloat16).eval()
    out = {"version": f"transformers {transformers.__version__}, torch {torch.__version__}", "probe": {}, "decode": {}}
    with torch.inference_mode():
        for way in ("eager", "grouped_mm", "batched_mm"):
            if "probe" in a.jobs and way != "batched_mm":
                model.set_experts_implementation(way)
                out["probe"].update(probe_in_transformers(a, model, way))
            if "decode" in a.jobs:
                out["decode"][f"context {DOCUMENT}, {way}"] = decode_in_transformers(model, way)
    return out


# ---- llama.cpp ----


def load_llama():
    sys.path.insert(0, os.environ.get("GM_LLAMA", f"{sys.prefix}/llama"))  # passed over where it is not there
    if platform.machine() == "x86_64":
        ctypes.CDLL(None).syscall(158, 0x1023, 18)  # arch_prctl: AMX tiles, which some builds use without asking
    import llama_cpp

    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    return llama_cpp, quiet


def llama_context(c, a, model, ubatch):
    options = c.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_ubatch = 4096, 2048, ubatch
    options.n_threads = options.n_threads_batch = a.threads
    context = c.llama_init_from_model(model, options)
    assert context, "llama.cpp makes no context"
    return context


def feed(c, context, ids, position, wanted):
    batch = c.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.logits[i] = token, position + i, wanted and i + 1 == len(ids)
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
    assert c.llama_decode(context, batch) == 0
    c.llama_synchronize(context)
    c.llama_batch_free(batch)


def llama(a):
    c, quiet = load_llama()
    path = a.work / f"{a.weights}.gguf"
    options = c.llama_model_default_params()
    options.use_extra_bufts = not a.plain
    model = c.llama_model_load_from_file(str(path).encode(), options)
    assert model and quiet, f"llama.cpp cannot read {path}"
    how = c.llama_print_system_info().decode()
    build = next((name for name in ("AMX_INT8", "AVX512_BF16", "AVX512") if f"{name} = 1" in how), "AVX2")
    out = {"version": f"llama-cpp-python {c.__version__}, built for {build}", "probe": {}, "decode": {}}
    out["version"] += ", weights as they are" if a.plain else ""
    ids = [(i * 7919 + 13) % 50000 for i in range(2048)]
    for ubatch in (512, 2048) if "probe" in a.jobs else ():
        context = llama_context(c, a, model, ubatch)

        def prefill(context=context, n=ubatch):
            c.llama_memory_clear(c.llama_get_memory(context), True)
            feed(c, context, ids[:n], 0, False)

        out["probe"][f"ubatch {ubatch}"] = ubatch / best(prefill, REPEATS)
        c.llama_free(context)
    if "decode" in a.jobs:
        context = llama_context(c, a, model, DOCUMENT)

        def write(i):
            feed(c, context, [i + 5], DOCUMENT + i, True)
            logits = c.llama_get_logits(context)
            assert ctypes.cast(logits, ctypes.POINTER(ctypes.c_float))[0] == logits[0]

        feed(c, context, ids[:DOCUMENT], 0, False)
        out["decode"][f"context {DOCUMENT}"] = median_rate(write)
        c.llama_free(context)
    return out


# ---- GGUF ----


def write_gguf(a):
    """The checkpoint as GGUF, matrices in bf16; then by llama.cpp's own quantiser in q8_0."""
    import gguf
    import numpy as np
    import torch
    from safetensors import safe_open

    config = json.loads((a.work / "model/config.json").read_text())
    out = gguf.GGUFWriter(a.work / "bf16.part", "olmoe", use_temp_file=False)
    for add, value in (
        (out.add_context_length, config["max_position_embeddings"]), (out.add_embedding_length, config["hidden_size"]),
        (out.add_block_count, config["num_hidden_layers"]), (out.add_feed_forward_length, config["intermediate_size"]),
        (out.add_head_count, config["num_attention_heads"]), (out.add_head_count_kv, config["num_key_value_heads"]),
        (out.add_rope_freq_base, config["rope_theta"]), (out.add_layer_norm_rms_eps, config["rms_norm_eps"]),
        (out.add_vocab_size, config["vocab_size"]), (out.add_expert_count, config["num_experts"]),
        (out.add_expert_used_count, config["num_experts_per_tok"]), (out.add_file_type, 32), (out.add_tokenizer_model, "no_vocab"),
    ):
        add(value)
    with safe_open(a.work / "model/model.safetensors", "pt") as file:
        def matrix(name, tensor):
            raw = tensor.contiguous().view(torch.uint8).numpy()
            out.add_tensor(name, raw, raw_shape=raw.shape, raw_dtype=gguf.GGMLQuantizationType.BF16)

        def plain(name, tensor):
            out.add_tensor(name, np.ascontiguousarray(tensor.float().numpy()))

        matrix("token_embd.weight", file.get_tensor("model.embed_tokens.weight"))
        plain("output_norm.weight", file.get_tensor("model.norm.weight"))
        matrix("output.weight", file.get_tensor("lm_head.weight"))
        for i in range(config["num_hidden_layers"]):
            p, b = f"model.layers.{i}.", f"blk.{i}."
            plain(b + "attn_norm.weight", file.get_tensor(p + "input_layernorm.weight"))
            plain(b + "ffn_norm.weight", file.get_tensor(p + "post_attention_layernorm.weight"))
            for theirs, ours in (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj"), ("attn_output", "o_proj")):
                matrix(f"{b}{theirs}.weight", file.get_tensor(f"{p}self_attn.{ours}.weight"))
            for theirs, ours in (("attn_q_norm", "q_norm"), ("attn_k_norm", "k_norm")):
                plain(f"{b}{theirs}.weight", file.get_tensor(f"{p}self_attn.{ours}.weight"))
            plain(b + "ffn_gate_inp.weight", file.get_tensor(p + "mlp.gate.weight"))
            for name in ("gate", "up", "down"):
                stack = [file.get_tensor(f"{p}mlp.experts.{e}.{name}_proj.weight") for e in range(config["num_experts"])]
                matrix(f"{b}ffn_{name}_exps.weight", torch.stack(stack))
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
    (a.work / "bf16.part").rename(a.work / "bf16.gguf")
    c, _ = load_llama()
    options = c.llama_model_quantize_default_params()
    options.ftype, options.nthread = 7, a.threads  # LLAMA_FTYPE_MOSTLY_Q8_0
    code = c.llama_model_quantize(str(a.work / "bf16.gguf").encode(), str(a.work / "q8_0.part").encode(), ctypes.byref(options))
    assert code == 0, "llama.cpp cannot quantise"
    (a.work / "q8_0.part").rename(a.work / "q8_0.gguf")
    return {}


PARTS = {"torch_product": torch_product, "hugging_face": hugging_face, "llama": llama, "write_gguf": write_gguf}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--weights", default="bf16", help="which GGUF (bf16)")
    parser.add_argument("--jobs", default="probe,decode")
    parser.add_argument("--plain", action="store_true", help="keep llama.cpp from rearranging weights for AMX")
    parser.add_argument("--quick", action="store_true", help="one document per step")
    a = parser.parse_args()
    print(json.dumps(PARTS[a.part](a)))


if __name__ == "__main__":
    main()
