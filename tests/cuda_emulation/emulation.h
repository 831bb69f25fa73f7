/* emulation.h - what a test can ask of the emulated GPU.
 *
 * The settings are those of the next runtime call; the counters count from
 * emulation_reset on.
 */
#ifndef GM_EMULATION_H
#define GM_EMULATION_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct emulation {
    int driver_version; /* 0: no driver */
    int n_devices;
    int major, minor, multiprocessors;
    unsigned old_devices;  /* bit i: device i is one of compute capability 7.5 */
    int code;              /* what kernels were compiled for: 80, 90 */
    size_t memory;         /* bytes of device memory */
    size_t taken_of_first; /* of device 0's, by somebody else */
    long fail_after;       /* the k-th runtime call from now on fails (0: the next); -1: none */
    int fail_with;         /* its cudaError; one that is sticky stays */
    bool skip_products;    /* cuBLAS computes nothing: for what only looks at times */
    unsigned long order;   /* blocks of a kernel run in an order drawn from this; 0: ascending */
    /* counters */
    size_t used, most_used; /* bytes of device memory */
    long n_taken;           /* times that a device was chosen, which takes of its memory */
    size_t n_launches;      /* of kernels, replays of graphs included */
    size_t n_graph_launches, n_captures;
    long n_blocks; /* of device and pinned memory that are alive */
} emulation;

extern emulation gm_emulation;

/* One device of compute capability 9.0 with a GiB of memory, nothing fails, counters at 0
 * (but `used` and n_blocks, which are what is alive, and n_taken). */
void emulation_reset(void);

#ifdef __cplusplus
}
#endif
#endif
