/* int4_pack.h - for tests: codes of four bits packed as compressed-tensors, GPTQ and AWQ do,
 * written from their descriptions, with scales and zeros in their order.
 */
#ifndef GM_INT4_PACK_H
#define GM_INT4_PACK_H

#include "engine/slice.h"
#include "tests/check.h"

#include <math.h>

/* (out, in) codes with a zero and a scale for every `group` inputs, zero and scale (out, in /
 * group). dealt: inputs are dealt out to the groups in turn. */
typedef struct int4_matrix {
    size_t out, in, group;
    uint8_t *code, *zero;
    float *scale;
    bool dealt;
} int4_matrix;

static inline size_t int4_group(const int4_matrix *m, size_t i)
{
    return m->dealt ? i % (m->in / m->group) : i / m->group;
}

static inline void int4_put(uint32_t *words, size_t word, size_t nibble, unsigned code)
{
    words[word] |= (uint32_t)code << 4 * nibble;
}

/* Zeroed words, out in / 8 of them: element (o, i) is in the word of its eight neighbours. */
static inline void int4_pack(const int4_matrix *m, gm_packing packing, uint32_t *words)
{
    static const size_t order[] = {0, 2, 4, 6, 1, 3, 5, 7};
    for (size_t o = 0; o < m->out; o++)
        for (size_t i = 0; i < m->in; i++) {
            const unsigned code = m->code[o * m->in + i];
            size_t nibble = 0;
            while (order[nibble] != o % 8) nibble++;
            if (packing == GM_PACKING_ROWS)
                int4_put(words, o * (m->in / 8) + i / 8, i % 8, code);
            else if (packing == GM_PACKING_GPTQ)
                int4_put(words, i / 8 * m->out + o, i % 8, code);
            else
                int4_put(words, i * (m->out / 8) + o / 8, nibble, code);
        }
}

/* The zeros likewise, less what is added to them again: words run along the outputs. */
static inline void int4_pack_zeros(const int4_matrix *m, gm_packing packing, unsigned above,
                                   uint32_t *words)
{
    static const size_t order[] = {0, 2, 4, 6, 1, 3, 5, 7};
    const size_t groups = m->in / m->group;
    for (size_t o = 0; o < m->out; o++)
        for (size_t g = 0; g < groups; g++) {
            const unsigned zero = m->zero[o * groups + g] - above;
            size_t nibble = 0;
            while (order[nibble] != o % 8) nibble++;
            if (packing == GM_PACKING_ROWS)
                int4_put(words, o / 8 * groups + g, o % 8, zero);
            else
                int4_put(words, g * (m->out / 8) + o / 8,
                         packing == GM_PACKING_AWQ ? nibble : o % 8, zero);
        }
}

/* Where the scale of output o and group g is. */
static inline size_t int4_scale_at(const int4_matrix *m, gm_packing packing, size_t o, size_t g)
{
    return packing == GM_PACKING_ROWS ? o * (m->in / m->group) + g : g * m->out + o;
}

/* The weight, as engine/stored.h defines it. */
static inline float int4_value(const int4_matrix *m, size_t o, size_t i)
{
    const size_t g = o * (m->in / m->group) + int4_group(m, i);
    return (float)(m->code[o * m->in + i] - m->zero[g]) * m->scale[g];
}

/* Codes of (out, in) numbers: zeros of any kind, or all 8, and scales that keep the largest. */
static inline void int4_quantise(int4_matrix *m, const float *value, bool zeros)
{
    const size_t groups = m->in / m->group;
    for (size_t o = 0; o < m->out; o++)
        for (size_t g = 0; g < groups; g++) {
            const size_t at = o * groups + g;
            float most = 0.0f;
            for (size_t i = 0; i < m->in; i++)
                if (int4_group(m, i) == g) most = fmaxf(most, fabsf(value[o * m->in + i]));
            m->zero[at] = (uint8_t)(zeros ? 5 + (3 * o + g) % 6 : 8);
            m->scale[at] = most > 0.0f ? most / 5.0f : 1.0f;
            for (size_t i = 0; i < m->in; i++) {
                if (int4_group(m, i) != g) continue;
                const float code = rintf(value[o * m->in + i] / m->scale[at]) + m->zero[at];
                m->code[o * m->in + i] = (uint8_t)fminf(fmaxf(code, 0.0f), 15.0f);
            }
        }
}

#endif
