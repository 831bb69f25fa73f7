/* study.h - a sweep while it runs: topics, prompts, fixed texts, and the cells to measure.
 *
 * A topic is a cluster and the judge's class that it is about. A cell is one arm of one
 * topic at one dose: the prompts of one half continued under one plan. Dose and filter of a
 * topic are chosen on half 0 and judged on half 1, which has other prompts and fixed texts.
 *
 * Sizes: J classes of the judge, L MoE layers, E experts.
 */
#ifndef GM_STUDY_H
#define GM_STUDY_H

#include "steer/judge.h"
#include "steer/sweep/protocol.h"

typedef enum gm_arm {
    GM_ARM_UNSTEERED,
    GM_ARM_PLAN,
    GM_ARM_RANDOM,    /* the plan's values on experts drawn at random, layer by layer */
    GM_ARM_SHUFFLED,  /* the values exchanged among the plan's experts */
    GM_ARM_OTHER,     /* the next topic's vector */
    GM_ARM_MEAN,      /* the corpus mean's */
    GM_ARM_COMMITTEE, /* the experts that every text uses */
    GM_ARM_REVERSE,   /* the sign reversed */
    GM_ARM_MASS,      /* mass matched, or not where the plan is */
    GM_ARM_SELECT,    /* changes the choice only */
    GM_ARM_GATE,      /* changes the gates only */
    GM_ARM_HALF,      /* of half the cluster's documents; draw 0 even, 1 odd */
    GM_ARM_PROMPT,    /* not steered: a line that names the topic before the prompt */
    GM_N_ARMS
} gm_arm;
extern const char *const gm_arm_names[GM_N_ARMS];

typedef enum gm_passage_kind { GM_NEUTRAL, GM_IN_TOPIC, GM_OFF_TOPIC, GM_N_KINDS } gm_passage_kind;

/* What a plan does to the model's predictions on fixed text; NaN where not measured, or where a
 * prediction was not finite. */
typedef struct gm_cost {
    uint32_t n_tokens;
    double kl_mean, kl_median, kl_p99; /* KL(base || steered), nats a token, to 1e-6 */
    double same_top1;                  /* share of tokens with the same likeliest next one */
    double nll_base, nll;              /* nats a token */
    double jaccard; /* of the chosen sets of experts; mean over tokens and layers */
    double mass;    /* total weight of the routed branch over the unsteered */
} gm_cost;

/* One continuation, as it is kept. */
typedef struct gm_written {
    uint32_t prompt, seed, n_tokens;
    uint8_t end;           /* gm_end - 1 */
    float rep4, distinct2; /* NaN: too short */
    const char *text;      /* n_bytes and a NUL; in the cell's arena */
    size_t n_bytes;
} gm_written;

typedef struct gm_cell {
    int topic; /* -1: the unsteered cell of its half */
    gm_arm arm;
    int draw, half;
    int dose_at; /* >= 0: index among the doses; CHOSEN: the topic's; below: see cells.c */
    size_t filter;
    double dose;
    bool done, absent; /* absent: this control cannot be built for this topic */
    float max_bias, rms_bias;
    float *usage; /* (L,E) shares of the choices of generated tokens; in the arena */
    gm_cost cost[GM_N_KINDS];
    gm_written *text; /* (n_texts) in the arena */
    float *log_p;     /* (n_texts,J) in the arena */
    size_t n_texts;
    gm_arena arena;
    /* scores.c */
    double log_odds, share, shift, shift_lo, shift_hi;
} gm_cell;

enum { GM_FIRST_GIVEN = -2 };

typedef struct gm_topic {
    int cluster; /* of the atlas; -2, -3, ...: the first, second subset or plan file */
    int class_id;
    const char *subset;   /* its name; NULL: a cluster or a plan file */
    const char *name;     /* of the plan file; NULL: a cluster or a subset */
    const gm_plan *given; /* the plan of the file, in study->given */
    gm_array array;       /* its biases, borrowed */
    const char *domain;   /* the class's name */
    double purity;        /* NaN: not a cluster */
    size_t size;
    const uint8_t *important; /* (L,E) the atlas's mask; else what the plan strengthens */
    const char *line;         /* what the prompt baseline puts first */
    size_t filter;            /* as chosen; nothing to a plan file */
    double dose;
    bool affordable; /* chosen, and within max_kl */
} gm_topic;

/* A text of fixed words whose loss is measured: the first tokens of a document. */
typedef struct gm_sweep_passage {
    gm_ids ids;
    int class_id;
    size_t nth; /* of its class, from 0 */
} gm_sweep_passage;

typedef struct gm_study {
    const gm_protocol *protocol;
    const gm_setup *setup;
    gm_judge judge;
    gm_prompts prompts;    /* both halves: neutral, then openings */
    int32_t *prompt_class; /* class an opening was taken from, -1: neutral */
    uint8_t *prompt_half;
    uint32_t *prompt_tokens; /* of each, template included */
    size_t line_tokens;      /* that a topic's line adds, at most */
    gm_topic *topic;
    size_t n_topics;
    gm_plan *given; /* (n_given) of --plan */
    size_t n_given;
    gm_sweep_passage *passage; /* of every class, in turn */
    size_t n_passages;
    gm_cell *cell; /* half 0 first; the first of each half is unsteered */
    size_t n_cells, n_choosing;
    char fingerprint[65];
    gm_arena arena;
} gm_study;

/* Read and prepare everything, in this order: judge, topics, prompts, passages, cells; a
 * plan for every cell is tried. `config` is what the fingerprint is made of beside the
 * contents. Errors: GM_EARG (a cluster, prompt, dose that will not do: says which),
 * GM_EFORMAT, GM_EMEM. */
gm_status gm_study_prepare(gm_study *study, const gm_protocol *protocol, const gm_setup *setup,
                           const char *config, gm_error *err) GM_MUST_USE;
void gm_study_clear(gm_study *study);

/* "cluster 3", "subset Fortunes" or "plan food.plan.safetensors", in `text`; escaped, and cut where
 * it is too long. */
enum { GM_TOPIC_NAME_BYTES = 96 };
const char *gm_topic_show(char text[GM_TOPIC_NAME_BYTES], const gm_topic *topic);

/* The rule that made the topic's vector; "-" where it is a plan file's. */
const char *gm_topic_filter(const gm_study *study, const gm_topic *topic, size_t filter);

/* Does a prompt count for a topic: is it not of the topic itself? */
bool gm_study_counts(const gm_study *study, int topic, size_t prompt);

/* Is the cell a measured one of this topic and arm on the judging half? */
bool gm_is_judged(const gm_cell *cell, int topic, gm_arm arm);
/* And is it at the topic's dose? */
bool gm_is_chosen(const gm_study *study, const gm_cell *cell, int topic, gm_arm arm);

/* Work of one cell: texts; tokens to generate, if none ends by itself; tokens of their
 * prompts; tokens of fixed texts, read once under its plan (the group's unsteered rows come
 * on top: see gm_study_tokens). Zeros for an absent one. */
typedef struct gm_cell_work {
    double texts, generated, prompts, fixed;
} gm_cell_work;
gm_cell_work gm_study_work(const gm_study *study, const gm_cell *cell);
void gm_cell_work_add(gm_cell_work *sum, gm_cell_work work);

/* Tokens of one cell in all, for progress: a group of eight shares unsteered fixed texts. */
double gm_study_tokens(const gm_study *study, const gm_cell *cell);

#endif
