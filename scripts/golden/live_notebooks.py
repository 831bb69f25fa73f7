#!/usr/bin/env python3
"""live_notebooks - tests/cli/test_notebooks.py with this environment's packages: the cells that draw and those of xarray,
pandas and scanpy run too.

    live_notebooks.py BUILD     BUILD: a build folder with the programs

Exit 77 when they are absent, 3 when a notebook fails.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402


def main():
    gm_steer = program(sys.argv[1], "gm-steer")
    if gm_steer is None:
        print("live_notebooks: skipped, gm-steer is not built")
        return 77
    environment = os.environ | {"GM_BIN": str(gm_steer.parent.resolve())}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, common.REPO / "tests" / "cli" / "test_notebooks.py"], cwd=folder, env=environment,
                              capture_output=True, text=True, check=False)
    left_out = set(re.findall(r"is left out: (\w+)", done.stdout))
    print("\n".join(line for line in done.stdout.splitlines() if "left out" in line))
    if done.returncode != 0 or left_out:
        print(f"{done.stderr}\nfailed, or left out: {sorted(left_out)}")
        return 3
    print("every notebook runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
