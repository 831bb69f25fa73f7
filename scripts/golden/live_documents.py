#!/usr/bin/env python3
"""live_documents - gm-probe against PyTorch on 200 real documents: nll, expert ids, gates and margins, split by margin.

    live_documents.py BUILD     BUILD: a build folder with the programs

Two models in f32: the demo model by deepseek_reference, and an OLMoE of random weights with the real tokenizer, experts and
choices (64, 8) by transformers. Documents are the shared minipile's; exit 77 when it or gm-probe is absent, 3 when a bound below
does not hold.

Whichever way a tie falls, a token's later layers and the later tokens of its document then see another stream, so a choice is
judged where nothing before it in the document was chosen otherwise ("clean"); the others are counted. `flip` is the smallest
change of the two logits at the edge that swaps them: half the margin.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import checkpoints, common  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402
from golden.tokenizer import unzstd  # noqa: E402

DOCUMENTS, TOKENS = 200, 512
NLL = 1e-4  # of a document's mean
SURE = 1e-4  # ids are identical where the margin is above
GATE, MARGIN = 1e-3, 1e-3  # f16 in the trace: half a unit in the last place is 2^-11 of the value
EDGES = (0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, float("inf"))


def write_olmoe(folder, shared):
    """OLMoE's vocabulary, experts and choices at a small width. Gains are smaller than the goldens', so that router logits
    spread by about 1 and a share of the choices is close, as in a trained model."""
    config = checkpoints.olmoe_config(
        hidden_size=128, intermediate_size=64, num_attention_heads=8, num_key_value_heads=8, num_experts=64,
        num_experts_per_tok=8, num_hidden_layers=6, max_position_embeddings=4096, vocab_size=50304, eos_token_id=50279,
        torch_dtype="bfloat16")
    checkpoints.write_checkpoint(folder, config, 1, 1)
    (folder / "tokenizer.json").write_bytes(unzstd(shared / "tokenizers" / "allenai__OLMoE-1B-7B-0924.json.zst"))


def collect(binary, model, corpus, trace):
    command = [binary, "collect", "--model", model, "--corpus", corpus, "--sample", DOCUMENTS, "--min-tokens", 2,
               "--doc-tokens", TOKENS, "--numerics", "f32", "--nll", "--no-text", "-o", trace, "--quiet"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def torch_reference(folder):
    """Gives ids -> (logits [T,V], router logits [L,T,E])."""
    import torch
    from transformers.utils import logging

    from golden.deepseek_reference import Reference, load_weights
    from golden.engine import transformers_forward

    logging.disable_progress_bar()
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] == "olmoe":
        def run(rows):
            for out in transformers_forward(folder, rows):
                yield out["logits"], out["router_logits"]
    else:
        model = Reference(config, load_weights(folder), torch.float32)

        def run(rows):
            for ids in rows:
                out = model.forward(ids)
                yield out["logits"], out["router_logits"]
    return run, config


def compare_document(np, torch, route, config, ours, logits, router):
    """Rows (margin, same set, clean) of every choice, and the worst differences of one document."""
    k = config["num_experts_per_tok"]
    ids, gates, margin = [], [], []
    for layer in router:
        i, g, _, m = route(layer, k, config["norm_topk_prob"])
        ids.append(i), gates.append(g), margin.append(m)
    ids, gates, margin = torch.stack(ids), torch.stack(gates), torch.stack(margin).numpy()
    got = torch.from_numpy(ours["expert"].astype(np.int64).transpose(1, 0, 2))
    same = (torch.sort(ids, -1).values == torch.sort(got, -1).values).all(-1).numpy()  # [L,T]
    first = np.where(~same.all(0), np.argmin(same, 0), len(same))  # first layer of a token that differs
    clean = np.zeros_like(same)
    reach = len(same)  # a token sees the streams of those before it as far as their first flip
    for t in range(same.shape[1]):
        clean[: min(reach, first[t]) + 1, t] = True
        reach = min(reach, first[t])
    order = (ids == got).all(-1).numpy()
    gate = np.abs(gates.numpy() - ours["gate"].transpose(1, 0, 2))[order & clean & same]
    edge = np.abs(margin - ours["margin"].T)[same & clean]
    target = torch.from_numpy(ours["token"][1:].astype(np.int64))
    want = torch.nn.functional.cross_entropy(logits[:-1], target, reduction="none").double().numpy()
    token = np.abs(want - ours["nll"][1:])
    return {"margin": margin.ravel(), "same": same.ravel(), "clean": clean.ravel(), "gate": gate.max(initial=0),
            "edge": (edge / np.maximum(margin[same & clean], 1)).max(initial=0),
            "nll": abs(want.mean() - ours["nll"][1:].astype(np.float64).mean()), "token": token.max(initial=0)}


def documents(np, trace):
    import h5py

    with h5py.File(trace) as file:
        whole = {"expert": "routing/expert_id", "gate": "routing/gate", "margin": "routing/margin",
                 "token": "tokens/token_id", "nll": "tokens/nll"}
        data = {name: file[path][:] for name, path in whole.items()}
        sample = file["tokens/sample"][:]
    for name in ("gate", "margin"):
        data[name] = data[name].astype(np.float32)
    bounds = np.flatnonzero(np.diff(sample, prepend=-1, append=-1))
    for a, b in zip(bounds, bounds[1:]):
        yield {name: values[a:b] for name, values in data.items()}


def report(np, name, rows, seconds):
    margin, same, clean = (np.concatenate([row[key] for row in rows]) for key in ("margin", "same", "clean"))
    print(f"{name}: {len(rows)} documents, {len(margin)} choices, {(~clean).sum()} after a flip; reference {seconds:.0f} s")
    print(f"{'margin':>20} {'choices':>9} {'identical':>10} {'share':>9}")
    for low, high in zip(EDGES, EDGES[1:]):
        here = clean & (margin >= low) & (margin < high)
        if here.any():
            print(f"{low:>9g} to {high:<8g} {here.sum():9} {(here & same).sum():10} {same[here].mean():9.5f}")
    wrong = clean & ~same & (margin > SURE)
    flipped = clean & ~same
    worst = {key: np.max([row[key] for row in rows]) for key in ("nll", "token", "gate", "edge")}
    print(f"largest margin of a flip {margin[flipped].max(initial=0):.2g}; nll of a document within {worst['nll']:.2g}, of a "
          f"token {worst['token']:.2g}; gates within {worst['gate']:.2g}, margins {worst['edge']:.2g} (f16 in the trace)")
    bad = []
    if len(rows) != DOCUMENTS:
        bad.append(f"{len(rows)} documents, expected {DOCUMENTS}")
    if wrong.any():
        bad.append(f"{wrong.sum()} ids differ at margins above {SURE:g}")
    for key, bound in (("nll", NLL), ("gate", GATE), ("edge", MARGIN)):
        if not worst[key] <= bound:
            bad.append(f"{key} is off by {worst[key]:.2g}, bound {bound:g}")
    for line in bad:
        print(f"{name}: {line}")
    return 3 if bad else 0


def compare(np, binary, name, folder, corpus, trace):
    import torch

    from golden.deepseek_reference import route

    torch.set_num_threads(1)  # its threads spin where they meet
    collect(binary, folder, corpus, trace)
    begin = time.monotonic()
    run, config = torch_reference(folder)
    rows, ours = [], list(documents(np, trace))
    with torch.no_grad():
        for document, (logits, router) in zip(ours, run([d["token"].tolist() for d in ours])):
            rows.append(compare_document(np, torch, route, config, document, logits, router))
    return report(np, name, rows, time.monotonic() - begin)


def main():
    shared, binary = common.shared_dir(), program(sys.argv[1], "gm-probe")
    if shared is None or binary is None:
        print("live_documents: skipped,", "no shared folder" if shared is None else "gm-probe is not built")
        return 77
    import numpy as np

    demo = common.REPO / "notebooks-data" / "demo-model"
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        corpus = shared / "minipile" / "test.jsonl.zst"
        status |= compare(np, binary, "demo model, deepseek_reference.py", demo, corpus, folder / "demo.h5")
        write_olmoe(folder / "olmoe", shared)
        status |= compare(np, binary, "OLMoE, transformers", folder / "olmoe", corpus, folder / "olmoe.h5")
    return status


if __name__ == "__main__":
    sys.exit(main())
