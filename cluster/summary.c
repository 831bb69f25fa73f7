/* summary.c - what people want to know of a cluster at a glance. */
#include "cluster/summary.h"

#include "base/json.h"
#include "base/text.h"
#include "cluster/naming.h"
#include "text/terminal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gm_cluster_main_subset(const gm_atlas *atlas, size_t cluster, double *purity)
{
    const int best = gm_atlas_main_subset(atlas, cluster);
    *purity = best < 0 || atlas->size[cluster] == 0
                  ? (double)NAN
                  : (double)atlas->subset_count[cluster * atlas->n_subsets + (size_t)best] /
                        (double)atlas->size[cluster];
    return best;
}

/* Does p stand before q: higher lift, then lower layer, then lower id? */
static bool stands_before(const gm_top_expert *p, const gm_top_expert *q)
{
    if (p->lift != q->lift) return p->lift > q->lift;
    if (p->moe_layer != q->moe_layer) return p->moe_layer < q->moe_layer;
    return p->expert < q->expert;
}

size_t gm_cluster_top_experts(const gm_atlas *atlas, size_t cluster, gm_top_expert *top,
                              size_t most)
{
    size_t per_cluster = (size_t)atlas->n_layers * (size_t)atlas->n_experts, n = 0;
    const float *lift = atlas->lift + cluster * per_cluster;   /* (L,E) */
    const float *usage = atlas->usage + cluster * per_cluster; /* (L,E) */
    const uint8_t *important = atlas->important + cluster * per_cluster;
    for (size_t i = 0; i < per_cluster && most > 0; i++) {
        if (!important[i]) continue;
        gm_top_expert next = {.moe_layer = (int)(i / (size_t)atlas->n_experts),
                              .expert = (int)(i % (size_t)atlas->n_experts),
                              .lift = lift[i],
                              .usage = usage[i] * (float)per_cluster};
        if (n == most && !stands_before(&next, &top[n - 1])) continue;
        size_t at = n < most ? n++ : n - 1; /* insertion into a short sorted list */
        for (; at > 0 && stands_before(&next, &top[at - 1]); at--) top[at] = top[at - 1];
        top[at] = next;
    }
    return n;
}

/* ---- some documents ---- */

gm_some gm_some_of(const gm_members *members, size_t cluster)
{
    const size_t first = members->first[cluster];
    return (gm_some){members->at + first, members->first[cluster + 1] - first};
}

static size_t document_of(gm_some some, size_t i)
{
    return some.at ? some.at[i] : i;
}

/* The values (n) get sorted. */
static double median_of(double *value, size_t n)
{
    if (n == 0) return (double)NAN;
    qsort(value, n, sizeof *value, gm_ascending);
    return (value[(n - 1) / 2] + value[n / 2]) / 2;
}

gm_status gm_median_place(float middle[2], const gm_atlas *atlas, gm_some some, gm_error *err)
{
    double *axis = gm_alloc(some.n, sizeof *axis);
    if (axis == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu places", some.n);
    for (size_t d = 0; d < 2; d++) {
        for (size_t i = 0; i < some.n; i++)
            axis[i] = (double)atlas->xy[2 * document_of(some, i) + d];
        middle[d] = (float)median_of(axis, some.n);
    }
    gm_free(axis);
    return GM_OK;
}

gm_status gm_median_tokens(double *median, const gm_atlas *atlas, gm_some some, gm_error *err)
{
    double *length = gm_alloc(some.n, sizeof *length);
    if (length == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu lengths", some.n);
    for (size_t i = 0; i < some.n; i++) length[i] = atlas->n_tokens[document_of(some, i)];
    *median = median_of(length, some.n);
    gm_free(length);
    return GM_OK;
}

void gm_count_languages(size_t *count, const gm_atlas *atlas, gm_some some)
{
    for (size_t l = 0; l < atlas->n_languages; l++) count[l] = 0;
    for (size_t i = 0; atlas->n_languages > 0 && i < some.n; i++)
        count[atlas->language[document_of(some, i)]]++;
}

/* ---- words and noise ---- */

void gm_cluster_print_heads(void)
{
    printf("%4s %7s %6s %-*s", "id", "size", "purity", GM_SUBSET_CELLS, "largest subset");
}

void gm_cluster_print_start(size_t cluster, size_t size, double purity, const char *subset)
{
    printf("%4zu %7zu ", cluster, size);
    if (isnan(purity))
        printf("%6s ", "-");
    else
        printf("%6.2f ", purity);
    gm_print_column(stdout, GM_SUBSET_CELLS, subset ? subset : "-");
}

void gm_cluster_title(const gm_atlas *atlas, size_t cluster, int most, char *text, size_t cap)
{
    size_t n = 0;
    text[0] = '\0';
    for (int k = 0; k < most && k < GM_N_KEYWORDS; k++) {
        const char *word = atlas->keyword[cluster * GM_N_KEYWORDS + (size_t)k];
        size_t length = word ? strlen(word) : 0, comma = n > 0 ? 2 : 0;
        if (length == 0 || n + comma + length + 1 > cap) return;
        memcpy(text + n, ", ", comma);
        memcpy(text + n + comma, word, length + 1);
        n += comma + length;
    }
}

size_t gm_atlas_n_noise(const gm_atlas *atlas)
{
    size_t n = 0;
    for (size_t i = 0; i < atlas->n; i++) n += atlas->cluster[i] < 0;
    return n;
}

gm_status gm_atlas_noise_by(size_t **out, const gm_atlas *atlas, gm_atlas_groups by, gm_error *err)
{
    size_t *all = *out = gm_alloc2(2, by.n, sizeof *all);
    if (all == NULL) return gm_fail(err, GM_EMEM, "no memory for the noise of %zu groups", by.n);
    size_t *noise = all + by.n;
    for (size_t i = 0; i < atlas->n; i++) all[by.of[i]]++, noise[by.of[i]] += atlas->cluster[i] < 0;
    return GM_OK;
}

gm_status gm_keywords_note(const char **sentence, const gm_atlas *atlas, gm_error *err)
{
    static const char where[] = "/parameters";
    gm_json *root = NULL;
    *sentence = "";
    if (atlas->parameters == NULL || atlas->parameters[0] == '\0') return GM_OK;
    gm_status status =
        gm_json_parse(&root, atlas->parameters, strlen(atlas->parameters), where, err);
    if (status != GM_OK) return status;
    const gm_json *found = gm_json_find(root, "keywords_from");
    const char *from = found ? gm_json_text(found, NULL) : NULL;
    if (from && strcmp(from, gm_words_basis_name(GM_WORDS_TOKENS)) == 0)
        *sentence = "The trace has no texts, so keywords come from its tokens, joined into words.";
    else if (from && strcmp(from, gm_words_basis_name(GM_WORDS_NONE)) == 0)
        *sentence =
            "The trace has neither texts nor the spelling of its tokens, so there are no keywords.";
    gm_json_free(root);
    return GM_OK;
}
