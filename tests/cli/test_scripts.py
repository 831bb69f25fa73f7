#!/usr/bin/env python3
"""The shell scripts say how they are called, whole and from any folder, and do nothing else then."""
import pathlib
import subprocess

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
FOR_EVERYBODY = ("demo", "setup")  # --help is no mistake

for script in sorted(SCRIPTS.iterdir()):
    if not script.is_file() or not script.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash")):
        continue
    for word, code in ("--help", 0 if script.name in FOR_EVERYBODY else 2), ("--nobody-knows-this", 2):
        done = subprocess.run([f"./{script.name}", word], cwd=SCRIPTS, capture_output=True, text=True, check=False)
        assert done.returncode == code, (script.name, word, done)
        said = done.stdout + done.stderr
        assert f"usage: scripts/{script.name}" in said, (script.name, said)
        if script.name == "demo":
            assert said.endswith("and all else in build/demo.\n"), said
