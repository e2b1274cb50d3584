/* SPDX-License-Identifier: MIT */
/* What the map says of the fields of configurations. */
#ifndef FCGI_OPTIONS_CONFIG_H
#define FCGI_OPTIONS_CONFIG_H

#include "options/table.h"

/* Says which value of the environment is ignored, in one line. */
typedef void (*fcgi__ignored_fn)(void *data, const char *line);

/* The first field that is out of its range, or NULL; fields of 0 are not set.
 */
const fcgi_option *fcgi__server_config_wrong(const fcgi_server_config *config);
const fcgi_option *
fcgi__supervisor_config_wrong(const fcgi_supervisor_config *config);

/* Fill the fields of 0 by the environment and then by the default of the
   option; `ignored` may be NULL. Texts are lent by the environment. */
void fcgi__server_config_fill(fcgi_server_config *config,
                              fcgi__ignored_fn ignored, void *data);

/* The same by the defaults alone. */
void fcgi__supervisor_config_fill(fcgi_supervisor_config *config);

#endif
