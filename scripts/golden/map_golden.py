"""map_golden - whole maps by umap-learn: where the descent starts, and how true the layout from there is."""

import numpy as np
import scipy.sparse.csgraph

from . import common
from .umap_golden import K, graph_steps, hellinger, nearest, usage_counts

SEEDS = (1, 2, 3)


def topics():
    """Usage vectors [120, 12] of six topics that share little, f32: the graph falls into six parts, centres at .5 to .8."""
    rng = np.random.Generator(np.random.PCG64(20))
    taste = rng.dirichlet(np.full(12, 0.4), size=6)
    counts = np.stack([rng.multinomial(4000, taste[i % 6]) for i in range(120)]).astype(np.float64)
    return (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)


def euclidean(x):
    return np.sqrt(((x[:, None].astype(np.float64) - x[None].astype(np.float64)) ** 2).sum(-1))


def pruned_graph(x, distance, k, epochs=500):
    index, near = nearest(distance, k)
    return graph_steps(x, index, near, k, epochs)[3]


def spectral(graph, x, metric):
    """umap-learn's start before it is scaled and noise is added."""
    from umap.spectral import spectral_layout

    return spectral_layout(x, graph, 2, np.random.RandomState(0), metric=metric).astype(np.float64)


def add_start(tensors, info, name, x, distance, metric, k):
    graph = pruned_graph(x, distance, k)
    n_parts, part = scipy.sparse.csgraph.connected_components(graph)
    start = spectral(graph, x, metric)
    # umap-learn makes a part a point where rounding puts its place 1e-8 away from itself: no such part here.
    assert all(start[part == c].std(axis=0).min() > 1e-3 for c in range(n_parts))
    tensors[f"{name}.spectral"] = start
    info[name] = {"k": k, "components": int(n_parts)}


def scaled(start):
    """Largest coordinate 10, a little noise, each axis to [0,10]: what simplicial_set_embedding does to a start."""
    start = (start * (10.0 / np.abs(start).max())).astype(np.float32)
    start += np.random.RandomState(0).normal(scale=0.0001, size=start.shape).astype(np.float32)
    return (10.0 * (start - start.min(0)) / (start.max(0) - start.min(0))).astype(np.float32)


def kept(index, xy):
    """Share of the K nearest others that are among the K nearest others on the map, too."""
    on_map = nearest(euclidean(xy), K + 1)[0]
    return float(np.mean([len(set(a[1:]) & set(b[1:])) / K for a, b in zip(index, on_map)]))


def add_layout(tensors, info, name, x, distance, epochs):
    """umap-learn's serial descent from one start with several states of its generator: trustworthiness, neighbours kept."""
    from sklearn.manifold import trustworthiness
    from umap.layouts import optimize_layout_euclidean
    from umap.umap_ import find_ab_params

    graph = pruned_graph(x, distance, K, epochs)
    index = nearest(distance, K + 1)[0]
    edges = graph.tocoo()
    start = scaled(spectral(graph, x, "euclidean"))
    a, b = find_ab_params(1.0, 0.1)
    every = (edges.data.max() / edges.data).astype(np.float64)
    result = {"epochs": epochs, "trustworthiness": [], "kept": []}
    for seed in SEEDS:
        xy = start.copy()
        state = np.random.RandomState(seed).randint(np.iinfo(np.int32).min + 1, np.iinfo(np.int32).max - 1, 3).astype(np.int64)
        xy = optimize_layout_euclidean(xy, xy, edges.row, edges.col, epochs, len(x), every, a, b, state, 1.0, 1.0, 5,
                                       parallel=False, move_other=True)
        result["trustworthiness"].append(round(float(trustworthiness(x, xy, n_neighbors=K)), 4))
        result["kept"].append(round(kept(index, xy), 4))
    tensors[f"{name}.start"] = start
    info[name + "_layout"] = result


def disconnected(tensors, n_isolated):
    """umap-learn's own test: ten rows of 0 and 1, and rows that share nothing with anybody; who has no edge."""
    import umap

    rows = (np.random.RandomState(5).rand(10, 20) < 0.34).astype(np.float32)
    x = np.zeros((10 + n_isolated, 20 + n_isolated), dtype=np.float32)
    x[:10, :20] = rows
    x[np.arange(10, 10 + n_isolated), np.arange(20, 20 + n_isolated)] = 1
    model = umap.UMAP(n_neighbors=3, metric="hellinger", transform_mode="graph", random_state=1, n_jobs=1).fit(x)
    tensors[f"disconnected{n_isolated}.x"] = x
    tensors[f"disconnected{n_isolated}.alone"] = umap.utils.disconnected_vertices(model).astype(np.int32)


def make(folder):
    from sklearn.datasets import load_digits, load_iris

    iris = load_iris(return_X_y=True)[0].astype(np.float32)
    digits = load_digits(return_X_y=True)[0][::2].astype(np.float32)
    counts, _ = usage_counts()
    usage = counts.reshape(len(counts), -1) / counts.reshape(len(counts), -1).sum(axis=1, keepdims=True)
    mixed = topics()
    tensors = {"digits.x": digits.astype(np.uint8), "topics.x": mixed}
    info = {"versions": common.versions("umap-learn", "scikit-learn", "numba", "numpy", "scipy")}
    add_start(tensors, info, "iris", iris, euclidean(iris), "euclidean", K)
    add_start(tensors, info, "iris100", iris[50:], euclidean(iris[50:]), "euclidean", K)
    add_start(tensors, info, "usage", usage.astype(np.float32), hellinger(usage), "hellinger", K)
    add_start(tensors, info, "topics", mixed, hellinger(mixed.astype(np.float64)), "hellinger", 10)
    add_layout(tensors, info, "iris", iris, euclidean(iris), 500)
    add_layout(tensors, info, "digits", digits, euclidean(digits), 500)
    for n_isolated in (1, 5):
        disconnected(tensors, n_isolated)
    common.write_tensors(folder / "map.safetensors", common.narrow(tensors))
    common.write_json(folder / "map.json", info)
    print("map:", {key: value for key, value in info.items() if key != "versions"})
