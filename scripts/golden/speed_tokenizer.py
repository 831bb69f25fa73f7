#!/usr/bin/env python3
"""speed_tokenizer - MB/s of gm-probe tokenize beside Hugging Face tokenizers, each with one thread, in the same run.

    speed_tokenizer.py BUILD [NAME...]     NAME: gigachat-base, olmoe, ...; default: gigachat-base, olmoe, qwen2, mixtral

First the documents of the shared minipile/test.jsonl.zst. Ours is the whole program (JSON read, ids printed), less the time it
takes to load the tokenizer.json; theirs is encode() on texts in memory, one after another, the best of three each. Then single
texts of 4 MiB of hostile kinds, for the first NAME: seconds each. Exit 77 when something is absent.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common, live_tokenizer, tokenizer as goldens  # noqa: E402

MIB = 1 << 20


def hostile():
    """(name, text of 4 MiB)."""
    state, letters = 1, []
    for _ in range(4 * MIB):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        letters.append(chr(97 + (state >> 16) % 26))
    pieces = [("one letter", "a"), ("two letters", "ab"), ("spaces", " "), ("newlines", "\n"), ("digits", "7"), ("dashes", "-"),
              ("combining marks", "\u0301"), ("two marks out of order", "\u0301\u0323"), ("han", "漢"), ("emoji", "😀"), ("NUL", "\0"),
              ("apostrophes", "'"), ("space and CR", " \r"), ("brackets", "[]")]
    return [(name, piece * (4 * MIB // len(piece.encode()))) for name, piece in pieces] + [("random letters", "".join(letters))]


def best(times, run):
    """Seconds of the fastest of several runs."""
    results = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        results.append(time.perf_counter() - start)
    return min(results)


def ours(binary, folder, texts, times):
    """Seconds of the whole program for texts; for none, of loading the tokenizer."""
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts))
    command = [str(binary), "tokenize", "--model", str(folder), str(corpus)]
    return best(times, lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))


def theirs(tokenizer, texts, times):
    return best(times, lambda: [len(tokenizer.encode(t).ids) for t in texts])


def main():
    from tokenizers import Tokenizer

    binary, shared = live_tokenizer.program(sys.argv[1], "gm-probe"), common.shared_dir()
    names = sys.argv[2:] or ["gigachat-base", "olmoe", "qwen2", "mixtral"]
    if binary is None or shared is None:
        print("speed_tokenizer: skipped,", "gm-probe is not built" if binary is None else "no shared folder")
        return 77
    lines = goldens.unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    megabytes = sum(len(t.encode()) for t in texts) / 1e6
    print(f"{len(texts)} documents, {megabytes:.1f} MB, one thread\n{'':16}{'ours MB/s':>10}{'theirs MB/s':>12}{'load s':>8}")
    for place, name in enumerate(names):
        text = goldens.unzstd(shared / "tokenizers" / f"{goldens.REAL[name][0]}.json.zst").decode("utf-8")
        tokenizer = Tokenizer.from_str(text)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "tokenizer.json").write_text(text)
            load = ours(binary, folder, [], 7)
            mine = ours(binary, folder, texts, 3) - load
            print(f"{name:16}{megabytes / mine:10.1f}{megabytes / theirs(tokenizer, texts, 3):12.1f}{load:8.2f}", flush=True)
            if place + 1 == len(names):
                print(f"\n4 MiB, {name:12}{'ours s':>10}{'theirs s':>12}")
            for kind, one in hostile() if place + 1 == len(names) else []:
                print(f"{kind:24}{ours(binary, folder, [one], 3) - load:6.2f}{theirs(tokenizer, [one], 1):12.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
