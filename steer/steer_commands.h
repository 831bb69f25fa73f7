/* steer_commands.h - the commands of gm-steer; argv[0] is the command, the result an exit code. */
#ifndef GM_STEER_COMMANDS_H
#define GM_STEER_COMMANDS_H

int gm_steer_plan(int argc, char **argv);
int gm_steer_generate(int argc, char **argv);
int gm_steer_compare(int argc, char **argv);
int gm_steer_sweep(int argc, char **argv);
int gm_steer_serve(int argc, char **argv);

#endif
