#!/usr/bin/env python3
"""gm-probe collect shared out over tasks gives what one run gives, merged or as an index, and
--resume on a finished run does nothing; killing it is test_kill.py's."""
import subprocess

from probe_run import BLOCK, PROBE, check_same, clear, contents, parts, run, start, write_corpus


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
    subprocess.run([PROBE, "merge", "tasks.h5.parts", "-o", "tasks.h5", "--force"], check=True)
    check_same("tasks.h5", whole)

    subprocess.run([PROBE, "merge", "tasks.h5.parts", "--index", "-o", "tasks.h5", "--force"],
                   check=True)
    run("tasks.h5", "--resume", says="nothing to do")
    assert parts("tasks.h5").exists()  # the index lives on the shards
    subprocess.run([PROBE, "verify", "tasks.h5"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
