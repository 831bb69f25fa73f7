#!/usr/bin/env python3
# label: slow
"""Kills gm-probe collect at random moments and lets --resume go on, until the run is done:
it must then be what an undisturbed run is, element by element; after every kill each
committed shard must be readable. First with a model that computes, then with its computing
stubbed out, so that kills land inside the writing.

    tests/cli/test_kill.py [--full] [--seed N]

--full: 25 kills of a long run and 200 with the stub (minutes). The seed is printed; the
moments also depend on how fast the machine is."""
import argparse
import random
import re
import time

from probe_run import (BLOCK, PROBE, ROWS, SIGINT, SIGKILL, SIGTERM, STUB, check_same, clear,
                       contents, parts, pathlib, run, shards, start, stop, write_corpus)

OUT = "killed.h5"


def where_it_fell():
    """Where a kill landed, by what it left."""
    if pathlib.Path(OUT).exists():
        return "removing shards"
    if pathlib.Path(f"{OUT}.part").exists():
        return "merging"
    if any(parts(OUT).glob("*.part")):
        return "writing a shard"
    return "elsewhere"


class Killer:
    """Kills one run again and again, and counts."""

    def __init__(self, program, whole, blocks, seconds, rng):
        self.blocks = blocks
        self.program, self.whole, self.seconds, self.rng = program, whole, seconds, rng
        self.kills = self.resumed = self.finished = 0
        self.lost, self.fell = [], {}

    def read_report(self, stderr, committed):
        said = re.search(r"continuing after (\d+) finished blocks?; (\d+) tokens", stderr)
        if said is None:
            return
        assert int(said[1]) == committed
        self.lost.append(int(said[2]))
        assert self.lost[-1] <= 2 * ROWS, self.lost

    def wait(self, process):
        """A random time, from the start or (three of four) from the first sign of writing."""
        if self.rng.random() < 0.75:
            while process.poll() is None and where_it_fell() == "elsewhere":
                time.sleep(0.0005)
        time.sleep(self.rng.uniform(0, self.seconds))

    def session(self, kill):
        """One start; False when it reached the end."""
        before = shards(OUT)
        process = start(OUT, "--resume", program=self.program)
        if kill:
            self.wait(process)
            process.send_signal(SIGKILL)
        _, stderr = process.communicate()
        self.resumed += len(before) > 0
        self.read_report(stderr, len(before))
        if process.returncode != -SIGKILL:
            assert process.returncode == 0, stderr
            check_same(OUT, self.whole)
            assert not parts(OUT).exists() and not pathlib.Path(f"{OUT}.part").exists()
            self.finished += 1
            clear(OUT)
            return False
        self.kills += 1
        place = where_it_fell()
        self.fell[place] = self.fell.get(place, 0) + 1
        if place in ("writing a shard", "elsewhere"):
            after = shards(OUT)
            assert set(after) >= set(before), "a committed shard is gone"
            for shard in after:
                contents(shard)
        else:
            for shard in shards(OUT):
                contents(shard)
        if pathlib.Path(OUT).exists():
            check_same(OUT, self.whole)
        return True

    def go(self, kills, place=None, resumes=0):
        """That many kills, and more until one has fallen into `place` and `resumes` runs have
        begun after committed blocks."""
        def lacking():
            return (place and place not in self.fell) or self.resumed < resumes

        while self.kills < kills or (lacking() and self.kills < 20 * kills):
            merging = len(shards(OUT)) == self.blocks  # let every second one through
            self.session(not merging or self.rng.random() < 0.5)
        while self.session(False):
            pass

    def report(self, name):
        more = sum(lost > ROWS for lost in self.lost)
        places = ", ".join(f"{n} {place}" for place, n in sorted(self.fell.items()))
        print(f"{name}: {self.kills} kills ({places}); {self.resumed} resumes after committed "
              f"blocks; {self.finished} runs ended, each as the undisturbed one; tokens computed "
              f"again: at most {max(self.lost, default=0) / ROWS:.2f} blocks, "
              f"{more} of {len(self.lost)} times more than one", flush=True)


def kill_run(name, program, documents, kills, span, seed, place=None, resumes=0):
    write_corpus("corpus.jsonl", documents)
    clear("whole.h5")
    clear(OUT)
    begin = time.monotonic()
    run("whole.h5", program=program)
    length = time.monotonic() - begin
    blocks = (documents - 1) // BLOCK + 1
    killer = Killer(program, contents("whole.h5"), blocks, span * length, random.Random(seed))
    killer.go(kills, place, resumes)
    killer.report(name)
    return killer


def interrupt(number, rng):
    """SIGINT or SIGTERM: exit code 128 + number, whole blocks stay, nothing half-made."""
    for attempt in range(10):
        clear(OUT)
        process = start(OUT, program=PROBE)
        while not shards(OUT) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1) / 2**attempt)
        _, stderr = stop(process, number)
        if process.returncode != 0:  # 0: it had ended before
            break
    assert process.returncode == 128 + number, (process.returncode, stderr)
    assert "interrupted; repeat the command with --resume to continue" in stderr
    assert shards(OUT) and not list(parts(OUT).glob("*.part"))
    run(OUT, "--resume", says="continuing after")
    check_same(OUT, contents("whole.h5"))
    clear(OUT)


def interrupt_merging(number):
    """The same while the shards are merged: they stay, the half-made file does not."""
    clear(OUT)
    process = start(OUT, program=STUB)
    while not pathlib.Path(f"{OUT}.part").exists() and process.poll() is None:
        pass
    _, stderr = stop(process, number)
    assert process.returncode in (0, 128 + number), (process.returncode, stderr)
    if process.returncode:
        assert "interrupted; repeat the command" in stderr and parts(OUT).exists(), stderr
        assert not pathlib.Path(OUT).exists() and not pathlib.Path(f"{OUT}.part").exists()
        run(OUT, "--resume", program=STUB)
    check_same(OUT, contents("whole.h5"))
    clear(OUT)
    return process.returncode != 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    full = options.full

    resumes = 15 if full else 1
    killer = kill_run("computing", PROBE, (24 if full else 6) * BLOCK + 100, 25 if full else 5,
                      0.3 if full else 0.5, options.seed, resumes=resumes)
    assert killer.resumed >= resumes, killer.resumed
    for number in (SIGTERM, SIGINT):
        interrupt(number, random.Random(options.seed))
    killer = kill_run("stubbed", STUB, (20 if full else 8) * BLOCK + 100, 200 if full else 15,
                      0.3, options.seed, "writing a shard")
    assert "writing a shard" in killer.fell, killer.fell
    stopped = sum(interrupt_merging(number) for number in (SIGTERM, SIGINT))
    print(f"{stopped} of 2 signals stopped the merging")


if __name__ == "__main__":
    main()
