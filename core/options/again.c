/* SPDX-License-Identifier: MIT */
#include "options/again.h"
#include "options/options.h"
#include <fastcgi/error.h>
#include <string.h>

static void forget(fcgi_options *options, fcgi__source *source) {
  for (size_t i = 0; i < source->count && source->texts; i++)
    fcgi__free(&options->allocator, source->texts[i]);
  fcgi__free(&options->allocator, source->texts);
}

void fcgi__options_forget_sources(fcgi_options *options) {
  for (size_t i = 0; i < options->source_count; i++)
    forget(options, &options->sources[i]);
  fcgi__free(&options->allocator, options->sources);
}

static int copy_texts(fcgi_options *options, fcgi__source *source,
                      const char *const *texts) {
  source->texts = fcgi__calloc(&options->allocator,
                               (source->count + 1) * sizeof *source->texts);
  if (!source->texts)
    return FCGI_ERR_NOMEM;
  for (size_t i = 0; i < source->count; i++)
    if (texts[i] && !(source->texts[i] = fcgi__options_copy(options, texts[i])))
      return FCGI_ERR_NOMEM;
  return 0;
}

int fcgi__options_remember(fcgi_options *options, fcgi__source_kind kind,
                           size_t count, const char *const *texts) {
  fcgi__source source = {.kind = kind, .count = count};
  fcgi__source *grown =
      fcgi__realloc(&options->allocator, options->sources,
                    (options->source_count + 1) * sizeof *grown);
  if (grown)
    options->sources = grown;
  if (!grown || copy_texts(options, &source, texts)) {
    forget(options, &source);
    return FCGI_ERR_NOMEM;
  }
  grown[options->source_count++] = source;
  return 0;
}

static int read_one(const fcgi__source *source, const char *directory,
                    fcgi_options *out) {
  size_t used;
  switch (source->kind) {
  case FCGI__SOURCE_WORDS:
    return fcgi_options_read_words(out, source->count,
                                   (const char *const *)source->texts, &used);
  case FCGI__SOURCE_ENVIRONMENT:
    return fcgi_options_read_environment(out);
  default:
    return fcgi_options_read_file(out, directory ? directory : source->texts[0],
                                  source->texts[1], source->texts[2]);
  }
}

/* The path of --config may come from the environment, which stays the same. */
int fcgi__options_read_again(const fcgi_options *options, const char *directory,
                             fcgi_options **out) {
  int error = fcgi__options_new(out, options->launcher, &options->allocator);
  if (error)
    *out = NULL;
  for (size_t i = 0; i < options->source_count && !error; i++)
    error = read_one(&options->sources[i], directory, *out);
  return error;
}

int fcgi__options_differ(const fcgi_options *then, const fcgi_options *now,
                         const fcgi_option *option) {
  const char *a, *b;
  if (option->most > 0)
    return fcgi_options_number(then, option->name) !=
           fcgi_options_number(now, option->name);
  for (size_t i = 0;; i++) {
    a = fcgi_options_text(then, option->name, i);
    b = fcgi_options_text(now, option->name, i);
    if (!a || !b)
      return a != b;
    if (strcmp(a, b) != 0)
      return 1;
  }
}
