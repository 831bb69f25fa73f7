/* topics.h - which clusters a sweep measures, and on which texts. */
#ifndef GM_TOPICS_H
#define GM_TOPICS_H

#include "steer/sweep/study.h"

/* The clusters named, or the largest whose purity is high enough, whose class the judge
 * knows and of which some filter leaves an expert; those passed over for that last reason are
 * warned of; then subsets and plan files (topics_given.h), instead of the largest where there are
 * some. Errors: those of topics_given.h, GM_EARG (a named cluster that will not do; none found). */
gm_status gm_topics_choose(gm_study *study, gm_error *err) GM_MUST_USE;

/* The judge's class of a cluster's largest subset; -1: unknown there. */
int gm_topics_class(const gm_study *study, size_t cluster);

/* Both halves' prompts: the user's or our own, then openings of documents. Where dose and filter
 * are chosen the halves differ: GM_EARG names a prompt of both. Every prompt, with the prompt
 * baseline's line before it, must fit the context. */
gm_status gm_topics_read_prompts(gm_study *study, gm_error *err) GM_MUST_USE;

/* The fixed texts: documents of the judge's corpus, class after class. */
gm_status gm_topics_read_passages(gm_study *study, gm_error *err) GM_MUST_USE;

/* The passages of a kind for a topic and a half, their indices into study->passage, at most `most`;
 * returns how many. Where dose and filter are chosen the halves have different ones, of each class
 * every other one: what a dose costs differs more between classes than between documents of one.
 * Where that leaves a half none, both have all. */
size_t gm_topics_passages(const gm_study *study, int topic, gm_passage_kind kind, int half,
                          size_t *out, size_t most);
size_t gm_topics_n_passages(const gm_protocol *protocol, gm_passage_kind kind);

#endif
