/* cache_file.h - where the cache of packed weights is, and what is said of it. Private to hold.c.
 *
 * Beside the checkpoint: FOLDER/packed-bf16.gm. In a folder for many models:
 * DIR/0123456789abcdef-bf16.gm, by the digest of the weights.
 */
#ifndef GM_CACHE_FILE_H
#define GM_CACHE_FILE_H

#include "engine/packed.h"
#include "engine/reader.h"

/* What weights are made from. */
typedef struct gm_holding {
    gm_weights *weights;
    const gm_arch *arch;
    const gm_checkpoint *checkpoint;
    const gm_model_info *info;
    const gm_model_options *options;
    uint8_t key[GM_PACKED_KEY];
} gm_holding;

/* Tell the user. */
void gm_say(const gm_holding *holding, const char *fmt, ...) GM_PRINTF(2, 3);

/* The cache of these weights; NULL: there is none, or it is switched off. The user is told about
 * one of another model or version, or cut short, unless `quiet`. GM_EMEM. */
gm_status gm_cache_find(const gm_holding *holding, bool quiet, gm_packed **out, gm_error *err)
    GM_MUST_USE;

/* Write the resident image as a cache; a failure is told to the user, no more. */
void gm_cache_write(const gm_holding *holding);

/* Pack section by section into a cache, in the memory of the largest section, and open it. Waits
 * for another process that is writing it. GM_EARG: it is switched off; GM_EIO. */
gm_status gm_cache_build(const gm_holding *holding, gm_packed **packed, gm_error *err) GM_MUST_USE;

#endif
