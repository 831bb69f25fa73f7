/* test_counterpart.c - cluster/counterpart.c: groups of the same documents side by side, by hand.
 */
#include "cluster/counterpart.h"

#include "base/sha256.h"
#include "base/text.h"
#include "tests/atlas_sample.h"
#include "tests/check.h"

static void jaccard_by_hand(void)
{
    const int32_t label[] = {0, 0, 0, 1, 1, -1, -1}, other[] = {1, 1, 0, 0, -1, 0, -1};
    gm_counterpart got[3];
    gm_error err = {0};
    CHECK_OK(gm_counterparts_find(got, label, 3, other, 2, 7, &err), err);
    CHECK_INT(got[0].group, 1);
    CHECK_NEAR(got[0].jaccard, 2.0 / 3, 1e-15); /* {0 1 2} and {0 1} */
    CHECK_INT(got[0].here, 3);
    CHECK_INT(got[0].there, 2);
    CHECK_INT(got[0].both, 2);
    CHECK_INT(got[1].group, 0);
    CHECK_NEAR(got[1].jaccard, 1.0 / 4, 1e-15); /* {3 4} and {2 3 5} */
    CHECK_INT(got[2].group, -1);
    CHECK(isnan(got[2].jaccard));
    const int32_t none[] = {-1, -1, -1, -1, -1, -1, -1};
    CHECK_OK(gm_counterparts_find(got, label, 2, none, 0, 7, &err), err);
    CHECK_INT(got[1].group, -1);
    CHECK_NEAR(got[1].jaccard, 0, 0);
}

static void equal_counterparts_go_to_the_lower(void)
{
    const int32_t label[] = {0, 0, 1}, other[] = {1, 0, -1};
    gm_counterpart got[2];
    gm_error err = {0};
    CHECK_OK(gm_counterparts_find(got, label, 2, other, 2, 3, &err), err);
    CHECK_INT(got[0].group, 0);
    CHECK_INT(got[1].group, -1);
}

static gm_status group_text(gm_grouping *out, gm_csv *table, const char *text, const char *column,
                            gm_key key, gm_error *err)
{
    *out = (gm_grouping){0};
    gm_status status = gm_csv_parse(table, text, strlen(text), "t.csv", err);
    if (status == GM_OK) status = gm_grouping_of_table(out, table, column, key, "t.csv", err);
    return status;
}

static void groups_of_a_table_are_numbered_as_they_come_up(void)
{
    static const char *const text =
        "id,topic,x\na,sea,1\nb,,2\nc,air,3\nd,-1,4\ne,sea,5\nf,-1.0,6\ng,-2,7\n";
    static const int32_t want[] = {0, -1, 1, -1, 0, -1, 2};
    gm_csv table;
    gm_grouping got;
    gm_error err = {0};
    CHECK_OK(group_text(&got, &table, text, "topic", GM_KEY_ID, &err), err);
    CHECK_INT(got.n, 7);
    CHECK_INT(got.n_groups, 3);
    for (int i = 0; i < 7; i++) CHECK_INT(got.group[i], want[i]);
    CHECK_TEXT(got.name[0], "sea");
    CHECK_TEXT(got.name[1], "air");
    CHECK_TEXT(got.key[3], "d");
    gm_grouping_clear(&got);
    gm_csv_clear(&table);
    CHECK_FAILS(group_text(&got, &table, text, "topic", GM_KEY_SHA, &err), err, GM_EFORMAT,
                "no column 'sha'");
    gm_csv_clear(&table);
}

static void a_column_of_too_many_groups_is_none(void)
{
    gm_text text = {0};
    gm_csv table;
    gm_grouping got;
    gm_error err = {0};
    CHECK_OK(gm_text_add(&text, "row,g\n", &err), err);
    for (int i = 0; i < 1 << 16; i++) CHECK_OK(gm_text_printf(&text, &err, "%d,%d\n", i, i), err);
    CHECK_OK(group_text(&got, &table, text.at, "g", GM_KEY_ROW, &err), err);
    CHECK_INT(got.n_groups, 1 << 16);
    gm_grouping_clear(&got);
    gm_csv_clear(&table);
    CHECK_OK(gm_text_add(&text, "x,y\n", &err), err);
    CHECK_FAILS(group_text(&got, &table, text.at, "g", GM_KEY_ROW, &err), err, GM_EARG,
                "more than 65536 groups");
    gm_csv_clear(&table);
    gm_text_clear(&text);
}

/* What is sure to be one document's is looked at first. */
static void a_table_says_what_its_documents_are_known_by(void)
{
    static const char *const columns[] = {"row,id,sha\n", "row,id\n", "g,row\n", "g\n"};
    static const gm_key want[] = {GM_KEY_SHA, GM_KEY_ID, GM_KEY_ROW};
    for (size_t i = 0; i < 4; i++) {
        gm_csv table;
        gm_key key;
        gm_error err = {0};
        CHECK_OK(gm_csv_parse(&table, columns[i], strlen(columns[i]), "t.csv", &err), err);
        if (i < 3) {
            CHECK_OK(gm_key_of_table(&key, &table, "t.csv", &err), err);
            CHECK_INT(key, want[i]);
        } else {
            CHECK_FAILS(gm_key_of_table(&key, &table, "t.csv", &err), err, GM_EFORMAT,
                        "no column 'sha', 'id' or 'row'");
        }
        gm_csv_clear(&table);
    }
}

/* a stands twice in both: first meets first. e is in the first alone, z in the second; c has no
 * group in the first, nor g, d in the second. */
static void documents_meet_by_their_key(void)
{
    gm_csv table[2];
    gm_grouping side[2];
    gm_side_by_side got;
    gm_error err = {0};
    CHECK_OK(group_text(&side[0], &table[0], "id,g\na,0\nb,0\na,1\ne,1\nc,-1\nd,0\nf,1\ng,\n", "g",
                        GM_KEY_ID, &err),
             err);
    CHECK_OK(group_text(&side[1], &table[1], "id,g\nz,p\na,p\nc,q\na,q\nb,p\nf,p\nd,-1\ng,r\n", "g",
                        GM_KEY_ID, &err),
             err);
    CHECK_OK(gm_side_by_side_find(&got, &side[0], &side[1], &err), err);
    CHECK_INT(got.n_both, 7);
    CHECK_INT(got.n_alone[0], 1);
    CHECK_INT(got.n_alone[1], 1);
    CHECK_INT(got.n_none[0], 2);
    CHECK_INT(got.n_none[1], 1);
    CHECK_INT(got.n_grouped, 4);
    CHECK_NEAR(got.grouped.ari, 0, 1e-12); /* a b | a f and p p | q p: 1 pair, as by chance */
    CHECK_INT(got.of_first[0].group, 0);
    CHECK_NEAR(got.of_first[0].jaccard, 2.0 / 4, 0);
    CHECK_INT(got.of_first[1].group, 1);
    CHECK_NEAR(got.of_first[1].jaccard, 1.0 / 3, 1e-15);
    gm_side_by_side_clear(&got);
    for (int s = 0; s < 2; s++) gm_grouping_clear(&side[s]), gm_csv_clear(&table[s]);
}

static void an_atlas_meets_itself_and_no_stranger(void)
{
    made_atlas made;
    gm_grouping a, b;
    gm_side_by_side got;
    gm_csv table;
    char hex[65];
    gm_error err = {0};
    made_init(&made);
    CHECK_OK(gm_grouping_of_atlas(&a, &made.atlas, GM_KEY_SHA, &err), err);
    gm_sha256_hex(made.sha + 32 * 4, hex);
    CHECK_TEXT(a.key[4], hex);
    CHECK_OK(gm_grouping_of_atlas(&b, &made.atlas, GM_KEY_ROW, &err), err);
    CHECK_TEXT(b.key[4], "4");
    gm_grouping_clear(&b);
    CHECK_OK(gm_side_by_side_find(&got, &a, &a, &err), err);
    CHECK_INT(got.n_both, N);
    CHECK_NEAR(got.all.ari, 1, 1e-12);
    CHECK_NEAR(got.of_first[1].jaccard, 1, 0);
    gm_side_by_side_clear(&got);
    CHECK_OK(group_text(&b, &table, "sha,cluster\n00,1\n", "cluster", GM_KEY_SHA, &err), err);
    CHECK_FAILS(gm_side_by_side_find(&got, &a, &b, &err), err, GM_EARG,
                "the two have no document in common by sha: the first has ");
    CHECK(strstr(err.text, ", the second 1, such as '00'") && strstr(err.text, a.key[0]));
    CHECK(got.of_first == NULL);
    gm_grouping_clear(&b);
    gm_csv_clear(&table);
    CHECK_OK(group_text(&b, &table, "sha,cluster\n", "cluster", GM_KEY_SHA, &err), err);
    CHECK_FAILS(gm_side_by_side_find(&got, &a, &b, &err), err, GM_EARG, "the second 0");
    gm_grouping_clear(&a);
    gm_grouping_clear(&b);
    gm_csv_clear(&table);
}

static gm_status compare_once(void *state, gm_error *err)
{
    made_atlas *made = state;
    gm_csv table = {0};
    gm_grouping a = {0}, b = {0};
    gm_side_by_side got = {0};
    gm_status status = gm_grouping_of_atlas(&a, &made->atlas, GM_KEY_ID, err);
    if (status == GM_OK)
        status = group_text(&b, &table, "id,c\na.jsonl:7,x\n", "c", GM_KEY_ID, err);
    if (status == GM_OK) status = gm_side_by_side_find(&got, &a, &b, err);
    CHECK((status == GM_OK) == (got.of_first != NULL));
    gm_side_by_side_clear(&got);
    gm_grouping_clear(&a);
    gm_grouping_clear(&b);
    gm_csv_clear(&table);
    return status;
}

static void survives_every_allocation_failure(void)
{
    made_atlas made;
    made_init(&made);
    check_every_allocation(compare_once, &made);
}

TESTS(TEST(jaccard_by_hand), TEST(equal_counterparts_go_to_the_lower),
      TEST(groups_of_a_table_are_numbered_as_they_come_up),
      TEST(a_column_of_too_many_groups_is_none), TEST(a_table_says_what_its_documents_are_known_by),
      TEST(documents_meet_by_their_key), TEST(an_atlas_meets_itself_and_no_stranger),
      TEST(survives_every_allocation_failure))
