/* replay.c - feeds files to a fuzz entry point without a fuzzer: each argument is
 * a file or a folder of files. Any build can so repeat what a fuzzer once found.
 */
#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MAX_INPUT = 16 << 20 };

/* Number of inputs fed, or -1 with the reason on stderr. */
static int replay_file(const char *path)
{
    gm_error err = {0};
    gm_text input;
    if (gm_text_read_file(&input, path, MAX_INPUT, &err) != GM_OK) {
        fprintf(stderr, "replay: %s\n", err.text);
        return -1;
    }
    /* A copy of the exact size, so that a sanitizer sees one byte too many. */
    uint8_t *exact = gm_alloc(input.n, 1);
    int fed = -1;
    if (exact != NULL) {
        for (size_t i = 0; i < input.n; i++) exact[i] = (uint8_t)input.at[i];
        (void)LLVMFuzzerTestOneInput(exact, input.n);
        fed = 1;
    }
    gm_free(exact);
    gm_text_clear(&input);
    return fed;
}

static int replay(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) return replay_file(path);

    int fed = 0;
    for (struct dirent *entry; fed >= 0 && (entry = readdir(folder)) != NULL;) {
        char name[4096];
        struct stat info;
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof name) continue;
        if (stat(name, &info) != 0 || !S_ISREG(info.st_mode)) continue;
        int one = replay_file(name);
        fed = one < 0 ? -1 : fed + one;
    }
    closedir(folder);
    return fed;
}

int main(int argc, char **argv)
{
    int fed = 0;
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0) return 1;
        fed += n;
    }
    printf("%d inputs\n", fed);
    return fed > 0 ? 0 : 1;
}
