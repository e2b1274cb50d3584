/* SPDX-License-Identifier: MIT */
/* Files that bodies are kept in and answers are sent from. */
#ifndef FCGI_OS_FILE_H
#define FCGI_OS_FILE_H

#include <stdint.h>

/* A file without a name in `dir` where the file system has such, else one whose
   name goes at once: its descriptor, or -1 with errno. Root follows no links of
   others (filename.h has the rule, and the text for errno). */
int fcgi__file_temporary(const char *dir);

/* Whether one can be made there: 0 or errno. Nothing is made. */
int fcgi__file_check_directory(const char *dir);

/* Copy what follows `offset` to a file without a name in `dir`, because nobody
   knows how much that is: its length, and `*copy` to be closed, or an error. */
int64_t fcgi__file_copy(int fd, uint64_t offset, const char *dir, int *copy);

/* 1: a file may have `end` bytes here; else 0 with errno. Beyond RLIMIT_FSIZE
   write(2) and ftruncate(2) raise SIGXFSZ, which ends the program. */
int fcgi__file_may_have(uint64_t end);

/* 1: the file has at least `end` bytes, whatever it says its size is. */
int fcgi__file_has(int fd, uint64_t end);

#endif
