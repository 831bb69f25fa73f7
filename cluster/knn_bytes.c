/* knn_bytes.c - all pairs by bytes, the few in doubt in float, the fewest in double.
 *
 * Points go to places where near ones stand together (nearby.h), and blocks of columns follow one
 * another; a pair is multiplied once and offered to both. Rows begin at the block itself and go
 * backwards: so the nearest come first, and little of what is offered later is near enough. Within
 * a block of columns threads share the blocks of rows; a row belongs to the thread that has its
 * block, a column to nobody: what is found for columns is gathered and handed over by one thread at
 * a time.
 */
#include "cluster/knn_bytes.h"

#include "base/cli.h"
#include "cluster/dots.h"
#include "cluster/nearby.h"
#include "cluster/shortlist.h"

#include <math.h>
#include <stdatomic.h>

enum {
    MIN_POINTS = 1024,
    MAX_K = 64,
    GATHERED = 4096,
    AHEAD_ROWS = 2 * GM_BYTES_ROWS, /* two threads take blocks in turn */
    TOGETHER = 64,                  /* places whose lists are decided together */
    GIVEN_UP = 8                    /* not for these points, where a list in so many overflows */
};

typedef struct byte_search {
    const gm_points *points;
    uint32_t *order; /* (N) the point at each place */
    gm_bytes bytes;
    gm_shortlist lists;
    int8_t *packed; /* a block of columns */
    atomic_bool no_memory;
    bool in_vain, interrupted;
} byte_search;

/* What a thread works with. */
typedef struct worker {
    int32_t dot[GM_BYTES_ROWS * GM_BYTES_COLS];
    float limit[GM_BYTES_COLS]; /* of the columns, of a while ago */
    gm_bytes_distances near;    /* of one row */
    size_t n_found;
    struct found {
        float s;
        uint32_t query, index;
    } found[GATHERED];
} worker;

bool gm_knn_bytes_can(const gm_points *points, int k)
{
    return points->isa >= GM_ISA_AMX && points->n >= MIN_POINTS && k > 1 && k <= MAX_K &&
           gm_bytes_can(points);
}

/* ---- proposing ---- */

/* Hand over what was found, and learn what is near enough by now. */
static void hand_over(byte_search *search, worker *w, size_t first)
{
    const size_t n =
        search->bytes.n - first < GM_BYTES_COLS ? search->bytes.n - first : GM_BYTES_COLS;
#pragma omp critical(gm_knn_bytes)
    {
        for (size_t i = 0; i < w->n_found; i++)
            gm_shortlist_offer(&search->lists, w->found[i].query, w->found[i].s, w->found[i].index);
        memcpy(w->limit, search->lists.limit + first, n * sizeof *w->limit);
    }
    w->n_found = 0;
}

static void gather(byte_search *search, worker *w, size_t first, size_t query, float s,
                   size_t index)
{
    w->found[w->n_found++] = (struct found){s, (uint32_t)query, (uint32_t)index};
    if (w->n_found == GATHERED) hand_over(search, w, first);
}

/* Offer the columns that are near enough to place q, and q to those that it is near to. */
static void take_row(byte_search *search, worker *w, size_t first, size_t q)
{
    for (size_t p = 0; p < GM_BYTES_PANELS; p++) {
        const unsigned own = w->near.of_row[p], theirs = w->near.of_col[p];
        for (unsigned any = own | theirs; any != 0; any &= any - 1) {
            const unsigned lane = (unsigned)__builtin_ctz(any);
            const size_t j = p * 16 + lane, other = first + j;
            if (own >> lane & 1) gm_shortlist_add(&search->lists, q, w->near.s[j], other);
            if (theirs >> lane & 1) gather(search, w, first, other, w->near.s[j], q);
        }
    }
}

static void sweep_rows(byte_search *search, worker *w, size_t first, size_t row)
{
    const gm_bytes *b = &search->bytes;
    gm_bytes_block(b, row, search->packed, row < AHEAD_ROWS ? row : row - AHEAD_ROWS, w->dot);
    for (size_t q = row; q < row + GM_BYTES_ROWS; q++) {
        gm_bytes_row(&w->near, b, q, first, w->dot + (q - row) * GM_BYTES_COLS,
                     search->lists.limit[q], w->limit);
        take_row(search, w, first, q);
    }
}

/* Rows that are columns of the same block: each takes all of them, and is offered to none. */
static void begin_rows(byte_search *search, worker *w, size_t first, size_t row)
{
    const gm_bytes *b = &search->bytes;
    const size_t end = b->n - row < GM_BYTES_ROWS ? b->n : row + GM_BYTES_ROWS;
    const size_t n_cols = b->n - first < GM_BYTES_COLS ? b->n - first : GM_BYTES_COLS;
    gm_candidate offered[GM_BYTES_COLS];
    gm_bytes_block(b, row, search->packed, row, w->dot);
    for (size_t q = row; q < end; q++) {
        size_t n = 0;
        gm_bytes_row(&w->near, b, q, first, w->dot + (q - row) * GM_BYTES_COLS, 0, w->limit);
        for (size_t j = 0; j < n_cols; j++)
            if (first + j != q) offered[n++] = gm_candidate_make(w->near.s[j], first + j);
        gm_shortlist_begin(&search->lists, q, offered, n);
    }
}

/* The block of columns at `first` against its own rows and all before; every thread of the team
 * comes here. */
static void sweep_columns(byte_search *search, worker *w, size_t first)
{
    const size_t n = search->bytes.n;
#pragma omp for schedule(static)
    for (size_t p = 0; p < GM_BYTES_PANELS; p++)
        gm_bytes_pack(&search->bytes, first, p, search->packed);
    for (size_t j = 0; j < GM_BYTES_COLS; j++) w->limit[j] = -1; /* of those after the last */
#pragma omp for schedule(dynamic, 1)
    for (size_t row = 0; row < GM_BYTES_COLS; row += GM_BYTES_ROWS)
        if (first + row < n) begin_rows(search, w, first, first + row);
    hand_over(search, w, first);
#pragma omp for schedule(dynamic, 1)
    for (size_t row = 0; row < first; row += GM_BYTES_ROWS)
        sweep_rows(search, w, first, first - GM_BYTES_ROWS - row);
    hand_over(search, w, first);
#pragma omp barrier
}

/* Whether too many lists of the first n places overflowed. */
static bool is_in_vain(const gm_shortlist *lists, size_t n)
{
    size_t n_given_up = 0;
    for (size_t q = 0; q < n; q++) n_given_up += lists->limit[q] < 0;
    return n_given_up * GIVEN_UP > n;
}

/* Offer every point to every other one. */
static gm_status propose(byte_search *search, gm_progress *progress, gm_error *err)
{
    const size_t n = search->bytes.n;
#pragma omp parallel
    {
        worker *w = gm_alloc(1, sizeof *w);
        if (w == NULL) atomic_store(&search->no_memory, true);
#pragma omp barrier
        for (size_t j = 0;
             j < n && !search->in_vain && !search->interrupted && !atomic_load(&search->no_memory);
             j += GM_BYTES_COLS) {
            const size_t end = n - j < GM_BYTES_COLS ? n : j + GM_BYTES_COLS;
            sweep_columns(search, w, j);
#pragma omp single
            {
                double done = (double)end / (double)n;
                search->in_vain = is_in_vain(&search->lists, end);
                search->interrupted = gm_interrupted() != 0;
                if (progress) gm_progress_set(progress, (double)n * done * done);
            }
        }
        gm_free(w);
    }
    if (search->interrupted) return gm_fail(err, GM_EINTERRUPTED, GM_KNN_INTERRUPTED);
    return atomic_load(&search->no_memory) ? gm_fail(err, GM_EMEM, "no memory to find neighbours")
                                           : GM_OK;
}

/* ---- deciding ---- */

/* The lists of some places that follow one another. Their points are gone through once, each
 * against all that list it, so that it is fetched once. */
typedef struct common {
    uint32_t *head;  /* (N) of a chain of entries that name this place, + 1; all 0 between uses */
    uint32_t *named; /* (TOGETHER room) the places that are named */
    uint32_t *next;  /* (TOGETHER room) chains of entries, + 1 */
    double *rough;   /* (TOGETHER room) squared distance of the point of each entry, in float; */
    double *exact;   /* (TOGETHER room) in double, where it may be among the nearest */
    double enough[TOGETHER]; /* of each place: rough ones up to this may be */
} common;

static bool make_common(common *c, const gm_shortlist *lists)
{
    const size_t n = TOGETHER * lists->room;
    c->head = gm_alloc(lists->bytes->n, sizeof *c->head);
    c->named = gm_alloc(n, sizeof *c->named);
    c->next = gm_alloc(n, sizeof *c->next);
    c->rough = gm_alloc(n, sizeof *c->rough);
    c->exact = gm_alloc(n, sizeof *c->exact);
    return c->head && c->named && c->next && c->rough && c->exact;
}

static void clear_common(common *c)
{
    gm_free(c->head);
    gm_free(c->named);
    gm_free(c->next);
    gm_free(c->rough);
    gm_free(c->exact);
}

typedef double measure(const byte_search *search, size_t i, size_t j);

static double in_float(const byte_search *search, size_t i, size_t j)
{
    const gm_points *p = search->points;
    const float *x = p->at + search->order[i] * p->dim, *y = p->at + search->order[j] * p->dim;
    return (double)gm_dots_of(p->isa)->rough(x, y, p->dim);
}

static double in_double(const byte_search *search, size_t i, size_t j)
{
    return gm_points_squared(search->points, search->order[i], search->order[j]);
}

/* value of the entries of the lists of places [first, end), by `how`: of all, or of those that
 * are near enough. */
static void measure_entries(common *c, const byte_search *search, size_t first, size_t end,
                            double *value, bool all, measure *how)
{
    const gm_shortlist *lists = &search->lists;
    const size_t room = lists->room;
    size_t n_named = 0;
    for (size_t q = first; q < end; q++)
        for (size_t i = 0; i < lists->n_listed[q]; i++) {
            const uint32_t other = gm_candidate_index(lists->list[q * room + i]);
            const size_t entry = (q - first) * room + i;
            if (!all && !(c->rough[entry] <= c->enough[q - first])) continue;
            if (c->head[other] == 0) c->named[n_named++] = other;
            c->next[entry] = c->head[other];
            c->head[other] = (uint32_t)entry + 1;
        }
    for (size_t m = 0; m < n_named; m++) {
        const uint32_t other = c->named[m];
        for (uint32_t entry = c->head[other]; entry != 0; entry = c->next[entry - 1])
            value[entry - 1] = how(search, first + (entry - 1) / room, other);
        c->head[other] = 0;
    }
}

/* How far a rough distance may be off, as a share of it: each of its dim/16 + 4 additions of what
 * is never negative, and what is added, by half a unit in the last place. */
static double rough_error(const gm_points *points)
{
    const size_t additions = points->dim / 16 + 8;
    return (double)additions * 0x1p-24;
}

static const double TINY = 1e-30; /* what floats lose where they are next to nothing */

/* Beyond this rough distance none of a list is among the nearest. */
static double find_enough(const byte_search *search, size_t q, const double *rough)
{
    const gm_shortlist *lists = &search->lists;
    gm_neighbour nearest[MAX_K] = {0};
    size_t n = 0;
    for (size_t i = 0; i < lists->n_listed[q]; i++)
        gm_neighbour_insert(nearest, &n, lists->want, (gm_neighbour){rough[i], (uint32_t)i});
    if (n == 0 || n < lists->want) return INFINITY;
    return nearest[n - 1].s * (1 + 3 * rough_error(search->points)) + TINY;
}

/* The nearest others of place q into best, if its list can be shown to hold them. */
static bool decide(const byte_search *search, const common *c, size_t q, size_t first,
                   gm_neighbour *best)
{
    const gm_shortlist *lists = &search->lists;
    const double *rough = c->rough + (q - first) * lists->room;
    const double *exact = c->exact + (q - first) * lists->room;
    const double error = rough_error(search->points);
    double beyond = (double)lists->limit[q] - gm_bytes_slack(&search->bytes, q);
    size_t n = 0;
    if (lists->limit[q] < 0) return false;
    for (size_t i = 0; i < lists->n_listed[q]; i++) {
        const uint32_t other = gm_candidate_index(lists->list[q * lists->room + i]);
        if (rough[i] <= c->enough[q - first])
            gm_neighbour_insert(best, &n, lists->want,
                                (gm_neighbour){exact[i], search->order[other]});
        else
            beyond = fmin(beyond, rough[i] * (1 - error) - TINY / 4);
    }
    return n > 0 && n == lists->want && best[n - 1].s < beyond;
}

static void decide_some(gm_knn *out, byte_search *search, common *c, size_t first, bool *done)
{
    gm_shortlist *lists = &search->lists;
    const size_t n = search->points->n, end = n - first < TOGETHER ? n : first + TOGETHER;
    for (size_t q = first; q < end; q++) gm_shortlist_trim(lists, q);
    measure_entries(c, search, first, end, c->rough, true, in_float);
    for (size_t q = first; q < end; q++)
        c->enough[q - first] = find_enough(search, q, c->rough + (q - first) * lists->room);
    measure_entries(c, search, first, end, c->exact, false, in_double);
    for (size_t q = first; q < end; q++) {
        gm_neighbour best[MAX_K] = {0};
        const uint32_t i = search->order[q];
        done[i] = decide(search, c, q, first, best);
        if (done[i]) gm_knn_write_row(out, i, i, best, search->points->metric);
    }
}

/* Rows that can be certified; done (N) is true of their points. */
static gm_status decide_all(gm_knn *out, byte_search *search, bool *done, gm_error *err)
{
#pragma omp parallel
    {
        common c = {0};
        const bool room = make_common(&c, &search->lists);
        if (!room) atomic_store(&search->no_memory, true);
#pragma omp for schedule(dynamic, 1)
        for (size_t q = 0; q < search->points->n; q += TOGETHER)
            if (room) decide_some(out, search, &c, q, done);
        clear_common(&c);
    }
    return atomic_load(&search->no_memory) ? gm_fail(err, GM_EMEM, "no memory for neighbour lists")
                                           : GM_OK;
}

gm_status gm_knn_by_bytes(gm_knn *out, const gm_points *points, uint32_t *todo, size_t *n_todo,
                          gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n;
    byte_search search = {.points = points, .order = gm_alloc(n, sizeof *search.order)};
    bool *done = gm_alloc(n, sizeof *done);
    *n_todo = 0;
    if (!search.order || !done) GM_FAIL(GM_EMEM, "no memory for neighbour lists");
    GM_TRY(gm_nearby_order(search.order, points, err));
    GM_TRY(gm_bytes_init(&search.bytes, points, search.order, err));
    GM_TRY(gm_shortlist_init(&search.lists, &search.bytes, (size_t)out->k - 1, err));
    search.packed = gm_alloc2(GM_BYTES_COLS, search.bytes.dim, 1);
    if (!search.packed) GM_FAIL(GM_EMEM, "no memory for a block of columns");
    GM_TRY(propose(&search, progress, err));
    if (!search.in_vain) GM_TRY(decide_all(out, &search, done, err));
    for (size_t i = 0; i < n; i++)
        if (!done[i]) todo[(*n_todo)++] = (uint32_t)i;
out:
    gm_shortlist_clear(&search.lists);
    gm_bytes_clear(&search.bytes);
    gm_free(search.packed);
    gm_free(search.order);
    gm_free(done);
    return status;
}
