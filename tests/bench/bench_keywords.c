/* bench_keywords.c - how fast texts become keywords: words found, counted and weighed.
 *
 *     bench_keywords CORPUS [MEGABYTES]        250
 *
 * The corpus is repeated, or cut short, to so many bytes of text; every sixtieth document is of one
 * class. Reading it is not timed.
 */
#include "base/progress.h"
#include "text/corpus.h"
#include "text/tfidf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEGABYTES = 250, CLASSES = 60, KEYWORDS = 10 };

typedef struct texts {
    gm_text all;
    const char **at; /* (n) */
    size_t *n_bytes; /* (n) */
    size_t n, cap, bytes;
} texts;

static gm_status add(texts *t, const char *text, size_t n_bytes, gm_error *err)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 1 << 14;
        const char **at = gm_grow(t->at, t->n, cap, sizeof *at);
        if (at) t->at = at;
        size_t *n = at ? gm_grow(t->n_bytes, t->n, cap, sizeof *n) : NULL;
        if (n == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu texts", cap);
        t->n_bytes = n, t->cap = cap;
    }
    t->at[t->n] = text;
    t->n_bytes[t->n++] = n_bytes;
    t->bytes += n_bytes;
    return GM_OK;
}

/* The whole corpus once, then its texts again and again. */
static gm_status read_corpus(texts *t, const char *path, size_t most, gm_error *err)
{
    gm_status status = GM_OK;
    gm_corpus *corpus = NULL;
    gm_document document;
    bool more = true;
    size_t n = 0;
    GM_TRY(gm_corpus_open(&corpus, &path, 1, NULL, err));
    while (t->bytes < most) {
        GM_TRY(gm_corpus_next(corpus, &document, &more, err));
        if (!more) break;
        if (document.skip != GM_SKIP_NONE) continue;
        GM_TRY(gm_text_append(&t->all, document.text, document.n_bytes, err));
        GM_TRY(add(t, NULL, document.n_bytes, err)); /* the text may still move */
    }
    if (t->n == 0) GM_FAIL(GM_EFORMAT, "'%s' has no document", path);
    for (size_t i = 0, from = 0; i < t->n; from += t->n_bytes[i++]) t->at[i] = t->all.at + from;
    for (n = t->n; t->bytes < most;)
        for (size_t i = 0; i < n && t->bytes < most; i++)
            GM_TRY(add(t, t->at[i], t->n_bytes[i], err));
out:
    gm_corpus_close(corpus);
    return status;
}

static gm_status measure(const texts *t, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_words_options words = {.stop = GM_STOP_ENGLISH | GM_STOP_RUSSIAN, .fold_yo = true};
    const gm_keyword_options how = {.n_keywords = KEYWORDS, .stems = true, .tfidf.min_df = 2};
    gm_vocabulary *vocabulary = NULL;
    gm_bag bag = {0};
    gm_keyword keyword[CLASSES * KEYWORDS];
    int32_t *label = gm_alloc(t->n, sizeof *label);
    if (label == NULL) GM_FAIL(GM_EMEM, "no memory for %zu labels", t->n);
    for (size_t i = 0; i < t->n; i++) label[i] = (int32_t)(i % CLASSES);
    const double start = gm_now();
    GM_TRY(gm_vocabulary_create(&vocabulary, err));
    GM_TRY(gm_bag_count(&bag, vocabulary, false, (gm_texts){t->at, t->n_bytes, t->n}, &words, err));
    const double counted = gm_now();
    const gm_keyword_classes classes = {.label = label, .n = CLASSES, .keyword = keyword};
    GM_TRY(gm_keywords_find(&classes, 1, &bag, vocabulary, &how, err));
    const double named = gm_now();
    printf("%zu texts, %.1f MB, %zu words: words %.2f s, keywords %.2f s, %.2f s in all\n", t->n,
           (double)t->bytes / 1e6, gm_vocabulary_n(vocabulary), counted - start, named - counted,
           named - start);
out:
    gm_vocabulary_free(vocabulary);
    gm_bag_clear(&bag);
    gm_free(label);
    return status;
}

int main(int argc, char **argv)
{
    gm_error err = {0};
    texts t = {0};
    const double megabytes = argc > 2 ? atof(argv[2]) : MEGABYTES;
    if (argc < 2 || argc > 3 || !(megabytes > 0 && megabytes < 1e5)) {
        fprintf(stderr, "usage: bench_keywords CORPUS [MEGABYTES]\n");
        return 2;
    }
    gm_status status = read_corpus(&t, argv[1], (size_t)(1e6 * megabytes), &err);
    if (status == GM_OK) status = measure(&t, &err);
    gm_text_clear(&t.all);
    gm_free(t.at);
    gm_free(t.n_bytes);
    if (status != GM_OK) fprintf(stderr, "bench_keywords: %s\n", err.text);
    return status != GM_OK;
}
