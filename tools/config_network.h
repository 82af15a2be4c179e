/* SPDX-License-Identifier: Apache-2.0 */
/* Section [network] of the configuration, and what follows from it for a sandbox. */
#pragma once

#include "base/err.h"
#include "runtime/runtime.h"
#include "tools/config.h"
#include "tools/ini_file.h"

/* The keys of the section. An entry without a key ends the table. */
extern const struct ini_row config_network_rows[];

/* Completes what the file left open: merges the lists, and takes the host's resolvers if
 * none were named. Only where the network is used: it reads files. */
void config_network_finish(struct config *c);

/* The sandbox's /etc/resolv.conf: the resolvers that it can reach. */
must_check int config_network_resolv_conf(const struct config *c,
					  const struct netns_plan *plan, char *buf,
					  size_t size, struct err *e);
