/* jinja_render.c - see jinja.h: running a template's statements. */
#include "engine/chat/jinja_run.h"

#include <string.h>

/* A run's memory for each byte of its variables, and besides; steps likewise: a template goes
 * through its few messages a few times. */
enum {
    MEMORY_PER_BYTE = 64,
    MEMORY_BESIDES = 1 << 24,
    STEPS = 1 << 18,
    WORK_PER_BYTE = 256, /* bytes that are gone through without taking memory */
    WORK_BESIDES = 1 << 26
};

typedef enum jump { GO_ON, BREAK, CONTINUE } jump;

static gm_status run_body(gm_jrun *run, gm_jscope *scope, const gm_jnode *list, jump *jumped,
                          gm_error *err);

gm_status gm_j_scope(gm_jrun *run, gm_jscope **inner, gm_jscope *outer, gm_error *err)
{
    gm_status status = GM_OK;
    *inner = NULL;
    GM_TRY(gm_jrun_take(run, inner, 1, sizeof **inner, err));
    (*inner)->parent = outer;
out:
    return status;
}

gm_status gm_j_capture(gm_jrun *run, gm_jscope *scope, const gm_jnode *list, gm_jvalue *out,
                       gm_error *err)
{
    gm_status status = GM_OK;
    gm_text said = {0}, *outer = run->out;
    jump jumped;
    run->out = &said;
    GM_TRY(run_body(run, scope, list, &jumped, err));
    GM_TRY(gm_j_copy(run, out, said.at, said.n, err));
out:
    run->out = outer;
    gm_text_clear(&said);
    return status;
}

/* Said words count as memory, so that no loop fills it with them. */
static gm_status say(gm_jrun *run, const char *text, size_t n, gm_error *err)
{
    if (n > run->bytes_left) return gm_jrun_fail(run, err, "the template's output is too long");
    run->bytes_left -= n;
    return n > 0 ? gm_text_append(run->out, text, n, err) : GM_OK;
}

/* ---- loops ---- */

/* An item under a loop's names, or its own items under several. */
static gm_status bind(gm_jrun *run, gm_jscope *scope, const gm_jnode *names, gm_jvalue item,
                      gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = 0;
    if (names->next == NULL)
        return gm_jdict_put(run, &scope->names, names->text, names->n_text, item, err);
    for (const gm_jnode *name = names; name; name = name->next) n++;
    GM_TRY(gm_j_items(run, &item, item, err));
    if (item.n != n) GM_TRY(gm_jrun_fail(run, err, "%zu names cannot take %zu items", n, item.n));
    for (size_t i = 0; i < n; i++, names = names->next)
        GM_TRY(gm_jdict_put(run, &scope->names, names->text, names->n_text, item.as.item[i], err));
out:
    return status;
}

/* Whether a loop's condition holds of an item. */
static gm_status holds(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue item,
                       bool *yes, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jscope *inner = NULL;
    gm_jvalue value;
    GM_TRY(gm_j_scope(run, &inner, scope, err));
    GM_TRY(bind(run, inner, node->b, item, err));
    GM_TRY(gm_j_eval(run, inner, node->c, &value, err));
    *yes = gm_j_truth(value);
out:
    return status;
}

/* The items of which a loop's condition holds; *kept: for each of `items`, whether it does. */
static gm_status choose(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue items,
                        gm_jvalue *chosen, bool **kept, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue *item;
    size_t n = 0;
    GM_TRY(gm_jrun_take(run, kept, items.n, sizeof **kept, err));
    GM_TRY(gm_j_list(run, chosen, &item, items.n, err));
    for (size_t i = 0; i < items.n; i++) {
        GM_TRY(holds(run, scope, node, items.as.item[i], &(*kept)[i], err));
        if ((*kept)[i]) item[n++] = items.as.item[i];
    }
    chosen->n = n;
out:
    return status;
}

/* Jinja asks the condition of an item when its turn comes: one that has changed since all were
 * asked, as of a namespace that the loop sets, is refused. */
static gm_status run_for(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jloop *loop = NULL;
    gm_jvalue all, items;
    jump jumped = GO_ON;
    bool *kept = NULL, yes = true, ended = false;
    size_t turn = 0;
    GM_TRY(gm_j_eval(run, scope, node->a, &all, err));
    GM_TRY(gm_j_items(run, &all, all, err));
    items = all;
    if (node->c) GM_TRY(choose(run, scope, node, all, &items, &kept, err));
    GM_TRY(gm_jrun_take(run, &loop, 1, sizeof *loop, err));
    loop->items = items;
    for (size_t i = 0; i < all.n && jumped != BREAK; i++) {
        gm_jscope *inner = NULL; /* what an iteration sets, the next does not see */
        if (kept) GM_TRY(holds(run, scope, node, all.as.item[i], &yes, err));
        if (kept && yes != kept[i])
            GM_TRY(gm_jrun_fail(run, err, "the condition of a loop changes while the loop runs"));
        if (!yes) continue;
        loop->at = turn++;
        GM_TRY(gm_j_scope(run, &inner, scope, err));
        GM_TRY(bind(run, inner, node->b, all.as.item[i], err));
        GM_TRY(gm_jdict_put(run, &inner->names, "loop", 4,
                            (gm_jvalue){.kind = GM_J_LOOP, .as.loop = loop}, err));
        GM_TRY(run_body(run, inner, node->list, &jumped, err));
        ended = ended || jumped == GO_ON;
    }
    if (!ended) { /* no turn has come to its end: there was none, or a jump in each */
        gm_jscope *inner = NULL;
        GM_TRY(gm_j_scope(run, &inner, scope, err));
        GM_TRY(run_body(run, inner, node->other, &jumped, err));
    }
out:
    return status;
}

/* ---- setting ---- */

static gm_status run_set(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue value;
    GM_TRY(gm_j_eval(run, scope, node->a, &value, err));
    if (node->b == NULL)
        return gm_jdict_put(run, &scope->names, node->text, node->n_text, value, err);
    const gm_jentry *space = NULL;
    for (const gm_jscope *s = scope; s && space == NULL; s = s->parent)
        space = gm_jdict_find(run, &s->names, node->text, node->n_text);
    if (space == NULL || space->value.kind != GM_J_NAMESPACE)
        return gm_jrun_fail(run, err, "'%.*s' is not a namespace", (int)node->n_text, node->text);
    GM_TRY(gm_jdict_put(run, space->value.as.dict, node->b->text, node->b->n_text, value, err));
out:
    return status;
}

/* A body as a text, through the filters of node->a. */
static gm_status capture_filtered(gm_jrun *run, gm_jscope *scope, const gm_jnode *node,
                                  gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jscope *inner = NULL;
    const gm_jvalue outer = run->piped;
    GM_TRY(gm_j_scope(run, &inner, scope, err));
    GM_TRY(gm_j_capture(run, inner, node->list, out, err));
    if (node->a == NULL) return GM_OK;
    run->piped = *out;
    GM_TRY(gm_j_eval(run, scope, node->a, out, err));
    run->piped = outer;
out:
    return status;
}

static gm_status run_macro(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jmacro *macro = NULL;
    GM_TRY(gm_jrun_take(run, &macro, 1, sizeof *macro, err));
    *macro = (gm_jmacro){node, scope};
    GM_TRY(gm_jdict_put(run, &scope->names, node->text, node->n_text,
                        (gm_jvalue){.kind = GM_J_MACRO, .as.macro = macro}, err));
out:
    return status;
}

/* ---- statements ---- */

static gm_status run_if(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, jump *jumped,
                        gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue value;
    GM_TRY(gm_j_eval(run, scope, node->a, &value, err));
    GM_TRY(run_body(run, scope, gm_j_truth(value) ? node->list : node->other, jumped, err));
out:
    return status;
}

static gm_status run_statement(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, jump *jumped,
                               gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue value;
    gm_jscope *inner = NULL;
    if (node->kind == GM_JN_DATA) return say(run, node->text, node->n_text, err);
    if (node->kind == GM_JN_IF) return run_if(run, scope, node, jumped, err);
    if (node->kind == GM_JN_FOR) return run_for(run, scope, node, err);
    if (node->kind == GM_JN_SET) return run_set(run, scope, node, err);
    if (node->kind == GM_JN_MACRO) return run_macro(run, scope, node, err);
    if (node->kind == GM_JN_BREAK || node->kind == GM_JN_CONTINUE) {
        *jumped = node->kind == GM_JN_BREAK ? BREAK : CONTINUE;
    } else if (node->kind == GM_JN_SCOPE) {
        GM_TRY(gm_j_scope(run, &inner, scope, err));
        GM_TRY(run_body(run, inner, node->list, jumped, err));
    } else if (node->kind == GM_JN_CAPTURE) {
        GM_TRY(capture_filtered(run, scope, node, &value, err));
        GM_TRY(gm_jdict_put(run, &scope->names, node->text, node->n_text, value, err));
    } else {
        if (node->kind == GM_JN_FILTERED)
            GM_TRY(capture_filtered(run, scope, node, &value, err));
        else
            GM_TRY(gm_j_eval(run, scope, node->a, &value, err));
        GM_TRY(gm_j_spell(run, &value, value, err));
        GM_TRY(say(run, value.as.text, value.n, err));
    }
out:
    return status;
}

static gm_status run_body(gm_jrun *run, gm_jscope *scope, const gm_jnode *list, jump *jumped,
                          gm_error *err)
{
    gm_status status = GM_OK;
    *jumped = GO_ON;
    for (; list && *jumped == GO_ON; list = list->next) {
        GM_TRY(gm_jrun_step(run, list->line, err));
        GM_TRY(run_statement(run, scope, list, jumped, err));
        run->depth--;
    }
out:
    return status;
}

/* ---- runs ---- */

static size_t bytes_of(const gm_json *json)
{
    size_t n = 0, bytes = 32;
    if (gm_json_text(json, &n)) bytes += n;
    const gm_json_kind kind = gm_json_kind_of(json);
    if (kind == GM_JSON_ARRAY || kind == GM_JSON_OBJECT)
        for (const gm_json *at = gm_json_first(json); at; at = gm_json_next(at))
            bytes += bytes_of(at);
    return bytes;
}

gm_status gm_jinja_render(const gm_jinja *jinja, const gm_jinja_input *input, gm_text *out,
                          bool *said_date, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jrun run = {.where = jinja->where,
                   .line = 1,
                   .date = input->date,
                   .steps_left = STEPS,
                   .bytes_left = MEMORY_BESIDES,
                   .work_left = WORK_BESIDES,
                   .out = out};
    gm_jscope *scope = NULL, *top = NULL;
    jump jumped;
    for (size_t i = 0; i < input->n_variables; i++) {
        const size_t bytes = bytes_of(input->variables[i]);
        run.bytes_left += MEMORY_PER_BYTE * bytes;
        run.work_left += WORK_PER_BYTE * bytes;
    }
    GM_TRY(gm_j_scope(&run, &scope, NULL, err));
    for (size_t i = 0; i < input->n_variables; i++) {
        for (const gm_json *at = gm_json_first(input->variables[i]); at; at = gm_json_next(at)) {
            gm_jvalue value;
            size_t n;
            const char *key = gm_json_key_text(at, &n);
            GM_TRY(gm_j_from_json(&run, &value, at, err));
            GM_TRY(gm_jdict_put(&run, &scope->names, key, n, value, err));
        }
    }
    GM_TRY(gm_j_scope(&run, &top, scope, err));
    GM_TRY(run_body(&run, top, jinja->body, &jumped, err));
    GM_TRY(gm_jrun_step(&run, run.line, err)); /* whether it went too far with its last one */
    if (said_date) *said_date = run.said_date;
out:
    gm_arena_clear(&run.arena);
    return status;
}
