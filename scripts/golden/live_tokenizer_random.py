#!/usr/bin/env python3
"""live_tokenizer_random - gm-probe tokenize against Hugging Face tokenizers on tokenizer.json files drawn at random.

    live_tokenizer_random.py BUILD [COUNT [SEED]]     BUILD: a build folder with the programs; COUNT: files, default 400

Every file draws its normalizers, pre-tokenizer, added tokens, options and merges from what engine/tokenizer understands, and
encodes texts drawn from the same few characters, so that parts meet which no real file combines. A file that gm-probe refuses
counts as refused; one whose ids differ is written to the current folder. Exit 77 when the program is absent.
"""

import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import live_tokenizer, tiny_tokenizers  # noqa: E402

# Pieces that texts are made of: words and spaces of several kinds, marks that compose, Hangul, characters that change
# their length in lower case or in a normal form, bytes spelt as text, look-alikes of added tokens.
ATOMS = ["a", "b", "ab", "A", "é", "e\u0301", "\u0301", "\u0323", "q\u0307\u0323", "가", "\u1100\u1161", "\u11a8", "ﬁ", "İ",
         "Σ", "ß", "я", "Й", "И\u0306", "漢", "か", "😀", "1", "23", "½", "Ⅷ", "٣", " ", "  ", "\u00a0", "\u3000", "\u2581", "\n", "\r\n",
         "\t", ".", "-", "--", "'s", "'S", "_", "\u0000", "<0x41>", "<x>", "<y", ">", "[", "]", "word", "Ġ", "\u200d", "\u212b", "\ufdfa"]
EMPTY = [" ?", r"x*"]  # may match nothing: for splitting only
PATTERNS = [tiny_tokenizers.O200K, tiny_tokenizers.QWEN, r"\p{N}{1,3}", "[\u4e00-\u9fa5]+", r"\s+(?!\S)|\s+", "a+|b", r"[^\s]+", "-",
            r"(?i:ab)", r"\s+$", r"[\r\n]", r"\p{Lu}\p{M}*", r"(?<=a)b", "."]
STRINGS = [" ", "a", "ab", "--", "\u0301", "\u2581", "<x>"]
BEHAVIORS = ["Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"]


def pattern(rng, more=()):
    return {"Regex": rng.choice(PATTERNS + list(more))} if rng.random() < 0.6 else {"String": rng.choice(STRINGS)}


def flag(rng):
    return rng.random() < 0.5


def normalizer(rng):
    kinds = [
        *({"type": form} for form in ("NFC", "NFC", "NFD", "NFKC", "NFKD", "Lowercase")),
        {"type": "Strip", "strip_left": flag(rng), "strip_right": flag(rng)},
        {"type": "Prepend", "prepend": rng.choice(["\u2581", "a", "e"])},
        {"type": "Replace", "pattern": pattern(rng), "content": rng.choice(["", "\u2581", "b", "\u0301", " "])},
    ]
    return rng.choice(kinds)


def pre_tokenizer(rng):
    prefix = flag(rng)
    kinds = [
        {"type": "Split", "pattern": pattern(rng, EMPTY), "behavior": rng.choice(BEHAVIORS), "invert": flag(rng)},
        {"type": "Split", "pattern": {"Regex": rng.choice(PATTERNS[:5])}, "behavior": "Isolated", "invert": False},
        {"type": "Digits", "individual_digits": flag(rng)},
        {"type": "Punctuation", "behavior": rng.choice(BEHAVIORS)},
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": rng.choice(["first", "always", "never"]), "split": flag(rng)},
        {"type": "Metaspace", "replacement": "_", "add_prefix_space": prefix, "prepend_scheme": "always" if prefix else "never"},
    ]
    return rng.choice(kinds)


def some(rng, most, make, kind, key):
    """null, one of them, or a Sequence."""
    parts = [make(rng) for _ in range(rng.randint(0, most))]
    if len(parts) == 1 and flag(rng):
        return parts[0]
    return {"type": kind, key: parts} if parts else None


def vocabulary(rng, byte_level):
    """Symbols, then what random merges join, so that every merge's product exists."""
    tokens = tiny_tokenizers.byte_symbols() if byte_level else list(dict.fromkeys("".join(ATOMS) + "\u2581"))
    tokens = [t for t in tokens if rng.random() < (0.98 if byte_level else 0.8)]
    if not byte_level or rng.random() < 0.2:
        tokens += [f"<0x{b:02X}>" for b in range(256) if rng.random() < 0.98]
    symbols = [t for t in tokens if len(t) == 1 and (t.isalnum() or ord(t) > 0x7E)]
    likely = [t for t in symbols if t in "abeĠÌģ\u2581\u0301ĊÃÐ"] or symbols
    merges, known = [], set(tokens)
    for _ in range(rng.randint(0, 40)):
        left, right = rng.choice(likely), rng.choice(likely if flag(rng) else symbols)
        if (left, right) in merges:
            continue
        merges.append((left, right))
        likely.append(left + right)
        if left + right not in known:
            known.add(left + right)
            tokens.append(left + right)
    rng.shuffle(tokens)
    return {t: i for i, t in enumerate(tokens)}, merges


def added_tokens(rng, vocab):
    contents = rng.sample(["<x>", "[", "ab", "word", " ", "  ", "e\u0301", "é", "<y>", "A", "<0x41>", "\n", "ﬁ", "<x><x>", "ａ"], rng.randint(0, 5))
    result, free = [], len(vocab)
    for content in contents:
        number = vocab.get(content)
        if number is None:
            number, free = free, free + 1
        flags = {name: rng.random() < 0.3 for name in ("special", "normalized", "lstrip", "rstrip", "single_word")}
        result.append({"id": number, "content": content, **flags})
    return sorted(result, key=lambda token: token["id"])


def draw(rng):
    """One tokenizer.json as a value."""
    byte_level = rng.random() < 0.6
    pre = some(rng, 3, pre_tokenizer, "Sequence", "pretokenizers")
    if byte_level:
        last = {"type": "ByteLevel", "add_prefix_space": rng.random() < 0.3, "trim_offsets": True, "use_regex": flag(rng)}
        pre = last if pre is None else {"type": "Sequence", "pretokenizers": [pre, last]}
    vocab, merges = vocabulary(rng, byte_level)
    unknown = rng.choice([None, None, rng.choice(list(vocab))])
    model = {"type": "BPE", "dropout": None, "unk_token": unknown, "fuse_unk": flag(rng), "byte_fallback": flag(rng),
             "ignore_merges": rng.random() < 0.2, "vocab": vocab, "merges": [list(m) for m in merges]}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(rng, vocab),
            "normalizer": some(rng, 3, normalizer, "Sequence", "normalizers"), "pre_tokenizer": pre, "post_processor": None,
            "decoder": None, "model": model}


def draw_texts(rng, count):
    few = [rng.sample(ATOMS, rng.randint(2, 8)) for _ in range(8)]
    return ["".join(rng.choice(rng.choice(few)) for _ in range(rng.randint(1, 30))) for _ in range(count)]


def main():
    binary = live_tokenizer.program(sys.argv[1], "gm-probe")
    count, seed = (int(word) for word in (sys.argv[2:] + ["400", "1"][len(sys.argv) - 2:]))
    if binary is None:
        print("live_tokenizer_random: skipped, gm-probe is not built")
        return 77
    refused, wrong, same = collections.Counter(), 0, 0
    for number in range(seed, seed + count):
        rng = random.Random(number)
        text = json.dumps(draw(rng), ensure_ascii=True)
        lines = draw_texts(rng, 40)
        try:
            differ, tokens, message = live_tokenizer.compare(binary, text, lines)
        except BaseException as error:  # a panic of the reference, or a file it does not take
            refused[f"the reference: {str(error)[:60]}"] += 1
            continue
        if differ is None:
            refused[message.split(":", 1)[-1].strip()[-60:]] += 1
        elif differ:
            wrong += 1
            pathlib.Path(f"random-{number}.json").write_text(text)
            print(f"file {number}: {len(differ)} of {len(lines)} texts differ, the first is {lines[differ[0]]!r}")
        else:
            same += 1
    print(f"{count} files: {same} agree, {wrong} differ, {sum(refused.values())} refused")
    for why, times in refused.most_common():
        print(f"  {times} refused: {why}")
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
