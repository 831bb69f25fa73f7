#!/usr/bin/env python3
"""bench_cluster - gm-cluster fit beside umap-learn + hdbscan and umap-learn + fast_hdbscan, on one synthetic trace.

    bench_cluster.py [--build DIR] [--documents N] [--work DIR] [--out CSV] [--kernels LIST] [--no-peers]
                     [--trace-only]
    bench_cluster.py --full | --points N | --texts CORPUS         ours alone, one more measurement

The trace (27 layers of 64 experts, 60 topics, texts; scripts/synthetic_trace.py) is made once in --work. Ours is the whole
program, a process of its own: reading, neighbours, layout, clusters, keywords, figures of quality, writing; once with the best
instructions and once, where the best are AMX, without them. A peer gets the usage vectors in memory, the same metric and sizes,
all processors and no seed, after a run on few rows that does not count, so that nothing is compiled while the clock runs; it
makes the map and the clusters and no more. Rows are appended to --out, a CSV of this machine.

--full is a run whose figures of quality are of all documents. --points lays out and clusters so many points whose neighbours
are given (tests/bench/bench_map.c), --texts finds the keywords of 250 MB of texts (tests/bench/bench_keywords.c).
"""
import argparse
import csv
import datetime
import importlib.metadata
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

import synthetic_trace
from bench_machine import csv_path, machine

ROOT = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = ["date", "cpu", "instructions", "processors", "memory_gb", "what", "documents", "stage", "seconds", "peak_gb", "version"]
MAP = ("neighbours", "graph", "start", "layout", "hdbscan")  # what a peer does as well


def run(command, environment=None):
    """What a process says, and the memory it held at most, in GB."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err,
                                 env={**os.environ, **(environment or {})})
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complained = out.read(), err.read()
    if child.returncode != 0:
        sys.exit(f"bench_cluster: {command[0]}: {complained.strip()}")
    return said, complained, used.ru_maxrss * 1024 / 1e9


def stages_of(text):
    """ "graph 0.14 s, start 0.6 s, ..., 3.1 s in all" """
    stages = {name: float(seconds) for name, seconds in re.findall(r"(\w+) ([0-9.]+) s, ", text)}
    stages["all"] = float(re.search(r"([0-9.]+) s in all", text).group(1))
    return stages


def ours(a, kernels):
    out, err, peak = run([a.build / "bin/gm-cluster", "fit", a.trace, "-o", a.work / "cluster.atlas.h5", "--force",
                          "--quality", "full" if a.full else "sample"], {"GM_KERNELS": kernels})
    stages = stages_of(err.splitlines()[-1])
    stages["map"] = sum(stages[name] for name in MAP)
    return stages, peak, out.strip()


def peer_main(trace):
    """In a process of its own; prints a JSON object of seconds and versions."""
    import fast_hdbscan
    import h5py
    import hdbscan
    import numpy as np
    import umap

    with h5py.File(trace) as file:
        counts = file["samples/counts"]
        usage = counts[:].reshape(len(counts), -1).astype(np.float32)
    usage /= usage.sum(axis=1, keepdims=True)
    size = max(15, len(usage) // 200)

    def timed(work):
        start = time.perf_counter()
        value = work()
        return value, time.perf_counter() - start

    few = umap.UMAP(metric="hellinger", n_neighbors=15, min_dist=0).fit_transform(usage[:5000])  # more than 4096: the way of many
    for package in (hdbscan, fast_hdbscan):
        package.HDBSCAN(min_cluster_size=25, min_samples=15).fit(few)
    xy, seconds = timed(lambda: umap.UMAP(metric="hellinger", n_neighbors=15, min_dist=0).fit_transform(usage))
    out = {"umap-learn": (seconds, umap.__version__)}
    for package in (hdbscan, fast_hdbscan):
        _, seconds = timed(lambda p=package: p.HDBSCAN(min_cluster_size=size, min_samples=15).fit(xy))
        out[package.__name__] = (seconds, importlib.metadata.version(package.__name__))
    out["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps(out))


def measure_part(a):
    """The same of a program under tests/bench."""
    name, argument = ("bench_map", a.points) if a.points else ("bench_keywords", a.texts)
    out, _, peak = run([a.build / "tests/bench" / name, argument])
    print(out.strip())
    for stage, seconds in stages_of(out).items():
        yield name, stage, seconds, peak, ""


def measure(a):
    """Rows (what, stage, seconds, peak_gb, version)."""
    if a.points or a.texts:
        yield from measure_part(a)
        return
    for kernels in a.kernels.split(","):
        stages, peak, said = ours(a, kernels)
        print(f"gm-cluster, {kernels}: {said}")
        print(", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in stages.items()) + f", {peak:.2f} GB", flush=True)
        for stage, seconds in stages.items():
            yield f"gm-cluster {kernels}{', full quality' if a.full else ''}", stage, seconds, peak, ""
    if a.no_peers or a.full:
        return
    found = json.loads(run([sys.executable, "-W", "ignore", __file__, "--peers-of", a.trace])[0].splitlines()[-1])
    for peer in ("hdbscan", "fast_hdbscan"):
        seconds = found["umap-learn"][0] + found[peer][0]
        version = f"umap-learn {found['umap-learn'][1]}, {peer} {found[peer][1]}"
        yield f"umap-learn + {peer}", "map", seconds, found["peak"], version
        yield f"umap-learn + {peer}", "hdbscan", found[peer][0], found["peak"], version


def show(rows):
    """The table: every stage, and how many times faster than the peers."""
    print(f"{'':28}{'stage':>12}{'seconds':>10}{'peak GB':>9}")
    for what, stage, seconds, peak, _ in rows:
        print(f"{what:28}{stage:>12}{seconds:10.2f}{peak:9.2f}")
    mine = {stage: seconds for what, stage, seconds, _, _ in rows if what == rows[0][0]}
    for what, stage, seconds, _, _ in rows:
        if what.startswith("umap") and stage == "map":
            print(f"{what}: {seconds / mine['map']:.1f} times ours for map and clusters, {seconds / mine['all']:.1f} times "
                  "ours for everything")


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cpu", help="build folder of gm-cluster")
    parser.add_argument("--documents", type=int, default=40000)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench", help="where the trace is kept")
    parser.add_argument("--out", type=pathlib.Path, help="the CSV (notebooks-data/bench/cluster-CPU.csv)")
    parser.add_argument("--kernels", metavar="LIST", help="instruction sets for ours, one run each (default: auto, and avx512f as well where that is AMX)")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--trace-only", action="store_true", help="make the trace and stop")
    parser.add_argument("--full", action="store_true", help="only ours, with quality measured over all documents")
    parser.add_argument("--points", type=int, help="a map of this many points whose neighbours are given")
    parser.add_argument("--texts", metavar="CORPUS", help="find the keywords of 250 MB of its texts")
    parser.add_argument("--peers-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    a = options()
    if a.peers_of:
        return peer_main(a.peers_of)
    a.work.mkdir(parents=True, exist_ok=True)
    a.trace = a.work / f"cluster-{a.documents}.trace.h5"
    if not a.trace.exists() and not a.points and not a.texts:
        synthetic_trace.write(a.trace, synthetic_trace.options(["-o", str(a.trace), "--documents", str(a.documents)]))
    if a.trace_only:
        return 0
    about = machine()
    a.kernels = a.kernels or ("auto,avx512f" if "amx_bf16" in about["instructions"] else "auto")
    rows = list(measure(a))
    show(rows)
    path = a.out or csv_path("cluster", about)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        if new:
            out.writeheader()
        for what, stage, seconds, peak, version in rows:
            out.writerow({"date": datetime.date.today().isoformat(), **about, "what": what, "documents": "" if a.texts else a.points or a.documents,
                          "stage": stage, "seconds": round(seconds, 2), "peak_gb": round(peak, 2), "version": version})
    return 0


if __name__ == "__main__":
    sys.exit(main())
