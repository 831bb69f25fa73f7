#!/usr/bin/env python3
"""gm-probe collect on an emulated GPU: which device `auto` takes and says, and that a run goes on where it was begun.

usage: test_devices.py PROGRAM      gm-probe with the emulated GPU linked in; GM_CUBLAS names its cuBLAS
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
MODEL = pathlib.Path(__file__).resolve().parents[1] / "golden/models/deepseek-tiny"
NO_DRIVER = {"GM_EMULATED_NO_DRIVER": "1"}


def write_corpus(path, documents):
    with open(path, "w", encoding="utf-8") as corpus:
        for i in range(documents):
            corpus.write(json.dumps({"text": f"{i} stones in the river by the road to the mountain"}) + "\n")


def collect(out, *more, code=0, environment=None):
    """stderr of a run, which must end so."""
    line = [PROGRAM, "collect", "--model", MODEL, "--corpus", "c.jsonl", "--min-tokens", "4", "--threads", "1", "--step-tokens", "32", "-o", out, *more]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    assert done.returncode == code, (more, done.returncode, done.stderr)
    return done.stderr


def device_of(trace):
    done = subprocess.run([PROGRAM, "info", trace, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["device"]


def says(text, *parts):
    for part in parts:
        assert part in text, (part, text)


def main():
    shutil.rmtree("runs", ignore_errors=True)
    os.mkdir("runs")
    os.chdir("runs")  # nothing is cleared of the folder that a test is started in by hand
    write_corpus("c.jsonl", 3)

    # auto: the GPU, and what is said
    says(collect("gpu.h5"), "computing on cuda:0, emulated GPU\n")
    assert device_of("gpu.h5") == "cuda:0"
    assert "computing" not in collect("quiet.h5", "--quiet")
    says(collect("cpu.h5", "--kernels", "portable"), "computing on the CPU: kernels 'portable' are for the CPU only\n")
    assert device_of("cpu.h5") == "cpu"
    assert "computing" not in collect("cpu.h5", "--force", environment=NO_DRIVER)
    says(collect("none.h5", "--device", "cuda", code=1, environment=NO_DRIVER),
         "this machine has no NVIDIA driver (libcuda.so.1); '--device cpu' needs no GPU")

    # --resume goes on where the run was begun
    says(collect("gpu.h5", "--resume"), "computing on cuda:0", "nothing to do")
    says(collect("cpu.h5", "--resume"), "computing on the CPU, where the run of 'cpu.h5' began", "nothing to do")
    says(collect("cpu.h5", "--resume", environment=NO_DRIVER), "nothing to do")
    says(collect("gpu.h5", "--resume", code=1, environment=NO_DRIVER),
         "'gpu.h5' was computed on a GPU; continue it on one, or start over: this machine has no NVIDIA driver")

    # what is asked for and is not the same is named
    says(collect("gpu.h5", "--resume", "--device", "cpu", code=1), "'gpu.h5' was computed on emulated GPU, but this run uses the CPU")
    says(collect("cpu.h5", "--resume", "--device", "cuda", code=1), "'cpu.h5' was computed on the CPU, but this run uses emulated GPU")
    says(collect("gpu.h5", "--resume", "--step-tokens", "64", code=1), "another --step-tokens; give --force")
    assert "nothing to do" in collect("cpu.h5", "--resume", "--step-tokens", "64")  # there it changes no bit
    says(collect("gpu.h5", "--resume", "--numerics", "bf16", code=1), "with --numerics f32, but this run uses bf16")
    says(collect("gpu.h5", "--resume", "--doc-tokens", "9", code=1), "another --doc-tokens")
    collect("cpu.h5", "--force", "--device", "cuda")
    assert device_of("cpu.h5") == "cuda:0"

    # the shards of a run as well as its file
    collect("tasks.h5", "--shard", "0/2", "--device", "cpu")
    says(collect("tasks.h5", "--shard", "0/2"), "computing on the CPU, where the run of 'tasks.h5.parts/000000.h5' began")


if __name__ == "__main__":
    main()
