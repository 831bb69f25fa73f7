/* writer.h - the thread that writes finished blocks as shards, one at a time while the
 * next is computed. A second one waits: what a kill can cost is the block that is being
 * written and what has been computed of the one behind it.
 */
#ifndef GM_PROBE_WRITER_H
#define GM_PROBE_WRITER_H

#include "probe/block.h"

typedef struct gm_writer gm_writer;

/* `info` and `folder` are borrowed until the finish. */
gm_status gm_writer_create(gm_writer **out, const char *folder, const gm_trace_info *info,
                           gm_error *err) GM_MUST_USE;
/* Hand over a block (taken in every case); the one before is committed when this
 * returns GM_OK. Fails with what the thread failed with. */
gm_status gm_writer_put(gm_writer *writer, gm_probe_block *block, gm_error *err) GM_MUST_USE;
/* Write what waits, end the thread, free. NULL is fine. */
gm_status gm_writer_finish(gm_writer *writer, gm_error *err) GM_MUST_USE;

#endif
