#!/usr/bin/env python3
"""bench_engine - gm-bench beside transformers and llama.cpp: the same OLMoE shape, weights and threads, one after the other.

    bench_engine.py [--layers N] [--threads N] [--build DIR] [--work DIR] [--out CSV] [--jobs WHICH]

A checkpoint of random weights is made by gm-bench and written as GGUF for llama.cpp (bf16, and q8_0 by its own quantiser); made
once in --work, measured as often as you like. Every measurement is a process of its own. What is measured:

    product     512 x 3584 x 2048 in bf16: ours, and oneDNN's as torch's linear
    probe       documents of 512 tokens, no LM head, router choices kept: ours at steps of 4096; transformers at its best batch of
                1, 4 and 8 documents; llama.cpp, which records nothing, at its best ubatch of 512 and 2048
    decode      tokens one by one behind 512 others, greedy: ours in bf16 and int8, llama.cpp in bf16 and q8_0, transformers
    without AMX ours by avx512bf16, avx512f and avx2, transformers with oneDNN held to the same instructions

llama.cpp should be built for the machine: GM_LLAMA names a folder with such a llama_cpp package; without it the venv's is used,
which scripts/oracles builds for any x86-64 with AVX2, and the CSV says so.
"""

import argparse
import csv
import ctypes
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT, WRITTEN = 512, 24
ROWS = []


def machine():
    model = platform.machine()
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "").split()
    has = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    memory = next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1]
    return {"cpu": model, "instructions": " ".join(has), "processors": os.cpu_count(), "memory_gb": round(int(memory) / 1e6, 1)}


def best(work, repeats, least_s=0.0):
    """Shortest of some runs, after one that does not count."""
    work()
    shortest, begin, n = float("inf"), time.perf_counter(), 0
    while n < repeats or time.perf_counter() - begin < least_s:
        start = time.perf_counter()
        work()
        shortest, n = min(shortest, time.perf_counter() - start), n + 1
    return shortest


# ---- what runs in a process of its own; prints a JSON object ----


def torch_product(a):
    import torch

    torch.set_num_threads(a.threads)
    x, w = torch.randn(512, 2048).bfloat16(), torch.randn(3584, 2048).bfloat16()
    seconds = best(lambda: torch.nn.functional.linear(x, w), 30, 1.0)
    return {"version": torch.__version__, "gflop_s": 2e-9 * 512 * 3584 * 2048 / seconds}


def hugging_face(a):
    import torch
    import transformers

    torch.set_num_threads(a.threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(a.work / "model", dtype=torch.bfloat16).eval()
    out = {"version": f"transformers {transformers.__version__}, torch {torch.__version__}", "probe": {}}
    with torch.inference_mode():
        for documents in (1,) if a.quick else (1, 4, 8):
            ids = torch.randint(0, model.config.vocab_size, (documents, DOCUMENT))
            kept = []
            seconds = best(lambda: kept.append(model.model(ids, output_router_logits=True, use_cache=False).router_logits), 1)
            assert len(kept[-1]) == model.config.num_hidden_layers
            out["probe"][f"{documents} documents"] = documents * DOCUMENT / seconds
        if not a.quick:
            past = model(torch.randint(0, model.config.vocab_size, (1, DOCUMENT)), use_cache=True).past_key_values
            token = torch.zeros((1, 1), dtype=torch.long)
            seconds = []
            for _ in range(WRITTEN):
                start = time.perf_counter()
                step = model(token, past_key_values=past, use_cache=True)
                token = step.logits[:, -1:].argmax(-1)
                seconds.append(time.perf_counter() - start)
            out["decode"] = 1 / sorted(seconds)[len(seconds) // 2]
    return out


def load_llama():
    if os.environ.get("GM_LLAMA"):
        sys.path.insert(0, os.environ["GM_LLAMA"])
    if platform.machine() == "x86_64":
        ctypes.CDLL(None).syscall(158, 0x1023, 18)  # arch_prctl: AMX tiles, which some builds use without asking
    import llama_cpp

    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    return llama_cpp, quiet


def llama(a):
    c, quiet = load_llama()
    path = a.work / f"{a.weights}.gguf"
    model = c.llama_model_load_from_file(str(path).encode(), c.llama_model_default_params())
    assert model, f"llama.cpp cannot read {path}"
    how = c.llama_print_system_info().decode()
    kept = quiet and ("built for this machine" if "AVX512 = 1" in how else "built for AVX2")
    out = {"version": f"llama-cpp-python {c.__version__}, {kept}", "system": how, "probe": {}}

    def feed(context, ids, position, wanted):
        batch = c.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position + i, wanted and i + 1 == len(ids)
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        assert c.llama_decode(context, batch) == 0
        c.llama_synchronize(context)
        c.llama_batch_free(batch)

    for ubatch in (512, 2048):
        options = c.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = 4096, 2048, ubatch
        options.n_threads = options.n_threads_batch = a.threads
        context = c.llama_init_from_model(model, options)
        assert context, "llama.cpp makes no context"
        ids = [(i * 7919 + 13) % 50000 for i in range(ubatch)]

        def prefill():
            c.llama_memory_clear(c.llama_get_memory(context), True)
            feed(context, ids, 0, False)

        out["probe"][f"ubatch {ubatch}"] = len(ids) / best(prefill, 2)
        if ubatch == 512:
            seconds = []
            for i in range(WRITTEN):
                start = time.perf_counter()
                feed(context, [i + 5], DOCUMENT + i, True)
                logits = c.llama_get_logits(context)
                assert ctypes.cast(logits, ctypes.POINTER(ctypes.c_float))[0] == logits[0]
                seconds.append(time.perf_counter() - start)
            out["decode"] = 1 / sorted(seconds)[len(seconds) // 2]
        c.llama_free(context)
    return out


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


# ---- the run ----


def part(a, name, *options, environment=None):
    command = [sys.executable, "-W", "ignore", __file__, "--part", name, "--threads", str(a.threads), "--work", str(a.work), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        print(f"{name} {' '.join(options)}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def ours(a, *words):
    command = [a.build / "bin/gm-bench", words[0], "--threads", str(a.threads), "--json", *words[1:]]
    return json.loads(subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout)


def row(job, program, setting, value, unit):
    ROWS.append({"job": job, "program": program, "setting": setting, "value": f"{value:.4g}", "unit": unit})
    print(f"{job:8} {program:50} {setting:28} {value:9.4g} {unit}", flush=True)


def fastest(job, program, rates):
    setting = max(rates, key=rates.get)
    row(job, program, setting, rates[setting], "tok/s")


def measure(a):
    model = ("--model", a.work / "model")
    ceilings = ours(a, "ceilings", "--rows", 512, "--outputs", 3584, "--inputs", 2048)
    row("product", "gm-bench", "512 x 3584 x 2048 bf16", ceilings["bf16_gflop_s"], "GFLOP/s")
    if (r := part(a, "torch_product")) is not None:
        row("product", f"oneDNN in torch {r['version']}", "512 x 3584 x 2048 bf16", r["gflop_s"], "GFLOP/s")
    for numerics in ("bf16", "int8"):
        r = ours(a, "speed", *model, "--numerics", numerics, "--context", DOCUMENT, "--repeats", 4)
        row("product", "gm-bench", f"512 x 2048 x 2048 {numerics}", r["product_gflop_s"], "GFLOP/s")
        row("read", "gm-bench", "memory, median", r["read_gb_s"], "GB/s")
        row("probe", "gm-bench", f"{numerics}, steps of 4096", r["probe_tok_s"], "tok/s")
        row("probe", "gm-bench", f"{numerics}, share of product", 100 * r["probe_share"], "%")
        row("decode", "gm-bench", f"{numerics}, context {DOCUMENT}", r["contexts"][0]["decode_tok_s"], "tok/s")
        row("decode", "gm-bench", f"{numerics}, share of reading", 100 * r["contexts"][0]["decode_share"], "%")
        row("memory", "gm-bench", f"{numerics}, peak", r["peak_bytes"] * 1e-9, "GB")
    for weights in ("bf16", "q8_0"):
        if (r := part(a, "llama", "--weights", weights)) is not None:
            fastest("probe", f"{r['version']}, {weights}", r["probe"])
            row("decode", f"{r['version']}, {weights}", f"context {DOCUMENT}", r["decode"], "tok/s")
    if (r := part(a, "hugging_face")) is not None:
        fastest("probe", r["version"], r["probe"])
        row("decode", r["version"], f"context {DOCUMENT}", r["decode"], "tok/s")


def measure_without_amx(a):
    model = ("--model", a.work / "model")
    for kernels, numerics, isa in (
        ("avx512bf16", "bf16-dot", "AVX512_CORE_BF16"), ("avx512f", "bf16", "AVX512_CORE"), ("avx2", "bf16", "AVX2"),
    ):
        how = ("--kernels", kernels, "--numerics", numerics, "--context", 0, "--repeats", 1, "--step", 2048)
        r = ours(a, "speed", *model, *how)
        row("probe", f"gm-bench, {kernels}", f"{numerics}, steps of 2048", r["probe_tok_s"], "tok/s")
        limit = {"ONEDNN_MAX_CPU_ISA": isa, "ATEN_CPU_CAPABILITY": isa.split("_")[0].lower()}
        if (r := part(a, "hugging_face", "--quick", environment=limit)) is not None:
            fastest("probe", f"{r['version']}, oneDNN {isa}", r["probe"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=8, help="of 16 (8)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cpu")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench", help="checkpoint and GGUF files (build/bench)")
    parser.add_argument("--out", type=pathlib.Path, help="the CSV (notebooks-data/bench/engine-CPU.csv)")
    parser.add_argument("--jobs", choices=("all", "amx", "without-amx"), default="all", help="which comparisons (all)")
    parser.add_argument("--prepare", action="store_true", help="make the files and stop")
    for hidden in ("--part", "--weights"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.part:
        print(json.dumps(PARTS[a.part](a)))
        return
    a.work.mkdir(parents=True, exist_ok=True)
    if not (a.work / "model/config.json").exists():
        subprocess.run([a.build / "bin/gm-bench", "checkpoint", "--shape", "olmoe-1b-7b", "--layers", str(a.layers), "-o", a.work / "model"], check=True)
    if not (a.work / "q8_0.gguf").exists():
        part(a, "write_gguf")
    if a.prepare:
        return
    if a.jobs != "without-amx":
        measure(a)
    if a.jobs != "amx":
        measure_without_amx(a)
    about = machine()
    about["layers"] = json.loads((a.work / "model/config.json").read_text())["num_hidden_layers"]
    about["threads"], about["date"] = a.threads, datetime.date.today().isoformat()
    name = "-".join("".join(c if c.isalnum() else " " for c in about["cpu"]).lower().split())
    path = a.out or ROOT / f"notebooks-data/bench/engine-{name}-{about['processors']}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        out = csv.DictWriter(file, [*ROWS[0], *about])
        out.writeheader()
        out.writerows({**r, **about} for r in ROWS)
    print(path)


if __name__ == "__main__":
    main()
