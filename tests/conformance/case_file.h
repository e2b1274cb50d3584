/* SPDX-License-Identifier: MIT */
/* One case of cases/, read. README.md describes the format. */
#ifndef CONFORMANCE_CASE_FILE_H
#define CONFORMANCE_CASE_FILE_H

#include "support/records.h"

#include <fastcgi/session.h>

/* What the web server does beside sending bytes. */
typedef enum case_action {
  CASE_BYTES = 0,  /* The peer sends these bytes. */
  CASE_CLOSE,      /* It closes the connection. */
  CASE_HALF_CLOSE, /* It will send nothing more, but reads. */
  CASE_SILENCE,    /* It is silent longer than a body's draining waits. */
  CASE_TIMEOUT,    /* It is silent longer than the header timeout. */
  CASE_AWAIT       /* It reads on before it sends more. */
} case_action;

typedef struct case_step {
  case_action action; /* What happens. */
  records bytes;      /* BYTES: what is sent. */
} case_step;

enum { CASE_STEPS = 32 };

typedef struct case_file {
  fcgi_session_config config;  /* The limits it sets. */
  char handler[20];            /* The fixture's name. */
  int open;                    /* 1: the connection stays usable. */
  int closed;                  /* 1: the application closes it. */
  case_step steps[CASE_STEPS]; /* What the web server does. */
  size_t step_count;           /* Number of steps. */
  records events;              /* The trace expected, as a dialogue's text. */
  records answer;              /* The records expected, likewise. */
} case_file;

/* Read the file at `path`; case_file_free it. Fails the test when wrong. */
void case_file_read(case_file *c, const char *path);
void case_file_free(case_file *c);

/* Bytes that the web server sends in all. */
size_t case_file_size(const case_file *c);

#endif
