"""text_golden - TF-IDF by scikit-learn and class TF-IDF by BERTopic, over the texts of corpus.py."""

import unicodedata

import numpy as np

from . import common
from .corpus import CASES, TEXTS
from .words import words

MOST = 49  # the 49th word is more frequent than the 50th: at a tie scikit-learn would take either
# name: arguments of TfidfVectorizer beside the defaults; every text is brought to NFC first.
TFIDF = {
    "default": {},
    "sublinear": {"sublinear_tf": True},
    "english-stop-words": {"stop_words": "english"},
    "df-limits": {"min_df": 2, "max_df": 0.2},
    "max-features": {"max_features": MOST},
}
WORDS = {"tokenizer": words, "token_pattern": None}
ROWS_FOR = {"sublinear_tf", "min_df", "max_df"}  # settings whose whole matrix is stored
TOP = 10


def texts():
    return [unicodedata.normalize("NFC", text) for text, _ in TEXTS]


def top_terms(scores, terms, most=TOP):
    """The `most` best (term, score): score descending, then term ascending by code points; zero scores never."""
    order = sorted((i for i in range(len(terms)) if scores[i] > 0), key=lambda i: (-scores[i], terms[i]))
    return [[terms[i], float(scores[i])] for i in order[:most]]


def tfidf(arguments):
    """Vocabulary by code point, idf, keywords of every class, and (where stored) rows as [[term index, weight], ...]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(**WORDS, **arguments)
    matrix = vectorizer.fit_transform(texts()).tocsr()
    matrix.sort_indices()
    terms = [str(term) for term in vectorizer.get_feature_names_out()]
    rows = [[[int(j), round(float(matrix[i, j]), 12)] for j in matrix[i].indices] for i in range(matrix.shape[0])]
    classes = np.array([c for _, c in TEXTS])
    keywords = {}
    for c in sorted(set(classes) - {-1}):
        mean = np.asarray(matrix[np.flatnonzero(classes == c)].mean(axis=0)).ravel()
        keywords[str(c)] = top_terms(mean, terms)
    result = {"arguments": arguments, "terms": terms, "idf": [round(float(x), 12) for x in vectorizer.idf_],
              "keywords": keywords}
    if "max_features" in arguments:
        total = np.asarray(TfidfVectorizer(**WORDS, use_idf=False, norm=None).fit_transform(texts()).sum(axis=0)).ravel()
        total = sorted(total, reverse=True)
        assert total[MOST - 1] > total[MOST]
    return {**result, "rows": rows} if set(arguments) <= ROWS_FOR else result


def ctfidf():
    """BERTopic's class TF-IDF of every word of every class, noise (-1) a class of its own.

    Held against its definition: a term's share of its class, times ln(1 + A/f), f the term's frequency over all classes, A
    the mean number of words of a class, truncated.
    """
    from bertopic.vectorizers import ClassTfidfTransformer
    from sklearn.feature_extraction.text import CountVectorizer

    classes = sorted({c for _, c in TEXTS})
    joined = [" ".join(t for t, (_, c) in zip(texts(), TEXTS) if c == wanted) for wanted in classes]
    vectorizer = CountVectorizer(**WORDS)
    counts = vectorizer.fit_transform(joined)
    terms = [str(term) for term in vectorizer.get_feature_names_out()]
    weight = ClassTfidfTransformer().fit(counts).transform(counts.astype(np.float64)).toarray()
    counts = counts.toarray().astype(np.float64)
    average = int(counts.sum(axis=1).mean())
    by_definition = counts / counts.sum(axis=1, keepdims=True) * np.log(1.0 + average / counts.sum(axis=0))
    assert np.abs(weight - by_definition).max() < 1e-15
    return {"average_words": average,
            "keywords": {str(c): top_terms(weight[i], terms, len(terms)) for i, c in enumerate(classes)}}


def tokens():
    """Lower-cased tokens of every text and of the special cases."""
    from sklearn.feature_extraction.text import CountVectorizer

    analyze = CountVectorizer(**WORDS).build_analyzer()
    return {"texts": [analyze(text) for text in texts()],
            "cases": [{"text": text, "tokens": analyze(unicodedata.normalize("NFC", text))} for text in CASES]}


def make(folder):
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    common.write_json(folder / "corpus.json", {"texts": [{"text": text, "class": c} for text, c in TEXTS]})
    common.write_json(folder / "keywords.json", {
        "versions": common.versions("scikit-learn", "bertopic", "numpy", "regex"),
        "english_stop_words": sorted(ENGLISH_STOP_WORDS),
        "tokens": tokens(),
        "tfidf": {name: tfidf(arguments) for name, arguments in TFIDF.items()},
        "ctfidf": ctfidf(),
    }, indent=None)
    print("keywords:", [k for k, _ in tfidf({})["keywords"]["0"]])
