/* test_atlas.c - an atlas comes back as it was written; values out of range are refused. */
#include "formats/atlas.h"

#include "tests/atlas_sample.h"
#include "tests/check.h"

static made_atlas m;

#define SAME(member, n) CHECK(memcmp(a->member, m.atlas.member, (n) * sizeof *a->member) == 0)

static void comes_back_as_written(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    made_init(&m);
    CHECK_OK(gm_atlas_write("one.atlas.h5", &m.atlas, true, &err), err);
    CHECK_OK(gm_atlas_open(&a, "one.atlas.h5", &err), err);
    if (a == NULL) return;
    CHECK_INT(a->n, N);
    CHECK_INT(a->n_clusters, C);
    CHECK_INT(a->n_edges, EDGES);
    CHECK_INT(a->cluster_dim, 2);
    SAME(layer_of_moe, L);
    CHECK_INT(a->n_trace_layers, L + 1);
    SAME(trace_layer, L + 1);
    SAME(xy, 2 * N);
    SAME(cluster, N);
    SAME(subset, N);
    SAME(sha, 32 * N);
    SAME(usage_half, C * 2 * L * E);
    SAME(important, C * L * E);
    SAME(subset_usage_half, S * 2 * L * E);
    SAME(graph_indptr, N + 1);
    SAME(tree_distance, N - 1);
    SAME(script, N);
    SAME(language, N);
    SAME(first, N);
    SAME(node, N);
    SAME(lambda, N);
    SAME(seed_jaccard, C);
    SAME(half_jaccard, C);
    SAME(coherence, C);
    SAME(representative, C * GM_N_EXAMPLES);
    SAME(outlying, C * GM_N_EXAMPLES);
    SAME(node_birth, NODES);
    SAME(node_cluster, NODES);
    CHECK_TEXT(a->config_digest, "c0de");
    CHECK_TEXT(a->name[1], "Ships");
    CHECK_TEXT(a->script_name[1], "Latin");
    CHECK_TEXT(a->language_name[2], "de");
    CHECK_TEXT(a->node_keyword[GM_N_KEYWORDS], "word");
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
    made_init(&m);
    m.atlas.n_clusters = 0;
    for (int i = 0; i < N; i++) m.cluster[i] = -1;
    for (int r = 0; r < NODES; r++) m.node_cluster[r] = -1;
    CHECK_OK(gm_atlas_write("none.atlas.h5", &m.atlas, true, &err), err);
    CHECK_OK(gm_atlas_open(&a, "none.atlas.h5", &err), err);
    gm_atlas_close(a);
}

/* What an atlas need not say is written as not known. */
static void what_is_not_known_is_said_so(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    made_init(&m);
    m.atlas.n_scripts = m.atlas.n_nodes = m.atlas.n_languages = 0;
    m.atlas.language = NULL;
    m.atlas.script = NULL, m.atlas.first = NULL, m.atlas.node = NULL, m.atlas.lambda = NULL;
    m.atlas.name = NULL, m.atlas.seed_jaccard = NULL, m.atlas.representative = NULL;
    m.atlas.trace_layer = NULL;
    CHECK_OK(gm_atlas_write("unknown.atlas.h5", &m.atlas, true, &err), err);
    CHECK_OK(gm_atlas_open(&a, "unknown.atlas.h5", &err), err);
    if (a == NULL) return;
    CHECK_INT(a->n_nodes, 0);
    CHECK_INT(a->n_trace_layers, L);
    CHECK(a->trace_layer[1] == 3);
    CHECK_INT(a->script[1], 0);
    CHECK_INT(a->language[1], 0);
    CHECK_INT(a->first[0], GM_ATLAS_NONE);
    CHECK_INT(a->node[5], GM_ATLAS_NONE);
    CHECK(isnan(a->lambda[0]) && isnan(a->seed_jaccard[1]));
    CHECK_INT(a->representative[GM_N_EXAMPLES], GM_ATLAS_NONE);
    CHECK_TEXT(a->name[1], "");
    gm_atlas_close(a);
}

/* tests/golden/atlas/schema1.atlas.h5 was written before schema 2, from the same sample. */
static void a_file_of_schema_1_is_read(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    made_init(&m);
    CHECK_OK(gm_atlas_open(&a, TEST_DATA "/golden/atlas/schema1.atlas.h5", &err), err);
    if (a == NULL) return;
    SAME(xy, 2 * N);
    SAME(tree_distance, N - 1);
    CHECK_INT(a->n_nodes, 0);
    CHECK_INT(a->n_scripts, 0);
    CHECK_INT(a->first[3], GM_ATLAS_NONE);
    CHECK(isnan(a->validity[1]) && isnan(a->lambda[N - 1]));
    CHECK_INT(a->outlying[0], GM_ATLAS_NONE);
    CHECK_TEXT(a->name[0], "");
    CHECK_TEXT(a->config_digest, "");
    gm_atlas_close(a);
}

/* tests/golden/atlas/schema2.atlas.h5 was written before schema 3, from the same sample. */
static void a_file_of_schema_2_is_read(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    made_init(&m);
    CHECK_OK(gm_atlas_open(&a, TEST_DATA "/golden/atlas/schema2.atlas.h5", &err), err);
    if (a == NULL) return;
    SAME(xy, 2 * N);
    SAME(node_birth, NODES);
    CHECK_TEXT(a->name[1], "Ships");
    CHECK_INT(a->cluster_dim, 2);
    gm_atlas_close(a);
}

/* tests/golden/atlas/schema3.atlas.h5 was written before schema 4, from the same sample. */
static void a_file_of_schema_3_is_read(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    made_init(&m);
    CHECK_OK(gm_atlas_open(&a, TEST_DATA "/golden/atlas/schema3.atlas.h5", &err), err);
    if (a == NULL) return;
    SAME(script, N);
    CHECK_INT(a->cluster_dim, 2);
    CHECK(a->n_trace_layers == L && a->trace_layer[L - 1] == 3);
    CHECK_INT(a->n_languages, 0);
    CHECK_INT(a->language[N - 1], 0);
    gm_atlas_close(a);
}

static void clusters_of_more_dimensions_come_back(void)
{
    gm_error err = {0};
    gm_atlas *a = NULL;
    float space[3 * N];
    made_init(&m);
    made_fill(space, (size_t)3 * N);
    m.atlas.space = space, m.atlas.cluster_dim = 3;
    CHECK_OK(gm_atlas_write("space.atlas.h5", &m.atlas, true, &err), err);
    CHECK_OK(gm_atlas_open(&a, "space.atlas.h5", &err), err);
    if (a == NULL) return;
    CHECK_INT(a->cluster_dim, 3);
    SAME(space, 3 * N);
    CHECK_TEXT(a->digest, m.atlas.digest);
    gm_atlas_close(a);
    space[7] = NAN;
    CHECK_OK(gm_atlas_write("space.atlas.h5", &m.atlas, true, &err), err);
    CHECK_FAILS(gm_atlas_open(&a, "space.atlas.h5", &err), err, GM_EFORMAT,
                "'/samples/space' of document 2 is not finite");
    m.atlas.space = NULL;
    CHECK_FAILS(gm_atlas_write("space.atlas.h5", &m.atlas, true, &err), err, GM_EARG,
                "the atlas has no '/samples/space'");
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
    made_init(&m), m.cluster[2] = C, refuses("document 2 is in cluster 2, but there are only 2");
    made_init(&m), m.cluster[2] = -2, refuses("document 2 is in cluster -2, but there are only 2");
    made_init(&m), m.subset[4] = S, refuses("document 4 is in subset 2, but there are only 2");
    made_init(&m), m.xy[3] = NAN, refuses("the map position of document 1");
    made_init(&m), m.outlier[5] = 1.5f, refuses("document 5 has an outlier score");
    made_init(&m), m.usage[1] = NAN, refuses("'/clusters/usage'");
    made_init(&m), m.indices[1] = N, refuses("edge 1 leads to document 6, but there are only 6");
    made_init(&m), m.indptr[1] = 3, m.indptr[2] = 1, refuses("decreases at index 1");
    made_init(&m), m.weight[2] = 1.5f, refuses("'/graph/weight' is 1.5 at index 2");
    made_init(&m), m.left[0] = N, refuses("row 0 of '/tree'");
    made_init(&m), m.left[2] = m.right[2], refuses("row 2 of '/tree'");
    made_init(&m), m.tree_size[3] = 6, refuses("'/tree/size' is 6 at row 3, expected 5");
    made_init(&m), m.distance[3] = 1,
                   refuses("'/tree/distance' is 1 at row 3, expected at least 2");
    made_init(&m), m.distance[4] = INFINITY, refuses("'/tree/distance' is inf");
    made_init(&m), m.size[1] = 3, refuses("cluster 1 has 2 documents, but '/clusters/size' says 3");
    made_init(&m), m.subset_count[1] = 0, refuses("'/clusters/subset_count' of cluster 0");
    made_init(&m), m.important[0] = 2,
                   refuses("'/clusters/important' is 2 at index 0, expected 0 or 1");
    made_init(&m), m.lift[0] = -1,
                   refuses("'/clusters/lift' is -1 at index 0, expected a finite number from 0");
    made_init(&m), m.stability[1] = NAN, refuses("'/clusters/stability' is nan at cluster 1");
    made_init(&m), m.stability[0] = 1.5f, refuses("'/clusters/stability' is 1.5 at cluster 0");
    made_init(&m), m.atlas.provenance = "[]", refuses("'provenance' is not a JSON object");
    made_init(&m), m.atlas.provenance = "{\"a\":", refuses("'provenance' is not a JSON object");
    made_init(&m), m.layers[1] = 1, refuses("'/layer'");
    made_init(&m), m.trace_layers[1] = 1, refuses("'/trace_layer' does not ascend at index 1");
    made_init(&m), m.trace_layers[2] = 4, refuses("layer 3 of '/layer' is not in '/trace_layer'");
    made_init(&m), m.script[1] = SCRIPTS,
                   refuses("document 1 is in script 2, but there are only 2");
    made_init(&m), m.language[3] = LANGUAGES,
                   refuses("document 3 is in language 3, but there are only 3");
    made_init(&m), m.first[4] = N, refuses("'/samples/first' is 6 at document 4");
    made_init(&m), m.first[4] = 3, refuses("'/samples/first' is 3 at document 4");
    made_init(&m), m.node[0] = NODES, refuses("document 0 is in node 3, but there are only 3");
    made_init(&m),
        m.lambda[2] = NAN,
        refuses("'/samples/lambda' is nan at document 2, expected a finite number from 0");
    made_init(&m), m.node[2] = GM_ATLAS_NONE, refuses("document 2 has only one of");
    made_init(&m), m.half_jaccard[1] = 1.5f, refuses("a quality measure of cluster 1");
    made_init(&m), m.coherence[0] = -2, refuses("a quality measure of cluster 0");
    made_init(&m), m.outlying[0] = 2, refuses("document 2 is an example of cluster 0");
    made_init(&m), m.representative[1] = N, refuses("document 6 is an example of cluster 0");
    made_init(&m), m.node_parent[1] = 1,
                   refuses("node 1 of '/condensed' has parent 1, expected an earlier node");
    made_init(&m), m.node_parent[0] = 1,
                   refuses("node 0 of '/condensed' has parent 1, expected an earlier node");
    made_init(&m),
        m.node_birth[2] = INFINITY,
        refuses(
            "'/condensed/birth' is inf at node 2, expected a finite number not below its parent's");
    made_init(&m), m.node_size[1] = 6,
                   refuses("'/condensed/size' is 6 at node 1, expected at most its parent's");
    made_init(&m), m.node_cluster[2] = C, refuses("node 2 is cluster 2, but there are only 2");
}

static void notes_must_be_objects(void)
{
    gm_error err = {0};
    made_init(&m), m.atlas.quality = "[]";
    CHECK_FAILS(gm_atlas_write("notes.atlas.h5", &m.atlas, true, &err), err, GM_EARG,
                "'/quality' is not a JSON object");
    made_init(&m), m.atlas.parameters = "{";
    CHECK_FAILS(gm_atlas_write("notes.atlas.h5", &m.atlas, true, &err), err, GM_EFORMAT,
                "/parameters");
    made_init(&m), m.atlas.usage = NULL;
    CHECK_FAILS(gm_atlas_write("notes.atlas.h5", &m.atlas, true, &err), err, GM_EARG,
                "the atlas has no '/clusters/usage'");
    FILE *left = fopen("notes.atlas.h5", "rb");
    CHECK(left == NULL);
}

static void an_existing_file_stays(void)
{
    gm_error err = {0};
    made_init(&m);
    CHECK_OK(gm_atlas_write("kept.atlas.h5", &m.atlas, true, &err), err);
    m.xy[0] = 0.5f;
    CHECK_FAILS(gm_atlas_write("kept.atlas.h5", &m.atlas, false, &err), err, GM_EEXIST, "exists");
}

static gm_status write_and_open(void *state, gm_error *err)
{
    made_atlas *one = state;
    gm_atlas *a = NULL;
    gm_status status = gm_atlas_write("fault.atlas.h5", &one->atlas, true, err);
    if (status == GM_OK) status = gm_atlas_open(&a, "fault.atlas.h5", err);
    gm_atlas_close(a);
    return status;
}

static void survives_every_allocation_failure(void)
{
    made_init(&m);
    check_every_allocation(write_and_open, &m);
}

TESTS(TEST(comes_back_as_written), TEST(no_clusters_is_an_atlas),
      TEST(what_is_not_known_is_said_so), TEST(a_file_of_schema_1_is_read),
      TEST(a_file_of_schema_2_is_read), TEST(a_file_of_schema_3_is_read),
      TEST(clusters_of_more_dimensions_come_back), TEST(values_out_of_range_are_refused),
      TEST(notes_must_be_objects), TEST(an_existing_file_stays),
      TEST(survives_every_allocation_failure))
