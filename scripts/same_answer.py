#!/usr/bin/env python3
"""same_answer - one trace through gm-cluster of several builds: is the map the same to the last bit?

    same_answer.py BUILD [BUILD...]      build folders, say of gcc and of clang: build/cpu build/clang

Fits a synthetic trace (1,500 documents of 20 topics) with 1, 2 and 4 threads and with every set of instructions that this
processor has, and compares the digests: all columns of the atlas, so places, labels, keywords, usage, graph and tree.
Exit 3 when two differ. Needs h5py and numpy.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import synthetic_trace

KERNELS = ("portable", "avx2", "avx512f", "amx")


def digest(program, trace, folder, threads, kernels):
    """The digest of the atlas, or None where this processor lacks the instructions."""
    run = subprocess.run([program, "fit", trace, "-o", pathlib.Path(folder) / "a.h5", "--force", "--quiet"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "OMP_NUM_THREADS": str(threads), "GM_KERNELS": kernels})
    if run.returncode and "this processor has no" in run.stderr:
        return None
    if run.returncode:
        sys.exit(f"same_answer: {program}: {run.stderr.strip()}")
    return run.stdout.split("digest ")[1].split()[0]


def main():
    builds = sys.argv[1:]
    if not builds or builds[0].startswith("-"):
        asked = builds == ["--help"]
        print(__doc__.strip(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder) / "s.h5"
        synthetic_trace.write(trace, synthetic_trace.options(["-o", str(trace), "--documents", "1500", "--layers", "20",
                                                              "--experts", "32", "--chosen", "4", "--topics", "20"]))
        for build in builds:
            for kernels in KERNELS:
                for threads in (1, 2, 4) if kernels in ("portable", "amx") else (2,):
                    one = digest(pathlib.Path(build) / "bin" / "gm-cluster", trace, folder, threads, kernels)
                    print(f"{build}, {kernels}, {threads} threads: {one or 'not on this processor'}", flush=True)
                    if one:
                        found.setdefault(one, []).append((build, kernels, threads))
    print("the same answer" if len(found) == 1 else f"{len(found)} different answers")
    return 0 if len(found) == 1 else 3


if __name__ == "__main__":
    sys.exit(main())
