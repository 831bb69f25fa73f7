/* corpus_words.c - see corpus_words.h. */
#include "cluster/corpus_words.h"

#include <stdlib.h>
#include <string.h>

/* What is read before it is counted. */
typedef struct texts {
    const char **at, **name; /* (n) the text, in the arena; what its group is called */
    size_t *n_bytes;         /* (n) */
    size_t n, cap, n_skipped;
    gm_arena arena;    /* texts */
    gm_text called;    /* of one document */
    char why_not[160]; /* of the first line that was skipped */
} texts;

static void texts_clear(texts *t)
{
    gm_free(t->at);
    gm_free(t->name);
    gm_free(t->n_bytes);
    gm_arena_clear(&t->arena);
    gm_text_clear(&t->called);
}

static gm_status reserve(texts *t, gm_error *err)
{
    const size_t cap = t->cap ? 2 * t->cap : 1024;
    const char **at = gm_grow(t->at, t->n, cap, sizeof *at);
    if (at) t->at = at;
    const char **name = gm_grow(t->name, t->n, cap, sizeof *name);
    if (name) t->name = name;
    size_t *n_bytes = gm_grow(t->n_bytes, t->n, cap, sizeof *n_bytes);
    if (n_bytes) t->n_bytes = n_bytes;
    if (!at || !name || !n_bytes) return gm_fail(err, GM_EMEM, "no memory for %zu texts", cap);
    t->cap = cap;
    return GM_OK;
}

/* What the group of a document is called. */
static gm_status find_name(const char **out, texts *t, gm_corpus_words *w, const gm_document *d,
                           bool by_document, gm_error *err)
{
    gm_status status = GM_OK;
    uint32_t id;
    if (by_document) {
        t->called.n = 0;
        GM_TRY(gm_document_name(&t->called, d, err));
        *out = gm_arena_text(&w->documents, t->called.at, t->called.n);
        if (*out == NULL) GM_FAIL(GM_EMEM, "no memory for the name of '%s'", t->called.at);
    } else {
        GM_TRY(gm_vocabulary_add(w->subsets, d->subset, strlen(d->subset), &id, err));
        *out = gm_vocabulary_word(w->subsets, id);
    }
out:
    return status;
}

static gm_status add(texts *t, gm_corpus_words *w, const gm_document *d, bool by_document,
                     gm_error *err)
{
    gm_status status = GM_OK;
    if (d->skip != GM_SKIP_NONE) {
        if (t->n_skipped++ == 0) memcpy(t->why_not, d->why_not, sizeof t->why_not);
        return GM_OK;
    }
    if (t->n == t->cap) GM_TRY(reserve(t, err));
    GM_TRY(find_name(&t->name[t->n], t, w, d, by_document, err));
    t->at[t->n] = gm_arena_text(&t->arena, d->text, d->n_bytes);
    if (t->at[t->n] == NULL) GM_FAIL(GM_EMEM, "no memory for text %zu", t->n);
    t->n_bytes[t->n++] = d->n_bytes;
out:
    return status;
}

static gm_status read_all(texts *t, gm_corpus_words *w, const char *const *path, size_t n_paths,
                          const gm_corpus_words_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_corpus *corpus = NULL;
    gm_document document;
    bool more = true;
    GM_TRY(gm_corpus_open(&corpus, path, n_paths, &options->corpus, err));
    for (;;) {
        GM_TRY(gm_corpus_next(corpus, &document, &more, err));
        if (!more) break;
        GM_TRY(add(t, w, &document, options->by_document, err));
    }
    if (t->n == 0 && t->n_skipped > 0)
        GM_FAIL(GM_EFORMAT, "no line of the corpus can be used; the first of %zu: %s", t->n_skipped,
                t->why_not);
    if (t->n == 0) GM_FAIL(GM_EFORMAT, "the corpus has no document");
out:
    gm_corpus_close(corpus);
    return status;
}

/* Groups by name, those of documents in their order. */
static gm_status find_groups(gm_corpus_words *w, const texts *t, bool by_document, gm_error *err)
{
    w->n = t->n;
    w->group = gm_alloc(t->n, sizeof *w->group);
    w->group_name = gm_alloc(t->n, sizeof *w->group_name);
    w->group_size = gm_alloc(t->n, sizeof *w->group_size);
    if (!w->group || !w->group_name || !w->group_size)
        return gm_fail(err, GM_EMEM, "no memory for the groups of %zu texts", t->n);
    memcpy(w->group_name, t->name, t->n * sizeof *w->group_name);
    w->n_groups = t->n;
    if (!by_document) {
        qsort(w->group_name, t->n, sizeof *w->group_name, gm_ascending_text);
        w->n_groups = 0;
        for (size_t i = 0; i < t->n; i++)
            if (i == 0 || strcmp(w->group_name[i], w->group_name[w->n_groups - 1]) != 0)
                w->group_name[w->n_groups++] = w->group_name[i];
    }
    for (size_t i = 0; i < t->n; i++) {
        const char **found = by_document ? w->group_name + i
                                         : bsearch(&t->name[i], w->group_name, w->n_groups,
                                                   sizeof *w->group_name, gm_ascending_text);
        w->group[i] = (int32_t)(found - w->group_name);
        w->group_size[w->group[i]]++;
    }
    return GM_OK;
}

gm_status gm_corpus_words_read(gm_corpus_words *out, const char *const *path, size_t n_paths,
                               const gm_corpus_words_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_corpus_words w = {0};
    texts t = {0};
    *out = (gm_corpus_words){0};
    GM_TRY(gm_vocabulary_create(&w.subsets, err));
    GM_TRY(read_all(&t, &w, path, n_paths, options, err));
    w.n_skipped = t.n_skipped;
    GM_TRY(find_groups(&w, &t, options->by_document, err));
    GM_TRY(gm_vocabulary_create(&w.vocabulary, err));
    GM_TRY(gm_bag_count(&w.counts, w.vocabulary, false, (gm_texts){t.at, t.n_bytes, t.n},
                        &options->words, err));
    *out = w;
    w = (gm_corpus_words){0};
out:
    texts_clear(&t);
    gm_corpus_words_clear(&w);
    return status;
}

void gm_corpus_words_clear(gm_corpus_words *words)
{
    gm_free(words->group);
    gm_free(words->group_name);
    gm_free(words->group_size);
    gm_vocabulary_free(words->vocabulary);
    gm_bag_clear(&words->counts);
    gm_vocabulary_free(words->subsets);
    gm_arena_clear(&words->documents);
    *words = (gm_corpus_words){0};
}
