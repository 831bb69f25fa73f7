/* folder.c - see folder.h. */
#include "base/folder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

bool gm_path_is_taken(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* Append "folder/name" to *path; *found: it exists. */
static gm_status look_for(gm_text *path, const char *folder, const char *name, bool *found,
                          gm_error *err)
{
    size_t start = path->n;
    gm_status status = gm_text_printf(path, err, "%s/%s", folder, name);
    *found = status == GM_OK && gm_path_is_taken(path->at + start);
    return status;
}

/* "owner/name", and no folder "owner" here: most likely a name of the Hugging Face hub. */
static bool is_hub_name(const char *folder)
{
    struct stat about;
    char owner[100];
    size_t n = strcspn(folder, "/");
    if (n == 0 || n >= sizeof owner || folder[n] == '\0' || folder[n + 1] == '\0' ||
        strchr(folder + n + 1, '/') != NULL)
        return false;
    memcpy(owner, folder, n);
    owner[n] = '\0';
    return stat(owner, &about) != 0;
}

static gm_status check_folder(const char *folder, const char *what, gm_error *err)
{
    struct stat about;
    if (stat(folder, &about) == 0) {
        if (S_ISDIR(about.st_mode)) return GM_OK;
        return gm_fail(err, GM_EIO, "'%s' is a file, expected a %s folder", folder, what);
    }
    if (errno == ENOENT || errno == ENOTDIR)
        return gm_fail(err, GM_EIO, "%s folder '%s' does not exist%s", what, folder,
                       is_hub_name(folder)
                           ? "; if that is its name on the Hugging Face hub, download it first"
                           : "");
    return gm_fail(err, GM_EIO, "cannot access the %s folder '%s': %s", what, folder,
                   strerror(errno));
}

gm_status gm_folder_make(const char *folder, gm_error *err)
{
    if (mkdir(folder, 0777) == 0 || errno == EEXIST) return GM_OK;
    return gm_fail(err, GM_EIO, "cannot create the folder '%s': %s", folder, strerror(errno));
}

/* What tells a folder that is no model from one, and what to do with it. */
static const struct {
    const char *file, *advice;
} no_models[] = {
    {"snapshots", "is a download cache: name the folder inside its 'snapshots' that has the files"},
    {"adapter_config.json", "is an adapter (PEFT, LoRA): merge it into its base model first"},
};

gm_status gm_folder_file(gm_text *path, const char *folder, const char *name, const char *what,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_text other = {0};
    bool found;
    const char *advice = "should have config.json, tokenizer.json and *.safetensors, as Hugging "
                         "Face ships a model";
    GM_TRY(check_folder(folder, what, err));
    GM_TRY(look_for(path, folder, name, &found, err));
    if (found) goto out;
    for (size_t i = 0; i < sizeof no_models / sizeof *no_models && !found; i++) {
        GM_TRY(look_for(&other, folder, no_models[i].file, &found, err));
        if (found) advice = no_models[i].advice;
    }
    GM_FAIL(GM_EIO, "%s folder '%s' has no %s; it %s", what, folder, name, advice);
out:
    gm_text_clear(&other);
    return status;
}

gm_status gm_refuse_lfs_pointer(const void *bytes, size_t n, const char *where, gm_error *err)
{
    static const char first[] = "version https://git-lfs.github.com/spec/";
    if (n < sizeof first - 1 || memcmp(bytes, first, sizeof first - 1) != 0) return GM_OK;
    return gm_fail(err, GM_EFORMAT,
                   "'%s' is a Git LFS pointer, not the file; fetch the file with 'git lfs pull'",
                   where);
}
