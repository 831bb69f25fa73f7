#!/usr/bin/env python3
"""Scripts say how they are called, those of the shell whole and from any folder, and do nothing else then."""
import pathlib
import shutil
import subprocess
import sys

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from bench_machine import machine  # noqa: E402


def call(*words):
    return subprocess.run(words, cwd=SCRIPTS, capture_output=True, text=True, check=False)


for script in sorted(SCRIPTS.iterdir()):
    if not script.is_file() or not script.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash")):
        continue
    header = script.read_text().split("\nset ")[0].splitlines()[1:]
    usage = "".join(line.removeprefix("#").removeprefix(" ") + "\n" for line in header)
    assert f"usage: scripts/{script.name}" in usage, script.name
    asked, refused = call(f"./{script.name}", "--help"), call(f"./{script.name}", "--nobody-knows-this")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, usage, ""), (script.name, asked)
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", usage), (script.name, refused)

for script in sorted([*SCRIPTS.iterdir(), *SCRIPTS.glob("peers/run_*.py")]):
    if script.is_file() and b"python3" in script.read_bytes().partition(b"\n")[0]:
        asked = call(sys.executable, script, "--help")
        if asked.returncode == 77 or "ModuleNotFoundError" in asked.stderr:
            continue  # it needs more than Python
        assert asked.returncode == 0 and script.name in asked.stdout and asked.stderr == "", (script.name, asked)

for words in (["--jobs"], ["--jobs", "0"], ["--jobs", "2", "soon"]):
    done = call("./fuzz", *words)
    assert done.returncode == 2 and "usage: scripts/fuzz" in done.stderr, (words, done)

if shutil.which("free"):  # procps', which some containers do without
    said = subprocess.run(["free", "--bytes"], capture_output=True, text=True, check=True).stdout
    total = int(said.splitlines()[1].split()[1]) / 1e9
    assert abs(machine()["memory_gb"] - total) <= 0.051, (machine(), total)
