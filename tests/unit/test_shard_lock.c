/* test_shard_lock.c - who holds a folder of shards, and what a run that was killed there has lost.
 */
#include "base/outfile.h"
#include "formats/shards.h"
#include "formats/trace.h"
#include "tests/written_sample.h"

#include <unistd.h>

static sample s;

static void one_process_holds_a_folder(void)
{
    gm_error err = {0};
    gm_shard_lock a, b, c;
    CHECK_OK(gm_shard_lock_take(&a, "locked.parts", 0, 2, &err), err);
    CHECK_OK(gm_shard_lock_take(&b, "locked.parts", 1, 2, &err), err);
    CHECK_FAILS(gm_shard_lock_take(&c, "locked.parts", 1, 2, &err), err, GM_EBUSY, "another");
    CHECK_FAILS(gm_shard_lock_take(&c, "locked.parts", 0, 1, &err), err, GM_EBUSY, "another");
    gm_shard_lock_release(&a);
    gm_shard_lock_release(&b);
    CHECK_OK(gm_shards_remove("locked.parts", &err), err);
}

/* Shares of two divisions, 0 of 2 and 2 of 4, hold the same block: whoever comes second leaves
 * what the first is writing, and removes what a kill has left. */
static void a_part_that_is_held_stays(void)
{
    gm_error err = {0};
    gm_shard_lock a, b;
    gm_outfile *held = NULL;
    CHECK_OK(gm_shard_lock_take(&a, "divided.parts", 0, 2, &err), err);
    CHECK_OK(gm_outfile_open(&held, "divided.parts/000002.h5", false, &err), err);
    FILE *stale = fopen("divided.parts/000006.h5.part", "w");
    CHECK(stale != NULL && fclose(stale) == 0);
    CHECK_OK(gm_shard_lock_take(&b, "divided.parts", 2, 4, &err), err);
    CHECK(access("divided.parts/000002.h5.part", F_OK) == 0);
    CHECK(access("divided.parts/000006.h5.part", F_OK) != 0);
    gm_shard_lock_release(&b);
    CHECK_OK(gm_outfile_commit(held, &err), err);
    gm_shard_lock_release(&a);
    CHECK_OK(gm_shards_remove("divided.parts", &err), err);
}

/* Of a disk that is full, not of a wrong argument. */
static void what_is_kept_is_said(void)
{
    gm_error err = {0};
    gm_outfile *file = NULL;
    gm_shard_lock lock;
    CHECK_OK(gm_shard_lock_take(&lock, "kept.parts", 0, 1, &err), err);
    (void)gm_fail(&err, GM_EIO, "full");
    gm_shards_tell_kept(&err, "kept.parts", "block");
    CHECK_TEXT(err.text, "full");
    for (int i = 0; i < 2; i++) {
        const char *const name[] = {"kept.parts/000000.h5", "kept.parts/000001.h5"};
        CHECK_OK(gm_outfile_open(&file, name[i], false, &err), err);
        CHECK_OK(gm_outfile_commit(file, &err), err);
        (void)gm_fail(&err, GM_EIO, "full");
        gm_shards_tell_kept(&err, "kept.parts", "block");
        CHECK_HAS(err.text, i == 0 ? "full; 1 block is kept: repeat" : "full; 2 blocks are kept:");
    }
    (void)gm_fail(&err, GM_EARG, "wrong");
    gm_shards_tell_kept(&err, "kept.parts", "block");
    CHECK_TEXT(err.text, "wrong");
    gm_shard_lock_release(&lock);
    CHECK_OK(gm_shards_remove("kept.parts", &err), err);
}

/* What a lock's file says of blocks that are not there is lost; it is said once. */
static void a_lock_tells_what_a_kill_cost(void)
{
    gm_error err = {0};
    gm_shard_lock lock;
    CHECK_OK(gm_shard_lock_take(&lock, "noted.parts", 0, 1, &err), err);
    CHECK_INT(lock.lost, 0);
    for (uint64_t rows = 100; rows <= 300; rows += 100) gm_shard_lock_note(&lock, 7, rows);
    gm_shard_lock_note(&lock, 9, 1000);
    gm_shard_lock_note(&lock, 12, 50); /* 7 is then committed */
    gm_shard_lock_note(&lock, 12, 60);
    gm_shard_lock_release(&lock);
    CHECK_OK(gm_shard_lock_take(&lock, "noted.parts", 0, 1, &err), err);
    CHECK_INT(lock.lost, 1060);
    gm_shard_lock_release(&lock);
    CHECK_OK(gm_shard_lock_take(&lock, "noted.parts", 0, 1, &err), err);
    CHECK_INT(lock.lost, 0);

    gm_shard_lock_note(&lock, 0, 20);
    gm_shard_lock_note(&lock, 1, 30);
    gm_shard_lock_release(&lock);
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    sample_write(&s, "noted.parts/000000.h5"); /* it was committed in the end */
    CHECK_OK(gm_shard_lock_take(&lock, "noted.parts", 0, 1, &err), err);
    CHECK_INT(lock.lost, 30);
    gm_shard_lock_release(&lock);
    CHECK_OK(gm_shards_remove("noted.parts", &err), err);
}

TESTS(TEST(one_process_holds_a_folder), TEST(a_part_that_is_held_stays), TEST(what_is_kept_is_said),
      TEST(a_lock_tells_what_a_kill_cost))
