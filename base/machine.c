/* machine.c - limits of memory and processors, see machine.h.
 *
 * Source: Linux, Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.high, memory.current,
 * memory.stat, cpu.max), cgroup-v1/memory.rst (memory.limit_in_bytes, ...) and
 * scheduler/sched-bwc.rst (cpu.cfs_quota_us, cpu.cfs_period_us).
 */
#include "base/machine.h"

#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* The beginning of a file of /proc or /sys, which are small; "" when it cannot be read. No
 * gm_alloc: looking at limits cannot fail. */
typedef struct contents {
    char at[16384];
} contents;

static void slurp(contents *text, const char *root, const char *folder, const char *name)
{
    char path[4096];
    size_t n = 0;
    text->at[0] = '\0';
    if (snprintf(path, sizeof path, "%s/%s/%s", root, folder, name) >= (int)sizeof path) return;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return;
    n = fread(text->at, 1, sizeof text->at - 1, file);
    text->at[n] = '\0';
    fclose(file);
}

/* The number after `key` at the start of a line; false when there is none. */
static bool find_number(const contents *text, const char *key, uint64_t *out)
{
    const size_t n = strlen(key);
    for (const char *line = text->at; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, n) != 0) continue;
        const char *digits = line + n + strspn(line + n, " \t");
        char number[24] = "";
        size_t length = strspn(digits, "0123456789");
        if (length >= sizeof number) continue;
        memcpy(number, digits, length);
        return gm_parse_u64(number, out);
    }
    return false;
}

/* A file that holds one number; "max" and what cannot be read are none. */
static bool read_number(const char *root, const char *folder, const char *name, uint64_t *out)
{
    contents text;
    slurp(&text, root, folder, name);
    return find_number(&text, "", out);
}

static void limit(gm_memory *m, uint64_t total, uint64_t used, const char *by)
{
    const uint64_t left = total > used ? total - used : 0;
    if (total < m->total) m->total = total, m->total_by = by;
    if (left < m->free) m->free = left, m->free_by = by;
}

static void limit_by_machine(gm_memory *m, const char *root)
{
    contents text;
    uint64_t total, available;
    slurp(&text, root, "proc", "meminfo");
    if (find_number(&text, "MemTotal:", &total) && find_number(&text, "MemAvailable:", &available))
        limit(m, total * 1024, total > available ? (total - available) * 1024 : 0, "this machine");
}

/* ---- control groups ---- */

/* Told of every group that this process is in: its folder below ROOT, and the version. */
typedef void looking(void *limits, const char *root, const char *folder, int version);

/* The group `path` below `mount`, and all above it. A container may see a path that is its
 * host's: what does not exist is passed over, and the mount's own folder is the container's. */
static void look_at_groups(looking *look, void *limits, const char *root, const char *mount,
                           const char *path, size_t n_path, int version)
{
    for (size_t n = n_path;;) {
        char folder[2048];
        while (n > 0 && path[n - 1] == '/') n--;
        int length = snprintf(folder, sizeof folder, "%s%.*s", mount, (int)n, path);
        if (length < (int)sizeof folder) look(limits, root, folder, version);
        if (n == 0) return;
        while (n > 0 && path[n - 1] != '/') n--;
    }
}

/* Is `kind` in the list "cpu,cpuacct" of n bytes? */
static bool names(const char *list, size_t n, const char *kind)
{
    const size_t length = strlen(kind);
    for (const char *at = list, *end = list + n; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const size_t item = (size_t)((comma ? comma : end) - at);
        if (item == length && memcmp(at, kind, length) == 0) return true;
        at += item + 1;
    }
    return false;
}

/* The groups that limit `kind`, "memory" or "cpu". Lines "4:cpu,cpuacct:/a/b" (version 1) and
 * "0::/a/b" (version 2). */
static void look_at_control_groups(looking *look, void *limits, const char *root, const char *kind)
{
    contents text;
    char mount[64];
    slurp(&text, root, "proc/self", "cgroup");
    for (const char *line = text.at; line && *line;) {
        const char *end = line + strcspn(line, "\n"), *kinds = strchr(line, ':');
        const char *path = kinds && kinds < end ? strchr(kinds + 1, ':') : NULL;
        if (path && path < end) {
            const size_t n_kinds = (size_t)(path - kinds - 1), n = (size_t)(end - path - 1);
            if (n_kinds == 0) {
                look_at_groups(look, limits, root, "sys/fs/cgroup", path + 1, n, 2);
                look_at_groups(look, limits, root, "sys/fs/cgroup/unified", path + 1, n, 2);
            } else if (names(kinds + 1, n_kinds, kind) && n_kinds < 32) {
                (void)snprintf(mount, sizeof mount, "sys/fs/cgroup/%.*s", (int)n_kinds, kinds + 1);
                look_at_groups(look, limits, root, mount, path + 1, n, 1);
            }
        }
        line = *end ? end + 1 : end;
    }
}

/* ---- memory ---- */

typedef struct group_files {
    const char *max[2], *used, *inactive, *active; /* names of files, and keys of memory.stat */
} group_files;

static const group_files VERSION_1 = {
    {"memory.limit_in_bytes", NULL},
    "memory.usage_in_bytes",
    "total_inactive_file ",
    "total_active_file ",
};
static const group_files VERSION_2 = {
    {"memory.max", "memory.high"}, "memory.current", "inactive_file ", "active_file "};

static void limit_by_group(void *limits, const char *root, const char *folder, int version)
{
    const group_files *files = version == 1 ? &VERSION_1 : &VERSION_2;
    contents stat;
    uint64_t max, used = 0, cached;
    if (!read_number(root, folder, files->used, &used)) return;
    slurp(&stat, root, folder, "memory.stat");
    if (find_number(&stat, files->inactive, &cached)) used -= cached < used ? cached : used;
    if (find_number(&stat, files->active, &cached)) used -= cached < used ? cached : used;
    for (int i = 0; i < 2 && files->max[i]; i++)
        if (read_number(root, folder, files->max[i], &max))
            limit(limits, max, used, "its control group");
}

/* ulimit -v, and what of it is mapped already. */
static void limit_by_ulimit(gm_memory *m, const char *root)
{
    struct rlimit space;
    uint64_t used = 0;
    if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY) return;
    contents status;
    slurp(&status, root, "proc/self", "status");
    if (find_number(&status, "VmSize:", &used)) used *= 1024;
    limit(m, space.rlim_cur, used, "ulimit");
}

gm_memory gm_machine_memory(const char *root)
{
    gm_memory m = {UINT64_MAX, UINT64_MAX, "nobody", "nobody"};
    limit_by_machine(&m, root);
    look_at_control_groups(limit_by_group, &m, root, "memory");
    limit_by_ulimit(&m, root);
    return m;
}

/* ---- processors ---- */

/* Microseconds of every period: "200000 100000" or "max 100000", in version 1 a file each. */
static void limit_time(void *limits, const char *root, const char *folder, int version)
{
    double *processors = limits;
    contents text;
    uint64_t quota = 0, period = 0;
    if (version == 2) {
        slurp(&text, root, folder, "cpu.max");
        const char *second = strchr(text.at, ' ');
        if (second == NULL || !find_number(&text, "", &quota)) return;
        (void)memmove(text.at, second + 1, strlen(second));
        if (!find_number(&text, "", &period)) return;
    } else if (!read_number(root, folder, "cpu.cfs_quota_us", &quota) || /* -1: none */
               !read_number(root, folder, "cpu.cfs_period_us", &period)) {
        return;
    }
    if (quota > 0 && period > 0) *processors = fmin(*processors, (double)quota / (double)period);
}

double gm_machine_processors(const char *root)
{
    double processors = INFINITY;
    look_at_control_groups(limit_time, &processors, root, "cpu");
    return processors;
}

gm_status gm_machine_spare(uint64_t bytes, const char *what, gm_error *err)
{
    const gm_memory memory = gm_machine_memory("");
    char wanted[24], have[24];
    if (bytes <= memory.free) return GM_OK;
    gm_show_bytes(wanted, (double)bytes);
    gm_show_bytes(have, (double)memory.free);
    return gm_fail(err, GM_EMEM, "not enough memory: %s needs %s more, but %s has only %s free",
                   what, wanted, memory.free_by, have);
}

uint64_t gm_machine_huge_bytes(const void *mapping)
{
    static const char KEY[] = "FilePmdMapped:";
    char line[512], start[24];
    uint64_t kib = 0;
    bool here = false;
    FILE *file = fopen("/proc/self/smaps", "rb");
    if (file == NULL) return 0;
    const int n = snprintf(start, sizeof start, "%" PRIxPTR "-", (uintptr_t)mapping);
    while (fgets(line, sizeof line, file)) { /* a mapping's addresses, then what is said of it */
        if (strncmp(line, start, (size_t)n) == 0) here = true;
        if (!here || strncmp(line, KEY, sizeof KEY - 1) != 0) continue;
        contents text = {.at = ""};
        (void)snprintf(text.at, sizeof text.at, "%s", line);
        (void)find_number(&text, KEY, &kib);
        break;
    }
    fclose(file);
    return kib * 1024;
}
