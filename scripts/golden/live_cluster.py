#!/usr/bin/env python3
"""live_cluster - gm-cluster against umap-learn + hdbscan on one trace: how true are the maps, how good the clusters?

    live_cluster.py BUILD [TRACE]    BUILD: a build folder with the programs

TRACE: default build/demo/demo.trace.h5, which scripts/demo leaves; else one is made from the shared minipile and the demo
model; exit 77 when neither can be had. Both sides get the same usage vectors, metric (Hellinger), neighbours, least distance
and cluster sizes, and five seeds. Exit 3 when ours is worse by more than the limits below. The adjusted Rand index is shown, not judged:
from seed to seed it jumps by .3 on both sides, as two large clusters merge or do not.

trust        trustworthiness over 15 neighbours (scikit-learn)
kept         share of a document's 15 neighbours that are among its 15 neighbours on the map
ari, ami     clusters against labelled subsets, noise a class of its own
agree        adjusted Rand index of our labels to hdbscan's on *our* map
seconds      neighbours, map and clusters; theirs after a warm-up that compiles
"""

import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SEEDS = (42, 43, 44, 45, 46)
K = 15
WORSE = {"trust": 0.01, "kept": 0.02, "ami": 0.03}  # by how much the mean of ours may be below theirs


def find_trace(build, argument, folder):
    """A trace to work on, made when there is none; None when it cannot be made."""
    if argument:
        return pathlib.Path(argument)
    left = SOURCE / "build" / "demo" / "demo.trace.h5"
    probe, shared = program(build, "gm-probe"), common.shared_dir()
    model = SOURCE / "notebooks-data" / "demo-model"
    if left.exists():
        return left
    if probe is None or shared is None or not (model / "config.json").exists():
        return None
    made = folder / "minipile.trace.h5"
    subprocess.run([probe, "collect", "--model", model, "--corpus", shared / "minipile" / "test.jsonl.zst", "--sample",
                    "3000", "--record", "counts", "-o", made, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return made


def ours(binary, trace, out, seed, layout):
    """Map and labels by gm-cluster, seconds, and the parameters it used."""
    import h5py

    begin = time.monotonic()
    subprocess.run([binary, "fit", trace, "-o", out, "--seed", str(seed), "--layout", layout, "--force", "--quiet"],
                   check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begin
    with h5py.File(out) as atlas:
        used = dict(atlas["parameters"].attrs)
        return atlas["samples/xy"][:], atlas["samples/cluster"][:], seconds, used


def theirs(usage, seed, used):
    import hdbscan
    import umap

    begin = time.monotonic()
    xy = umap.UMAP(n_neighbors=K, min_dist=float(used["min_dist"]), metric="hellinger", random_state=seed,
                   n_jobs=1).fit_transform(usage)
    label = cluster(hdbscan, xy, used)
    return xy, label, time.monotonic() - begin


def cluster(hdbscan, xy, used):
    return hdbscan.HDBSCAN(min_cluster_size=int(used["min_cluster_size"]),
                           min_samples=int(used["min_samples"])).fit_predict(xy.astype("float64"))


def figures(root, near, xy, label, subset):
    """root: square roots of usage, in which Hellinger is Euclidean up to a factor; near (N,K): neighbours there."""
    from sklearn.manifold import trustworthiness
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
    from sklearn.neighbors import NearestNeighbors

    on_map = NearestNeighbors(n_neighbors=K + 1).fit(xy).kneighbors(return_distance=False)[:, :K]
    kept = sum(len(set(a) & set(b)) for a, b in zip(near, on_map)) / near.size
    return {"trust": trustworthiness(root, xy, n_neighbors=K), "kept": kept,
            "ari": adjusted_rand_score(subset, label), "ami": adjusted_mutual_info_score(subset, label),
            "clusters": label.max() + 1, "noise": (label < 0).mean()}


def main():
    import h5py
    import hdbscan
    import numpy as np
    from sklearn.metrics import adjusted_rand_score
    from sklearn.neighbors import NearestNeighbors

    binary = program(sys.argv[1], "gm-cluster")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        trace = find_trace(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None, folder)
        if binary is None or trace is None:
            print("live_cluster: skipped,", "gm-cluster is not built" if binary is None else "no trace and no shared folder")
            return 77
        with h5py.File(trace) as file:
            counts = file["samples/counts"][:].reshape(file["samples/counts"].shape[0], -1).astype(np.float64)
            subset = file["samples/subset"][:]
        usage = (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
        root = np.sqrt(usage)
        near = NearestNeighbors(n_neighbors=K).fit(root).kneighbors(return_distance=False)
        print(f"{trace.name}: {len(usage)} documents, {usage.shape[1]} experts, {len(set(subset))} subsets")

        runs = {"umap-learn + hdbscan": [], "gm-cluster": [], "gm-cluster --layout reference": []}
        used = ours(binary, trace, folder / "a.h5", SEEDS[0], "batch")[3]
        theirs(usage[:500], 1, used)  # compiles
        for seed in SEEDS:
            for name, layout in (("gm-cluster", "batch"), ("gm-cluster --layout reference", "reference")):
                xy, label, seconds, _ = ours(binary, trace, folder / "a.h5", seed, layout)
                agree = adjusted_rand_score(cluster(hdbscan, xy, used), label)
                runs[name].append({**figures(root, near, xy, label, subset), "agree": agree, "seconds": seconds})
            xy, label, seconds = theirs(usage, seed, used)
            runs["umap-learn + hdbscan"].append({**figures(root, near, xy, label, subset), "agree": 1, "seconds": seconds})

    keys = list(runs["gm-cluster"][0])
    mean = {name: {key: float(np.mean([run[key] for run in rows])) for key in keys} for name, rows in runs.items()}
    print(f"{'mean of ' + str(len(SEEDS)) + ' seeds':30}" + "".join(f"{key:>10}" for key in keys))
    for name, row in mean.items():
        print(f"{name:30}" + "".join(f"{row[key]:10.1f}" if key in ("clusters", "seconds") else f"{row[key]:10.4f}"
                                     for key in keys))
    status = 0
    reference = mean["umap-learn + hdbscan"]
    for name, row in mean.items():
        for key, most in WORSE.items():
            if not row[key] >= reference[key] - most:
                print(f"{name}: {key} is worse than umap-learn's by {reference[key] - row[key]:.4f}, limit {most}")
                status = 3
        if not row["agree"] >= 0.95:
            print(f"{name}: labels agree with hdbscan's on the same map by {row['agree']:.4f}, limit 0.95")
            status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
