/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `carrel run`. */
#pragma once

#include <stdbool.h>

#include "runtime/runtime.h"
#include "tools/environment.h"
#include "tools/options.h"
#include "tools/policy_file.h"

enum {
	LABELS_MAX = 64,
	LABEL_NAME_MAX = 255, /* bytes; what result.c has room for */
};

struct run_args {
	struct spec spec;
	struct environment env;
	const char *config_path;
	const char *policy_path;
	struct policy_asked asked;
	const char *network_option; /* one that needs --network egress */
	const char *local_option; /* one that carreld cannot be asked for */
	const char *host; /* carreld's socket; NULL: not named */
	char resolv_conf[NETNS_DNS_MAX * (IP_TEXT_MAX + 16)];
	const char *workspace;
	uint64_t max_duration_ms;
	int result_fd;
	const char *result_file;
	char *labels[LABELS_MAX + 1];
	unsigned label_count;
	bool help;
};

/* The table, for a struct run_args as context. */
extern const struct option_row run_options[];
