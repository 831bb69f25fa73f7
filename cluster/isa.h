/* isa.h - which instructions a step may use. It decides how long the step takes, never what
 * comes out: tests/twin holds every kernel against the portable one.
 */
#ifndef GM_ISA_H
#define GM_ISA_H

#include "base/base.h"

/* Each has what the one before it has. */
typedef enum gm_isa {
    GM_ISA_PORTABLE, /* what the compiler was allowed to use */
    GM_ISA_AVX2,     /* and FMA */
    GM_ISA_AVX512F,  /* and DQ */
    GM_ISA_AMX       /* tiles of bfloat16 and of bytes; asks the kernel for leave to use them */
} gm_isa;

/* The best that this processor has, but no better than the environment's GM_KERNELS names, which
 * is for tests and for measuring. */
gm_isa gm_isa_best(void);
const char *gm_isa_name(gm_isa isa);

/* "auto" (or NULL): the best here; or one by its name. Errors: GM_EARG no such name; GM_EABSENT
 * this processor lacks it. */
gm_status gm_isa_find(gm_isa *out, const char *name, gm_error *err) GM_MUST_USE;

#endif
