/* bench_checkpoint.c - a checkpoint of random weights on disk, for what reads one: loading,
 * streaming, other engines. */
#include "engine/bench/bench.h"

#include "base/folder.h"
#include "base/outfile.h"

gm_status gm_bench_write_checkpoint(const char *folder, const char *shape, int layers, bool replace,
                                    gm_error *err)
{
    gm_status status = GM_OK;
    gm_text config = {0}, path = {0};
    gm_json *json = NULL;
    gm_arch arch = {0};
    gm_checkpoint *random = NULL;

    GM_TRY(gm_bench_config(&config, shape, layers, err));
    GM_TRY(gm_json_parse(&json, config.at, config.n, shape, err));
    GM_TRY(gm_arch_from_json(&arch, json, shape, NULL, NULL, err));
    GM_TRY(gm_checkpoint_random(&random, &arch, err));
    GM_TRY(gm_folder_make(folder, err));
    GM_TRY(gm_text_printf(&path, err, "%s/model.safetensors", folder));
    GM_TRY(gm_safetensors_write(path.at, replace, gm_checkpoint_at(random, 0),
                                gm_checkpoint_n(random), NULL, 0, err));
    path.n = 0;
    GM_TRY(gm_text_printf(&path, err, "%s/config.json", folder));
    GM_TRY(gm_outfile_write(path.at, replace, config.at, config.n, err));
out:
    gm_checkpoint_close(random);
    gm_arch_clear(&arch);
    gm_json_free(json);
    gm_text_clear(&config);
    gm_text_clear(&path);
    return status;
}
