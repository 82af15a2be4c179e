/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of networks that people write: files, and text with commas. */
#pragma once

#include "base/err.h"
#include "netns/netns.h"

/* Adds every network of a file to the set of its family: one a line, "#" starts a
 * comment, blank lines are passed over. An error names file and line; networks of the
 * lines before it may have been added. The sets are not merged. */
must_check int cidr_file_read(const char *path, struct ip_ranges *v4,
			      struct ip_ranges *v6, struct err *e);

/* Adds every network of a list like "10.0.0.0/8, 1.2.3.4" to the set of its family;
 * empty items are passed over. On failure, items before the wrong one may have been
 * added. The sets are not merged. */
must_check int cidr_list_parse(const char *text, struct ip_ranges *v4,
			       struct ip_ranges *v6, struct err *e);
