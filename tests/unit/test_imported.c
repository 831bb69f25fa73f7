/* test_imported.c - probe/imported.c: what a line of JSON says of a document's choices, which
 * layers are taken, and every way in which a line may be wrong.
 */
#include "probe/imported.h"

#include "tests/check.h"

/* Two tokens, two layers, two of four experts, with gates: the second choice is out of order. */
static const char WHOLE[] = "{\"id\":\"d\",\"token_ids\":[7,9],\"phase\":[2,1],"
                            "\"routed_experts\":[[[1,0],[2,3]],[[3,1],[0,2]]],"
                            "\"gates\":[[[0.5,0.25],[0.25,0.5]],[[0.75,0.125],[0.5,0.5]]],"
                            "\"topk_mass\":[[0.75,0.75],[0.875,1]],\"margin\":[[0.5,1],[2,null]]}";

static const size_t PLACE[] = {0, 1, 2};

static gm_json *parse(const char *line)
{
    gm_json *root = NULL;
    gm_error err = {0};
    CHECK_OK(gm_json_parse(&root, line, strlen(line), "line", &err), err);
    return root;
}

/* The form of `line` with L of its layers, from place[0] on. */
static gm_import_form form_of(const gm_json *line, size_t L, const size_t *place)
{
    gm_import_form form;
    gm_error err = {0};
    CHECK_OK(gm_import_form_of(&form, line, "f:1", &err), err);
    form.E = 4;
    form.L = L;
    form.place = place;
    return form;
}

/* Line `bad` among those that are as `first` is. */
static void check_refused(const char *first, const char *bad, const char *sentence)
{
    gm_imported in = {0};
    gm_error err = {0};
    gm_json *good = parse(first), *line = parse(bad);
    const gm_import_form form = form_of(good, 2, PLACE);
    CHECK_FAILS(gm_imported_read(&in, line, &form, "f:2", &err), err, GM_EFORMAT, "'f:2': ");
    CHECK_HAS(err.text, sentence);
    CHECK_OK(gm_imported_read(&in, good, &form, "f:3", &err), err); /* it goes on after an error */
    gm_imported_clear(&in);
    gm_json_free(good);
    gm_json_free(line);
}

static void choices_are_taken_strongest_first(void)
{
    static const uint16_t expert[] = {1, 0, 3, 2, 3, 1, 0, 2};
    static const float gate[] = {0.5f, 0.25f, 0.5f, 0.25f, 0.75f, 0.125f, 0.5f, 0.5f};
    static const float mass[] = {0.75f, 0.75f, 0.875f, 1};
    static const uint32_t counts[] = {0, 1, 0, 1, 1, 0, 1, 0}; /* the template token is not */
    gm_imported in = {0};
    gm_error err = {0};
    gm_json *line = parse(WHOLE);
    const gm_import_form form = form_of(line, 2, PLACE);
    CHECK(form.A == 2 && form.K == 2 && form.level == GM_RECORD_CHOICES);
    CHECK(!form.no_gates && !form.no_margins);
    CHECK_OK(gm_imported_read(&in, line, &form, "f:1", &err), err);
    CHECK(in.n == 2 && in.n_tokens == 1 && in.n_bad == 0 && !in.has_sha && !in.truncated);
    CHECK_TEXT(in.id, "d");
    CHECK_BYTES(in.expert, expert, sizeof expert);
    CHECK_BYTES(in.gate, gate, sizeof gate);
    CHECK_BYTES(in.mass, mass, sizeof mass);
    CHECK(in.margin[2] == 2 && isnan(in.margin[3]));
    CHECK_BYTES(in.counts, counts, sizeof counts);
    CHECK(in.token_id[0] == 7 && in.token_id[1] == 9);
    CHECK(in.phase[0] == GM_TRACE_TEMPLATE && in.phase[1] == GM_TRACE_GENERATED);
    gm_json *next = parse("{\"token_ids\":[7,9],\"routed_experts\":[[[1,0],[2,3]],[[3,1],[0,2]]],"
                          "\"gates\":[[[1,1],[1,1]],[[1,1],[1,1]]],"
                          "\"topk_mass\":[[1,1],[1,1]],\"margin\":[[1,1],[1,1]]}");
    CHECK_OK(gm_imported_read(&in, next, &form, "f:2", &err), err);
    CHECK(in.phase[0] == GM_TRACE_PROMPT && in.phase[1] == GM_TRACE_PROMPT && in.id == NULL);
    gm_imported_clear(&in);
    gm_json_free(line);
    gm_json_free(next);
}

/* As servers give them: ids alone, the last token without a choice, a layer without experts. */
static void a_server_gives_ids_alone(void)
{
    static const uint16_t expert[] = {3, 1, 2, 0};
    static const size_t place[] = {1};
    gm_imported in = {0};
    gm_error err = {0};
    gm_json *line = parse("{\"token_ids\":[5,6,8],\"phase\":[0,1,1],\"truncated\":true,"
                          "\"counts\":null,\"gates\":null,\"topk_mass\":null,\"margin\":null,"
                          "\"routed_experts\":[[[0,0],[3,1]],[[0,0],[2,0]]]}");
    const gm_import_form form = form_of(line, 1, place);
    CHECK(form.A == 2 && form.no_gates && form.no_margins);
    CHECK_OK(gm_imported_read(&in, line, &form, "f:1", &err), err);
    CHECK(in.n == 2 && in.n_tokens == 2 && in.truncated && in.id == NULL);
    CHECK_BYTES(in.expert, expert, sizeof expert);
    gm_imported_clear(&in);
    gm_json_free(line);
}

/* A row without a choice at one layer counts at none; nothing of a line stays for the next. */
static void null_is_a_bad_row(void)
{
    static const uint32_t counts[] = {1, 1, 0, 0, 0, 0, 1, 1};
    gm_imported in = {0};
    gm_error err = {0};
    gm_json *line = parse("{\"token_ids\":[5,6],\"gates\":[[[null,null],[1,1]],[[1,0],[1,0]]],"
                          "\"routed_experts\":[[[null,null],[1,0]],[[0,1],[2,3]]]}");
    const gm_import_form form = form_of(line, 2, PLACE);
    for (int again = 0; again < 2; again++) {
        CHECK_OK(gm_imported_read(&in, line, &form, "f:1", &err), err);
        CHECK(in.n_tokens == 2 && in.n_bad == 1);
        CHECK(in.expert[0] == GM_TRACE_NO_EXPERT && in.expert[2] == 1);
        CHECK(in.gate[0] == 0 && in.gate[1] == 0 && in.gate[2] == 1);
        CHECK_BYTES(in.counts, counts, sizeof counts);
    }
    gm_imported_clear(&in);
    gm_json_free(line);
}

static const char COUNTS[] =
    "{\"n_tokens\":3,\"counts\":[[3,2,1,0],[0,3,3,0]],\"sha\":"
    "\"00000000000000000000000000000000000000000000000000000000000000ff\"}";

static void counts_alone(void)
{
    static const uint32_t counts[] = {3, 2, 1, 0, 0, 3, 3, 0};
    gm_imported in = {0};
    gm_error err = {0};
    gm_json *line = parse(COUNTS);
    const gm_import_form form = form_of(line, 2, PLACE);
    CHECK(form.A == 2 && form.K == 2 && form.level == GM_RECORD_COUNTS);
    CHECK_OK(gm_imported_read(&in, line, &form, "f:1", &err), err);
    CHECK(in.n == 0 && in.n_tokens == 3 && in.has_sha && in.sha[31] == 0xff && in.sha[30] == 0);
    CHECK_BYTES(in.counts, counts, sizeof counts);
    gm_imported_clear(&in);
    gm_json_free(line);
}

/* As libraries write members that are not there. */
static void null_is_not_there(void)
{
    gm_imported in = {0};
    gm_error err = {0};
    gm_json *counts = parse("{\"routed_experts\":null,\"n_tokens\":1,\"counts\":[[1,1,0,0]]}");
    gm_json *choices = parse("{\"token_ids\":[7],\"routed_experts\":[[[1,0]]],\"phase\":null}");
    const gm_import_form of_counts = form_of(counts, 1, PLACE), form = form_of(choices, 1, PLACE);
    CHECK_OK(gm_imported_read(&in, counts, &of_counts, "f:1", &err), err);
    CHECK(in.n == 0 && in.n_tokens == 1 && in.counts[0] == 1);
    CHECK_OK(gm_imported_read(&in, choices, &form, "f:2", &err), err);
    CHECK(in.n == 1 && in.phase[0] == GM_TRACE_PROMPT);
    CHECK_FAILS(gm_imported_read(&in, counts, &form, "f:3", &err), err, GM_EFORMAT, "is missing");
    gm_imported_clear(&in);
    gm_json_free(counts);
    gm_json_free(choices);
}

/* Tokens' choices where counts are wanted: no ids needed, no rows kept. */
static void choices_are_counted(void)
{
    static const uint32_t counts[] = {1, 1, 0, 0};
    gm_imported in = {0};
    gm_error err = {0};
    gm_json *line = parse("{\"routed_experts\":[[[1,0]]]}");
    gm_import_form form = form_of(line, 1, PLACE);
    form.level = GM_RECORD_COUNTS;
    CHECK_OK(gm_imported_read(&in, line, &form, "f:1", &err), err);
    CHECK(in.n == 0 && in.n_tokens == 1);
    CHECK_BYTES(in.counts, counts, sizeof counts);
    gm_imported_clear(&in);
    gm_json_free(line);
}

#define IDS(experts, rest) "{\"token_ids\":[7,9],\"routed_experts\":" experts rest "}"
#define TWO                "[[[1,0],[2,3]],[[3,1],[0,2]]]"

static void a_wrong_line_is_refused(void)
{
    static const struct {
        const char *line, *sentence;
    } with_ids[] = {
        {"{}", "'routed_experts' is missing"},
        {IDS("7", ""), "'routed_experts' has 0 tokens"},
        {IDS("[[[1,0],[2,3]],7]", ""), "'routed_experts[1]' has type number, expected an array"},
        {IDS("[[[1,0],[2,3]],[[3,1]]]", ""), "'routed_experts[1]' has 1 items, expected 2"},
        {IDS("[[[1,0],[2,3]],[[3,1],[0,2,1]]]", ""), "'routed_experts[1][1]' has 3 items"},
        {IDS("[[[1,0],[2,3]],[[3,1],[0,\"2\"]]]", ""),
         "'routed_experts[1][1][1]' has type string, expected a number or null"},
        {IDS("[[[1,0],[2,3]],[[3,1],[0,4]]]", ""),
         "'routed_experts[1][1][1]' is 4, expected an expert from 0 to 3"},
        {IDS("[[[1,0],[2,3]],[[3,1],[0,-1]]]", ""), "is -1, expected an expert"},
        {IDS("[[[1,0],[2,3]],[[3,1],[0,1.5]]]", ""), "is 1.5, expected an expert"},
        {IDS("[[[1,0],[2,3]],[[0,0],[0,2]]]", ""),
         "'routed_experts[1][0]' has expert 0 twice: the recording failed"},
        {IDS("[[[1,0],[2,3]],[[3,1],[0,null]]]", ""), "has 1 nulls, expected 0 or 2"},
        {"{\"routed_experts\":" TWO "}", "'token_ids' is missing"},
        {"{\"token_ids\":[7],\"routed_experts\":" TWO "}", "'token_ids' has 1 items, expected 2"},
        {"{\"token_ids\":[7,8,9,9],\"routed_experts\":" TWO "}", "'token_ids' has 4 items"},
        {"{\"token_ids\":[7,-9],\"routed_experts\":" TWO "}", "'token_ids[1]' is -9, expected"},
        {"{\"token_ids\":[7,16777216],\"routed_experts\":" TWO "}", "is 1.67772e+07"},
        {"{\"token_ids\":[null,7],\"routed_experts\":" TWO "}", "'token_ids[0]' is nan"},
        {IDS(TWO, ",\"phase\":[0,3]"), "'phase[1]' is 3, expected a whole number from 0 to 2"},
        {IDS(TWO, ",\"sha\":\"12\""), "'sha' is '12', expected 64 hexadecimal digits"},
        {IDS(TWO, ",\"id\":7"), "'id' is 7, expected a string"},
    };
    for (size_t i = 0; i < sizeof with_ids / sizeof *with_ids; i++)
        check_refused(IDS(TWO, ""), with_ids[i].line, with_ids[i].sentence);
    check_refused(WHOLE, IDS(TWO, ""), "'gates' is missing");
    check_refused(IDS(TWO, ",\"gates\":[[[1,1],[1,1]],[[1,1],[1,1]]]"),
                  IDS(TWO, ",\"gates\":[[[1,1],[1,1]],[[1,1],[1,null]]]"),
                  "'gates[1][1][1]' is nan, expected a number up to 65504");
    check_refused(IDS(TWO, ",\"gates\":[[[1,1],[1,1]],[[1,1],[1,1]]]"),
                  IDS(TWO, ",\"gates\":[[[1,1],[1,1]],[[1,1],[1,65505]]]"), "is 65505");
    check_refused(IDS(TWO, ",\"topk_mass\":[[1,1],[1,1]],\"margin\":[[1,1],[1,null]]"),
                  IDS(TWO, ",\"topk_mass\":[[1,1],[1,1]],\"margin\":[[1,1],[-65505,1]]"),
                  "'margin[1][0]' is -65505, expected a number up to 65504, or null");
    check_refused(IDS(TWO, ""), WHOLE, "it has 'gates', and the first line has none");
    check_refused(IDS(TWO, ""), IDS(TWO, ",\"topk_mass\":[[1,1],[1,1]]"),
                  "it has 'topk_mass', and the first line has none");
    check_refused(IDS(TWO, ""), IDS(TWO, ",\"margin\":[[1,1],[1,1]]"),
                  "it has 'margin', and the first line has none");
    check_refused(COUNTS, "{\"n_tokens\":3,\"counts\":[[3,2,1,0],[0,3,2,0]]}",
                  "'counts[1]' sums to 5, expected 3 tokens times 2");
    check_refused(COUNTS, "{\"n_tokens\":3,\"counts\":[[4,1,1,0],[0,3,3,0]]}",
                  "'counts[0][0]' is 4, expected a whole number from 0 to 3");
    check_refused(COUNTS, "{\"n_tokens\":3,\"counts\":[[3,2,1],[0,3,3]]}",
                  "'counts[0]' has 3 items, expected 4");
    check_refused(COUNTS, "{\"n_tokens\":3,\"counts\":[[3,2,1,0],[0,3,\"3\",0]]}",
                  "'counts[1][2]' has type string, expected a number or null");
    check_refused(COUNTS, "{\"n_tokens\":0,\"counts\":[[0,0,0,0],[0,0,0,0]]}",
                  "'n_tokens' is 0, expected");
    check_refused(COUNTS, "{\"counts\":[[3,2,1,0],[0,3,3,0]]}", "'n_tokens' is missing");
}

static void a_first_line_without_a_form_is_refused(void)
{
    static const struct {
        const char *line, *sentence;
    } wrong[] = {{"{}", "neither 'routed_experts' nor 'counts'"},
                 {"{\"routed_experts\":[]}", "'routed_experts' is empty or no array"},
                 {"{\"routed_experts\":[[]]}", "'routed_experts' is empty or no array"},
                 {"{\"routed_experts\":[[[]]]}", "'routed_experts' is empty or no array"},
                 {"{\"routed_experts\":[[1,2]]}", "'routed_experts' is empty or no array"},
                 {IDS("\"AQAAAA==\"", ""), "'routed_experts' is a string; decode SGLang's by"},
                 {IDS(TWO, ",\"margin\":[[1,1],[1,1]]"), "one of 'topk_mass' and 'margin'"},
                 {IDS(TWO, ",\"topk_mass\":[[1,1],[1,1]],\"margin\":null"), "expected both or"},
                 {"{\"counts\":[[1]]}", "'n_tokens' is missing"},
                 {"{\"n_tokens\":2,\"counts\":[[1,0]]}", "'counts[0]' sums to 1 for 2 tokens"},
                 {"{\"n_tokens\":0,\"counts\":[[1,0]]}", "'n_tokens' is 0, expected"},
                 {"{\"n_tokens\":2,\"counts\":7}", "'counts[0]' sums to 0"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        gm_import_form form;
        gm_error err = {0};
        gm_json *line = parse(wrong[i].line);
        CHECK_FAILS(gm_import_form_of(&form, line, "f:1", &err), err, GM_EFORMAT,
                    wrong[i].sentence);
        gm_json_free(line);
    }
}

static gm_status read_line(void *line, gm_error *err)
{
    const gm_import_form form = form_of(line, 2, PLACE);
    gm_imported in = {0};
    gm_status status = gm_imported_read(&in, line, &form, "f:1", err);
    gm_imported_clear(&in);
    return status;
}

static void memory_may_fail(void)
{
    gm_json *line = parse(WHOLE);
    check_every_allocation(read_line, line);
    gm_json_free(line);
}

TESTS(TEST(choices_are_taken_strongest_first), TEST(a_server_gives_ids_alone),
      TEST(null_is_a_bad_row), TEST(counts_alone), TEST(null_is_not_there),
      TEST(choices_are_counted), TEST(a_wrong_line_is_refused),
      TEST(a_first_line_without_a_form_is_refused), TEST(memory_may_fail))
