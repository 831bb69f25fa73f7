/* contrast_groups.c - see contrast_groups.h. */
#include "probe/contrast_groups.h"

#include "formats/find_subset.h"
#include "probe/against.h"
#include "probe/sha_index.h"
#include "probe/stats_documents.h"

enum { OF_A = 1, OF_B = 2, SHA_BYTES = 32 };
static const uint32_t NO_ROW = UINT32_MAX;

/* The documents of a trace that are of a group. */
typedef struct chosen {
    gm_contrast_groups *groups;
    const gm_trace_samples *samples;
    uint8_t *group; /* (N) OF_A, OF_B, 0: of neither */
    uint32_t *row;  /* (N) where its rates are in `data`; NO_ROW: nowhere */
} chosen;

static gm_status chosen_init(chosen *c, gm_contrast_groups *groups, gm_trace *trace, gm_error *err)
{
    const size_t n = gm_trace_get_samples(trace)->n;
    *c = (chosen){.groups = groups,
                  .samples = gm_trace_get_samples(trace),
                  .group = gm_alloc(n, 1),
                  .row = gm_alloc(n, sizeof *c->row)};
    if (c->group == NULL || c->row == NULL)
        return gm_fail(err, GM_EMEM, "no memory for %zu documents", n);
    for (size_t i = 0; i < n; i++) c->row[i] = NO_ROW;
    return GM_OK;
}

static void chosen_clear(chosen *c)
{
    gm_free(c->group);
    gm_free(c->row);
}

static size_t count(const chosen *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->samples->n; i++) n += c->group[i] != 0;
    return n;
}

/* Mark the subsets of a list; one that stands in both lists is refused. */
static gm_status mark(uint8_t *group, const gm_trace_samples *samples, const gm_opt_list *names,
                      uint8_t with, gm_error *err)
{
    for (size_t i = 0; i < names->n; i++) {
        size_t at;
        gm_status status = gm_find_subset(&at, names->at[i], samples->subset_name,
                                          samples->n_subsets, "trace", err);
        if (status != GM_OK) return status;
        if (group[at] != 0 && group[at] != with)
            return gm_fail(err, GM_EARG, "subset '%s' is in both groups", names->at[i]);
        group[at] = with;
    }
    return GM_OK;
}

/* Give every document the group of its subset: of list a, of list b; `rest`: of neither. */
static gm_status choose_subsets(chosen *c, const gm_opt_list *a, const gm_opt_list *b, uint8_t rest,
                                gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *samples = c->samples;
    uint8_t *group = gm_alloc(samples->n_subsets, 1);
    if (group == NULL) GM_FAIL(GM_EMEM, "no memory for %zu subsets", samples->n_subsets);
    GM_TRY(mark(group, samples, a, OF_A, err));
    GM_TRY(mark(group, samples, b, OF_B, err));
    for (size_t i = 0; i < samples->n; i++) {
        const uint8_t of = group[samples->subset[i]];
        c->group[i] = of != 0 ? of : rest;
    }
out:
    gm_free(group);
    return status;
}

/* ---- rates ---- */

/* Room for the rates of n documents. */
static gm_status make_room(gm_contrast_groups *g, gm_trace *trace, size_t n, gm_error *err)
{
    g->info = gm_trace_get_info(trace);
    g->data = (gm_contrast_data){.L = (size_t)g->info->n_layers,
                                 .E = (size_t)g->info->n_experts,
                                 .K = (size_t)g->info->n_chosen};
    const size_t J = g->data.L * g->data.E;
    g->data.rate = gm_alloc2(n, J, sizeof *g->data.rate);
    g->data.of_a = gm_alloc(n, 1);
    g->pair = gm_alloc2(n / 2, 2, sizeof *g->pair);
    if (g->data.rate && g->data.of_a && g->pair) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for the rates of %zu documents, %zu experts each", n,
                   J);
}

/* Rates (L,E) from the counts (L,E) of one document; false: some layer has none. */
static bool rates_of(float *rate, const uint32_t *counts, const gm_contrast_data *d)
{
    for (size_t l = 0; l < d->L; l++) {
        uint64_t choices = 0;
        for (size_t e = 0; e < d->E; e++) choices += counts[l * d->E + e];
        if (choices == 0) return false;
        for (size_t e = 0; e < d->E; e++)
            rate[l * d->E + e] = (float)((double)(counts[l * d->E + e] * d->K) / (double)choices);
    }
    return true;
}

/* A gm_documents_taker: the rates of those that are in a group. */
static void take(void *context, size_t first, size_t n, const uint32_t *counts)
{
    chosen *c = context;
    gm_contrast_groups *g = c->groups;
    gm_contrast_data *d = &g->data;
    const size_t J = d->L * d->E;
    for (size_t i = 0; i < n; i++) {
        const uint8_t group = c->group[first + i];
        if (group == 0) continue;
        if (!rates_of(d->rate + d->N * J, counts + i * J, d)) {
            g->n_left++;
            continue;
        }
        c->row[first + i] = (uint32_t)d->N;
        d->of_a[d->N++] = group == OF_A;
        if (group == OF_A)
            g->n_a++;
        else
            g->n_b++;
    }
}

/* ---- two groups of one trace ---- */

static gm_status find_pairs(gm_contrast_groups *g, const chosen *c, gm_pairing how, gm_error *err)
{
    gm_status status = GM_OK;
    const char **id = gm_alloc(g->data.N, sizeof *id);
    if (id == NULL) GM_FAIL(GM_EMEM, "no memory to pair %zu documents", g->data.N);
    for (size_t i = 0; i < c->samples->n; i++)
        if (c->row[i] != NO_ROW) id[c->row[i]] = c->samples->id[i];
    g->data.pair = g->pair;
    GM_TRY(gm_pairs_find(g->pair, &g->data.n_pairs, id, g->data.of_a, g->data.N, how, err));
out:
    gm_free(id);
    return status;
}

gm_status gm_contrast_groups_of_subsets(gm_contrast_groups *groups, gm_trace *trace,
                                        const gm_opt_list *a, const gm_opt_list *b, gm_pairing how,
                                        gm_error *err)
{
    gm_status status = GM_OK;
    chosen c = {0};
    *groups = (gm_contrast_groups){0};
    GM_TRY(chosen_init(&c, groups, trace, err));
    GM_TRY(choose_subsets(&c, a, b, b->n == 0 ? OF_B : 0, err));
    GM_TRY(make_room(groups, trace, count(&c), err));
    GM_TRY(gm_stats_for_documents(trace, take, &c, err));
    if (how != GM_UNPAIRED) GM_TRY(find_pairs(groups, &c, how, err));
out:
    chosen_clear(&c);
    if (status != GM_OK) gm_contrast_groups_clear(groups);
    return status;
}

/* ---- the same texts in two traces ---- */

/* Of trace `t`'s chosen documents keep the first of every text that the other trace has, too. */
static void keep_shared(chosen *c, size_t t, const gm_sha_index *own, const gm_sha_index *other)
{
    for (size_t i = 0; i < c->samples->n; i++) {
        const uint8_t *sha = c->samples->sha + i * SHA_BYTES;
        if (c->group[i] == 0) continue;
        const bool shared = gm_sha_index_find(other, sha) >= 0;
        const bool first = gm_sha_index_find(own, sha) == (int64_t)i;
        c->groups->n_alone[t] += !shared;
        c->groups->n_copies += shared && !first;
        if (!shared || !first) c->group[i] = 0;
    }
}

/* The documents of both traces that have a partner. */
static gm_status match(chosen c[2], gm_sha_index index[2], gm_error *err)
{
    gm_status status = GM_OK;
    const size_t before = count(&c[0]);
    for (int t = 0; t < 2; t++)
        GM_TRY(gm_sha_index_init(&index[t], c[t].samples->sha, c[t].samples->n, err));
    keep_shared(&c[1], 1, &index[1], &index[0]);
    gm_sha_index_keep(&index[0], c[0].group); /* the first text of the subsets asked for */
    keep_shared(&c[0], 0, &index[0], &index[1]);
    for (size_t j = 0; j < c[1].samples->n; j++) { /* those of other subsets have none */
        if (c[1].group[j] == 0) continue;
        const int64_t i = gm_sha_index_find(&index[0], c[1].samples->sha + j * SHA_BYTES);
        if (i < 0) c[1].group[j] = 0;
    }
    const size_t n = count(&c[0]);
    if (n < 2)
        GM_FAIL(GM_EARG,
                "%zu of the first trace's %zu documents %s the text of one of the second's %zu, "
                "expected at least two",
                n, before, n == 1 ? "has" : "have", c[1].samples->n);
out:
    return status;
}

static void pair_texts(gm_contrast_groups *g, const chosen c[2], const gm_sha_index *second)
{
    g->data.pair = g->pair;
    for (size_t i = 0; i < c[0].samples->n; i++) {
        if (c[0].row[i] == NO_ROW) continue;
        const int64_t j = gm_sha_index_find(second, c[0].samples->sha + i * SHA_BYTES);
        if (c[1].row[j] == NO_ROW) continue;
        g->pair[2 * g->data.n_pairs] = c[0].row[i];
        g->pair[2 * g->data.n_pairs + 1] = c[1].row[j];
        g->data.n_pairs++;
    }
}

gm_status gm_contrast_groups_of_traces(gm_contrast_groups *groups, gm_trace *trace, gm_trace *other,
                                       const gm_opt_list *subsets, gm_error *err)
{
    gm_status status = GM_OK;
    chosen c[2] = {0};
    gm_sha_index index[2] = {0};
    const gm_opt_list none = {0};
    *groups = (gm_contrast_groups){0};
    GM_TRY(gm_against_check_sizes(gm_trace_get_info(trace), gm_trace_get_info(other), err));
    GM_TRY(chosen_init(&c[0], groups, trace, err));
    GM_TRY(chosen_init(&c[1], groups, other, err));
    GM_TRY(choose_subsets(&c[0], subsets, &none, subsets->n == 0 ? OF_A : 0, err));
    GM_TRY(choose_subsets(&c[1], &none, &none, OF_B, err));
    GM_TRY(match(c, index, err));
    GM_TRY(make_room(groups, trace, count(&c[0]) + count(&c[1]), err));
    GM_TRY(gm_stats_for_documents(trace, take, &c[0], err));
    GM_TRY(gm_stats_for_documents(other, take, &c[1], err));
    pair_texts(groups, c, &index[1]);
out:
    for (int t = 0; t < 2; t++) {
        chosen_clear(&c[t]);
        gm_sha_index_clear(&index[t]);
    }
    if (status != GM_OK) gm_contrast_groups_clear(groups);
    return status;
}

void gm_contrast_groups_clear(gm_contrast_groups *groups)
{
    gm_free(groups->data.rate);
    gm_free(groups->data.of_a);
    gm_free(groups->pair);
    *groups = (gm_contrast_groups){0};
}
