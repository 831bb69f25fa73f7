/* cli.h - the command line: programs made of commands, commands made of option
 * tables, help printed from the same tables.
 *
 * GNU long options (--name VALUE, --name=VALUE) and -o; options and positional
 * arguments may be mixed, "--" ends the options. Of an option given twice the last counts, unless
 * it is a list. Numbers are read whole and checked against the row's range.
 */
#ifndef GM_CLI_H
#define GM_CLI_H

#include "base/json.h"

enum {
    GM_EXIT_OK = 0,
    GM_EXIT_ERROR = 1, /* could not */
    GM_EXIT_USAGE = 2,
    GM_EXIT_CHECK = 3, /* done, and a check says no */
    GM_EXIT_SIGINT = 130,
    GM_EXIT_SIGTERM = 143
};

typedef enum gm_opt_kind {
    GM_OPT_END_,  /* last row */
    GM_OPT_GROUP, /* heading: only `help` is used */
    GM_OPT_FLAG,  /* bool *: --name sets true, --no-name sets false; one that is true is shown as
                   * --no-name, and `help` says what that does */
    GM_OPT_TEXT,  /* const char **: points into argv */
    GM_OPT_LIST,  /* gm_opt_list *: may be repeated */
    GM_OPT_I64,   /* int64_t *, lo..hi */
    GM_OPT_F64,   /* double *, lo..hi; never NaN */
    GM_OPT_CHOICE /* int *: index into `arg` = "auto|cpu|cuda" */
} gm_opt_kind;

typedef struct gm_opt_list {
    const char **at; /* borrowed texts of argv; the array is gm_alloc'd */
    size_t n;
} gm_opt_list;

typedef struct gm_opt {
    gm_opt_kind kind;
    const char *name; /* without the dashes; a single letter is taken as -x */
    void *value;      /* holds the default before, the choice after */
    double lo, hi;    /* range of numbers, inclusive; ignored when both are 0 */
    const char *arg;  /* "FILE", "N"; choices separated by '|' for GM_OPT_CHOICE */
    const char *help; /* one sentence; default and range are appended */
} gm_opt;

typedef struct gm_command {
    const char *name;                  /* NULL ends the table */
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns an exit code */
    const char *help;                  /* one line */
} gm_command;

/* Read the options of argv[1..argc) into the rows' values; what is left are the
 * positional arguments, argv[1..*argc). `synopsis` is the first line of --help:
 * "gm-probe collect --model DIR --corpus FILE... -o FILE". `details` (may be
 * NULL) is printed after the options: examples, what the defaults mean.
 * GM_EHELP after --help was printed; GM_EARG for anything wrong (the message
 * names the option, what was given and what is allowed, and the nearest name
 * when a name is unknown). */
gm_status gm_opt_parse(const char *synopsis, const char *details, const gm_opt *opts, int *argc,
                       char **argv, gm_error *err) GM_MUST_USE;
void gm_opt_list_clear(gm_opt_list *list);

/* The k-th of "auto|cpu|cuda": its start, and its length in *n; NULL past the end. */
const char *gm_opt_choice(const char *choices, int k, size_t *n);

/* Append the command line, "gm-probe collect --model ...", to *text; before parsing, which
 * reorders argv. argv[0] is the command's name. GM_EMEM. */
gm_status gm_cli_line(gm_text *text, const char *program, int argc, char **argv, gm_error *err)
    GM_MUST_USE;

/* What was written, as a line on standard output; *json is cleared. Errors: those of
 * gm_json_out_done, and nothing is printed then. */
gm_status gm_cli_print_json(gm_json_out *json, gm_error *err) GM_MUST_USE;

/* Turn the way a command ended into its exit code, printing "gm-probe collect:
 * sentence" on stderr for failures (EHELP: 0; EARG from option parsing is
 * reported by the caller passing usage=true: 2; ECHECK: 3; EINTERRUPTED: 130 or
 * 143 by gm_interrupted). */
int gm_cli_end(const char *program, const char *command, gm_status status, bool usage,
               const gm_error *err);

/* Dispatch: --help, --version [--json], unknown commands with the nearest name;
 * flushes stdout at the end and fails when that fails (a full disk). */
int gm_cli_main(const char *program, const char *about, const gm_command *commands, int argc,
                char **argv);

/* SIGINT and SIGTERM set a flag; gm_interrupted gives the signal's number or 0.
 * A second signal ends the process at once. */
void gm_catch_signals(void);
int gm_interrupted(void);

/* True when there was a SIGINT, which is then forgotten: it ends what was being done, not the
 * program. */
bool gm_interrupt_taken(void);

#endif
