/* html_members.c - a JSON object on a page, as a table of names and values. */
#include "figures/html.h"

#include "base/json.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_COLUMNS = 8, NAME_BYTES = 160 };

static void put_value(gm_html *page, const gm_json *v);

static bool holds_objects(const gm_json *list)
{
    return gm_json_n_items(list) > 0 && gm_json_kind_of(gm_json_first(list)) == GM_JSON_OBJECT;
}

/* Items of a list: texts on lines of their own, others with blanks between them. */
static void put_items(gm_html *page, const gm_json *list)
{
    for (const gm_json *k = gm_json_first(list); k; k = gm_json_next(k)) {
        put_value(page, k);
        if (gm_json_next(k)) gm_html_raw(page, gm_json_text(k, NULL) ? "<br>" : " ");
    }
}

/* A list of objects with the same members: a table with a row for each. */
static void put_objects(gm_html *page, const gm_json *list)
{
    const char *header[MAX_COLUMNS];
    int n = 0;
    for (const gm_json *v = gm_json_first(gm_json_first(list)); v && n < MAX_COLUMNS;
         v = gm_json_next(v))
        header[n++] = gm_json_key(v);
    gm_html_table_begin(page, NULL, header, n);
    for (const gm_json *row = gm_json_first(list); row; row = gm_json_next(row)) {
        for (const gm_json *v = gm_json_first(row); v; v = gm_json_next(v)) {
            gm_html_raw(page, gm_json_text(v, NULL) ? "<td>" : "<td class=\"n\">");
            put_value(page, v);
            gm_html_raw(page, "</td>");
        }
        gm_html_row_end(page);
    }
    gm_html_table_end(page);
}

static void put_value(gm_html *page, const gm_json *v)
{
    double number;
    int64_t whole;
    bool flag;
    const char *text = gm_json_text(v, NULL);
    if (text)
        gm_html_printf(page, "%s", text);
    else if (gm_json_i64(v, &whole)) /* a seed is shown with all of its digits */
        gm_html_printf(page, "%" PRId64, whole);
    else if (gm_json_f64(v, &number))
        gm_html_printf(page, "%.6g", number);
    else if (gm_json_bool(v, &flag))
        gm_html_printf(page, "%s", flag ? "yes" : "no");
    else if (holds_objects(v))
        put_objects(page, v);
    else if (gm_json_n_items(v) > 0)
        put_items(page, v);
    else
        gm_html_printf(page, "-");
}

static void put_members(gm_html *page, const gm_json *object, const char *prefix,
                        gm_html_meaning *meaning);

/* Objects of too many members for columns: rows "list.1.name", "list.2.name" and so on. */
static void put_numbered(gm_html *page, const gm_json *list, const char *name,
                         gm_html_meaning *meaning)
{
    size_t i = 1;
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v), i++) {
        char prefix[NAME_BYTES + 24];
        snprintf(prefix, sizeof prefix, "%s.%zu.", name, i);
        put_members(page, v, prefix, meaning);
    }
}

/* Members as rows; those of objects inside become rows "outer.inner". */
static void put_members(gm_html *page, const gm_json *object, const char *prefix,
                        gm_html_meaning *meaning)
{
    for (const gm_json *v = gm_json_first(object); v; v = gm_json_next(v)) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s%s", prefix, gm_json_key(v));
        const char *means = meaning ? meaning(name) : "";
        if (means == NULL) continue;
        if (gm_json_kind_of(v) == GM_JSON_OBJECT) {
            strncat(name, ".", sizeof name - strlen(name) - 1);
            put_members(page, v, name, meaning);
        } else if (holds_objects(v) && gm_json_n_items(gm_json_first(v)) > MAX_COLUMNS) {
            put_numbered(page, v, name, meaning);
        } else {
            gm_html_cell(page, name);
            gm_html_raw(page, "<td>");
            put_value(page, v);
            gm_html_raw(page, "</td>");
            if (meaning) gm_html_cell(page, means);
            gm_html_row_end(page);
        }
    }
}

gm_status gm_html_members(gm_html *page, const char *json, const char *where,
                          gm_html_meaning *meaning, gm_error *err)
{
    static const char *const header[] = {"name", "value", "meaning"};
    gm_json *root;
    gm_status status = gm_json_parse(&root, json, strlen(json), where, err);
    if (status != GM_OK) return status;
    gm_html_raw(page, "<div class=\"members\">\n");
    gm_html_table_begin(page, NULL, header, meaning ? 3 : 2);
    put_members(page, root, "", meaning);
    gm_html_table_end(page);
    gm_html_raw(page, "</div>\n");
    gm_json_free(root);
    return GM_OK;
}
