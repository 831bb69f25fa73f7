/* choose_documents.c - drawing documents by hash: see choose_documents.h. */
#include "probe/choose_documents.h"

#include "base/rng.h"
#include "formats/names.h"

#include <stdlib.h>
#include <string.h>

typedef struct ticket {
    uint64_t key, ordinal;
    size_t subset;
} ticket;

typedef struct tickets {
    ticket *at;
    size_t n, cap;
} tickets;

static uint64_t key_of(uint64_t seed, const uint8_t sha[32])
{
    uint64_t half[2];
    uint32_t word[4];
    memcpy(half, sha, sizeof half);
    gm_rng rng = gm_rng_make(seed, half[0]);
    gm_rng_at(&rng, half[1], 0, word);
    return (uint64_t)word[0] << 32 | word[1];
}

static int by_subset_and_key(const void *a, const void *b)
{
    const ticket *x = a, *y = b;
    if (x->subset != y->subset) return x->subset < y->subset ? -1 : 1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static int by_ordinal(const void *a, const void *b)
{
    const gm_drawn *x = a, *y = b;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static gm_status add_ticket(tickets *t, ticket one, gm_error *err)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 1024;
        ticket *grown = gm_grow(t->at, t->cap, cap, sizeof *grown);
        if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory to sample %zu documents", cap);
        t->at = grown;
        t->cap = cap;
    }
    t->at[t->n++] = one;
    return GM_OK;
}

/* A ticket for every usable document. */
static gm_status read_tickets(tickets *t, const gm_blocks_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_corpus *corpus = NULL;
    gm_names subsets = {0};
    gm_document document;
    bool more = true;
    GM_TRY(gm_corpus_open(&corpus, options->paths, options->n_paths, &options->corpus, err));
    const char *pipe = gm_corpus_pipe(corpus);
    if (pipe)
        GM_FAIL(GM_EIO,
                "'%s' is a pipe, which can be read only once, but sampling reads the corpus twice; "
                "give a file instead",
                pipe);
    for (uint64_t ordinal = 0;; ordinal++) {
        ticket one = {.ordinal = ordinal};
        GM_TRY(gm_corpus_next(corpus, &document, &more, err));
        if (!more) break;
        if (document.skip != GM_SKIP_NONE) continue;
        one.key = key_of(options->seed, document.sha);
        if (options->per_subset)
            GM_TRY(gm_names_add(&subsets, document.subset, SIZE_MAX, &one.subset, err));
        GM_TRY(add_ticket(t, one, err));
    }
out:
    gm_names_clear(&subsets);
    gm_corpus_close(corpus);
    return status;
}

gm_status gm_sample_draw(gm_sample *sample, const gm_blocks_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    tickets t = {0};
    size_t n = 0;
    *sample = (gm_sample){.seed = options->seed};
    GM_TRY(read_tickets(&t, options, err));
    if (t.n > 0) qsort(t.at, t.n, sizeof *t.at, by_subset_and_key);
    for (size_t i = 0, rank = 0; i < t.n; i++) {
        rank = i > 0 && t.at[i].subset == t.at[i - 1].subset ? rank + 1 : 0;
        if (rank < options->sample) t.at[n++] = t.at[i];
    }
    sample->at = gm_alloc(n, sizeof *sample->at);
    if (sample->at == NULL) GM_FAIL(GM_EMEM, "no memory to sample %zu documents", n);
    for (; sample->n < n; sample->n++)
        sample->at[sample->n] = (gm_drawn){t.at[sample->n].ordinal, t.at[sample->n].key};
    qsort(sample->at, n, sizeof *sample->at, by_ordinal);
out:
    gm_free(t.at);
    return status;
}

gm_status gm_sample_has(const gm_sample *sample, uint64_t ordinal, const gm_document *document,
                        bool *yes, gm_error *err)
{
    const gm_drawn wanted = {.ordinal = ordinal};
    const gm_drawn *found = bsearch(&wanted, sample->at, sample->n, sizeof *sample->at, by_ordinal);
    *yes = found != NULL;
    if (found == NULL || found->key == key_of(sample->seed, document->sha)) return GM_OK;
    return gm_fail(err, GM_EFORMAT,
                   "'%s' has changed since this run drew its documents; repeat the command",
                   document->file);
}

void gm_sample_clear(gm_sample *sample)
{
    gm_free(sample->at);
    *sample = (gm_sample){0};
}
