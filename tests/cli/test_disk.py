#!/usr/bin/env python3
# label: slow
"""Full disks of many sizes, read-only and unwritable folders, kills: what our programs write is
whole under its name or not there, they end with one sentence, and gm-probe collect goes on
once there is room. Needs to mount a small tmpfs: as root, or in a user namespace of its own;
skipped (77) where neither is to be had."""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

from probe_run import (BIN, BLOCK, MODEL, SIGKILL, STUB, check_same, clear, command, contents, parts,
                       run, shards, write_corpus)

DISK = pathlib.Path("disk")


def enter_namespace():
    """Go on as root of a mount namespace of our own: mounts end with the process."""
    if os.environ.get("GM_TEST_NAMESPACE") != "1":
        os.environ["GM_TEST_NAMESPACE"] = "1"
        for how in ("-m", "-Urm"):
            if subprocess.run(["unshare", how, "true"], stderr=subprocess.DEVNULL).returncode == 0:
                os.execvp("unshare", ["unshare", how, sys.executable, __file__])
        print("skipped: neither root nor user namespaces, so no small disk can be mounted")
        sys.exit(77)


def mount(*options):
    return subprocess.run(["mount", *options, str(DISK)], stderr=subprocess.DEVNULL).returncode == 0


class Disk:
    """A tmpfs of so many KiB."""

    def __init__(self, kib):
        self.kib = kib

    def __enter__(self):
        if not mount("-t", "tmpfs", "-o", f"size={self.kib}k", "tmpfs"):
            print("skipped: a tmpfs cannot be mounted here")
            sys.exit(77)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", str(DISK)], check=True)

    def change(self, options):
        assert mount("-o", f"remount,{options}")


def one_sentence(stderr, program):
    lines = stderr.splitlines()
    assert len(lines) == 1 and re.match(rf"{program} \w+: \S", lines[0]), stderr


def collect_on_full_disks():
    write_corpus("corpus.jsonl", 3 * BLOCK)
    clear("whole.h5")
    run("whole.h5", program=STUB)
    whole = contents("whole.h5")
    out, fell = DISK / "o.h5", {"shard": 0, "merge": 0}
    size = 8
    while True:
        with Disk(size) as disk:
            done = subprocess.run(command(out, "--quiet", program=STUB), capture_output=True,
                                  text=True)
            if done.returncode == 0:
                check_same(out, whole)
                break
            assert done.returncode == 1, (size, done.returncode, done.stderr)
            one_sentence(done.stderr, "gm-probe")
            assert "No space left on device" in done.stderr, done.stderr
            assert ("kept: repeat the command with --resume" in done.stderr) == (len(shards(out)) > 0), done.stderr
            assert not out.exists() and not pathlib.Path(f"{out}.part").exists()
            assert not list(parts(out).glob("*.part"))
            fell["merge" if len(shards(out)) == 3 else "shard"] += 1
            for shard in shards(out):
                contents(shard)
            disk.change("size=64m")
            run(out, "--resume", program=STUB)
            check_same(out, whole)
        size = size + max(16, size // 4) // 4 * 4
    assert min(fell.values()) > 2, fell
    print(f"collect: full while writing a shard {fell['shard']} times, while merging "
          f"{fell['merge']} times; each went on and ended as it should")


def collect_where_nothing_may_be_written():
    out = DISK / "o.h5"
    with Disk(4096) as disk:
        disk.change("ro")
        run(out, program=STUB, code=1, says="Read-only file system")
        disk.change("rw")
        out.mkdir()
        run(out, "--force", program=STUB, code=1, says="exists and is not a file")
        out.rmdir()
        parts(out).write_text("not a folder")
        run(out, program=STUB, code=1, says="Not a directory")
    run("absent/o.h5", program=STUB, code=1, says="cannot create 'absent/o.h5'")
    run("/dev/null", "--force", program=STUB, code=1, says="exists and is not a file")
    assert pathlib.Path("/dev/null").is_char_device()
    run("/dev/null/o.h5", program=STUB, code=1, says="Not a directory")


def file_size_limit():
    """RLIMIT_FSIZE as a disk that is full for this file only."""
    clear("limited.h5")
    done = subprocess.run(["prlimit", "--fsize=40000", *command("limited.h5", program=STUB)],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr, done
    assert not pathlib.Path("limited.h5").exists() and not parts("limited.h5").exists()


def writers():
    """The other files: name, program, what it is called, command line without the output."""
    run("t.h5", "--force", "--limit", 120)
    subprocess.run([BIN / "gm-cluster", "fit", "t.h5", "-o", "a.h5", "--min-cluster-size", "5",
                    "--quiet", "--force"], check=True, stdout=subprocess.DEVNULL)
    return [
        ("a.h5", [BIN / "gm-cluster", "fit", "t.h5", "--min-cluster-size", "5", "--quiet", "-o"]),
        ("r.html", [BIN / "gm-cluster", "report", "a.h5", "-o"]),
        ("p.safetensors", [BIN / "gm-steer", "plan", "--atlas", "a.h5", "--cluster", "0", "-o"]),
        ("m.h5", [BIN / "gm-probe", "merge", "t.h5", "-o"]),
    ]


def others_on_full_disks():
    for name, line in writers():
        program, out = line[0].name, DISK / name
        done = None
        sizes = 0
        for size in [4 * k for k in (0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 45, 70, 100, 400, 1600)]:
            with Disk(max(size, 4)):
                if size == 0:  # a tmpfs of no bytes has no limit
                    (DISK / "filler").write_bytes(bytes(4096))
                done = subprocess.run([*line, out], capture_output=True, text=True)
                left = sorted(set(os.listdir(DISK)) - {"filler"})
            if done.returncode == 0:
                break
            sizes += 1
            assert "No space left" in done.stderr, (name, size, done)
            assert done.returncode == 1, (name, size, done)
            one_sentence(done.stderr, program)
            assert left == [], (name, size, left)
        assert done.returncode == 0 and left == [name], (name, done, left)
        assert sizes > 0
        with Disk(4096) as disk:
            disk.change("ro")
            done = subprocess.run([*line, out], capture_output=True, text=True)
            assert done.returncode == 1 and "Read-only" in done.stderr, done
        print(f"{name}: {sizes} full disks, nothing left behind")


def others_killed(rng):
    for name, line in writers():
        with Disk(65536):
            out = DISK / name
            begin = time.monotonic()
            subprocess.run([*line, out], check=True, capture_output=True)
            length = time.monotonic() - begin
            whole = out.read_bytes()
            for _ in range(6):
                out.unlink(missing_ok=True)
                process = subprocess.Popen([*line, out], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                time.sleep(rng.uniform(0, length))
                process.send_signal(SIGKILL)
                process.wait()
                if out.exists() and name.endswith("h5"):
                    contents(out)
                elif out.exists():
                    assert out.read_bytes() == whole
            out.unlink(missing_ok=True)
            subprocess.run([*line, out], check=True, capture_output=True)  # over a stale .part
            assert os.listdir(DISK) == [name], os.listdir(DISK)


def main():
    enter_namespace()
    DISK.mkdir(exist_ok=True)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    collect_on_full_disks()
    collect_where_nothing_may_be_written()
    file_size_limit()
    others_on_full_disks()
    others_killed(random.Random(seed))
    shutil.rmtree(DISK)


if __name__ == "__main__":
    main()
