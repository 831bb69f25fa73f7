/* test_atlas.c - an atlas comes back as it was written; values out of range are refused. */
#include "formats/atlas.h"
#include "tests/check.h"

enum { N = 6, C = 2, S = 2, L = 2, E = 3, EDGES = 4 };

typedef struct made {
    gm_atlas atlas;
    int layers[L];
    float xy[2 * N], probability[N], outlier[N], score[C * GM_N_KEYWORDS], usage[C * L * E],
        half[C * 2 * L * E], lift[C * L * E], stability[C], corpus[L * E], corpus_half[2 * L * E],
        subset_usage[S * L * E], subset_half[S * 2 * L * E], weight[EDGES];
    int32_t cluster[N];
    uint16_t subset[N];
    uint32_t n_tokens[N], size[C], subset_count[C * S], indices[EDGES], left[N - 1], right[N - 1],
        tree_size[N - 1];
    uint64_t indptr[N + 1];
    double distance[N - 1];
    uint8_t sha[32 * N], important[C * L * E];
    const char *id[N], *keyword[C * GM_N_KEYWORDS], *subset_name[S];
} made;

static void fill(float *value, size_t n)
{
    for (size_t i = 0; i < n; i++) value[i] = (float)(i % 7) / 8;
}

static void make(made *m)
{
    *m = (made){.layers = {1, 3}, .subset_name = {"Books", ""}, .size = {3, 2}};
    fill(m->xy, 2 * N), fill(m->probability, N), fill(m->outlier, N);
    fill(m->score, C * GM_N_KEYWORDS), fill(m->usage, C * L * E), fill(m->half, C * 2 * L * E);
    fill(m->lift, C * L * E), fill(m->stability, C), fill(m->corpus, L * E);
    fill(m->corpus_half, 2 * L * E), fill(m->subset_usage, S * L * E);
    fill(m->subset_half, S * 2 * L * E), fill(m->weight, EDGES);
    for (uint32_t i = 0; i < N; i++) {
        m->cluster[i] = (int32_t)(i % 3) - 1;
        m->subset[i] = (uint16_t)(i % S);
        m->n_tokens[i] = 100 + i;
        m->id[i] = "a.jsonl:7";
        m->indptr[i + 1] = i + 1 < EDGES ? i + 1 : EDGES;
        for (uint32_t k = 0; k < 32; k++) m->sha[32 * i + k] = (uint8_t)(7 * i + k);
    }
    for (uint32_t i = 0; i + 1 < N; i++) {
        m->left[i] = i ? N + i - 1 : 0;
        m->right[i] = i + 1;
        m->tree_size[i] = i + 2;
        m->distance[i] = i;
    }
    for (int i = 0; i < C * GM_N_KEYWORDS; i++)
        m->keyword[i] = i % 3 ? "\xd0\xba\xd0\xbe\xd1\x82" : "";
    m->important[1] = 1;
    m->atlas = (gm_atlas){.n = N,
                          .n_clusters = C,
                          .n_subsets = S,
                          .n_layers = L,
                          .n_experts = E,
                          .n_chosen = 2,
                          .layer_of_moe = m->layers,
                          .xy = m->xy,
                          .cluster = m->cluster,
                          .probability = m->probability,
                          .outlier = m->outlier,
                          .subset = m->subset,
                          .n_tokens = m->n_tokens,
                          .id = m->id,
                          .sha = m->sha,
                          .subset_name = m->subset_name,
                          .size = m->size,
                          .keyword = m->keyword,
                          .keyword_score = m->score,
                          .usage = m->usage,
                          .usage_half = m->half,
                          .lift = m->lift,
                          .important = m->important,
                          .stability = m->stability,
                          .subset_count = m->subset_count,
                          .corpus_usage = m->corpus,
                          .corpus_usage_half = m->corpus_half,
                          .subset_usage = m->subset_usage,
                          .subset_usage_half = m->subset_half,
                          .n_edges = EDGES,
                          .graph_indptr = m->indptr,
                          .graph_indices = m->indices,
                          .graph_weight = m->weight,
                          .tree_left = m->left,
                          .tree_right = m->right,
                          .tree_size = m->tree_size,
                          .tree_distance = m->distance,
                          .model = "tiny",
                          .parameters = "{\"neighbors\":15}",
                          .quality = "{}"};
}

static made m;

#define SAME(member, n) CHECK(memcmp(a->member, m.atlas.member, (n) * sizeof *a->member) == 0)

static void comes_back_as_written(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    make(&m);
    CHECK_OK(gm_atlas_write("one.atlas.h5", &m.atlas, true, &err), err);
    CHECK_OK(gm_atlas_open(&a, "one.atlas.h5", &err), err);
    if (a == NULL) return;
    CHECK_INT(a->n, N);
    CHECK_INT(a->n_clusters, C);
    CHECK_INT(a->n_edges, EDGES);
    SAME(layer_of_moe, L);
    SAME(xy, 2 * N);
    SAME(cluster, N);
    SAME(subset, N);
    SAME(sha, 32 * N);
    SAME(usage_half, C * 2 * L * E);
    SAME(important, C * L * E);
    SAME(subset_usage_half, S * 2 * L * E);
    SAME(graph_indptr, N + 1);
    SAME(tree_distance, N - 1);
    for (int i = 0; i < C * GM_N_KEYWORDS; i++) CHECK(!strcmp(a->keyword[i], m.keyword[i]));
    for (int i = 0; i < S; i++) CHECK(!strcmp(a->subset_name[i], m.subset_name[i]));
    CHECK(!strcmp(a->parameters, m.atlas.parameters) && !strcmp(a->command, ""));
    CHECK(!strcmp(a->digest, m.atlas.digest) && strlen(a->digest) == 64);
    gm_atlas_close(a);
}

static void no_clusters_is_an_atlas(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    make(&m);
    m.atlas.n_clusters = 0;
    for (int i = 0; i < N; i++) m.cluster[i] = -1;
    CHECK_OK(gm_atlas_write("none.atlas.h5", &m.atlas, true, &err), err);
    CHECK_OK(gm_atlas_open(&a, "none.atlas.h5", &err), err);
    gm_atlas_close(a);
}

static void refuses(const char *what)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    CHECK_OK(gm_atlas_write("bad.atlas.h5", &m.atlas, true, &err), err);
    CHECK_FAILS(gm_atlas_open(&a, "bad.atlas.h5", &err), err, GM_EFORMAT, what);
    CHECK(strstr(err.text, "bad.atlas.h5") != NULL);
    CHECK(a == NULL);
}

static void values_out_of_range_are_refused(void)
{
    make(&m), m.cluster[2] = C, refuses("document 2 is in cluster 2 of 2");
    make(&m), m.subset[4] = S, refuses("document 4 is in subset 2 of 2");
    make(&m), m.xy[3] = NAN, refuses("the place of document 1");
    make(&m), m.outlier[5] = 1.5f, refuses("document 5 has an outlier score");
    make(&m), m.usage[1] = NAN, refuses("'/clusters/usage'");
    make(&m), m.indices[1] = N, refuses("edge 1 leads to document 6 of 6");
    make(&m), m.indptr[1] = 3, m.indptr[2] = 1, refuses("falls at 1");
    make(&m), m.left[0] = N, refuses("row 0 of '/tree'");
    make(&m), m.layers[1] = 1, refuses("'/layer'");
}

static void an_existing_file_stays(void)
{
    gm_error err = {0};
    make(&m);
    CHECK_OK(gm_atlas_write("kept.atlas.h5", &m.atlas, true, &err), err);
    m.xy[0] = 0.5f;
    CHECK_FAILS(gm_atlas_write("kept.atlas.h5", &m.atlas, false, &err), err, GM_EEXIST, "exists");
}

static gm_status write_and_open(void *state, gm_error *err)
{
    made *one = state;
    gm_atlas *a = NULL;
    gm_status status = gm_atlas_write("fault.atlas.h5", &one->atlas, true, err);
    if (status == GM_OK) status = gm_atlas_open(&a, "fault.atlas.h5", err);
    gm_atlas_close(a);
    return status;
}

static void survives_every_allocation_failure(void)
{
    make(&m);
    check_every_allocation(write_and_open, &m);
}

TESTS(TEST(comes_back_as_written), TEST(no_clusters_is_an_atlas),
      TEST(values_out_of_range_are_refused), TEST(an_existing_file_stays),
      TEST(survives_every_allocation_failure))
