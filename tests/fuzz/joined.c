/* SPDX-License-Identifier: MIT */
#include "fuzz/joined.h"

#include <fastcgi/error.h>

enum {
  ASKED_MOST = 400 /* GET_VALUES unanswered; more may fail a session. */
};

visit *joined_of_peer(run *r) {
  return &r->seen.all[r->peer_visit[r->place]];
}

visit *joined_of_session(run *r) {
  return &r->seen.all[r->session_visit[r->place]];
}

void joined_turn_to(run *r, size_t place) {
  r->place = place;
  r->id = script_ids[place];
}

void joined_turn_to_id(run *r, uint16_t id) {
  size_t place = 0;
  while (script_ids[place] != id)
    place++;
  joined_turn_to(r, place);
}

static size_t size_within(run *r) {
  size_t size = script_size(&r->todo);
  if (size > r->budget)
    size = r->budget;
  r->budget -= size;
  return size;
}

/* --- The web server's calls. */

static int add_param(run *r, const char *name, size_t name_len,
                     const char *value, size_t len) {
  visit *v = joined_of_peer(r);
  int error = fcgi_peer_param(r->peer, r->id, name, name_len, value, len);
  if (!error)
    v->params_said = visits_mix(v->params_said, name, name_len, value, len);
  return error;
}

static void begin(run *r) {
  static const uint16_t wanted[] = {1, 2, 3, 9, 10, 77, 1, 1};
  unsigned how = script_byte(&r->todo);
  char name[VISITS_SERIAL];
  size_t serial = r->seen.count;
  if (serial == VISITS_MOST || r->id == 0)
    return;
  int was_open = fcgi_peer_is_open(r->peer, r->id);
  int error = fcgi_peer_begin(r->peer, r->id, wanted[how % 8], how >> 3 & 1);
  need(r, r->parted || (error == 0) == !was_open);
  if (error)
    return;
  r->seen.count++;
  r->peer_visit[r->place] = (uint8_t)serial;
  r->seen.all[serial].begun = 1;
  r->seen.all[serial].promised = -1;
  visits_name(name, serial);
  need(r, add_param(r, "S", 1, name, sizeof name) == 0);
}

/* What follows a hundred bytes has a NUL, which the session refuses. */
static void param(run *r) {
  size_t name_len = script_byte(&r->todo) % 200, len = size_within(r);
  const char *name = visits_bytes(97), *value = visits_text();
  if (name_len == 6)
    name = "HTTP_A";
  if (name_len > 100)
    value = visits_bytes(1);
  add_param(r, name, name_len, value, len);
}

static void promise(run *r) {
  char text[6];
  unsigned promised = script_byte(&r->todo) * 7u;
  int len = snprintf(text, sizeof text, "%u", promised);
  visit *v = joined_of_peer(r);
  if (v->promised < 0 &&
      add_param(r, "CONTENT_LENGTH", 14, text, (size_t)len) == 0)
    v->promised = promised;
}

static void params_end(run *r) {
  fcgi_peer_params_end(r->peer, r->id);
}

/* DATA that comes before the end of STDIN is not heard. */
static void say(run *r, fcgi_stream stream) {
  visit *v = joined_of_peer(r);
  visit_stream *said = stream == FCGI_STREAM_DATA ? &v->data : &v->in;
  size_t len = size_within(r);
  int error =
      fcgi_peer_write(r->peer, r->id, stream, visits_bytes(said->said), len);
  if (!error && (stream == FCGI_STREAM_STDIN || v->in.end_said))
    said->said += len;
}

static void say_stdin(run *r) {
  say(r, FCGI_STREAM_STDIN);
}

static void say_data(run *r) {
  say(r, FCGI_STREAM_DATA);
}

static void end_stdin(run *r) {
  if (fcgi_peer_write_end(r->peer, r->id, FCGI_STREAM_STDIN) == 0)
    joined_of_peer(r)->in.end_said = 1;
}

static void end_data(run *r) {
  visit *v = joined_of_peer(r);
  if (fcgi_peer_write_end(r->peer, r->id, FCGI_STREAM_DATA))
    return;
  v->data.end_said = 1;
  v->disordered |= !v->in.end_said;
}

static void abort_it(run *r) {
  fcgi_peer_abort(r->peer, r->id);
}

static void get_values(run *r) {
  if (r->asked < ASKED_MOST && fcgi_peer_get_values(r->peer, NULL, 0) == 0)
    r->asked++;
}

/* --- The application's calls. */

/* 1 when the session must take an answer for the id. */
static int is_answerable(run *r) {
  const visit *v = joined_of_session(r);
  return r->session_visit[r->place] && v->announced && !v->ended && !r->parted;
}

static void answered(run *r, visit_stream *stream, int error, size_t len) {
  need(r, (error == 0) == is_answerable(r));
  if (error == 0)
    stream->said += len;
}

static void answer(run *r) {
  visit_stream *out = &joined_of_session(r)->out;
  size_t len = size_within(r);
  int error = fcgi_session_write(r->session, r->id, FCGI_STREAM_STDOUT,
                                 visits_bytes(out->said), len);
  answered(r, out, error, len);
}

static void complain(run *r) {
  visit_stream *err = &joined_of_session(r)->err;
  size_t len = size_within(r) % 3000;
  int error = fcgi_session_write(r->session, r->id, FCGI_STREAM_STDERR,
                                 visits_bytes(err->said), len);
  answered(r, err, error, len);
}

static void lend(run *r) {
  visit_stream *out = &joined_of_session(r)->out;
  size_t len = size_within(r);
  int error =
      fcgi_session_lend(r->session, r->id, visits_bytes(out->said), len);
  answered(r, out, error, len);
}

static void keep(run *r) {
  fcgi_session_keep(r->session, r->id);
}

/* The file has at each offset what a stream has at that place. */
static void write_file(run *r) {
  visit_stream *out = &joined_of_session(r)->out;
  size_t len = size_within(r);
  int error = fcgi_session_write_file(r->session, r->id, 0, out->said, len);
  answered(r, out, error, len);
}

void joined_end(run *r, uint32_t app_status, fcgi_protocol_status status) {
  visit *v = joined_of_session(r);
  int due = is_answerable(r);
  v->app_status = app_status;
  v->status = (uint8_t)status;
  int error = fcgi_session_end(r->session, r->id, app_status, status);
  need(r, !due || error == 0);
  if (error == 0 || due)
    v->ended = 1;
}

static void end(run *r) {
  unsigned how = script_byte(&r->todo);
  if (r->session_visit[r->place] && !joined_of_session(r)->ended)
    joined_end(r, how * 16777619u, (fcgi_protocol_status)(how % 4));
  else
    need(r, fcgi_session_end(r->session, r->id, 0, FCGI_END_COMPLETE) ==
                FCGI_ERR_STATE);
}

static void stop_draining(run *r) {
  fcgi_session_stop_draining(r->session);
}

static void stop(run *r) {
  fcgi_session_stop(r->session);
}

void joined_finish_input(run *r) {
  params_end(r);
  end_stdin(r);
  end_data(r);
}

/* What a byte of the script stands for; what is needed most stands twice. */
static void (*const calls[])(run *r) = {
    begin,
    params_end,
    joined_to_session,
    answer,
    end,
    joined_to_peer,
    say_stdin,
    end_stdin,
    param,
    promise,
    say_data,
    end_data,
    abort_it,
    get_values,
    complain,
    lend,
    keep,
    write_file,
    stop,
    stop_draining,
    begin,
    joined_to_session,
    joined_to_peer,
    end,
    joined_part,
};

void joined_call(run *r) {
  unsigned byte = script_byte(&r->todo);
  joined_turn_to(r, script_byte(&r->todo) % SCRIPT_IDS);
  calls[byte % (sizeof calls / sizeof *calls)](r);
}
