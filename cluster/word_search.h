/* word_search.h - which clusters are about given words: among their keywords, and in their
 * documents' texts where the trace has them.
 *
 * Words are those of text/words.h, alike when their stems are. Sizes: N documents, C
 * clusters, W words asked for.
 */
#ifndef GM_WORD_SEARCH_H
#define GM_WORD_SEARCH_H

#include "base/cli.h"
#include "formats/atlas.h"
#include "formats/trace.h"

enum { GM_MAX_WORDS = 64 };

/* How near a cluster is to the words. */
typedef struct gm_word_match {
    size_t cluster;
    double near;    /* share of its keywords' scores that words asked for have, in [0,1] */
    uint32_t found; /* bit k: its k-th keyword is one of them */
    double words;   /* distinct words asked for in a document, mean over its documents; NaN
                       without texts */
} gm_word_match;

typedef struct gm_word_search {
    size_t n_words;           /* W, words of one stem counted once */
    char *word[GM_MAX_WORDS]; /* as asked for, lower case; owned */
    size_t n_clusters;
    gm_word_match *cluster; /* (C) nearest first: by `words`, then `near`, then number */
    double corpus_words;    /* mean over all documents; NaN without texts */
} gm_word_search;

/* `asked` holds texts of one or more words. `trace` may be NULL; it must be the atlas's.
 * Errors: GM_EARG (no words or more than GM_MAX_WORDS, another trace), GM_EABSENT (a trace
 * without texts), GM_EMEM, those of reading. On failure *out is empty. */
gm_status gm_word_search_run(gm_word_search *out, const gm_atlas *atlas, gm_trace *trace,
                             const gm_opt_list *asked, gm_error *err) GM_MUST_USE;
void gm_word_search_clear(gm_word_search *search);

#endif
