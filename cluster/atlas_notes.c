/* atlas_notes.c - what an atlas says about itself. */
#include "cluster/atlas_notes.h"

#include "base/json.h"
#include "base/version.h"
#include "cluster/cluster_verdict.h"
#include "cluster/atlas_selection.h"
#include "cluster/profile.h"
#include "cluster/quality.h"
#include "cluster/summary.h"

#include <math.h>
#include <string.h>

/* Move what was written into the arena. */
static gm_status finish(const char **json, gm_arena *arena, gm_json_out *out, gm_error *err)
{
    gm_status status = gm_json_out_done(out, err);
    if (status == GM_OK) {
        *json = gm_arena_text(arena, out->text.at, out->text.n);
        if (*json == NULL) status = gm_fail(err, GM_EMEM, "no memory for the atlas's notes");
    }
    gm_text_clear(&out->text);
    return status;
}

/* The name of a choice of "a|b|c", which gm_from_atlas_options finds again. */
static void put_choice(gm_json_out *out, const char *key, const char *choices, unsigned choice)
{
    for (; choice > 0; choice--) choices = strchr(choices, '|') + 1;
    gm_json_put_text(out, key, choices, strcspn(choices, "|"));
}

gm_status gm_atlas_note_parameters(const char **json, gm_arena *arena, const gm_analysis *analysis,
                                   const gm_trace *trace, const gm_fit_options *options,
                                   gm_error *err)
{
    const gm_umap_options *umap = &options->umap;
    const gm_hdbscan_options *hdbscan = &analysis->hdbscan;
    const gm_languages *spoken = &analysis->words.languages;
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_status status = gm_atlas_selection_put(&out, trace, options, err);
    put_choice(&out, "usage", GM_USAGE_CHOICES, options->usage);
    put_choice(&out, "metric", GM_METRIC_CHOICES, options->metric);
    gm_json_put_i64(&out, "n_neighbors", options->n_neighbors);
    gm_json_put_string(&out, "neighbours", analysis->n_checked > 0 ? "approximate" : "exact");
    if (analysis->n_checked > 0)
        gm_json_put_i64(&out, "effort", gm_neighbours_effort(&options->neighbours));
    gm_json_put_f64(&out, "min_dist", umap->min_dist);
    gm_json_put_f64(&out, "spread", umap->spread);
    gm_json_put_f64(&out, "a", analysis->umap.a);
    gm_json_put_f64(&out, "b", analysis->umap.b);
    gm_json_put_f64(&out, "set_op_mix", umap->mix);
    gm_json_put_i64(&out, "epochs", analysis->umap.n_epochs);
    gm_json_put_f64(&out, "learning_rate", umap->learning_rate);
    gm_json_put_f64(&out, "repulsion", umap->repulsion);
    gm_json_put_i64(&out, "negative_samples", umap->negative_rate);
    put_choice(&out, "layout", GM_LAYOUT_CHOICES, umap->layout);
    gm_json_put_bool(&out, "densmap", umap->densmap);
    if (umap->densmap) {
        gm_json_put_f64(&out, "dens_lambda", umap->density.lambda);
        gm_json_put_f64(&out, "dens_frac", umap->density.fraction);
        gm_json_put_f64(&out, "dens_var_shift", umap->density.var_shift);
    }
    gm_json_put_i64(&out, "cluster_dimensions", options->cluster_dim);
    gm_json_put_u64(&out, "seed", umap->seed);
    gm_json_put_u64(&out, "min_cluster_size", hdbscan->min_cluster_size);
    gm_json_put_i64(&out, "min_samples", hdbscan->min_samples);
    gm_json_put_bool(&out, "count_self", hdbscan->count_self);
    put_choice(&out, "selection", GM_SELECTION_CHOICES, hdbscan->selection);
    gm_json_put_f64(&out, "epsilon", hdbscan->epsilon);
    gm_json_put_u64(&out, "max_cluster_size", hdbscan->max_cluster_size);
    gm_json_put_bool(&out, "allow_single_cluster", hdbscan->allow_single_cluster);
    put_choice(&out, "keywords", GM_KEYWORD_CHOICES, options->naming.method);
    gm_json_put_string(&out, "keywords_from", gm_words_basis_name(analysis->words.basis));
    gm_json_put_string(&out, "languages_from",
                       spoken->code == NULL ? "none"
                       : spoken->given      ? "corpus"
                                            : gm_words_basis_name(analysis->words.basis));
    put_choice(&out, "stop_words", GM_STOP_CHOICES, options->naming.stop);
    if (options->naming.max_df > 0) gm_json_put_f64(&out, "max_df", options->naming.max_df);
    gm_json_put_bool(&out, "stems", options->naming.stems);
    if (analysis->recut_of) gm_json_put_string(&out, "recut_of", analysis->recut_of);
    gm_json_put_f64(&out, "lift_min", GM_LIFT_MIN);
    gm_json_put_f64(&out, "lift_smoothing", GM_LIFT_SMOOTH);
    gm_json_close_object(&out);
    if (status == GM_OK) return finish(json, arena, &out, err);
    gm_text_clear(&out.text);
    return status;
}

static void put_figure(gm_json_out *out, const char *key, double value)
{
    gm_json_put_f64(out, key, round(value * 1e6) / 1e6);
}

/* Clusters against subsets, noise being a cluster of its own. */
static gm_status put_subsets(gm_json_out *out, const gm_analysis *a, const gm_atlas *atlas,
                             gm_error *err)
{
    gm_agreement found;
    gm_status status = GM_OK;
    const size_t n = a->usage.n;
    int32_t *truth = gm_alloc(n, sizeof *truth);
    size_t clustered = 0, pure = 0;
    if (truth == NULL) GM_FAIL(GM_EMEM, "no memory for quality figures");
    for (size_t i = 0; i < n; i++) truth[i] = a->usage.subset[i];
    GM_TRY(gm_quality_agreement(&found, a->clustering.label, truth, n, err));
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        uint32_t most = 0;
        for (size_t s = 0; s < atlas->n_subsets; s++) {
            uint32_t count = atlas->subset_count[c * atlas->n_subsets + s];
            most = count > most ? count : most;
        }
        clustered += atlas->size[c], pure += most;
    }
    put_figure(out, "homogeneity", found.homogeneity);
    put_figure(out, "completeness", found.completeness);
    put_figure(out, "nmi", found.nmi);
    put_figure(out, "ami", found.ami);
    put_figure(out, "ari", found.ari);
    put_figure(out, "purity", clustered ? (double)pure / (double)clustered : (double)NAN);
    put_figure(out, "neighbour_purity", a->neighbour_purity);
    put_figure(out, "neighbour_purity_chance", a->neighbour_chance);
out:
    gm_free(truth);
    return status;
}

static void put_control(gm_json_out *out, const gm_token_control *control)
{
    if (control->basis == GM_BASIS_NONE) {
        gm_json_put_null(out, "control");
        return;
    }
    gm_json_open_object(out, "control");
    gm_json_put_string(out, "basis", gm_control_basis_name(control->basis));
    gm_json_put_u64(out, "documents", control->n);
    put_figure(out, "router_neighbour_purity", control->router_purity);
    put_figure(out, "tokens_neighbour_purity", control->tokens_purity);
    put_figure(out, "chance", control->chance);
    put_figure(out, "shared_neighbours", control->shared);
    put_figure(out, "shared_chance", control->shared_chance);
    gm_json_put_u64(out, "token_clusters", control->n_token_clusters);
    put_figure(out, "ari", control->ari);
    put_figure(out, "router_ami", control->router_ami);
    put_figure(out, "tokens_ami", control->tokens_ami);
    put_figure(out, "router_homogeneity", control->router_homogeneity);
    put_figure(out, "tokens_homogeneity", control->tokens_homogeneity);
    put_figure(out, "added_ami", control->router_ami - control->tokens_ami);
    gm_json_close_object(out);
}

static void put_rerun(gm_json_out *out, const gm_rerun_figures *run, bool seed)
{
    gm_json_open_object(out, NULL);
    if (seed) gm_json_put_u64(out, "seed", run->seed);
    gm_json_put_u64(out, "documents", run->n_points);
    gm_json_put_u64(out, "clusters", run->n_clusters);
    gm_json_put_u64(out, "largest", run->largest);
    gm_json_put_u64(out, "noise", run->n_noise);
    put_figure(out, "ari", run->ari);
    gm_json_close_object(out);
}

static void put_stability(gm_json_out *out, const gm_stability *s)
{
    double least = 1;
    for (int i = 0; i < GM_N_RESEEDS; i++) least = fmin(least, s->seed[i].ari);
    put_figure(out, "seed_ari", s->seed_ari);
    put_figure(out, "seed_ari_min", least);
    put_figure(out, "seed_ari_among", s->among_seeds);
    put_figure(out, "half_ari", s->half_ari);
    gm_json_open_object(out, "reruns");
    gm_json_open_array(out, "seeds");
    for (int i = 0; i < GM_N_RESEEDS; i++) put_rerun(out, &s->seed[i], true);
    gm_json_close_array(out);
    gm_json_open_array(out, "halves");
    for (int i = 0; i < 2; i++) put_rerun(out, &s->half[i], false);
    gm_json_close_array(out);
    gm_json_close_object(out);
}

/* Clusters found in more dimensions, against the map and its clusters. */
static void put_dimensions(gm_json_out *out, const gm_dimensions *d, size_t n)
{
    gm_json_open_object(out, "dimensions");
    gm_json_put_i64(out, "dimensions", d->dim);
    put_figure(out, "trustworthiness", d->kept.trustworthiness);
    put_figure(out, "continuity", d->kept.continuity);
    put_figure(out, "neighbours_kept", d->kept.preserved);
    gm_json_put_u64(out, "map_clusters", d->n_clusters);
    put_figure(out, "map_noise_share", (double)d->n_noise / (double)n);
    put_figure(out, "ari", d->ari);
    put_figure(out, "ami", d->ami);
    put_figure(out, "noise_alike", d->noise_alike);
    gm_json_close_object(out);
}

/* Share of documents without a cluster among those of each group. */
static gm_status put_noise_by(gm_json_out *out, const char *key, const gm_atlas *atlas,
                              gm_atlas_groups by, gm_error *err)
{
    size_t *all;
    gm_status status = gm_atlas_noise_by(&all, atlas, by, err);
    if (status != GM_OK) return status;
    const size_t *noise = all + by.n;
    gm_json_open_array(out, key);
    for (size_t g = 0; g < by.n; g++) {
        if (all[g] == 0) continue;
        gm_json_open_object(out, NULL);
        gm_json_put_string(out, "name", by.name[g]);
        gm_json_put_u64(out, "documents", all[g]);
        put_figure(out, "noise_share", (double)noise[g] / (double)all[g]);
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
    gm_free(all);
    return GM_OK;
}

static void put_assessment(gm_json_out *out, const gm_assessment *found)
{
    put_figure(out, "dbcv", found->dbcv);
    gm_json_put_u64(out, "dbcv_documents", found->n_dbcv);
    if (found->has_reruns) put_stability(out, &found->stability);
    put_figure(out, "coherence", found->keywords.mean);
    put_figure(out, "diversity", found->keywords.diversity);
    put_figure(out, "length_noise", found->length_noise);
    put_figure(out, "length_cluster", found->length_cluster);
    put_control(out, &found->control);
}

static gm_status put_quality(gm_json_out *out, const gm_analysis *a, const gm_atlas *atlas,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = a->usage.n, dim = a->usage.dim;
    put_choice(out, "level", GM_QUALITY_CHOICES, a->level);
    gm_json_put_u64(out, "documents", n);
    gm_json_put_u64(out, "clusters", atlas->n_clusters);
    put_figure(out, "noise_share", (double)gm_atlas_n_noise(atlas) / (double)n);
    GM_TRY(put_noise_by(out, "noise_by_subset", atlas, gm_atlas_subsets(atlas), err));
    if (atlas->n_scripts > 0)
        GM_TRY(put_noise_by(out, "noise_by_script", atlas, gm_atlas_scripts(atlas), err));
    if (atlas->n_languages > 0)
        GM_TRY(put_noise_by(out, "noise_by_language", atlas, gm_atlas_languages(atlas), err));
    put_figure(out, "trustworthiness", a->map.trustworthiness);
    put_figure(out, "continuity", a->map.continuity);
    put_figure(out, "neighbours_kept", a->map.preserved);
    gm_json_put_i64(out, "map_neighbours", a->map.k);
    gm_json_put_u64(out, "map_documents", a->map.n_rows);
    put_figure(out, "density_correlation", a->density_kept);
    if (a->dimensions.dim > 2) put_dimensions(out, &a->dimensions, n);
    if (atlas->n_subsets > 1) GM_TRY(put_subsets(out, a, atlas, err));
    put_assessment(out, &a->assessment);
    gm_json_open_array(out, "split_half_correlation");
    for (size_t c = 0; c < atlas->n_clusters; c++)
        put_figure(out, NULL,
                   gm_profile_agreement(atlas->usage_half + 2 * c * dim, atlas->corpus_usage, dim));
    gm_json_close_array(out);
    gm_json_put_u64(out, "zero_documents", a->usage.n_zero);
    gm_json_put_u64(out, "distinct_documents", a->usage.n_distinct);
    gm_json_put_u64(out, "isolated_documents", a->umap.n_isolated);
    gm_json_put_u64(out, "graph_parts", a->umap.n_components);
    gm_json_put_u64(out, "uncertified_neighbours", a->n_uncertified);
    if (a->n_checked > 0) {
        put_figure(out, "neighbour_recall", a->recall);
        gm_json_put_u64(out, "neighbour_recall_documents", a->n_checked);
    }
out:
    return status;
}

gm_status gm_atlas_note_quality(const char **json, gm_arena *arena, const gm_analysis *a,
                                const gm_atlas *atlas, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_status status = put_quality(&out, a, atlas, err);
    if (status == GM_OK) status = gm_verdict_put(&out, a, atlas, err);
    gm_json_close_object(&out);
    if (status == GM_OK) return finish(json, arena, &out, err);
    gm_text_clear(&out.text);
    return status;
}

gm_status gm_atlas_note_provenance(const char **json, gm_arena *arena, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_version_put(&out);
    gm_json_close_object(&out);
    return finish(json, arena, &out, err);
}
