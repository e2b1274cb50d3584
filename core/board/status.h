/* SPDX-License-Identifier: MIT */
/* The status page, and how a scoreboard becomes text. */
#ifndef FCGI_BOARD_STATUS_H
#define FCGI_BOARD_STATUS_H

#include "board/scoreboard.h"
#include <fastcgi/params.h>
#include <fastcgi/status.h>

/* A handler that works on a request for longer is shown as hanging. It is a
   macro because the script of the page holds it as text. */
#define FCGI__HUNG_US 10000000

/* A text that grows, of the C library's malloc. */
typedef struct fcgi__text {
  char *data; /* With a NUL; NULL at first. */
  size_t len; /* Bytes without the NUL. */
  size_t cap; /* Bytes there is room for. */
  int failed; /* 1: no memory; what was to be added is lost. */
} fcgi__text;

void fcgi__text_bytes(fcgi__text *text, const char *data, size_t len);
__attribute__((format(printf, 2, 3))) void
fcgi__text_add(fcgi__text *text, const char *format, ...);
/* Between quotes, escaped for JSON; and escaped for HTML. Bytes that are no
   ASCII become U+FFFD and "?". */
void fcgi__text_json(fcgi__text *text, const char *value);
void fcgi__text_html(fcgi__text *text, const char *value);

/* As it is, but with "?" for bytes that could move the cursor of a terminal. */
void fcgi__text_plain(fcgi__text *text, const char *value);

/* What lies behind the structs that users see, which are their first members.
 */
typedef struct fcgi__status_request {
  fcgi_status_request shown;       /* Its texts are the next two fields. */
  char method[FCGI__BOARD_METHOD]; /* The method, with a NUL. */
  char path[FCGI__BOARD_PATH];     /* The path, with a NUL. */
} fcgi__status_request;

typedef struct fcgi__status_resource {
  fcgi_status_resource shown;        /* Its text is the next field. */
  char name[FCGI__BOARD_NAME];       /* The name, with a NUL. */
  uint64_t counts[FCGI__ROW_COUNTS]; /* As in a row. */
} fcgi__status_resource;

typedef struct fcgi__status_worker {
  fcgi_status_worker shown;              /* What users see. */
  const fcgi__status_request *requests;  /* Its open requests. */
  fcgi__status_resource *resources;      /* What its resources do. */
  uint64_t values[FCGI_METRICS];         /* By fcgi_metric. */
  uint64_t latency[FCGI__BOARD_BUCKETS]; /* Requests in each bucket. */
} fcgi__status_worker;

typedef struct fcgi__status {
  fcgi_status shown;                       /* What users see. */
  uint64_t events[FCGI_SUPERVISED_EVENTS]; /* By fcgi_supervised. */
  fcgi__status_worker total;               /* All workers, former ones too. */
  fcgi__status_worker *workers;            /* Those that live. */
  fcgi__status_request *requests;          /* The requests of all workers. */
  fcgi__status_resource *resources;        /* Those of the total, and then of
                                              each worker. */
  fcgi__status_resource *next_resource;    /* Where the next worker's go. */
} fcgi__status;

static inline const fcgi__status_worker *
fcgi__status_inside(const fcgi_status_worker *worker) {
  return (const fcgi__status_worker *)(const void *)worker;
}

/* What the tables of names hold. */
typedef struct fcgi__metric_text {
  const char *key;    /* Name in JSON. */
  const char *family; /* Name in OpenMetrics. */
  const char *label;  /* Label in OpenMetrics, or "". */
  int is_gauge;       /* 1: may go down. */
  const char *help;   /* One sentence. */
} fcgi__metric_text;

const fcgi__metric_text *fcgi__metric_at(unsigned value);
const char *fcgi__supervised_key(unsigned event);
const char *fcgi__supervised_help(unsigned event);
const char *fcgi__worker_state_key(unsigned state);
const char *fcgi__phase_key(unsigned phase);

/* Copy a scoreboard: bytes that fcgi_status_parse takes. NULL without memory.
 */
char *fcgi__board_copy(const fcgi__board *board, size_t *len);

/* One format each. */
void fcgi__status_text(fcgi__text *out, const fcgi_status *status);
void fcgi__status_openmetrics(fcgi__text *out, const fcgi_status *status);
void fcgi__status_html(fcgi__text *out, const fcgi_status *status);
void fcgi__status_json(fcgi__text *out, const fcgi_status *status);
void fcgi__status_json_full(fcgi__text *out, const fcgi_status *status);
void fcgi__status_fpm(fcgi__text *out, const fcgi_status *status);
void fcgi__status_fpm_full(fcgi__text *out, const fcgi_status *status);
void fcgi__status_xml(fcgi__text *out, const fcgi_status *status);
void fcgi__status_xml_full(fcgi__text *out, const fcgi_status *status);

/* Room for what a scoreboard of so many slots has: 0, or -1. Then what is in
   the rows of a worker, or of former ones for NULL, which goes to the total
   too. */
int fcgi__status_make_room(fcgi__status *status, size_t slots);
void fcgi__status_read_rows(fcgi__status *status, fcgi__status_worker *worker,
                            const fcgi__board_row rows[FCGI__BOARD_ROWS]);

/* What is shown of resources, in each format; nothing where there are none. */
void fcgi__resources_text(fcgi__text *out, const fcgi_status *status);
void fcgi__resources_openmetrics(fcgi__text *out, const fcgi_status *status);
void fcgi__resources_html(fcgi__text *out, const fcgi_status *status);
void fcgi__resources_json(fcgi__text *out, const fcgi_status_worker *worker);

/* The lines of OpenMetrics that describe a family. */
void fcgi__text_family(fcgi__text *out, const char *name, const char *type,
                       const char *help);

/* Everything, as one JSON object. */
void fcgi__status_members(fcgi__text *out, const fcgi_status *status);

/* Whether the handler of a request seems to hang. */
int fcgi__status_is_hung(const fcgi_status_request *request);

/* The oldest open request of a worker that a handler works on, or NULL. */
const fcgi_status_request *
fcgi__status_oldest(const fcgi_status_worker *worker);

/* The page around what changes: before it, and after it. */
const char *fcgi__status_page_head(void);
const char *fcgi__status_page_foot(void);

/* How a client gets the status. */
typedef struct fcgi__status_choice {
  const char *type;          /* Content-Type of the answer. */
  fcgi_status_format format; /* What the answer holds. */
} fcgi__status_choice;

/* The format that a request asks for, by its query and by what it accepts. */
fcgi__status_choice fcgi__status_choose(const fcgi_params *params);

/* The text of a scoreboard in one format; `*out` is the caller's to free(3). 0,
   or an error. */
int fcgi__board_render(const fcgi__board *board, fcgi_status_format format,
                       char **out, size_t *len);

/* Make the status that a scoreboard holds. */
int fcgi__status_of_board(fcgi_status **out, const fcgi__board *board);

#endif
