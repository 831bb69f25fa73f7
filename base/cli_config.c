/* cli_config.c - see cli_config.h. */
#include "base/cli_config.h"

#include "base/cli_nearest.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 24 };

typedef struct words {
    char **at; /* (cap) */
    size_t n, cap;
    gm_arena *arena;
} words;

static gm_status add(words *w, const gm_text *text, gm_error *err)
{
    char *copy = w->n < w->cap ? gm_arena_text(w->arena, text->at, text->n) : NULL;
    if (copy == NULL) return gm_fail(err, GM_EMEM, "no memory for the configuration");
    w->at[w->n++] = copy;
    return GM_OK;
}

/* A number, text or truth value as one would type it. */
static gm_status type_value(gm_text *text, const gm_json *value, const char *where, const char *key,
                            gm_error *err)
{
    int64_t whole;
    double real;
    bool yes;
    size_t n;
    const char *bytes = gm_json_text(value, &n);
    if (bytes && strlen(bytes) == n) return gm_text_append(text, bytes, n, err);
    if (gm_json_i64(value, &whole)) return gm_text_printf(text, err, "%" PRId64, whole);
    if (gm_json_f64(value, &real)) return gm_text_printf(text, err, "%.17g", real);
    if (gm_json_bool(value, &yes)) return gm_text_printf(text, err, "%s", yes ? "true" : "false");
    if (bytes) return gm_fail(err, GM_EFORMAT, "'%s': '%s' contains a NUL character", where, key);
    const gm_json_kind kind = gm_json_kind_of(value);
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' is %s%s, expected a string or a number", where, key,
                   kind == GM_JSON_NULL ? "" : "an ", gm_json_kind_name(kind));
}

static const gm_opt *find(const gm_opt *opts, const char *name)
{
    for (const gm_opt *opt = opts; opt->kind != GM_OPT_END_; opt++)
        if (opt->kind != GM_OPT_GROUP && strcmp(opt->name, name) == 0) return opt;
    return NULL;
}

/* One member as the words that say the same on the command line. */
static gm_status add_member(words *w, const gm_opt *opts, const gm_json *member, const char *where,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    const char *key = gm_json_key(member);
    const gm_opt *opt = find(opts, key);
    gm_json_kind kind = gm_json_kind_of(member);
    bool yes;
    if (kind == GM_JSON_NULL) return GM_OK;
    if (gm_json_bool(member, &yes) && (opt == NULL || opt->kind == GM_OPT_FLAG)) {
        GM_TRY(gm_text_printf(&text, err, "--%s%s", yes ? "" : "no-", key));
        GM_TRY(add(w, &text, err));
        goto out;
    }
    const gm_json *item = kind == GM_JSON_ARRAY ? gm_json_first(member) : member;
    if (item == NULL) goto out; /* [] */
    GM_TRY(gm_text_printf(&text, err, "%s%s=", key[0] && !key[1] ? "-" : "--", key));
    size_t start = text.n;
    while (true) {
        GM_TRY(type_value(&text, item, where, key, err));
        item = kind == GM_JSON_ARRAY ? gm_json_next(item) : NULL;
        if (item && !(opt && opt->kind == GM_OPT_LIST)) {
            GM_TRY(gm_text_add(&text, ",", err));
            continue;
        }
        GM_TRY(add(w, &text, err));
        if (item == NULL) break;
        text.n = start;
    }
out:
    gm_text_clear(&text);
    return status;
}

static size_t count_words(const gm_json *root)
{
    size_t n = 0;
    for (const gm_json *m = gm_json_first(root); m; m = gm_json_next(m))
        n += 1 + (gm_json_kind_of(m) == GM_JSON_ARRAY ? gm_json_n_items(m) : 0);
    return n;
}

/* The path after the last --config; NULL when there is none. */
static const char *config_path(int argc, char **argv)
{
    const char *path = NULL;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) path = argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) path = argv[++i];
    }
    return path;
}

/* The object's members as words, after those that are there; `more` says for how many others there
 * has to be room. A member `config` (of an earlier run) is left out where `skips`. */
static gm_status add_members(words *w, const gm_opt *opts, const gm_json *object, size_t more,
                             bool skips, const char *where, gm_error *err)
{
    if (gm_json_kind_of(object) != GM_JSON_OBJECT)
        return gm_fail(err, GM_EFORMAT, "'%s' holds JSON of type %s, expected an object of options",
                       where, gm_json_kind_name(gm_json_kind_of(object)));
    w->cap = count_words(object) + more;
    w->at = gm_arena_alloc(w->arena, w->cap + 1, sizeof *w->at);
    if (w->at == NULL) return gm_fail(err, GM_EMEM, "no memory for the configuration");
    w->n = 1; /* the command's name */
    gm_status status = GM_OK;
    for (const gm_json *m = gm_json_first(object); m && status == GM_OK; m = gm_json_next(m)) {
        if (skips && strcmp(gm_json_key(m), "config") == 0) continue;
        status = add_member(w, opts, m, where, err);
    }
    return status;
}

gm_status gm_opt_expand_config(gm_arena *arena, const gm_opt *opts, int *argc, char ***argv,
                               gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    words w = {.arena = arena};
    const char *path = config_path(*argc, *argv);
    if (path == NULL) return GM_OK;
    GM_TRY(gm_json_read_file(&root, path, MAX_CONFIG_BYTES, err));
    GM_TRY(add_members(&w, opts, root, (size_t)*argc, true, path, err));
    w.at[0] = (*argv)[0];
    for (int i = 1; i < *argc; i++) w.at[w.n++] = (*argv)[i];
    *argc = (int)w.n;
    *argv = w.at;
out:
    gm_json_free(root);
    return status;
}

gm_status gm_opt_take_object(gm_arena *arena, const gm_opt *opts, const gm_json *object,
                             const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    char name[] = "";
    words w = {.arena = arena};
    for (const gm_json *m = gm_json_first(object); m; m = gm_json_next(m)) {
        const char *key = gm_json_key(m);
        char advice[GM_ADVICE_BYTES];
        if (key == NULL || find(opts, key)) continue;
        gm_nearest nearest = gm_nearest_to(key);
        gm_nearest_offer_options(&nearest, opts);
        GM_FAIL(GM_EFORMAT, "'%s': unknown option '%s'%s", where, key,
                gm_nearest_advice(&nearest, "", advice));
    }
    GM_TRY(add_members(&w, opts, object, 1, false, where, err));
    w.at[0] = name;
    int argc = (int)w.n;
    GM_TRY(gm_opt_parse("", NULL, opts, &argc, w.at, err));
out:
    return status;
}

/* ---- writing ---- */

void gm_opt_put_list(gm_json_out *out, const char *key, const gm_opt_list *list)
{
    gm_json_open_array(out, key);
    for (size_t i = 0; i < list->n; i++) gm_json_put_string(out, NULL, list->at[i]);
    gm_json_close_array(out);
}

static void put_choice(gm_json_out *out, const gm_opt *opt)
{
    size_t n;
    const char *name = gm_opt_choice(opt->arg, *(const int *)opt->value, &n);
    if (name) gm_json_put_text(out, opt->name, name, n);
}

void gm_opt_put_config(gm_json_out *out, const gm_opt *opts, const char *const *without)
{
    for (const gm_opt *opt = opts; opt->kind != GM_OPT_END_; opt++) {
        bool left_out = opt->kind == GM_OPT_GROUP;
        for (const char *const *w = without; w && *w && !left_out; w++)
            left_out = strcmp(*w, opt->name) == 0;
        if (left_out) continue;
        switch (opt->kind) {
        case GM_OPT_FLAG: gm_json_put_bool(out, opt->name, *(const bool *)opt->value); break;
        case GM_OPT_TEXT:
            gm_json_put_string(out, opt->name, *(const char *const *)opt->value);
            break;
        case GM_OPT_LIST: gm_opt_put_list(out, opt->name, opt->value); break;
        case GM_OPT_I64: gm_json_put_i64(out, opt->name, *(const int64_t *)opt->value); break;
        case GM_OPT_F64: gm_json_put_f64(out, opt->name, *(const double *)opt->value); break;
        case GM_OPT_CHOICE: put_choice(out, opt); break;
        default: break;
        }
    }
}
