/* probe_commands.h - the commands of gm-probe; argv[0] is the command, the result an exit
 * code. */
#ifndef GM_PROBE_COMMANDS_H
#define GM_PROBE_COMMANDS_H

int gm_probe_collect(int argc, char **argv);
int gm_probe_info(int argc, char **argv);
int gm_probe_verify(int argc, char **argv);
int gm_probe_read(int argc, char **argv);
int gm_probe_stats(int argc, char **argv);
int gm_probe_contrast(int argc, char **argv);
int gm_probe_ablate(int argc, char **argv);
int gm_probe_lens(int argc, char **argv);
int gm_probe_merge(int argc, char **argv);
int gm_probe_export(int argc, char **argv);
int gm_probe_import(int argc, char **argv);
int gm_probe_tokenize(int argc, char **argv);

#endif
