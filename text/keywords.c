/* keywords.c - the words that tell classes apart. See tfidf.h. */
#include "text/tfidf.h"

#include <math.h>
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

/* in (n_classes): the class and all below it. Without parents it is alone. */
static void find_below(bool *in, size_t wanted, const uint32_t *parent, size_t n_classes)
{
    for (size_t c = 0; c < n_classes; c++)
        in[c] = c == wanted || (parent && c > wanted && in[parent[c]]);
}

/* score (n_words) of one class: the mean of its rows, or their sum brought to 1, by factor.
 * in (n_classes): whose rows are its. */
static void score_class(double *score, size_t n_words, const gm_bag *bag, const int32_t *label,
                        const bool *in, const double *factor)
{
    double members = 0, all = 0;
    for (size_t w = 0; w < n_words; w++) score[w] = 0;
    for (size_t i = 0; i < bag->n_rows; i++) {
        if (label[i] < 0 || !in[label[i]]) continue;
        members++;
        for (uint64_t e = bag->indptr[i]; e < bag->indptr[i + 1]; e++) {
            if (factor && !(factor[bag->word[e]] > 0)) continue;
            score[bag->word[e]] += bag->value[e];
            all += bag->value[e];
        }
    }
    double by = factor ? all : members;
    for (size_t w = 0; by > 0 && w < n_words; w++)
        score[w] = factor ? score[w] / by * factor[w] : score[w] / by;
}

static void take_best(gm_keyword *best, size_t n_best, const double *score,
                      const gm_vocabulary *vocabulary)
{
    size_t n = 0, n_words = gm_vocabulary_n(vocabulary);
    for (uint32_t w = 0; w < n_words && n_best > 0; w++) {
        if (!(score[w] > 0)) continue;
        if (n == n_best &&
            !shown_before(vocabulary, w, score[w], best[n - 1].word, best[n - 1].score))
            continue;
        size_t at = n < n_best ? n++ : n - 1;
        for (;
             at > 0 && shown_before(vocabulary, w, score[w], best[at - 1].word, best[at - 1].score);
             at--)
            best[at] = best[at - 1];
        best[at] = (gm_keyword){w, score[w]};
    }
    for (; n < n_best; n++) best[n] = (gm_keyword){UINT32_MAX, 0};
}

/* The keywords of every class of one division. score, in: scratch. */
static void take_keywords(const gm_keyword_classes *classes, size_t n_keywords, const gm_bag *bag,
                          const gm_vocabulary *vocabulary, const double *factor, double *score,
                          bool *in)
{
    const size_t n_words = gm_vocabulary_n(vocabulary);
    for (size_t c = 0; c < classes->n; c++) {
        find_below(in, c, classes->parent, classes->n);
        score_class(score, n_words, bag, classes->label, in, factor);
        take_best(classes->keyword + c * n_keywords, n_keywords, score, vocabulary);
    }
}

gm_status gm_keywords_find(const gm_keyword_classes *classes, size_t n_divisions,
                           const gm_bag *counts, const gm_vocabulary *vocabulary,
                           const gm_keyword_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n_words = gm_vocabulary_n(vocabulary);
    const bool by_class = options->method == GM_KEYWORDS_CLASS;
    size_t most = 0;
    gm_bag bag = {0};
    for (size_t d = 0; d < n_divisions; d++) most = classes[d].n > most ? classes[d].n : most;
    double *idf = gm_alloc(n_words, sizeof *idf), *score = gm_alloc(n_words, sizeof *score);
    double *factor = gm_alloc(n_words, sizeof *factor);
    bool *in = gm_alloc(most, sizeof *in);
    if (!idf || !score || !factor || !in)
        GM_FAIL(GM_EMEM, "no memory for scores of %zu words", n_words);
    GM_TRY(copy_bag(&bag, counts, err));
    if (options->stems) GM_TRY(apply_stems(&bag, vocabulary, err));
    GM_TRY(gm_tfidf_fit(idf, &bag, vocabulary, &options->tfidf, err));
    if (by_class)
        class_factors(factor, &bag, idf, n_words, classes[0].label, classes[0].n);
    else
        gm_tfidf_apply(&bag, idf, options->tfidf.sublinear);
    for (size_t d = 0; d < n_divisions; d++)
        take_keywords(&classes[d], options->n_keywords, &bag, vocabulary, by_class ? factor : NULL,
                      score, in);
out:
    gm_bag_clear(&bag);
    gm_free(idf);
    gm_free(score);
    gm_free(factor);
    gm_free(in);
    return status;
}
