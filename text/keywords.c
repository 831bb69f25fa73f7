/* keywords.c - the words that tell classes apart. See tfidf.h. */
#include "text/tfidf.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static gm_status copy_bag(gm_bag *out, const gm_bag *bag, gm_error *err)
{
    *out = (gm_bag){.n_rows = bag->n_rows, .n_entries = bag->n_entries};
    out->indptr = gm_alloc(bag->n_rows + 1, sizeof *out->indptr);
    out->word = gm_alloc(bag->n_entries, sizeof *out->word);
    out->value = gm_alloc(bag->n_entries, sizeof *out->value);
    if (!out->indptr || !out->word || !out->value) {
        gm_bag_clear(out);
        return gm_fail(err, GM_EMEM, "no memory for %zu word counts", bag->n_entries);
    }
    memcpy(out->indptr, bag->indptr, (bag->n_rows + 1) * sizeof *out->indptr);
    if (bag->n_entries > 0) { /* an empty bag may have no arrays */
        memcpy(out->word, bag->word, bag->n_entries * sizeof *out->word);
        memcpy(out->value, bag->value, bag->n_entries * sizeof *out->value);
    }
    return GM_OK;
}

/* ---- words of one stem ---- */

/* Is word a, seen `total_a` times, shown rather than b? */
static bool shown_before(const gm_vocabulary *vocabulary, uint32_t a, double total_a, uint32_t b,
                         double total_b)
{
    if (total_a != total_b) return total_a > total_b;
    return strcmp(gm_vocabulary_word(vocabulary, a), gm_vocabulary_word(vocabulary, b)) < 0;
}

/* shown (n_words): for each word the most frequent word of its stem. */
static gm_status group_by_stem(uint32_t *shown, const gm_bag *bag, const gm_vocabulary *vocabulary,
                               gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = gm_vocabulary_n(vocabulary);
    gm_stemmer *stemmer = NULL;
    gm_vocabulary *stems = NULL;
    double *total = gm_alloc(n, sizeof *total);
    uint32_t *stem_of = gm_alloc(n, sizeof *stem_of), *best = gm_alloc(n, sizeof *best);
    if (!total || !stem_of || !best) GM_FAIL(GM_EMEM, "no memory to group %zu words", n);
    GM_TRY(gm_stemmer_create(&stemmer, err));
    GM_TRY(gm_vocabulary_create(&stems, err));
    for (size_t e = 0; e < bag->n_entries; e++) total[bag->word[e]] += bag->value[e];
    for (size_t s = 0; s < n; s++) best[s] = UINT32_MAX;
    for (uint32_t w = 0; w < n; w++) {
        size_t length;
        const char *stem = gm_stem(stemmer, gm_vocabulary_word(vocabulary, w), &length);
        GM_TRY(gm_vocabulary_add(stems, stem, length, &stem_of[w], err));
        uint32_t *b = &best[stem_of[w]];
        if (*b == UINT32_MAX || shown_before(vocabulary, w, total[w], *b, total[*b])) *b = w;
    }
    for (size_t w = 0; w < n; w++) shown[w] = best[stem_of[w]];
out:
    gm_stemmer_free(stemmer);
    gm_vocabulary_free(stems);
    gm_free(total);
    gm_free(stem_of);
    gm_free(best);
    return status;
}

/* Count every word as the one shown for it. place (n_words) is zero and stays so. */
static void merge_groups(gm_bag *bag, const uint32_t *shown, uint64_t *place)
{
    uint64_t to = 0, from = 0;
    for (size_t i = 0; i < bag->n_rows; i++) {
        uint64_t first = to, end = bag->indptr[i + 1];
        for (; from < end; from++) {
            uint32_t word = shown[bag->word[from]];
            double value = bag->value[from];
            if (place[word] == 0) {
                bag->word[to] = word;
                bag->value[to] = 0;
                place[word] = ++to;
            }
            bag->value[place[word] - 1] += value;
        }
        for (uint64_t e = first; e < to; e++) place[bag->word[e]] = 0;
        bag->indptr[i + 1] = to;
    }
    bag->n_entries = to;
}

static gm_status apply_stems(gm_bag *bag, const gm_vocabulary *vocabulary, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = gm_vocabulary_n(vocabulary);
    uint32_t *shown = gm_alloc(n, sizeof *shown);
    uint64_t *place = gm_alloc(n, sizeof *place);
    if (!shown || !place) GM_FAIL(GM_EMEM, "no memory to group %zu words", n);
    GM_TRY(group_by_stem(shown, bag, vocabulary, err));
    merge_groups(bag, shown, place);
out:
    gm_free(shown);
    gm_free(place);
    return status;
}

/* ---- scores ---- */

/* Class TF-IDF turned into a factor a word: ln(1 + A/f), 0 for words without a weight. */
static void class_factors(double *factor, const gm_bag *bag, const double *idf, size_t n_words,
                          const int32_t *label, size_t n_classes)
{
    double all = 0;
    bool noise = false;
    for (size_t w = 0; w < n_words; w++) factor[w] = 0;
    for (size_t i = 0; i < bag->n_rows; i++) {
        noise |= label[i] < 0;
        for (uint64_t e = bag->indptr[i]; e < bag->indptr[i + 1]; e++) {
            if (!(idf[bag->word[e]] > 0)) continue;
            factor[bag->word[e]] += bag->value[e];
            all += bag->value[e];
        }
    }
    double mean = floor(all / (double)(n_classes + noise));
    for (size_t w = 0; w < n_words; w++) factor[w] = factor[w] > 0 ? log(1 + mean / factor[w]) : 0;
}

/* Rows class by class: those of a class and of all below it stand together. */
typedef struct class_rows {
    size_t *first, *n; /* (n_classes) where they begin, and how many they are */
    uint32_t *at;      /* (rows) */
} class_rows;

/* next (n_classes) is scratch. */
static void gather_rows(class_rows *r, const gm_keyword_classes *classes, size_t n_rows,
                        size_t *next)
{
    const uint32_t *parent = classes->parent;
    const size_t n = classes->n;
    size_t end = 0;
    for (size_t c = 0; c < n; c++) r->n[c] = 0;
    for (size_t i = 0; i < n_rows; i++)
        if (classes->label[i] >= 0) r->n[classes->label[i]]++;
    for (size_t c = n; parent && c-- > 1;) r->n[parent[c]] += r->n[c];
    for (size_t c = 0; c < n; c++) {
        size_t *from = parent && c > 0 ? &next[parent[c]] : &end;
        r->first[c] = next[c] = *from;
        *from += r->n[c];
    }
    for (size_t i = 0; i < n_rows; i++)
        if (classes->label[i] >= 0) r->at[next[classes->label[i]]++] = (uint32_t)i;
}

/* Scores of words: the mean of some rows, or their sum brought to 1, by factor. score (n_words) is
 * zero for all others; word (n_words), written: those that have one. Returns how many. */
static size_t score_rows(double *score, uint32_t *word, const gm_bag *bag, const uint32_t *row,
                         size_t n_rows, const double *factor)
{
    size_t n = 0;
    double all = 0;
    for (size_t r = 0; r < n_rows; r++)
        for (uint64_t e = bag->indptr[row[r]]; e < bag->indptr[row[r] + 1]; e++) {
            const uint32_t w = bag->word[e];
            if (factor && !(factor[w] > 0)) continue;
            if (score[w] == 0) word[n++] = w; /* values are above 0 */
            score[w] += bag->value[e];
            all += bag->value[e];
        }
    const double by = factor ? all : (double)n_rows;
    for (size_t k = 0; k < n; k++) {
        const double share = score[word[k]] / by;
        score[word[k]] = factor ? share * factor[word[k]] : share;
    }
    return n;
}

/* The best of word[0..n). */
static void take_best(gm_keyword *best, size_t n_best, const double *score, const uint32_t *word,
                      size_t n, const gm_vocabulary *vocabulary)
{
    size_t n_taken = 0;
    for (size_t k = 0; k < n && n_best > 0; k++) {
        const uint32_t w = word[k];
        if (n_taken == n_best &&
            !shown_before(vocabulary, w, score[w], best[n_best - 1].word, best[n_best - 1].score))
            continue;
        size_t at = n_taken < n_best ? n_taken++ : n_best - 1;
        for (;
             at > 0 && shown_before(vocabulary, w, score[w], best[at - 1].word, best[at - 1].score);
             at--)
            best[at] = best[at - 1];
        best[at] = (gm_keyword){w, score[w]};
    }
    for (; n_taken < n_best; n_taken++) best[n_taken] = (gm_keyword){UINT32_MAX, 0};
}

/* The keywords of every class of one division, in time that goes with the words below each class.
 * score (n_words), zero before and after, and word (n_words) are scratch. */
static gm_status take_keywords(const gm_keyword_classes *classes, size_t n_keywords,
                               const gm_bag *bag, const gm_vocabulary *vocabulary,
                               const double *factor, double *score, uint32_t *word, gm_error *err)
{
    gm_status status = GM_OK;
    size_t *next = gm_alloc(classes->n, sizeof *next);
    class_rows rows = {.first = gm_alloc(classes->n, sizeof *rows.first),
                       .n = gm_alloc(classes->n, sizeof *rows.n),
                       .at = gm_alloc(bag->n_rows, sizeof *rows.at)};
    if (!next || !rows.first || !rows.n || !rows.at)
        GM_FAIL(GM_EMEM, "no memory for keywords of %zu classes", classes->n);
    gather_rows(&rows, classes, bag->n_rows, next);
    for (size_t c = classes->n; c-- > 0;) { /* from below: sorting mixes what is below */
        uint32_t *row = rows.at + rows.first[c];
        if (classes->parent) qsort(row, rows.n[c], sizeof *row, gm_ascending_u32);
        const size_t n = score_rows(score, word, bag, row, rows.n[c], factor);
        take_best(classes->keyword + c * n_keywords, n_keywords, score, word, n, vocabulary);
        for (size_t k = 0; k < n; k++) score[word[k]] = 0;
    }
out:
    gm_free(next);
    gm_free(rows.first);
    gm_free(rows.n);
    gm_free(rows.at);
    return status;
}

gm_status gm_keywords_find(const gm_keyword_classes *classes, size_t n_divisions,
                           const gm_bag *counts, const gm_vocabulary *vocabulary,
                           const gm_keyword_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n_words = gm_vocabulary_n(vocabulary);
    const bool by_class = options->method == GM_KEYWORDS_CLASS;
    gm_bag bag = {0};
    double *idf = gm_alloc(n_words, sizeof *idf), *score = gm_alloc(n_words, sizeof *score);
    double *factor = gm_alloc(n_words, sizeof *factor);
    uint32_t *word = gm_alloc(n_words, sizeof *word);
    if (!idf || !score || !factor || !word)
        GM_FAIL(GM_EMEM, "no memory for scores of %zu words", n_words);
    GM_TRY(copy_bag(&bag, counts, err));
    if (options->stems) GM_TRY(apply_stems(&bag, vocabulary, err));
    GM_TRY(gm_tfidf_fit(idf, &bag, vocabulary, &options->tfidf, err));
    if (by_class)
        class_factors(factor, &bag, idf, n_words, classes[0].label, classes[0].n);
    else
        gm_tfidf_apply(&bag, idf, options->tfidf.sublinear);
    for (size_t d = 0; d < n_divisions; d++)
        GM_TRY(take_keywords(&classes[d], options->n_keywords, &bag, vocabulary,
                             by_class ? factor : NULL, score, word, err));
out:
    gm_bag_clear(&bag);
    gm_free(idf);
    gm_free(score);
    gm_free(factor);
    gm_free(word);
    return status;
}
