/* test_shade.c - figures/shade.c and the colours beneath: shades by value, words for those
 * who do not see them, nothing that escapes.
 */
#include "figures/shade.h"

#include "figures/figures.h"
#include "tests/check.h"

static gm_text page_of(const gm_shaded_piece *piece, size_t n)
{
    gm_html page = {0};
    gm_error err = {0};
    gm_shade_begin(&page);
    for (size_t i = 0; i < n; i++) gm_shade_piece(&page, &piece[i], 2);
    gm_shade_end(&page);
    CHECK_INT(page.status, GM_OK);
    gm_text text = page.text;
    CHECK_OK(gm_text_add(&text, "", &err), err);
    return text;
}

static void a_piece_has_the_shade_of_its_value(void)
{
    static const struct {
        double value;
        const char *class;
    } cases[] = {{-9, "d0"},   {-2, "d0"}, {-1.5, "d1"},     {-1, "d2"},
                 {-0.2, "d4"}, {0, "d4"},  {0.24, "d4"},     {0.5, "d5"},
                 {1, "d6"},    {2, "d8"},  {INFINITY, "d8"}, {NAN, "d4"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const gm_shaded_piece piece = {.bytes = "word", .n = 4, .value = cases[i].value};
        char want[64];
        gm_text text = page_of(&piece, 1);
        snprintf(want, sizeof want, "<p class=\"shade\"><span class=\"%s\">word", cases[i].class);
        CHECK(strncmp(text.at, want, strlen(want)) == 0);
        /* from half the scale on it is said */
        CHECK((strstr(text.at, "spoken") != NULL) == (fabs(cases[i].value) >= 1));
        gm_text_clear(&text);
    }
}

static void text_and_notes_are_escaped(void)
{
    const gm_shaded_piece piece[] = {
        {.bytes = "<b>&", .n = 4, .value = 0, .note = "\"><script>", .given = true},
        {.bytes = "\xE2\x80\xAE", .n = 3, .value = -1.26}};
    gm_text text = page_of(piece, 2);
    CHECK_TEXT(text.at,
               "<p class=\"shade\"><span class=\"d4 given\" title=\"&quot;&gt;&lt;script&gt;\">"
               "&lt;b&gt;&amp;</span><span class=\"d1\">\\u{202e}<span class=\"spoken\"> (-1.3) "
               "</span></span></p>\n");
    gm_text_clear(&text);
}

static void the_legend_names_every_step(void)
{
    gm_html page = {0};
    gm_shade_legend(&page, 2, "nats & more");
    CHECK_INT(page.status, GM_OK);
    const char *at = page.text.at;
    static const char *const parts[] = {"d0\">\xE2\x89\xA4 -2<",
                                        "d1\">-1.5<",
                                        "d2\">-1<",
                                        "d3\">-0.5<",
                                        "d4\">0<",
                                        "d5\">+0.5<",
                                        "d6\">+1<",
                                        "d7\">+1.5<",
                                        "d8\">\xE2\x89\xA5 +2<",
                                        "nats &amp; more"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && at; i++) {
        at = strstr(at, parts[i]);
        CHECK(at != NULL);
    }
    gm_text_clear(&page.text);
}

/* 4.5 : 1 is what WCAG asks of text; both ends of the map stand apart for every kind of
 * colour blindness by lightness or by blue against yellow. */
static void every_shade_can_be_read(void)
{
    const gm_rgb black = {0, 0, 0}, white = {255, 255, 255};
    CHECK_NEAR(gm_colour_contrast(black, white), 21, 1e-9);
    CHECK_NEAR(gm_colour_contrast(white, white), 1, 1e-12);
    for (int i = -100; i <= 100; i++) {
        gm_rgb light = gm_colour_diverging(i / 100.0), dark = gm_colour_diverging_dark(i / 100.0);
        CHECK(gm_colour_contrast(light, gm_colour_ink(light)) >= 4.5);
        CHECK(gm_colour_contrast(dark, gm_colour_ink(dark)) >= 4.5);
    }
    gm_rgb middle = gm_colour_diverging_dark(0);
    CHECK(middle.r + middle.g + middle.b < 150); /* a page's dark paper */
    gm_rgb up = gm_colour_diverging_dark(1), down = gm_colour_diverging_dark(-1);
    CHECK(up.r > down.r + 100 && down.b > up.b + 100);
}

static void the_rules_cover_both_modes(void)
{
    gm_text css = {0};
    gm_error err = {0};
    CHECK_OK(gm_shade_style(&css, &err), err);
    const char *dark = strstr(css.at, "prefers-color-scheme:dark");
    CHECK(dark != NULL);
    for (int s = 0; s < 9 && dark; s++) {
        char rule[16];
        snprintf(rule, sizeof rule, ".d%d{", s);
        const char *first = strstr(css.at, rule), *second = strstr(dark, rule);
        CHECK((s == 4) == (first == NULL)); /* the middle is the page's own paper */
        CHECK((s == 4) == (second == NULL));
        CHECK(s == 4 || first < dark);
    }
    gm_text_clear(&css);
}

TESTS(TEST(a_piece_has_the_shade_of_its_value), TEST(text_and_notes_are_escaped),
      TEST(the_legend_names_every_step), TEST(every_shade_can_be_read),
      TEST(the_rules_cover_both_modes))
