/* SPDX-License-Identifier: MIT */
/* A peer and a session joined, each called in any order by a script, the bytes
   between them carried in odd pieces. Whatever their calls accept, the other
   side accepts too, and hears it as it was said; when both sides come to an
   end, every request has. Two bytes say how to run, the others are a script. */
#include "fuzz/joined.h"

enum {
  OPTIONS = 2,            /* Bytes before the script. */
  CARRIED_MOST = 2000000, /* Bytes that a run may queue. */
  MOST_FAILURES = 200
};

/* Bits of the first option. */
enum {
  LOSE = 1,          /* The connection is lost at the end. */
  FEW_REQUESTS = 2,  /* The session serves three at once. */
  FEW_PARAMS = 4,    /* The session takes few parameters. */
  PEER_FAILS = 8,    /* It is the peer that runs out of memory. */
  HONOUR_CLOSE = 16, /* The session's wish to close is followed. */
};

static const fcgi_role_spec roles[] = {
    FCGI_ROLE_SPECS,
    {9, FCGI_STREAMS_STDIN_DATA, "both"},
    {10, FCGI_STREAMS_NONE, "none"},
};

/* --- Between the two. */

static void hear_session(run *r, const fcgi_event *event) {
  joined_turn_to_id(r, event->id);
  if (event->type == FCGI_EVENT_REQUEST)
    r->session_visit[r->place] = (uint8_t)visits_serial(event->params);
  if (r->session_visit[r->place])
    visits_check_session(joined_of_session(r), event);
  else
    need(r, event->type == FCGI_EVENT_CLOSE && event->refused);
  if (event->type == FCGI_EVENT_CLOSE)
    r->session_visit[r->place] = VISITS_UNKNOWN;
}

static void take_session(run *r) {
  const fcgi_event *event;
  int result;
  while ((result = fcgi_session_next(r->session, &event)) == 1)
    hear_session(r, event);
  need(r, result == 0);
}

static void hear_peer(run *r, const fcgi_peer_event *event) {
  if (event->type == FCGI_PEER_EVENT_VALUES) {
    fuzz_require(r->asked > 0);
    r->asked--;
    return;
  }
  fuzz_require(event->type != FCGI_PEER_EVENT_UNKNOWN_TYPE);
  joined_turn_to_id(r, event->id);
  visits_check_peer(joined_of_peer(r), event);
  if (joined_of_peer(r)->over)
    r->peer_visit[r->place] = VISITS_UNKNOWN;
}

static void take_peer(run *r) {
  const fcgi_peer_event *event;
  int result;
  while ((result = fcgi_peer_next(r->peer, &event)) == 1)
    hear_peer(r, event);
  need(r, result == 0 || r->parted);
}

/* Of the peer's output, at most `most` bytes: how many. */
static size_t carry_to_session(run *r, size_t most) {
  struct iovec iov;
  if (r->parted || most == 0 || fcgi_peer_output(r->peer, &iov, 1) == 0)
    return 0;
  size_t len = iov.iov_len < most ? iov.iov_len : most;
  uint8_t *piece = fuzz_copy(iov.iov_base, len);
  int error = fcgi_session_feed(r->session, piece, len);
  need(r, error == 0);
  take_session(r);
  free(piece);
  fcgi_peer_output_done(r->peer, len);
  return len;
}

static void hand_to_peer(run *r, const void *data, size_t len) {
  uint8_t *piece = fuzz_copy(data, len);
  need(r, fcgi_peer_feed(r->peer, piece, len) == 0);
  take_peer(r);
  free(piece);
}

static size_t carry_file(run *r, size_t most) {
  uint64_t offset;
  size_t len;
  int fd;
  if (!fcgi_session_output_file(r->session, &fd, &offset, &len))
    return 0;
  if (len > most)
    len = most;
  hand_to_peer(r, visits_bytes(offset), len);
  return len;
}

/* The same of the session's. */
static size_t carry_to_peer(run *r, size_t most) {
  struct iovec iov[5];
  if (r->parted || most == 0)
    return 0;
  if (most > SCRIPT_LONGEST)
    most = SCRIPT_LONGEST;
  size_t done = carry_file(r, most);
  int count = done ? 0 : fcgi_session_output(r->session, iov, 5);
  for (int i = 0; i < count && done < most; i++) {
    size_t len = iov[i].iov_len < most - done ? iov[i].iov_len : most - done;
    hand_to_peer(r, iov[i].iov_base, len);
    done += len;
  }
  fcgi_session_output_done(r->session, done);
  take_session(r);
  return done;
}

void joined_to_session(run *r) {
  carry_to_session(r, script_size(&r->todo));
}

void joined_to_peer(run *r) {
  carry_to_peer(r, script_size(&r->todo));
}

/* The connection is lost, at any byte; what follows from that is taken only
   at the end. */
void joined_part(run *r) {
  r->parted = 1;
  fcgi_session_abort(r->session, FCGI_ABORT_CONNECTION);
  fcgi_peer_close(r->peer);
}

static void obey_close(run *r) {
  unsigned flags = fcgi_session_flags(r->session);
  if (!r->parted && flags & FCGI_SESSION_CLOSE &&
      !(flags & FCGI_SESSION_OUTPUT))
    joined_part(r);
}

/* What is lost says nothing more. */
static void look(run *r) {
  struct iovec iov[4];
  uint64_t offset;
  size_t len;
  int fd;
  if (!r->parted)
    return;
  fuzz_require(fcgi_session_output(r->session, iov, 4) == 0);
  fuzz_require(fcgi_peer_output(r->peer, iov, 1) == 0);
  fuzz_require(!fcgi_session_output_file(r->session, &fd, &offset, &len));
  fuzz_require(!(fcgi_session_flags(r->session) & FCGI_SESSION_OUTPUT));
}

static void play(run *r) {
  while (r->todo.left > 0) {
    joined_call(r);
    if (r->options & HONOUR_CLOSE)
      obey_close(r);
    look(r);
  }
}

/* --- The end. */

static void carry_all(run *r) {
  while (carry_to_session(r, SIZE_MAX) + carry_to_peer(r, SIZE_MAX) > 0)
    ;
}

static void end_all(run *r) {
  for (size_t i = 0; i < SCRIPT_IDS; i++) {
    joined_turn_to(r, i);
    if (r->session_visit[i] && !joined_of_session(r)->ended)
      joined_end(r, 5, FCGI_END_COMPLETE);
  }
}

/* Both sides say all that is missing: then nothing is open on either, though
   DATA that ended too early never ends for the session. */
static void settle(run *r) {
  int disordered = 0;
  for (size_t i = 0; i < SCRIPT_IDS; i++) {
    joined_turn_to(r, i);
    disordered |= joined_of_peer(r)->disordered;
    joined_finish_input(r);
  }
  carry_all(r);
  end_all(r);
  if (disordered)
    fcgi_session_stop_draining(r->session);
  carry_all(r);
  unsigned flags = fcgi_session_flags(r->session);
  need(r, fcgi_peer_flags(r->peer) % FCGI_PEER_CLOSE == 0);
  need(r, !(fcgi_peer_flags(r->peer) & FCGI_PEER_CLOSE) ||
              flags & FCGI_SESSION_CLOSE);
  need(r, !(flags & (FCGI_SESSION_OUTPUT | FCGI_SESSION_ACTIVE |
                     FCGI_SESSION_PARAMS | FCGI_SESSION_DRAINING)));
}

/* Every request was told to be over, once, on both sides. */
static void check_visits(const run *r) {
  for (size_t i = 1; i < r->seen.count; i++) {
    const visit *v = &r->seen.all[i];
    fuzz_require(v->over && v->closed == v->announced);
  }
  fuzz_require(!(fcgi_peer_flags(r->peer) & FCGI_PEER_ACTIVE));
  need(r, !(fcgi_session_flags(r->session) & FCGI_SESSION_ACTIVE));
}

static void finish(run *r) {
  if (!r->parted && !(r->options & LOSE))
    settle(r);
  if (!r->parted)
    joined_part(r);
  take_peer(r);
  take_session(r);
  end_all(r);
  take_session(r);
  check_visits(r);
}

static int start(run *r) {
  fcgi_session_config application = {
      .size = sizeof application,
      .allocator = counting_allocator(&r->session_memory),
      .max_multiplexed = r->options & FEW_REQUESTS ? 3 : 0,
      .limit_params_size = r->options & FEW_PARAMS ? 300 : 0,
      .limit_params = r->options & FEW_PARAMS ? 4 : 0,
      .keep_http_proxy = 1,
      .roles = roles,
      .role_count = sizeof roles / sizeof *roles};
  fcgi_peer_config server = {.size = sizeof server,
                             .allocator = counting_allocator(&r->peer_memory)};
  return fcgi_session_new(&r->session, &application) ||
         fcgi_peer_new(&r->peer, &server);
}

static void one_run(const uint8_t *data, size_t size, long until_failure) {
  run *r = calloc(1, sizeof *r);
  fuzz_require(r != NULL);
  r->todo = (script){data + OPTIONS, size - OPTIONS};
  r->options = data[0];
  r->budget = CARRIED_MOST;
  r->seen.count = 1;
  r->starved = until_failure >= 0;
  r->peer_memory.until_failure = r->session_memory.until_failure = -1;
  *(r->options & PEER_FAILS ? &r->peer_memory.until_failure
                            : &r->session_memory.until_failure) = until_failure;
  if (start(r) == 0) {
    play(r);
    finish(r);
  }
  fcgi_peer_free(r->peer);
  fcgi_session_free(r->session);
  fuzz_require(r->peer_memory.blocks == 0 && r->session_memory.blocks == 0);
  free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < OPTIONS || size > 16384)
    return 0;
  one_run(data, size, -1);
  one_run(data, size, data[1] % MOST_FAILURES);
  return 0;
}
