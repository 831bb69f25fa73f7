/* summary.c - what people want to know of a cluster at a glance. */
#include "cluster/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cluster/naming.h"

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

static int by_value(const void *p, const void *q)
{
    float a = *(const float *)p, b = *(const float *)q;
    return (a > b) - (a < b);
}

gm_status gm_cluster_middle(const gm_atlas *atlas, size_t cluster, float middle[2], bool *found,
                            gm_error *err)
{
    float *axis = gm_alloc(atlas->size[cluster], sizeof *axis);
    *found = false;
    if (axis == NULL)
        return gm_fail(err, GM_EMEM, "no memory for the %u members of cluster %zu",
                       atlas->size[cluster], cluster);
    for (size_t d = 0; d < 2; d++) {
        size_t n = 0;
        for (size_t i = 0; i < atlas->n && n < atlas->size[cluster]; i++)
            if (atlas->cluster[i] == (int32_t)cluster && isfinite(atlas->xy[2 * i + d]))
                axis[n++] = atlas->xy[2 * i + d];
        if (n == 0) break;
        qsort(axis, n, sizeof *axis, by_value);
        middle[d] = axis[n / 2];
        *found = d == 1;
    }
    gm_free(axis);
    return GM_OK;
}

static int by_length(const void *p, const void *q)
{
    uint32_t a = *(const uint32_t *)p, b = *(const uint32_t *)q;
    return (a > b) - (a < b);
}

static bool is_in(const gm_atlas *atlas, size_t i, int32_t cluster)
{
    return cluster == GM_ALL_CLUSTERS || atlas->cluster[i] == cluster;
}

gm_status gm_cluster_median_tokens(double *median, const gm_atlas *atlas, int32_t cluster,
                                   gm_error *err)
{
    size_t n = 0;
    uint32_t *length = gm_alloc(atlas->n, sizeof *length);
    *median = NAN;
    if (length == NULL)
        return gm_fail(err, GM_EMEM, "no memory for the lengths of %zu documents", atlas->n);
    for (size_t i = 0; i < atlas->n; i++)
        if (is_in(atlas, i, cluster)) length[n++] = atlas->n_tokens[i];
    qsort(length, n, sizeof *length, by_length);
    const size_t low = n > 0 ? (n - 1) / 2 : 0, high = n / 2;
    if (n > 0) *median = ((double)length[low] + (double)length[high]) / 2;
    gm_free(length);
    return GM_OK;
}

size_t gm_cluster_n_of_language(const gm_atlas *atlas, int32_t cluster, size_t language)
{
    size_t n = 0;
    for (size_t i = 0; i < atlas->n; i++)
        n += is_in(atlas, i, cluster) && atlas->language[i] == language;
    return n;
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

gm_status gm_atlas_noise_by(size_t **out, const gm_atlas *atlas, const uint16_t *group,
                            size_t n_groups, gm_error *err)
{
    size_t *all = *out = gm_alloc2(2, n_groups, sizeof *all);
    if (all == NULL)
        return gm_fail(err, GM_EMEM, "no memory for the noise of %zu groups", n_groups);
    size_t *noise = all + n_groups;
    for (size_t i = 0; i < atlas->n; i++) all[group[i]]++, noise[group[i]] += atlas->cluster[i] < 0;
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
