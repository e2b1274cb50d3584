/* SPDX-License-Identifier: MIT */
#include "supervisor/census.h"
#include "os/backlog.h"
#include "os/clock.h"
#include "os/sieve.h"
#include "supervisor/spawn.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DROPS_PAUSE_MS = 10000 }; /* Between two lines about dropped packets. */

/* Room for a generation that serves, one that starts and those that drain, and
   for workers that SIGTTIN adds. Memory is taken when a slot is. */
static unsigned slots_for(unsigned workers) {
  unsigned slots = 4 * workers + 64;
  return slots < FCGI__BOARD_SLOTS ? slots : FCGI__BOARD_SLOTS;
}

static int make(fcgi__supervisor *s) {
  if (fcgi__board_new(&s->board, slots_for(s->wanted)))
    return -1;
  s->board.fd = fcgi__spawn_lift(s->board.fd);
  if (s->board.fd >= 0)
    return 0;
  fcgi__board_free(&s->board);
  return -1;
}

void fcgi__census_open(fcgi__supervisor *s) {
  if (make(s) == 0)
    fcgi__board_set_supervisor(&s->board, (int64_t)getpid());
  else
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         "no memory for the status can be had: %s; workers "
                         "are not in it, and handlers that do not return are "
                         "not noticed",
                         strerror(errno));
}

/* The kernel turns others away without a word: this is the only trace of them.
   It counts what is lost to a full queue too. */
static void look_at_drops(fcgi__supervisor *s) {
  long long now = fcgi__now();
  uint32_t all = 0, more;
  for (size_t i = 0; s->guarded && i < s->listener_count; i++)
    all += fcgi__sieve_dropped(s->listeners[i].fd);
  for (; s->dropped != all; s->dropped++)
    fcgi__board_count(&s->board, FCGI_SUPERVISED_DROPPED_PACKETS);
  more = s->dropped - s->dropped_told;
  if (more == 0 || now < s->dropped_quiet)
    return;
  s->dropped_told = s->dropped;
  s->dropped_quiet = now + DROPS_PAUSE_MS;
  fcgi__supervisor_log(
      s, FCGI_LOG_WARNING,
      "%u packets were dropped at TCP listeners: from addresses "
      "that are not in the allow list, or while a queue was "
      "full",
      more);
}

void fcgi__census_look(fcgi__supervisor *s) {
  fcgi__backlog all = {-1, -1};
  if (!s->board.head)
    return;
  for (size_t i = 0; i < s->listener_count; i++)
    fcgi__backlog_add(&all, s->listeners[i].fd);
  fcgi__board_note_backlog(&s->board, all);
  look_at_drops(s);
}

void fcgi__census_ended(fcgi__supervisor *s, int status) {
  fcgi__board_count(&s->board, WIFSIGNALED(status) ? FCGI_SUPERVISED_CRASHES
                                                   : FCGI_SUPERVISED_EXITS);
}
