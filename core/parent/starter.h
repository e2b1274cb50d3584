/* SPDX-License-Identifier: MIT */
/* What whoever started this process says to it in the environment. It is heard
   when the server listens, and forgotten when it serves: a program that a
   handler starts is not the one that is spoken to. */
#ifndef FCGI_PARENT_STARTER_H
#define FCGI_PARENT_STARTER_H

enum { FCGI__STARTER_NAME = 108, FCGI__STARTER_TEXT = 80 };

typedef struct fcgi__starter {
  char notify[FCGI__STARTER_NAME];     /* NOTIFY_SOCKET, "" for none. */
  char supervisor[FCGI__STARTER_TEXT]; /* FASTCGI_SUPERVISOR. */
  char board[FCGI__STARTER_TEXT];      /* FASTCGI_SCOREBOARD. */
  int alive_ms;                        /* How often WATCHDOG=1; 0: never. */
} fcgi__starter;

/* Keep what the environment says now, if anything. */
void fcgi__starter_hear(fcgi__starter *starter);

/* Take it out of the environment, where it is. */
void fcgi__starter_forget(void);

#endif
