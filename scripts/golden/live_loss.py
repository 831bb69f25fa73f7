#!/usr/bin/env python3
"""live_loss - gm-probe collect --nll with and without --plan against transformers, and the tables of losses against scipy.

    live_loss.py BUILD     BUILD: a build folder with gm-probe and gm-steer

Tiny checkpoints in f32 read a corpus unsteered and under plans (random biases, experts taken out). Of each token -ln p of the trace is
held against the log-softmax of transformers' logits under apply_plan.py's hooks, and what gm-probe stats --against says of the change
by subset against a mean over tokens and an interval over documents computed from the traces' arrays by numpy and scipy. gm-probe
ablate's table, by expert and subset, is held against the same figures of transformers' own losses, the expert masked out of the
logits where its router's matrix is multiplied (no hook of ours), with the tokens that chose it counted there. Exit 77 when a program
is absent, 3 when a bound does not hold.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common  # noqa: E402
from golden.live_plan import load, make_plans  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

MODELS = ("qwen3-tiny", "olmoe-tiny", "granite-tiny", "deepseek-v2-tiny")
LOSS, TABLE = 1e-4, 1e-9  # nats of a token; of a table's figure
TIE = 3e-5  # a smaller margin may be decided otherwise by other kernels: after it a document is not compared
OUT = 5  # experts taken out of each layer
EFFECT = 0.01  # a plan must change the mean loss of a document by more, or nothing is shown
WORDS = {"soup": "salt onion broth simmer carrot", "ships": "sail harbour anchor captain tide", "stars": "orbit comet planet lens"}


def make_corpus(path):
    rng = random.Random(5)
    with open(path, "w", encoding="utf-8") as out:
        for i in range(31):
            kind = list(WORDS)[i % 3]
            text = " ".join(rng.choices(WORDS[kind].split(), k=rng.randrange(5, 40)))
            out.write(json.dumps({"text": text, "meta": {"pile_set_name": kind}}) + "\n")


def collect(gm_probe, folder, corpus, out, plan=None):
    subprocess.run([gm_probe, "collect", "--model", folder, "--corpus", corpus, "--min-tokens", "5", "--numerics", "f32", "--nll",
                    "-o", out, "--force", "--quiet", *(["--plan", plan] if plan else [])], check=True, stdout=subprocess.DEVNULL)


def read(path):
    """Documents' token ids, their -ln p, their smallest margins, their subsets."""
    import h5py

    with h5py.File(path) as trace:
        offset = trace["samples/offset"][:].astype(int)
        names = {number: name for name, number in h5py.check_enum_dtype(trace["samples/subset"].dtype).items()}
        subset = [names[number] for number in trace["samples/subset"][:]]
        ids, nll = trace["tokens/token_id"][:], trace["tokens/nll"][:]
        margin = trace["routing/margin"][:].astype(float).min(axis=1)
    cut = list(zip(offset[:-1], offset[1:]))
    return [ids[a:b].astype(int) for a, b in cut], [nll[a:b] for a, b in cut], [margin[a:b] for a, b in cut], subset


def worst_token(torch, model, documents, nll, margin):
    """The largest difference, and how many tokens were compared."""
    worst, n = 0.0, 0
    for ids, ours, clear in zip(documents, nll, margin):
        end = int(np.argmax(clear < TIE)) if (clear < TIE).any() else len(ids) - 1
        with torch.no_grad():
            log_p = torch.log_softmax(model(torch.tensor([ids.tolist()])).logits[0].double(), -1).numpy()
        theirs = -log_p[np.arange(len(ids) - 1), ids[1:]]
        if not np.isnan(ours[0]):
            return np.inf, n
        worst = np.max([worst, *np.abs(theirs - ours[1:])[:end]])  # of NaN: NaN
        n += end
    return float(worst), n


def table_of(base, steered, subset):
    """Of all documents, and of each subset: means over tokens, change, its interval over documents."""
    from scipy.stats import t

    a, b = (np.array([d[1:].astype(float).sum() for d in side]) for side in (base, steered))
    n = np.array([len(d) - 1 for d in base])
    for name in [None, *dict.fromkeys(subset)]:
        own = np.array([name is None or name == s for s in subset])
        d, N, T = (b - a)[own], own.sum(), n[own].sum()
        change = d.sum() / T
        error = np.sqrt(N / (N - 1) * ((d - change * n[own]) ** 2).sum()) / T
        half = t.ppf(0.975, N - 1) * error
        yield name, {"documents": N, "tokens": T, "nll": a[own].sum() / T, "nll_against": b[own].sum() / T, "change": change,
                     "change_low": change - half, "change_high": change + half, "p": 2 * t.sf(abs(change) / error, N - 1)}


def worst_figure(said, base, steered, subset):
    rows = {None: said, **{row["subset"]: row for row in said["subsets"]}}
    want = dict(table_of(base, steered, subset))
    if rows.keys() != want.keys():
        return np.inf
    return np.max([abs(rows[name][key] - value) for name, figures in want.items() for key, value in figures.items()])


class Masked:
    """F.linear, with one row of a router's matrix giving -inf; counts the rows but the first whose strongest K it is among, untouched."""

    def __init__(self, torch, weight, expert, n_chosen):
        self.torch, self.weight, self.expert, self.n_chosen, self.chosen = torch, weight, expert, n_chosen, 0
        self.linear = torch.nn.functional.linear

    def __call__(self, x, weight, bias=None):
        out = self.linear(x, weight, bias)
        if weight.data_ptr() == self.weight.data_ptr():
            flat = out.reshape(-1, out.shape[-1])[1:]  # the first has no -ln p
            self.chosen += int((flat.topk(self.n_chosen).indices == self.expert).sum())
            out = out.clone()
            out[..., self.expert] = -self.torch.inf
        return out

    def __enter__(self):
        self.torch.nn.functional.linear = self
        return self

    def __exit__(self, *_):
        self.torch.nn.functional.linear = self.linear


def losses_of(torch, model, documents):
    """-ln p of every token but a document's first, NaN, as a trace has them."""
    found = []
    for ids in documents:
        with torch.no_grad():
            log_p = torch.log_softmax(model(torch.tensor([ids.tolist()])).logits[0].double(), -1).numpy()
        found.append(np.concatenate([[np.nan], -log_p[np.arange(len(ids) - 1), ids[1:]]]))
    return found


def check_ablation(name, torch, model, gm_probe, folder, corpus, documents, subset):
    """Whether gm-probe ablate says what transformers computes without an expert."""
    config = model.config
    n_experts, n_chosen = (next(getattr(config, key) for key in keys if getattr(config, key, None))
                           for keys in (("num_experts", "num_local_experts", "n_routed_experts"), ("num_experts_per_tok",)))
    routers = [weight for key, weight in model.named_parameters()
               if weight.ndim == 2 and weight.shape[0] == n_experts and ("gate" in key or "router" in key)]
    layers = range(config.num_hidden_layers - len(routers), config.num_hidden_layers)
    named = [(layer, expert) for layer in layers for expert in range(0, n_experts, max(1, n_experts // OUT))]
    done = subprocess.run([gm_probe, "ablate", "--model", folder, "--corpus", corpus, "--min-tokens", "5", "--numerics", "f32", "--json",
                           "--quiet", "--experts", ",".join(f"{layer}:{expert}" for layer, expert in named)], check=True, capture_output=True)
    rows, plain = json.loads(done.stdout)["rows"], losses_of(torch, model, documents)
    worst, effect, counted, n, grouped = 0.0, 0.0, True, 0, config.model_type == "deepseek_v2"  # which chooses among groups
    for layer, expert in named:
        with Masked(torch, routers[layer - layers[0]], expert, n_chosen) as masked:
            without = losses_of(torch, model, documents)
        own = {row["group"]: row for row in rows if (row["layer"], row["expert"]) == (layer, expert)}
        want = {group: figures | {"nll_without": figures["nll_against"]} for group, figures in table_of(plain, without, subset)}
        if own.keys() != want.keys():
            return False
        worst = np.max([worst, *(abs(own[group][key] - value) for group, figures in want.items() for key, value in figures.items()
                                 if key != "nll_against")])  # of NaN: NaN
        effect = max(effect, abs(own[None]["change"]))
        counted = counted and (grouped or own[None]["chosen"] == masked.chosen)
        n += len(own)
    good = worst <= LOSS and effect > EFFECT and counted and n > 0
    print(f"{name}, without {len(named)} experts one by one: {n} rows, figures {worst:.2g} (bound {LOSS:g}), choices "
          f"{'not counted' if grouped else 'counted alike' if counted else 'COUNTED OTHERWISE'}, the loss moved by up to {effect:.2g}")
    return good


def check_model(name, gm_probe, gm_steer, work):
    """Whether every bound holds."""
    import torch

    apply_plan = load(common.REPO / "notebooks-data" / "apply_plan.py")
    folder = common.REPO / "tests" / "golden" / "models" / name
    config = json.loads((folder / "config.json").read_text())
    corpus, base, steered = work / "c.jsonl", work / "base.h5", work / "steered.h5"
    make_corpus(corpus)
    collect(gm_probe, folder, corpus, base)
    documents, nll, margin, subset = read(base)
    model = common.transformers_model(folder)
    plain, _ = worst_token(torch, model, documents, nll, margin)
    good = check_ablation(name, torch, model, gm_probe, folder, corpus, documents, subset)
    for what, plan, _ in make_plans(gm_steer, folder, config, work):
        collect(gm_probe, folder, corpus, steered, plan)
        _, under, margin, _ = read(steered)
        hooks = apply_plan.steer(model, plan)
        worst, n = worst_token(torch, model, documents, under, margin)
        for hook in hooks:
            hook.remove()
        done = subprocess.run([gm_probe, "stats", base, "--against", steered, "--json", "--quiet"], check=True, capture_output=True)
        figure = worst_figure(json.loads(done.stdout)["loss"], nll, under, subset)
        effect = max(abs(np.mean(u[1:]) - np.mean(n[1:])) for u, n in zip(under, nll))
        good = good and plain <= LOSS and worst <= LOSS and figure <= TABLE and effect > EFFECT
        print(f"{name}, {what}: {n} of {sum(map(len, documents))} tokens, -ln p {max(plain, worst):.2g} (bound {LOSS:g}), table {figure:.2g} (bound "
              f"{TABLE:g}), a document's loss moved by up to {effect:.2g}")
    return good


def main():
    gm_probe, gm_steer = program(sys.argv[1], "gm-probe"), program(sys.argv[1], "gm-steer")
    if gm_probe is None or gm_steer is None:
        print("live_loss: skipped, gm-probe or gm-steer is not built")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        good = all([check_model(name, gm_probe, gm_steer, pathlib.Path(folder)) for name in MODELS])
    print("agree" if good else "DIFFER")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
