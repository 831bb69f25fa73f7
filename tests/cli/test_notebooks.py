#!/usr/bin/env python3
# label: slow
"""The notebooks of notebooks-data run from the first cell to the last on the demo model, in one folder as a reader would run
them, and are stored without outputs. Cells that need a package which is absent are left out (scripts/oracles has all).
Skips (77) without h5py."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

try:
    import h5py  # noqa: F401
    import numpy  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")).resolve()
NOTEBOOKS = ("clustering", "steering", "read_a_trace")  # in the order in which they are read
MOST_BYTES = 16384


def check_stored(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5), path
    assert len({cell["id"] for cell in cells}) == len(cells), f"{path}: two cells have one id"
    assert path.stat().st_size <= MOST_BYTES, f"{path} has {path.stat().st_size} bytes"
    for number, cell in enumerate(cells):
        stored = cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"] is not None)
        assert not stored, f"{path}: cell {number} is stored with its output"


def main():
    everything = sorted(path.stem for path in (SOURCE / "notebooks-data").glob("*.ipynb"))
    assert everything == sorted(NOTEBOOKS), everything
    shutil.rmtree("notebooks", ignore_errors=True)
    os.mkdir("notebooks")
    os.chdir("notebooks")  # nothing is cleared of the folder that a test is started in by hand
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    for name in NOTEBOOKS:
        path = SOURCE / "notebooks-data" / f"{name}.ipynb"
        check_stored(path)
        done = subprocess.run([sys.executable, SOURCE / "scripts/run_notebook.py", path], env=environment,
                              capture_output=True, text=True, check=False)
        print(done.stdout)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.splitlines()[-1].split()[0]) >= 3, done.stdout
    named = {int(layer) for layer in re.findall(r"\b(\d+):\d+\b", done.stdout)}  # by the trace's reader
    assert named and named <= set(range(1, 6)), f"layers {named}, where the model's are 1 to 5"


if __name__ == "__main__":
    main()
