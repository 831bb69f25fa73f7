/* protocol.c - see protocol.h. */
#include "steer/sweep/protocol.h"

#include <math.h>
#include <string.h>

gm_protocol gm_protocol_defaults(bool full)
{
    gm_protocol p = {.recipe = gm_recipe_defaults(),
                     .min_purity = 0.7,
                     .max_kl = 0.5,
                     .draws = 39,
                     .full = full};
    if (full) {
        p.doses = "-2,-1,-0.5,0,0.25,0.5,1,2,4";
        p.n_clusters = 8;
        p.band_draws = 20;
        p.shuffles = 20;
        p.seeds = 3;
        p.off_prompts = 30;
        p.passages = 400;
        p.everywhere = true;
    } else {
        p.doses = "-2,-1,0,0.5,1,1.5,2,3";
        p.n_clusters = 6;
        p.band_draws = 3;
        p.shuffles = 3;
        p.seeds = 1;
        p.passages = 20;
    }
    return p;
}

void gm_protocol_clear(gm_protocol *p)
{
    gm_recipe_clear(&p->recipe);
    gm_opt_list_clear(&p->corpus);
    gm_opt_list_clear(&p->plans);
    gm_arena_clear(&p->arena);
}

static gm_status read_doses(gm_protocol *p, gm_error *err)
{
    for (const char *at = p->doses; *at;) {
        size_t n = strcspn(at, ",");
        double dose;
        if (!gm_parse_f64_n(at, n, &dose) || !isfinite(dose) || p->n_doses == GM_MAX_DOSES ||
            (p->n_doses > 0 && dose <= p->dose[p->n_doses - 1]))
            return gm_fail(err, GM_EARG, "--doses '%s': expected at most %d ascending numbers",
                           p->doses, GM_MAX_DOSES);
        p->dose[p->n_doses++] = dose;
        at += n + (at[n] == ',');
    }
    if (gm_protocol_n_positive(p) == 0)
        return gm_fail(err, GM_EARG, "--doses '%s': expected at least one above 0", p->doses);
    return GM_OK;
}

static gm_status read_filters(gm_protocol *p, gm_error *err)
{
    gm_status status = GM_OK;
    gm_filter filter;
    for (const char *at = p->recipe.filter; *at;) {
        size_t n = strcspn(at, ",");
        const char *name = gm_arena_text(&p->arena, at, n);
        if (name == NULL) GM_FAIL(GM_EMEM, "no memory for --filter");
        if (p->n_filters == GM_MAX_FILTERS)
            GM_FAIL(GM_EARG, "--filter '%s': expected at most %d filters", p->recipe.filter,
                    GM_MAX_FILTERS);
        GM_TRY(gm_filter_parse(&filter, name, err));
        p->filter[p->n_filters++] = name;
        at += n + (at[n] == ',');
    }
    if (p->n_filters == 0) GM_FAIL(GM_EARG, "--filter is empty");
out:
    return status;
}

gm_status gm_protocol_check(gm_protocol *p, const gm_setup_options *setup, gm_error *err)
{
    gm_recipe recipe = p->recipe;
    if (setup->atlas == NULL) return gm_fail(err, GM_EARG, "--atlas FILE is missing");
    if (p->corpus.n == 0)
        return gm_fail(err, GM_EARG,
                       "--classifier-corpus FILE is missing: labelled documents outside the "
                       "clustering, on which the judge of the texts is trained");
    if (p->plans.n > 0 && recipe.clusters.n + recipe.subsets.n == 0 && !gm_recipe_is_bare(&recipe))
        return gm_fail(err, GM_EARG,
                       "--plan files are complete; options such as --filter and --scale need "
                       "--cluster or --subset");
    recipe.filter = "lift"; /* the list is read below */
    gm_status status = gm_setup_check(setup, &recipe, err);
    if (status == GM_OK) status = read_doses(p, err);
    return status == GM_OK ? read_filters(p, err) : status;
}

size_t gm_protocol_n_positive(const gm_protocol *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_doses; i++) n += p->dose[i] > 0;
    return n;
}

double gm_protocol_positive(const gm_protocol *p, size_t k)
{
    return p->dose[p->n_doses - gm_protocol_n_positive(p) + k];
}

bool gm_protocol_chooses(const gm_protocol *p)
{
    return p->n_filters * gm_protocol_n_positive(p) > 1;
}
