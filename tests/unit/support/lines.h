/* SPDX-License-Identifier: MIT */
/* What a server logs. Any of its threads may, while the test reads. */
#ifndef UNIT_SUPPORT_LINES_H
#define UNIT_SUPPORT_LINES_H

#include <fastcgi/server.h>
#include <pthread.h>
#include <stddef.h>

enum { LINES_TEXT = 8192 };

typedef struct log_lines {
  pthread_mutex_t lock;  /* Guards `text`. */
  char text[LINES_TEXT]; /* The lines, each with its newline. */
  char copy[LINES_TEXT]; /* What lines_text gave. */
} log_lines;

/* No line yet; a server that is made from `config` logs here. */
void lines_begin(log_lines *l, fcgi_server_config *config);

/* All lines by now, until the next call of this or of lines_count. */
const char *lines_text(log_lines *l);

/* How many of them have `part` in them; "" for all. */
unsigned lines_count(log_lines *l, const char *part);

void lines_forget(log_lines *l);

#endif
