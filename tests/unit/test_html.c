/* test_html.c - figures/html.c: pages: hostile texts, heads of tables, JSON as a table. */
#include "figures/html.h"
#include "tests/check.h"

static void hostile_text_stays_text(void)
{
    gm_error err = {0};
    gm_html page;
    const char evil[] = "<script>alert('x')</script>&\x01\xff \xE2\x80\xAEtxt\xD8\x9C\0end";
    static const char *const header[] = {"a", "b"};
    gm_html_begin(&page, "a/<u>.h5", "<b>title</b>", ".b{color:red}");
    gm_html_text(&page, evil, sizeof evil - 1);
    gm_html_table_begin(&page, "caption", header, 2);
    gm_html_cell(&page, "<i>");
    gm_html_cell_number(&page, NAN, 2);
    gm_html_row_end(&page);
    gm_html_table_end(&page);
    gm_html_footer(&page, "gm-probe stats", "<i>.h5");
    CHECK_OK(gm_html_end(&page, &err), err);
    CHECK_HAS(page.text.at, "&lt;script&gt;alert(&#39;x&#39;)");
    CHECK_HAS(page.text.at, "\\x01\\xff");
    CHECK_HAS(page.text.at, "end"); /* nothing is cut at a NUL */
    CHECK_HAS(page.text.at, "<title>&lt;u&gt;.h5: &lt;b&gt;title");
    CHECK_HAS(page.text.at, ".b{color:red}</style>");
    CHECK_HAS(page.text.at,
              "Made by <code>gm-probe stats &lt;i&gt;.h5</code>; this page by version ");
    CHECK_HAS(page.text.at, "default-src 'none'");
    CHECK(strstr(page.text.at, "<script") == NULL);
    CHECK(strstr(page.text.at, "\xE2\x80\xAE") == NULL);
    CHECK_HAS(page.text.at, "\\u{202e}txt\\u{61c}");
    CHECK(strstr(page.text.at, "<tr></tbody>") == NULL);
    /* a table that is wider than the page scrolls in a box of its own, by keys too */
    CHECK_HAS(page.text.at, "<div class=\"wide\" tabindex=\"0\"><table>");
    CHECK_HAS(page.text.at, "</tbody></table></div>");
    CHECK_HAS(page.text.at, ".wide {\n    overflow-x: auto");
    gm_html_clear(&page);
}

static void heads_stand_over_their_numbers(void)
{
    gm_error err = {0};
    gm_html page = {0};
    static const char *const outer[] = {"a", "b", "c"}, *const inner[] = {"d", "e"};
    gm_html_table_begin(&page, NULL, outer, 3);
    gm_html_cell_number(&page, 1, 0);
    gm_html_raw(&page, "<td>");
    gm_html_table_begin(&page, NULL, inner, 2);
    gm_html_cell(&page, "x");
    gm_html_cell_number(&page, NAN, 0);
    gm_html_row_end(&page);
    gm_html_table_end(&page);
    gm_html_raw(&page, "</td>");
    gm_html_cell_number(&page, 2, 1);
    gm_html_row_end(&page);
    gm_html_table_end(&page);
    gm_html_table_begin(&page, NULL, inner, 2); /* no row: heads of texts */
    gm_html_table_end(&page);
    CHECK_OK(gm_html_end(&page, &err), err);
    CHECK_HAS(page.text.at, "<th scope=\"col\" class=\"n\">a</th><th scope=\"col\">b</th>"
                            "<th scope=\"col\" class=\"n\">c</th></tr>");
    CHECK_HAS(page.text.at, "<th scope=\"col\">d</th><th scope=\"col\" class=\"n\">e</th></tr>");
    CHECK_HAS(page.text.at, "<th scope=\"col\">d</th><th scope=\"col\">e</th></tr></thead>\n"
                            "<tbody></tbody>");
    gm_html_clear(&page);
}

static const char *means(const char *name)
{
    return strcmp(name, "left.out") == 0 ? NULL : strcmp(name, "seed") == 0 ? "of chance" : "";
}

static void json_is_a_table_of_names_and_values(void)
{
    gm_error err = {0};
    gm_html page = {0};
    static const char json[] =
        "{\"seed\":9000000000000001,\"left\":{\"out\":1,\"in\":0.25},\"words\":[\"<a\",\"b c\"],"
        "\"none\":null,\"flag\":true,\"few\":[{\"k\":\"v\",\"n\":1}],\"plans\":[{\"a\":1,\"b\":2,"
        "\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":[1,2]}]}";
    CHECK_OK(gm_html_members(&page, json, "json", means, &err), err);
    CHECK_HAS(page.text.at, "<td>seed</td><td>9000000000000001</td><td>of chance</td></tr>");
    CHECK_HAS(page.text.at, "<td>left.in</td><td>0.25</td><td></td></tr>");
    CHECK(strstr(page.text.at, "left.out") == NULL);
    CHECK_HAS(page.text.at, "<td>words</td><td>&lt;a<br>b c</td>");
    CHECK_HAS(page.text.at, "<td>none</td><td>-</td>");
    CHECK_HAS(page.text.at, "<td>flag</td><td>yes</td>");
    CHECK_HAS(page.text.at, "<th scope=\"col\">k</th><th scope=\"col\" class=\"n\">n</th>");
    CHECK_HAS(page.text.at, "<td>plans.1.a</td><td>1</td>"); /* too many for columns */
    CHECK_HAS(page.text.at, "<td>plans.1.i</td><td>1 2</td>");
    CHECK_FAILS(gm_html_members(&page, "{", "what it is", NULL, &err), err, GM_EFORMAT,
                "what it is");
    gm_html_clear(&page);
}

TESTS(TEST(hostile_text_stays_text), TEST(heads_stand_over_their_numbers),
      TEST(json_is_a_table_of_names_and_values))
