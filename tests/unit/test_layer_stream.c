/* test_layer_stream.c - a streamed layer keeps its place until every worker gave it back.
 * label: threads */
#include "engine/engine.h"
#include "engine/model.h"
#include "engine/ops.h"
#include "engine/team.h"
#include "tests/check.h"

#include <time.h>

#define TINY TEST_DATA "/golden/models/gptoss-tiny" /* three layers, where two have a place */

/* What a worker sees that looks at its layer when the other has long given it back. */
typedef struct late_look {
    gm_step step;
    size_t nth;
} late_look;

static void look_late(void *context, gm_worker *me)
{
    late_look *look = context;
    const gm_ops *ops = look->step.weights->ops;
    const gm_layer *layer = ops->layer_acquire(me, &look->step, 0);
    gm_worker_meet(me);
    if (me->index == 1) { /* layer 2, which takes its place, is read in far less */
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
        look->nth = layer->nth;
    }
    ops->layer_release(me, &look->step, 0);
}

static void a_layer_stays_until_all_gave_it_back(void)
{
    gm_error err = {0};
    gm_model *model = NULL;
    gm_team *team = NULL;
    const gm_model_options options = {.device = "cpu", .threads = 2, .hold = GM_HOLD_STREAMED};
    CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
    CHECK_OK(gm_team_create(&team, 2, &err), err);
    late_look look = {.step = {.weights = model->weights}, .nth = SIZE_MAX};
    gm_team_run(team, false, look_late, &look);
    CHECK_INT(look.nth, 0);
    gm_team_free(team);
    gm_model_close(model);
}

TESTS(TEST(a_layer_stays_until_all_gave_it_back))
