/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands that ask carreld for something have in common. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/client.h"
#include "tools/environment.h"
#include "tools/options.h"

/* What the options of any of them say. */
struct verb_args {
	const char *host;
	bool help, json, quiet;
	bool all; /* ps: stopped ones too */
	bool force; /* rm */
	bool remove; /* shutdown: forget them too */
	bool keep; /* wait: do not forget the result */
	bool follow, standard_error; /* logs */
	bool once; /* stats, events: no stream */
	uint64_t offset; /* logs */
	uint64_t grace_ms; /* stop */
	bool grace_given;
	int signal; /* kill */
	int status; /* what to exit with unless something fails */
};

/* One subcommand. */
struct verb {
	const char *name;
	const char *words; /* behind its options, as the help shows them */
	const char *text; /* what it does, in lines of less than 80 columns */
	const struct option_row *options;
	unsigned least, most; /* words; `act` checks those behind */
	/* Does it, with the connection. */
	int (*act)(struct verb_args *a, struct client_link *c, char **words,
		   struct err *e);
	/* Or: does it to one sandbox. A failure is reported, and the next is done. */
	int (*each)(struct verb_args *a, struct client_link *c, const char *name,
		    struct err *e);
};

enum { VERB_WORDS_ANY = 1000000 };

/* Options, help, connection, action, and the error line. Returns the exit status. The
 * context of the options is `a`, which may be the first member of something larger. */
int verb_main(const struct verb *verb, struct verb_args *a, char **argv);

/* The error line. Nothing that it quotes can move the cursor or fake a line (E-38). */
void verb_complain(const char *verb, const struct err *e);

/* {"name": name}, or NULL without memory. */
json_t *verb_named(const char *name);

/* {"name": name, "exec": exec}, or NULL without memory. */
json_t *verb_exec_named(const char *name, const char *exec);

/* Prints an object or array (taken, NULL: −ENOMEM) on one line, or as people read it. */
must_check int verb_print_json(json_t *value, bool pretty, struct err *e);

/* Is it text that JSON can carry? `what` names it in the error. */
must_check int verb_check_utf8(const char *what, const char *text, struct err *e);

/* Ensure's and Exec's limits; 0: not asked for. */
struct verb_limits {
	uint64_t memory, cpu_milli, pids;
};

/* Adds a member if there is something to say; 0 or −1 as jansson has it. */
int verb_add_int(json_t *object, const char *key, uint64_t value);
int verb_add_text(json_t *object, const char *key, const char *text);
int verb_add_limits(json_t *object, const struct verb_limits *limits);

/* Adds NAME=VALUE strings as an object (`env`, `labels`). `what` names them. */
must_check int verb_add_pairs(json_t *object, const char *key, const char *what,
			      char *const *pairs, struct err *e);

/* Adds an array of strings. `what` names them. */
must_check int verb_add_words(json_t *object, const char *key, const char *what,
			      char *const *words, struct err *e);

/* Parses a limit that is not "unlimited": those carreld does not give. */
int verb_limit(const char *value, int (*parse)(const char *, uint64_t *),
	       const char *example, uint64_t *ret, struct err *e);

/* Setters of rows; the context is a struct verb_args. */
int verb_set_host(void *context, char *value, struct err *e);
int verb_set_help(void *context, char *value, struct err *e);
int verb_set_format(void *context, char *value, struct err *e);
int verb_set_quiet(void *context, char *value, struct err *e);
int verb_set_once(void *context, char *value, struct err *e);

/* Rows that end each table. */
#define VERB_HOST_ROW                                                           \
	{                                                                       \
		"host", 0, "unix://PATH", "carreld's socket (" CLIENT_HOST ")", \
			verb_set_host                                           \
	}
#define VERB_HELP_ROW                                          \
	{                                                      \
		"help", 'h', NULL, "print this", verb_set_help \
	}
#define VERB_LAST_ROW                     \
	{                                 \
		NULL, 0, NULL, NULL, NULL \
	}
#define VERB_FORMAT_ROW                                                               \
	{                                                                             \
		"format", 0, "table|json", "how to print it (table)", verb_set_format \
	}
