#!/usr/bin/env python3
"""The shell scripts say how they are called, whole and from any folder, and do nothing else then."""
import pathlib
import shutil
import subprocess
import sys

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from bench_machine import machine  # noqa: E402


def call(name, *words):
    return subprocess.run([f"./{name}", *words], cwd=SCRIPTS, capture_output=True, text=True, check=False)


for script in sorted(SCRIPTS.iterdir()):
    if not script.is_file() or not script.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash")):
        continue
    header = script.read_text().split("\nset ")[0].splitlines()[1:]
    usage = "".join(line.removeprefix("#").removeprefix(" ") + "\n" for line in header)
    assert f"usage: scripts/{script.name}" in usage, script.name
    asked, refused = call(script.name, "--help"), call(script.name, "--nobody-knows-this")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, usage, ""), (script.name, asked)
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", usage), (script.name, refused)

for words in (["--jobs"], ["--jobs", "0"], ["--jobs", "2", "soon"]):
    done = call("fuzz", *words)
    assert done.returncode == 2 and "usage: scripts/fuzz" in done.stderr, (words, done)

if shutil.which("free"):  # procps', which some containers do without
    said = subprocess.run(["free", "--bytes"], capture_output=True, text=True, check=True).stdout
    total = int(said.splitlines()[1].split()[1]) / 1e9
    assert abs(machine()["memory_gb"] - total) <= 0.051, (machine(), total)
