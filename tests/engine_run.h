/* engine_run.h - for tests: documents through a model in steps of any size, all
 * results gathered in document order. */
#ifndef GM_ENGINE_RUN_H
#define GM_ENGINE_RUN_H

#include "engine/engine.h"
#include "tests/check.h"

/* Documents, one after another. */
typedef struct docs {
    size_t n, n_tokens;
    const uint32_t *token; /* (n_tokens) */
    const size_t *offset;  /* (n + 1) */
} docs;

/* How they are run. */
typedef struct plan {
    int threads;
    size_t step;   /* most tokens of one document in a step */
    bool together; /* the documents share steps; otherwise one after the other */
    bool packed;   /* one after another in steps of `step` rows, as gm-probe packs them */
    size_t piece;  /* steps go through the model layer by layer in pieces of so many rows; 0: not */
    const gm_edit *edit;  /* NULL: none */
    bool norms;           /* of what experts give are recorded */
    gm_expert_sums *sums; /* added to, with norms; NULL: none */
} plan;

/* Everything that came out, rows in document order. */
typedef struct outcome {
    size_t n_layers, n_tokens, n_experts, n_chosen, vocab;
    float *logits, *nll;                  /* (T,V), (T): of the next token */
    uint16_t *expert;                     /* (L,T,K) */
    float *gate, *mass, *margin, *router; /* (L,T,K), (L,T), (L,T), (L,T,E) */
    float *norm;                          /* (L,T,K); zeros unless they are recorded */
    uint8_t *bad;                         /* (T) */
} outcome;

/* The device that tests of whole models run on: GM_TEST_DEVICE, as for --device. */
static inline const char *test_device(void)
{
    return getenv("GM_TEST_DEVICE");
}

static inline gm_model *open_model(const char *folder, gm_numerics numerics, const char *kernels)
{
    gm_model_options options = {
        .numerics = numerics, .kernels = kernels, .threads = 2, .device = test_device()};
    gm_model *model = NULL;
    gm_error err = {0};
    CHECK_OK(gm_model_open(&model, folder, &options, &err), err);
    if (model == NULL) exit(1);
    return model;
}

static inline outcome outcome_create(const gm_model *model, size_t n_tokens)
{
    const gm_model_info *info = gm_model_get_info(model);
    outcome o = {.n_layers = (size_t)info->n_moe_layers,
                 .n_tokens = n_tokens,
                 .n_experts = (size_t)info->n_experts,
                 .n_chosen = (size_t)info->n_chosen,
                 .vocab = (size_t)info->vocab_size};
    size_t rows = o.n_layers * n_tokens;
    o.logits = gm_alloc2(n_tokens, o.vocab, sizeof(float));
    o.nll = gm_alloc(n_tokens, sizeof(float));
    o.expert = gm_alloc2(rows, o.n_chosen, sizeof(uint16_t));
    o.gate = gm_alloc2(rows, o.n_chosen, sizeof(float));
    o.mass = gm_alloc(rows, sizeof(float));
    o.margin = gm_alloc(rows, sizeof(float));
    o.router = gm_alloc2(rows, o.n_experts, sizeof(float));
    o.norm = gm_alloc2(rows, o.n_chosen, sizeof(float));
    o.bad = gm_alloc(n_tokens, 1);
    return o;
}

/* Sums of MoE layers [first, end), zeros. */
static inline gm_expert_sums sums_create(const gm_model *model, int first, int end)
{
    const gm_model_info *info = gm_model_get_info(model);
    const size_t n = (size_t)(end - first) * (size_t)info->n_experts;
    return (gm_expert_sums){.first = first,
                            .end = end,
                            .of = gm_alloc(n, sizeof(gm_expert_sum)),
                            .added = gm_alloc2(n, (size_t)info->width, sizeof(double))};
}

static inline void sums_free(gm_expert_sums *sums)
{
    gm_free(sums->of), gm_free(sums->added);
    *sums = (gm_expert_sums){0};
}

static inline void outcome_free(outcome *o)
{
    gm_free(o->logits), gm_free(o->nll), gm_free(o->expert), gm_free(o->gate);
    gm_free(o->mass), gm_free(o->margin), gm_free(o->router), gm_free(o->norm), gm_free(o->bad);
    *o = (outcome){0};
}

/* Rows [from, from + n) of a step's outcome to rows [to, to + n) of the whole. */
static inline void outcome_move(outcome *all, size_t to, const outcome *step, size_t from, size_t n)
{
    const size_t k = all->n_chosen, e = all->n_experts, v = all->vocab;
    memcpy(all->logits + to * v, step->logits + from * v, n * v * sizeof(float));
    memcpy(all->nll + to, step->nll + from, n * sizeof(float));
    memcpy(all->bad + to, step->bad + from, n);
    for (size_t l = 0; l < all->n_layers; l++) {
        size_t a = l * all->n_tokens + to, b = l * step->n_tokens + from;
        memcpy(all->expert + a * k, step->expert + b * k, n * k * sizeof(uint16_t));
        memcpy(all->gate + a * k, step->gate + b * k, n * k * sizeof(float));
        memcpy(all->norm + a * k, step->norm + b * k, n * k * sizeof(float));
        memcpy(all->mass + a, step->mass + b, n * sizeof(float));
        memcpy(all->margin + a, step->margin + b, n * sizeof(float));
        memcpy(all->router + a * e, step->router + b * e, n * e * sizeof(float));
    }
}

/* The targets of a document: the next token, none after the last. */
static inline void fill_targets(const docs *d, uint32_t *target)
{
    for (size_t i = 0; i < d->n; i++)
        for (size_t t = d->offset[i]; t < d->offset[i + 1]; t++)
            target[t] = t + 1 < d->offset[i + 1] ? d->token[t + 1] : GM_NO_TARGET;
}

/* A run in progress. */
typedef struct docs_run {
    const gm_model *model;
    gm_session *session;
    const docs *docs;
    const plan *plan;
    int *id;                /* (documents) sequences */
    uint32_t *target;       /* (T) */
    gm_segment *segment;    /* (documents) of the next step */
    size_t n_segments, *to; /* (documents) the first row of each in document order */
} docs_run;

/* The next tokens of a document, at most `most`, join the next step; how many. */
static inline size_t add_segment(docs_run *r, size_t doc, size_t most)
{
    const size_t start = r->docs->offset[doc], done = gm_sequence_length(r->session, r->id[doc]);
    const size_t left = r->docs->offset[doc + 1] - start - done, n = left < most ? left : most;
    if (n == 0) return 0;
    r->to[r->n_segments] = start + done;
    r->segment[r->n_segments++] = (gm_segment){.sequence = r->id[doc],
                                               .n = n,
                                               .token = r->docs->token + start + done,
                                               .target = r->target + start + done,
                                               .edit = r->plan->edit ? 0 : -1,
                                               .want = GM_WANT_ALL};
    return n;
}

/* The step made of the segments that have joined; false: there are none, or it failed. */
static inline bool run_step(docs_run *r, outcome *all)
{
    size_t rows = 0, at = 0;
    for (size_t i = 0; i < r->n_segments; i++) rows += r->segment[i].n;
    if (rows == 0) return false;
    gm_error err = {0};
    outcome o = outcome_create(r->model, rows);
    gm_record record = {.expert = o.expert,
                        .gate = o.gate,
                        .mass = o.mass,
                        .margin = o.margin,
                        .logits = o.router,
                        .norm = r->plan->norms ? o.norm : NULL,
                        .sums = r->plan->sums,
                        .bad = o.bad};
    gm_result result = {.logits = o.logits, .nll = o.nll};
    const gm_status status =
        gm_session_step(r->session, r->segment, r->n_segments, &record, &result, &err);
    CHECK_OK(status, err);
    for (size_t i = 0; i < r->n_segments; at += r->segment[i++].n)
        outcome_move(all, r->to[i], &o, at, r->segment[i].n);
    outcome_free(&o);
    r->n_segments = 0;
    return status == GM_OK;
}

/* Steps until every document is done. */
static inline void run_steps(docs_run *r, outcome *all)
{
    const plan *p = r->plan;
    const size_t n_docs = r->docs->n;
    if (p->together) {
        do {
            for (size_t i = 0; i < n_docs; i++) add_segment(r, i, p->step);
        } while (run_step(r, all));
        return;
    }
    size_t room = p->step; /* rows that still fit into the next step */
    for (size_t i = 0; i < n_docs; i++) {
        for (size_t left = r->docs->offset[i + 1] - r->docs->offset[i]; left > 0;) {
            size_t n = add_segment(r, i, room);
            left -= n, room -= n;
            if (room == 0 || !p->packed) {
                run_step(r, all);
                room = p->step;
            }
        }
    }
    run_step(r, all); /* what has joined and not filled a step */
}

static inline outcome run_docs(const gm_model *model, const docs *d, const plan *p)
{
    gm_session_options options = {.threads = p->threads,
                                  .max_rows = d->n_tokens,
                                  .kv_rows = d->n_tokens,
                                  .max_sequences = (int)d->n,
                                  .piece_rows = p->piece,
                                  .norms = p->norms};
    gm_error err = {0};
    outcome all = outcome_create(model, d->n_tokens);
    docs_run r = {.model = model,
                  .docs = d,
                  .plan = p,
                  .id = gm_alloc(d->n, sizeof *r.id),
                  .target = gm_alloc(d->n_tokens, sizeof *r.target),
                  .segment = gm_alloc(d->n, sizeof *r.segment),
                  .to = gm_alloc(d->n, sizeof *r.to)};
    fill_targets(d, r.target);
    CHECK_OK(gm_session_create(&r.session, model, &options, &err), err);
    if (p->edit) CHECK_OK(gm_session_set_edits(r.session, p->edit, 1, &err), err);
    for (size_t i = 0; i < d->n; i++)
        CHECK_OK(gm_sequence_open(r.session, d->offset[i + 1] - d->offset[i], &r.id[i], &err), err);
    run_steps(&r, &all);
    gm_session_free(r.session);
    gm_free(r.id), gm_free(r.target), gm_free(r.segment), gm_free(r.to);
    return all;
}

/* Forty tokens in one step. */
static inline outcome run_forty(const gm_model *model)
{
    enum { N = 40 };
    uint32_t token[N];
    const size_t offset[] = {0, N};
    const uint32_t most = (uint32_t)gm_model_get_info(model)->vocab_size - 3;
    for (uint32_t i = 0; i < N; i++) token[i] = 3 + 7 * i % 280 % most;
    return run_docs(model, &(docs){.n = 1, .n_tokens = N, .token = token, .offset = offset},
                    &(plan){.threads = 1, .step = 64});
}

static inline outcome run_forty_of(const char *folder)
{
    gm_model *model = open_model(folder, GM_NUMERICS_F32, NULL);
    outcome o = run_forty(model);
    gm_model_close(model);
    return o;
}

/* Bit equality, of the NaN of bad rows too. */
static inline void check_same(const char *what, const outcome *a, const outcome *b)
{
    const struct {
        const char *name;
        const void *a, *b;
        size_t bytes;
    } part[] = {
        {"logits", a->logits, b->logits, a->n_tokens * a->vocab * sizeof(float)},
        {"nll", a->nll, b->nll, a->n_tokens * sizeof(float)},
        {"expert", a->expert, b->expert,
         a->n_layers * a->n_tokens * a->n_chosen * sizeof(uint16_t)},
        {"gate", a->gate, b->gate, a->n_layers * a->n_tokens * a->n_chosen * sizeof(float)},
        {"norm", a->norm, b->norm, a->n_layers * a->n_tokens * a->n_chosen * sizeof(float)},
        {"mass", a->mass, b->mass, a->n_layers * a->n_tokens * sizeof(float)},
        {"margin", a->margin, b->margin, a->n_layers * a->n_tokens * sizeof(float)},
        {"router", a->router, b->router, a->n_layers * a->n_tokens * a->n_experts * sizeof(float)},
        {"bad", a->bad, b->bad, a->n_tokens},
    };
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        if (memcmp(part[i].a, part[i].b, part[i].bytes) != 0)
            TEST_FAILED_("%s: %s differs", what, part[i].name);
}

#endif
