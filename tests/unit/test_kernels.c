/* test_kernels.c - what the loops of plain C compute, against their formulas in double. Other
 * kernels give the same bits (tests/twin/test_kernels_twin.c).
 */
#include "engine/cpu/kernels.h"
#include "engine/buf.h"

#include "base/rng.h"
#include "tests/check.h"

#include <math.h>

static const gm_kernels *const k = &gm_kernels_portable;

static void fill(float *x, size_t n, uint64_t stream)
{
    gm_rng rng = gm_rng_make(5, stream);
    for (size_t i = 0; i < n; i++) x[i] = (float)gm_rng_normal(&rng);
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* Inside and outside of the limits; the gate has none below. */
static void clamped_units_are_as_defined(void)
{
    static const double gate[GM_PANEL] = {0, 1, -1, 6.5, 7, 7.5, 100, -7.5, -20, -40, 2, 2, 2, 2},
                        up[GM_PANEL] = {5, 1, -1, 2, 3, 2, 1, 2, 1, 1, 7, 7.5, -7, -100};
    float from[2 * GM_PANEL], got[GM_PANEL];
    for (int i = 0; i < GM_PANEL; i++) from[i] = (float)gate[i], from[GM_PANEL + i] = (float)up[i];
    from[GM_PANEL - 2] = NAN, from[2 * GM_PANEL - 1] = NAN;
    k->swiglu_clamped(from, 2 * GM_PANEL, 1, 1, 7, 1.702f, got, GM_PANEL, false);
    for (int i = 0; i < GM_PANEL - 2; i++) {
        const double g = fmin(gate[i], 7), u = fmax(-7, fmin(up[i], 7));
        const double want = (u + 1) * g / (1 + exp(-1.702 * g));
        CHECK_NEAR(got[i], want, 1e-5 * fabs(want)); /* slope times gate is rounded */
    }
    CHECK(isnan(got[GM_PANEL - 2]) && isnan(got[GM_PANEL - 1]));
}

/* PyTorch's gelu(approximate="tanh"), at its far ends too. */
static void gelu_units_are_as_defined(void)
{
    static const double gate[GM_PANEL] = {0,  1,  -1,  0.5,  -0.5,  3,    -3, 7,
                                          -7, 20, -20, 1e13, -1e13, 1e-9, 2},
                        up[GM_PANEL] = {5, 1, -1, 2, 3, 2, 1, 2, 1, 1, 7, 1, 1, 1, 1, 1};
    const double root = 0.79788456080286535588; /* sqrt(2 / pi) */
    float from[2 * GM_PANEL], got[GM_PANEL];
    for (int i = 0; i < GM_PANEL; i++) from[i] = (float)gate[i], from[GM_PANEL + i] = (float)up[i];
    from[GM_PANEL - 2] = NAN, from[2 * GM_PANEL - 1] = NAN;
    k->geglu(from, 2 * GM_PANEL, 1, 1, got, GM_PANEL, false);
    for (int i = 0; i < GM_PANEL - 2; i++) {
        const double g = gate[i], u = root * (g + 0.044715 * g * g * g);
        CHECK_NEAR(got[i], 0.5 * g * (1 + tanh(u)) * up[i], 1e-6 * fabs(g * up[i]));
    }
    CHECK(isnan(got[GM_PANEL - 2]) && isnan(got[GM_PANEL - 1]));
}

static void cap_is_as_defined(void)
{
    enum { N = 21 };
    float x[N], got[N];
    fill(x, N, 4);
    for (size_t i = 0; i < N; i++) x[i] *= 40.0f;
    x[3] = INFINITY, x[4] = -INFINITY, x[5] = 1e30f, x[N - 1] = NAN;
    memcpy(got, x, sizeof got);
    k->cap(got, N, 30.0f);
    for (size_t i = 0; i + 1 < N; i++) CHECK_NEAR(got[i], 30 * tanh((double)x[i] / 30), 30 * 3e-7);
    CHECK(isnan(got[N - 1]));
}

/* Our exponential is within a few units in the last place of the C library's. */
static void exponential_is_accurate(void)
{
    double worst = 0.0;
    for (int i = -87000; i <= 88000; i += 7) {
        float x = (float)i / 1000, e;
        k->exp_shifted(&x, 0, 1, &e);
        worst = check_larger(worst, fabs((double)e / exp((double)x) - 1.0));
    }
    CHECK_NEAR(worst, 0.0, 2e-7);
}

static void squares_are_of_what_is_above_zero(void)
{
    float up[2][32], got[2][40] = {{0}};
    fill(up[0], 64, 5);
    up[0][3] = -0.0f, up[1][7] = NAN, up[1][8] = -INFINITY;
    k->relu_squared(up[0], 32, 2, 2, got[0], 40, false);
    for (size_t r = 0; r < 2; r++)
        for (size_t i = 0; i < 32; i++) {
            const float above = up[r][i] > 0.0f ? up[r][i] : 0.0f;
            CHECK(isnan(up[r][i]) ? isnan(got[r][i]) : got[r][i] == above * above);
        }
}

/* ---- Gated DeltaNet ---- */

/* Channels that fill no panel; every token sees itself and those before it, the first none. */
static void convolution_is_as_defined(void)
{
    enum { N = 21, TAPS = 4, TOKENS = 9, ROWS = TAPS - 1 };
    float x[TOKENS][N], weight[N][TAPS], panels[2 * GM_PANEL * TAPS] = {0}, history[ROWS][32] = {0};
    float bias[N];
    fill(x[0], TOKENS * N, 1);
    fill(bias, N, 3);
    fill(weight[0], N * TAPS, 2);
    for (size_t c = 0; c < N; c++)
        for (size_t t = 0; t < TAPS; t++)
            panels[c / GM_PANEL * GM_PANEL * TAPS + t * GM_PANEL + c % GM_PANEL] = weight[c][t];
    for (size_t p = 0; p < TOKENS; p++) {
        float row[N];
        memcpy(row, x[p], sizeof row);
        k->convolve(row, N, panels, TAPS, p % 2 ? bias : NULL, history[0], 32, p % ROWS);
        for (size_t c = 0; c < N; c++) {
            double sum = p % 2 ? (double)bias[c] : 0.0;
            for (size_t t = 0; t < TAPS; t++)
                if (p + t >= ROWS) sum += (double)x[p + t - ROWS][c] * (double)weight[c][t];
            CHECK_NEAR(row[c], sum * sigmoid(sum), 1e-6);
            CHECK(history[p % ROWS][c] == x[p][c]);
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = N; c < 32; c++) CHECK(history[r][c] == 0.0f);
}

/* Between two gates: what is kept is the product with the first. */
static void gated_convolution_is_as_defined(void)
{
    enum { N = 21, TAPS = 3, TOKENS = 9, ROWS = TAPS - 1 };
    float x[TOKENS][3][N], weight[N][TAPS], panels[2 * GM_PANEL * TAPS] = {0};
    float history[ROWS][32] = {0};
    fill(x[0][0], TOKENS * 3 * N, 1);
    fill(weight[0], N * TAPS, 2);
    for (size_t c = 0; c < N; c++)
        for (size_t t = 0; t < TAPS; t++)
            panels[c / GM_PANEL * GM_PANEL * TAPS + t * GM_PANEL + c % GM_PANEL] = weight[c][t];
    for (size_t p = 0; p < TOKENS; p++) {
        float row[N];
        memcpy(row, x[p][0], sizeof row);
        k->convolve_gated(row, x[p][1], x[p][2], N, panels, TAPS, history[0], 32, p % ROWS);
        for (size_t c = 0; c < N; c++) {
            double sum = 0.0;
            for (size_t t = 0; t < TAPS; t++)
                if (p + t >= ROWS)
                    sum += (double)x[p + t - ROWS][0][c] * (double)x[p + t - ROWS][1][c] *
                           (double)weight[c][t];
            CHECK_NEAR(row[c], (double)x[p][2][c] * sum, 1e-6);
            CHECK(history[p % ROWS][c] == x[p][0][c] * x[p][1][c]);
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = N; c < 32; c++) CHECK(history[r][c] == 0.0f);
}

/* arXiv:2412.06464, equation 10, and with `each` arXiv:2510.26692, equation 1, token by token; what
 * lies after the last value stays zero. */
static void delta_rule_of(bool each)
{
    enum { KEY = 7, VALUE = 35, WIDE = 48, TOKENS = 12 };
    float state[WIDE * KEY] = {0}, key[KEY], query[KEY], value[VALUE], rate[1 + KEY], left[KEY];
    double s[KEY][VALUE] = {{0}};
    for (uint64_t t = 0; t < TOKENS; t++) {
        fill(key, KEY, 10 + t), fill(query, KEY, 30 + t), fill(value, VALUE, 50 + t);
        fill(rate, 1 + KEY, 70 + t);
        k->unit(key, KEY, 1e-6f, 1.0f);
        const double beta = sigmoid((double)rate[0]);
        double want[VALUE] = {0};
        for (size_t i = 0; i < KEY; i++) left[i] = (float)sigmoid((double)rate[each ? 1 + i : 1]);
        for (size_t j = 0; j < VALUE; j++) {
            double read = 0.0;
            for (size_t i = 0; i < KEY; i++) read += (double)left[i] * s[i][j] * (double)key[i];
            for (size_t i = 0; i < KEY; i++) {
                s[i][j] =
                    (double)left[i] * s[i][j] + beta * ((double)value[j] - read) * (double)key[i];
                want[j] += s[i][j] * (double)query[i];
            }
        }
        k->delta(state, KEY, key, query, value, VALUE, left, each, (float)beta);
        for (size_t j = 0; j < VALUE; j++) CHECK_NEAR(value[j], want[j], 1e-5);
    }
    for (size_t j = 0; j < WIDE; j++)
        for (size_t i = 0; i < KEY; i++) {
            const float kept = state[j / GM_PANEL * KEY * GM_PANEL + i * GM_PANEL + j % GM_PANEL];
            CHECK_NEAR(kept, j < VALUE ? s[i][j] : 0.0, j < VALUE ? 1e-5 : 0.0);
        }
}

static void delta_rule_is_as_defined(void)
{
    delta_rule_of(false);
    delta_rule_of(true);
}

/* arXiv:2405.21060, equation 1, token by token. */
static void mamba2_is_as_defined(void)
{
    enum { KEY = 7, VALUE = 35, WIDE = 48, TOKENS = 12 };
    float state[WIDE * KEY] = {0}, key[KEY], query[KEY], value[VALUE], rate[3];
    double s[KEY][VALUE] = {{0}};
    for (uint64_t t = 0; t < TOKENS; t++) {
        fill(key, KEY, 10 + t), fill(query, KEY, 30 + t), fill(value, VALUE, 50 + t);
        fill(rate, 3, 70 + t);
        const double decay = sigmoid((double)rate[0]), step = (double)rate[1];
        double want[VALUE];
        for (size_t j = 0; j < VALUE; j++) {
            want[j] = (double)rate[2] * (double)value[j];
            for (size_t i = 0; i < KEY; i++) {
                s[i][j] = decay * s[i][j] + step * (double)value[j] * (double)key[i];
                want[j] += s[i][j] * (double)query[i];
            }
        }
        k->scan(state, KEY, key, query, value, VALUE, (float)decay, rate[1], rate[2]);
        for (size_t j = 0; j < VALUE; j++) CHECK_NEAR(value[j], want[j], 1e-5);
    }
    for (size_t j = 0; j < WIDE; j++)
        for (size_t i = 0; i < KEY; i++) {
            const float kept = state[j / GM_PANEL * KEY * GM_PANEL + i * GM_PANEL + j % GM_PANEL];
            CHECK_NEAR(kept, j < VALUE ? s[i][j] : 0.0, j < VALUE ? 1e-5 : 0.0);
        }
}

static void gates_and_lengths_are_as_defined(void)
{
    enum { N = 19 };
    float x[N], by[N], weight[N], got[N];
    double squares = 0.0;
    fill(x, N, 1), fill(by, N, 2), fill(weight, N, 3);
    for (size_t i = 0; i < N; i++) squares += (double)x[i] * (double)x[i];
    k->norm_gated(x, weight, by, N, 0.1f, got);
    for (size_t i = 0; i < N; i++)
        CHECK_NEAR(got[i],
                   (double)x[i] / sqrt(squares / N + 0.1) * (double)weight[i] * (double)by[i] *
                       sigmoid((double)by[i]),
                   1e-6);
    float gated[N];
    double gated_squares = 0.0;
    for (size_t i = 0; i < N; i++)
        gated_squares += pow((double)x[i] * (double)by[i] * sigmoid((double)by[i]), 2.0);
    memcpy(gated, x, sizeof gated);
    k->gated_norm(gated, weight, by, N, 0.1f, got);
    for (size_t i = 0; i < N; i++)
        CHECK_NEAR(got[i],
                   (double)x[i] * (double)by[i] * sigmoid((double)by[i]) /
                       sqrt(gated_squares / N + 0.1) * (double)weight[i],
                   1e-6);
    memcpy(got, x, sizeof got);
    k->gate(got, by, N);
    for (size_t i = 0; i < N; i++) CHECK_NEAR(got[i], (double)x[i] * sigmoid((double)by[i]), 1e-6);
    memcpy(got, x, sizeof got);
    k->unit(got, N, 0.1f, 0.5f);
    for (size_t i = 0; i < N; i++)
        CHECK_NEAR(got[i], 0.5 * (double)x[i] / sqrt(squares + 0.1), 1e-6);
    by[3] = NAN;
    k->gate(got, by, N);
    CHECK(isnan(got[3]) && isfinite(got[4]));
}

TESTS(TEST(clamped_units_are_as_defined), TEST(gelu_units_are_as_defined), TEST(cap_is_as_defined),
      TEST(squares_are_of_what_is_above_zero), TEST(exponential_is_accurate),
      TEST(convolution_is_as_defined), TEST(gated_convolution_is_as_defined),
      TEST(delta_rule_is_as_defined), TEST(mamba2_is_as_defined),
      TEST(gates_and_lengths_are_as_defined))
