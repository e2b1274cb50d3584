/* SPDX-License-Identifier: MIT */
/* A server with an access log and an error log in a directory of its own. */
#ifndef UNIT_SUPPORT_LOGGING_H
#define UNIT_SUPPORT_LOGGING_H

#include "support/serving.h"

enum { LOGS_TEXT = 262144 };

typedef struct logs {
  serving *f;           /* The server. */
  char directory[64];   /* Where the files are. */
  char access[96];      /* The access log. */
  char errors[96];      /* The error log. */
  char text[LOGS_TEXT]; /* What logs_read found. */
} logs;

/* Make the directory and name the logs in the configuration; the test restarts
   the server, and ends with the other. */
void logs_begin(logs *l, serving *f, const char *format);
void logs_finish(logs *l);

/* What a file holds; once `what` is in it. */
const char *logs_read(logs *l, const char *path);
const char *logs_await(logs *l, const char *path, const char *what);

/* All is written, and the access log is this. */
void logs_expect(logs *l, const char *text);

/* Send a request, and answer it with 200 and "hello". */
void logs_get(logs *l, const char *uri);
void logs_ask(logs *l, const char *uri);

#endif
