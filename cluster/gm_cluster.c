/* gm_cluster.c - the gm-cluster program: what a model's experts are about. */
#include "base/cli.h"
#include "cluster/cluster_commands.h"

int main(int argc, char **argv)
{
    static const gm_command commands[] = {
        {"fit", gm_cluster_fit, "map and cluster the documents of a trace: an atlas"},
        {"recut", gm_cluster_recut, "other clusters from an atlas's tree; merge and name them"},
        {"show", gm_cluster_show, "print the clusters of an atlas, or one of them"},
        {"find", gm_cluster_find, "find the clusters that are nearest to given words"},
        {"compare", gm_cluster_compare, "do two atlases of the same documents say the same?"},
        {"report", gm_cluster_report, "write an atlas as an HTML page and as pictures"},
        {"assign", gm_cluster_assign, "place the documents of another trace on the map"},
        {"export", gm_cluster_export, "write an atlas for scanpy, as CSV, JSON or GraphML"},
        {"keywords", gm_cluster_keywords, "what the subsets or documents of a corpus are about"},
        {"matrix", gm_cluster_matrix, "map and cluster the rows of any matrix"},
        {NULL, NULL, NULL},
    };
    return gm_cli_main("gm-cluster", "find what the experts of a model are about", commands, argc,
                       argv);
}
