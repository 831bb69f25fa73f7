/* fuzz_atlas.c - hostile atlases: what is let through can be shown without harm.
 *
 * The first byte of an input chooses. 4: the rest is the text of /parameters, of which a map of
 * a part of a trace is told. Otherwise, modulo 4, 0: the rest overwrites the arrays of a small
 * atlas, place (two bytes) and value (one byte), before it is written, so that HDF5 and the digest
 * are content and only the values are wrong. 1: it overwrites bytes of the written file, place
 * (three bytes) and value. 2, 3: edits of it through HDF5 (h5_edits.h).
 */
#include "base/text.h"
#include "cluster/atlas_selection.h"
#include "cluster/recut.h"
#include "cluster/summary.h"
#include "formats/atlas.h"
#include "tests/atlas_sample.h"
#include "tests/fuzz/h5_edits.h"

#include <hdf5.h>

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void patch_values(made_atlas *m, const uint8_t *bytes, size_t n)
{
    /* Everything between the atlas itself and the pointers at the end is numbers. */
    char *from = (char *)m->layers, *end = (char *)m->id;
    for (size_t i = 0; i + 3 <= n; i += 3)
        from[((size_t)bytes[i] << 8 | bytes[i + 1]) % (size_t)(end - from)] = (char)bytes[i + 2];
}

/* The valid file, made once. */
static h5_base *valid_atlas(void)
{
    static made_atlas m;
    static h5_base base;
    if (base.file.at) return &base;
    made_init(&m);
    if (gm_atlas_write("fuzz.atlas.h5", &m.atlas, true, NULL) != GM_OK ||
        gm_text_read_file(&base.file, "fuzz.atlas.h5", 1 << 24, NULL) != GM_OK)
        abort();
    return &base;
}

/* Cut the tree again, where there is one: whatever the file says, labels are in range. */
static void cut(const gm_atlas *atlas)
{
    const gm_recut how = {.cut = true, .target_clusters = 2};
    gm_hdbscan_options options = {.min_cluster_size = 2, .min_samples = 1};
    gm_atlas_points points;
    gm_clustering clustering;
    size_t n_found;
    if (gm_from_atlas_points(&points, atlas, NULL) != GM_OK) return;
    if (gm_recut_cluster(&clustering, &points, atlas, &how, &options, &n_found, NULL) == GM_OK)
        for (size_t p = 0; p < points.m; p++)
            if (clustering.label[p] >= (int64_t)clustering.n_clusters) abort();
    gm_clustering_clear(&clustering);
    gm_atlas_points_clear(&points);
}

/* The sentence about its part is one line, or there is one about what is wrong. */
static void say_part(const gm_atlas *atlas)
{
    gm_error err = {0};
    gm_text text = {0};
    const gm_status status = gm_atlas_selection_describe(&text, atlas, &err);
    if ((status == GM_OK) != (err.text[0] == '\0')) abort();
    if (status == GM_OK && text.n > 0 && text.at[text.n - 1] != '.') abort();
    gm_text_clear(&text);
}

/* An atlas whose /parameters are these bytes. */
static void say_part_of(const uint8_t *bytes, size_t n)
{
    static made_atlas m;
    made_init(&m);
    char *text = gm_copy_text((const char *)bytes, n);
    if (text == NULL) abort();
    m.atlas.parameters = text;
    say_part(&m.atlas);
    gm_free(text);
}

/* What the programs do with an atlas: every number in it is used as an index or a size. */
static void use(const gm_atlas *atlas)
{
    size_t members = gm_atlas_n_noise(atlas);
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        gm_top_expert top[5];
        char title[64];
        double purity;
        size_t n = gm_cluster_top_experts(atlas, c, top, 5);
        for (size_t i = 0; i < n; i++)
            if (atlas->layer_of_moe[top[i].moe_layer] < 0 || !(top[i].lift >= 0)) abort();
        int subset = gm_cluster_main_subset(atlas, c, &purity);
        if (subset >= (int)atlas->n_subsets || (subset >= 0 && !(purity <= 1))) abort();
        gm_cluster_title(atlas, c, GM_N_KEYWORDS, title, sizeof title);
        members += atlas->size[c];
    }
    if (members != atlas->n) abort();
    for (size_t i = 0; i < atlas->n; i++)
        if (atlas->node[i] != GM_ATLAS_NONE && atlas->node_parent[atlas->node[i]] >= atlas->n_nodes)
            abort();
    cut(atlas);
    say_part(atlas);
    for (size_t i = 0; i + 1 < atlas->n; i++)
        if (!isfinite(atlas->tree_distance[i]) || atlas->tree_size[i] > atlas->n) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static made_atlas m;
    gm_error err = {0};
    gm_atlas *atlas = NULL;
    if (n == 0) return 0;
    h5_base *valid = valid_atlas();
    const long before = gm_alloc_live();
    if (bytes[0] == 4) {
        say_part_of(bytes + 1, n - 1);
        if (gm_alloc_live() != before) abort();
        return 0;
    }
    if (bytes[0] & 2) {
        edit_file("fuzz.patched.h5", valid, bytes + 1, n - 1);
    } else if (bytes[0] & 1) {
        patch_file("fuzz.patched.h5", &valid_atlas()->file, bytes + 1, n - 1);
    } else {
        made_init(&m);
        patch_values(&m, bytes + 1, n - 1);
        if (gm_atlas_write("fuzz.patched.h5", &m.atlas, true, &err) != GM_OK) abort();
    }
    if (gm_atlas_open(&atlas, "fuzz.patched.h5", &err) == GM_OK)
        use(atlas);
    else if (atlas != NULL || err.text[0] == '\0')
        abort();
    gm_atlas_close(atlas);
    if (gm_alloc_live() != before) abort();
    return 0;
}
