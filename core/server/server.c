/* SPDX-License-Identifier: MIT */
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void init_server(fcgi_server *server, const fcgi_server_config *config) {
  server->config = *config;
  server->allocator = config->allocator;
  server->events = config->events | 1u << FCGI_EVENT_REQUEST;
  server->session_config = (fcgi_session_config){
      .size = sizeof server->session_config,
      .allocator = config->allocator,
      .limit_params_size = config->limit_params_size,
      .limit_params = config->limit_params,
      .max_multiplexed = config->max_multiplexed,
      .report_conns = config->limit_connections,
      .memory = config->connection_memory,
      .no_multiplex = config->no_multiplex > 0,
  };
  fcgi__process_init(&server->process);
  fcgi__handover_init(&server->handover);
  fcgi__share_init(&server->share);
  server->observer.board.fd = -1;
  pthread_mutex_init(&server->lock, NULL);
  fcgi__troubles_init(&server->observer.troubles);
  atomic_init(&server->offered, -1);
  fcgi__wheel_init(&server->wheel, fcgi__now());
  atomic_init(&server->next_sweep, LLONG_MAX);
  atomic_init(&server->accept_again, LLONG_MAX);
}

static void discard(fcgi_server *server) {
  fcgi_allocator allocator = server->allocator;
  fcgi_spares_free(server->session_config.spares);
  fcgi__process_clear(&server->process);
  fcgi__guard_clear(&server->guard, &allocator);
  fcgi__logs_end(server->observer.logs);
  fcgi__observer_end(&server->observer);
  fcgi__kept_forget(server);
  fcgi__wheel_end(&server->wheel);
  pthread_mutex_destroy(&server->lock);
  fcgi__share_clear(&server->share);
  fcgi__free(&allocator, server);
}

static int fill(fcgi_server *server, const fcgi_server_config *filled) {
  int error = fcgi_spares_new(&server->session_config.spares,
                              FCGI__KEPT_REQUESTS, &server->allocator);
  if (!error)
    error = fcgi__server_logs_new(server);
  if (error)
    return error;
  error = fcgi__guard_init(&server->guard, filled);
  return error ? error
               : fcgi__poller_new(&server->poller, filled->poller,
                                  &server->allocator);
}

/* Only a poller makes system calls, or is not there on every system. */
static int explain(int error, char *why, size_t len) {
  int number = errno;
  if (error == FCGI_ERR_SYSTEM)
    snprintf(why, len, "cannot wait for connections: %s", strerror(number));
  else if (error == FCGI_ERR_UNSUPPORTED)
    snprintf(why, len, "this system does not have that poller; use poll");
  else
    snprintf(why, len, "%s", fcgi_error_text(error));
  errno = number;
  return error;
}

int fcgi_server_new(fcgi_server **out, const fcgi_server_config *config,
                    char *why, size_t len) {
  fcgi_server_config filled;
  fcgi_server *server;
  char unwanted[1];
  int error, number;
  if (!why) {
    why = unwanted;
    len = sizeof unwanted;
  }
  error = fcgi__server_settings_take(&filled, config, why, len);
  if (error)
    return error;
  fcgi_standard_hold();
  server = fcgi__calloc(&filled.allocator, sizeof *server);
  if (!server)
    return explain(FCGI_ERR_NOMEM, why, len);
  init_server(server, &filled);
  fcgi__server_settings_keep(server);
  error = fill(server, &filled);
  if (!error) {
    *out = server;
    return 0;
  }
  number = errno;
  discard(server);
  errno = number;
  return explain(error, why, len);
}

/* Events of theirs may wait too. */
static void free_late(fcgi_server *server) {
  while (server->late) {
    fcgi_request *request = server->late;
    fcgi__ready_forget(server, request);
    fcgi__ready_no_longer_late(server, request);
    fcgi__request_free(request);
  }
}

static void free_connections(fcgi_server *server) {
  unsigned count = atomic_load(&server->segment_count);
  for (unsigned i = 0; i < count; i++) {
    for (unsigned j = 0; j < FCGI__POOL_SEGMENT; j++) {
      fcgi__connection *connection = &server->segments[i][j];
      fcgi__connection_discard(connection);
      pthread_mutex_destroy(&connection->lock);
    }
    fcgi__free(&server->allocator, server->segments[i]);
  }
}

/* Requests whose CLOSE nobody took; the others go with their connections. */
static void free_ready(fcgi_server *server) {
  while (server->turn_first) {
    fcgi_request *request = server->turn_first->ready_first;
    fcgi__ready_forget(server, request);
    if (request->phase == FCGI__CLOSED)
      fcgi__request_free(request);
  }
}

/* A fork leaves all of it alone: what it would close may have been closed by
   its program, and the numbers be other files' by now. */
void fcgi_server_free(fcgi_server *server) {
  fcgi_allocator allocator;
  int offered;
  if (!server || fcgi__process_is_other(&server->process))
    return;
  allocator = server->allocator;
  offered = atomic_exchange(&server->offered, -1);
  if (offered >= 0)
    close(offered);
  fcgi__spare_end(server);
  fcgi__trouble_tell(&server->observer, LLONG_MAX - 1);
  atomic_store(&server->stopping, FCGI__ABORTING);
  for (size_t i = 0; i < server->listener_count; i++) {
    if (server->listeners[i].own)
      shutdown(server->listeners[i].fd, SHUT_RDWR); /* A fork has a copy. */
    fcgi__listener_close(&server->listeners[i]);
  }
  free_late(server);
  free_ready(server);
  fcgi__gather_flush(server);
  free_connections(server);
  fcgi__requests_discard(server);
  fcgi_spares_free(server->session_config.spares);
  fcgi__logs_end(server->observer.logs);
  fcgi__observer_end(&server->observer);
  fcgi__kept_forget(server);
  fcgi__cgi_free(server->cgi, &allocator);
  fcgi__poller_free(server->poller);
  fcgi__guard_clear(&server->guard, &allocator);
  fcgi__free(&allocator, server->roles);
  fcgi__wheel_end(&server->wheel);
  pthread_mutex_destroy(&server->lock);
  fcgi__share_clear(&server->share);
  fcgi__process_clear(&server->process);
  fcgi__free(&allocator, server);
}

/* Accepted sockets inherit TCP_NODELAY from the listener, which saves a system
   call for each: records leave at once (a delayed END_REQUEST costs HAProxy
   200 ms a request). */
static void no_delay(const fcgi__listener *listener) {
  int one = 1;
  if (listener->family != AF_UNIX)
    setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int open_listeners(fcgi_server *server, const char *address) {
  fcgi__listen_options options = {.backlog = server->config.backlog,
                                  .mode = server->config.socket_mode};
  fcgi__listener *first = &server->listeners[server->listener_count];
  size_t room = FCGI__LISTENERS - server->listener_count;
  char refused[FCGI__MESSAGE];
  int count;
  if (room == 0) {
    snprintf(server->message, sizeof server->message,
             "%s: this server listens on %d addresses already",
             address ? address : "the inherited listener", FCGI__LISTENERS);
    return FCGI_ERR_LIMIT;
  }
  count = fcgi__guard_prepare(server, refused, sizeof refused);
  if (count < 0)
    return count;
  options.tcp_refused = refused;
  options.loopback_only =
      !server->guard.has_configured && !server->guard.has_environment;
  count = fcgi__listener_open(first, room, address, &options, server->message,
                              sizeof server->message);
  if (count < 0)
    return count;
  server->listener_count += (size_t)count;
  for (int i = 0; i < count; i++) {
    no_delay(&first[i]);
    if (fcgi__poller_add(server->poller, first[i].fd,
                         FCGI__POLL_IN | FCGI__POLL_LISTENER, &first[i])) {
      snprintf(server->message, sizeof server->message,
               "cannot watch %s: %s; listen on it only once",
               address ? address : "the inherited listener", strerror(errno));
      return FCGI_ERR_SYSTEM;
    }
  }
  atomic_store(&server->accepting, 1);
  return 0;
}

int fcgi_server_forked(const fcgi_server *server) {
  return fcgi__process_is_other(&server->process);
}

/* What a fork is told, in its own copy of the message. */
int fcgi__server_refuse_fork(fcgi_server *server) {
  snprintf(server->message, sizeof server->message,
           "the server belongs to the process %ld, of which this one is a "
           "fork; make a server here",
           (long)server->process.pid);
  return FCGI_ERR_STATE;
}

/* It has left descriptor 0, so another look would find no listener, or a CGI
   start. */
static int refuse_again(fcgi_server *server) {
  snprintf(server->message, sizeof server->message,
           "the inherited listener is served already; listen on it only once");
  return FCGI_ERR_STATE;
}

int fcgi_server_listen(fcgi_server *server, const char *address) {
  int error;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  server->message[0] = '\0';
  error = fcgi__server_logs_open(server);
  if (!error)
    error = fcgi__server_check_temp(server);
  if (error)
    return error;
  if (!address && server->inherited)
    return refuse_again(server);
  if (!address && fcgi__cgi_is_start())
    return fcgi__server_answer_cgi(server);
  fcgi__starter_hear(&server->starter);
  error = open_listeners(server, address);
  server->inherited |= !error && !address;
  if (error || address)
    return error;
  fcgi__share_inherit(server);
  return fcgi__handover_inherit(server);
}

int fcgi_server_address(fcgi_server *server, size_t index, char *out,
                        size_t len) {
  if (index == server->listener_count && server->cgi)
    return (size_t)snprintf(out, len, "cgi") < len ? 0 : FCGI_ERR_LIMIT;
  if (index >= server->listener_count)
    return FCGI_ERR_INVALID;
  return fcgi__address_of_socket(server->listeners[index].fd, out, len);
}

const char *fcgi_server_message(const fcgi_server *server) {
  return server->message;
}

void fcgi_server_set_events(fcgi_server *server, unsigned events) {
  const unsigned request = 1u << FCGI_EVENT_REQUEST;
  atomic_store(&server->withholds, !(events & request));
  atomic_store(&server->events, events | request);
}

int fcgi_server_fd(fcgi_server *server) {
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  return fcgi__poller_fd(server->poller);
}

int fcgi_server_stopping(const fcgi_server *server) {
  return atomic_load(&server->stop_wanted) != 0;
}

void fcgi_server_stop(fcgi_server *server, fcgi_stop how) {
  int wanted = how == FCGI_STOP_NOW ? FCGI__ABORTING : FCGI__STOPPING;
  int before = atomic_load(&server->stop_wanted);
  if (fcgi_server_forked(server))
    return;
  while (before < wanted &&
         !atomic_compare_exchange_weak(&server->stop_wanted, &before, wanted))
    ;
  fcgi__orphan_stopping(&server->orphan);
  fcgi__poller_wake(server->poller);
}
