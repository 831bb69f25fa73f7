#!/usr/bin/env python3
"""Runs the code cells of a notebook, one after the other in one namespace, with plain Python: no Jupyter is needed.

usage: scripts/run_notebook.py NOTEBOOK.ipynb

A cell tagged needs-PACKAGE is skipped, and named, if the package is missing. Pictures are drawn and thrown away; what is
written comes to the current folder. MODEL names the model, default: demo-model beside the notebook. The first cell that
fails ends the run with its traceback."""
import importlib.util
import json
import os
import pathlib
import sys


def missing_of(cell):
    """The package that a cell needs and that is absent, or None."""
    needed = [tag.removeprefix("needs-") for tag in cell["metadata"].get("tags", []) if tag.startswith("needs-")]
    return next((name for name in needed if importlib.util.find_spec(name) is None), None)


def run(path):
    """Gives (cells run, cells left out)."""
    cells = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["cells"]
    space, done, left_out = {"__name__": "__main__"}, 0, 0
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        missing = missing_of(cell)
        if missing:
            print(f"[cell {number} is left out: {missing} is not installed]")
            left_out += 1
            continue
        exec(compile("".join(cell["source"]), f"{path}, cell {number}", "exec"), space)
        done += 1
    return done, left_out


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        asked = sys.argv[1:] == ["--help"]
        print(__doc__, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    os.environ["MPLBACKEND"] = "Agg"
    os.environ.setdefault("MODEL", str(pathlib.Path(sys.argv[1]).resolve().parent / "demo-model"))
    print("{} cells run, {} left out".format(*run(sys.argv[1])))
