/* kernels_avx2.c - the kernels for AVX2 with FMA: 16 registers of 8 floats. */
#if defined(__AVX2__) && defined(__FMA__)
#define GM_LANES_AVX2
#define KERNELS      gm_kernels_avx2
#define KERNELS_NAME "avx2"
#define SHAPES_F32   X(4, 1) X(2, 2) X(1, 4)
#define SHAPES_BF16  X(2, 1) X(1, 2)
#include "engine/cpu/kernels_body.h"
#else
typedef int gm_no_avx2_here; /* ISO C wants a declaration */
#endif
