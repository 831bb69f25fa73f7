/* store.c - see store.h. */
#include "steer/sweep/store.h"

#include "base/version.h"
#include "formats/shards.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

gm_status gm_store_folder(gm_text *folder, const char *path, gm_error *err)
{
    return gm_text_printf(folder, err, "%s.parts", path);
}

/* ---- cells as columns ---- */

/* Everything that a sweep file borrows, in one arena. */
typedef struct columns {
    gm_sweep sweep;
    gm_arena arena;
    gm_text bytes, prompts;
    bool failed;
} columns;

static void *room(columns *c, size_t n, size_t size)
{
    void *at = gm_arena_alloc(&c->arena, n ? n : 1, size);
    c->failed = c->failed || at == NULL;
    return at;
}

static void columns_clear(columns *c)
{
    gm_arena_clear(&c->arena);
    gm_text_clear(&c->bytes);
    gm_text_clear(&c->prompts);
}

/* Cells [first, first+n). Each array is written through a pointer of its own type. */
static gm_status put_cells(columns *out, const gm_study *s, size_t first, size_t n, gm_error *err)
{
    const size_t LE = (size_t)out->sweep.n_layers * (size_t)out->sweep.n_experts;
    int32_t *cluster = room(out, n, sizeof *cluster), *draw = room(out, n, sizeof *draw);
    uint8_t *arm = room(out, n, 1), *filter = room(out, n, 1), *half = room(out, n, 1);
    double *dose = room(out, n, sizeof *dose), *score[5];
    float *max_bias = room(out, n, sizeof *max_bias), *rms = room(out, n, sizeof *rms);
    float *usage = room(out, n * LE, sizeof *usage);
    for (int k = 0; k < 5; k++) score[k] = room(out, n, sizeof **score);
    if (out->failed) return gm_fail(err, GM_EMEM, "no memory to write %zu cells", n);
    for (size_t i = 0; i < n; i++) {
        const gm_cell *c = &s->cell[first + i];
        const double scores[] = {c->log_odds, c->share, c->shift, c->shift_lo, c->shift_hi};
        cluster[i] = c->topic < 0 ? -1 : s->topic[c->topic].cluster;
        draw[i] = c->draw;
        arm[i] = (uint8_t)c->arm;
        filter[i] = (uint8_t)c->filter;
        half[i] = (uint8_t)c->half;
        dose[i] = c->dose;
        max_bias[i] = c->max_bias;
        rms[i] = c->rms_bias;
        if (c->usage) memcpy(usage + i * LE, c->usage, LE * sizeof *usage);
        for (int k = 0; k < 5; k++) score[k][i] = scores[k];
    }
    gm_sweep *w = &out->sweep;
    w->n_cells = n;
    w->cluster = cluster, w->draw = draw, w->arm = arm, w->filter = filter, w->half = half;
    w->dose = dose, w->max_bias = max_bias, w->rms_bias = rms, w->usage = usage;
    w->log_odds = score[0], w->share = score[1], w->shift = score[2];
    w->shift_lo = score[3], w->shift_hi = score[4];
    return GM_OK;
}

static gm_status put_costs(columns *out, const gm_study *s, size_t first, size_t n, gm_error *err)
{
    uint32_t *tokens = room(out, n * GM_N_KINDS, sizeof *tokens);
    double *value[8];
    for (int k = 0; k < 8; k++) value[k] = room(out, n * GM_N_KINDS, sizeof **value);
    if (out->failed) return gm_fail(err, GM_EMEM, "no memory to write %zu cells", n);
    for (size_t i = 0; i < n * GM_N_KINDS; i++) {
        const gm_cost *c = &s->cell[first + i / GM_N_KINDS].cost[i % GM_N_KINDS];
        const double values[] = {c->kl_mean,  c->kl_median, c->kl_p99,  c->same_top1,
                                 c->nll_base, c->nll,       c->jaccard, c->mass};
        tokens[i] = c->n_tokens;
        for (int k = 0; k < 8; k++) value[k][i] = values[k];
    }
    gm_sweep *w = &out->sweep;
    w->cost_tokens = tokens;
    w->kl_mean = value[0], w->kl_median = value[1], w->kl_p99 = value[2];
    w->same_top1 = value[3], w->nll_base = value[4], w->nll = value[5];
    w->jaccard = value[6], w->mass = value[7];
    return GM_OK;
}

static gm_status put_texts(columns *out, const gm_study *s, size_t first, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    size_t R = 0, J = s->judge.n_classes, r = 0;
    for (size_t i = first; i < first + n; i++) R += s->cell[i].n_texts;
    uint32_t *number[4];
    for (int k = 0; k < 4; k++) number[k] = room(out, R, sizeof **number);
    uint8_t *end = room(out, R, 1);
    float *rep4 = room(out, R, sizeof *rep4), *distinct2 = room(out, R, sizeof *distinct2);
    float *log_p = room(out, R * J, sizeof *log_p);
    uint64_t *offset = room(out, R + 1, sizeof *offset);
    if (out->failed) GM_FAIL(GM_EMEM, "no memory to write %zu texts", R);
    for (size_t i = 0; i < n; i++) {
        const gm_cell *c = &s->cell[first + i];
        if (c->n_texts > 0) memcpy(log_p + r * J, c->log_p, c->n_texts * J * sizeof *log_p);
        for (size_t k = 0; k < c->n_texts; k++, r++) {
            const gm_written *w = &c->text[k];
            number[0][r] = (uint32_t)i;
            number[1][r] = w->prompt;
            number[2][r] = w->seed;
            number[3][r] = w->n_tokens;
            end[r] = w->end;
            rep4[r] = w->rep4;
            distinct2[r] = w->distinct2;
            GM_TRY(gm_text_append(&out->bytes, w->text, w->n_bytes, err));
            offset[r + 1] = out->bytes.n;
        }
    }
    gm_sweep *w = &out->sweep;
    w->n_texts = R;
    w->text_cell = number[0], w->text_prompt = number[1], w->text_seed = number[2];
    w->text_tokens = number[3], w->text_end = end, w->rep4 = rep4, w->distinct2 = distinct2;
    w->log_p = log_p, w->text_offset = offset;
    w->text_bytes = (const uint8_t *)(out->bytes.at ? out->bytes.at : "");
out:
    return status;
}

static gm_status put_prompts(columns *out, const gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t *offset = room(out, s->prompts.n + 1, sizeof *offset);
    if (offset == NULL) GM_FAIL(GM_EMEM, "no memory to write the prompts");
    for (size_t i = 0; i < s->prompts.n; i++) {
        GM_TRY(gm_text_append(&out->prompts, s->prompts.at[i].text, s->prompts.at[i].n, err));
        offset[i + 1] = out->prompts.n;
    }
    out->sweep.n_prompts = s->prompts.n;
    out->sweep.prompt_class = s->prompt_class;
    out->sweep.prompt_half = s->prompt_half;
    out->sweep.prompt_offset = offset;
    out->sweep.prompt_bytes = (const uint8_t *)(out->prompts.at ? out->prompts.at : "");
out:
    return status;
}

static gm_status put_topics(columns *out, const gm_study *s, gm_error *err)
{
    size_t C = s->n_topics;
    int32_t *id = room(out, C, sizeof *id), *class_id = room(out, C, sizeof *class_id);
    double *dose = room(out, C, sizeof *dose);
    uint8_t *filter = room(out, C, 1);
    if (out->failed) return gm_fail(err, GM_EMEM, "no memory to write the topics");
    for (size_t t = 0; t < C; t++) {
        id[t] = s->topic[t].cluster;
        class_id[t] = s->topic[t].class_id;
        dose[t] = s->topic[t].dose;
        filter[t] = (uint8_t)s->topic[t].filter;
    }
    gm_sweep *w = &out->sweep;
    w->n_clusters = C;
    w->cluster_id = id, w->cluster_class = class_id, w->cluster_dose = dose;
    w->cluster_filter = filter;
    return GM_OK;
}

static gm_status columns_fill(columns *out, const gm_study *s, size_t first, size_t n,
                              gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *info = s->setup->info;
    *out = (columns){.sweep = {.n_layers = info->n_moe_layers,
                               .n_experts = info->n_experts,
                               .n_classes = s->judge.n_classes,
                               .class_name = s->judge.name,
                               .n_arms = GM_N_ARMS,
                               .arm_name = gm_arm_names,
                               .n_filters = s->protocol->n_filters,
                               .filter_name = s->protocol->filter,
                               .fingerprint = s->fingerprint,
                               .model_digest = info->digest,
                               .config_digest = info->config_digest,
                               .atlas_digest = s->setup->atlas->digest}};
    GM_TRY(put_cells(out, s, first, n, err));
    GM_TRY(put_costs(out, s, first, n, err));
    GM_TRY(put_texts(out, s, first, n, err));
    GM_TRY(put_prompts(out, s, err));
    GM_TRY(put_topics(out, s, err));
out:
    return status;
}

/* How this program was built, and what computes. */
static gm_status write_provenance(gm_text *out, const gm_study *s, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_version_put(&json);
    gm_json_put_string(&json, "device", s->setup->info->device);
    gm_json_put_string(&json, "kernels", s->setup->info->kernels);
    gm_json_close_object(&json);
    gm_status status = gm_json_out_done(&json, err);
    *out = json.text;
    return status;
}

/* ---- parts ---- */

gm_status gm_store_save(const char *folder, const gm_study *s, size_t at, gm_error *err)
{
    gm_status status = GM_OK;
    columns c = {0};
    gm_text path = {0}, provenance = {0};
    GM_TRY(write_provenance(&provenance, s, err));
    GM_TRY(columns_fill(&c, s, at, 1, err));
    c.sweep.provenance = provenance.at;
    GM_TRY(gm_shard_path(&path, folder, at, err));
    GM_TRY(gm_sweep_write(path.at, &c.sweep, false, err));
out:
    columns_clear(&c);
    gm_text_clear(&path);
    gm_text_clear(&provenance);
    return status;
}

/* Copy n items into the cell's arena. */
static void *copy(gm_cell *c, const void *from, size_t n, size_t size)
{
    void *at = gm_arena_alloc(&c->arena, n ? n : 1, size);
    if (at && n > 0) memcpy(at, from, n * size);
    return at;
}

/* Texts [first, first+n) of cell k of a file. */
static gm_status take_texts(gm_cell *c, const gm_sweep *w, size_t k, size_t first, size_t n,
                            gm_error *err)
{
    size_t J = w->n_classes, LE = (size_t)w->n_layers * (size_t)w->n_experts;
    c->n_texts = n;
    c->text = gm_arena_alloc(&c->arena, n ? n : 1, sizeof *c->text);
    c->log_p = copy(c, w->log_p + first * J, n * J, sizeof *c->log_p);
    c->usage = copy(c, w->usage + k * LE, LE, sizeof *c->usage);
    if (!c->text || !c->log_p || !c->usage) return gm_fail(err, GM_EMEM, "no memory for a cell");
    for (size_t i = first; i < first + n; i++) {
        const char *bytes = (const char *)w->text_bytes + w->text_offset[i];
        size_t n_bytes = (size_t)(w->text_offset[i + 1] - w->text_offset[i]);
        c->text[i - first] = (gm_written){.prompt = w->text_prompt[i],
                                          .seed = w->text_seed[i],
                                          .n_tokens = w->text_tokens[i],
                                          .end = w->text_end[i],
                                          .rep4 = w->rep4[i],
                                          .distinct2 = w->distinct2[i],
                                          .text = gm_arena_text(&c->arena, bytes, n_bytes),
                                          .n_bytes = n_bytes};
        if (c->text[i - first].text == NULL) return gm_fail(err, GM_EMEM, "no memory for a cell");
    }
    return GM_OK;
}

static void take_costs(gm_cell *c, const gm_sweep *w, size_t k)
{
    for (size_t kind = 0; kind < GM_N_KINDS; kind++) {
        size_t i = k * GM_N_KINDS + kind;
        c->cost[kind] = (gm_cost){w->cost_tokens[i], w->kl_mean[i],   w->kl_median[i],
                                  w->kl_p99[i],      w->same_top1[i], w->nll_base[i],
                                  w->nll[i],         w->jaccard[i],   w->mass[i]};
    }
    c->max_bias = w->max_bias[k];
    c->rms_bias = w->rms_bias[k];
}

/* Take cell k of a file, whose texts begin at *first, which moves on. A cell without texts
 * was absent. */
static gm_status take_cell(gm_study *s, size_t at, const gm_sweep *w, size_t k, size_t *first,
                           const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_cell *c = &s->cell[at];
    int cluster = c->topic < 0 ? -1 : s->topic[c->topic].cluster;
    size_t n = 0;
    while (*first + n < w->n_texts && w->text_cell[*first + n] == k) n++;
    if (w->arm[k] != c->arm || w->cluster[k] != cluster || w->dose[k] != c->dose ||
        w->filter[k] != c->filter || w->draw[k] != c->draw)
        GM_FAIL(GM_EFORMAT, "'%s' does not contain cell %zu of this sweep", path, at);
    if (n > 0) {
        GM_TRY(take_texts(c, w, k, *first, n, err));
        take_costs(c, w, k);
        c->done = true;
    }
    *first += n;
out:
    return status;
}

static gm_status open_own(gm_sweep **w, const gm_study *s, const char *path, size_t n_cells,
                          gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_sweep_open(w, path, err));
    const gm_sweep *r = *w;
    if (strcmp(r->fingerprint, s->fingerprint) != 0 || r->n_cells != n_cells ||
        r->n_classes != s->judge.n_classes || r->n_prompts != s->prompts.n ||
        r->n_layers != s->setup->info->n_moe_layers || r->n_experts != s->setup->info->n_experts)
        GM_FAIL(GM_EFORMAT,
                "'%s' belongs to a sweep with other options, device, kernels or contents, or from "
                "an older gm-steer; choose another -o, or remove the file",
                path);
out:
    return status;
}

void gm_store_device(char device[GM_STORE_DEVICE], const char *path, const char *folder)
{
    struct stat at;
    gm_shard_list list = {0};
    gm_sweep *w = NULL;
    gm_json *root = NULL;
    const char *said = "";
    if (stat(path, &at) != 0)
        path = gm_shard_list_read(&list, folder, NULL) == GM_OK && list.n > 0 ? list.path[0] : NULL;
    if (path && gm_sweep_open(&w, path, NULL) == GM_OK && w->provenance &&
        gm_json_parse(&root, w->provenance, strlen(w->provenance), path, NULL) == GM_OK &&
        gm_json_get_text_or(root, "device", "", &said, path, NULL) != GM_OK)
        said = "";
    (void)snprintf(device, GM_STORE_DEVICE, "%.*s", (int)strcspn(said, ":"), said);
    gm_json_free(root);
    gm_sweep_close(w);
    gm_shard_list_clear(&list);
}

static gm_status load_part(gm_study *s, size_t at, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_sweep *w = NULL;
    size_t first = 0;
    GM_TRY(open_own(&w, s, path, 1, err));
    GM_TRY(take_cell(s, at, w, 0, &first, path, err));
out:
    gm_sweep_close(w);
    return status;
}

static gm_status load_parts(const char *folder, gm_study *s, int half, gm_error *err)
{
    gm_status status = GM_OK;
    gm_shard_list list = {0};
    GM_TRY(gm_shard_list_read(&list, folder, err));
    for (size_t i = 0; i < list.n; i++) {
        if (list.number[i] >= s->n_cells)
            GM_FAIL(GM_EFORMAT, "'%s' belongs to a longer sweep; choose another -o", list.path[i]);
        if (s->cell[list.number[i]].half != half) continue;
        GM_TRY(load_part(s, list.number[i], list.path[i], err));
    }
out:
    gm_shard_list_clear(&list);
    return status;
}

gm_status gm_store_load(const char *from, gm_study *s, int half, gm_error *err)
{
    gm_status status = GM_OK;
    gm_sweep *w = NULL;
    struct stat at;
    size_t first = 0;
    if (stat(from, &at) != 0 || S_ISDIR(at.st_mode)) return load_parts(from, s, half, err);
    GM_TRY(open_own(&w, s, from, s->n_cells, err));
    for (size_t i = 0; i < s->n_cells; i++) {
        size_t k = first;
        while (k < w->n_texts && w->text_cell[k] == i) k++;
        if (s->cell[i].half != half) {
            first = k;
            continue;
        }
        GM_TRY(take_cell(s, i, w, i, &first, from, err));
    }
out:
    gm_sweep_close(w);
    return status;
}

/* ---- the whole ---- */

gm_status gm_store_write(const char *path, const gm_study *s, const gm_text *config,
                         const gm_text *summary, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    columns c = {0};
    gm_text provenance = {0};
    GM_TRY(write_provenance(&provenance, s, err));
    GM_TRY(columns_fill(&c, s, 0, s->n_cells, err));
    c.sweep.config = (const uint8_t *)config->at;
    c.sweep.n_config = config->n;
    c.sweep.summary = (const uint8_t *)summary->at;
    c.sweep.n_summary = summary->n;
    c.sweep.provenance = provenance.at;
    GM_TRY(gm_sweep_write(path, &c.sweep, replace, err));
out:
    columns_clear(&c);
    gm_text_clear(&provenance);
    return status;
}
