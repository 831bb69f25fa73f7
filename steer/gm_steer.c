/* gm_steer.c - the gm-steer program: make a model speak about a cluster, and measure it. */
#include "base/cli.h"
#include "steer/steer_commands.h"

int main(int argc, char **argv)
{
    static const gm_command commands[] = {
        {"plan", gm_steer_plan, "make a steering plan, or describe one"},
        {"generate", gm_steer_generate, "continue prompts, steered or not"},
        {"compare", gm_steer_compare, "the same prompts, unsteered and steered, side by side"},
        {"sweep", gm_steer_sweep, "measure steering against controls: shift, cost and p"},
        {"serve", gm_steer_serve, "serve a page to steer by hand, and OpenAI's API"},
        {NULL, NULL, NULL},
    };
    gm_catch_signals();
    return gm_cli_main("gm-steer",
                       "steer a Mixture-of-Experts model by adding a cluster's usage to its router "
                       "logits",
                       commands, argc, argv);
}
