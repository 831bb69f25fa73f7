"""words - the words of a lower-cased text as text/words.h defines them, by the scripts and categories of the `regex` package.

For `tokenizer=` of scikit-learn's vectorizers, instead of their pattern: marks belong to the letter before them, a run ends
where its script does, each two neighbours of Han and of hiragana are a word, and each two clusters of Thai, Lao, Khmer and
Burmese letters.
"""

import regex

LETTER, MARK = r"[\p{L}\p{N}_]", r"[\p{Mn}\p{Mc}]"
PAIRED = [rf"[{LETTER}&&\p{{Han}}]", rf"[{LETTER}&&\p{{Hiragana}}]"]
KATAKANA = rf"[{LETTER}&&[\p{{Katakana}}ー\uFF70\uFF9E\uFF9F]]"
CLUSTERED = r"[\p{L}&&[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"
SPACED = rf"[{LETTER}--[\p{{Han}}\p{{Hiragana}}\p{{Katakana}}ー\uFF70\uFF9E\uFF9F{CLUSTERED}]]"
RUN = regex.compile("|".join(f"(?P<{name}>{kind}[{kind}{MARK}]*)" for name, kind in
                             zip(("han", "hiragana", "katakana", "clusters", "spaced"),
                                 [*PAIRED, KATAKANA, CLUSTERED, SPACED])), regex.V1)
MARKS = regex.compile(MARK)
# Marks, vowels after their consonant, what is after a vowel before its consonant or after a virama, Burmese finals.
CLUSTER = regex.compile(rf"{CLUSTERED}(?:{MARK}|[ะาำๅະາຳ]|(?<=[เ-ไເ-ໄ\u1039\u17D2]){CLUSTERED}|{CLUSTERED}(?=\u1037?[\u1039\u103A]))*",
                        regex.V1)


def words(text):
    found = []
    for run in RUN.finditer(text):
        letters = MARKS.sub("", run.group())
        if run.lastgroup in ("han", "hiragana"):
            found += [letters[i : i + 2] for i in range(len(letters) - 1)]
        elif run.lastgroup == "clusters" and len(clusters := CLUSTER.findall(run.group())) > 1:
            found += [first + second for first, second in zip(clusters, clusters[1:])]
        elif len(letters) >= 2:
            found.append(run.group())
    return found
