/* counterpart.c - see counterpart.h. */
#include "cluster/counterpart.h"

#include "base/sha256.h"
#include "base/text.h"
#include "cluster/members.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GROUPS = 1 << 16, KEY_BYTES = 65 };

static const char *const key_column[] = {"sha", "id", "row"};

/* ---- groupings ---- */

void gm_grouping_clear(gm_grouping *grouping)
{
    gm_free(grouping->key);
    gm_free(grouping->group);
    gm_free(grouping->name);
    gm_free(grouping->texts);
    *grouping = (gm_grouping){0};
}

static gm_status make_grouping(gm_grouping *out, gm_key by, size_t n, size_t n_names, gm_error *err)
{
    *out = (gm_grouping){.n = n,
                         .by = by,
                         .key = gm_alloc(n, sizeof *out->key),
                         .group = gm_alloc(n, sizeof *out->group),
                         .name = gm_alloc(n_names, sizeof *out->name)};
    if (!out->key || !out->group || !out->name)
        return gm_fail(err, GM_EMEM, "no memory for the groups of %zu documents", n);
    return GM_OK;
}

gm_status gm_grouping_of_atlas(gm_grouping *out, const gm_atlas *atlas, gm_key key, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(make_grouping(out, key, atlas->n, atlas->n_clusters, err));
    out->n_groups = atlas->n_clusters;
    for (size_t c = 0; c < atlas->n_clusters; c++) out->name[c] = "";
    if (key != GM_KEY_ID) {
        out->texts = gm_alloc2(atlas->n, KEY_BYTES, 1);
        if (out->texts == NULL)
            GM_FAIL(GM_EMEM, "no memory for the keys of %zu documents", atlas->n);
    }
    for (size_t i = 0; i < atlas->n; i++) {
        char *text = out->texts ? out->texts + KEY_BYTES * i : NULL;
        out->group[i] = atlas->cluster[i];
        out->key[i] = key == GM_KEY_ID ? atlas->id[i] : text;
        if (key == GM_KEY_SHA) gm_sha256_hex(atlas->sha + 32 * i, text);
        if (key == GM_KEY_ROW) snprintf(text, KEY_BYTES, "%zu", i);
    }
out:
    if (status != GM_OK) gm_grouping_clear(out);
    return status;
}

/* Documents by the text of a field or key, those that have the same in their order. */
typedef struct keyed {
    const char *key;
    size_t place;
} keyed;

static int by_key(const void *p, const void *q)
{
    const keyed *a = p, *b = q;
    int order = strcmp(a->key, b->key);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static bool is_none(const char *field)
{
    double value;
    return field[0] == '\0' || (gm_parse_f64(field, &value) && value == -1);
}

/* Number the groups as they come up: sort by name, then give numbers by first place. `sorted` is
 * room for (n). */
static gm_status number_groups(gm_grouping *out, const gm_csv *table, size_t column, keyed *sorted,
                               gm_error *err)
{
    for (size_t i = 0; i < out->n; i++)
        sorted[i] = (keyed){table->field[i * table->n_columns + column], i};
    qsort(sorted, out->n, sizeof *sorted, by_key);
    for (size_t i = 0, first = 0; i < out->n; i++) { /* group: for now the first of its name */
        if (strcmp(sorted[i].key, sorted[first].key) != 0) first = i;
        out->group[sorted[i].place] = is_none(sorted[i].key) ? -1 : (int32_t)sorted[first].place;
    }
    for (size_t i = 0; i < out->n; i++) {
        const int32_t first = out->group[i];
        if (first < 0) continue;
        if ((size_t)first < i) {
            out->group[i] = out->group[first];
            continue;
        }
        if (out->n_groups == MAX_GROUPS)
            return gm_fail(err, GM_EARG,
                           "the column has more than %d groups; is it a column of groups?",
                           MAX_GROUPS);
        out->name[out->n_groups] = table->field[i * table->n_columns + column];
        out->group[i] = (int32_t)out->n_groups++;
    }
    return GM_OK;
}

gm_status gm_grouping_of_table(gm_grouping *out, const gm_csv *table, const char *column,
                               gm_key key, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    size_t at_key, at_group;
    keyed *sorted = NULL;
    *out = (gm_grouping){0};
    GM_TRY(gm_csv_find(table, key_column[key], path, &at_key, err));
    GM_TRY(gm_csv_find(table, column, path, &at_group, err));
    if (table->n_rows > INT32_MAX)
        GM_FAIL(GM_EARG, "'%s' has %zu rows, expected at most %d", path, table->n_rows, INT32_MAX);
    GM_TRY(make_grouping(out, key, table->n_rows, table->n_rows, err));
    sorted = gm_alloc(table->n_rows, sizeof *sorted);
    if (sorted == NULL) GM_FAIL(GM_EMEM, "no memory for the groups of '%s'", path);
    for (size_t i = 0; i < out->n; i++) out->key[i] = table->field[i * table->n_columns + at_key];
    GM_TRY(number_groups(out, table, at_group, sorted, err));
out:
    gm_free(sorted);
    if (status != GM_OK) gm_grouping_clear(out);
    return status;
}

gm_status gm_key_of_table(gm_key *key, const gm_csv *table, const char *path, gm_error *err)
{
    for (int k = GM_KEY_SHA; k <= GM_KEY_ROW; k++) {
        *key = (gm_key)k;
        if (gm_csv_has(table, key_column[k])) return GM_OK;
    }
    return gm_fail(err, GM_EFORMAT,
                   "'%s' has no column 'sha', 'id' or 'row' to identify the documents", path);
}

/* ---- counterparts ---- */

/* The counterpart of a group of these members. common (n_other) is zero, and is so again. */
static gm_counterpart find_counterpart(const uint32_t *member, size_t size, const int32_t *other,
                                       const size_t *there, size_t *common)
{
    gm_counterpart best = {-1, size, 0, 0, size > 0 ? 0 : (double)NAN};
    for (size_t i = 0; i < size; i++)
        if (other[member[i]] >= 0) common[other[member[i]]]++;
    for (size_t i = 0; i < size; i++) {
        const int32_t o = other[member[i]];
        if (o < 0) continue;
        const size_t both = common[o];
        const double jaccard = (double)both / (double)(size + there[o] - both);
        if (jaccard > best.jaccard || (jaccard == best.jaccard && o < best.group))
            best = (gm_counterpart){o, size, there[o], both, jaccard};
        common[o] = 0;
    }
    return best;
}

gm_status gm_counterparts_find(gm_counterpart *out, const int32_t *label, size_t n_groups,
                               const int32_t *other, size_t n_other, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_members members = {0};
    size_t *common = gm_alloc(n_other, sizeof *common), *there = gm_alloc(n_other, sizeof *there);
    if (!common || !there)
        GM_FAIL(GM_EMEM, "no memory to compare %zu clusters with %zu", n_groups, n_other);
    GM_TRY(gm_members_find(&members, label, n, n_groups, err));
    for (size_t i = 0; i < n; i++)
        if (other[i] >= 0) there[other[i]]++;
    for (size_t g = 0; g < n_groups; g++) {
        const size_t first = members.first[g], size = members.first[g + 1] - first;
        out[g] = find_counterpart(members.at + first, size, other, there, common);
    }
out:
    gm_free(common);
    gm_free(there);
    gm_members_clear(&members);
    return status;
}

/* ---- side by side ---- */

/* The labels of documents of both, in the order of keys: label[0], label[1] (n_both). */
static size_t pair(int32_t *const label[2], const keyed *const sorted[2],
                   const gm_grouping *const side[2])
{
    size_t n = 0, at[2] = {0, 0};
    while (at[0] < side[0]->n && at[1] < side[1]->n) {
        int order = strcmp(sorted[0][at[0]].key, sorted[1][at[1]].key);
        if (order == 0) {
            for (int s = 0; s < 2; s++) label[s][n] = side[s]->group[sorted[s][at[s]].place];
            n++;
        }
        at[0] += order <= 0;
        at[1] += order >= 0;
    }
    return n;
}

/* The figures of n pairs; what is in a group of either comes first in `label` afterwards. */
static gm_status fill(gm_side_by_side *out, int32_t *const label[2], size_t n_groups,
                      size_t n_other, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = out->n_both;
    for (size_t i = 0; i < n; i++)
        for (int s = 0; s < 2; s++) out->n_none[s] += label[s][i] < 0;
    GM_TRY(gm_quality_agreement(&out->all, label[0], label[1], n, err));
    GM_TRY(gm_counterparts_find(out->of_first, label[0], n_groups, label[1], n_other, n, err));
    for (size_t i = 0; i < n; i++) {
        if (label[0][i] < 0 || label[1][i] < 0) continue;
        label[0][out->n_grouped] = label[0][i];
        label[1][out->n_grouped++] = label[1][i];
    }
    const double none = NAN;
    out->grouped = (gm_agreement){none, none, none, none, none, none};
    if (out->n_grouped > 0)
        GM_TRY(gm_quality_agreement(&out->grouped, label[0], label[1], out->n_grouped, err));
out:
    return status;
}

static gm_status refuse_strangers(const gm_grouping *const side[2], gm_error *err)
{
    char shown[2][100];
    if (side[0]->n == 0 || side[1]->n == 0)
        return gm_fail(err, GM_EARG,
                       "the two have no document in common: the first has %zu, the second %zu",
                       side[0]->n, side[1]->n);
    for (int s = 0; s < 2; s++)
        gm_text_escape(shown[s], sizeof shown[s], side[s]->key[0], strlen(side[s]->key[0]));
    return gm_fail(err, GM_EARG,
                   "the two have no document in common by %s: the first has %zu, such as '%s', the "
                   "second %zu, such as '%s'",
                   key_column[side[0]->by], side[0]->n, shown[0], side[1]->n, shown[1]);
}

gm_status gm_side_by_side_find(gm_side_by_side *out, const gm_grouping *first,
                               const gm_grouping *second, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_grouping *const side[2] = {first, second};
    keyed *sorted[2] = {NULL, NULL};
    int32_t *label[2] = {NULL, NULL};
    *out = (gm_side_by_side){0};
    out->of_first = gm_alloc(first->n_groups, sizeof *out->of_first);
    for (int s = 0; s < 2; s++) {
        sorted[s] = gm_alloc(side[s]->n, sizeof *sorted[s]);
        label[s] = gm_alloc(first->n, sizeof *label[s]);
        if (!sorted[s] || !label[s] || !out->of_first)
            GM_FAIL(GM_EMEM, "no memory to compare %zu documents with %zu", first->n, second->n);
        for (size_t i = 0; i < side[s]->n; i++) sorted[s][i] = (keyed){side[s]->key[i], i};
        qsort(sorted[s], side[s]->n, sizeof *sorted[s], by_key);
    }
    out->n_both = pair(label, (const keyed *const *)sorted, side);
    for (int s = 0; s < 2; s++) out->n_alone[s] = side[s]->n - out->n_both;
    if (out->n_both == 0) GM_TRY(refuse_strangers(side, err));
    GM_TRY(fill(out, label, first->n_groups, second->n_groups, err));
out:
    for (int s = 0; s < 2; s++) {
        gm_free(sorted[s]);
        gm_free(label[s]);
    }
    if (status != GM_OK) gm_side_by_side_clear(out);
    return status;
}

void gm_side_by_side_clear(gm_side_by_side *s)
{
    gm_free(s->of_first);
    *s = (gm_side_by_side){0};
}
