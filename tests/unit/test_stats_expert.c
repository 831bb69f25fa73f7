/* test_stats_expert.c - probe/stats_expert.c: which documents come first, what is no expert,
 * every allocation failing. Its tokens: test_stats.c, gm_token_best. */
#include "probe/stats_expert.h"
#include "base/text.h"
#include "tests/written_sample.h"

#include <sys/wait.h>
#include <unistd.h>

/* Of documents of 3, 5, 7, 9 and 11 tokens, `chose` chose expert 3 of the second layer. */
static gm_trace *open_sample(const uint32_t chose[SAMPLE_DOCUMENTS])
{
    static sample s;
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    memset(s.counts, 0, sizeof s.counts);
    for (size_t d = 0; d < SAMPLE_DOCUMENTS; d++) {
        for (size_t l = 0; l < SAMPLE_L; l++) { /* the rest on experts 0 and 1 */
            uint32_t *counts = s.counts + (d * SAMPLE_L + l) * 8;
            counts[3] = l == 1 ? chose[d] : 0;
            counts[0] = s.document[d].n_tokens;
            counts[1] = s.document[d].n_tokens - counts[3];
        }
    }
    return sample_open(&s, "t.h5");
}

static gm_status find(gm_expert_view *view, gm_trace *trace, size_t top, gm_error *err)
{
    const gm_stats_options options = {.seed = 1, .quiet = true};
    gm_stats stats = {0};
    gm_status status = gm_stats_count(&stats, trace, &options, err);
    if (status == GM_OK) status = gm_expert_find(view, 1, top, &stats, trace, err);
    gm_stats_clear(&stats);
    return status;
}

/* Shares 1, 0, 1, 1/3, 1: ties to the earlier; the one that never chose it is not listed. */
static void documents_by_share(void)
{
    gm_trace *trace = open_sample((const uint32_t[]){3, 0, 7, 3, 11});
    const size_t wanted[] = {0, 2, 4, 3};
    gm_error err = {0};
    for (size_t top = 0; top < 6; top++) {
        gm_expert_view view;
        CHECK_OK(gm_expert_parse(&view, "2:3", gm_trace_get_info(trace), &err), err);
        CHECK_OK(find(&view, trace, top, &err), err);
        CHECK_INT(view.documents.n, top < 4 ? top : 4);
        for (size_t i = 0; i < view.documents.n; i++) {
            CHECK_INT(view.documents.at[i], wanted[i]);
            CHECK_NEAR(view.documents.value[i], i < 3 ? 1 : 1.0 / 3, 1e-15);
        }
        CHECK_INT(view.rows.n, 0);
        gm_expert_clear(&view);
    }
    gm_trace_close(trace);
}

/* The better one comes last. */
static void later_documents_push_others_down(void)
{
    gm_trace *trace = open_sample((const uint32_t[]){1, 2, 4, 6, 9});
    gm_error err = {0};
    gm_expert_view view;
    CHECK_OK(gm_expert_parse(&view, "2:3", gm_trace_get_info(trace), &err), err);
    CHECK_OK(find(&view, trace, 2, &err), err);
    CHECK_INT(view.documents.n, 2);
    CHECK_INT(view.documents.at[0], 4);
    CHECK_INT(view.documents.at[1], 3);
    gm_expert_clear(&view);
    gm_trace_close(trace);
}

/* Layers are 1, 2 and 4. */
static void names_of_experts(void)
{
    static const char *const wrong[] = {"",    "2",   "2:",   ":3",    "2:x",
                                        "3:0", "2:8", "2:-1", "2:3:4", "99999999999999999999:3"};
    gm_trace *trace = open_sample((const uint32_t[]){0, 0, 0, 0, 0});
    const gm_trace_info *info = gm_trace_get_info(trace);
    gm_expert_view view;
    gm_error err = {0};
    CHECK_OK(gm_expert_parse(&view, "4:7", info, &err), err);
    CHECK_INT(view.l, 2);
    CHECK_INT(view.e, 7);
    CHECK_OK(gm_expert_parse(&view, "00000000000000000000000000002:3", info, &err), err);
    CHECK_INT(view.l, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_FAILS(gm_expert_parse(&view, wrong[i], info, &err), err, GM_EARG, "--expert");
    gm_trace_close(trace);
}

static gm_status attempt(void *trace, gm_error *err)
{
    gm_expert_view view;
    gm_status status = gm_expert_parse(&view, "2:3", gm_trace_get_info(trace), err);
    if (status == GM_OK) status = find(&view, trace, 3, err);
    gm_expert_clear(&view);
    return status;
}

static void allocations_fail(void)
{
    gm_trace *trace = open_sample((const uint32_t[]){3, 0, 7, 3, 11});
    gm_error err = {0};
    CHECK_OK(attempt(trace, &err), err); /* opens the file, which stays open */
    check_every_allocation(attempt, trace);
    gm_trace_close(trace);
}

/* A letter and 40 of two bytes: byte 60 is in the middle of one. */
static void a_long_spelling_ends_with_a_character(void)
{
    gm_tokenizer *tokenizer = NULL;
    gm_error err = {0};
    gm_text json = {0}, said = {0};
    CHECK_OK(gm_text_add(&json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a", &err), err);
    for (int i = 0; i < 40; i++) CHECK_OK(gm_text_add(&json, "\xC3\xA9", &err), err);
    CHECK_OK(gm_text_add(&json, "\":0},\"merges\":[]}}", &err), err);
    CHECK_OK(gm_tokenizer_parse(&tokenizer, json.at, json.n, "t.json", &err), err);
    int layer = 2, status = 1;
    const gm_trace_info info = {.layer_of_moe = &layer};
    uint64_t all = 4;
    uint32_t id = 0, count[] = {4, 0};
    size_t row = 0;
    const gm_stats stats = {
        .info = &info,
        .L = 1,
        .E = 1,
        .K = 1,
        .all = &all,
        .n_tokens = 4,
        .by_token = {.L = 1, .E = 1, .K = 1, .R = 1, .token_id = &id, .count = count}};
    const gm_expert_view view = {.rows = {.n = 1, .most = 1, .at = &row}};
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("said", "w", stdout) == NULL) _exit(99);
        gm_expert_print(&view, &stats, tokenizer);
        _exit(fclose(stdout));
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(gm_text_read_file(&said, "said", 1000, &err), err);
    CHECK(gm_text_add(&said, "", &err) == GM_OK && strstr(said.at, "\xC3\xA9\n"));
    CHECK(strchr(said.at, '\\') == NULL);
    gm_text_clear(&said);
    gm_text_clear(&json);
    gm_tokenizer_close(tokenizer);
}

TESTS(TEST(documents_by_share), TEST(later_documents_push_others_down), TEST(names_of_experts),
      TEST(a_long_spelling_ends_with_a_character), TEST(allocations_fail))
