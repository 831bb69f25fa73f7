/* topics.c - see topics.h. */
#include "steer/sweep/topics.h"

#include "base/progress.h"
#include "steer/recipe_vectors.h"
#include "steer/sweep/cells.h"
#include "steer/sweep/topics_given.h"

#include <assert.h>
#include <string.h>

enum {
    MIN_PASSAGES = 3,
    OPENING_BYTES = 70, /* about twelve words */
    LINE_KEYWORDS = 3
};

/* ---- clusters ---- */

/* The subset most members of a cluster come from, as the judge's class; -1: unknown there. */
static gm_topic describe(const gm_study *s, size_t cluster)
{
    const gm_atlas *a = s->setup->atlas;
    const int best = gm_atlas_main_subset(a, cluster);
    gm_topic t = {.cluster = (int)cluster, .class_id = -1, .domain = "", .size = a->size[cluster]};
    if (best >= 0 && t.size > 0) {
        t.domain = a->subset_name[best];
        t.purity = (double)a->subset_count[cluster * a->n_subsets + (size_t)best] / (double)t.size;
        t.class_id = gm_judge_class(&s->judge, t.domain);
    }
    return t;
}

/* The cluster's important experts in the layers of the model; an atlas may have only some. */
static gm_status find_important(gm_topic *t, gm_study *s, gm_error *err)
{
    const gm_atlas *a = s->setup->atlas;
    const gm_shape shape = gm_setup_shape(s->setup);
    const size_t E = (size_t)a->n_experts;
    uint8_t *out = gm_arena_alloc(&s->arena, (size_t)shape.n_layers * E, 1); /* (L,E) */
    if (out == NULL) return gm_fail(err, GM_EMEM, "no memory for the topics");
    const uint8_t *in = a->important + (size_t)t->cluster * (size_t)a->n_layers * E;
    for (int l = 0; l < a->n_layers; l++, in += E) {
        const int row = gm_find_layer(shape.layer_of_moe, shape.n_layers, a->layer_of_moe[l]);
        assert(row >= 0);
        memcpy(out + (size_t)row * E, in, E);
    }
    t->important = out;
    return GM_OK;
}

/* Find the first filter that leaves an expert. */
static gm_status find_filter(gm_topic *t, const gm_study *s, gm_error *err)
{
    gm_plan plan = {0};
    gm_status status = gm_cells_first_plan(&plan, t, s, err);
    gm_plan_clear(&plan);
    return status;
}

/* "Topic: Vim Help (vim, window, buffer)."; of what is no cluster "Topic: Vim Help." */
static gm_status write_line(gm_topic *t, gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text line = {0};
    const char *closed = "";
    GM_TRY(gm_text_printf(&line, err, "Topic: %s", t->domain));
    for (size_t k = 0; k < LINE_KEYWORDS && t->cluster >= 0; k++) {
        const char *word = s->setup->atlas->keyword[(size_t)t->cluster * GM_N_KEYWORDS + k];
        if (word[0] == '\0') break;
        GM_TRY(gm_text_printf(&line, err, "%s%s", k ? ", " : " (", word));
        closed = ")";
    }
    GM_TRY(gm_text_printf(&line, err, "%s.\n\n", closed));
    t->line = gm_arena_text(&s->arena, line.at, line.n);
    if (t->line == NULL) GM_FAIL(GM_EMEM, "no memory for the topics");
out:
    gm_text_clear(&line);
    return status;
}

int gm_topics_class(const gm_study *s, size_t cluster)
{
    return describe(s, cluster).class_id;
}

static gm_status named_cluster(gm_topic *t, const gm_study *s, const char *name, gm_error *err)
{
    size_t cluster;
    gm_status status = gm_recipe_cluster(&cluster, s->setup->atlas, name, err);
    if (status != GM_OK) return status;
    *t = describe(s, cluster);
    if (t->size == 0) return gm_fail(err, GM_EARG, "cluster %s has no documents", name);
    if (t->class_id < 0)
        return gm_fail(err, GM_EARG,
                       "cluster %s is about '%s', which the classifier's corpus does not have",
                       name, t->domain);
    return find_filter(t, s, err);
}

gm_status gm_topics_choose(gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_protocol *p = s->protocol;
    const gm_opt_list *named = &p->recipe.clusters;
    size_t n_given = p->recipe.subsets.n + p->plans.n;
    size_t most = named->n ? named->n : n_given ? 0 : (size_t)p->n_clusters;
    s->topic = gm_alloc(most + n_given, sizeof *s->topic);
    if (s->topic == NULL) GM_FAIL(GM_EMEM, "no memory for the topics");
    for (size_t i = 0; i < named->n; i++) {
        GM_TRY(named_cluster(&s->topic[i], s, named->at[i], err));
        for (size_t k = 0; k < i; k++)
            if (s->topic[k].cluster == s->topic[i].cluster)
                GM_FAIL(GM_EARG, "cluster %d is named twice with --cluster", s->topic[i].cluster);
        s->n_topics++;
    }
    for (size_t c = 0; named->n == 0 && c < s->setup->atlas->n_clusters && s->n_topics < most;
         c++) {
        gm_topic t = describe(s, c);
        gm_error why = {0};
        if (t.class_id < 0 || t.size == 0 || t.purity < p->min_purity) continue;
        const gm_status found = find_filter(&t, s, &why);
        if (found == GM_EARG) gm_warn("cluster %zu is skipped: %s", c, why.text);
        if (found != GM_OK && found != GM_EARG) GM_FAIL(found, "%s", why.text);
        if (found == GM_OK) s->topic[s->n_topics++] = t;
    }
    GM_TRY(gm_given_subsets(s, err));
    GM_TRY(gm_given_read(s, err));
    if (s->n_topics == 0)
        GM_FAIL(GM_EARG,
                "no cluster has a purity of %g in a domain that the classifier knows; choose "
                "clusters with --cluster, or lower --min-purity",
                p->min_purity);
    for (size_t t = 0; t < s->n_topics; t++) {
        s->topic[t].dose = gm_protocol_positive(p, gm_protocol_n_positive(p) - 1);
        GM_TRY(write_line(&s->topic[t], s, err));
        if (s->topic[t].cluster >= 0) GM_TRY(find_important(&s->topic[t], s, err));
    }
out:
    return status;
}

/* ---- prompts ---- */

/* Where the last whole word within OPENING_BYTES ends. */
static size_t opening_of(const char *text, size_t n)
{
    size_t end = n < OPENING_BYTES ? n : OPENING_BYTES;
    while (end < n && end > 0 && text[end] != ' ' && text[end] != '\n') end--;
    while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '\n')) end--;
    return end;
}

/* Does a prompt stand in a half already? */
static bool stands_in(const gm_study *s, int half, const char *text, size_t n)
{
    for (size_t i = 0; i < s->prompts.n; i++)
        if (s->prompt_half[i] == half && s->prompts.at[i].n == n &&
            memcmp(s->prompts.at[i].text, text, n) == 0)
            return true;
    return false;
}

/* What is chosen on a prompt cannot be judged on it. */
static gm_status check_halves(const gm_study *s, gm_error *err)
{
    char show[64];
    for (size_t i = 0; i < s->prompts.n && gm_protocol_chooses(s->protocol); i++) {
        const gm_prompt *p = &s->prompts.at[i];
        if (s->prompt_half[i] == 0 || !stands_in(s, 0, p->text, p->n)) continue;
        gm_text_escape(show, sizeof show, p->text, p->n);
        return gm_fail(err, GM_EARG,
                       "prompt '%s' is both among those that dose and filter are chosen on "
                       "(--tune-prompts) and among those that they are judged on",
                       show);
    }
    return GM_OK;
}

/* Openings of documents of the topics' classes in turn; half 1 goes on where half 0 stops, and
 * leaves out what the other half has. */
static gm_status add_openings(gm_study *s, int half, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_judge *j = &s->judge;
    size_t wanted = (size_t)s->protocol->off_prompts, seen = 0;
    for (size_t round = 0; wanted > 0 && round < j->n; round++) {
        bool found = false;
        for (size_t t = 0; t < s->n_topics && wanted > 0; t++) {
            size_t left = round, i = 0;
            while (i < j->n && (j->label[i] != s->topic[t].class_id || left-- > 0)) i++;
            size_t n = i < j->n ? opening_of(j->text[i], j->n_bytes[i]) : 0;
            found = found || i < j->n;
            if (n == 0 || seen++ < (size_t)half * (size_t)s->protocol->off_prompts) continue;
            if (stands_in(s, 1 - half, j->text[i], n)) continue;
            GM_TRY(gm_prompts_add(&s->prompts, j->text[i], n, "opening", err));
            s->prompt_class[s->prompts.n - 1] = s->topic[t].class_id;
            s->prompt_half[s->prompts.n - 1] = (uint8_t)half;
            wanted--;
        }
        if (!found) break;
    }
out:
    return status;
}

/* Tokens of a prompt after a line. */
static gm_status count_tokens(size_t *n, const gm_study *s, const char *line,
                              const gm_prompt *prompt, gm_error *err)
{
    gm_status status = GM_OK;
    gm_continuation c = {0};
    gm_text text = {0};
    GM_TRY(gm_text_add(&text, line, err));
    GM_TRY(gm_text_append(&text, prompt->text, prompt->n, err));
    const gm_prompt whole = {text.at, text.n};
    GM_TRY(gm_setup_prepare(s->setup, &c, &whole, 0, err));
    *n = c.prompt.n;
out:
    gm_continuation_clear(&c);
    gm_text_clear(&text);
    return status;
}

/* Encode every prompt, alone and after the longest line, to know that it fits. */
static gm_status check_lengths(gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    size_t context = (size_t)s->setup->info->max_context, longest = 0, n;
    size_t max_tokens = (size_t)s->setup->options->max_tokens;
    for (size_t t = 0; t < s->n_topics; t++)
        if (strlen(s->topic[t].line) > strlen(s->topic[longest].line)) longest = t;
    for (size_t i = 0; i < s->prompts.n; i++) {
        const gm_prompt *prompt = &s->prompts.at[i];
        GM_TRY(count_tokens(&n, s, "", prompt, err));
        s->prompt_tokens[i] = (uint32_t)n;
        GM_TRY(count_tokens(&n, s, s->topic[longest].line, prompt, err));
        if (n - s->prompt_tokens[i] > s->line_tokens) s->line_tokens = n - s->prompt_tokens[i];
        if (n + max_tokens > context)
            GM_FAIL(GM_EARG,
                    "prompt %zu has %zu tokens (the topic's line included), and %zu more would "
                    "exceed the model's context of %zu; shorten it or give a smaller --max-tokens",
                    i + 1, n, max_tokens, context);
    }
out:
    return status;
}

gm_status gm_topics_read_prompts(gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_protocol *p = s->protocol;
    const gm_setup_options *o = s->setup->options;
    const gm_opt_list none = {0};
    size_t n_choosing;
    GM_TRY(gm_prompts_read(&s->prompts, &none, p->tune_file, err));
    if (s->prompts.n == 0) GM_TRY(gm_prompts_own(&s->prompts, GM_PROMPTS_TUNE, err));
    n_choosing = s->prompts.n;
    GM_TRY(gm_prompts_read(&s->prompts, &o->prompts, o->prompts_file, err));
    if (s->prompts.n == n_choosing) GM_TRY(gm_prompts_own(&s->prompts, GM_PROMPTS_TEST, err));

    size_t most = s->prompts.n + 2 * (size_t)p->off_prompts;
    s->prompt_class = gm_arena_alloc(&s->arena, most, sizeof *s->prompt_class);
    s->prompt_half = gm_arena_alloc(&s->arena, most, sizeof *s->prompt_half);
    s->prompt_tokens = gm_arena_alloc(&s->arena, most, sizeof *s->prompt_tokens);
    if (!s->prompt_class || !s->prompt_half || !s->prompt_tokens)
        GM_FAIL(GM_EMEM, "no memory for the prompts");
    for (size_t i = 0; i < s->prompts.n; i++) {
        s->prompt_class[i] = -1;
        s->prompt_half[i] = i >= n_choosing;
    }
    GM_TRY(check_halves(s, err));
    for (int half = 0; half < 2; half++) GM_TRY(add_openings(s, half, err));
    GM_TRY(check_lengths(s, err));
out:
    return status;
}

bool gm_study_counts(const gm_study *s, int topic, size_t prompt)
{
    return topic < 0 || s->prompt_class[prompt] != s->topic[topic].class_id;
}

/* ---- fixed texts ---- */

size_t gm_topics_n_passages(const gm_protocol *p, gm_passage_kind kind)
{
    size_t n = (size_t)p->passages, part = n / 8 > MIN_PASSAGES ? n / 8 : MIN_PASSAGES;
    return kind == GM_NEUTRAL ? n : part;
}

/* The first GM_PASSAGE_TOKENS tokens of a text. As much of it is encoded as has a margin of
 * tokens after those, up to a blank: where the text is cut changes the last tokens only. */
static gm_status encode_head(gm_ids *ids, gm_study *s, const char *text, size_t n, gm_error *err)
{
    enum { MARGIN = 32, BYTES = 16 * GM_PASSAGE_TOKENS };
    gm_status status = GM_OK;
    for (size_t wanted = BYTES;; wanted *= 2) {
        size_t head = n;
        if (wanted < n)
            for (head = wanted; head < n && text[head] != ' ' && text[head] != '\n';) head++;
        ids->n = 0;
        GM_TRY(gm_encode(s->setup->encoder, text, head, true, ids, NULL, err));
        if (head == n || ids->n >= GM_PASSAGE_TOKENS + MARGIN) break;
    }
    if (ids->n > GM_PASSAGE_TOKENS) ids->n = GM_PASSAGE_TOKENS;
out:
    return status;
}

/* Add the next document of a class at or after *at, its nth; held-out ones, if there are any. */
static gm_status add_passage(gm_study *s, int class_id, size_t nth, bool held_out, size_t *at,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const gm_judge *j = &s->judge;
    for (; *at < j->n; (*at)++) {
        gm_sweep_passage *p = &s->passage[s->n_passages];
        if (j->label[*at] != class_id || (held_out && !j->held_out[*at])) continue;
        GM_TRY(encode_head(&p->ids, s, j->text[*at], j->n_bytes[*at], err));
        if (p->ids.n > (size_t)s->setup->info->max_context)
            p->ids.n = (size_t)s->setup->info->max_context;
        p->class_id = class_id;
        p->nth = nth;
        if (p->ids.n >= 2) {
            (*at)++;
            s->n_passages++;
            break;
        }
        gm_ids_clear(&p->ids);
    }
out:
    if (status != GM_OK) gm_ids_clear(&s->passage[s->n_passages].ids);
    return status;
}

gm_status gm_topics_read_passages(gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_judge *j = &s->judge;
    size_t each = gm_topics_n_passages(s->protocol, GM_NEUTRAL); /* enough for any kind */
    if (each < MIN_PASSAGES) each = MIN_PASSAGES;
    if (gm_protocol_chooses(s->protocol)) each *= 2; /* other ones for each half */
    size_t *at = gm_alloc(j->n_classes, sizeof *at);
    bool *held_out = gm_alloc(j->n_classes, sizeof *held_out);
    s->passage = gm_alloc2(each, j->n_classes, sizeof *s->passage);
    if (!at || !held_out || !s->passage) GM_FAIL(GM_EMEM, "no memory for the fixed texts");
    for (size_t i = 0; i < j->n; i++)
        if (j->held_out[i]) held_out[j->label[i]] = true;
    for (size_t round = 0; round < each; round++)
        for (size_t c = 0; c < j->n_classes; c++)
            GM_TRY(add_passage(s, (int)c, round, held_out[c], &at[c], err));
out:
    gm_free(at);
    gm_free(held_out);
    return status;
}

/* Does a passage of this class belong to the kind? Neutral are the classes that no topic is
 * about; where every class is some topic's, all are. */
static bool belongs(const gm_study *s, int topic, gm_passage_kind kind, int class_id, bool all)
{
    bool own = topic >= 0 && s->topic[topic].class_id == class_id;
    if (kind == GM_IN_TOPIC) return own;
    if (kind == GM_OFF_TOPIC) return topic >= 0 && !own;
    for (size_t t = 0; t < s->n_topics && !all; t++)
        if (s->topic[t].class_id == class_id) return false;
    return true;
}

/* The first `wanted` passages of a kind; of every class every other one, from `parity` on; -1: all.
 * `all` as belongs has it. */
static size_t take_passages(const gm_study *s, int topic, gm_passage_kind kind, bool all,
                            int parity, size_t *out, size_t wanted)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_passages && n < wanted; i++)
        if (belongs(s, topic, kind, s->passage[i].class_id, all) &&
            (parity < 0 || s->passage[i].nth % 2 == (size_t)parity))
            out[n++] = i;
    return n;
}

size_t gm_topics_passages(const gm_study *s, int topic, gm_passage_kind kind, int half, size_t *out,
                          size_t most)
{
    const size_t wanted = gm_topics_n_passages(s->protocol, kind);
    const int parity = gm_protocol_chooses(s->protocol) ? half == 0 : -1;
    if (wanted < most) most = wanted;
    const bool all = take_passages(s, topic, kind, false, -1, out, most) == 0;
    const size_t n = take_passages(s, topic, kind, all, parity, out, most);
    return n > 0 ? n : take_passages(s, topic, kind, all, -1, out, most);
}
