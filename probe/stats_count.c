/* stats_count.c - the counts of documents by subset, and the whole of gm_stats. */
#include "probe/stats.h"
#include "probe/stats_documents.h"

#include <math.h>

const unsigned gm_stats_capacity_quarters[GM_STATS_CAPACITIES] = {4, 5, 8};

/* Choices of a layer, count (E), beyond the capacity of a batch of its own. */
static void add_dropped(const gm_stats *s, const uint32_t *count, uint64_t tokens,
                        uint64_t dropped[GM_STATS_CAPACITIES])
{
    for (size_t i = 0; i < GM_STATS_CAPACITIES; i++) {
        uint64_t capacity = gm_capacity_of(tokens, s->K, s->E, gm_stats_capacity_quarters[i]);
        for (size_t e = 0; e < s->E; e++) dropped[i] += gm_dropped_of(count[e], capacity);
    }
}

/* Documents [first, first+n) to their subsets' sums. */
static void add_documents(void *context, size_t first, size_t n, const uint32_t *counts)
{
    gm_stats *s = context;
    size_t LE = s->L * s->E;
    for (size_t d = first; d < first + n; d++, counts += LE) {
        size_t subset = s->samples->subset[d];
        uint64_t *sum = s->choices + subset * LE; /* (L,E) */
        for (size_t j = 0; j < LE; j++) sum[j] += counts[j];
        uint64_t tokens = s->samples->n_tokens[d] - s->samples->bad[d];
        for (size_t l = 0; l < s->L; l++)
            add_dropped(s, counts + l * s->E, tokens, s->dropped + l * GM_STATS_CAPACITIES);
        s->documents[subset]++;
        s->tokens[subset] += tokens;
    }
}

static gm_status count_documents(gm_stats *s, gm_trace *trace, gm_error *err)
{
    gm_status status = gm_stats_for_documents(trace, add_documents, s, err);
    for (size_t subset = 0; status == GM_OK && subset < s->S; subset++) {
        s->n_tokens += s->tokens[subset];
        for (size_t j = 0; j < s->L * s->E; j++) s->all[j] += s->choices[subset * s->L * s->E + j];
    }
    return status;
}

/* Mutual information in layer l of tables (S,L,E). */
static gm_mutual mutual_in(const gm_stats *s, const uint64_t *table, size_t l)
{
    return gm_mutual_of(table + l * s->E, s->S, s->E, s->L * s->E);
}

gm_status gm_stats_count(gm_stats *s, gm_trace *trace, const gm_stats_options *options,
                         gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    *s = (gm_stats){.info = info,
                    .samples = samples,
                    .S = samples->n_subsets,
                    .L = (size_t)info->n_layers,
                    .E = (size_t)info->n_experts,
                    .K = (size_t)info->n_chosen,
                    .support = options->support};
    s->documents = gm_alloc(s->S, sizeof *s->documents);
    s->tokens = gm_alloc(s->S, sizeof *s->tokens);
    s->choices = gm_alloc2(s->S, s->L * s->E, sizeof *s->choices);
    s->all = gm_alloc2(s->L, s->E, sizeof *s->all);
    s->dropped = gm_alloc2(s->L, GM_STATS_CAPACITIES, sizeof *s->dropped);
    if (!s->documents || !s->tokens || !s->choices || !s->all || !s->dropped)
        GM_FAIL(GM_EMEM, "no memory for the counts of %zu subsets, %zu layers, %zu experts", s->S,
                s->L, s->E);
    GM_TRY(count_documents(s, trace, err));
    GM_TRY(gm_stats_cosines(s, trace, options->seed, err));
    if (s->S >= 2) {
        s->n_permutations = options->permutations;
        s->information = gm_alloc(s->L, sizeof *s->information);
        if (s->information == NULL) GM_FAIL(GM_EMEM, "no memory for %zu layers", s->L);
        for (size_t l = 0; l < s->L; l++) s->information[l].mutual = mutual_in(s, s->choices, l);
        GM_TRY(gm_stats_permute(s, trace, options->seed, err));
    }
    if (info->level >= GM_RECORD_CHOICES) GM_TRY(gm_stats_route(s, trace, options, err));
    if (info->has_norms && !info->no_gates) GM_TRY(gm_outputs_count(&s->outputs, trace, err));
    if (info->no_gates || (s->router && gm_stats_router_sum(s, 0, s->L, GM_TRACE_GENERATED, -1).n))
        GM_TRY(gm_rollout_count(&s->rollout, trace, err));
out:
    if (status != GM_OK) gm_stats_clear(s);
    return status;
}

void gm_stats_clear(gm_stats *s)
{
    gm_free(s->documents);
    gm_free(s->tokens);
    gm_free(s->choices);
    gm_free(s->all);
    gm_free(s->dropped);
    gm_free(s->information);
    gm_free(s->within);
    gm_free(s->router);
    gm_token_counts_clear(&s->by_token);
    gm_reuse_clear(&s->reuse);
    gm_rollout_clear(&s->rollout);
    gm_outputs_clear(&s->outputs);
    *s = (gm_stats){0};
}

double gm_stats_dropped_by_document(const gm_stats *s, size_t l, size_t capacity)
{
    if (s->n_tokens == 0) return NAN;
    return (double)s->dropped[l * GM_STATS_CAPACITIES + capacity] / (double)(s->n_tokens * s->K);
}

double gm_stats_dropped_of_all(const gm_stats *s, size_t l, size_t capacity)
{
    uint64_t dropped = 0,
             most = gm_capacity_of(s->n_tokens, s->K, s->E, gm_stats_capacity_quarters[capacity]);
    if (s->n_tokens == 0) return NAN;
    for (size_t e = 0; e < s->E; e++) dropped += gm_dropped_of(s->all[l * s->E + e], most);
    return (double)dropped / (double)(s->n_tokens * s->K);
}

gm_domain_measure gm_stats_domain(const gm_stats *s, size_t subset, size_t l, size_t e)
{
    size_t at = l * s->E + e;
    return gm_domain_of(s->choices[subset * s->L * s->E + at], s->tokens[subset], s->all[at],
                        s->n_tokens, s->E, s->K, s->support);
}

void gm_stats_offer_raised(const gm_stats *s, size_t subset, gm_best *best)
{
    for (size_t at = 0; at < s->L * s->E; at++)
        gm_best_offer(best, at, gm_stats_domain(s, subset, at / s->E, at % s->E).risk_difference);
}
