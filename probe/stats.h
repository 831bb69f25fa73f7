/* stats.h - private to probe: the counts of `gm-probe stats`, made in passes over a trace
 * that read a few thousand rows at a time. What is held besides: tables by subset and by token
 * (8 L R E bytes for R ids of their own), 4 bytes a counted token for the null by token, 4 a
 * document and permutation, at most 256 MB at a time.
 *
 * Sizes:  N documents, S subsets, L MoE layers, E experts, K per token, R permutations.
 *
 * Everything is counted in integers (entropy, mass and margin in units of 2^-20), so that the
 * result does not depend on the number of threads.
 */
#ifndef GM_STATS_H
#define GM_STATS_H

#include "base/json.h"
#include "formats/trace.h"
#include "probe/best.h"
#include "probe/measures.h"
#include "probe/stats_outputs.h"
#include "probe/stats_reuse.h"
#include "probe/stats_rollout.h"
#include "probe/stats_tokens.h"

#include <stdio.h>

enum {
    GM_STATS_COSINE_DOCUMENTS = 1024,
    GM_STATS_NAME_BYTES = 48, /* of a bin */
    GM_STATS_CAPACITIES = 3,
    GM_STATS_POSITIONS = 18 /* bin 0: position 0; bin b: 2^(b-1) to 2^b - 1; the last: all above */
};
#define GM_STATS_UNIT 1048576.0 /* 2^20 */

/* What is said of the router at one place; sums in units of 2^-20. */
typedef struct gm_router_sum {
    uint64_t n;           /* (token, layer) pairs */
    uint64_t n_mass;      /* those of them whose mass is known, */
    uint64_t n_margin;    /* whose margin is known and finite, */
    uint64_t n_softmax;   /* whose logits were recorded */
    int64_t entropy_nats; /* of the K gates brought to sum 1: -sum g ln g, at most ln K */
    int64_t mass, margin; /* /routing/topk_mass, /routing/margin */
    int64_t softmax_nats; /* entropy of the softmax over all E logits, at most ln E */
} gm_router_sum;

/* Means; NaN where nothing was summed. */
typedef struct gm_router_mean {
    double entropy_bits, mass, margin, softmax_bits;
} gm_router_mean;
gm_router_mean gm_router_mean_of(const gm_router_sum *sum);

/* Mutual information of expert and subset in one layer, and what it is when the documents'
 * subsets are permuted (documents, not tokens, are what was drawn: tokens of one
 * document are not independent). */
typedef struct gm_subset_information {
    gm_mutual mutual;
    double null_bits;    /* mean over the permutations */
    double null_95_bits; /* the ceil(0.95 R)-th smallest */
    double p;            /* (1 + permutations with as much) / (1 + R) */
} gm_subset_information;

typedef struct gm_stats_options {
    int permutations;  /* R >= 0 */
    uint64_t seed;     /* of the permutations */
    size_t vocabulary; /* token ids that are counted one by one; 0: none */
    uint64_t support;  /* tokens that nPMI needs: gm_domain_of */
    bool olmoe;        /* by token also as OLMoE's script has it */
    bool quiet;
} gm_stats_options;

typedef struct gm_stats {
    const gm_trace_info *info;       /* borrowed from the trace, as is samples */
    const gm_trace_samples *samples; /* S = samples->n_subsets */
    size_t S, L, E, K;
    uint64_t support;                   /* as in the options */
    int n_permutations;                 /* R; 0 below two subsets */
    uint64_t *documents, *tokens;       /* (S) documents; counted tokens that are not bad */
    uint64_t *choices;                  /* (S,L,E) */
    uint64_t *all;                      /* (L,E) */
    uint64_t *dropped;                  /* (L,CAPACITIES) with each document as a batch */
    uint64_t n_tokens;                  /* sum of tokens */
    gm_subset_information *information; /* (L); NULL below two subsets */
    gm_router_sum *router;              /* (L,PHASES,POSITIONS); NULL without gates */
    double *within; /* (S) mean cosine of two documents of it; NaN below two documents */
    double within_all, between_all; /* of two documents of one subset, of two; NaN: no such */
    double cosine_d;         /* Cohen's d of the two, over pairs of documents drawn; NaN: no such */
    size_t cosine_documents; /* how many were drawn and have choices */
    gm_rollout rollout;      /* of a trace with generated tokens; else empty: no documents */
    bool has_routing;
    gm_reuse reuse;     /* where has_routing */
    gm_outputs outputs; /* empty without norms */
    bool has_tokens;
    gm_token_counts by_token; /* where has_tokens */
} gm_stats;

/* Count a whole trace. Cost: counts are read twice, and again for every 256 MB of permuted
 * tables; routing is read once, twice where there are generated tokens, token ids twice,
 * recorded logits once. GM_EIO, GM_EFORMAT, GM_EARG (more than 2^32 tokens with a vocabulary),
 * GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_stats_count(gm_stats *stats, gm_trace *trace, const gm_stats_options *options,
                         gm_error *err) GM_MUST_USE;
void gm_stats_clear(gm_stats *stats);

/* The passes of gm_stats_count in files of their own. */
gm_status gm_stats_permute(gm_stats *stats, gm_trace *trace, uint64_t seed, gm_error *err)
    GM_MUST_USE;
gm_status gm_stats_cosines(gm_stats *stats, gm_trace *trace, uint64_t seed, gm_error *err)
    GM_MUST_USE;
gm_status gm_stats_route(gm_stats *stats, gm_trace *trace, const gm_stats_options *options,
                         gm_error *err) GM_MUST_USE;
gm_status gm_stats_softmax(gm_stats *stats, gm_trace *trace, gm_error *err) GM_MUST_USE;

/* Of a position, its bin; of a bin, its name ("0", "16-31", "65536-"). */
int gm_stats_position_bin(uint32_t pos);
void gm_stats_bin_name(int bin, char name[GM_STATS_NAME_BYTES]);
void gm_router_sum_add(gm_router_sum *sum, const gm_router_sum *more);

/* The sum over layers [l, l+n_layers), over phases p and positions b, -1: all that count
 * (template tokens do not, unless p names them). */
gm_router_sum gm_stats_router_sum(const gm_stats *stats, size_t l, size_t n_layers, int p, int b);

/* Were logits recorded, so that the router's sums have the softmax's entropy? */
bool gm_stats_has_softmax(const gm_stats *stats);

/* Share of layer l's choices that are dropped at a capacity factor (measures.h), if every document
 * were a batch; if all tokens were one. NaN: no choices. */
extern const unsigned gm_stats_capacity_quarters[GM_STATS_CAPACITIES];
double gm_stats_dropped_by_document(const gm_stats *stats, size_t l, size_t capacity);
double gm_stats_dropped_of_all(const gm_stats *stats, size_t l, size_t capacity);

/* Expert e of layer l and one subset. */
gm_domain_measure gm_stats_domain(const gm_stats *stats, size_t subset, size_t l, size_t e);

/* Offer every expert, l E + e, by how much the subset raises its probability. */
void gm_stats_offer_raised(const gm_stats *stats, size_t subset, gm_best *best);

/* Write all of it as members of the open object; the main of it as tables on stdout, `top`
 * experts a subset. */
gm_status gm_stats_put(const gm_stats *stats, gm_json_out *out, gm_error *err) GM_MUST_USE;
gm_status gm_stats_print(const gm_stats *stats, size_t top, gm_error *err) GM_MUST_USE;

/* Write a table of every expert, of all documents and of each subset: see stats_table.c. A failed
 * write shows when the stream is committed. */
void gm_stats_write_table(const gm_stats *stats, FILE *to);

/* The parts of both that are of neighbouring tokens and layers; where has_routing. */
void gm_stats_put_reuse(const gm_stats *stats, gm_json_out *out);
void gm_stats_print_reuse(const gm_stats *stats);

/* The parts of both that are of norms of experts' outputs; where outputs.sum, the tables also where
 * n_tokens > 0. GM_EMEM. */
void gm_stats_put_outputs(const gm_stats *stats, gm_json_out *out);
gm_status gm_stats_print_outputs(const gm_stats *stats, size_t top, gm_error *err) GM_MUST_USE;

/* Of capacity: of a layer, of all. */
void gm_stats_put_dropped(const gm_stats *stats, size_t l, gm_json_out *out);
void gm_stats_print_dropped(const gm_stats *stats);

/* The part of both that is by token; where has_tokens. */
void gm_stats_put_tokens(const gm_stats *stats, gm_json_out *out);
void gm_stats_print_tokens(const gm_stats *stats);

#endif
