#!/usr/bin/env python3
"""live_compare - gm-cluster compare of two atlases again, by scikit-learn and numpy.

    live_compare.py BUILD FIRST.atlas.h5 SECOND.atlas.h5    BUILD: a build folder with the programs

Documents are joined by pandas on the digest of their text; ARI and AMI are scikit-learn's; counterparts are sought among all pairs
of clusters; moved and profile are numpy's on the usage that the atlases hold. Exit 3 when a bound below does not hold.
"""

import json
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden.live_tokenizer import program  # noqa: E402

EXACT, UNITS = 1e-9, 1e-9  # of agreement; of what is computed from the atlas's floats


def labels(atlas):
    """Cluster by (sha, how often it came before)."""
    table = pd.DataFrame({"sha": atlas["/samples/sha"].asstr()[:], "cluster": atlas["/samples/cluster"][:]})
    return table.set_index(["sha", table.groupby("sha").cumcount()]).cluster


def correlation(x, y):
    return np.corrcoef(x.ravel(), y.ravel())[0, 1]


def main():
    binary, paths = program(sys.argv[1], "gm-cluster"), sys.argv[2:4]
    done = subprocess.run([binary, "compare", *paths, "--json"], capture_output=True, check=True, text=True)
    ours = json.loads(done.stdout)
    a, b = (h5py.File(path) for path in paths)
    both = pd.concat([labels(a), labels(b)], axis=1, keys="ab", join="inner")
    grouped = both[(both.a >= 0) & (both.b >= 0)]
    worst = {"agreement": 0.0, "jaccard": 0.0, "experts": 0.0}
    for key, pairs in ("all", both), ("grouped", grouped):
        assert ours[key]["documents"] == len(pairs)
        for name, figure in ("ari", adjusted_rand_score), ("ami", adjusted_mutual_info_score):
            worst["agreement"] = max(worst["agreement"], abs(figure(pairs.a, pairs.b) - ours[key][name]))
    usage = [f["/clusters/usage"][:].astype(float) - f["/corpus/usage"][:].astype(float) for f in (a, b)]
    profiles = []
    for cluster in ours["clusters"]:
        here = both.a == cluster["id"]
        jaccard = [(here & (both.b == k)).sum() / (here | (both.b == k)).sum() for k in range(len(usage[1]))]
        assert cluster["other"] is None or cluster["other"] == np.argmax(jaccard)
        worst["jaccard"] = max(worst["jaccard"], abs(max(jaccard) - (cluster["jaccard"] or 0)))
        if cluster["other"] is not None and "profile" in cluster:
            x, y = usage[0][cluster["id"]], usage[1][cluster["other"]]
            worst["experts"] = max(worst["experts"], abs(correlation(x, y) - cluster["profile"]))
            profiles.append([correlation(x[l], y[l]) for l in range(len(x))])
    for l, layer in enumerate(ours["layers"]):
        p, q = (f["/corpus/usage"][l].astype(float) for f in (a, b))
        moved = abs(p / p.sum() - q / q.sum()).sum() / 2
        worst["experts"] = max(worst["experts"], abs(moved - layer["moved"]),
                               abs(np.mean(profiles, axis=0)[l] - layer["profile"]))
    print({name: float(value) for name, value in worst.items()}, f"{len(both)} documents, {len(ours['clusters'])} clusters")
    return 0 if worst["agreement"] <= EXACT and worst["jaccard"] <= EXACT and worst["experts"] <= UNITS else 3


if __name__ == "__main__":
    sys.exit(main())
