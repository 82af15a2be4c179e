/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf(5), read and written. */
#pragma once

#include <stddef.h>

#include "netns/ip.h"

/* Finds the nameservers in the text that something else than this host answers for: those
 * on loopback addresses are passed over, and so are link-local ones, whose zone is the
 * host's. At most `max`; returns how many. */
unsigned resolver_parse(const char *text, struct ip *ret, unsigned max);

/* Writes a resolv.conf that names them. −ENAMETOOLONG when it does not fit. */
must_check int resolver_format(char *buf, size_t size, const struct ip *list,
			       unsigned count);
