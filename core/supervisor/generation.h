/* SPDX-License-Identifier: MIT */
/* Generations: all the workers that one start or one reload makes. */
#ifndef FCGI_SUPERVISOR_GENERATION_H
#define FCGI_SUPERVISOR_GENERATION_H

#include "supervisor/supervisor.h"

/* Begin the first one. */
void fcgi__generation_begin(fcgi__supervisor *s);

/* A reload is wanted; several in a moment become one. */
void fcgi__generation_want(fcgi__supervisor *s);

/* A worker that was not to stop is gone, or as good as gone: `how` goes on
   from "worker 1234 ". `clean` 1: it ended with exit status 0. */
void fcgi__generation_lost(fcgi__supervisor *s, const fcgi__worker *worker,
                           const char *how, int clean);

/* Start and stop what has to be, after anything has changed. */
void fcgi__generations_settle(fcgi__supervisor *s);

/* When it has to be called though nothing changes. */
long long fcgi__generations_due(const fcgi__supervisor *s);

/* How many workers serve now, ready ones of any generation. */
size_t fcgi__generations_serving(const fcgi__supervisor *s);

#endif
