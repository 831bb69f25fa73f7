/* atlas_notes.h - the JSON an atlas carries: parameters, quality figures, provenance.
 *
 * Texts live in the arena. Errors of all: GM_EMEM.
 */
#ifndef GM_ATLAS_NOTES_H
#define GM_ATLAS_NOTES_H

#include "base/arena.h"
#include "cluster/analysis.h"
#include "formats/atlas.h"

/* Every parameter as it was used, defaults and automatic choices included. */
gm_status gm_atlas_note_parameters(const char **json, gm_arena *arena, const gm_analysis *analysis,
                                   const gm_trace *trace, const gm_fit_options *options,
                                   gm_error *err) GM_MUST_USE;

/* How far to trust it; figures rounded to 6 decimals, what is not known is null. */
gm_status gm_atlas_note_quality(const char **json, gm_arena *arena, const gm_analysis *analysis,
                                const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

gm_status gm_atlas_note_provenance(const char **json, gm_arena *arena, gm_error *err) GM_MUST_USE;

#endif
