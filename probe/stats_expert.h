/* stats_expert.h - private to probe: single experts of a trace, by the tokens and the documents
 * they are about.
 */
#ifndef GM_STATS_EXPERT_H
#define GM_STATS_EXPERT_H

#include "engine/tokenizer/tokenizer.h"
#include "probe/stats.h"

typedef struct gm_expert_view {
    size_t l, e;       /* the MoE layer's index; the expert */
    gm_best rows;      /* of by_token, as gm_token_best has them */
    gm_best documents; /* by the share of a document's good tokens that chose the expert */
} gm_expert_view;

/* The numbers of "LAYER:ID". GM_EARG for anything else. */
gm_status gm_expert_read(int64_t *layer, int64_t *expert, const char *text, gm_error *err)
    GM_MUST_USE;

/* The same, LAYER the model's number. GM_EARG also for what the trace has not. */
gm_status gm_expert_parse(gm_expert_view *view, const char *text, const gm_trace_info *info,
                          gm_error *err) GM_MUST_USE;

/* Find the `top` tokens and documents of n parsed views; counts are read once more. Documents
 * without good tokens or that never chose the expert are left out. GM_EIO, GM_EFORMAT, GM_EMEM,
 * GM_EINTERRUPTED. */
gm_status gm_expert_find(gm_expert_view *view, size_t n, size_t top, const gm_stats *stats,
                         gm_trace *trace, gm_error *err) GM_MUST_USE;
void gm_expert_clear(gm_expert_view *view);

/* Token i of a view: how often it occurs, and how often it met the expert. */
typedef struct gm_expert_token {
    uint32_t id;
    uint64_t tokens, chose;
    double share, lift;   /* P(e | id); over P(e) */
    const char *spelling; /* not ended by NUL; NULL: not known */
    size_t n;
} gm_expert_token;
gm_expert_token gm_expert_token_of(const gm_expert_view *view, size_t i, const gm_stats *stats,
                                   const gm_tokenizer *tokenizer);

/* One object of the open array; a table. Tokens are spelt by `tokenizer`, where not NULL. */
void gm_expert_put(const gm_expert_view *view, const gm_stats *stats, const gm_tokenizer *tokenizer,
                   gm_json_out *out);
void gm_expert_print(const gm_expert_view *view, const gm_stats *stats,
                     const gm_tokenizer *tokenizer);

#endif
