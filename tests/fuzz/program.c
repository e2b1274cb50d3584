/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/program.h"
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <unistd.h>

static const uint8_t bulk[SCRIPT_LONGEST];

static void forget(program *p, const fcgi_request *request) {
  for (int i = 0; i < PROGRAM_REQUESTS; i++)
    if (p->open[i] == request)
      p->open[i] = NULL;
}

void program_take(program *p, const fcgi_server_event *event) {
  if (event->type == FCGI_EVENT_CLOSE)
    forget(p, event->request);
  if (event->type != FCGI_EVENT_REQUEST)
    return;
  for (int i = 0; i < PROGRAM_REQUESTS; i++)
    if (!p->open[i]) {
      p->open[i] = event->request;
      return;
    }
  fcgi_request_reply(event->request, 503, "text/plain", "full", 4);
}

/* Headers good and bad, of lengths that do and do not hold. */
static size_t headers(script *s, fcgi_header *out) {
#define HEADER(name, value)                                                    \
  { name, sizeof name - 1, value, sizeof value - 1 }
  static const fcgi_header known[] = {HEADER("Content-Type", "text/plain"),
                                      HEADER("Content-Length", "5"),
                                      HEADER("Content-Length", "70000"),
                                      HEADER("Content-Length", "x"),
                                      HEADER("Status", "404 Nope"),
                                      HEADER("Transfer-Encoding", "gzip"),
                                      HEADER("X y", "bad name"),
                                      HEADER("X-Bad", "a\nb"),
                                      HEADER("Variable-USER", "me"),
                                      HEADER("Connection", "close")};
#undef HEADER
  size_t count = script_byte(s) % 4;
  for (size_t i = 0; i < count; i++)
    out[i] = known[script_byte(s) % (sizeof known / sizeof *known)];
  return count;
}

static int status(script *s) {
  static const int all[] = {200, 204, 304, 404, 500, 599, 100, 600};
  return all[script_byte(s) % 8];
}

/* What only looks. */
static void look(fcgi_request *r, script *s) {
  fcgi_header some[4];
  fcgi_path path;
  char why[128];
  size_t len, count = headers(s, some);
  fuzz_require(fcgi_request_id(r) > 0);
  fcgi_request_role(r);
  fuzz_require(fcgi_request_role_name(r) != NULL);
  fuzz_require(fcgi_request_params(r) != NULL);
  fcgi_request_param(r, "REQUEST_METHOD");
  fuzz_require(fcgi_request_content_length(r) >= -1);
  fuzz_require(fcgi_request_data_length(r) >= -1);
  fuzz_require(fcgi_request_data_modified(r) >= -1);
  if (fcgi_request_path(r, &path) == 0)
    fuzz_require(path.script_name_len + path.path_info_len >= path.path_len);
  fcgi_request_raw_path(r, &len);
  fcgi_request_script_filename(r, &len);
  fcgi_request_check_answer(r, status(s), some, count, script_byte(s) - 1, why,
                            sizeof why);
  fcgi_request_set_user_data(r, r);
  fuzz_require(fcgi_request_user_data(r) == r);
  fcgi_request_set_timeout(r, script_byte(s) % 8 == 0 ? 1 : FCGI_WAIT_NEVER);
  fuzz_require(fcgi_request_aborted(r) <= FCGI_ABORT_DEADLINE);
}

static void read_some(fcgi_request *r, script *s, int data) {
  static char room[SCRIPT_LONGEST];
  size_t len = script_size(s);
  ptrdiff_t got = data ? fcgi_request_read_data(r, room, len)
                       : fcgi_request_read(r, room, len);
  fuzz_require(got <= (ptrdiff_t)len);
}

static void write_slices(fcgi_request *r, script *s) {
  struct iovec slices[3];
  size_t all = 0;
  for (int i = 0; i < 3; i++) {
    slices[i].iov_base = (void *)(uintptr_t)bulk;
    slices[i].iov_len = script_size(s);
    all += slices[i].iov_len;
  }
  fuzz_require(fcgi_request_writev(r, slices, 3) <= (ptrdiff_t)all);
}

static void send_file(fcgi_request *r, script *s) {
  static const char *const names[] = {"/proc/self/maps", "/dev/null",
                                      "/proc/self/exe"};
  int fd = open(names[script_byte(s) % 3], O_RDONLY | O_CLOEXEC);
  uint64_t offset = script_size(s), len = script_size(s);
  if (fd < 0)
    return;
  fcgi_file_rest(fd, offset);
  fcgi_request_send_file(r, fd, offset, len == 0 ? FCGI_TO_END : len);
  close(fd);
}

/* Calls after which the handle lives. */
static void use(fcgi_request *r, script *s, int what) {
  static const char raw[] = "Content-Type: text/plain\r\nX: y\r\n\r\nbody";
  fcgi_header some[4];
  size_t len, count;
  switch (what) {
  case 0:
    look(r, s);
    break;
  case 1:
  case 2:
    read_some(r, s, what == 2);
    break;
  case 3:
    count = headers(s, some);
    fcgi_request_start(r, status(s), some, count);
    break;
  case 4:
    len = script_size(s);
    fuzz_require(fcgi_request_write(r, bulk, len) <= (ptrdiff_t)len);
    break;
  case 5: /* A head of the script's own. */
    len = script_byte(s) % sizeof raw;
    fcgi_request_write(r, raw, len);
    break;
  case 6:
    write_slices(r, s);
    break;
  case 7:
    fcgi_request_write_stderr(r, "a message\n", 1 + script_byte(s) % 10);
    break;
  case 8:
    send_file(r, s);
    break;
  default:
    fcgi_request_flush(r);
  }
}

/* Calls that end it. */
static void leave(fcgi_request *r, script *s) {
  fcgi_header some[4];
  size_t count = headers(s, some), len = script_size(s);
  uint8_t what = script_byte(s);
  if (what & 128)
    fcgi_request_gather(r);
  switch (what % 6) {
  case 0:
    fcgi_request_end(r, what);
    break;
  case 1:
    fcgi_request_reply(r, status(s), what & 64 ? NULL : "text/html", bulk, len);
    break;
  case 2:
    fcgi_request_respond(r, status(s), some, count, bulk, len);
    break;
  case 3:
    fcgi_request_allow(r, some, count);
    break;
  case 4:
    fcgi_request_fail(r);
    break;
  default:
    fcgi_request_conclude(r);
  }
}

void program_call(program *p, script *s) {
  uint8_t what = script_byte(s);
  fcgi_request *r = p->open[what >> 5];
  if (!r)
    return;
  if ((what & 29) == 29)
    kept_call(p->kept, r, s);
  else if ((what & 31) < 10)
    use(r, s, what & 31);
  else if (what & 1)
    use(r, s, what % 10);
  else {
    leave(r, s);
    forget(p, r);
  }
}

void program_end_all(program *p) {
  for (int i = 0; i < PROGRAM_REQUESTS; i++)
    if (p->open[i]) {
      fcgi_request_end(p->open[i], 0);
      p->open[i] = NULL;
    }
}

static void fail_all_of(fcgi_request *r, int error) {
  char text[8];
  int reason = (int)fcgi_request_aborted(r);
  fuzz_require(fcgi_request_read(r, text, sizeof text) == error);
  fuzz_require(fcgi_request_read_data(r, text, sizeof text) == error);
  fuzz_require(fcgi_request_start(r, 200, NULL, 0) == error);
  fuzz_require(fcgi_request_write(r, text, 1) == error);
  fuzz_require(fcgi_request_write_stderr(r, "x", 1) == error);
  fuzz_require(fcgi_request_send_file(r, 0, 0, 1) == error);
  fuzz_require(fcgi_request_flush(r) == error);
  fuzz_require(fcgi_request_reply(r, 200, NULL, "", 0) == error);
  fuzz_require(fcgi_request_respond(r, 200, NULL, 0, "", 0) == error);
  fuzz_require(fcgi_request_allow(r, NULL, 0) == error);
  fuzz_require(fcgi_request_conclude(r) == error);
  fuzz_require(fcgi_request_fail(r) == error);
  fuzz_require(fcgi_request_end(r, 0) == error);
  fuzz_require((int)fcgi_request_aborted(r) == reason);
  fuzz_require(fcgi_request_params(r) != NULL);
}

void program_fail_all(program *p, int error) {
  for (int i = 0; i < PROGRAM_REQUESTS; i++)
    if (p->open[i])
      fail_all_of(p->open[i], error);
}
