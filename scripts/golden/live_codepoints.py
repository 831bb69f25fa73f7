#!/usr/bin/env python3
"""live_codepoints - gm-probe tokenize against Hugging Face tokenizers, character by character.

    live_codepoints.py BUILD     BUILD: a build folder with the programs

For every category and script that a pattern may name, every class of pre-tokenizers and every normal form there is a small
tokenizer, and every assigned code point goes through it (of private use and the unassigned planes one in 97). Exit 77 when the
program is absent.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import codepoint_tables, live_tokenizer, tiny_tokenizers  # noqa: E402

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (c < 0x33480 or 0xE0000 <= c < 0xE0200 or c % 97 == 0)]
CHUNK = 256
UNUSED = ("Co", "Mn")  # private use is not in POINTS as a whole; Mn is refused


def whole(normalizer=None, steps=(), added=()):
    """A byte-level tokenizer without merges."""
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    vocab = {symbol: i for i, symbol in enumerate(tiny_tokenizers.byte_symbols())}
    return {"added_tokens": list(added), "normalizer": normalizer, "pre_tokenizer": tiny_tokenizers.sequence(*steps, last),
            "model": {"type": "BPE", "vocab": vocab, "merges": []}}


def split(pattern):
    return whole(steps=[{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": False}])


def cases():
    """(name, tokenizer, what to write for a character)."""
    names = [c for c in codepoint_tables.CATEGORIES if c not in UNUSED] + list("LMNPSZ") + list(codepoint_tables.SCRIPTS)
    for name in names:
        yield rf"\p{{{name}}}", split(rf"\p{{{name}}}"), "{}"
    for pattern in (r"\d", r"\D", r"\s", r"\S", r"\P{L}", r"[^\p{N}\p{Lm}\s]", r"[\p{Lu}\p{M}\p{Lo}]", "."):
        yield pattern, split(pattern), "{}"
    removed = {"type": "Punctuation", "behavior": "Removed"}
    yield "Punctuation", whole(steps=[removed]), "{}"
    yield "WhitespaceSplit", whole(steps=[{"type": "WhitespaceSplit"}]), "{}"
    space = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}
    digits = whole()
    digits["pre_tokenizer"] = tiny_tokenizers.sequence({"type": "Digits", "individual_digits": True}, space)
    yield "Digits", digits, "a{}"
    yield "single_word", whole(added=[tiny_tokenizers.added(256, "zz", "single_word")]), "{}zz."
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, whole({"type": form}), "e{}\u0301\u0323 "
        yield f"{form}, marks first", whole({"type": form}), "a\u0345\u0334{} "
    yield "Lowercase", whole({"type": "Lowercase"}), "{}"


def main():
    binary, status = live_tokenizer.program(sys.argv[1], "gm-probe"), 0
    if binary is None:
        print("live_codepoints: skipped, gm-probe is not built")
        return 77
    for name, tokenizer, form in cases():
        texts = ["".join(form.replace("{}", chr(c)) for c in POINTS[i : i + CHUNK]) for i in range(0, len(POINTS), CHUNK)]
        wrong, _, message = live_tokenizer.compare(binary, json.dumps(tokenizer), texts)
        if wrong is None or wrong:
            status = 3
            where = " ".join(f"U+{POINTS[i * CHUNK]:04X}.." for i in wrong[:20]) if wrong else message
            print(f"{name}: {where}")
    print(f"{len(POINTS)} characters,", "something differs" if status else "all agree")
    return status


if __name__ == "__main__":
    sys.exit(main())
