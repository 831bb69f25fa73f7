/* session.h - the inside of a gm_session, shared by session.c and step.c. */
#ifndef GM_SESSION_H
#define GM_SESSION_H

#include "engine/model.h"
#include "engine/ops.h"

struct gm_session {
    const gm_model *model; /* borrowed: it outlives the session */
    size_t max_rows;
    bool may_run_alone; /* the number of threads was left to us */
    gm_team *team;
    gm_kv kv;
    gm_work work;
    gm_edits edits;
    /* the step being run */
    gm_row *row;       /* (max_rows) */
    gm_tile *tile;     /* (max_rows) */
    gm_head_row *head; /* (max_rows) */
};

#endif
