#!/usr/bin/env python3
# label: slow
"""What may go wrong around a run of gm-probe collect: corpus, weights or a committed shard
vanish or change while it runs, the clock runs backwards or leaps, two processes want one output."""
import json
import os
import pathlib
import shutil
import subprocess
import time

from probe_run import (BLOCK, MODEL, PROBE, SIGCONT, SIGKILL, SIGSTOP, STUB, check_same, clear,
                       command, contents, parts, run, shards, start, write_corpus)

OUT = "o.h5"
BLOCKS = 4


class Paused:
    """A run held still after its first shard, while the block of a `with` disturbs it."""

    def __init__(self, *more, **where):
        self.more, self.where = more, where

    def __enter__(self):
        for _ in range(20):
            clear(OUT)
            self.process = start(OUT, *self.more, **self.where)
            while not shards(OUT) and self.process.poll() is None:
                time.sleep(0.001)
            self.process.send_signal(SIGSTOP)
            if self.process.poll() is None and not pathlib.Path(f"{OUT}.part").exists():
                return self
            self.process.send_signal(SIGCONT)  # it was quicker: at its end, or merging
            said = self.process.communicate()
        raise AssertionError(said)

    def __exit__(self, *_):
        self.process.send_signal(SIGCONT)
        _, self.stderr = self.process.communicate()
        self.code = self.process.returncode

    def must_fail(self, says):
        assert self.code == 1 and says in self.stderr, (self.code, self.stderr)
        assert not pathlib.Path(OUT).exists()
        assert "warning" in self.stderr or len(self.stderr.splitlines()) <= 4, self.stderr

    def must_end(self, whole):
        assert self.code == 0, (self.code, self.stderr)
        check_same(OUT, whole)


def corpus_goes(whole):
    shutil.copy("corpus.jsonl", "kept.jsonl")
    with Paused() as run_:
        os.unlink("corpus.jsonl")
    run_.must_end(whole)  # it was open
    shutil.copy("kept.jsonl", "corpus.jsonl")

    with Paused() as run_:
        os.truncate("corpus.jsonl", os.path.getsize("corpus.jsonl") * 2 // 3)
    run_.must_fail("'corpus.jsonl' changed while")
    run(OUT, "--resume", code=1)  # another corpus
    shutil.copy("kept.jsonl", "corpus.jsonl")
    run(OUT, "--resume", says="continuing after")
    check_same(OUT, whole)

    with Paused() as run_:
        with open("corpus.jsonl", "a", encoding="utf-8") as corpus:
            corpus.write('{"text": "one more line that came too late"}\n')
    run_.must_fail("'corpus.jsonl' changed while")
    shutil.move("kept.jsonl", "corpus.jsonl")


def folder_file_goes():
    folder = pathlib.Path("folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lines = pathlib.Path("corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for i in range(3):
        third = lines[i * BLOCK * BLOCKS // 3:(i + 1) * BLOCK * BLOCKS // 3]
        (folder / f"{i}.jsonl").write_text("".join(third), encoding="utf-8")
    clear("folder.h5")
    run("folder.h5", corpus=folder)
    text = (folder / "2.jsonl").read_text(encoding="utf-8")
    with Paused(corpus=folder) as run_:
        os.unlink(folder / "2.jsonl")
    run_.must_fail("2.jsonl': No such file")
    (folder / "2.jsonl").write_text(text, encoding="utf-8")
    run(OUT, "--resume", corpus=folder, says="continuing after")
    check_same(OUT, contents("folder.h5"))


def model_goes(whole):
    model = pathlib.Path("copy") / MODEL.name
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir(parents=True)
    for file in MODEL.iterdir():
        shutil.copy(file, model / file.name)
    weights = sorted(model.glob("*.safetensors"))
    assert len(weights) > 1
    with Paused(model=model) as run_:
        weights[1].unlink()
    run_.must_end(whole)
    clear(OUT)
    run(OUT, model=model, code=1, says=weights[1].name)
    shutil.copy(MODEL / weights[1].name, weights[1])
    with Paused(model=model) as run_:
        for path in weights:
            os.truncate(path, 0)
    assert run_.code in (0, 1)
    if run_.code != 0:  # where weights are used in place; small ones have been copied
        run_.must_fail("it was cut short")
    clear(OUT)
    run(OUT, model=model, code=1, says=".safetensors' is empty")
    assert not parts(OUT).exists()


def shard_goes(whole):
    with Paused() as run_:
        shards(OUT)[0].unlink()
    run_.must_fail("lacks block 0; finish the run with --resume")
    run(OUT, "--resume", says="continuing after")
    check_same(OUT, whole)

    with Paused(program=STUB) as run_:
        with open(shards(OUT)[0], "r+b") as shard:
            shard.seek(shard.seek(0, 2) // 2)
            shard.write(b"damage")
    run_.must_fail("000000.h5")


def clock_runs_backwards():
    clear("stub.h5")
    run("stub.h5", program=STUB)
    os.environ["GM_STUB_CLOCK"] = "-60"
    clear(OUT)
    process = start(OUT, program=STUB)
    while len(shards(OUT)) < 2 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(SIGKILL)
    process.communicate()
    for path in parts(OUT).iterdir():
        os.utime(path, (2**32, 2**32))  # in the year 2106
    summary = json.loads(run(OUT, "--resume", program=STUB))
    del os.environ["GM_STUB_CLOCK"]
    assert summary["passed"] and summary["tokens_per_second"] == 0  # not a negative rate
    check_same(OUT, contents("stub.h5"))


def clock_leaps():
    """A machine that holds the process still for a minute between any two looks is no reason to say more."""
    os.environ["GM_STUB_CLOCK"] = "60"
    clear(OUT)
    done = subprocess.run(command(OUT, "--quiet", program=STUB), capture_output=True, text=True)
    del os.environ["GM_STUB_CLOCK"]
    assert done.returncode == 0 and done.stderr == "", done.stderr
    check_same(OUT, contents("stub.h5"))


def gpu_is_lost():
    """What was committed stays, and another run goes on after it."""
    clear("stub.h5")
    run("stub.h5", program=STUB)
    os.environ["GM_STUB_LOSES"] = "2"
    clear(OUT)
    run(OUT, program=STUB, code=1, says="the GPU reported 'uncorrectable ECC error encountered'")
    del os.environ["GM_STUB_LOSES"]
    assert 1 <= len(shards(OUT)) <= 2 and not pathlib.Path(OUT).exists(), shards(OUT)
    run(OUT, "--resume", program=STUB, says="continuing after")
    check_same(OUT, contents("stub.h5"))


def two_processes(whole):
    with Paused() as run_:
        for options in (("--resume",), ("--force",), ("--shard", "0/2")):
            run(OUT, *options, code=1, says="another process is writing into 'o.h5.parts'")
        merge = subprocess.run([PROBE, "merge", parts(OUT), "-o", "merged.h5"],
                               capture_output=True, text=True)
        assert merge.returncode == 1 and "finish the run with --resume" in merge.stderr, merge
    run_.must_end(whole)

    clear(OUT)
    pair = [start(OUT), start(OUT)]
    codes = sorted((p.communicate()[1], p.returncode)[1] for p in pair)
    assert codes == [0, 1], codes
    check_same(OUT, whole)


def closed_descriptors(whole):
    clear(OUT)
    for redirect in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        line = [str(x) for x in (PROBE, "collect", "--model", MODEL, "--corpus", "corpus.jsonl",
                                 "--doc-tokens", 12, "--min-tokens", 8, "-o", OUT)]
        done = subprocess.run(["sh", "-c", f'"$@" {redirect}', "sh", *line], capture_output=True)
        assert done.returncode == (1 if ">&-" in redirect.replace("2>&-", "") else 0), done
        check_same(OUT, whole)
        clear(OUT)


def main():
    write_corpus("corpus.jsonl", BLOCKS * BLOCK)
    clear("whole.h5")
    run("whole.h5")
    whole = contents("whole.h5")
    corpus_goes(whole)
    folder_file_goes()
    model_goes(whole)
    shard_goes(whole)
    clock_runs_backwards()
    clock_leaps()
    gpu_is_lost()
    two_processes(whole)
    closed_descriptors(whole)
    clear(OUT)


if __name__ == "__main__":
    main()
