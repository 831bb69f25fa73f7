/* layout_lanes.c - one body over all lanes, compiled for each instruction set. See layout_lanes.h.
 */
#include "cluster/layout_lanes.h"

#include <string.h>

/* The vectors of gcc and clang: every operation is the IEEE one on each lane, whatever registers
 * it is made of. They never pass between functions (-Wno-psabi in CMakeLists.txt). */
enum { WIDE = 16, VECTORS = GM_LANES / WIDE };
typedef float v16 __attribute__((vector_size(WIDE * sizeof(float))));
typedef int32_t v16i __attribute__((vector_size(WIDE * sizeof(int32_t))));
typedef uint32_t v16u __attribute__((vector_size(WIDE * sizeof(uint32_t))));
#define INLINE static inline __attribute__((always_inline))

/* The forces in vectors. */
typedef struct field {
    v16 a, b, alpha, pull, push; /* pull: -2 a b, push: 2 b times the repulsion */
    const gm_layout_step *step;
    const float *inverse, *term, *at;
    v16 scale; /* of densMAP */
} field;

typedef struct vector {
    v16 at[GM_MAX_LAYOUT_DIM], term[2];
    v16i next, left;
} vector;

#define EACH(base, at)                                                                           \
    {                                                                                            \
        (base)[(at)[0]], (base)[(at)[1]], (base)[(at)[2]], (base)[(at)[3]], (base)[(at)[4]],     \
            (base)[(at)[5]], (base)[(at)[6]], (base)[(at)[7]], (base)[(at)[8]], (base)[(at)[9]], \
            (base)[(at)[10]], (base)[(at)[11]], (base)[(at)[12]], (base)[(at)[13]],              \
            (base)[(at)[14]], (base)[(at)[15]]                                                   \
    }

#define NAME(x) x##_portable
#define TARGET
#define GATHER(base, at)   (v16) EACH(base, at)
#define GATHER_I(base, at) (v16i) EACH(base, at)
#include "cluster/layout_lanes_body.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define NAME(x)            x##_avx2
#define TARGET             __attribute__((target("avx2,fma")))
#define GATHER(base, at)   (v16) EACH(base, at)
#define GATHER_I(base, at) (v16i) EACH(base, at)
#include "cluster/layout_lanes_body.h"

#define NAME(x)            x##_avx512
#define TARGET             __attribute__((target("avx512f")))
#define GATHER_I(base, at) (v16i) _mm512_i32gather_epi32((__m512i)(at), base, 4)
#define GATHER(base, at)   (v16) _mm512_i32gather_ps((__m512i)(at), base, 4)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion" /* in gcc's own macros, unoptimised */
#include "cluster/layout_lanes_body.h"
#pragma GCC diagnostic pop

void gm_lanes_move(gm_lanes *lanes, int count, const gm_layout_step *step, const float *inverse,
                   const float *at, int dim, const gm_forces *forces, gm_isa isa)
{
    if (isa >= GM_ISA_AVX512F)
        lanes_avx512(lanes, count, step, inverse, at, dim, forces);
    else if (isa == GM_ISA_AVX2)
        lanes_avx2(lanes, count, step, inverse, at, dim, forces);
    else
        lanes_portable(lanes, count, step, inverse, at, dim, forces);
}
#else
void gm_lanes_move(gm_lanes *lanes, int count, const gm_layout_step *step, const float *inverse,
                   const float *at, int dim, const gm_forces *forces, gm_isa isa)
{
    (void)isa;
    lanes_portable(lanes, count, step, inverse, at, dim, forces);
}
#endif
