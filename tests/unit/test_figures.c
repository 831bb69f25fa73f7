/* test_figures.c - figures/: palettes, maps, heatmaps and HTML pages: what holds for any input. */
#include "base/text.h"
#include "figures/figures.h"
#include "figures/html.h"
#include "figures/labels.h"
#include "tests/check.h"

#include <unistd.h>

static int distance(gm_rgb p, gm_rgb q)
{
    return abs(p.r - q.r) + abs(p.g - q.g) + abs(p.b - q.b);
}

static void neighbouring_groups_have_different_colours(void)
{
    const int sizes[] = {2, 8, 9, 30, 60};
    for (size_t s = 0; s < 5; s++)
        for (int i = 1; i < sizes[s]; i++)
            CHECK(distance(gm_palette(i - 1, sizes[s]), gm_palette(i, sizes[s])) > 60);
    CHECK_INT(distance(gm_palette(-1, 5), gm_colour_sequential(NAN)), 0);
}

static double linear(uint8_t byte)
{
    double v = byte / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

/* A colour in OKLab as eyes see it that lack one kind of cone (1..3), or none (0).
 * Source: Machado, Oliveira, Fernandes 2009, severity 1; Ottosson 2020. */
static void see(double lab[3], gm_rgb colour, int lacking)
{
    static const double eye[4][3][3] = {
        {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
        {{.152286, 1.052583, -.204868},
         {.114503, .786281, .099216},
         {-.003882, -.048116, 1.051998}},
        {{.367322, .860646, -.227968}, {.280085, .672501, .047413}, {-.011820, .042940, .968881}},
        {{1.255528, -.076749, -.178779},
         {-.078411, .930809, .147602},
         {.004733, .691367, .303900}}};
    static const double to_lms[3][3] = {{.4122214708, .5363325363, .0514459929},
                                        {.2119034982, .6806995451, .1073969566},
                                        {.0883024619, .2817188376, .6299787005}};
    static const double to_lab[3][3] = {{.2104542553, .7936177850, -.0040720468},
                                        {1.9779984951, -2.4285922050, .4505937099},
                                        {.0259040371, .7827717662, -.8086757660}};
    const double rgb[3] = {linear(colour.r), linear(colour.g), linear(colour.b)};
    double seen[3], lms[3];
    for (int i = 0; i < 3; i++) {
        const double *row = eye[lacking][i];
        seen[i] = fmin(1, fmax(0, row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2]));
    }
    for (int i = 0; i < 3; i++)
        lms[i] = cbrt(to_lms[i][0] * seen[0] + to_lms[i][1] * seen[1] + to_lms[i][2] * seen[2]);
    for (int i = 0; i < 3; i++)
        lab[i] = to_lab[i][0] * lms[0] + to_lab[i][1] * lms[1] + to_lab[i][2] * lms[2];
}

/* The least of the Okabe-Ito set itself is 0.076; what is hardly told apart is 0.02. */
static void eight_groups_are_told_apart_by_every_eye(void)
{
    for (int lacking = 0; lacking < 4; lacking++)
        for (int i = -1; i < 8; i++)
            for (int j = i + 1; j < 8; j++) {
                double a[3], b[3];
                see(a, gm_palette(i, 8), lacking);
                see(b, gm_palette(j, 8), lacking);
                double apart =
                    sqrt(pow(a[0] - b[0], 2) + pow(a[1] - b[1], 2) + pow(a[2] - b[2], 2));
                if (!(apart >= 0.07))
                    TEST_FAILED_("groups %d and %d are %.3f apart for eye %d", i, j, apart,
                                 lacking);
            }
}

static void colour_maps_run_from_light_to_dark_and_take_any_value(void)
{
    gm_rgb light = gm_colour_sequential(0), dark = gm_colour_sequential(1);
    CHECK(light.r + light.g + light.b > 700);
    CHECK(dark.r + dark.g + dark.b < 220);
    CHECK_INT(distance(gm_colour_sequential(7), dark), 0);
    CHECK_INT(distance(gm_colour_diverging(-9), gm_colour_diverging(-1)), 0);
    CHECK(distance(gm_colour_diverging(-1), gm_colour_diverging(1)) > 200);
}

/* A name that is written from right to left begins where all of a legend do, at the left. */
static void names_from_the_right_begin_at_the_left(void)
{
    const float xy[] = {0, 0, 1, 1};
    const int32_t group[] = {0, 1};
    const char *const legend[] = {"soup", "\u0639\u0631\u0628\u064a"};
    const gm_map_figure map = {.title = "",
                               .subtitle = "",
                               .n = 2,
                               .xy = xy,
                               .group = group,
                               .n_groups = 2,
                               .legend = legend};
    double low = INFINITY, high = -INFINITY;
    gm_text svg = {0};
    gm_error err = {0};
    CHECK_OK(gm_figure_map(&map, "legend.svg", true, &err), err);
    CHECK_OK(gm_text_read_file(&svg, "legend.svg", 1 << 20, &err), err);
    for (const char *at = svg.at; (at = strstr(at, "href=\"#glyph")) != NULL; at++) {
        const double x = strtod(strstr(at, " x=\"") + 4, NULL);
        low = fmin(low, x), high = fmax(high, x);
    }
    CHECK(high - low < 60);
    gm_text_clear(&svg);
}

/* Of more names than there is room for the first are shown: the last, which no font has, is not. */
static void a_legend_has_as_many_names_as_can_be_read(void)
{
    enum { MANY = 2000 };
    static const char *legend[MANY];
    const float xy[] = {0, 0, 1, 1};
    const int32_t group[] = {0, MANY - 1};
    gm_map_figure map = {.title = "", .n = 2, .xy = xy, .group = group, .legend = legend};
    gm_text png = {0};
    gm_error err = {0};
    for (size_t i = 0; i < MANY; i++) legend[i] = i < 107 ? "soup" : "\U0010FFFD";
    map.n_groups = MANY;
    CHECK_OK(gm_figure_map_png(&map, &png, &err), err);
    map.n_groups = 108;
    CHECK_FAILS(gm_figure_map_png(&map, &png, &err), err, GM_EABSENT, "no installed font");
    gm_text_clear(&png);
}

/* All name points of one place, where something is drawn: none covers another, or more than the rim
 * of that, all are in the frame; one alone stands beside its point. */
static void labels_at_points_cover_nothing(void)
{
    const gm_box taken = {.x = 150, .y = 80, .width = 40, .height = 40};
    gm_box box[12], alone = {.width = 60, .height = 14, .home_x = 200, .home_y = 100};
    double x, y;
    for (int i = 0; i < 12; i++)
        box[i] = (gm_box){.width = 60, .height = 14, .home_x = 130 + 2 * i, .home_y = 80 + i % 3};
    gm_labels_place(box, 12, &taken, 1, 400, 300);
    for (int i = 0; i < 12; i++) {
        CHECK(box[i].x >= 30 && box[i].x <= 370 && box[i].y >= 7 && box[i].y <= 293);
        CHECK(fabs(box[i].x - taken.x) >= 46 || fabs(box[i].y - taken.y) >= 23);
        CHECK(gm_label_edge(&box[i], &x, &y) < 120);
        for (int j = i + 1; j < 12; j++)
            CHECK(fabs(box[i].x - box[j].x) >= 60 || fabs(box[i].y - box[j].y) >= 14);
    }
    gm_labels_place(&alone, 1, NULL, 0, 400, 300);
    CHECK(gm_label_edge(&alone, &x, &y) < 9);
    CHECK(x > 200 && y >= alone.y - 7 && y <= 100);
}

static bool lines_cross(const gm_beside *p, const gm_beside *q, double width)
{
    double edge = p->left ? 0 : width;
    /* segments (edge, y) to home: which side of one do the other's ends lie on? */
    double a = (p->home_x - edge) * (q->y - p->y);
    double b = (p->home_x - edge) * (q->home_y - p->y) - (p->home_y - p->y) * (q->home_x - edge);
    double c = (q->home_x - edge) * (p->y - q->y);
    double d = (q->home_x - edge) * (p->home_y - q->y) - (q->home_y - q->y) * (p->home_x - edge);
    return a * b < 0 && c * d < 0;
}

static void labels_beside_a_plot_have_places_of_their_own_and_lines_that_do_not_cross(void)
{
    enum { MOST = 60 };
    gm_beside label[MOST];
    size_t order[MOST];
    unsigned state = 7;
    for (size_t n = 0; n <= MOST; n += 5) {
        for (size_t i = 0; i < n; i++) { /* many at one height, so that they must part */
            label[i].home_x = (state = state * 1103515245u + 12345u) / 65536 % 400;
            label[i].home_y = (state = state * 1103515245u + 12345u) / 65536 % 90;
        }
        gm_labels_beside(label, n, 400, 300, 10, order);
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            left += label[i].left;
            CHECK(label[i].y >= 5 && label[i].y <= 295);
            for (size_t j = i + 1; j < n; j++) {
                if (label[i].left != label[j].left) continue;
                CHECK(fabs(label[i].y - label[j].y) >= 10 - 1e-9);
                CHECK(!lines_cross(&label[i], &label[j], 400));
            }
        }
        CHECK_INT(left, n / 2);
    }
}

static void colours_by_place_differ_by_direction(void)
{
    const double right = 0, up = 1.57, left = 3.14;
    CHECK(distance(gm_palette_polar(right, 1, 0), gm_palette_polar(left, 1, 0)) > 100);
    CHECK(distance(gm_palette_polar(right, 1, 0), gm_palette_polar(up, 1, 0)) > 100);
    CHECK(distance(gm_palette_polar(up, 1, 0), gm_palette_polar(up, 1, 1)) > 20);
    gm_rgb near = gm_palette_polar(up, 0, 0), far = gm_palette_polar(up, 1, 0);
    CHECK(near.r + near.g + near.b < far.r + far.g + far.b);
}

/* A small map with noise, a point that is not a number, and labels in two scripts. */
static gm_map_figure small_map(void)
{
    static const float xy[] = {0, 0, 1, 1, NAN, 2, 5, 3, 2, 2};
    static const int32_t group[] = {0, 1, 1, -1, 0};
    static const char *const legend[] = {"first", "второй"};
    static const gm_map_label label[] = {{0, 0, "food, wine", 0}, {1, 1, "слово", 1}};
    return (gm_map_figure){.title = "A map",
                           .n = 5,
                           .xy = xy,
                           .group = group,
                           .n_groups = 2,
                           .legend = legend,
                           .label = label,
                           .n_labels = 2,
                           .width = 400,
                           .height = 300};
}

static void a_text_that_no_font_can_write_is_said(void)
{
    gm_error err = {0};
    gm_text png = {0};
    gm_map_figure map = small_map();
    map.title = "last private character \xF4\x8F\xBF\xBD";
    CHECK_FAILS(gm_figure_map_png(&map, &png, &err), err, GM_EABSENT, "no installed font has all");
    gm_text_clear(&png);
    CHECK(gm_fonts_can("word") && gm_fonts_can("слово") && gm_fonts_can(""));
    CHECK(!gm_fonts_can("word \xF4\x8F\xBF\xBD"));
    CHECK(!gm_fonts_can("a control character\x01"));
}

static void pictures_are_png_of_the_size_asked_for_and_repeat(void)
{
    gm_error err = {0};
    gm_text first = {0}, second = {0};
    gm_map_figure map = small_map();
    CHECK_OK(gm_figure_map_png(&map, &first, &err), err);
    CHECK_OK(gm_figure_map_png(&map, &second, &err), err);
    CHECK(first.n > 1000);
    CHECK_BYTES(first.at, "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x90\0\0\x01\x2c", 24);
    CHECK_INT(first.n, second.n);
    CHECK_BYTES(first.at, second.at, first.n < second.n ? first.n : second.n);
    map.xy = NULL, map.n = 0, map.n_labels = 0; /* an empty map is a picture too */
    gm_text_clear(&second);
    CHECK_OK(gm_figure_map_png(&map, &second, &err), err);
    gm_text_clear(&first);
    gm_text_clear(&second);
}

/* Of a PNG, big-endian after its first chunk's name. */
static int png_height(const gm_text *png)
{
    const unsigned char *at = (const unsigned char *)png->at + 20;
    return at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void a_picture_is_as_high_as_its_map(void)
{
    static const float flat[] = {0, 0, 9, 1}, square[] = {0, 0, 9, 9, NAN, 0};
    const float *const xy[] = {flat, square, flat};
    const size_t n[] = {2, 3, 0};
    static const int least = 600 + 74 + 40, height[] = {least, 1200, 1200}; /* no point: a square */
    for (int i = 0; i < 3; i++) {
        gm_error err = {0};
        gm_text png = {0};
        const gm_map_figure map = {.xy = xy[i], .n = n[i]};
        CHECK_OK(gm_figure_map_png(&map, &png, &err), err);
        CHECK_INT(png_height(&png), height[i]);
        gm_text_clear(&png);
    }
}

/* Width of a PNG (its header, RFC 2083) of a heatmap with few cells. */
static unsigned width_of_heatmap(const char *title, const char *panel_title)
{
    gm_error err = {0};
    gm_text png = {0};
    const float value[] = {0, 1};
    const gm_heat_panel panel[] = {{panel_title, value, false, ""}, {"b", value, true, ""}};
    const gm_heat_figure heat = {
        .title = title, .panel = panel, .n_panels = 2, .rows = 1, .cols = 2};
    CHECK_OK(gm_figure_heat_png(&heat, &png, &err), err);
    const unsigned char *at = (const unsigned char *)png.at + 16;
    const unsigned width =
        (unsigned)at[0] << 24 | (unsigned)at[1] << 16 | (unsigned)at[2] << 8 | at[3];
    gm_text_clear(&png);
    return width;
}

/* A picture of few cells is as wide as its titles, and no wider than a page. */
static void titles_of_heatmaps_are_not_cut(void)
{
    char endless[400];
    memset(endless, 'W', sizeof endless - 1), endless[sizeof endless - 1] = '\0';
    const unsigned bare = width_of_heatmap("t", "a");
    CHECK(width_of_heatmap("How the choices are spread over all of the experts", "a") > bare + 200);
    CHECK(width_of_heatmap("t", "P(expert | subset), OLMoE's specialisation") > bare + 200);
    CHECK(width_of_heatmap(endless, endless) <= 1500);
}

static void the_ending_decides_the_kind_of_picture(void)
{
    gm_error err = {0};
    gm_text bytes = {0};
    const float value[] = {0, 1, NAN, -2, 4, INFINITY};
    const gm_heat_panel panel = {"usage", value, false, "x uniform"};
    const gm_heat_figure heat = {
        .title = "t", .panel = &panel, .n_panels = 1, .rows = 2, .cols = 3};

    unlink("heat.svg");
    CHECK_OK(gm_figure_heat(&heat, "heat.svg", false, &err), err);
    CHECK_OK(gm_text_read_file(&bytes, "heat.svg", 1 << 20, &err), err);
    CHECK_HAS(bytes.at, "<svg");
    gm_text_clear(&bytes);
    CHECK_FAILS(gm_figure_heat(&heat, "heat.svg", false, &err), err, GM_EEXIST, "heat.svg");
    CHECK_FAILS(gm_figure_heat(&heat, "heat.gif", false, &err), err, GM_EARG, ".png nor .svg");

    gm_heat_figure none = heat;
    none.rows = 0;
    CHECK_FAILS(gm_figure_heat_png(&none, &bytes, &err), err, GM_EARG, "0 x 3 cells");
    gm_map_figure map = small_map();
    map.width = 100000;
    CHECK_FAILS(gm_figure_map_png(&map, &bytes, &err), err, GM_EARG, "100000 x 300");
}

static void an_svg_of_many_points_holds_them_as_a_picture_and_labels_as_lines(void)
{
    enum { MANY = 6000 };
    gm_error err = {0};
    gm_text few = {0}, many = {0};
    gm_map_figure map = small_map();
    float *xy = gm_alloc(2 * MANY, sizeof *xy);
    int32_t *group = gm_alloc(MANY, sizeof *group);
    CHECK(xy != NULL && group != NULL);
    if (xy == NULL || group == NULL) return;
    for (size_t i = 0; i < 2 * MANY; i++) xy[i] = (float)(i * i % 977);
    CHECK_OK(gm_figure_map(&map, "few.svg", true, &err), err);
    map.n = MANY, map.xy = xy, map.group = group;
    CHECK_OK(gm_figure_map(&map, "many.svg", true, &err), err);
    CHECK_OK(gm_text_read_file(&few, "few.svg", 1 << 24, &err), err);
    CHECK_OK(gm_text_read_file(&many, "many.svg", 1 << 24, &err), err);
    CHECK(strstr(few.at, "data:image/png") == NULL && strstr(few.at, "glyph") != NULL);
    CHECK(strstr(many.at, "data:image/png") != NULL && strstr(many.at, "glyph") != NULL);
    CHECK(many.n < 60u * MANY); /* 6,000 circles take 1.6 MB */
    gm_text_clear(&few);
    gm_text_clear(&many);
    gm_free(xy);
    gm_free(group);
}

static void a_label_on_a_map_ends_with_a_whole_word(void)
{
    gm_error err = {0};
    gm_text cut = {0}, shorter = {0}, longer = {0};
    gm_map_label label[] = {{0, 0, "food, wine, breadbreadbreadbreadbreadbreadbreadbread", 0}};
    gm_map_figure map = small_map();
    map.label = label, map.n_labels = 1, map.width = 1000;
    CHECK_OK(gm_figure_map_png(&map, &cut, &err), err);
    label[0].text = "food, wine";
    CHECK_OK(gm_figure_map_png(&map, &shorter, &err), err);
    label[0].text = "food, wind";
    CHECK_OK(gm_figure_map_png(&map, &longer, &err), err);
    CHECK_INT(cut.n, shorter.n);
    CHECK_BYTES(cut.at, shorter.at, cut.n < shorter.n ? cut.n : shorter.n);
    CHECK(longer.n != cut.n || memcmp(longer.at, cut.at, cut.n) != 0);
    gm_text_clear(&cut);
    gm_text_clear(&shorter);
    gm_text_clear(&longer);
}

static void base64_of_embedded_pictures_is_right(void)
{
    gm_error err = {0};
    const struct {
        const char *bytes, *base64;
    } example[] = {{"f", "base64,Zg==\""}, {"fo", "base64,Zm8=\""}, {"foo", "base64,Zm9v\""}};
    for (size_t i = 0; i < 3; i++) { /* RFC 4648, section 10 */
        gm_html page;
        gm_text png = {0};
        CHECK_OK(gm_text_add(&png, example[i].bytes, &err), err);
        gm_html_begin(&page, NULL, "t", "");
        gm_html_picture(&page, &png, "alt", "caption");
        CHECK_OK(gm_html_end(&page, &err), err);
        CHECK_HAS(page.text.at, example[i].base64);
        gm_html_clear(&page);
        gm_text_clear(&png);
    }
}

static gm_status draw_everything(void *state, gm_error *err)
{
    (void)state;
    gm_status status = GM_OK;
    gm_text png = {0};
    gm_html page = {0};
    gm_map_figure map = small_map();
    const float value[] = {0, 1};
    const gm_heat_panel panel = {"usage", value, true, NULL};
    const gm_heat_figure heat = {.panel = &panel, .n_panels = 1, .rows = 1, .cols = 2};
    GM_TRY(gm_figure_map_png(&map, &png, err));
    GM_TRY(gm_figure_heat_png(&heat, &png, err));
    gm_html_begin(&page, NULL, "t", "");
    gm_html_picture(&page, &png, "alt", "caption");
    GM_TRY(gm_html_end(&page, err));
out:
    gm_html_clear(&page);
    gm_text_clear(&png);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(draw_everything, NULL);
}

static void a_heatmap_may_have_more_cells_than_pixels(void)
{
    enum { COLS = 65535 };
    gm_text png = {0};
    gm_error err = {0};
    float *value = gm_alloc(2 * COLS, sizeof *value);
    CHECK(value != NULL);
    if (value == NULL) return;
    for (int i = 0; i < 2 * COLS; i++) value[i] = i % 5 ? (float)(i % 7) : NAN;
    const gm_heat_panel panel[] = {{"one", value, false, ""}, {"two", value, true, ""}};
    gm_heat_figure heat = {.title = "wide", .panel = panel, .n_panels = 2, .rows = 2, .cols = COLS};
    CHECK_OK(gm_figure_heat_png(&heat, &png, &err), err);
    gm_text_clear(&png);
    heat.rows = 13107, heat.cols = 10, heat.n_panels = 1;
    CHECK_OK(gm_figure_heat_png(&heat, &png, &err), err);
    gm_text_clear(&png);
    gm_free(value);
}

TESTS(TEST(neighbouring_groups_have_different_colours),
      TEST(eight_groups_are_told_apart_by_every_eye),
      TEST(colour_maps_run_from_light_to_dark_and_take_any_value),
      TEST(names_from_the_right_begin_at_the_left), TEST(a_legend_has_as_many_names_as_can_be_read),
      TEST(labels_at_points_cover_nothing),
      TEST(labels_beside_a_plot_have_places_of_their_own_and_lines_that_do_not_cross),
      TEST(colours_by_place_differ_by_direction), TEST(a_text_that_no_font_can_write_is_said),
      TEST(pictures_are_png_of_the_size_asked_for_and_repeat),
      TEST(a_picture_is_as_high_as_its_map), TEST(the_ending_decides_the_kind_of_picture),
      TEST(titles_of_heatmaps_are_not_cut),
      TEST(an_svg_of_many_points_holds_them_as_a_picture_and_labels_as_lines),
      TEST(a_label_on_a_map_ends_with_a_whole_word), TEST(base64_of_embedded_pictures_is_right),
      TEST(survives_every_allocation_failure), TEST(a_heatmap_may_have_more_cells_than_pixels))
