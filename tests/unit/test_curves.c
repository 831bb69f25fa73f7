/* test_curves.c - figures/curves.c: axes by hand, pictures by their properties. */
#include "figures/curves.h"
#include "tests/check.h"

#include <unistd.h>

static void check_axis(gm_axis a, double lo, double hi, double step)
{
    CHECK_NEAR(a.lo, lo, 1e-12);
    CHECK_NEAR(a.hi, hi, 1e-12);
    CHECK_NEAR(a.step, step, 1e-12);
}

static void axes_are_round(void)
{
    check_axis(gm_axis_round(0, 1, 5), 0, 1, 0.2);
    check_axis(gm_axis_round(0, 0.73, 6), 0, 0.8, 0.2);
    check_axis(gm_axis_round(-0.41, 2.3, 6), -0.5, 2.5, 0.5);
    check_axis(gm_axis_round(0, 1234, 6), 0, 1500, 500);
    check_axis(gm_axis_round(3, 3, 5), 3, 4, 0.2);
    check_axis(gm_axis_round(0, 0.6, 6), 0, 0.6, 0.1); /* no tick too many by rounding */
}

static const gm_curve_point line[] = {
    {0, 0, NAN, NAN, NULL}, {0.1, 1, 0.5, 1.5, "x1"}, {NAN, 2, 0, 0, "lost"}, {0.3, 2, 1, 3, "x2"}};
static const gm_curve_point band[] = {{0, 0, 0, 0, NULL}, {0.2, 0.1, -0.3, 0.4, NULL}};

static gm_curve_figure small(const gm_curve_panel *panel, int n)
{
    return (gm_curve_figure){
        .title = "t", .x_axis = "x", .y_axis = "y", .panel = panel, .n_panels = n};
}

static void pictures_repeat(void)
{
    const gm_curve_panel panel[] = {
        {"one", band, 2, line, 4, line, 2, 0.5, 1.2, "level"},
        {.title = "<empty>", .limit_x = (double)NAN, .level_y = (double)NAN}};
    gm_curve_figure f = small(panel, 2);
    gm_text a = {0}, b = {0};
    gm_error err = {0};
    CHECK_OK(gm_figure_curves_png(&f, &a, &err), err);
    CHECK_OK(gm_figure_curves_png(&f, &b, &err), err);
    CHECK(a.n > 2000 && a.n == b.n);
    CHECK_BYTES(a.at, b.at, a.n < b.n ? a.n : b.n);
    gm_text_clear(&b);
    f.columns = 1; /* two rows: another picture */
    CHECK_OK(gm_figure_curves_png(&f, &b, &err), err);
    CHECK(a.n != b.n || memcmp(a.at, b.at, a.n) != 0);
    gm_text_clear(&a);
    gm_text_clear(&b);
}

/* A letter in an SVG of cairo's: which drawing of a letter it uses, and where. */
typedef struct letter {
    char id[16];
    double x, y;
} letter;

/* The first n letters of one height in a row, in the picture `f` as SVG. */
static void find_letters(letter *out, size_t n, const gm_curve_figure *f)
{
    gm_text svg = {0};
    gm_error err = {0};
    size_t found = 0;
    CHECK_OK(gm_figure_curves(f, "letters.svg", true, &err), err);
    CHECK_OK(gm_text_read_file(&svg, "letters.svg", 1 << 24, &err), err);
    for (const char *at = svg.at; found < n && (at = strstr(at, "href=\"#glyph")) != NULL; at++) {
        letter l = {{0}, 0, 0};
        if (sscanf(at, "href=\"#glyph%15[^\"]\" x=\"%lf\" y=\"%lf", l.id, &l.x, &l.y) != 3)
            continue;
        if (found > 0 && fabs(l.y - out[0].y) > 1e-9) found = 0;
        out[found++] = l;
    }
    CHECK_INT(found, n);
    gm_text_clear(&svg);
}

/* Points at 0, 1, ... 6 stand for 0 1 2 4 8 16 32: which of these nine digits are the same? */
static void an_axis_of_powers_of_two_says_so(void)
{
    static const char digits[] = "012481632";
    const gm_curve_point far[] = {{0, 0, NAN, NAN, NULL}, {6, 1, NAN, NAN, NULL}};
    const gm_curve_panel panel[] = {
        {"one", NULL, 0, far, 2, NULL, 0, (double)NAN, (double)NAN, NULL}};
    gm_curve_figure f = small(panel, 1);
    letter at[9];
    f.x_doubles = true;
    find_letters(at, 9, &f);
    for (int i = 0; i < 9; i++)
        for (int k = 0; k < i; k++)
            CHECK((strcmp(at[i].id, at[k].id) == 0) == (digits[i] == digits[k]));
    const double apart = (at[2].x - at[0].x) / 2;
    CHECK_NEAR(at[3].x - at[2].x, apart, 1);
    CHECK_NEAR((at[7].x + at[8].x - at[5].x - at[6].x) / 2, apart, 1);
}

/* A level's label leaves the crowded end of its line. */
static void a_label_of_a_level_hides_no_points(void)
{
    const gm_curve_point right[] = {
        {6, 0.9, NAN, NAN, NULL}, {5.6, 1, NAN, NAN, NULL}, {5.8, 1.1, NAN, NAN, NULL}};
    gm_curve_panel panel[] = {
        {NULL, NULL, 0, NULL, 0, right, 0, (double)NAN, 1, "wwwwwwwwwwwwwwww"}};
    gm_curve_figure f = small(panel, 1);
    letter at[16];
    f.title = f.x_axis = f.y_axis = NULL;
    find_letters(at, 16, &f);
    const double alone = at[0].x;
    panel[0].n_mark = 3;
    find_letters(at, 16, &f);
    CHECK(at[0].x < alone - 100);
}

static gm_text drawn(const gm_curve_figure *f)
{
    gm_text png = {0};
    gm_error err = {0};
    CHECK_OK(gm_figure_curves_png(f, &png, &err), err);
    return png;
}

static int width_of(gm_text png)
{
    const unsigned char *at =
        (const unsigned char *)png.at + 16; /* in its header, after a length */
    return at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void one_panel_is_as_wide_as_two(void)
{
    const gm_curve_panel panel[] = {{"one", band, 2, line, 4, line, 2, 0.5, 1.2, "level"},
                                    {"two", band, 2, line, 4, line, 2, 0.5, 1.2, "level"}};
    const gm_curve_figure one = small(panel, 1), two = small(panel, 2);
    gm_text narrow = drawn(&one), wide = drawn(&two);
    CHECK_INT(width_of(narrow), width_of(wide));
    gm_text_clear(&narrow);
    gm_text_clear(&wide);
}

/* Are the pictures with shared axes and with axes by column the same? */
static bool same_by_column(const gm_curve_panel *panel, int columns)
{
    gm_curve_figure f = small(panel, 2);
    f.columns = columns;
    gm_text shared = drawn(&f);
    f.by_column = true;
    gm_text apart = drawn(&f);
    bool same = shared.n == apart.n && memcmp(shared.at, apart.at, shared.n) == 0;
    gm_text_clear(&shared);
    gm_text_clear(&apart);
    return same;
}

/* With axes of their own, what one panel holds does not shape the other, whichever is wider. */
static void columns_have_their_own_axes(void)
{
    const gm_curve_point wide[] = {{0, 0, NAN, NAN, NULL}, {100, 100, NAN, NAN, NULL}};
    const gm_curve_panel near = {
        .line = line, .n_line = 4, .limit_x = (double)NAN, .level_y = (double)NAN};
    gm_curve_panel far = near;
    far.line = wide, far.n_line = 2;
    CHECK(!same_by_column((const gm_curve_panel[]){near, far}, 2));
    CHECK(!same_by_column((const gm_curve_panel[]){far, near}, 2));
    CHECK(same_by_column((const gm_curve_panel[]){near, far}, 1)); /* one column holds both */
}

static void a_band_leaves_out_what_is_no_number(void)
{
    const gm_curve_point holed[] = {band[0], {0.1, 0.05, NAN, 0.2, NULL}, band[1]};
    const gm_curve_panel whole = {.band = band, .n_band = 2, .limit_x = NAN, .level_y = NAN};
    gm_curve_panel other = whole;
    other.band = holed, other.n_band = 3;
    const gm_curve_figure f = small(&whole, 1), g = small(&other, 1);
    gm_text a = {0}, b = {0};
    gm_error err = {0};
    CHECK_OK(gm_figure_curves_png(&f, &a, &err), err);
    CHECK_OK(gm_figure_curves_png(&g, &b, &err), err);
    CHECK_INT(a.n, b.n);
    CHECK_BYTES(a.at, b.at, a.n < b.n ? a.n : b.n);
    gm_text_clear(&a);
    gm_text_clear(&b);
}

static void files_by_their_ending(void)
{
    const gm_curve_panel panel = {.line = line, .n_line = 4, .limit_x = (double)NAN};
    const gm_curve_figure f = small(&panel, 1), none = small(&panel, 0);
    gm_text bytes = {0};
    gm_error err = {0};
    unlink("curves.svg");
    CHECK_OK(gm_figure_curves(&f, "curves.svg", false, &err), err);
    CHECK_OK(gm_text_read_file(&bytes, "curves.svg", 1 << 20, &err), err);
    CHECK(strstr(bytes.at, "<svg") != NULL);
    gm_text_clear(&bytes);
    CHECK_FAILS(gm_figure_curves(&f, "curves.svg", false, &err), err, GM_EEXIST, "curves.svg");
    CHECK_FAILS(gm_figure_curves(&f, "curves.gif", false, &err), err, GM_EARG, ".png nor .svg");
    CHECK_FAILS(gm_figure_curves_png(&none, &bytes, &err), err, GM_EARG, "0 panels");
}

TESTS(TEST(columns_have_their_own_axes), TEST(axes_are_round), TEST(pictures_repeat),
      TEST(an_axis_of_powers_of_two_says_so), TEST(a_label_of_a_level_hides_no_points),
      TEST(one_panel_is_as_wide_as_two), TEST(a_band_leaves_out_what_is_no_number),
      TEST(files_by_their_ending))
