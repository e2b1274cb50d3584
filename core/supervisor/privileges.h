/* SPDX-License-Identifier: MIT */
/* Whom the supervisor and its workers run as. */
#ifndef FCGI_SUPERVISOR_PRIVILEGES_H
#define FCGI_SUPERVISOR_PRIVILEGES_H

#include <stddef.h>
#include <sys/types.h>

typedef struct fcgi__identity {
  int asked;      /* 1: the configuration names a user or a group. */
  int wanted;     /* 1: it names another one than the process has. */
  uid_t uid;      /* User id that workers run as. */
  gid_t gid;      /* Group id that workers run as. */
  char name[64];  /* Name of the user in the user database, or "". */
  char home[256]; /* Home directory of the user, or "". */
} fcgi__identity;

/* The number of a user or group given by name or number, and what else the
   database knows; NULL leaves things alone. 0, or -1 with a line in `why`. */
int fcgi__identity_find(fcgi__identity *out, const char *user,
                        const char *group, char *why, size_t why_len);

/* Become it, for good: no way back, no new privileges by execve(2), and no
   other process of the user may look inside. 0, or -1 with a line in `why`. */
int fcgi__identity_become(const fcgi__identity *identity, char *why,
                          size_t why_len);

#endif
