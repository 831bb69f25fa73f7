"""plugin - pytest with our classes in the place of a peer's, and every case on a list.

Options come from the environment: GM_PEER the suite, GM_CASES cases.toml, GM_REPORT where the outcomes go (JSON).
"""

import json
import os
import pathlib
import re
import sys
import tomllib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import adapter  # noqa: E402

SUITE = os.environ["GM_PEER"]
CASES = tomllib.loads(pathlib.Path(os.environ["GM_CASES"]).read_text())[SUITE]

report = {"passed": [], "differs": {}, "not_applicable": {}, "wrong": {}}


# ---- the peer's module, ours in it ----

def put_in_place():
    if SUITE == "hdbscan":
        import hdbscan

        hdbscan.HDBSCAN = adapter.hdbscan_class(hdbscan.HDBSCAN)
        hdbscan.hdbscan = adapter.hdbscan_function(hdbscan.HDBSCAN)
    elif SUITE == "sklearn.cluster":
        import sklearn.cluster

        sklearn.cluster.HDBSCAN = adapter.SklearnHDBSCAN
    elif SUITE == "sklearn.text":
        import sklearn.feature_extraction.text as text

        text.TfidfVectorizer = adapter.tfidf_class(text.TfidfVectorizer)
    elif SUITE == "umap":
        import umap

        umap.UMAP = adapter.UMAP
    elif SUITE == "fast_hdbscan":
        import fast_hdbscan

        fast_hdbscan.HDBSCAN, fast_hdbscan.fast_hdbscan = adapter.FastHDBSCAN, adapter.fast_hdbscan


def keep_old_calls():
    """What suites still call and scikit-learn and pytest no longer have."""
    import sklearn.manifold
    import sklearn.utils._testing as testing

    def assert_raises(kind, call, *words, **named):
        with pytest.raises(kind):
            call(*words, **named)

    if not hasattr(testing, "assert_raises"):
        testing.assert_raises = assert_raises
    theirs, warns = sklearn.manifold.trustworthiness, pytest.warns

    def trustworthiness(X, embedded, n_neighbors=5, **named):
        return theirs(X, embedded, n_neighbors=n_neighbors, **named)

    sklearn.manifold.trustworthiness = trustworthiness
    pytest.warns = lambda kind=Warning, *words, **named: warns(kind or Warning, *words, **named)


put_in_place()
keep_old_calls()


# ---- the lists ----

def as_pattern(name):
    """A star stands for anything; brackets are themselves."""
    return re.compile(re.escape(name).replace(r"\*", ".*"))


def listed():
    """(list, name, its group) of every entry."""
    yield from (("runs", name, {}) for name in CASES["runs"])
    for which in ("differs", "not_applicable"):
        for group in CASES.get(which, ()):
            yield from ((which, name, group) for name in group["cases"])


PATTERNS = [(which, name, group, as_pattern(name)) for which, name, group in listed()]
used = set()


def name_of(item):
    return f"{item.path.stem}::{item.nodeid.partition('::')[2]}"


def pytest_collection_modifyitems(config, items):
    kept, dropped = [], []
    for item in items:
        name = name_of(item)
        found = [(which, entry, group) for which, entry, group, pattern in PATTERNS if pattern.fullmatch(name)]
        used.update((which, entry) for which, entry, _ in found)
        if len({(which, group.get("reason")) for which, _, group in found}) != 1:
            report["wrong"][name] = f"is on several lists: {[entry for _, entry, _ in found]}" if found else "is on no list"
            dropped.append(item)
            continue
        which, _, group = found[0]
        if which == "not_applicable":
            report["not_applicable"][name] = group["reason"]
            dropped.append(item)
            continue
        if which == "differs":
            item.add_marker(pytest.mark.xfail(strict=True, reason=group["reason"]))
            item.gm_says = group["says"]
        kept.append(item)
    files = {item.path.stem for item in items}
    for which, entry, _, _ in PATTERNS:
        if (which, entry) not in used and entry.partition("::")[0] in files:
            report["wrong"][entry] = f"is listed as {which}, and is no case"
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    item.gm_uses = adapter.uses
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = (yield).get_result()
    name = name_of(item)
    if outcome.when != "call" and outcome.outcome == "passed":
        return
    if hasattr(outcome, "wasxfail") and outcome.outcome == "skipped":
        report["differs"][name] = outcome.wasxfail
        said = str(call.excinfo.value)
        if adapter.uses == item.gm_uses:
            report["wrong"][name] = "differs without a look at our program"
        elif item.gm_says not in said:
            report["wrong"][name] = f"differs by another sentence than '{item.gm_says}': {said[:300]}"
    elif outcome.outcome == "passed":
        report["passed"].append(name)
        if adapter.uses == item.gm_uses:
            report["wrong"][name] = "passed without a look at our program"
    elif outcome.outcome == "skipped":
        report["wrong"][name] = "is skipped by its suite"
    else:
        crash = getattr(outcome.longrepr, "reprcrash", None)
        said = crash.message.splitlines()[0] if crash else str(outcome.longrepr).splitlines()[-1]
        report["wrong"][name] = "listed as a difference, and passes" if "XPASS" in str(outcome.longrepr) else said[:300]


def pytest_collectreport(report):
    if report.failed:
        globals()["report"]["wrong"][report.nodeid or SUITE] = str(report.longrepr).splitlines()[-1][:300]


def pytest_sessionfinish(session):
    pathlib.Path(os.environ["GM_REPORT"]).write_text(json.dumps(report, indent=1))
