"""hdbscan_golden - clusters by hdbscan, scikit-learn and fast_hdbscan, with the spanning tree built under a total order.

Ties between equal mutual reachabilities decide results, and all three leave them to chance. So the tree is built here by
Kruskal over all pairs in the order (mutual reachability, smaller core distance, distance, smaller id, larger id), and handed
to each package's own code for everything after it: single linkage, condensing, selection, labels, probabilities, and GLOSH
of hdbscan. The three give the same labels on the same tree, which is asserted. `shipped` says how far the packages, ties
as they fall, are from that. The fixtures of the packages' own tests are among ours: three, noisy, hard, four, line, uniform.
"""

import numpy as np

from . import common

# fixture, min_cluster_size, neighbours of the core distance (the point itself left out: hdbscan's min_samples, scikit-learn's
# less 1), method, epsilon, allow_single_cluster
SETTINGS = [
    ("uniform", 5, 5, "eom", 0.0, False),
    ("uniform", 5, 5, "eom", 0.0, True),
    ("uniform", 5, 5, "eom", 0.2, True),
    ("uniform", 5, 5, "leaf", 0.0, False),
    ("uniform", 5, 3, "leaf", 0.09, False),
    ("uniform", 5, 4, "eom", 0.0, False),
    ("uniform", 5, 4, "eom", 0.0, True),
    ("uniform", 5, 4, "eom", 0.18, True),
    ("blobs", 15, 15, "eom", 0.0, False),
    ("blobs", 4, 3, "leaf", 0.0, False),
    ("blobs", 4, 3, "leaf", 0.5, False),
    ("blobs", 4, 3, "eom", 0.5, False),
    ("twins", 4, 2, "eom", 0.0, False),
    ("three", 5, 5, "eom", 0.0, False),
    ("three", 5, 4, "eom", 0.0, False),
    ("three", 5, 0, "eom", 0.0, False),
    ("three", 10, 10, "leaf", 0.0, False),
    ("three", 201, 5, "eom", 0.0, False),
    ("noisy", 5, 5, "eom", 0.0, False),
    ("noisy", 15, 5, "leaf", 0.0, False),
    ("hard", 5, 5, "eom", 0.0, False),
    ("hard", 5, 4, "eom", 0.0, False),
    ("four", 5, 5, "eom", 0.0, True),
    ("iris", 3, 3, "eom", 0.0, False),
    ("iris", 5, 5, "leaf", 0.0, False),
    ("line", 10, 10, "eom", 0.0, False),
]
TREES = (0, 8, 12, 23)  # cases whose linkage and condensed tree are stored


def fixtures_of_packages():
    """Points and, where they have one, the class of each, of the packages' own tests; iris and line as cuML and fast_hdbscan."""
    from sklearn.datasets import load_iris, make_blobs, make_moons
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import shuffle

    three, classes = shuffle(*make_blobs(n_samples=200, random_state=10), random_state=7)
    pair, _ = make_blobs(n_samples=200, centers=[(-0.75, 2.25), (1.0, 2.0)], cluster_std=0.25, random_state=42)
    moons, _ = make_moons(n_samples=200, noise=0.05, random_state=42)
    hard, hard_class = make_blobs(n_samples=750, centers=[[-0.85, -0.85], [-0.85, 0.85], [3, 3], [3, -3]],
                                  cluster_std=[0.2, 0.35, 1.35, 1.35], random_state=0)
    four, _ = make_blobs(n_samples=50, centers=[(1, 0), (-1, 0), (-1, 1), (1, 1)], cluster_std=0.2, random_state=42)
    line = np.random.RandomState(42)
    points = {"three": StandardScaler().fit_transform(three),
              "noisy": np.vstack([pair, moons, np.random.default_rng(42).uniform(-1.0, 3.0, (50, 2))]),
              "hard": hard, "four": four, "iris": load_iris(return_X_y=True)[0],
              "line": np.concatenate([line.normal(0, 0.1, 50), line.normal(5, 0.1, 50)])[:, None]}
    return {name: x.astype(np.float32) for name, x in points.items()}, {"three": classes, "hard": hard_class}


def fixtures():
    """Our own points as float32 [N, 2]; uniform is that of the packages, too."""
    uniform = np.random.RandomState(0).rand(150, 2)
    rng = np.random.Generator(np.random.PCG64(11))
    centres = rng.uniform(0.0, 10.0, size=(7, 2))
    width = rng.uniform(0.15, 0.6, size=7)
    blobs = [rng.normal(c, w, size=(n, 2)) for c, w, n in zip(centres, width, (60, 55, 50, 40, 35, 30, 25))]
    blobs = np.concatenate(blobs + [rng.uniform(-1.0, 11.0, size=(45, 2))])
    twins = (rng.normal(0.0, 1.0, size=(40, 2)) * 4).round() / 4  # on a grid: duplicates, many equal distances
    twins = np.concatenate([twins, twins[:15], twins[:5] + 6.0, twins[:5] + 6.0, twins[:3] + 6.0])
    return {name: x.astype(np.float32) for name, x in (("uniform", uniform), ("blobs", blobs), ("twins", twins))}


def spanning_tree(x, n_others):
    """Edges (a, b, weight) of the minimum spanning tree of mutual reachability, in the total order; core distances.

    core = distance to the n_others-th other point, 0 for 0.
    """
    n = len(x)
    p = x.astype(np.float64)
    squared = np.zeros((n, n))
    for column in p.T:
        squared += (column[:, None] - column[None, :]) ** 2
    distance = np.sqrt(squared)
    core = np.sort(distance, axis=1)[:, n_others] if n_others > 0 else np.zeros(n)
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


def finite(edges):
    """Equal points would give an infinite lambda and NaN scores: a distance of 0 counts as the smallest that is not 0."""
    edges = edges.copy()
    edges[edges[:, 2] == 0.0, 2] = edges[edges[:, 2] > 0.0, 2].min()
    return edges


def by_hdbscan(edges, min_cluster_size, method, epsilon, single):
    """hdbscan's own steps after the tree: labels, probabilities, outlier scores, condensed tree, persistence, linkage."""
    from hdbscan._hdbscan_linkage import label
    from hdbscan._hdbscan_tree import outlier_scores
    from hdbscan.hdbscan_ import _tree_to_labels

    linkage = label(edges)
    labels, probability, persistence, condensed, _ = _tree_to_labels(
        None, linkage, min_cluster_size, method, single, False, epsilon, 0.0, 0, np.inf)
    return labels, probability, outlier_scores(condensed), condensed, persistence, linkage


def by_sklearn(edges, min_cluster_size, method, epsilon, single):
    """scikit-learn's own steps: labels, probabilities. None where it fails with this numpy: walking up from a leaf to epsilon."""
    from sklearn.cluster._hdbscan._linkage import MST_edge_dtype, make_single_linkage
    from sklearn.cluster._hdbscan._tree import tree_to_labels

    tree = np.zeros(len(edges), dtype=MST_edge_dtype)
    tree["current_node"], tree["next_node"], tree["distance"] = edges.T
    try:
        return tree_to_labels(make_single_linkage(tree), min_cluster_size, method, single, epsilon, None)
    except TypeError:
        return None


def by_fast(edges, min_cluster_size, method, epsilon, single):
    """fast_hdbscan's own steps: labels, probabilities. It sorts by weight and ids: equal weights are set one bit apart."""
    from fast_hdbscan.hdbscan import clusters_from_spanning_tree

    edges = edges.copy()
    for i in range(1, len(edges)):
        edges[i, 2] = max(edges[i, 2], np.nextafter(edges[i - 1, 2], np.inf))
    return clusters_from_spanning_tree(
        edges, min_cluster_size=min_cluster_size, cluster_selection_method=method, cluster_selection_epsilon=epsilon,
        allow_single_cluster=single)[:2]


def same_clusters(a, b):
    """The same points are noise, and a renaming brings one labeling to the other."""
    pairs = set(zip(a.tolist(), b.tolist()))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs}) and all(
        (x < 0) == (y < 0) for x, y in pairs)


def shipped(x, labels, setting):
    """The packages as shipped: adjusted Rand index to `labels`, clusters, noise. None where a package cannot."""
    import fast_hdbscan
    import hdbscan
    import sklearn.cluster
    from sklearn.metrics import adjusted_rand_score

    _, size, others, method, epsilon, single = setting
    same = {"min_cluster_size": size, "cluster_selection_method": method, "cluster_selection_epsilon": epsilon,
            "allow_single_cluster": single}
    models = {"scikit-learn": sklearn.cluster.HDBSCAN(min_samples=others + 1, algorithm="kd_tree", copy=True, **same)}
    if others > 0:
        models["hdbscan"] = hdbscan.HDBSCAN(min_samples=others, algorithm="boruvka_kdtree", approx_min_span_tree=False,
                                            core_dist_n_jobs=1, **same)
    if others != 1:
        models["fast_hdbscan"] = fast_hdbscan.HDBSCAN(min_samples=max(others, 1), reproducible=True, **same)
    found = {}
    for name, model in sorted(models.items()):
        try:
            theirs = model.fit(x.astype(np.float64)).labels_
        except TypeError:
            continue
        found[name] = {"ari": round(float(adjusted_rand_score(labels, theirs)), 4), "clusters": int(theirs.max() + 1),
                       "noise": int((theirs < 0).sum())}
    return found


def add_case(tensors, cases, x, setting):
    """One setting: tensors case{i}.*, and an entry of the list."""
    fixture, size, others, method, epsilon, single = setting
    edges, core = spanning_tree(x, others)
    how = (finite(edges), size, method, epsilon, single)
    labels, probability, outlier, condensed, persistence, linkage = by_hdbscan(*how)
    sklearn, fast = by_sklearn(*how), by_fast(*how)
    apart = {}
    if sklearn is not None:
        apart["scikit-learn"] = float(np.abs(sklearn[1] - probability).max())
        assert same_clusters(labels, sklearn[0]) and apart["scikit-learn"] == 0.0
    apart["fast_hdbscan"] = float(np.abs(fast[1] - probability).max())
    assert same_clusters(labels, fast[0])
    name = f"case{len(cases)}"
    tensors.update({
        f"{fixture}.{others}.core": core, f"{fixture}.{others}.mst_weight": edges[:, 2],
        f"{name}.label": labels.astype(np.int32),
        f"{name}.probability": probability.astype(np.float32), f"{name}.outlier": outlier.astype(np.float32),
        f"{name}.persistence": np.asarray(persistence, dtype=np.float64),
    })
    if len(cases) in TREES:
        columns = (condensed["parent"], condensed["child"], condensed["child_size"])
        tensors[f"{name}.condensed"] = np.stack(columns, axis=1).astype(np.int32)
        tensors[f"{name}.condensed_lambda"] = condensed["lambda_val"].astype(np.float64)
        tensors[f"{name}.linkage"] = linkage
    cases.append({
        "fixture": fixture, "min_cluster_size": size, "n_others": others, "method": method, "epsilon": epsilon,
        "allow_single_cluster": single, "clusters": int(labels.max() + 1), "noise": int((labels < 0).sum()),
        "mst_total": float(edges[:, 2].sum()), "probability_apart": apart, "shipped": shipped(x, labels, setting),
    })


def make(folder):
    from sklearn.metrics import fowlkes_mallows_score

    points, classes = fixtures_of_packages()
    points = {**fixtures(), **points}
    tensors = {f"{name}.x": x for name, x in points.items()}
    cases = []
    for setting in SETTINGS:
        add_case(tensors, cases, points[setting[0]], setting)
        truth = classes.get(setting[0])
        if truth is not None:
            labels = tensors[f"case{len(cases) - 1}.label"]
            cases[-1]["fowlkes_mallows"] = round(float(fowlkes_mallows_score(truth, labels)), 4)
    common.write_tensors(folder / "hdbscan.safetensors", common.narrow(tensors))
    common.write_json(folder / "hdbscan.json", {
        "cases": cases, "versions": common.versions("hdbscan", "scikit-learn", "fast_hdbscan", "numpy")})
    for case in cases:
        print("hdbscan:", case)
