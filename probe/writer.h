/* writer.h - the thread that writes finished blocks as shards, one at a time while the
 * next is computed. A second one waits, so a kill costs at most the block that is being
 * written and what has been computed of the next.
 */
#ifndef GM_PROBE_WRITER_H
#define GM_PROBE_WRITER_H

#include "probe/block.h"

typedef struct gm_writer gm_writer;

/* `info` and `folder` are borrowed until the finish. */
gm_status gm_writer_create(gm_writer **out, const char *folder, const gm_trace_info *info,
                           gm_error *err) GM_MUST_USE;
/* Hand over a block (taken in every case); the previous one is committed when this returns GM_OK.
 * Otherwise the error is the thread's. */
gm_status gm_writer_put(gm_writer *writer, gm_probe_block *block, gm_error *err) GM_MUST_USE;
/* Wait until the block handed over is committed, before this thread uses HDF5 itself, whose library
 * some systems build for one thread at a time. The thread's error. */
gm_status gm_writer_wait(gm_writer *writer, gm_error *err) GM_MUST_USE;
/* Write what is left, end the thread, free. NULL is allowed. */
gm_status gm_writer_finish(gm_writer *writer, gm_error *err) GM_MUST_USE;

#endif
