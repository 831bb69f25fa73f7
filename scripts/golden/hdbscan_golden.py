"""hdbscan_golden - clusters of 2-D points by hdbscan, with the spanning tree built under a total order.

Ties between equal mutual reachabilities decide results, and hdbscan leaves them to chance. So the tree is built here by
Kruskal over all pairs in the order (mutual reachability, smaller core distance, distance, smaller id, larger id), and handed
to hdbscan's own code for everything after it: single linkage, condensing, selection, labels, probabilities, GLOSH.
`contrib_*` are the labels of hdbscan.HDBSCAN as shipped, for a comparison by adjusted Rand index.
"""

import numpy as np

from . import common

SETTINGS = [  # fixture, min_cluster_size, min_samples, method, epsilon, allow_single_cluster
    ("uniform", 5, 5, "eom", 0.0, False),
    ("uniform", 5, 5, "eom", 0.0, True),
    ("uniform", 5, 5, "eom", 0.2, True),
    ("uniform", 5, 5, "leaf", 0.0, False),
    ("uniform", 5, 3, "leaf", 0.09, False),
    ("blobs", 15, 15, "eom", 0.0, False),
    ("blobs", 4, 3, "leaf", 0.0, False),
    ("blobs", 4, 3, "leaf", 0.5, False),
    ("blobs", 4, 3, "eom", 0.5, False),
    ("twins", 4, 2, "eom", 0.0, False),
]


def fixtures():
    """Points as float32 [N, 2]."""
    uniform = np.random.RandomState(0).rand(150, 2)
    rng = np.random.Generator(np.random.PCG64(11))
    centres = rng.uniform(0.0, 10.0, size=(7, 2))
    width = rng.uniform(0.15, 0.6, size=7)
    blobs = [rng.normal(c, w, size=(n, 2)) for c, w, n in zip(centres, width, (60, 55, 50, 40, 35, 30, 25))]
    blobs = np.concatenate(blobs + [rng.uniform(-1.0, 11.0, size=(45, 2))])
    twins = (rng.normal(0.0, 1.0, size=(40, 2)) * 4).round() / 4  # on a grid: duplicates, many equal distances
    twins = np.concatenate([twins, twins[:15], twins[:5] + 6.0, twins[:5] + 6.0, twins[:3] + 6.0])
    return {name: x.astype(np.float32) for name, x in (("uniform", uniform), ("blobs", blobs), ("twins", twins))}


def spanning_tree(x, min_samples):
    """Edges (a, b, weight) of the minimum spanning tree of mutual reachability, in the total order; core distances.

    core = distance to the min_samples-th neighbour, the point itself not counted, as in hdbscan's Boruvka.
    """
    n = len(x)
    p = x.astype(np.float64)
    dx, dy = p[:, None, 0] - p[None, :, 0], p[:, None, 1] - p[None, :, 1]
    distance = np.sqrt(dx * dx + dy * dy)
    core = np.sort(distance, axis=1)[:, min_samples]
    a, b = np.triu_indices(n, 1)
    weight = np.maximum(distance[a, b], np.maximum(core[a], core[b]))
    order = np.lexsort((b, a, distance[a, b], np.minimum(core[a], core[b]), weight))
    root = list(range(n))

    def find(i):
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    edges = []
    for e in order:
        i, j = find(a[e]), find(b[e])
        if i != j:
            root[i] = j
            edges.append((float(a[e]), float(b[e]), weight[e]))
    return np.array(edges), core


def cluster(edges, min_cluster_size, method, epsilon, single):
    """hdbscan's own steps after the tree: labels, probabilities, outlier scores, condensed tree, persistence.

    Equal points would give an infinite lambda and NaN scores: a distance of 0 counts as the smallest that is not 0.
    """
    from hdbscan._hdbscan_linkage import label
    from hdbscan._hdbscan_tree import outlier_scores
    from hdbscan.hdbscan_ import _tree_to_labels

    edges = edges.copy()
    edges[edges[:, 2] == 0.0, 2] = edges[edges[:, 2] > 0.0, 2].min()
    linkage = label(edges)
    labels, probability, persistence, condensed, _ = _tree_to_labels(
        None, linkage, min_cluster_size, method, single, False, epsilon, 0.0, 0, np.inf)
    return labels, probability, outlier_scores(condensed), condensed, persistence, linkage


def contrib(x, min_cluster_size, min_samples, method, epsilon, single):
    """hdbscan.HDBSCAN as shipped."""
    import hdbscan

    model = hdbscan.HDBSCAN(
        min_cluster_size=min_cluster_size, min_samples=min_samples, cluster_selection_method=method,
        cluster_selection_epsilon=epsilon, allow_single_cluster=single, approx_min_span_tree=False,
        algorithm="boruvka_kdtree", core_dist_n_jobs=1)
    return model.fit(x.astype(np.float64)).labels_


def add_case(tensors, cases, x, setting):
    """One setting: tensors case{i}.*, and an entry of the list."""
    from sklearn.metrics import adjusted_rand_score

    fixture, size, samples, method, epsilon, single = setting
    edges, core = spanning_tree(x, samples)
    labels, probability, outlier, condensed, persistence, linkage = cluster(edges, size, method, epsilon, single)
    shipped = contrib(x, size, samples, method, epsilon, single)
    name = f"case{len(cases)}"
    tensors.update({
        f"{fixture}.{samples}.core": core, f"{fixture}.{samples}.mst_weight": edges[:, 2],
        f"{name}.label": labels.astype(np.int32),
        f"{name}.probability": probability.astype(np.float32), f"{name}.outlier": outlier.astype(np.float32),
        f"{name}.contrib_label": shipped.astype(np.int32),
        f"{name}.persistence": np.asarray(persistence, dtype=np.float64),
    })
    if len(cases) in (0, 5, 9):
        columns = (condensed["parent"], condensed["child"], condensed["child_size"])
        tensors[f"{name}.condensed"] = np.stack(columns, axis=1).astype(np.int32)
        tensors[f"{name}.condensed_lambda"] = condensed["lambda_val"].astype(np.float64)
        tensors[f"{name}.linkage"] = linkage
    cases.append({
        "fixture": fixture, "min_cluster_size": size, "min_samples": samples, "method": method, "epsilon": epsilon,
        "allow_single_cluster": single, "clusters": int(labels.max() + 1), "noise": int((labels < 0).sum()),
        "mst_total": float(edges[:, 2].sum()), "contrib_clusters": int(shipped.max() + 1),
        "contrib_noise": int((shipped < 0).sum()),
        "contrib_ari": round(float(adjusted_rand_score(labels, shipped)), 4),
    })


def make(folder):
    points = fixtures()
    tensors = {f"{name}.x": x for name, x in points.items()}
    cases = []
    for setting in SETTINGS:
        add_case(tensors, cases, points[setting[0]], setting)
    common.write_tensors(folder / "hdbscan.safetensors", tensors)
    common.write_json(folder / "hdbscan.json", {"cases": cases,
                                                "versions": common.versions("hdbscan", "scikit-learn", "numpy")})
    for case in cases:
        print("hdbscan:", case)
