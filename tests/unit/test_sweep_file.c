/* test_sweep_file.c - a sweep comes back as it was written; what points outside is refused. */
#include "formats/sweep.h"

#include <hdf5.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/sweep_sample.h"

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

TESTS(TEST(comes_back_as_written), TEST(an_older_file_is_read), TEST(an_existing_file_stays),
      TEST(may_be_empty), TEST(refuses_what_points_outside), TEST(every_allocation_may_fail))
