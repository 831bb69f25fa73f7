#!/usr/bin/env python3
"""synthetic_judge - what gm-cluster found in a synthetic trace, against what was planted there (synthetic_trace.py).

    synthetic_judge.py TRACE ATLAS      exit 3 when a limit of LIMITS is missed

    purity     share of the 15 nearest others of a document, by Hellinger distance between usage vectors, that are of its
               topic; computed here, not by gm-cluster; over at most 1,000 documents spread evenly. How hard the input is:
               above .98 it would be trivial, below .90 the clusters asked for are not in it
    ari        adjusted Rand index of clusters against topics over all documents; noise is one more cluster
    topics     share of topics that are the most frequent one of some cluster
    keywords   precision@10: share of a cluster's ten keywords that are planted words of its topic; mean over clusters
    experts    precision@20: among the 20 experts of highest lift in a cluster's important mask, the share that is planted
               in its topic; mean over clusters

A cluster's topic is the most frequent among its members. A cluster with fewer than ten keywords or 20 important experts
counts what is missing as wrong. A clustering without clusters scores 0.
"""

import sys

import h5py
import numpy as np

K = 15
MOST = 1000  # documents whose neighbours are looked for
LIMITS = {"purity": (0.90, 0.98), "ari": (0.95, 1), "topics": (1, 1), "keywords": (0.9, 1), "experts": (0.9, 1)}


def neighbour_purity(counts, topic, k=K, most=MOST):
    flat = counts.reshape(len(counts), -1).astype(np.float32)
    root = np.sqrt(flat / np.maximum(flat.sum(axis=1, keepdims=True), 1))
    query = np.unique(np.linspace(0, len(root) - 1, min(most, len(root))).astype(int))
    same = 0
    for part in np.array_split(query, -(-len(query) // 500)):
        near = -(root[part] @ root.T)  # rows have length 1: the smallest is the nearest
        near[np.arange(len(part)), part] = np.inf
        same += (topic[np.argpartition(near, k, axis=1)[:, :k]] == topic[part, None]).sum()
    return same / (len(query) * k)


def adjusted_rand(a, b):
    """Hubert and Arabie 1985, from the table of both labelings."""
    a, b = np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    pairs = lambda n: (n * (n - 1) / 2).sum()  # noqa: E731
    same, rows, columns, all_ = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0)), pairs(np.array([len(a)]))
    chance = rows * columns / all_
    return (same - chance) / ((rows + columns) / 2 - chance)


def judge(trace_path, atlas_path, purity=True):
    """All figures as a dict."""
    with h5py.File(trace_path) as trace, h5py.File(atlas_path) as atlas:
        topic = trace["truth/topic"][:]
        planted, words = trace["truth/expert"][:], trace["truth/word"][:]
        cluster, keywords = atlas["samples/cluster"][:], atlas["clusters/keywords"][:]
        lift, important = atlas["clusters/lift"][:], atlas["clusters/important"][:]
        found = {"documents": len(topic), "clusters": len(keywords), "noise": float((cluster < 0).mean())}
        found["purity"] = float(neighbour_purity(trace["samples/counts"][:], topic)) if purity else None
    found["ari"] = float(adjusted_rand(cluster, topic))
    main = [np.bincount(topic[cluster == c]).argmax() for c in range(len(keywords))]
    found["topics"] = len(set(main)) / len(planted)
    right_words = [np.isin(keywords[c], words[t]).sum() / 10 for c, t in enumerate(main)]
    right_experts = []
    for c, t in enumerate(main):
        value = np.where(important[c] == 1, lift[c], 0).ravel()
        best = np.argsort(-value, kind="stable")[:20]
        right_experts.append(planted[t].ravel()[best][value[best] > 0].sum() / 20)
    for name, right in (("keywords", right_words), ("experts", right_experts)):
        found[name] = float(np.mean(right)) if right else 0.0
        found["worst_" + name] = float(np.min(right)) if right else 0.0
    return found


def misses(found):
    """Sentences, one for each limit that is missed."""
    return [f"{name} is {found[name]:.4f}, expected {low} to {high}" for name, (low, high) in LIMITS.items()
            if found[name] is not None and not low <= found[name] <= high]


def show(found):
    print("  ".join(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items()))
    for sentence in misses(found):
        print(sentence)


def main():
    if len(sys.argv) != 3:
        asked = sys.argv[1:] == ["--help"]
        print(__doc__.strip(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    found = judge(sys.argv[1], sys.argv[2])
    show(found)
    return 3 if misses(found) else 0


if __name__ == "__main__":
    sys.exit(main())
