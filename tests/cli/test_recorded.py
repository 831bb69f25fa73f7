#!/usr/bin/env python3
"""Opens the trace of a steered run with h5py: phases, positions, what the plan did to the
choices, counts. Skips (77) without h5py."""
import os
import pathlib
import subprocess
import sys

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
STEER = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")) / "gm-steer"
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"  # layers 1-3 of 12 experts
N_GENERATED = 9


def record(name, *options):
    """The arrays of the trace of two prompts."""
    subprocess.run(
        [STEER, "generate", "--model", MODEL, "--prompt", "salt onion", "--prompt", "x", "--quiet",
         "--ignore-eos", "--max-tokens", str(N_GENERATED), "--record", name, "--force", *options],
        check=True, stdout=subprocess.DEVNULL,
    )
    with h5py.File(name) as trace:
        return {
            "expert": trace["routing/expert_id"][:],  # (T,L,K)
            "phase": trace["tokens/phase"][:],
            "pos": trace["tokens/pos"][:],
            "offset": trace["samples/offset"][:],
            "counts": trace["samples/counts"][:],  # (N,L,E)
            "steering": trace.attrs["steering"],
            "command": trace.attrs["command"],
        }


plain = record("plain.h5")
assert plain["steering"] in ("", b""), plain["steering"]
for i in range(2):
    rows = slice(plain["offset"][i], plain["offset"][i + 1])
    phase = plain["phase"][rows]
    assert phase[0] == 2  # the post-processor's token
    assert (phase[1:-(N_GENERATED - 1)] == 0).all()
    assert (phase[-(N_GENERATED - 1):] == 1).all()  # the last token is never fed
    assert (plain["pos"][rows] == np.arange(len(phase))).all()
    chosen = plain["expert"][rows][phase != 2]
    for layer in range(3):
        again = np.bincount(chosen[:, layer].ravel(), minlength=12)
        assert (again == plain["counts"][i, layer]).all()

# Layer 1 without expert 0, layer 2 always with expert 3; only what is generated.
edit = ("--expert", "1:0=-inf", "--expert", "2:3=50")
steered = record("steered.h5", *edit)
assert not (steered["expert"][:, 0] == 0).any()
assert (steered["expert"][:, 1] == 3).any(axis=1).all()
assert "1:0=-inf" in str(steered["steering"]) and "--record steered.h5" in str(steered["command"])

late = record("late.h5", *edit, "--phase", "generated")
generated = late["phase"] == 1
assert (late["expert"][generated, 1] == 3).any(axis=1).all()
first = slice(0, np.argmax(generated))  # template and prompt are as they were
assert (late["expert"][first] == plain["expert"][first]).all()

early = record("early.h5", *edit, "--phase", "prompt", "--layers", "2-2")
prompt = early["phase"] != 1
assert (early["expert"][prompt, 1] == 3).any(axis=1).all()
assert not (early["expert"][~prompt, 1] == 3).any(axis=1).all()
assert (early["expert"][first, 0] == plain["expert"][first, 0]).all()  # outside the window
print("phases, windows and counts are as asked for")
