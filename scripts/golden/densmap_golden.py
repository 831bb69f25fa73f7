"""densmap_golden - densMAP by umap-learn: local radii, the descent from a given start, how far densities are kept."""

import numpy as np
import scipy.sparse

from . import common
from .map_golden import SEEDS, euclidean, pruned_graph, scaled, spectral
from .umap_golden import K, LAYOUT_STATE, nearest

EPOCHS = 500
FEW, FEW_FRACTION, FEW_RATE = 16, 0.3, 0.01  # epochs of the descent that is compared move by move; small moves: rounding grows
HOW = {"lambda": 2.0, "frac": 0.3, "var_shift": 0.1}


def list_radii(distance):
    """Local radii [N] from the lists of the K nearest alone: gm_density_kept's definition, by umap-learn's scales."""
    from umap.umap_ import smooth_knn_dist

    near = nearest(distance, K)[1].astype(np.float32)
    sigma, rho = smooth_knn_dist(near, float(K))
    d = near[:, 1:].astype(np.float64)
    over = np.maximum(d - rho[:, None], 0.0)
    weight = np.where(over > 0, np.exp(-over / sigma[:, None]), 1.0)
    return np.log(1e-8 + (weight * d * d).sum(1) / weight.sum(1))


def correlation(distance, xy):
    return float(np.corrcoef(list_radii(distance), list_radii(euclidean(xy)))[0, 1])


def graph_radii(x, distance):
    """umap-learn's local radii over the same graph."""
    from umap.umap_ import simplicial_set_embedding

    graph = pruned_graph(x, distance, K, EPOCHS).tocoo()
    dists = scipy.sparse.coo_matrix((distance[graph.row, graph.col].astype(np.float32), (graph.row, graph.col)),
                                    shape=graph.shape).todok()
    random = np.random.RandomState(1)
    _, found = simplicial_set_embedding(x, graph, 2, 1.0, 1.5769, 0.8951, 1.0, 5, 0, "random", random, "euclidean", {},
                                        False, {"graph_dists": dists, "n_neighbors": K}, True, parallel=False)
    return found["rad_orig"]


def descend(x, distance, start, radius, epochs, rate, state, how):
    """umap-learn's serial descent with densMAP's term."""
    from umap.layouts import optimize_layout_euclidean
    from umap.umap_ import find_ab_params

    edges = pruned_graph(x, distance, K, EPOCHS).tocoo()
    a, b = find_ab_params(1.0, 0.1)
    mu_sum = np.zeros(len(x), dtype=np.float32)
    np.add.at(mu_sum, edges.row, edges.data)
    np.add.at(mu_sum, edges.col, edges.data)
    kwds = dict(how, mu=edges.data, mu_sum=mu_sum, R=((radius - radius.mean()) / radius.std()).astype(np.float32))
    every = edges.data.max().astype(np.float64) / edges.data.astype(np.float64)
    xy = start.copy()
    return optimize_layout_euclidean(xy, xy, edges.row, edges.col, epochs, len(x), every, a, b, state, 1.0, rate, 5,
                                     parallel=False, move_other=True, densmap=True, densmap_kwds=kwds)


def make(folder):
    from sklearn.datasets import load_iris
    from sklearn.manifold import trustworthiness

    iris = load_iris(return_X_y=True)[0].astype(np.float32)
    distance = euclidean(iris)
    radius = graph_radii(iris, distance)
    start = scaled(spectral(pruned_graph(iris, distance, K, EPOCHS), iris, "euclidean"))
    part, apart = iris[50:], distance[50:, 50:]  # one connected part: rounding grows slowly
    few_start = scaled(spectral(pruned_graph(part, apart, K, EPOCHS), part, "euclidean"))
    few = descend(part, apart, few_start, graph_radii(part, apart), FEW, FEW_RATE,
                  np.array(LAYOUT_STATE, dtype=np.int64), dict(HOW, frac=FEW_FRACTION))
    tensors = {"radius": radius.astype(np.float64), "start": start, "few_start": few_start,
               "few_weight": pruned_graph(part, apart, K, EPOCHS).tocoo().data.astype(np.float32),
               "few": np.array(few, dtype=np.float32)}
    info = {"versions": common.versions("umap-learn", "scikit-learn", "numba", "numpy", "scipy"), "epochs": EPOCHS,
            "few": FEW, "few_fraction": FEW_FRACTION, "learning_rate": FEW_RATE, "densmap": [], "plain": []}
    for name, how in (("densmap", HOW), ("plain", dict(HOW, **{"lambda": 0.0}))):
        for seed in SEEDS:
            state = np.random.RandomState(seed).randint(-(2**31) + 1, 2**31 - 1, 3).astype(np.int64)
            xy = descend(iris, distance, start, radius, EPOCHS, 1.0, state, how)
            info[name].append({"trustworthiness": round(float(trustworthiness(iris, xy, n_neighbors=K)), 4),
                               "density": round(correlation(distance, xy), 4)})
    common.write_tensors(folder / "densmap.safetensors", common.narrow(tensors))
    common.write_json(folder / "densmap.json", info)
    print("densmap:", {key: info[key] for key in ("densmap", "plain")})
