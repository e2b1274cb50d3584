/* SPDX-License-Identifier: MIT */
/* Hello as a CGI program. */
#include <stdio.h>

int main(void) {
  fputs("Content-Type: text/plain\r\n\r\nHello\n", stdout);
  return 0;
}
