/* SPDX-License-Identifier: MIT */
/* Carrying out a stop that was asked for. */
#include "server/server.h"
#include <fcntl.h>
#include <unistd.h>

static void stop_one(fcgi__connection *connection, void *data) {
  const int *how = data;
  fcgi__connection_lock(connection);
  fcgi__connection_stop(
      connection, *how == FCGI__ABORTING ? FCGI_STOP_NOW : FCGI_STOP_GRACEFUL);
  fcgi__connection_settle(connection);
}

/* Clients that have connected already are served: what we listen on ourselves
   goes away, and they would be reset. Of what is inherited others accept too,
   but for those that each of our threads may have been woken for; where all of
   them are inside handlers, nobody here would serve one soon. */
static void accept_last(fcgi_server *server, int own) {
  int woken = own + (int)atomic_load(&server->sleepers);
  for (size_t i = 0; i < server->listener_count; i++)
    fcgi__accept_some(server, &server->listeners[i],
                      server->listeners[i].own ? server->config.backlog
                                               : woken);
}

/* A client that connects now shall learn at once that nobody accepts. Another
   thread may be about to call accept4(2), so the numbers stay taken, by
   something that cannot accept: where no descriptor is left to open, stderr. */
static void close_listeners(fcgi_server *server) {
  int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int instead = nothing >= 0 ? nothing : STDERR_FILENO;
  for (size_t i = 0; i < server->listener_count; i++)
    fcgi__listener_retire(&server->listeners[i], instead);
  if (nothing >= 0)
    close(nothing);
}

/* A worker whose supervisor is gone lets go of listeners that others may want,
   and of sockets to nobody. Another thread may be about to use them: the
   numbers stay taken. */
static void let_go_of_shared(fcgi_server *server) {
  int nothing;
  if (!fcgi__orphan_is_one(&server->orphan))
    return;
  atomic_store(&server->handover.out, -1);
  nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0)
    return;
  for (size_t i = 0; i < server->listener_count; i++)
    if (!server->listeners[i].own)
      dup3(nothing, server->listeners[i].fd, O_CLOEXEC);
  close(nothing);
}

static void carry_out(fcgi_server *server, int own) {
  int wanted = atomic_load(&server->stop_wanted);
  if (atomic_exchange(&server->stopping, wanted) == wanted)
    return;
  fcgi__server_stopping(server);
  fcgi__accept_off(server);
  if (wanted == FCGI__STOPPING)
    accept_last(server, own);
  else
    fcgi__handover_tell(server);
  fcgi__handover_stop_taking(server);
  close_listeners(server);
  let_go_of_shared(server);
  fcgi__server_each_connection(server, stop_one, &wanted);
  if (wanted == FCGI__ABORTING)
    fcgi__poller_wake_all(server->poller);
}

/* Until it is carried out no thread may leave: connections are accepted and
   taken meanwhile, perhaps by a thread that serves no requests. */
void fcgi__stop_carry_out(fcgi_server *server, int own) {
  atomic_fetch_add(&server->carrying, 1);
  carry_out(server, own);
  atomic_fetch_sub(&server->carrying, 1);
}
