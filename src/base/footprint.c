/* SPDX-License-Identifier: Apache-2.0 */
#include "base/footprint.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* /proc/self/pagemap: one word for each page; Documentation/admin-guide/mm/pagemap.rst of Linux. */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_OF_FILE (UINT64_C(1) << 61)
#define PAGEMAP_WORDS 512 /* read at once */

struct settling {
    int pagemap_fd;
    size_t page_bytes;
    size_t let_go_bytes;
};

/* Whole pages. */
struct span {
    uintptr_t start;
    uintptr_t end;
};

int footprint_begin(void)
{
    /* Without its default context, for which memory was short, OpenSSL 3.0 would crash later. */
    return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, NULL) == 1 &&
                   OSSL_LIB_CTX_get0_global_default() != NULL
             ? 0
             : -ENOMEM;
}

static struct span span_of(const struct settling *settling, const struct dl_phdr_info *object,
                           const ElfW(Phdr) * segment)
{
    const uintptr_t mask = ~(uintptr_t)(settling->page_bytes - 1);
    const uintptr_t start = object->dlpi_addr + segment->p_vaddr;
    return (struct span){
        .start = start & mask,
        .end = (start + segment->p_filesz + settling->page_bytes - 1) & mask,
    };
}

/* Segments have pages of their own; should a linker ever think otherwise, such a page is data. */
static bool touches_writable(const struct settling *settling, const struct dl_phdr_info *object,
                             struct span span)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        const struct span other = span_of(settling, object, segment);
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) != 0 &&
            span.start < other.end && other.start < span.end)
            return true;
    }
    return false;
}

/* A page that the process has a copy of: it was written to, by a text relocation, a debugger, a
 * probe. It exists nowhere else. */
static bool is_own_page(uint64_t word)
{
    return (word & PAGEMAP_SWAPPED) != 0 ||
           ((word & PAGEMAP_PRESENT) != 0 && (word & PAGEMAP_OF_FILE) == 0);
}

static void let_go(struct settling *settling, uintptr_t start, const uint64_t *words, size_t n)
{
    size_t n_present = 0;
    for (size_t i = 0; i < n; i++)
        n_present += (words[i] & PAGEMAP_PRESENT) != 0;
    if (n_present > 0 && madvise((void *)start, n * settling->page_bytes, MADV_DONTNEED) == 0)
        settling->let_go_bytes += n_present * settling->page_bytes;
}

/* The runs of pages between those that are the process's own. */
static void let_go_between(struct settling *settling, uintptr_t start, const uint64_t *words,
                           size_t n)
{
    size_t first = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && !is_own_page(words[i]))
            continue;
        let_go(settling, start + first * settling->page_bytes, words + first, i - first);
        first = i + 1;
    }
}

static void settle_span(struct settling *settling, struct span span)
{
    uint64_t words[PAGEMAP_WORDS];
    while (span.start < span.end) {
        size_t n = (span.end - span.start) / settling->page_bytes;
        n = n < PAGEMAP_WORDS ? n : PAGEMAP_WORDS;
        const size_t len = n * sizeof(words[0]);
        const off_t at = (off_t)(span.start / settling->page_bytes * sizeof(words[0]));
        if (pread(settling->pagemap_fd, words, len, at) != (ssize_t)len)
            return;
        let_go_between(settling, span.start, words, n);
        span.start += n * settling->page_bytes;
    }
}

/* Within the loader's lock: no object comes or goes. */
static int settle_object(struct dl_phdr_info *object, size_t size, void *ctx)
{
    struct settling *settling = ctx;
    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0)
            continue;
        const struct span span = span_of(settling, object, segment);
        if (!touches_writable(settling, object, span))
            settle_span(settling, span);
    }
    return 0;
}

int footprint_open(void)
{
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

size_t footprint_settle(int pagemap_fd)
{
    struct settling settling = {
        .pagemap_fd = pagemap_fd,
        .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
    };
    if (settling.pagemap_fd < 0)
        return 0;
    (void)dl_iterate_phdr(settle_object, &settling);
    return settling.let_go_bytes;
}
