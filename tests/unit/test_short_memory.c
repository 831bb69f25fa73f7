/* test_short_memory.c - whole commands while one allocation after the other fails:
 * exit code 1 and one sentence; no block, descriptor or temporary file stays; and
 * what has the output's name is complete.
 *
 * A command asks for thousands of blocks, most of them while it reads a tokenizer and
 * a checkpoint, whose own tests let every one fail. Here PROBES of them, evenly spread,
 * do; all of them with GM_EVERY_ALLOCATION=1 (minutes). Not under ThreadSanitizer: after some
 * 25 threads of one process clang 14's OpenMP crashes in its own end of a critical section.
 * label: long */
#include "base/outfile.h"
#include "base/text.h"
#include "cluster/cluster_commands.h"
#include "engine/tokenizer/tokenizer.h"
#include "probe/probe_commands.h"
#include "steer/steer_commands.h"
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MODEL  TEST_DATA "/golden/models/deepseek-tiny"
#define STATES TEST_DATA "/golden/models/qwen3-next-tiny"

enum { MAX_ARGUMENTS = 40, N_DOCUMENTS = 40, N_WORDS = 30, PROBES = 24 };

typedef struct command {
    int (*run)(int argc, char **argv);
    const char *program, *line; /* line: blanks between arguments, the command first */
    int code;                   /* when nothing fails: 3 where a check says no */
} command;

/* Run it with stdout dropped and stderr in the file "said"; its exit code. */
static int run_quietly(const command *c)
{
    char line[1024], *argv[MAX_ARGUMENTS + 1] = {NULL}, *rest = NULL;
    int argc = 0, kept[2];
    snprintf(line, sizeof line, "%s", c->line);
    for (char *word = strtok_r(line, " ", &rest); word && argc < MAX_ARGUMENTS;
         word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;

    fflush(NULL);
    int to[2] = {open("/dev/null", O_WRONLY), open("said", O_CREAT | O_TRUNC | O_WRONLY, 0666)};
    for (int i = 0; i < 2; i++) {
        kept[i] = dup(STDOUT_FILENO + i);
        CHECK(kept[i] >= 0 && dup2(to[i], STDOUT_FILENO + i) >= 0);
        close(to[i]);
    }
    int code = c->run(argc, argv);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        CHECK(dup2(kept[i], STDOUT_FILENO + i) >= 0);
        close(kept[i]);
    }
    return code;
}

/* Entries of a folder whose names hold `part`; "" counts all. */
static size_t count_entries(const char *path, const char *part)
{
    size_t n = 0;
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));) n += strstr(e->d_name, part) != NULL;
    if (folder) closedir(folder);
    return n;
}

/* What the command said, after warnings: "PROGRAM COMMAND: sentence about memory", one line. */
static void check_sentence(const command *c, long k)
{
    gm_text said = {0};
    gm_error err = {0};
    char start[64];
    snprintf(start, sizeof start, "%s %.*s: ", c->program, (int)strcspn(c->line, " "), c->line);
    CHECK_OK(gm_text_read_file(&said, "said", 1 << 16, &err), err);
    const char *line = said.n ? said.at : "", *end;
    while ((end = strchr(line, '\n')) && strncmp(line, "warning: ", 9) == 0) line = end + 1;
    if (end == NULL || end[1] || !strstr(line, "memory") ||
        strncmp(line, start, strlen(start)) != 0)
        TEST_FAILED_("%s allocation %ld fails: it said \"%s\"", start, k, said.n ? said.at : "");
    gm_text_clear(&said);
}

/* Whether `path` is not there or a file that `read`, a command, accepts. */
static bool is_whole_or_absent(const char *path, const command *read)
{
    return access(path, F_OK) != 0 || run_quietly(read) == read->code;
}

/* Run the command with the k-th allocation failing. */
static void check_one(const command *c, const char *output, const command *read, long k)
{
    long blocks = gm_alloc_live();
    size_t descriptors = count_entries("/proc/self/fd", "");
    CHECK(remove(output) == 0 || errno == ENOENT);
    gm_alloc_fail_after(k);
    int code = run_quietly(c);
    bool failed = gm_alloc_fail_after(-1) < 0;
    if (gm_alloc_live() != blocks)
        TEST_FAILED_("%.9s: allocation %ld fails: %ld blocks leak", c->line, k,
                     gm_alloc_live() - blocks);
    if (count_entries("/proc/self/fd", "") != descriptors)
        TEST_FAILED_("%.9s: allocation %ld fails: a descriptor leaks", c->line, k);
    if (count_entries(".", "tmp") != 0)
        TEST_FAILED_("%.9s: allocation %ld fails: a temporary file stays", c->line, k);
    if (code == 1 && failed)
        check_sentence(c, k);
    else if (code != c->code) /* the usual one: it can do without the block, as the regular
                                 expressions' JIT */
        TEST_FAILED_("%.9s: allocation %ld fails: exit code %d", c->line, k, code);
    if (!is_whole_or_absent(output, read))
        TEST_FAILED_("%.9s: allocation %ld fails: '%s' is left in pieces", c->line, k, output);
}

/* `output` is what the command writes and `read` a command that reads it. */
static void survives(const command *c, const char *output, const command *read)
{
    const long plenty = 1000000000;
    const char *every = getenv("GM_EVERY_ALLOCATION");
    CHECK_INT(run_quietly(c), c->code); /* what is made once is made here */
    gm_alloc_fail_after(plenty);
    CHECK_INT(run_quietly(c), c->code);
    long n = plenty - gm_alloc_fail_after(-1);
    const long some = test_small() ? PROBES / 2 : PROBES;
    long n_probes = every || n < some ? n : some;
    CHECK(n > 100);
    printf("  %.9s: %ld of %ld allocations fail\n", c->line, n_probes, n);
    for (long i = 0; i < n_probes && test_failures < 5; i++)
        check_one(c, output, read, i * n / n_probes);
    CHECK_INT(run_quietly(c), c->code); /* the next test's input */
}

/* ---- the commands ---- */

static void write_corpus(const char *path, unsigned state)
{
    static const char *const word[2][6] = {{"salt", "onion", "broth", "simmer", "bowl", "spoon"},
                                           {"sail", "anchor", "tide", "deck", "gale", "captain"}};
    gm_text text = {0};
    gm_error err = {0};
    for (int d = 0; d < N_DOCUMENTS; d++) {
        CHECK_OK(gm_text_add(&text, "{\"text\": \"", &err), err);
        for (int w = 0; w < N_WORDS; w++) {
            state = state * 1103515245 + 12345;
            CHECK_OK(gm_text_printf(&text, &err, "%s ", word[d % 2][(state >> 16) % 6]), err);
        }
        CHECK_OK(gm_text_printf(&text, &err, "\", \"meta\": {\"pile_set_name\": \"%s\"}}\n",
                                d % 2 ? "ships" : "soup"),
                 err);
    }
    CHECK_OK(gm_outfile_write(path, true, text.at, text.n, &err), err);
    gm_text_clear(&text);
}

static const command collect = {gm_probe_collect, "gm-probe",
                                "collect --model " MODEL " --corpus c.jsonl --min-tokens 20 "
                                "--doc-tokens 40 --quiet --force --threads 2 -o t.h5",
                                0};
static const command ablate = {gm_probe_ablate, "gm-probe",
                               "ablate --model " MODEL " --corpus c.jsonl --min-tokens 20 "
                               "--doc-tokens 40 --quiet --force --threads 2 --layer 2 --atlas a.h5 "
                               "--figure x.png -o x.csv",
                               0};
static const command lens = {gm_probe_lens, "gm-probe",
                             "lens --model " MODEL " --corpus c.jsonl --min-tokens 20 "
                             "--doc-tokens 40 --quiet --force --threads 2 --layer 2 "
                             "--vectors l.npy -o l.csv",
                             0};
static const command fit = {gm_cluster_fit, "gm-cluster",
                            "fit t.h5 -o a.h5 --min-cluster-size 5 --epochs 50 --quiet --force", 0};
static const command plan = {gm_steer_plan, "gm-steer",
                             "plan --atlas a.h5 --cluster 0 --json --force -o p.st", 0};
static const command generate = {gm_steer_generate, "gm-steer",
                                 "generate --model " MODEL " --prompt salt --plan p.st --quiet "
                                 "--max-tokens 4 --record r.h5 --force --threads 2",
                                 0};

/* A topic, and random experts that a model of random weights does not fall behind. */
#define SWEEP                                                                                 \
    "sweep --model " MODEL " --atlas a.h5 --classifier-corpus o.jsonl --quiet --prompt salt " \
    "--tune-prompts p.txt --max-tokens 4 --threads 2 --doses 1,2 --draws 1 --band-draws 0 "   \
    "--shuffles 0 --passages 1 --n-clusters 1 -o s.h5 "
static const command sweep = {gm_steer_sweep, "gm-steer",
                              SWEEP "--force --csv s.csv --report s.html", 3};

static const command collect_states = {gm_probe_collect, "gm-probe",
                                       "collect --model " STATES " --stream --corpus c.jsonl "
                                       "--min-tokens 20 --doc-tokens 40 --quiet --force "
                                       "--threads 2 -o t.h5",
                                       0};

static const command read_sweep = {gm_steer_sweep, "gm-steer", SWEEP "--resume", 3};
static const command read_trace = {gm_probe_verify, "gm-probe", "verify t.h5", 0};
static const command read_atlas = {gm_cluster_show, "gm-cluster", "show a.h5", 0};
static const command read_plan = {gm_steer_plan, "gm-steer", "plan p.st", 0};
static const command read_table = {gm_probe_ablate, "gm-probe",
                                   "ablate --model " MODEL " --corpus c.jsonl --min-tokens 20 "
                                   "--doc-tokens 40 --quiet --experts x.csv",
                                   0};
static const command read_lens = {gm_probe_ablate, "gm-probe",
                                  "ablate --model " MODEL " --corpus c.jsonl --min-tokens 20 "
                                  "--doc-tokens 40 --quiet --experts l.csv",
                                  0};
static const command read_recorded = {gm_probe_info, "gm-probe", "info r.h5", 0};

static void collect_survives(void)
{
    write_corpus("c.jsonl", 1);
    survives(&collect, "t.h5", &read_trace);
}
static void fit_survives(void)
{
    survives(&fit, "a.h5", &read_atlas);
}
static void ablate_survives(void)
{
    survives(&ablate, "x.csv", &read_table);
}
static void lens_survives(void)
{
    survives(&lens, "l.csv", &read_lens);
}
static void plan_survives(void)
{
    survives(&plan, "p.st", &read_plan);
}
static void generate_survives(void)
{
    survives(&generate, "r.h5", &read_recorded);
}
static void sweep_survives(void)
{
    gm_error err = {0};
    write_corpus("o.jsonl", 2);
    CHECK_OK(gm_outfile_write("p.txt", true, "broth\n", 6, &err), err);
    survives(&sweep, "s.h5", &read_sweep);
}

static void collect_with_states_survives(void)
{
    survives(&collect_states, "t.h5", &read_trace);
}

TESTS(TEST(collect_survives), TEST(fit_survives), TEST(ablate_survives), TEST(lens_survives),
      TEST(plan_survives), TEST(generate_survives), TEST(sweep_survives),
      TEST(collect_with_states_survives))
