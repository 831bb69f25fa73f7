#!/usr/bin/env python3
"""make_golden - regenerates tests/golden: expected values from PyTorch, transformers, tokenizers and other oracles.

    scripts/make_golden.py --out DIR [--only engine,tokenizer,cluster]

Needs the packages of scripts/oracles.txt; `scripts/oracles` makes a venv with them and runs this into a temporary
folder to compare. What is written, by whom and with what tolerance: tests/golden/README.md.
"""

import argparse
import importlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

PARTS = ("engine", "tokenizer", "cluster", "gemm")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder to write to, e.g. tests/golden")
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated parts: " + ", ".join(PARTS))
    args = parser.parse_args()
    wanted = args.only.split(",")
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        parser.error(f"unknown part '{unknown[0]}', expected one of {', '.join(PARTS)}")
    for part in PARTS:
        if part in wanted:
            importlib.import_module("golden." + part).make(args.out)


if __name__ == "__main__":
    main()
