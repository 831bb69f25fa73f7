"""metrics_golden - quality figures by scikit-learn for small inputs that are stored beside them."""

import numpy as np

from . import common


def labels():
    """Label pairs: (truth, found) with noise, a perfect match, one cluster, and independent labels."""
    rng = np.random.Generator(np.random.PCG64(3))
    truth = np.repeat(np.arange(5), [30, 25, 20, 15, 10])
    found = truth.copy()
    moved = rng.random(100) < 0.2
    found[moved] = rng.integers(-1, 5, size=int(moved.sum()))
    return {"close": (truth, found), "same": (truth, (truth + 2) % 5), "one": (truth, np.zeros(100, dtype=int)),
            "independent": (truth, rng.integers(0, 4, size=100)), "split": (truth, truth * 3 + np.arange(100) % 3)}


def agreement(truth, found):
    from sklearn import metrics

    counts = metrics.cluster.contingency_matrix(truth, found)
    return {
        "truth": [int(t) for t in truth], "found": [int(f) for f in found],
        "ari": float(metrics.adjusted_rand_score(truth, found)),
        "nmi": float(metrics.normalized_mutual_info_score(truth, found)),
        "homogeneity": float(metrics.homogeneity_score(truth, found)),
        "completeness": float(metrics.completeness_score(truth, found)),
        "ami": float(metrics.adjusted_mutual_info_score(truth, found)),
        "purity": float(counts.max(axis=0).sum() / counts.sum()),
    }


def validity():
    """Point sets with labels and what hdbscan's validity_index says of them, whole and by cluster."""
    from hdbscan.validity import validity_index

    rng = np.random.Generator(np.random.PCG64(11))
    middles = np.array([[0, 0], [4, 0], [0, 5]])
    near = np.repeat(np.arange(3), [40, 25, 15])
    blobs = middles[near] + rng.normal(size=(80, 2)) * 0.7
    noisy = np.where(rng.random(80) < 0.15, -1, near)
    five = np.concatenate([rng.normal(size=(30, 5)), rng.normal(size=(20, 5)) + 4])
    angle = rng.random(120) * np.pi
    moons = np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(size=(120, 2)) * 0.05
    moons[60:] = [1, 0.5] - moons[60:]
    cases = {"blobs": (blobs, near), "noisy": (blobs, noisy), "mixed": (blobs, rng.permutation(near)),
             "five": (five, np.repeat([0, 1], [30, 20])), "moons": (moons, np.repeat([0, 1], 60)),
             "pair": (blobs, np.where(np.arange(80) < 2, 0, np.where(near == 2, 1, -1)))}
    found = {}
    for name, (at, label) in cases.items():
        at = at.astype(np.float32).astype(np.float64)
        whole, each = validity_index(at, label, per_cluster_scores=True)
        found[name] = {"dim": at.shape[1], "at": at.ravel().tolist(), "label": label.tolist(),
                       "whole": float(whole), "clusters": each.tolist()}
    return found


def lengths():
    """Lengths with ties, labels with noise: Spearman with being noise, and the correlation ratio of ranks with the
    cluster, corrected for the number of clusters."""
    from scipy.stats import rankdata, spearmanr

    rng = np.random.Generator(np.random.PCG64(5))
    label = rng.integers(-1, 4, size=90)
    length = np.minimum(rng.integers(100, 400, size=90) + 40 * label + 200 * (label < 0), 480)
    rank = rankdata(length)[label >= 0]
    groups = [rank[label[label >= 0] == c] for c in range(4)]
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(rank) - 4)
    whole = ((rank - rank.mean()) ** 2).sum() / (len(rank) - 1)
    return {"length": length.tolist(), "label": label.tolist(),
            "noise": float(spearmanr(length, label < 0).statistic), "cluster": float(np.sqrt(1 - within / whole))}


def make(folder):
    from sklearn.datasets import load_iris
    from sklearn.manifold import trustworthiness

    x = load_iris(return_X_y=True)[0].astype(np.float32).astype(np.float64)
    layout = x[:, [0, 2]]  # a poor map: two of the four columns
    common.write_json(folder / "metrics.json", {
        "versions": common.versions("scikit-learn", "hdbscan", "numpy"),
        "validity": validity(),
        "lengths": lengths(),
        "labels": {name: agreement(*pair) for name, pair in labels().items()},
        "iris": {
            "layout_columns": [0, 2],
            "trustworthiness": {str(k): float(trustworthiness(x, layout, n_neighbors=k)) for k in (5, 15, 50)},
            "continuity": {str(k): float(trustworthiness(layout, x, n_neighbors=k)) for k in (5, 15, 50)},
        },
    }, indent=None)
