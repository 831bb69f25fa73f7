/* plan.c - see plan.h. */
#include "formats/plan.h"

#include "base/safetensors.h"
#include "base/sha256.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_PLAN_BYTES = 1 << 28 };

static const char *const mode_names[] = {"bias", "select", "gate", "mask"};
static const char *const phase_names[GM_PLAN_N_PHASES] = {"prompt", "generated", "template"};
static const char PHASES[] = "prompt|generated|template";

const char *gm_plan_mode_name(gm_plan_mode mode)
{
    return mode_names[mode];
}

gm_status gm_plan_init(gm_plan *plan, int n_layers, int n_experts, const int *layer_of_moe,
                       gm_error *err)
{
    size_t L = (size_t)n_layers, E = (size_t)n_experts;
    assert(n_layers > 0 && n_experts > 0);
    *plan = (gm_plan){.n_layers = n_layers, .n_experts = n_experts, .phases = GM_PLAN_ALL_PHASES};
    plan->bias = gm_alloc2(L, E, sizeof *plan->bias);
    plan->layer_of_moe = gm_alloc(L, sizeof *plan->layer_of_moe);
    plan->source = gm_copy_text("{}", 2);
    if (plan->bias == NULL || plan->layer_of_moe == NULL || plan->source == NULL) {
        gm_plan_clear(plan);
        return gm_fail(err, GM_EMEM, "no memory for a plan of %d x %d", n_layers, n_experts);
    }
    memcpy(plan->layer_of_moe, layer_of_moe, L * sizeof *layer_of_moe);
    plan->first_layer = layer_of_moe[0];
    plan->last_layer = layer_of_moe[L - 1];
    return GM_OK;
}

void gm_plan_clear(gm_plan *plan)
{
    gm_free(plan->bias);
    gm_free(plan->layer_of_moe);
    gm_free(plan->source);
    *plan = (gm_plan){0};
}

gm_status gm_plan_check_values(const gm_plan *plan, const char *where, gm_error *err)
{
    for (int i = 0; i < plan->n_layers * plan->n_experts; i++) {
        float b = plan->bias[i];
        if (!(b < INFINITY)) /* NaN fails this too; -inf is allowed */
            return gm_fail(err, GM_ENUMERIC,
                           "'%s': the bias of layer %d, expert %d is %g, expected a number or -inf",
                           where, plan->layer_of_moe[i / plan->n_experts], i % plan->n_experts,
                           (double)b);
    }
    return GM_OK;
}

gm_status gm_plan_scale(gm_plan *plan, double weight, gm_error *err)
{
    if (!isfinite(weight))
        return gm_fail(err, GM_ENUMERIC, "the weight is %g, expected a finite number", weight);
    for (int i = 0; i < plan->n_layers * plan->n_experts; i++)
        plan->bias[i] = weight == 0 ? 0 : (float)(weight * (double)plan->bias[i]);
    return gm_plan_check_values(plan, "the plan", err);
}

void gm_plan_window(const gm_plan *plan, int *first, int *last)
{
    *first = 0;
    *last = plan->n_layers - 1;
    while (*first < *last && plan->layer_of_moe[*first] < plan->first_layer) ++*first;
    while (*last > *first && plan->layer_of_moe[*last] > plan->last_layer) --*last;
}

bool gm_plan_steers(const gm_plan *plan)
{
    for (int i = 0; i < plan->n_layers * plan->n_experts; i++)
        if (plan->bias[i] != 0) return true;
    return false;
}

void gm_plan_digest(const gm_plan *plan, char hex[65])
{
    gm_sha256 hash;
    uint8_t digest[32];
    const size_t L = (size_t)plan->n_layers, E = (size_t)plan->n_experts;
    const int rest[] = {plan->n_layers,     plan->n_experts,          (int)plan->mode,
                        plan->mass_matched, plan->first_layer,        plan->last_layer,
                        plan->phases,       (int)plan->schedule.kind, plan->schedule.n};
    gm_sha256_init(&hash);
    gm_sha256_update(&hash, rest, sizeof rest);
    gm_sha256_update(&hash, plan->layer_of_moe, L * sizeof *plan->layer_of_moe);
    gm_sha256_update(&hash, plan->bias, L * E * sizeof *plan->bias);
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
}

/* ---- writing ---- */

static gm_status show_phases(gm_text *out, uint8_t phases, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_text_add(out, "", err));
    for (int p = 0; p < GM_PLAN_N_PHASES; p++) {
        if (phases >> p & 1)
            GM_TRY(gm_text_printf(out, err, "%s%s", out->n ? "," : "", phase_names[p]));
    }
out:
    return status;
}

static gm_status show_layers(gm_text *out, const gm_plan *plan, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_array(&json, NULL);
    for (int l = 0; l < plan->n_layers; l++) gm_json_put_i64(&json, NULL, plan->layer_of_moe[l]);
    gm_json_close_array(&json);
    *out = json.text;
    return gm_json_out_done(&json, err);
}

gm_status gm_plan_write(const char *path, const gm_plan *plan, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text phases = {0}, layers = {0}, first = {0}, last = {0};
    char schedule[24];
    size_t L = (size_t)plan->n_layers, E = (size_t)plan->n_experts;

    GM_TRY(gm_plan_check_values(plan, path, err));
    GM_TRY(show_phases(&phases, plan->phases, err));
    GM_TRY(show_layers(&layers, plan, err));
    GM_TRY(gm_text_printf(&first, err, "%d", plan->first_layer));
    GM_TRY(gm_text_printf(&last, err, "%d", plan->last_layer));

    const gm_safetensors_note notes[] = {
        {"format", "gm-plan"},
        {"schema", "1"},
        {"mode", gm_plan_mode_name(plan->mode)},
        {"mass_matched", plan->mass_matched ? "true" : "false"},
        {"layer_of_moe", layers.at},
        {"first_layer", first.at},
        {"last_layer", last.at},
        {"phases", phases.at},
        {"schedule", gm_schedule_show(schedule, plan->schedule)},
        {"model_digest", plan->model_digest},
        {"config_digest", plan->config_digest},
        {"source", plan->source},
    };
    const gm_tensor bias = {.name = "bias",
                            .dtype = GM_F32,
                            .rank = 2,
                            .dim = {L, E},
                            .data = plan->bias,
                            .n_bytes = L * E * sizeof *plan->bias};
    GM_TRY(gm_safetensors_write(path, replace, &bias, 1, notes, sizeof notes / sizeof *notes, err));
out:
    gm_text_clear(&phases);
    gm_text_clear(&layers);
    gm_text_clear(&first);
    gm_text_clear(&last);
    return status;
}

/* ---- reading ---- */

static gm_status get_note(const gm_safetensors *file, const char *key, const char *where,
                          const char **out, gm_error *err)
{
    *out = gm_safetensors_metadata(file, key);
    if (*out == NULL)
        return gm_fail(err, GM_EFORMAT, "'%s' is not a plan: its metadata has no '%s'", where, key);
    return GM_OK;
}

/* The place of n bytes of text among `names`, joined by '|'; -1 when it is none of them. */
static int find_name(const char *names, const char *text, size_t n)
{
    for (int i = 0;; i++) {
        size_t length = strcspn(names, "|");
        if (length == n && strncmp(names, text, n) == 0) return i;
        if (names[length] == '\0') return -1;
        names += length + 1;
    }
}

static gm_status get_choice(const gm_safetensors *file, const char *key, const char *names,
                            const char *where, int *out, gm_error *err)
{
    gm_status status = GM_OK;
    const char *text;
    GM_TRY(get_note(file, key, where, &text, err));
    *out = find_name(names, text, strlen(text));
    if (*out < 0) GM_FAIL(GM_EFORMAT, "'%s': '%s' is '%s', expected %s", where, key, text, names);
out:
    return status;
}

static gm_status get_layer(const gm_safetensors *file, const char *key, const gm_plan *plan,
                           const char *where, int *out, gm_error *err)
{
    gm_status status = GM_OK;
    const char *text;
    int64_t value;
    int lo = plan->layer_of_moe[0], hi = plan->layer_of_moe[plan->n_layers - 1];

    GM_TRY(get_note(file, key, where, &text, err));
    if (!gm_parse_i64(text, &value) || value < lo || value > hi)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is '%s', expected a layer from %d to %d", where, key, text,
                lo, hi);
    *out = (int)value;
out:
    return status;
}

static gm_status get_phases(const gm_safetensors *file, const char *where, uint8_t *out,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const char *text;
    *out = 0;
    GM_TRY(get_note(file, "phases", where, &text, err));
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        int phase = find_name(PHASES, at, n);
        if (phase < 0)
            GM_FAIL(GM_EFORMAT, "'%s': 'phases' is '%s', expected some of %s", where, text, PHASES);
        *out = (uint8_t)(*out | 1u << phase);
        at += n + (at[n] == ',');
    }
out:
    return status;
}

/* What a plan without the entry says is constant. */
static gm_status get_schedule(const gm_safetensors *file, gm_plan_mode mode, const char *where,
                              gm_schedule *out, gm_error *err)
{
    const char *text = gm_safetensors_metadata(file, "schedule");
    if (!gm_schedule_parse(out, text ? text : "constant"))
        return gm_fail(err, GM_EFORMAT, "'%s': 'schedule' is '%s', expected %s", where, text,
                       GM_SCHEDULES);
    if (mode == GM_PLAN_MASK && gm_schedule_is_ramp(*out))
        return gm_fail(err, GM_EFORMAT,
                       "'%s': 'schedule' is '%s', but a mask can only be 'constant'", where, text);
    return GM_OK;
}

/* The layer numbers: as many as `bias` has rows, ascending from 0. */
static gm_status get_layers(const gm_safetensors *file, size_t n_layers, const char *where,
                            int layers[GM_PLAN_MAX_LAYERS], gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *array = NULL;
    const char *text;
    size_t n = 0;

    GM_TRY(get_note(file, "layer_of_moe", where, &text, err));
    GM_TRY(gm_json_parse(&array, text, strlen(text), where, err));
    if (gm_json_kind_of(array) != GM_JSON_ARRAY || gm_json_n_items(array) != n_layers)
        GM_FAIL(GM_EFORMAT, "'%s': 'layer_of_moe' is not a list of %zu layers", where, n_layers);
    int64_t before = -1;
    for (const gm_json *v = gm_json_first(array); v; v = gm_json_next(v)) {
        int64_t layer;
        if (!gm_json_i64(v, &layer) || layer <= before || layer > INT16_MAX)
            GM_FAIL(GM_EFORMAT, "'%s': 'layer_of_moe' is not an ascending list of layers", where);
        layers[n++] = (int)layer;
        before = layer;
    }
out:
    gm_json_free(array);
    return status;
}

static gm_status get_bias(const gm_safetensors *file, const char *where, const gm_tensor **out,
                          gm_error *err)
{
    const gm_tensor *t = gm_safetensors_find(file, "bias");
    *out = t;
    if (t == NULL || file->n != 1)
        return gm_fail(err, GM_EFORMAT, "'%s' is not a plan: expected one tensor, 'bias'", where);
    if (t->dtype != GM_F32)
        return gm_fail(err, GM_EFORMAT, "'%s': 'bias' has dtype %s, expected F32", where,
                       gm_dtype_name(t->dtype));
    if (t->rank != 2 || t->dim[0] < 1 || t->dim[0] > GM_PLAN_MAX_LAYERS || t->dim[1] < 1 ||
        t->dim[1] > GM_PLAN_MAX_EXPERTS)
        return gm_fail(err, GM_ESHAPE, "'%s': 'bias' is not a table of layers and experts", where);
    return GM_OK;
}

/* `source` must be a JSON object; its text is kept as it is. */
static gm_status get_source(const gm_safetensors *file, const char *where, char **out,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *object = NULL;
    const char *text;

    GM_TRY(get_note(file, "source", where, &text, err));
    GM_TRY(gm_json_parse(&object, text, strlen(text), where, err));
    if (gm_json_kind_of(object) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s': 'source' is not an object", where);
    char *copy = gm_copy_text(text, strlen(text));
    if (copy == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", where);
    gm_free(*out);
    *out = copy;
out:
    gm_json_free(object);
    return status;
}

/* Take over a digest; NULL, where the metadata has none, counts as unknown. */
static gm_status get_digest(char out[65], const char *key, const char *digest, const char *where,
                            gm_error *err)
{
    if (digest == NULL) digest = "";
    if (strlen(digest) > 64)
        return gm_fail(err, GM_EFORMAT, "'%s': '%s' has more than 64 characters", where, key);
    memcpy(out, digest, strlen(digest) + 1);
    return GM_OK;
}

/* Everything but the bias itself. */
static gm_status get_instruction(gm_plan *plan, const gm_safetensors *file, const char *where,
                                 gm_error *err)
{
    gm_status status = GM_OK;
    const char *digest;
    int mode, matched;

    GM_TRY(get_choice(file, "mode", GM_PLAN_MODES, where, &mode, err));
    GM_TRY(get_choice(file, "mass_matched", "false|true", where, &matched, err));
    plan->mode = (gm_plan_mode)mode;
    plan->mass_matched = matched;
    GM_TRY(get_layer(file, "first_layer", plan, where, &plan->first_layer, err));
    GM_TRY(get_layer(file, "last_layer", plan, where, &plan->last_layer, err));
    int inside = 0;
    for (int l = 0; l < plan->n_layers; l++)
        inside +=
            plan->layer_of_moe[l] >= plan->first_layer && plan->layer_of_moe[l] <= plan->last_layer;
    if (plan->first_layer > plan->last_layer)
        GM_FAIL(GM_EFORMAT, "'%s': the layer window ends at %d before it begins at %d", where,
                plan->last_layer, plan->first_layer);
    if (inside == 0)
        GM_FAIL(GM_EFORMAT, "'%s': no MoE layer is in the layer window %d to %d", where,
                plan->first_layer, plan->last_layer);
    GM_TRY(get_phases(file, where, &plan->phases, err));
    GM_TRY(get_schedule(file, plan->mode, where, &plan->schedule, err));
    GM_TRY(get_source(file, where, &plan->source, err));
    GM_TRY(get_note(file, "model_digest", where, &digest, err));
    GM_TRY(get_digest(plan->model_digest, "model_digest", digest, where, err));
    digest = gm_safetensors_metadata(file, "config_digest");
    GM_TRY(get_digest(plan->config_digest, "config_digest", digest, where, err));
out:
    return status;
}

gm_status gm_plan_parse(gm_plan *plan, const void *bytes, size_t n, const char *where,
                        gm_error *err)
{
    gm_status status = GM_OK;
    gm_safetensors file;
    const gm_tensor *bias;
    int ignored, layers[GM_PLAN_MAX_LAYERS] = {0};
    *plan = (gm_plan){0};

    GM_TRY(gm_safetensors_parse(&file, bytes, n, where, err));
    GM_TRY(get_choice(&file, "format", "gm-plan", where, &ignored, err));
    GM_TRY(get_choice(&file, "schema", "1", where, &ignored, err));
    GM_TRY(get_bias(&file, where, &bias, err));
    GM_TRY(get_layers(&file, bias->dim[0], where, layers, err));
    GM_TRY(gm_plan_init(plan, (int)bias->dim[0], (int)bias->dim[1], layers, err));
    gm_tensor_to_f32(bias, 0, bias->dim[0] * bias->dim[1], plan->bias);
    GM_TRY(gm_plan_check_values(plan, where, err));
    GM_TRY(get_instruction(plan, &file, where, err));
out:
    if (status != GM_OK) gm_plan_clear(plan);
    gm_safetensors_clear(&file);
    return status;
}

gm_status gm_plan_read(gm_plan *plan, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0};
    *plan = (gm_plan){0};
    GM_TRY(gm_text_read_file(&bytes, path, MAX_PLAN_BYTES, err));
    GM_TRY(gm_plan_parse(plan, bytes.at, bytes.n, path, err));
out:
    gm_text_clear(&bytes);
    return status;
}
