/* SPDX-License-Identifier: MIT */
/* A picture of lines, drawn over and over on a terminal, or printed. */
#ifndef FCGI_TOOLS_SCREEN_H
#define FCGI_TOOLS_SCREEN_H

#include <signal.h>
#include <termios.h>

typedef struct screen {
  int is_terminal;      /* 1: it is drawn on one. */
  int is_keyboard;      /* 1: keys are read from it. */
  int rows, columns;    /* Size of the terminal, in characters. */
  int used;             /* Lines of this picture so far. */
  struct termios saved; /* How the keyboard was. */
  sigset_t mask;        /* Signals that were blocked before. */
} screen;

/* Take the terminal, unless `plain` or there is none: then lines are only
   printed. */
void screen_open(screen *to, int plain);
void screen_close(screen *to);

/* Wait: 1 when q, Escape, Ctrl-C or a signal ends it. The first picture comes
   soon. */
int screen_pause(screen *to, double seconds);

/* Lines from `begin` to `end` are one picture; what does not fit is left
   out, and what a terminal would take for a command becomes "?". */
void screen_begin(screen *to);
__attribute__((format(printf, 2, 3))) void screen_line(screen *to,
                                                       const char *format, ...);
void screen_title(screen *to, const char *text);
void screen_end(screen *to);

#endif
