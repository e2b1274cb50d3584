/* SPDX-License-Identifier: MIT */
/* Where `fcgi status` and `fcgi top` get what they show. */
#ifndef FCGI_TOOLS_VIEW_H
#define FCGI_TOOLS_VIEW_H

#include <fastcgi/status.h>

typedef struct tool_view {
  const char *command; /* The sub-command, for complaints. */
  const char *where;   /* An address, or the number of a process. */
  const char *path;    /* The status path that the server at the address has. */
  double seconds;      /* How long an answer may take. */
} tool_view;

/* Read it once: TOOL_OK, or another status after a complaint. */
int tool_view_read(const tool_view *view, fcgi_status **out);

#endif
