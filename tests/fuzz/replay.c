/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over stored inputs with any compiler: every file named, and every file of
 * every folder named. Each input lies in a malloc of exactly its size, so that a sanitizer or
 * valgrind sees a read of one byte too many. A folder that is missing or empty is a failure: a
 * replay of nothing must not look like a success. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* libFuzzer's contract for a target; every fuzz_NAME.c defines it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_INPUT_BYTES (16U * 1024 * 1024)

/* Returns the number of inputs replayed, or -1 after saying what is wrong. */
static long replay_file(const char *path, size_t size)
{
    if (size > MAX_INPUT_BYTES) {
        fprintf(stderr, "%s: larger than %u bytes\n", path, MAX_INPUT_BYTES);
        return -1;
    }
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    /* malloc(0) may be NULL: an empty input gets one byte that the target is not told about. */
    uint8_t *data = malloc(size > 0 ? size : 1);
    size_t got = data != NULL ? fread(data, 1, size, file) : 0;
    fclose(file);
    if (data == NULL || got != size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        return -1;
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

static long replay_path(const char *path);

static long replay_folder(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        perror(path);
        return -1;
    }
    long total = 0;
    for (int i = 0; i < count; i++) {
        char child[4096];
        int len = snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
        long replayed = 0;
        if (len < 0 || (size_t)len >= sizeof(child))
            replayed = -1;
        else if (entries[i]->d_name[0] != '.')
            replayed = replay_path(child);
        total = total < 0 || replayed < 0 ? -1 : total + replayed;
        free(entries[i]);
    }
    free(entries);
    if (total == 0) {
        fprintf(stderr, "%s: no inputs\n", path);
        return -1;
    }
    return total;
}

static long replay_path(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        perror(path);
        return -1;
    }
    return S_ISDIR(status.st_mode) ? replay_folder(path)
                                   : replay_file(path, (size_t)status.st_size);
}

int main(int argc, char **argv)
{
    long total = 0;
    for (int i = 1; i < argc; i++) {
        long replayed = replay_path(argv[i]);
        if (replayed < 0)
            return 1;
        total += replayed;
    }
    printf("%ld inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
