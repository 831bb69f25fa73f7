/* kernels_portable.c - the kernels in plain C, one lane after the other: the
 * definition that the others repeat bit for bit. */
#define KERNELS      gm_kernels_portable
#define KERNELS_NAME "portable"
#define SHAPES_F32   X(1, 1)
#define SHAPES_BF16  X(1, 1)
#include "engine/cpu/kernels_body.h"
