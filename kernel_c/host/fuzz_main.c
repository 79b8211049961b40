/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * What libFuzzer's main() would do, where there is none: "fuzz LAST RUNS FILE...". The files are
 * inputs; so are RUNS more, random or a file with some bytes changed, the same ones every time.
 * The file LAST holds the latest input, also when the program dies of it; zeros follow it.
 */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 512
#define CHANGES 16 /* of which those count that meet the input */

static uint8_t *last;

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 0x9E3779B97F4A7C15;

    state ^= state << 13; /* xorshift64, Marsaglia 2003 */
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % limit;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* Memory that is in the file whatever becomes of this process. */
static void last_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);

    if (fd < 0 || ftruncate(fd, INPUT_MAX) != 0) {
        die(path);
    }
    last = mmap(NULL, INPUT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (last == MAP_FAILED) {
        die(path);
    }
    (void)close(fd);
}

static size_t load(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        die(path);
    }
    memset(last, 0, INPUT_MAX);
    size = fread(last, 1, INPUT_MAX, file);
    (void)fclose(file);
    return size;
}

static size_t invent(void)
{
    size_t size = 1 + random_below(INPUT_MAX);

    memset(last, 0, INPUT_MAX);
    for (size_t i = 0; i < size; i++) {
        last[i] = (uint8_t)random_below(256);
    }
    return size;
}

static size_t change(const char *path)
{
    size_t size = load(path);

    for (unsigned changes = 0; changes < CHANGES; changes++) {
        uint32_t at = random_below(INPUT_MAX);

        if (at < size) {
            last[at] = (uint8_t)random_below(256);
        }
    }
    return size;
}

int main(int argc, char **argv)
{
    uint32_t files;
    unsigned long runs;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: %s LAST RUNS [FILE...]\n", argv[0]);
        return EXIT_FAILURE;
    }
    files = (uint32_t)argc - 3;
    runs = strtoul(argv[2], NULL, 0);
    last_open(argv[1]);
    (void)LLVMFuzzerInitialize(&argc, &argv);
    for (uint32_t i = 0; i < files; i++) {
        (void)LLVMFuzzerTestOneInput(last, load(argv[3 + i]));
    }
    for (unsigned long run = 0; run < runs; run++) {
        bool fresh = files == 0 || random_below(2) == 0;

        (void)LLVMFuzzerTestOneInput(last,
                                     fresh ? invent() : change(argv[3 + random_below(files)]));
    }
    (void)printf("%u files and %lu random inputs: nothing found\n", files, runs);
    return EXIT_SUCCESS;
}
