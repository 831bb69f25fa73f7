/* word_search.c - see word_search.h. */
#include "cluster/word_search.h"

#include "cluster/from_atlas.h"
#include "text/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1024 }; /* documents whose texts are held at a time */

/* Words in one vocabulary, each with the asked word of its stem. */
typedef struct finder {
    gm_stemmer *stemmer;
    gm_vocabulary *stems;      /* of the words asked for: its ids are the asked words' numbers */
    gm_vocabulary *vocabulary; /* of all words met */
    int8_t *asked;             /* (n_known) number of the asked word; -1: none */
    size_t n_known;
} finder;

static const gm_words_options every_word = {.stop = GM_STOP_NONE, .fold_yo = true};

void gm_word_search_clear(gm_word_search *search)
{
    for (size_t i = 0; i < search->n_words; i++) gm_free(search->word[i]);
    gm_free(search->cluster);
    *search = (gm_word_search){0};
}

static void finder_clear(finder *f)
{
    gm_stemmer_free(f->stemmer);
    gm_vocabulary_free(f->stems);
    gm_vocabulary_free(f->vocabulary);
    gm_free(f->asked);
}

/* The words asked for: one for each stem. */
static gm_status read_words(gm_word_search *out, finder *f, const gm_opt_list *asked, gm_error *err)
{
    gm_status status = GM_OK;
    gm_vocabulary *words = NULL;
    gm_bag bag = {0};
    size_t n_bytes[1];
    GM_TRY(gm_stemmer_create(&f->stemmer, err));
    GM_TRY(gm_vocabulary_create(&f->stems, err));
    GM_TRY(gm_vocabulary_create(&f->vocabulary, err));
    GM_TRY(gm_vocabulary_create(&words, err));
    for (size_t i = 0; i < asked->n; i++) {
        n_bytes[0] = strlen(asked->at[i]);
        if (gm_utf8_valid(asked->at[i], n_bytes[0]) != n_bytes[0])
            GM_FAIL(GM_EARG, "the words are not valid UTF-8");
        GM_TRY(gm_bag_count(&bag, words, false, (gm_texts){&asked->at[i], n_bytes, 1}, &every_word,
                            err));
        gm_bag_clear(&bag);
    }
    for (uint32_t w = 0; w < gm_vocabulary_n(words); w++) {
        const char *word = gm_vocabulary_word(words, w);
        uint32_t id;
        size_t n;
        const char *stem = gm_stem(f->stemmer, word, &n);
        GM_TRY(gm_vocabulary_add(f->stems, stem, n, &id, err));
        if (id < out->n_words) continue;
        if (out->n_words == GM_MAX_WORDS)
            GM_FAIL(GM_EARG, "expected at most %d words", GM_MAX_WORDS);
        out->word[out->n_words] = gm_copy_text(word, strlen(word));
        if (out->word[out->n_words++] == NULL) GM_FAIL(GM_EMEM, "no memory for the words");
    }
    if (out->n_words == 0) GM_FAIL(GM_EARG, "expected a word of two letters or more");
out:
    gm_bag_clear(&bag);
    gm_vocabulary_free(words);
    return status;
}

/* The asked word that `word` has the stem of; -1: none. */
static int find_asked(finder *f, const char *word)
{
    uint32_t id;
    size_t n;
    const char *stem = gm_stem(f->stemmer, word, &n);
    return gm_vocabulary_find(f->stems, stem, n, &id) ? (int)id : -1;
}

/* ---- keywords ---- */

static gm_word_match look_at_keywords(finder *f, const gm_atlas *a, size_t cluster)
{
    gm_word_match out = {.cluster = cluster, .words = (double)NAN};
    double all = 0;
    for (size_t k = 0; k < GM_N_KEYWORDS; k++) {
        const char *word = a->keyword[cluster * GM_N_KEYWORDS + k];
        double score = (double)a->keyword_score[cluster * GM_N_KEYWORDS + k];
        if (word == NULL || *word == '\0') continue;
        all += score;
        if (find_asked(f, word) < 0) continue;
        out.near += score;
        out.found |= 1u << k;
    }
    if (all > 0) out.near /= all;
    return out;
}

/* ---- texts ---- */

/* Look up the words that the vocabulary has learnt since. */
static gm_status learn_words(finder *f, gm_error *err)
{
    size_t n = gm_vocabulary_n(f->vocabulary);
    int8_t *asked = gm_grow(f->asked, f->n_known, n, sizeof *asked);
    if (asked == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu words", n);
    f->asked = asked;
    for (; f->n_known < n; f->n_known++) {
        const char *word = gm_vocabulary_word(f->vocabulary, (uint32_t)f->n_known);
        f->asked[f->n_known] = (int8_t)find_asked(f, word);
    }
    return GM_OK;
}

/* Distinct words asked for in a document, summed over documents. */
typedef struct word_sums {
    double *of_cluster; /* (C) */
    double of_all;
} word_sums;

/* Add those of documents [first, first+n), n <= BATCH. */
static gm_status count_batch(word_sums *sums, finder *f, gm_trace *trace, const gm_atlas *a,
                             size_t first, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    gm_bag bag = {0};
    const char *at[BATCH];
    size_t n_bytes[BATCH], end[BATCH];
    GM_TRY(gm_words_read_texts(trace, first, n, &text, end, err));
    for (size_t i = 0; i < n; i++) n_bytes[i] = end[i] - (i > 0 ? end[i - 1] : 0);
    for (size_t i = 0, from = 0; i < n; from += n_bytes[i++]) at[i] = text.n ? text.at + from : "";
    GM_TRY(gm_bag_count(&bag, f->vocabulary, false, (gm_texts){at, n_bytes, n}, &every_word, err));
    GM_TRY(learn_words(f, err));
    for (size_t i = 0; i < n; i++) {
        uint64_t set = 0;
        for (uint64_t e = bag.indptr[i]; e < bag.indptr[i + 1]; e++)
            if (f->asked[bag.word[e]] >= 0) set |= (uint64_t)1 << f->asked[bag.word[e]];
        const int32_t cluster = a->cluster[first + i];
        const int n_words = __builtin_popcountll(set);
        sums->of_all += n_words;
        if (cluster >= 0) sums->of_cluster[cluster] += n_words;
    }
out:
    gm_bag_clear(&bag);
    gm_text_clear(&text);
    return status;
}

static gm_status look_at_texts(gm_word_search *out, finder *f, const gm_atlas *a, gm_trace *trace,
                               gm_error *err)
{
    gm_status status = GM_OK;
    word_sums sums = {.of_cluster = gm_alloc(a->n_clusters, sizeof *sums.of_cluster)};
    if (sums.of_cluster == NULL) GM_FAIL(GM_EMEM, "no memory for %zu clusters", a->n_clusters);
    GM_TRY(gm_atlas_check_trace(a, trace, err));
    for (size_t first = 0; first < a->n; first += BATCH) {
        size_t n = a->n - first < BATCH ? a->n - first : BATCH;
        GM_TRY(count_batch(&sums, f, trace, a, first, n, err));
    }
    for (size_t c = 0; c < a->n_clusters; c++)
        if (a->size[c] > 0) out->cluster[c].words = sums.of_cluster[c] / a->size[c];
    out->corpus_words = a->n > 0 ? sums.of_all / (double)a->n : (double)NAN;
out:
    gm_free(sums.of_cluster);
    return status;
}

/* Nearest first; what is not a number is last. */
static int by_nearness(const void *p, const void *q)
{
    const gm_word_match *a = p, *b = q;
    double x = isnan(a->words) ? -1 : a->words, y = isnan(b->words) ? -1 : b->words;
    if (x != y) return x < y ? 1 : -1;
    if (a->near != b->near) return a->near < b->near ? 1 : -1;
    return (a->cluster > b->cluster) - (a->cluster < b->cluster);
}

gm_status gm_word_search_run(gm_word_search *out, const gm_atlas *atlas, gm_trace *trace,
                             const gm_opt_list *asked, gm_error *err)
{
    gm_status status = GM_OK;
    finder f = {0};
    *out = (gm_word_search){.corpus_words = (double)NAN};
    GM_TRY(read_words(out, &f, asked, err));
    out->n_clusters = atlas->n_clusters;
    out->cluster = gm_alloc(out->n_clusters, sizeof *out->cluster);
    if (out->cluster == NULL) GM_FAIL(GM_EMEM, "no memory for %zu clusters", out->n_clusters);
    for (size_t c = 0; c < out->n_clusters; c++) out->cluster[c] = look_at_keywords(&f, atlas, c);
    if (trace) GM_TRY(look_at_texts(out, &f, atlas, trace, err));
    qsort(out->cluster, out->n_clusters, sizeof *out->cluster, by_nearness);
out:
    finder_clear(&f);
    if (status != GM_OK) gm_word_search_clear(out);
    return status;
}
