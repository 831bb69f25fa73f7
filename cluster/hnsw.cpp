/* hnsw.cpp - hnswlib behind C functions. See hnsw.h.
 *
 * What the index stores of a point is its number; distances are measured where the points are.
 */
#include "cluster/hnsw.h"

#include <exception>

#define NO_MANUAL_VECTORIZATION /* of distances that are not used */
#include <hnswlib/hnswlib.h>

struct gm_hnsw : hnswlib::SpaceInterface<float> {
    gm_hnsw_distance *distance;
    const void *points;
    hnswlib::HierarchicalNSW<float> *graph = nullptr;

    gm_hnsw(gm_hnsw_distance *measure, const void *space) : distance(measure), points(space)
    {
    }
    gm_hnsw(const gm_hnsw &) = delete;
    gm_hnsw &operator=(const gm_hnsw &) = delete;
    ~gm_hnsw()
    {
        delete graph;
    }

    static float measure(const void *a, const void *b, const void *self)
    {
        const gm_hnsw *index = static_cast<const gm_hnsw *>(self);
        return index->distance(index->points, *static_cast<const uint32_t *>(a),
                               *static_cast<const uint32_t *>(b));
    }
    size_t get_data_size() override
    {
        return sizeof(uint32_t);
    }
    hnswlib::DISTFUNC<float> get_dist_func() override
    {
        return measure;
    }
    void *get_dist_func_param() override
    {
        return this;
    }
};

bool gm_hnsw_is_there(void)
{
    return true;
}

gm_hnsw *gm_hnsw_create(size_t n, gm_hnsw_distance *distance, const void *space, size_t links,
                        size_t effort)
{
    enum { SEED = 100 }; /* of the levels */
    gm_hnsw *index = nullptr;
    try {
        index = new gm_hnsw(distance, space);
        index->graph = new hnswlib::HierarchicalNSW<float>(index, n, links, effort, SEED);
        index->graph->setEf(effort);
        return index;
    } catch (const std::exception &) {
        delete index;
        return nullptr;
    }
}

void gm_hnsw_free(gm_hnsw *index)
{
    delete index;
}

bool gm_hnsw_add(gm_hnsw *index, uint32_t i)
{
    try {
        index->graph->addPoint(&i, i);
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

size_t gm_hnsw_search(const gm_hnsw *index, uint32_t i, size_t most, uint32_t *found)
{
    try {
        auto near = index->graph->searchKnn(&i, most);
        size_t n = 0;
        for (; !near.empty(); near.pop()) found[n++] = static_cast<uint32_t>(near.top().second);
        return n;
    } catch (const std::exception &) {
        return 0;
    }
}
