/* test_cli.c - option tables, help, exit codes, dispatch, signals. */
#include "base/cli.h"
#include "base/cli_nearest.h"
#include "base/text.h"
#include "tests/put_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    bool flag, on;
    const char *text;
    gm_opt_list list;
    int64_t n, large;
    double x;
    int device;
    const char *out;
} got;

static const gm_opt opts[] = {
    {GM_OPT_GROUP, "", NULL, 0, 0, NULL, "Input"},
    {GM_OPT_FLAG, "flag", &got.flag, 0, 0, NULL, "a flag"},
    {GM_OPT_FLAG, "on", &got.on, 0, 0, NULL, "a flag that is on"},
    {GM_OPT_TEXT, "text", &got.text, 0, 0, "TEXT", "a text"},
    {GM_OPT_LIST, "list", &got.list, 0, 0, "FILE", "a list"},
    {GM_OPT_I64, "number", &got.n, 1, 100, "N",
     "a number whose help is so long that it has to be wrapped"},
    {GM_OPT_I64, "large", &got.large, 0, 9007199254740992.0, "N", "a large number"},
    {GM_OPT_F64, "fraction", &got.x, 0, 0, "X", "any number"},
    {GM_OPT_CHOICE, "device", &got.device, 0, 0, "auto|cpu|cuda", "a choice"},
    {GM_OPT_TEXT, "o", &got.out, 0, 0, "FILE", "the output"},
    {.kind = GM_OPT_END_},
};

enum { MAX_WORDS = 32 };

static void set_defaults(void)
{
    gm_opt_list_clear(&got.list);
    memset(&got, 0, sizeof got);
    got.text = "short", got.on = true, got.n = 5, got.x = 0.5, got.device = 1;
}

/* Parse the words of `line`; what is left stands in left[0..*n_left). */
static gm_status parse(char *line, char *left[MAX_WORDS], int *n_left, gm_error *err)
{
    char *argv[MAX_WORDS + 1] = {"command"};
    int argc = 1;
    set_defaults();
    for (char *word = strtok(line, " "); word != NULL && argc < MAX_WORDS; word = strtok(NULL, " "))
        argv[argc++] = word;
    gm_status status = gm_opt_parse("prog command [OPTIONS]", NULL, opts, &argc, argv, err);
    *n_left = argc - 1;
    for (int i = 1; i < argc; i++) left[i - 1] = argv[i];
    return status;
}

static void options_and_arguments_may_be_mixed(void)
{
    char line[] = "a --flag --number 7 b --text=x=y --no-on -o f --list 1 --list=2 - -- --text c";
    char *left[MAX_WORDS];
    int n_left = 0;
    gm_error err = {0};
    CHECK_OK(parse(line, left, &n_left, &err), err);
    CHECK_INT(n_left, 5);
    static const char *const want[] = {"a", "b", "-", "--text", "c"};
    for (int i = 0; i < 5; i++) CHECK_TEXT(left[i], want[i]);
    CHECK(got.flag && !got.on);
    CHECK_INT(got.n, 7);
    CHECK_TEXT(got.text, "x=y");
    CHECK_TEXT(got.out, "f");
    CHECK_INT(got.list.n, 2);
    CHECK_TEXT(got.list.at[0], "1");
    CHECK_TEXT(got.list.at[1], "2");
    CHECK_NEAR(got.x, 0.5, 0); /* defaults stay */
    CHECK_INT(got.device, 1);
    gm_opt_list_clear(&got.list);
}

/* Of an option that is given twice the last counts. */
static void values_may_begin_with_a_dash(void)
{
    char line[] = "--fraction 9 --fraction -2.5 --device cpu --device cuda --text=a --text=--flag";
    char *left[MAX_WORDS];
    int n_left = 0;
    gm_error err = {0};
    CHECK_OK(parse(line, left, &n_left, &err), err);
    CHECK_NEAR(got.x, -2.5, 0);
    CHECK_INT(got.device, 2);
    CHECK_TEXT(got.text, "--flag");
    CHECK(!got.flag);
}

static void what_is_wrong_is_named(void)
{
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"--numbr 7", "unknown option '--numbr'; did you mean '--number'?"},
        {"--zzzzzz", "unknown option '--zzzzzz'"},
        {"-x", "unknown option '-x'"},
        {"-flag", "unknown option '-flag'; did you mean '--flag'?"},
        {"--no-text", "unknown option '--no-text'"},
        {"--=1", "unknown option '--'"},
        {"--number", "--number needs a value (N)"},
        {"--number 0", "--number is 0, expected 1 to 100"},
        {"--number 101", "--number is 101, expected 1 to 100"},
        {"--number 7x", "--number is '7x', expected an integer"},
        {"--number=", "--number is '', expected an integer"},
        {"--fraction nan", "--fraction is 'nan', expected a finite number"},
        {"--fraction inf", "--fraction is 'inf', expected a finite number"},
        {"--fraction 1,5", "--fraction is '1,5'"},
        {"--device gpu", "--device is 'gpu', expected one of auto|cpu|cuda"},
        {"--device cp", "--device is 'cp'"},
        {"--flag=yes", "--flag takes no value"},
        {"--text --flag", "--text needs a value (TEXT), found the option '--flag'"},
        {"--text --no-on", "if that is the value, write --text=--no-on"},
        {"-o --number 7", "-o needs a value (FILE), found the option '--number'"},
        {"-o --help", "found the option '--help'"},
        {"--o f", "unknown option '--o'"},
        {"--large -1", "--large is -1, expected 0 to 2^53"},
        {"--large 9007199254740993", "--large is 9007199254740993, expected 0 to 2^53"},
        {"--large 9223372036854775807", "--large is 9223372036854775807, expected 0 to 2^53"},
        {"-a=b.h5", "unknown option '-a=b.h5'; to name the file, write './-a=b.h5'"},
    };
    put_text("-a=b.h5", "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[64], *left[MAX_WORDS];
        int n_left;
        gm_error err;
        (void)snprintf(line, sizeof line, "%s", cases[i].line);
        CHECK_FAILS(parse(line, left, &n_left, &err), err, GM_EARG, cases[i].part);
    }
}

static gm_status parse_list(void *state, gm_error *err)
{
    (void)state;
    char line[] = "--list 1 --list 2", *left[MAX_WORDS];
    int n_left;
    gm_status status = parse(line, left, &n_left, err);
    gm_opt_list_clear(&got.list);
    return status;
}

static void every_allocation_may_fail(void)
{
    check_every_allocation(parse_list, NULL);
}

static void the_command_line_is_kept(void)
{
    char *argv[] = {"collect", "--model", "a b"};
    gm_text line = {0};
    gm_error err = {0};
    CHECK_OK(gm_cli_line(&line, "gm-probe", 3, argv, &err), err);
    CHECK_TEXT(line.at, "gm-probe collect --model a b");
    gm_text_clear(&line);
}

static void the_nearest_name_is_found(void)
{
    gm_nearest nearest = gm_nearest_to("stear");
    gm_nearest_offer(&nearest, "start");
    gm_nearest_offer(&nearest, "steer");
    gm_nearest_offer(&nearest, "stew");
    CHECK_TEXT(nearest.name, "steer");
    CHECK_INT(nearest.distance, 1);
    nearest = gm_nearest_to("abc");
    gm_nearest_offer(&nearest, "xyz");
    CHECK(nearest.name == NULL);
}

/* ---- programs: run in a child, whose output comes back ---- */

static int cmd_hello(int argc, char **argv)
{
    printf("hello %d %s\n", argc, argv[argc - 1]);
    return GM_EXIT_CHECK;
}

static int cmd_options(int argc, char **argv)
{
    gm_error err = {0};
    gm_status status =
        gm_opt_parse("prog options [OPTIONS]", "Examples:\n  none", opts, &argc, argv, &err);
    return gm_cli_end("prog", "options", status, status == GM_EARG, &err);
}

/* Uses a mapped file that has been cut short, as weights on a failing disk. */
static int cmd_fault(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    int fd = open("mapped", O_RDWR | O_CREAT, 0666);
    if (fd < 0 || ftruncate(fd, 4096) != 0) return 90;
    volatile const char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || ftruncate(fd, 0) != 0) return 91;
    return at[100];
}

/* The descriptor that the first file gets. */
static int cmd_descriptor(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return 100 + open("opened", O_RDWR | O_CREAT, 0666);
}

/* As a text that is shown token by token; what fails later has nothing to do with it. */
static int cmd_pieces(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("a piece");
    (void)fflush(stdout);
    return open("absent", O_RDONLY) < 0 ? GM_EXIT_OK : 90;
}

static const gm_command commands[] = {
    {"hello", cmd_hello, "say hello"},
    {"fault", cmd_fault, "use what is not there"},
    {"descriptor", cmd_descriptor, "open a file"},
    {"options", cmd_options, "read options"},
    {"pieces", cmd_pieces, "print at once"},
    {NULL, NULL, NULL},
};

typedef struct run_result {
    int code;
    gm_text out, err;
} run_result;

static run_result run(const char *stdout_path, char *a, char *b)
{
    run_result result = {.code = -1};
    gm_error err = {0};
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {"prog", a, b, NULL};
        if (freopen(stdout_path, "w", stdout) == NULL || freopen("err", "w", stderr) == NULL)
            _exit(99);
        int code = gm_cli_main("prog", "tests things", commands,
                               a == NULL   ? 1
                               : b == NULL ? 2
                                           : 3,
                               argv);
        fflush(stderr);
        _exit(code);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    result.code = WEXITSTATUS(status);
    if (strcmp(stdout_path, "out") == 0)
        CHECK_OK(gm_text_read_file(&result.out, stdout_path, 1 << 20, &err), err);
    CHECK_OK(gm_text_read_file(&result.err, "err", 1 << 20, &err), err);
    return result;
}

static void check_run(char *a, char *b, int code, const char *out_part, const char *err_part)
{
    run_result result = run("out", a, b);
    CHECK_INT(result.code, code);
    CHECK_HAS(result.out.at, out_part);
    CHECK_HAS(result.err.at, err_part);
    if (code == 0) CHECK_TEXT(result.err.at, "");
    if (*out_part == '\0') CHECK_TEXT(result.out.at, "");
    gm_text_clear(&result.out);
    gm_text_clear(&result.err);
}

static void programs_dispatch_by_table(void)
{
    check_run("hello", "you", 3, "hello 2 you", "");
    check_run("--help", NULL, 0, "  hello      say hello\n", "");
    check_run(NULL, NULL, 2, "", "Usage: prog COMMAND");
    check_run("helo", NULL, 2, "", "prog: unknown command 'helo'; did you mean 'hello'?");
    check_run("--version", NULL, 0, "prog 0.", "");
    check_run("--version", "--json", 0, "{\"program\":\"prog\",\"version\":\"0.", "");
    check_run("--version", "--xml", 2, "", "unknown command '--version'");
    check_run("fault", NULL, GM_EXIT_ERROR, "", "can no longer be read");
}

/* Else what is printed would land in the file. */
static void closed_descriptors_are_not_given_to_files(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {"prog", "descriptor", NULL};
        for (int fd = 0; fd <= 2; fd++) close(fd);
        _exit(gm_cli_main("prog", "tests things", commands, 2, argv));
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) > 102);
}

static void help_comes_from_the_table(void)
{
    set_defaults();
    check_run("options", "--help", 0, "Usage: prog options [OPTIONS]\n\nInput:\n  --flag ", "");
    check_run("options", "--help", 0, "  -o FILE                   the output\n", "");
    check_run("options", "--help", 0,
              "  --number N                a number whose help is so long that it has to be\n"
              "                            wrapped (default 5; 1 to 100)\n",
              "");
    check_run("options", "--help", 0, "a choice (default cpu)", "");
    check_run("options", "--help", 0, "any number (default 0.5)", "");
    check_run("options", "--help", 0, "a large number (default 0; 0 to 2^53)", "");
    check_run("options", "--help", 0, "a text (default short)\n", "");
    check_run("options", "--help", 0, "  --no-on                   a flag that is on\n", "");
    check_run("options", "--help", 0, "  --no-FLAG                 turn a flag off again\n", "");
    check_run("options", "--help", 0, "\n\nExamples:\n  none\n", "");
    check_run("options", "--bad", 2, "",
              "prog options: unknown option '--bad'\nTry 'prog options --help'.\n");
}

static void a_full_disk_is_a_failure(void)
{
    run_result result = run("/dev/full", "--help", NULL);
    CHECK_INT(result.code, GM_EXIT_ERROR);
    CHECK_HAS(result.err.at, "cannot write standard output: No space left");
    gm_text_clear(&result.err);
    result = run("/dev/full", "pieces", NULL);
    CHECK_INT(result.code, GM_EXIT_ERROR);
    CHECK_TEXT(result.err.at, "prog: cannot write standard output: part of it is lost\n");
    gm_text_clear(&result.err);
}

static void statuses_become_exit_codes(void)
{
    gm_error err = {0};
    (void)gm_fail(&err, GM_EIO, "expected noise of a test");
    CHECK_INT(gm_cli_end("p", "c", GM_OK, false, &err), 0);
    CHECK_INT(gm_cli_end("p", "c", GM_EHELP, true, &err), 0);
    CHECK_INT(gm_cli_end("p", "c", GM_EIO, true, &err), 1);
    CHECK_INT(gm_cli_end("p", "c", GM_EARG, false, &err), 1);
    CHECK_INT(gm_cli_end("p", "c", GM_EARG, true, &err), 2);
    CHECK_INT(gm_cli_end("p", "c", GM_ECHECK, false, NULL), 3);
    CHECK_INT(gm_cli_end("p", "c", GM_EINTERRUPTED, false, NULL), 130);
}

static void the_first_signal_sets_a_flag_and_the_second_ends(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        gm_catch_signals();
        if (gm_interrupted() != 0) _exit(90);
        raise(SIGTERM);
        if (gm_interrupted() != SIGTERM) _exit(91);
        if (freopen("err", "w", stderr) == NULL) _exit(92);
        if (gm_cli_end("p", "c", GM_EINTERRUPTED, false, NULL) != GM_EXIT_SIGTERM) _exit(93);
        raise(SIGINT);
        _exit(94); /* not reached */
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

TESTS(TEST(the_command_line_is_kept), TEST(options_and_arguments_may_be_mixed),
      TEST(values_may_begin_with_a_dash), TEST(what_is_wrong_is_named),
      TEST(every_allocation_may_fail), TEST(the_nearest_name_is_found),
      TEST(programs_dispatch_by_table), TEST(help_comes_from_the_table),
      TEST(a_full_disk_is_a_failure), TEST(closed_descriptors_are_not_given_to_files),
      TEST(statuses_become_exit_codes), TEST(the_first_signal_sets_a_flag_and_the_second_ends))
