/* test_hold.c - weights resident, mapped and streamed, with and without a cache file, compute
 * the same bits; a cache that is not of this model is written anew or not used, and said; what
 * happens when memory is too small.
 * label: threads */
#include "base/outfile.h"
#include "engine/session.h"
#include "engine/team.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"

#include <pthread.h>
#include <sys/prctl.h>

#define TINY      TEST_DATA "/golden/models/deepseek-tied"
#define MXFP4     TEST_DATA "/golden/models/gptoss-tiny"
#define PHIMOE    TEST_DATA "/golden/models/phimoe-tiny"
#define FP8       TEST_DATA "/golden/models/deepseek-v3-fp8"
#define OTHER     TEST_DATA "/golden/models/olmoe-clip"
#define DEMO      TEST_DATA "/../notebooks-data/demo-model" /* 26 MB */
#define FILE_NAME "packed-bf16.gm"

enum { N_TOKENS = 70 };

static uint32_t token[N_TOKENS];
static const size_t offset[] = {0, 30, N_TOKENS};
static const docs two = {.n = 2, .n_tokens = N_TOKENS, .token = token, .offset = offset};
static const plan whole = {.threads = 2, .step = 512, .together = true};

/* What was said while a model was opened. */
static char said[2048];

static void keep_notice(void *context, const char *sentence)
{
    (void)context;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", sentence);
}

static gm_model_options options_of(gm_hold hold, gm_cache cache)
{
    return (gm_model_options){.threads = 2, .hold = hold, .cache = cache, .notice = keep_notice};
}

/* A copy of a model in a folder of our own, with its tokens made up. */
static void copy_folder(const char *folder, const char *from)
{
    char cache[512];
    copy_model(folder, from, "use_cache", "true");
    snprintf(cache, sizeof cache, "%s/%s", folder, FILE_NAME);
    (void)unlink(cache);
    for (size_t i = 0; i < N_TOKENS; i++) token[i] = (uint32_t)(i * 37 % 90);
}

static void make_folder(const char *folder)
{
    copy_folder(folder, TINY);
}

/* The folder's model, opened this way, computes what `want` holds; what was said has `part`. */
static void check_open(const char *folder, gm_hold hold, gm_cache cache, const outcome *want,
                       const char *part)
{
    gm_model *model = NULL;
    gm_error err = {0};
    const gm_model_options options = options_of(hold, cache);
    said[0] = '\0';
    CHECK_OK(gm_model_open(&model, folder, &options, &err), err);
    if (model == NULL) return;
    outcome got = run_docs(model, &two, &whole);
    check_same(folder, &got, want);
    outcome_free(&got);
    gm_model_close(model);
    if (part)
        CHECK_HAS(said, part);
    else
        CHECK_TEXT(said, "");
}

static outcome resident_outcome(const char *folder)
{
    gm_model *model = open_model(folder, GM_NUMERICS_AUTO, NULL);
    outcome all = run_docs(model, &two, &whole);
    gm_model_close(model);
    return all;
}

/* Is the cache in use where the page cache has it, without a copy? */
static bool is_in_place(const char *folder)
{
    gm_model *model = NULL;
    gm_error err = {0};
    const gm_model_options options = options_of(GM_HOLD_RESIDENT, GM_CACHE_USE);
    CHECK_OK(gm_model_open(&model, folder, &options, &err), err);
    const bool in_place = model && model->weights->packed && !model->weights->image;
    gm_model_close(model);
    return in_place;
}

static void held_in_any_way(void)
{
    make_folder("held");
    outcome want = resident_outcome("held");
    check_open("held", GM_HOLD_STREAMED, GM_CACHE_USE, &want, NULL);
    CHECK(access("held/" FILE_NAME, F_OK) != 0);
    check_open("held", GM_HOLD_RESIDENT, GM_CACHE_WRITE, &want, NULL);
    CHECK(access("held/" FILE_NAME, F_OK) == 0);
    CHECK(is_in_place("held")); /* a small one always is */
    check_open("held", GM_HOLD_RESIDENT, GM_CACHE_USE, &want, NULL);
    check_open("held", GM_HOLD_MAPPED, GM_CACHE_USE, &want, NULL);
    check_open("held", GM_HOLD_STREAMED, GM_CACHE_USE, &want, NULL);
    CHECK(unlink("held/" FILE_NAME) == 0);
    check_open("held", GM_HOLD_MAPPED, GM_CACHE_USE, &want, "packing the weights once into");
    CHECK(unlink("held/" FILE_NAME) == 0);
    check_open("held", GM_HOLD_STREAMED, GM_CACHE_WRITE, &want, "packing the weights once into");
    outcome_free(&want);
}

static void check_any_way(const char *folder, const char *from)
{
    copy_folder(folder, from);
    outcome want = resident_outcome(folder);
    check_open(folder, GM_HOLD_STREAMED, GM_CACHE_USE, &want, NULL);
    check_open(folder, GM_HOLD_RESIDENT, GM_CACHE_WRITE, &want, NULL);
    check_open(folder, GM_HOLD_MAPPED, GM_CACHE_USE, &want, NULL);
    check_open(folder, GM_HOLD_STREAMED, GM_CACHE_USE, &want, NULL);
    outcome_free(&want);
}

/* Experts that come stacked, in blocks and with biases; matrices whose scales lie beside them. */
static void quantised_is_held_in_any_way(void)
{
    check_any_way("held4", MXFP4);
    check_any_way("held8", FP8);
}

/* Of norms and head. */
static void biases_are_held_in_any_way(void)
{
    check_any_way("held-biases", PHIMOE);
}

/* A cache that is not in huge pages is copied into some that are. */
static void small_pages_are_copied(void)
{
    gm_model_options options = options_of(GM_HOLD_RESIDENT, GM_CACHE_WRITE);
    gm_model *model[2] = {NULL};
    gm_error err = {0};
    char path[64];
    options.cache_folder = "small-pages";
    said[0] = '\0';
    CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    for (int i = 0; i < 2; i++) CHECK_OK(gm_model_open(&model[i], DEMO, &options, &err), err);
    CHECK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0);
    CHECK_TEXT(said, "");
    if (model[0] && model[1]) {
        const gm_weights *packed = model[0]->weights, *copied = model[1]->weights;
        CHECK(copied->image && copied->image_bytes == packed->image_bytes &&
              memcmp(copied->image, packed->image, (size_t)packed->image_bytes) == 0);
        snprintf(path, sizeof path, "small-pages/%.16s-bf16.gm",
                 gm_model_get_info(model[0])->digest);
        CHECK(unlink(path) == 0); /* so that the next run packs again */
    }
    gm_model_close(model[0]);
    gm_model_close(model[1]);
}

/* ---- caches that are not right ---- */

static void change_file(const char *path, long at, int whence)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL && fseek(file, at, whence) == 0);
    int byte = file ? fgetc(file) : 0;
    CHECK(file != NULL && fseek(file, at, whence) == 0 && fputc(byte ^ 64, file) != EOF &&
          fclose(file) == 0);
}

static long size_of(const char *path)
{
    struct stat about = {0};
    CHECK(stat(path, &about) == 0);
    return (long)about.st_size;
}

/* Damage, found by a plain start, by --map and by one that may write; the last mends it. */
static void check_damaged(const outcome *want, const char *part, bool map_sees_it)
{
    check_open("bad", GM_HOLD_RESIDENT, GM_CACHE_USE, want, part);
    CHECK_HAS(said, "not used");
    if (map_sees_it) {
        check_open("bad", GM_HOLD_MAPPED, GM_CACHE_USE, want, part);
        CHECK_HAS(said, "written again");
    } else {
        check_open("bad", GM_HOLD_RESIDENT, GM_CACHE_WRITE, want, part);
    }
    check_open("bad", GM_HOLD_RESIDENT, GM_CACHE_USE, want, NULL);
}

static void caches_that_are_not_right(void)
{
    static const char path[] = "bad/" FILE_NAME;
    make_folder("bad");
    outcome want = resident_outcome("bad");
    check_open("bad", GM_HOLD_RESIDENT, GM_CACHE_WRITE, &want, NULL);
    CHECK(truncate(path, size_of(path) - 1) == 0);
    check_damaged(&want, "bytes, expected", true);
    change_file(path, 0, SEEK_SET);
    check_damaged(&want, "is not a cache of packed weights", true);
    change_file(path, 8, SEEK_SET);
    check_damaged(&want, "has version", true);
    change_file(path, 30, SEEK_SET);
    check_damaged(&want, "is for another model", true);
    change_file(path, 70, SEEK_SET);
    check_damaged(&want, "the header of", true);
    change_file(path, -4096, SEEK_END);
    check_damaged(&want, "is damaged", false);

    gm_error err = {0};
    gm_model *other = NULL; /* another model's at this place */
    gm_model_options options = options_of(GM_HOLD_RESIDENT, GM_CACHE_WRITE);
    options.cache_folder = "caches";
    CHECK_OK(gm_model_open(&other, OTHER, &options, &err), err);
    char name[64];
    snprintf(name, sizeof name, "caches/%.16s-bf16.gm", gm_model_get_info(other)->digest);
    gm_model_close(other);
    CHECK(rename(name, path) == 0);
    check_damaged(&want, "is for another model", true);
    CHECK(truncate(path, 0) == 0);
    check_damaged(&want, "is not a cache of packed weights", true);
    outcome_free(&want);
}

/* Weights changed by hand where their digest does not look: amid the embedding. */
static void weights_changed_since(void)
{
    static const char file[] = "edited/model.safetensors";
    char before[65], after[65];
    gm_checkpoint *checkpoint = NULL;
    gm_text bytes = {0};
    gm_error err = {0};
    uint64_t begin = 0;
    int fd = -1;
    make_folder("edited");
    CHECK_OK(gm_text_read_file(&bytes, TINY "/model.safetensors", 1 << 20, &err), err);
    (void)unlink(file); /* a link, or what a run before left */
    CHECK_OK(gm_outfile_write(file, true, bytes.at, bytes.n, &err), err);
    gm_text_clear(&bytes);
    outcome want = resident_outcome("edited");
    check_open("edited", GM_HOLD_RESIDENT, GM_CACHE_WRITE, &want, NULL);
    outcome_free(&want);

    CHECK_OK(gm_checkpoint_open(&checkpoint, "edited", &err), err);
    const gm_tensor *embed = gm_checkpoint_find(checkpoint, "model.embed_tokens.weight");
    gm_checkpoint_digest(checkpoint, before);
    CHECK_OK(gm_checkpoint_reopen(checkpoint, embed, false, &fd, &begin, &err), err);
    close(fd);
    change_file(file, (long)(begin + token[17] * embed->dim[1] * 2 + 1), SEEK_SET);
    gm_checkpoint_digest(checkpoint, after);
    CHECK_TEXT(after, before);
    gm_checkpoint_close(checkpoint);

    want = resident_outcome("edited");
    check_open("edited", GM_HOLD_RESIDENT, GM_CACHE_USE, &want,
               "for weights that have changed since");
    check_open("edited", GM_HOLD_MAPPED, GM_CACHE_USE, &want,
               "for weights that have changed since");
    check_open("edited", GM_HOLD_RESIDENT, GM_CACHE_USE, &want, NULL);
    outcome_free(&want);
}

/* A config that says otherwise for how many rows a scale is, as many scales as before. */
static void blocks_changed_since(void)
{
    static const char field[] = "quantization_config";
    static const char rows13[] = "{\"quant_method\": \"fp8\", \"weight_block_size\": [13, 8]}";
    copy_folder("blocks", FP8);
    outcome before = resident_outcome("blocks");
    check_open("blocks", GM_HOLD_RESIDENT, GM_CACHE_WRITE, &before, NULL);
    copy_model("blocks13", FP8, field, rows13);
    outcome want = resident_outcome("blocks13");
    CHECK(memcmp(want.logits, before.logits, N_TOKENS * sizeof *want.logits) != 0);
    copy_model("blocks", FP8, field, rows13);
    check_open("blocks", GM_HOLD_RESIDENT, GM_CACHE_USE, &want, "the cache is not used");
    check_open("blocks", GM_HOLD_MAPPED, GM_CACHE_USE, &want, "the cache is written again");
    outcome_free(&before), outcome_free(&want);
}

/* A folder for caches that cannot be made: said, and the weights are held or streamed without;
 * mapped weights need the file and say so. */
static void a_cache_folder_that_cannot_be_made(void)
{
    make_folder("nowhere");
    gm_model *model = NULL;
    gm_error err = {0};
    gm_model_options options = options_of(GM_HOLD_RESIDENT, GM_CACHE_WRITE);
    options.cache_folder = "nowhere/config.json/caches";
    said[0] = '\0';
    CHECK_OK(gm_model_open(&model, "nowhere", &options, &err), err);
    CHECK_HAS(said, "config.json/caches");
    gm_model_close(model);
    options.hold = GM_HOLD_STREAMED;
    said[0] = '\0';
    CHECK_OK(gm_model_open(&model, "nowhere", &options, &err), err);
    CHECK_HAS(said, "the packed weights are not cached: ");
    gm_model_close(model);
    options = options_of(GM_HOLD_MAPPED, GM_CACHE_USE);
    options.cache_folder = "nowhere/config.json/caches";
    CHECK(gm_model_open(&model, "nowhere", &options, &err) != GM_OK);
    CHECK_HAS(err.text, "config.json/caches");
}

/* What lies in the place of the cache and is no file: it goes to the user's folder. */
static void a_place_that_cannot_be_written(void)
{
    make_folder("full");
    outcome want = resident_outcome("full");
    char here[3000], home[4000];
    CHECK(getcwd(here, sizeof here) != NULL);
    snprintf(home, sizeof home, "%s/home-%ld", here, (long)getpid()); /* a new one */
    CHECK(mkdir("full/" FILE_NAME, 0777) == 0 && setenv("XDG_CACHE_HOME", home, 1) == 0);
    check_open("full", GM_HOLD_RESIDENT, GM_CACHE_WRITE, &want, "the packed weights go to");
    check_open("full", GM_HOLD_MAPPED, GM_CACHE_USE, &want, "is not a cache of packed weights");
    CHECK(setenv("XDG_CACHE_HOME", "/dev/null", 1) == 0);
    check_open("full", GM_HOLD_RESIDENT, GM_CACHE_WRITE, &want,
               "the packed weights are not cached: ");
    CHECK(rmdir("full/" FILE_NAME) == 0);
    outcome_free(&want);
}

/* How much of a model was loaded when its file became shorter. */
static void cut_file(void *context, double done_bytes, double total_bytes)
{
    double *share = context;
    *share = done_bytes / total_bytes;
    CHECK(truncate("cut/model.safetensors", 1000) == 0);
}

static void what_failed_is_not_shown_as_done(void)
{
    double share = 0;
    gm_model *model = NULL;
    gm_error err = {0};
    gm_text bytes = {0};
    gm_model_options options = options_of(GM_HOLD_RESIDENT, GM_CACHE_OFF);
    make_folder("cut");
    CHECK_OK(gm_text_read_file(&bytes, TINY "/model.safetensors", 1 << 20, &err), err);
    CHECK(unlink("cut/model.safetensors") == 0);
    CHECK_OK(gm_outfile_write("cut/model.safetensors", false, bytes.at, bytes.n, &err), err);
    options.threads = 1;
    options.progress = cut_file;
    options.progress_context = &share;
    CHECK_FAILS(gm_model_open(&model, "cut", &options, &err), err, GM_EIO, "cut/model.safetensors");
    CHECK(0 < share && share < 1);
    gm_text_clear(&bytes);
}

static void *open_mapped(void *context)
{
    gm_model **model = context;
    const gm_model_options options = {.threads = 1, .hold = GM_HOLD_MAPPED};
    gm_error err = {0};
    if (gm_model_open(model, "twice", &options, &err) != GM_OK) fprintf(stderr, "%s\n", err.text);
    return NULL;
}

static void two_at_once(void)
{
    enum { N = 4 };
    gm_model *model[N] = {NULL};
    pthread_t thread[N];
    make_folder("twice");
    for (int i = 0; i < N; i++)
        CHECK(pthread_create(&thread[i], NULL, open_mapped, &model[i]) == 0);
    for (int i = 0; i < N; i++) CHECK(pthread_join(thread[i], NULL) == 0 && model[i] != NULL);
    outcome want = resident_outcome("twice");
    for (int i = 0; i < N && model[i]; i++) {
        outcome got = run_docs(model[i], &two, &whole);
        check_same("twice", &got, &want);
        outcome_free(&got);
        gm_model_close(model[i]);
    }
    outcome_free(&want);
}

/* ---- memory ---- */

/* A session that no machine has memory for is planned: only its size is looked at. */
static void too_little_memory(void)
{
    const gm_session_options planned = {
        .threads = 1, .max_rows = 1 << 20, .kv_rows = UINT32_MAX / 2, .max_sequences = 1 << 20};
    gm_model_options options = options_of(GM_HOLD_RESIDENT, GM_CACHE_USE);
    gm_model *model = NULL;
    gm_error err = {0};
    make_folder("small");
    options.planned = &planned;
    options.strict_memory = true;
    CHECK_FAILS(gm_model_open(&model, "small", &options, &err), err, GM_EMEM,
                "free; a smaller --batch or --step-tokens needs less; refused by --strict-memory");
    options.strict_memory = false;
    options.cache = GM_CACHE_OFF;
    CHECK_FAILS(gm_model_open(&model, "small", &options, &err), err, GM_EMEM, "free");
    options.cache = GM_CACHE_USE;
    said[0] = '\0';
    CHECK_OK(gm_model_open(&model, "small", &options, &err), err);
    CHECK_HAS(said, "continuing, but slowly, with mapped weights");
    CHECK(access("small/" FILE_NAME, F_OK) == 0);
    gm_model_close(model);

    options.hold = GM_HOLD_MAPPED;
    options.cache = GM_CACHE_OFF;
    options.planned = NULL;
    CHECK_FAILS(gm_model_open(&model, "small", &options, &err), err, GM_EARG, "which is off");
}

static void more_threads_than_processors(void)
{
    gm_model *model = NULL;
    gm_error err = {0};
    gm_model_options options = options_of(GM_HOLD_RESIDENT, GM_CACHE_OFF);
    options.threads = gm_team_processors() + 1;
    said[0] = '\0';
    CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
    CHECK_HAS(said, "processors are slower");
    gm_model_close(model);
}

/* ---- failures ---- */

/* Layers are streamed to one session, and a model without its head gives no logits. */
static void what_a_streamed_model_refuses(void)
{
    gm_error err = {0};
    gm_model *model = NULL;
    gm_session *first = NULL, *second = NULL;
    gm_model_options options = options_of(GM_HOLD_STREAMED, GM_CACHE_OFF);
    options.no_head = true;
    const gm_session_options so = {
        .threads = 1, .max_rows = 8, .kv_rows = 64, .max_sequences = 1, .piece_rows = 4};
    CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
    CHECK_OK(gm_session_create(&first, model, &so, &err), err);
    CHECK_FAILS(gm_session_create(&second, model, &so, &err), err, GM_EARG, "another session");
    int id;
    float logits[1];
    CHECK_OK(gm_sequence_open(first, 8, &id, &err), err);
    gm_segment segment = {.sequence = id, .n = 4, .token = token, .edit = -1, .want = GM_WANT_LAST};
    const gm_result result = {.logits = logits};
    CHECK_FAILS(gm_session_step(first, &segment, 1, NULL, &result, &err), err, GM_EARG,
                "needs the head");
    segment.want = GM_WANT_NOTHING;
    CHECK_OK(gm_session_step(first, &segment, 1, NULL, NULL, &err), err);
    CHECK_FAILS(gm_session_step(first, &segment, 1, NULL, NULL, &err), err, GM_EARG,
                "computed in one step");
    gm_session_free(first);
    CHECK_OK(gm_session_create(&second, model, &so, &err), err);
    gm_session_free(second);
    gm_model_close(model);
}

static char every_cache[600];

static gm_status open_and_close(void *context, gm_error *err)
{
    gm_model *model = NULL;
    (void)unlink(every_cache);
    gm_status status = gm_model_open(&model, "every", context, err);
    if (status == GM_OK) {
        gm_model_close(model);
        status = gm_model_open(&model, "every", context, err);
    }
    gm_model_close(model);
    return status;
}

/* In memory where there is such a folder: some thousand caches are written. */
static void survives_every_allocation_failure(void)
{
    char folder[] = "/dev/shm/test_hold.XXXXXX";
    gm_model_options options = {.threads = 1, .hold = GM_HOLD_MAPPED};
    gm_model *model = NULL;
    gm_error err = {0};
    options.cache_folder = mkdtemp(folder) ? folder : "every-cache";
    make_folder("every");
    CHECK_OK(gm_model_open(&model, "every", &options, &err), err);
    snprintf(every_cache, sizeof every_cache, "%s/%.16s-bf16.gm", options.cache_folder,
             gm_model_get_info(model)->digest);
    gm_model_close(model);
    check_every_allocation(open_and_close, &options);
    CHECK(unlink(every_cache) == 0 && rmdir(options.cache_folder) == 0);
}

TESTS(TEST(held_in_any_way), TEST(quantised_is_held_in_any_way), TEST(biases_are_held_in_any_way),
      TEST(small_pages_are_copied), TEST(caches_that_are_not_right), TEST(weights_changed_since),
      TEST(blocks_changed_since), TEST(a_cache_folder_that_cannot_be_made),
      TEST(a_place_that_cannot_be_written), TEST(what_failed_is_not_shown_as_done),
      TEST(two_at_once), TEST(too_little_memory), TEST(more_threads_than_processors),
      TEST(what_a_streamed_model_refuses), TEST(survives_every_allocation_failure))
