/* SPDX-License-Identifier: MIT */
/* The framing of STDERR. */
#include "support/dialogue.h"

#include <fastcgi/record.h>

/* What keeps HAProxy 2.6.12 from crashing: see pad_of_type in output.c. */
static void test_stderr_is_padded(void **state) {
  dialogue *d = *state;
  static char bytes[20000];
  records_open(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  for (size_t len = 1; len <= sizeof bytes; len += len < 64 ? 1 : 1237) {
    d->wire.len = 0;
    fcgi_session_write(d->session, 1, FCGI_STREAM_STDERR, bytes, len);
    dialogue_send(d);
    for (size_t at = 0; at < d->wire.len;) {
      fcgi_record record;
      fcgi_record_decode(&record, d->wire.data + at);
      at += (size_t)FCGI_RECORD_HEADER + record.content_len;
      assert_int_equal(record.type, FCGI_RECORD_STDERR);
      assert_in_range(record.content_len, 1, 4092);
      assert_in_range(record.padding_len, 1, 8);
      at += record.padding_len;
      assert_int_equal(at % 8, 0);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_stderr_is_padded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
