#!/usr/bin/env python3
"""live_assign - gm-cluster assign against umap-learn's and hdbscan's own formulae on one synthetic corpus.

    live_assign.py BUILD    BUILD: a build folder with the programs

Documents that were left out of a fit are placed on its map. Held against: the start of umap-learn's transform
(smooth_knn_dist with local connectivity 0, memberships, mean of the neighbours), computed from the two traces;
hdbscan.approximate_predict on the atlas's map at our places; the topics that were planted. Exit 3 when something differs.
"""

import csv
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import synthetic_trace  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

BOUNDS = {"places, of the map's width": ("most", 1e-5), "labels of approximate_predict": ("least", 0.95),
          "its probabilities, mean difference": ("most", 0.05), "purity of topics": ("least", 0.9)}


def places_of_umap(new, old, xy, k, np):
    from sklearn.neighbors import NearestNeighbors
    from umap.umap_ import compute_membership_strengths, smooth_knn_dist

    root_new, root_old = (np.sqrt(x / x.sum(axis=1, keepdims=True)) for x in (new, old))
    distance, index = NearestNeighbors(n_neighbors=k).fit(root_old).kneighbors(root_new)
    distance = (distance / np.sqrt(2)).astype(np.float32)
    sigma, rho = smooth_knn_dist(distance, float(k), local_connectivity=0.0)
    weight = compute_membership_strengths(index, distance, sigma, rho, bipartite=True)[2].reshape(len(new), k)
    return (weight[:, :, None] * xy[index]).sum(axis=1) / weight.sum(axis=1)[:, None]


def main():
    binary = program(sys.argv[1], "gm-cluster")
    if binary is None:
        print("live_assign: skipped, gm-cluster is not built")
        return 77
    import h5py
    import hdbscan
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, n in (("old.h5", 1200), ("all.h5", 1500)):  # document i is the same in both
            how = synthetic_trace.options(["-o", str(folder / name), "--documents", str(n), "--topics", "10"])
            synthetic_trace.write(folder / name, how)
        run = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([binary, "fit", folder / "old.h5", "-o", folder / "a.h5", "--quiet", "--quality", "none"], **run)
        subprocess.run([binary, "assign", folder / "a.h5", folder / "all.h5", "-o", folder / "p.csv"], **run)
        placed = list(csv.DictReader((folder / "p.csv").open()))
        with h5py.File(folder / "a.h5") as atlas, h5py.File(folder / "all.h5") as trace:
            xy, p = atlas["samples/xy"][:].astype(float), dict(atlas["parameters"].attrs)
            counts = trace["samples/counts"][:].reshape(1500, -1).astype(float)
            topic = trace["truth/topic"][:]
        found = {}
        ours = np.array([[float(d["x"]), float(d["y"])] for d in placed])
        label = np.array([int(d["cluster"]) for d in placed])
        probability = np.array([float(d["probability"]) for d in placed])
        stays = np.abs(ours[:1200] - xy).max()
        theirs = places_of_umap(counts[1200:], counts[:1200], xy, int(p["n_neighbors"]), np)
        found["places, of the map's width"] = max(stays, np.abs(ours[1200:] - theirs).max()) / np.ptp(xy)
        model = hdbscan.HDBSCAN(min_cluster_size=int(p["min_cluster_size"]), min_samples=int(p["min_samples"]),
                                prediction_data=True, approx_min_span_tree=False).fit(xy)
        told, sure = hdbscan.approximate_predict(model, ours[1200:])
        names = {c: np.bincount(model.labels_[(label[:1200] == c) & (model.labels_ >= 0)]).argmax()
                 for c in range(label.max() + 1)}
        named = np.array([names.get(c, -1) for c in label[1200:]])
        same = named == told
        found["labels of approximate_predict"] = same.mean()
        found["its probabilities, mean difference"] = np.abs(sure - probability[1200:])[same].mean()
        of = {c: np.bincount(topic[:1200][label[:1200] == c]).argmax() for c in range(label.max() + 1)}
        inside = label[1200:] >= 0
        found["purity of topics"] = np.mean([of[c] == t for c, t in zip(label[1200:][inside], topic[1200:][inside])])
        print(f"300 new documents, {inside.sum()} in a cluster")
    wrong = 0
    for name, value in found.items():
        side, bound = BOUNDS[name]
        fine = value <= bound if side == "most" else value >= bound  # NaN is not fine
        wrong += not fine
        print(f"{name:36} {value:.6g} ({side} {bound:g}){'' if fine else '  MISSED'}")
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
