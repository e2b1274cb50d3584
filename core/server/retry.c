/* SPDX-License-Identifier: MIT */
/* A request that has failed because a resource broke is run again. */
#include "server/overdue.h"
#include "server/server.h"
#include <string.h>

/* Methods that RFC 9110 (9.2.1) calls safe and that handlers answer. */
static int is_safe(const fcgi_request *request) {
  size_t len;
  const char *method =
      fcgi_params_get(request->params, "REQUEST_METHOD", 14, &len);
  return method && ((len == 3 && memcmp(method, "GET", 3) == 0) ||
                    (len == 4 && memcmp(method, "HEAD", 4) == 0));
}

/* The connection's lock is held. One that is over has no parameters. */
static int is_fresh(const fcgi_request *request) {
  return !request->retried && !request->lateness &&
         request->out.answer == FCGI__ANSWER_NONE &&
         fcgi__request_check(request) == 0 && is_safe(request);
}

static int rewind_input(fcgi_request *request) {
  return fcgi__spool_rewind(&request->body.spool) == 0 &&
         fcgi__spool_rewind(&request->data.spool) == 0;
}

static int begin_again(fcgi_request *request) {
  int again;
  fcgi__connection_lock(request->connection);
  again = is_fresh(request) && rewind_input(request);
  request->retried |= (uint8_t)again;
  fcgi__connection_unlock_only(request->connection);
  return again;
}

static void tell(const fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  char what[FCGI__WHAT];
  fcgi__request_describe(request, what);
  fcgi__observe_count(&server->observer, FCGI_METRIC_RETRIED, 1);
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "%s: failed, as a resource that it had broke; it is run "
                   "once more",
                   what);
}

int fcgi_request_retry(fcgi_request *request, fcgi_holder *holder) {
  if (!holder)
    holder = &request->holder;
  if (!fcgi__holder_is_to_retry(holder) || fcgi__request_is_other(request) ||
      !begin_again(request))
    return 0;
  fcgi__holder_again(holder);
  atomic_store(&request->holder.wanted, 0);
  tell(request);
  return 1;
}
