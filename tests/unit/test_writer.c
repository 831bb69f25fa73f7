/* test_writer.c - probe/writer.c: blocks become shards in a thread of their own, and what goes
 * wrong there is said to whoever comes next.
 */
#include "probe/writer.h"

#include "tests/check.h"
#include "tests/trace_sample.h"

#include <sys/stat.h>
#include <unistd.h>

static sample s;

/* A document of three tokens, its counts left at 0. */
static gm_probe_block *make_block(uint64_t number)
{
    static const uint32_t token[] = {7, 8, 9};
    gm_error err = {0};
    gm_probe_block *block = NULL;
    const gm_probe_document d = {.id = "a:1", .subset = "", .language = "", .token = token, .n = 3};
    CHECK_OK(gm_probe_block_create(&block, number, &err), err);
    CHECK_OK(gm_probe_block_add(block, &d, &err), err);
    block->counts = gm_alloc(SAMPLE_L * 8, sizeof *block->counts);
    return block;
}

static gm_writer *make_writer(const char *folder)
{
    gm_error err = {0};
    gm_writer *writer = NULL;
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    s.info.has_text = false;
    CHECK_OK(gm_writer_create(&writer, folder, &s.info, &err), err);
    return writer;
}

static void after_waiting_a_block_is_there(void)
{
    gm_error err = {0};
    CHECK(mkdir("shards", 0777) == 0 || access("shards", W_OK) == 0);
    (void)unlink("shards/000003.h5");
    gm_writer *writer = make_writer("shards");
    CHECK_OK(gm_writer_wait(writer, &err), err);
    CHECK_OK(gm_writer_put(writer, make_block(3), &err), err);
    CHECK_OK(gm_writer_wait(writer, &err), err);
    CHECK(access("shards/000003.h5", F_OK) == 0);
    CHECK_OK(gm_writer_finish(writer, &err), err);
}

static void a_failure_is_said_to_all_that_come_after(void)
{
    gm_error err = {0};
    gm_writer *writer = make_writer("nowhere");
    CHECK_OK(gm_writer_put(writer, make_block(0), &err), err);
    CHECK_FAILS(gm_writer_wait(writer, &err), err, GM_EIO, "nowhere/000000.h5");
    CHECK_FAILS(gm_writer_put(writer, make_block(1), &err), err, GM_EIO, "nowhere/000000.h5");
    CHECK_FAILS(gm_writer_finish(writer, &err), err, GM_EIO, "nowhere/000000.h5");
}

TESTS(TEST(after_waiting_a_block_is_there), TEST(a_failure_is_said_to_all_that_come_after))
