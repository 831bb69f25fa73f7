/* layout_steps.c - the schedule, one body for every instruction set: see layout_steps.h.
 *
 * Loops without branches, which nobody could foresee, so that the compiler can take several edges
 * or numbers at once; every operation is the same on each, so no bit depends on how many.
 */
#include "cluster/layout_steps.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define GM_X86 1
#endif

enum { TOGETHER = 16 }; /* steps copied, and random numbers drawn, at once, needed or not */

size_t gm_steps_max(size_t n_edges, int draws_a_visit)
{
    /* No visit of an edge that is due every t epochs owes more than t + 1 epochs' draws, rate/t
     * each; two pulls come with them, and one for rounding. */
    return n_edges * (2 * (size_t)draws_a_visit + 3) + (size_t)2 * TOGETHER;
}

/* Whole times that something which comes `rate` times an epoch has come by an epoch. */
static inline int32_t times(float epoch, float rate)
{
    return (int32_t)(epoch * rate);
}

/* draws (n): the random points of each edge that is due, -1 for those that are not: what an edge
 * owes by now less what it owed at the visit before, and less the very first. Returns their sum. */
static inline size_t count_draws(int32_t *restrict draws, const float *restrict rate, size_t n,
                                 float epoch, float a_visit)
{
    int32_t sum = 0;
    for (size_t e = 0; e < n; e++) {
        const float r = rate[e], all = r * a_visit;
        const int32_t visits = times(epoch - 1, r), not_due = -(times(epoch, r) == visits);
        const float every = (float)visits / r, whole = (float)(int32_t)every;
        const int32_t last = (int32_t)every + (whole < every); /* epoch of the visit before */
        const int32_t owed = times((float)last, all), before = owed > 1 ? owed : 1;
        const int32_t due = times(epoch, all) - before, n_draws = due > 0 ? due : 0;
        sum += n_draws & ~not_due;
        draws[e] = n_draws | not_due;
    }
    return (size_t)sum;
}

/* Places among the edges of those that are due, and room for GM_EDGES more; returns how many. */
typedef size_t take_due_of(uint32_t *restrict due, const int32_t *restrict draws, size_t n);

static inline size_t take_due(uint32_t *restrict due, const int32_t *restrict draws, size_t n)
{
    size_t n_due = 0;
    for (size_t e = 0; e < n; e++) {
        due[n_due] = (uint32_t)e;
        n_due += draws[e] >= 0;
    }
    return n_due;
}

static inline uint64_t split_mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A push from one of `others` points, all but `self`, by a random number below 2^32. */
static inline gm_layout_step push_by(uint64_t random, uint64_t others, uint32_t self)
{
    uint32_t k = (uint32_t)(random * others >> 32);
    k += k >= self;
    return (gm_layout_step)(k << 1 | 1);
}

/* n pushes, and some more. */
static inline void draw_random(gm_layout_step *random, size_t n, uint64_t others, uint32_t self,
                               uint64_t state)
{
    n = (n + TOGETHER - 1) / TOGETHER * TOGETHER;
    for (size_t i = 0; i < n; i += 2) {
        const uint64_t z = split_mix(state + (i / 2 + 1) * 0x9e3779b97f4a7c15u);
        random[i] = push_by(z & UINT32_MAX, others, self);
        random[i + 1] = push_by(z >> 32, others, self);
    }
}

static inline size_t list_body(gm_layout_step *out, const gm_step_room *room,
                               const gm_step_plan *plan, const gm_edge_list *edges, uint32_t self,
                               uint64_t state, take_due_of *take)
{
    size_t n = 0, drawn = 0;
    const size_t n_draws = count_draws(room->draws, edges->rate, edges->n, (float)plan->epoch,
                                       (float)plan->draws_a_visit);
    const size_t n_due = take(room->due, room->draws, edges->n);
    draw_random(room->random, n_draws, plan->n_points - 1, self, state);
    for (size_t d = 0; d < n_due; d++) {
        const uint32_t e = room->due[d];
        const size_t draws = (size_t)room->draws[e];
        const gm_layout_step pull = (gm_layout_step)(edges->to[e] << 1);
        out[n] = out[n + 1] = pull;
        for (size_t c = 0; c < draws; c += TOGETHER)
            memcpy(out + n + 2 + c, room->random + drawn + c, TOGETHER * sizeof *out);
        n += 2 + draws, drawn += draws;
    }
    return n;
}

static size_t list_plain(gm_layout_step *out, const gm_step_room *room, const gm_step_plan *plan,
                         const gm_edge_list *edges, uint32_t self, uint64_t state)
{
    return list_body(out, room, plan, edges, self, state, take_due);
}

#ifdef GM_X86
__attribute__((target("avx2,fma"))) static size_t
list_avx2(gm_layout_step *out, const gm_step_room *room, const gm_step_plan *plan,
          const gm_edge_list *edges, uint32_t self, uint64_t state)
{
    return list_body(out, room, plan, edges, self, state, take_due);
}

__attribute__((target("avx512f,avx512dq"))) static inline size_t
take_due_avx512(uint32_t *restrict due, const int32_t *restrict draws, size_t n)
{
    const __m512i zero = _mm512_setzero_si512(), next = _mm512_set1_epi32(GM_EDGES);
    __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t n_due = 0;
    for (size_t e = 0; e < n; e += GM_EDGES) {
        const __mmask16 there = (__mmask16)(n - e < GM_EDGES ? (1u << (n - e)) - 1 : 0xffffu);
        const __mmask16 is_due =
            _mm512_mask_cmpge_epi32_mask(there, _mm512_maskz_loadu_epi32(there, draws + e), zero);
        _mm512_storeu_si512(due + n_due, _mm512_maskz_compress_epi32(is_due, place));
        n_due += (size_t)__builtin_popcount(is_due);
        place = _mm512_add_epi32(place, next);
    }
    return n_due;
}

/* DQ: 64-bit products. */
__attribute__((target("avx512f,avx512dq"))) static size_t
list_avx512(gm_layout_step *out, const gm_step_room *room, const gm_step_plan *plan,
            const gm_edge_list *edges, uint32_t self, uint64_t state)
{
    return list_body(out, room, plan, edges, self, state, take_due_avx512);
}
#endif

size_t gm_steps_list(gm_layout_step *out, const gm_step_room *room, const gm_step_plan *plan,
                     const gm_edge_list *edges, uint32_t self, uint64_t state)
{
#ifdef GM_X86
    if (plan->isa >= GM_ISA_AVX512F) return list_avx512(out, room, plan, edges, self, state);
    if (plan->isa == GM_ISA_AVX2) return list_avx2(out, room, plan, edges, self, state);
#endif
    return list_plain(out, room, plan, edges, self, state);
}
