#!/usr/bin/env python3
"""Kills gm-probe collect at several moments; what --resume ends with is what a run that
nobody disturbed gives. Also SIGTERM, two tasks with --shard, and a second --resume."""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROBE = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin")) / "gm-probe"
MODEL = SOURCE / "notebooks-data/demo-model"
DOCUMENTS = 6500  # of few tokens: seven blocks of 1,024 documents
KILLS = 6

if not PROBE.exists() or not (MODEL / "config.json").exists():
    print("skipped: no gm-probe or no demo model")
    sys.exit(77)

COLLECT = [PROBE, "collect", "--model", MODEL, "--corpus", "corpus.jsonl", "--doc-tokens", "12",
           "--min-tokens", "8", "--quiet", "--json", "-o"]


def start(out, *more):
    return subprocess.Popen([*COLLECT, out, *more], stdout=subprocess.PIPE, text=True)


def digest(path):
    info = subprocess.run([PROBE, "info", path, "--json"], check=True, capture_output=True)
    return json.loads(info.stdout)["digest"]


def clear(out):
    shutil.rmtree(out + ".parts", ignore_errors=True)
    pathlib.Path(out).unlink(missing_ok=True)


def shards(out):
    return len(list(pathlib.Path(out + ".parts").glob("*.h5")))


def main():
    words = "river stone road mountain letter engine garden winter".split()
    rng = random.Random(1)
    with open("corpus.jsonl", "w", encoding="utf-8") as corpus:
        for i in range(DOCUMENTS):
            text = f"{i} " + " ".join(rng.choices(words, k=20))
            corpus.write(json.dumps({"text": text, "meta": {"pile_set_name": f"S{i % 5}"}}) + "\n")

    for out in ("whole.h5", "killed.h5", "stopped.h5", "tasks.h5"):
        clear(out)
    begin = time.monotonic()
    whole = start("whole.h5")
    summary = json.loads(whole.communicate()[0])
    length = time.monotonic() - begin
    assert whole.returncode == 0 and summary["passed"] and summary["documents"] == DOCUMENTS

    resumed_with_shards = 0
    for _ in range(KILLS):
        before = shards("killed.h5")
        run = start("killed.h5", "--resume")
        time.sleep(length * rng.uniform(0.2, 0.6))
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
        assert shards("killed.h5") >= before or pathlib.Path("killed.h5").exists()
        resumed_with_shards += before > 0
    run = start("killed.h5", "--resume")
    run.communicate()
    assert run.returncode == 0
    assert digest("killed.h5") == digest("whole.h5")
    print(f"{KILLS} kills, {resumed_with_shards} resumes with committed blocks")
    assert resumed_with_shards > 0

    run = start("killed.h5", "--resume")  # finished: nothing to do
    assert run.communicate()[0] == "" and run.returncode == 0

    run = start("stopped.h5")
    time.sleep(length * 0.5)
    run.send_signal(signal.SIGTERM)
    run.communicate()
    assert run.returncode in (0, 128 + signal.SIGTERM), run.returncode
    run = start("stopped.h5", "--resume")
    run.communicate()
    assert run.returncode == 0 and digest("stopped.h5") == digest("whole.h5")

    tasks = [start("tasks.h5", "--shard", f"{i}/2") for i in range(2)]
    for task in tasks:
        task.communicate()
        assert task.returncode == 0
    subprocess.run([PROBE, "merge", "tasks.h5.parts", "-o", "tasks.h5"], check=True)
    assert digest("tasks.h5") == digest("whole.h5")
    subprocess.run([PROBE, "merge", "tasks.h5.parts", "--index", "-o", "index.h5", "--force"],
                   check=True)
    subprocess.run([PROBE, "verify", "index.h5"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
