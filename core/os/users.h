/* SPDX-License-Identifier: MIT */
/* Lists of users, by name or number. */
#ifndef FCGI_OS_USERS_H
#define FCGI_OS_USERS_H

#include <fastcgi/alloc.h>
#include <stddef.h>
#include <sys/types.h>

/* The ids of some users. Zero-initialised it has none. */
typedef struct fcgi__users {
  uid_t *ids;   /* One for each of the list. */
  size_t count; /* The length of `ids`. */
} fcgi__users;

/* Parse names and numbers with commas between, blanks around them; names are
   looked up. 0; or FCGI_ERR_INVALID with the reason in `why`, or
   FCGI_ERR_NOMEM, and then `out` is empty. */
int fcgi__users_parse(fcgi__users *out, const fcgi_allocator *allocator,
                      const char *text, char *why, size_t why_len);

/* 1 when the list has this user. */
int fcgi__users_has(const fcgi__users *users, uid_t id);

void fcgi__users_clear(fcgi__users *users, const fcgi_allocator *allocator);

#endif
