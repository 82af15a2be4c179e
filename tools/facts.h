/* SPDX-License-Identifier: Apache-2.0 */
/* What is in force, a setting a row with where it comes from: for people, and as JSON. */
#pragma once

#include <jansson.h>

#include "base/str.h"
#include "netns/netns.h"
#include "policy/policy.h"
#include "tools/table.h"

#define FACTS_DEFAULT "default" /* no file says otherwise */
#define FACTS_FIXED   "always" /* nothing can change it */

/* Settings under construction. */
struct facts {
	struct table table;
	json_t *settings; /* {key: {"value": …, "from": …}} */
	const char *from; /* of what is added next */
	bool failed; /* there was no memory for one */
};

/* Starts without any. They are for facts_free(). */
struct facts facts_begin(void);
void facts_free(struct facts *f);

/* Adds a setting: text for people, value (taken) for programs. */
void facts_add(struct facts *f, const char *key, const char *text, json_t *value);

/* Values as the configuration has them; 0 is unlimited or never: null in JSON. */
void facts_add_size(struct facts *f, const char *key, uint64_t bytes);
void facts_add_cpus(struct facts *f, const char *key, uint64_t milli);
void facts_add_count(struct facts *f, const char *key, uint64_t count);
void facts_add_time(struct facts *f, const char *key, uint64_t ms);

/* Lists. People get no more than the first ones, and how many there are. */
void facts_add_ranges(struct facts *f, const char *key, const struct ip_ranges *v4,
		      const struct ip_ranges *v6);
void facts_add_exceptions(struct facts *f, const char *key, const struct cidr_port *list,
			  unsigned count);
void facts_add_texts(struct facts *f, const char *key, char *const *texts);

/* What no sandbox is without: ulimits, capabilities, system calls. */
void facts_add_locks(struct facts *f, const struct rlimit_list *rlimits);

/* "512m", "2g": as the configuration has sizes and times. Into *s. */
void facts_size_text(struct str *s, uint64_t bytes);
void facts_cpus_text(struct str *s, uint64_t milli);
void facts_count_text(struct str *s, uint64_t count);
void facts_time_text(struct str *s, uint64_t ms);

/* Prints all: a table, or one object with the members of `object` (taken) and
 * "settings". */
must_check int facts_print(struct facts *f, json_t *object, bool json, struct err *e);
