/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fuzzer is when it is built without libFuzzer: it replays files.  Those
 * named as arguments, else all of tests/fuzz/corpus/NAME of the source folder, NAME
 * being the program's without its "fuzz_".  A failure is an abort.
 */
#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLAY_FILE_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void replay_file(const char *path)
{
    static uint8_t bytes[REPLAY_FILE_MAX];
    FILE *file = fopen(path, "re");
    uint8_t *exact;
    size_t size;

    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    /* Memory of that very size, so that AddressSanitizer sees each byte beyond it. */
    exact = malloc(size > 0 ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, bytes, size);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void replay_corpus(const char *program)
{
    const char *top = getenv("top_srcdir");
    const char *name = strncmp(program, "fuzz_", 5) == 0 ? program + 5 : program;
    char pattern[4096];
    glob_t files;

    snprintf(pattern, sizeof(pattern), "%s/tests/fuzz/corpus/%s/*", top ? top : ".", name);
    if (glob(pattern, 0, NULL, &files) != 0) {
        fprintf(stderr, "no corpus: %s\n", pattern);
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < files.gl_pathc; i++)
        replay_file(files.gl_pathv[i]);
    globfree(&files);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay_file(argv[i]);
    if (argc == 1)
        replay_corpus(program_invocation_short_name);
    return EXIT_SUCCESS;
}
