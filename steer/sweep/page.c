/* page.c - see page.h. */
#include "steer/sweep/page.h"

#include "base/outfile.h"
#include "figures/html.h"
#include "steer/sweep/sweep_figure.h"

#include <math.h>
#include <string.h>

enum { SHOWN_TEXTS = 3 };

static void cell_percent(gm_html *h, double share)
{
    gm_html_cell_number(h, 100 * share, 1);
}

/* What stands in the place of the plan, at its norm in every layer. */
static void put_legend(gm_html *h)
{
    static const char *const head[] = {"arm", "what replaces the plan, at its norm in every layer"};
    static const char *const meaning[GM_N_ARMS] = {
        "nothing",
        "the plan itself",
        "its values on experts drawn at random, layer by layer: the null hypothesis",
        "its values shuffled among its own experts",
        "the vector of the next topic",
        "the vector of the corpus mean",
        "the fewest experts that make up half of each layer's usage",
        "the plan with its sign reversed",
        "the plan, mass matched (or not, if the plan itself is)",
        "the plan changing only which experts are chosen",
        "the plan changing only the weights of those that are chosen",
        "the vector of half the cluster's documents",
        "no plan; a line that names the topic stands before the prompt"};
    gm_html_table_begin(h, "The arms of the comparison", head, 2);
    for (int arm = 0; arm < GM_N_ARMS; arm++) {
        gm_html_cell(h, gm_arm_names[arm]);
        gm_html_cell(h, meaning[arm]);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

static void put_arms(gm_html *h, const gm_study *s, int topic)
{
    static const char *const head[] = {"arm",         "draws",          "texts",
                                       "of topic, %", "log-odds",       "shift",
                                       "KL, neutral", "loss, in topic", "off topic"};
    gm_html_table_begin(h, "Arms at the chosen dose; means over draws. KL and losses: nats a token",
                        head, sizeof head / sizeof *head);
    for (int arm = 0; arm < GM_N_ARMS; arm++) {
        gm_arm_row r = gm_arm_row_of(s, topic, (gm_arm)arm);
        if (r.n == 0) continue;
        gm_html_cell(h, gm_arm_names[arm]);
        gm_html_cell_number(h, (double)r.n, 0);
        gm_html_cell_number(h, (double)r.n_texts, 0);
        cell_percent(h, r.share);
        gm_html_cell_number(h, r.log_odds, 2);
        gm_html_cell_number(h, r.shift, 2);
        gm_html_cell_number(h, r.kl, 3);
        gm_html_cell_number(h, r.nll_in, 3);
        gm_html_cell_number(h, r.nll_off, 3);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

static void put_dose(gm_html *h, const gm_cell *c)
{
    const gm_cost *k = c->cost;
    gm_quality q = gm_scores_quality(c);
    gm_html_cell_number(h, c->dose, 2);
    gm_html_cell_number(h, (double)c->max_bias, 2);
    gm_html_cell_number(h, c->shift, 2);
    gm_html_cell_number(h, c->shift_lo, 2);
    gm_html_cell_number(h, c->shift_hi, 2);
    cell_percent(h, c->share);
    gm_html_cell_number(h, k[GM_NEUTRAL].kl_mean, 3);
    gm_html_cell_number(h, k[GM_NEUTRAL].kl_p99, 2);
    cell_percent(h, k[GM_NEUTRAL].same_top1);
    for (int kind = 0; kind < GM_N_KINDS; kind++)
        gm_html_cell_number(h, exp(k[kind].nll - k[kind].nll_base), 3);
    gm_html_cell_number(h, k[GM_NEUTRAL].jaccard, 2);
    gm_html_cell_number(h, k[GM_NEUTRAL].mass, 2);
    gm_html_cell_number(h, q.rep4, 2);
    gm_html_cell_number(h, q.distinct2, 2);
    gm_html_cell_number(h, q.tokens, 1);
    cell_percent(h, q.ended);
    gm_html_row_end(h);
}

/* Every dose of the plan on the judging half. */
static void put_doses(gm_html *h, const gm_study *s, int topic)
{
    static const char *const head[] = {"dose",        "largest bias",
                                       "shift",       "2.5 %",
                                       "97.5 %",      "of topic, %",
                                       "KL, neutral", "its 99th percentile",
                                       "same top, %", "perplexity x, neutral",
                                       "in topic",    "off topic",
                                       "Jaccard",     "routed mass x",
                                       "rep-4",       "distinct-2",
                                       "tokens",      "ended, %"};
    gm_html_table_begin(
        h,
        "The plan by dose, filter as chosen. 2.5 % and 97.5 %: ends of the shift's interval over "
        "prompts. KL: nats a token. Same top: the most likely token stays. Jaccard: chosen experts "
        "in common. Rep-4: repeated sequences of four tokens. Distinct-2: different pairs of "
        "tokens",
        head, sizeof head / sizeof *head);
    for (size_t i = 0; i < s->n_cells; i++) {
        const gm_cell *c = &s->cell[i];
        if (c->topic == topic && c->half == 1 && c->arm == GM_ARM_PLAN && c->done) put_dose(h, c);
    }
    gm_html_table_end(h);
}

static const gm_written *find_text(const gm_cell *c, uint32_t prompt, uint32_t seed)
{
    for (size_t i = 0; i < c->n_texts; i++)
        if (c->text[i].prompt == prompt && c->text[i].seed == seed) return &c->text[i];
    return NULL;
}

/* The first prompts, unsteered and steered, side by side. */
static void put_texts(gm_html *h, const gm_study *s, const gm_outcome *o)
{
    static const char *const head[] = {"prompt", "unsteered", "plan"};
    const gm_cell *base = gm_scores_base(s, 1);
    size_t n = o->plan->n_texts < SHOWN_TEXTS ? o->plan->n_texts : SHOWN_TEXTS;
    gm_html_table_begin(h, "The first prompts (the result has all of them)", head, 3);
    for (size_t i = 0; i < n; i++) {
        const gm_written *steered = &o->plan->text[i];
        const gm_written *plain = find_text(base, steered->prompt, steered->seed);
        gm_html_cell(h, s->prompts.at[steered->prompt].text);
        gm_html_cell(h, plain ? plain->text : "");
        gm_html_cell(h, steered->text);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
}

static gm_status put_topic(gm_html *h, const gm_study *s, const gm_outcomes *o, int topic,
                           gm_error *err)
{
    gm_status status = GM_OK;
    gm_text words = {0}, facts = {0}, title = {0};
    char name[GM_TOPIC_NAME_BYTES];
    gm_topic_show(name, &s->topic[topic]);
    GM_TRY(gm_text_printf(&title, err, "%c%s: %s", name[0] - 'a' + 'A', name + 1,
                          s->topic[topic].domain));
    GM_TRY(gm_verdict_topic(&words, s, o, topic, err));
    GM_TRY(gm_verdict_facts(&facts, &o->topic[topic], err));
    gm_html_heading(h, 2, title.at);
    gm_html_paragraph(h, words.at);
    gm_html_paragraph(h, facts.at);
    put_arms(h, s, topic);
    put_doses(h, s, topic);
    put_texts(h, s, &o->topic[topic]);
out:
    gm_text_clear(&words);
    gm_text_clear(&facts);
    gm_text_clear(&title);
    return status;
}

/* Row: steered to. Column: the class whose log-odds are looked at. */
static gm_status put_matrix(gm_html *h, const gm_study *s, const gm_outcomes *o, gm_error *err)
{
    size_t C = o->n_topics;
    const char **head = gm_alloc(C + 1, sizeof *head);
    if (head == NULL) return gm_fail(err, GM_EMEM, "no memory for the page");
    head[0] = "steered to";
    for (size_t j = 0; j < C; j++) head[j + 1] = s->topic[j].domain;
    gm_html_heading(h, 2, "Which topics gain?");
    gm_html_table_begin(
        h, "Shift of each topic's log-odds (column), by the topic steered towards (row)", head,
        (int)C + 1);
    for (size_t i = 0; i < C; i++) {
        gm_html_cell(h, s->topic[i].domain);
        for (size_t j = 0; j < C; j++) gm_html_cell_number(h, o->specificity[i * C + j], 2);
        gm_html_row_end(h);
    }
    gm_html_table_end(h);
    gm_free(head);
    return GM_OK;
}

static const char chosen[] =
    "Dose and filter of each topic were chosen on other prompts, and their cost on other "
    "documents, than those judged here. ";
static const char about[] =
    "The judge is a text classifier trained on documents outside the clustering; it never sees "
    "router data. Log-odds: its mean ln p/(1-p) of the topic's domain. A shift is against "
    "unsteered texts of the same prompts and draws. "
    "p = (1 + random draws at least as large) / (1 + draws). "
    "KL compares the whole distribution of the next token on fixed text, unsteered against "
    "steered.";

gm_status gm_page_write(const gm_study *s, const gm_outcomes *o, const char *config,
                        const char *path, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_html h = {0};
    gm_text words = {0}, judge = {0}, png = {0};
    GM_TRY(gm_verdict_judge(&judge, &s->judge, err));
    GM_TRY(gm_verdict_all(&words, s, o, err));
    GM_TRY(gm_sweep_figure_png(s, o, &png, err));
    gm_html_begin(&h, s->setup->info->folder, "does it steer?", "");
    gm_html_raw(&h, "<main>\n");
    gm_html_heading(&h, 1, "Does it steer?");
    gm_html_paragraph(&h, words.at);
    gm_html_picture(&h, &png, words.at, "Topic shift against KL, one panel per topic");
    gm_html_raw(&h, "<p>");
    gm_html_printf(&h, "Model: %s. %s%s", gm_path_name(s->setup->info->folder),
                   s->n_choosing ? chosen : "", about);
    gm_html_raw(&h, "</p>\n");
    put_legend(&h);
    GM_TRY(put_matrix(&h, s, o, err));
    for (int t = 0; t < (int)o->n_topics; t++) GM_TRY(put_topic(&h, s, o, t, err));
    gm_html_heading(&h, 2, "How it was measured");
    gm_html_raw(&h, "<p>");
    gm_html_printf(&h, "Judge: %s; %zu document%s of the clustering left out. Fingerprint %s.",
                   judge.at, s->judge.n_shared, gm_plural(s->judge.n_shared), s->fingerprint);
    gm_html_raw(&h, "</p>\n");
    GM_TRY(gm_html_members(&h, config, "the options", NULL, err));
    gm_html_raw(&h, "</main>\n");
    gm_html_footer(&h, "gm-steer sweep", NULL);
    GM_TRY(gm_html_end(&h, err));
    GM_TRY(gm_outfile_write(path, replace, h.text.at, h.text.n, err));
out:
    gm_html_clear(&h);
    gm_text_clear(&words);
    gm_text_clear(&judge);
    gm_text_clear(&png);
    return status;
}
