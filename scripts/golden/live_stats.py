#!/usr/bin/env python3
"""live_stats - gm-probe stats again from the trace's arrays, by numpy and scikit-learn.

    live_stats.py BUILD [TRACE]    BUILD: a build folder with the programs

TRACE: default a small one of the demo model over a corpus of three kinds of text, made here. Everything is computed from
/routing and /tokens, where gm-probe takes it from /samples/counts: load, mutual information with the subset
(sklearn.metrics.mutual_info_score over the choices themselves), OLMoE's specialisation as its published script counts it, lift,
nPMI, risk difference, choices beyond a capacity, repeated experts, caches of experts, guesses from the layer before, the router by position and phase, the softmax where logits are recorded, by token id, experts together and
from layer to layer, OLMoE's published script, the agreement of bf16 with f32.
The permutation null draws its own numbers and is held against its own spread. Exit 3 when a bound below does not hold.
"""

import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden.live_tokenizer import program  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXACT, UNITS, NULL, SINGLE = 1e-9, 2e-6, 4.0, 1e-5  # of a measure; of a mean in units of 2^-20; null's distance in standard errors; of vectors held in f32
TEMPLATE = 2
KINDS = {
    "prose": "the river ran past a stone house where snow lay on every road and nobody came in winter".split(),
    "query": "SELECT name FROM rivers WHERE length > 100 ORDER BY name ; INSERT INTO roads VALUES ( 1 )".split(),
    "russian": "река текла мимо каменного дома где зимой лежал снег и никто не приходил по дороге".split(),
}


def make_trace(binary, folder, numerics="bf16"):
    corpus, trace = folder / "c.jsonl", folder / f"{numerics}.h5"
    rng = random.Random(1)
    with open(corpus, "w", encoding="utf-8") as out:
        for i in range(150):
            kind = sorted(KINDS)[i % 3]
            text = " ".join(rng.choices(KINDS[kind], k=rng.randrange(40, 200)))
            out.write(json.dumps({"text": text, "meta": {"pile_set_name": kind}}) + "\n")
    subprocess.run([binary, "collect", "--model", SOURCE / "notebooks-data/demo-model", "--corpus", corpus, "--min-tokens", "16",
                    "--numerics", numerics, "--record", "logits:0.3", "-o", trace, "--force", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return trace


def stats_of(binary, *words):
    done = subprocess.run([binary, "stats", *words, "--json", "--quiet"], check=True, capture_output=True)
    return json.loads(done.stdout)


class Trace:
    def __init__(self, path):
        import h5py

        with h5py.File(path) as file:
            self.expert = file["routing/expert_id"][...].astype(int)  # (T,L,K)
            gate = file["routing/gate"][...].astype(float)
            self.mass = file["routing/topk_mass"][...].astype(float)
            self.margin = file["routing/margin"][...].astype(float)
            self.logits, self.logits_token = (file[f"routing/{name}"][...] if f"routing/{name}" in file else None
                                              for name in ("logits", "logits_token"))
            self.phase, self.pos, self.token_id = (file[f"tokens/{name}"][...] for name in ("phase", "pos", "token_id"))
            offset, subset = file["samples/offset"][...].astype(int), file["samples/subset"][...].astype(int)
            names = {code: name for name, code in h5py.check_enum_dtype(file["samples/subset"].dtype).items()}
            self.layers = file["layer"][...]
            self.n_experts = file["samples/counts"].shape[2]
        self.names = [names[code] for code in range(len(names))]
        self.document = np.repeat(np.arange(len(subset)), np.diff(offset))
        self.subset_of_document, self.subset = subset, subset[self.document]
        self.good = self.expert[:, :, 0].max(axis=1) < self.n_experts
        self.counted = self.good & (self.phase != TEMPLATE)
        share = gate / gate.sum(axis=2, keepdims=True)
        self.entropy = -(share * np.log2(np.maximum(share, 1e-30))).sum(axis=2)  # (T,L) bits


class Worst(dict):
    def add(self, name, found, wanted):
        found, wanted = (np.array(x, dtype=float) for x in (found, wanted))  # null becomes NaN
        assert found.shape == wanted.shape, (name, found.shape, wanted.shape)
        assert np.array_equal(np.isnan(found), np.isnan(wanted)), (name, found, wanted)
        self[name] = max(self.get(name, 0.0), float(np.nanmax(np.abs(found - wanted), initial=0)))


def load_of(count):
    ascending, n = np.sort(count), count.sum()
    share = count[count > 0] / n
    rank = np.arange(1, len(count) + 1)
    return {
        "gini": 2 * (rank * ascending).sum() / (len(count) * n) - (len(count) + 1) / len(count),
        "cv": count.std() / count.mean(),
        "max_over_mean": count.max() / count.mean(),
        "load_entropy_bits": -(share * np.log2(share)).sum(),
        "dead": (count == 0).sum(),
        "committee": 1 + np.searchsorted(2 * ascending[::-1].cumsum(), n),
    }


def check_null(trace, choices, told, worst, permutations=200):
    """The mean of the permuted informations, in standard errors of the two means."""
    from sklearn.metrics import mutual_info_score

    n_documents, n_subsets = len(trace.subset_of_document), len(trace.names)
    by_document = np.zeros((n_documents, trace.n_experts))
    np.add.at(by_document, (trace.document[trace.counted][:, None], choices), 1)
    rng, bits = np.random.default_rng(1), []
    for _ in range(permutations):
        table = np.zeros((n_subsets, trace.n_experts))
        np.add.at(table, rng.permutation(trace.subset_of_document), by_document)
        bits.append(mutual_info_score(None, None, contingency=table) / np.log(2))
    spread = np.std(bits) * np.sqrt(1 / permutations + 1 / 99)
    worst.add("null, standard errors", told["null_bits"] / spread, np.mean(bits) / spread)


def check_layers(trace, told, worst):
    from sklearn.metrics import mutual_info_score

    for at, layer in enumerate(told["layers"]):
        choices = trace.expert[trace.counted, at]  # (tokens,K)
        count = np.bincount(choices.ravel(), minlength=trace.n_experts)
        for name, wanted in load_of(count).items():
            worst.add("load", layer[name], wanted)
        worst.add("load", layer["share"], count / count.sum())
        bits = mutual_info_score(np.repeat(trace.subset[trace.counted], choices.shape[1]), choices.ravel()) / np.log(2)
        worst.add("mutual information", layer["subset_information"]["bits"], bits)
        check_null(trace, choices, layer["subset_information"], worst)
        check_router(trace, trace.counted, layer, worst, at)


def check_capacity(trace, told, worst):
    n_documents, n_chosen = len(trace.subset_of_document), trace.expert.shape[2]
    document = trace.document[trace.counted]
    tokens = np.bincount(document, minlength=n_documents)[:, None]
    for at, layer in enumerate(told["layers"]):
        count = np.zeros((n_documents, trace.n_experts))
        np.add.at(count, (document[:, None], trace.expert[trace.counted, at]), 1)
        for which, factor in enumerate(told["capacity_factors"]):
            for key, c, n in (("dropped_by_document", count, tokens), ("dropped_of_all", count.sum(axis=0), tokens.sum())):
                beyond = np.maximum(0, c - np.ceil(factor * n * n_chosen / trace.n_experts)).sum()
                worst.add("capacity", layer[key][which], beyond / count.sum())


def lru_hits(choices, n_experts, size):
    """An ordered dictionary is the cache; of a token's experts the strongest is used last."""
    cache, hits = collections.OrderedDict((e, None) for e in reversed(range(size))), 0
    for chosen in choices:
        hits += sum(e in cache for e in chosen)
        for e in reversed(chosen):
            cache[e] = None
            cache.move_to_end(e)
        while len(cache) > size:
            cache.popitem(last=False)
    return hits / choices.size


def guessed_hits(before, then, n_experts):
    """By rank: every fourth token guessed by naive Bayes from the tokens up to the last power of two."""
    n_chosen, rank = before.shape[1], np.zeros(n_experts)
    one_hot = [np.zeros((len(x), n_experts)) for x in (before, then)]
    for hot, x in zip(one_hot, (before, then)):
        np.put_along_axis(hot, x, 1, axis=1)
    learnt = 256
    while learnt < len(before):
        first, second = (hot[:learnt] for hot in one_hot)
        p = (second.sum(axis=0) + 0.5) / (learnt + 1)
        given = (first.T @ second + 0.5) / (first.sum(axis=0)[:, None] + 1)
        hint = np.rint((np.log(given / p) + np.log(p) / n_chosen) * 4096)
        score = one_hot[0][learnt: 2 * learnt: 4] @ hint
        as_high = (score[:, None, :] >= np.take_along_axis(score, then[learnt: 2 * learnt: 4], 1)[:, :, None]).sum(axis=2)
        np.add.at(rank, as_high - 1, 1)
        learnt *= 2
    return rank.cumsum() / rank.sum()


def check_reuse(trace, told, worst):
    from math import comb

    after = np.flatnonzero(trace.counted[1:] & trace.counted[:-1] & (trace.document[1:] == trace.document[:-1]))
    n_chosen, n_experts = trace.expert.shape[2], trace.n_experts
    worst.add("tokens", told["reuse"]["neighbours"], len(after))
    for at, layer in enumerate(told["reuse"]["layers"]):
        choices = trace.expert[trace.counted, at]
        one, two = trace.expert[after, at], trace.expert[after + 1, at]
        shared = (one[:, :, None] == two[:, None, :]).sum(axis=(1, 2))
        first = np.bincount(choices[:, 0], minlength=n_experts) / len(choices)
        rate = np.bincount(choices.ravel(), minlength=n_experts) / len(choices)
        worst.add("repeats", layer["same_first"], (one[:, 0] == two[:, 0]).mean())
        worst.add("repeats", layer["same_first_chance"], (first ** 2).sum())
        worst.add("repeats", layer["same_any"], (shared > 0).mean())
        worst.add("repeats", layer["same_any_even"], 1 - comb(n_experts - n_chosen, n_chosen) / comb(n_experts, n_chosen))
        worst.add("repeats", layer["shared"], shared.mean() / n_chosen)
        worst.add("repeats", layer["shared_chance"], (rate ** 2).sum() / n_chosen)
        worst.add("caches", layer["fixed_hits"], np.sort(rate)[::-1].cumsum() / n_chosen)
        for size in (n_chosen, n_experts // 4, n_experts // 2, n_experts):
            worst.add("caches", layer["lru_hits"][size - 1], lru_hits(choices, n_experts, size))
        if at > 0:
            worst.add("guesses", layer["guessed"], guessed_hits(trace.expert[trace.counted, at - 1], choices, n_experts))


def check_router(trace, rows, told, worst, at=slice(None)):
    for name, value in (("gate_entropy_bits", trace.entropy), ("topk_mass", trace.mass), ("margin", trace.margin)):
        worst.add("router", told[name], value[rows][:, at].mean())
    check_softmax(trace, rows, told, worst, at)


def check_softmax(trace, rows, told, worst, at=slice(None)):
    """Entropy of the softmax over all experts, of the sampled tokens among `rows`."""
    if trace.logits is None:
        return
    logits = trace.logits.astype(float)
    share = np.exp(logits - logits.max(axis=2, keepdims=True))
    share /= share.sum(axis=2, keepdims=True)
    entropy = -(share * np.log2(np.maximum(share, 1e-300))).sum(axis=2)  # (rows,L)
    chosen = entropy[rows[trace.logits_token]][:, at]
    worst.add("tokens", told["softmax_pairs"], chosen.size)
    worst.add("router", told["softmax_entropy_bits"], chosen.mean() if chosen.size else np.nan)


def check_places(trace, told, worst):
    firsts = [place["first"] for place in told["positions"]] + [np.inf]
    for place, end in zip(told["positions"], firsts[1:]):
        rows = trace.counted & (trace.pos >= place["first"]) & (trace.pos < end)
        worst.add("tokens", place["tokens"], rows.sum())
        check_router(trace, rows, place, worst)
    for place in told["phases"]:
        rows = trace.good & (trace.phase == ("prompt", "generated", "template").index(place["phase"]))
        worst.add("tokens", place["tokens"], rows.sum())
        check_router(trace, rows, place, worst)


def check_subsets(trace, told, worst):
    chose = np.zeros((len(trace.expert), trace.expert.shape[1], trace.n_experts), dtype=bool)
    chose = chose[trace.counted]
    np.put_along_axis(chose, trace.expert[trace.counted], True, axis=2)
    subset = trace.subset[trace.counted]
    smooth = 0.05 * trace.expert.shape[2] / trace.n_experts
    overall = chose.mean(axis=0)
    for code, domain in enumerate(told["subsets"]):
        assert domain["subset"] == trace.names[code]
        inside, outside = chose[subset == code], chose[subset != code]
        joint = inside.sum(axis=0) / len(chose)
        with np.errstate(divide="ignore", invalid="ignore"):
            npmi = np.log(joint / overall / np.mean(subset == code)) / -np.log(joint)
        npmi[(joint == 0) & (overall > 0)] = -1
        npmi[overall == 0] = np.nan
        worst.add("domain specialisation", domain["specialisation"], inside.mean(axis=0))
        worst.add("lift", domain["lift"], (inside.mean(axis=0) + smooth) / (overall + smooth))
        worst.add("nPMI", domain["npmi"], npmi)
        worst.add("risk difference", domain["risk_difference"], inside.mean(axis=0) - outside.mean(axis=0))


def check_tokens(trace, told, worst):
    """By token id; all ids of so small a trace have rows of their own."""
    from sklearn.metrics import mutual_info_score

    ids, code = np.unique(trace.token_id[trace.counted], return_inverse=True)
    worst.add("tokens", told["by_token"]["ids"], len(ids))
    worst.add("tokens", told["by_token"]["share"], 1)
    rng = np.random.default_rng(1)
    for at, layer in enumerate(told["by_token"]["layers"]):
        choices = trace.expert[trace.counted, at]  # (tokens,K)
        n_chosen = choices.shape[1]
        bits = [mutual_info_score(np.repeat(c, n_chosen), choices.ravel()) / np.log(2)
                for c in [code, *(rng.permutation(code) for _ in range(20))]]
        met = np.zeros((len(ids), trace.n_experts))
        np.add.at(met, (code[:, None], choices), 1)
        chose = np.zeros((len(choices), trace.n_experts))
        np.put_along_axis(chose, choices, 1, axis=1)
        with np.errstate(invalid="ignore"):
            together = (chose.T @ chose) / chose.sum(axis=0)[:, None]
        worst.add("information with the id", layer["bits"], bits[0])
        worst.add("null, standard errors", layer["null_bits"] / np.std(bits[1:]), np.mean(bits[1:]) / np.std(bits[1:]))
        worst.add("vocabulary specialisation", layer["vocabulary_specialisation"], met.max(axis=1).sum() / len(code))
        worst.add("co-activation", layer["coactivation"], together)
        if at + 1 < trace.expert.shape[1]:
            then = np.zeros_like(chose)
            np.put_along_axis(then, trace.expert[trace.counted, at + 1], 1, axis=1)
            with np.errstate(invalid="ignore"):
                worst.add("co-activation", layer["coactivation_next"], (chose.T @ then) / chose.sum(axis=0)[:, None])
        check_script(code, choices, trace.n_experts, layer["olmoe_script"], worst)


def check_script(code, choices, n_experts, told, worst):
    """As run_moe_analysis.py of OLMoE counts: the strongest expert of an id, a plain mean; pairs of neighbouring ranks."""
    strongest = collections.defaultdict(list)
    for id_, expert in zip(code, choices[:, 0]):
        strongest[id_].append(expert)
    shares = [collections.Counter(experts).most_common(1)[0][1] / len(experts) for experts in strongest.values()]
    worst.add("OLMoE's script", told["vocabulary_specialisation"], np.mean(shares))
    pairs = np.zeros((n_experts, n_experts))
    for k in range(choices.shape[1] - 1):
        np.add.at(pairs, (choices[:, k], choices[:, k + 1]), 1)
        np.add.at(pairs, (choices[:, k + 1], choices[:, k]), 1)
    single = np.bincount(choices.ravel(), minlength=n_experts)
    wanted = np.where(single[:, None] > 0, pairs / np.maximum(single, 1)[:, None], np.nan)
    found, other = np.array(told["coactivation"], dtype=float), ~np.eye(n_experts, dtype=bool)
    worst.add("OLMoE's script", found[other], wanted[other])


def check_cosines(trace, told, worst):
    """Every pair of documents, one by one."""
    usage = np.zeros((len(trace.subset_of_document), trace.expert.shape[1], trace.n_experts))
    for at in range(trace.expert.shape[1]):
        np.add.at(usage[:, at], (trace.document[trace.counted][:, None], trace.expert[trace.counted, at]), 1)
    unit = usage.reshape(len(usage), -1)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    first, second = np.triu_indices(len(unit), 1)
    cosine, subset = (unit @ unit.T)[first, second], trace.subset_of_document
    same = subset[first] == subset[second]
    worst.add("cosines of documents", told["within_cosine"], cosine[same].mean())
    worst.add("cosines of documents", told["between_cosine"], cosine[~same].mean())
    assert told["cosine_documents"] == len(unit) <= 1024
    sides = [cosine[same], cosine[~same]]
    pooled = sum(((x - x.mean()) ** 2).sum() for x in sides) / (len(cosine) - 2)
    worst.add("Cohen's d", told["cosine_cohen_d"], (sides[0].mean() - sides[1].mean()) / np.sqrt(pooled))
    for code, domain in enumerate(told["subsets"]):
        worst.add("cosines of documents", domain["within_cosine"], cosine[same & (subset[first] == code)].mean())


def check_asked(trace, asked, worst):
    """Tokens and documents of one expert: the measures that they are sorted by are the largest there are."""
    at = int(np.flatnonzero(trace.layers == asked["layer"])[0])
    chose = (trace.expert[trace.counted, at] == asked["expert"]).any(axis=1)
    document, token_id = trace.document[trace.counted], trace.token_id[trace.counted]
    share = np.sort(np.bincount(document, chose) / np.bincount(document))[::-1]
    worst.add("an expert's documents", [d["share"] for d in asked["documents"]], share[: len(asked["documents"])])
    ids, code, tokens = np.unique(token_id, return_inverse=True, return_counts=True)
    met = np.bincount(code, chose)
    with np.errstate(divide="ignore", invalid="ignore"):
        adds = np.nan_to_num(met * np.log(met / tokens / chose.mean()))
    order = np.argsort(-adds)[: len(asked["tokens"])]
    found = [int(np.flatnonzero(ids == t["id"])[0]) for t in asked["tokens"]]
    worst.add("an expert's tokens", adds[found], adds[order])
    worst.add("an expert's tokens", [t["specialisation"] for t in asked["tokens"]], met[found] / tokens[found])
    worst.add("an expert's tokens", [t["lift"] for t in asked["tokens"]], met[found] / tokens[found] / chose.mean())


def check_against(a, b, told, worst):
    """Two traces of the same documents in the same order."""
    rows = np.flatnonzero(a.good & b.good)
    shared = np.array([[len(np.intersect1d(x, y)) for x, y in zip(a.expert[t], b.expert[t])] for t in rows])  # (rows,L)
    first = a.expert[rows][:, :, 0] == b.expert[rows][:, :, 0]
    n_chosen, margin = a.expert.shape[2], a.margin[rows]
    worst.add("tokens", told["tokens"], len(rows))

    def check(place, chosen):
        worst.add("tokens", place["pairs"], chosen.sum())
        worst.add("agreement", place["same_set"], (shared == n_chosen)[chosen].mean())
        worst.add("agreement", place["same_first"], first[chosen].mean())
        worst.add("agreement", place["shared"], shared[chosen].mean() / n_chosen)

    for at, layer in enumerate(told["layers"]):
        check(layer, np.arange(margin.shape[1])[None, :].repeat(len(rows), 0) == at)
    for place in told["margins"]:
        below = np.inf if place["below"] is None else place["below"]
        check(place, (margin >= place["from"]) & ((margin < below) | np.isinf(below)))


def main():
    binary = program(sys.argv[1], "gm-probe")
    if binary is None:
        print("live_stats: skipped, gm-probe is not built")
        return 77
    worst = Worst()
    with tempfile.TemporaryDirectory() as folder:
        path = sys.argv[2] if len(sys.argv) > 2 else make_trace(binary, pathlib.Path(folder))
        told = stats_of(binary, path, "--top", "10", "--expert", "1:0", "--expert", "5:22", "--min-support", "0", "--olmoe")
        trace = Trace(path)
        pair = [make_trace(binary, pathlib.Path(folder), numerics) for numerics in ("bf16", "f32")]
        both = stats_of(binary, pair[0], "--against", pair[1])
        check_against(Trace(pair[0]), Trace(pair[1]), both, worst)
    check_layers(trace, told, worst)
    check_capacity(trace, told, worst)
    check_reuse(trace, told, worst)
    check_places(trace, told, worst)
    check_subsets(trace, told, worst)
    check_cosines(trace, told, worst)
    if told["by_token"]["share"] == 1:
        check_tokens(trace, told, worst)
        for asked in told["asked"]:
            check_asked(trace, asked, worst)
    good = True
    for name, difference in worst.items():
        bound = {"router": UNITS, "null, standard errors": NULL, "Cohen's d": SINGLE}.get(name, EXACT)
        good = good and difference <= bound
        print(f"{name:26} {difference:.2g} (bound {bound:g})")
    print("margin from, pairs, same K:", *(f"{m['from']:g} {m['pairs']} {m['same_set']:.4f};" for m in both["margins"]))
    print(f"{trace.counted.sum()} tokens, {len(told['layers'])} layers: {'agree' if good else 'DIFFER'}")
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
