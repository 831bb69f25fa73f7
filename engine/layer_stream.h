/* layer_stream.h - layers read from disk one after the other, for models larger than memory.
 *
 * A thread of its own reads and packs the layers in turn, over and over, into two slots: while
 * one layer is computed with, the next one is read. What a step of T rows costs is the larger
 * of reading the model once and computing T rows; so steps should be long (engine.h,
 * piece_rows). One session at a time may use a streamed model.
 *
 * If a layer cannot be read, the step goes on with undefined weights and fails at its end.
 */
#ifndef GM_LAYER_STREAM_H
#define GM_LAYER_STREAM_H

#include "engine/team.h"
#include "engine/weights.h"

typedef struct gm_layer_stream gm_layer_stream;

/* Begin to read layer 0. What is passed is borrowed until the stream is freed. GM_EMEM. */
gm_status gm_layer_stream_create(gm_layer_stream **out, gm_weights *weights, const gm_arch *arch,
                                 const gm_checkpoint *checkpoint, gm_error *err) GM_MUST_USE;
void gm_layer_stream_free(gm_layer_stream *stream);

/* Bytes of two layers, the largest being of `layer_bytes`, and of what reading takes. */
uint64_t gm_layer_stream_bytes(uint64_t layer_bytes, const gm_arch *arch,
                               const gm_checkpoint *checkpoint);

/* Wait for the layer; every worker calls this. Layers between the last one released and this one
 * are skipped, as after a step that was stopped. */
const gm_layer *gm_layer_stream_acquire(gm_layer_stream *stream, const gm_worker *me, size_t layer);

/* No worker uses the layer any longer; one of them calls this. */
void gm_layer_stream_release(gm_layer_stream *stream);

/* The first failure of reading. */
gm_status gm_layer_stream_status(gm_layer_stream *stream, gm_error *err) GM_MUST_USE;

/* Seconds that computing has waited for layers. */
double gm_layer_stream_waited(gm_layer_stream *stream);

/* True once, until gm_layer_stream_give_back: for the session that uses it. */
bool gm_layer_stream_take(gm_layer_stream *stream);
void gm_layer_stream_give_back(gm_layer_stream *stream);

#endif
