/* SPDX-License-Identifier: MIT */
#include "supervisor/plan.h"
#include "base/config.h"
#include "options/again.h"
#include "supervisor/settings.h"
#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

static int is_next(const fcgi__supervisor *s, unsigned generation) {
  return s->next && generation == s->next;
}

const fcgi_supervisor_config *fcgi__plan_config(const fcgi__supervisor *s,
                                                unsigned generation) {
  return is_next(s, generation) ? &s->coming.config : &s->config;
}

static fcgi_options *options_now(const fcgi__supervisor *s) {
  return s->options ? s->options : s->config.options;
}

fcgi_options *fcgi__plan_options(const fcgi__supervisor *s,
                                 unsigned generation) {
  return is_next(s, generation) && s->coming.options ? s->coming.options
                                                     : options_now(s);
}

unsigned fcgi__plan_wanted(const fcgi__supervisor *s, unsigned generation) {
  return is_next(s, generation) ? s->coming.wanted : s->wanted;
}

/* Put a name behind those in `out`: how many bytes are used then, or 0 where it
   does not fit, which ends the list. */
static size_t add_name(char *out, size_t used, size_t len, const char *name) {
  static const char rest[] = " and others";
  size_t room = len - used - (sizeof rest - 1);
  int written = snprintf(out + used, room, "%s%s", used ? ", " : "", name);
  if (written >= 0 && (size_t)written < room)
    return used + (size_t)written;
  memcpy(out + used, rest, sizeof rest);
  return 0;
}

/* The names of the options that a reload changes, or does not, and that have
   another value now. */
static void list_changes(const fcgi_options *then, const fcgi_options *now,
                         int is_fixed, char *out, size_t len) {
  const fcgi_option *option;
  size_t used = 0;
  *out = '\0';
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    if (option->is_fixed != is_fixed ||
        option->scope == FCGI_OPTION_FOR_COMMAND ||
        !fcgi__options_differ(then, now, option))
      continue;
    used = add_name(out, used, len, option->name);
    if (used == 0)
      return;
  }
}

static void tell_fixed(const fcgi__supervisor *s, const fcgi_options *now) {
  char names[256];
  list_changes(s->config.options, now, 1, names, sizeof names);
  if (names[0])
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         "a reload does not change %s; SIGUSR2 or a restart "
                         "does",
                         names);
}

/* A directory by the name that it had for the shell may be another one by
   now. */
static const char *directory_of(const fcgi__supervisor *s) {
  return s->start_path[0] ? s->start_path : NULL;
}

/* Who has given up root may have given up the right to read the file, too: the
   workers are replaced all the same. */
static int is_out_of_reach(const fcgi__supervisor *s, int error) {
  return error == FCGI_ERR_SYSTEM && s->identity.wanted;
}

static int fill(const fcgi__supervisor *s, fcgi__plan *plan, char *why,
                size_t why_len) {
  fcgi_supervisor_config given = {.size = sizeof given};
  fcgi__config_copy(&given, sizeof given, 0, s->given);
  fcgi__options_reload(plan->options, &given);
  if (fcgi_options_origin(plan->options, "workers") != FCGI_ORIGIN_DEFAULT &&
      fcgi_options_number(plan->options, "workers") == 0) {
    snprintf(why, why_len,
             "workers=0: must be 1 or more, or nobody would serve");
    return -1;
  }
  return fcgi__settings_take(&plan->config, &given, why, why_len);
}

/* The plan as things are. */
static fcgi__plan plan_of_now(const fcgi__supervisor *s) {
  return (fcgi__plan){.config = s->config, .wanted = s->wanted};
}

static int make(const fcgi__supervisor *s, fcgi__plan *plan, char *why,
                size_t why_len) {
  int error = fcgi__options_read_again(s->config.options, directory_of(s),
                                       &plan->options);
  if (error) {
    snprintf(why, why_len, "%s",
             plan->options ? fcgi_options_message(plan->options)
                           : "out of memory");
    return error;
  }
  error = fill(s, plan, why, why_len);
  if (!error && plan->config.workers != s->config.workers)
    plan->wanted = plan->config.workers;
  return error;
}

int fcgi__plan_read(fcgi__supervisor *s, char *what, size_t what_len, char *why,
                    size_t why_len) {
  fcgi__plan plan = plan_of_now(s);
  int error = s->config.options ? make(s, &plan, why, why_len) : 0;
  *what = '\0';
  if (error) {
    fcgi_options_free(plan.options);
    plan = plan_of_now(s);
  }
  if (is_out_of_reach(s, error))
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         "%s; the new workers get the old values", why);
  else if (error)
    return -1;
  if (plan.options) {
    tell_fixed(s, plan.options);
    list_changes(options_now(s), plan.options, 0, what, what_len);
  }
  fcgi_options_free(s->coming.options);
  s->coming = plan;
  return 0;
}

void fcgi__plan_take(fcgi__supervisor *s) {
  s->config = s->coming.config;
  s->wanted = s->coming.wanted;
  if (!s->coming.options)
    return;
  fcgi_options_free(s->options);
  s->options = s->coming.options;
  s->coming.options = NULL;
}

void fcgi__plan_free(fcgi__supervisor *s) {
  fcgi_options_free(s->coming.options);
  fcgi_options_free(s->options);
}
