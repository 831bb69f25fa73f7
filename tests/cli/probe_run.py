"""What the tests share that disturb gm-probe collect: its programs, a corpus, a run of it,
and whether two traces are the same element by element."""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

try:
    import h5py
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", SOURCE / "build/cpu/bin")).resolve()
PROBE = BIN / "gm-probe"
STUB = BIN.parent / "tests/cli/gm-probe-stub"  # the same without the model's computing
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"
BLOCK = 1024  # documents, as probe/block.h has it
DOC_TOKENS = 12
SMALL = "GM_TEST_SMALL" in os.environ  # tests/README.md
ROWS = BLOCK * (DOC_TOKENS + 1)  # of a full block: one token of each document is template

for program in (PROBE, STUB):
    if not program.exists():
        print(f"skipped: no {program.name}")
        sys.exit(77)


def write_corpus(path, documents, words=3):
    rng = random.Random(1)
    vocabulary = "river stone road mountain letter engine garden winter".split()
    with open(path, "w", encoding="utf-8") as corpus:
        for i in range(documents):
            text = f"{i} " + " ".join(rng.choices(vocabulary, k=words))
            corpus.write(json.dumps({"text": text, "meta": {"pile_set_name": f"S{i % 5}"}}) + "\n")


def command(out, *more, program=PROBE, corpus="corpus.jsonl", model=MODEL):
    return [str(x) for x in (program, "collect", "--model", model, "--corpus", corpus,
                             "--doc-tokens", DOC_TOKENS, "--min-tokens", 8, "--json", "-o", out,
                             *more)]


def start(out, *more, **where):
    return subprocess.Popen(command(out, *more, **where), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def run(out, *more, code=0, says="", **where):
    """A run to its end, which must be of this exit code and say this on stderr; stdout."""
    done = subprocess.run(command(out, *more, **where), capture_output=True, text=True)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert says in done.stderr, done.stderr
    assert done.returncode >= 0 and "HDF5-DIAG" not in done.stderr, done.stderr
    return done.stdout


def stop(process, number):
    process.send_signal(number)
    stdout, stderr = process.communicate()
    return stdout, stderr


def parts(out):
    return pathlib.Path(f"{out}.parts")


def shards(out):
    return sorted(parts(out).glob("*.h5"))


def clear(out):
    shutil.rmtree(parts(out), ignore_errors=True)
    for path in (pathlib.Path(out), pathlib.Path(f"{out}.part")):
        path.unlink(missing_ok=True)


def contents(path):
    """Every dataset of a file, read in full, and every attribute: {name: (type, shape, bytes)}."""
    found = {}

    def note(name, thing):
        for key, value in thing.attrs.items():
            if key not in ("command", "provenance", "REFERENCE_LIST", "DIMENSION_LIST"):
                found[f"{name}@{key}"] = str(value)
        if isinstance(thing, h5py.Dataset):
            found[name] = (str(thing.dtype), thing.shape, thing[()].tobytes())

    with h5py.File(path, "r") as file:
        note("", file)
        file.visititems(note)
    assert len(found) > 20
    return found


def check_same(path, want):
    got = contents(path)
    assert got.keys() == want.keys(), got.keys() ^ want.keys()
    for name, value in want.items():
        assert got[name] == value, f"{path}: '{name}' differs"


SIGKILL, SIGTERM, SIGINT, SIGSTOP, SIGCONT = (
    signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP, signal.SIGCONT)
