/* test_pairs.c - probe/pairs.c: who is whose partner, by name, line and neighbour; who has none. */
#include "probe/pairs.h"
#include "tests/check.h"

#include <string.h>

enum { MOST = 6 };

typedef struct sample {
    gm_pairing how;
    const char *id[MOST];
    const char *of_a;    /* "10": the first is in group a, the second in b */
    uint32_t pair[MOST]; /* what is expected */
    size_t n_pairs;
} sample;

static gm_status find(const sample *s, uint32_t pair[MOST], size_t *n_pairs, gm_error *err)
{
    uint8_t of_a[MOST];
    const size_t n = strlen(s->of_a);
    for (size_t i = 0; i < n && i < MOST; i++) of_a[i] = s->of_a[i] == '1';
    return gm_pairs_find(pair, n_pairs, s->id, of_a, n, s->how, err);
}

/* In every sample a document is alone, the others pair past it. */
static void partners(void)
{
    const sample samples[] = {
        {GM_PAIRED_NAME,
         {"c/de/2.txt", "c/de/1.txt", "c/en/1.txt", "c/en/2.txt", "c/en/3.txt"},
         "00111",
         {2, 1, 3, 0},
         2},
        {GM_PAIRED_NAME, {"en/a.jsonl:7", "de/a.jsonl:7", "de/b.jsonl:7"}, "100", {0, 1}, 1},
        {GM_PAIRED_NAME, {"x.txt", "de/x.txt"}, "10", {0, 1}, 1},
        {GM_PAIRED_LINE,
         {"good.jsonl:1", "good.jsonl:12", "bad.jsonl:2", "bad.jsonl:12", "bad.jsonl:1"},
         "11000",
         {0, 4, 1, 3},
         2},
        {GM_PAIRED_NEXT,
         {"p.jsonl:2", "p.jsonl:1", "p.jsonl:3", "p.jsonl:5", "p.jsonl:6", "q.jsonl:4"},
         "101010",
         {0, 1, 4, 3},
         2},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const sample *s = &samples[i];
        uint32_t pair[MOST] = {0};
        size_t n_pairs = 0;
        gm_error err = {0};
        CHECK_OK(find(s, pair, &n_pairs, &err), err);
        CHECK_INT(n_pairs, s->n_pairs);
        for (size_t p = 0; p < 2 * n_pairs; p++) CHECK_INT(pair[p], s->pair[p]);
    }
}

static void refused(void)
{
    const struct {
        sample s;
        const char *says;
    } cases[] = {
        {{GM_PAIRED_LINE, {"a.jsonl:1", "b.txt"}, "10", {0}, 0}, "'b.txt' is not a line of a file"},
        {{GM_PAIRED_NEXT, {"a.jsonl:0", "a.jsonl:2"}, "10", {0}, 0}, "'a.jsonl:0' is not a line"},
        {{GM_PAIRED_NEXT, {"a.jsonl:2", "a.jsonl:3"}, "10", {0}, 0}, "found no pair"},
        {{GM_PAIRED_NAME, {"a/1", "b/2"}, "10", {0}, 0}, "files of one name in two folders"},
        {{GM_PAIRED_NEXT, {"a.jsonl:1", "a.jsonl:2"}, "11", {0}, 0}, "are in the same group"},
        {{GM_PAIRED_LINE, {"a:1", "b:1", "c:1"}, "100", {0}, 0}, "'b:1' and 'c:1' are in the same"},
        {{GM_PAIRED_NAME, {NULL}, "", {0}, 0}, "found no pair"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t pair[MOST];
        size_t n_pairs = 9;
        gm_error err = {0};
        CHECK_FAILS(find(&cases[i].s, pair, &n_pairs, &err), err, GM_EARG, cases[i].says);
    }
}

static gm_status attempt(void *unused, gm_error *err)
{
    const sample s = {GM_PAIRED_NAME, {"a/1", "b/1"}, "10", {0}, 0};
    uint32_t pair[MOST];
    size_t n_pairs;
    (void)unused;
    return find(&s, pair, &n_pairs, err);
}

static void allocations_fail(void)
{
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(partners), TEST(refused), TEST(allocations_fail))
