/* SPDX-License-Identifier: MIT */
#include "play.h"
#include "../tool.h"
#include "compose.h"
#include "judge.h"
#include <string.h>

enum { SILENCE_MS = 1500 }; /* How much longer what is silent may take. */

static wire new_wire(const spec_target *target) {
  return (wire){.fd = -1, .timeout_ms = target->timeout_ms};
}

static void plain_request(bytes *out, const tool_params *params,
                          const char *flags) {
  bytes line = {.len = 0};
  bytes_format(&line, "begin 1 responder %s", flags);
  compose(out, bytes_string(&line));
  compose_params(out, 1, params->at, params->count);
  compose(out, "params 1");
  compose(out, "stdin 1");
  bytes_free(&line);
}

/* What the answer to a plain request comes to: 0, or an exit status and why it
   is none. */
static int judge_plain(const wire *w, bytes *problem) {
  const exchange *came = talk_find(&w->said, 1, 0);
  int status;
  if (w->said.problem.len > 0) {
    bytes_text(problem, bytes_string(&w->said.problem));
  } else if (!came && w->said.count > 0) {
    bytes_format(problem, "an answer to request %u, which was not asked",
                 w->said.at[0].id);
  } else if (!came || !came->ended) {
    bytes_text(problem, w->ended   ? "the connection closed before END_REQUEST"
                        : w->stuck ? "it does not read"
                                   : "no END_REQUEST came in time");
    return TOOL_TRANSPORT;
  } else if (came->status != FCGI_END_COMPLETE) {
    talk_describe(problem, came);
  } else if (!judge_cgi(&came->out, &status)) {
    bytes_text(problem, "STDOUT has no head as CGI has it");
  } else {
    return 0;
  }
  return TOOL_PROTOCOL;
}

int play_plain(const spec_target *target, talk *said, bytes *problem) {
  const case_text nothing = {.handler = "echo"};
  wire w = new_wire(target);
  tool_params params = {.at = NULL};
  bytes out = {.len = 0};
  int result = wire_connect(&w, target->address, problem) ? TOOL_TRANSPORT : 0;
  if (result == 0) {
    long deadline = wire_deadline(&w);
    spec_params(target, &nothing, &params);
    plain_request(&out, &params, "0");
    wire_send(&w, out.data, out.len);
    while (!talk_count(&w.said, "end 1") && wire_receive(&w, deadline))
      continue;
    result = judge_plain(&w, problem);
  }
  if (said) {
    *said = w.said;
    w.said = (talk){.count = 0};
  }
  bytes_free(&out);
  tool_params_free(&params);
  wire_close(&w);
  return result;
}

int play_closes(const spec_target *target) {
  const case_text nothing = {.handler = "echo"};
  wire w = new_wire(target);
  tool_params params = {.at = NULL};
  bytes out = {.len = 0}, problem = {.len = 0};
  size_t answers = 0;
  spec_params(target, &nothing, &params);
  plain_request(&out, &params, "keep");
  if (wire_connect(&w, target->address, &problem) == 0) {
    while (answers < 2 && talk_count(&w.said, "end 1") == answers) {
      long deadline = wire_deadline(&w);
      wire_send(&w, out.data, out.len);
      while (talk_count(&w.said, "end 1") == answers &&
             wire_receive(&w, deadline))
        continue;
      answers++;
    }
    answers = talk_count(&w.said, "end 1");
  }
  tool_params_free(&params);
  bytes_free(&out);
  bytes_free(&problem);
  wire_close(&w);
  return answers < 2;
}

int play_ask_multiplexing(const spec_target *target) {
  wire w = new_wire(target);
  bytes out = {.len = 0}, problem = {.len = 0};
  int multiplexes = -1;
  compose(&out, "get_values FCGI_MPXS_CONNS");
  if (wire_connect(&w, target->address, &problem) == 0) {
    long deadline = wire_deadline(&w);
    wire_send(&w, out.data, out.len);
    while (w.said.values_count == 0 && wire_receive(&w, deadline))
      continue;
    if (w.said.values_count > 0) {
      const char *value = bytes_string(&w.said.values[0]);
      value = strchr(value, '=');
      multiplexes = value ? value[1] != '0' : -1;
    }
  }
  bytes_free(&out);
  bytes_free(&problem);
  wire_close(&w);
  return multiplexes;
}

static size_t awaited_before(const play *p, size_t step) {
  size_t count = 0;
  for (size_t i = 0; i < step; i++)
    count += p->script.at[i].kind == STEP_AWAIT &&
             strcmp(bytes_string(&p->script.at[i].data),
                    bytes_string(&p->script.at[step].data)) == 0;
  return count;
}

/* 0, or -1 when the line does not come. */
static int await(play *p, size_t step) {
  const char *line = bytes_string(&p->script.at[step].data);
  size_t due = awaited_before(p, step) + 1;
  long deadline = wire_deadline(&p->wire);
  while (talk_count(&p->wire.said, line) < due)
    if (!wire_receive(&p->wire, deadline))
      return -1;
  return 0;
}

/* 0 to go on, or -1 when that makes no sense. */
static int take_step(play *p, size_t index) {
  const script_step *step = &p->script.at[index];
  switch (step->kind) {
  case STEP_SEND:
    wire_send(&p->wire, step->data.data, step->data.len);
    return p->wire.ended || p->wire.stuck ? -1 : 0;
  case STEP_AWAIT:
    return await(p, index);
  case STEP_HALF_CLOSE:
    wire_half_close(&p->wire);
    return 0;
  case STEP_RESET:
    wire_reset(&p->wire);
    return 0;
  case STEP_WAIT:
    p->wire.timeout_ms += SILENCE_MS;
    return 0;
  case STEP_CLOSE:
    return 0;
  }
  return -1;
}

static int expect_closed(play *p) {
  long deadline = wire_deadline(&p->wire);
  while (wire_receive(&p->wire, deadline))
    continue;
  if (judge_answers(p))
    return -1;
  return p->wire.ended
             ? 0
             : spec_fail(p->c, "it is still open", "the connection closed");
}

/* A question without names, which is answered at once, shows that both sides
   are in step; what nobody expects comes before the application closes. */
static int probe_values(play *p) {
  bytes out = {.len = 0};
  compose(&out, "get_values");
  talk_want(&p->wanted, "values");
  wire_send(&p->wire, out.data, out.len);
  bytes_free(&out);
  long deadline = wire_deadline(&p->wire);
  while (!judge_is_complete(p) && wire_receive(&p->wire, deadline))
    continue;
  wire_half_close(&p->wire);
  while (wire_receive(&p->wire, deadline))
    continue;
  return judge_answers(p);
}

/* The same with a request, for any application. */
static int probe_request(play *p) {
  bytes out = {.len = 0};
  spec_case *c = p->c;
  plain_request(&out, &p->params, "keep");
  talk_want(&p->wanted, "reply 1 200");
  wire_send(&p->wire, out.data, out.len);
  bytes_free(&out);
  long deadline = wire_deadline(&p->wire);
  while (!judge_is_complete(p) && wire_receive(&p->wire, deadline))
    continue;
  if (judge_answers(p) == 0)
    return 0;
  if (c->result == SPEC_FAIL)
    bytes_text(&c->expected, ", for one more request on the connection");
  return -1;
}

static int expect_open(play *p) {
  if (judge_tolerates_close(p))
    return 0;
  if (p->wire.ended)
    return spec_fail(p->c, "it closed", "the connection kept open");
  return p->target->echo ? probe_values(p) : probe_request(p);
}

static void finish(play *p) {
  long deadline = wire_deadline(&p->wire);
  while (!judge_is_complete(p) && wire_receive(&p->wire, deadline))
    continue;
  if (judge_refused_by_closing(p) || judge_answers(p))
    return;
  if (p->c->text.closed)
    expect_closed(p);
  else if (p->c->text.open)
    expect_open(p);
}

static void run(play *p) {
  bytes problem = {.len = 0};
  if (wire_connect(&p->wire, p->target->address, &problem)) {
    spec_fail(p->c, bytes_string(&problem), "a connection");
    bytes_free(&problem);
    return;
  }
  for (size_t i = 0; i < p->script.count; i++) {
    if (take_step(p, i) == 0)
      continue;
    /* What is awaited is part of the answer, which therefore lacks. */
    if (p->script.at[i].kind == STEP_AWAIT && !p->wire.ended)
      p->wire.timeout_ms = 0;
    break;
  }
  if (!p->script.gone)
    finish(p);
}

static void read_wanted(play *p) {
  const case_lines *lines = &p->c->text.lines[CASE_ANSWER];
  for (size_t i = 0; i < lines->count; i++)
    talk_want(&p->wanted, lines->at[i]);
  for (size_t i = 0; i < p->wanted.count; i++)
    p->wanted.at[i].aborted = script_aborts(&p->script, p->wanted.at[i].id);
}

/* What CONTENT_LENGTH does is the point of the section `params`. */
static int measures(const spec_target *target, const spec_case *c) {
  return !target->echo && strcmp(c->section, "params") != 0 &&
         strcmp(c->text.handler, "authorize") != 0;
}

void play_case(const spec_target *target, spec_case *c) {
  play p = {.target = target, .c = c, .wire = new_wire(target)};
  long start = wire_now();
  spec_params(target, &c->text, &p.params);
  script_read(&p.script, &c->text, p.params.at, p.params.count,
              measures(target, c));
  read_wanted(&p);
  if (judge_before(&p) == 0)
    run(&p);
  c->seconds = (double)(wire_now() - start) / 1e3;
  wire_close(&p.wire);
  talk_free(&p.wanted);
  script_free(&p.script);
  tool_params_free(&p.params);
}
