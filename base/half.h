/* half.h - float32 to float16, bfloat16 and fp8 and back, round to nearest even.
 *
 * The 16-bit forms keep infinities and NaN (quietened); all give the same bits on every
 * machine: no hardware conversion is used. Half overflow goes to infinity, denormal halves are
 * kept. fp8 is e4m3 of the Open Compute Project's "OCP 8-bit Floating Point Specification", 1.0:
 * sign, four bits of exponent (bias 7), three of fraction; no infinity, 0x7f is NaN, the largest
 * value is 448.
 */
#ifndef GM_HALF_H
#define GM_HALF_H

#include "base/base.h"

uint16_t gm_half_from_f32(float value);
float gm_half_to_f32(uint16_t half);
void gm_halves_to_f32(float *value, const uint16_t *half, size_t n); /* the same, n of them */

uint16_t gm_bf16_from_f32(float value);
float gm_bf16_to_f32(uint16_t bits);

/* Magnitudes above 448, infinities included, become 448 with their sign. */
uint8_t gm_fp8_from_f32(float value);
extern const float gm_fp8_values[256]; /* the value of each byte */

#endif
