/* SPDX-License-Identifier: MIT */
/* Options: whatever a command line, the environment and files say is refused in
   one line, or means what it is printed as: printed options read alike, read
   again they are the same, a worker that gets them has the same, and the
   configurations made from them are right. The first byte says which launcher
   reads. Then come parts that end in NULs: W and the words of a command line,
   E and NAME=VALUE of the environment, each on a line, F or P and a file. */
#define _GNU_SOURCE
#include "fuzz/fuzz.h"

#include "options/again.h"
#include "options/config.h"
#include "options/options.h"
#include <fastcgi/error.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_WORDS = 256, MOST_PARTS = 16, PATH_LEN = 32, NAME_LEN = 64 };

/* What is being read. */
typedef struct reading {
  fcgi_options *options; /* What it is read into. */
  int files[MOST_PARTS]; /* Descriptors of the files, open to the end. */
  size_t file_count;     /* Number of files. */
  int read_environment;  /* 1: the environment was read. */
  int error;             /* What the last part came to. */
} reading;

static fcgi_options *new_options(fcgi_launcher launcher) {
  fcgi_options *options;
  fuzz_require(fcgi_options_new(&options, launcher) == 0);
  return options;
}

static void forget_environment(void) {
  const fcgi_option *option;
  char name[FCGI__OPTION_PATH];
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    fcgi__option_variable(option, name);
    unsetenv(name);
  }
  unsetenv("WEB_CONCURRENCY");
  unsetenv("GATEWAY_INTERFACE");
  unsetenv(FCGI__OPTIONS_VARIABLE);
}

/* Any other variable could lead the C library astray. */
static int is_ours(const char *name) {
  return strncmp(name, "FASTCGI_", 8) == 0 ||
         strcmp(name, "WEB_CONCURRENCY") == 0 ||
         strcmp(name, "GATEWAY_INTERFACE") == 0;
}

static void require_message(const fcgi_options *options, int error) {
  const char *message = fcgi_options_message(options);
  fuzz_require(error == FCGI_ERR_INVALID);
  fuzz_require(*message);
  for (; *message; message++)
    fuzz_require((unsigned char)*message >= ' ' && *message != 127);
}

/* --- Parts ---------------------------------------------------------------- */

/* The lines of a text, which is cut into them. */
static size_t split(char *text, const char **lines) {
  size_t count = 0;
  while (count < MOST_WORDS) {
    char *end = strchr(text, '\n');
    lines[count++] = text;
    if (!end)
      break;
    *end = '\0';
    text = end + 1;
  }
  return count;
}

static int read_words(reading *r, char *text) {
  const char *words[MOST_WORDS];
  size_t count = split(text, words), used = MOST_WORDS + 1;
  int error = fcgi_options_read_words(r->options, count, words, &used);
  fuzz_require(used <= count);
  return error;
}

/* Once and before files, as launchers do: what is set later would be another
   environment. */
static int read_environment(reading *r, char *text) {
  const char *lines[MOST_WORDS];
  size_t count = split(text, lines);
  char name[NAME_LEN];
  if (r->read_environment || r->file_count > 0)
    return 0;
  r->read_environment = 1;
  for (size_t i = 0; i < count; i++) {
    size_t len = strcspn(lines[i], "=");
    if (!lines[i][len] || len >= sizeof name)
      continue;
    memcpy(name, lines[i], len);
    name[len] = '\0';
    if (is_ours(name))
      setenv(name, lines[i] + len + 1, 1);
  }
  return fcgi_options_read_environment(r->options);
}

static int read_file(reading *r, const char *text, size_t len,
                     const char *table) {
  char path[PATH_LEN];
  int fd = memfd_create("options", MFD_CLOEXEC);
  fuzz_require(fd >= 0);
  r->files[r->file_count++] = fd;
  fuzz_require(write(fd, text, len) == (ssize_t)len);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return fcgi_options_read_file(r->options, NULL, path, table);
}

/* A part in memory of just its size; `len` leaves out its NUL. */
static int read_part(reading *r, char *part, size_t len) {
  switch (*part) {
  case 'W':
    return read_words(r, part + 1);
  case 'E':
    return read_environment(r, part + 1);
  case 'F':
    return read_file(r, part + 1, len - 1, NULL);
  case 'P':
    return read_file(r, part + 1, len - 1, "tool.fastcgi");
  default:
    return 0;
  }
}

static void read_parts(reading *r, const uint8_t *data, size_t size) {
  for (size_t i = 0; i < MOST_PARTS && size > 0 && !r->error; i++) {
    const uint8_t *end = memchr(data, 0, size);
    size_t len = end ? (size_t)(end - data) : size;
    char *part = calloc(1, len + 1);
    fuzz_require(part != NULL);
    memcpy(part, data, len);
    if (len > 0)
      r->error = read_part(r, part, len);
    free(part);
    data += end ? len + 1 : len;
    size -= end ? len + 1 : len;
  }
  if (r->error)
    require_message(r->options, r->error);
}

/* --- Properties ----------------------------------------------------------- */

static void require_same(const fcgi_options *a, const fcgi_options *b,
                         int command_too) {
  const fcgi_option *option;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    if (option->scope == FCGI_OPTION_FOR_COMMAND && !command_too)
      continue;
    fuzz_require(!fcgi__options_differ(a, b, option));
    fuzz_require(
        (fcgi_options_origin(a, option->name) == FCGI_ORIGIN_DEFAULT) ==
        (fcgi_options_origin(b, option->name) == FCGI_ORIGIN_DEFAULT));
  }
}

static void require_same_again(const fcgi_options *options) {
  fcgi_options *again;
  fuzz_require(fcgi__options_read_again(options, NULL, &again) == 0);
  require_same(options, again, 1);
  fcgi_options_free(again);
}

/* TOML is UTF-8, and command lines are what they are. */
static int has_ascii(const char *text) {
  for (; *text; text++)
    if ((unsigned char)*text >= 128)
      return 0;
  return 1;
}

static void require_shown_is_read(fcgi_options *options,
                                  fcgi_launcher launcher) {
  reading copy = {.options = new_options(launcher)};
  const char *text = fcgi_options_show(options);
  fuzz_require(text);
  int error = read_file(&copy, text, strlen(text), NULL);
  fuzz_require(!error || !has_ascii(text));
  if (!error)
    require_same(options, copy.options, 0);
  close(copy.files[0]);
  fcgi_options_free(copy.options);
  fuzz_require(fcgi_options_help(options));
}

static void require_configurations(const fcgi_options *options) {
  fcgi_server_config server = {.size = sizeof server};
  fcgi_supervisor_config supervisor = {.size = sizeof supervisor}, again;
  fcgi_options_server(options, &server);
  fuzz_require(!fcgi__server_config_wrong(&server));
  fcgi_options_supervisor(options, &supervisor);
  fuzz_require(!fcgi__supervisor_config_wrong(&supervisor));
  again = supervisor;
  fcgi__options_reload(options, &again);
  fuzz_require(memcmp(&supervisor, &again, sizeof again) == 0);
}

static int put(void *data, const char *name, const char *text) {
  (void)data;
  return setenv(name, text, 1);
}

/* As the one that execve(2) has made: with the process id before it. */
static int put_own(void *data, const char *name, const char *text) {
  size_t size = strlen(text) + NAME_LEN;
  char *value = malloc(size);
  fuzz_require(value != NULL);
  snprintf(value, size, "%ld:%s", (long)getpid(), text);
  setenv(name, value, 1);
  free(value);
  (void)data;
  return 0;
}

/* A program of the library has no options but its environment. */
static void require_server_obeys(const fcgi_options *options) {
  fcgi_server_config server = {.size = sizeof server};
  const fcgi_option *option;
  char why[256];
  fuzz_require(fcgi__server_config_fill(&server, why, sizeof why) == 0);
  fuzz_require(!fcgi__server_config_wrong(&server));
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    int64_t number = fcgi_options_number(options, option->name);
    int field;
    if (option->scope != FCGI_OPTION_FOR_SERVER || row->supervisor.size > 0 ||
        row->server.size != sizeof field || option->kind == FCGI_OPTION_FLAG)
      continue;
    memcpy(&field, (const char *)&server + row->server.at, sizeof field);
    fuzz_require(field == (int)number);
  }
}

/* A launcher reads words and environment by itself. */
static void require_worker_has_them(const reading *r, fcgi_launcher launcher) {
  fcgi_options *worker;
  fuzz_require(fcgi__options_export(r->options, put, put_own, NULL) == 0);
  if (launcher == FCGI_LAUNCHER_RUN) {
    require_server_obeys(r->options);
    return;
  }
  if (!r->read_environment)
    return;
  fuzz_require(fcgi__options_read_again(r->options, NULL, &worker) == 0);
  require_same(r->options, worker, 0);
  fcgi_options_free(worker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  reading r = {.error = 0};
  if (size == 0)
    return 0;
  fcgi_launcher launcher = (fcgi_launcher)(data[0] % 3);
  forget_environment();
  r.options = new_options(launcher);
  read_parts(&r, data + 1, size - 1);
  if (!r.error) {
    require_same_again(r.options);
    require_shown_is_read(r.options, launcher);
    require_configurations(r.options);
    require_worker_has_them(&r, launcher);
  }
  for (size_t i = 0; i < r.file_count; i++)
    close(r.files[i]);
  fcgi_options_free(r.options);
  forget_environment();
  return 0;
}
