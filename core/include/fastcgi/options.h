/* SPDX-License-Identifier: MIT */
/* The options of servers, supervisors and launchers: the list of them, and the
   values that a user has given in a file, in the environment or on a command
   line. docs/processes.md lists them all. */
#ifndef FASTCGI_OPTIONS_H
#define FASTCGI_OPTIONS_H

#include <fastcgi/export.h>
#include <fastcgi/server.h>
#include <fastcgi/supervisor.h>
#include <stddef.h>
#include <stdint.h>

/* The programs that take options. Each has the options that apply to it. */
typedef enum fcgi_launcher {
  FCGI_LAUNCHER_PYTHON = 0, /* python -m fastcgi */
  FCGI_LAUNCHER_LUA,        /* fcgi-lua */
  FCGI_LAUNCHER_RUN         /* fcgi run */
} fcgi_launcher;

/* Kinds of values: how the text is written, and what its number is. */
typedef enum fcgi_option_kind {
  FCGI_OPTION_TEXT = 0,  /* A text. */
  FCGI_OPTION_PATH,      /* A path of URLs that begins with "/", or "". */
  FCGI_OPTION_USERS,     /* Users, by name or number, separated by commas. */
  FCGI_OPTION_FLAG,      /* 1 or 0: true, yes, on, 1; false, no, off, 0. */
  FCGI_OPTION_COUNT,     /* A whole number. */
  FCGI_OPTION_PROCESSES, /* A whole number; auto: number of processors. */
  FCGI_OPTION_BYTES,     /* Bytes: 4096, 64K, 4M, 1G. */
  FCGI_OPTION_SECONDS,   /* Seconds, or with a unit: 30, 0.5, 30s, 5m, 2h, 1d;
                            the number is in milliseconds. */
  FCGI_OPTION_MODE,      /* Permission bits, in octal digits. */
  FCGI_OPTION_CHOICE,    /* The index of one of `words`. */
  FCGI_OPTION_NAMED_SIZE /* A name, "=" and bytes: cache=16M. */
} fcgi_option_kind;

/* Which part of a program an option configures. */
typedef enum fcgi_option_scope {
  FCGI_OPTION_FOR_SERVER = 0, /* Every server, which also reads its variable
                                 FASTCGI_NAME from the environment. */
  FCGI_OPTION_FOR_WORKER,     /* A process that a launcher starts to serve an
                                 application. */
  FCGI_OPTION_FOR_PROCESSES,  /* A supervisor; giving one starts a
                                 supervisor. */
  FCGI_OPTION_FOR_COMMAND     /* The launcher itself, such as --help; it is on
                                 the command line only. */
} fcgi_option_scope;

/* One option. All of it is constant; a field may be added at the end. */
typedef struct fcgi_option {
  const char *name;        /* "max_requests": the key in a file and the keyword
                              of a function; --max-requests on a command line,
                              FASTCGI_MAX_REQUESTS in the environment. */
  fcgi_option_kind kind;   /* How its text is read. */
  fcgi_option_scope scope; /* Which part of a program it configures. */
  unsigned launchers;      /* Launchers that have it: an or of 1u <<
                              fcgi_launcher. */
  char letter;             /* Short form on a command line: 'b' for -b; 0: the
                              option has none. */
  uint8_t repeatable;      /* 1: it may be given several times; the values make
                              a list. */
  uint8_t positional;   /* 1: it is the word of a command line without "--". */
  uint8_t may_be_none;  /* 1: 0 means "no limit" or "never". */
  uint8_t may_be_empty; /* 1: an empty text is a value. */
  uint8_t is_list;      /* 1: its text is a list, separated by commas. */
  uint8_t in_gunicorn;  /* 1: gunicorn has an option of this name and
                           meaning. */
  int64_t least;        /* Smallest number that is accepted. */
  int64_t most;         /* Largest number that is accepted. */
  const char *value;    /* Word for its value in help, such as "FILE"; NULL for
                           a flag. */
  const char *standard; /* Default as a text; NULL: the option has none. */
  const char *unset;    /* Words for what applies without a default, such as
                           "no limit". */
  const char *words;    /* Values of a choice: "auto, handler, wsgi"; NULL for
                           other kinds. */
  const char *help;     /* Description, of one or more sentences. */
  uint8_t is_fixed;     /* 1: a reload does not change it; SIGUSR2 and a restart
                           do. */
  uint8_t by_word;      /* 1: "never" stands for `none`, and 0 is refused. */
  const char *none;     /* Words for what 0 means if it switches something
                           off, such as "no limit"; NULL: 0 does not. */
  const char *example;  /* Value for messages; NULL: those of its kind. */
} fcgi_option;

/* Returns option `index` of all, in the order of --help; NULL past the last
   one. */
FCGI_EXPORT const fcgi_option *fcgi_option_at(size_t index);

/* Returns the option of that name, in which "-" may stand for "_"; NULL when
   there is none. */
FCGI_EXPORT const fcgi_option *fcgi_option_find(const char *name);

/* Writes a description of the texts that the option accepts into `out`, with
   unit and range, such as "a whole number from 1 to 4096", and returns `out`.
   The caller may have made `option` itself. */
FCGI_EXPORT const char *fcgi_option_wanted(const fcgi_option *option, char *out,
                                           size_t len);

/* Writes the same of a value that a program gives in the language of the
   launcher: a keyword in Python, such as "an int from 1 to 4096", or a field of
   a table in Lua. For FCGI_LAUNCHER_RUN it is the text of a command line. */
FCGI_EXPORT const char *fcgi_option_wanted_in(const fcgi_option *option,
                                              fcgi_launcher launcher, char *out,
                                              size_t len);

/* Reads `text` as a value of the option. Returns 0 with `*number` set: -1 for
   "no limit", 0 for kinds without a number. FCGI_ERR_INVALID when the option
   does not accept the text. The caller may have made `option` itself. */
FCGI_EXPORT int fcgi_option_parse(const fcgi_option *option, const char *text,
                                  int64_t *number);

/* Where the value of an option comes from. Each origin overrides those before
   it in this list, but a table of a project never overrides the file of
   --config, which somebody names. */
typedef enum fcgi_origin {
  FCGI_ORIGIN_DEFAULT = 0, /* The built-in default: no value was given. */
  FCGI_ORIGIN_FILE,        /* The file of --config. */
  FCGI_ORIGIN_PROJECT,     /* A table of a file with other tables, such as
                              [tool.fastcgi] in pyproject.toml. */
  FCGI_ORIGIN_ENVIRONMENT, /* The variable FASTCGI_NAME. */
  FCGI_ORIGIN_LINE,        /* The command line. */
  FCGI_ORIGIN_PROGRAM      /* A call of fcgi_options_set by the program. */
} fcgi_origin;

/* Values that were given for options. Only one thread at a time may call the
   functions of one set. */
typedef struct fcgi_options fcgi_options;

/* Makes a set of options without values, which refuses options that the
   launcher does not have. Returns 0 or FCGI_ERR_NOMEM. */
FCGI_EXPORT int fcgi_options_new(fcgi_options **out, fcgi_launcher launcher);

/* Frees the set and every text that it lends. NULL is allowed. */
FCGI_EXPORT void fcgi_options_free(fcgi_options *options);

/* Sets the value of an option; a repeatable option adds it to the values of the
   same origin. It changes nothing if the option already has a value of a later
   origin. A name has "_". On FCGI_ERR_INVALID fcgi_options_message says in one
   line what is wrong. */
FCGI_EXPORT int fcgi_options_set(fcgi_options *options, fcgi_origin origin,
                                 const char *name, const char *text);

/* Sets the value of an option to a number, as fcgi_option_parse returns it. */
FCGI_EXPORT int fcgi_options_set_number(fcgi_options *options,
                                        fcgi_origin origin, const char *name,
                                        int64_t number);

/* Reads the words of a command line: "--name value", "--name=value", "-x
   value"; a value that looks like an option needs the "=". It stops after "--"
   and, if the launcher takes no application, at the first word that is no
   option. If GATEWAY_INTERFACE is set it also stops after the application,
   because the client chooses the words that follow (RFC 3875, 4.4). `*used` is
   the number of words that were read. */
FCGI_EXPORT int fcgi_options_read_words(fcgi_options *options, size_t count,
                                        const char *const *words, size_t *used);

/* Reads the variable FASTCGI_NAME of every option but those of the command line
   only, and WEB_CONCURRENCY for `workers`. A worker whose supervisor is the
   same launcher also gets the values that the supervisor has read from files.
   Call it before fcgi_options_read_file. */
FCGI_EXPORT int fcgi_options_read_environment(fcgi_options *options);

/* Reads a TOML file. A relative path is looked up in `directory`, unless that
   is NULL. `table` names the table to read, such as "tool.fastcgi", which may
   be missing, as may the file; NULL reads the top of the file, which must
   exist. It does nothing in a worker whose supervisor has passed on the values
   of its files. FCGI_ERR_SYSTEM: the process may not read the file. */
FCGI_EXPORT int fcgi_options_read_file(fcgi_options *options,
                                       const char *directory, const char *path,
                                       const char *table);

/* Returns one line about a variable that may be a mistake: it begins with
   FASTCGI_, no part of this library reads it, and its name is nearly that of an
   option here or in gunicorn; it may also be a program's own. `index` counts
   such variables; NULL past the last one. Lent until the next call. */
FCGI_EXPORT const char *fcgi_options_doubt(fcgi_options *options, size_t index);

/* Returns why the last call failed, as one line for a person; "" if it did
   not. Lent until the next call. */
FCGI_EXPORT const char *fcgi_options_message(const fcgi_options *options);

/* Returns where the value of an option comes from. */
FCGI_EXPORT fcgi_origin fcgi_options_origin(const fcgi_options *options,
                                            const char *name);

/* Returns value `index` of an option as a text, or its default if none was
   given; NULL past the last one. Lent until the option gets another value. */
FCGI_EXPORT const char *fcgi_options_text(const fcgi_options *options,
                                          const char *name, size_t index);

/* Returns the value of an option as a number, or its default if none was given;
   0 without a default. */
FCGI_EXPORT int64_t fcgi_options_number(const fcgi_options *options,
                                        const char *name);

/* Copy the values that were given into the fields of a configuration; its other
   fields stay as they are. Texts are lent until `options` is freed. */
FCGI_EXPORT void fcgi_options_server(const fcgi_options *options,
                                     fcgi_server_config *config);
FCGI_EXPORT void fcgi_options_supervisor(const fcgi_options *options,
                                         fcgi_supervisor_config *config);

/* Return the text of --print-config, which is a TOML file of every option with
   the origin of its value, and the part of --help that lists the options. Lent
   until the next call of either function; NULL without memory. */
FCGI_EXPORT const char *fcgi_options_show(fcgi_options *options);
FCGI_EXPORT const char *fcgi_options_help(fcgi_options *options);

#endif
