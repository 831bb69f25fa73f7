/* machine.h - the memory and processor time that this process may use, as limited by the machine, a
 * control group (a container, a batch system) or ulimit.
 */
#ifndef GM_MACHINE_H
#define GM_MACHINE_H

#include "base/base.h"

typedef struct gm_memory {
    uint64_t total;       /* bytes that the process may have; UINT64_MAX: unknown */
    uint64_t free;        /* bytes that it may still take; caches count as free */
    const char *total_by; /* what limits it: "this machine", "its control group", "ulimit" */
    const char *free_by;
} gm_memory;

/* Reads ROOT/proc and ROOT/sys/fs/cgroup (versions 1 and 2, all groups above ours); ""
 * is this system. What cannot be read limits nothing. */
gm_memory gm_machine_memory(const char *root);

/* Processors' worth of time that control groups (all above ours) allow this process, e.g. 2.5;
 * INFINITY: no limit. Reads as gm_machine_memory does; CPU affinity is not considered. */
double gm_machine_processors(const char *root);

/* May this process take `bytes` more? Errors: GM_EMEM, "WHAT needs 12.3 GB more, but this
 * machine has only 8.0 GB free". */
gm_status gm_machine_spare(uint64_t bytes, const char *what, gm_error *err) GM_MUST_USE;

/* Bytes of the mapped file that begins at `mapping` which are in the process's page tables as
 * huge pages of the page cache; 0 where that is unknown. Touch them first. */
uint64_t gm_machine_huge_bytes(const void *mapping);

#endif
