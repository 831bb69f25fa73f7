/* naming.h - keywords of clusters from the texts in the trace, or, where it holds none, from its
 * tokens put together.
 *
 * Sizes: N documents, C clusters.
 */
#ifndef GM_NAMING_H
#define GM_NAMING_H

#include "cluster/languages.h"
#include "cluster/points.h"
#include "cluster/usage.h"
#include "formats/atlas.h"
#include "text/tfidf.h"
#include "text/words.h"

#define GM_KEYWORD_CHOICES "tfidf|class" /* in the order of gm_keyword_method */

typedef enum gm_stop_choice {
    GM_STOP_CHOICE_BOTH,
    GM_STOP_CHOICE_EN,
    GM_STOP_CHOICE_RU,
    GM_STOP_CHOICE_NONE
} gm_stop_choice;
#define GM_STOP_CHOICES "both|english|russian|none"

typedef struct gm_naming_options {
    gm_keyword_method method;
    gm_stop_choice stop;
    double max_df; /* gm_tfidf_options': most documents with a word, or their share; 0: no limit */
    bool stems;    /* words of one stem are one keyword, shown in its most frequent form */
} gm_naming_options;

/* How words are found under these options. */
gm_words_options gm_naming_words(const gm_naming_options *options);

/* Where the words of a trace's documents are to be had. */
typedef enum gm_words_basis {
    GM_WORDS_NONE,
    GM_WORDS_TEXTS,
    GM_WORDS_TOKENS /* the spellings of its tokens, one after another */
} gm_words_basis;
gm_words_basis gm_words_basis_of(const gm_trace *trace);
/* "none", "texts", "tokens" */
const char *gm_words_basis_name(gm_words_basis basis);

#define GM_NO_WORDS                                                                              \
    "the trace has neither texts nor the spelling of its tokens (gm-probe collect keeps one of " \
    "them, except with --no-text and either --no-spelling or --record counts)"

/* gm_trace_read_texts, of texts or of tokens put together; GM_EABSENT when there is neither. */
gm_status gm_words_read_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                              gm_error *err) GM_MUST_USE;

/* The words of all documents, in canonical order. */
typedef struct gm_words_of {
    gm_words_basis basis;
    gm_vocabulary *vocabulary;
    gm_bag counts;    /* (N) rows */
    uint16_t *script; /* (N) gm_script of each text */
    gm_languages languages;
} gm_words_of;

/* Read and count the texts: gm_words_read_texts. Errors: its own, GM_EMEM; everything is empty
 * then. */
gm_status gm_naming_read(gm_words_of *out, gm_trace *trace, const gm_usage *usage,
                         const gm_naming_options *options, gm_progress *progress, gm_error *err)
    GM_MUST_USE;
void gm_naming_clear(gm_words_of *words);

/* The clusters, and the nodes of the condensed tree, each with all documents below it. */
typedef struct gm_named {
    const int32_t *label; /* (N) in canonical order */
    size_t n_clusters;
    const int32_t *node;    /* (N) where a document leaves the tree, -1: it never was in it */
    const uint32_t *parent; /* (n_nodes) */
    size_t n_nodes;
} gm_named;

/* keyword (C, GM_N_KEYWORDS) written, "" where there are fewer, borrowed from words; score of
 * the same shape; node_keyword (n_nodes, GM_N_KEYWORDS). */
gm_status gm_naming_find(const char **keyword, float *score, const char **node_keyword,
                         const gm_words_of *words, const gm_named *named,
                         const gm_naming_options *options, gm_error *err) GM_MUST_USE;

#endif
