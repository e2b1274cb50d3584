/* SPDX-License-Identifier: MIT */
/* A resource whose values a pool of the program's own lends: every take borrows
   one, and every give returns it, so how many the resource opens and closes
   says nothing. What the pool has counted takes the place of that. */
#ifndef FCGI_RESOURCE_TOLD_H
#define FCGI_RESOURCE_TOLD_H

#include <fastcgi/resource.h>
#include <stdatomic.h>
#include <stdint.h>

struct fcgi__policy;

typedef struct fcgi__told {
  fcgi_resource_stats pool;  /* What the pool has counted. */
  fcgi_resource_stats shown; /* What the status has been given. */
  _Atomic uint64_t *row;     /* Where that is (base/row.h), or NULL. */
} fcgi__told;

/* What the resource and its pool have counted together; the policy has been
   told. */
fcgi_resource_stats fcgi__told_sum(const struct fcgi__policy *policy);
/* Count in this row from now on, or nowhere for NULL. */
void fcgi__told_move(const struct fcgi__policy *policy, _Atomic uint64_t *row);
/* A fork has a pool of its own, which has counted nothing. */
void fcgi__told_forget(fcgi__told *told);

#endif
