#!/usr/bin/env python3
"""bench_cluster - gm-cluster fit beside umap-learn + hdbscan and umap-learn + fast_hdbscan, on one synthetic trace.

    bench_cluster.py [--build DIR] [--documents N] [--work DIR] [--out CSV] [--kernels LIST] [--no-peers]
                     [--trace-only]

The trace (27 layers of 64 experts, 60 topics, texts; scripts/synthetic_trace.py) is made once in --work. Ours is the whole
program, a process of its own: reading, neighbours, layout, clusters, keywords, figures of quality, writing; once with the best
instructions and once, where the best are AMX, without them. A peer gets the usage vectors in memory, the same metric and sizes,
all processors and no seed, after a run on few rows that does not count, so that nothing is compiled while the clock runs; it
makes the map and the clusters and no more. Rows are appended to --out, a CSV of this machine.
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import re
import resource
import subprocess
import sys
import time

import synthetic_trace

ROOT = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = ["date", "cpu", "processors", "memory_gb", "what", "documents", "stage", "seconds", "peak_gb", "version"]
MAP = ("neighbours", "graph", "start", "layout", "hdbscan")  # what a peer does as well


def machine():
    model = platform.machine()
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
    memory = next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1]
    return {"cpu": model, "processors": os.cpu_count(), "memory_gb": round(int(memory) / 1e6, 1)}


def run(command, environment=None):
    """What a process says, and the memory it held at most, in GB."""
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, **(environment or {})})
    out, err = child.stdout.read(), child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"bench_cluster: {command[0]}: {err.strip()}")
    return out, err, used.ru_maxrss / 1e6


def ours(a, kernels):
    out, err, peak = run([a.build / "bin/gm-cluster", "fit", a.trace, "-o", a.work / "cluster.atlas.h5", "--force"],
                         {"GM_KERNELS": kernels})
    stages = {name: float(seconds) for name, seconds in re.findall(r"(\w+) ([0-9.]+) s, ", err)}
    stages["all"] = float(re.search(r"([0-9.]+) s in all", err).group(1))
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

    few = umap.UMAP(metric="hellinger", n_neighbors=15).fit_transform(usage[:5000])  # more than 4096: the way of many
    for package in (hdbscan, fast_hdbscan):
        package.HDBSCAN(min_cluster_size=25, min_samples=15).fit(few)
    xy, seconds = timed(lambda: umap.UMAP(metric="hellinger", n_neighbors=15).fit_transform(usage))
    out = {"umap-learn": (seconds, umap.__version__)}
    for package in (hdbscan, fast_hdbscan):
        _, seconds = timed(lambda p=package: p.HDBSCAN(min_cluster_size=size, min_samples=15).fit(xy))
        out[package.__name__] = (seconds, getattr(package, "__version__", ""))
    out["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps(out))


def measure(a):
    """Rows (what, stage, seconds, peak_gb, version)."""
    for kernels in a.kernels.split(","):
        stages, peak, said = ours(a, kernels)
        print(f"gm-cluster, {kernels}: {said}")
        print(", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in stages.items()) + f", {peak:.2f} GB", flush=True)
        for stage, seconds in stages.items():
            yield f"gm-cluster {kernels}", stage, seconds, peak, ""
    if a.no_peers:
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
    parser.add_argument("--kernels", default="auto,avx512f", metavar="LIST", help="instructions ours may use, a run each")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--trace-only", action="store_true", help="make the trace and end")
    parser.add_argument("--peers-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    a = options()
    if a.peers_of:
        return peer_main(a.peers_of)
    a.work.mkdir(parents=True, exist_ok=True)
    a.trace = a.work / f"cluster-{a.documents}.trace.h5"
    if not a.trace.exists():
        synthetic_trace.write(a.trace, synthetic_trace.options(["-o", str(a.trace), "--documents", str(a.documents)]))
    if a.trace_only:
        return 0
    rows = list(measure(a))
    show(rows)
    about = machine()
    name = re.sub(r"[^a-z0-9]+", "-", about["cpu"].lower()).strip("-")
    path = a.out or ROOT / f"notebooks-data/bench/cluster-{name}-{about['processors']}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        if new:
            out.writeheader()
        for what, stage, seconds, peak, version in rows:
            out.writerow({"date": datetime.date.today().isoformat(), **about, "what": what, "documents": a.documents,
                          "stage": stage, "seconds": round(seconds, 2), "peak_gb": round(peak, 2), "version": version})
    return 0


if __name__ == "__main__":
    sys.exit(main())
