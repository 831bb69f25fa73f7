/* model_options.h - rows of an option table that all programs which run a model have in common. `o`
 * points to a struct whose members are called as here: texts device, kernels and cache_dir; int
 * numerics (gm_numerics) and cache (gm_cache); int64_t threads; bool map and strict_memory.
 */
#ifndef GM_MODEL_OPTIONS_H
#define GM_MODEL_OPTIONS_H

#include "base/cli.h"
#include "engine/engine.h"

/* clang-format off */
/* What computes, and how. */
#define GM_COMPUTE_OPTIONS(o)                                                                      \
    {GM_OPT_TEXT, "device", &(o)->device, 0, 0, "NAME",                                            \
     "auto (a GPU if the model fits on it, else the CPU), cpu, cuda or cuda:N"},                   \
    {GM_OPT_TEXT, "kernels", &(o)->kernels, 0, 0, "NAME",                                          \
     GM_KERNELS ": same results, different speed"},                                                \
    {GM_OPT_CHOICE, "numerics", &(o)->numerics, 0, 0, GM_NUMERICS_CHOICES,                         \
     "arithmetic of matrix products; auto: that of the stored weights"},                           \
    {GM_OPT_I64, "threads", &(o)->threads, 0, GM_MAX_THREADS, "N",                                 \
     "threads; 0: all that the process may use"}

/* How its weights come into memory. */
#define GM_PACKED_OPTIONS(o)                                                                       \
    {GM_OPT_FLAG, "map", &(o)->map, 0, 0, NULL,                                                    \
     "map the file of packed weights instead of loading it: starts at once"},                      \
    {GM_OPT_CHOICE, "cache", &(o)->cache, 0, 0, "use|write|off",                                   \
     "file of packed weights, for faster starts: use one, write one if missing, or neither"},      \
    {GM_OPT_TEXT, "cache-dir", &(o)->cache_dir, 0, 0, "DIR",                                       \
     "folder of that file, if not beside the checkpoint"},                                         \
    {GM_OPT_FLAG, "strict-memory", &(o)->strict_memory, 0, 0, NULL,                                \
     "fail if memory is too small, instead of running slowly"}
/* clang-format on */

#endif
