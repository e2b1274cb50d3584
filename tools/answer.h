/* SPDX-License-Identifier: MIT */
/* An application's STDOUT, taken apart as CGI has it (RFC 3875, 6). */
#ifndef FCGI_TOOLS_ANSWER_H
#define FCGI_TOOLS_ANSWER_H

#include <stddef.h>

/* Zero-initialise it, but for the first two; free(3) `head`. */
typedef struct tool_answer {
  int show_head;   /* 1: print the header lines too. */
  int quiet;       /* 1: print nothing. */
  int in_body;     /* 1: the header lines are over. */
  int status;      /* The HTTP status; 200 where no header says another. */
  char *head;      /* The header lines, until the body begins. */
  size_t head_len; /* Bytes of the head, the empty line included. */
} tool_answer;

/* The next bytes of STDOUT: prints what is to be printed to stdout. */
void tool_answer_feed(tool_answer *answer, const void *data, size_t len);

/* STDOUT has ended: 0, or -1 when there never was an end of the headers. What
   came is printed then. */
int tool_answer_end(tool_answer *answer);

#endif
