/* SPDX-License-Identifier: MIT */
#include "params.h"
#include "tool.h"
#include <ctype.h>
#include <fastcgi/version.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *text, size_t len) {
  char *copy = tool_realloc(NULL, len + 1);
  memcpy(copy, text, len);
  copy[len] = '\0';
  return copy;
}

/* The texts are ours, though the public struct only shows them. */
static void drop_text(const char *text) {
  free((void *)(uintptr_t)text);
}

static fcgi_param *find(const tool_params *params, const char *name) {
  for (size_t i = 0; i < params->count; i++)
    if (strcmp(params->at[i].name, name) == 0)
      return &params->at[i];
  return NULL;
}

void tool_params_set(tool_params *params, const char *name, const char *value) {
  fcgi_param *param = find(params, name);
  size_t len = strlen(value);
  char *copy = copy_text(value, len);
  if (param) {
    drop_text(param->value);
  } else {
    params->at =
        tool_realloc(params->at, (params->count + 1) * sizeof *params->at);
    param = &params->at[params->count++];
    param->name_len = strlen(name);
    param->name = copy_text(name, param->name_len);
  }
  param->value = copy;
  param->value_len = len;
}

void tool_params_remove(tool_params *params, const char *name) {
  fcgi_param *param = find(params, name);
  if (!param)
    return;
  drop_text(param->name);
  drop_text(param->value);
  params->count--;
  memmove(param, param + 1,
          (size_t)(params->at + params->count - param) * sizeof *param);
}

void tool_params_apply(tool_params *params, const char *text) {
  const char *equals = strchr(text, '=');
  char *name = copy_text(text, strcspn(text, "="));
  if (equals)
    tool_params_set(params, name, equals + 1);
  else
    tool_params_remove(params, name);
  free(name);
}

const char *tool_params_get(const tool_params *params, const char *name) {
  const fcgi_param *param = find(params, name);
  return param ? param->value : NULL;
}

void tool_params_free(tool_params *params) {
  while (params->count > 0)
    tool_params_remove(params, params->at[0].name);
  free(params->at);
  params->at = NULL;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3875, 4.1.5: PATH_INFO is decoded. %00 stays as it is, for no parameter
   may hold a NUL. */
static void decode_percent(char *text) {
  char *out = text;
  for (; *text; text++, out++) {
    int high = *text == '%' ? hex_digit(text[1]) : -1;
    int low = high >= 0 ? hex_digit(text[2]) : -1;
    *out = *text;
    if (low >= 0 && high + low > 0) {
      *out = (char)(high * 16 + low);
      text += 2;
    }
  }
  *out = '\0';
}

void tool_params_request(tool_params *params, const char *method,
                         const char *uri) {
  size_t path_len = strcspn(uri, "?");
  char *path = copy_text(uri, path_len);
  decode_percent(path);
  tool_params_set(params, "REQUEST_METHOD", method);
  tool_params_set(params, "REQUEST_URI", uri);
  tool_params_set(params, "SCRIPT_NAME", "");
  tool_params_set(params, "PATH_INFO", path);
  tool_params_set(params, "QUERY_STRING",
                  uri[path_len] ? uri + path_len + 1 : "");
  tool_params_set(params, "GATEWAY_INTERFACE", "CGI/1.1");
  tool_params_set(params, "SERVER_PROTOCOL", "HTTP/1.1");
  tool_params_set(params, "SERVER_SOFTWARE", "fcgi/" FCGI_VERSION_TEXT);
  tool_params_set(params, "SERVER_NAME", "localhost");
  tool_params_set(params, "SERVER_ADDR", "127.0.0.1");
  tool_params_set(params, "SERVER_PORT", "80");
  tool_params_set(params, "REMOTE_ADDR", "127.0.0.1");
  tool_params_set(params, "REMOTE_PORT", "0");
  tool_params_set(params, "REQUEST_SCHEME", "http");
  tool_params_set(params, "HTTP_HOST", "localhost");
  free(path);
}

/* RFC 3875, 4.1.18; the two headers that have a parameter of their own. */
static char *param_name(const char *header, size_t len) {
  char *name = tool_realloc(NULL, len + 6);
  size_t skip = strlen("HTTP_");
  memcpy(name, "HTTP_", skip);
  for (size_t i = 0; i < len; i++)
    name[skip + i] =
        (char)(header[i] == '-' ? '_' : toupper((unsigned char)header[i]));
  name[skip + len] = '\0';
  if (strcmp(name + skip, "CONTENT_TYPE") == 0 ||
      strcmp(name + skip, "CONTENT_LENGTH") == 0)
    memmove(name, name + skip, len + 1);
  return name;
}

/* CONTENT_TYPE and CONTENT_LENGTH have one value. */
static void join(tool_params *params, const char *name, const char *value) {
  const char *between = strcmp(name, "HTTP_COOKIE") == 0 ? "; " : ", ";
  const char *before = tool_params_get(params, name);
  size_t len;
  char *both;
  if (!before || strncmp(name, "HTTP_", 5) != 0) {
    tool_params_set(params, name, value);
    return;
  }
  len = strlen(before) + strlen(between) + strlen(value) + 1;
  both = tool_realloc(NULL, len);
  snprintf(both, len, "%s%s%s", before, between, value);
  tool_params_set(params, name, both);
  free(both);
}

int tool_params_header(tool_params *params, const char *header, int again) {
  const char *colon = strchr(header, ':');
  const char *value;
  char *name;
  if (!colon || colon == header)
    return -1;
  value = colon + 1 + strspn(colon + 1, " \t");
  name = param_name(header, (size_t)(colon - header));
  if (again)
    join(params, name, value);
  else
    tool_params_set(params, name, value);
  free(name);
  return 0;
}
