/* trace.h - the trace: what the router chose, per token and layer, in HDF5.
 *
 * Sizes: T tokens recorded, N documents, L MoE layers, E experts, K per token.
 *
 * Schema 1 (all shapes in C order; h5py and, by h5netcdf, xarray open it; netCDF-C all but f16):
 *   /routing/expert_id  u8 (u16 when E > 255) (T,L,K)  strongest gate first; fill value
 *                       and sentinel 0xFF (0xFFFF), in bad rows only
 *   /routing/gate       f16 (T,L,K)   what multiplies the expert's output (of Llama 4: its input)
 *   /routing/output_norm  f32 (T,L,K), optional: L2 norm of what the gate multiplies, the expert's
 *                       output; NaN in bad rows. f32, since massive outputs pass f16's 65504
 *   /routing/topk_mass, /routing/margin   f16 (T,L): the chosen scores before renormalising, summed
 *                       (up to 1; of sigmoids up to K), and rank K minus rank K+1 of what the
 *                       choice is by: logits, or corrected scores
 *   /routing/logits     f16 (S,L,E), /routing/logits_token u64 (S): a sample of tokens
 *   /tokens/token_id, sample, pos  u32 (T); phase u8 (T); nll f32 (T), optional
 *                       (-ln p of the token given those before it; NaN for a document's
 *                       first)
 *   /samples/offset     u64 (N+1)     document i has tokens offset[i] .. offset[i+1]-1
 *   /samples/id, sha    text of 64 bytes (N); subset enum (N); n_tokens, bad u32 (N);
 *                       truncated u8 (N)
 *   /samples/language   text of 64 bytes (N), optional: as the corpus's records name it; ""
 *                       unknown
 *   /samples/counts     u32 (N,L,E)   always present; per layer they sum to
 *                       (n_tokens - bad) * K
 *   /text/bytes u8, /text/offset u64 (N+1), optional
 *   /spelling/token_id u32 (V), offset u64 (V+1), bytes u8, optional: what each token that
 *                       occurs in a text adds to it, ids ascending. For traces without texts,
 *                       whose words then come from their tokens
 *   /corpus/skipped     reasons and numbers of documents left out
 *   /layer, /expert, /rank, /token, /document, /bound (N+1), /logit, /byte, /subset,
 *                       /reason, /spelt, /spelt_bound (V+1), /spelt_byte: dimension scales;
 *                       /layer holds model layers
 *   root attributes     schema, everything that is needed to repeat the run
 *
 * With `--record counts` the groups /routing and /tokens are absent. Choices that another engine
 * recorded may lack gate, or topk_mass and margin.
 *
 * A file that holds committed data is never written again. A run is a folder of
 * shards `OUT.parts/NNNNNN.h5`, one a block, each committed by rename; at the end
 * they are merged into one file. See README.md of this folder.
 */
#ifndef GM_TRACE_H
#define GM_TRACE_H

#include "base/text.h"

#define GM_TRACE_SCHEMA 1

enum { GM_TRACE_MAX_SUBSETS = UINT16_MAX };

typedef enum gm_record_level {
    GM_RECORD_COUNTS,
    GM_RECORD_CHOICES,
    GM_RECORD_LOGITS, /* choices, and the logits of a sample of tokens */
    GM_N_RECORD_LEVELS
} gm_record_level;
extern const char *const gm_record_level_name[GM_N_RECORD_LEVELS]; /* "counts", ... */

/* Values of /tokens/phase. Template tokens, which the tokenizer or a chat template adds, are
 * recorded and not counted. */
enum { GM_TRACE_PROMPT, GM_TRACE_GENERATED, GM_TRACE_TEMPLATE, GM_TRACE_N_PHASES };
extern const char *const gm_trace_phase_name[GM_TRACE_N_PHASES];

/* What holds for a whole trace. Texts are borrowed when given, owned by the trace
 * when read. */
typedef struct gm_trace_info {
    int n_layers, n_experts, n_chosen; /* L, E, K */
    const int *layer_of_moe;           /* (L) */
    gm_record_level level;
    bool has_text, has_spelling, has_language, has_nll;
    bool no_gates, no_margins; /* choices without gates; without masses and margins */
    bool has_norms;            /* choices with the norms of experts' outputs */
    double logits_rate;        /* share of tokens whose logits are kept */
    const char *model;         /* folder's last part, or the name given */
    const char *architecture, *family;
    const char *model_digest;  /* gm_model_info.digest */
    const char *config_digest; /* gm_model_info.config_digest; "" in files of older programs */
    const char *tokenizer_digest;
    const char *numerics, *kernels, *device; /* "bf16", "avx512f", "cpu" */
    const char *invariance;                  /* "A" or "B": engine/engine.h */
    const char *scoring;
    bool renormalised;
    double routed_scale;
    const char *command;     /* the command line */
    const char *options;     /* JSON object: every option that shapes the content */
    const char *fingerprint; /* SHA-256 of model, tokenizer, corpus and options; 64 hex */
    const char *provenance;  /* JSON object of gm_version_put */
    const char *steering;    /* JSON object of the plan, "" when unsteered */
} gm_trace_info;

/* ---- reading: errors are GM_EARG (outside the trace), GM_EIO, GM_EFORMAT, GM_EMEM ---- */

typedef struct gm_trace gm_trace;

/* Columns of /samples, read when the trace is opened; owned by the trace. */
typedef struct gm_trace_samples {
    size_t n;               /* N */
    const uint64_t *offset; /* (N+1); all zero when only counts were recorded */
    const uint32_t *n_tokens, *bad;
    const uint8_t *truncated;
    const uint16_t *subset; /* (N) index into subset_name */
    size_t n_subsets;
    const char *const *subset_name;
    const char *const *id;       /* (N) */
    const uint8_t *sha;          /* (N,32) */
    const char *const *language; /* (N); NULL when the trace has none */
} gm_trace_samples;

/* Open a trace: one file, an index made by `merge --index`, or a folder of shards.
 * The schema, every shape and the sums of offsets are checked. GM_EIO, GM_EFORMAT,
 * GM_ESHAPE, GM_EMEM. */
gm_status gm_trace_open(gm_trace **out, const char *path, gm_error *err) GM_MUST_USE;
void gm_trace_close(gm_trace *trace);
const gm_trace_info *gm_trace_get_info(const gm_trace *trace);
const gm_trace_samples *gm_trace_get_samples(const gm_trace *trace);
uint64_t gm_trace_n_tokens(const gm_trace *trace); /* T; 0 when only counts were recorded */

/* Some layers and some documents of a trace. */
typedef struct gm_trace_selection {
    const int *layer; /* (n_layers) numbers of the model's layers, ascending */
    int n_layers;     /* 0: all */
    const char *const *subset;
    size_t n_subsets;    /* 0: the documents of all */
    uint32_t min_tokens; /* documents with fewer counted tokens are left out */
} gm_trace_selection;

/* From now on the trace is the selection: info, samples, rows of counts, routing and tokens, and
 * texts are of the selected layers and documents alone, in the order of the whole; subsets without
 * a selected document are gone, and so are logits. Once for a trace; a selection of everything
 * changes nothing. Errors: GM_EARG for a layer or a subset that is not there, naming those that
 * are; GM_EMEM. */
gm_status gm_trace_select(gm_trace *trace, const gm_trace_selection *selection, gm_error *err)
    GM_MUST_USE;
/* As they were before. */
const gm_trace_info *gm_trace_get_whole_info(const gm_trace *trace);
const gm_trace_samples *gm_trace_get_whole_samples(const gm_trace *trace);

/* How many tokens from `first` < T on, at most `most`, are best read at once: none is of another
 * shard, which would have to be opened. */
size_t gm_trace_batch(const gm_trace *trace, uint64_t first, size_t most);

/* Documents [first, first+n): counts (n,L,E), written. */
gm_status gm_trace_read_counts(gm_trace *trace, size_t first, size_t n, uint32_t *counts,
                               gm_error *err) GM_MUST_USE;

/* Tokens [first, first+n); NULL outputs are not read. expert (n,L,K) with
 * GM_TRACE_NO_EXPERT for the sentinel; gate (n,L,K); mass, margin (n,L). GM_EABSENT when
 * the trace does not hold what was asked for. */
enum { GM_TRACE_NO_EXPERT = 0xFFFF };
gm_status gm_trace_read_routing(gm_trace *trace, uint64_t first, size_t n, uint16_t *expert,
                                float *gate, float *mass, float *margin, gm_error *err) GM_MUST_USE;

/* Tokens [first, first+n): norms of experts' outputs (n,L,K), NaN in bad rows. GM_EABSENT when not
 * recorded. */
gm_status gm_trace_read_norms(gm_trace *trace, uint64_t first, size_t n, float *norm, gm_error *err)
    GM_MUST_USE;

/* Tokens [first, first+n); NULL outputs are not read; nll: GM_EABSENT when not recorded. */
gm_status gm_trace_read_tokens(gm_trace *trace, uint64_t first, size_t n, uint32_t *token_id,
                               uint32_t *pos, uint8_t *phase, float *nll, gm_error *err)
    GM_MUST_USE;

/* Rows of /routing/logits: how many there are; rows [first, first+n) of them, logits
 * (n,L,E), and the tokens they belong to, ascending (n); NULL outputs are not read. */
uint64_t gm_trace_n_logits(const gm_trace *trace);
gm_status gm_trace_read_logits(gm_trace *trace, uint64_t first, size_t n, float *logits,
                               uint64_t *token, gm_error *err) GM_MUST_USE;

/* Append the text of document i, valid UTF-8, to *text. GM_EABSENT when texts were left out. */
gm_status gm_trace_read_text(gm_trace *trace, size_t i, gm_text *text, gm_error *err) GM_MUST_USE;
/* Those of documents [first, first+n), one after another, by all threads; end (n), written: the
 * length of *text after each. */
gm_status gm_trace_read_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                              gm_error *err) GM_MUST_USE;

/* What tokens add to a text inside it: " word", half a character. */
typedef struct gm_trace_spelling {
    size_t n;
    uint32_t *id;     /* (n) ascending, at most GM_TRACE_MAX_TOKEN_ID */
    uint64_t *offset; /* (n+1) id[i] has bytes offset[i] .. offset[i+1]-1 */
    char *bytes;
} gm_trace_spelling; /* starts as (gm_trace_spelling){0} */
enum { GM_TRACE_MAX_TOKEN_ID = (1 << 24) - 1, GM_TRACE_SPELLING_BYTES = 1024 /* of a token */ };
void gm_trace_spelling_clear(gm_trace_spelling *spelling);

/* gm_trace_read_texts for a trace without texts but with its tokens' spellings, which are put
 * together, by all threads. Template tokens add nothing; an invalid byte (of a character cut by the
 * last kept token) becomes a space; what the tokenizer's normalizer removed is lost. GM_EABSENT
 * without spellings; GM_EFORMAT when a token has none. */
gm_status gm_trace_spell_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                               gm_error *err) GM_MUST_USE;

/* Documents left out, by reason, and how many; owned by the trace. */
typedef struct gm_trace_skips {
    size_t n;
    const char *const *name; /* (n) */
    const uint64_t *number;  /* (n) */
} gm_trace_skips;
const gm_trace_skips *gm_trace_get_skips(const gm_trace *trace);

/* What a shard says of its block (the members of gm_trace_block); zeros elsewhere. */
void gm_trace_get_block(const gm_trace *trace, uint64_t *number, uint64_t *n_read, bool *more);

/* Does it map the shards of a folder, which then must stay? */
bool gm_trace_is_index(const gm_trace *trace);

/* SHA-256 of the contents as the file states it, 64 hex digits: the same for the same
 * run however it was interrupted. "" for a folder of shards. */
const char *gm_trace_digest(const gm_trace *trace);

/* ---- writing ---- */

/* A name (of a document, a subset, a language) as a trace keeps it: of a longer one its tail, cut
 * at a character; invalid UTF-8 is spelt \xHH. Padded with NUL. */
enum { GM_TRACE_NAME_BYTES = 64 };
void gm_trace_keep_name(char kept[GM_TRACE_NAME_BYTES], const char *name);

/* One document of a block. */
typedef struct gm_trace_document {
    const char *id; /* this and the names below: stored by gm_trace_keep_name */
    uint8_t sha[32];
    const char *subset;
    const char *language; /* unless !info->has_language */
    uint32_t n_rows;      /* rows in the token arrays, template tokens included */
    uint32_t n_tokens;    /* counted tokens (phase is not GM_TRACE_TEMPLATE) */
    uint32_t bad;         /* counted tokens whose row is bad */
    bool truncated;
    const char *text; /* the bytes of the kept tokens; NULL when left out */
    size_t n_text;
} gm_trace_document;

/* One block: consecutive documents, their tokens one after another. T here is the
 * block's number of rows. All arrays are borrowed. */
typedef struct gm_trace_block {
    size_t n_documents, n_rows;
    const gm_trace_document *document; /* (n_documents) */
    const uint32_t *counts;            /* (n_documents,L,E) */
    /* NULL below GM_RECORD_CHOICES */
    const uint16_t *expert;            /* (T,L,K) */
    const float *gate;                 /* (T,L,K); NULL if info->no_gates */
    const float *norm;                 /* (T,L,K); NULL unless info->has_norms */
    const float *mass, *margin;        /* (T,L); NULL if info->no_margins */
    const uint32_t *token_id, *pos;    /* (T) */
    const uint8_t *phase;              /* (T) */
    const float *nll;                  /* (T) or NULL */
    const gm_trace_spelling *spelling; /* of its tokens; NULL unless info->has_spelling */
    size_t n_logit_rows;               /* S */
    const uint64_t *logit_row;         /* (S) rows of this block, ascending */
    const float *logits;               /* (S,L,E) */
    const uint64_t *skipped;           /* (n_skips) documents left out before or between */
    /* for the shards of a run; zero for a trace that is one block */
    uint64_t number; /* of the block, from 0 */
    uint64_t n_read; /* documents of the corpus that went into it or were
                        left out */
    bool more;       /* the corpus goes on after it */
} gm_trace_block;

/* Write one complete trace file of one block (a shard, or a small trace), committed
 * by rename after it was closed, re-opened and its digest checked. An existing file
 * of the same content is kept, of another content is GM_EEXIST unless `replace`. */
gm_status gm_trace_write(const char *path, const gm_trace_info *info, const gm_trace_block *block,
                         const char *const *skip_name, size_t n_skips, bool replace, gm_error *err)
    GM_MUST_USE;

/* Merge the shards of a run into one file that can be moved; counts are summed again from the ids
 * and compared. Shards may be given in any order and from several folders, but each exactly once:
 * GM_EFORMAT when one is of another run, is missing, or is given twice. GM_EEXIST unless `replace`;
 * GM_EINTERRUPTED by a signal. */
gm_status gm_trace_merge(const char *out, const char *const *shards, size_t n, bool replace,
                         gm_error *err) GM_MUST_USE;

/* Write an index instead: what holds local numbers is rewritten, the large arrays are virtual
 * datasets over the shards, which must stay where they are relative to it. Errors as above;
 * GM_EARG: a path with a newline, or not UTF-8. */
gm_status gm_trace_index(const char *out, const char *const *shards, size_t n, bool replace,
                         gm_error *err) GM_MUST_USE;

/* ---- checking ---- */

typedef struct gm_trace_check {
    const char *name; /* "ids_distinct", "counts_sum", "gates_ordered", "load_entropy", ... */
    bool passed;
    char detail[512]; /* what was found: "layer 3 has load entropy 0.41 bits, floor 1.00" */
} gm_trace_check;

enum { GM_MAX_CHECKS = 16 };

/* Recompute every self-check; *n of them are filled. */
gm_status gm_trace_verify(gm_trace *trace, gm_trace_check checks[GM_MAX_CHECKS], size_t *n,
                          gm_error *err) GM_MUST_USE;

#endif
