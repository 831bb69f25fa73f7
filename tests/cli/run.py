#!/usr/bin/env python3
"""Runs command-line cases: NAME.cmd against NAME.exit, NAME.stdout, NAME.stderr.

A case is a shell script, run by bash in an empty folder with the programs first
on PATH and these variables: SRC the source tree, GM_SHARED the folder of large
test data (empty when there is none), OMP_NUM_THREADS. It exits 77 to be skipped.

Expected files hold what the case must print; a missing one means nothing (for
.exit: 0). The empty folder's path is printed as $TMP and the source's as $SRC;
progress, which a slow machine shows where a fast one does not, is left out. An
expected line "~ REGEX" matches any whole line that REGEX matches; a line "~..."
any number of lines.

usage: run.py [--bin DIR] [--threads N] [--update] CASE.cmd...
"""
import argparse
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
LIMIT_S = 800  # below the 900 of CTest: under ASan, with 38 processes on two cores, probe_stats takes 210
PROGRESS = re.compile(r"^[a-z]+: [\d.]+(?: [kMGT])? of [\d.]+(?: [kMGT])? [a-z]+ \(\d+ %\).*\n", re.MULTILINE)


def run_case(case, bin_dir, threads):
    """What the case printed: {"exit": ..., "stdout": ..., "stderr": ...}."""
    shared = os.environ.get("GM_SHARED") or str(SOURCE.parent / "shared")
    with tempfile.TemporaryDirectory(prefix="gm-cli-") as folder:
        folder = os.path.realpath(folder)
        environment = dict(
            os.environ,
            PATH=f"{bin_dir}:{os.environ['PATH']}",
            SRC=str(SOURCE),
            GM_SHARED=shared if os.path.isdir(shared) else "",
            OMP_NUM_THREADS=str(threads),
            LC_ALL="C.UTF-8",
        )
        done = subprocess.run(
            ["bash", "-u", str(case.resolve())],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )

        def shown(data):
            text = PROGRESS.sub("", data.decode("utf-8", "backslashreplace"))
            return text.replace(folder, "$TMP").replace(str(SOURCE), "$SRC")

        return {
            "exit": f"{done.returncode}\n",
            "stdout": shown(done.stdout),
            "stderr": shown(done.stderr),
        }


def lines_match(want, got):
    """Whether the lines `got` are what `want` describes."""
    if not want:
        return not got
    if want[0] == "~...":
        return any(lines_match(want[1:], got[i:]) for i in range(len(got) + 1))
    if not got:
        return False
    if want[0].startswith("~ "):
        same = re.fullmatch(want[0][2:], got[0]) is not None
    else:
        same = want[0] == got[0]
    return same and lines_match(want[1:], got[1:])


def check_case(case, got):
    """Print how `got` differs from the expected files; True when it does not."""
    same = True
    for kind, text in got.items():
        path = case.with_suffix(f".{kind}")
        default = "0\n" if kind == "exit" else ""
        want = path.read_bytes().decode() if path.exists() else default
        if want == text or lines_match(want.split("\n"), text.split("\n")):
            continue
        same = False
        found = "\n".join(keep_patterns(want.split("\n"), text.split("\n")))
        sys.stdout.writelines(
            difflib.unified_diff(
                want.splitlines(True), found.splitlines(True), path.name, f"{case.stem}: found"
            )
        )
    return same


def keep_patterns(want, got):
    """The lines `got`, but "~ REGEX" where a line of `want` still describes one."""
    patterns = [line for line in want if line.startswith("~ ")]
    lines = []
    for line in got:
        if patterns and re.fullmatch(patterns[0][2:], line):
            line = patterns.pop(0)
        lines.append(line)
    return lines


def update_case(case, got):
    """Make `got` the expected output; files that only say the default go."""
    for kind, text in got.items():
        path = case.with_suffix(f".{kind}")
        if path.exists():
            want = path.read_bytes().decode().split("\n")
            if lines_match(want, text.split("\n")):
                continue
            text = "\n".join(keep_patterns(want, text.split("\n")))
        if text in ("", "0\n" if kind == "exit" else ""):
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(text.encode())


def main():
    parser = argparse.ArgumentParser(description="run command-line cases")
    parser.add_argument("--bin", default=os.environ.get("GM_BIN", "build/cpu/bin"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--update", action="store_true", help="rewrite the expected files")
    parser.add_argument("cases", nargs="+", type=pathlib.Path)
    options = parser.parse_args()

    passed = failed = skipped = 0
    for case in options.cases:
        try:
            got = run_case(case, os.path.abspath(options.bin), options.threads)
        except subprocess.TimeoutExpired:
            print(f"{case.stem}: not done after {LIMIT_S} s")
            failed += 1
            continue
        if got["exit"] == f"{SKIPPED}\n":
            print(f"{case.stem}: skipped: {got['stderr'].strip()}")
            skipped += 1
        elif options.update:
            update_case(case, got)
            print(f"{case.stem}: updated")
        elif check_case(case, got):
            passed += 1
        else:
            failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    if failed:
        return 1
    return SKIPPED if skipped and not passed and not options.update else 0


if __name__ == "__main__":
    sys.exit(main())
