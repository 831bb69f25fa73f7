/* embed.c - a program of the build: files in, one asset (asset.h) as C source out.
 *
 * usage: embed OUT.c NAME FILE...
 *
 * The files are put one after the other. Modules (.mjs) become one script: what they import
 * and export is resolved by all of them standing in one function, so that `import` lines go,
 * `export` before a declaration goes, and no name may be declared twice. A file that
 * would end the <script> or <style> around it is refused, unless it is a whole page.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *out;
static size_t n_written;

static _Noreturn void fail(const char *what, const char *name)
{
    fprintf(stderr, "embed: %s '%s'\n", what, name);
    exit(1);
}

static void put(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%u,%s", (unsigned)(unsigned char)bytes[i],
                n_written++ % 24 == 23 ? "\n" : "");
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static bool begins(const char *line, const char *word)
{
    return strncmp(line, word, strlen(word)) == 0;
}

/* The whole file and a NUL; the caller frees it. */
static char *read_file(const char *name)
{
    FILE *in = fopen(name, "rb");
    if (in == NULL) fail("cannot open", name);
    if (fseek(in, 0, SEEK_END) != 0) fail("cannot read", name);
    long size = ftell(in);
    rewind(in);
    char *text = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (text == NULL) fail("no memory for", name);
    if (fread(text, 1, (size_t)size, in) != (size_t)size) fail("cannot read", name);
    text[size] = '\0';
    fclose(in);
    const bool page = begins(text, "<!doctype html>");
    if (!page && (strstr(text, "</script") || strstr(text, "</style")))
        fail("found a closing tag in", name);
    return text;
}

/* A module line by line. Only whole lines that begin with `import` are taken out. */
static void put_module(const char *text)
{
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        const char *next = end ? end + 1 : line + strlen(line);
        if (begins(line, "export ")) line += strlen("export ");
        if (!begins(line, "import ")) put(line, (size_t)(next - line));
        line = next;
    }
}

static bool is_module(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".mjs") == 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: embed OUT.c NAME FILE...\n");
        return 2;
    }
    out = fopen(argv[1], "wb");
    if (out == NULL) fail("cannot write", argv[1]);
    const bool module = is_module(argv[3]);
    fprintf(out, "/* Written by figures/embed.c. */\n#include \"figures/asset.h\"\n\n"
                 "static const unsigned char bytes[] = {\n");
    if (module) put_text("(() => {\n\"use strict\";\n");
    for (int i = 3; i < argc; i++) {
        char *text = read_file(argv[i]);
        if (module != is_module(argv[i])) fail("cannot mix modules with other files:", argv[i]);
        if (module)
            put_module(text);
        else
            put_text(text);
        put_text("\n");
        free(text);
    }
    if (module) put_text("})();\n");
    fprintf(out, "};\nextern const gm_asset %s;\nconst gm_asset %s = {bytes, sizeof bytes};\n",
            argv[2], argv[2]);
    if (ferror(out) || fclose(out) != 0) fail("cannot write", argv[1]);
    return 0;
}
