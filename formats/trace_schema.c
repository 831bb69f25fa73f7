/* trace_schema.c - the table of a trace's datasets and attributes: see trace_schema.h. */
#include "formats/trace_schema.h"

#include "formats/layer_list.h"

#include <string.h>

const char *const gm_record_level_name[GM_N_RECORD_LEVELS] = {"counts", "choices", "logits"};
const char *const gm_trace_phase_name[GM_TRACE_N_PHASES] = {"prompt", "generated", "template"};

/* What a trace must have been recorded with to hold a column. */
typedef enum need {
    ALWAYS,
    CHOICES,
    GATES,
    NORMS,
    MARGINS,
    LOGITS,
    NLL,
    LANGUAGE,
    TEXT,
    SPELLING
} need;

typedef struct column_spec {
    const char *name;
    gm_h5_type type;
    const char *shape; /* letters of gm_trace_sizes; M is N+1, X is V+1 */
    need need;
    bool shuffle, is_virtual;
    const char *about;
} column_spec;

static const column_spec COLUMN[GM_N_COLUMNS] = {
    [GM_COL_EXPERT] = {"/routing/expert_id", GM_H5_U8, "TLK", CHOICES, false, true,
                       "chosen experts, strongest gate first; all ones: row not finite"},
    [GM_COL_GATE] = {"/routing/gate", GM_H5_F16, "TLK", GATES, true, true,
                     "what multiplies the expert's output, before the routed scale"},
    [GM_COL_MASS] = {"/routing/topk_mass", GM_H5_F16, "TL", MARGINS, true, true,
                     "sum over the chosen experts of the score before renormalising"},
    [GM_COL_MARGIN] =
        {"/routing/margin", GM_H5_F16, "TL", MARGINS, true, true,
         "selection score of rank K minus rank K+1: of logits, or of corrected scores"},
    [GM_COL_LOGITS] = {"/routing/logits", GM_H5_F16, "SLE", LOGITS, true, true,
                       "router logits of a sample of tokens, before any edit"},
    [GM_COL_LOGITS_TOKEN] = {"/routing/logits_token", GM_H5_U64, "S", LOGITS, true, false,
                             "token that a row of /routing/logits belongs to"},
    [GM_COL_TOKEN_ID] = {"/tokens/token_id", GM_H5_U32, "T", CHOICES, true, true,
                         "id in the tokenizer's vocabulary"},
    [GM_COL_SAMPLE] = {"/tokens/sample", GM_H5_U32, "T", CHOICES, true, false,
                       "document that a token belongs to"},
    [GM_COL_POS] = {"/tokens/pos", GM_H5_U32, "T", CHOICES, true, true,
                    "position in the document, from 0"},
    [GM_COL_PHASE] = {"/tokens/phase", GM_H5_U8, "T", CHOICES, false, true,
                      "0 prompt or corpus text, 1 generated, 2 template or special"},
    [GM_COL_NLL] = {"/tokens/nll", GM_H5_F32, "T", NLL, true, true,
                    "-ln p(token | tokens before it), nats; NaN for the first"},
    [GM_COL_OFFSET] = {"/samples/offset", GM_H5_U64, "M", ALWAYS, true, false,
                       "document i has tokens offset[i] .. offset[i+1]-1"},
    [GM_COL_ID] = {"/samples/id", GM_H5_TEXT, "N", ALWAYS, false, false, "file:line"},
    [GM_COL_SHA] = {"/samples/sha", GM_H5_TEXT, "N", ALWAYS, false, false,
                    "SHA-256 of the document's UTF-8 text"},
    [GM_COL_SUBSET] = {"/samples/subset", GM_H5_U16, "N", ALWAYS, true, false,
                       "index into /samples/subset_name"},
    [GM_COL_SUBSET_NAME] = {"/samples/subset_name", GM_H5_TEXT, "U", ALWAYS, false, false,
                            "as the corpus names them; empty: documents of none"},
    [GM_COL_N_TOKENS] = {"/samples/n_tokens", GM_H5_U32, "N", ALWAYS, true, false,
                         "counted tokens: all but template tokens"},
    [GM_COL_BAD] = {"/samples/bad", GM_H5_U32, "N", ALWAYS, true, false,
                    "counted tokens whose router was not finite"},
    [GM_COL_TRUNCATED] = {"/samples/truncated", GM_H5_U8, "N", ALWAYS, false, false,
                          "1: the text continued after the kept tokens"},
    [GM_COL_COUNTS] = {"/samples/counts", GM_H5_U32, "NLE", ALWAYS, true, true,
                       "how often a layer chose an expert in a document"},
    [GM_COL_TEXT_BYTES] = {"/text/bytes", GM_H5_U8, "B", TEXT, false, false,
                           "UTF-8 of the kept tokens of all documents"},
    [GM_COL_TEXT_OFFSET] = {"/text/offset", GM_H5_U64, "M", TEXT, true, false,
                            "document i has bytes offset[i] .. offset[i+1]-1"},
    [GM_COL_SKIP_NAME] = {"/corpus/reason", GM_H5_TEXT, "R", ALWAYS, false, false,
                          "why documents were left out"},
    [GM_COL_SKIP_NUMBER] = {"/corpus/skipped", GM_H5_U64, "R", ALWAYS, true, false,
                            "documents left out, by reason"},
    [GM_COL_SPELT_ID] = {"/spelling/token_id", GM_H5_U32, "V", SPELLING, true, false,
                         "token ids that occur in the texts, ascending"},
    [GM_COL_SPELT_OFFSET] = {"/spelling/offset", GM_H5_U64, "X", SPELLING, true, false,
                             "token_id[i] adds bytes offset[i] .. offset[i+1]-1 to a text"},
    [GM_COL_SPELT_BYTES] = {"/spelling/bytes", GM_H5_U8, "W", SPELLING, false, false,
                            "what the tokens add, one after the other"},
    [GM_COL_LANGUAGE] = {"/samples/language", GM_H5_TEXT, "N", LANGUAGE, false, false,
                         "as the corpus names it; empty: it does not"},
    [GM_COL_NORM] = {"/routing/output_norm", GM_H5_F32, "TLK", NORMS, true, true,
                     "L2 norm of the expert's output, before the gate; NaN: row not finite"},
};

bool gm_trace_has(const gm_trace_info *info, gm_trace_column column)
{
    switch (COLUMN[column].need) {
    case ALWAYS: return true;
    case CHOICES: return info->level >= GM_RECORD_CHOICES;
    case GATES: return info->level >= GM_RECORD_CHOICES && !info->no_gates;
    case NORMS: return info->level >= GM_RECORD_CHOICES && info->has_norms;
    case MARGINS: return info->level >= GM_RECORD_CHOICES && !info->no_margins;
    case LOGITS: return info->level >= GM_RECORD_LOGITS;
    case NLL: return info->level >= GM_RECORD_CHOICES && info->has_nll;
    case LANGUAGE: return info->has_language;
    case TEXT: return info->has_text;
    case SPELLING: return info->level >= GM_RECORD_CHOICES && info->has_spelling;
    }
    return false;
}

gm_trace_column gm_trace_find_column(const char *path)
{
    gm_trace_column c = 0;
    while (c < GM_N_COLUMNS && strcmp(COLUMN[c].name, path) != 0) c++;
    return c;
}

bool gm_trace_is_virtual(gm_trace_column column)
{
    return COLUMN[column].is_virtual;
}

bool gm_trace_in_shards(gm_trace_column column)
{
    return COLUMN[column].is_virtual || COLUMN[column].need >= TEXT;
}

static uint64_t size_of(char letter, const gm_trace_sizes *sizes)
{
    switch (letter) {
    case 'T': return sizes->T;
    case 'N': return sizes->N;
    case 'M': return sizes->N + 1;
    case 'L': return sizes->L;
    case 'E': return sizes->E;
    case 'K': return sizes->K;
    case 'S': return sizes->S;
    case 'B': return sizes->B;
    case 'U': return sizes->U;
    case 'V': return sizes->V;
    case 'X': return sizes->V + 1;
    case 'W': return sizes->W;
    default: return sizes->R;
    }
}

uint64_t gm_trace_rows(gm_trace_column column, const gm_trace_sizes *sizes)
{
    return size_of(COLUMN[column].shape[0], sizes);
}

static const char *scale_of(char letter)
{
    switch (letter) {
    case 'T': return "/token";
    case 'N': return "/document";
    case 'L': return "/layer";
    case 'E': return "/expert";
    case 'K': return "/rank";
    case 'M': return "/bound";
    case 'S': return "/logit";
    case 'B': return "/byte";
    case 'U': return "/subset";
    case 'V': return "/spelt";
    case 'X': return "/spelt_bound";
    case 'W': return "/spelt_byte";
    default: return "/reason";
    }
}

/* Chunks that h5py's default cache of 1 MiB holds: rows of 384 KiB, and for counts,
 * which are read by document, of 512 KiB. */
static size_t chunk_rows_of(gm_trace_column column, size_t row_bytes)
{
    if (column == GM_COL_COUNTS) return gm_h5_chunk_rows(row_bytes, 512 << 10, 1, 1024);
    if (column == GM_COL_TEXT_BYTES || column == GM_COL_SPELT_BYTES) return 256 << 10;
    return gm_h5_chunk_rows(row_bytes, 384 << 10, 256, 8192);
}

gm_h5_layout gm_trace_layout(gm_trace_column column, const gm_trace_sizes *sizes)
{
    const column_spec *spec = &COLUMN[column];
    gm_h5_layout layout = {.name = spec->name,
                           .type = spec->type,
                           .stored = H5I_INVALID_HID,
                           .rank = (int)strlen(spec->shape),
                           .shuffle = spec->shuffle,
                           .about = spec->about};
    if (column == GM_COL_EXPERT && sizes->E > UINT8_MAX) {
        layout.type = GM_H5_U16;
        layout.shuffle = true;
    }
    size_t row_bytes = gm_h5_type_size(layout.type);
    for (int i = 0; i < layout.rank; i++) {
        layout.dim[i] = size_of(spec->shape[i], sizes);
        layout.scale[i] = scale_of(spec->shape[i]);
        if (i > 0) row_bytes *= (size_t)layout.dim[i];
    }
    layout.chunk_rows = chunk_rows_of(column, row_bytes);
    return layout;
}

void gm_trace_fold_digest(const gm_trace_info *info, gm_trace_hashes hashes, char hex[65])
{
    gm_sha256 hash;
    uint8_t digest[32];
    const char *fingerprint = info->fingerprint ? info->fingerprint : "";
    gm_sha256_init(&hash);
    gm_sha256_update(&hash, fingerprint, strlen(fingerprint));
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) {
        if (!gm_trace_has(info, c)) continue;
        gm_sha256_update(&hash, COLUMN[c].name, strlen(COLUMN[c].name));
        gm_sha256_update(&hash, hashes[c], 32);
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
}

/* ---- root attributes ---- */

static const struct {
    const char *name;
    size_t at;
} INFO_TEXT[] = {
    {"model", offsetof(gm_trace_info, model)},
    {"architecture", offsetof(gm_trace_info, architecture)},
    {"family", offsetof(gm_trace_info, family)},
    {"model_digest", offsetof(gm_trace_info, model_digest)},
    {"tokenizer_digest", offsetof(gm_trace_info, tokenizer_digest)},
    {"numerics", offsetof(gm_trace_info, numerics)},
    {"kernels", offsetof(gm_trace_info, kernels)},
    {"device", offsetof(gm_trace_info, device)},
    {"invariance", offsetof(gm_trace_info, invariance)},
    {"scoring", offsetof(gm_trace_info, scoring)},
    {"command", offsetof(gm_trace_info, command)},
    {"options", offsetof(gm_trace_info, options)},
    {"fingerprint", offsetof(gm_trace_info, fingerprint)},
    {"provenance", offsetof(gm_trace_info, provenance)},
    {"steering", offsetof(gm_trace_info, steering)},
    {"config_digest", offsetof(gm_trace_info, config_digest)},
};

/* Files written before there was the last of them are read as well. */
enum { N_INFO_TEXTS = sizeof INFO_TEXT / sizeof INFO_TEXT[0], N_FIRST_TEXTS = N_INFO_TEXTS - 1 };

static const char **text_of(gm_trace_info *info, size_t i)
{
    return (const char **)((char *)info + INFO_TEXT[i].at);
}

gm_status gm_trace_put_info(hid_t file, const gm_trace_info *info, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_info copy = *info; /* text_of needs one that is not const */
    GM_TRY(gm_h5_put_text(file, "schema_name", "gm-trace", err));
    GM_TRY(gm_h5_put_i64(file, "schema", GM_TRACE_SCHEMA, err));
    GM_TRY(gm_h5_put_i64(file, "n_layers", info->n_layers, err));
    GM_TRY(gm_h5_put_i64(file, "n_experts", info->n_experts, err));
    GM_TRY(gm_h5_put_i64(file, "n_chosen", info->n_chosen, err));
    GM_TRY(gm_h5_put_text(file, "record", gm_record_level_name[info->level], err));
    GM_TRY(gm_h5_put_i64(file, "has_text", info->has_text, err));
    GM_TRY(gm_h5_put_i64(file, "has_nll", info->has_nll, err));
    GM_TRY(gm_h5_put_f64(file, "logits_rate", info->logits_rate, err));
    GM_TRY(gm_h5_put_i64(file, "renormalised", info->renormalised, err));
    GM_TRY(gm_h5_put_f64(file, "routed_scale", info->routed_scale, err));
    for (size_t i = 0; i < N_INFO_TEXTS; i++)
        GM_TRY(gm_h5_put_text(file, INFO_TEXT[i].name, *text_of(&copy, i), err));
out:
    return status;
}

static gm_status get_level(hid_t file, gm_arena *arena, gm_record_level *level, gm_error *err)
{
    const char *text = NULL;
    gm_status status = gm_h5_get_text(file, "record", arena, &text, err);
    if (status != GM_OK) return status;
    for (int i = 0; i < GM_N_RECORD_LEVELS; i++) {
        if (strcmp(text, gm_record_level_name[i]) != 0) continue;
        *level = (gm_record_level)i;
        return GM_OK;
    }
    return gm_h5_fail(err, GM_EFORMAT, file,
                      "attribute 'record' is '%s', expected counts, choices or logits", text);
}

gm_status gm_trace_get_info_of(hid_t file, gm_arena *arena, gm_trace_info *info, gm_error *err)
{
    gm_status status = GM_OK;
    int64_t L, E, K, has_text, has_nll, renormalised;
    *info = (gm_trace_info){0};
    GM_TRY(gm_h5_check_schema(file, "gm-trace", GM_TRACE_SCHEMA, err));
    GM_TRY(gm_h5_get_i64(file, "n_layers", 1, GM_MAX_LAYERS, &L, err));
    GM_TRY(gm_h5_get_i64(file, "n_experts", 1, UINT16_MAX, &E, err));
    GM_TRY(gm_h5_get_i64(file, "n_chosen", 1, E, &K, err));
    GM_TRY(get_level(file, arena, &info->level, err));
    GM_TRY(gm_h5_get_i64(file, "has_text", 0, 1, &has_text, err));
    GM_TRY(gm_h5_get_i64(file, "has_nll", 0, 1, &has_nll, err));
    GM_TRY(gm_h5_get_f64(file, "logits_rate", &info->logits_rate, err));
    GM_TRY(gm_h5_get_i64(file, "renormalised", 0, 1, &renormalised, err));
    GM_TRY(gm_h5_get_f64(file, "routed_scale", &info->routed_scale, err));
    for (size_t i = 0; i < N_FIRST_TEXTS; i++)
        GM_TRY(gm_h5_get_text(file, INFO_TEXT[i].name, arena, text_of(info, i), err));
    GM_TRY(gm_h5_find_text(file, "config_digest", arena, &info->config_digest, err));
    GM_TRY(gm_h5_check_object(file, "options", info->options, err));
    GM_TRY(gm_h5_check_object(file, "provenance", info->provenance, err));
    GM_TRY(gm_h5_check_object(file, "steering", info->steering, err));
    info->n_layers = (int)L;
    info->n_experts = (int)E;
    info->n_chosen = (int)K;
    info->has_text = has_text != 0;
    info->has_spelling = info->level >= GM_RECORD_CHOICES && gm_h5_has(file, "/spelling");
    info->no_gates = info->level >= GM_RECORD_CHOICES && !gm_h5_has(file, "/routing/gate");
    info->no_margins = info->level >= GM_RECORD_CHOICES && !gm_h5_has(file, "/routing/margin");
    info->has_norms = info->level >= GM_RECORD_CHOICES && gm_h5_has(file, "/routing/output_norm");
    info->has_language = gm_h5_has(file, "/samples/language");
    info->has_nll = has_nll != 0;
    info->renormalised = renormalised != 0;
out:
    return status;
}
