"""cluster - goldens for gm-cluster: UMAP's steps, whole maps, HDBSCAN, keywords, quality figures."""

from . import densmap_golden, hdbscan_golden, map_golden, metrics_golden, text_golden, umap_golden


def make(out):
    folder = out / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    umap_golden.make(folder)
    map_golden.make(folder)
    densmap_golden.make(folder)
    hdbscan_golden.make(folder)
    text_golden.make(folder)
    metrics_golden.make(folder)
