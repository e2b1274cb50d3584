/* SPDX-License-Identifier: MIT */
/* The command line. */
#include "options/options.h"
#include <ctype.h>
#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is left to read. */
typedef struct line {
  fcgi_options *options;    /* Where values go. */
  const char *const *words; /* All of them. */
  size_t count;             /* Words in all. */
  size_t at;                /* The next one. */
} line;

static int take(line *l, const fcgi_option *option, const char *text) {
  return fcgi__options_take(l->options, FCGI_ORIGIN_LINE, NULL, option, text);
}

/* A file may be "-", and a number may be below 0. */
static int is_option(const char *word) {
  return *word == '-' && (word[1] == '-' || isalpha((unsigned char)word[1]));
}

/* The value of the option in the word that was taken last, `shown`: the rest of
   that word, which is not NULL where there is one, or the next word. Whoever
   forgets the value has the next option there. */
static int take_value(line *l, const fcgi_option *option, const char *shown,
                      const char *rest) {
  int len = (int)strcspn(shown, "=");
  if (option->kind == FCGI_OPTION_FLAG)
    return rest ? fcgi__options_refuse(l->options, "%.*s takes no value", len,
                                       shown)
                : take(l, option, "true");
  if (!rest && l->at < l->count && !is_option(l->words[l->at]))
    rest = l->words[l->at++];
  if (!rest)
    return fcgi__options_refuse(l->options, "%.*s needs a value (%s)", len,
                                shown, option->value);
  return take(l, option, rest);
}

/* --max_requests, and --app. */
static int refuse_spelling(line *l, const fcgi_option *option,
                           const char *name) {
  char shown[FCGI__OPTION_NUMBER];
  if (option->positional)
    return fcgi__options_refuse(l->options, "no option --%s: it needs no name",
                                name);
  snprintf(shown, sizeof shown, "%s", option->name);
  for (char *c = shown; *c; c++)
    *c = *c == '_' ? '-' : *c;
  return fcgi__options_refuse(l->options, "no option --%s; did you mean --%s?",
                              name, shown);
}

static int take_long(line *l, const char *word) {
  size_t len = strcspn(word + 2, "=");
  const char *equals = word[2 + len] == '=' ? word + 2 + len + 1 : NULL;
  char name[FCGI__OPTION_NUMBER * 2];
  size_t most = len < sizeof name ? len : sizeof name - 1;
  memcpy(name, word + 2, most);
  name[most] = '\0';
  const fcgi_option *option = fcgi__options_find(l->options, NULL, "--", name);
  if (option && (option->positional || strchr(name, '_')))
    return refuse_spelling(l, option, name);
  return option ? take_value(l, option, word, equals) : FCGI_ERR_INVALID;
}

static const fcgi_option *find_letter(fcgi_launcher launcher, char letter) {
  const fcgi_option *option;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++)
    if (option->letter == letter && option->launchers & 1u << launcher)
      return option;
  return NULL;
}

static int take_letter(line *l, const char *word) {
  const fcgi_option *option = find_letter(l->options->launcher, word[1]);
  char shown[] = {'-', word[1], '\0'};
  if (!option)
    return fcgi__options_refuse(l->options, "no option %s", shown);
  return take_value(l, option, shown, word[2] ? word + 2 : NULL);
}

static int take_app(line *l, const fcgi_option *app, const char *word) {
  if (fcgi_options_origin(l->options, app->name) == FCGI_ORIGIN_LINE)
    return fcgi__options_refuse(
        l->options, "one application only: '%.64s' after '%.64s'", word,
        fcgi_options_text(l->options, app->name, 0));
  return take(l, app, word);
}

/* What a client's query has put behind the application is not for us. */
static int is_query(const line *l, const fcgi_option *app) {
  const char *gateway = getenv("GATEWAY_INTERFACE");
  return gateway && *gateway && app &&
         fcgi_options_origin(l->options, app->name) == FCGI_ORIGIN_LINE;
}

int fcgi_options_read_words(fcgi_options *options, size_t count,
                            const char *const *words, size_t *used) {
  line l = {.options = options, .words = words, .count = count};
  const fcgi_option *app = fcgi_option_find("app");
  int error = 0;
  if (!(app->launchers & 1u << options->launcher))
    app = NULL;
  while (!error && l.at < count && !is_query(&l, app)) {
    const char *word = words[l.at];
    if (!app && (word[0] != '-' || !word[1]))
      break;
    l.at++;
    if (strcmp(word, "--") == 0)
      break;
    if (word[0] != '-' || !word[1])
      error = take_app(&l, app, word);
    else
      error = word[1] == '-' ? take_long(&l, word) : take_letter(&l, word);
  }
  *used = l.at;
  return error ? error
               : fcgi__options_remember(options, FCGI__SOURCE_WORDS, count,
                                        words);
}
