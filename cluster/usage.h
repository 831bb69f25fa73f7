/* usage.h - the documents of a trace as usage vectors, in an order that no shard, file or
 * thread decides.
 *
 * Sizes: N documents, L MoE layers, E experts, D = L*E, S subsets.
 *
 * Documents are put in canonical order, by (SHA-256 of the usage vector, SHA-256 of the
 * text, id), and everything is computed in it; random numbers keyed by place then do not
 * depend on the order of the corpus. `place` leads back. Equal vectors are neighbours and
 * kept once, so a million documents of a token each take the memory of their vocabulary.
 */
#ifndef GM_USAGE_H
#define GM_USAGE_H

#include "base/arena.h"
#include "base/progress.h"
#include "formats/trace.h"

typedef enum gm_usage_kind {
    GM_USAGE_COUNTS, /* how often an expert was chosen */
    GM_USAGE_GATES   /* the sum of its gate weights */
} gm_usage_kind;
#define GM_USAGE_CHOICES "counts|gates"

typedef struct gm_usage {
    size_t n, dim;      /* N, D */
    const float **row;  /* (N) the vector (D) of the document at each canonical place: it sums to 1,
                           or is zero; equal ones are the same */
    uint32_t *place;    /* (N) place in the trace of the document at each canonical place */
    uint8_t (*sha)[32]; /* (N,32) of the text, canonical order */
    uint16_t *subset;   /* (N) canonical order */
    uint32_t *point;    /* (N) 0.. counts distinct rows upwards; GM_NO_POINT: a row of zeros */
    size_t n_zero;      /* documents without a single counted choice: rows of zeros */
    size_t n_distinct;  /* distinct rows, zeros left out */
    gm_arena rows;      /* what `row` points to */
} gm_usage;

#define GM_NO_POINT UINT32_MAX

/* Read the whole trace. Errors: those of gm_trace; GM_EABSENT for gates that were not
 * recorded (says how to record them); GM_EMEM, also before the system runs short (says how much
 * was wanted, and how much is there). */
gm_status gm_usage_read(gm_usage *out, gm_trace *trace, gm_usage_kind kind, gm_progress *progress,
                        gm_error *err) GM_MUST_USE;
void gm_usage_clear(gm_usage *usage);

/* The same vectors in the order of the trace, some documents at a time. */
typedef struct gm_usage_reader gm_usage_reader;

enum { GM_USAGE_BLOCK = 256 }; /* documents at a time, at most */

/* The trace is borrowed. Errors: GM_EABSENT as above; GM_EMEM. */
gm_status gm_usage_reader_open(gm_usage_reader **out, gm_trace *trace, gm_usage_kind kind,
                               gm_error *err) GM_MUST_USE;
/* rows (n,D), written: documents [first, first + n). Errors: those of gm_trace. */
gm_status gm_usage_reader_read(gm_usage_reader *reader, size_t first, size_t n, float *rows,
                               gm_error *err) GM_MUST_USE;
void gm_usage_reader_close(gm_usage_reader *reader);

#endif
