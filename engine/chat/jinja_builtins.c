/* jinja_builtins.c - functions, filters and tests of Jinja that chat templates use, and those that
 * transformers adds.
 */
#include "engine/chat/jinja_run.h"

#include <string.h>
#include <time.h>

/* ---- attributes ---- */

/* loop.name */
static gm_jvalue loop_attribute(const gm_jloop *loop, const char *name, size_t n)
{
    const int64_t at = (int64_t)loop->at, items = (int64_t)loop->items.n;
    const struct {
        const char *name;
        gm_jkind kind;
        int64_t value;
    } known[] = {
        {"index", GM_J_INT, at + 1},        {"index0", GM_J_INT, at},
        {"revindex", GM_J_INT, items - at}, {"revindex0", GM_J_INT, items - at - 1},
        {"first", GM_J_BOOL, at == 0},      {"last", GM_J_BOOL, at + 1 == items},
        {"length", GM_J_INT, items},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && memcmp(known[i].name, name, n) == 0)
            return gm_j_number(known[i].kind, known[i].value);
    if (n == 8 && memcmp(name, "previtem", n) == 0 && at > 0) return loop->items.as.item[at - 1];
    if (n == 8 && memcmp(name, "nextitem", n) == 0 && at + 1 < items)
        return loop->items.as.item[at + 1];
    return (gm_jvalue){.kind = GM_J_UNDEFINED};
}

gm_status gm_j_attribute(gm_jrun *run, gm_jvalue *out, gm_jvalue v, const char *name, size_t n,
                         gm_error *err)
{
    *out = (gm_jvalue){.kind = GM_J_UNDEFINED};
    if (v.kind == GM_J_UNDEFINED)
        return gm_jrun_fail(run, err, "an undefined value has no attribute '%.*s'", (int)n, name);
    if (v.kind == GM_J_LOOP) {
        *out = loop_attribute(v.as.loop, name, n);
        const bool item =
            n == 8 && (memcmp(name, "previtem", n) == 0 || memcmp(name, "nextitem", n) == 0);
        if (out->kind == GM_J_UNDEFINED && !item)
            return gm_jrun_fail(run, err, "'loop.%.*s' is not supported", (int)n, name);
    } else if (v.kind == GM_J_DICT || v.kind == GM_J_NAMESPACE) {
        const gm_jentry *entry = gm_jdict_find(run, v.as.dict, name, n);
        if (entry) *out = entry->value;
        if (entry) return GM_OK;
    }
    if (gm_j_has_method(v.kind, name, n))
        return gm_jrun_fail(run, err, "the method '%.*s' is not called, expected '(' after it",
                            (int)n, name);
    return GM_OK;
}

/* ---- functions ---- */

static gm_status call_raise(gm_jrun *run, gm_jvalue *out, const gm_jarguments *given, gm_error *err)
{
    (void)out;
    const bool text = given->n > 0 && given->value[0].kind == GM_J_TEXT;
    const size_t n = text ? given->value[0].n : 0;
    return gm_jrun_fail(run, err, "the template rejects this conversation: %.*s",
                        n < 300 ? (int)n : 300, text ? given->value[0].as.text : "");
}

static gm_status call_dict(gm_jrun *run, gm_jvalue *out, const gm_jarguments *given, gm_error *err)
{
    gm_status status = GM_OK;
    if (given->n_plain > 0)
        return gm_jrun_fail(run, err, "an argument of dict or namespace has no name");
    *out = (gm_jvalue){.kind = GM_J_DICT};
    GM_TRY(gm_jrun_take(run, &out->as.dict, 1, sizeof *out->as.dict, err));
    for (size_t i = 0; i < given->n; i++)
        GM_TRY(gm_jdict_put(run, out->as.dict, given->name[i]->text, given->name[i]->n_text,
                            given->value[i], err));
out:
    return status;
}

static gm_status call_namespace(gm_jrun *run, gm_jvalue *out, const gm_jarguments *given,
                                gm_error *err)
{
    gm_status status = call_dict(run, out, given, err);
    if (status == GM_OK) out->kind = GM_J_NAMESPACE;
    return status;
}

static gm_status call_range(gm_jrun *run, gm_jvalue *out, const gm_jarguments *given, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue *item;
    int64_t bound[3] = {0, 0, 1};
    for (size_t i = 0; i < given->n; i++)
        if (given->n != given->n_plain || given->n > 3 || given->value[i].kind != GM_J_INT)
            return gm_jrun_fail(run, err, "range takes one to three integers");
    for (size_t i = 0; i < given->n; i++) bound[given->n == 1 ? 1 : i] = given->value[i].as.number;
    const int64_t step = bound[2], limit = INT64_C(1) << 40;
    for (size_t i = 0; i < 3; i++)
        if (given->n == 0 || step == 0 || bound[i] > limit || bound[i] < -limit)
            return gm_jrun_fail(run, err,
                                "range takes one to three integers, and its step cannot be 0");
    const int64_t way = step > 0 ? bound[1] - bound[0] : bound[0] - bound[1];
    const int64_t stride = step > 0 ? step : -step;
    const int64_t n = way > 0 ? (way + stride - 1) / stride : 0;
    GM_TRY(gm_j_list(run, out, &item, (size_t)n, err));
    for (int64_t i = 0; i < n; i++) item[i] = gm_j_number(GM_J_INT, bound[0] + i * step);
out:
    return status;
}

/* A date as strftime takes it; false: "YYYY-MM-DD" is none. */
static bool read_date(const char *text, struct tm *date)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int part[3] = {0}, k = 0;
    if (text == NULL || strlen(text) != 10) return false;
    for (size_t i = 0; i < 10; i++) {
        const bool dash = i == 4 || i == 7;
        if (dash ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
        if (dash)
            k++;
        else
            part[k] = part[k] * 10 + (text[i] - '0');
    }
    const int year = part[0], month = part[1], day = part[2];
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1 || month < 1 || month > 12 || day < 1) return false;
    if (day > days[month - 1] + (leap && month == 2)) return false;
    int before = day - 1; /* days before the date in its year */
    for (int i = 0; i + 1 < month; i++) before += days[i] + (leap && i == 1);
    const int y = year - 1, all = 365 * y + y / 4 - y / 100 + y / 400 + before;
    *date = (struct tm){.tm_year = year - 1900,
                        .tm_mon = month - 1,
                        .tm_mday = day,
                        .tm_yday = before,
                        .tm_wday = (all + 1) % 7};
    return true;
}

bool gm_jinja_is_date(const char *text)
{
    struct tm date;
    return read_date(text, &date);
}

static gm_status call_strftime(gm_jrun *run, gm_jvalue *out, const gm_jarguments *given,
                               gm_error *err)
{
    struct tm date;
    char said[512], format[64]; /* nine letters have two of a format */
    if (!read_date(run->date, &date))
        return gm_fail(err, GM_EARG, "'%s' is not a date, expected YYYY-MM-DD",
                       run->date ? run->date : "");
    if (given->n != 1 || (given->n_plain == 0 && !gm_jnode_is(given->name[0], "format")))
        return gm_jrun_fail(run, err, "strftime_now takes the format of a date");
    const gm_jvalue v = given->value[0];
    bool known = v.kind == GM_J_TEXT && v.n > 0 && v.n < sizeof format;
    for (size_t i = 0; known && i < v.n; i++) {
        if (v.as.text[i] != '%') continue;
        i++;
        known = i < v.n && v.as.text[i] && strchr("aAbBdHIjmMpSyY%", v.as.text[i]);
    }
    if (!known) return gm_jrun_fail(run, err, "this date format is not supported");
    memcpy(format, v.as.text, v.n);
    format[v.n] = '\0';
    run->said_date = true;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* looked at above */
    const size_t n = strftime(said, sizeof said, format, &date);
#pragma GCC diagnostic pop
    return gm_j_copy(run, out, said, n, err);
}

static const struct {
    const char *name;
    gm_status (*call)(gm_jrun *, gm_jvalue *, const gm_jarguments *, gm_error *);
} functions[] = {
    {"raise_exception", call_raise},
    {"namespace", call_namespace},
    {"dict", call_dict},
    {"range", call_range},
    {"strftime_now", call_strftime},
    {"joiner", NULL},
    {"cycler", NULL},
    {"lipsum", NULL},
};

enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

bool gm_j_is_function(const gm_jnode *name)
{
    for (size_t i = 0; i < N_FUNCTIONS; i++)
        if (gm_jnode_is(name, functions[i].name)) return true;
    return false;
}

gm_status gm_j_call_function(gm_jrun *run, gm_jvalue *out, gm_jvalue name,
                             const gm_jarguments *given, gm_error *err)
{
    for (size_t i = 0; i < N_FUNCTIONS; i++)
        if (strlen(functions[i].name) == name.n && functions[i].call &&
            memcmp(functions[i].name, name.as.text, name.n) == 0)
            return functions[i].call(run, out, given, err);
    return gm_jrun_fail(run, err, "the function '%.*s' is not supported", (int)name.n,
                        name.as.text);
}

/* ---- tests ---- */

static bool is_named(gm_jvalue name, const char *word)
{
    return strlen(word) == name.n && memcmp(word, name.as.text, name.n) == 0;
}

/* Tests of a value's kind alone; -1: it is none of these. */
static int test_kind(gm_jvalue name, gm_jvalue v)
{
    const bool number = gm_j_is_number(v), text = v.kind == GM_J_TEXT, dict = v.kind == GM_J_DICT;
    const bool items = text || dict || v.kind == GM_J_LIST || v.kind == GM_J_UNDEFINED;
    const struct {
        const char *name;
        bool yes;
    } known[] = {
        {"defined", v.kind != GM_J_UNDEFINED},
        {"undefined", v.kind == GM_J_UNDEFINED},
        {"none", v.kind == GM_J_NONE},
        {"true", v.kind == GM_J_BOOL && v.as.number},
        {"false", v.kind == GM_J_BOOL && !v.as.number},
        {"boolean", v.kind == GM_J_BOOL},
        {"integer", v.kind == GM_J_INT},
        {"float", false},
        {"number", number},
        {"string", text},
        {"mapping", dict},
        {"sequence", items && !v.once},
        {"iterable", items || v.kind == GM_J_LOOP},
        {"callable", v.kind == GM_J_MACRO || v.kind == GM_J_FUNCTION || v.kind == GM_J_UNDEFINED},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_named(name, known[i].name)) return known[i].yes;
    return -1;
}

gm_status gm_j_call_test(gm_jrun *run, bool *out, gm_jvalue name, gm_jvalue v,
                         const gm_jvalue *argument, size_t n, gm_error *err)
{
    const int kind = n == 0 ? test_kind(name, v) : -1;
    *out = kind == 1;
    if (kind >= 0) return GM_OK;
    if (n == 0 && v.kind == GM_J_INT && (is_named(name, "odd") || is_named(name, "even"))) {
        *out = (v.as.number % 2 != 0) == is_named(name, "odd");
        return GM_OK;
    }
    if (n == 1 && (is_named(name, "equalto") || is_named(name, "eq") || is_named(name, "==")))
        return gm_j_equal(run, out, v, *argument, err);
    if (n == 1 && is_named(name, "in")) return gm_j_contains(run, out, *argument, v, err);
    if (n == 1 && is_named(name, "ne")) {
        const gm_status status = gm_j_equal(run, out, v, *argument, err);
        *out = !*out;
        return status;
    }
    return gm_jrun_fail(run, err, "the test '%.*s' is not supported for %s", (int)name.n,
                        name.as.text, gm_j_kind_name(v.kind));
}
