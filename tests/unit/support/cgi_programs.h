/* SPDX-License-Identifier: MIT */
/* What the child processes of the CGI tests run. */
#ifndef UNIT_SUPPORT_CGI_PROGRAMS_H
#define UNIT_SUPPORT_CGI_PROGRAMS_H

#include <fastcgi/fastcgi.h>

/* "Hello\n", as text. */
int handle_hello(fcgi_request *request, void *user_data);

/* The body. One that is cut before its first byte fails the request before
   the answer has begun. */
int handle_echo(fcgi_request *request, void *user_data);

/* The parameters, a line each. */
int handle_list(fcgi_request *request, void *user_data);

/* Nothing: it fails. */
int handle_fail(fcgi_request *request, void *user_data);

/* 10 MiB. */
int handle_big(fcgi_request *request, void *user_data);

/* "Hello\n", after printing "printed" and, in a child, "child"; fails where
   anything can be read from descriptor 0. */
int handle_print(fcgi_request *request, void *user_data);

/* "Hello\n", after a note on STDERR. */
int handle_note(fcgi_request *request, void *user_data);

/* Writes until nobody reads, and says why it stopped. */
int handle_write_for_ever(fcgi_request *request, void *user_data);

/* Says "waits", and why it is aborted at last. */
int handle_wait_for_abort(fcgi_request *request, void *user_data);

/* "Hello\n", after a SIGTERM to the process. */
int handle_raise_term(fcgi_request *request, void *user_data);

/* fcgi_serve with the fcgi_callback that `data` points to. */
int program_serve(void *data);

/* The same in stream mode, */
int program_stream(void *data);

/* in stream mode on four threads, */
int program_threads(void *data);

/* and with poll(2). */
int program_with_poll(void *data);

/* Answer one request and free the server without asking for more. */
int program_pull_once(void *data);

/* A loop that only knows fcgi_server_fd. */
int program_foreign_loop(void *data);

/* A server without a responder. */
int program_only_filters(void *data);

/* Listen on the address that `data` points to and say what came of it, which
   addresses the server has, and what listening again gives. */
int program_tell_addresses(void *data);

/* The same with a listener at descriptor 0. */
int program_with_listener(void *data);

/* Free the server while its answer has nowhere to go. */
int program_free_full(void *data);

/* Serve with memory for as many allocations as the long that `data` points to
   says; says "enough" when that was so, and fails when a block is left. */
int program_short_of_memory(void *data);

#endif
