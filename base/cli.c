/* cli.c - programs made of commands: dispatch, help, exit codes, signals. */
#include "base/cli.h"

#include "base/cli_nearest.h"
#include "base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- signals ---- */

static volatile sig_atomic_t caught_signal;

static void on_signal(int number)
{
    caught_signal = number;
    /* The next one ends the process: for people whose patience has ended. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

void gm_catch_signals(void)
{
    /* Without SA_RESTART: a read from the keyboard returns at once. */
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int gm_interrupted(void)
{
    return caught_signal;
}

bool gm_interrupt_taken(void)
{
    if (caught_signal != SIGINT) return false;
    caught_signal = 0;
    gm_catch_signals(); /* the first one has set them back */
    return true;
}

/* Weights are mapped: a file that is cut short, or a disk that fails, while they are used
 * ends the process here. */
static void on_bus_error(int number)
{
    static const char text[] = "a memory-mapped file (such as the weights) can no longer be read: "
                               "it was truncated, or its disk failed\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(GM_EXIT_ERROR);
}

/* ---- the beginning and the end of a command ---- */

gm_status gm_cli_line(gm_text *text, const char *program, int argc, char **argv, gm_error *err)
{
    gm_status status = gm_text_add(text, program, err);
    for (int i = 0; status == GM_OK && i < argc; i++)
        status = gm_text_printf(text, err, " %s", argv[i]);
    return status;
}

gm_status gm_cli_print_json(gm_json_out *json, gm_error *err)
{
    const gm_status status = gm_json_out_done(json, err);
    if (status == GM_OK) {
        (void)!fwrite(json->text.at, 1, json->text.n, stdout);
        putchar('\n');
    }
    gm_text_clear(&json->text);
    return status;
}

int gm_cli_end(const char *program, const char *command, gm_status status, bool usage,
               const gm_error *err)
{
    if (status == GM_OK || status == GM_EHELP) return GM_EXIT_OK;

    const char *text = err != NULL && err->text[0] != '\0' ? err->text : gm_status_text(status);
    fprintf(stderr, "%s %s: %s\n", program, command, text);
    if (status == GM_EARG && usage) {
        fprintf(stderr, "Try '%s %s --help'.\n", program, command);
        return GM_EXIT_USAGE;
    }
    if (status == GM_ECHECK) return GM_EXIT_CHECK;
    if (status == GM_EINTERRUPTED)
        return gm_interrupted() == SIGTERM ? GM_EXIT_SIGTERM : GM_EXIT_SIGINT;
    return GM_EXIT_ERROR;
}

/* ---- dispatch ---- */

static void print_help(FILE *to, const char *program, const char *about, const gm_command *commands)
{
    fprintf(to, "%s - %s\n\nUsage: %s COMMAND [OPTIONS]\n\nCommands:\n", program, about, program);
    for (const gm_command *c = commands; c->name != NULL; c++)
        fprintf(to, "  %-10s %s\n", c->name, c->help);
    fprintf(to,
            "\n'%s COMMAND --help' explains a command; '%s --version [--json]' says how\n"
            "this program was built.\n",
            program, program);
}

static int print_version(const char *program, bool json)
{
    gm_json_out out = {0};
    gm_error err = {0};

    if (!json) {
        printf("%s %s (commit %s, %s)\n", program, gm_version, gm_build_commit, gm_compiler);
        return GM_EXIT_OK;
    }
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "program", program);
    gm_version_put(&out);
    gm_json_close_object(&out);
    return gm_cli_end(program, "--version", gm_cli_print_json(&out, &err), false, &err);
}

static int unknown_command(const char *program, const gm_command *commands, const char *word)
{
    char advice[GM_ADVICE_BYTES];
    gm_nearest nearest = gm_nearest_to(word);
    for (const gm_command *c = commands; c->name != NULL; c++) gm_nearest_offer(&nearest, c->name);
    fprintf(stderr, "%s: unknown command '%s'%s\nTry '%s --help'.\n", program, word,
            gm_nearest_advice(&nearest, "", advice), program);
    return GM_EXIT_USAGE;
}

static int dispatch(const char *program, const char *about, const gm_command *commands, int argc,
                    char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout, program, about, commands);
        return GM_EXIT_OK;
    }
    if (strcmp(word, "--version") == 0 && argc <= 3) {
        bool json = argc == 3 && strcmp(argv[2], "--json") == 0;
        if (argc == 2 || json) return print_version(program, json);
    }
    if (*word == '\0') {
        print_help(stderr, program, about, commands);
        return GM_EXIT_USAGE;
    }
    for (const gm_command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, word) == 0) return c->run(argc - 1, argv + 1);
    return unknown_command(program, commands, word);
}

/* A descriptor that the caller closed would be given to the first file opened, and what is
 * printed would land in a trace. They are opened the wrong way round: using one fails. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int gm_cli_main(const char *program, const char *about, const gm_command *commands, int argc,
                char **argv)
{
    fill_standard_descriptors();
    signal(SIGBUS, on_bus_error);
    signal(SIGXFSZ, SIG_IGN); /* ulimit -f: the write that fails says so */
    int code = dispatch(program, about, commands, argc, argv);

    /* A full disk shows up only now, or was met before, when nobody kept the reason; do not report
     * success over lost output. */
    const bool lost = ferror(stdout) != 0, fails = fclose(stdout) != 0;
    if ((lost || fails) && code == GM_EXIT_OK) {
        fprintf(stderr, "%s: cannot write standard output: %s\n", program,
                fails ? strerror(errno) : "part of it is lost");
        code = GM_EXIT_ERROR;
    }
    return code;
}
