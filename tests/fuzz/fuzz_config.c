/* fuzz_config.c - any bytes as the file config.json: no crash, and from what is accepted every
 * tensor's name and shape can be asked.
 */
#include "engine/arch.h"
#include "tests/fuzz/demand.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* A layer's tensors: where a role's last head or expert lies. */
static void ask_tensors(const gm_arch *arch, int layer)
{
    gm_slice slice;
    for (int role = 0; role < GM_N_ROLES; role++) {
        if (!gm_arch_tensor(arch, (gm_role)role, layer, 0, &slice)) continue;
        const int last = (slice.heads ? (int)slice.heads : arch->n_experts) - 1;
        if (!gm_arch_tensor(arch, (gm_role)role, layer, last, &slice)) abort();
        const size_t rows =
            slice.stored == GM_STORED_COLUMNS && slice.tall ? slice.cols : slice.rows;
        const size_t all_rows = slice.tall ? slice.tall : slice.stack ? slice.stack_rows : rows;
        if (slice.rows == 0 || slice.cols == 0 || slice.name[0] == '\0' ||
            slice.first + rows > all_rows)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    gm_json *config;
    gm_arch arch;
    gm_error err = {0};

    write_input("fuzz.config.json", bytes, n);
    const gm_status read = gm_json_read_config(&config, "fuzz.config.json", 1 << 20, &err);
    remove("fuzz.config.json");
    if (read != GM_OK) {
        demand(config == NULL && err.text[0] != '\0');
        return 0;
    }
    /* The same document twice: the generation reader meets hostile values as well. */
    if (gm_arch_from_json(&arch, config, "input", config, "input", &err) != GM_OK) {
        if (arch.layer_of_moe != NULL || err.text[0] == '\0') abort();
        gm_json_free(config);
        return 0;
    }
    uint64_t active, all = gm_arch_parameters(&arch, &active);
    if (active > all || arch.n_moe < 1 || arch.n_chosen > arch.n_experts) abort();

    ask_tensors(&arch, 0); /* layers may be of two kinds */
    ask_tensors(&arch, arch.n_layers - 1);
    gm_arch_clear(&arch);
    gm_json_free(config);
    return 0;
}
