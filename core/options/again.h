/* SPDX-License-Identifier: MIT */
/* Options that are read once more, by a supervisor for its next workers. */
#ifndef FCGI_OPTIONS_AGAIN_H
#define FCGI_OPTIONS_AGAIN_H

#include "options/table.h"

/* The process id of the worker that it is for, ":", and a TOML text. */
#define FCGI__OPTIONS_VARIABLE "FASTCGI_FILE_OPTIONS"

/* New options, with the values that all that was read into `options` has now.
   Files that are not absolute are looked for in `directory`; NULL is where they
   were at first. As of fcgi_options_read_file, with the message in `*out`,
   which is NULL only without memory. */
int fcgi__options_read_again(const fcgi_options *options, const char *directory,
                             fcgi_options **out);

/* 1: the option has another value in `now`. */
int fcgi__options_differ(const fcgi_options *then, const fcgi_options *now,
                         const fcgi_option *option);

/* As fcgi_options_supervisor, for all that a reload may change; a field whose
   option is not given becomes 0. */
void fcgi__options_reload(const fcgi_options *options,
                          fcgi_supervisor_config *config);

/* Puts a variable into an environment: 0, or -1 without memory. */
typedef int (*fcgi__export_fn)(void *data, const char *name, const char *text);

/* Hand a worker what was given, where its own reading of the command line and
   the environment does not find it. `put_own` puts a variable that begins with
   the process id of the worker. */
int fcgi__options_export(fcgi_options *options, fcgi__export_fn put,
                         fcgi__export_fn put_own, void *data);

#endif
