/* SPDX-License-Identifier: MIT */
/* The text of a case, taken apart; tests/conformance/README.md describes it. */
#ifndef FCGI_SPEC_CASE_TEXT_H
#define FCGI_SPEC_CASE_TEXT_H

#include <stddef.h>

typedef enum case_section {
  CASE_SEND = 0, /* What the web server sends. */
  CASE_EVENTS,   /* What a session makes of it. */
  CASE_ANSWER,   /* What comes back. */
  CASE_SECTIONS
} case_section;

/* Lines without their indentation, comments left out. */
typedef struct case_lines {
  const char **at; /* They are lent by the case. */
  size_t count;    /* Number of lines. */
} case_lines;

/* Fields that the case does not have are "". */
typedef struct case_text {
  const char *title;               /* What it shows, in a sentence. */
  const char *kind;                /* Where the rule comes from. */
  const char *statements;          /* Numbers of docs/conformance.md. */
  const char *handler;             /* The application; "echo" if not said. */
  const char *limits;              /* What the server is configured with. */
  case_lines lines[CASE_SECTIONS]; /* Its sections. */
  int open;                        /* 1: the connection stays usable. */
  int closed;                      /* 1: the application closes it. */
  char *copy;                      /* Private: what all of these point into. */
} case_text;

/* Take `text` apart; case_text_free it. A wrong one ends in spec_broken. */
void case_text_read(case_text *c, const char *text);
void case_text_free(case_text *c);

#endif
