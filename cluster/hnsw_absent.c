/* hnsw_absent.c - in place of hnsw.cpp where there is no C++ compiler or no hnswlib. */
#include "cluster/hnsw.h"

bool gm_hnsw_is_there(void)
{
    return false;
}

gm_hnsw *gm_hnsw_create(size_t n, gm_hnsw_distance *distance, const void *space, size_t links,
                        size_t effort)
{
    (void)n, (void)distance, (void)space, (void)links, (void)effort;
    return NULL;
}

void gm_hnsw_free(gm_hnsw *index)
{
    (void)index;
}

bool gm_hnsw_add(gm_hnsw *index, uint32_t i)
{
    (void)index, (void)i;
    return false;
}

size_t gm_hnsw_search(const gm_hnsw *index, uint32_t i, size_t most, uint32_t *found)
{
    (void)index, (void)i, (void)most, (void)found;
    return 0;
}
