/* kernels_rows.h - the part of kernels_body.h that works on rows: norms, activations, softmax,
 * attention's running sums, rotation.
 */

/* ---- rows ---- */

static void norm(const float *x, const float *weight, size_t n, float epsilon, float *out)
{
    v16 squares = v16_all(0.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 a = v16_load_part(x + i, n - i, 0.0f);
        squares = v16_fma(a, a, squares);
    }
    const float r = 1.0f / sqrtf(v16_sum(squares) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++) out[i] = (x[i] * r) * weight[i];
}

static void layer_norm(const float *x, const float *weight, const float *bias, size_t n,
                       float epsilon, float *out)
{
    v16 sum = v16_all(0.0f), squares = v16_all(0.0f);
    for (size_t i = 0; i < n; i += LANES) sum = v16_add(sum, v16_load_part(x + i, n - i, 0.0f));
    const float mean = v16_sum(sum) / (float)n;
    for (size_t i = 0; i < n; i += LANES) {
        const v16 a = v16_sub(v16_load_part(x + i, n - i, mean), v16_all(mean));
        squares = v16_fma(a, a, squares);
    }
    const float r = 1.0f / sqrtf(v16_sum(squares) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++) out[i] = ((x[i] - mean) * r) * weight[i] + bias[i];
}

static void to_bf16(const float *x, size_t n, uint16_t *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) v16_store_bf16(out + i, v16_load(x + i));
    if (i < n) {
        uint16_t last[LANES];
        v16_store_bf16(last, v16_load_part(x + i, n - i, 0.0f));
        memcpy(out + i, last, (n - i) * sizeof *out);
    }
}

static void add(float *x, const float *y, size_t n16)
{
    for (size_t i = 0; i < n16; i += LANES)
        v16_store(x + i, v16_add(v16_load(x + i), v16_load(y + i)));
}

static void add_scaled(float *x, float a, const float *y, size_t n16)
{
    const v16 scale = v16_all(a);
    for (size_t i = 0; i < n16; i += LANES)
        v16_store(x + i, v16_fma(scale, v16_load(y + i), v16_load(x + i)));
}

/* 1 + e^-a */
INLINE v16 sigmoid_divisor(v16 a)
{
    return v16_add(v16_all(1.0f), v16_exp(v16_sub(v16_all(0.0f), a)));
}

enum units { UNITS_SILU, UNITS_CLAMPED, UNITS_GELU };

/* Of gate and up of 16 units. */
INLINE v16 unit_of(v16 gate, v16 up, const enum units of, v16 limit, v16 slope)
{
    v16 steep = gate;
    if (of == UNITS_GELU) {
        const float linear = 1.5957691216f, cubic = 0.0713548163f; /* 2 sqrt(2/pi); times .044715 */
        const v16 square = v16_mul(gate, gate);
        steep = v16_mul(gate, v16_fma(square, v16_all(cubic), v16_all(linear)));
    }
    if (of == UNITS_CLAMPED) { /* NaN is not less than anything, and stays */
        const v16 lowest = v16_sub(v16_all(0.0f), limit);
        gate = v16_if_less(limit, gate, limit, gate);
        up = v16_if_less(limit, up, limit, up);
        up = v16_add(v16_if_less(up, lowest, lowest, up), v16_all(1.0f));
        steep = v16_mul(slope, gate);
    }
    return v16_mul(v16_div(gate, sigmoid_divisor(steep)), up);
}

INLINE void units(const float *gate_up, size_t ldg, size_t m, size_t pairs, const enum units of,
                  float limit, float slope, void *unit, size_t ldu, bool bf16)
{
    for (size_t r = 0; r < m; r++)
        for (size_t p = 0; p < pairs; p++) {
            const float *from = gate_up + r * ldg + p * 2 * LANES;
            const v16 product =
                unit_of(v16_load(from), v16_load(from + LANES), of, v16_all(limit), v16_all(slope));
            if (bf16)
                v16_store_bf16((uint16_t *)unit + r * ldu + p * LANES, product);
            else
                v16_store((float *)unit + r * ldu + p * LANES, product);
        }
}

static void swiglu(const float *gate_up, size_t ldg, size_t m, size_t pairs, void *unit, size_t ldu,
                   bool bf16)
{
    units(gate_up, ldg, m, pairs, UNITS_SILU, 0.0f, 1.0f, unit, ldu, bf16);
}

static void geglu(const float *gate_up, size_t ldg, size_t m, size_t pairs, void *unit, size_t ldu,
                  bool bf16)
{
    units(gate_up, ldg, m, pairs, UNITS_GELU, 0.0f, 1.0f, unit, ldu, bf16);
}

static void cap(float *x, size_t n, float limit)
{
    const v16 one = v16_all(1.0f), top = v16_all(limit), twice = v16_all(2.0f);
    const v16 steep = v16_all(2.0f / limit);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 a = v16_load_part(x + i, n - i, 0.0f);
        const v16 above = v16_add(one, v16_exp(v16_mul(a, steep)));
        v16_store_part(x + i, n - i, v16_mul(top, v16_sub(one, v16_div(twice, above))));
    }
}

static void swiglu_clamped(const float *gate_up, size_t ldg, size_t m, size_t pairs, float limit,
                           float slope, void *unit, size_t ldu, bool bf16)
{
    units(gate_up, ldg, m, pairs, UNITS_CLAMPED, limit, slope, unit, ldu, bf16);
}

static void relu_squared(const float *up, size_t ldg, size_t m, size_t n, void *unit, size_t ldu,
                         bool bf16)
{
    const v16 zero = v16_all(0.0f);
    for (size_t r = 0; r < m; r++)
        for (size_t p = 0; p < n; p++) {
            const v16 a = v16_load(up + r * ldg + p * LANES);
            const v16 above = v16_if_less(a, zero, zero, a); /* NaN is not less, and stays */
            const v16 square = v16_mul(above, above);
            if (bf16)
                v16_store_bf16((uint16_t *)unit + r * ldu + p * LANES, square);
            else
                v16_store((float *)unit + r * ldu + p * LANES, square);
        }
}

static void exp_shifted(const float *x, float shift, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += LANES) {
        const v16 a = v16_load_part(x + i, n - i, 0.0f);
        v16_store_part(out + i, n - i, v16_exp(v16_sub(a, v16_all(shift))));
    }
}

static float exp_sum(const float *x, size_t n, float *top)
{
    v16 largest = v16_all(-INFINITY), sum = v16_all(0.0f);
    for (size_t i = 0; i < n; i += LANES)
        largest = v16_max(largest, v16_load_part(x + i, n - i, -INFINITY));
    *top = v16_top(largest);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 a = v16_load_part(x + i, n - i, -INFINITY);
        sum = v16_add(sum, v16_exp(v16_sub(a, v16_all(*top))));
    }
    return v16_sum(sum);
}

/* ---- attention ---- */

static float attend(const float *score, size_t n, float scale, void *weight, bool bf16, float *top,
                    float *total)
{
    const v16 nothing = v16_all(-INFINITY), by = v16_all(scale);
    const v16 upper = n > LANES ? v16_load_part(score + LANES, n - LANES, -INFINITY) : nothing;
    v16 a = v16_mul(v16_load_part(score, n, -INFINITY), by);
    v16 b = v16_mul(upper, by);
    float block_top = v16_top(v16_max(a, b));
    float new_top = *top > block_top ? *top : block_top;
    if (new_top == -INFINITY) new_top = 0.0f; /* nothing to attend to: all weights are 0 */
    const v16 shift = v16_all(new_top);
    a = v16_exp(v16_sub(a, shift));
    b = v16_exp(v16_sub(b, shift));
    float factor = v16_first(v16_exp(v16_sub(v16_all(*top), shift)));
    *total = fmaf(*total, factor, v16_sum(v16_add(a, b)));
    *top = new_top;
    if (bf16) {
        v16_store_bf16(weight, a);
        v16_store_bf16((uint16_t *)weight + LANES, b);
    } else {
        v16_store(weight, a);
        v16_store((float *)weight + LANES, b);
    }
    return factor;
}

static void merge(float *x, float a, const float *y, size_t n16)
{
    const v16 scale = v16_all(a);
    for (size_t i = 0; i < n16; i += LANES)
        v16_store(x + i, v16_fma(v16_load(x + i), scale, v16_load(y + i)));
}

static void rotate(float *x, const float *cosine, const float *sine, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = fmaf(-b, sine[i], a * cosine[i]);
        x[i + half] = fmaf(a, sine[i], b * cosine[i]);
    }
}
