/* named_tensors.h - for tests: a checkpoint of tensors that lie elsewhere, under names of its own.
 */
#ifndef GM_NAMED_TENSORS_H
#define GM_NAMED_TENSORS_H

#include "engine/checkpoint.h"
#include "tests/put_file.h"

#include <errno.h>
#include <sys/stat.h>

enum { GM_MAX_NAMED = 128 };

typedef struct named_tensors {
    gm_tensor tensor[GM_MAX_NAMED]; /* their data borrowed */
    char name[GM_MAX_NAMED][96];
    size_t n;
} named_tensors;

static inline void name_tensor(named_tensors *all, const char *name, gm_tensor tensor)
{
    CHECK(all->n < GM_MAX_NAMED);
    snprintf(all->name[all->n], sizeof all->name[0], "%s", name);
    tensor.name = all->name[all->n];
    all->tensor[all->n++] = tensor;
}

/* The folder of a model that has these tensors. */
static inline void write_named(const named_tensors *all, const char *folder, const char *config)
{
    char path[4096];
    gm_error err = {0};
    CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/config.json", folder);
    put_text(path, config);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    CHECK_OK(gm_safetensors_write(path, true, all->tensor, all->n, NULL, 0, &err), err);
}

/* `text` with its first `old` replaced. */
static inline void replace_text(gm_text *text, const char *old, const char *by)
{
    gm_text changed = {0};
    gm_error err = {0};
    const char *at = strstr(text->at, old);
    CHECK(at != NULL);
    if (at == NULL) return;
    CHECK_OK(gm_text_printf(&changed, &err, "%.*s%s%s", (int)(at - text->at), text->at, by,
                            at + strlen(old)),
             err);
    gm_text_clear(text);
    *text = changed;
}

#endif
