/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the libraries stays in memory: less is loaded at the start, and what only the start
 * needed is let go of afterwards. docs/decisions/0010-resident-memory.md has the figures. */
#ifndef BASE_FOOTPRINT_H
#define BASE_FOOTPRINT_H

#include <stddef.h>

/* To be called before anything else uses OpenSSL or libcurl: OpenSSL does not build its table of
 * error texts, which nobody here reads. From then on ERR_error_string() gives numbers.
 * 0, or -ENOMEM: OpenSSL must not be used. */
int footprint_begin(void);

/* The kernel's list of our pages, for footprint_settle(), the caller's to close: a process that has
 * given up its rights may not be able to open it later. -1: there is none. */
int footprint_open(void);

/* Takes the pages of programs and libraries that cannot be written to, and of which the process has
 * no copy of its own, out of its page tables (madvise(2), MADV_DONTNEED). Whatever is used again
 * comes back from the page cache by a minor fault; nothing that was ever written is touched: no
 * data, no relocation, no probe or breakpoint in the code. For the end of a phase whose code will
 * not run again soon. Other threads may go on meanwhile. Returns how many bytes were resident; 0
 * also when the kernel does not say which pages these are (PAGEMAP_FD is -1). */
size_t footprint_settle(int pagemap_fd);

#endif
