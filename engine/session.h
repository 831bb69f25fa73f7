/* session.h - the inside of a gm_session, shared by session.c and step.c. */
#ifndef GM_SESSION_H
#define GM_SESSION_H

#include "engine/model.h"
#include "engine/ops.h"

/* Rows of a step that go through a layer together. */
typedef struct gm_step_piece {
    gm_work work; /* the session's; x and bad are the piece's part of the whole step's */
    gm_record record;
    gm_result result;
} gm_step_piece;

struct gm_session {
    const gm_model *model; /* borrowed: it outlives the session */
    size_t max_rows;
    bool may_run_alone;                /* options.threads was 0: small steps on one thread */
    const gm_accelerator *accelerator; /* NULL: host memory, and the team */
    void *own;                         /* the accelerator's */
    gm_team *team;
    gm_kv kv;
    gm_work work;
    gm_edits edits;
    /* the step being run */
    gm_row *row;           /* (max_rows) */
    gm_tile *tile;         /* (max_rows) */
    gm_sequence_rows *run; /* (max_rows), or NULL where steps have none */
    gm_head_row *head;     /* (max_rows) */
    float **residual;      /* (max_rows) */
    /* decoding */
    gm_segment *segment; /* (max_rows) */
    uint32_t *decoded;   /* (max_rows) tokens fed back */
    /* A step runs in pieces of piece_rows: one, or several layer by layer. */
    bool by_layer;
    bool norms;                  /* steps may record them */
    size_t piece_rows, n_pieces; /* most pieces */
    gm_step *step;               /* (n_pieces) */
    gm_step_piece *piece;        /* (n_pieces) */
    gm_buf x, bad;               /* by_layer: of the whole step, as in gm_work */
    gm_watch watch;
    struct gm_layer_stream *stream; /* the model's, taken until the session ends; NULL: none */
};

/* Sizes for options that are in range. */
gm_session_sizes gm_session_sizes_of(const gm_arch *arch, const gm_session_options *options);

/* gm_session_bytes of engine.h on the CPU, for a model that is not opened yet. */
uint64_t gm_session_bytes_for(const gm_arch *arch, gm_numerics numerics,
                              const gm_session_options *options);

#endif
