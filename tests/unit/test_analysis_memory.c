/* test_analysis_memory.c - from a trace to an atlas in its file, every allocation failing in turn.
 * label: slow
 */
#include "cluster/analysis.h"
#include "cluster/atlas_make.h"
#include "tests/synthetic_trace.h"

/* 24 documents of a trace that was opened: fit, atlas, file. */
static gm_status fit_and_write(void *state, gm_error *err)
{
    gm_fit_options how = gm_fit_defaults();
    gm_analysis analysis = {0};
    gm_arena arena = {0};
    gm_atlas atlas;
    how.quiet = true;
    how.umap.n_epochs = 3;
    how.n_neighbors = 5;
    how.hdbscan.min_cluster_size = 5;
    gm_status status = gm_analysis_run(&analysis, state, &how, err);
    if (status == GM_OK)
        status = gm_atlas_make(&atlas, &arena, &analysis, state, "t.h5", &how, "test", err);
    if (status == GM_OK) status = gm_atlas_write("fault.atlas.h5", &atlas, true, err);
    gm_arena_clear(&arena);
    gm_analysis_clear(&analysis);
    return status;
}

static void survives_every_allocation_failure(void)
{
    gm_trace *trace = NULL;
    gm_error err = {0};
    synthetic s = synthetic_make(24, 2);
    synthetic_write(&s, NULL, true, "fault.trace.h5");
    synthetic_clear(&s);
    CHECK_OK(gm_trace_open(&trace, "fault.trace.h5", &err), err);
    CHECK_OK(fit_and_write(trace, &err), err); /* opens what stays open */
    check_every_allocation(fit_and_write, trace);
    gm_trace_close(trace);
}

TESTS(TEST(survives_every_allocation_failure))
