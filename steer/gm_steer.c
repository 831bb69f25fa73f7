/* gm_steer.c - the gm-steer program: make a model speak about a cluster, and measure it. */
#include "base/cli.h"
#include "steer/commands.h"

int main(int argc, char **argv)
{
    static const gm_command commands[] = {
        {"plan", gm_steer_plan, "make a steering plan from an atlas, and describe it"},
        {"generate", gm_steer_generate, "continue prompts, steered or not"},
        {"compare", gm_steer_compare,
         "the same prompts unsteered and under clusters, side by side"},
        {"sweep", gm_steer_sweep, "measure steering against its controls: shift, cost and p"},
        {"serve", gm_steer_serve, "a page to steer by hand, and OpenAI's API for other programs"},
        {NULL, NULL, NULL},
    };
    gm_catch_signals();
    return gm_cli_main("gm-steer",
                       "add a cluster's usage to the router's logits while a "
                       "Mixture-of-Experts model generates",
                       commands, argc, argv);
}
