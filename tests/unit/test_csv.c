/* test_csv.c - base/csv.c: tables that pandas, spreadsheets and people write, and broken ones. */
#include "base/csv.h"

#include "tests/check.h"

static gm_status parse(gm_csv *out, const char *text, gm_error *err)
{
    return gm_csv_parse(out, text, strlen(text), "t.csv", err);
}

static void a_table_is_read_as_it_was_written(void)
{
    static const char *const plain = "id,cluster\na,1\n\"b,\"\"c\"\"\nd\",-1\n,\n";
    static const char *const same[] = {
        plain,
        "id,cluster\r\na,1\r\n\"b,\"\"c\"\"\nd\",-1\r\n,",
        "\xEF\xBB\xBF\n\"id\",\"cluster\"\n\n\"a\",\"1\"\n\"b,\"\"c\"\"\nd\",\"-1\"\n\n\"\","
        "\"\"\n\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        gm_csv t;
        gm_error err = {0};
        size_t column = 99;
        CHECK_OK(parse(&t, same[i], &err), err);
        CHECK_INT(t.n_columns, 2);
        CHECK_INT(t.n_rows, 3);
        CHECK_OK(gm_csv_find(&t, "cluster", "t.csv", &column, &err), err);
        CHECK_INT(column, 1);
        CHECK(gm_csv_has(&t, "id") && !gm_csv_has(&t, "sha"));
        CHECK_TEXT(t.field[0], "a");
        CHECK_TEXT(t.field[1], "1");
        CHECK_TEXT(t.field[2], "b,\"c\"\nd");
        CHECK_TEXT(t.field[3], "-1");
        CHECK_TEXT(t.field[4], "");
        CHECK_INT(t.line[0], i == 2 ? 4 : 2);
        CHECK_INT(t.line[1], i == 2 ? 5 : 3);
        CHECK_INT(t.line[2], i == 2 ? 8 : 5);
        gm_csv_clear(&t);
    }
}

static void a_table_may_have_no_rows(void)
{
    gm_csv t;
    gm_error err = {0};
    size_t column;
    CHECK_OK(parse(&t, "layer,expert", &err), err);
    CHECK_INT(t.n_rows, 0);
    CHECK_INT(gm_csv_find(&t, "bias", "t.csv", &column, &err), GM_EFORMAT);
    CHECK_TEXT(err.text, "'t.csv' has no column 'bias'; its columns are layer, expert");
    gm_csv_clear(&t);
    CHECK_OK(parse(&t, "layers, layer,lay er ,\texpert ", &err), err);
    CHECK_OK(gm_csv_find(&t, "layer", "t.csv", &column, &err), err);
    CHECK_INT(column, 1);
    CHECK_OK(gm_csv_find(&t, "expert", "t.csv", &column, &err), err);
    CHECK_INT(column, 3);
    CHECK(!gm_csv_has(&t, "lay") && !gm_csv_has(&t, "er") && !gm_csv_has(&t, ""));
    gm_csv_clear(&t);
}

static void broken_tables_are_refused_by_line(void)
{
    static const struct {
        const char *text, *says;
    } broken[] = {
        {"", "'t.csv' is empty, expected a line of column names"},
        {"\xEF\xBB\xBF", "'t.csv' is empty, expected a line of column names"},
        {"\n\r\n", "'t.csv' is empty, expected a line of column names"},
        {"a,b\n1,2\n\n1,2,3\n", "'t.csv', line 4: expected 2 fields, found 3"},
        {"a,b\n1\n", "'t.csv', line 2: expected 2 fields, found 1"},
        {"a,b\n1,\"2\n", "'t.csv', line 2: a quoted field is never closed"},
        {"a,b\n\"1\n\"x,2\n", "'t.csv', line 3: expected a comma after a quoted field"},
        {"a,b\n1\"2\",3\n",
         "'t.csv', line 2: a field contains a quote but does not begin with one"},
        {"a,b\n1,\xFF\n", "'t.csv' is not valid UTF-8 at byte 6"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        gm_csv t;
        gm_error err = {0};
        CHECK_INT(parse(&t, broken[i].text, &err), GM_EFORMAT);
        CHECK_TEXT(err.text, broken[i].says);
        CHECK(t.field == NULL && t.text == NULL);
    }
    gm_csv t;
    gm_error err = {0};
    CHECK_INT(gm_csv_parse(&t, "a\0b", 3, "t.csv", &err), GM_EFORMAT);
    CHECK_INT(gm_csv_read(&t, "absent.csv", &err), GM_EIO);
}

static gm_status parse_once(void *state, gm_error *err)
{
    (void)state;
    gm_csv t;
    gm_status status = parse(&t, "a,b\n1,2\n", err);
    CHECK((status == GM_OK) == (t.field != NULL));
    gm_csv_clear(&t);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(parse_once, NULL);
}

TESTS(TEST(a_table_is_read_as_it_was_written), TEST(a_table_may_have_no_rows),
      TEST(broken_tables_are_refused_by_line), TEST(survives_every_allocation_failure))
