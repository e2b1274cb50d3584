/* SPDX-License-Identifier: MIT */
#include "parent/queue.h"
#include "base/number.h"
#include "os/carrier.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char variable[] = "FASTCGI_SHARE"; /* PID:OUT:IN */

/* Other versions of the library may know less or more of it. */
_Static_assert(sizeof(fcgi__queue_note) <= FCGI__CARRIER_NOTE, "it fits");

void fcgi__queue_init(fcgi__queue *queue) {
  atomic_init(&queue->out, -1);
  atomic_init(&queue->in, -1);
}

/* The process that the variable is for is named in it, as for
   FASTCGI_HANDOVER. */
const char *fcgi__queue_inherit(fcgi__queue *queue) {
  const char *text = getenv(variable);
  int said[3]; /* Our process id, and the two descriptors. */
  if (!text || !*text || atomic_load(&queue->in) >= 0)
    return NULL;
  if (fcgi__number_list(text, said, 3) < 0)
    return "it must be PID:OUT:IN";
  if (said[0] != getpid())
    return NULL;
  if (!fcgi__carrier_is_one(said[1]) || !fcgi__carrier_is_one(said[2]))
    return "it names no pair of sockets";
  fcntl(said[1], F_SETFD, FD_CLOEXEC);
  fcntl(said[2], F_SETFD, FD_CLOEXEC);
  atomic_store(&queue->in, said[2]);
  atomic_store(&queue->out, said[1]);
  return NULL;
}

static int is_full(int error) {
  return error == EAGAIN || error == EINTR || error == ETOOMANYREFS ||
         error == ENOBUFS || error == ENOMEM;
}

fcgi__queue_result fcgi__queue_put(fcgi__queue *queue, int fd,
                                   const fcgi__queue_note *note) {
  int out = atomic_load(&queue->out);
  if (out < 0)
    return FCGI__QUEUE_STAYS;
  if (fcgi__carrier_send_noted(out, fd, note, sizeof *note) == 0)
    return FCGI__QUEUE_GIVEN;
  if (is_full(errno))
    return FCGI__QUEUE_FULL;
  atomic_store(&queue->out, -1); /* All workers stop. */
  return FCGI__QUEUE_STAYS;
}

int fcgi__queue_take(fcgi__queue *queue, int *fd, fcgi__queue_note *note) {
  int in = atomic_load(&queue->in);
  *fd = -1;
  return in < 0 ? -1 : fcgi__carrier_receive_noted(in, fd, note, sizeof *note);
}

int64_t fcgi__queue_since(const fcgi__queue *queue) {
  int in = atomic_load(&queue->in);
  fcgi__queue_note next;
  return in >= 0 && fcgi__carrier_look_ahead(in, &next, sizeof next)
             ? next.since
             : 0;
}

unsigned fcgi__queue_length(const fcgi__queue *queue) {
  const unsigned each = sizeof(fcgi__queue_note) + 1; /* And a tag. */
  int in = atomic_load(&queue->in);
  int bytes = in < 0 ? 0 : fcgi__carrier_bytes(in);
  return bytes > 0 ? (unsigned)bytes / each : 0;
}

int fcgi__queue_is_shut(const fcgi__queue *queue) {
  int in = atomic_load(&queue->in);
  return in < 0 || fcgi__carrier_is_shut(in);
}
