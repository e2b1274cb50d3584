/* SPDX-License-Identifier: MIT */
#include "os/process.h"
#include <stdint.h>
#include <sys/mman.h>

#if defined(__linux__) && !defined(MADV_WIPEONFORK)
#define MADV_WIPEONFORK 18 /* Since Linux 4.14. */
#endif

/* So much is one page at least, wherever it begins. */
enum { MARK_BYTES = sizeof(int) };

#ifdef MADV_WIPEONFORK

static const volatile int *make_mark(void) {
  int *mark = mmap(NULL, MARK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mark == MAP_FAILED)
    return NULL;
  if (madvise(mark, MARK_BYTES, MADV_WIPEONFORK) == 0) {
    *mark = 1;
    return mark;
  }
  munmap(mark, MARK_BYTES);
  return NULL;
}

#else

static const volatile int *make_mark(void) {
  return NULL;
}

#endif

void fcgi__process_init(fcgi__process *process) {
  process->pid = getpid();
  process->mark = make_mark();
}

void fcgi__process_clear(fcgi__process *process) {
  if (process->mark)
    munmap((void *)(uintptr_t)process->mark, MARK_BYTES);
  process->mark = NULL;
}
