#!/usr/bin/env python3
"""codepoint_tables - writes engine/tokenizer/codepoint_tables.c: what Hugging Face tokenizers thinks of single characters.

    codepoint_tables.py > engine/tokenizer/codepoint_tables.c

The reference draws on five editions of Unicode at once: Oniguruma's for regular expressions, Rust's for digits and lower case,
the regex crate's for words, and two old ones for punctuation and normal forms. So it is asked about every code point; what is
written is whole sets where C would otherwise need another library, and differences from Unicode 14 (Python 3.11's, PCRE2
10.40's) where a library does the work. Needs the venv of scripts/oracles; takes two minutes.
"""

import importlib.metadata
import json
import sys
import unicodedata

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CHUNK = 1 << 16
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
SCRIPTS = ("Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul Hebrew "
           "Hiragana Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Sinhala Tamil Telugu Thai Tibetan").split()


def chunks():
    for i in range(0, len(CODE_POINTS), CHUNK):
        yield CODE_POINTS[i : i + CHUNK]


def removed_by(pre_tokenizer):
    """The code points that a pre-tokenizer takes out."""
    result = set()
    for chunk in chunks():
        left = set()
        for piece, _ in pre_tokenizer.pre_tokenize_str("".join(map(chr, chunk))):
            left.update(map(ord, piece))
        result.update(c for c in chunk if c not in left)
    return result


def isolated_by(pre_tokenizer):
    """The code points that stand alone between letters."""
    result = set()
    for chunk in chunks():
        pieces = pre_tokenizer.pre_tokenize_str("a".join(map(chr, chunk)))
        result.update(ord(piece) for piece, _ in pieces if len(piece) == 1 and piece != "a")
    return result


def word_characters():
    """The code points that a single_word token must not touch."""
    from tokenizers import Tokenizer

    added = {"id": 1, "content": "zz", "single_word": True, "special": False, "normalized": False, "lstrip": False, "rstrip": False}
    model = {"type": "BPE", "vocab": {"y": 0}, "merges": []}
    tokenizer = Tokenizer.from_str(json.dumps({"added_tokens": [added], "model": model}))
    return {c for c in CODE_POINTS if 1 not in tokenizer.encode(chr(c) + "zz").ids}


def lower_case():
    """{code point: its lower case}, single characters, where Python's Unicode 14 has another."""
    from tokenizers.normalizers import Lowercase

    reference = Lowercase()
    pairs = {c: reference.normalize_str(chr(c)) for c in CODE_POINTS}
    return {c: ord(low) for c, low in pairs.items() if low != chr(c).lower() and len(low) == 1}


def inert(new):
    """Code points of which the reference's normal forms know nothing, though Unicode by now gives them a
    decomposition, a combining class, or a part in a composition."""
    from tokenizers.normalizers import NFD, NFKD

    canonical, compatible, result = NFD(), NFKD(), set(new)
    for c in CODE_POINTS:
        parts = unicodedata.decomposition(chr(c))
        if parts and not 0xAC00 <= c < 0xD7A4 and compatible.normalize_str(chr(c)) == chr(c):
            result.add(c)
            if not parts.startswith("<"):
                result.update(int(part, 16) for part in parts.split())
        moves = canonical.normalize_str(f"\u0345{chr(c)}") != f"\u0345{chr(c)}"  # class 240
        if unicodedata.combining(chr(c)) not in (0, 240) and not moves and not parts:
            result.add(c)
    return result


def runs(code_points, value=lambda c: None):
    """Neighbours with the same value, as [first, last, value]."""
    result = []
    for c in sorted(code_points):
        if result and result[-1][1] == c - 1 and result[-1][2] == value(c):
            result[-1][1] = c
        else:
            result.append([c, c, value(c)])
    return result


def write(kind, name, comment, items):
    print(f"\n/* {comment} */\nconst {kind} {name}[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += f" {item},"
    print(f"{line}\n}};\nconst size_t {name}_n = sizeof {name} / sizeof {name}[0];")


def write_ranges(name, comment, code_points):
    write("gm_code_range", name, comment, [f"{{0x{a:X}, 0x{b:X}}}" for a, b, _ in runs(code_points)])


def main():
    from tokenizers import Regex, pre_tokenizers

    category = {}
    for name in CATEGORIES:
        matched = removed_by(pre_tokenizers.Split(Regex(f"\\p{{{name}}}"), "removed"))
        category.update(dict.fromkeys(matched, name))
    other = {c for c, name in category.items() if unicodedata.category(chr(c)) != name}
    new = {c for c in other if unicodedata.category(chr(c)) == "Cn"}
    scripts = []
    for name in SCRIPTS:
        ranges = runs(removed_by(pre_tokenizers.Split(Regex(f"\\p{{{name}}}"), "removed")) & new)
        scripts += [f'{{"{name}", 0x{a:X}, 0x{b:X}}}' for a, b, _ in ranges] or [f'{{"{name}", 1, 0}}']

    version = importlib.metadata.version("tokenizers")
    print("/* codepoint_tables.c - what the reference thinks of single characters. Written by\n"
          f" * scripts/golden/codepoint_tables.py from tokenizers {version} and Unicode {unicodedata.unidata_version}. */\n"
          '#include "engine/tokenizer/codepoint_tables.h"\n\n/* clang-format off */')
    write_ranges("gm_numeric_chars", "Rust's char::is_numeric.", isolated_by(pre_tokenizers.Digits(individual_digits=True)))
    write_ranges("gm_punctuation_chars", "Pre-tokenizer Punctuation.", isolated_by(pre_tokenizers.Punctuation("isolated")))
    write_ranges("gm_word_chars", "\\w of Rust's regex crate.", word_characters())
    write_ranges("gm_inert_chars", "No decomposition, composition or combining class in the reference.", inert(new))
    lower = runs(low := lower_case(), lambda c: low[c] - c)
    write("gm_case_range", "gm_lower_chars", "Lower case that is younger than Unicode 14.",
          [f"{{0x{a:X}, 0x{b:X}, {delta}}}" for a, b, delta in lower])
    write("gm_category_range", "gm_new_categories", "Oniguruma's categories that are younger than Unicode 14.",
          [f'{{"{name}", 0x{a:X}, 0x{b:X}}}' for a, b, name in runs(other, category.get)])
    write("gm_category_range", "gm_script_chars", "Scripts that a pattern may name, and what joined them after Unicode 14.", scripts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
