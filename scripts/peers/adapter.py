"""adapter - classes of the peers' names and arguments whose fit is a run of gm-cluster.

Data go out as .npy or .jsonl, results come back from the files that the program wrote. An argument that has an option of ours
becomes it; one that only says how fast or by which of several equal ways is left out (UNHEARD); any other becomes an option of
its own name, which the program refuses. So what is refused is refused by the program: Refused, a ValueError as the peers raise.

GM_CLUSTER names the program. `uses` counts its runs and the looks at their results: a case that leaves it as it was has
tested nothing of ours.
"""

import inspect
import json
import math
import os
import pathlib
import subprocess
import tempfile
import warnings

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

uses = 0


class Refused(ValueError):
    """The program's sentence."""


def look():
    global uses
    uses += 1


def run(command, *words):
    """Standard output of gm-cluster; what it warns of becomes warnings."""
    look()
    done = subprocess.run([os.environ["GM_CLUSTER"], command, *map(str, words)], capture_output=True, text=True,
                          timeout=600, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    for line in done.stderr.splitlines():
        if line.startswith("warning: "):
            warnings.warn(line.removeprefix("warning: "), UserWarning, stacklevel=4)
    return done.stdout


def dense(data):
    """Rows as doubles, as the peers take them: lists, frames, sparse matrices."""
    table = np.asarray(data.toarray() if sparse.issparse(data) else data, dtype=float)
    if table.ndim != 2:
        raise ValueError(f"expected a table, found {table.ndim} dimensions")
    return table


def words_of(given, defaults, options, unheard):
    """Arguments that are not at their default, as words of the command line."""
    words = []
    for name, value in given.items():
        if name in unheard and (unheard[name] is None or value in unheard[name]):
            continue
        same = value is defaults[name] or (isinstance(value, (str, int, float)) and value == defaults[name])
        if same and name not in options:
            continue
        option = options.get(name, "--" + name.replace("_", "-"))
        if callable(option):
            words += option(value)
        else:
            words.append(f"{option}={value}")
    return words


def matrix(data, *words):
    """gm-cluster matrix: {rows, linkage, tree, graph, said} of the table."""
    with tempfile.TemporaryDirectory() as folder:
        at = pathlib.Path(folder)
        np.save(at / "data.npy", dense(data))
        asked = ["--tree", at / "tree.csv"]
        if len(data if not sparse.issparse(data) else data.toarray()) > 1:
            asked += ["--linkage", at / "linkage.npy"]
        if "--no-map" not in words:
            asked += ["--graph", at / "graph.csv"]
        said = json.loads(run("matrix", at / "data.npy", "-o", at / "rows.csv", "--json", "--quiet", *asked, *words))
        table = {"rows": np.genfromtxt(at / "rows.csv", delimiter=",", names=True, ndmin=1), "said": said}
        table["tree"] = np.genfromtxt(at / "tree.csv", delimiter=",", names=True, ndmin=1)
        table["linkage"] = np.load(at / "linkage.npy") if (at / "linkage.npy").exists() else np.empty((0, 4))
        if (at / "graph.csv").exists():
            table["graph"] = np.genfromtxt(at / "graph.csv", delimiter=",", names=True, ndmin=1)
        return table


class Estimator(BaseEstimator):
    """Keeps its arguments as scikit-learn's estimators do."""

    def _keep(self, arguments):
        for name in inspect.signature(type(self).__init__).parameters:
            if name != "self":
                setattr(self, name, arguments[name])

    def _given(self):
        return {name: getattr(self, name) for name in self._defaults()}

    def _defaults(self):
        return {n: p.default for n, p in inspect.signature(type(self).__init__).parameters.items() if n != "self"}


# ---- HDBSCAN ----

def metric_words(metric, p=2):
    """Minkowski's of order 2 is the Euclidean; what is no name has none."""
    plain = metric in ("euclidean", "l2") or (metric in ("minkowski", "p") and p in (2, 2.0, None))
    return ["--metric=euclidean" if plain else f"--metric={metric}"]


HDBSCAN_OPTIONS = {
    "min_cluster_size": "--min-cluster-size",
    "min_samples": lambda v: [] if v is None else [f"--min-samples={v}"],
    "cluster_selection_epsilon": "--epsilon",
    "cluster_selection_method": "--selection",
    "allow_single_cluster": lambda v: ["--allow-single-cluster"] if v else [],
    "max_cluster_size": lambda v: [f"--max-cluster-size={v}"] if v and v != math.inf else [],
    "metric": lambda v: [],  # with its parameters, below
}
# Which of the ways to the same tree, and what to keep; None: whatever it is.
HDBSCAN_UNHEARD = {
    "algorithm": ("best", "auto", "brute", "generic", "kd_tree", "ball_tree", "prims_kdtree", "prims_balltree",
                  "boruvka_kdtree", "boruvka_balltree", "boruvka", "kruskal"),
    "leaf_size": (40,), "n_jobs": None, "core_dist_n_jobs": None, "memory": None, "copy": None, "reproducible": None,
    "approx_min_span_tree": None, "gen_min_span_tree": None, "knn_k": None, "validate_cannot_link": None,
    "p": None, "metric_params": None, "match_reference_implementation": None,
}


class Clusterer(Estimator):
    count_self = False

    def _words(self):
        given = self._given()
        if given["min_samples"] is None:
            given["min_samples"] = given["min_cluster_size"]
        more = given.pop("kwargs", None) or given.get("metric_params") or {}
        order = more.get("p", given.get("p", 2))
        words = words_of(given, self._defaults(), HDBSCAN_OPTIONS, HDBSCAN_UNHEARD)
        words += metric_words(given["metric"], order)
        return words + (["--count-self"] if self.count_self else [])

    def fit(self, X, y=None):
        self._raw_data = dense(X)
        self._found = matrix(self._raw_data, "--no-map", *self._words())
        return self

    def fit_predict(self, X, y=None):
        return self.fit(X).labels_

    def _of_rows(self, name):
        look()
        return self._found["rows"][name]

    @property
    def labels_(self):
        return self._of_rows("cluster").astype(int)

    @property
    def probabilities_(self):
        return self._of_rows("probability")

    @property
    def outlier_scores_(self):
        return self._of_rows("outlier")

    @property
    def cluster_persistence_(self):
        look()
        return np.array([c["persistence"] for c in self._found["said"]["clusters"]])

    # The peers' own classes over our trees: they draw, convert and cut them.

    @property
    def condensed_tree_(self):
        import hdbscan.plots

        look()
        tree = self._found["tree"]
        kind = [("parent", np.intp), ("child", np.intp), ("lambda_val", float), ("child_size", np.intp)]
        table = np.empty(len(tree), dtype=kind)
        for (name, _), ours in zip(kind, ("parent", "child", "lambda", "child_size")):
            table[name] = tree[ours]
        return hdbscan.plots.CondensedTree(table, self.labels_)

    @property
    def single_linkage_tree_(self):
        import hdbscan.plots

        look()
        return hdbscan.plots.SingleLinkageTree(self._found["linkage"])

    def dbscan_clustering(self, cut_distance, min_cluster_size=5):
        return self.single_linkage_tree_.get_clusters(cut_distance, min_cluster_size)


def hdbscan_class(theirs):
    """The peer's arguments over ours."""

    class HDBSCAN(Clusterer):
        def __init__(self, min_cluster_size=5, min_samples=None, cluster_selection_epsilon=0.0,
                     cluster_selection_persistence=0.0, max_cluster_size=0, metric="euclidean", alpha=1.0, p=None,
                     algorithm="best", leaf_size=40, memory=None, approx_min_span_tree=True, gen_min_span_tree=False,
                     core_dist_n_jobs=4, cluster_selection_method="eom", allow_single_cluster=False, prediction_data=False,
                     branch_detection_data=False, match_reference_implementation=False,
                     cluster_selection_epsilon_max=math.inf, **kwargs):
            self._keep(locals())

        # Their arithmetic over our labels and probabilities.
        weighted_cluster_centroid = theirs.weighted_cluster_centroid
        weighted_cluster_medoid = theirs.weighted_cluster_medoid

    return HDBSCAN


def hdbscan_function(cls):
    def hdbscan(X, *positional, metric="minkowski", p=2, **arguments):
        if positional:
            raise TypeError("arguments have names")
        if metric == "minkowski" and p is None:
            raise TypeError("Minkowski metric given but no p value supplied!")
        model = cls(metric=metric, p=p, **arguments).fit(X)
        trees = model.condensed_tree_.to_numpy(), model.single_linkage_tree_.to_numpy()
        return (model.labels_, model.probabilities_, model.cluster_persistence_, *trees, None)

    return hdbscan


class SklearnHDBSCAN(Clusterer):
    count_self = True  # the point is one of its min_samples

    def __init__(self, min_cluster_size=5, min_samples=None, cluster_selection_epsilon=0.0, max_cluster_size=None,
                 metric="euclidean", metric_params=None, alpha=1.0, algorithm="auto", leaf_size=40, n_jobs=None,
                 cluster_selection_method="eom", allow_single_cluster=False, store_centers=None, copy="warn"):
        self._keep(locals())


class FastHDBSCAN(Clusterer):
    def __init__(self, *, min_cluster_size=5, min_samples=None, cluster_selection_method="eom", allow_single_cluster=False,
                 max_cluster_size=math.inf, cluster_selection_epsilon=0.0, cluster_selection_persistence=0.0,
                 semi_supervised=False, ss_algorithm="bc", reproducible=False, metric="euclidean", algorithm="boruvka",
                 knn_k=None, cannot_link=None, validate_cannot_link=True, cannot_link_groups=None, metric_kwds=None):
        self._keep(locals())


def fast_hdbscan(data, min_samples=10, min_cluster_size=10, return_trees=False, **arguments):
    model = FastHDBSCAN(min_samples=min_samples, min_cluster_size=min_cluster_size, **arguments).fit(data)
    if not return_trees:
        return model.labels_, model.probabilities_
    return (model.labels_, model.probabilities_, model.single_linkage_tree_.to_numpy(), model.condensed_tree_.to_numpy(),
            None)


# ---- UMAP ----

UMAP_OPTIONS = {
    "metric": "--metric", "n_neighbors": lambda v: [], "min_dist": "--min-dist", "spread": "--spread",
    "n_epochs": lambda v: [] if v is None else [f"--epochs={v}"], "learning_rate": "--learning-rate",
    "set_op_mix_ratio": "--set-op-mix", "repulsion_strength": "--repulsion", "negative_sample_rate": "--negative-samples",
    "random_state": lambda v: [] if v is None else [f"--seed={v}"],
}
# Exact neighbours, one start, equal rows always one point; what is of transform alone.
UMAP_UNHEARD = {
    "force_approximation_algorithm": None, "low_memory": None, "verbose": None, "tqdm_kwds": None, "unique": None,
    "angular_rp_forest": None, "transform_queue_size": None, "transform_seed": None, "metric_kwds": (None, {}),
    "output_metric_kwds": (None, {}), "target_metric_kwds": None, "target_metric": None, "target_weight": None,
    "precomputed_knn": ((None, None, None),),
}


class UMAP(Estimator):
    def __init__(self, n_neighbors=15, n_components=2, metric="euclidean", metric_kwds=None, output_metric="euclidean",
                 output_metric_kwds=None, n_epochs=None, learning_rate=1.0, init="spectral", min_dist=0.1, spread=1.0,
                 low_memory=True, n_jobs=-1, set_op_mix_ratio=1.0, local_connectivity=1.0, repulsion_strength=1.0,
                 negative_sample_rate=5, transform_queue_size=4.0, a=None, b=None, random_state=None,
                 angular_rp_forest=False, target_n_neighbors=-1, target_metric="categorical", target_metric_kwds=None,
                 target_weight=0.5, transform_seed=42, transform_mode="embedding", force_approximation_algorithm=False,
                 verbose=False, tqdm_kwds=None, unique=False, densmap=False, dens_lambda=2.0, dens_frac=0.3,
                 dens_var_shift=0.1, output_dens=False, disconnection_distance=None,
                 precomputed_knn=(None, None, None)):
        self._keep(locals())

    def fit(self, X, y=None):
        given = self._given()
        words = [f"--n-neighbors={given.pop('n_neighbors')}"]
        words += words_of(given, self._defaults(), UMAP_OPTIONS, UMAP_UNHEARD)
        if y is not None:
            words.append("--target=y")
        self._rows = len(dense(X))
        self._found = matrix(X, *words)
        self._embedding = np.column_stack([self._found["rows"]["x"], self._found["rows"]["y"]]).astype(np.float32)
        self._n_neighbors = self._found["said"]["n_neighbors"]
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X, y).embedding_

    @property
    def embedding_(self):
        look()
        return self._embedding

    @property
    def graph_(self):
        look()
        edges = self._found["graph"]
        at = edges["row"].astype(int), edges["neighbour"].astype(int)
        return sparse.csr_matrix((edges["weight"], at), shape=(self._rows, self._rows))


# ---- TF-IDF ----

TFIDF_OPTIONS = {
    "stop_words": lambda v: [f"--stop-words={'none' if v is None else v}"],
    "min_df": lambda v: [f"--min-df={0 if v == 1.0 and isinstance(v, float) else v}"],
    "max_df": lambda v: [] if isinstance(v, float) and v == 1.0 else [f"--max-df={v}"],
    "max_features": lambda v: [] if v is None else [f"--max-features={v}"],
    "sublinear_tf": lambda v: ["--sublinear"] if v else [],
}


def tfidf_class(theirs):
    """scikit-learn's class with our vocabulary, idf and rows; its analyser stays, to be compared with."""

    class TfidfVectorizer(theirs):
        def fit_transform(self, raw_documents, y=None):
            texts = list(raw_documents)
            defaults = {n: p.default for n, p in inspect.signature(theirs.__init__).parameters.items() if n != "self"}
            words = words_of(self.get_params(deep=False), defaults, TFIDF_OPTIONS, {"dtype": None})
            with tempfile.TemporaryDirectory() as folder:
                corpus = pathlib.Path(folder) / "c.jsonl"
                corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
                found = json.loads(run("keywords", corpus, "--by=document", "--no-stems", "--top=10000", "--json",
                                       "--vocabulary", *words))
            idf = {entry["word"]: entry["idf"] for entry in found["vocabulary"]}
            self.vocabulary_ = {word: i for i, word in enumerate(sorted(idf))}
            self.fixed_vocabulary_ = False
            self._idf = np.array([idf[word] for word in sorted(idf)], dtype=self.dtype)
            X = sparse.lil_matrix((len(texts), len(idf)), dtype=self.dtype)
            for group in found["groups"]:
                row = int(group["name"].rpartition(":")[2]) - 1
                for entry in group["keywords"]:
                    X[row, self.vocabulary_[entry["word"]]] = entry["score"]
            return X.tocsr()

        def fit(self, raw_documents, y=None):
            self.fit_transform(raw_documents)
            return self

        @property
        def idf_(self):
            look()
            return self._idf

    return TfidfVectorizer
