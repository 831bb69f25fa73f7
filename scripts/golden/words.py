"""words - the words of a lower-cased text as text/words.h defines them, by the scripts and categories of the `regex` package.

For `tokenizer=` of scikit-learn's vectorizers, instead of their pattern: marks belong to the letter before them, a run ends
where its script does, and each two neighbours of Han and of hiragana are a word.
"""

import regex

LETTER, MARK = r"[\p{L}\p{N}_]", r"[\p{Mn}\p{Mc}]"
PAIRED = [rf"[{LETTER}&&\p{{Han}}]", rf"[{LETTER}&&\p{{Hiragana}}]"]
KATAKANA = rf"[{LETTER}&&[\p{{Katakana}}ー\uFF70\uFF9E\uFF9F]]"
SPACED = rf"[{LETTER}--[\p{{Han}}\p{{Hiragana}}\p{{Katakana}}ー\uFF70\uFF9E\uFF9F]]"
RUN = regex.compile("|".join(f"(?P<{name}>{kind}[{kind}{MARK}]*)" for name, kind in
                             zip(("han", "hiragana", "katakana", "spaced"), [*PAIRED, KATAKANA, SPACED])), regex.V1)
MARKS = regex.compile(MARK)


def words(text):
    found = []
    for run in RUN.finditer(text):
        letters = MARKS.sub("", run.group())
        if run.lastgroup in ("han", "hiragana"):
            found += [letters[i : i + 2] for i in range(len(letters) - 1)]
        elif len(letters) >= 2:
            found.append(run.group())
    return found
