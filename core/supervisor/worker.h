/* SPDX-License-Identifier: MIT */
/* One worker: started, told to stop, lost. */
#ifndef FCGI_SUPERVISOR_WORKER_H
#define FCGI_SUPERVISOR_WORKER_H

#include "supervisor/supervisor.h"

/* Start one of this generation: 0, or -1 with errno. */
int fcgi__worker_start(fcgi__supervisor *s, unsigned generation);

/* The living worker with this process id, or NULL. */
fcgi__worker *fcgi__worker_find(fcgi__supervisor *s, pid_t pid);

/* Tell it to finish and go; SIGKILL follows after the graceful timeout. */
void fcgi__worker_stop(fcgi__supervisor *s, fcgi__worker *worker);

/* Tell it to go now; SIGKILL follows soon. */
void fcgi__worker_hurry(fcgi__supervisor *s, fcgi__worker *worker);

/* End it, and all of its process group. */
void fcgi__worker_kill(fcgi__supervisor *s, fcgi__worker *worker);

/* What it told, or what time told of it. */
void fcgi__worker_is_ready(fcgi__supervisor *s, fcgi__worker *worker);
void fcgi__worker_is_stopping(fcgi__supervisor *s, fcgi__worker *worker);
void fcgi__worker_is_alive(fcgi__supervisor *s, fcgi__worker *worker);
void fcgi__worker_is_spent(fcgi__supervisor *s, fcgi__worker *worker);
void fcgi__worker_hears(fcgi__supervisor *s, fcgi__worker *worker);

/* Collect children that have ended. */
void fcgi__workers_reap(fcgi__supervisor *s);

/* See to what is due at `now`. */
void fcgi__workers_tick(fcgi__supervisor *s, long long now);

/* When something of this worker is due; LLONG_MAX: never. */
long long fcgi__worker_due(const fcgi__supervisor *s, const fcgi__worker *w);

/* "exited with status 1" or "was killed by signal 9 (Killed)". */
void fcgi__worker_describe_end(int status, char *out, size_t len);

#endif
