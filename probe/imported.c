/* imported.c - see imported.h. */
#include "probe/imported.h"

#include "base/sha256.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    MAX_DIMENSIONS = 3,
    MAX_NUMBERS = 1 << 22, /* values of a line: base/json.h */
    LARGEST_HALF = 65504
};

/* ---- arrays of numbers ---- */

/* An array of JSON that is being flattened. */
typedef struct flattening {
    const char *key, *where;
    const size_t *dim; /* (rank) */
    size_t rank, at[MAX_DIMENSIONS];
    double *to; /* the next number */
} flattening;

/* GM_EFORMAT at the place that was reached in `depth` of its dimensions: "'routed_experts[3][0]'".
 */
static gm_status wrong(const flattening *f, size_t depth, const char *found, const char *expected,
                       gm_error *err)
{
    char place[96] = "";
    for (size_t i = 0, n = 0; i < depth && i < MAX_DIMENSIONS; i++)
        n += (size_t)snprintf(place + n, sizeof place - n, "[%zu]", f->at[i]);
    return gm_fail(err, GM_EFORMAT, "'%s': '%s%s' %s, expected %s", f->where, f->key, place, found,
                   expected);
}

static gm_status flatten(flattening *f, const gm_json *value, size_t depth, gm_error *err)
{
    gm_status status = GM_OK;
    char found[48], expected[48];
    const size_t n = f->dim[depth];
    snprintf(expected, sizeof expected, "%zu", n);
    if (gm_json_kind_of(value) != GM_JSON_ARRAY) {
        snprintf(found, sizeof found, "has type %s", gm_json_kind_name(gm_json_kind_of(value)));
        return wrong(f, depth, found, "an array", err);
    }
    if (gm_json_n_items(value) != n) {
        snprintf(found, sizeof found, "has %zu items", gm_json_n_items(value));
        return wrong(f, depth, found, expected, err);
    }
    f->at[depth] = 0;
    for (const gm_json *item = gm_json_first(value); item; item = gm_json_next(item)) {
        if (depth + 1 < f->rank && depth + 1 < MAX_DIMENSIONS) {
            GM_TRY(flatten(f, item, depth + 1, err));
        } else {
            *f->to = (double)NAN;
            if (gm_json_kind_of(item) != GM_JSON_NULL && !gm_json_f64(item, f->to)) {
                snprintf(found, sizeof found, "has type %s",
                         gm_json_kind_name(gm_json_kind_of(item)));
                GM_TRY(wrong(f, depth + 1, found, "a number or null", err));
            }
            f->to++;
        }
        f->at[depth]++;
    }
out:
    return status;
}

/* The member `key`, of these sizes, into out->number; null is NaN. */
static gm_status take_array(gm_imported *out, const gm_json *line, const char *key,
                            const size_t *dim, size_t rank, const char *where, gm_error *err)
{
    const gm_json *value = gm_json_find(line, key);
    size_t n = 1;
    if (value == NULL) return gm_fail(err, GM_EFORMAT, "'%s': '%s' is missing", where, key);
    for (size_t i = 0; i < rank; i++) n *= dim[i];
    if (n > MAX_NUMBERS) n = MAX_NUMBERS; /* it has fewer, which is found before they end */
    if (n > out->n_numbers) {
        double *grown = gm_grow(out->number, 0, n, sizeof *grown);
        if (grown == NULL) return gm_fail(err, GM_EMEM, "'%s': no memory for '%s'", where, key);
        out->number = grown;
        out->n_numbers = n;
    }
    flattening f = {.key = key, .where = where, .dim = dim, .rank = rank, .to = out->number};
    return flatten(&f, value, 0, err);
}

/* ---- what the first line shows ---- */

/* A member that is not null. */
static bool has(const gm_json *line, const char *key)
{
    const gm_json *value = gm_json_find(line, key);
    return value && gm_json_kind_of(value) != GM_JSON_NULL;
}

static const gm_json *first_item(const gm_json *value)
{
    return value && gm_json_kind_of(value) == GM_JSON_ARRAY ? gm_json_first(value) : NULL;
}

/* K is what a layer's counts add up to for each token. */
static gm_status form_of_counts(gm_import_form *form, const gm_json *line, const char *where,
                                gm_error *err)
{
    const gm_json *counts = gm_json_find(line, "counts"), *layer = first_item(counts);
    int64_t n_tokens, count;
    uint64_t sum = 0;
    gm_status status = gm_json_get_i64(line, "n_tokens", 1, UINT32_MAX, &n_tokens, where, err);
    if (status != GM_OK) return status;
    form->level = GM_RECORD_COUNTS;
    form->A = layer ? gm_json_n_items(counts) : 0;
    for (const gm_json *c = first_item(layer); c; c = gm_json_next(c))
        if (gm_json_i64(c, &count) && count >= 0 && count <= UINT32_MAX) sum += (uint64_t)count;
    form->K = (size_t)(sum / (uint64_t)n_tokens);
    if (form->K > 0) return GM_OK;
    return gm_fail(err, GM_EFORMAT,
                   "'%s': 'counts[0]' sums to %" PRIu64 " for %" PRId64
                   " tokens, expected a multiple of that",
                   where, sum, n_tokens);
}

gm_status gm_import_form_of(gm_import_form *form, const gm_json *line, const char *where,
                            gm_error *err)
{
    const gm_json *choices = gm_json_find(line, "routed_experts"), *token = first_item(choices);
    *form = (gm_import_form){.level = GM_RECORD_CHOICES,
                             .no_gates = !has(line, "gates"),
                             .no_margins = !has(line, "margin")};
    if (!has(line, "routed_experts") && has(line, "counts"))
        return form_of_counts(form, line, where, err);
    if (!has(line, "routed_experts"))
        return gm_fail(err, GM_EFORMAT, "'%s': it has neither 'routed_experts' nor 'counts'",
                       where);
    if (gm_json_kind_of(choices) == GM_JSON_TEXT) /* whose shape it does not say */
        return gm_fail(err, GM_EFORMAT,
                       "'%s': 'routed_experts' is a string; decode SGLang's by numpy.frombuffer("
                       "base64.b64decode(s), 'int32').reshape(-1, LAYERS, K).tolist()",
                       where);
    if (has(line, "topk_mass") == form->no_margins)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': it has one of 'topk_mass' and 'margin', expected both or neither",
                       where);
    form->A = token ? gm_json_n_items(token) : 0;
    form->K = first_item(token) ? gm_json_n_items(first_item(token)) : 0;
    if (form->A > 0 && form->K > 0) return GM_OK;
    return gm_fail(err, GM_EFORMAT,
                   "'%s': 'routed_experts' is empty or no array of tokens, layers and ranks",
                   where);
}

/* ---- rows ---- */

static gm_status reserve(gm_imported *out, const gm_import_form *form, size_t n, gm_error *err)
{
    const size_t LK = form->L * form->K, n_gates = form->no_gates ? 0 : n,
                 n_margins = form->no_margins ? 0 : n;
    if (out->counts == NULL) out->counts = gm_alloc2(form->L, form->E, sizeof *out->counts);
    if (out->counts && n <= out->cap) return GM_OK;
    gm_free(out->token_id);
    gm_free(out->phase);
    gm_free(out->expert);
    gm_free(out->gate);
    gm_free(out->mass);
    gm_free(out->margin);
    out->token_id = gm_alloc(n, sizeof *out->token_id);
    out->phase = gm_alloc(n, sizeof *out->phase);
    out->expert = gm_alloc2(n, LK, sizeof *out->expert);
    out->gate = gm_alloc2(n_gates, LK, sizeof *out->gate);
    out->mass = gm_alloc2(n_margins, form->L, sizeof *out->mass);
    out->margin = gm_alloc2(n_margins, form->L, sizeof *out->margin);
    out->cap = n;
    if (out->counts && out->token_id && out->phase && out->expert && out->gate && out->mass &&
        out->margin)
        return GM_OK;
    out->cap = 0;
    return gm_fail(err, GM_EMEM, "no memory for a document of %zu tokens", n);
}

/* One choice: K ids of `number`, all null in a bad row. */
static gm_status take_choice(uint16_t *expert, const double *number, const gm_import_form *form,
                             size_t token, size_t l, const char *where, gm_error *err)
{
    const size_t at = form->place[l];
    size_t n_none = 0;
    for (size_t k = 0; k < form->K; k++) {
        const double id = number[k];
        if (isnan(id)) {
            expert[k] = GM_TRACE_NO_EXPERT;
            n_none++;
            continue;
        }
        if (!(id >= 0 && id < (double)form->E && id == floor(id)))
            return gm_fail(err, GM_EFORMAT,
                           "'%s': 'routed_experts[%zu][%zu][%zu]' is %g, expected an expert from 0 "
                           "to %zu",
                           where, token, at, k, id, form->E - 1);
        expert[k] = (uint16_t)id;
        for (size_t j = 0; j < k; j++)
            if (expert[j] == expert[k])
                return gm_fail(
                    err, GM_EFORMAT,
                    "'%s': 'routed_experts[%zu][%zu]' has expert %u twice: the recording "
                    "failed, or this layer has no experts (--layers names those with)",
                    where, token, at, expert[k]);
    }
    if (n_none == 0 || n_none == form->K) return GM_OK;
    return gm_fail(err, GM_EFORMAT,
                   "'%s': 'routed_experts[%zu][%zu]' has %zu nulls, expected 0 or %zu", where,
                   token, at, n_none, form->K);
}

static gm_status take_experts(gm_imported *out, const gm_json *line, const gm_import_form *form,
                              const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t dim[] = {out->n, form->A, form->K};
    GM_TRY(take_array(out, line, "routed_experts", dim, 3, where, err));
    GM_TRY(reserve(out, form, out->n, err)); /* so many are there */
    for (size_t t = 0; t < out->n; t++)
        for (size_t l = 0; l < form->L; l++)
            GM_TRY(take_choice(out->expert + (t * form->L + l) * form->K,
                               out->number + (t * form->A + form->place[l]) * form->K, form, t, l,
                               where, err));
out:
    return status;
}

/* Gates of one choice, and with them its ids, by size; equal ones stay as they are. */
static void sort_by_gate(uint16_t *expert, float *gate, size_t K)
{
    for (size_t i = 1; i < K; i++)
        for (size_t k = i; k > 0 && gate[k] > gate[k - 1]; k--) {
            const float g = gate[k];
            const uint16_t e = expert[k];
            gate[k] = gate[k - 1], expert[k] = expert[k - 1];
            gate[k - 1] = g, expert[k - 1] = e;
        }
}

static gm_status take_gates(gm_imported *out, const gm_json *line, const gm_import_form *form,
                            const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t K = form->K, dim[] = {out->n, form->A, K};
    GM_TRY(take_array(out, line, "gates", dim, 3, where, err));
    for (size_t t = 0; t < out->n; t++)
        for (size_t l = 0; l < form->L; l++) {
            const double *number = out->number + (t * form->A + form->place[l]) * K;
            uint16_t *expert = out->expert + (t * form->L + l) * K;
            float *gate = out->gate + (t * form->L + l) * K;
            for (size_t k = 0; k < K; k++) {
                const bool none = expert[k] == GM_TRACE_NO_EXPERT;
                if (!none && !(fabs(number[k]) <= LARGEST_HALF))
                    GM_FAIL(GM_EFORMAT,
                            "'%s': 'gates[%zu][%zu][%zu]' is %g, expected a number up to %d", where,
                            t, form->place[l], k, number[k], LARGEST_HALF);
                gate[k] = none ? 0 : (float)number[k];
            }
            sort_by_gate(expert, gate, K);
        }
out:
    return status;
}

/* (T,A) into to (T,L); null is `none`. */
static gm_status take_by_layer(gm_imported *out, float *to, const char *key, float none,
                               const gm_json *line, const gm_import_form *form, const char *where,
                               gm_error *err)
{
    const size_t dim[] = {out->n, form->A};
    gm_status status = take_array(out, line, key, dim, 2, where, err);
    for (size_t i = 0; status == GM_OK && i < out->n * form->L; i++) {
        const size_t token = i / form->L, at = form->place[i % form->L];
        const double number = out->number[token * form->A + at];
        if (fabs(number) > LARGEST_HALF)
            status = gm_fail(err, GM_EFORMAT,
                             "'%s': '%s[%zu][%zu]' is %g, expected a number up to %d, or null",
                             where, key, token, at, number, LARGEST_HALF);
        to[i] = isnan(number) ? none : (float)number;
    }
    return status;
}

/* Whole numbers from 0 to most of (T), or of (T+1), whose last is left out. */
static gm_status take_by_token(gm_imported *out, const char *key, double most, const gm_json *line,
                               const char *where, gm_error *err)
{
    const gm_json *value = gm_json_find(line, key);
    const size_t dim = value && gm_json_n_items(value) == out->n + 1 ? out->n + 1 : out->n;
    gm_status status = take_array(out, line, key, &dim, 1, where, err);
    for (size_t t = 0; status == GM_OK && t < dim; t++) {
        const double number = out->number[t];
        if (!(number >= 0 && number <= most && number == floor(number)))
            status = gm_fail(err, GM_EFORMAT,
                             "'%s': '%s[%zu]' is %g, expected a whole number from 0 to %g", where,
                             key, t, number, most);
    }
    return status;
}

static gm_status take_tokens(gm_imported *out, const gm_json *line, const gm_import_form *form,
                             const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    if (form->level >= GM_RECORD_CHOICES) {
        GM_TRY(take_by_token(out, "token_ids", GM_TRACE_MAX_TOKEN_ID, line, where, err));
        for (size_t t = 0; t < out->n; t++) out->token_id[t] = (uint32_t)out->number[t];
    }
    memset(out->phase, GM_TRACE_PROMPT, out->n);
    if (!has(line, "phase")) goto out;
    GM_TRY(take_by_token(out, "phase", GM_TRACE_N_PHASES - 1, line, where, err));
    for (size_t t = 0; t < out->n; t++) out->phase[t] = (uint8_t)out->number[t];
out:
    return status;
}

/* Counts of the rows: template tokens are not counted, bad rows at no layer. */
static void count_rows(gm_imported *out, const gm_import_form *form)
{
    const size_t LK = form->L * form->K;
    for (size_t t = 0; t < out->n; t++) {
        const uint16_t *expert = out->expert + t * LK; /* (L,K) */
        bool bad = false;
        if (out->phase[t] == GM_TRACE_TEMPLATE) continue;
        for (size_t i = 0; i < LK; i += form->K) bad = bad || expert[i] == GM_TRACE_NO_EXPERT;
        out->n_tokens++;
        out->n_bad += bad;
        for (size_t i = 0; i < LK && !bad; i++) out->counts[i / form->K * form->E + expert[i]]++;
    }
}

/* What the first line lacks has no place in the trace. */
static gm_status check_no_more(const gm_json *line, const gm_import_form *form, const char *where,
                               gm_error *err)
{
    static const char *const key[] = {"gates", "topk_mass", "margin"};
    const bool lacks[] = {form->no_gates, form->no_margins, form->no_margins};
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        if (lacks[i] && has(line, key[i]))
            return gm_fail(err, GM_EFORMAT, "'%s': it has '%s', and the first line has none", where,
                           key[i]);
    return GM_OK;
}

static gm_status read_choices(gm_imported *out, const gm_json *line, const gm_import_form *form,
                              const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const float infinite = form->K == form->E ? INFINITY : NAN; /* no expert is left to compare */
    if (!has(line, "routed_experts"))
        GM_FAIL(GM_EFORMAT, "'%s': 'routed_experts' is missing", where);
    out->n = gm_json_n_items(gm_json_find(line, "routed_experts"));
    if (out->n == 0 || out->n > UINT32_MAX)
        GM_FAIL(GM_EFORMAT, "'%s': 'routed_experts' has %zu tokens, expected 1 or more", where,
                out->n);
    GM_TRY(take_experts(out, line, form, where, err));
    GM_TRY(take_tokens(out, line, form, where, err));
    const bool kept = form->level >= GM_RECORD_CHOICES;
    if (kept) GM_TRY(check_no_more(line, form, where, err));
    if (kept && !form->no_gates) GM_TRY(take_gates(out, line, form, where, err));
    if (kept && !form->no_margins) {
        GM_TRY(take_by_layer(out, out->mass, "topk_mass", NAN, line, form, where, err));
        GM_TRY(take_by_layer(out, out->margin, "margin", infinite, line, form, where, err));
    }
    count_rows(out, form);
out:
    return status;
}

static gm_status read_counts(gm_imported *out, const gm_json *line, const gm_import_form *form,
                             const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t dim[] = {form->A, form->E};
    int64_t n_tokens;
    GM_TRY(reserve(out, form, 0, err));
    GM_TRY(gm_json_get_i64(line, "n_tokens", 1, UINT32_MAX, &n_tokens, where, err));
    GM_TRY(take_array(out, line, "counts", dim, 2, where, err));
    out->n_tokens = (uint32_t)n_tokens;
    for (size_t l = 0; l < form->L; l++) {
        const double *number = out->number + form->place[l] * form->E; /* (E) */
        uint32_t *counts = out->counts + l * form->E;
        double sum = 0;
        for (size_t e = 0; e < form->E; e++) {
            if (!(number[e] >= 0 && number[e] <= (double)n_tokens && number[e] == floor(number[e])))
                GM_FAIL(
                    GM_EFORMAT,
                    "'%s': 'counts[%zu][%zu]' is %g, expected a whole number from 0 to %" PRId64,
                    where, form->place[l], e, number[e], n_tokens);
            counts[e] = (uint32_t)number[e];
            sum += number[e];
        }
        if (sum != (double)n_tokens * (double)form->K)
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'counts[%zu]' sums to %.0f, expected %" PRId64 " tokens times %zu",
                    where, form->place[l], sum, n_tokens, form->K);
    }
out:
    return status;
}

static gm_status take_names(gm_imported *out, const gm_json *line, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const char *id, *sha;
    GM_TRY(gm_json_get_text_or(line, "id", "", &id, where, err));
    GM_TRY(gm_json_get_text_or(line, "sha", "", &sha, where, err));
    GM_TRY(gm_json_get_bool_or(line, "truncated", false, &out->truncated, where, err));
    out->id = *id ? id : NULL;
    out->has_sha = *sha != '\0';
    if (out->has_sha && (strlen(sha) != 64 || !gm_sha256_from_hex(out->sha, sha)))
        GM_FAIL(GM_EFORMAT, "'%s': 'sha' is '%s', expected 64 hexadecimal digits", where, sha);
out:
    return status;
}

gm_status gm_imported_read(gm_imported *out, const gm_json *line, const gm_import_form *form,
                           const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    out->n = out->n_tokens = out->n_bad = 0;
    if (out->counts) memset(out->counts, 0, form->L * form->E * sizeof *out->counts);
    GM_TRY(take_names(out, line, where, err));
    if (has(line, "routed_experts") || form->level >= GM_RECORD_CHOICES)
        GM_TRY(read_choices(out, line, form, where, err));
    else
        GM_TRY(read_counts(out, line, form, where, err));
    if (form->level == GM_RECORD_COUNTS) out->n = 0;
out:
    return status;
}

void gm_imported_clear(gm_imported *imported)
{
    gm_free(imported->token_id);
    gm_free(imported->phase);
    gm_free(imported->expert);
    gm_free(imported->gate);
    gm_free(imported->mass);
    gm_free(imported->margin);
    gm_free(imported->counts);
    gm_free(imported->number);
    *imported = (gm_imported){0};
}
