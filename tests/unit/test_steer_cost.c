/* test_steer_cost.c - steer/sweep/cost.c on a tiny model: figures of plans against the same
 * sums written out here from the engine's own logits and records.
 */
#include "steer/sweep/measure.h"
#include "tests/check.h"

static const char TINY[] = TEST_DATA "/golden/models/deepseek-tiny";
enum { L = 3, E = 12, PASSAGES = 3, N = 9 };

/* A topic of class 0; passages 0 and 2 are of it, passage 1 is not. */
typedef struct sample {
    gm_setup_options options;
    gm_setup setup;
    gm_protocol protocol;
    gm_topic topic;
    gm_sweep_passage passage[PASSAGES];
    gm_study study;
    gm_cell cell[2], *cells[2];
    gm_plan plan[2];
} sample;

static void open_sample(sample *s)
{
    gm_error err = {0};
    *s = (sample){.options = gm_setup_defaults(), .protocol = {.passages = 4}};
    s->options.model = TINY;
    s->options.threads = 1;
    CHECK_OK(gm_setup_open(&s->setup, &s->options, &err), err);
    CHECK_OK(gm_setup_load(&s->setup, &err), err);
    for (uint32_t i = 0; i < PASSAGES; i++) {
        s->passage[i].class_id = i % 2;
        for (uint32_t t = 0; t < N - i; t++)
            CHECK_OK(gm_ids_append(&s->passage[i].ids, (7 + 13 * i + 31 * t * t) % 200, &err), err);
    }
    s->study = (gm_study){.protocol = &s->protocol,
                          .setup = &s->setup,
                          .topic = &s->topic,
                          .n_topics = 1,
                          .passage = s->passage,
                          .n_passages = PASSAGES};
    const gm_shape shape = gm_setup_shape(&s->setup);
    for (int p = 0; p < 2; p++) {
        s->cells[p] = &s->cell[p];
        CHECK_OK(
            gm_plan_init(&s->plan[p], shape.n_layers, shape.n_experts, shape.layer_of_moe, &err),
            err);
    }
    for (int i = 0; i < L * E; i += 3) s->plan[1].bias[i] = 3;
}

static void close_sample(sample *s)
{
    for (int i = 0; i < PASSAGES; i++) gm_ids_clear(&s->passage[i].ids);
    for (int p = 0; p < 2; p++) gm_plan_clear(&s->plan[p]);
    gm_setup_close(&s->setup);
}

/* A plan of zeros changes nothing, to the bit; what is not there is not measured. */
static void zeros_cost_nothing(void)
{
    sample s;
    gm_error err = {0};
    open_sample(&s);
    CHECK_OK(gm_measure_cost(&s.study, s.cells, s.plan, 2, &err), err);
    for (int kind = 0; kind < GM_N_KINDS; kind++) {
        const gm_cost *zero = &s.cell[0].cost[kind], *pushed = &s.cell[1].cost[kind];
        CHECK(zero->kl_mean == 0 && zero->kl_p99 == 0 && zero->same_top1 == 1);
        CHECK(zero->nll == zero->nll_base && zero->jaccard == 1 && zero->mass == 1);
        CHECK(pushed->kl_mean > 1e-6 && pushed->kl_p99 >= pushed->kl_median);
        CHECK(pushed->jaccard < 1 && pushed->nll_base == zero->nll_base);
    }
    CHECK_INT(s.cell[0].cost[GM_IN_TOPIC].n_tokens, N - 1 + N - 3);
    CHECK_INT(s.cell[0].cost[GM_OFF_TOPIC].n_tokens, N - 2);
    CHECK_INT(s.cell[0].cost[GM_NEUTRAL].n_tokens, N - 2); /* the class that no topic is about */
    close_sample(&s);
}

/* Fixed text counts as the prompt's where a plan acts on nothing else. */
static void a_plan_for_prompts_costs_too(void)
{
    sample s;
    gm_error err = {0};
    open_sample(&s);
    CHECK_OK(gm_measure_cost(&s.study, s.cells, s.plan, 2, &err), err);
    const gm_cost both = s.cell[1].cost[GM_NEUTRAL];
    for (int p = 0; p < 2; p++) s.plan[p].phases = 1u << GM_PHASE_PROMPT | 1u << GM_PHASE_TEMPLATE;
    CHECK_OK(gm_measure_cost(&s.study, s.cells, s.plan, 2, &err), err);
    CHECK(s.cell[0].cost[GM_NEUTRAL].kl_mean == 0);
    CHECK(s.cell[1].cost[GM_NEUTRAL].kl_mean == both.kl_mean && both.kl_mean > 1e-6);
    close_sample(&s);
}

/* The logits and choices of a passage under an edit (NULL: none). */
typedef struct seen {
    float *logits; /* (n,V) */
    uint16_t expert[L * N * E];
    float gate[L * N * E];
} seen;

static void look(seen *out, const sample *s, const gm_ids *ids, const gm_edit *edit)
{
    gm_session *session = NULL;
    gm_error err = {0};
    uint8_t phase[N];
    memset(phase, GM_PHASE_GENERATED, sizeof phase);
    const gm_session_options options = {
        .threads = 1, .max_rows = N, .kv_rows = N, .max_sequences = 1};
    CHECK_OK(gm_session_create(&session, s->setup.model, &options, &err), err);
    CHECK_OK(gm_session_set_edits(session, edit, edit ? 1 : 0, &err), err);
    gm_segment g = {
        .n = ids->n, .token = ids->at, .phase = phase, .edit = edit ? 0 : -1, .want = GM_WANT_ALL};
    CHECK_OK(gm_sequence_open(session, N, &g.sequence, &err), err);
    out->logits = gm_alloc2(N, (size_t)s->setup.info->vocab_size, sizeof *out->logits);
    const gm_record record = {.expert = out->expert, .gate = out->gate};
    const gm_result result = {.logits = out->logits};
    CHECK_OK(gm_session_step(session, &g, 1, &record, &result, &err), err);
    gm_session_free(session);
}

static double p_of(const float *row, int vocab, int i)
{
    double sum = 0;
    for (int k = 0; k < vocab; k++) sum += exp((double)row[k]);
    return exp((double)row[i]) / sum;
}

static void figures_are_those_of_the_definition(void)
{
    sample s;
    seen base, pushed;
    gm_error err = {0};
    double kl = 0, nll = 0, alike = 0, mass[2] = {0, 0};
    open_sample(&s);
    CHECK_OK(gm_measure_cost(&s.study, s.cells, s.plan, 2, &err), err);
    const gm_edit edit = gm_setup_edit(&s.plan[1]);
    const gm_ids *ids = &s.passage[1].ids;
    look(&base, &s, ids, NULL);
    look(&pushed, &s, ids, &edit);
    int V = s.setup.info->vocab_size, K = s.setup.info->n_chosen, T = (int)ids->n;
    for (int t = 0; t + 1 < T; t++) {
        const float *a = base.logits + t * V, *b = pushed.logits + t * V;
        for (int i = 0; i < V; i++) {
            double p = p_of(a, V, i);
            kl += p * log(p / p_of(b, V, i));
        }
        nll -= log(p_of(b, V, (int)ids->at[t + 1]));
    }
    for (int row = 0; row < L * T; row++) {
        int shared = 0;
        for (int k = 0; k < K; k++) {
            for (int j = 0; j < K; j++)
                shared += base.expert[row * K + k] == pushed.expert[row * K + j];
            mass[0] += (double)base.gate[row * K + k];
            mass[1] += (double)pushed.gate[row * K + k];
        }
        alike += (double)shared / (2 * K - shared);
    }
    const gm_cost *cost = &s.cell[1].cost[GM_OFF_TOPIC];
    CHECK_NEAR(cost->kl_mean, kl / (T - 1), 5e-6); /* the engine's loss is a float */
    CHECK_NEAR(cost->nll, nll / (T - 1), 5e-6);
    CHECK_NEAR(cost->jaccard, alike / (L * T), 1e-12);
    CHECK_NEAR(cost->mass, mass[1] / mass[0], 1e-12);
    gm_free(base.logits);
    gm_free(pushed.logits);
    close_sample(&s);
}

/* Mean KL and loss of passage 1 when row t is steered by share[t] of the plan, row by row. */
static void by_hand(double *kl, double *nll, const sample *s, const double *share)
{
    const gm_ids *ids = &s->passage[1].ids;
    int V = s->setup.info->vocab_size, T = (int)ids->n;
    gm_session *session = NULL;
    gm_error err = {0};
    float scaled[L * E];
    float *row[2] = {gm_alloc((size_t)V, sizeof(float)), gm_alloc((size_t)V, sizeof(float))};
    const uint8_t phase = GM_PHASE_GENERATED;
    const gm_session_options options = {
        .threads = 1, .max_rows = 1, .kv_rows = 2 * N, .max_sequences = 2};
    int sequence[2];
    gm_edit edit = gm_setup_edit(&s->plan[1]);
    edit.bias = scaled;
    *kl = *nll = 0;
    CHECK_OK(gm_session_create(&session, s->setup.model, &options, &err), err);
    for (int k = 0; k < 2; k++) CHECK_OK(gm_sequence_open(session, N, &sequence[k], &err), err);
    for (int t = 0; t + 1 < T; t++) {
        for (int i = 0; i < L * E; i++) scaled[i] = (float)(share[t] * (double)s->plan[1].bias[i]);
        CHECK_OK(gm_session_set_edits(session, &edit, 1, &err), err);
        for (int k = 0; k < 2; k++) {
            const gm_segment g = {.sequence = sequence[k],
                                  .n = 1,
                                  .token = &ids->at[t],
                                  .phase = &phase,
                                  .edit = k - 1,
                                  .want = GM_WANT_ALL};
            const gm_result result = {.logits = row[k]};
            CHECK_OK(gm_session_step(session, &g, 1, NULL, &result, &err), err);
        }
        for (int i = 0; i < V; i++) {
            double p = p_of(row[0], V, i);
            *kl += p * log(p / p_of(row[1], V, i)) / (T - 1);
        }
        *nll -= log(p_of(row[1], V, (int)ids->at[t + 1])) / (T - 1);
    }
    gm_session_free(session);
    gm_free(row[0]);
    gm_free(row[1]);
}

/* A schedule counts from the first token of a fixed text. */
static void schedules_act_token_by_token(void)
{
    static const struct {
        gm_schedule schedule;
        double share[N];
    } cases[] = {{{GM_SCHEDULE_CONSTANT, 0}, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
                 {{GM_SCHEDULE_FIRST, 3}, {1, 1, 1}},
                 {{GM_SCHEDULE_RISE, 4}, {.25, .5, .75, 1, 1, 1, 1, 1, 1}},
                 {{GM_SCHEDULE_FADE, 4}, {1, .75, .5, .25}}};
    sample s;
    gm_error err = {0};
    open_sample(&s);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double kl, nll;
        s.plan[1].schedule = cases[k].schedule; /* plan 0 is constant */
        CHECK_OK(gm_measure_cost(&s.study, s.cells, s.plan, 2, &err), err);
        by_hand(&kl, &nll, &s, cases[k].share);
        CHECK_NEAR(s.cell[1].cost[GM_OFF_TOPIC].kl_mean, kl, 5e-6);
        CHECK_NEAR(s.cell[1].cost[GM_OFF_TOPIC].nll, nll, 5e-6);
        CHECK_INT(s.cell[1].cost[GM_OFF_TOPIC].n_tokens, N - 2);
        CHECK(s.cell[0].cost[GM_OFF_TOPIC].kl_mean == 0);
    }
    close_sample(&s);
}

static void threads_do_not_matter(void)
{
    sample s;
    gm_error err = {0};
    gm_cost alone[GM_N_KINDS];
    open_sample(&s);
    CHECK_OK(gm_measure_cost(&s.study, s.cells, s.plan, 2, &err), err);
    memcpy(alone, s.cell[1].cost, sizeof alone);
    s.options.threads = 0;
    CHECK_OK(gm_measure_cost(&s.study, s.cells, s.plan, 2, &err), err);
    for (int k = 0; k < GM_N_KINDS; k++) {
        const gm_cost *a = &alone[k], *b = &s.cell[1].cost[k];
        CHECK(a->kl_mean == b->kl_mean && a->kl_median == b->kl_median && a->kl_p99 == b->kl_p99);
        CHECK(a->same_top1 == b->same_top1 && a->nll == b->nll && a->nll_base == b->nll_base);
        CHECK(a->jaccard == b->jaccard && a->mass == b->mass && a->n_tokens == b->n_tokens);
    }
    close_sample(&s);
}

TESTS(TEST(schedules_act_token_by_token), TEST(threads_do_not_matter), TEST(zeros_cost_nothing),
      TEST(a_plan_for_prompts_costs_too), TEST(figures_are_those_of_the_definition))
