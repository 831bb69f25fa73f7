/* half.h - float32 to float16 and bfloat16 and back, round to nearest even.
 *
 * Both keep infinities and NaN (quietened), and give the same bits on every
 * machine: no hardware conversion is used. Half overflow goes to infinity,
 * denormal halves are kept.
 */
#ifndef GM_HALF_H
#define GM_HALF_H

#include "base/base.h"

uint16_t gm_half_from_f32(float value);
float gm_half_to_f32(uint16_t half);
void gm_halves_to_f32(float *value, const uint16_t *half, size_t n); /* the same, n of them */

uint16_t gm_bf16_from_f32(float value);
float gm_bf16_to_f32(uint16_t bits);

#endif
