/* SPDX-License-Identifier: MIT */
/* fcgi run: keep workers of a FastCGI program running, and replace them without
   losing a request. */
#include "tool.h"
#include <fastcgi/error.h>
#include <fastcgi/options.h>
#include <fastcgi/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int help(fcgi_options *options) {
  const char *list = fcgi_options_help(options);
  puts(
      "usage: fcgi run [OPTIONS] -- COMMAND [ARGUMENTS]\n"
      "\n"
      "Keeps workers of any FastCGI program running and replaces them without\n"
      "losing a request. A worker finds the listener at descriptor 0 and by\n"
      "LISTEN_FDS, and says that it is ready as sd_notify does.\n");
  if (!list || fputs(list, stdout) < 0)
    return tool_complain(TOOL_TRANSPORT, "run: out of memory");
  puts(
      "\n"
      "Sizes take K, M or G, times s, m, h or d. Each option may also be in\n"
      "the environment, as FASTCGI_NAME, and in the TOML file of --config, as\n"
      "name. Limits, times, paths and logs of requests are for servers of the\n"
      "fastcgi library; other programs do not know them.\n"
      "\n"
      "Signals: HUP reads the file of --config again and replaces the "
      "workers,\n"
      "new ones first; TERM and INT finish what runs and stop, a second one "
      "and\n"
      "QUIT stop quickly; USR1 goes to the workers; USR2 replaces this "
      "program;\n"
      "TTIN and TTOU make one worker more or less.\n"
      "\n"
      "Exit status:\n"
      "  0  stopped\n"
      "  1  it could not begin: an address, a file, a user, the command\n"
      "  2  wrong arguments\n"
      "  3  the first workers did not become ready");
  return TOOL_OK;
}

static int is_on(const fcgi_options *options, const char *name) {
  return fcgi_options_number(options, name) > 0;
}

static int complain(const fcgi_options *options) {
  return tool_complain(TOOL_USAGE, "run: %s", fcgi_options_message(options));
}

static void tell_doubts(fcgi_options *options) {
  const char *line;
  for (size_t i = 0; (line = fcgi_options_doubt(options, i)); i++)
    fprintf(stderr, "fcgi: run: %s\n", line);
}

/* What the words, the environment and the file say: -1, or the exit status. */
static int read_options(fcgi_options *options, size_t count,
                        const char *const *words, size_t *used) {
  const char *path;
  if (fcgi_options_read_words(options, count, words, used))
    return complain(options);
  if (is_on(options, "help"))
    return help(options);
  if (is_on(options, "version")) {
    puts("fcgi " FCGI_VERSION_TEXT);
    return TOOL_OK;
  }
  if (fcgi_options_read_environment(options))
    return complain(options);
  path = fcgi_options_text(options, "config", 0);
  if (path && fcgi_options_read_file(options, NULL, path, NULL))
    return complain(options);
  tell_doubts(options);
  return -1;
}

static int show(fcgi_options *options) {
  const char *text = fcgi_options_show(options);
  if (!text || fputs(text, stdout) < 0)
    return tool_complain(TOOL_TRANSPORT, "run: out of memory");
  return TOOL_OK;
}

/* `self` is the program's whole command line, `command` what follows its
   options. */
static int supervise(fcgi_options *options, const char *const *self,
                     const char *const *command) {
  fcgi_supervisor_config config = {.size = sizeof config,
                                   .command = command,
                                   .self = self,
                                   .options = options};
  int status;
  config.log_name = "fcgi";
  fcgi_options_supervisor(options, &config);
  status = fcgi_supervisor_run(&config);
  if (config.check_only && status == FCGI_SUPERVISOR_STOPPED)
    fputs("fcgi: the configuration is fine\n", stderr);
  return status;
}

int tool_run(int argc, char **argv) {
  const char *const *words = (const char *const *)argv + 1;
  fcgi_options *options;
  size_t used;
  int status;
  if (fcgi_options_new(&options, FCGI_LAUNCHER_RUN))
    return tool_complain(TOOL_TRANSPORT, "run: out of memory");
  status = read_options(options, (size_t)argc - 1, words, &used);
  if (status < 0 && is_on(options, "print_config"))
    status = show(options);
  else if (status < 0 && !words[used])
    status = tool_complain(TOOL_USAGE, "run: no command; see fcgi run --help");
  else if (status < 0) /* The words before are "fcgi" and "run". */
    status = supervise(options, words - 2, words + used);
  fcgi_options_free(options);
  return status;
}
