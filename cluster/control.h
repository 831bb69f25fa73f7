/* control.h - would the tokens alone have done? The same question asked of the router's choices
 * and of how often each token occurs.
 *
 * Over a sample of documents that differ in usage: neighbours of either kind, and a map with
 * clusters of the tokens, made with the same options. What a clustering says about the subsets
 * beyond what the tokens say is what the router adds.
 */
#ifndef GM_CONTROL_H
#define GM_CONTROL_H

#include "cluster/distinct.h"
#include "cluster/naming.h"
#include "cluster/neighbours.h"
#include "cluster/rerun.h"

typedef enum gm_control_basis {
    GM_BASIS_NONE,
    GM_BASIS_TOKENS, /* token ids recorded in the trace */
    GM_BASIS_WORDS   /* words of the texts, where the trace holds no tokens */
} gm_control_basis;
const char *gm_control_basis_name(gm_control_basis basis);

typedef struct gm_token_control {
    gm_control_basis basis; /* NONE: neither is there, and nothing below is known */
    size_t n;               /* documents in the sample */
    /* shares in [0,1] of a document's neighbours */
    double router_purity, tokens_purity, chance; /* of the document's own subset */
    double shared, shared_chance;                /* of the router's that are the tokens' too */
    /* clusters of the sample by usage (as found) and by tokens */
    size_t n_token_clusters;
    double ari;                    /* between the two */
    double router_ami, tokens_ami; /* with the subsets; NaN for fewer than two */
    double router_homogeneity, tokens_homogeneity;
} gm_token_control;

typedef struct gm_token_control_input { /* all borrowed */
    gm_trace *trace;
    const gm_usage *usage;
    const gm_distinct *distinct;
    const gm_words_of *words;
    const int32_t *label; /* (N) of documents */
    gm_metric metric;
    int n_neighbors;
    const gm_neighbour_options *neighbours; /* of many points; a sample's are exact */
    struct gm_gpu *gpu;                     /* finds them, borrowed (gpu.h); NULL: the CPU */
    const gm_umap_options *umap;
    const gm_hdbscan_options *hdbscan; /* as used */
    size_t most;                       /* documents in the sample */
} gm_token_control_input;

/* Errors: GM_EFORMAT for a token whose id no vocabulary has; those of the steps. */
gm_status gm_token_control_find(gm_token_control *out, const gm_token_control_input *input,
                                gm_error *err) GM_MUST_USE;

#endif
