#!/usr/bin/env python3
"""live_export - what gm-cluster export writes, opened by the programs it is for: anndata and scanpy, pandas, networkx.

    live_export.py BUILD    BUILD: a build folder with the programs

A small synthetic trace is fitted and exported; everything must be what h5py finds in the atlas. Exit 3 when it is not.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import synthetic_trace  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402


def check_scanpy(path, atlas, scanpy, np):
    cells = scanpy.read_h5ad(path)
    cluster = atlas["samples/cluster"][:]
    shown = np.where(cluster < 0, "noise", cluster.astype(str))
    graph = cells.obsp["connectivities"]
    same = {
        "clusters": (cells.obs["cluster"].astype(str).to_numpy() == shown).all(),
        "ids": cells.obs_names.is_unique and cells.n_obs == len(cluster),
        "map": np.array_equal(cells.obsm["X_umap"], atlas["samples/xy"][:].astype(float)),
        "graph": np.array_equal(graph.data, atlas["graph/weight"][:]) and (graph != graph.T).nnz == 0,
        "usage sums": np.allclose(cells.X.sum(axis=1), 1, atol=1e-5),
        "experts": cells.n_vars == atlas["corpus/usage"].size,
    }
    scanpy.tl.rank_genes_groups(cells, "cluster", groups=["0"], method="t-test")  # what the graph and X are for
    scanpy.tl.diffmap(cells)
    best = cells.uns["rank_genes_groups"]["names"]["0"][0]
    layer, expert = (int(part) for part in best.split(":"))
    same["best expert has a lift"] = atlas["clusters/lift"][0, list(atlas["layer"][:]).index(layer), expert] > 1
    cells.write_h5ad(path.with_name("back.h5ad"))
    return same


def main():
    binary = program(sys.argv[1], "gm-cluster")
    if binary is None:
        print("live_export: skipped, gm-cluster is not built")
        return 77
    import h5py
    import networkx
    import numpy as np
    import pandas
    import scanpy

    with tempfile.TemporaryDirectory() as folder:
        trace, atlas = pathlib.Path(folder) / "s.trace.h5", pathlib.Path(folder) / "s.atlas.h5"
        how = synthetic_trace.options(["-o", str(trace), "--seed", "1", "--documents", "600", "--topics", "8"])
        synthetic_trace.write(trace, how)
        subprocess.run([binary, "fit", trace, "-o", atlas, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        out = {kind: pathlib.Path(folder) / f"s.{kind}" for kind in ("h5ad", "csv", "json", "graphml")}
        for kind, path in out.items():
            subprocess.run([binary, "export", atlas, "-o", path, *(["--usage"] if kind == "h5ad" else [])], check=True,
                           stdout=subprocess.DEVNULL)
        with h5py.File(atlas) as a:
            same = check_scanpy(out["h5ad"], a, scanpy, np)
            table = pandas.read_csv(out["csv"])
            same["CSV"] = (table["cluster"] == a["samples/cluster"][:]).all() and np.array_equal(
                table[["x", "y"]].to_numpy(np.float32), a["samples/xy"][:])
            documents = json.loads(out["json"].read_text())["documents"]
            same["JSON"] = [d["cluster"] for d in documents] == list(a["samples/cluster"][:])
            tree = networkx.read_graphml(out["graphml"])
            size = [tree.nodes[f"n{r}"]["size"] for r in range(tree.number_of_nodes())]
            same["GraphML"] = networkx.is_arborescence(tree) and size == list(a["condensed/size"][:])
    for name, fine in same.items():
        print(f"{name:24} {'the same' if fine else 'DIFFERS'}")
    return 0 if all(same.values()) else 3


if __name__ == "__main__":
    sys.exit(main())
