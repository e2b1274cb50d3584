/* SPDX-License-Identifier: MIT */
/* The numbers of FastCGI 1.0 (specification, section 8). Their names differ
   from libfcgi's, so that one program can include both. */
#ifndef FASTCGI_PROTOCOL_H
#define FASTCGI_PROTOCOL_H

enum {
  FCGI_WIRE_VERSION = 1,       /* The version byte of every record. */
  FCGI_RECORD_HEADER = 8,      /* Bytes in a record header. */
  FCGI_RECORD_CONTENT = 65535, /* The most content one record can carry. */
  FCGI_BEGIN_KEEP = 1          /* BEGIN_REQUEST flag: keep the connection. */
};

/* Record types (3.3). Types 1, 4, 5, 8 and 2 come from the web server. */
typedef enum fcgi_record_type {
  FCGI_RECORD_BEGIN_REQUEST = 1,
  FCGI_RECORD_ABORT_REQUEST = 2,
  FCGI_RECORD_END_REQUEST = 3,
  FCGI_RECORD_PARAMS = 4,
  FCGI_RECORD_STDIN = 5,
  FCGI_RECORD_STDOUT = 6,
  FCGI_RECORD_STDERR = 7,
  FCGI_RECORD_DATA = 8,
  FCGI_RECORD_GET_VALUES = 9,
  FCGI_RECORD_GET_VALUES_RESULT = 10,
  FCGI_RECORD_UNKNOWN_TYPE = 11
} fcgi_record_type;

/* Streams of a request, numbered like the records that carry them. */
typedef enum fcgi_stream {
  FCGI_STREAM_STDIN = 5,
  FCGI_STREAM_STDOUT = 6,
  FCGI_STREAM_STDERR = 7,
  FCGI_STREAM_DATA = 8
} fcgi_stream;

/* What the web server asks a request to be (5.1, 6). */
typedef enum fcgi_role {
  FCGI_ROLE_RESPONDER = 1,
  FCGI_ROLE_AUTHORIZER = 2,
  FCGI_ROLE_FILTER = 3
} fcgi_role;

/* How the protocol ended a request (5.5). */
typedef enum fcgi_protocol_status {
  FCGI_END_COMPLETE = 0,
  FCGI_END_CANT_MPX = 1,
  FCGI_END_OVERLOADED = 2,
  FCGI_END_UNKNOWN_ROLE = 3
} fcgi_protocol_status;

#endif
