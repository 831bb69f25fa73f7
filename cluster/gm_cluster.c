/* gm_cluster.c - the gm-cluster program: what a model's experts are about. */
#include "base/cli.h"
#include "cluster/cluster_commands.h"
#include "cluster/isa.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    static const gm_command commands[] = {
        {"fit", gm_cluster_fit, "map and cluster the documents of a trace, into an atlas"},
        {"recut", gm_cluster_recut, "cut an atlas's tree differently; merge and name clusters"},
        {"show", gm_cluster_show, "print the clusters of an atlas, or one of them"},
        {"find", gm_cluster_find, "find the clusters that are about given words"},
        {"compare", gm_cluster_compare, "compare two atlases, or an atlas with your own groups"},
        {"report", gm_cluster_report, "write an atlas as an HTML page and figures"},
        {"assign", gm_cluster_assign, "place the documents of another trace on the map"},
        {"export", gm_cluster_export, "write an atlas for scanpy, as CSV, JSON or GraphML"},
        {"keywords", gm_cluster_keywords, "keywords of the subsets or documents of a corpus"},
        {"matrix", gm_cluster_matrix, "map and cluster the rows of any matrix"},
        {NULL, NULL, NULL},
    };
    gm_error err = {0};
    gm_isa unused;
    gm_status status = gm_isa_find(&unused, getenv("GM_KERNELS"), &err);
    if (status != GM_OK) return gm_cli_end("gm-cluster", "GM_KERNELS", status, false, &err);
    return gm_cli_main("gm-cluster", "find what the experts of a model are about", commands, argc,
                       argv);
}
