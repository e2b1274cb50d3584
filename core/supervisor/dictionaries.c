/* SPDX-License-Identifier: MIT */
#include "supervisor/dictionaries.h"
#include "base/number.h"
#include "os/sealed.h"
#include "supervisor/spawn.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(FCGI__PASSED_FIRST + 2 * FCGI__SOCKETS + 5 +
                       FCGI__SHARED_DICTIONARIES <=
                   FCGI__PASSED_FLOOR,
               "what is passed lies below what is passed from");

enum { PAUSE_MS = 600000 }; /* Between two lines about one that is full. */

/* --- What is declared ----------------------------------------------------- */

static int parse(const char *text, char name[FCGI_SHARED_NAME],
                 uint64_t *size) {
  return fcgi__number_named(text, name, FCGI_SHARED_NAME, FCGI_SHARED_LEAST,
                            FCGI_SHARED_MOST, size);
}

static int is_named_before(const char *const *texts, size_t count,
                           const char *name) {
  char other[FCGI_SHARED_NAME];
  uint64_t size;
  for (size_t i = 0; i < count; i++)
    if (parse(texts[i], other, &size) == 0 && strcmp(other, name) == 0)
      return 1;
  return 0;
}

int fcgi__dictionaries_check(const fcgi_supervisor_config *config, char *why,
                             size_t why_len) {
  const char *const *texts = config->shared;
  char name[FCGI_SHARED_NAME];
  uint64_t size;
  for (size_t i = 0; texts && texts[i]; i++) {
    if (parse(texts[i], name, &size))
      snprintf(why, why_len,
               "shared=%.64s: must be NAME=SIZE, such as cache=16M", texts[i]);
    else if (is_named_before(texts, i, name))
      snprintf(why, why_len,
               "shared=%.64s: there is a dictionary %s already; give each one "
               "a name of its own",
               texts[i], name);
    else if (i >= FCGI__SHARED_DICTIONARIES)
      snprintf(why, why_len,
               "shared=%.64s: more than %d dictionaries; let some share one",
               texts[i], FCGI__SHARED_DICTIONARIES);
    else
      continue;
    return -1;
  }
  return 0;
}

/* --- Those that there are ------------------------------------------------- */

/* What is no such memory is somebody else's, and stays where it is. */
static void take(fcgi__supervisor *s, fcgi__dictionary *found, int fd) {
  const char *wrong = "no dictionary";
  if (fcgi__sealed_is_one(fd)) {
    wrong = "of another version";
    fd = fcgi__spawn_lift(fd);
    if (fd >= 0 && fcgi__shared_attach(&found->memory, fd) == 0) {
      found->fd = fd;
      return;
    }
    if (fd >= 0)
      close(fd);
  }
  fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                       "a shared dictionary of the old supervisor is %s, and "
                       "is left",
                       wrong);
}

/* From the supervisor that is replaced. Its numbers are those that workers
   get. */
static void inherit(fcgi__supervisor *s, fcgi__dictionary *found) {
  int first, count = fcgi__shared_named(&first);
  if (count < 0)
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         FCGI__SHARED_VARIABLE
                         " is ignored: it must be PID:FIRST:COUNT");
  for (int i = 0; i < count; i++)
    take(s, &found[i], first + i);
}

static void drop(fcgi__dictionary *dictionary) {
  fcgi_shared_free(dictionary->memory);
  if (dictionary->memory)
    close(dictionary->fd);
  dictionary->memory = NULL;
}

/* The one that the old supervisor had, as it is. */
static int adopt(fcgi__supervisor *s, fcgi__dictionary *out,
                 fcgi__dictionary *found, const char *name, uint64_t size) {
  for (size_t i = 0; i < FCGI__SHARED_DICTIONARIES; i++) {
    if (!found[i].memory ||
        strcmp(fcgi_shared_name(found[i].memory), name) != 0)
      continue;
    if (fcgi__shared_bytes(found[i].memory) == size) {
      *out = found[i];
      found[i].memory = NULL;
      for (unsigned j = 0; j < FCGI_SHARED_COUNTS; j++)
        out->told[j] = fcgi__shared_glance(out->memory, (fcgi_shared_count)j);
      return 1;
    }
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         "shared dictionary %s has another size now, and is "
                         "empty",
                         name);
  }
  return 0;
}

static int make(fcgi__dictionary *out, const char *name, uint64_t size,
                char *why, size_t why_len) {
  int error = fcgi__shared_make(&out->memory, name, size, &out->fd);
  if (!error) {
    out->fd = fcgi__spawn_lift(out->fd);
    if (out->fd >= 0)
      return 0;
    fcgi_shared_free(out->memory);
    out->memory = NULL;
    error = FCGI_ERR_SYSTEM;
  }
  snprintf(why, why_len,
           "no memory for the shared dictionary %s, %" PRIu64 " bytes: %s; "
           "make it smaller",
           name, size,
           error == FCGI_ERR_SYSTEM ? strerror(errno) : fcgi_error_text(error));
  return -1;
}

int fcgi__dictionaries_open(fcgi__supervisor *s, char *why, size_t why_len) {
  fcgi__dictionary found[FCGI__SHARED_DICTIONARIES] = {{.fd = -1}};
  const char *const *texts = s->config.shared;
  int failed = 0;
  inherit(s, found);
  for (size_t i = 0; texts && texts[i] && !failed; i++) {
    fcgi__dictionary *out = &s->dictionaries[i];
    char name[FCGI_SHARED_NAME];
    uint64_t size;
    failed = parse(texts[i], name, &size);
    if (!failed && !adopt(s, out, found, name, size))
      failed = make(out, name, size, why, why_len);
    s->dictionary_count += !failed;
  }
  for (size_t i = 0; i < FCGI__SHARED_DICTIONARIES; i++)
    drop(&found[i]);
  return failed;
}

void fcgi__dictionaries_close(fcgi__supervisor *s) {
  for (size_t i = 0; i < s->dictionary_count; i++)
    drop(&s->dictionaries[i]);
  s->dictionary_count = 0;
}

/* --- Who gets them -------------------------------------------------------- */

size_t fcgi__dictionaries_pass(const fcgi__supervisor *s, int *passed) {
  for (size_t i = 0; i < s->dictionary_count; i++)
    passed[i] = s->dictionaries[i].fd;
  return s->dictionary_count;
}

/* Also where there are none: a program that wants one hears that it is not
   declared. */
int fcgi__dictionaries_describe(const fcgi__supervisor *s,
                                fcgi__environment *environment, int first) {
  char rest[32];
  snprintf(rest, sizeof rest, ":%d:%zu", first, s->dictionary_count);
  return fcgi__environment_set_pid(environment, FCGI__SHARED_VARIABLE, rest);
}

/* --- What is told --------------------------------------------------------- */

/* How many more of them there are than the log has told. */
static uint64_t news(fcgi__dictionary *dictionary, fcgi_shared_count which) {
  uint64_t now = fcgi__shared_glance(dictionary->memory, which);
  uint64_t more = now - dictionary->told[which];
  dictionary->told[which] = now;
  return more;
}

static void tell_full(const fcgi__supervisor *s, fcgi__dictionary *dictionary,
                      long long now) {
  uint64_t evicted;
  if (now < dictionary->quiet)
    return;
  evicted = news(dictionary, FCGI_SHARED_EVICTED);
  if (evicted == 0)
    return;
  dictionary->quiet = now + PAUSE_MS;
  fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                       "shared dictionary %s is full: %" PRIu64 " entries had "
                       "to go before their time; it has %" PRIu64
                       " bytes (--shared)",
                       fcgi_shared_name(dictionary->memory), evicted,
                       fcgi__shared_bytes(dictionary->memory));
}

void fcgi__dictionaries_look(fcgi__supervisor *s, long long now) {
  for (size_t i = 0; i < s->dictionary_count; i++) {
    fcgi__dictionary *dictionary = &s->dictionaries[i];
    const char *name = fcgi_shared_name(dictionary->memory);
    uint64_t undone = news(dictionary, FCGI_SHARED_RECOVERED);
    tell_full(s, dictionary, now);
    if (undone)
      fcgi__supervisor_log(s, FCGI_LOG_INFO,
                           "shared dictionary %s: %" PRIu64 " operations of "
                           "killed workers were undone",
                           name, undone);
    if (news(dictionary, FCGI_SHARED_EMPTIED))
      fcgi__supervisor_log(s, FCGI_LOG_ERROR,
                           "shared dictionary %s was damaged by a process that "
                           "wrote over it, and has been emptied",
                           name);
  }
}
