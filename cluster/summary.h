/* summary.h - what people want to know of a cluster at a glance: its largest subset,
 * its purity, its middle on the map, its strongest experts.
 */
#ifndef GM_SUMMARY_H
#define GM_SUMMARY_H

#include "cluster/members.h"
#include "formats/atlas.h"

typedef struct gm_top_expert {
    int moe_layer, expert; /* MoE layer index; layer_of_moe gives the model layer */
    float lift, usage;     /* usage as a multiple of the uniform rate 1/(L*E) */
} gm_top_expert;

/* The subset that most members come from; ties to the lower index. -1 when the
 * atlas has no subsets. *purity is its share of the members, in [0,1]; NaN then. */
int gm_cluster_main_subset(const gm_atlas *atlas, size_t cluster, double *purity);

/* The `most` important experts with the highest lift (ties: lower layer, lower id);
 * returns how many there are. */
size_t gm_cluster_top_experts(const gm_atlas *atlas, size_t cluster, gm_top_expert *top,
                              size_t most);

/* Some documents of an atlas: those of a cluster, say. */
typedef struct gm_some {
    const uint32_t *at; /* (n) borrowed; NULL: the first n */
    size_t n;
} gm_some;
gm_some gm_some_of(const gm_members *members, size_t cluster);

/* Their median on the map, axis by axis, and the median of their lengths in tokens: of an even
 * number the mean of the two in the middle, NaN of none. Errors: GM_EMEM. */
gm_status gm_median_place(float middle[2], const gm_atlas *atlas, gm_some some, gm_error *err)
    GM_MUST_USE;
gm_status gm_median_tokens(double *median, const gm_atlas *atlas, gm_some some, gm_error *err)
    GM_MUST_USE;

/* count (n_languages), written: how many of them are in each language. */
void gm_count_languages(size_t *count, const gm_atlas *atlas, gm_some some);

/* The first columns of a table of clusters, without a newline: number, size, purity ("-" for NaN)
 * and largest subset ("-" for NULL, cut to GM_SUBSET_CELLS); and what stands above them. */
enum { GM_SUBSET_CELLS = 24 };
void gm_cluster_print_heads(void);
void gm_cluster_print_start(size_t cluster, size_t size, double purity, const char *subset);

/* The first `most` keywords joined by ", " into text (cap bytes, cut at a word). */
void gm_cluster_title(const gm_atlas *atlas, size_t cluster, int most, char *text, size_t cap);

/* A sentence where keywords are not from texts, "" otherwise and where the atlas does not say.
 * Errors: GM_EFORMAT, GM_EMEM. */
gm_status gm_keywords_note(const char **sentence, const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

/* Documents without a cluster. */
size_t gm_atlas_n_noise(const gm_atlas *atlas);

/* *out: (2, n), the documents of each group, then those of them without a cluster; the caller's,
 * for gm_free. Errors: GM_EMEM. */
gm_status gm_atlas_noise_by(size_t **out, const gm_atlas *atlas, gm_atlas_groups by, gm_error *err)
    GM_MUST_USE;

#endif
