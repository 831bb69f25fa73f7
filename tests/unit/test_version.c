/* test_version.c - the provenance record. */
#include "base/version.h"

#include "tests/check.h"

static void the_record_is_json_with_all_its_members(void)
{
    gm_json_out out = {0};
    gm_json *root = NULL;
    gm_error err = {0};
    gm_json_open_object(&out, NULL);
    gm_version_put(&out);
    gm_json_close_object(&out);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_OK(gm_json_parse(&root, out.text.at, out.text.n, "version", &err), err);

    static const char *const member[] = {"version", "commit", "compiler", "flags"};
    for (size_t i = 0; i < sizeof member / sizeof *member; i++) {
        const char *text = NULL;
        CHECK_OK(gm_json_get_text(root, member[i], &text, "version", &err), err);
        CHECK(text != NULL && text[0] != '\0');
    }
    const gm_json *libraries = gm_json_find(root, "libraries");
    CHECK(libraries != NULL && gm_json_find(libraries, "cjson") != NULL);
    CHECK(libraries != NULL && gm_json_find(libraries, "glibc") != NULL);
    gm_json_free(root);
    gm_text_clear(&out.text);
}

TESTS(TEST(the_record_is_json_with_all_its_members))
