#!/usr/bin/env python3
# label: slow
# label: long
"""Whole programs on synthetic traces whose truth is known, and on odd ones: what was planted is found; documents in another
order, copied or empty; any number of threads; almost no documents, layers or experts. Skips (77) without h5py."""
import json
import os
import pathlib
import subprocess
import sys
import types

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "scripts"))
import synthetic_judge  # noqa: E402
import synthetic_trace  # noqa: E402

BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin"))
K = 15  # neighbours, the document itself counted
FEW = ("--epochs", "50")  # where runs are compared with each other: what differs, differs in the first one


def program(name, *arguments, threads=2, code=0, kernels="auto"):
    """Standard output and standard error; the exit code must be `code`."""
    run = subprocess.run([BIN / name, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "OMP_NUM_THREADS": str(threads), "GM_KERNELS": kernels})
    assert run.returncode == code, (name, arguments, run.returncode, run.stderr)
    return run.stdout, run.stderr


def fit(trace, atlas="a.h5", threads=2, code=0, more=(), kernels="auto"):
    """What gm-cluster fit says, and the atlas's columns of documents."""
    out, err = program("gm-cluster", "fit", trace, "-o", atlas, "--force", "--quiet", *more, threads=threads, code=code,
                       kernels=kernels)
    if code:
        assert len(err.splitlines()) == 1 and out == "", (out, err)
        return err, None
    with h5py.File(atlas) as file:
        column = {name: file["samples/" + name][:] for name in ("id", "xy", "cluster", "probability", "outlier")}
        column["usage"], column["keywords"] = file["clusters/usage"][:], file["clusters/keywords"][:]
        column["quality"] = json.loads(file["quality"].attrs["json"])
        column["sane"] = (file["tree/distance"][:] >= 0).all() and np.isfinite(file["tree/distance"][:]).all()
    check_ranges(column)
    program("gm-cluster", "show", atlas)
    return out + err, column


def check_ranges(column):
    """True of any input: nothing is NaN, shares are shares."""
    assert column["sane"] and np.isfinite(column["xy"]).all() and np.isfinite(column["usage"]).all()
    for name in ("probability", "outlier"):
        assert ((column[name] >= 0) & (column[name] <= 1)).all(), (name, column[name].min(), column[name].max())
    noise = column["cluster"] < 0
    assert (column["probability"][noise] == 0).all()
    assert set(column["cluster"][~noise]) == set(range(len(column["keywords"]))), "every cluster has a member"


# ---- traces of our own ----


def write(path, counts, text=None, ids=None, chosen=None):
    """A trace of counts (N,L,E); every layer of a document sums to the same multiple of `chosen`."""
    n, L, E = counts.shape
    chosen = chosen or min(2, E)
    tokens = counts.sum(axis=2)[:, 0] // chosen
    assert (counts.sum(axis=2) == tokens[:, None] * chosen).all()
    text = [f"document {i}".encode() for i in range(n)] if text is None else text
    ids = [f"d:{i}".encode() for i in range(n)] if ids is None else ids
    column = {"text": text, "id": ids, "subset": np.zeros(n), "tokens": np.maximum(tokens, 1), "bad": tokens == 0}
    synthetic_trace.write_trace(path, {"N": n, "L": L, "E": E, "K": chosen, "text": True}, iter([counts]), column, ["one"], {}, {})


def draw(n, L=3, E=8, topics=2, tokens=100, seed=5):
    """Counts of n documents: topic t prefers expert t."""
    rng = np.random.default_rng(seed)
    share = np.ones((topics, L, E))
    for t in range(topics):
        share[t, :, t % E] += 3
    share = rng.dirichlet(np.ones(E) * 40, size=(n, L)) * share[np.arange(n) % topics]
    return rng.multinomial(tokens * min(2, E), share / share.sum(axis=2, keepdims=True)).astype(np.uint32)


def reorder(source, path, order):
    """The documents order[0..n) of a trace that has texts."""
    with h5py.File(source) as trace:
        size = {"N": len(order), "L": int(trace.attrs["n_layers"]), "E": int(trace.attrs["n_experts"]),
                "K": int(trace.attrs["n_chosen"]), "text": True}
        bounds, whole = trace["text/offset"][:], trace["text/bytes"][:].tobytes()
        names = [name.decode() for name in trace["samples/subset_name"][:]]
        column = {"text": [whole[bounds[i] : bounds[i + 1]] for i in order], "id": trace["samples/id"][:][order],
                  "subset": trace["samples/subset"][:][order], "tokens": trace["samples/n_tokens"][:][order]}
        synthetic_trace.write_trace(path, size, iter([trace["samples/counts"][:][order]]), column, names, {}, {})


# ---- the tests ----


def what_was_planted_is_found(how):
    synthetic_trace.write("planted.h5", how)
    program("gm-probe", "verify", "planted.h5")
    column = fit("planted.h5", "planted.a.h5")[1]
    found = synthetic_judge.judge("planted.h5", "planted.a.h5")
    print(found)
    assert synthetic_judge.misses(found) == [], synthetic_judge.misses(found)
    assert abs(column["quality"]["neighbour_purity"] - found["purity"]) < 0.02, "14 neighbours of ours, 15 of the judge's"
    assert abs(column["quality"]["ari"] - found["ari"]) < 1e-5


def the_judge_is_not_easily_pleased():
    """Labels moved by one document each: the figures fall to what chance gives."""
    with h5py.File("planted.a.h5") as source, h5py.File("wrong.a.h5", "w") as wrong:
        for name in ("clusters", "samples"):
            source.copy(name, wrong)
        wrong["samples/cluster"][...] = np.roll(wrong["samples/cluster"][:], 1)
        wrong["clusters/keywords"][...] = np.roll(wrong["clusters/keywords"][:], 1, axis=0)
        wrong["clusters/lift"][...] = np.roll(wrong["clusters/lift"][:], 1, axis=0)
        wrong["clusters/important"][...] = np.roll(wrong["clusters/important"][:], 1, axis=0)
    found = synthetic_judge.judge("planted.h5", "wrong.a.h5", purity=False)
    assert abs(found["ari"]) < 0.05 and found["keywords"] < 0.3 and found["experts"] < 0.3, found


def threads_change_nothing(said):
    for threads in (1, 4):
        assert fit("planted.h5", threads=threads, more=FEW)[0] == said, "the digest is part of what is said"


def instruction_sets_change_nothing(said, column):
    """The same digest, and the same figures of quality, from every set of instructions that this processor has."""
    for kernels in instructions():
        other, found = fit("planted.h5", kernels=kernels, more=FEW)
        assert other == said and found["quality"] == column["quality"], kernels
    for command in (["fit", "planted.h5", "-o", "a.h5"], ["show", "a.h5"]):  # one sentence from each command
        assert "unknown kernels 'sse'" in program("gm-cluster", *command, kernels="sse", code=1)[1], command


def instructions():
    """Names of the sets that this processor has."""
    flags = pathlib.Path("/proc/cpuinfo").read_text() if pathlib.Path("/proc/cpuinfo").exists() else ""
    flags = set(flags.split("flags", 1)[-1].split("\n", 1)[0].split())
    has = ["portable"]
    for name, needs in (("avx2", {"avx2", "fma"}), ("avx512f", {"avx512f"}), ("amx", {"amx_tile", "amx_bf16"})):
        if not needs <= flags:
            break
        has.append(name)
    return has


def order_changes_nothing(column):
    order = np.random.default_rng(3).permutation(len(column["id"]))
    reorder("planted.h5", "shuffled.h5", order)
    shuffled = fit("shuffled.h5", more=FEW)[1]
    for name in ("id", "xy", "cluster", "probability", "outlier"):
        assert (shuffled[name] == column[name][order]).all(), name
    for name in ("usage", "keywords"):
        assert (shuffled[name] == column[name]).all(), name
    assert shuffled["quality"]["ari"] == column["quality"]["ari"]


def copies_share_a_label(metric):
    """Ten documents of noise and of clusters, each copied once or 40 times, with another text."""
    counts = draw(200, topics=3)
    copies = np.concatenate([np.arange(10), np.repeat(7, 40), np.arange(190, 200)])
    counts[3] *= 2  # twice the length, the same usage as its half
    half = counts[3] // 2
    write("copies.h5", np.concatenate([counts, counts[copies], half[None]]))
    said, column = fit("copies.h5", more=("--metric", metric))
    same = np.concatenate([np.arange(200), copies, [3]])
    for name in ("xy", "cluster", "probability", "outlier"):
        assert (column[name] == column[name][same]).all(), name
    assert len(column["keywords"]) == 3 and "61 of 261 documents use the experts exactly like another one" in said, said


def nothing_counted_is_noise(metric):
    for n_zero in (1, 40):
        counts = draw(150, topics=2)
        counts[:n_zero] = 0
        write("zeros.h5", counts)
        said, column = fit("zeros.h5", more=("--metric", metric))
        assert (column["cluster"][:n_zero] == -1).all() and column["quality"]["zero_documents"] == n_zero
        assert len(column["keywords"]) == 2 and (column["cluster"][n_zero:] >= 0).mean() > 0.8, column["cluster"]
        has = "has" if n_zero == 1 else "have"
        assert f"{n_zero} of 150 documents {has} no counted choice" in said, said


def few_documents():
    for n in (0, 1, 2, K - 1):
        write("few.h5", draw(n))
        documents = "document" if n == 1 else "documents"
        assert f"the trace has {n} {documents}, but a map needs at least 15" in fit("few.h5", code=1)[0]
    for n in (K, K + 1, K + 2, 2 * K, 2 * K + 1):
        write("few.h5", draw(n))
        fit("few.h5")
        fit("few.h5", more=("--min-cluster-size", "2", "--min-samples", "1", "--allow-single-cluster"))
        said = fit("few.h5", code=1, more=("--n-neighbors", n + 1))[0]
        assert f"--n-neighbors is {n + 1}, but the trace has only {n} distinct documents" in said, said


def few_kinds_of_documents():
    one = draw(1)
    for n in (K, 200):
        write("alike.h5", np.repeat(one, n, axis=0))
        assert "all documents use the experts in the same way" in fit("alike.h5", code=1)[0]
        write("empty.h5", np.repeat(one * 0, n, axis=0))
        assert f"none of the {n} documents of the trace has a counted choice" in fit("empty.h5", code=1)[0]
    write("seven.h5", np.tile(draw(7), (10, 1, 1)))
    assert "the 70 documents of the trace use the experts in 7 different ways, but a map needs at least 15" in fit("seven.h5", code=1)[0]
    write("fifteen.h5", np.tile(draw(K), (10, 1, 1)))
    column = fit("fifteen.h5")[1]
    assert (column["cluster"] == np.tile(column["cluster"][:K], 10)).all()


def one_layer_one_expert():
    write("layer.h5", draw(90, L=1))
    assert len(fit("layer.h5")[1]["keywords"]) == 2
    length = np.arange(100, 190, dtype=np.uint32)
    write("expert.h5", np.repeat(length[:, None, None], 4, axis=1))  # every token chooses the only expert there is
    assert "all documents use the experts in the same way" in fit("expert.h5", code=1)[0]


def nobody_has_a_neighbour():
    """Every document has an expert of its own in every layer: nothing in common with anyone (Hellinger distance 1)."""
    counts = np.zeros((40, 1, 40), np.uint32)
    counts[np.arange(40), 0, np.arange(40)] = 50
    write("alone.h5", counts, chosen=1)
    assert "no two of 40 points are close enough" in fit("alone.h5", code=1)[0]
    counts = np.zeros((100, 1, 68), np.uint32)  # 60 documents alone beside 40 that are not
    counts[:60][np.arange(60), 0, np.arange(60)] = 200
    counts[60:, :, 60:] = draw(40, L=1)
    write("alone.h5", counts, chosen=1)
    column = fit("alone.h5", more=("--min-cluster-size", "5"))[1]
    assert column["quality"]["isolated_documents"] == 60 and (column["cluster"][:60] == -1).all()


def main():
    small = types.SimpleNamespace(documents=1500, layers=20, experts=32, chosen=4, topics=20, seed=1, close=0.8, text=True, choices=False, tokens=0)
    what_was_planted_is_found(small)
    the_judge_is_not_easily_pleased()
    said, column = fit("planted.h5", more=FEW)
    threads_change_nothing(said)
    instruction_sets_change_nothing(said, column)
    order_changes_nothing(column)
    for metric in ("hellinger", "euclidean", "cosine"):
        copies_share_a_label(metric)
        nothing_counted_is_noise(metric)
    few_documents()
    few_kinds_of_documents()
    one_layer_one_expert()
    nobody_has_a_neighbour()
    print("synthetic traces: as planted, in any order, for any number of threads")


if __name__ == "__main__":
    main()
