/* shards.h - the folder of a run: its shards, its locks, and what a kill left there.
 *
 * OUT.parts/NNNNNN.h5 holds block NNNNNN of the run. A process that writes holds a
 * lock: the whole run alone, or task i of N, where tasks share the folder. Shards
 * are never written again, so reading needs no lock.
 */
#ifndef GM_SHARDS_H
#define GM_SHARDS_H

#include "base/text.h"

/* The shards found in a folder, by number. */
typedef struct gm_shard_list {
    char **path;      /* (n) owned */
    uint32_t *number; /* (n) ascending */
    size_t n;
} gm_shard_list;

/* List `folder`; one that does not exist has no shards. GM_EIO, GM_EMEM. */
gm_status gm_shard_list_read(gm_shard_list *list, const char *folder, gm_error *err) GM_MUST_USE;
void gm_shard_list_clear(gm_shard_list *list);

/* Append "FOLDER/NNNNNN.h5". */
gm_status gm_shard_path(gm_text *path, const char *folder, uint64_t number, gm_error *err)
    GM_MUST_USE;

/* How far the computing of a block has come. */
typedef struct gm_shard_note {
    uint64_t number, rows;
} gm_shard_note;

typedef struct gm_shard_lock {
    int fd[2];             /* the folder's, the task's; 0 when not held */
    gm_shard_note note[2]; /* the block being written, the one being computed */
    size_t last;           /* note[last] is the later one */
    uint64_t lost;         /* rows that the task had computed and not committed when it ended */
} gm_shard_lock;

/* Make the folder and lock it for task `i` of `n` (0 of 1: the whole run); then read what
 * was noted of a task that was killed, and remove its partial shard. GM_EBUSY when
 * another process holds the lock. */
gm_status gm_shard_lock_take(gm_shard_lock *lock, const char *folder, uint32_t i, uint32_t n,
                             gm_error *err) GM_MUST_USE;
/* Note in the lock's file that so many rows of a block are computed. For two blocks at a
 * time: a third one takes the place of the earlier, which is then committed. A note that
 * cannot be written (a full disk) is left out: it only says afterwards what a kill cost. */
void gm_shard_lock_note(gm_shard_lock *lock, uint64_t number, uint64_t rows);
void gm_shard_lock_release(gm_shard_lock *lock);

/* Where work stopped for a full disk, short memory or a lost GPU: append to the failure's text that
 * the shards are kept for --resume, "; 3 blocks are kept: ..." of the unit "block"; nothing where
 * the folder has none. */
void gm_shards_tell_kept(gm_error *err, const char *folder, const char *unit);

/* Remove the shards and what they left; the caller holds the lock of the whole run. */
gm_status gm_shards_clear(const char *folder, gm_error *err) GM_MUST_USE;
/* The same, and then the locks and the folder, as far as it is empty. */
gm_status gm_shards_remove(const char *folder, gm_error *err) GM_MUST_USE;

#endif
