/* SPDX-License-Identifier: MIT */
/* One request at a server. A handle is valid until its request is ended, in a
   callback until that callback returns. Every function may be called from any
   thread; two threads should not read, or write, one request at once. */
#ifndef FASTCGI_REQUEST_H
#define FASTCGI_REQUEST_H

#include <fastcgi/event.h>
#include <fastcgi/export.h>
#include <fastcgi/params.h>
#include <fastcgi/protocol.h>
#include <fastcgi/timeout.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct fcgi_request fcgi_request;

/* One response header. Neither text needs a final NUL. */
typedef struct fcgi_header {
  const char *name;  /* Its name: an HTTP token. */
  size_t name_len;   /* Bytes of the name. */
  const char *value; /* Its value. */
  size_t value_len;  /* Bytes of the value. */
} fcgi_header;

/* What is wrong with a header. */
typedef enum fcgi_header_fault {
  FCGI_HEADER_GOOD = 0,
  FCGI_HEADER_BAD_NAME, /* It is empty or no HTTP token. */
  FCGI_HEADER_BAD_VALUE /* It has a CR, LF or NUL. */
} fcgi_header_fault;

/* Whether fcgi_request_start takes the header; else `*at` is where, in name or
   value, a character is that it refuses. */
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

/* fcgi_params_get for a C string; NULL when there is no such parameter. */
FCGI_EXPORT const char *fcgi_request_param(const fcgi_request *request,
                                           const char *name);

/* Where a request goes, each text with its length and a final NUL. */
typedef struct fcgi_path {
  const char *script_name; /* Where the application is mounted: "" or "/...". */
  size_t script_name_len;  /* Its bytes. */
  const char *path_info;   /* The path below that. */
  size_t path_info_len;    /* Its bytes. */
  const char *path;        /* The whole path, decoded. */
  size_t path_len;         /* Its bytes. */
} fcgi_path;

/* Fills `out` with the path that the web server has judged, SCRIPT_NAME and
   PATH_INFO as it sends them, after its rewriting; docs/paths.md names the
   exceptions. `root_path` of the configuration moves the split, not the path.
   The texts are lent until the request ends. 0, or FCGI_ERR_NOMEM. */
FCGI_EXPORT int fcgi_request_path(fcgi_request *request, fcgi_path *out);

/* The path as the client wrote it, not decoded: that of REQUEST_URI, where it
   stands for `path` above. NULL where it does not, after a rewriting. Lent
   until the request ends; no NUL ends it. */
FCGI_EXPORT const char *fcgi_request_raw_path(fcgi_request *request,
                                              size_t *len);

/* SCRIPT_FILENAME as the name of a file: without "proxy:fcgi://host:port"
   before it and the query behind it, which Apache's mod_proxy_fcgi sends. NULL
   where none was sent. Lent until the request ends; no NUL ends it. */
FCGI_EXPORT const char *
fcgi_request_script_filename(const fcgi_request *request, size_t *len);

/* CONTENT_LENGTH. Where the web server sent none, or "-1" (a chunked upload):
   the length of a collected body, and -1 for a streamed or an empty one. The
   body ends at STDIN's end all the same. */
FCGI_EXPORT int64_t fcgi_request_content_length(const fcgi_request *request);

/* Reads up to `len` bytes of the body. Returns how many, 0 at its end, or an
   error: FCGI_ERR_TRUNCATED when STDIN ended short of CONTENT_LENGTH,
   FCGI_ERR_ABORTED when the rest can never come, FCGI_ERR_AGAIN or
   FCGI_ERR_TIMEOUT per fcgi_request_set_timeout. */
FCGI_EXPORT ptrdiff_t fcgi_request_read(fcgi_request *request, void *data,
                                        size_t len);

/* Reads DATA, the file that a filter transforms, as fcgi_request_read reads the
   body. It need not be read at all. In FCGI_BODY_STREAM read STDIN before it.
   FCGI_ERR_TRUNCATED when it ended short of FCGI_DATA_LENGTH; 0 at once for a
   role without DATA. */
FCGI_EXPORT ptrdiff_t fcgi_request_read_data(fcgi_request *request, void *data,
                                             size_t len);

/* Return the bytes of the file, FCGI_DATA_LENGTH, and when it was last modified
   in seconds since 1970, FCGI_DATA_LAST_MOD; -1 when the parameter is absent or
   is no decimal number. */
FCGI_EXPORT int64_t fcgi_request_data_length(const fcgi_request *request);
FCGI_EXPORT int64_t fcgi_request_data_modified(const fcgi_request *request);

/* Begins the answer: `status` (200 to 599) and headers. FCGI_ERR_INVALID, and
   nothing is written, for what fcgi_request_check_answer refuses;
   FCGI_ERR_STATE when the answer has begun. One header may be Status with a
   reason to send instead of the usual one, "404 Nope" where `status` is 404.
   Headers of the connection (Transfer-Encoding, Connection and the like) are
   the web server's and left out. Later writes are body; for HEAD, 204 and 304
   they are dropped. */
FCGI_EXPORT int fcgi_request_start(fcgi_request *request, int status,
                                   const fcgi_header *headers, size_t count);

/* Whether an answer may begin so, and have a whole body of `length` bytes (-1:
   not known): 0, or FCGI_ERR_INVALID and the reason in `why`. Refused are a
   status that is not final, a name that is no HTTP token, a value with CR, LF
   or NUL, and a Content-Length that is no number, that another one
   contradicts, or that is not `length`. */
FCGI_EXPORT int fcgi_request_check_answer(const fcgi_request *request,
                                          int status,
                                          const fcgi_header *headers,
                                          size_t count, int64_t length,
                                          char *why, size_t size);

/* Writes body bytes, or, when fcgi_request_start was not called, raw CGI output
   (headers, an empty line, body). Small writes are gathered until 16 KiB,
   fcgi_request_flush or the end; a raw head is held until it is whole, and
   judged as by fcgi_request_start. FCGI_ERR_INVALID for that, and for more
   bytes than Content-Length promised. Returns the bytes taken: `len`, or fewer
   when the timeout has passed. When none: FCGI_ERR_TIMEOUT, or with timeout 0
   FCGI_ERR_AGAIN and a WRITABLE event later. FCGI_ERR_CLOSED when nobody
   reads the body of this answer (HEAD, 204, 304): only the end is left to do,
   for which fcgi_request_fail will do too. FCGI_ERR_ABORTED for that a second
   later, and when the connection is gone. */
FCGI_EXPORT ptrdiff_t fcgi_request_write(fcgi_request *request,
                                         const void *data, size_t len);

/* Does what fcgi_request_write does for several slices. */
FCGI_EXPORT ptrdiff_t fcgi_request_writev(fcgi_request *request,
                                          const struct iovec *iov, int count);

/* Writes a message to STDERR, which web servers put in their error log; where
   the one before has no final newline, one is put between them. It leaves with
   the head of the answer or behind it, with STDOUT bytes or the end. Until then
   output_window bytes can wait, more is FCGI_ERR_LIMIT. */
FCGI_EXPORT int fcgi_request_write_stderr(fcgi_request *request,
                                          const void *data, size_t len);

/* Sends `len` bytes of `fd` from `offset` with sendfile(2). The descriptor is
   duplicated: the caller may close its own. Blocks like fcgi_request_write;
   with timeout 0 it returns at once and later writes give FCGI_ERR_AGAIN until
   it is sent. FCGI_TO_END sends the rest of a regular file, where
   Content-Length promised fewer bytes those; the size of files that have none
   (/proc, /sys) is found by reading them. A file that shrinks meanwhile cuts
   the answer off. */
#define FCGI_TO_END UINT64_MAX
FCGI_EXPORT int fcgi_request_send_file(fcgi_request *request, int fd,
                                       uint64_t offset, uint64_t len);

/* Bytes of a regular file from `offset` to its end; FCGI_ERR_UNSUPPORTED where
   the size that it has is not what reading it gives (/proc, /sys),
   FCGI_ERR_INVALID where it is no regular file, or FCGI_ERR_SYSTEM. */
FCGI_EXPORT int64_t fcgi_file_rest(int fd, uint64_t offset);

/* Sends what is gathered now. */
FCGI_EXPORT int fcgi_request_flush(fcgi_request *request);

/* Hint: this thread takes the next request at once. If more requests of this
   connection are ready and handlers are fast, the answer may be held for at
   most 0.2 ms plus one handler and sent with the next ones, in one system call.
   Call it right before the call that ends the request. */
FCGI_EXPORT void fcgi_request_gather(fcgi_request *request);

/* Ends the request; the handle is dead afterwards. 0 as `app_status` suits
   every web server. An unread body is drained, never parsed as records. An
   answer that is not what its head promised fails instead, as by
   fcgi_request_fail: FCGI_ERR_INVALID, with a line in the log. */
FCGI_EXPORT int fcgi_request_end(fcgi_request *request, uint32_t app_status);

/* What a loop does when a handler has returned, and has neither failed nor kept
   the request: fcgi_request_end with 0, or, where nothing was written, 500 and
   a line in the log. The handle is dead afterwards. */
FCGI_EXPORT int fcgi_request_conclude(fcgi_request *request);

/* Sends the whole answer in one call: status, Content-Type (NULL: none),
   Content-Length, body, end. The handle is dead afterwards, whatever is
   returned. */
FCGI_EXPORT int fcgi_request_reply(fcgi_request *request, int status,
                                   const char *content_type, const void *data,
                                   size_t len);

/* Sends the whole answer with headers of the caller's, which are checked as by
   fcgi_request_start. Content-Length is added when it is not among them and the
   status allows it. Headers that are refused lead to 500. The handle is dead
   afterwards. */
FCGI_EXPORT int fcgi_request_respond(fcgi_request *request, int status,
                                     const fcgi_header *headers, size_t count,
                                     const void *data, size_t len);

/* An authorizer's yes (specification 6.3): status 200 and a header
   Variable-NAME for each of `variables`, which the web server puts in the
   environment of what it runs next; then the end. Any other answer is a no, and
   the client gets it. Variables that are refused, as by fcgi_request_start,
   lead to 500, so to a no. The handle is dead afterwards. */
FCGI_EXPORT int fcgi_request_allow(fcgi_request *request,
                                   const fcgi_header *variables, size_t count);

/* Ends a request whose handler has failed: the client gets 500 when there is no
   output yet; otherwise the connection is cut, so that the web server sees the
   truncation, or only this request ends where the connection carries others.
   The handle is dead afterwards. */
FCGI_EXPORT int fcgi_request_fail(fcgi_request *request);

/* 1 when answers with this HTTP status have a body (RFC 9110, 6.4.1): 0 for
   1xx, 204 and 304. Any thread. */
FCGI_EXPORT int fcgi_status_has_body(int status);

/* Returns why the request is aborted, FCGI_ABORT_NONE while it is not. It looks
   at the socket when no other thread watches it. */
FCGI_EXPORT fcgi_abort_reason fcgi_request_aborted(fcgi_request *request);

/* Sets how long one read, write or flush may wait, in milliseconds, or
   FCGI_WAIT_FOREVER or FCGI_WAIT_NEVER. A request begins with the server's
   io_timeout_ms. */
FCGI_EXPORT void fcgi_request_set_timeout(fcgi_request *request,
                                          int timeout_ms);

/* Set and return a pointer of the program's, which the library never
   touches. */
FCGI_EXPORT void fcgi_request_set_user_data(fcgi_request *request,
                                            void *user_data);
FCGI_EXPORT void *fcgi_request_user_data(const fcgi_request *request);

#endif
