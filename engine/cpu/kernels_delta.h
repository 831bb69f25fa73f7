/* kernels_delta.h - the part of kernels_body.h for Gated DeltaNet, Mamba2 and short convolutions;
 * kernels.h says what each loop computes.
 */

/* `sum` and the products of 16 channels, of which `n` are there; `now` takes the oldest row's
 * place. */
INLINE v16 convolved(v16 now, v16 sum, size_t n, const float *panel, size_t taps, float *history,
                     size_t ldh, size_t oldest)
{
    for (size_t t = 0, row = oldest; t + 1 < taps; t++) {
        sum =
            v16_fma(v16_load_part(history + row * ldh, n, 0.0f), v16_load(panel + t * LANES), sum);
        row = row + 2 < taps ? row + 1 : 0;
    }
    v16_store_part(history + oldest * ldh, n, now);
    return v16_fma(now, v16_load(panel + (taps - 1) * LANES), sum);
}

static void convolve(float *x, size_t n, const float *panels, size_t taps, const float *bias,
                     float *history, size_t ldh, size_t oldest)
{
    for (size_t i = 0; i < n; i += LANES, panels += taps * LANES) {
        const v16 now = v16_load_part(x + i, n - i, 0.0f);
        const v16 first = bias ? v16_load_part(bias + i, n - i, 0.0f) : v16_all(0.0f);
        const v16 sum = convolved(now, first, n - i, panels, taps, history + i, ldh, oldest);
        v16_store_part(x + i, n - i, v16_div(sum, sigmoid_divisor(sum)));
    }
}

static void convolve_gated(float *x, const float *before, const float *after, size_t n,
                           const float *panels, size_t taps, float *history, size_t ldh,
                           size_t oldest)
{
    for (size_t i = 0; i < n; i += LANES, panels += taps * LANES) {
        const v16 now =
            v16_mul(v16_load_part(x + i, n - i, 0.0f), v16_load_part(before + i, n - i, 0.0f));
        const v16 sum =
            convolved(now, v16_all(0.0f), n - i, panels, taps, history + i, ldh, oldest);
        v16_store_part(x + i, n - i, v16_mul(v16_load_part(after + i, n - i, 0.0f), sum));
    }
}

static void unit(float *x, size_t n, float epsilon, float scale)
{
    v16 squares = v16_all(0.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 a = v16_load_part(x + i, n - i, 0.0f);
        squares = v16_fma(a, a, squares);
    }
    const float r = 1.0f / sqrtf(v16_sum(squares) + epsilon);
    for (size_t i = 0; i < n; i++) x[i] = (x[i] * r) * scale;
}

enum { CHAINS = 4 };

INLINE v16 sum_of(const v16 chain[CHAINS])
{
    return v16_add(v16_add(chain[0], chain[1]), v16_add(chain[2], chain[3]));
}

/* `m` panels of a state, 1 or 2; their values become the head's output. */
INLINE void correct(float *state, size_t depth, const float *key, const float *query, v16 *value,
                    const float *decay, const bool each, float beta, const size_t m)
{
    const v16 slower = v16_all(decay[0]);
    const size_t whole = depth / CHAINS * CHAINS, panel = depth * LANES;
    v16 read[2][CHAINS], given[2][CHAINS], step[2];
    for (size_t c = 0; c < CHAINS; c++)
        read[0][c] = read[1][c] = given[0][c] = given[1][c] = v16_all(0.0f);
#define READ(i, c)                                                \
    for (size_t p = 0; p < m; p++)                                \
    read[p][c] = v16_fma(v16_load(state + p * panel + (i)*LANES), \
                         v16_all(each ? decay[i] * key[i] : key[i]), read[p][c])
#define WRITE(i, c)                                                                \
    for (size_t p = 0; p < m; p++) {                                               \
        float *at = state + p * panel + (i)*LANES;                                 \
        const v16 left = v16_mul(each ? v16_all(decay[i]) : slower, v16_load(at)); \
        const v16 s = v16_fma(v16_all(key[i]), step[p], left);                     \
        v16_store(at, s);                                                          \
        given[p][c] = v16_fma(s, v16_all(query[i]), given[p][c]);                  \
    }
    for (size_t i = 0; i < whole; i += CHAINS)
        for (size_t c = 0; c < CHAINS; c++) READ(i + c, c);
    for (size_t i = whole; i < depth; i++) READ(i, i - whole);
    for (size_t p = 0; p < m; p++) {
        const v16 sum = sum_of(read[p]), known = each ? sum : v16_mul(slower, sum);
        step[p] = v16_mul(v16_all(beta), v16_sub(value[p], known));
    }
    for (size_t i = 0; i < whole; i += CHAINS)
        for (size_t c = 0; c < CHAINS; c++) WRITE(i + c, c);
    for (size_t i = whole; i < depth; i++) WRITE(i, i - whole);
#undef READ
#undef WRITE
    for (size_t p = 0; p < m; p++) value[p] = sum_of(given[p]);
}

INLINE void turn(float *state, size_t depth, const float *key, const float *query, float *value,
                 size_t n, const float *decay, const bool each, float beta)
{
    const size_t panel = depth * LANES;
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES, state += 2 * panel) {
        v16 both[2] = {v16_load(value + i), v16_load(value + i + LANES)};
        correct(state, depth, key, query, both, decay, each, beta, 2);
        v16_store(value + i, both[0]);
        v16_store(value + i + LANES, both[1]);
    }
    for (; i < n; i += LANES, state += panel) {
        v16 one = v16_load_part(value + i, n - i, 0.0f);
        correct(state, depth, key, query, &one, decay, each, beta, 1);
        v16_store_part(value + i, n - i, one);
    }
}

static void delta(float *state, size_t depth, const float *key, const float *query, float *value,
                  size_t n, const float *decay, bool each, float beta)
{
    if (each) /* two loops, each without the other's products */
        turn(state, depth, key, query, value, n, decay, true, beta);
    else
        turn(state, depth, key, query, value, n, decay, false, beta);
}

static void norm_gated(const float *x, const float *weight, const float *gate, size_t n,
                       float epsilon, float *out)
{
    norm(x, weight, n, epsilon, out);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 z = v16_load_part(gate + i, n - i, 0.0f), a = v16_load_part(out + i, n - i, 0.0f);
        v16_store_part(out + i, n - i, v16_mul(a, v16_div(z, sigmoid_divisor(z))));
    }
}

static void gate(float *x, const float *by, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        v16_store_part(x + i, n - i,
                       v16_div(v16_load_part(x + i, n - i, 0.0f),
                               sigmoid_divisor(v16_load_part(by + i, n - i, 0.0f))));
}

/* `m` panels of a state, 1 or 2, as in correct. */
INLINE void accumulate(float *state, size_t depth, const float *key, const float *query, v16 *value,
                       float decay, float step, float skip, const size_t m)
{
    const v16 slower = v16_all(decay), passed = v16_all(skip);
    const size_t whole = depth / CHAINS * CHAINS, panel = depth * LANES;
    v16 given[2][CHAINS], added[2];
    for (size_t c = 0; c < CHAINS; c++) given[0][c] = given[1][c] = v16_all(0.0f);
    for (size_t p = 0; p < m; p++) added[p] = v16_mul(v16_all(step), value[p]);
#define ADD(i, c)                                                                        \
    for (size_t p = 0; p < m; p++) {                                                     \
        float *at = state + p * panel + (i)*LANES;                                       \
        const v16 s = v16_fma(v16_all(key[i]), added[p], v16_mul(slower, v16_load(at))); \
        v16_store(at, s);                                                                \
        given[p][c] = v16_fma(s, v16_all(query[i]), given[p][c]);                        \
    }
    for (size_t i = 0; i < whole; i += CHAINS)
        for (size_t c = 0; c < CHAINS; c++) ADD(i + c, c);
    for (size_t i = whole; i < depth; i++) ADD(i, i - whole);
#undef ADD
    for (size_t p = 0; p < m; p++) value[p] = v16_fma(passed, value[p], sum_of(given[p]));
}

static void scan(float *state, size_t depth, const float *key, const float *query, float *value,
                 size_t n, float decay, float step, float skip)
{
    const size_t panel = depth * LANES;
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES, state += 2 * panel) {
        v16 both[2] = {v16_load(value + i), v16_load(value + i + LANES)};
        accumulate(state, depth, key, query, both, decay, step, skip, 2);
        v16_store(value + i, both[0]);
        v16_store(value + i + LANES, both[1]);
    }
    for (; i < n; i += LANES, state += panel) {
        v16 one = v16_load_part(value + i, n - i, 0.0f);
        accumulate(state, depth, key, query, &one, decay, step, skip, 1);
        v16_store_part(value + i, n - i, one);
    }
}

static void gated_norm(float *x, const float *weight, const float *gate, size_t n, float epsilon,
                       float *out)
{
    for (size_t i = 0; i < n; i += LANES) {
        const v16 z = v16_load_part(gate + i, n - i, 0.0f), a = v16_load_part(x + i, n - i, 0.0f);
        v16_store_part(x + i, n - i, v16_mul(a, v16_div(z, sigmoid_divisor(z))));
    }
    norm(x, weight, n, epsilon, out);
}
