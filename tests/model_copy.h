/* model_copy.h - a copy of a model folder with one field of config.json changed, and what is
 * refused of such copies. */
#ifndef GM_MODEL_COPY_H
#define GM_MODEL_COPY_H

#include "base/outfile.h"
#include "base/text.h"
#include "engine/arch.h"
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

/* Where the lines of a field end that begin at `at`: one, or as many as its object or list has. */
static inline const char *field_end(const char *at)
{
    const char *end = strchr(at, '\n');
    if (end == NULL || (end[-1] != '{' && end[-1] != '[')) return end;
    while (end && strncmp(end, "\n  }", 4) != 0 && strncmp(end, "\n  ]", 4) != 0)
        end = strchr(end + 1, '\n');
    return end ? strchr(end + 1, '\n') : NULL;
}

/* `config`, of which every field begins a line of its own, with the lines of `field`
 * replaced (or one added) to hold `value`, JSON; NULL takes the field out. */
static inline void set_config_field(gm_text *out, const gm_text *config, const char *field,
                                    const char *value)
{
    char quoted[128], line[1024];
    gm_error err = {0};
    snprintf(quoted, sizeof quoted, "\"%s\":", field);
    if (value)
        snprintf(line, sizeof line, "%s %s", quoted, value);
    else
        snprintf(line, sizeof line, "\"_name_or_path\": null"); /* known to be harmless */

    const char *at = strstr(config->at, quoted);
    const char *end = at ? field_end(at) : NULL;
    if (at == NULL) {
        at = end = strchr(config->at, '{') + 1;
        CHECK_OK(gm_text_append(out, config->at, (size_t)(at - config->at), &err), err);
        CHECK_OK(gm_text_printf(out, &err, "%s,", line), err);
    } else {
        CHECK_OK(gm_text_append(out, config->at, (size_t)(at - config->at), &err), err);
        CHECK_OK(gm_text_printf(out, &err, "%s%s", line, end[-1] == ',' ? "," : ""), err);
    }
    CHECK_OK(gm_text_add(out, end, &err), err);
}

/* Make the folder `to`: links to the files of `from`, and a config.json in which
 * `field` has the JSON value `value` (NULL: is missing). */
static inline void copy_model(const char *to, const char *from, const char *field,
                              const char *value)
{
    gm_text config = {0}, changed = {0};
    gm_error err = {0};
    char source[4096], target[4096];

    CHECK(mkdir(to, 0777) == 0 || errno == EEXIST);
    DIR *folder = opendir(from);
    if (folder == NULL) {
        TEST_FAILED_("cannot open '%s'", from);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "config.json") == 0) continue;
        snprintf(source, sizeof source, "%s%s/%s", from[0] == '/' ? "" : "../", from,
                 entry->d_name); /* as seen from `to` */
        snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        (void)unlink(target);
        CHECK(symlink(source, target) == 0);
    }
    closedir(folder);

    snprintf(source, sizeof source, "%s/config.json", from);
    snprintf(target, sizeof target, "%s/config.json", to);
    CHECK_OK(gm_text_read_file(&config, source, 1 << 20, &err), err);
    set_config_field(&changed, &config, field, value);
    CHECK_OK(gm_outfile_write(target, true, changed.at, changed.n, &err), err);
    gm_text_clear(&config);
    gm_text_clear(&changed);
}

/* A model whose `field` has that value cannot be read: a sentence that holds `says`, and no part of
 * an architecture. */
static inline void check_refused(const char *from, const char *field, const char *value,
                                 const char *says)
{
    gm_arch a;
    gm_error err = {0};
    copy_model("refused", from, field, value);
    CHECK_FAILS(gm_arch_read(&a, "refused", &err), err, GM_EFORMAT, says);
    CHECK_HAS(err.text, "config.json");
    CHECK(a.layer_of_moe == NULL && a.window == NULL && a.rope.divisor == NULL);
}

/* For check_every_allocation. */
static inline gm_status read_attempt(void *folder, gm_error *err)
{
    gm_arch a;
    gm_status status = gm_arch_read(&a, folder, err);
    gm_arch_clear(&a);
    return status;
}

/* A change of a field gives the model a digest of its own; the last n_same of all n leave it. */
static inline void check_digests(const char *from, const char *const (*change)[2], size_t n,
                                 size_t n_same)
{
    enum { MAX = 16 };
    char digest[MAX + 1][65] = {""};
    CHECK(n <= MAX);
    for (size_t i = 0; i <= n && n <= MAX; i++) {
        gm_arch a;
        gm_error err = {0};
        if (i < n) copy_model("changed", from, change[i][0], change[i][1]);
        CHECK_OK(gm_arch_read(&a, i < n ? "changed" : from, &err), err);
        gm_arch_digest(&a, digest[i]);
        gm_arch_clear(&a);
    }
    for (size_t i = 0; i < n && n <= MAX; i++)
        for (size_t j = i + 1; j <= n; j++)
            CHECK((strcmp(digest[i], digest[j]) == 0) == (i >= n - n_same));
}

#endif
