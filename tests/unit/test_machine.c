/* test_machine.c - limits of memory and processors: the machine's, those of control groups of both
 * versions, and ulimit's, read from a made-up /proc and /sys. */
#include "base/machine.h"
#include "tests/put_file.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ROOT/PATH with the folders above it. */
static void put(const char *path, const char *text)
{
    char folder[512];
    for (size_t i = 0; path[i]; i++) {
        if (path[i] != '/') continue;
        snprintf(folder, sizeof folder, "%.*s", (int)i, path);
        (void)mkdir(folder, 0777);
    }
    put_text(path, text);
}

#define MEMINFO "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\nBuffers: 7 kB\n"

static void check(const char *root, uint64_t total, uint64_t free, const char *by)
{
    gm_memory m = gm_machine_memory(root);
    CHECK_INT(m.total, total);
    CHECK_INT(m.free, free);
    CHECK_TEXT(m.free_by, by);
}

static void the_machine(void)
{
    check("nothing-there", UINT64_MAX, UINT64_MAX, "nobody");
    put("plain/proc/meminfo", MEMINFO);
    check("plain", 1024000, 614400, "this machine");
    put("plain/proc/self/cgroup", "0::/\n");
    put("plain/sys/fs/cgroup/memory.max", "max\n");
    put("plain/sys/fs/cgroup/memory.current", "5000\n");
    check("plain", 1024000, 614400, "this machine");
    gm_memory here = gm_machine_memory("");
    CHECK(here.free > 0 && here.free <= here.total && here.total < UINT64_MAX);
}

/* The strictest of a group and those above it; page cache can be taken back. */
static void version_2(void)
{
    put("two/proc/meminfo", MEMINFO);
    put("two/proc/self/cgroup", "1:name=systemd:/x\n0::/batch/job7\n");
    put("two/sys/fs/cgroup/batch/memory.max", "max\n"); /* in place of what a run left */
    put("two/sys/fs/cgroup/batch/job7/memory.max", "max\n");
    put("two/sys/fs/cgroup/batch/job7/memory.high", "500000\n");
    put("two/sys/fs/cgroup/batch/job7/memory.current", "100000\n");
    put("two/sys/fs/cgroup/batch/job7/memory.stat",
        "anon 5\nfile 9\ninactive_file 20000\nactive_file 30000\n");
    check("two", 500000, 450000, "its control group");
    put("two/sys/fs/cgroup/batch/memory.max", "300000\n");
    put("two/sys/fs/cgroup/batch/memory.current", "100000\n");
    check("two", 300000, 200000, "its control group");
    put("two/sys/fs/cgroup/batch/memory.current", "400000\n");
    check("two", 300000, 0, "its control group");
}

/* A container sees the path that its host gave it, and its own group at the mount. */
static void version_1(void)
{
    put("one/proc/meminfo", MEMINFO);
    put("one/proc/self/cgroup", "7:cpu,cpuacct:/\n5:memory:/docker/abc\n");
    put("one/sys/fs/cgroup/memory/memory.limit_in_bytes", "409600\n");
    put("one/sys/fs/cgroup/memory/memory.usage_in_bytes", "9600\n");
    put("one/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 600\n");
    check("one", 409600, 400600, "its control group");
    put("one/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
    put("one/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "0\n");
    check("one", 409600, 400600, "its control group");
    put("one/proc/self/cgroup", "5:memory\n:\n::\n0:\n");
    check("one", 1024000, 614400, "this machine");
}

/* Time of processors, of all groups above: the least. */
static void processors(void)
{
    CHECK(isinf(gm_machine_processors("nothing-there")));
    put("time/proc/self/cgroup", "3:cpuset:/a\n0::/batch/job7\n");
    put("time/sys/fs/cgroup/batch/cpu.max", "max 100000\n");
    put("time/sys/fs/cgroup/batch/job7/cpu.max", "");
    CHECK(isinf(gm_machine_processors("time")));
    put("time/sys/fs/cgroup/batch/job7/cpu.max", "250000 100000\n");
    CHECK_NEAR(gm_machine_processors("time"), 2.5, 0);
    put("time/sys/fs/cgroup/batch/cpu.max", "50000 200000\n");
    CHECK_NEAR(gm_machine_processors("time"), 0.25, 0);

    put("time1/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n2:cpuset:/\n");
    put("time1/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("time1/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    CHECK(isinf(gm_machine_processors("time1")));
    put("time1/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
    CHECK_NEAR(gm_machine_processors("time1"), 3, 0);
    CHECK(gm_machine_processors("") > 0);
}

/* In a process of its own: a limit cannot be raised again. */
static void ulimit_counts(void)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        put("limited/proc/self/status", "VmPeak: 9 kB\nVmSize:\t    100 kB\n");
        struct rlimit space = {.rlim_cur = 1UL << 46, .rlim_max = RLIM_INFINITY};
        bool fine = setrlimit(RLIMIT_AS, &space) == 0;
        gm_memory m = gm_machine_memory("limited");
        fine = fine && m.total == 1UL << 46 && m.free == (1UL << 46) - 102400 &&
               strcmp(m.free_by, "ulimit") == 0;
        _exit(fine ? 0 : 1);
    }
    int code = -1;
    CHECK(child > 0 && waitpid(child, &code, 0) == child && code == 0);
}

static void what_is_too_much_is_said_in_numbers(void)
{
    gm_error err = {0};
    CHECK_OK(gm_machine_spare(1, "a byte", &err), err);
    if (gm_machine_memory("").free == UINT64_MAX) TEST_SKIP("nobody limits this process");
    CHECK_FAILS(gm_machine_spare(UINT64_C(9000000000000000000), "a whale", &err), err, GM_EMEM,
                "a whale needs 9000 PB more, but ");
}

TESTS(TEST(the_machine), TEST(version_2), TEST(version_1), TEST(processors), TEST(ulimit_counts),
      TEST(what_is_too_much_is_said_in_numbers))
