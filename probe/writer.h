/* writer.h - the thread that writes finished blocks as shards, behind a ring that blocks
 * when it is full and never drops.
 */
#ifndef GM_PROBE_WRITER_H
#define GM_PROBE_WRITER_H

#include "probe/block.h"

typedef struct gm_writer gm_writer;

/* `info` and `folder` are borrowed until the finish. */
gm_status gm_writer_create(gm_writer **out, const char *folder, const gm_trace_info *info,
                           gm_error *err) GM_MUST_USE;
/* Hand over a block (taken in every case). Fails with what the thread failed with. */
gm_status gm_writer_put(gm_writer *writer, gm_probe_block *block, gm_error *err) GM_MUST_USE;
/* Write what waits, end the thread, free. NULL is fine. */
gm_status gm_writer_finish(gm_writer *writer, gm_error *err) GM_MUST_USE;

#endif
