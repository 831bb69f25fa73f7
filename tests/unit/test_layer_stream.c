/* test_layer_stream.c - streamed layers are the resident ones, in turn and after some are skipped;
 * a layer keeps its place until every worker gave it back; a step has the first failure of reading.
 *
 * label: threads
 */
#define _GNU_SOURCE /* syscall */
#include "engine/layer_stream.h"
#include "engine/model.h"
#include "engine/ops.h"
#include "tests/engine_run.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TINY   TEST_DATA "/golden/models/gptoss-tiny"   /* three layers, where two have a place */
#define UNEVEN TEST_DATA "/golden/models/deepseek-tied" /* five, the first one dense */

/* In place of the C library's: a disk that fails (0: it does not), or is slow. */
static atomic_int bad_disk, slow_ms;

ssize_t pread(int fd, void *to, size_t n, off_t offset)
{
    const struct timespec wait = {.tv_nsec = 1000000L * atomic_load(&slow_ms)};
    if (wait.tv_nsec > 0) nanosleep(&wait, NULL);
    errno = atomic_load(&bad_disk);
    return errno ? -1 : syscall(SYS_pread64, fd, to, n, offset);
}

static gm_model *open_held(const char *folder, gm_hold hold)
{
    gm_error err = {0};
    gm_model *model = NULL;
    const gm_model_options options = {.device = "cpu", .threads = 2, .hold = hold};
    CHECK_OK(gm_model_open(&model, folder, &options, &err), err);
    if (model == NULL) exit(1);
    return model;
}

/* Take layer `l` as worker `index`, compare it with the model whose layers are all there, give it
 * back. */
static void pass_layer(const gm_model *streamed, const gm_model *resident, size_t index, size_t l)
{
    gm_layer_stream *stream = streamed->weights->stream;
    gm_buf *got[GM_SECTION_BUFFERS], *want[GM_SECTION_BUFFERS];
    gm_layer layer = *gm_layer_stream_acquire(stream, &(gm_worker){.index = index, .n = 2}, l);
    const size_t n = gm_section_buffers(streamed->weights, l + 1, &layer, got);
    CHECK_INT(gm_section_buffers(resident->weights, l + 1, NULL, want), n);
    for (size_t i = 0; i < n; i++)
        CHECK_BYTES(got[i]->address, want[i]->address, gm_buf_bytes(want[i]));
    gm_layer_stream_release(stream);
}

static void check_layers(const char *folder)
{
    static const size_t after_steps_that_stopped[] = {1, 0, 2, 2, 1, 0};
    const long before = gm_alloc_live();
    gm_model *streamed = open_held(folder, GM_HOLD_STREAMED);
    gm_model *resident = open_held(folder, GM_HOLD_RESIDENT);
    const size_t n_layers = resident->weights->n_layers;
    for (size_t n = 0; n < 3 * n_layers; n++) pass_layer(streamed, resident, 0, n % n_layers);
    for (size_t i = 0; i < sizeof after_steps_that_stopped / sizeof(size_t); i++) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* both places are full */
        pass_layer(streamed, resident, 0, after_steps_that_stopped[i]);
    }
    gm_model_close(streamed);
    gm_model_close(resident);
    CHECK_INT(gm_alloc_live(), before);
}

static void layers_are_the_resident_ones(void)
{
    check_layers(TINY);
    check_layers(UNEVEN);
}

/* What one of the workers waits all of them wait, and it is counted once. */
static void waiting_is_counted_by_one(void)
{
    gm_model *streamed = open_held(TINY, GM_HOLD_STREAMED),
             *resident = open_held(TINY, GM_HOLD_RESIDENT);
    gm_layer_stream *stream = streamed->weights->stream;
    atomic_store(&slow_ms, 5);
    for (size_t n = 0; n < 3; n++) pass_layer(streamed, resident, 1, n);
    CHECK(gm_layer_stream_waited(stream) == 0);
    /* again and again, as on a busy machine a layer may be there before who asks for it is back */
    for (size_t n = 0; n < 60 && !(gm_layer_stream_waited(stream) >= .005); n++)
        pass_layer(streamed, resident, 0, n % 3);
    CHECK(gm_layer_stream_waited(stream) >= .005);
    atomic_store(&slow_ms, 0);
    gm_model_close(streamed);
    gm_model_close(resident);
}

static void two_layers_take_twice_the_bytes(void)
{
    gm_model *model = open_held(TINY, GM_HOLD_STREAMED);
    const uint64_t none = gm_layer_stream_bytes(0, &model->arch, model->checkpoint);
    CHECK(none > 0);
    CHECK_INT(gm_layer_stream_bytes(1000, &model->arch, model->checkpoint) - none, 2000);
    gm_model_close(model);
}

/* ---- failures ---- */

static gm_status step_of(gm_session *session, gm_error *err)
{
    static const uint32_t token[] = {5, 9, 2, 13};
    int id;
    *err = (gm_error){0};
    CHECK_OK(gm_sequence_open(session, 8, &id, err), *err);
    const gm_segment segment = {.sequence = id, .n = 4, .token = token, .edit = -1};
    const gm_status status = gm_session_step(session, &segment, 1, NULL, NULL, err);
    gm_sequence_close(session, id);
    return status;
}

static void a_step_has_the_first_failure(void)
{
    gm_error err = {0};
    gm_session *session = NULL;
    gm_model *model = open_held(TINY, GM_HOLD_STREAMED);
    const gm_session_options options = {
        .threads = 2, .max_rows = 8, .kv_rows = 64, .max_sequences = 1, .piece_rows = 4};
    CHECK_OK(gm_session_create(&session, model, &options, &err), err);
    CHECK_OK(step_of(session, &err), err);
    CHECK_TEXT(err.text, "");
    static const int errors[] = {EIO, ENXIO, 0}; /* that a disk is back is no reason to go on */
    for (size_t i = 0; i < 3; i++) {
        atomic_store(&bad_disk, errors[i]);
        for (int k = 0; k < 2; k++) {
            CHECK_FAILS(step_of(session, &err), err, GM_EIO, "cannot read");
            CHECK_HAS(err.text, "Input/output error");
        }
    }
    gm_session_free(session);
    gm_model_close(model);
}

/* ---- workers that wait for each other ---- */

/* What a worker sees that looks at its layer when the others have long given it back. */
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
    gm_team *team = NULL;
    atomic_store(&slow_ms, 2); /* all of them wait for it, more than layers have a place */
    gm_model *model = open_held(TINY, GM_HOLD_STREAMED);
    CHECK_OK(gm_team_create(&team, 5, &err), err);
    late_look look = {.step = {.weights = model->weights}, .nth = SIZE_MAX};
    gm_team_run(team, false, look_late, &look);
    CHECK_INT(look.nth, 0);
    atomic_store(&slow_ms, 0);
    gm_team_free(team);
    gm_model_close(model);
}

TESTS(TEST(layers_are_the_resident_ones), TEST(waiting_is_counted_by_one),
      TEST(two_layers_take_twice_the_bytes), TEST(a_step_has_the_first_failure),
      TEST(a_layer_stays_until_all_gave_it_back))
