/* SPDX-License-Identifier: MIT */
#include "judge.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NOT_IMPLEMENTED = 501 }; /* A handler that the application lacks. */

/* --- Cases that cannot be asked ----------------------------------------- */

/* Without the contract nothing makes an application answer before it has a
   body, hold a request, or write to STDERR. */
static int needs_contract(const play *p) {
  const case_text *text = &p->c->text;
  return p->script.awaits_output || strcmp(text->handler, "fault") == 0 ||
         strcmp(text->handler, "swap") == 0 || text->limits[0] ||
         (strcmp(text->handler, "hold") == 0 && text->closed);
}

int judge_before(play *p) {
  const char *limits = p->c->text.limits;
  if (!p->target->echo && needs_contract(p))
    return spec_skip(p->c, "needs the echo contract (--echo)");
  if (strcmp(limits, p->target->limits) != 0)
    return limits[0] ? spec_skip(p->c, "needs --limits %s", limits)
                     : spec_skip(p->c, "is not for an application with limits");
  if (p->script.multiplexes && p->target->multiplexes == 0)
    return spec_skip(p->c, "the application takes one request at a time on a "
                           "connection (FCGI_MPXS_CONNS=0)");
  return 0;
}

static const char *other_role(const case_text *text) {
  const case_lines *lines = &text->lines[CASE_SEND];
  for (size_t i = 0; i < lines->count; i++) {
    if (strstr(lines->at[i], " authorizer"))
      return "authorizer";
    if (strstr(lines->at[i], " filter"))
      return "filter";
  }
  return NULL;
}

/* What an application may lawfully not do. */
static int lacks(play *p, const exchange *came, const exchange *wanted) {
  const char *role = other_role(&p->c->text);
  int status;
  if (!came->ended || !wanted || wanted->http == 503)
    return 0;
  if (p->script.multiplexes && (came->status == FCGI_END_CANT_MPX ||
                                came->status == FCGI_END_OVERLOADED))
    return spec_skip(p->c, "the application takes no further request on the "
                           "connection");
  if (role && came->status == FCGI_END_UNKNOWN_ROLE &&
      wanted->status == FCGI_END_COMPLETE)
    return spec_skip(p->c, "the application does not take the role %s", role);
  if (p->target->echo && judge_cgi(&came->out, &status) &&
      status == NOT_IMPLEMENTED)
    return spec_skip(p->c, "the application has no handler %s",
                     p->c->text.handler);
  return 0;
}

/* Which of its id's exchanges one is. */
static size_t index_of(const talk *t, const exchange *e) {
  size_t index = 0;
  for (const exchange *at = t->at; at < e; at++)
    index += at->id == e->id;
  return index;
}

static int judge_lacks(play *p) {
  const talk *said = &p->wire.said;
  for (size_t i = 0; i < said->count; i++) {
    const exchange *came = &said->at[i];
    if (lacks(p, came, talk_find(&p->wanted, came->id, index_of(said, came))))
      return -1;
  }
  return 0;
}

/* --- One answer --------------------------------------------------------- */

static int is_name(const char *line, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)line[i]) && !strchr("!#$%&'*+-.^_`|~", line[i]))
      return 0;
  return len > 0;
}

/* RFC 3875, 6.2: lines "Name: value" up to an empty one. The bytes of the
   head, or 0 when it is none. */
static size_t cgi_head(const bytes *out, int *status) {
  const char *at = bytes_string(out), *end = at + out->len;
  *status = 200;
  for (int lines = 0;; lines++) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    size_t len = newline ? (size_t)(newline - at) : 0;
    const char *colon = newline ? memchr(at, ':', len) : NULL;
    if (newline && (len == 0 || (len == 1 && *at == '\r')))
      return lines ? (size_t)(newline + 1 - bytes_string(out)) : 0;
    if (!colon || !is_name(at, (size_t)(colon - at)))
      return 0;
    if (strncasecmp(at, "Status:", 7) == 0)
      *status = atoi(at + 7);
    else if (strncasecmp(at, "Location:", 9) == 0 && *status == 200)
      *status = 302;
    at = newline + 1;
  }
}

int judge_cgi(const bytes *out, int *status) {
  return cgi_head(out, status) > 0;
}

static int differs(play *p, const exchange *wanted, const exchange *came,
                   const char *why) {
  bytes expected = {.len = 0}, what = {.len = 0};
  talk_describe(&expected, wanted);
  talk_describe(&what, came);
  bytes_format(&what, " (%s)", why);
  spec_fail(p->c, bytes_string(&what), "%s", bytes_string(&expected));
  bytes_free(&expected);
  bytes_free(&what);
  return -1;
}

/* 1 when a line of a listing is of a parameter that we have put in. */
static int is_ours(const play *p, const char *line, size_t len) {
  for (size_t i = 0; i < p->script.param_count; i++) {
    const fcgi_param *ours = &p->script.params[i];
    if (len > ours->name_len && line[ours->name_len] == '=' &&
        memcmp(line, ours->name, ours->name_len) == 0)
      return 1;
  }
  return 0;
}

/* The body without the lines of our own parameters, for `params`. */
static int same_body(const play *p, const exchange *wanted,
                     const exchange *came, size_t head) {
  const char *at = bytes_string(&came->out) + head;
  const char *end = bytes_string(&came->out) + came->out.len;
  bytes body = {.len = 0};
  int same;
  while (at < end && strcmp(p->c->text.handler, "params") == 0) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const char *next = newline ? newline + 1 : end;
    if (!is_ours(p, at, (size_t)(next - at)))
      bytes_add(&body, at, (size_t)(next - at));
    at = next;
  }
  bytes_add(&body, at, (size_t)(end - at));
  same = body.len == wanted->out.len &&
         (body.len == 0 || memcmp(body.data, wanted->out.data, body.len) == 0);
  bytes_free(&body);
  return same;
}

/* As the echo contract has it. Who reads when the abort comes may say that it
   failed. */
static int judge_echo(play *p, const exchange *wanted, const exchange *came) {
  int status;
  size_t head = cgi_head(&came->out, &status);
  if (wanted->aborted && !wanted->http && head > 0 && status >= 400)
    return 0;
  if (came->app_status != wanted->app_status)
    return differs(p, wanted, came, "another appStatus");
  if (came->err.len != wanted->err.len ||
      (wanted->err.len > 0 &&
       memcmp(came->err.data, wanted->err.data, wanted->err.len) != 0))
    return differs(p, wanted, came, "another STDERR");
  if (wanted->http == 0)
    return came->out.len == wanted->out.len &&
                   (wanted->out.len == 0 ||
                    memcmp(came->out.data, wanted->out.data, wanted->out.len) ==
                        0)
               ? 0
               : differs(p, wanted, came, "another STDOUT");
  if (head == 0)
    return differs(p, wanted, came, "no head as CGI has it");
  if (status != wanted->http)
    return differs(p, wanted, came, "another status");
  /* What a refusal says is free. */
  return status != 200 || same_body(p, wanted, came, head)
             ? 0
             : differs(p, wanted, came, "another body");
}

/* 1 when the case opens more requests than an application may take. */
static int overloads(const play *p) {
  for (size_t i = 0; i < p->wanted.count; i++)
    if (p->wanted.at[i].http == 503)
      return 1;
  return 0;
}

/* As FastCGI and CGI have it: any answer, but one. Only for `echo` a refusal
   is a must, for the others look at what is wrong only if they are ours. */
static int judge_any(play *p, const exchange *wanted, const exchange *came) {
  int status;
  if (wanted->aborted || wanted->status != FCGI_END_COMPLETE)
    return 0;
  if (wanted->http >= 400 && strcmp(p->c->text.handler, "echo") == 0) {
    if (came->app_status != 0 ||
        (judge_cgi(&came->out, &status) && status >= 400))
      return 0;
    return differs(p, wanted, came, "not refused");
  }
  if (!judge_cgi(&came->out, &status))
    return differs(p, wanted, came, "no head as CGI has it");
  if (status >= 500 && p->target->plain_status < 500 && !overloads(p))
    return differs(p, wanted, came, "a failure of the application");
  return 0;
}

/* 3.3: a stream ends with an empty record. What never closes STDOUT fails
   where the appendix shows it, not in every case. */
static int judge_streams(play *p, const exchange *wanted,
                         const exchange *came) {
  if (p->target->unclosed && strcmp(p->c->section, "appendix-b") != 0)
    return 0;
  if (came->out.len > 0 && !came->out_closed)
    return differs(p, wanted, came, "no empty record closes STDOUT");
  if (came->err.len > 0 && !came->err_closed)
    return differs(p, wanted, came, "no empty record closes STDERR");
  return 0;
}

static int judge_exchange(play *p, const exchange *wanted,
                          const exchange *came) {
  if (wanted->ended != came->ended)
    return differs(p, wanted, came, "no END_REQUEST");
  /* FCGI_OVERLOADED says what 503 says. */
  if (wanted->http == 503 && came->status == FCGI_END_OVERLOADED &&
      !p->target->echo)
    return 0;
  if (came->status != wanted->status)
    return differs(p, wanted, came, "another protocolStatus");
  if (p->target->echo ? judge_echo(p, wanted, came)
                      : judge_any(p, wanted, came))
    return -1;
  return judge_streams(p, wanted, came);
}

/* --- All answers -------------------------------------------------------- */

int judge_tolerates_close(const play *p) {
  return p->target->closes && strcmp(p->c->section, "closing") != 0;
}

/* 1 when the connection closed after an answer, as this application does. */
static int is_cut_short(const play *p) {
  size_t ended = 0;
  for (size_t i = 0; i < p->wire.said.count; i++)
    ended += p->wire.said.at[i].ended != 0;
  return ended > 0 && p->wire.ended && judge_tolerates_close(p);
}

static int judge_missing(play *p, const exchange *wanted) {
  bytes expected = {.len = 0};
  if (is_cut_short(p))
    return spec_skip(p->c, "the application closes connections that are to be "
                           "kept");
  talk_describe(&expected, wanted);
  spec_fail(p->c,
            p->wire.ended   ? "the connection closed"
            : p->wire.stuck ? "nothing, and it reads no more"
                            : "nothing",
            "%s", bytes_string(&expected));
  bytes_free(&expected);
  return -1;
}

static int judge_unwanted(play *p, const exchange *came) {
  bytes what = {.len = 0};
  talk_describe(&what, came);
  spec_fail(p->c, bytes_string(&what), "nothing more about request %u",
            came->id);
  bytes_free(&what);
  return -1;
}

static int judge_exchanges(play *p) {
  const talk *said = &p->wire.said, *wanted = &p->wanted;
  for (size_t i = 0; i < wanted->count; i++) {
    const exchange *w = &wanted->at[i];
    const exchange *came = talk_find(said, w->id, index_of(wanted, w));
    if (came ? judge_exchange(p, w, came) : judge_missing(p, w))
      return -1;
  }
  for (size_t i = 0; i < said->count; i++) {
    const exchange *came = &said->at[i];
    if (!talk_find(wanted, came->id, index_of(said, came)))
      return judge_unwanted(p, came);
  }
  return 0;
}

/* 1 when every name in the lines of `some` is in those of `all`, and each
   value is a number. */
static int names_within(const bytes *some, const bytes *all) {
  const char *at = bytes_string(some), *end = at + some->len;
  while (at < end) {
    const char *equals = strchr(at, '='), *known = bytes_string(all);
    size_t len = equals ? (size_t)(equals - at) + 1 : 0;
    while (len > 0 && known && strncmp(known, at, len) != 0) {
      known = strchr(known, '\n');
      known = known && known[1] ? known + 1 : NULL;
    }
    if (len == 0 || !known || !isdigit((unsigned char)equals[1]))
      return 0;
    at = equals + 1 + strspn(equals + 1, "0123456789");
    if (*at++ != '\n')
      return 0;
  }
  return 1;
}

/* 4.1: names that the application does not know are left out. */
static int judge_values(play *p) {
  const talk *said = &p->wire.said, *wanted = &p->wanted;
  for (size_t i = 0; i < said->values_count && i < wanted->values_count; i++) {
    const bytes *came = &said->values[i], *all = &wanted->values[i];
    if (names_within(came, all) &&
        (!p->target->echo || names_within(all, came)))
      continue;
    bytes shown = {.len = 0}, expected = {.len = 0};
    bytes_quoted(&shown, came->data, came->len, 100);
    bytes_quoted(&expected, all->data, all->len, 100);
    spec_fail(p->c, bytes_string(&shown),
              "GET_VALUES_RESULT with these names and numbers only: %s",
              bytes_string(&expected));
    bytes_free(&shown);
    bytes_free(&expected);
    return -1;
  }
  if (said->values_count == wanted->values_count)
    return 0;
  if (said->values_count < wanted->values_count && is_cut_short(p))
    return spec_skip(p->c, "the application closes connections that are to be "
                           "kept");
  bytes shown = {.len = 0};
  bytes_format(&shown, "%zu", said->values_count);
  spec_fail(p->c, bytes_string(&shown), "%zu GET_VALUES_RESULT",
            wanted->values_count);
  bytes_free(&shown);
  return -1;
}

static int judge_unknown(play *p) {
  const bytes *came = &p->wire.said.unknown, *wanted = &p->wanted.unknown;
  bytes shown = {.len = 0}, expected = {.len = 0};
  if (came->len == wanted->len &&
      (came->len == 0 || memcmp(came->data, wanted->data, came->len) == 0))
    return 0;
  for (size_t i = 0; i < came->len; i++)
    bytes_format(&shown, " %u", came->data[i]);
  for (size_t i = 0; i < wanted->len; i++)
    bytes_format(&expected, " %u", wanted->data[i]);
  spec_fail(p->c, shown.len ? bytes_string(&shown) + 1 : "none",
            "UNKNOWN_TYPE for%s",
            expected.len ? bytes_string(&expected) : " no record");
  bytes_free(&shown);
  bytes_free(&expected);
  return -1;
}

int judge_answers(play *p) {
  if (judge_lacks(p))
    return -1;
  if (p->wire.said.problem.len > 0)
    return spec_fail(p->c, bytes_string(&p->wire.said.problem),
                     "records as FastCGI allows them");
  if (judge_exchanges(p) || judge_values(p))
    return -1;
  return judge_unknown(p);
}

int judge_is_complete(const play *p) {
  const talk *said = &p->wire.said, *wanted = &p->wanted;
  for (size_t i = 0; i < wanted->count; i++) {
    const exchange *w = &wanted->at[i];
    const exchange *came = talk_find(said, w->id, index_of(wanted, w));
    if (!came || (w->ended && !came->ended))
      return 0;
  }
  return said->values_count >= wanted->values_count &&
         said->unknown.len >= wanted->unknown.len;
}

int judge_refused_by_closing(const play *p) {
  const talk *said = &p->wire.said, *wanted = &p->wanted;
  if (p->target->echo || !p->wire.ended || said->problem.len > 0 ||
      strcmp(p->c->text.handler, "echo") != 0)
    return 0;
  for (size_t i = 0; i < wanted->count; i++) {
    const exchange *w = &wanted->at[i];
    const exchange *came = talk_find(said, w->id, index_of(wanted, w));
    if (w->http >= 400)
      return 1;
    if (!came || !came->ended)
      return 0;
  }
  return 0;
}
