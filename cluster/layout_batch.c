/* layout_batch.c - the descent that threads do not change.
 *
 * An epoch is GROUPS rounds; round g moves the points of group g all at once. Each starts
 * from where it is, goes through its own edges that are due and their random points one
 * after another, and sees all others where they were when the round began: what it reads,
 * no thread writes. In the serial descent a pair pulls i twice an epoch, as (i,j) and as
 * (j,i); so here. With one group for all (a Jacobi epoch) clusters break up more than in the
 * serial descent, with 16 they do not (digits of scikit-learn: ARI .83 against .90 and .90).
 *
 * The seed shuffles the points; `order` names the point at each place. Groups are runs of
 * places, and a point goes through its neighbours by their places: in the order in which
 * points are numbered, that would be a chance which another seed leaves as it is (NOTES,
 * "What the seed decides").
 */
#include "base/cli.h"
#include "base/rng.h"
#include "base/threads.h"
#include "cluster/layout_steps.h"
#include "cluster/umap.h"

#include <math.h>
#include <string.h>

enum {
    GROUPS = 16,
    BLOCK = 2048,           /* most points of a group that one thread takes at a time, */
    FEW = 64,               /* and fewest: where some have many edges, others go on meanwhile */
    STEPS_PER_CHECK = 8,    /* steps of the lanes between two looks at which have arrived */
    SERIAL_POINTS = 2000,   /* up to here one thread is faster than several */
    MAX_PLACES = INT32_MAX, /* points by dimensions, which lanes number in 32 bits */
    EVERY = 32              /* epochs between two looks at which is faster */
};
static const float NEVER = 1e-9f;       /* visits an epoch, of what fills a list of edges up */
static const size_t FAR_APART = 100000; /* from so many points on places are fetched ahead */

typedef struct descent {
    const gm_layout_job *job;
    size_t dim;             /* d */
    float *at;              /* (N,d) where the points are; the caller's */
    float *moved;           /* (N / GROUPS + 1, d) where those of the running group go */
    uint32_t *order;        /* (N) the point at each place */
    uint32_t *to;           /* edges, place by place, those of each point filled up to a
                             * multiple of GM_EDGES: where to, */
    float *rate;            /* and visits an epoch, in (0,1] */
    uint64_t *start;        /* (N+1) where those of each place begin */
    float heaviest;         /* membership of the edges of rate 1 */
    bool dense;             /* densMAP acts in the running epoch */
    gm_layout_step **steps; /* (threads) room for the steps of a block, */
    float **inverse;        /* for 1/membership of each where densMAP may act, */
    gm_step_room *room;     /* (threads) and for the steps of a point */
    gm_rng rng;
    gm_forces forces;
    int epoch;
} descent;

/* ---- which steps a point takes ---- */

/* Write the steps of the point at a place; returns how many. */
static size_t list_steps(const descent *d, size_t place, const gm_step_room *room,
                         gm_layout_step *to)
{
    const uint32_t i = d->order[place];
    const size_t n_points = d->job->graph->n;
    const uint64_t first = d->start[place];
    const gm_edge_list edges = {d->start[place + 1] - first, d->to + first, d->rate + first};
    const gm_step_plan plan = {d->epoch, d->job->negative_rate, n_points, d->job->isa};
    uint32_t words[4];
    gm_rng_at(&d->rng, i, (uint32_t)d->epoch, words);
    size_t n = gm_steps_list(to, room, &plan, &edges, i, (uint64_t)words[0] << 32 | words[1]);
    for (size_t s = 0; n_points >= FAR_APART && s < n; s++)
        __builtin_prefetch(d->at + (size_t)(to[s] >> 1) * d->dim);
    return n;
}

/* Beside the n steps that were just listed: 1/membership of those that pull. */
static void list_inverse(const descent *d, size_t place, const gm_step_room *room, size_t n,
                         float *inverse)
{
    const float *rate = d->rate + d->start[place];
    for (size_t s = 0, due = 0; s < n; due++) {
        const uint32_t e = room->due[due];
        inverse[s] = inverse[s + 1] = 1 / (rate[e] * d->heaviest);
        s += 2 + (size_t)room->draws[e];
    }
}

/* ---- moving ---- */

/* A point of the running group, and its steps. */
typedef struct mover {
    uint32_t place, row; /* row: of d->moved, the number in its group */
    int32_t first, n_steps;
} mover;

/* Those with most to do first, roughly: a lane that starts late with a long way to go would keep
 * all others waiting. */
static void sort_movers(mover *sorted, const mover *list, size_t n)
{
    enum { CLASSES = 32, OF_STEPS = 16 };
    size_t begin[CLASSES + 1] = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t m = 0; m < n; m++) {
            int class = list[m].n_steps / OF_STEPS;
            size_t at = CLASSES - 1 - (size_t)(class < CLASSES ? class : CLASSES - 1);
            if (pass == 0)
                begin[at + 1]++;
            else
                sorted[begin[at]++] = list[m];
        }
        for (size_t c = 0; c < CLASSES && pass == 0; c++) begin[c + 1] += begin[c];
    }
}

/* Let the lane whose mover (NULL: none yet) has arrived set it down and take the next one. */
static const mover *change_lane(const descent *d, gm_lanes *lanes, size_t l, const mover *arrived,
                                const mover *next)
{
    const size_t dim = d->dim;
    for (size_t c = 0; arrived && c < dim; c++) d->moved[arrived->row * dim + c] = lanes->at[c][l];
    if (next == NULL) return NULL;
    const size_t i = d->order[next->place];
    for (size_t c = 0; c < dim; c++) lanes->at[c][l] = d->at[i * dim + c];
    for (size_t c = 0; d->dense && c < 2; c++) lanes->term[c][l] = d->forces.term[2 * i + c];
    lanes->next[l] = next->first;
    lanes->left[l] = next->n_steps;
    return next;
}

/* Fetch the places of the steps after those that are taken next. */
static void fetch_ahead(const descent *d, const gm_lanes *lanes, const gm_layout_step *step)
{
    for (size_t l = 0; l < GM_LANES; l++)
        for (int s = STEPS_PER_CHECK; s < 2 * STEPS_PER_CHECK && s < lanes->left[l]; s++)
            __builtin_prefetch(d->at + (size_t)(step[lanes->next[l] + s] >> 1) * d->dim);
}

static void move_all(const descent *d, const gm_layout_step *step, const float *inverse,
                     const mover *list, size_t n)
{
    const bool far = d->job->graph->n >= FAR_APART;
    gm_lanes lanes = {0};
    const mover *in[GM_LANES] = {NULL};
    size_t taken = 0, arrived = 0;
    for (;;) {
        for (size_t l = 0; l < GM_LANES; l++) {
            if (lanes.left[l] > 0) continue;
            arrived += in[l] != NULL;
            in[l] = change_lane(d, &lanes, l, in[l], taken < n ? &list[taken++] : NULL);
        }
        if (arrived == n) return;
        if (far) fetch_ahead(d, &lanes, step);
        gm_lanes_move(&lanes, STEPS_PER_CHECK, step, inverse, d->at, (int)d->dim, &d->forces,
                      d->job->isa);
    }
}

static size_t group_begin(size_t n_points, size_t group)
{
    return n_points * group / GROUPS;
}

/* The points at the places [first, first + n), n <= BLOCK, of a group whose places begin at
 * `begin`. */
static void move_block(const descent *d, size_t begin, size_t first, size_t n)
{
    gm_layout_step *step = d->steps[gm_thread_number()];
    const gm_step_room *room = &d->room[gm_thread_number()];
    float *inverse = d->dense ? d->inverse[gm_thread_number()] : NULL;
    mover list[BLOCK], sorted[BLOCK];
    size_t n_steps = 0;
    for (size_t m = 0; m < n; m++) {
        const size_t place = first + m, count = list_steps(d, place, room, step + n_steps);
        if (inverse) list_inverse(d, place, room, count, inverse + n_steps);
        list[m] =
            (mover){(uint32_t)place, (uint32_t)(place - begin), (int32_t)n_steps, (int32_t)count};
        n_steps += count;
    }
    sort_movers(sorted, list, n);
    move_all(d, step, inverse, sorted, n);
}

/* Points that a thread takes at a time; it changes no bit. */
static size_t block_size(size_t count, size_t n_threads)
{
    const size_t share = (count + n_threads - 1) / n_threads;
    return share < FEW ? FEW : share < BLOCK ? share : BLOCK;
}

/* Every group in turn; each sees where the one before it went. */
static void move_groups(const descent *d, bool alone)
{
    const size_t n = d->job->graph->n;
    (void)alone; /* of no use to a build without OpenMP */
#pragma omp parallel if (!alone)
    for (size_t group = 0; group < GROUPS; group++) {
        const size_t begin = group_begin(n, group), end = group_begin(n, group + 1);
        const size_t block = block_size(end - begin, gm_thread_count());
#pragma omp for schedule(dynamic, 1)
        for (size_t place = begin; place < end; place += block)
            move_block(d, begin, place, end - place < block ? end - place : block);
#pragma omp for schedule(static)
        for (size_t place = begin; place < end; place++)
            memcpy(d->at + d->order[place] * d->dim, d->moved + (place - begin) * d->dim,
                   d->dim * sizeof *d->at);
    }
}

/* Whether one thread is to do an epoch. Where others want the processors too, threads that wait
 * for each other 2 GROUPS times an epoch are slower than one alone; so both ways are timed now
 * and then, and the faster is taken. It changes no bit. */
typedef struct pace {
    double alone_s, together_s; /* of the last epoch timed */
} pace;

static bool go_alone(const pace *p, size_t n, int epoch)
{
    if (n <= SERIAL_POINTS || epoch % EVERY == 1) return true;
    return epoch % EVERY == 2 ? false : p->alone_s <= p->together_s;
}

static void run_epoch(const descent *d, pace *p)
{
    const bool alone = go_alone(p, d->job->graph->n, d->epoch);
    double start = gm_now();
    move_groups(d, alone);
    *(alone ? &p->alone_s : &p->together_s) = gm_now() - start;
}

/* ---- room ---- */

/* The most edges that a point has, and a block can have. */
typedef struct most_edges {
    uint64_t of_point, of_block;
} most_edges;

static uint64_t filled_up(uint64_t n_edges)
{
    return (n_edges + GM_EDGES - 1) / GM_EDGES * GM_EDGES;
}

/* Who is at which place, and where the edges of each place go. */
static void order_points(descent *d)
{
    const gm_graph *graph = d->job->graph;
    gm_rng rng = gm_rng_make(d->job->seed, 0x6f726465); /* "orde" */
    for (size_t i = 0; i < graph->n; i++) d->order[i] = (uint32_t)i;
    gm_rng_shuffle(&rng, d->order, graph->n);
    for (size_t place = 0; place < graph->n; place++) {
        const uint64_t *own = graph->indptr + d->order[place];
        d->start[place + 1] = d->start[place] + filled_up(own[1] - own[0]);
    }
}

/* Each point in turn enters the lists of its neighbours, which so come out ordered by place: the
 * graph is symmetric. */
static bool order_edges(descent *d)
{
    const gm_graph *graph = d->job->graph;
    uint64_t *end = gm_alloc(graph->n, sizeof *end); /* of the list of each point so far */
    if (end == NULL) return false;
    for (size_t place = 0; place < graph->n; place++) end[d->order[place]] = d->start[place];
    for (size_t place = 0; place < graph->n; place++) {
        const uint32_t i = d->order[place];
        for (uint64_t e = graph->indptr[i]; e < graph->indptr[i + 1]; e++) {
            const uint64_t to = end[graph->index[e]]++;
            d->to[to] = i;
            d->rate[to] = graph->weight[e] / d->heaviest;
        }
    }
    for (size_t place = 0; place < graph->n; place++)
        for (uint64_t e = end[d->order[place]]; e < d->start[place + 1]; e++) d->rate[e] = NEVER;
    gm_free(end);
    return true;
}

/* Wherever a block begins. */
static most_edges count_most(const descent *d)
{
    const size_t n = d->job->graph->n;
    most_edges most = {0};
    for (size_t place = 0; place < n; place++) {
        const size_t end = n - place < BLOCK ? n : place + BLOCK;
        const uint64_t own = d->start[place + 1] - d->start[place];
        const uint64_t together = d->start[end] - d->start[place];
        most.of_point = own > most.of_point ? own : most.of_point;
        most.of_block = together > most.of_block ? together : most.of_block;
    }
    return most;
}

/* Room for what a thread works with. */
static bool make_thread_room(descent *d, size_t t, most_edges most)
{
    gm_step_room *room = &d->room[t];
    const int draws = d->job->negative_rate;
    d->steps[t] = gm_alloc(gm_steps_max(most.of_block, draws), sizeof *d->steps[t]);
    room->draws = gm_alloc(most.of_point, sizeof *room->draws);
    room->due = gm_alloc(most.of_point + GM_EDGES, sizeof *room->due);
    room->random = gm_alloc(gm_steps_max(most.of_point, draws), sizeof *room->random);
    if (d->job->density)
        d->inverse[t] = gm_alloc(gm_steps_max(most.of_block, draws), sizeof *d->inverse[t]);
    return d->steps[t] && room->draws && room->due && room->random &&
           (d->inverse[t] || !d->job->density);
}

static gm_status make_room(descent *d, size_t n_threads, gm_error *err)
{
    const gm_graph *graph = d->job->graph;
    const size_t n = graph->n;
    d->order = gm_alloc(n, sizeof *d->order);
    d->start = gm_alloc(n + 1, sizeof *d->start);
    if (d->order && d->start) {
        order_points(d);
        d->to = gm_alloc(d->start[n], sizeof *d->to);
        d->rate = gm_alloc(d->start[n], sizeof *d->rate);
    }
    d->moved = gm_alloc2(n / GROUPS + 1, d->dim, sizeof *d->moved);
    d->steps = gm_alloc(n_threads, sizeof *d->steps);
    d->inverse = gm_alloc(n_threads, sizeof *d->inverse);
    d->room = gm_alloc(n_threads, sizeof *d->room);
    bool all = d->to && d->rate && d->moved && d->steps && d->inverse && d->room && order_edges(d);
    const most_edges most = all ? count_most(d) : (most_edges){0};
    for (size_t t = 0; all && t < n_threads; t++) all = make_thread_room(d, t, most);
    return all ? GM_OK : gm_fail(err, GM_EMEM, "no memory for the layout of %zu points", n);
}

static void clear_room(descent *d, size_t n_threads)
{
    for (size_t t = 0; d->steps && d->inverse && d->room && t < n_threads; t++) {
        gm_free(d->steps[t]);
        gm_free(d->inverse[t]);
        gm_free(d->room[t].draws);
        gm_free(d->room[t].due);
        gm_free(d->room[t].random);
    }
    gm_free(d->room);
    gm_free(d->inverse);
    gm_free(d->steps);
    gm_free(d->to);
    gm_free(d->rate);
    gm_free(d->start);
    gm_free(d->order);
    gm_free(d->moved);
}

static void begin_epoch(descent *d)
{
    const gm_layout_job *job = d->job;
    d->dense = gm_density_acts(job->density, d->epoch + 1, job->n_epochs);
    if (!d->dense) return;
    gm_density_measure(job->density, d->at, job->dim, job->graph);
    d->forces.term = job->density->term;
    d->forces.scale = (float)job->density->scale;
}

gm_status gm_layout_batch(float *xy, const gm_layout_job *job, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = job->graph->n, n_threads = gm_max_threads();
    pace p = {0};
    descent d = {.job = job,
                 .dim = (size_t)job->dim,
                 .at = xy,
                 .heaviest = gm_graph_max_weight(job->graph),
                 .rng = gm_rng_make(job->seed, 0x6c61796f), /* "layo" */
                 .forces = {.a = (float)job->a,
                            .b = (float)job->b,
                            .repulsion = (float)job->repulsion,
                            .alpha = (float)job->learning_rate}};
    if (n > (size_t)(MAX_PLACES / job->dim))
        GM_FAIL(GM_EARG, "the layout has %zu points in %d dimensions, expected at most %d points",
                n, job->dim, MAX_PLACES / job->dim);
    GM_TRY(make_room(&d, n_threads, err));

    for (d.epoch = 1; d.epoch < job->n_epochs; d.epoch++) {
        begin_epoch(&d);
        run_epoch(&d, &p);
        d.forces.alpha = (float)(job->learning_rate * (1 - (double)d.epoch / job->n_epochs));
        if (job->progress) gm_progress_set(job->progress, d.epoch + 1);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted during the layout");
    }
out:
    clear_room(&d, n_threads);
    return status;
}
