"""umap_golden - the steps of UMAP by umap-learn itself: neighbours, smooth distances, graph, curve, spectral start."""

import numpy as np
import scipy.sparse

from . import common

K = 15
CURVES = [(0.0, 1.0), (0.001, 1.0), (0.01, 1.0), (0.1, 1.0), (0.25, 1.0), (0.5, 1.0), (0.8, 1.0), (0.99, 1.0),
          (0.1, 0.5), (0.5, 1.5)]
LAYOUT_EPOCHS, LAYOUT_RATE = 16, 0.02  # a small rate: at 1.0 rounding grows ten thousandfold an epoch
LAYOUT_STATE = (-55161211, -676559912, 4981580)  # the three numbers gm_layout_reference draws for seed 42
TAU_STATES = [(42, 43, 44), (-42, 1000, -7)]


def usage_counts():
    """Counts [60, 3, 8] of 60 documents of 40 to 99 tokens, 2 of 8 experts each, from four topics; topic [60]."""
    rng = np.random.Generator(np.random.PCG64(7))
    layers, experts, chosen = 3, 8, 2
    taste = rng.normal(0.0, 0.5, size=(4, layers, experts))
    topic = rng.integers(0, 4, size=60).astype(np.int32)
    counts = np.zeros((60, layers, experts), dtype=np.int32)
    for i in range(60):
        for _ in range(int(rng.integers(40, 100))):
            noisy = taste[topic[i]] + rng.gumbel(size=(layers, experts))
            for layer in range(layers):
                counts[i, layer, np.argsort(-noisy[layer])[:chosen]] += 1
    counts[59] = counts[17]  # two documents at distance 0
    topic[59] = topic[17]
    return counts, topic


def hellinger(u):
    """Distances of the rows of u (non-negative) in double; by differences, so that equal rows are at exactly 0."""
    root = np.sqrt(u / u.sum(axis=1, keepdims=True))
    return np.sqrt(0.5 * ((root[:, None] - root[None]) ** 2).sum(axis=-1))


def nearest(distance, k):
    """k nearest of every row, itself first, ties to the lower index."""
    d = distance.copy()
    np.fill_diagonal(d, -1.0)
    index = np.argsort(d, axis=1, kind="stable")[:, :k]
    np.fill_diagonal(d, 0.0)
    return index.astype(np.int32), np.take_along_axis(d, index, axis=1)


def sign_rule(vectors):
    """Each column's largest-magnitude entry (the first of equals) made positive."""
    for column in vectors.T:
        if column[np.argmax(np.abs(column))] < 0:
            column *= -1.0
    return vectors


def laplacian_vectors(graph, dim):
    """The dim eigenvectors after the trivial one of I - D^-1/2 A D^-1/2, dense and in double; and eigenvalues."""
    a = graph.toarray().astype(np.float64)
    root = np.sqrt(a.sum(axis=0))
    values, vectors = np.linalg.eigh(np.eye(len(a)) - a / root[:, None] / root[None, :])
    return values[: dim + 2], sign_rule(vectors[:, 1 : dim + 1])


def graph_steps(x, index, distance, k, epochs=500):
    """sigma, rho, fuzzy union in COO (row-major), and the graph pruned for so many epochs, from float32 distances."""
    from umap.umap_ import fuzzy_simplicial_set

    graph, sigma, rho = fuzzy_simplicial_set(
        x, k, np.random.RandomState(0), "euclidean", knn_indices=index, knn_dists=distance.astype(np.float32))
    graph = scipy.sparse.csr_matrix(graph)
    graph.sort_indices()
    pruned = graph.copy()
    pruned.data[pruned.data < pruned.data.max() / epochs] = 0.0
    pruned.eliminate_zeros()
    return sigma, rho, graph.tocoo(), pruned


def fixture(tensors, name, x, distance, k, spectral):
    """Adds the steps for one data set; spectral only where the graph is in one piece."""
    index, near = nearest(distance, k)
    sigma, rho, graph, pruned = graph_steps(x, index, near, k)
    tensors.update({
        f"{name}.knn_index": index, f"{name}.knn_distance": near.astype(np.float32), f"{name}.sigma": sigma,
        f"{name}.rho": rho, f"{name}.graph_row": graph.row.astype(np.int32),
        f"{name}.graph_col": graph.col.astype(np.int32), f"{name}.graph_weight": graph.data.astype(np.float32),
    })
    components = scipy.sparse.csgraph.connected_components(pruned)[0]
    assert (components == 1) == spectral
    info = {"pruned_entries": int(pruned.nnz), "components": int(components)}
    if spectral:
        from umap.spectral import spectral_layout

        values, vectors = laplacian_vectors(pruned, 2)
        theirs = sign_rule(spectral_layout(x, pruned, 2, np.random.RandomState(0)).astype(np.float64))
        info["spectral_against_umap"] = float(np.abs(theirs - vectors).max())
        assert info["spectral_against_umap"] < 1e-3
        tensors[f"{name}.eigenvalue"] = values
        tensors[f"{name}.eigenvector"] = vectors.astype(np.float32)
    return info


def layout(tensors, info, name):
    """umap-learn's own descent, serial, from a start of its spectral kind, over the graph pruned for 500 epochs."""
    from umap.layouts import optimize_layout_euclidean
    from umap.umap_ import find_ab_params

    weight = tensors[f"{name}.graph_weight"]
    keep = weight >= weight.max() / 500.0
    head, tail = tensors[f"{name}.graph_row"][keep], tensors[f"{name}.graph_col"][keep]
    every = (weight[keep].max() / weight[keep]).astype(np.float64)
    start = tensors[f"{name}.eigenvector"].astype(np.float64)
    start = (10.0 * (start - start.min(0)) / (start.max(0) - start.min(0))).astype(np.float32)
    a, b = find_ab_params(1.0, 0.1)
    moved = start.copy()
    moved = optimize_layout_euclidean(
        moved, moved, head, tail, LAYOUT_EPOCHS, len(start), every, a, b, np.array(LAYOUT_STATE, dtype=np.int64),
        1.0, LAYOUT_RATE, 5, parallel=False, move_other=True)
    tensors[f"{name}.layout_start"] = start
    tensors[f"{name}.layout"] = np.array(moved, dtype=np.float32)
    info["layout"] = {"of": name, "a": float(a), "b": float(b), "epochs": LAYOUT_EPOCHS, "seed": 42,
                      "state": list(LAYOUT_STATE), "learning_rate": LAYOUT_RATE, "repulsion": 1.0, "negative_rate": 5}


def quality(x, seeds=(42, 43, 44)):
    """Trustworthiness (k = 15) of umap-learn's own layouts: what ours must come near to."""
    import umap
    from sklearn.manifold import trustworthiness

    values = []
    for seed in seeds:
        y = umap.UMAP(n_neighbors=K, min_dist=0.1, random_state=seed, n_jobs=1).fit_transform(x)
        values.append(round(float(trustworthiness(x, y, n_neighbors=K)), 4))
    return values


def concentration(counts, topic):
    """Rates, lift and clipped log-ratio per topic, as cluster/profile.h defines them."""
    n, layers, experts = counts.shape
    u = counts.reshape(n, -1) / counts.reshape(n, -1).sum(axis=1, keepdims=True)
    e = 0.05 / (layers * experts)
    p = u.mean(axis=0)
    rate = np.stack([u[topic == c].mean(axis=0) for c in range(topic.max() + 1)])
    lift = (rate + e) / (p + e)
    shape = (-1, layers, experts)
    return {"usage.u": u, "usage.rate": p.reshape(layers, experts), "usage.cluster_rate": rate.reshape(shape),
            "usage.lift": lift.reshape(shape), "usage.logratio": np.clip(np.log(lift), -2.0, 2.0).reshape(shape)}


def smooth_iris_rows(iris):
    """sigma and rho of the first ten rows of iris among themselves, k = 4 and 8 (the vectors of uwot's tests)."""
    from umap.umap_ import smooth_knn_dist

    x = iris[:10].astype(np.float64)
    distance = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    results = []
    for k in (4, 8):
        sigma, rho = smooth_knn_dist(nearest(distance, k)[1].astype(np.float32), float(k))
        results.append({"k": k, "sigma": [float(s) for s in sigma], "rho": [float(r) for r in rho]})
    return results


def tau_vectors():
    """First eight numbers of umap's generator for two states."""
    from umap.utils import tau_rand_int

    results = []
    for state in TAU_STATES:
        s = np.array(state, dtype=np.int64)
        results.append({"state": list(state), "values": [int(tau_rand_int(s)) for _ in range(8)]})
    return results


def make(folder):
    from sklearn.datasets import load_iris
    from umap.umap_ import find_ab_params

    iris, species = load_iris(return_X_y=True)
    iris = iris.astype(np.float32)
    euclid = np.sqrt(((iris[:, None].astype(np.float64) - iris[None].astype(np.float64)) ** 2).sum(-1))
    counts, topic = usage_counts()
    tensors = {"iris.x": iris, "iris.species": species.astype(np.int32), "usage.counts": counts, "usage.topic": topic}
    tensors.update(concentration(counts, topic))
    info = {"versions": common.versions("umap-learn", "scikit-learn", "numba", "numpy", "scipy"), "k": K}
    info["iris"] = fixture(tensors, "iris", iris, euclid, K, False)
    info["iris100"] = fixture(tensors, "iris100", iris[50:], euclid[50:, 50:], K, True)
    u = tensors["usage.u"]
    info["usage"] = fixture(tensors, "usage", u.astype(np.float32), hellinger(u), K, True)
    layout(tensors, info, "iris100")
    info["iris"]["trustworthiness_of_umap"] = quality(iris)
    info["curve"] = []
    for min_dist, spread in CURVES:
        a, b = find_ab_params(spread, min_dist)
        info["curve"].append({"min_dist": min_dist, "spread": spread, "a": float(a), "b": float(b)})
    info["smooth_iris_first_10"] = smooth_iris_rows(iris)
    info["tau_rand_int"] = tau_vectors()
    common.write_tensors(folder / "umap.safetensors", common.narrow(tensors))
    common.write_json(folder / "umap.json", info)
    print(f"umap: iris trustworthiness {info['iris']['trustworthiness_of_umap']}, "
          f"spectral {info['iris100']['spectral_against_umap']:.1g} {info['usage']['spectral_against_umap']:.1g}")
