/* SPDX-License-Identifier: MIT */
/* The options of servers, supervisors and launchers: what there is, and what a
   user has given on a command line, in the environment and in a file. The
   later of these wins. docs/processes.md lists them all. */
#ifndef FASTCGI_OPTIONS_H
#define FASTCGI_OPTIONS_H

#include <fastcgi/export.h>
#include <fastcgi/server.h>
#include <fastcgi/supervisor.h>
#include <stddef.h>
#include <stdint.h>

/* Who takes options. Each knows those that apply to it. */
typedef enum fcgi_launcher {
  FCGI_LAUNCHER_PYTHON = 0, /* python -m fastcgi */
  FCGI_LAUNCHER_LUA,        /* fcgi-lua */
  FCGI_LAUNCHER_RUN         /* fcgi run */
} fcgi_launcher;

/* How the text of an option is read, and what its number is. */
typedef enum fcgi_option_kind {
  FCGI_OPTION_TEXT = 0,  /* A text. */
  FCGI_OPTION_PATH,      /* A path of URLs that begins with "/", or "". */
  FCGI_OPTION_USERS,     /* Users, by name or number, with commas between. */
  FCGI_OPTION_FLAG,      /* 1 or 0: true, yes, on, 1; false, no, off, 0. */
  FCGI_OPTION_COUNT,     /* A whole number. */
  FCGI_OPTION_PROCESSES, /* A whole number; auto is that of the processors. */
  FCGI_OPTION_BYTES,     /* Bytes: 4096, 64K, 4M, 1G. */
  FCGI_OPTION_SECONDS,   /* Milliseconds: 30, 0.5, 30s, 5m, 2h, 1d. */
  FCGI_OPTION_MODE,      /* Bits of a mode: octal digits. */
  FCGI_OPTION_CHOICE     /* The index of one of `words`. */
} fcgi_option_kind;

/* Whom an option is for. */
typedef enum fcgi_option_scope {
  FCGI_OPTION_FOR_SERVER = 0, /* Every server; it reads FASTCGI_NAME itself. */
  FCGI_OPTION_FOR_WORKER,     /* A process that a launcher has serve. */
  FCGI_OPTION_FOR_PROCESSES,  /* A supervisor. */
  FCGI_OPTION_FOR_COMMAND     /* What a launcher does at all. */
} fcgi_option_scope;

/* One option. All of it is constant; a field may be added at the end. */
typedef struct fcgi_option {
  const char *name;        /* Such as "max_requests": the key of a file, the
                              keyword of a function; --max-requests on a command
                              line, FASTCGI_MAX_REQUESTS in the environment. */
  fcgi_option_kind kind;   /* How its text is read. */
  fcgi_option_scope scope; /* Whom it is for. */
  unsigned launchers;      /* Who has it: an or of 1u << fcgi_launcher. */
  char letter;             /* The short form: 'b' for -b; or 0. */
  uint8_t repeatable;      /* 1: several values make a list. */
  uint8_t positional;   /* 1: the word of a command line that is no option. */
  uint8_t may_be_none;  /* 1: 0 is "no limit" or "never". */
  uint8_t may_be_empty; /* 1: "" is a value. */
  uint8_t is_list;      /* 1: its text is a list with commas between. */
  uint8_t in_gunicorn;  /* 1: gunicorn has it by the same name. */
  int64_t least;        /* The smallest number. */
  int64_t most;         /* The largest number. */
  const char *value;    /* What stands for a value in help; NULL: a flag. */
  const char *standard; /* The default as text; NULL: there is none. */
  const char *unset;    /* What applies without a default, for people. */
  const char *words;    /* Of a choice: "auto, handler, wsgi"; or NULL. */
  const char *help;     /* One sentence or more. */
  uint8_t is_fixed;     /* 1: SIGUSR2 or a restart changes it; a reload does
                           not. */
} fcgi_option;

/* Returns option `index` of all, in the order of --help; NULL past the last
   one. */
FCGI_EXPORT const fcgi_option *fcgi_option_at(size_t index);

/* Returns the option of that name, in which "-" may stand for "_"; NULL when
   there is none. */
FCGI_EXPORT const fcgi_option *fcgi_option_find(const char *name);

/* Writes into `out` what a value of the option has to be, such as "a whole
   number from 1 to 4,096", and returns `out`. */
FCGI_EXPORT const char *fcgi_option_wanted(const fcgi_option *option, char *out,
                                           size_t len);

/* Reads `text` as a value of the option. Returns 0 with the number, which is -1
   for "no limit" and 0 for kinds without a number; FCGI_ERR_INVALID when the
   text is not such a value. */
FCGI_EXPORT int fcgi_option_parse(const fcgi_option *option, const char *text,
                                  int64_t *number);

/* Where a value comes from; the later one wins over the earlier. */
typedef enum fcgi_origin {
  FCGI_ORIGIN_DEFAULT = 0, /* It was not given. */
  FCGI_ORIGIN_FILE,        /* The file of --config. */
  FCGI_ORIGIN_PROJECT,     /* A table in a file that has other tables too. */
  FCGI_ORIGIN_ENVIRONMENT, /* FASTCGI_NAME. */
  FCGI_ORIGIN_LINE,        /* The command line. */
  FCGI_ORIGIN_PROGRAM      /* A call. */
} fcgi_origin;

/* What has been given. One thread at a time. */
typedef struct fcgi_options fcgi_options;

/* Makes a set of options without values, which refuses options that the
   launcher does not have. Returns 0 or FCGI_ERR_NOMEM. */
FCGI_EXPORT int fcgi_options_new(fcgi_options **out, fcgi_launcher launcher);
FCGI_EXPORT void fcgi_options_free(fcgi_options *options);

/* Gives an option a value; one that is repeatable keeps its values of the same
   origin. A value of an earlier origin than the present one changes nothing. On
   FCGI_ERR_INVALID fcgi_options_message says in one line what is wrong. */
FCGI_EXPORT int fcgi_options_set(fcgi_options *options, fcgi_origin origin,
                                 const char *name, const char *text);

/* Gives an option a number, as fcgi_option_parse makes it of a text. */
FCGI_EXPORT int fcgi_options_set_number(fcgi_options *options,
                                        fcgi_origin origin, const char *name,
                                        int64_t number);

/* Reads the words of a command line: "--name value", "--name=value", "-x
   value". It stops behind "--" and, where the launcher has no application, at
   the first word that is no option. Where GATEWAY_INTERFACE is set it also
   stops behind the application, for a client chooses what follows there (RFC
   3875, 4.4). `*used` is how many words were read. */
FCGI_EXPORT int fcgi_options_read_words(fcgi_options *options, size_t count,
                                        const char *const *words, size_t *used);

/* Reads FASTCGI_NAME of every option, except those for the command line alone,
   and WEB_CONCURRENCY for `workers`. A worker whose supervisor has its options
   from the same launcher also gets what that one has read in files. Call it
   before fcgi_options_read_file. */
FCGI_EXPORT int fcgi_options_read_environment(fcgi_options *options);

/* Reads a TOML file. A relative path is looked for in `directory`, unless that
   is NULL. `table` names the table to read, such as "tool.fastcgi"; neither it
   nor the file need be there. NULL reads the top of the file. It does nothing
   in a worker whose supervisor has handed over what files say.
   FCGI_ERR_SYSTEM: there is no right to read the file. */
FCGI_EXPORT int fcgi_options_read_file(fcgi_options *options,
                                       const char *directory, const char *path,
                                       const char *table);

/* Returns in one line why the last call failed; "" when none did. */
FCGI_EXPORT const char *fcgi_options_message(const fcgi_options *options);

/* Returns where the value of an option comes from. */
FCGI_EXPORT fcgi_origin fcgi_options_origin(const fcgi_options *options,
                                            const char *name);

/* Returns value `index` as text, or the default where none was given; NULL past
   the last one. Lent until the next value of that option. */
FCGI_EXPORT const char *fcgi_options_text(const fcgi_options *options,
                                          const char *name, size_t index);

/* Returns the value as a number, or the default where none was given; 0 without
   a default. */
FCGI_EXPORT int64_t fcgi_options_number(const fcgi_options *options,
                                        const char *name);

/* Copy what was given into the fields of a configuration, whose other fields
   stay as they are. Texts are lent by `options`. */
FCGI_EXPORT void fcgi_options_server(const fcgi_options *options,
                                     fcgi_server_config *config);
FCGI_EXPORT void fcgi_options_supervisor(const fcgi_options *options,
                                         fcgi_supervisor_config *config);

/* Return a TOML file of every option with where its value comes from, and the
   part of --help about options. Lent until the next call of either; NULL
   without memory. */
FCGI_EXPORT const char *fcgi_options_show(fcgi_options *options);
FCGI_EXPORT const char *fcgi_options_help(fcgi_options *options);

#endif
