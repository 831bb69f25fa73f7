#!/usr/bin/env python3
"""live_lens - what gm-probe lens says of every expert, against transformers with hooks on its experts, final norm and head.

    live_lens.py BUILD [MODEL...]     BUILD: a build folder with gm-probe; MODEL: of live_plan.py, default MODELS

Tiny checkpoints in f32 on documents of ../shared/minipile: gates that are renormalised and not, shared experts, a fused tensor and
scales (Granite), biases (gpt-oss), a routed scale in groups (DeepSeek V3), LayerNorm with a biased head (Phi-3.5-MoE) or without biases
(Cohere2), norms stored less 1 (Qwen3-Next), layers of experts alone (Nemotron-H). All of lens.h in float64 from transformers' outputs, gates, final norm and head. Exit 77 when something is absent, 3 when a
bound does not hold.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common, output_norms  # noqa: E402
from golden.live_plan import folder_of  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402
from golden.tokenizer import unzstd  # noqa: E402

MODELS = ("olmoe-tiny", "qwen2-tiny", "qwen3-tiny", "mixtral-tiny", "granite-tiny", "granite-shared-tiny", "granite-hybrid-tiny", "glm-tiny",
          "ernie-tiny", "hunyuan-tiny", "deepseek-v3-tiny", "gptoss-plain", "phimoe-tiny", "cohere-tiny", "qwen3-next-tiny", "nemotron-tiny",
          "lfm-tiny", "mellum-tiny", "dbrx-tiny", "mimo-tiny")
TOGETHER = "takes a norm of what its experts give together"
REFUSED = {"gemma4-tiny": TOGETHER, "flexolmo-tiny": TOGETHER, "afmoe-tiny": TOGETHER, "llama4-tiny": "multiplies what its experts read"}
DOCUMENTS, TOKENS, TEMPLATE = 8, 60, 2
BOUND = 1e-5  # relative to the largest of its kind


def hidden_and_head(model, sequences):
    """What the final norm divides by (T), its weights (D), whether it takes the mean off, and the head's rows (V,D)."""
    import torch

    body = getattr(model, model.base_model_prefix)
    norm, seen = next(getattr(body, key) for key in ("norm", "norm_f", "embedding_norm") if hasattr(body, key)), []
    hook = norm.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()[0].double().numpy()))
    for ids in sequences:
        with torch.no_grad():
            model(torch.as_tensor(np.asarray(ids, np.int64))[None], use_cache=False)
    hook.remove()
    centred = "LayerNorm" in type(norm).__name__
    epsilon = next(getattr(norm, key) for key in ("variance_epsilon", "eps") if hasattr(norm, key))
    x = np.concatenate(seen)
    sigma = np.sqrt(np.mean((x - centred * x.mean(axis=1, keepdims=True)) ** 2, axis=1) + epsilon)
    config = model.config
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    weight = norm.weight.detach().double().numpy() + type(norm).__name__.startswith("Qwen3Next")  # stored less 1
    return sigma, weight, centred, model.get_output_embeddings().weight.detach().double().numpy() * scale


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def vectors(ids, added, use, n_experts):
    """c (E,D), v (E,D) and how often each was chosen, of the tokens of `use`."""
    ids, added = ids[use].reshape(-1), added[use].reshape(-1, added.shape[-1])
    n = np.bincount(ids, minlength=n_experts)
    sums = np.zeros((n_experts, added.shape[1]))
    np.add.at(sums, ids, added)
    c = sums / np.maximum(n, 1)[:, None]
    return c, np.where(n[:, None] > 0, c - added.mean(axis=0), 0), n


def check_model(name, gm_probe, lines, work):
    import h5py
    from transformers import AutoTokenizer

    folder, trace, array = folder_of(name, work), work / "t.h5", work / "c.npy"
    (work / "corpus.jsonl").write_text("".join(lines))
    how = ["--model", folder, "--corpus", work / "corpus.jsonl", "--min-tokens", "1", "--doc-tokens", str(TOKENS), "--numerics", "f32",
           "--device", "cpu", "--force", "--quiet"]
    if name in REFUSED:
        said = subprocess.run([gm_probe, "lens", *how], capture_output=True, text=True)
        good = said.returncode == 1 and REFUSED[name] in said.stderr
        print(f"{name}: {'refused' if good else 'NOT refused'}")
        return good
    subprocess.run([gm_probe, "collect", *how, "-o", trace], check=True, capture_output=True)
    ours = json.loads(subprocess.run([gm_probe, "lens", *how, "--all-tokens", "--json", "--vectors", array], check=True, capture_output=True, text=True).stdout)
    with h5py.File(trace) as file:
        token, phase, offset, sha = (file[key][...] for key in ("tokens/token_id", "tokens/phase", "samples/offset", "samples/sha"))
        n_experts = file["samples/counts"].shape[2]
    model = common.transformers_model(folder)
    sequences = [token[first:end] for first, end in zip(offset[:-1].astype(int), offset[1:].astype(int))]
    ids, gates, norms, outputs = output_norms.forward(model, output_norms.watch(model, outputs=True), sequences)
    sigma, weight, centred, head = hidden_and_head(model, sequences)
    averaged = getattr(model.config, "shared_expert_combination_strategy", None) == "average"  # of experts and shared ones
    added = gates[..., None] * outputs * (getattr(model.config, "residual_multiplier", None) or 1) / (1 + averaged)
    counted = phase != TEMPLATE
    odd = np.repeat([int(row[:2], 16) & 1 for row in sha], np.diff(offset.astype(int))) == 1
    head = head[: len(AutoTokenizer.from_pretrained(folder))]  # the tokens that are spelt
    inverse = float(np.mean(1 / sigma[counted]))
    far = {"sigma": abs(ours["sigma"] * inverse - 1)}
    c_ours = np.load(array)

    def note(key, got, want, scale):
        far[key] = max(far.get(key, 0), abs(got - want) / scale)

    def scores(v):
        x = (v - centred * v.mean()) * weight
        z = head @ x * inverse
        return z - z.mean()

    listed = 0
    by_place = {(x["layer"], x["expert"]): x for x in ours["experts"]}
    for l, layer in enumerate(ours["layers"]):
        parts = [vectors(ids[l], added[l], counted & half, n_experts) for half in (np.ones_like(odd), ~odd, odd)]
        c, v, n = parts[0]
        strongest = np.lexsort((ids[l], -gates[l]), axis=1)[:, 0]  # of equal gates the lower id
        lead = [cosine(row[k], row.sum(axis=0)) for row, k in zip(added[l][counted], strongest[counted])]
        note("alone", layer["alone"], np.mean(lead), 1)
        note("vectors", np.nanmax(np.abs(np.where(n[:, None] > 0, c_ours[l] - c, 0))), 0, np.abs(c).max())
        largest_score = max(np.abs(scores(v[e])).max() for e in range(n_experts) if n[e])
        for e in range(n_experts):
            x = by_place[layer["layer"], e]
            assert x["tokens"] == n[e], f"{name}: {layer['layer']}:{e}: {x['tokens']} tokens, {n[e]} in transformers"
            if n[e] == 0:
                continue
            here = ids[l][counted] == e
            y = np.abs(outputs[l][counted][here]).max(axis=0)
            note("norm", x["norm"], norms[l][counted][here].mean(), norms[l].mean())
            note("largest", x["largest"], y.max(), y.max())
            note("largest", y[x["dimension"]], y.max(), y.max())
            others = [cosine(v[e], v[i]) if i != e and n[i] else -2 for i in range(n_experts)]
            note("nearest", x["nearest_cosine"], max(others), 1)
            note("nearest", others[x["nearest"]], max(others), 1)
            halves = parts[1][2][e] and parts[2][2][e]
            assert (x["halves"] is None) == (not halves)
            if halves:
                note("halves", x["halves"], cosine(parts[1][1][e], parts[2][1][e]), 1)
            lists = [scores(part[1][e]) for part in parts]
            for key, sign, most in (("promotes", 1, 10), ("suppresses", -1, 5)):
                best = [np.sort(-sign * s)[:most] for s in lists]
                assert len(x[key]) == most
                for place, entry in enumerate(x[key]):
                    note("score", entry["nats"], lists[0][entry["id"]], largest_score)
                    note("score", -sign * entry["nats"], best[0][place], largest_score)
                    inside = [-sign * s[entry["id"]] - b[-1] for s, b in zip(lists[1:], best[1:])]  # 0 or less: in the half's list
                    if halves and all(abs(i) > 10 * BOUND * largest_score or i == 0 for i in inside):
                        assert entry["again"] == all(i <= 0 for i in inside), f"{name}: {layer['layer']}:{e}: {entry}"
                    listed += 1
    good = all(value <= BOUND for value in far.values())
    print(f"{name}: {listed} tokens; within " + ", ".join(f"{key} {value:.1e}" for key, value in far.items()) + ("" if good else "  DIFFER"))
    return good


def main():
    gm_probe, shared = program(sys.argv[1], "gm-probe"), common.shared_dir()
    if gm_probe is None or shared is None:
        print("live_lens: skipped, gm-probe is not built or ../shared is absent")
        return 77
    import torch

    torch.set_num_threads(1)  # its threads spin where they meet
    lines = unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines(keepends=True)[:DOCUMENTS]
    with tempfile.TemporaryDirectory() as folder:
        good = all([check_model(name, gm_probe, lines, pathlib.Path(folder)) for name in sys.argv[2:] or [*MODELS, *REFUSED]])
    print("agree" if good else "DIFFER")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
