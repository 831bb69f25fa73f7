/* corpus_words.h - the words of a labelled corpus of texts, for gm-cluster keywords.
 *
 * Sizes: N documents, G groups.
 */
#ifndef GM_CORPUS_WORDS_H
#define GM_CORPUS_WORDS_H

#include "base/arena.h"
#include "text/corpus.h"
#include "text/words.h"

typedef struct gm_corpus_words {
    size_t n, n_groups, n_skipped; /* N, G; lines that could not be used */
    int32_t *group;                /* (N) */
    const char **group_name;       /* (G) subsets in the order of their names; "" for none */
    uint32_t *group_size;          /* (G) */
    gm_vocabulary *vocabulary;
    gm_bag counts;          /* (N) */
    gm_vocabulary *subsets; /* names of subsets, each once */
    gm_arena documents;     /* names of documents, where these are groups */
} gm_corpus_words;

typedef struct gm_corpus_words_options {
    gm_corpus_options corpus;
    gm_words_options words;
    bool by_document; /* each document is a group, by gm_document_name, in their order */
} gm_corpus_words_options;

/* Errors: those of gm_corpus; GM_EFORMAT when no document can be used (says why the first
 * could not); GM_EMEM. */
gm_status gm_corpus_words_read(gm_corpus_words *out, const char *const *path, size_t n_paths,
                               const gm_corpus_words_options *options, gm_error *err) GM_MUST_USE;
void gm_corpus_words_clear(gm_corpus_words *words);

#endif
