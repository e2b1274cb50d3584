/* SPDX-License-Identifier: MIT */
#include <fastcgi/error.h>

const char *fcgi_error_text(int code) {
  if (code >= 0)
    return "success";
  switch (code) {
#define TEXT(name, number, text)                                               \
  case number:                                                                 \
    return text;
    FCGI_ERROR_MAP(TEXT)
#undef TEXT
  default:
    return "unknown error";
  }
}

const char *fcgi_error_name(int code) {
  if (code >= 0)
    return "OK";
  switch (code) {
#define NAME(name, number, text)                                               \
  case number:                                                                 \
    return #name;
    FCGI_ERROR_MAP(NAME)
#undef NAME
  default:
    return "UNKNOWN";
  }
}
