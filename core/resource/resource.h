/* SPDX-License-Identifier: MIT */
/* A resource: the policy with a lock, a clock, threads and processes. */
#ifndef FCGI_RESOURCE_RESOURCE_H
#define FCGI_RESOURCE_RESOURCE_H

#include "os/process.h"
#include "resource/policy.h"
#include <pthread.h>

/* Bytes of a name, with its NUL. */
enum { FCGI__RESOURCE_NAME = FCGI__QUOTA_NAME };

struct fcgi_resource {
  fcgi_allocator allocator;        /* Of the resource and its handles. */
  fcgi_resource_config config;     /* Callbacks; its texts are not used. */
  char name[FCGI__RESOURCE_NAME];  /* For messages. */
  fcgi__process process;           /* Whose handles it has. */
  pthread_key_t key;               /* Scope THREAD: a thread's own handle; else
                                      what it took last without a holder. */
  pthread_mutex_t lock;            /* Guards what follows. */
  fcgi__policy policy;             /* What becomes of the handles. */
  char cause[FCGI_RESOURCE_WHY];   /* Why the last attempt to open failed. */
  char message[FCGI_RESOURCE_WHY]; /* Why the last take failed. */
};

/* Its holder goes, and nobody can give it back. This is no fork. */
void fcgi__resource_abandon(fcgi_handle *handle);

#endif
