/* test_sweep.c - a sweep comes back as it was written; what points outside is refused. */
#include "formats/sweep.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/sweep_sample.h"

#include <hdf5.h>

static made_sweep m;

#define SAME(member, n) CHECK(memcmp(s->member, m.sweep.member, (n) * sizeof *s->member) == 0)

static void comes_back_as_written(void)
{
    gm_error err = {0};
    gm_sweep *s = NULL;
    made_sweep_init(&m);
    CHECK_OK(gm_sweep_write("one.sweep.h5", &m.sweep, true, &err), err);
    CHECK_OK(gm_sweep_open(&s, "one.sweep.h5", &err), err);
    if (s == NULL) return;
    CHECK_INT(s->n_cells, SM);
    CHECK_INT(s->n_texts, SR);
    CHECK_INT(s->n_config, 2);
    CHECK_INT(s->n_summary, 0);
    SAME(cluster, SM);
    SAME(dose, SM);
    SAME(usage, SM * SL * SE);
    SAME(kl_mean, SM * SK);
    SAME(mass, SM * SK);
    SAME(text_prompt, SR);
    SAME(text_end, SR);
    SAME(log_p, SR * SJ);
    SAME(text_offset, SR + 1);
    SAME(text_bytes, 5);
    SAME(prompt_bytes, 6);
    SAME(cluster_dose, SC);
    CHECK(strcmp(s->class_name[1], "stars") == 0 && strcmp(s->fingerprint, "f") == 0);
    CHECK_TEXT(s->config_digest, "c0de");
    CHECK(strcmp(s->atlas_digest, "") == 0);
    CHECK(strlen(s->digest) == 64 && strcmp(s->digest, m.sweep.digest) == 0);
    gm_sweep_close(s);
}

/* Where sweep.h says, by HDF5 itself: two columns that changed places would come back as written.
 */
static void columns_have_their_names(void)
{
    made_sweep_init(&m);
    const struct {
        const char *name;
        hid_t type;
        const void *want;
        size_t n_bytes;
    } columns[] = {
        {"/cells/cluster", H5T_NATIVE_INT32, m.cluster, sizeof m.cluster},
        {"/cells/arm", H5T_NATIVE_UINT8, m.arm, sizeof m.arm},
        {"/cells/draw", H5T_NATIVE_INT32, m.draw, sizeof m.draw},
        {"/cells/filter", H5T_NATIVE_UINT8, m.filter, sizeof m.filter},
        {"/cells/half", H5T_NATIVE_UINT8, m.half, sizeof m.half},
        {"/cells/dose", H5T_NATIVE_DOUBLE, m.dose, sizeof m.dose},
        {"/cells/max_bias", H5T_NATIVE_FLOAT, m.max_bias, sizeof m.max_bias},
        {"/cells/rms_bias", H5T_NATIVE_FLOAT, m.rms, sizeof m.rms},
        {"/cells/usage", H5T_NATIVE_FLOAT, m.usage, sizeof m.usage},
        {"/cells/log_odds", H5T_NATIVE_DOUBLE, m.score[0], sizeof m.score[0]},
        {"/cells/share", H5T_NATIVE_DOUBLE, m.score[1], sizeof m.score[1]},
        {"/cells/shift", H5T_NATIVE_DOUBLE, m.score[2], sizeof m.score[2]},
        {"/cells/shift_lo", H5T_NATIVE_DOUBLE, m.score[3], sizeof m.score[3]},
        {"/cells/shift_hi", H5T_NATIVE_DOUBLE, m.score[4], sizeof m.score[4]},
        {"/cost/n_tokens", H5T_NATIVE_UINT32, m.tokens, sizeof m.tokens},
        {"/cost/kl_mean", H5T_NATIVE_DOUBLE, m.cost[0], sizeof m.cost[0]},
        {"/cost/kl_median", H5T_NATIVE_DOUBLE, m.cost[1], sizeof m.cost[1]},
        {"/cost/kl_p99", H5T_NATIVE_DOUBLE, m.cost[2], sizeof m.cost[2]},
        {"/cost/same_top1", H5T_NATIVE_DOUBLE, m.cost[3], sizeof m.cost[3]},
        {"/cost/nll_base", H5T_NATIVE_DOUBLE, m.cost[4], sizeof m.cost[4]},
        {"/cost/nll", H5T_NATIVE_DOUBLE, m.cost[5], sizeof m.cost[5]},
        {"/cost/jaccard", H5T_NATIVE_DOUBLE, m.cost[6], sizeof m.cost[6]},
        {"/cost/mass", H5T_NATIVE_DOUBLE, m.cost[7], sizeof m.cost[7]},
        {"/texts/cell", H5T_NATIVE_UINT32, m.text[0], sizeof m.text[0]},
        {"/texts/prompt", H5T_NATIVE_UINT32, m.text[1], sizeof m.text[1]},
        {"/texts/seed", H5T_NATIVE_UINT32, m.text[2], sizeof m.text[2]},
        {"/texts/n_tokens", H5T_NATIVE_UINT32, m.text[3], sizeof m.text[3]},
        {"/texts/end", H5T_NATIVE_UINT8, m.end, sizeof m.end},
        {"/texts/rep4", H5T_NATIVE_FLOAT, m.rep4, sizeof m.rep4},
        {"/texts/distinct2", H5T_NATIVE_FLOAT, m.distinct2, sizeof m.distinct2},
        {"/texts/log_p", H5T_NATIVE_FLOAT, m.log_p, sizeof m.log_p},
        {"/prompts/class", H5T_NATIVE_INT32, m.prompt_class, sizeof m.prompt_class},
        {"/prompts/half", H5T_NATIVE_UINT8, m.prompt_half, sizeof m.prompt_half},
        {"/clusters/id", H5T_NATIVE_INT32, m.id, sizeof m.id},
        {"/clusters/class", H5T_NATIVE_INT32, m.class_id, sizeof m.class_id},
        {"/clusters/dose", H5T_NATIVE_DOUBLE, m.topic_dose, sizeof m.topic_dose},
        {"/clusters/filter", H5T_NATIVE_UINT8, m.topic_filter, sizeof m.topic_filter},
    };
    gm_error err = {0};
    CHECK_OK(gm_sweep_write("names.sweep.h5", &m.sweep, true, &err), err);
    hid_t file = H5Fopen("names.sweep.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        char got[sizeof m.cost[0]] = {0}; /* the largest but usage, which is as large */
        hid_t set = H5Dopen2(file, columns[i].name, H5P_DEFAULT), space = H5Dget_space(set);
        CHECK_INT((size_t)H5Sget_simple_extent_npoints(space) * H5Tget_size(columns[i].type),
                  columns[i].n_bytes);
        CHECK(columns[i].n_bytes <= sizeof got &&
              H5Dread(set, columns[i].type, H5S_ALL, H5S_ALL, H5P_DEFAULT, got) >= 0);
        if (memcmp(got, columns[i].want, columns[i].n_bytes) != 0)
            TEST_FAILED_("'%s' has other numbers", columns[i].name);
        H5Sclose(space);
        H5Dclose(set);
    }
    CHECK(H5Fclose(file) >= 0);
}

/* A file from before the digest of config.json was stored says that it does not know it. */
static void an_older_file_is_read(void)
{
    gm_error err = {0};
    gm_sweep *s = NULL;
    made_sweep_init(&m);
    CHECK_OK(gm_sweep_write("older.sweep.h5", &m.sweep, true, &err), err);
    hid_t file = H5Fopen("older.sweep.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    CHECK(H5Adelete(file, "config_digest") >= 0);
    CHECK(H5Fclose(file) >= 0);
    CHECK_OK(gm_sweep_open(&s, "older.sweep.h5", &err), err);
    if (s) CHECK_TEXT(s->config_digest, "");
    gm_sweep_close(s);
}

static void an_existing_file_stays(void)
{
    gm_error err = {0};
    made_sweep_init(&m);
    CHECK_OK(gm_sweep_write("two.sweep.h5", &m.sweep, true, &err), err);
    m.dose[1] = 2;
    CHECK_FAILS(gm_sweep_write("two.sweep.h5", &m.sweep, false, &err), err, GM_EEXIST,
                "two.sweep.h5");
}

/* Nothing measured yet is a file as well. */
static void may_be_empty(void)
{
    gm_error err = {0};
    gm_sweep *s = NULL;
    made_sweep_init(&m);
    m.sweep.n_cells = m.sweep.n_texts = m.sweep.n_prompts = m.sweep.n_clusters = 0;
    CHECK_OK(gm_sweep_write("none.sweep.h5", &m.sweep, true, &err), err);
    CHECK_OK(gm_sweep_open(&s, "none.sweep.h5", &err), err);
    gm_sweep_close(s);
}

static void refuses(const char *what)
{
    gm_error err = {0};
    gm_sweep *s = NULL;
    CHECK_OK(gm_sweep_write("bad.sweep.h5", &m.sweep, true, &err), err);
    CHECK_FAILS(gm_sweep_open(&s, "bad.sweep.h5", &err), err, GM_EFORMAT, what);
    CHECK(strstr(err.text, "bad.sweep.h5") != NULL && s == NULL);
    made_sweep_init(&m);
}

static void refuses_what_points_outside(void)
{
    made_sweep_init(&m);
    m.arm[1] = 2;
    refuses("/cells/arm");
    m.filter[0] = 1;
    refuses("/cells/filter");
    m.half[0] = 2;
    refuses("/cells/half");
    m.text[0][2] = SM;
    refuses("/texts/cell");
    m.text[1][0] = SQ;
    refuses("/texts/prompt");
    m.end[1] = 3;
    refuses("/texts/end");
    m.text_offset[1] = 6;
    refuses("/texts/offset");
    m.prompt_offset[0] = 1;
    refuses("/prompts/offset");
    m.prompt_class[0] = SJ;
    refuses("/prompts/class");
    m.class_id[0] = -1;
    refuses("/clusters/class");
    m.topic_filter[0] = 9;
    refuses("/clusters/filter");
}

static gm_status attempt(void *state, gm_error *err)
{
    gm_sweep *s = NULL;
    (void)state;
    gm_status status = gm_sweep_write("fault.sweep.h5", &m.sweep, true, err);
    if (status == GM_OK) status = gm_sweep_open(&s, "fault.sweep.h5", err);
    gm_sweep_close(s);
    return status;
}

static void every_allocation_may_fail(void)
{
    made_sweep_init(&m);
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(comes_back_as_written), TEST(columns_have_their_names), TEST(an_older_file_is_read),
      TEST(an_existing_file_stays), TEST(may_be_empty), TEST(refuses_what_points_outside),
      TEST(every_allocation_may_fail))
