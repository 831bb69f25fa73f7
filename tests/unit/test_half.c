/* test_half.c - every half and bfloat16 comes back; rounding against the definition. */
#include "base/half.h"

#include "tests/check.h"

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void every_value_comes_back(void)
{
    for (uint32_t h = 0; h <= 0xFFFF; h++) {
        bool half_nan = (h & 0x7FFF) > 0x7C00, bf16_nan = (h & 0x7FFF) > 0x7F80;
        /* NaN comes back quiet. */
        CHECK_INT(gm_half_from_f32(gm_half_to_f32((uint16_t)h)), half_nan ? h | 0x200 : h);
        CHECK_INT(gm_bf16_from_f32(gm_bf16_to_f32((uint16_t)h)), bf16_nan ? h | 0x40 : h);
        CHECK(isnan(gm_half_to_f32((uint16_t)h)) == half_nan);
        CHECK(isnan(gm_bf16_to_f32((uint16_t)h)) == bf16_nan);
        if (test_failures > 5) return;
    }
}

static void many_halves_are_as_one(void)
{
    static uint16_t half[0x10000];
    static float value[0x10000];
    for (uint32_t h = 0; h <= 0xFFFF; h++) half[h] = (uint16_t)h;
    gm_halves_to_f32(value, half, 0x10000);
    for (uint32_t h = 0; h <= 0xFFFF && test_failures <= 5; h++)
        CHECK_INT(to_bits(value[h]), to_bits(gm_half_to_f32((uint16_t)h)));
}

static void known_halves(void)
{
    static const struct {
        float value;
        uint16_t half;
    } cases[] = {
        {1.0f, 0x3C00},
        {-2.0f, 0xC000},
        {65504.0f, 0x7BFF},
        {65519.996f, 0x7BFF},
        {65520.0f, 0x7C00},
        {-1e30f, 0xFC00},
        {0x1p-14f, 0x0400},
        {0x1p-24f, 0x0001},
        {0x1p-25f, 0x0000}, /* tie to even */
        {0x1.000002p-25f, 0x0001},
        {0x1.8p-24f, 0x0002},
        {-0x1p-26f, 0x8000},
        {0x1.ff8p-15f, 0x03FF},
        {0x1.ffcp-15f, 0x0400}, /* rounds up into the normals */
        {0.333251953125f, 0x3555},
        {1.00048828125f, 0x3C00},
        {1.00146484375f, 0x3C02},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(gm_half_from_f32(cases[i].value), cases[i].half);
    CHECK_INT(gm_half_from_f32(INFINITY), 0x7C00);
    CHECK_INT(gm_half_from_f32(-INFINITY), 0xFC00);
}

/* The result is the nearest of the two neighbours, the even one at a tie. */
static void check_nearest(float value, uint16_t got, float (*to_f32)(uint16_t), uint32_t infinity)
{
    if ((got & 0x7FFFu) >= infinity) return;
    double here = fabs((double)to_f32(got) - (double)value);
    uint16_t up = (uint16_t)(got + 1), down = (uint16_t)(got - 1);
    double above = (up & 0x7FFFu) < infinity ? fabs((double)to_f32(up) - (double)value) : 1e300;
    double below = (got & 0x7FFF) != 0 ? fabs((double)to_f32(down) - (double)value) : 1e300;
    CHECK(here <= above && here <= below);
    if (here == above || here == below) CHECK_INT(got & 1, 0);
}

static void rounding_is_to_nearest_even(void)
{
    for (uint32_t i = 0; i < 1000000; i++) {
        float value = from_bits(i * UINT32_C(2654435761)); /* walks over all exponents */
        if (!isfinite(value)) continue;
        check_nearest(value, gm_half_from_f32(value), gm_half_to_f32, 0x7C00);
        check_nearest(value, gm_bf16_from_f32(value), gm_bf16_to_f32, 0x7F80);
        if (test_failures > 5) return;
    }
}

/* Every byte says what the format's three fields say; 0x7f and 0xff are NaN. */
static void every_fp8_says_what_its_bits_say(void)
{
    for (int b = 0; b < 256; b++) {
        const int exponent = b >> 3 & 15, fraction = b & 7;
        const double size = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
        if ((b & 0x7F) == 0x7F) {
            CHECK(isnan(gm_fp8_values[b]));
        } else {
            CHECK_NEAR(gm_fp8_values[b], b & 0x80 ? -size : size, 0);
            CHECK(!!signbit(gm_fp8_values[b]) == (b >= 0x80));
        }
        CHECK_INT(gm_fp8_from_f32(gm_fp8_values[b]) | (b == 0xFF) << 7, b); /* one NaN */
    }
}

static void fp8_rounds_to_nearest_even_and_saturates(void)
{
    static const struct {
        float value;
        uint8_t fp8;
    } cases[] = {{1e30f, 0x7E},
                 {-INFINITY, 0xFE},
                 {448.0f, 0x7E},
                 {463.0f, 0x7E},
                 {432.0f, 0x7E} /* tie */,
                 {416.1f, 0x7D},
                 {0x1p-10f, 0} /* tie */,
                 {0x1.000002p-10f, 1},
                 {0x1.8p-9f, 2} /* tie */,
                 {-1e-30f, 0x80},
                 {0x1.ep-7f, 8} /* into the normals */,
                 {0x1.fp-7f, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(gm_fp8_from_f32(cases[i].value), cases[i].fp8);
    for (uint32_t i = 0; i < 200000 && test_failures <= 5; i++) { /* 2^-12 to 448 */
        const float value = from_bits(0x39800000 + i * 877 % 0x0A600000);
        const uint8_t got = gm_fp8_from_f32(value);
        const double here = fabs((double)gm_fp8_values[got] - (double)value);
        const double above =
            got < 0x7E ? fabs((double)gm_fp8_values[got + 1] - (double)value) : 1e9;
        const double below = got > 0 ? fabs((double)gm_fp8_values[got - 1] - (double)value) : 1e9;
        CHECK(here <= above && here <= below);
        if (here == above || here == below) CHECK_INT(got & 1, 0);
    }
}

static void bf16_rounds_ties_to_even_and_overflows_to_infinity(void)
{
    CHECK_INT(gm_bf16_from_f32(from_bits(0x3F808000)), 0x3F80);
    CHECK_INT(gm_bf16_from_f32(from_bits(0x3F818000)), 0x3F82);
    CHECK_INT(gm_bf16_from_f32(from_bits(0x3F808001)), 0x3F81);
    CHECK_INT(gm_bf16_from_f32(from_bits(0x7F7FFFFF)), 0x7F80);
    CHECK_INT(gm_bf16_from_f32(from_bits(0xFF800000)), 0xFF80);
    CHECK_INT(gm_bf16_from_f32(from_bits(0x7F800001)), 0x7FC0); /* not infinity */
    CHECK_INT(to_bits(gm_bf16_to_f32(0x7F81)), 0x7FC10000);
}

TESTS(TEST(every_value_comes_back), TEST(many_halves_are_as_one), TEST(known_halves),
      TEST(rounding_is_to_nearest_even), TEST(every_fp8_says_what_its_bits_say),
      TEST(fp8_rounds_to_nearest_even_and_saturates),
      TEST(bf16_rounds_ties_to_even_and_overflows_to_infinity))
