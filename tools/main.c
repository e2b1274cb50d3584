/* SPDX-License-Identifier: MIT */
/* fcgi: the command-line tool for FastCGI applications. */
#include "tool.h"
#include <fastcgi/server.h>
#include <fastcgi/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int help(int argc, char **argv);
static int version(int argc, char **argv);

static const struct {
  const char *name;                  /* What is typed. */
  int (*run)(int argc, char **argv); /* What it does. */
  const char *summary;               /* For --help; NULL: not there. */
} commands[] = {
    {"bench", tool_bench, "send load to an application and check every answer"},
    {"call", tool_call, "send a request to a FastCGI application"},
    {"dump", tool_dump, "show a captured byte stream as records"},
    {"run", tool_run, "run the workers of a FastCGI program and replace them"},
    {"spec", tool_spec, "play conformance cases against an application"},
    {"status", tool_status, "print the state and the counters of workers"},
    {"top", tool_top, "watch workers and their requests"},
    {"--help", help, NULL},
    {"-h", help, NULL},
    {"--version", version, NULL},
    {NULL, NULL, NULL},
};

int tool_complain(int status, const char *format, ...) {
  va_list arguments;
  fflush(stdout);
  fputs("fcgi: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return status;
}

void *tool_realloc(void *ptr, size_t size) {
  void *result = realloc(ptr, size ? size : 1);
  if (!result)
    exit(tool_complain(TOOL_TRANSPORT, "out of memory"));
  return result;
}

static int help(int argc, char **argv) {
  (void)argc, (void)argv;
  puts("usage: fcgi COMMAND [ARGUMENTS]\n");
  for (size_t i = 0; commands[i].name; i++)
    if (commands[i].summary)
      printf("  %-8s %s\n", commands[i].name, commands[i].summary);
  puts("\n  fcgi COMMAND --help   the arguments of a command\n"
       "  fcgi --version        the version");
  return TOOL_OK;
}

static int version(int argc, char **argv) {
  (void)argc, (void)argv;
  printf("fcgi %s\n", fcgi_version());
  return TOOL_OK;
}

static int complain_of_command(const char *command) {
  const char *name = command + strspn(command, "-");
  const char *near =
      tool_nearest(name, strlen(name), commands, sizeof *commands);
  if (near)
    return tool_complain(TOOL_USAGE, "no command \"%s\"; did you mean %s?",
                         command, near);
  return tool_complain(TOOL_USAGE, "no command \"%s\"; see fcgi --help",
                       command);
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : NULL;
  fcgi_standard_hold();
  if (!command)
    return tool_complain(TOOL_USAGE, "no command; see fcgi --help");
  for (size_t i = 0; commands[i].name; i++)
    if (strcmp(command, commands[i].name) == 0)
      return commands[i].run(argc - 1, argv + 1);
  return complain_of_command(command);
}
