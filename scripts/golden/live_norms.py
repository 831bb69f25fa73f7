#!/usr/bin/env python3
"""live_norms - norms of experts' outputs as collect --record norms writes them, EAN and REAP as stats sums them, against transformers.

    live_norms.py BUILD [MODEL...]     BUILD: a build folder with gm-probe; MODEL: of live_plan.py, default all that have such norms

The tiny checkpoints of live_plan.py in f32, on documents of ../shared/minipile; transformers' norms: output_norms.py. EAN and REAP
(arXiv:2510.13999) are summed here from transformers' norms and gates. Exit 77 when something is absent, 3 when a bound does not hold.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common, output_norms  # noqa: E402
from golden.live_plan import MODELS, folder_of  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402
from golden.tokenizer import unzstd  # noqa: E402

DOCUMENTS, TOKENS, TEMPLATE = 6, 60, 2
NORM, SUM = 1e-4, 1e-3  # relative: of a norm; of a layer's and expert's sum, whose gates the trace has as f16
LEAST = 1e-6  # smaller norms count as this: Nemotron-H's experts may give exactly nothing
WITHOUT = ("llama4-tiny",)  # gates multiply what experts read


def relative(ours, theirs):
    """Largest relative difference where both have a number; tokens and layers of other experts (near ties) are counted apart."""
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    return float(np.max(np.abs(ours - theirs)[both] / np.maximum(theirs[both], LEAST))), float(np.mean(np.isnan(ours) != np.isnan(theirs)))


def check_model(name, gm_probe, lines, work):
    import h5py

    folder = folder_of(name, work)
    trace = work / "norms.h5"
    (work / "corpus.jsonl").write_text("".join(lines))

    def run(*words):
        return subprocess.run([gm_probe, *words], check=True, capture_output=True, text=True).stdout

    run("collect", "--model", folder, "--corpus", work / "corpus.jsonl", "--min-tokens", "1", "--doc-tokens", str(TOKENS), "--numerics",
        "f32", "--device", "cpu", "--record", "norms", "-o", trace, "--force", "--quiet")
    stats = json.loads(run("stats", trace, "--json", "--quiet"))["outputs"]
    with h5py.File(trace) as file:
        expert, norm, gate = (file[f"routing/{key}"][...] for key in ("expert_id", "output_norm", "gate"))
        token, phase, offset = (file[key][...] for key in ("tokens/token_id", "tokens/phase", "samples/offset"))
        n_experts = file["samples/counts"].shape[2]
    model = common.transformers_model(folder)
    sequences = [token[first:end] for first, end in zip(offset[:-1].astype(int), offset[1:].astype(int))]
    ids, gates, norms = output_norms.forward(model, output_norms.watch(model), sequences)
    counted, worst, other, sums = phase != TEMPLATE, 0.0, 0.0, 0.0
    for l in range(len(ids)):
        mine = output_norms.by_expert(expert[:, l], norm[:, l].astype(float), n_experts)
        its = output_norms.by_expert(ids[l], norms[l], n_experts)
        far, moved = relative(mine, its)
        worst, other = max(worst, far), max(other, moved)
        if moved:  # sums are of other tokens
            continue
        weighed = output_norms.by_expert(ids[l], gates[l], n_experts) * its
        # theirs may have the routed scale in the gates
        scale = np.nanmedian(weighed / (output_norms.by_expert(expert[:, l], gate[:, l].astype(float), n_experts) * mine))
        for key, want in (("ean", np.nansum(its[counted], axis=0)), ("reap", np.nansum(weighed[counted], axis=0) / scale)):
            chosen = np.sum(~np.isnan(its[counted]), axis=0)
            got = np.array([np.nan if value is None else value for value in stats["layers"][l][key]])
            want = want / np.where(key == "reap", np.maximum(chosen, 1), 1)
            assert np.array_equal(np.isnan(got), (chosen == 0) & (key == "reap")), f"{name}: layer {l}: who was chosen"
            sums = max(sums, float(np.max(np.abs(got - want)[chosen > 0] / np.maximum(want[chosen > 0], LEAST))))
    good = worst <= NORM and sums <= SUM and other < 0.01 and bool(np.isfinite(norm).all())
    print(f"{name}: {norm.size} norms within {worst:.1e}, EAN and REAP within {sums:.1e}, {other:.4f} of a layer's (token, expert) pairs "
          f"chosen by one side alone{'' if good else '  DIFFER'}")
    return good


def main():
    gm_probe, shared = program(sys.argv[1], "gm-probe"), common.shared_dir()
    if gm_probe is None or shared is None:
        print("live_norms: skipped, gm-probe is not built or ../shared is absent")
        return 77
    import torch

    torch.set_num_threads(1)  # its threads spin where they meet
    lines = unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines(keepends=True)[:DOCUMENTS]
    names = sys.argv[2:] or [name for name in MODELS if name not in WITHOUT]
    with tempfile.TemporaryDirectory() as folder:
        good = all([check_model(name, gm_probe, lines, pathlib.Path(folder)) for name in names])
    print("agree" if good else "DIFFER")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
