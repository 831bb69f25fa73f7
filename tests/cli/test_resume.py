#!/usr/bin/env python3
"""gm-probe collect shared out over tasks gives what one run gives, merged or as an index, also
from the folders of several machines, and --resume on a finished run does nothing; killing it is
test_kill.py's."""
import os
import pathlib
import shutil
import subprocess

from probe_run import (BLOCK, PROBE, check_same, clear, command, contents, h5py, parts, run, shards, start,
                       write_corpus)


def merge(*words, code=0, says=""):
    done = subprocess.run([PROBE, "merge", *words], capture_output=True, text=True)
    assert done.returncode == code and says in done.stderr, (words, done)


def machines_without_a_shared_folder(whole):
    """Each has its own blocks; the shell lists them folder by folder."""
    for i in range(2):
        shutil.rmtree(f"machine{i}", ignore_errors=True)
        pathlib.Path(f"machine{i}").mkdir()
    for i, shard in enumerate(shards("tasks.h5")):
        shutil.copy(shard, f"machine{i % 2}")
    first, second = (sorted(pathlib.Path(f"machine{i}").glob("*.h5")) for i in range(2))
    clear("machines.h5")
    merge(*first, "-o", "machines.h5", code=1, says="block 1 is missing")
    merge(*first, *second, first[1], "-o", "machines.h5", code=1, says="both hold block 2")
    assert not pathlib.Path("machines.h5").exists()
    merge(*second, *first, "-o", "machines.h5")
    check_same("machines.h5", whole)


def a_damaged_file_keeps_its_blocks(whole):
    """A kill after the merging, and then something changes the file: the blocks are not dropped."""
    with h5py.File("tasks.h5", "r+") as trace:
        trace["samples/counts"][3, 0, 0] += 1
    for damage in range(2):
        run("tasks.h5", "--resume", code=1, says="its blocks are kept in 'tasks.h5.parts'")
        assert len(shards("tasks.h5")) == 5
        os.truncate("tasks.h5", 5000)
    pathlib.Path("tasks.h5").unlink()
    refused = command("tasks.h5", "--resume", "--record", "counts")
    said = subprocess.run(refused, capture_output=True, text=True).stderr
    assert "continuing" not in said and "another --record" in said, said
    run("tasks.h5", "--resume")
    check_same("tasks.h5", whole)
    assert not parts("tasks.h5").exists()


def main():
    write_corpus("corpus.jsonl", 4 * BLOCK + 100)
    for out in ("whole.h5", "tasks.h5"):
        clear(out)
    run("whole.h5")
    whole = contents("whole.h5")
    assert run("whole.h5", "--resume", says="nothing to do") == ""

    tasks = [start("tasks.h5", "--shard", f"{i}/2") for i in range(2)]
    for task in tasks:
        task.communicate()
        assert task.returncode == 0
    merge("tasks.h5.parts", "-o", "tasks.h5", "--force")
    check_same("tasks.h5", whole)
    machines_without_a_shared_folder(whole)

    merge("tasks.h5.parts", "--index", "-o", "tasks.h5", "--force")
    run("tasks.h5", "--resume", says="nothing to do")
    assert parts("tasks.h5").exists()  # the index lives on the shards
    subprocess.run([PROBE, "verify", "tasks.h5"], check=True, stdout=subprocess.DEVNULL)

    merge("tasks.h5.parts", "-o", "tasks.h5", "--force")
    a_damaged_file_keeps_its_blocks(whole)


if __name__ == "__main__":
    main()
