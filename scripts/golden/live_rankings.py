#!/usr/bin/env python3
"""live_rankings - tensors that this environment's PyTorch and pandas pickle, against what scripts/steermoe_plan.py reads.

    live_rankings.py BUILD     BUILD is not looked at

Every type of number, every way a ranking may hold tensors, every protocol, views of larger tensors. --print shows the files
that tests/cli/test_steermoe.py carries. Exit 3 when a number differs.
"""

import base64
import io
import pathlib
import pickle
import sys
import zlib

import pandas
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import steermoe_plan  # noqa: E402

L, E = 3, 12


def risks():
    """Numbers that any type of float holds."""
    return torch.tensor([[((l * E + e) * 7 % 11 - 5) / 8 for e in range(E)] for l in range(L)])


def saved(made, as_zip=True):
    file = io.BytesIO()
    torch.save(made, file, _use_new_zipfile_serialization=as_zip)
    return file.getvalue()


def tables(risk):
    """A row an expert: the risk as a tensor, all three as tensors."""
    rows = [{"layer": l, "expert": e, "risk_diff": risk[l, e], "name": f"L{l}"} for l in range(L) for e in range(E)]
    yield "table", pandas.DataFrame(rows)
    yield "table of tensors", pandas.DataFrame([{name: torch.as_tensor(value) if name != "name" else value
                                                 for name, value in row.items()} for row in rows])
    yield "shuffled table", pandas.DataFrame(rows).sample(frac=1, random_state=1)


def rankings():
    """(name, bytes)"""
    risk = risks()
    wide = torch.full((L + 2, 2 * E + 1), 9.0)
    wide[1:-1, 1::2] = risk
    kinds = {"f32": risk, "f64": risk.double(), "f16": risk.half(), "bf16": risk.to(torch.bfloat16), "column order":
             risk.t().contiguous().t(), "view": wide[1:-1, 1::2], "parameter": torch.nn.Parameter(risk)}
    columns = {"layer": torch.arange(L).repeat_interleave(E), "expert": list(range(E)) * L, "risk_diff": risk.flatten()}
    for name, made in [*kinds.items(), ("member", {"risk_diff": risk, "note": "x"}), ("columns", columns), *tables(risk)]:
        for protocol in (2, 4, 5):
            yield f"{name}, protocol {protocol}", pickle.dumps(made, protocol=protocol)
        if not isinstance(made, pandas.DataFrame):
            yield f"{name}, saved", saved(made)
            yield f"{name}, stream", saved(made, as_zip=False)


def main():
    if "--print" in sys.argv:
        table = dict(tables(risks()))["table"]
        for name, data in (("tensor", pickle.dumps(risks().t().contiguous().t())), ("saved", saved({"risk_diff": risks()})),
                           ("stream", saved(risks().to(torch.bfloat16), as_zip=False)), ("table", pickle.dumps(table))):
            print(f'"{name}": "{base64.b85encode(zlib.compress(data, 9)).decode()}"')
        return 0
    want, n, wrong = risks(), 0, []
    for name, data in rankings():
        n += 1
        try:
            rows, n_layers, n_experts = steermoe_plan.read_ranking(data)
            same = (n_layers, n_experts) == (L, E) and all(risk == want[l, e].item() for l, e, risk in rows)
        except steermoe_plan.Refused as why:
            name, same = f"{name}: {why}", False
        if not same:
            wrong.append(name)
    print(f"{n} pickled rankings with tensors, {len(wrong)} read wrongly", *wrong, sep="\n")
    return 3 if wrong or n < 40 else 0


if __name__ == "__main__":
    sys.exit(main())
