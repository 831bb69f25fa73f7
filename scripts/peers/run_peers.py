#!/usr/bin/env python3
"""run_peers - the peers' own tests against gm-cluster: each case passes, or differs as listed, or is listed as not applicable.

    run_peers.py BUILD [SUITE...]    BUILD: a build folder with gm-cluster; SUITE: of cases.toml, default all

hdbscan's and scikit-learn's tests come with their packages. umap-learn's and fast_hdbscan's are in no package: GM_PEER_SUITES
names a folder with umap/tests and fast_hdbscan/tests, as their repositories have them; without it these two are left out, and
it says so. Exit 3: a listed case did not do what its list says, or a case is on no list; 1: could not run.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE / "cases.toml"


def folder_of(suite):
    """Where a suite's test files are, or None: they come with no package and nobody gave them."""
    if "package" in suite:
        spec = importlib.util.find_spec(suite["package"])
        return pathlib.Path(spec.submodule_search_locations[0])
    given = os.environ.get("GM_PEER_SUITES")
    folder = pathlib.Path(given or ".") / suite["folder"]
    return folder if given and folder.is_dir() else None


def run_suite(name, suite, program):
    """The plugin's report of one suite, or None."""
    folder = folder_of(suite)
    if folder is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        told = pathlib.Path(scratch) / "report.json"
        found = {path.stem for path in folder.glob("test_*.py")}
        paths = [str(folder / f"{stem}.py") for stem in suite["files"] if stem in found]
        environment = os.environ | {"GM_CLUSTER": str(program), "GM_PEER": name, "GM_CASES": str(CASES),
                                    "GM_REPORT": str(told), "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "2",
                                    "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "plugin", "-p", "no:cacheprovider", "-W", "ignore",
                               "-c", os.devnull, "--rootdir", str(folder), *paths], cwd=scratch, env=environment,
                              capture_output=True, text=True, check=False)
        if not told.exists():
            sys.exit(f"{name}: pytest did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        report = json.loads(told.read_text())
    listed = set(suite["files"]) | set(suite.get("files_left_out", ()))
    for stem in sorted(found - listed if suite.get("files_left_out") else ()):
        report["wrong"][stem] = "is a file on no list"
    for stem in sorted(set(suite["files"]) - found):
        report["wrong"][stem] = "is listed, and is no file of the suite"
    return report


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        asked = sys.argv[1:] == ["--help"]
        print(__doc__.strip(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    program = (pathlib.Path(sys.argv[1]) / "bin/gm-cluster").resolve()
    if not program.exists():
        print(f"peers: skipped, {program} is not built")
        return 77
    suites, status = tomllib.loads(CASES.read_text()), 0
    print(f"{'suite':18}{'pass':>6}{'differ':>8}{'not applicable':>16}{'wrong':>7}")
    for name in sys.argv[2:] or suites:
        report = run_suite(name, suites[name], program)
        if report is None:
            print(f"{name:18} left out: its tests are in no package, GM_PEER_SUITES names no folder with {suites[name]['folder']}")
            continue
        passed = [case for case in report["passed"] if case not in report["wrong"]]
        print(f"{name:18}{len(passed):6}{len(report['differs']):8}{len(report['not_applicable']):16}{len(report['wrong']):7}")
        for case, why in report["wrong"].items():
            print(f"  {case}: {why}")
            status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
