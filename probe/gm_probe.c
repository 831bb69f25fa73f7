/* gm_probe.c - the gm-probe program: run a model over a corpus and record what its
 * routers choose. */
#include "probe/probe_commands.h"

#include "base/cli.h"

int main(int argc, char **argv)
{
    static const gm_command commands[] = {
        {"collect", gm_probe_collect,
         "run a corpus through a model and record the routers' choices"},
        {"info", gm_probe_info, "describe a trace or a model folder"},
        {"verify", gm_probe_verify, "recompute every self-check of a trace"},
        {"read", gm_probe_read, "a page of texts, each token coloured by its experts"},
        {"stats", gm_probe_stats, "statistics of a trace: load, specialisation, router"},
        {"contrast", gm_probe_contrast, "which experts two groups of documents use differently"},
        {"ablate", gm_probe_ablate, "how much texts lose without an expert, one at a time"},
        {"lens", gm_probe_lens, "what each expert writes: the tokens that it promotes"},
        {"merge", gm_probe_merge, "join shards into one trace, or index them"},
        {"export", gm_probe_export,
         "write a trace as arrays (.npy), documents (.csv) or lines (.jsonl)"},
        {"import", gm_probe_import, "make a trace of what another engine recorded"},
        {"tokenize", gm_probe_tokenize, "print the token ids of each line of a .jsonl"},
        {NULL, NULL, NULL},
    };
    return gm_cli_main("gm-probe", "record which experts a mixture-of-experts model chooses",
                       commands, argc, argv);
}
