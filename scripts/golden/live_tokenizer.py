#!/usr/bin/env python3
"""live_tokenizer - gm-probe tokenize against Hugging Face tokenizers, on every document, line by line.

    live_tokenizer.py BUILD     BUILD: a build folder with the programs

Uses the tokenizers and the corpus of the shared folder (GM_SHARED or ../shared); exit 77 when it or the program is absent.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common, nasty, tokenizer as goldens  # noqa: E402


def program(build, name):
    """The program in a build folder; None when it was not built. What tests leave in test-work is none."""
    found = [p for p in pathlib.Path(build).rglob(name) if p.is_file() and "test-work" not in p.parts]
    return found[0] if found else None


def compare(binary, text, lines):
    """Documents whose ids differ between the two, how many tokens were compared, and what gm-probe says.

    The first is None when gm-probe refuses the file. An error of the reference is raised.
    """
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_str(text)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "tokenizer.json").write_text(text)
        (folder / "corpus.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
        command = [binary, "tokenize", "--model", folder, folder / "corpus.jsonl"]
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        return None, 0, result.stderr.strip()
    ours = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(ours) == len(lines), f"{len(ours)} lines for {len(lines)} documents"
    want = [theirs.encode(t).ids for t in lines]
    return [i for i, (a, b) in enumerate(zip(ours, want)) if a != b], sum(map(len, want)), ""


def main():
    shared, binary = common.shared_dir(), program(sys.argv[1], "gm-probe")
    if shared is None or binary is None:
        print("live_tokenizer: skipped,", "no shared folder" if shared is None else "gm-probe is not built")
        return 77
    corpus = goldens.unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines()
    lines = [json.loads(line)["text"] for line in corpus] + [text for _, text in nasty.texts()]
    status = 0
    for name, (file, _) in goldens.REAL.items():
        text = goldens.unzstd(shared / "tokenizers" / f"{file}.json.zst").decode("utf-8")
        wrong, tokens, message = compare(binary, text, lines)
        must = name in goldens.DIGESTED
        if wrong is None:
            print(f"{name}: refused{', a failure' if must else ''}: {message}")
        else:
            print(f"{name}: {len(lines)} documents, {tokens} tokens, {len(wrong)} documents differ {wrong[:5]}")
        if wrong if wrong is not None else must:
            status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
