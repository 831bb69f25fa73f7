/* kernels_avx512.c - the kernels for AVX-512F: 32 registers of 16 floats. */
#if defined(__AVX512F__)
#define GM_LANES_AVX512
#define KERNELS      gm_kernels_avx512f
#define KERNELS_NAME "avx512f"
#define SHAPES_F32   X(8, 2) X(4, 4) X(2, 8) X(1, 8)
#define SHAPES_BF16  X(8, 1) X(4, 2) X(2, 4) X(1, 8)
#include "engine/cpu/kernels_body.h"
#else
typedef int gm_no_avx512_here; /* ISO C wants a declaration */
#endif
