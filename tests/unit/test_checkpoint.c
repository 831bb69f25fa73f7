/* test_checkpoint.c - engine/checkpoint.c on the goldens' tiny models and on folders
 * made by hand.
 */
#include "engine/checkpoint.h"

#include "base/outfile.h"
#include "engine/arch.h"
#include "tests/check.h"

#include <unistd.h>

#define MODELS TEST_DATA "/golden/models/"

static const float numbers[4] = {1, 2, 3, 4};

/* A file with F32 tensors of two numbers each; names end with NULL. */
static void write_shard(const char *path, const char *const *names)
{
    gm_tensor tensor[8];
    gm_error err = {0};
    size_t n = 0;
    for (; names[n]; n++)
        tensor[n] = (gm_tensor){.name = names[n],
                                .dtype = GM_F32,
                                .rank = 2,
                                .dim = {1, 2},
                                .data = numbers + n,
                                .n_bytes = 8};
    CHECK_OK(gm_safetensors_write(path, true, tensor, n, NULL, 0, &err), err);
}

static void write_index(const char *folder, const char *text)
{
    char path[256];
    gm_error err = {0};
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    CHECK_OK(gm_outfile_write(path, true, text, strlen(text), &err), err);
}

static void opens_one_file_and_shards(void)
{
    static const struct {
        const char *folder;
        size_t n;
        gm_dtype dtype;
    } models[] = {{MODELS "deepseek-tiny", 150, GM_F16},
                  {MODELS "deepseek-tied", 97, GM_BF16},
                  {MODELS "olmoe-tiny", 174, GM_F16},
                  {MODELS "olmoe-clip", 102, GM_BF16},
                  {MODELS "qwen2-tiny", 139, GM_F32},
                  {MODELS "olmoe-tiny/model.safetensors", 174, GM_F16}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        gm_checkpoint *c;
        gm_error err = {0};
        CHECK_OK(gm_checkpoint_open(&c, models[i].folder, &err), err);
        CHECK_INT(gm_checkpoint_n(c), models[i].n);
        CHECK_INT(gm_checkpoint_dtype(c), models[i].dtype);
        for (size_t t = 0; t < gm_checkpoint_n(c); t++) {
            const gm_tensor *tensor = gm_checkpoint_at(c, t);
            CHECK(gm_checkpoint_find(c, tensor->name) == tensor);
            CHECK(t == 0 || strcmp(gm_checkpoint_at(c, t - 1)->name, tensor->name) < 0);
        }
        gm_checkpoint_close(c);
    }
}

static void gets_by_name_and_shape(void)
{
    static const gm_slice norm = {.name = "model.norm.weight", .rows = 1, .cols = 16},
                          embed = {.name = "model.embed_tokens.weight", .rows = 288, .cols = 16},
                          wide = {.name = "model.embed_tokens.weight", .rows = 288, .cols = 17},
                          nothing = {.name = "nothing", .rows = 1, .cols = 1},
                          bytes = {.name = "bytes", .rows = 1, .cols = 1},
                          cube = {.name = "cube", .rows = 1, .cols = 1};
    gm_checkpoint *c;
    gm_error err = {0};
    gm_tensor t;
    CHECK_OK(gm_checkpoint_open(&c, MODELS "olmoe-tiny", &err), err);
    CHECK_OK(gm_checkpoint_get(c, &norm, &t, &err), err);
    CHECK_OK(gm_checkpoint_get(c, &embed, &t, &err), err);
    CHECK(t.data == gm_checkpoint_find(c, embed.name)->data);
    CHECK_FAILS(gm_checkpoint_get(c, &wide, &t, &err), err, GM_ESHAPE,
                "is 288 x 16, expected 288 x 17");
    CHECK(t.data == NULL);
    CHECK_FAILS(gm_checkpoint_get(c, &nothing, &t, &err), err, GM_EFORMAT,
                "olmoe-tiny': the checkpoint has no tensor 'nothing'");
    gm_checkpoint_close(c);

    const uint8_t byte = 1;
    const gm_tensor other[] = {
        {.name = "bytes", .dtype = GM_U8, .rank = 1, .dim = {1}, .data = &byte, .n_bytes = 1},
        {.name = "cube",
         .dtype = GM_F32,
         .rank = 3,
         .dim = {1, 2, 1}, /* not one number, of which this would be another form */
         .data = numbers,
         .n_bytes = 8}};
    CHECK_OK(gm_safetensors_write("other.safetensors", true, other, 2, NULL, 0, &err), err);
    CHECK_OK(gm_checkpoint_open(&c, "other.safetensors", &err), err);
    CHECK_FAILS(gm_checkpoint_get(c, &bytes, &t, &err), err, GM_EFORMAT, "dtype U8");
    CHECK_FAILS(gm_checkpoint_get(c, &cube, &t, &err), err, GM_ESHAPE, "rank 3");
    gm_checkpoint_close(c);
}

/* Rows of one of three matrices (4, 2) in one tensor, and of one matrix (8, 3). */
static void gets_from_a_stack(void)
{
    float number[24];
    const gm_tensor tensors[] = {{.name = "stack",
                                  .dtype = GM_F32,
                                  .rank = 3,
                                  .dim = {3, 4, 2},
                                  .data = number,
                                  .n_bytes = sizeof number},
                                 {.name = "tall",
                                  .dtype = GM_F32,
                                  .rank = 2,
                                  .dim = {8, 3},
                                  .data = number,
                                  .n_bytes = sizeof number}};
    gm_slice slice = {
        .name = "stack", .rows = 2, .cols = 2, .stack = 3, .stack_rows = 4, .item = 1, .first = 2};
    gm_checkpoint *c;
    gm_error err = {0};
    gm_tensor t;
    for (int i = 0; i < 24; i++) number[i] = (float)i;
    CHECK_OK(gm_safetensors_write("stack.safetensors", true, tensors, 2, NULL, 0, &err), err);
    CHECK_OK(gm_checkpoint_open(&c, "stack.safetensors", &err), err);
    CHECK_OK(gm_checkpoint_get(c, &slice, &t, &err), err);
    CHECK(t.rank == 2 && t.dim[0] == 2 && t.dim[1] == 2 && t.n_bytes == 16);
    CHECK(memcmp(t.data, number + 12, 16) == 0); /* matrix 1 begins at 8, its row 2 at 12 */
    slice.stack_rows = 3;
    CHECK_FAILS(gm_checkpoint_get(c, &slice, &t, &err), err, GM_ESHAPE,
                "'stack' is 3 x 4 x 2, expected 3 x 3 x 2");
    slice = (gm_slice){.name = "tall", .rows = 2, .cols = 3, .tall = 8, .first = 5};
    CHECK_OK(gm_checkpoint_get(c, &slice, &t, &err), err);
    CHECK(t.rank == 2 && t.dim[0] == 2 && t.dim[1] == 3 && t.n_bytes == 24);
    CHECK(memcmp(t.data, number + 15, 24) == 0);
    slice = (gm_slice){
        .name = "tall", .rows = 3, .cols = 2, .tall = 8, .first = 5, .stored = GM_STORED_COLUMNS};
    CHECK_OK(gm_checkpoint_get(c, &slice, &t, &err), err); /* the same, three outputs of two */
    CHECK(t.dim[0] == 2 && t.dim[1] == 3 && memcmp(t.data, number + 15, 24) == 0);
    slice.tall = 9;
    CHECK_FAILS(gm_checkpoint_get(c, &slice, &t, &err), err, GM_ESHAPE,
                "'tall' is 8 x 3, expected 9 x 3");
    slice = (gm_slice){.name = "stack", .rows = 4, .cols = 2};
    CHECK_FAILS(gm_checkpoint_get(c, &slice, &t, &err), err, GM_ESHAPE, "rank 3");
    gm_checkpoint_close(c);

    CHECK_OK(gm_checkpoint_open(&c, MODELS "olmoe-tiny", &err), err);
    slice = (gm_slice){.name = "model.embed_tokens.weight", .rows = 288, .cols = 16, .stack = 1};
    CHECK_FAILS(gm_checkpoint_get(c, &slice, &t, &err), err, GM_ESHAPE, "rank 2, expected 3");
    gm_checkpoint_close(c);
}

/* Random weights have the names and shapes that Hugging Face gives a family's tensors. */
static void random_weights_look_like_a_checkpoint(void)
{
    static const char *const models[] = {"deepseek-tiny", "deepseek-tied", "olmoe-clip",
                                         "qwen2-tiny",    "qwen3-tiny",    "mixtral-tiny",
                                         "granite-tiny",  "gptoss-tiny",   "gptoss-plain"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char folder[4096];
        gm_arch arch;
        gm_checkpoint *made, *real;
        gm_error err = {0};
        snprintf(folder, sizeof folder, MODELS "%s", models[m]);
        CHECK_OK(gm_arch_read(&arch, folder, &err), err);
        CHECK_OK(gm_checkpoint_open(&real, folder, &err), err);
        CHECK_OK(gm_checkpoint_random(&made, &arch, &err), err);
        CHECK_INT(gm_checkpoint_n(made), gm_checkpoint_n(real));
        for (size_t i = 0; i < gm_checkpoint_n(made); i++) {
            const gm_tensor *a = gm_checkpoint_at(made, i), *b = gm_checkpoint_at(real, i);
            CHECK_TEXT(a->name, b->name);
            CHECK_INT(a->rank, b->rank);
            CHECK_INT(a->dtype == GM_U8, b->dtype == GM_U8);
            CHECK(memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0);
        }
        gm_checkpoint_close(made);
        gm_checkpoint_close(real);
        gm_arch_clear(&arch);
    }
}

static void refuses_bad_folders(void)
{
    static const char *const names[] = {"a", "b", NULL}, *const other[] = {"b", "c", NULL};
    gm_checkpoint *c;
    gm_error err;

    mkdir("bad", 0777);
    unlink("bad/model.safetensors.index.json"); /* of a run before this one */
    unlink("bad/model.safetensors");
    unlink("bad/2.safetensors");
    CHECK_FAILS(gm_checkpoint_open(&c, "no-such-folder", &err), err, GM_EIO, "has neither");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EIO, "has neither");

    /* links to nothing, as a download that was cut off leaves them */
    CHECK(symlink("nowhere", "bad/model.safetensors.index.json") == 0);
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EIO, "bad/model.safetensors.index");
    unlink("bad/model.safetensors.index.json");
    CHECK(symlink("nowhere", "bad/model.safetensors") == 0);
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EIO, "'bad/model.safetensors'");
    unlink("bad/model.safetensors");

    CHECK_FAILS(gm_checkpoint_open(&c, "none.safetensors", &err), err, GM_EIO, "none.safetensors");

    write_shard("bad/1.safetensors", names);
    write_index("bad", "{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EIO, "bad/2.safetensors");
    write_shard("bad/2.safetensors", other);
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "'b' is in two shards");
    write_index("bad", "{\"weight_map\":{\"x\":\"1.safetensors\"}}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "no tensor 'x'");
    write_index("bad", "{\"weight_map\":{\"a\":\"../secret\"}}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "tensor 'a'");
    write_index("bad", "{\"weight_map\":{\"a\":1}}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "tensor 'a'");
    write_index("bad", "{\"weight_map\":{\"a\":\"1.safetensors\\u0000x\"}}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "does not name a file");
    write_index("bad", "{\"weight_map\":{\"a\\u0000x\":\"1.safetensors\"}}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "'a' is followed by a NUL");
    write_index("bad", "{\"weight_map\":[]}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "weight_map");
    write_index("bad", "{}");
    CHECK_FAILS(gm_checkpoint_open(&c, "bad", &err), err, GM_EFORMAT, "weight_map");

    CHECK_OK(gm_outfile_write("empty.safetensors", true, "", 0, &err), err);
    CHECK_FAILS(gm_checkpoint_open(&c, "empty.safetensors", &err), err, GM_EFORMAT, "is empty");
    unlink("pipe.safetensors");
    CHECK_INT(mkfifo("pipe.safetensors", 0666), 0); /* nobody writes: opening it must not wait */
    CHECK_FAILS(gm_checkpoint_open(&c, "pipe.safetensors", &err), err, GM_EIO,
                "not a regular file");
    mkdir("folder.safetensors", 0777);
    CHECK_FAILS(gm_checkpoint_open(&c, "folder.safetensors", &err), err, GM_EIO,
                "not a regular file");
}

static void digest_names_the_weights(void)
{
    static const char *const both[] = {"a", "b", NULL}, *const a[] = {"a", NULL};
    char one[65], other[65], again[65];
    gm_checkpoint *c;
    gm_error err = {0};

    write_shard("digest.safetensors", both);
    CHECK_OK(gm_checkpoint_open(&c, "digest.safetensors", &err), err);
    gm_checkpoint_digest(c, one);
    gm_checkpoint_digest(c, again);
    gm_checkpoint_close(c);
    CHECK_TEXT(one, again);
    CHECK_INT(strlen(one), 64);

    write_shard("digest.safetensors", a);
    CHECK_OK(gm_checkpoint_open(&c, "digest.safetensors", &err), err);
    gm_checkpoint_digest(c, other);
    gm_checkpoint_close(c);
    CHECK(strcmp(one, other) != 0);

    /* The same two tensors in two shards are the same weights. */
    const gm_tensor b = {
        .name = "b", .dtype = GM_F32, .rank = 2, .dim = {1, 2}, .data = numbers + 1, .n_bytes = 8};
    mkdir("split", 0777);
    write_shard("split/1.safetensors", a);
    CHECK_OK(gm_safetensors_write("split/2.safetensors", true, &b, 1, NULL, 0, &err), err);
    write_index("split", "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}");
    CHECK_OK(gm_checkpoint_open(&c, "split", &err), err);
    gm_checkpoint_digest(c, other);
    gm_checkpoint_close(c);
    CHECK_TEXT(other, one);
}

/* Another number at the first or last place of one expert's part of a stack is another model, as
 * it is where that part is a tensor of its own. */
static void digest_reads_every_expert_of_a_stack(void)
{
    enum { EXPERTS = 5, PART = 3000 };
    static float stack[EXPERTS * PART];
    static const gm_tensor forms[] = {
        {.name = "x.gate_up_proj", .rank = 3, .dim = {EXPERTS, PART / 10, 10}},
        {.name = "x.gate_up_proj_blocks", .rank = 4, .dim = {EXPERTS, PART / 10, 5, 2}},
        {.name = "x.gate_up_proj_bias", .rank = 2, .dim = {EXPERTS, PART}}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char one[65], other[65];
        gm_error err = {0};
        /* the last number of a part, then the first of the next */
        for (size_t at = PART - 1; at < (size_t)PART * (EXPERTS - 1); at++) {
            gm_checkpoint *c = NULL;
            gm_tensor *t = gm_alloc(1, sizeof *t);
            CHECK(t != NULL);
            if (t == NULL) return;
            *t = forms[i], t->dtype = GM_F32, t->data = stack, t->n_bytes = sizeof stack;
            CHECK_OK(gm_checkpoint_in_memory(&c, "stack", t, 1, NULL, 0, &err), err);
            gm_checkpoint_digest(c, one);
            stack[at] = 1;
            gm_checkpoint_digest(c, other);
            stack[at] = 0;
            gm_checkpoint_close(c);
            CHECK(strcmp(one, other) != 0);
            if (at % PART == 0) at += PART - 2;
        }
    }
}

static gm_status open_attempt(void *state, gm_error *err)
{
    gm_checkpoint *c;
    gm_status status = gm_checkpoint_open(&c, state, err);
    gm_checkpoint_close(c);
    return status;
}

static void survives_every_allocation_failure(void)
{
    char folder[] = "split";
    check_every_allocation(open_attempt, folder);
}

/* One tensor a shard, the index in any order; and one shard more than is allowed. */
static void an_index_may_name_many_shards(void)
{
    enum { SHARDS = 60, TOO_MANY = 4097 };
    gm_text index = {0};
    gm_checkpoint *c;
    gm_error err = {0};
    mkdir("many", 0777);
    CHECK_OK(gm_text_add(&index, "{\"weight_map\":{", &err), err);
    for (int i = 0; i < SHARDS; i++) {
        int k = i * 7 % SHARDS;
        char path[64], name[16];
        snprintf(path, sizeof path, "many/%d.safetensors", k);
        snprintf(name, sizeof name, "t%d", k);
        write_shard(path, (const char *const[]){name, NULL});
        CHECK_OK(gm_text_printf(&index, &err, "%s\"%s\":\"%d.safetensors\"", i ? "," : "", name, k),
                 err);
    }
    CHECK_OK(gm_text_add(&index, "}}", &err), err);
    write_index("many", index.at);
    CHECK_OK(gm_checkpoint_open(&c, "many", &err), err);
    CHECK_INT(gm_checkpoint_n(c), SHARDS);
    gm_checkpoint_close(c);

    index.n = 0;
    for (int i = 0; i < TOO_MANY; i++)
        CHECK_OK(
            gm_text_printf(&index, &err, "%s\"t%d\":\"%d\"", i ? "," : "{\"weight_map\":{", i, i),
            err);
    CHECK_OK(gm_text_add(&index, "}}", &err), err);
    write_index("many", index.at);
    CHECK_FAILS(gm_checkpoint_open(&c, "many", &err), err, GM_EFORMAT,
                "names 4097 shards, expected at most 4096");
    gm_text_clear(&index);
}

TESTS(TEST(opens_one_file_and_shards), TEST(gets_by_name_and_shape), TEST(gets_from_a_stack),
      TEST(random_weights_look_like_a_checkpoint), TEST(refuses_bad_folders),
      TEST(digest_names_the_weights), TEST(digest_reads_every_expert_of_a_stack),
      TEST(survives_every_allocation_failure), TEST(an_index_may_name_many_shards))
