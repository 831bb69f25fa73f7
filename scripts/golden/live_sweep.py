#!/usr/bin/env python3
"""live_sweep - the figures of a sweep, computed again from its texts' verdicts by numpy and SciPy.

    live_sweep.py BUILD [SWEEP]    BUILD is not looked at

SWEEP: default build/demo/demo.sweep.h5, which scripts/demo leaves; exit 77 when it is absent. Log-odds, shares, shifts, p,
intervals, specificity and the topics' doses follow from /texts and /cells alone, so they must agree. Exit 3 when the bound below
does not hold.
"""

import json
import pathlib
import sys

import numpy as np
import scipy.stats

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXACT = 1e-9  # of a log-odds
PLAN, RANDOM = 1, 2
ALWAYS = {"log-odds", "share", "shift", "interval", "p", "specificity"}  # what any sweep must let us compare


class Sweep:
    def __init__(self, path):
        import h5py

        with h5py.File(path) as file:
            for group in ("cells", "texts", "prompts", "clusters", "cost"):
                setattr(self, group, {name: file[group][name][...] for name in file[group]})
            self.summary = json.loads(bytes(file["summary"][...]))
            self.config = json.loads(bytes(file["config"][...]))
        log_p = self.texts["log_p"].astype(float)
        with np.errstate(divide="ignore"):
            self.odds = np.clip(log_p - np.log(-np.expm1(log_p)), -30, 30)
        self.best = log_p.argmax(axis=1)
        self.class_of = dict(zip(self.clusters["id"], self.clusters["class"]))

    def texts_of(self, cell, own):
        """Texts of a cell whose prompt was not taken from the class itself."""
        prompt = self.texts["prompt"]
        return np.flatnonzero((self.texts["cell"] == cell) & (self.prompts["class"][prompt] != own))

    def base(self, cell):
        cells = self.cells
        return np.flatnonzero((cells["cluster"] == -1) & (cells["half"] == cells["half"][cell]))[0]

    def differences(self, cell, class_id, own):
        """Mean over continuations of a prompt, steered less unsteered, prompt by prompt."""
        sides = []
        for at in (cell, self.base(cell)):
            texts = self.texts_of(at, own)
            prompts = self.texts["prompt"][texts]
            sides.append({p: self.odds[texts[prompts == p], class_id].mean() for p in np.unique(prompts)})
        return np.array([sides[0][p] - sides[1][p] for p in sides[0]])


def largest(worst, name, difference):
    worst[name] = float(np.maximum(worst.get(name, 0.0), difference))  # keeps NaN, which no bound allows


def check_cells(sweep, worst):
    cells = sweep.cells
    for cell in np.flatnonzero(cells["cluster"] >= 0):
        own = sweep.class_of[cells["cluster"][cell]]
        texts = sweep.texts_of(cell, own)
        if len(texts) == 0:
            continue
        change = sweep.differences(cell, own, own)
        largest(worst, "log-odds", abs(sweep.odds[texts, own].mean() - cells["log_odds"][cell]))
        largest(worst, "share", abs((sweep.best[texts] == own).mean() - cells["share"][cell]))
        largest(worst, "shift", abs(change.mean() - cells["shift"][cell]))
        if change.any():  # SciPy has no interval of numbers that are all the same
            ends = scipy.stats.t.interval(0.95, len(change) - 1, change.mean(), scipy.stats.sem(change))
            for end, name in zip(ends, ("shift_lo", "shift_hi")):
                largest(worst, "interval", abs(end - cells[name][cell]))


def check_topics(sweep, worst):
    cells = sweep.cells
    for row, told in enumerate(sweep.summary["clusters"]):
        cluster, own = told["cluster"], sweep.class_of[told["cluster"]]
        here = (cells["cluster"] == cluster) & (cells["half"] == 1) & (cells["dose"] == told["dose"])
        plan = np.flatnonzero(here & (cells["arm"] == PLAN))[0]
        draws = np.flatnonzero(here & (cells["arm"] == RANDOM))
        as_large = sum(cells["log_odds"][d] >= cells["log_odds"][plan] for d in draws)
        largest(worst, "p", abs((1 + as_large) / (1 + len(draws)) - told["p"]))
        for column, other in enumerate(sweep.clusters["class"]):
            change = sweep.differences(plan, other, own).mean()
            largest(worst, "specificity", abs(change - sweep.summary["specificity"][row][column]))
        chosen = np.flatnonzero((cells["cluster"] == cluster) & (cells["half"] == 0)
                                & (sweep.cost["kl_mean"][:, 0] <= sweep.config["max-kl"]))
        if len(chosen):
            best = chosen[cells["log_odds"][chosen].argmax()]
            same = (cells["dose"][best], cells["filter"][best]) == (told["dose"], cells["filter"][plan])
            largest(worst, "dose and filter chosen", 0 if same else 1)


def main():
    path = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else SOURCE / "build" / "demo" / "demo.sweep.h5"
    if not path.exists():
        print(f"{path} is absent: scripts/demo leaves it")
        return 77
    sweep, worst = Sweep(path), {}
    check_cells(sweep, worst)
    check_topics(sweep, worst)
    good = ALWAYS <= worst.keys()
    for name, difference in worst.items():
        good = good and difference <= EXACT
        print(f"{name:24} {difference:.2g} (bound {EXACT:g})")
    print(f"{len(sweep.cells['arm'])} cells, {len(sweep.odds)} texts: {'agree' if good else 'DIFFER'}")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
