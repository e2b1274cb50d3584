/* SPDX-License-Identifier: MIT */
/* How much of a file there is to send. */
#ifndef FCGI_SERVER_FILE_H
#define FCGI_SERVER_FILE_H

#include <stdint.h>

/* Copy what follows `offset` to a file without a name in `dir`, because nobody
   knows how much that is: its length, and `*copy` to be closed, or an error. */
int64_t fcgi__file_copy(int fd, uint64_t offset, const char *dir, int *copy);

/* 1: the file has at least `end` bytes. */
int fcgi__file_has(int fd, uint64_t end);

#endif
