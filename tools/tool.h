/* SPDX-License-Identifier: MIT */
/* What the sub-commands of `fcgi` share. */
#ifndef FCGI_TOOLS_TOOL_H
#define FCGI_TOOLS_TOOL_H

#include <stddef.h>

/* How the program ends; each --help names those that apply. */
enum {
  TOOL_OK = 0,
  TOOL_ANSWER = 1,    /* The application answered, and it is a failure. */
  TOOL_USAGE = 2,     /* The command line makes no sense. */
  TOOL_TRANSPORT = 3, /* No connection, lost, too late, or a file error. */
  TOOL_PROTOCOL = 4,  /* FastCGI's or CGI's rules were broken. */
  TOOL_BUSY = 5       /* It lives and cannot answer now. */
};

/* Print "fcgi: " and one line to stderr; returns `status`. */
__attribute__((format(printf, 2, 3))) int
tool_complain(int status, const char *format, ...);

struct option;

/* What getopt_long returns, but a separate word that looks like an option is no
   value: ':' then. A text with blanks does not look so. */
int tool_next_option(int argc, char *const *argv, const char *letters,
                     const struct option *options);

/* The complaint for what tool_next_option gave back: what was meant, or a
   pointer to the help of `command`. Returns TOOL_USAGE. */
int tool_bad_option(const char *command, int found, char *const *argv,
                    const struct option *options);

/* The name that somebody meant who wrote the `len` letters of `name`, or NULL.
   Each row of `table` is `stride` bytes and begins with a name; the one behind
   the last begins with NULL. Dashes before a name count for nothing. */
const char *tool_nearest(const char *name, size_t len, const void *table,
                         size_t stride);

/* Memory, or the end of the program after a complaint. */
void *tool_realloc(void *ptr, size_t size);

/* The sub-commands. argv[0] is the sub-command's name. */
int tool_bench(int argc, char **argv);
int tool_call(int argc, char **argv);
int tool_dump(int argc, char **argv);
int tool_run(int argc, char **argv);
int tool_spec(int argc, char **argv);
int tool_status(int argc, char **argv);
int tool_top(int argc, char **argv);

#endif
