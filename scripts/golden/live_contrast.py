#!/usr/bin/env python3
"""live_contrast - gm-probe contrast again from the trace's counts, by numpy and scipy.

    live_contrast.py BUILD     BUILD: a build folder with gm-probe

The demo model over a corpus of three kinds of text made here, and one of twenty pairs of groups that differ in nothing. Rates,
differences, intervals and t are held against scipy.stats.ttest_ind of unequal variances; p against that of deals drawn here, in
standard errors of both; and of the pairs the least p over all experts against a flat distribution (Kolmogorov-Smirnov). --paired
is held against scipy.stats.ttest_rel and signs drawn here, on texts and copies of them with some words exchanged; so is
--against-trace, on other tokens of the same texts in another order, matched here by their hashes, with choices moved by layer. Exit
77 when the program is absent, 3 when a bound does not hold.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden.live_stats import KINDS  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FIGURE, T, DEALT, FLAT = 1e-6, 1e-5, 4.0, 0.01  # of a rate; of t, relative; of p, in standard errors; least p of the KS test
DEALS, PAIRS, OF_PAIR = 999, 40, 6


def collect(binary, folder, name, documents, *words):
    corpus, trace = folder / f"{name}.jsonl", folder / f"{name}.h5"
    with open(corpus, "w", encoding="utf-8") as out:
        for subset, text in documents:
            out.write(json.dumps({"text": text, "meta": {"pile_set_name": subset}}) + "\n")
    subprocess.run([binary, "collect", "--model", SOURCE / "notebooks-data/demo-model", "--corpus", corpus, "--min-tokens", "8",
                    "--record", "counts", "--no-text", "-o", trace, "--force", "--quiet", *words], check=True, stdout=subprocess.DEVNULL)
    return trace


def contrast(binary, trace, *words):
    done = subprocess.run([binary, "contrast", trace, *words, "--json", "--quiet"], check=True, capture_output=True)
    return json.loads(done.stdout)


def read(trace):
    """Rates (N,L*E), names of subsets (N), K / E."""
    import h5py

    with h5py.File(trace) as file:
        counts = file["samples/counts"][:].astype(float)
        names = {number: name for name, number in h5py.check_enum_dtype(file["samples/subset"].dtype).items()}
        subset = np.array([names[number] for number in file["samples/subset"][:]])
        chosen = int(file.attrs["n_chosen"])
    rate = counts / counts.sum(axis=2, keepdims=True) * chosen
    return rate.reshape(len(rate), -1), subset, chosen / counts.shape[2]


def largest_t(rate, of_a):
    n, m = of_a.sum(), (~of_a).sum()
    a, b = rate[of_a], rate[~of_a]
    error = np.sqrt(a.var(axis=0, ddof=1) / n + b.var(axis=0, ddof=1) / m)
    difference = a.mean(axis=0) - b.mean(axis=0)
    with np.errstate(all="ignore"):
        return np.abs(np.where(error > 1e-12, difference / error, 0)).max()


def largest_paired_t(difference):
    mean, error = difference.mean(axis=0), difference.std(axis=0, ddof=1) / np.sqrt(len(difference))
    with np.errstate(all="ignore"):
        return np.abs(np.where(error > 1e-12, mean / error, 0)).max()


def check_groups(said, rate, of_a, even):
    from scipy import stats

    rng = np.random.default_rng(3)
    null = np.array([largest_t(rate, rng.permutation(of_a)) for _ in range(DEALS)])
    return check_against_scipy(said, rate[of_a], rate[~of_a], stats.ttest_ind(rate[of_a], rate[~of_a], equal_var=False), null, even)


def check_pairs(said, a, b, even):
    from scipy import stats

    rng = np.random.default_rng(3)
    null = np.array([largest_paired_t((a - b) * rng.choice([-1.0, 1.0], size=(len(a), 1))) for _ in range(DEALS)])
    return check_against_scipy(said, a, b, stats.ttest_rel(a, b), null, even)


def check_against_scipy(said, of_a, of_b, there, null, even):
    low, high = there.confidence_interval()
    a, b = of_a.mean(axis=0), of_b.mean(axis=0)
    want = {"rate": a, "rate_against": b, "difference": a - b, "low": low, "high": high,
            "log_ratio": np.log((a + 0.05 * even) / (b + 0.05 * even))}
    varies = np.isfinite(there.statistic)
    ours = {key: np.array([e[key] for e in said["experts"]], float) for key in [*want, "t", "p"]}
    figure = np.max([np.abs(ours[key] - value)[varies].max() for key, value in want.items()])  # of NaN: NaN
    t = (np.abs(ours["t"] - there.statistic) / (1 + np.abs(there.statistic)))[varies].max()
    p = (1 + (null[:, None] >= np.abs(there.statistic[varies])).sum(axis=0)) / (1 + DEALS)
    error = np.sqrt(2 * np.maximum(p * (1 - p), 1 / DEALS) / DEALS)
    return figure, t, (np.abs(ours["p"][varies] - p) / error).max(), int(varies.sum())


def check_traces(said, first, second, even):
    """The same, of documents matched by their hashes, and the choices moved by layer."""
    import h5py

    shas = []
    for trace in (first, second):
        with h5py.File(trace) as file:
            shas.append({bytes(sha): i for i, sha in enumerate(file["samples/sha"][:])})
    both = sorted(shas[0].keys() & shas[1].keys())
    a, b = (read(trace)[0][[shas[k][sha] for sha in both]] for k, trace in enumerate((first, second)))
    layers = len(said["layers"])
    experts = a.shape[1] // layers
    moved = np.abs((a - b).mean(axis=0)).reshape(layers, experts).sum(axis=1) / 2 / (even * experts)
    worst = max(abs(layer["moved"] - want) for layer, want in zip(said["layers"], moved))
    alone = [len(shas[k]) - len(both) for k in (0, 1)]
    counted = [said["pairs"], said["only_first"], said["only_second"]] == [len(both), *alone]
    figure, *rest = check_pairs(said, a, b, even)
    return max(figure, worst) if counted else np.inf, *rest


def within(what, figure, t, p, n):
    print(f"{what}: {n} experts that vary, figures {figure:.2g} (bound {FIGURE:g}), t {t:.2g} (bound {T:g}), p {p:.2g} "
          f"standard errors (bound {DEALT:g})")
    return figure <= FIGURE and t <= T and p <= DEALT


def main():
    binary = program(sys.argv[1], "gm-probe")
    if binary is None:
        print("live_contrast: skipped, gm-probe is not built")
        return 77
    from scipy import stats

    rng, good = random.Random(1), True
    prose = KINDS["prose"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        mixed = []  # kinds of text that differ a little: so many words in a hundred are of the query
        for i in range(60):
            share = (0.1, 0.13, 0.3)[i % 3]
            words = [rng.choice(KINDS["query"] if rng.random() < share else prose) for _ in range(rng.randrange(30, 90))]
            mixed.append((("little", "some", "more")[i % 3], " ".join(words)))
        trace = collect(binary, folder, "mixed", mixed)
        rate, subset, even = read(trace)
        for words, of_a, kept in ((("--subset", "some", "--against", "little"), subset == "some", subset != "more"),
                                  (("--subset", "more"), subset == "more", subset != "")):
            said = contrast(binary, trace, *words, "--permutations", str(DEALS))
            good = within(" ".join(words), *check_groups(said, rate[kept], of_a[kept], even)) and good
        twins = []  # a text, and the same with a few words of queries in place of its own
        for _ in range(40):
            words = rng.choices(prose, k=rng.randrange(30, 90))
            twins += [("plain", " ".join(words)),
                      ("changed", " ".join(rng.choice(KINDS["query"]) if rng.random() < 0.1 else word for word in words))]
        trace = collect(binary, folder, "twins", twins)
        rate, subset, even = read(trace)
        words = ("--subset", "changed", "--paired", "next")
        said = contrast(binary, trace, *words, "--permutations", str(DEALS))
        good = within(" ".join(words), *check_pairs(said, rate[subset == "changed"], rate[subset == "plain"], even)) and good
        first = collect(binary, folder, "first", twins[:60])
        second = collect(binary, folder, "second", twins[:10:-1], "--doc-tokens", "24")
        said = contrast(binary, first, "--against-trace", second, "--permutations", str(DEALS))
        good = within("--against-trace", *check_traces(said, first, second, even)) and good
        alike = [(f"g{i % (2 * PAIRS):03}", " ".join(rng.choices(prose, k=40))) for i in range(2 * PAIRS * OF_PAIR)]
        trace = collect(binary, folder, "alike", alike)
        least = [min(e["p"] for e in contrast(binary, trace, "--subset", f"g{2 * i:03}", "--against", f"g{2 * i + 1:03}",
                                              "--permutations", "199")["experts"]) for i in range(PAIRS)]
        flat = stats.kstest(least, "uniform").pvalue
        good = good and flat >= FLAT
        print(f"{PAIRS} pairs of groups that do not differ: least p {min(least):.3g} to {max(least):.3g}, mean {np.mean(least):.2g}, "
              f"{sum(p <= 0.05 for p in least)} at .05 or below; flat: {flat:.2g} (bound {FLAT:g})")
    print("agree" if good else "DIFFER")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
