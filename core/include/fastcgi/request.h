/* SPDX-License-Identifier: MIT */
/* A request that a server has received: functions that read it and answer it.
   The handle of a request is valid until the request ends; in a callback, until
   that callback returns. Any thread may call these functions, but only one
   thread at a time may read a request, and only one may write its answer. */
#ifndef FASTCGI_REQUEST_H
#define FASTCGI_REQUEST_H

#include <fastcgi/event.h>
#include <fastcgi/export.h>
#include <fastcgi/params.h>
#include <fastcgi/protocol.h>
#include <fastcgi/resource.h>
#include <fastcgi/timeout.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct fcgi_request fcgi_request;

/* One response header. Neither text needs a final NUL. */
typedef struct fcgi_header {
  const char *name;  /* Name of the header, an HTTP token. */
  size_t name_len;   /* Bytes of the name. */
  const char *value; /* Value of the header. */
  size_t value_len;  /* Bytes of the value. */
} fcgi_header;

/* What is wrong with a header. */
typedef enum fcgi_header_fault {
  FCGI_HEADER_GOOD = 0, /* Nothing is wrong. */
  FCGI_HEADER_BAD_NAME, /* The name is empty or no HTTP token. */
  FCGI_HEADER_BAD_VALUE /* The value has a CR, LF or NUL. */
} fcgi_header_fault;

/* Checks whether fcgi_request_start accepts the header. Returns
   FCGI_HEADER_GOOD, or what is wrong with it; `*at` is then the index of the
   first refused byte in the name or value. */
FCGI_EXPORT fcgi_header_fault fcgi_header_check(const fcgi_header *header,
                                                size_t *at);

/* Returns the request id on its connection, 1 to 65535. */
FCGI_EXPORT uint16_t fcgi_request_id(const fcgi_request *request);

/* Returns an fcgi_role, or the number of a custom role. */
FCGI_EXPORT unsigned fcgi_request_role(const fcgi_request *request);

/* Returns the role's name: "responder", "authorizer", "filter", or what
   fcgi_server_set_roles gave. Lent until the server is freed. */
FCGI_EXPORT const char *fcgi_request_role_name(const fcgi_request *request);

/* Returns the parameters, lent until the request ends; NULL after that. */
FCGI_EXPORT const fcgi_params *fcgi_request_params(const fcgi_request *request);

/* Returns the value of the parameter `name`, a C string, as fcgi_params_get
   does; NULL when there is none. */
FCGI_EXPORT const char *fcgi_request_param(const fcgi_request *request,
                                           const char *name);

/* The path of a request. Each text ends in a NUL that its length does not
   count. */
typedef struct fcgi_path {
  const char *script_name; /* Where the application is mounted: "" or "/...". */
  size_t script_name_len;  /* Bytes of `script_name`. */
  const char *path_info;   /* The path below the mount point. */
  size_t path_info_len;    /* Bytes of `path_info`. */
  const char *path;        /* The whole path, decoded. */
  size_t path_len;         /* Bytes of `path`. */
} fcgi_path;

/* Fills `out` with the path of the request as the web server has judged it:
   SCRIPT_NAME and PATH_INFO after any rewriting; docs/paths.md names the
   exceptions. `root_path` of the configuration changes where the path is split,
   not the path. The texts are lent until the request ends. Returns 0 or
   FCGI_ERR_NOMEM. */
FCGI_EXPORT int fcgi_request_path(fcgi_request *request, fcgi_path *out);

/* Returns the path as the client wrote it, not decoded: the path in
   REQUEST_URI, or NULL if the web server has rewritten it, so that it is not
   `path` above any more. `*len` is its length; no NUL ends it. The text is lent
   until the request ends. */
FCGI_EXPORT const char *fcgi_request_raw_path(fcgi_request *request,
                                              size_t *len);

/* Returns SCRIPT_FILENAME as the name of a file, without the
   "proxy:fcgi://host:port" before it and the query behind it that Apache's
   mod_proxy_fcgi adds; NULL if the web server has sent none. `*len` is its
   length; no NUL ends it. The text is lent until the request ends. */
FCGI_EXPORT const char *
fcgi_request_script_filename(const fcgi_request *request, size_t *len);

/* Returns CONTENT_LENGTH. If the web server sent none, or "-1" for a chunked
   upload, it returns the length of a collected body, and -1 for a streamed or
   an empty one. The body ends where STDIN ends, whatever this number is. */
FCGI_EXPORT int64_t fcgi_request_content_length(const fcgi_request *request);

/* Reads up to `len` bytes of the body. Returns the number of bytes read, 0 at
   the end of the body, or an error: FCGI_ERR_TRUNCATED when STDIN ended before
   CONTENT_LENGTH bytes, FCGI_ERR_ABORTED when the rest can never arrive,
   FCGI_ERR_TIMEOUT when none has arrived within the timeout of the request,
   FCGI_ERR_AGAIN when that timeout is FCGI_WAIT_NEVER. */
FCGI_EXPORT ptrdiff_t fcgi_request_read(fcgi_request *request, void *data,
                                        size_t len);

/* Reads DATA, the file that a filter transforms, as fcgi_request_read reads the
   body. A filter need not read it. With FCGI_BODY_STREAM read STDIN first.
   FCGI_ERR_TRUNCATED when DATA ended short of FCGI_DATA_LENGTH; 0 at once for a
   role without DATA. */
FCGI_EXPORT ptrdiff_t fcgi_request_read_data(fcgi_request *request, void *data,
                                             size_t len);

/* Return the length of that file in bytes (FCGI_DATA_LENGTH), and the time of
   its last change in seconds since 1970 (FCGI_DATA_LAST_MOD); -1 when the
   parameter is absent or is not a decimal number. */
FCGI_EXPORT int64_t fcgi_request_data_length(const fcgi_request *request);
FCGI_EXPORT int64_t fcgi_request_data_modified(const fcgi_request *request);

/* Begins the answer with `status`, 200 to 599, and headers. Later writes are
   the body; for HEAD, 204 and 304 they are dropped. A header Status may give
   another reason phrase than the usual one: "404 Nope" with `status` 404.
   Headers that only the web server may set (Transfer-Encoding, Connection and
   the like) are left out. Returns 0; FCGI_ERR_INVALID, with nothing written,
   for what fcgi_request_check_answer refuses; or FCGI_ERR_STATE when the answer
   has begun. */
FCGI_EXPORT int fcgi_request_start(fcgi_request *request, int status,
                                   const fcgi_header *headers, size_t count);

/* Checks whether an answer may begin with `status` and these headers and have a
   whole body of `length` bytes (-1: not known). Returns 0, or FCGI_ERR_INVALID
   with the reason in `why`, cut to `size` bytes. It refuses a status outside
   200 to 599, a name that is no HTTP token, a value with CR, LF or NUL, and a
   Content-Length that is no number, contradicts another one, or is not
   `length`. */
FCGI_EXPORT int fcgi_request_check_answer(const fcgi_request *request,
                                          int status,
                                          const fcgi_header *headers,
                                          size_t count, int64_t length,
                                          char *why, size_t size);

/* Small writes are gathered until they are 16 KiB, fcgi_request_flush is called
   or the request ends.

   Without fcgi_request_start a program writes raw CGI output: headers, an empty
   line, the body. That head, of writes or of a file, is held back until it is
   complete, and then checked as fcgi_request_start checks its headers. Location
   without Status gets Status 302, unless it is a path. Output without such a
   head, one longer than 256 KiB, and an authorizer's without a header lead to
   500. A custom role has no such head.

   Behind the head, an answer without a body (HEAD, 204, 304) takes no bytes: a
   write returns FCGI_ERR_CLOSED, and from one second after the first such write
   it returns FCGI_ERR_ABORTED. End the request then; fcgi_request_fail does
   that, too. */

/* Writes `len` bytes of the body, or of raw CGI output. Returns the number of
   bytes taken, which is less than `len` when the timeout of the request has
   passed. If no byte was taken, it returns FCGI_ERR_TIMEOUT; with
   FCGI_WAIT_NEVER it returns FCGI_ERR_AGAIN, and a WRITABLE event follows.
   Other errors: FCGI_ERR_INVALID for a raw head that is refused and for more
   bytes than Content-Length promised, FCGI_ERR_CLOSED for an answer without a
   body, FCGI_ERR_ABORTED when the connection is gone. */
FCGI_EXPORT ptrdiff_t fcgi_request_write(fcgi_request *request,
                                         const void *data, size_t len);

/* Writes `count` slices one after the other, as fcgi_request_write writes one
   slice. */
FCGI_EXPORT ptrdiff_t fcgi_request_writev(fcgi_request *request,
                                          const struct iovec *iov, int count);

/* Writes a message to STDERR, which web servers copy to their error log. If the
   previous message has no newline at its end, one is inserted. Messages are
   sent together with the head of the answer, with later bytes of it, or with
   its end. At most output_window bytes wait until then; FCGI_ERR_LIMIT for
   more. */
FCGI_EXPORT int fcgi_request_write_stderr(fcgi_request *request,
                                          const void *data, size_t len);

/* Sends `len` bytes of `fd` from `offset` on, with sendfile(2). The descriptor
   is duplicated, so the caller may close it. It waits as fcgi_request_write
   does; with FCGI_WAIT_NEVER it returns at once, and later writes return
   FCGI_ERR_AGAIN until the file is sent. FCGI_TO_END sends the file to its end,
   but no more bytes than Content-Length promised; a file that does not tell its
   size (/proc, /sys) is read to its end. If a file shrinks meanwhile, the
   answer is cut off. */
#define FCGI_TO_END UINT64_MAX
FCGI_EXPORT int fcgi_request_send_file(fcgi_request *request, int fd,
                                       uint64_t offset, uint64_t len);

/* Returns the number of bytes of a regular file from `offset` to its end;
   FCGI_ERR_UNSUPPORTED when the file does not tell its size (/proc, /sys),
   FCGI_ERR_INVALID when it is not a regular file, or FCGI_ERR_SYSTEM with
   errno. */
FCGI_EXPORT int64_t fcgi_file_rest(int fd, uint64_t offset);

/* Sends the gathered bytes of earlier writes at once. */
FCGI_EXPORT int fcgi_request_flush(fcgi_request *request);

/* Tells the server that this thread takes the next request right after this
   one. If more requests of this connection are ready and handlers are fast, the
   answer may be held for at most 0.2 ms plus the time of one handler and sent
   with the next ones, in one system call. Call it right before the call that
   ends the request. */
FCGI_EXPORT void fcgi_request_gather(fcgi_request *request);

/* Ends the request; the handle is invalid afterwards. `app_status` 0 suits
   every web server. The unread rest of a body is received and dropped. If the
   body of the answer is not as long as its head promised, or an authorizer has
   written nothing, the request fails as with fcgi_request_fail, a line goes to
   the log, and FCGI_ERR_INVALID is returned. */
FCGI_EXPORT int fcgi_request_end(fcgi_request *request, uint32_t app_status);

/* Ends a request for a loop whose handler has returned and has neither failed
   nor kept the request: by fcgi_request_end with 0 or, if nothing was written,
   with status 500 and a line in the log. The handle is invalid afterwards. */
FCGI_EXPORT int fcgi_request_conclude(fcgi_request *request);

/* Sends the whole answer in one call: status, Content-Type (NULL: none),
   Content-Length and body. It ends the request, and the handle is invalid
   afterwards even if it returns an error. */
FCGI_EXPORT int fcgi_request_reply(fcgi_request *request, int status,
                                   const char *content_type, const void *data,
                                   size_t len);

/* Sends the whole answer with the caller's headers, and ends the request. It
   checks the headers as fcgi_request_start does; if one is refused, the client
   gets 500. Content-Length is added if it is missing and the status allows it.
   The handle is invalid afterwards even if it returns an error. */
FCGI_EXPORT int fcgi_request_respond(fcgi_request *request, int status,
                                     const fcgi_header *headers, size_t count,
                                     const void *data, size_t len);

/* Grants access as an authorizer (specification 6.3) and ends the request. The
   answer has status 200 and a header Variable-NAME for each of `variables`,
   which the web server passes on to the program that it runs next. Any other
   answer denies access, and the client gets it. If a variable is refused, as
   fcgi_request_start refuses headers, the answer is 500, which denies access.
   The handle is invalid afterwards. */
FCGI_EXPORT int fcgi_request_allow(fcgi_request *request,
                                   const fcgi_header *variables, size_t count);

/* Ends a request whose handler has failed. The client gets 500 if no output was
   sent yet. Otherwise the connection is reset, so that the web server sees that
   the answer is incomplete; a connection that carries other requests stays open
   and only this request ends. The handle is invalid afterwards. */
FCGI_EXPORT int fcgi_request_fail(fcgi_request *request);

/* Returns 1 when answers with this HTTP status have a body (RFC 9110, 6.4.1); 0
   for 1xx, 204 and 304. */
FCGI_EXPORT int fcgi_status_has_body(int status);

/* Returns why the request is aborted, or FCGI_ABORT_NONE while it is not. It
   looks at the socket if no other thread watches that. */
FCGI_EXPORT fcgi_abort_reason fcgi_request_aborted(fcgi_request *request);

/* Returns the holder of what the request takes of resources, lent until the
   request ends: that gives it back, once no callback of the request runs. What
   was taken with fcgi_resource_take and not given back by then is closed, and a
   line in the log says so. */
FCGI_EXPORT fcgi_holder *fcgi_request_holder(fcgi_request *request);

/* Says that something which the handler needs cannot be had now. If it fails or
   answers with 500, the client gets 503 with Retry-After. `why`, one line or
   NULL, goes to the log: once a request, and of many requests with the same
   text once in ten seconds, with their number. A holder that was refused a
   handle says so by itself. */
FCGI_EXPORT void fcgi_request_set_unavailable(fcgi_request *request,
                                              const char *why);

/* Asks whether a request whose handler has failed is to be run again; call it
   when what `holder`, NULL for the request's own, had is given back. Returns 1,
   once for each request, if a handle broke whose resource has FCGI_RETRY_SAFE,
   the method is GET or HEAD, no output was begun, and the body can be read from
   its beginning, as it then is. A line in the log says so, and it is counted.
 */
FCGI_EXPORT int fcgi_request_retry(fcgi_request *request, fcgi_holder *holder);

/* Sets the longest wait of one read, write or flush, in ms, or
   FCGI_WAIT_FOREVER or FCGI_WAIT_NEVER. Default: io_timeout_ms of the
   server. */
FCGI_EXPORT void fcgi_request_set_timeout(fcgi_request *request,
                                          int timeout_ms);

/* Set and return a pointer that belongs to the program; the library never
   dereferences it. */
FCGI_EXPORT void fcgi_request_set_user_data(fcgi_request *request,
                                            void *user_data);
FCGI_EXPORT void *fcgi_request_user_data(const fcgi_request *request);

#endif
