/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/blocklist.h"
#include "netns/blocklist_tables.h"

#define TABLE(ranges)                                      \
	{                                                  \
		ranges, sizeof(ranges) / sizeof(*(ranges)) \
	}

const struct blocklist blocklist_deny4 = TABLE(deny4);
const struct blocklist blocklist_except6 = TABLE(except6);
const struct blocklist blocklist_platform4 = TABLE(platform4);
const struct blocklist blocklist_platform6 = TABLE(platform6);
