#!/usr/bin/env python3
"""scripts/steermoe_plan.py: the experts that SteerMoE would choose from a ranking that pandas pickled, and nothing in a pickle
that runs. Skips (77) without pandas."""
import importlib.util
import os
import pathlib
import pickle
import random
import subprocess
import sys

try:
    import numpy as np
    import pandas
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin"))
SCRIPT = SOURCE / "scripts/steermoe_plan.py"
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"  # MoE layers 1 to 3, 12 experts, 4 chosen
L, E = 3, 12

spec = importlib.util.spec_from_file_location("steermoe_plan", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def convert(path, *options):
    for old in pathlib.Path().glob("out.plan.safetensors"):
        old.unlink()
    words = [sys.executable, SCRIPT, path, "-o", "out.plan.safetensors", *map(str, options)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def make_ranking(risk):
    """As SteerMoE writes it: a row an expert, the largest first, with columns of several types."""
    rows = [{"layer": l, "expert": e, "a1": float(l + e), "a1_n": 0.5, "risk_diff": risk[l, e]}
            for l in range(L) for e in range(E)]
    table = pandas.DataFrame(rows)
    table["Layer_Expert"] = table.apply(lambda row: f"L{int(row['layer']):02d}\nE{int(row['expert']):02d}", axis=1)
    table["risk_diff_abs"] = table["risk_diff"].abs()
    return table.sort_values(by="risk_diff_abs", ascending=False).reset_index(drop=True)


def bias_of(path):
    """The [L,E] array, by numpy from what gm-steer exports."""
    subprocess.run([BIN / "gm-steer", "plan", path, "--export", "bias.npy", "--force"], check=True, capture_output=True)
    return np.load("bias.npy")


def expected(table, promote, suppress, chosen, reverse):
    """By pandas: the definition in the script's first lines."""
    sign = -1 if reverse else 1
    bias, forced = np.zeros((L, E), np.float32), np.zeros(L, int)
    risk = sign * table["risk_diff"]
    for row in table[risk > 0].head(promote).itertuples():
        if forced[row.layer] < chosen:
            bias[row.layer, row.expert] = 1
            forced[row.layer] += 1
    for row in table[risk < 0].head(suppress).itertuples():
        bias[row.layer, row.expert] = -1
    return bias


def check_choice():
    for seed, (promote, suppress, chosen, reverse) in enumerate([(5, 0, 4, False), (0, 7, 4, False), (14, 9, 2, True),
                                                                (1, 1, 1, False), (12, 12, 4, True)]):
        table = make_ranking(np.random.default_rng(seed).normal(size=(L, E)))
        for wide in (table, table.astype({"layer": "int32", "risk_diff": "float32"}), table[table.columns[::-1]]):
            wide.to_pickle("r.pkl")
            done = convert("r.pkl", "--promote", promote, "--suppress", suppress, "--chosen", chosen, "--first-layer", 1,
                           *(["--reverse"] if reverse else []))
            assert done.returncode == 0, done.stderr
            want = expected(table, promote, suppress, chosen, reverse)
            assert np.array_equal(bias_of("out.plan.safetensors"), want), (seed, done.stdout)
            assert (want != 0).any()
    said = subprocess.run([BIN / "gm-steer", "generate", "--model", MODEL, "--plan", "out.plan.safetensors", "--prompt", "salt",
                           "--max-tokens", "4", "--quiet"], capture_output=True, text=True, check=False)
    assert said.returncode == 0 and said.stdout, said.stderr


def refused(data, part, *options):
    pathlib.Path("bad.pkl").write_bytes(data)
    done = convert("bad.pkl", *(options or ("--suppress", 1)))
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done
    assert part in done.stderr and "bad.pkl" in done.stderr, (part, done.stderr)
    assert not pathlib.Path("out.plan.safetensors").exists()


class Calls:
    """Pickled, a call of whatever it is given."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def check_refusals():
    table = make_ranking(np.random.default_rng(9).normal(size=(L, E)))
    refused(pickle.dumps(Calls(os.system, "touch ran")), "posix.system")
    refused(pickle.dumps(Calls(eval, "open('ran', 'w')")), "builtins.eval")
    refused(pickle.dumps(Calls(np.save, "ran.npy", [1])), "expected DataFrame")
    refused(pickle.dumps([Calls(pandas.read_csv, "/dev/null")]), "expected DataFrame")
    assert not pathlib.Path("ran").exists() and not pathlib.Path("ran.npy").exists()
    refused(b"", "cannot be read")
    refused(pickle.dumps(np.zeros((2, 3))), "expected DataFrame")
    refused(pickle.dumps(table.drop(columns="risk_diff")), "no 'risk_diff'")
    refused(pickle.dumps(table[1:]), "every expert")
    refused(pickle.dumps(pandas.concat([table, table[:1]])), "every expert")
    refused(pickle.dumps(table[:0]), "every expert")
    refused(pickle.dumps(table.assign(risk_diff=float("nan"))), "not a number")
    refused(pickle.dumps(table.assign(risk_diff=0.5)), "1 below were asked for, it has 36 and 0")
    assert convert("bad.pkl", "--promote", 1).returncode == 2 and convert("bad.pkl").returncode == 2


def check_damage():
    """Any damage gives the same numbers, other numbers or one kind of exception."""
    data = pickle.dumps(make_ranking(np.random.default_rng(9).normal(size=(L, E))))
    draw = random.Random(1)
    outcomes = {True: 0, False: 0}
    for trial in range(len(data) // 4 + 1500):
        bad = bytearray(data)
        if trial < len(data) // 4:
            del bad[4 * trial:]
        else:
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        try:
            rows, n_layers, n_experts = script.read_ranking(bytes(bad))
            assert len(rows) == n_layers * n_experts
            outcomes[True] += 1
        except script.Refused:
            outcomes[False] += 1
    assert outcomes[True] > 100 and outcomes[False] > 500, outcomes


check_choice()
check_refusals()
check_damage()
