/* machine.h - the memory and processors' time that this process may use: the machine's, less what
 * a control group (a container, a batch system) or ulimit leaves of it.
 */
#ifndef GM_MACHINE_H
#define GM_MACHINE_H

#include "base/base.h"

typedef struct gm_memory {
    uint64_t total;       /* bytes that the process may have; UINT64_MAX: nobody says */
    uint64_t free;        /* bytes that it may still take; what caches hold counts as free */
    const char *total_by; /* who says so: "this machine", "its control group", "ulimit" */
    const char *free_by;
} gm_memory;

/* Reads ROOT/proc and ROOT/sys/fs/cgroup (versions 1 and 2, all groups above ours); ""
 * is this system. What cannot be read limits nothing. */
gm_memory gm_machine_memory(const char *root);

/* Processors whose time control groups leave to this process, as 2.5 of them, the least of all
 * groups above ours; INFINITY: nobody says. Reads as gm_machine_memory does. Which processors they
 * are is not looked at. */
double gm_machine_processors(const char *root);

/* Whether `bytes` more may be had, asked before the system ends the process for taking them.
 * Errors: GM_EMEM, "WHAT takes 12.3 GB more, of which this machine has 8.0 GB free". */
gm_status gm_machine_spare(uint64_t bytes, const char *what, gm_error *err) GM_MUST_USE;

/* Bytes of the mapped file that begins at `mapping` which are in the process's page tables as
 * huge pages of the page cache; 0 where nobody says. Touch them first. */
uint64_t gm_machine_huge_bytes(const void *mapping);

#endif
