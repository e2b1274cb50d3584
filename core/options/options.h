/* SPDX-License-Identifier: MIT */
/* What was given, from the inside. */
#ifndef FCGI_OPTIONS_OPTIONS_H
#define FCGI_OPTIONS_OPTIONS_H

#include "base/buffer.h"
#include "options/table.h"

/* The value of one option. Zero-initialised it was not given. */
typedef struct fcgi__given {
  fcgi_origin origin; /* Where it was given. */
  uint8_t rank;       /* What is given with a lower one changes nothing. */
  size_t count;       /* Texts; one, unless the option is repeatable. */
  char **texts;       /* They, and NULL at the end. */
  int64_t number;     /* What the last one means. */
  char *where;        /* The file or the variable; NULL otherwise. */
} fcgi__given;

/* Where values were read from. */
typedef enum fcgi__source_kind {
  FCGI__SOURCE_WORDS,       /* A command line. */
  FCGI__SOURCE_ENVIRONMENT, /* The environment; there are no texts. */
  FCGI__SOURCE_FILE         /* The texts are its directory, path and table. */
} fcgi__source_kind;

typedef struct fcgi__source {
  fcgi__source_kind kind; /* What the texts are. */
  size_t count;           /* How many texts there are. */
  char **texts;           /* Ours; some may be NULL. */
} fcgi__source;

struct fcgi_options {
  fcgi_allocator allocator; /* The C library's, but in tests. */
  fcgi_launcher launcher;   /* Whose options are known. */
  int is_handed;            /* 1: a supervisor has said what is in files. */
  fcgi__source *sources;    /* What was read, in order. */
  size_t source_count;      /* Sources in use. */
  fcgi__buffer shown;       /* What was printed last. */
  char message[512];        /* What is wrong. */
  char doubt[256];          /* What may be. */
  fcgi__given given[];      /* One for each row of the table. */
};

/* As fcgi_options_new, with memory of `allocator`. */
int fcgi__options_new(fcgi_options **out, fcgi_launcher launcher,
                      const fcgi_allocator *allocator);

/* What fcgi_options_set does, where a file or a variable is named. */
int fcgi__options_take(fcgi_options *options, fcgi_origin origin,
                       const char *where, const fcgi_option *option,
                       const char *text);

/* The same with a rank below that of a file. */
int fcgi__options_take_default(fcgi_options *options, const char *where,
                               const fcgi_option *option, const char *text);

/* The option of that name, if the launcher has it; or NULL with a message that
   begins with `where`, unless that is NULL, and has `before` before names. */
const fcgi_option *fcgi__options_find(fcgi_options *options, const char *where,
                                      const char *before, const char *name);

/* The values of a TOML text. */
int fcgi__options_take_toml(fcgi_options *options, fcgi_origin origin,
                            const char *where, const char *text, size_t len,
                            const char *table);

/* A copy of a text; NULL with a message without memory. */
char *fcgi__options_copy(fcgi_options *options, const char *text);

/* Keep in mind what was read: 0 or FCGI_ERR_NOMEM. Texts may be NULL. */
int fcgi__options_remember(fcgi_options *options, fcgi__source_kind kind,
                           size_t count, const char *const *texts);
void fcgi__options_forget_sources(fcgi_options *options);

/* Print the values that files gave, as TOML, or NULL without memory. */
const char *fcgi__options_show_files(fcgi_options *options);

/* Put a line into the message; returns FCGI_ERR_INVALID. */
__attribute__((format(printf, 2, 3))) int
fcgi__options_refuse(fcgi_options *options, const char *format, ...);

/* Append to what is shown: 0 or FCGI_ERR_NOMEM. */
__attribute__((format(printf, 2, 3))) int
fcgi__options_print(fcgi_options *options, const char *format, ...);

#endif
