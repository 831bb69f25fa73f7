#!/usr/bin/env python3
"""Measures how many tokens a second Hugging Face transformers decodes on OLMoE's and Qwen3-30B-A3B's shapes, random bf16 weights,
batch 1, in each way it has of computing experts, and with a static cache, which it compiles; beside gm-bench on the same
shapes. Prints a JSON object after each measurement, the last one holds all; exit 77 without PyTorch.

usage: gpu_peers.py [--device cuda] [--layers N] [--tokens N] [--shape NAME] [--gm-bench PROGRAM]
"""
import argparse
import gc
import json
import subprocess
import sys
import time

try:
    import torch
    import transformers
except ImportError as error:
    print(f"PyTorch or transformers is missing: {error}")
    sys.exit(77)

PROMPT = 128
SHAPES = {
    "olmoe-1b-7b": (transformers.OlmoeConfig, transformers.OlmoeForCausalLM, {}),
    "qwen3-30b-a3b": (transformers.Qwen3MoeConfig, transformers.Qwen3MoeForCausalLM, dict(
        hidden_size=2048, moe_intermediate_size=768, num_hidden_layers=48, num_attention_heads=32,
        num_key_value_heads=4, head_dim=128, num_experts=128, num_experts_per_tok=8, vocab_size=151936)),
}
WAYS = ("eager", "grouped_mm", "batched_mm", "static")


def gm_bench(name, args):
    """The same of ours, after as many tokens; None where it fails."""
    line = [args.gm_bench, "speed", "--shape", name, "--device", args.device, "--numerics", "bf16", "--json", "--repeats", "0",
            "--context", str(PROMPT), "--tokens", str(args.tokens), "--pairs", "5", "--layers", str(args.layers)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return None
    return json.loads(done.stdout)["contexts"][0]["decode_tok_s"]


def make_model(name, args):
    config, model, values = SHAPES[name]
    if args.layers:
        values = {**values, "num_hidden_layers": args.layers}
    with torch.device(args.device):
        old = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        made = model(config(**values)).eval()
        torch.set_default_dtype(old)
    return made


def decode_rate(model, way, args):
    """Tokens a second after a prompt, the best of three; the first run of a compiled way is not counted."""
    more = {"cache_implementation": "static"} if way == "static" else {}
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("grouped_mm" if way == "static" else way)
    elif way in ("grouped_mm", "batched_mm"):
        return None
    prompt = torch.randint(0, 1000, (1, PROMPT), device=args.device)
    best = 0.0
    for _ in range(4 if way == "static" else 3):
        seconds = []
        for n in (1, 1 + args.tokens):
            start = time.perf_counter()
            with torch.inference_mode():
                model.generate(prompt, max_new_tokens=n, min_new_tokens=n, do_sample=False, use_cache=True, **more)
            if args.device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        if seconds[1] > seconds[0]:  # else the machine was busy with something else
            best = max(best, args.tokens / (seconds[1] - seconds[0]))
    return best


def compare(name, args, found):
    """Ours first: the two do not fit into one GPU's memory together."""
    result = found["shapes"][name] = {"transformers": {}}
    if args.gm_bench:
        result["gm_bench"] = gm_bench(name, args)
    model = make_model(name, args)
    for way in WAYS:
        try:
            result["transformers"][way] = decode_rate(model, way, args)
        except Exception as error:  # pylint: disable=broad-except
            result["transformers"][way] = f"{type(error).__name__}: {error}"[:200]  # a way this version or GPU lacks
        rates = [r for r in result["transformers"].values() if isinstance(r, float)]
        if result.get("gm_bench") and rates:
            result["times_as_fast"] = result["gm_bench"] / max(rates)
        print(json.dumps(found), flush=True)
    del model
    gc.collect()
    if args.device != "cpu":
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--gm-bench", metavar="PROGRAM")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("PyTorch sees no GPU")
        return 77
    found = {"transformers": transformers.__version__, "torch": torch.__version__, "device": args.device,
             "layers": args.layers, "prompt": PROMPT, "shapes": {}}
    for name in args.shape or SHAPES:
        compare(name, args, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
