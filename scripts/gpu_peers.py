#!/usr/bin/env python3
"""Tokens a second that Hugging Face transformers decodes on OLMoE's and Qwen3-30B-A3B's shapes, random
bf16 weights, batch 1: what gm-bench speed is held beside. Prints one JSON object; exit 77 without PyTorch.

usage: gpu_peers.py [--device cuda] [--layers N] [--tokens N]
"""
import argparse
import json
import sys
import time

try:
    import torch
    import transformers
except ImportError as error:
    print(f"no PyTorch or transformers here: {error}")
    sys.exit(77)

SHAPES = {
    "olmoe-1b-7b": (transformers.OlmoeConfig, transformers.OlmoeForCausalLM, {}),
    "qwen3-30b-a3b": (transformers.Qwen3MoeConfig, transformers.Qwen3MoeForCausalLM, dict(
        hidden_size=2048, moe_intermediate_size=768, num_hidden_layers=48, num_attention_heads=32,
        num_key_value_heads=4, head_dim=128, num_experts=128, num_experts_per_tok=8, vocab_size=151936)),
}


def decode_rate(name, args):
    """Tokens a second behind a prompt of 128 tokens, the best of three."""
    make_config, make_model, values = SHAPES[name]
    if args.layers:
        values = {**values, "num_hidden_layers": args.layers}
    with torch.device(args.device):
        old = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        model = make_model(make_config(**values)).eval()
        torch.set_default_dtype(old)
    prompt = torch.randint(0, 1000, (1, 128), device=args.device)
    best = 0.0
    for _ in range(3):
        rates = []
        for n in (1, 1 + args.tokens):
            start = time.perf_counter()
            with torch.inference_mode():
                model.generate(prompt, max_new_tokens=n, min_new_tokens=n, do_sample=False, use_cache=True)
            if args.device != "cpu":
                torch.cuda.synchronize()
            rates.append(time.perf_counter() - start)
        if rates[1] > rates[0]:  # else the machine was busy with something else
            best = max(best, args.tokens / (rates[1] - rates[0]))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("PyTorch sees no GPU")
        return 77
    rates = {name: decode_rate(name, args) for name in SHAPES}
    print(json.dumps({"transformers": transformers.__version__, "torch": torch.__version__,
                      "device": args.device, "layers": args.layers, "decode_tok_s": rates}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
