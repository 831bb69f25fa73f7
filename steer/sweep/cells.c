/* cells.c - see cells.h. */
#include "steer/sweep/cells.h"

#include "base/progress.h"
#include "steer/sweep/topics_given.h"
#include "steer/sweep/topics.h"

#include <math.h>
#include <string.h>

/* gm_cell.dose_at: the chosen dose, or the k-th positive one that is not chosen. */
enum { CHOSEN = -1, OTHER_POSITIVE = -2 };

const char *const gm_arm_names[GM_N_ARMS] = {
    "unsteered", "plan", "random", "shuffled", "other", "mean",  "committee",
    "reverse",   "mass", "select", "gate",     "half",  "prompt"};

void gm_cell_reset(gm_cell *c)
{
    gm_arena_clear(&c->arena);
    c->usage = NULL;
    c->text = NULL;
    c->log_p = NULL;
    c->n_texts = 0;
    c->done = false;
    c->log_odds = c->share = c->shift = c->shift_lo = c->shift_hi = (double)NAN;
    for (int k = 0; k < GM_N_KINDS; k++)
        c->cost[k] = (gm_cost){0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
}

void gm_cell_clear(gm_cell *c)
{
    gm_arena_clear(&c->arena);
    *c = (gm_cell){0};
}

/* ---- the list: counted with at = NULL, then filled ---- */

typedef struct list {
    gm_cell *at;
    size_t n;
} list;

static void add(list *l, int topic, gm_arm arm, int half, int dose_at, size_t filter, int64_t draws)
{
    for (int64_t d = 0; d < draws; d++, l->n++) {
        if (l->at == NULL) continue;
        l->at[l->n] = (gm_cell){.topic = topic,
                                .arm = arm,
                                .draw = (int)d,
                                .half = half,
                                .dose_at = dose_at,
                                .filter = filter};
        gm_cell_reset(&l->at[l->n]);
    }
}

/* Every filter at every positive dose; nothing where there is nothing to choose. */
static void list_choosing(list *l, const gm_study *s)
{
    const gm_protocol *p = s->protocol;
    if (!gm_protocol_chooses(p)) return;
    add(l, -1, GM_ARM_UNSTEERED, 0, CHOSEN, 0, 1);
    for (int t = 0; t < (int)s->n_topics; t++)
        for (size_t f = 0; f < (s->topic[t].given ? 1 : p->n_filters); f++)
            for (int d = 0; d < (int)p->n_doses; d++)
                if (p->dose[d] > 0) add(l, t, GM_ARM_PLAN, 0, d, f, 1);
}

static void list_controls(list *l, const gm_protocol *p, int t, int dose_at)
{
    add(l, t, GM_ARM_RANDOM, 1, dose_at, 0, p->draws);
    add(l, t, GM_ARM_SHUFFLED, 1, dose_at, 0, p->shuffles);
    add(l, t, GM_ARM_OTHER, 1, dose_at, 0, 1);
    add(l, t, GM_ARM_MEAN, 1, dose_at, 0, 1);
    add(l, t, GM_ARM_COMMITTEE, 1, dose_at, 0, 1);
    add(l, t, GM_ARM_REVERSE, 1, dose_at, 0, 1);
}

static void list_topic(list *l, const gm_protocol *p, int t)
{
    static const gm_arm once[] = {GM_ARM_MASS, GM_ARM_SELECT, GM_ARM_GATE, GM_ARM_PROMPT};
    int others = (int)gm_protocol_n_positive(p) - 1;
    for (int d = 0; d < (int)p->n_doses; d++) add(l, t, GM_ARM_PLAN, 1, d, 0, 1);
    list_controls(l, p, t, CHOSEN);
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) add(l, t, once[i], 1, CHOSEN, 0, 1);
    add(l, t, GM_ARM_HALF, 1, CHOSEN, 0, 2);
    for (int k = 0; k < others; k++) {
        if (p->everywhere)
            list_controls(l, p, t, OTHER_POSITIVE - k);
        else
            add(l, t, GM_ARM_RANDOM, 1, OTHER_POSITIVE - k, 0, p->band_draws);
    }
}

gm_status gm_cells_make(gm_study *s, gm_error *err)
{
    list l = {0};
    for (int pass = 0; pass < 2; pass++) {
        l.n = 0;
        list_choosing(&l, s);
        s->n_choosing = l.n;
        add(&l, -1, GM_ARM_UNSTEERED, 1, CHOSEN, 0, 1);
        for (int t = 0; t < (int)s->n_topics; t++) list_topic(&l, s->protocol, t);
        if (pass > 0) break;
        s->cell = l.at = gm_alloc(l.n, sizeof *l.at);
        if (l.at == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu cells", l.n);
    }
    s->n_cells = l.n;
    for (size_t i = 0; i < s->n_choosing; i++)
        if (s->cell[i].topic >= 0) s->cell[i].dose = s->protocol->dose[s->cell[i].dose_at];
    return GM_OK;
}

void gm_cells_resolve(gm_study *s)
{
    const gm_protocol *p = s->protocol;
    for (size_t i = s->n_choosing; i < s->n_cells; i++) {
        gm_cell *c = &s->cell[i];
        if (c->topic < 0) continue;
        const gm_topic *t = &s->topic[c->topic];
        if (c->filter != t->filter) c->absent = false; /* it may be there under this one */
        c->filter = t->filter;
        c->dose = t->dose;
        if (c->dose_at >= 0) c->dose = p->dose[c->dose_at];
        int skip = OTHER_POSITIVE - c->dose_at;
        for (size_t k = 0; c->dose_at <= OTHER_POSITIVE && k < gm_protocol_n_positive(p); k++) {
            double dose = gm_protocol_positive(p, k);
            if (dose == t->dose || skip-- > 0) continue;
            c->dose = dose;
            break;
        }
    }
}

/* ---- plans ---- */

/* A topic's neighbour: the next topic that is a cluster, or the first cluster of another
 * domain's documents, or any; -1 when there is none. */
static int other_cluster(const gm_study *s, int topic)
{
    const gm_topic *own = &s->topic[topic];
    const gm_atlas *a = s->setup->atlas;
    for (size_t k = 1; k < s->n_topics; k++) {
        const gm_topic *next = &s->topic[((size_t)topic + k) % s->n_topics];
        if (next->cluster < 0) continue;
        if (own->cluster >= 0 || next->class_id != own->class_id) return next->cluster;
    }
    if (own->cluster >= 0) return a->n_clusters > 1 ? (own->cluster == 0 ? 1 : 0) : -1;
    for (size_t c = 0; c < a->n_clusters; c++)
        if (gm_topics_class(s, c) != own->class_id) return (int)c;
    return a->n_clusters > 0 ? 0 : -1;
}

/* Tell the recipe which control an arm is; `text` is room for its words. */
static void choose_control(gm_recipe *r, const gm_study *s, const gm_cell *c, char text[32])
{
    switch (c->arm) {
    case GM_ARM_RANDOM: r->control = "random"; break;
    case GM_ARM_SHUFFLED: r->control = "shuffled"; break;
    case GM_ARM_MEAN: r->control = "mean"; break;
    case GM_ARM_COMMITTEE: r->control = "committee"; break;
    case GM_ARM_REVERSE: r->control = "reverse"; break;
    case GM_ARM_HALF: r->control = c->draw ? "half:odd" : "half:even"; break;
    case GM_ARM_OTHER:
        snprintf(text, 32, "other:%d", other_cluster(s, c->topic));
        r->control = text;
        break;
    case GM_ARM_MASS: r->mass_matched = !r->mass_matched; break;
    case GM_ARM_SELECT: r->mode = GM_PLAN_SELECT; break;
    case GM_ARM_GATE: r->mode = GM_PLAN_GATE; break;
    default: break;
    }
}

/* The protocol's recipe with the topic's cluster or subset, if it is one; one (1) and id are room
 * for its name. */
static gm_recipe recipe_of(const gm_study *s, const gm_topic *t, const char **one, char id[16])
{
    gm_recipe r = s->protocol->recipe;
    snprintf(id, 16, "%d", t->cluster);
    *one = t->subset ? t->subset : id;
    r.clusters = r.subsets = (gm_opt_list){0};
    *(t->subset ? &r.subsets : &r.clusters) = (gm_opt_list){one, 1};
    return r;
}

gm_status gm_cell_plan(gm_plan *plan, const gm_study *s, const gm_cell *c, gm_error *err)
{
    const gm_shape shape = gm_setup_shape(s->setup);
    char id[16], control[32], layers[32];
    const char *one[1];
    if (c->topic < 0 || c->arm == GM_ARM_PROMPT)
        return gm_plan_init(plan, shape.n_layers, shape.n_experts, shape.layer_of_moe, err);
    const gm_topic *t = &s->topic[c->topic];
    gm_recipe r = recipe_of(s, t, one, id);
    if (t->given) gm_given_recipe(&r, t, layers);
    r.filter = s->protocol->filter[c->filter];
    r.weight = c->dose;
    r.seed = s->setup->options->seed % 1000000007 * 1000000 +
             (int64_t)((t->cluster + 1000) % 1000) * 1000 + c->draw + 1;
    choose_control(&r, s, c, control);
    gm_status status =
        gm_recipe_build(plan, &r, &shape, s->setup->atlas, s->setup->options->atlas, err);
    if (status == GM_OK && t->given) gm_given_windows(plan, t);
    return status;
}

gm_status gm_cells_first_plan(gm_plan *plan, gm_topic *t, const gm_study *s, gm_error *err)
{
    const gm_shape shape = gm_setup_shape(s->setup);
    char id[16];
    const char *one[1];
    gm_recipe r = recipe_of(s, t, one, id);
    gm_status status = GM_OK;
    for (t->filter = 0; t->filter < s->protocol->n_filters; t->filter++) {
        r.filter = s->protocol->filter[t->filter];
        status = gm_recipe_build(plan, &r, &shape, s->setup->atlas, "", err);
        if (status != GM_EARG) return status;
    }
    return status;
}

/* What a topic may lack: a half without documents or experts, a neighbour with any; and one
 * of several filters may leave nothing. */
static bool may_be_absent(const gm_cell *c)
{
    return c->arm == GM_ARM_HALF || c->arm == GM_ARM_OTHER || c->arm == GM_ARM_MEAN ||
           (c->arm == GM_ARM_PLAN && c->half == 0);
}

gm_status gm_cells_try(gm_study *s, gm_error *err)
{
    gm_error why = {0};
    char name[GM_TOPIC_NAME_BYTES];
    for (size_t i = 0; i < s->n_cells; i++) {
        gm_cell *c = &s->cell[i];
        gm_plan plan = {0};
        if (c->arm == GM_ARM_OTHER && other_cluster(s, c->topic) < 0) c->absent = true;
        if (c->arm == GM_ARM_HALF && s->topic[c->topic].given) c->absent = true;
        if (c->absent) continue;
        gm_status status = gm_cell_plan(&plan, s, c, &why);
        gm_plan_clear(&plan);
        if (status == GM_OK) continue;
        if (c->topic < 0) return gm_fail(err, status, "unsteered: %s", why.text);
        if (status != GM_EARG || !may_be_absent(c))
            return gm_fail(err, status, "%s, dose %g: %s", gm_topic_show(name, &s->topic[c->topic]),
                           c->dose, why.text);
        c->absent = true;
        gm_warn("%s is measured without '%s' at dose %g: %s",
                gm_topic_show(name, &s->topic[c->topic]), gm_arm_names[c->arm], c->dose, why.text);
    }
    return GM_OK;
}
