#!/usr/bin/env python3
# label: long
"""gm-probe collect --stream, which reads each layer from disk while the one before computes,
gives the trace of a run whose weights are resident, element by element: at once, after kills
and resumes in turn with either, with small pieces and with nll; a shard of the checkpoint that
is cut short under it ends the run with a sentence."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import time

from probe_run import (BLOCK, MODEL, PROBE, SIGINT, SIGKILL, SMALL, check_same, clear, contents,
                       run, shards, start, write_corpus)


def kill_and_resume(whole, rng):
    """Killed at a random moment of a streamed run, then gone on with resident weights, ..."""
    kills = 0  # SIGINT may come before it is caught
    for attempt in range(20):
        streamed = ["--stream"] if attempt % 2 == 0 else []
        process = start("killed.h5", "--resume", *streamed)
        if kills < 4:
            time.sleep(rng.uniform(0.02, 0.25))
            process.send_signal(SIGKILL if attempt % 3 else SIGINT)
            kills += 1
        _, stderr = process.communicate()
        assert process.returncode in (0, 130, -SIGINT, -SIGKILL), stderr
        if process.returncode == 0:
            break
    check_same("killed.h5", whole)
    clear("killed.h5")
    return kills


def a_shard_that_ends():
    """The checkpoint is cut while blocks are computed."""
    shutil.rmtree("model", ignore_errors=True)
    shutil.copytree(MODEL, "model")
    shard = next(pathlib.Path("model").glob("*-of-*.safetensors"))
    os.chmod(shard, 0o644)
    process = start("cut.h5", "--stream", model="model")
    while process.poll() is None and not shards("cut.h5"):
        time.sleep(0.001)
    if process.poll() is None:
        copy = shard.with_suffix(".new")  # replaced, not cut: a mapped page that is gone kills
        copy.write_bytes(shard.read_bytes()[:-100])
        copy.rename(shard)
    _, stderr = process.communicate()
    if process.returncode != 0:  # 0: it was through by then
        assert process.returncode == 1 and "was replaced while it was being read" in stderr, stderr
        assert not pathlib.Path("cut.h5").exists()
    clear("cut.h5")
    return process.returncode


def main():
    write_corpus("corpus.jsonl", (1 if SMALL else 3) * BLOCK + 100)
    for out in ("whole.h5", "streamed.h5", "killed.h5", "nll.h5", "cut.h5"):
        clear(out)
    run("whole.h5")
    whole = contents("whole.h5")
    summary = json.loads(run("streamed.h5", "--stream"))
    assert summary["passed"] and summary["seconds_waited"] > 0
    check_same("streamed.h5", whole)
    clear("streamed.h5")
    run("streamed.h5", "--stream", "--step-tokens", 32, "--threads", 3)
    check_same("streamed.h5", whole)

    print(kill_and_resume(whole, random.Random(5)), "kills")
    clear("whole.h5")
    run("whole.h5", "--nll", "--record", "logits:0.3", "--limit", 500)
    run("nll.h5", "--nll", "--record", "logits:0.3", "--limit", 500, "--stream")
    check_same("nll.h5", contents("whole.h5"))

    said = subprocess.run([PROBE, "collect", "--model", MODEL, "--corpus", "corpus.jsonl",
                           "--dry-run", "--json", "--stream", "--min-tokens", "8"],
                          check=True, capture_output=True, text=True)
    plan = json.loads(said.stdout)
    parts = ("weights", "hidden_states", "kv", "step", "blocks")
    assert plan["memory_bytes"] == sum(plan[f"{part}_bytes"] for part in parts)
    assert plan["hidden_states_bytes"] > 0 and plan["seconds"] > 0
    print("a shard that ends: exit code", a_shard_that_ends())


if __name__ == "__main__":
    main()
