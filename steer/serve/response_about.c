/* response_about.c - what the page is told of the server: see response.h. */
#include "steer/serve/response.h"

static void put_clusters(gm_json_out *json, const gm_atlas *atlas)
{
    gm_json_open_array(json, "clusters");
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        gm_json_open_object(json, NULL);
        gm_json_put_u64(json, "id", c);
        gm_json_put_u64(json, "documents", atlas->size[c]);
        gm_json_put_string(json, "name", atlas->name[c]);
        gm_json_open_array(json, "keywords");
        for (size_t k = c * GM_N_KEYWORDS; k < (c + 1) * GM_N_KEYWORDS; k++)
            if (atlas->keyword[k][0]) gm_json_put_string(json, NULL, atlas->keyword[k]);
        gm_json_close_array(json);
        gm_json_close_object(json);
    }
    gm_json_close_array(json);
    gm_json_open_array(json, "subsets");
    for (size_t s = 0; s < atlas->n_subsets; s++)
        gm_json_put_string(json, NULL, atlas->subset_name[s]);
    gm_json_close_array(json);
}

static void put_list(gm_json_out *json, const char *name, const gm_opt_list *list)
{
    if (list->n == 0) return;
    gm_json_open_array(json, name);
    for (size_t i = 0; i < list->n; i++) gm_json_put_string(json, NULL, list->at[i]);
    gm_json_close_array(json);
}

/* The server's options that change a text and that the page has no field for, as they were given:
 * with them gm-steer generate writes the same. */
static void put_options(gm_json_out *json, const gm_setup_options *o)
{
    gm_json_open_object(json, "options");
    if (o->numerics != gm_setup_defaults().numerics)
        gm_json_put_string(json, "numerics", gm_numerics_name((gm_numerics)o->numerics));
    if (o->top_k >= 0) gm_json_put_i64(json, "top-k", o->top_k);
    if (o->top_p >= 0) gm_json_put_f64(json, "top-p", o->top_p);
    if (o->penalty >= 0) gm_json_put_f64(json, "repetition-penalty", o->penalty);
    if (o->any_model) gm_json_put_bool(json, "any-model", true);
    if (o->ignore_eos) gm_json_put_bool(json, "ignore-eos", true);
    put_list(json, "stop", &o->stop_strings);
    put_list(json, "stop-token", &o->stop_tokens);
    gm_json_close_object(json);
}

/* Does the model's folder hold a chat template that is known? */
static bool has_chat(const gm_server *server)
{
    gm_chat chat = {0};
    gm_error none = {0};
    const gm_chat_options options = {0};
    const bool known = gm_chat_open(&chat, server->setup->options->model, &options, &none) == GM_OK;
    gm_chat_clear(&chat);
    return known;
}

gm_status gm_response_about(gm_text *out, const gm_server *server, gm_error *err)
{
    const gm_model_info *info = server->setup->info;
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_setup_put(server->setup, &json);
    gm_json_put_string(&json, "family", info->family);
    gm_json_put_i64(&json, "layers", info->n_moe_layers);
    gm_json_put_i64(&json, "experts", info->n_experts);
    gm_json_put_i64(&json, "chosen", info->n_chosen);
    gm_json_put_i64(&json, "context", info->max_context);
    gm_json_put_bool(&json, "chat", has_chat(server));
    gm_json_put_string(&json, "atlas", server->setup->options->atlas);
    gm_json_put_raw(&json, "plan", server->default_plan->source);
    gm_json_open_array(&json, "plans");
    for (size_t i = 0; i < server->n_plans; i++)
        gm_json_put_string(&json, NULL, server->plan_name[i]);
    gm_json_close_array(&json);
    gm_json_open_array(&json, "plan_files");
    for (size_t i = 0; i < server->n_plans; i++)
        gm_json_put_string(&json, NULL, server->plan_path[i]);
    gm_json_close_array(&json);
    put_options(&json, server->setup->options);
    if (server->setup->atlas) put_clusters(&json, server->setup->atlas);
    gm_json_close_object(&json);
    gm_status status = gm_json_out_done(&json, err);
    if (status == GM_OK) status = gm_text_append(out, json.text.at, json.text.n, err);
    gm_text_clear(&json.text);
    return status;
}
