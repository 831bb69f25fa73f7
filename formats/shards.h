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

typedef struct gm_shard_lock {
    int fd[2]; /* the folder's, the task's; 0 when not held */
} gm_shard_lock;

/* Make the folder and lock it for task `i` of `n` (0 of 1: the whole run); then remove
 * partial shards of that task. GM_EEXIST when another process holds it. */
gm_status gm_shard_lock_take(gm_shard_lock *lock, const char *folder, uint32_t i, uint32_t n,
                             gm_error *err) GM_MUST_USE;
void gm_shard_lock_release(gm_shard_lock *lock);

/* Remove the shards, what they left, and the folder, as far as it is then empty. The
 * caller holds the lock, or nobody else knows the folder. */
gm_status gm_shards_remove(const char *folder, gm_error *err) GM_MUST_USE;

#endif
