/* SPDX-License-Identifier: MIT */
/* Lines of a case's `events` and `answer` sections as the text of a dialogue
   (support/dialogue.h). */
#ifndef CONFORMANCE_EXPECT_H
#define CONFORMANCE_EXPECT_H

#include "support/records.h"

/* Append the text of `line` to `text`. Fails the test when it is wrong. */
void expect_line(records *text, const char *line);

/* The head and body of the answers that fixtures and the session give. */
void expect_http(records *text, unsigned status, const void *body, size_t len);

#endif
