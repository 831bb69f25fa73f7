/* sweep.c - see sweep.h: the datasets as one table that writer and reader walk. */
#include "base/json.h"
#include "formats/commit.h"
#include "formats/h5_column.h"
#include "formats/layer_list.h"
#include "formats/sweep.h"

#include <string.h>

#define AT(member) offsetof(gm_sweep, member)

typedef struct column {
    const char *name;
    gm_h5_type type;
    const char *shape; /* M R Q J C L E; 3; r R+1; q Q+1; T P: bytes of texts, prompts; A F
                          names; c s: bytes of JSON */
    size_t member;
    const char *about;
} column;

static const column columns[] = {
    {"/cells/cluster", GM_H5_I32, "M", AT(cluster), "of the atlas; -1: unsteered"},
    {"/cells/arm", GM_H5_U8, "M", AT(arm), "index into /arm_name"},
    {"/cells/draw", GM_H5_I32, "M", AT(draw), NULL},
    {"/cells/filter", GM_H5_U8, "M", AT(filter), "index into /filter_name"},
    {"/cells/half", GM_H5_U8, "M", AT(half), "0: dose and filter are chosen here, 1: judged"},
    {"/cells/dose", GM_H5_F64, "M", AT(dose), "multiplies the plan"},
    {"/cells/max_bias", GM_H5_F32, "M", AT(max_bias), "largest magnitude, nats"},
    {"/cells/rms_bias", GM_H5_F32, "M", AT(rms_bias),
     "over the layers steered and all experts, nats"},
    {"/cells/usage", GM_H5_F32, "MLE", AT(usage), "share of the choices of generated tokens"},
    {"/cells/log_odds", GM_H5_F64, "M", AT(log_odds), "mean ln p/(1-p) of the cluster's class"},
    {"/cells/share", GM_H5_F64, "M", AT(share), "texts whose likeliest class it is"},
    {"/cells/shift", GM_H5_F64, "M", AT(shift), "log_odds minus the unsteered cell's"},
    {"/cells/shift_lo", GM_H5_F64, "M", AT(shift_lo), "2.5 %, over prompts"},
    {"/cells/shift_hi", GM_H5_F64, "M", AT(shift_hi), "97.5 %"},
    {"/cost/n_tokens", GM_H5_U32, "M3", AT(cost_tokens), "neutral, in topic, off topic"},
    {"/cost/kl_mean", GM_H5_F64, "M3", AT(kl_mean), "KL(base || steered), nats a token"},
    {"/cost/kl_median", GM_H5_F64, "M3", AT(kl_median), NULL},
    {"/cost/kl_p99", GM_H5_F64, "M3", AT(kl_p99), NULL},
    {"/cost/same_top1", GM_H5_F64, "M3", AT(same_top1), "share of tokens with the same argmax"},
    {"/cost/nll_base", GM_H5_F64, "M3", AT(nll_base), "nats a token, unsteered"},
    {"/cost/nll", GM_H5_F64, "M3", AT(nll), "nats a token, steered"},
    {"/cost/jaccard", GM_H5_F64, "M3", AT(jaccard), "of the chosen sets, base and steered"},
    {"/cost/mass", GM_H5_F64, "M3", AT(mass), "weight of the routed branch, steered over base"},
    {"/texts/cell", GM_H5_U32, "R", AT(text_cell), NULL},
    {"/texts/prompt", GM_H5_U32, "R", AT(text_prompt), NULL},
    {"/texts/seed", GM_H5_U32, "R", AT(text_seed), NULL},
    {"/texts/n_tokens", GM_H5_U32, "R", AT(text_tokens), "generated"},
    {"/texts/end", GM_H5_U8, "R", AT(text_end), "0 length, 1 end token, 2 stop string"},
    {"/texts/rep4", GM_H5_F32, "R", AT(rep4), "share of 4-grams seen before"},
    {"/texts/distinct2", GM_H5_F32, "R", AT(distinct2), "distinct bigrams over bigrams"},
    {"/texts/log_p", GM_H5_F32, "RJ", AT(log_p), "ln p of each class of the judge"},
    {"/texts/offset", GM_H5_U64, "r", AT(text_offset), NULL},
    {"/texts/bytes", GM_H5_U8, "T", AT(text_bytes), "UTF-8"},
    {"/prompts/class", GM_H5_I32, "Q", AT(prompt_class), "-1: neutral"},
    {"/prompts/half", GM_H5_U8, "Q", AT(prompt_half), NULL},
    {"/prompts/offset", GM_H5_U64, "q", AT(prompt_offset), NULL},
    {"/prompts/bytes", GM_H5_U8, "P", AT(prompt_bytes), "UTF-8"},
    {"/class_name", GM_H5_TEXT, "J", AT(class_name), NULL},
    {"/arm_name", GM_H5_TEXT, "A", AT(arm_name), NULL},
    {"/filter_name", GM_H5_TEXT, "F", AT(filter_name), NULL},
    {"/clusters/id", GM_H5_I32, "C", AT(cluster_id), NULL},
    {"/clusters/class", GM_H5_I32, "C", AT(cluster_class), NULL},
    {"/clusters/dose", GM_H5_F64, "C", AT(cluster_dose),
     "as chosen; the smallest where none is within max-kl"},
    {"/clusters/filter", GM_H5_U8, "C", AT(cluster_filter), NULL},
    {"/config", GM_H5_U8, "c", AT(config), "JSON: the protocol"},
    {"/summary", GM_H5_U8, "s", AT(summary), "JSON: figures and verdict"},
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static const struct {
    const char *name;
    size_t member;
} texts[] = {{"fingerprint", AT(fingerprint)},
             {"model_digest", AT(model_digest)},
             {"atlas_digest", AT(atlas_digest)},
             {"provenance", AT(provenance)},
             {"config_digest", AT(config_digest)}};
/* Files written before there was the last of them are read as well. */
enum { N_TEXTS = sizeof texts / sizeof *texts, N_FIRST_TEXTS = N_TEXTS - 1 };

/* Each size, the dimension scale it is, and where it stands in gm_sweep; 0: it is derived. */
static const struct {
    char letter;
    const char *scale;
    size_t member;
} sizes[] = {
    {'M', "/cell", AT(n_cells)},
    {'R', "/text", AT(n_texts)},
    {'Q', "/prompt", AT(n_prompts)},
    {'J', "/class", AT(n_classes)},
    {'A', "/arm", AT(n_arms)},
    {'F', "/filter", AT(n_filters)},
    {'C', "/cluster", AT(n_clusters)},
    {'c', "/config_byte", AT(n_config)},
    {'s', "/summary_byte", AT(n_summary)},
};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static uint64_t size_of(const gm_sweep *s, char letter)
{
    size_t n;
    for (int i = 0; i < N_SIZES; i++) {
        if (sizes[i].letter != letter) continue;
        memcpy(&n, (const char *)s + sizes[i].member, sizeof n);
        return n;
    }
    switch (letter) {
    case 'L': return (uint64_t)s->n_layers;
    case 'E': return (uint64_t)s->n_experts;
    case 'r': return s->n_texts + 1;
    case 'q': return s->n_prompts + 1;
    case 'T': return s->text_offset ? s->text_offset[s->n_texts] : GM_H5_ANY;
    case 'P': return s->prompt_offset ? s->prompt_offset[s->n_prompts] : GM_H5_ANY;
    default: return GM_SWEEP_KINDS;
    }
}

static const char *scale_of(char letter)
{
    for (int i = 0; i < N_SIZES; i++)
        if (sizes[i].letter == letter) return sizes[i].scale;
    switch (letter) {
    case 'L': return "/layer";
    case 'E': return "/expert";
    case 'r': return "/text_bound";
    case 'q': return "/prompt_bound";
    case 'T': return "/text_byte";
    case 'P': return "/prompt_byte";
    default: return "/kind";
    }
}

static gm_h5_layout layout_of(const column *c, const gm_sweep *s)
{
    size_t row_bytes = gm_h5_type_size(c->type);
    gm_h5_layout layout = {.name = c->name,
                           .type = c->type,
                           .stored = H5I_INVALID_HID,
                           .rank = (int)strlen(c->shape),
                           .shuffle = row_bytes > 1 && row_bytes < GM_H5_TEXT_BYTES,
                           .about = c->about};
    for (int i = 0; i < layout.rank; i++) {
        layout.dim[i] = size_of(s, c->shape[i]);
        layout.scale[i] = scale_of(c->shape[i]);
        if (i > 0) row_bytes *= (size_t)layout.dim[i];
    }
    layout.chunk_rows = gm_h5_chunk_rows(row_bytes, 512 << 10, 1, 65536);
    return layout;
}

/* ---- writing ---- */

static const void *member_of(const gm_sweep *s, size_t offset)
{
    const void *at;
    memcpy(&at, (const char *)s + offset, sizeof at);
    return at;
}

static gm_status make_scales(hid_t file, const gm_sweep *s, gm_error *err)
{
    static const char other[] = "LErqTP3";
    static const char *const group[] = {"/cells", "/cost", "/texts", "/prompts", "/clusters"};
    gm_status status = GM_OK;
    for (size_t i = 0; i < sizeof group / sizeof *group; i++)
        GM_TRY(gm_h5_make_group(file, group[i], err));
    for (int i = 0; i < N_SIZES; i++)
        GM_TRY(gm_h5_make_length(file, sizes[i].scale, size_of(s, sizes[i].letter), err));
    for (const char *l = other; *l; l++)
        GM_TRY(gm_h5_make_length(file, scale_of(*l), size_of(s, *l), err));
out:
    return status;
}

static gm_status write_column(hid_t file, const column *c, const gm_sweep *s, uint8_t digest[32],
                              gm_error *err)
{
    gm_status status = GM_OK;
    const gm_h5_layout layout = layout_of(c, s);
    const void *at = member_of(s, c->member);
    char *packed = NULL;
    if (layout.dim[0] > 0 && at == NULL) GM_FAIL(GM_EARG, "the sweep has no '%s'", c->name);
    if (c->type == GM_H5_TEXT) {
        packed = gm_alloc((size_t)layout.dim[0], GM_H5_TEXT_BYTES);
        if (packed == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", c->name);
        for (size_t i = 0; i < layout.dim[0]; i++)
            gm_h5_text_pack(packed + i * GM_H5_TEXT_BYTES, ((const char *const *)at)[i]);
    }
    GM_TRY(gm_h5_write_all(file, &layout, packed ? packed : at, digest, err));
out:
    gm_free(packed);
    return status;
}

static gm_status read_sizes(hid_t file, gm_sweep *s, gm_arena *arena, gm_error *err);

/* Recompute the digest of a file's contents; a gm_commit_digest. */
static gm_status file_digest(const char *path, char hex[65], gm_error *err)
{
    gm_status status = GM_OK;
    hid_t file = H5I_INVALID_HID;
    gm_sweep s = {0};
    gm_h5_set set = GM_H5_SET_CLOSED;
    gm_arena arena = {0};
    gm_sha256 hash;
    uint8_t digest[32];
    hex[0] = '\0';
    GM_TRY(gm_h5_open(&file, path, err));
    GM_TRY(read_sizes(file, &s, &arena, err));
    gm_sha256_init(&hash);
    for (int i = 0; i < N_COLUMNS; i++) {
        const gm_h5_layout layout = layout_of(&columns[i], &s);
        GM_TRY(gm_h5_set_open(&set, file, &layout, err));
        GM_TRY(gm_h5_set_digest(&set, digest, err));
        gm_h5_set_close(&set);
        gm_h5_fold(&hash, layout.name, digest);
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
out:
    gm_h5_set_close(&set);
    gm_h5_drop(&file);
    gm_arena_clear(&arena);
    return status;
}

gm_status gm_sweep_write(const char *path, gm_sweep *s, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_commit commit = GM_COMMIT_NONE;
    gm_sha256 hash;
    uint8_t digest[32];
    char hex[65];
    s->digest[0] = '\0';
    GM_TRY(gm_commit_begin(&commit, path, replace, err));
    GM_TRY(make_scales(commit.file, s, err));
    GM_TRY(gm_h5_put_text(commit.file, "schema_name", "gm-sweep", err));
    GM_TRY(gm_h5_put_i64(commit.file, "schema", GM_SWEEP_SCHEMA, err));
    GM_TRY(gm_h5_put_i64(commit.file, "n_layers", s->n_layers, err));
    GM_TRY(gm_h5_put_i64(commit.file, "n_experts", s->n_experts, err));
    for (int i = 0; i < N_TEXTS; i++)
        GM_TRY(gm_h5_put_text(commit.file, texts[i].name, member_of(s, texts[i].member), err));
    gm_sha256_init(&hash);
    for (int i = 0; i < N_COLUMNS; i++) {
        GM_TRY(write_column(commit.file, &columns[i], s, digest, err));
        gm_h5_fold(&hash, columns[i].name, digest);
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
    GM_TRY(gm_h5_put_text(commit.file, "digest", hex, err));
    GM_TRY(gm_commit_end(&commit, hex, file_digest, err));
    memcpy(s->digest, hex, sizeof hex);
out:
    gm_commit_drop(&commit);
    return status;
}

/* ---- reading ---- */

typedef struct open_sweep {
    gm_sweep sweep; /* first, so that its address is ours */
    gm_arena arena;
} open_sweep;

/* Every size that a one-letter column has, and the offsets, from which the rest follows. */
static gm_status read_sizes(hid_t file, gm_sweep *s, gm_arena *arena, gm_error *err)
{
    static const char *const of[N_SIZES] = {"/cells/cluster", "/texts/cell", "/prompts/class",
                                            "/class_name",    "/arm_name",   "/filter_name",
                                            "/clusters/id",   "/config",     "/summary"};
    gm_status status = GM_OK;
    int64_t L, E;
    GM_TRY(gm_h5_check_schema(file, "gm-sweep", GM_SWEEP_SCHEMA, err));
    GM_TRY(gm_h5_get_i64(file, "n_layers", 1, GM_MAX_LAYERS, &L, err));
    GM_TRY(gm_h5_get_i64(file, "n_experts", 1, UINT16_MAX, &E, err));
    s->n_layers = (int)L;
    s->n_experts = (int)E;
    for (int i = 0; i < N_SIZES; i++) {
        const column *c = columns;
        gm_h5_set set = GM_H5_SET_CLOSED;
        while (strcmp(c->name, of[i]) != 0) c++;
        const gm_h5_layout any = {.name = c->name, .type = c->type, .rank = 1, .dim = {GM_H5_ANY}};
        GM_TRY(gm_h5_set_open(&set, file, &any, err));
        size_t n = (size_t)set.dim[0];
        gm_h5_set_close(&set);
        if (n > UINT32_MAX) GM_FAIL(GM_ESHAPE, "'%s' has %zu rows, too many", c->name, n);
        memcpy((char *)s + sizes[i].member, &n, sizeof n);
    }
    for (int k = 0; k < 2; k++) {
        const gm_h5_layout offset = {.name = k ? "/prompts/offset" : "/texts/offset",
                                     .type = GM_H5_U64,
                                     .rank = 1,
                                     .dim = {(k ? s->n_prompts : s->n_texts) + 1}};
        void *at = NULL;
        GM_TRY(gm_h5_read_all(file, &offset, arena, &at, NULL, err));
        if (k)
            s->prompt_offset = at;
        else
            s->text_offset = at;
    }
out:
    return status;
}

static gm_status read_column(hid_t file, const column *c, open_sweep *open, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_h5_layout layout = layout_of(c, &open->sweep);
    const char *const *names = NULL;
    void *rows = NULL;
    const void *at;
    if (c->type == GM_H5_TEXT)
        GM_TRY(gm_h5_read_texts(file, &layout, &open->arena, &names, NULL, err));
    else
        GM_TRY(gm_h5_read_all(file, &layout, &open->arena, &rows, NULL, err));
    at = names ? (const void *)names : rows;
    memcpy((char *)&open->sweep + c->member, &at, sizeof at);
out:
    return status;
}

/* From 0 up; the last is also the size that the bytes were asked to have, and any size
 * will do for GM_H5_ANY. */
static bool rises(const uint64_t *offset, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (offset[i] > offset[i + 1]) return false;
    return offset[0] == 0 && offset[n] != GM_H5_ANY;
}

/* Is every number that points at something in its range? */
static gm_status check(const gm_sweep *s, hid_t file, gm_error *err)
{
    const char *bad = NULL;
    if (!rises(s->text_offset, s->n_texts)) bad = "/texts/offset";
    if (!rises(s->prompt_offset, s->n_prompts)) bad = "/prompts/offset";
    for (size_t i = 0; i < s->n_cells; i++) {
        if (s->arm[i] >= s->n_arms) bad = "/cells/arm";
        if (s->filter[i] >= s->n_filters) bad = "/cells/filter";
        if (s->half[i] > 1) bad = "/cells/half";
    }
    for (size_t i = 0; i < s->n_texts; i++) {
        if (s->text_cell[i] >= s->n_cells) bad = "/texts/cell";
        if (s->text_prompt[i] >= s->n_prompts) bad = "/texts/prompt";
        if (s->text_end[i] > 2) bad = "/texts/end";
    }
    for (size_t i = 0; i < s->n_prompts; i++)
        if (s->prompt_class[i] < -1 || s->prompt_class[i] >= (int64_t)s->n_classes)
            bad = "/prompts/class";
    for (size_t i = 0; i < s->n_clusters; i++) {
        if (s->cluster_class[i] < 0 || s->cluster_class[i] >= (int64_t)s->n_classes)
            bad = "/clusters/class";
        if (s->cluster_filter[i] >= s->n_filters) bad = "/clusters/filter";
    }
    if (bad) return gm_h5_fail(err, GM_EFORMAT, file, "'%s' has a value out of its range", bad);
    return GM_OK;
}

gm_status gm_sweep_open(gm_sweep **out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t file = H5I_INVALID_HID;
    const char *text = NULL;
    char hex[65];
    *out = NULL;
    open_sweep *open = gm_alloc(1, sizeof *open);
    if (open == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", path);
    GM_TRY(gm_h5_open(&file, path, err));
    GM_TRY(read_sizes(file, &open->sweep, &open->arena, err));
    GM_TRY(gm_h5_find_text(file, "config_digest", &open->arena, &open->sweep.config_digest, err));
    for (int i = 0; i < N_FIRST_TEXTS; i++) {
        GM_TRY(gm_h5_get_text(file, texts[i].name, &open->arena, &text, err));
        memcpy((char *)&open->sweep + texts[i].member, &text, sizeof text);
    }
    GM_TRY(gm_h5_get_text(file, "digest", &open->arena, &text, err));
    strncat(open->sweep.digest, text, sizeof open->sweep.digest - 1);
    for (int i = 0; i < N_COLUMNS; i++) GM_TRY(read_column(file, &columns[i], open, err));
    GM_TRY(check(&open->sweep, file, err));
    GM_TRY(file_digest(path, hex, err));
    if (strcmp(hex, open->sweep.digest) != 0) {
        status = gm_h5_fail(err, GM_EFORMAT, file,
                            "its contents have changed since they were written: they have digest "
                            "%s, but the file states %s",
                            hex, open->sweep.digest);
        goto out;
    }
    *out = &open->sweep;
    open = NULL;
out:
    gm_h5_drop(&file);
    if (open) gm_sweep_close(&open->sweep);
    return status;
}

void gm_sweep_close(gm_sweep *sweep)
{
    if (sweep == NULL) return;
    open_sweep *open = (open_sweep *)sweep;
    gm_arena_clear(&open->arena);
    gm_free(open);
}
