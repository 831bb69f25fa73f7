#!/usr/bin/env python3
"""live_atlas - what gm-cluster fit stores in an atlas, computed again from the trace by numpy and the usual libraries.

    live_atlas.py BUILD [TRACE]    BUILD: a build folder with the programs

TRACE: default a synthetic one, and a small one of the demo model, both made here. Each is fitted with --quality full, by counts under
Hellinger, by gates under the Euclidean metric, and by counts under cosine. From the trace, the map and the labels: usage vectors, their
means over clusters, subsets, halves; lift and important experts; keywords (scikit-learn's TfidfVectorizer); agreement with the subsets (scikit-learn);
trustworthiness and continuity, neighbours kept, purity of neighbourhoods (exact distances of all pairs); the neighbour graph
(umap-learn); DBCV (hdbscan); coherence, lengths (SciPy), split halves, examples, the control by tokens. Exit 3 when a bound does
not hold.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import synthetic_trace  # noqa: E402
from golden.live_stats import make_trace  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402
from golden.words import words  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SINGLE, ROUNDED = 2e-6, 1.1e-6  # of f32, relative to the largest; figures have six decimals
GRAPH = 1e-4  # of memberships: umap-learn stops within 1e-5 of its sum, in f32
TEMPLATE, MOST_PLACES = 2, 8192
WAYS = {"counts, hellinger": ["--no-stems"], "counts, cosine": ["--metric", "cosine", "--no-stems"],
        "gates, euclidean": ["--usage", "gates", "--metric", "euclidean", "--no-stems"]}


class Trace:
    def __init__(self, path):
        import h5py

        with h5py.File(path) as file:
            self.counts = file["samples/counts"][...].astype(float)
            self.subset = file["samples/subset"][...].astype(int)
            self.sha = np.array([int(s[:2], 16) for s in file["samples/sha"][...]])
            self.length = file["samples/n_tokens"][...]
            self.chosen = None
            if "routing/gate" in file:
                self.chosen = file["routing/expert_id"][...].astype(int), file["routing/gate"][...].astype(np.float32)
            self.token = self.phase = None
            if "tokens/token_id" in file:
                self.token, self.phase = file["tokens/token_id"][...], file["tokens/phase"][...]
            self.offset = file["samples/offset"][...].astype(int)
            self.text = None
            if "text/bytes" in file:
                data, at = file["text/bytes"][...].tobytes(), file["text/offset"][...].astype(int)
                self.text = [data[a:b].decode() for a, b in zip(at, at[1:])]

    def usage(self, kind):
        """(N,D), each row's sum 1."""
        total = self.counts
        if kind == "gates":
            expert, gate = self.chosen
            n, layers, experts = total.shape
            total = np.zeros((n, layers, experts), np.float32)  # as ours are summed, token by token
            document = np.repeat(np.arange(n), np.diff(self.offset))
            fine = (self.phase != TEMPLATE)[:, None, None] & (expert < experts)
            t, layer, k = np.nonzero(fine)
            np.add.at(total, (document[t], layer, expert[t, layer, k]), gate[t, layer, k])
        flat = total.reshape(len(total), -1).astype(float)
        return flat / np.maximum(flat.sum(axis=1, keepdims=True), 1e-300)


class Atlas:
    def __init__(self, path):
        import h5py

        with h5py.File(path) as file:
            self.quality, self.parameters = (json.loads(file[n].attrs["json"]) for n in ("quality", "parameters"))
            self.at = {name: file[name][...] for group in ("samples", "clusters", "corpus", "graph") for name in
                       (f"{group}/{key}" for key in file[group])}
            self.n_chosen = int(file.attrs["n_chosen"])

    def __getitem__(self, name):
        return self.at[name]


class Judge:
    """Remembers how far apart two values were."""

    def __init__(self, title):
        self.title, self.failed = title, []
        print(title)

    def near(self, what, ours, theirs, bound, scale=1.0):
        ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
        both = np.isnan(ours) & np.isnan(theirs)
        apart = float(np.max(np.where(both, 0, np.abs(ours - theirs)), initial=0)) / scale
        fine = apart <= bound
        print(f"  {'ok' if fine else 'FAILED':6} {what}: {apart:.2g} apart (bound {bound:g})")
        if not fine:
            self.failed.append(what)

    def same(self, what, ours, theirs):
        self.near(what, 0, np.sum(np.asarray(ours) != np.asarray(theirs)), 0)


def mean_of(u, rows):
    return u[rows].mean(axis=0) if np.any(rows) else np.zeros(u.shape[1])


# ---- what clusters use ----

def check_usage(judge, atlas, trace, u):
    label, odd = atlas["samples/cluster"], trace.sha & 1
    n_clusters, n_subsets = len(atlas["clusters/size"]), len(atlas["corpus/subset_usage"])
    corpus, dim = u.mean(axis=0), u.shape[1]
    of = lambda group, n: np.array([mean_of(u, group == g) for g in range(n)])  # noqa: E731
    halves = np.array([[mean_of(u, (label == c) & (odd == h)) for h in (0, 1)] for c in range(n_clusters)])
    means, scale = of(label, n_clusters), corpus.max()
    flat = lambda name: atlas[name].reshape(*atlas[name].shape[:-2], dim)  # noqa: E731
    judge.near("mean usage of clusters", flat("clusters/usage"), means, SINGLE, scale)
    judge.near("of their halves", flat("clusters/usage_half"), halves, SINGLE, scale)
    judge.near("of the corpus", flat("corpus/usage"), corpus, SINGLE, scale)
    judge.near("of subsets", flat("corpus/subset_usage"), of(trace.subset, n_subsets), SINGLE, scale)
    lift = lambda rate: (rate + 0.05 / dim) / (corpus + 0.05 / dim)  # noqa: E731
    judge.near("lift", flat("clusters/lift"), lift(means), SINGLE, lift(means).max())
    important = np.zeros(atlas["clusters/important"].shape, bool)
    strong = (lift(halves) >= 1.25).all(axis=1).reshape(important.shape)
    by_layer = lift(means).reshape(important.shape)
    for c, layer in np.ndindex(important.shape[:2]):
        best = [e for e in np.argsort(-by_layer[c, layer], kind="stable") if strong[c, layer, e]]
        important[c, layer, best[:atlas.n_chosen]] = True
    judge.same("important experts", atlas["clusters/important"].astype(bool), important)
    judge.same("documents of each cluster by subset", atlas["clusters/subset_count"],
               [[np.sum((label == c) & (trace.subset == s)) for s in range(n_subsets)] for c in range(n_clusters)])
    apart = halves - corpus
    judge.near("split-half correlation", atlas.quality["split_half_correlation"],
               [np.corrcoef(a, b)[0, 1] for a, b in apart], ROUNDED)


# ---- words ----

def stop_words():
    """Those of text/stop_words.c, by the names of its lists."""
    source = (SOURCE / "text" / "stop_words.c").read_text(encoding="utf-8")
    found = re.findall(r"static const char (\w+)\[\] =((?:\s+\"[^\"]*\")+);", source)
    return [w for _, body in found for w in "".join(re.findall(r'"([^"]*)"', body)).split()]


def check_words(judge, atlas, trace):
    from sklearn.feature_extraction.text import TfidfVectorizer

    label, n_clusters = atlas["samples/cluster"], len(atlas["clusters/size"])
    fold = lambda text: text.lower().replace("ё", "е")  # noqa: E731
    stop = sorted({fold(w) for w in stop_words()} | set(stop_words()))
    vectors = TfidfVectorizer(stop_words=stop, min_df=2, preprocessor=fold, tokenizer=words, token_pattern=None)
    rows = vectors.fit_transform(trace.text)
    terms = vectors.get_feature_names_out()
    ours = np.char.decode(atlas["clusters/keywords"], "utf-8")
    score = np.array([np.asarray(rows[label == c].mean(axis=0)).ravel() for c in range(n_clusters)])
    best = np.sort(score, axis=1)[:, ::-1][:, :10]
    place = {w: i for i, w in enumerate(terms)}
    judge.near("scores of the ten best words", atlas["clusters/keyword_score"], best, SINGLE)
    judge.near("scores of the keywords themselves", atlas["clusters/keyword_score"],
               [[score[c, place[w]] if w else 0 for w in row] for c, row in enumerate(ours)], SINGLE)
    there = (rows > 0).toarray() if rows.shape[0] < 3000 else None
    coherence = []
    for row in ours:
        at = [place[w] for w in row if w]
        has = there[:, at] if there is not None else (rows[:, at] > 0).toarray()
        p = has.T.astype(float) @ has / len(has)
        pairs = [(-1 if p[i, j] == 0 else 0 if p[i, j] == 1 else np.log(p[i, j] / (p[i, i] * p[j, j])) / -np.log(p[i, j]))
                 for i in range(len(at)) for j in range(i + 1, len(at))]
        coherence.append(np.mean(pairs) if pairs else np.nan)
    judge.near("coherence of keywords", atlas["clusters/coherence"], coherence, SINGLE)
    all_words = [w for row in ours for w in row if w]
    judge.near("their diversity", atlas.quality["diversity"], len(set(all_words)) / len(all_words), ROUNDED)


# ---- figures ----

def check_export(judge, binary, atlas_path, path, u):
    """X of AnnData is what the atlas was made of."""
    import h5py

    out = atlas_path.with_suffix(".h5ad")
    subprocess.run([binary, "export", atlas_path, "-o", out, "--usage", "--trace", path, "--force"], check=True, stdout=subprocess.DEVNULL)
    with h5py.File(out) as file:
        judge.near("usage vectors that export gives", file["X"][...], u, SINGLE, u.max())


def check_labels(judge, atlas, trace):
    from scipy.stats import spearmanr
    from sklearn import metrics

    label, truth, q = atlas["samples/cluster"], trace.subset, atlas.quality
    theirs = {"ari": metrics.adjusted_rand_score, "ami": metrics.adjusted_mutual_info_score,
              "nmi": metrics.normalized_mutual_info_score, "homogeneity": metrics.homogeneity_score,
              "completeness": metrics.completeness_score}
    for name, of in theirs.items():
        judge.near(name, q[name], of(truth, label), ROUNDED)
    table = metrics.cluster.contingency_matrix(label[label >= 0], truth[label >= 0])
    judge.near("purity", q["purity"], table.max(axis=1).sum() / table.sum(), ROUNDED)
    judge.near("length and noise", q["length_noise"] or np.nan, spearmanr(trace.length, label < 0)[0] if np.any(label < 0) else np.nan, ROUNDED)


def distances(u, metric):
    from scipy.spatial.distance import cdist

    if metric == "hellinger":
        return cdist(np.sqrt(u), np.sqrt(u)) / np.sqrt(2)
    return cdist(u, u, metric)


def check_map(judge, atlas, trace, u):
    from hdbscan.validity import validity_index
    from sklearn.manifold import trustworthiness
    from umap.umap_ import fuzzy_simplicial_set

    q, k, n = atlas.quality, atlas.quality["map_neighbours"], len(u)
    first = atlas["samples/first"]
    if not np.array_equal(first, np.arange(n)):  # copies are one point: figures are of points
        print("  some documents are alike; the map's figures are left out")
        return
    far = distances(u, atlas.parameters["metric"])
    np.fill_diagonal(far, 0)
    xy = atlas["samples/xy"].astype(float)
    judge.near("trustworthiness", q["trustworthiness"], trustworthiness(far, xy, n_neighbors=k, metric="precomputed"), 2e-6)
    on_map = distances(xy, "euclidean")
    judge.near("continuity", q["continuity"], continuity(far, on_map, k), 2e-6)
    near, shown = (np.argsort(d + np.diag(np.full(n, -1.0)), axis=1, kind="stable")[:, 1:k + 1] for d in (far, on_map))
    judge.near("neighbours kept", q["neighbours_kept"], np.mean([len(set(a) & set(b)) / k for a, b in zip(near, shown)]), 2e-5)
    own = atlas.parameters["n_neighbors"] - 1
    judge.near("purity of neighbourhoods", q["neighbour_purity"], np.mean(trace.subset[near[:, :own]] == trace.subset[:, None]), 2e-5)
    share = np.bincount(trace.subset) / n
    judge.near("by chance", q["neighbour_purity_chance"], np.sum(share ** 2), ROUNDED)
    lists = np.concatenate([np.arange(n)[:, None], near[:, :own]], axis=1)
    graph = fuzzy_simplicial_set(u, own + 1, np.random.RandomState(0), "precomputed", knn_indices=lists,
                                 knn_dists=np.take_along_axis(far, lists, axis=1).astype(np.float32))[0].tocsr()
    graph.data[graph.data < graph.data.max() / atlas.parameters["epochs"]] = 0
    graph.eliminate_zeros()
    from scipy.sparse import csr_matrix

    ours = csr_matrix((atlas["graph/weight"], atlas["graph/indices"], atlas["graph/indptr"]), shape=(n, n))
    judge.near("memberships of the graph", 0, abs(ours - graph).max(), GRAPH)
    label = atlas["samples/cluster"]
    if label.max() > 0:
        order = canonical(u)  # ties in its tree go to the earlier point
        whole, each = validity_index(xy[order], label[order].astype(np.intp), per_cluster_scores=True)
        judge.near("DBCV", q["dbcv"], whole, ROUNDED)
        judge.near("DBCV of each cluster", atlas["clusters/validity"], each, 1e-5)


def canonical(u):
    """Documents, no two alike, by the SHA-256 of their usage vectors."""
    return sorted(range(len(u)), key=lambda i: hashlib.sha256(u[i].astype("<f4").tobytes()).digest())


def continuity(far, on_map, k):
    """Trustworthiness with the sides exchanged."""
    n = len(far)
    rank = np.argsort(np.argsort(on_map + np.diag(np.full(n, -1.0)), axis=1, kind="stable"), axis=1, kind="stable")
    near = np.argsort(far + np.diag(np.full(n, -1.0)), axis=1, kind="stable")[:, 1:k + 1]
    beyond = np.take_along_axis(rank, near, axis=1) - k
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * beyond[beyond > 0].sum()


def check_examples(judge, atlas, u):
    """Members by their distance from the mean: those that are named are as near, or as far, as any."""
    label, metric = atlas["samples/cluster"], atlas.parameters["metric"]
    worst = 0.0
    for c in range(len(atlas["clusters/size"])):
        members = np.nonzero(label == c)[0]
        far = distances(np.vstack([u[members], u[members].mean(axis=0)]), metric)[-1, :-1]
        of = dict(zip(members, far))
        for name, order in (("representative", far), ("outlying", -far)):
            named = [d for d in atlas[f"clusters/{name}"][c] if d != 0xFFFFFFFF]
            sign = 1 if name == "representative" else -1
            worst = max(worst, np.max(np.abs(np.sort(order)[:len(named)] - sign * np.array([of[d] for d in named]))) / far.max())
    judge.near("distances of examples from the mean", worst, 0, 1e-5)


def check_control(judge, atlas, trace, u):
    control = atlas.quality["control"]
    if not control or control["basis"] != "tokens" or control["documents"] != len(u):
        print("  the control is not of all documents by tokens; left out")
        return
    from sklearn import metrics

    kept = trace.phase != TEMPLATE
    document = np.repeat(np.arange(len(u)), np.diff(trace.offset))
    total = np.bincount(trace.token[kept])
    order = np.lexsort((np.arange(len(total)), -total))
    place = np.zeros(len(total), int)
    place[order] = np.arange(len(total)) % min(np.count_nonzero(total), MOST_PLACES)
    bag = np.zeros((len(u), min(np.count_nonzero(total), MOST_PLACES)))
    np.add.at(bag, (document[kept], place[trace.token[kept]]), 1)
    k = min(atlas.parameters["n_neighbors"], len(u))
    lists = {}
    for name, rows, metric in (("router", u, atlas.parameters["metric"]), ("tokens", bag / bag.sum(axis=1, keepdims=True), "hellinger")):
        far = distances(rows, metric)
        np.fill_diagonal(far, -1)
        lists[name] = np.argsort(far, axis=1, kind="stable")[:, 1:k]
        judge.near(f"purity of neighbourhoods by {name}", control[f"{name}_neighbour_purity"],
                   np.mean(trace.subset[lists[name]] == trace.subset[:, None]), 2e-3)  # neighbours that are as far, in another order
    shared = np.mean([len(set(a) & set(b)) / (k - 1) for a, b in zip(lists["router"], lists["tokens"])])
    judge.near("neighbours of both", control["shared_neighbours"], shared, 2e-3)
    judge.near("AMI of the router", control["router_ami"], metrics.adjusted_mutual_info_score(trace.subset, atlas["samples/cluster"]), ROUNDED)


# ---- all ----

def check(binary, path, folder, title, way):
    atlas_path = folder / "a.h5"
    subprocess.run([binary, "fit", path, "-o", atlas_path, "--quality", "full", "--force", "--quiet", *way], check=True,
                   stdout=subprocess.DEVNULL)
    judge, atlas, trace = Judge(title), Atlas(atlas_path), Trace(path)
    u = trace.usage(atlas.parameters["usage"])
    check_usage(judge, atlas, trace, u)
    check_export(judge, binary, atlas_path, path, u)
    if trace.text:
        check_words(judge, atlas, trace)
    check_labels(judge, atlas, trace)
    check_map(judge, atlas, trace, u)
    check_examples(judge, atlas, u)
    check_control(judge, atlas, trace, u)
    return judge.failed


def main():
    binary, probe = program(sys.argv[1], "gm-cluster"), program(sys.argv[1], "gm-probe")
    if binary is None or probe is None:
        print("live_atlas: skipped, gm-cluster or gm-probe is not built")
        return 77
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        traces = [pathlib.Path(p) for p in sys.argv[2:]]
        if not traces:
            traces = [folder / "synthetic.h5", make_trace(probe, folder)]
            synthetic_trace.write(traces[0], synthetic_trace.options(["-o", str(traces[0]), "--documents", "1200", "--topics", "10"]))
        for path in traces:
            for name, way in WAYS.items():
                if "gates" in name and Trace(path).chosen is None:
                    continue
                failed += check(binary, path, folder, f"{path.name}, {name}", way)
    print("live_atlas:", f"{len(failed)} differ" if failed else "all agree")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
