#!/usr/bin/env python3
"""Records which experts a Hugging Face model chooses for the texts of a corpus, for `gm-probe import`.

usage: python3 notebooks-data/record_routing.py MODEL corpus.jsonl routing.jsonl [--dtype float32]

A forward hook on each router takes the ids and gates that it returns (transformers 5). Texts are the corpus's "text", their first 512
tokens; "subset" comes from "subset" or "meta.pile_set_name". The model's family must be one of transformers' own: DeepSeek-MoE v1
(GigaChat-20B-A3B, the demo model) is not. It runs in f32, where its choices are those of gm-probe --numerics f32. --dtype bfloat16 takes
half the memory, but its roundings change choices of experts; --dtype auto is the checkpoint's own.
"""
import argparse
import hashlib
import json
import sys

import torch
from apply_plan import layers_of, mlp_of, model_of, router_of
from transformers import AutoTokenizer

MOST_TOKENS = 512


def watch(model):
    """{layer: (gates (T,K), ids (T,K))} of the last forward pass, filled by hooks."""
    seen = {}

    def take(router, out, number, layer):
        if isinstance(out, torch.Tensor) and hasattr(mlp_of(layer), "route_tokens_to_experts"):  # DBRX's gives logits alone
            seen[number] = mlp_of(layer).route_tokens_to_experts(out)
            return
        if isinstance(out, tuple) and len(out) == 2 and hasattr(router, "top_k"):  # Llama 4's: scores of all experts, 0 but for the chosen
            seen[number] = out[0].topk(router.top_k)
            return
        if not isinstance(out, tuple) or len(out) < 3:
            sys.exit(f"{type(router).__name__} of layer {number} does not return logits, gates and ids, which transformers 5 does "
                     "for most families; hook what gives them")
        seen[number] = out[1:3]

    for number, layer in enumerate(layers_of(model)):
        try:
            router = router_of(layer)
        except AttributeError:  # a dense layer
            continue
        router.register_forward_hook(lambda router, _given, out, at=(number, layer): take(router, out, *at))
    return seen


def document_of(record, tokenizer, model, seen):
    """A line for gm-probe import."""
    text = record["text"]
    ids = tokenizer(text, truncation=True, max_length=MOST_TOKENS, return_offsets_mapping=True, return_special_tokens_mask=True)
    with torch.no_grad():
        model(torch.tensor([ids["input_ids"]], device=model.device))
    gates, experts = (torch.stack([seen[layer][i] for layer in sorted(seen)], 1).tolist() for i in (0, 1))  # (T,L,K)
    end = max(stop for _, stop in ids["offset_mapping"])
    return {"text": text[:end], "truncated": end < len(text), "sha": hashlib.sha256(text.encode()).hexdigest(),
            "subset": record.get("subset") or record.get("meta", {}).get("pile_set_name", ""),
            "token_ids": ids["input_ids"], "phase": [2 * special for special in ids["special_tokens_mask"]],
            "routed_experts": experts, "gates": gates}


def main(folder, corpus, out, dtype):
    model = model_of(folder, dtype=dtype, device_map="cuda" if torch.cuda.is_available() else "cpu")
    tokenizer, seen = AutoTokenizer.from_pretrained(folder), watch(model)
    with open(corpus) as lines, open(out, "w") as file:
        for line in lines:
            record = json.loads(line)
            if record["text"]:
                print(json.dumps(document_of(record, tokenizer, model, seen)), file=file)
    print(f"gm-probe import {out} --model {folder} -o run.trace.h5, or, for families that gm-probe does not know, "
          f"--experts N --layers {','.join(map(str, sorted(seen)))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    for name in ("model", "corpus", "out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "auto"), default="float32", help=argparse.SUPPRESS)
    main(*vars(parser.parse_args()).values())
