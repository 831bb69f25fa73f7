/* knockouts.c - see knockouts.h. */
#include "probe/knockouts.h"

#include "base/text.h"
#include "formats/expert_list.h"
#include "formats/shape.h"

#include <inttypes.h>
#include <string.h>

/* What is read, and for which model. */
typedef struct reading {
    gm_knockouts *out;
    const gm_model_info *info;
    gm_edit_mode mode;
} reading;

static gm_status no_memory(gm_error *err)
{
    return gm_fail(err, GM_EMEM, "no memory for the list of experts");
}

/* Room for `most` knock-outs. */
static gm_status make_room(const reading *r, size_t most, gm_error *err)
{
    r->out->at = gm_arena_alloc(&r->out->arena, most, sizeof *r->out->at);
    return r->out->at ? GM_OK : no_memory(err);
}

/* A router chooses K of the experts that are left to it. */
static gm_status check_left(const reading *r, const gm_knockout *k, gm_error *err)
{
    const uint32_t E = (uint32_t)r->info->n_experts;
    for (size_t i = 0; r->mode != GM_EDIT_GATE && i < k->n; i++) {
        int left = r->info->n_experts;
        for (size_t j = 0; j < k->n; j++) left -= k->at[j] / E == k->at[i] / E;
        if (left < r->info->n_chosen)
            return gm_fail(err, GM_EARG,
                           "--experts '%.80s' leaves %d experts in layer %d, whose router chooses "
                           "%d; --mode gate silences experts without changing the choice",
                           k->name, left, r->info->layer_of_moe[k->at[i] / E], r->info->n_chosen);
    }
    return GM_OK;
}

/* One expert alone. */
static gm_status add_alone(const reading *r, uint32_t at, gm_error *err)
{
    const uint32_t E = (uint32_t)r->info->n_experts;
    char name[32];
    const int n = snprintf(name, sizeof name, "%d:%u", r->info->layer_of_moe[at / E], at % E);
    uint32_t *place = gm_arena_alloc(&r->out->arena, 1, sizeof *place);
    gm_knockout k = {.name = gm_arena_text(&r->out->arena, name, (size_t)n), .at = place, .n = 1};
    if (k.name == NULL || place == NULL) return no_memory(err);
    *place = at;
    r->out->at[r->out->n++] = k;
    return check_left(r, &k, err);
}

static gm_status no_such_layer(const gm_model_info *info, const char *option, int64_t layer,
                               gm_error *err)
{
    return gm_fail(err, GM_EARG,
                   "%s: layer %" PRId64 " is not an MoE layer, expected one from %d to %d", option,
                   layer, info->layer_of_moe[0], info->layer_of_moe[info->n_moe_layers - 1]);
}

/* "LAYER:ID" into its place. */
static gm_status read_one(const reading *r, const char *text, uint32_t *at, gm_error *err)
{
    char option[64];
    int64_t layer, expert;
    const char *colon = strchr(text, ':');
    if (colon == NULL || !gm_parse_i64_n(text, (size_t)(colon - text), &layer) ||
        !gm_parse_i64(colon + 1, &expert))
        return gm_fail(err, GM_EARG,
                       "--experts '%.80s': expected LAYER:ID (such as 5:2), a list (such as "
                       "5:2,5:9+5:11), FILE.csv or all",
                       text);
    snprintf(option, sizeof option, "--experts '%.40s'", text);
    const int row = gm_find_layer(r->info->layer_of_moe, r->info->n_moe_layers, layer);
    if (row < 0) return no_such_layer(r->info, option, layer, err);
    if (expert < 0 || expert >= r->info->n_experts)
        return gm_fail(err, GM_EARG, "%s: expert %" PRId64 ", expected 0 to %d", option, expert,
                       r->info->n_experts - 1);
    *at = (uint32_t)(row * r->info->n_experts) + (uint32_t)expert;
    return GM_OK;
}

/* "5:9+5:11"; cut in place while it is read. */
static gm_status read_together(const reading *r, char *text, gm_error *err)
{
    size_t most = 1;
    for (const char *c = text; *c; c++) most += *c == '+';
    uint32_t *at = gm_arena_alloc(&r->out->arena, most, sizeof *at);
    gm_knockout k = {.name = gm_arena_text(&r->out->arena, text, strlen(text)), .at = at};
    if (at == NULL || k.name == NULL) return no_memory(err);
    for (char *next = text; next;) {
        char *one = next;
        next = strchr(one, '+');
        if (next) *next++ = '\0';
        gm_status status = read_one(r, one, &at[k.n], err);
        if (status != GM_OK) return status;
        for (size_t i = 0; i < k.n; i++)
            if (at[i] == at[k.n])
                return gm_fail(err, GM_EARG, "--experts '%.80s' names %.20s twice", k.name, one);
        k.n++;
    }
    r->out->at[r->out->n++] = k;
    return check_left(r, &k, err);
}

/* Neither names an expert twice. */
static bool same_experts(const gm_knockout *a, const gm_knockout *b)
{
    size_t shared = 0;
    for (size_t i = 0; i < a->n; i++)
        for (size_t j = 0; j < b->n; j++) shared += a->at[i] == b->at[j];
    return a->n == b->n && shared == a->n;
}

/* The last of the list may not be there already. */
static gm_status check_new(const gm_knockouts *list, gm_error *err)
{
    const gm_knockout *last = &list->at[list->n - 1];
    for (const gm_knockout *k = list->at; k < last; k++)
        if (same_experts(k, last))
            return strcmp(k->name, last->name) == 0
                       ? gm_fail(err, GM_EARG, "--experts names %.80s twice", k->name)
                       : gm_fail(err, GM_EARG, "--experts: %.80s and %.80s are the same", k->name,
                                 last->name);
    return GM_OK;
}

static gm_status read_list(const reading *r, const char *text, gm_error *err)
{
    size_t most = 1;
    char *copy = gm_arena_text(&r->out->arena, text, strlen(text));
    if (copy == NULL) return no_memory(err);
    for (const char *c = text; *c; c++) most += *c == ',';
    gm_status status = make_room(r, most, err);
    for (char *next = copy; status == GM_OK && next;) {
        char *item = next;
        next = strchr(item, ',');
        if (next) *next++ = '\0';
        status = read_together(r, item, err);
        if (status == GM_OK) status = check_new(r->out, err);
    }
    return status;
}

static gm_status read_table(const reading *r, const char *path, gm_error *err)
{
    uint32_t *at = NULL;
    size_t n = 0;
    gm_status status = gm_expert_list_read_names(&at, &n, path, r->info->layer_of_moe,
                                                 r->info->n_moe_layers, r->info->n_experts, err);
    if (status == GM_OK && n == 0) status = gm_fail(err, GM_EFORMAT, "'%s' lists no expert", path);
    if (status == GM_OK) status = make_room(r, n, err);
    for (size_t i = 0; status == GM_OK && i < n; i++) status = add_alone(r, at[i], err);
    gm_free(at);
    return status;
}

static gm_status take_all(const reading *r, const int64_t *layer, gm_error *err)
{
    const uint32_t E = (uint32_t)r->info->n_experts;
    uint32_t at = 0, end = (uint32_t)r->info->n_moe_layers * E;
    if (layer) {
        const int row = gm_find_layer(r->info->layer_of_moe, r->info->n_moe_layers, *layer);
        if (row < 0) return no_such_layer(r->info, "--layer", *layer, err);
        at = (uint32_t)row * E;
        end = at + E;
    }
    gm_status status = make_room(r, end - at, err);
    for (; status == GM_OK && at < end; at++) status = add_alone(r, at, err);
    return status;
}

gm_status gm_knockouts_read(gm_knockouts *out, const char *experts, const int64_t *layer,
                            const gm_model_info *info, gm_edit_mode mode, gm_error *err)
{
    *out = (gm_knockouts){0};
    const reading r = {.out = out, .info = info, .mode = mode};
    gm_status status = strcmp(experts, "all") == 0  ? take_all(&r, layer, err)
                       : gm_expert_list_is(experts) ? read_table(&r, experts, err)
                                                    : read_list(&r, experts, err);
    if (status != GM_OK) gm_knockouts_clear(out);
    return status;
}

void gm_knockouts_clear(gm_knockouts *k)
{
    gm_arena_clear(&k->arena);
    *k = (gm_knockouts){0};
}
