/* test_steer_request.c - steer/serve/request.c: what a request may say, and what it is refused for.
 */
#include "steer/serve/request.h"

#include "tests/check.h"

static const gm_request_defaults defaults = {
    .sampling = {.temperature = .5, .top_p = 1, .repetition_penalty = 1, .seed = 3},
    .max_tokens = 40,
    .max_context = 100,
    .vocabulary = 10};

static gm_status read(gm_request *a, bool chat, const char *body, gm_error *err)
{
    return gm_request_read(a, chat, body, strlen(body), &defaults, err);
}

static void what_is_not_said_is_the_servers(void)
{
    gm_request a;
    gm_error err = {0};
    CHECK_OK(
        read(&a, false, "{\"prompt\": \"x\", \"temperature\": null, \"model\": \"any\"}", &err),
        err);
    CHECK_INT(a.n_prompts, 1);
    CHECK_TEXT(a.prompt[0].text, "x");
    CHECK(a.sampling.temperature == .5 && a.sampling.seed == 3);
    CHECK_INT(a.max_tokens, 40);
    CHECK_INT(a.n_draws, 1);
    CHECK_INT(a.n_likeliest, -1);
    CHECK_INT(a.n_plans, 1);
    CHECK(a.plan[0].kind == GM_REQUEST_DEFAULT && !a.stream && !a.echo && a.n_stop == 0);
    gm_request_clear(&a);
}

static void every_member_is_read(void)
{
    gm_request a;
    gm_error err = {0};
    CHECK_OK(
        read(&a, false,
             "{\"prompt\": [\"a\", \"\\u00e9\"], \"max_tokens\": 0, \"temperature\": 0, "
             "\"top_p\": 0.5, \"top_k\": 7, \"repetition_penalty\": 1.5, \"seed\": 9, \"n\": 2, "
             "\"stop\": [\"\\n\", \"end\"], \"echo\": true, \"logprobs\": 4, \"best_of\": 1, "
             "\"logit_bias\": {}, \"steer\": [null, {\"cluster\": [1, \"2=-0.5\"], "
             "\"weight\": 3, \"mass-match\": true}, {\"plan\": \"food\", \"weight\": 2}]}",
             &err),
        err);
    CHECK_INT(a.n_prompts, 2);
    CHECK_INT(a.prompt[1].n, 2);
    CHECK_INT(a.max_tokens, 0);
    CHECK(a.sampling.temperature == 0 && a.sampling.top_p == .5 && a.sampling.top_k == 7);
    CHECK(a.sampling.repetition_penalty == 1.5 && a.sampling.seed == 9 && a.echo);
    CHECK_INT(a.n_draws, 2);
    CHECK_INT(a.n_likeliest, 4);
    CHECK_INT(a.n_stop, 2);
    CHECK_TEXT(a.stop[1], "end");
    CHECK_INT(a.n_plans, 3);
    CHECK(a.plan[0].kind == GM_REQUEST_UNSTEERED && a.plan[1].kind == GM_REQUEST_BY_OPTIONS);
    CHECK_INT(a.plan[1].recipe.clusters.n, 2);
    CHECK_TEXT(a.plan[1].recipe.clusters.at[1], "2=-0.5");
    CHECK(a.plan[1].recipe.weight == 3 && a.plan[1].recipe.mass_matched);
    CHECK(a.plan[2].kind == GM_REQUEST_BY_NAME && a.plan[2].recipe.weight == 2);
    CHECK_TEXT(a.plan[2].name, "food");
    gm_request_clear(&a);
    CHECK(a.body == NULL && a.n_plans == 0);
}

/* What openai-python, LangChain and proxies send unasked: nulls for all that was not said, a stream
 * whose use is to be told, a chat without log-probabilities. */
static void what_others_send_unasked_is_taken(void)
{
    static const struct {
        bool chat;
        const char *body;
    } cases[] = {
        {false, "{\"prompt\": \"a\", \"max_tokens\": null, \"n\": null, \"stop\": [], \"tools\": "
                "null, \"presence_penalty\": 0.0, \"logprobs\": null, \"stream\": true, "
                "\"stream_options\": {\"include_usage\": true}}"},
        {true, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"name\": null}], "
               "\"stop\": null, \"chat_template_kwargs\": null, \"logprobs\": false, "
               "\"top_logprobs\": 0, \"response_format\": null, "
               "\"stream_options\": null}"},
    };
    for (size_t i = 0; i < 2; i++) {
        gm_request a;
        gm_error err = {0};
        CHECK_OK(read(&a, cases[i].chat, cases[i].body, &err), err);
        CHECK_INT(a.n_likeliest, -1);
        CHECK_INT(a.max_tokens, 40);
        gm_request_clear(&a);
    }
}

/* A number for completions; whether, and a number, for chats. Streams may have them. */
static void log_probabilities_are_asked_for_in_two_ways(void)
{
    static const struct {
        bool chat;
        const char *body;
        int n_likeliest;
    } cases[] = {
        {false, "{\"prompt\": \"a\", \"logprobs\": 0, \"stream\": true}", 0},
        {true, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"logprobs\": true}", 0},
        {true,
         "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"logprobs\": true, "
         "\"top_logprobs\": 20, \"stream\": true}",
         20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_request a;
        gm_error err = {0};
        CHECK_OK(read(&a, cases[i].chat, cases[i].body, &err), err);
        CHECK_INT(a.n_likeliest, cases[i].n_likeliest);
        gm_request_clear(&a);
    }
}

static void prompts_may_be_token_ids(void)
{
    static const struct {
        const char *body;
        size_t n, n_ids;
    } cases[] = {{"{\"prompt\": [1, 9, 0]}", 1, 3}, {"{\"prompt\": [[1, 9], [2, 2]]}", 2, 2}};
    gm_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        gm_request a;
        CHECK_OK(read(&a, false, cases[i].body, &err), err);
        CHECK_INT(a.n_prompts, cases[i].n);
        CHECK_INT(a.prompt[0].n_ids, cases[i].n_ids);
        CHECK(a.prompt[0].text == NULL && a.prompt[0].ids[1] == 9);
        gm_request_clear(&a);
    }
}

static void a_chat_is_a_question(void)
{
    gm_request a;
    gm_error err = {0};
    CHECK_OK(
        read(&a, true,
             "{\"messages\": [{\"role\": \"system\", \"content\": \"be kind\"}, {\"role\": "
             "\"user\", \"content\": [{\"type\": \"text\", \"text\": \"why?\"}]}], "
             "\"max_completion_tokens\": 5, \"chat_template_kwargs\": {\"enable_thinking\": false, "
             "\"effort\": \"low\", \"n\": 3}}",
             &err),
        err);
    CHECK_INT(a.n_settings, 3);
    CHECK_TEXT(a.settings[0], "enable_thinking=false");
    CHECK_TEXT(a.settings[1], "effort=\"low\"");
    CHECK_TEXT(a.settings[2], "n=3");
    CHECK_TEXT(a.system, "be kind");
    CHECK_INT(a.n_prompts, 1);
    CHECK_TEXT(a.prompt[0].text, "why?");
    CHECK_INT(a.max_tokens, 5);
    gm_request_clear(&a);
}

static void turns_stand_in_front_of_the_question(void)
{
    gm_request a;
    gm_error err = {0};
    CHECK_OK(read(&a, true,
                  "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
                  "\"assistant\", \"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}], "
                  "\"max_completion_tokens\": null, \"max_tokens\": 7}",
                  &err),
             err);
    CHECK_INT(a.max_tokens, 7);
    CHECK(a.system == NULL);
    CHECK_INT(a.n_turns, 2);
    CHECK_TEXT(a.turn[1].role, "assistant");
    CHECK_TEXT(a.turn[1].text, "b");
    CHECK_INT(a.n_prompts, 1);
    CHECK_TEXT(a.prompt[0].text, "c");
    gm_request_clear(&a);
}

static void what_is_wrong_is_named(void)
{
    static const struct {
        bool chat;
        const char *body, *part;
    } bad[] = {
        {false, "", "request"},
        {false, "[]", "not a JSON object"},
        {false, "{}", "'prompt' is missing"},
        {false, "{\"prompt\": \"\"}", "a prompt is empty"},
        {false, "{\"prompt\": []}", "a prompt is empty"},
        {false, "{\"prompt\": 3}", "'prompt' has type number"},
        {false, "{\"prompt\": [\"a\", 3]}", "'prompt' has type number"},
        {false, "{\"prompt\": [1, 10]}", "token 2 of a prompt is not an id from 0 to 9"},
        {false, "{\"prompt\": [1, \"a\"]}", "token 2"},
        {false, "{\"prompt\": [[-1]]}", "token 1"},
        {false, "{\"prompt\": \"a\", \"messages\": []}", "'messages' is not supported"},
        {false, "{\"prompt\": \"a\", \"tools\": []}", "'tools' is not supported"},
        {false, "{\"prompt\": \"a\", \"temprature\": 1}",
         "not supported; did you mean 'temperature'?"},
        {false, "{\"prompt\": \"a\", \"best_of\": 2}", "'best_of' can only be 1 or absent"},
        {false, "{\"prompt\": \"a\", \"logit_bias\": {\"5\": 1}}", "'logit_bias' can only be {}"},
        {false, "{\"prompt\": \"a\", \"max_tokens\": 0}", "max_tokens"},
        {false, "{\"prompt\": \"a\", \"max_tokens\": 101}", "max_tokens"},
        {false, "{\"prompt\": \"a\", \"logprobs\": 21}", "logprobs"},
        {false, "{\"prompt\": \"a\", \"logprobs\": true}", "logprobs"},
        {false, "{\"prompt\": \"a\", \"echo\": true, \"stream\": true}", "needs \"stream\": false"},
        {false, "{\"prompt\": \"a\", \"top_logprobs\": 1}", "'top_logprobs' is not supported"},
        {false, "{\"prompt\": \"a\", \"top_p\": 0}", "'top_p' is 0"},
        {false, "{\"prompt\": \"a\", \"seed\": -1}", "seed"},
        {false, "{\"prompt\": \"a\", \"temperature\": 1e9}", "temperature"},
        {false, "{\"prompt\": \"a\", \"stop\": [\"\"]}", "'stop' contains"},
        {false, "{\"prompt\": \"a\", \"stop\": [\"a\\u0000b\"]}", "'stop' contains"},
        {false, "{\"prompt\": [\"a\", \"b\"], \"n\": 1000}", "more than 1024 texts"},
        {false, "{\"prompt\": \"a\", \"n\": 1000, \"steer\": [null, null]}",
         "more than 1024 texts"},
        {false, "{\"prompt\": null}", "'prompt' is missing"},
        {false, "{\"prompt\": \"a\", \"top_p\": 1.5}", "top_p"},
        {false, "{\"prompt\": \"a\", \"repetition_penalty\": 0}", "'repetition_penalty' is 0"},
        {false, "{\"prompt\": \"a\", \"steer\": []}", "'steer' is a list of 0"},
        {false, "{\"prompt\": \"a\", \"steer\": \"food\"}", "'steer'"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"clusters\": 1}}",
         "unknown option 'clusters'; did you mean 'cluster'?"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"model\": \"x\"}}", "unknown option 'model'"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"weight\": \"much\"}}", "weight"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"cluster\": \"two\"}}", "two"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"filter\": \"x\"}}", "filter"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"layers\": \"9-2\"}}",
         "'steer.layers' '9-2': the first layer is after the last"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"schedule\": \"fade:3\", \"phase\": \"prompt\"}}",
         "'steer.schedule' 'fade:3' is for generated tokens, but 'steer.phase' prompt"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"expert\": \"1:--layers\"}}", "'1:"},
        {false, "{\"prompt\": \"a\", \"steer\": {\"plan\": \"p\", \"cluster\": 1}}",
         "can only be combined with 'weight'"},
        {true, "{\"prompt\": \"a\"}", "'prompt' is not supported"},
        {true, "{\"messages\": [], \"best_of\": 1}", "'best_of' is not supported"},
        {true,
         "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
         "\"a\"}, "
         "{\"type\": \"text\", \"text\": \"b\"}]}]}",
         "its 'content' is not a string"},
        {true,
         "{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}, {\"role\": \"system\", "
         "\"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}]}",
         "'system' is out of place"},
        {true, "{\"messages\": [{\"role\": \"system\", \"content\": \"a\\u0000b\"}]}",
         "contains a NUL character"},
        {true, "{\"messages\": []}", "last message is not by 'user'"},
        {true, "{\"messages\": [{\"role\": \"user\"}]}", "its 'content' is not a string"},
        {true, "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}]}", "not by 'user'"},
        {true, "{\"messages\": [{\"role\": \"tool\", \"content\": \"a\"}]}",
         "'tool' is out of place"},
        {true,
         "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"system\", "
         "\"content\": \"b\"}]}",
         "'system' is out of place"},
        {true, "{\"messages\": [3]}", "no 'role'"},
        {true,
         "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"chat_template_kwargs\": "
         "{\"x\": []}}",
         "'x' of 'chat_template_kwargs'"},
        {true,
         "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"chat_template_kwargs\": 3}",
         "expected an object"},
        {true, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"logprobs\": 1}",
         "logprobs"},
        {true, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"top_logprobs\": 1}",
         "'top_logprobs' needs \"logprobs\": true"},
        {true,
         "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"logprobs\": true, "
         "\"top_logprobs\": 21}",
         "top_logprobs"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gm_request a;
        gm_error err = {0};
        gm_status status = read(&a, bad[i].chat, bad[i].body, &err);
        CHECK(status == GM_EARG || status == GM_EFORMAT);
        CHECK_HAS(err.text, bad[i].part);
        CHECK(a.body == NULL && a.prompt == NULL && a.plan == NULL);
    }
}

/* A list of n times `item` is taken, one of one more is not. */
static void check_most(const char *before, const char *item, size_t n, const char *says)
{
    for (size_t more = 0; more < 2; more++) {
        gm_request a;
        gm_text body = {0};
        gm_error err = {0};
        CHECK_OK(gm_text_printf(&body, &err, "{%s[%s", before, item), err);
        for (size_t i = 1; i < n + more; i++)
            CHECK_OK(gm_text_printf(&body, &err, ",%s", item), err);
        CHECK_OK(gm_text_add(&body, "]}", &err), err);
        if (more)
            CHECK_FAILS(read(&a, false, body.at, &err), err, GM_EARG, says);
        else
            CHECK_OK(read(&a, false, body.at, &err), err);
        gm_request_clear(&a);
        gm_text_clear(&body);
    }
}

static void lists_end(void)
{
    check_most("\"prompt\":", "\"a\"", 1024, "there are 1025 prompts, expected at most 1024");
    check_most("\"prompt\":\"a\",\"stop\":", "\"b\"", 16,
               "'stop' has 17 strings, expected at most 16");
    check_most("\"prompt\":\"a\",\"steer\":", "null", 16,
               "'steer' is a list of 17, expected 1 to 16");
}

/* A sentence that becomes too long is cut where its room ends. */
static void names_of_members_fit_their_room(void)
{
    struct {
        gm_error err;
        char behind[64];
    } s = {.behind = "untouched"};
    memset(s.err.text, 'x', sizeof s.err.text - 1);
    memcpy(s.err.text + sizeof s.err.text - 12, "--layers y ", 11);
    gm_request_name_members(&s.err);
    CHECK_INT(strlen(s.err.text), sizeof s.err.text - 1);
    CHECK_HAS(s.err.text, "x'steer.lay");
    CHECK_TEXT(s.behind, "untouched");
}

static gm_status read_all(void *state, gm_error *err)
{
    gm_request a;
    (void)state;
    gm_status status = read(&a, false,
                            "{\"prompt\": [[1], [2]], \"stop\": \"x\", \"steer\": [{\"cluster\": "
                            "[1, 2], \"expert\": \"1:2=3\"}, null]}",
                            err);
    gm_request_clear(&a);
    return status;
}

static gm_status read_chat(void *state, gm_error *err)
{
    gm_request a;
    (void)state;
    gm_status status =
        read(&a, true, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", err);
    gm_request_clear(&a);
    return status;
}

static void memory_may_be_short_anywhere(void)
{
    check_every_allocation(read_all, NULL);
    check_every_allocation(read_chat, NULL);
}

TESTS(TEST(what_is_not_said_is_the_servers), TEST(every_member_is_read),
      TEST(what_others_send_unasked_is_taken), TEST(log_probabilities_are_asked_for_in_two_ways),
      TEST(prompts_may_be_token_ids), TEST(a_chat_is_a_question),
      TEST(turns_stand_in_front_of_the_question), TEST(what_is_wrong_is_named), TEST(lists_end),
      TEST(names_of_members_fit_their_room), TEST(memory_may_be_short_anywhere))
