/* kernels_neon.c - the kernels for 64-bit ARM, every one of which has NEON: 32 registers of 4
 * floats. */
#if defined(__aarch64__)
#define GM_LANES_NEON
#define KERNELS      gm_kernels_neon
#define KERNELS_NAME "neon"
#define SHAPES_F32   X(4, 1) X(2, 2) X(1, 4)
#define SHAPES_BF16  X(2, 1) X(1, 2)
#include "engine/cpu/kernels_body.h"
#else
typedef int gm_no_neon_here; /* ISO C wants a declaration */
#endif
