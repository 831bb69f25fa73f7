/* cluster_verdict.c - thresholds and sentences. See cluster_verdict.h. */
#include "cluster/cluster_verdict.h"

#include "cluster/quality.h"
#include "cluster/summary.h"
#include "text/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

static const gm_threshold thresholds[] = {
    {"trustworthiness", 0.9, 0.8}, {"continuity", 0.9, 0.8},    {"dbcv", 0.5, 0.3},
    {"validity", 0.5, 0},          {"noise_share", 0.2, 0.4},   {"homogeneity", 0.7, 0.5},
    {"purity", 0.75, 0.5},         {"seed_ari", 0.8, 0.5},      {"half_ari", 0.7, 0.5},
    {"seed_jaccard", 0.75, 0.5},   {"half_jaccard", 0.75, 0.5}, {"coherence", 0.1, 0},
    {"dimensions.ari", 0.7, 0.5},  {"diversity", 0.7, 0.5},     {"length_noise", 0.3, 0.5},
    {"length_cluster", 0.3, 0.5},
};

const gm_threshold *gm_threshold_find(const char *figure)
{
    for (size_t i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++)
        if (strcmp(thresholds[i].figure, figure) == 0) return &thresholds[i];
    return NULL;
}

gm_verdict gm_threshold_judge(const char *figure, double value)
{
    const gm_threshold *t = gm_threshold_find(figure);
    if (t == NULL || isnan(value)) return GM_VERDICT_FAIR;
    double sign = t->good > t->poor ? 1 : -1;
    if (sign * value >= sign * t->good) return GM_VERDICT_TRUST;
    return sign * value < sign * t->poor ? GM_VERDICT_DOUBT : GM_VERDICT_FAIR;
}

const char *gm_verdict_name(gm_verdict verdict)
{
    static const char *const names[] = {"trust", "fair", "doubt"};
    return names[verdict];
}

/* ---- sentences ---- */

static void say(gm_json_out *out, gm_verdict level, const char *about, const char *fmt, ...)
    GM_PRINTF(4, 5);

static void say(gm_json_out *out, gm_verdict level, const char *about, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    gm_json_open_object(out, NULL);
    gm_json_put_string(out, "level", gm_verdict_name(level));
    gm_json_put_string(out, "about", about);
    gm_json_put_string(out, "text", text);
    gm_json_close_object(out);
}

/* The worse of two. */
static gm_verdict worse(gm_verdict v, gm_verdict w)
{
    return v > w ? v : w;
}

static const char *pick(gm_verdict v, const char *trust, const char *fair, const char *doubt)
{
    return v == GM_VERDICT_TRUST ? trust : v == GM_VERDICT_FAIR ? fair : doubt;
}

static void say_map(gm_json_out *out, const gm_analysis *a)
{
    const gm_map_quality *m = &a->map;
    const gm_verdict v = worse(gm_threshold_judge("trustworthiness", m->trustworthiness),
                               gm_threshold_judge("continuity", m->continuity));
    say(out, v, "map",
        "%s: trustworthiness %.3f, continuity %.3f; of a document's %d nearest neighbours by usage "
        "%.0f %% are also its nearest on the map (by chance: %.1f %%)",
        pick(v, "Neighbours on the map are neighbours by usage, and vice versa",
             "The map keeps most neighbourhoods and tears some apart",
             "The map tears neighbourhoods apart or invents them; trust no distance on it"),
        m->trustworthiness, m->continuity, m->k, 100 * m->preserved,
        100.0 * m->k / (double)(a->distinct.m - 1));
}

/* Do clusters that were found in more dimensions stand together on the map? */
static void say_dimensions(gm_json_out *out, const gm_dimensions *d)
{
    if (d->dim <= 2) return;
    gm_verdict v = gm_threshold_judge("dimensions.ari", d->ari);
    say(out, v, "dimensions",
        "%s: clusters were found in %d dimensions; against the map's own %zu: ARI %.2f, AMI %.2f, "
        "%.0f %% of the documents are noise in both or in neither",
        pick(v, "The map shows the clusters as they are", "The map shows most clusters as they are",
             "The map does not show the clusters as they are; trust their members, not its shapes"),
        d->dim, d->n_clusters, d->ari, d->ami, 100 * d->noise_alike);
}

static void say_density(gm_json_out *out, const gm_assessment *f)
{
    if (isnan(f->dbcv)) return;
    gm_verdict v = gm_threshold_judge("dbcv", f->dbcv);
    say(out, v, "clusters", "%s: DBCV %.2f",
        pick(v, "Clusters are much denser than the gaps between them",
             "Clusters are denser than the gaps between them",
             "Clusters are hardly denser than the gaps between them; their borders are arbitrary"),
        f->dbcv);
}

/* Groups, of at least 20 documents, of which much more is noise than of the whole: the first few by
 * name. */
static gm_status say_noise_of(gm_json_out *out, const char *kind, const gm_atlas *atlas,
                              gm_atlas_groups by, double whole, gm_error *err)
{
    enum { MAX_NAMED = 3 };
    size_t *all, n_lost = 0;
    gm_status status = gm_atlas_noise_by(&all, atlas, by, err);
    if (status != GM_OK) return status;
    const size_t *noise = all + by.n;
    for (size_t g = 0; g < by.n; g++) {
        double share = (double)noise[g] / (double)all[g];
        if (!(all[g] >= 20 && all[g] < atlas->n && share > 2 * whole && share > 0.4)) continue;
        if (n_lost++ < MAX_NAMED)
            say(out, GM_VERDICT_DOUBT, "noise",
                "Of the %zu documents of %s %s, %.0f %% are in no cluster (of all: %.0f %%); "
                "the clusters say nothing about them",
                all[g], kind, by.name[g], 100 * share, 100 * whole);
    }
    if (n_lost > MAX_NAMED)
        say(out, GM_VERDICT_DOUBT, "noise",
            "The same holds for %zu more %s%s; noise_by_%s has them", n_lost - MAX_NAMED, kind,
            gm_plural(n_lost - MAX_NAMED), kind);
    gm_free(all);
    return GM_OK;
}

/* Is any document's language known? */
static bool has_languages(const gm_atlas *atlas)
{
    return atlas->n_languages > 1 ||
           (atlas->n_languages == 1 && strcmp(atlas->language_name[0], "unknown") != 0);
}

static gm_status say_noise(gm_json_out *out, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    double share = (double)gm_atlas_n_noise(atlas) / (double)atlas->n;
    gm_verdict v = gm_threshold_judge("noise_share", share);
    if (atlas->n_clusters == 0) {
        say(out, GM_VERDICT_DOUBT, "clusters",
            "There is no cluster: lower --min-cluster-size or --min-samples");
        return GM_OK;
    }
    say(out, v, "noise", "%.1f %% of the documents are in no cluster%s", 100 * share,
        v == GM_VERDICT_DOUBT
            ? "; lower --min-samples, or keep in mind that the clusters cover only the rest"
            : "");
    GM_TRY(say_noise_of(out, "subset", atlas, gm_atlas_subsets(atlas), share, err));
    if (has_languages(atlas)) /* which tell scripts apart as well */
        GM_TRY(say_noise_of(out, "language", atlas, gm_atlas_languages(atlas), share, err));
    else if (atlas->n_scripts > 0)
        GM_TRY(say_noise_of(out, "script", atlas, gm_atlas_scripts(atlas), share, err));
out:
    return status;
}

/* ---- stability ---- */

/* The one --max-cluster-size that the verdict names, a tenth of the documents (NOTES, "What the
 * seed decides"), or what still leaves clusters a choice. */
static size_t limit_of(const gm_analysis *a)
{
    const size_t tenth = a->distinct.m / 10, least = 2 * a->hdbscan.min_cluster_size + 1;
    return tenth > least ? tenth : least;
}

static void say_largest(gm_json_out *out, const gm_analysis *a)
{
    const gm_stability *s = &a->assessment.stability;
    size_t least = SIZE_MAX, most = 0, here = 0, runs = s->seed[0].n_points;
    for (int i = 0; i < GM_N_RESEEDS; i++) {
        least = s->seed[i].largest < least ? s->seed[i].largest : least;
        most = s->seed[i].largest > most ? s->seed[i].largest : most;
    }
    for (size_t p = 0; p < a->distinct.m; p++)
        here += a->clustering.label[a->distinct.first[p]] == 0;
    double share = (double)here / (double)a->distinct.m, top = (double)most / (double)runs;
    const size_t limit = limit_of(a);
    char advice[64] = "";
    if (!(share > 1.25 * top)) return;
    if (limit < here)
        (void)snprintf(advice, sizeof advice, ", or --max-cluster-size %zu (also in recut)", limit);
    say(out, GM_VERDICT_DOUBT, "cluster 0",
        "Cluster 0 holds %.0f %% of the documents; with other seeds the largest cluster holds "
        "%.0f to %.0f %%, so it may be several clusters in one. Try --seed %" PRIu64 "%s",
        100 * share, 100 * (double)least / (double)runs, 100 * top, s->seed[0].seed, advice);
}

/* The clusters whose figure is poor, by number. */
static void say_doubtful(gm_json_out *out, const char *figure, const float *value, size_t n,
                         const char *from)
{
    char list[160] = "";
    size_t used = 0, count = 0;
    for (size_t c = 0; c < n; c++) {
        if (gm_threshold_judge(figure, (double)value[c]) != GM_VERDICT_DOUBT) continue;
        if (count < 12)
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%zu", count ? ", " : "", c);
        count++;
    }
    if (count > 0)
        say(out, GM_VERDICT_DOUBT, "clusters",
            "%zu of %zu clusters %s not come back %s (best match below %.2g): %s%s", count, n,
            count == 1 ? "does" : "do", from, gm_threshold_find(figure)->poor, list,
            count > 12 ? ", ..." : "");
}

/* Where any seed has a cluster of more than a tenth: what makes maps more alike, or "". */
static const char *limit_advice(char text[80], const gm_analysis *a)
{
    const gm_stability *s = &a->assessment.stability;
    const size_t runs = s->seed[0].n_points;
    size_t largest = 0;
    for (int i = 0; i < GM_N_RESEEDS; i++)
        largest = s->seed[i].largest > largest ? s->seed[i].largest : largest;
    text[0] = '\0';
    if (a->hdbscan.max_cluster_size == 0 && largest > runs / 10 &&
        limit_of(a) <= a->distinct.m / 10)
        (void)snprintf(text, 80, "; --max-cluster-size %zu makes maps agree better", limit_of(a));
    return text;
}

static void say_stability(gm_json_out *out, const gm_analysis *a)
{
    const gm_stability *s = &a->assessment.stability;
    const size_t n = a->clustering.n_clusters;
    if (!a->assessment.has_reruns || n == 0) return;
    double least = 1, most = -1;
    for (int i = 0; i < GM_N_RESEEDS; i++) {
        least = fmin(least, s->seed[i].ari);
        most = fmax(most, s->seed[i].ari);
    }
    gm_verdict v = gm_threshold_judge("seed_ari", s->seed_ari);
    char advice[80];
    say(out, v, "seeds", "%s: ARI with five other seeds %.2f (%.2f to %.2f)%s",
        pick(v, "The clusters hardly depend on the seed", "Some clusters depend on the seed",
             "Another seed gives different clusters"),
        s->seed_ari, least, most, v == GM_VERDICT_TRUST ? "" : limit_advice(advice, a));
    if (s->among_seeds > s->seed_ari + 0.1)
        say(out, GM_VERDICT_DOUBT, "seeds",
            "This seed is unlike the others: they agree with each other by an ARI of %.2f, and "
            "with this one by %.2f",
            s->among_seeds, s->seed_ari);
    say_largest(out, a);
    say_doubtful(out, "seed_jaccard", s->seed_jaccard, n, "with other seeds");
    if (isnan(s->half_ari)) return;
    v = gm_threshold_judge("half_ari", s->half_ari);
    say(out, v, "halves", "%s: ARI with the clusters of each half %.2f",
        pick(v, "Half the documents give the same clusters",
             "Half the documents give most of the clusters",
             "Half the documents give different clusters"),
        s->half_ari);
}

/* ---- contents ---- */

/* Large clusters without a subset of their own. */
static void say_mixed(gm_json_out *out, const gm_analysis *a, const gm_atlas *atlas, size_t c,
                      const char *subset, double purity)
{
    char advice[80] = "";
    const size_t size = (size_t)atlas->size[c], limit = limit_of(a);
    if (size * 10 <= atlas->n || purity >= 0.5) return;
    if (limit < size)
        (void)snprintf(advice, sizeof advice,
                       "; recut with --max-cluster-size %zu splits it where it has parts", limit);
    say(out, GM_VERDICT_DOUBT, "subsets",
        "Cluster %zu, %.0f %% of the documents, is mixed: its largest subset, %s, makes up %.0f %% "
        "of it%s",
        c, 100 * (double)size / (double)atlas->n, subset, 100 * purity, advice);
}

static gm_status say_subsets(gm_json_out *out, const gm_analysis *a, const gm_atlas *atlas,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_agreement found;
    size_t pure = 0, clustered = 0;
    int32_t *truth = gm_alloc(atlas->n, sizeof *truth);
    if (truth == NULL) GM_FAIL(GM_EMEM, "no memory for the verdict");
    for (size_t i = 0; i < atlas->n; i++) truth[i] = atlas->subset[i];
    GM_TRY(gm_quality_agreement(&found, atlas->cluster, truth, atlas->n, err));
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        double purity;
        int main_subset = gm_cluster_main_subset(atlas, c, &purity);
        pure += atlas->subset_count[c * atlas->n_subsets + (size_t)main_subset];
        clustered += atlas->size[c];
        say_mixed(out, a, atlas, c, atlas->subset_name[main_subset], purity);
    }
    double purity = (double)pure / (double)clustered;
    const gm_verdict v = worse(gm_threshold_judge("homogeneity", found.homogeneity),
                               gm_threshold_judge("purity", purity));
    say(out, v, "subsets",
        "%s: homogeneity %.2f, purity %.2f (adjusted Rand index %.2f, low wherever subsets are "
        "split)",
        pick(v, "Clusters hold one subset each", "Most clusters hold one subset",
             "Clusters mix subsets; they are not about where a text came from"),
        found.homogeneity, purity, found.ari);
out:
    gm_free(truth);
    return status;
}

/* Two clusterings whose AMIs with the subsets differ by less are alike: chance alone gives 0. */
static const double AMI_TIE = 0.02;

static void say_control(gm_json_out *out, const gm_token_control *c)
{
    const char *what = c->basis == GM_BASIS_TOKENS ? "token" : "word";
    if (c->basis == GM_BASIS_NONE) return;
    if (isnan(c->router_ami)) {
        const bool same = c->ari > 0.7;
        say(out, same ? GM_VERDICT_DOUBT : GM_VERDICT_FAIR, "control",
            "%s: clusters of %s frequencies alone agree with these by an ARI of %.2f",
            same ? "The vocabulary alone gives much the same clusters"
                 : "The vocabulary alone gives these clusters in part at most",
            what, c->ari);
        return;
    }
    const double added = c->router_ami - c->tokens_ami;
    const gm_verdict v = added > AMI_TIE    ? GM_VERDICT_TRUST
                         : added > -AMI_TIE ? GM_VERDICT_FAIR
                                            : GM_VERDICT_DOUBT;
    say(out, v, "control",
        "%s: clusters of %s frequencies alone match the subsets with an AMI of %.2f, the router's "
        "clusters with %.2f; ARI between the two %.2f, %.0f %% of neighbours in common",
        pick(v, "The router knows more of the subsets than the vocabulary does",
             c->router_ami > AMI_TIE
                 ? "The router knows as much of the subsets as the vocabulary does"
                 : "Neither the router nor the vocabulary knows of the subsets",
             "The vocabulary alone knows more of the subsets than the router does"),
        what, c->tokens_ami, c->router_ami, c->ari, 100 * c->shared);
}

static void say_contents(gm_json_out *out, const gm_assessment *f)
{
    if (!isnan(f->keywords.mean)) {
        const gm_verdict v = worse(gm_threshold_judge("coherence", f->keywords.mean),
                                   gm_threshold_judge("diversity", f->keywords.diversity));
        say(out, v, "keywords",
            "%s: coherence %.2f (NPMI over documents); %.0f %% of all keywords are different words",
            pick(v, "Each cluster's keywords belong together",
                 "Each cluster's keywords belong together loosely",
                 "Keywords do not belong together, or are shared by several clusters"),
            f->keywords.mean, 100 * f->keywords.diversity);
    }
    char noise[40] = "";
    if (isnan(f->length_cluster)) return;
    gm_verdict v = gm_threshold_judge("length_cluster", f->length_cluster);
    if (!isnan(f->length_noise)) { /* some documents are noise, some are not */
        v = worse(v, gm_threshold_judge("length_noise", fabs(f->length_noise)));
        (void)snprintf(noise, sizeof noise, ", with being noise %.2f", f->length_noise);
    }
    say(out, v, "lengths", "%s: correlation with the cluster %.2f%s",
        pick(v, "The length of a document does not decide where it is",
             "The length of a document partly decides where it is",
             "Clusters separate short from long documents; the same number for 'gm-probe collect' "
             "--doc-tokens and --min-tokens makes all equally long"),
        f->length_cluster, noise);
}

gm_status gm_verdict_put(gm_json_out *out, const gm_analysis *a, const gm_atlas *atlas,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_open_array(out, "verdict");
    say_map(out, a);
    say_dimensions(out, &a->dimensions);
    GM_TRY(say_noise(out, atlas, err));
    say_density(out, &a->assessment);
    say_stability(out, a);
    if (atlas->n_subsets > 1 && atlas->n_clusters > 0) GM_TRY(say_subsets(out, a, atlas, err));
    say_contents(out, &a->assessment);
    if (atlas->n_clusters > 0) say_control(out, &a->assessment.control);
    gm_json_close_array(out);
    gm_json_open_object(out, "thresholds");
    for (size_t i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++) {
        gm_json_open_array(out, thresholds[i].figure);
        gm_json_put_f64(out, NULL, thresholds[i].good);
        gm_json_put_f64(out, NULL, thresholds[i].poor);
        gm_json_close_array(out);
    }
    gm_json_close_object(out);
out:
    return status;
}

gm_status gm_verdict_print(FILE *to, const char *quality, gm_error *err)
{
    gm_json *root = NULL;
    if (quality == NULL || quality[0] == '\0') return GM_OK;
    gm_status status = gm_json_parse(&root, quality, strlen(quality), "/quality", err);
    if (status != GM_OK) return status;
    const gm_json *all = gm_json_find(root, "verdict");
    for (int level = GM_VERDICT_DOUBT; all && level >= GM_VERDICT_TRUST; level--)
        for (const gm_json *v = gm_json_first(all); v; v = gm_json_next(v)) {
            const gm_json *has = gm_json_find(v, "level"), *text = gm_json_find(v, "text");
            const char *name = has ? gm_json_text(has, NULL) : NULL;
            const char *sentence = text ? gm_json_text(text, NULL) : NULL;
            if (name == NULL || sentence == NULL ||
                strcmp(name, gm_verdict_name((gm_verdict)level)) != 0)
                continue;
            fprintf(to, "%-6s", name);
            gm_print_text(to, 0, sentence);
            fputc('\n', to);
        }
    gm_json_free(root);
    return GM_OK;
}
