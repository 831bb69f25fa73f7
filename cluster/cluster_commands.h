/* cluster_commands.h - the commands of gm-cluster; argv[0] is the command, the result an exit
 * code. */
#ifndef GM_CLUSTER_COMMANDS_H
#define GM_CLUSTER_COMMANDS_H

int gm_cluster_fit(int argc, char **argv);
int gm_cluster_recut(int argc, char **argv);
int gm_cluster_show(int argc, char **argv);
int gm_cluster_compare(int argc, char **argv);
int gm_cluster_find(int argc, char **argv);
int gm_cluster_report(int argc, char **argv);
int gm_cluster_assign(int argc, char **argv);
int gm_cluster_export(int argc, char **argv);
int gm_cluster_matrix(int argc, char **argv);
int gm_cluster_keywords(int argc, char **argv);

#endif
