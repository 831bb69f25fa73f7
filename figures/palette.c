/* palette.c - colours of groups and of values.
 *
 * Categorical: up to eight groups take six colours of the Okabe-Ito set and, for its black and
 * yellow, two that show on white and on dark paper; colour-blind readers can tell them apart.
 * More take hues a golden angle apart in OKLCH, so that any two neighbouring numbers differ, at
 * three lightnesses in turn. Polar: the hue is a direction on the map instead. Sequential and
 * diverging maps interpolate between anchors in OKLab, where equal steps look equal.
 * Source: Ottosson 2020, "A perceptual color space for image processing" (OKLab);
 *         Okabe and Ito 2008, "Color Universal Design".
 */
#include "figures/figures.h"

#include <math.h>

typedef struct oklab {
    double l, a, b;
} oklab;

static double linear_of_srgb(double v)
{
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double srgb_of_linear(double v)
{
    return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

static oklab oklab_of_rgb(gm_rgb c)
{
    double r = linear_of_srgb(c.r / 255.0), g = linear_of_srgb(c.g / 255.0),
           b = linear_of_srgb(c.b / 255.0);
    double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    return (oklab){0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
                   1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
                   0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

static uint8_t byte_of_linear(double v)
{
    double byte = 255 * srgb_of_linear(fmin(1, fmax(0, v)));
    return (uint8_t)lround(byte);
}

static gm_rgb rgb_of_oklab(oklab c)
{
    double l = c.l + 0.3963377774 * c.a + 0.2158037573 * c.b;
    double m = c.l - 0.1055613458 * c.a - 0.0638541728 * c.b;
    double s = c.l - 0.0894841775 * c.a - 1.2914855480 * c.b;
    l = l * l * l, m = m * m * m, s = s * s * s;
    return (gm_rgb){byte_of_linear(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
                    byte_of_linear(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
                    byte_of_linear(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

static const gm_rgb grey = {176, 176, 176};

gm_rgb gm_palette(int i, int n)
{
    static const gm_rgb few[] = {{0, 114, 178},  {230, 159, 0}, {0, 158, 115}, {204, 121, 167},
                                 {86, 180, 233}, {213, 94, 0},  {140, 32, 16}, {90, 60, 130}};
    enum { N_FEW = sizeof few / sizeof *few };
    if (i < 0) return grey;
    if (n <= N_FEW) return few[i % N_FEW];

    const double golden_angle = 2.39996322972865332; /* radians */
    static const double lightness[] = {0.62, 0.48, 0.74};
    double hue = 0.6 + golden_angle * i, chroma = 0.14;
    return rgb_of_oklab((oklab){lightness[i % 3], chroma * cos(hue), chroma * sin(hue)});
}

gm_rgb gm_palette_polar(double angle, double radius, int i)
{
    static const double shift[] = {0, -0.06, 0.06};
    double lightness = 0.5 + 0.2 * fmin(1, fmax(0, radius)) + shift[i % 3], chroma = 0.13;
    return rgb_of_oklab((oklab){lightness, chroma * cos(angle), chroma * sin(angle)});
}

/* The colour at `t` in [0,1] along n anchors that stand at equal distances. */
static gm_rgb between(const gm_rgb *anchor, int n, double t)
{
    if (!(t >= 0)) t = 0;
    if (t > 1) t = 1;
    double at = t * (n - 1);
    int i = (int)at;
    if (i > n - 2) i = n - 2;
    double f = at - i;
    oklab p = oklab_of_rgb(anchor[i]), q = oklab_of_rgb(anchor[i + 1]);
    return rgb_of_oklab(
        (oklab){p.l + f * (q.l - p.l), p.a + f * (q.a - p.a), p.b + f * (q.b - p.b)});
}

gm_rgb gm_colour_sequential(double value)
{
    static const gm_rgb anchor[] = {
        {250, 250, 246}, {199, 226, 190}, {88, 180, 165}, {33, 112, 150}, {40, 36, 92}};
    return isnan(value) ? grey : between(anchor, 5, value);
}

gm_rgb gm_colour_diverging(double value)
{
    static const gm_rgb anchor[] = {
        {20, 78, 140}, {110, 170, 214}, {248, 248, 246}, {236, 158, 104}, {158, 50, 20}};
    return isnan(value) ? grey : between(anchor, 5, 0.5 + 0.5 * value);
}

gm_rgb gm_colour_diverging_dark(double value)
{
    static const gm_rgb anchor[] = {
        {120, 190, 245}, {38, 92, 142}, {32, 34, 37}, {140, 70, 34}, {250, 165, 105}};
    return isnan(value) ? grey : between(anchor, 5, 0.5 + 0.5 * value);
}

static double luminance(gm_rgb c)
{
    return 0.2126 * linear_of_srgb(c.r / 255.0) + 0.7152 * linear_of_srgb(c.g / 255.0) +
           0.0722 * linear_of_srgb(c.b / 255.0);
}

double gm_colour_contrast(gm_rgb a, gm_rgb b)
{
    double p = luminance(a) + 0.05, q = luminance(b) + 0.05;
    return fmax(p, q) / fmin(p, q);
}

gm_rgb gm_colour_ink(gm_rgb paper)
{
    const gm_rgb black = {0, 0, 0}, white = {255, 255, 255};
    return gm_colour_contrast(paper, black) >= gm_colour_contrast(paper, white) ? black : white;
}
