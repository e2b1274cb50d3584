/* SPDX-License-Identifier: MIT */
/* What the map says of the fields of configurations. */
#ifndef FCGI_OPTIONS_CONFIG_H
#define FCGI_OPTIONS_CONFIG_H

#include "options/table.h"

/* The first field that is out of its range, or NULL; fields of 0 are not set.
 */
const fcgi_option *fcgi__server_config_wrong(const fcgi_server_config *config);
const fcgi_option *
fcgi__supervisor_config_wrong(const fcgi_supervisor_config *config);

/* Fill the fields of 0 by the environment, which lends its texts, and then by
   the default of the option: 0, or FCGI_ERR_INVALID with one line in `why`
   about a variable whose value is none of the option's. */
int fcgi__server_config_fill(fcgi_server_config *config, char *why, size_t len);

/* The same by the defaults alone. */
void fcgi__supervisor_config_fill(fcgi_supervisor_config *config);

#endif
