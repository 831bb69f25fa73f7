/* topics_given.h - topics that are no cluster of the atlas: labelled subsets, and plan files. */
#ifndef GM_TOPICS_GIVEN_H
#define GM_TOPICS_GIVEN_H

#include "steer/sweep/study.h"

/* The subsets of --subset, after the existing topics; study->topic has room for them.
 * Errors: GM_EARG (one that the judge lacks, or that no filter leaves an expert of: says so),
 * GM_EMEM. */
gm_status gm_given_subsets(gm_study *study, gm_error *err) GM_MUST_USE;

/* Read the plans of --plan FILE[=DOMAIN] after the existing topics; study->topic has
 * room for them. Without DOMAIN it is that of the one cluster, or the one subset, that the
 * plan's source names and steers towards (weight above 0, no control); a cluster must be of
 * the study's atlas.
 * Errors: GM_EARG (a domain that is not said or that the judge lacks, a plan of zeros or one
 * that takes experts out: neither has doses), those of gm_setup_plan, GM_EMEM. */
gm_status gm_given_read(gm_study *study, gm_error *err) GM_MUST_USE;
void gm_given_clear(gm_study *study);

/* A recipe that makes the topic's plan over again, at weight 1 and without a control; borrows
 * the topic, and `layers`, which is written. */
void gm_given_recipe(gm_recipe *recipe, const gm_topic *topic, char layers[32]);

/* Set what a recipe has no words for: phases and schedule are the file's. */
void gm_given_windows(gm_plan *plan, const gm_topic *topic);

#endif
