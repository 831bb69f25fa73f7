/* topics_given.c - see topics_given.h. */
#include "steer/sweep/topics_given.h"

#include "steer/sweep/cells.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* Split "FILE=DOMAIN" at the last '=', unless all of it is a file. *domain: NULL when not said. */
static char *split_name(gm_arena *arena, const char *text, const char **domain)
{
    struct stat at;
    const char *equals = strrchr(text, '=');
    size_t n = strlen(text);
    *domain = NULL;
    if (equals && stat(text, &at) != 0) {
        n = (size_t)(equals - text);
        *domain = equals + 1;
    }
    return gm_arena_text(arena, text, n);
}

/* The only text of the array `key`; NULL when it has none or more. */
static const char *only_text(const gm_json *object, const char *key)
{
    const gm_json *list = gm_json_find(object, key);
    const gm_json *first = list ? gm_json_first(list) : NULL;
    return first && gm_json_next(first) == NULL ? gm_json_text(first, NULL) : NULL;
}

/* The largest subset of the cluster "ID" or "ID=W"; NULL when there is none. */
static const char *domain_of_cluster(const gm_atlas *a, const char *entry)
{
    int64_t c;
    if (!gm_parse_i64_n(entry, strcspn(entry, "="), &c) || c < 0 || (uint64_t)c >= a->n_clusters ||
        a->n_subsets == 0)
        return NULL;
    return a->subset_name[gm_atlas_main_subset(a, (size_t)c)];
}

/* Whether a source of weight `weight` and the entry "NAME" or "NAME=FACTOR" steers towards what
 * it names. */
static bool leads_there(const gm_json *source, const char *entry)
{
    double weight, factor = 1;
    const char *equals = strrchr(entry, '=');
    const gm_json *control = gm_json_find(source, "control"), *w = gm_json_find(source, "weight");
    if (control && gm_json_kind_of(control) != GM_JSON_NULL) return false;
    if (equals && !gm_parse_f64(equals + 1, &factor)) return false;
    return w && gm_json_f64(w, &weight) && weight * factor > 0;
}

/* What the plan's source says that it steers towards, in the study's arena; NULL: nothing that
 * is known here. */
static gm_status domain_of_source(const char **domain, gm_study *s, const gm_plan *plan,
                                  const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    const char *found = NULL, *digest = NULL;
    *domain = NULL;
    GM_TRY(gm_json_parse(&root, plan->source, strlen(plan->source), path, err));
    const gm_json *at = root;
    while (gm_json_find(at, "source")) at = gm_json_find(at, "source"); /* a plan of a plan */
    const gm_json *of = gm_json_find(at, "atlas_digest");
    if (of) digest = gm_json_text(of, NULL);
    const char *cluster = only_text(at, "clusters"), *subset = only_text(at, "subsets");
    if (cluster && !subset && digest && strcmp(digest, s->setup->atlas->digest) == 0)
        found = domain_of_cluster(s->setup->atlas, cluster);
    if (subset && !cluster) found = subset;
    if (found && !leads_there(at, cluster ? cluster : subset)) found = NULL;
    if (found == NULL) goto out;
    size_t n = strlen(found);
    if (found == subset) n = strrchr(found, '=') ? (size_t)(strrchr(found, '=') - found) : n;
    *domain = gm_arena_text(&s->arena, found, n);
    if (*domain == NULL) GM_FAIL(GM_EMEM, "no memory for the topics");
out:
    gm_json_free(root);
    return status;
}

/* Doses multiply the biases: there must be one, and none of -inf. */
static gm_status check_doses(const gm_plan *plan, const char *path, gm_error *err)
{
    size_t n = (size_t)plan->n_layers * (size_t)plan->n_experts;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(plan->bias[i]))
            return gm_fail(err, GM_EARG,
                           "plan '%s' removes experts (-inf), which a dose cannot scale; give them "
                           "a large negative bias instead",
                           path);
        any = any || plan->bias[i] != 0;
    }
    return any ? GM_OK : gm_fail(err, GM_EARG, "plan '%s' steers nothing", path);
}

/* The experts that a plan strengthens, in the layers that it acts on. */
static gm_status find_important(gm_topic *t, gm_study *s, const gm_plan *p, gm_error *err)
{
    size_t E = (size_t)p->n_experts;
    uint8_t *out = gm_arena_alloc(&s->arena, (size_t)p->n_layers * E, 1); /* (L,E) */
    if (out == NULL) return gm_fail(err, GM_EMEM, "no memory for the topics");
    gm_vector_important(out, p->bias, p->n_layers, p->n_experts, s->setup->info->n_chosen);
    for (int l = 0; l < p->n_layers; l++)
        if (p->layer_of_moe[l] < p->first_layer || p->layer_of_moe[l] > p->last_layer)
            memset(out + (size_t)l * E, 0, E);
    t->important = out;
    return GM_OK;
}

/* The number of the next topic that is no cluster. */
static int next_number(const gm_study *s)
{
    int n = GM_FIRST_GIVEN;
    for (size_t t = 0; t < s->n_topics; t++) n -= s->topic[t].cluster < 0;
    return n;
}

/* A topic that is given twice would count twice in what is said of all. */
static gm_status refuse_twice(const gm_opt_list *given, size_t i, const char *option, gm_error *err)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(given->at[k], given->at[i]) == 0)
            return gm_fail(err, GM_EARG, "'%s' is given twice with %s", given->at[i], option);
    return GM_OK;
}

/* ---- subsets ---- */

gm_status gm_given_subsets(gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    gm_plan plan = {0};
    const gm_opt_list *names = &s->protocol->recipe.subsets;
    for (size_t i = 0; i < names->n; i++) {
        gm_topic *t = &s->topic[s->n_topics];
        GM_TRY(refuse_twice(names, i, "--subset", err));
        *t = (gm_topic){.cluster = next_number(s),
                        .subset = names->at[i],
                        .domain = names->at[i],
                        .class_id = gm_judge_class(&s->judge, names->at[i]),
                        .purity = (double)NAN};
        GM_TRY(gm_cells_first_plan(&plan, t, s, err));
        if (t->class_id < 0)
            GM_FAIL(GM_EARG, "the classifier's corpus has no subset '%s'", t->subset);
        GM_TRY(find_important(t, s, &plan, err));
        gm_plan_clear(&plan);
        s->n_topics++;
    }
out:
    gm_plan_clear(&plan);
    return status;
}

/* ---- plan files ---- */

static gm_status read_one(gm_study *s, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    gm_plan *plan = &s->given[i];
    gm_topic *t = &s->topic[s->n_topics];
    const gm_recipe as_it_is = {.weight = 1};
    const char *domain, *path = split_name(&s->arena, s->protocol->plans.at[i], &domain);
    GM_TRY(refuse_twice(&s->protocol->plans, i, "--plan", err));
    if (path == NULL) GM_FAIL(GM_EMEM, "no memory for the topics");
    GM_TRY(gm_setup_plan(plan, s->setup, &as_it_is, path, err));
    s->n_given++;
    GM_TRY(check_doses(plan, path, err));
    if (domain == NULL) GM_TRY(domain_of_source(&domain, s, plan, path, err));
    if (domain == NULL)
        GM_FAIL(GM_EARG, "plan '%s' does not say what it is about; give --plan FILE=DOMAIN", path);
    *t = (gm_topic){.cluster = next_number(s),
                    .given = plan,
                    .array = {.n_rows = (size_t)plan->n_layers,
                              .n_cols = (size_t)plan->n_experts,
                              .at = plan->bias},
                    .domain = domain,
                    .class_id = gm_judge_class(&s->judge, domain),
                    .purity = (double)NAN};
    if (t->class_id < 0)
        GM_FAIL(GM_EARG, "plan '%s' is about '%s', which the classifier's corpus does not have",
                path, domain);
    t->name = gm_path_name(path);
    GM_TRY(find_important(t, s, plan, err));
    s->n_topics++;
out:
    return status;
}

gm_status gm_given_read(gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = s->protocol->plans.n;
    s->given = gm_alloc(n, sizeof *s->given);
    if (s->given == NULL) GM_FAIL(GM_EMEM, "no memory for the topics");
    for (size_t i = 0; i < n; i++) GM_TRY(read_one(s, i, err));
out:
    return status;
}

void gm_given_clear(gm_study *s)
{
    for (size_t i = 0; s->given && i < s->n_given; i++) gm_plan_clear(&s->given[i]);
    gm_free(s->given);
    s->given = NULL;
    s->n_given = 0;
}

void gm_given_recipe(gm_recipe *r, const gm_topic *t, char layers[32])
{
    const gm_plan *p = t->given;
    *r = gm_recipe_defaults();
    snprintf(layers, 32, "%d-%d", p->first_layer, p->last_layer);
    r->layers = layers;
    r->mode = (int)p->mode;
    r->mass_matched = p->mass_matched;
    r->imported = &t->array;
    r->import = t->name;
}

void gm_given_windows(gm_plan *plan, const gm_topic *t)
{
    plan->phases = t->given->phases;
    plan->schedule = t->given->schedule;
}
