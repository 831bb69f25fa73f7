#!/usr/bin/env python3
"""Turns a ranking of SteerMoE (arXiv 2509.09660) into a plan: a pickled pandas table with a row for each expert and the columns
layer, expert, risk_diff (numbers or PyTorch scalars), a dictionary of such columns, or a PyTorch tensor of the risk differences,
layers by experts, alone or as the member risk_diff of a dictionary; pickled, or written by torch.save.

usage: scripts/steermoe_plan.py RANKING.pkl -o OUT.plan.safetensors --promote N --suppress N --chosen K

As SteerMoE chooses: by |risk_diff|, the N largest above 0 are forced, at most K a layer (K: experts that the model chooses for
a token), and the N largest below 0 are banned; --reverse swaps the signs. The plan's mode is mask. Layers of a ranking count
from 0; --first-layer says which layer of the model that is (1 for DeepSeek's, whose layer 0 has no experts).

A pickle is a program. Nothing that it names is imported or called here: each name of pandas, NumPy, a tensor or slice becomes a
record of what it was given, from which the numbers are read; any other name is refused. Needs neither pandas, NumPy nor
PyTorch."""
import argparse
import hashlib
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import torch_pickle  # noqa: E402
from torch_pickle import Record, Refused  # noqa: E402

COLUMNS = ("layer", "expert", "risk_diff")
NUMBERS = {"f8": "d", "f4": "f", "i8": "q", "i4": "i"}  # NumPy's name: struct's
MAX_LAYERS, MAX_EXPERTS = 1 << 10, 0xFFFF  # of a plan


class Reader(torch_pickle.Reader):
    modules = ("pandas", "numpy")


def called(record, *names):
    if not isinstance(record, Record) or type(record).__name__ not in names:
        raise Refused(f"expected {' or '.join(names)}, found {type(record).__name__}")
    return record


def array(record):
    """(shape, values in C order) of an array of numbers or objects."""
    if type(record).__name__ == "_frombuffer":
        data, dtype, shape, order = called(record, "_frombuffer").args
        fortran = order == "F"
    else:
        _, shape, dtype, fortran, data = called(record, "_reconstruct").state
    if isinstance(data, list):
        return shape, data
    kind, byte_order = called(dtype, "dtype").args[0], dtype.state[1]
    if kind not in NUMBERS or byte_order != "<":
        raise Refused(f"numbers of type {byte_order}{kind}")
    values = [value for (value,) in struct.iter_unpack("<" + NUMBERS[kind], torch_pickle.octets(data))]
    rows, columns = shape if len(shape) == 2 else (1, shape[0])
    if rows * columns != len(values):
        raise Refused(f"{len(values)} numbers for {rows} x {columns}")
    if fortran:
        values = [values[column * rows + row] for row in range(rows) for column in range(columns)]
    return shape, values


def strings(value, depth=0):
    """The first list of strings inside an index of columns, however its version of pandas wraps it."""
    if isinstance(value, Record) and type(value).__name__ == "_reconstruct" and isinstance(value.state[-1], list):
        return value.state[-1] if all(isinstance(name, str) for name in value.state[-1]) else None
    inside = value if isinstance(value, (tuple, list)) else list(value.values()) if isinstance(value, dict) else \
        [value.args, value.state] if isinstance(value, Record) else []
    found = (strings(item, depth + 1) for item in inside if depth < 8)
    return next((names for names in found if names), None)


def columns_of(table):
    """{name: values} of the columns that are numbers."""
    blocks, axes = called(called(table, "DataFrame").state["_mgr"], "BlockManager").args
    names, found = strings(axes[0]), {}
    if not names:
        raise Refused("its columns have no names")
    for block in blocks:
        values, place, _ = called(block, "_unpickle_block").args
        if type(values).__name__ not in ("_frombuffer", "_reconstruct"):
            continue  # strings of pandas 3
        shape, flat = array(values)
        where = range(*place.args) if type(place).__name__ == "slice" else array(place)[1]
        if len(shape) != 2 or len(where) != shape[0]:
            raise Refused("a block of columns does not say which columns it has")
        for row, column in enumerate(where):
            found[names[column]] = flat[row * shape[1]:(row + 1) * shape[1]]
    return found


def number(value):
    """A number, or that of a tensor of one."""
    if not torch_pickle.is_tensor(value):
        return value
    _, values = torch_pickle.tensor(value)
    if len(values) != 1:
        raise Refused(f"a tensor of {len(values)} numbers where one is expected")
    return values[0]


def column(values):
    """The numbers of a column: a list, or a tensor of one dimension."""
    return torch_pickle.tensor(values)[1] if torch_pickle.is_tensor(values) else [number(value) for value in values]


def rows_of(made):
    """(layer, expert, risk difference), from a table, a dictionary of columns, or a tensor of layers by experts."""
    if isinstance(made, dict):
        missing = [name for name in COLUMNS if name not in made]
        if missing == list(COLUMNS[:2]):
            made = made["risk_diff"]
        elif missing:
            raise Refused(f"it has no '{missing[0]}'")
    if torch_pickle.is_tensor(made):
        shape, values = torch_pickle.tensor(made)
        if len(shape) != 2:
            raise Refused(f"a tensor has {len(shape)} dimensions, expected layers by experts")
        return [(at // shape[1], at % shape[1], risk) for at, risk in enumerate(values)]
    found = made if isinstance(made, dict) else columns_of(made)
    return list(zip(*(column(found[name]) for name in COLUMNS), strict=True))


def read_ranking(data):
    """(layer, expert, risk difference) of every expert, in the order of the file."""
    try:
        rows = rows_of(torch_pickle.load(data, Reader))
    except Refused:
        raise
    except KeyError as missing:
        raise Refused(f"it has no {missing}") from missing
    except Exception as error:  # whatever a broken pickle makes the reader do
        raise Refused(f"it cannot be read ({type(error).__name__}: {error})") from error
    for layer, expert, risk in rows:
        if not all(isinstance(x, (int, float)) for x in (layer, expert, risk)):
            raise Refused("a layer, an expert or a risk difference is not a number")
        if layer not in range(MAX_LAYERS) or expert not in range(MAX_EXPERTS):
            raise Refused(f"layer {layer}, expert {expert}: not integers, or too large")
    pairs = sorted((int(layer), int(expert)) for layer, expert, _ in rows)
    n_layers, n_experts = (1 + pairs[-1][0], 1 + max(e for _, e in pairs)) if pairs else (0, 0)
    if not 1 <= n_layers <= MAX_LAYERS or not 1 <= n_experts <= MAX_EXPERTS or len(pairs) != n_layers * n_experts or \
            pairs != [(l, e) for l in range(n_layers) for e in range(n_experts)]:
        raise Refused("it does not list every expert of layers 0, 1, ... once")
    if any(risk != risk for _, _, risk in rows):
        raise Refused("a risk difference is not a number")
    return [(int(layer), int(expert), risk) for layer, expert, risk in rows], n_layers, n_experts


def choose(rows, promote, suppress, chosen):
    """{(layer, expert): 1 or -1}, as SteerMoE chooses."""
    ranked = sorted(rows, key=lambda row: -abs(row[2]))
    up = [(l, e) for l, e, risk in ranked if risk > 0]
    down = [(l, e) for l, e, risk in ranked if risk < 0]
    if len(up) < promote or len(down) < suppress:
        raise Refused(f"{promote} experts above 0 and {suppress} below were requested, but it has {len(up)} and {len(down)}")
    signs, forced = {pair: -1.0 for pair in down[:suppress]}, {}
    for layer, expert in up[:promote]:
        if forced.get(layer, 0) < chosen:
            signs[layer, expert] = 1.0
            forced[layer] = forced.get(layer, 0) + 1
    return signs


def write_plan(path, signs, n_layers, n_experts, first_layer, source):
    bias = [signs.get((l, e), 0.0) for l in range(n_layers) for e in range(n_experts)]
    layers = [first_layer + l for l in range(n_layers)]
    notes = {"format": "gm-plan", "schema": "1", "mode": "mask", "mass_matched": "false", "layer_of_moe": json.dumps(layers),
             "first_layer": str(layers[0]), "last_layer": str(layers[-1]), "phases": "prompt,generated,template",
             "schedule": "constant", "model_digest": "", "source": json.dumps(source)}
    header = json.dumps({"__metadata__": notes, "bias": {"dtype": "F32", "shape": [n_layers, n_experts],
                                                         "data_offsets": [0, 4 * len(bias)]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "xb") as file:
        try:
            file.write(struct.pack("<Q", len(header)) + header + struct.pack(f"<{len(bias)}f", *bias))
            file.flush()
        except OSError:
            path.unlink()
            raise


def main():
    parser = argparse.ArgumentParser(description="a plan from a ranking of SteerMoE")
    parser.add_argument("ranking", type=pathlib.Path)
    parser.add_argument("-o", dest="output", type=pathlib.Path, required=True)
    parser.add_argument("--promote", type=int, default=0, metavar="N")
    parser.add_argument("--suppress", type=int, default=0, metavar="N")
    parser.add_argument("--chosen", type=int, metavar="K")
    parser.add_argument("--first-layer", type=int, default=0, metavar="LAYER")
    parser.add_argument("--reverse", action="store_true")
    args = parser.parse_args()
    if min(args.promote, args.suppress, args.first_layer) < 0 or args.promote + args.suppress == 0:
        parser.error("expected --promote N or --suppress N")
    if args.promote and (args.chosen or 0) < 1:
        parser.error("--promote needs --chosen K, the experts that the model chooses for a token")
    try:
        data = args.ranking.read_bytes()
        rows, n_layers, n_experts = read_ranking(data)
        if args.reverse:
            rows = [(layer, expert, -risk) for layer, expert, risk in rows]
        signs = choose(rows, args.promote, args.suppress, args.chosen)
        source = {"imported_from": str(args.ranking), "imported_sha256": hashlib.sha256(data).hexdigest(),
                  "method": "SteerMoE", "promote": args.promote, "suppress": args.suppress, "chosen": args.chosen,
                  "reverse": args.reverse}
        write_plan(args.output, signs, n_layers, n_experts, args.first_layer, source)
    except Refused as why:
        print(f"steermoe_plan: '{args.ranking}' is not a ranking of SteerMoE: {why}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"steermoe_plan: '{error.filename or args.output}': {error.strerror}", file=sys.stderr)
        return 1
    forced = sum(sign > 0 for sign in signs.values())
    print(f"{n_layers} layers of {n_experts} experts: {forced} forced, {len(signs) - forced} banned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
