#!/usr/bin/env python3
"""live_synthetic - gm-cluster on 40,000 synthetic documents of 27 x 64 experts: does it find what was planted?

    live_synthetic.py BUILD [SEED]    BUILD: a build folder with the programs

Makes the trace (scripts/synthetic_trace.py, its defaults), fits it with gm-cluster's defaults, and holds the atlas against
the limits of scripts/synthetic_judge.py. Exit 3 when one is missed. Takes 1 GB of memory and about two minutes on two idle
cores; the same on a small instance is the test cli.synthetic.
"""

import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import synthetic_judge  # noqa: E402
import synthetic_trace  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402


def main():
    binary = program(sys.argv[1], "gm-cluster")
    if binary is None:
        print("live_synthetic: skipped, gm-cluster is not built")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        trace, atlas = pathlib.Path(folder) / "s.trace.h5", pathlib.Path(folder) / "s.atlas.h5"
        how = synthetic_trace.options(["-o", str(trace), "--seed", sys.argv[2] if len(sys.argv) > 2 else "1"])
        synthetic_trace.write(trace, how)
        subprocess.run([binary, "fit", trace, "-o", atlas, "--quiet"], check=True)
        found = synthetic_judge.judge(trace, atlas)
    synthetic_judge.show(found)
    return 3 if synthetic_judge.misses(found) else 0


if __name__ == "__main__":
    sys.exit(main())
