/* SPDX-License-Identifier: MIT */
/* A blocking client of FastCGI applications: one connection, driven by a peer,
   with any number of requests in flight. It reads while it writes. Only one
   thread at a time may call it. */
#ifndef FASTCGI_CLIENT_H
#define FASTCGI_CLIENT_H

#include <fastcgi/peer.h>
#include <fastcgi/timeout.h>

typedef struct fcgi_client fcgi_client;

/* A field left 0 takes its default. The function that makes the object copies
   the struct. */
typedef struct fcgi_client_config {
  size_t size;                  /* sizeof(fcgi_client_config). */
  const fcgi_peer_config *peer; /* Configuration of the peer; it is copied too.
                                   Default: NULL, every default. */
  int connect_timeout_ms; /* Longest wait of fcgi_client_connect, in ms, or
                             FCGI_WAIT_FOREVER or FCGI_WAIT_NEVER. Default:
                             10,000. */
  size_t window;          /* Most bytes of bodies queued and unsent. Default: 64
                             KiB. */
  size_t send_bytes;      /* Most bytes of one send(2). Default: as many as it
                             takes. */
} fcgi_client_config;

/* Makes a client that is not connected; `config` NULL takes every default. The
   allocator is the peer's. */
FCGI_EXPORT int fcgi_client_new(fcgi_client **out,
                                const fcgi_client_config *config);

/* Closes the connection and frees the client, requests in flight or not. NULL
   is fine. */
FCGI_EXPORT void fcgi_client_free(fcgi_client *client);

/* Connects to an address as fcgi_server_listen takes it; fd:N is a connected
   socket, which stays yours. Closes an earlier connection and starts with a
   new peer. On failure fcgi_client_message explains. */
FCGI_EXPORT int fcgi_client_connect(fcgi_client *client, const char *address);

/* Returns what went wrong in the last call that failed: one line for a person,
   "" if nothing did. Lent until the next call that can fail. */
FCGI_EXPORT const char *fcgi_client_message(const fcgi_client *client);

/* Returns the peer, for what has no function here: GET_VALUES, ABORT_REQUEST,
   streams written piece by piece, raw bytes. What the peer queues goes out in
   fcgi_client_next. Feed, next, output and close are for the client alone to
   call. NULL before the first connection; lent until the next one. */
FCGI_EXPORT fcgi_peer *fcgi_client_peer(fcgi_client *client);

/* Begins a request with all its parameters and returns its id, above 0, or an
   error. `flags` is 0 or FCGI_BEGIN_KEEP. Nothing is sent before
   fcgi_client_next. STDIN, and DATA of a filter, stay open until
   fcgi_client_send or fcgi_client_send_fd ends them. */
FCGI_EXPORT int fcgi_client_begin(fcgi_client *client, uint16_t role, int flags,
                                  const fcgi_param *params, size_t count);

/* Sends `len` bytes on STDIN or DATA and then ends the stream. The bytes are
   not copied: keep them in place until the last event of the request. With
   `len` 0 it only ends the stream. */
FCGI_EXPORT int fcgi_client_send(fcgi_client *client, uint16_t id,
                                 fcgi_stream stream, const void *data,
                                 size_t len);

/* Sends what can be read from `fd`, a file, pipe or socket, from its position
   to its end, and then ends the stream. The descriptor stays yours; keep it
   open until the last event of the request. */
FCGI_EXPORT int fcgi_client_send_fd(fcgi_client *client, uint16_t id,
                                    fcgi_stream stream, int fd);

/* Sends, receives and takes the next event. Returns 1 with `*event` lent until
   the next call; 0 when no request is open, every GET_VALUES is answered and
   all is sent; FCGI_ERR_TIMEOUT when `timeout_ms`, or FCGI_WAIT_FOREVER, has
   passed without an event (call again to wait on); FCGI_ERR_CLOSED when the
   application closed the connection too early; FCGI_ERR_PROTOCOL when it broke
   a rule. After the last two each request gets a CLOSE event first, and the
   connection is of no more use. */
FCGI_EXPORT int fcgi_client_next(fcgi_client *client,
                                 const fcgi_peer_event **event, int timeout_ms);

#endif
