/* fill.h - reading a checkpoint's tensors into the panels and rows of weights.h.
 *
 * A fill is a list of jobs, each some rows of one tensor and the place they go to. Jobs are
 * added by layer and run by a team, or by the thread that asks. The places must be zero where
 * no tensor reaches.
 */
#ifndef GM_FILL_H
#define GM_FILL_H

#include "engine/team.h"
#include "engine/weights.h"

typedef struct gm_fill gm_fill;

/* For teams of at most `workers`; checkpoint and arch are borrowed. GM_EMEM. */
gm_status gm_fill_create(gm_fill **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                         size_t workers, gm_error *err) GM_MUST_USE;
void gm_fill_free(gm_fill *fill);
/* About the bytes that this takes. */
uint64_t gm_fill_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint, size_t workers);

/* Add the tensors of section `i` of the image; a layer's go to *layer (NULL: the weights'
 * own). GM_EMEM, GM_EFORMAT, GM_ESHAPE. */
gm_status gm_fill_add(gm_fill *fill, gm_weights *weights, size_t i, gm_layer *layer, gm_error *err)
    GM_MUST_USE;

/* Run the jobs and forget them; team NULL: on this thread. The progress is called from this
 * thread. GM_EIO: names the file. */
gm_status gm_fill_run(gm_fill *fill, gm_team *team, gm_load_progress *progress, void *context,
                      gm_error *err) GM_MUST_USE;

#endif
