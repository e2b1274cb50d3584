/* SPDX-License-Identifier: MIT */
/* The map as a table. */
#ifndef FCGI_OPTIONS_TABLE_H
#define FCGI_OPTIONS_TABLE_H

#include <fastcgi/options.h>

/* Where an option's value is in a configuration. */
typedef struct fcgi__place {
  uint16_t at;   /* Offset of the field. */
  uint16_t size; /* Its size; 0: there is no field. */
} fcgi__place;

/* A row of the table. */
typedef struct fcgi__option_row {
  fcgi_option option;     /* What everybody may see. */
  fcgi__place server;     /* In fcgi_server_config. */
  fcgi__place supervisor; /* In fcgi_supervisor_config. */
  uint8_t levels;         /* 1: its field has a bit for each level up to it. */
  uint8_t run_least;      /* The smallest number for `fcgi run`, unless 0. */
  const char *forms[FCGI_LAUNCHER_RUN + 1]; /* What ends the help in a launcher,
                                               or NULL. */
} fcgi__option_row;

/* The longest value of an option with a bounded one, with its NUL. */
enum { FCGI__OPTION_PATH = 256, FCGI__OPTION_NUMBER = 32 };

/* How many rows there are, and one of them. */
size_t fcgi__option_count(void);
const fcgi__option_row *fcgi__option_row_at(size_t index);

/* The index of an option of the table. */
size_t fcgi__option_index(const fcgi_option *option);

/* The title of the group that row `index` is in. */
const char *fcgi__option_group(size_t index);

/* Write a number as the text that means it: FCGI__OPTION_NUMBER bytes. */
void fcgi__option_write(const fcgi_option *option, int64_t number, char *out);

/* As fcgi_option_wanted, of a field of a configuration. */
const char *fcgi__option_wanted_field(const fcgi_option *option, char *out,
                                      size_t len);

/* 1 when the number is one that the option may have. */
int fcgi__option_fits(const fcgi_option *option, int64_t number);

/* The smallest number that the option may have there. */
int64_t fcgi__option_least(const fcgi_option *option, fcgi_launcher launcher);

/* Write what fcgi_option_wanted does, of a value for the launcher. */
const char *fcgi__option_wanted_by(const fcgi_option *option,
                                   fcgi_launcher launcher, char *out,
                                   size_t len);

/* Say in one line that `text`, the value of `name`, is none of the option's:
   "FASTCGI_BACKLOG=x: must be a whole number from 1 to 2147483647". */
void fcgi__option_complain(const fcgi_option *option, fcgi_launcher launcher,
                           const char *name, const char *text, char *out,
                           size_t len);

/* Put "?" for each control character: a text stays one line, and harmless to a
   terminal. */
void fcgi__option_tame(char *text);

/* Words to put after what is said of an option that is not known: "; did you
   mean 'workers'?" with `before` in front of the name, what stands in for an
   option of gunicorn's, or "". */
void fcgi__option_suggest(fcgi_launcher launcher, const char *name,
                          const char *before, char *out, size_t len);

/* The option that such a name in the environment is meant for, in `out` with
   words of advice; 0 when it is none of ours, or not nearly enough. */
int fcgi__option_resembles(const char *key, char *out, size_t len);

/* A copy of `name` with "_" for "-": FCGI__OPTION_NUMBER bytes, cut. */
void fcgi__option_key(const char *name, size_t name_len, char *out);

/* "FASTCGI_MAX_REQUESTS" of "max_requests": FCGI__OPTION_PATH bytes. */
void fcgi__option_variable(const fcgi_option *option, char *out);

#endif
