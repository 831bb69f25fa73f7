/* hnsw.h - approximate nearest neighbours by hnswlib, which is C++: what crosses to it.
 *
 * A build without a C++ compiler or without hnswlib has hnsw_absent.c instead, where nothing can be
 * created. No exception crosses.
 *
 * Source: Malkov, Yashunin 2018, arXiv:1603.09320; hnswlib.
 */
#ifndef GM_HNSW_H
#define GM_HNSW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gm_hnsw gm_hnsw;

/* Any measure that grows with the distance of points i and j; called by many threads. */
typedef float gm_hnsw_distance(const void *space, uint32_t i, uint32_t j);

bool gm_hnsw_is_there(void);

/* An index for points 0..n-1, which it refers to by number; `space` is borrowed. `links` of a
 * point, `effort`: candidates looked at, in adding and in searching. NULL without memory, or where
 * there is no hnswlib. */
gm_hnsw *gm_hnsw_create(size_t n, gm_hnsw_distance *distance, const void *space, size_t links,
                        size_t effort);
void gm_hnsw_free(gm_hnsw *index);

/* Add point i. By one thread and in one order the index is always the same. False: no memory. */
bool gm_hnsw_add(gm_hnsw *index, uint32_t i);

/* found (most) written: points near point i, itself as a rule among them, in no particular order;
 * returns how many, 0 without memory. Many threads may search. */
size_t gm_hnsw_search(const gm_hnsw *index, uint32_t i, size_t most, uint32_t *found);

#ifdef __cplusplus
}
#endif

#endif
