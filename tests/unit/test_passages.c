/* test_passages.c - probe/passages.c: documents by name, by subset, by expert against a plain
 * search; every allocation failing.
 */
#include "probe/passages.h"

#include "base/sha256.h"
#include "tests/written_sample.h"

static sample s;

/* Gates in no order of places: each a function of its row and layer, rank 1 above rank 2. */
static gm_trace *open_sample(gm_record_level level)
{
    sample_fill(&s, level, 8, 0);
    s.document[4].id = "2"; /* an id that looks like a number */
    for (size_t i = 0; i < SAMPLE_ROWS * SAMPLE_L; i++) {
        s.gate[2 * i] = 0.5f + (float)(i * 29 % 64) / 128;
        s.gate[2 * i + 1] = s.gate[2 * i] / 2;
    }
    return sample_open(&s, "t.h5");
}

static void check_documents(gm_trace *trace, gm_passages_wanted w, const char *want)
{
    gm_passages p;
    gm_error err = {0};
    char got[80] = "";
    w.quiet = true;
    CHECK_OK(gm_passages_choose(&p, trace, &w, &err), err);
    for (size_t i = 0; i < p.n; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%zu ", p.at[i].document);
    CHECK_TEXT(got, want);
    gm_passages_clear(&p);
}

static void check_refused(gm_trace *trace, const char *name, const char *part)
{
    gm_passages p;
    gm_error err = {0};
    const gm_passages_wanted w = {.document = &name, .n_documents = 1, .limit = 1};
    CHECK_FAILS(gm_passages_choose(&p, trace, &w, &err), err, GM_EARG, part);
    CHECK(p.at == NULL && p.n == 0);
}

static void documents_by_name(void)
{
    gm_trace *trace = open_sample(GM_RECORD_CHOICES);
    char sha[65];
    gm_sha256_hex(gm_trace_get_samples(trace)->sha + 32 * 3, sha);
    sha[8] = '\0';
    const char *const name[] = {"b.txt", sha, "2", "1", "a.jsonl:1"};
    check_documents(trace, (gm_passages_wanted){.document = name, .n_documents = 5}, "3 3 4 1 0 ");
    check_refused(trace, "5", "expected a document from 0 to 4");
    check_refused(trace, "a.jsonl", "no document has this id or sha");
    check_refused(trace, "ffffffff", "no document has this id or sha");
    check_refused(trace, "-1", "no document has this id or sha");
    sha[7] = '\0'; /* too few digits to be meant so */
    check_refused(trace, sha, "--doc");
    gm_trace_close(trace);
}

static void a_sha_of_two_documents_names_neither(void)
{
    char sha[65];
    gm_trace_close(open_sample(GM_RECORD_CHOICES));
    memcpy(s.document[1].sha, s.document[2].sha, 31);
    gm_trace *trace = sample_open(&s, "t.h5");
    gm_sha256_hex(s.document[2].sha, sha);
    const char *whole = sha;
    check_documents(trace, (gm_passages_wanted){.document = &whole, .n_documents = 1}, "2 ");
    sha[20] = '\0';
    check_refused(trace, sha, "the sha of 2 documents begins like this; give more digits");
    gm_trace_close(trace);
}

/* Books are 0 and 3, Code 2 and 4. */
static void documents_of_subsets(void)
{
    gm_trace *trace = open_sample(GM_RECORD_CHOICES);
    gm_passages p;
    gm_error err = {0};
    const char *name[] = {"Code", "Books"};
    check_documents(trace, (gm_passages_wanted){.subset = name, .n_subsets = 2, .limit = 1},
                    "4 3 ");
    check_documents(trace, (gm_passages_wanted){.subset = name, .n_subsets = 2, .limit = 9},
                    "2 4 0 3 ");
    check_documents(trace, (gm_passages_wanted){.limit = 2}, "0 3 2 4 1 ");
    name[0] = "Cod";
    const gm_passages_wanted w = {.subset = name, .n_subsets = 1, .limit = 1};
    CHECK_FAILS(gm_passages_choose(&p, trace, &w, &err), err, GM_EARG, "did you mean 'Code'");
    gm_trace_close(trace);
}

/* The largest gate of an expert in a document's text, NaN when it was chosen nowhere; *row: where.
 */
static double largest_gate(size_t d, size_t l, size_t e, size_t *row)
{
    double most = (double)NAN;
    size_t first = 0;
    for (size_t i = 0; i < d; i++) first += s.document[i].n_rows;
    for (size_t t = first; t < first + s.document[d].n_rows; t++)
        for (size_t k = 0; s.phase[t] != GM_TRACE_TEMPLATE && k < SAMPLE_K; k++) {
            const size_t at = (t * SAMPLE_L + l) * SAMPLE_K + k;
            if (s.expert[at] == e && !((double)s.gate[at] <= most))
                most = (double)s.gate[at], *row = t;
        }
    return most;
}

static void check_expert(gm_trace *trace, size_t l, size_t e)
{
    gm_passages p;
    gm_error err = {0};
    const gm_passages_wanted w = {
        .by_expert = true, .l = l, .e = e, .limit = 2, .peaks = 3, .quiet = true};
    CHECK_OK(gm_passages_choose(&p, trace, &w, &err), err);
    size_t documents = 0;
    double before = INFINITY;
    for (size_t i = 0; i < p.n; i++) {
        const gm_passage *at = &p.at[i];
        const size_t d = at->document;
        if (at->hit == GM_NO_HIT) {
            double share = (double)s.counts[(d * SAMPLE_L + l) * 8 + e] / s.document[d].n_tokens;
            CHECK_NEAR(at->value, share, 1e-15);
            CHECK_INT(at->n, s.document[d].n_rows);
            CHECK_INT(i, documents++);
        } else {
            size_t row = 0;
            CHECK_NEAR(at->value, largest_gate(d, l, e, &row), 0);
            CHECK_INT(at->first + (uint64_t)at->hit, row);
            if (i == documents) before = INFINITY;
        }
        CHECK(at->value <= before);
        before = at->value;
    }
    CHECK_INT(documents, 2);
    CHECK_INT(p.n, 5);
    size_t better = 0, row; /* no document left out has a larger gate than the last one shown */
    for (size_t d = 0; d < SAMPLE_DOCUMENTS; d++) better += largest_gate(d, l, e, &row) > before;
    CHECK(better <= 2);
    gm_passages_clear(&p);
}

static void documents_and_passages_of_an_expert(void)
{
    gm_trace *trace = open_sample(GM_RECORD_CHOICES);
    gm_passages p;
    gm_error err = {0};
    const char *code = "Code";
    for (size_t l = 0; l < SAMPLE_L; l++)
        for (size_t e = 0; e < 8; e++) check_expert(trace, l, e);
    gm_passages_wanted w = {.by_expert = true, .limit = 9, .subset = &code, .n_subsets = 1};
    CHECK_OK(gm_passages_choose(&p, trace, &w, &err), err);
    for (size_t i = 0; i < p.n; i++) CHECK(p.at[i].document == 2 || p.at[i].document == 4);
    CHECK_INT(p.n, 2);
    gm_passages_clear(&p);
    gm_trace_close(trace);
}

/* A document of 200 rows whose largest gate of expert 0 stands at `peak`. */
static void check_reach(size_t peak, uint64_t first, size_t n, int64_t hit)
{
    enum { ROWS = 200 };
    static uint16_t expert[ROWS];
    static float gate[ROWS], mass[ROWS], margin[ROWS];
    static uint32_t token[ROWS], pos[ROWS];
    static uint8_t phase[ROWS];
    static const int layer[] = {0};
    const uint32_t counts[] = {ROWS, 0};
    const gm_trace_document document = {.id = "d", .subset = "", .n_rows = ROWS, .n_tokens = ROWS};
    const gm_trace_info info = {.n_layers = 1,
                                .n_experts = 2,
                                .n_chosen = 1,
                                .layer_of_moe = layer,
                                .level = GM_RECORD_CHOICES,
                                .options = "{}"};
    const gm_trace_block block = {.n_documents = 1,
                                  .n_rows = ROWS,
                                  .document = &document,
                                  .counts = counts,
                                  .expert = expert,
                                  .gate = gate,
                                  .mass = mass,
                                  .margin = margin,
                                  .token_id = token,
                                  .pos = pos,
                                  .phase = phase};
    gm_error err = {0};
    gm_trace *trace = NULL;
    gm_passages p;
    for (size_t t = 0; t < ROWS; t++) gate[t] = t == peak ? 0.75f : 0.5f;
    CHECK_OK(gm_trace_write("r.h5", &info, &block, SAMPLE_REASONS, 0, true, &err), err);
    CHECK_OK(gm_trace_open(&trace, "r.h5", &err), err);
    const gm_passages_wanted w = {.by_expert = true, .peaks = 1, .quiet = true};
    CHECK_OK(gm_passages_choose(&p, trace, &w, &err), err);
    CHECK_INT(p.n, 1);
    CHECK(p.n == 1 && p.at[0].first == first && p.at[0].n == n && p.at[0].hit == hit);
    gm_passages_clear(&p);
    const gm_passages_wanted none = {.by_expert = true, .e = 1, .peaks = 1, .limit = 1};
    CHECK_FAILS(gm_passages_choose(&p, trace, &none, &err), err, GM_EARG,
                "expert 0:1 was chosen in no document");
    gm_trace_close(trace);
}

static void passages_end_with_their_document(void)
{
    check_reach(0, 0, 33, 0);
    check_reach(31, 0, 64, 31);
    check_reach(32, 0, 65, 32);
    check_reach(100, 68, 65, 32);
    check_reach(167, 135, 65, 32);
    check_reach(168, 136, 64, 32);
    check_reach(199, 167, 33, 32);
}

static void counts_alone_have_no_text(void)
{
    gm_trace *trace = open_sample(GM_RECORD_COUNTS);
    gm_passages p;
    gm_error err = {0};
    const gm_passages_wanted w = {.limit = 1};
    CHECK_FAILS(gm_passages_choose(&p, trace, &w, &err), err, GM_EABSENT, "--record choices");
    gm_trace_close(trace);
}

static gm_status attempt(void *unused, gm_error *err)
{
    const char *subset = "Code";
    const gm_passages_wanted all = {.limit = 2}, some = {.by_expert = true,
                                                         .subset = &subset,
                                                         .n_subsets = 1,
                                                         .limit = 1,
                                                         .peaks = 1,
                                                         .quiet = true};
    gm_trace *trace = NULL;
    gm_passages p = {0};
    (void)unused;
    gm_status status = gm_trace_open(&trace, "t.h5", err);
    if (status == GM_OK) status = gm_passages_choose(&p, trace, &all, err);
    gm_passages_clear(&p);
    if (status == GM_OK) status = gm_passages_choose(&p, trace, &some, err);
    gm_passages_clear(&p);
    gm_trace_close(trace);
    return status;
}

static void allocations_fail(void)
{
    gm_trace_close(open_sample(GM_RECORD_CHOICES));
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(documents_by_name), TEST(a_sha_of_two_documents_names_neither),
      TEST(documents_of_subsets), TEST(documents_and_passages_of_an_expert),
      TEST(passages_end_with_their_document), TEST(counts_alone_have_no_text),
      TEST(allocations_fail))
