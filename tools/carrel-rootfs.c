/* SPDX-License-Identifier: Apache-2.0 */
/* carrel-rootfs: the store of root directories. `carrel rootfs` runs it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "policy/policy.h"
#include "runtime/runtime.h"
#include "tools/carrel-rootfs.h"
#include "tools/config.h"
#include "tools/human.h"
#include "tools/options.h"
#include "tools/table.h"
#include "tools/value.h"

#define SIZE_DEFAULT  (10ull << 30)
#define FILES_DEFAULT 1000000ull

enum { DIGEST_SHOWN = sizeof("sha256:") - 1 + 12 };

/* --- options ----------------------------------------------------------------------- */

static int set_store(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	a->store = value;
	return *value == '/' ? 0 : err_say(e, EINVAL, "expected an absolute path");
}

static int set_config(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	(void)e;
	a->config_path = value;
	return 0;
}

static int set_replace(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	(void)value;
	(void)e;
	a->replace = true;
	return 0;
}

static int set_max_size(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	if (num_parse_size(value, &a->limits.bytes) < 0 || a->limits.bytes == 0 ||
	    a->limits.bytes > INT64_MAX)
		return err_say(e, EINVAL, "\"%.40s\" is not a size such as 10g", value);
	return 0;
}

static int set_max_files(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	if (num_parse(value, 1, 1000000000, &a->limits.files) < 0)
		return err_say(e, EINVAL, "\"%.40s\" is not a number of 1 to 1000000000",
			       value);
	return 0;
}

static int set_format(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	if (strcmp(value, "table") != 0 && strcmp(value, "json") != 0)
		return err_say(e, EINVAL, "\"%.40s\" is neither table nor json", value);
	a->json = !strcmp(value, "json");
	return 0;
}

static int set_quiet(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	(void)value;
	(void)e;
	a->quiet = true;
	return 0;
}

static int set_help(void *context, char *value, struct err *e)
{
	struct rootfs_args *a = context;

	(void)value;
	(void)e;
	a->help = true;
	return 0;
}

static const struct option_row options[] = {
	{ "replace", 0, NULL, "import: in place of the one that has the name",
	  set_replace },
	{ "max-size", 0, "SIZE", "import: bytes that it may have at most (10g)",
	  set_max_size },
	{ "max-files", 0, "N", "import: files that it may have at most (1000000)",
	  set_max_files },
	{ "format", 0, "table|json", "how to print it (table)", set_format },
	{ "quiet", 'q', NULL, "print names only", set_quiet },
	{ "store", 0, "DIR", "the store (" STORE_DIR ")", set_store },
	{ "config", 0, "FILE", "configuration (" CONFIG_PATH ")", set_config },
	{ "help", 'h', NULL, "print this", set_help },
	{ NULL, 0, NULL, NULL, NULL },
};

/* --- printing ---------------------------------------------------------------------- */

static int print_json(const struct about *about, const char *name, struct err *e)
{
	json_t *object = about_object(about, name);
	auto_free char *text =
		object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(object);
	if (!text)
		return err_set(e, ENOMEM, "describe %s", name);
	printf("%s\n", text);
	return 0;
}

static void print_left_out(uint64_t count, const char *what)
{
	if (count)
		printf(", %" PRIu64 " %s left out", count, what);
}

static int print_import(const struct rootfs_args *a, const struct about *about,
			const char *name, struct err *e)
{
	const struct unpack_counts *c = &about->counts;
	char size[HUMAN_MAX];

	if (a->json)
		return print_json(about, name, e);
	printf("%s", name);
	if (!a->quiet) {
		printf(": %s, %" PRIu64 " files, %s", about_source_name(about->source),
		       c->files, human_size(size, c->bytes));
		print_left_out(c->devices, "devices");
		print_left_out(c->specials, "other special files");
		print_left_out(c->unreadable, "unreadable files");
	}
	printf("\n");
	return 0;
}

/* --- what there is to do ----------------------------------------------------------- */

static int act_import(const struct rootfs_args *a, const char *path, char **words,
		      int *ret_status, struct err *e)
{
	struct about about = { 0 };
	int ended_by = 0, r = import(path, a, words[0], words[1], &about, &ended_by, e);

	if (r == 0)
		r = print_import(a, &about, words[0], e);
	if (ended_by)
		*ret_status = RUN_STATUS_SIGNAL + ended_by;
	about_free(&about);
	return r;
}

/* What is printed for one after the other. */
struct list {
	const struct rootfs_args *args;
	struct table table;
};

static int list_one(void *context, const char *name, int dir, struct err *e)
{
	struct list *l = context;
	char size[HUMAN_MAX], time[HUMAN_MAX], files[24], digest[DIGEST_SHOWN + 1];
	struct about about = { 0 };
	struct err ignored;
	int r = 0;

	if (l->args->quiet) {
		printf("%s\n", name);
		return 0;
	}
	/* One that somebody has damaged is there all the same. */
	err_ignore(about_read(dir, &about, &ignored) < 0);
	if (l->args->json) {
		r = print_json(&about, name, e);
	} else {
		bug_on(str_format(files, sizeof(files), "%" PRIu64, about.counts.files) <
		       0);
		bug_on(str_format(digest, sizeof(digest), "%.*s", DIGEST_SHOWN,
				  about.digest) < 0);
		table_add(&l->table,
			  (const char *[]){ name, about_source_name(about.source), files,
					    human_size(size, about.counts.bytes),
					    human_time(time, (int64_t)about.created),
					    digest });
	}
	about_free(&about);
	return r;
}

/* A store that is not there is an empty one. */
static int act_ls(const struct rootfs_args *a, const char *path, char **words,
		  int *ret_status, struct err *e)
{
	static const char *const heads[] = { "NAME",    "SOURCE", "FILES", "SIZE",
					     "CREATED", "DIGEST", NULL };
	struct list l = { .args = a, .table = table_over(heads) };
	auto_fd store = -1;
	int r = store_open(path, false, &store, e);

	(void)words;
	(void)ret_status;
	if (r == 0)
		r = store_sweep(store, e);
	if (r == 0)
		r = store_each(store, list_one, &l, e);
	else if (r == -ENOENT)
		r = 0;
	if (r == 0 && !a->json && !a->quiet)
		r = table_print(&l.table, e);
	table_free(&l.table);
	return r;
}

static void complain(const struct err *e)
{
	char shown[4 * sizeof(e->msg)];

	fprintf(stderr, "carrel: rootfs: %s\n", str_escape(shown, sizeof(shown), e->msg));
}

/* One after the other; a failure is told, and the next is done. */
static int act_rm(const struct rootfs_args *a, const char *path, char **words,
		  int *ret_status, struct err *e)
{
	auto_fd store = -1;
	int r = store_open(path, false, &store, e);

	(void)a;
	if (r == 0)
		r = store_sweep(store, e);
	if (r < 0)
		return r;
	for (; *words; words++) {
		struct err one;

		if (store_remove(store, *words, &one) == 0) {
			printf("%s\n", *words);
			continue;
		}
		err_wrap(&one, "rm: %.80s", *words);
		complain(&one);
		*ret_status = RUN_STATUS_FAILED;
	}
	return 0;
}

static const struct verb {
	const char *name, *words, *help;
	unsigned least, most;
	bool keeps_caps; /* until it has a child */
	int (*act)(const struct rootfs_args *a, const char *path, char **words,
		   int *ret_status, struct err *e);
} verbs[] = {
	{ "ls", "", "list them", 0, 0, false, act_ls },
	{ "import", "NAME SOURCE",
	  "make one from an archive, an image, or a directory (-: standard input)", 2, 2,
	  true, act_import },
	{ "rm", "NAME...", "remove those that no sandbox uses", 1, ~0U, false, act_rm },
};

static void print_help(void)
{
	printf("Usage: carrel rootfs ls|import|rm [OPTIONS] [NAME...]\n\n"
	       "Root directories that sandboxes can have by name, as in carrel run "
	       "--rootfs NAME.\n\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		char left[64];

		bug_on(str_format(left, sizeof(left), "%s %s", verbs[i].name,
				  verbs[i].words) < 0);
		printf("  %-30s %s\n", left, verbs[i].help);
	}
	printf("\nSOURCE is a tar archive (plain, gzip, xz, zstd), what `docker save` "
	       "writes, an OCI\nimage layout as directory or archive, or a "
	       "directory.\n\n");
	options_print(options);
	printf("\nExit status: 0, or 125 when it could not be done.\n");
}

static int find_verb(const char *name, const struct verb **ret, struct err *e)
{
	for (size_t i = 0; name && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (!strcmp(name, verbs[i].name)) {
			*ret = &verbs[i];
			return 0;
		}
	}
	if (!name)
		return err_say(e, EINVAL, "expected ls, import or rm");
	return err_say(e, EINVAL, "\"%.80s\" is neither ls, import nor rm", name);
}

static int check_words(const struct verb *verb, char **words, struct err *e)
{
	unsigned count = 0;

	while (words[count])
		count++;
	if (count >= verb->least && count <= verb->most)
		return 0;
	return err_say(e, EINVAL, "%s: expected %s; see carrel rootfs --help", verb->name,
		       verb->most ? verb->words : "no argument");
}

static int parse(struct rootfs_args *a, char **argv, const struct verb **ret,
		 char ***ret_words, struct err *e)
{
	bool asks = *argv && (!strcmp(*argv, "--help") || !strcmp(*argv, "-h"));
	int r = asks ? 0 : find_verb(*argv, ret, e);

	if (r == 0)
		r = options_parse(options, a, asks ? argv : argv + 1, ret_words, e);
	if (r < 0 || a->help)
		return r;
	bug_on(!*ret || !*ret_words);
	return check_words(*ret, *ret_words, e);
}

static int act(const struct rootfs_args *a, const struct verb *verb, char **words,
	       int *ret_status, struct err *e)
{
	struct config config;
	int r = config_read(a->config_path, &config, e);

	if (r == 0 && geteuid() != 0)
		r = err_say(e, EPERM, "the store is root's alone");
	/* Files of root's are all that there is to do with. */
	if (r == 0 && !verb->keeps_caps)
		r = caps_give_up(0, 0, e);
	if (r == 0)
		r = verb->act(a, a->store ? a->store : config.runtime.rootfs_store, words,
			      ret_status, e);
	config_free(&config);
	return r < 0 ? err_wrap(e, "%s", verb->name) : 0;
}

int main(int argc, char **argv)
{
	struct rootfs_args a = { .limits = { SIZE_DEFAULT, FILES_DEFAULT } };
	const struct verb *verb = NULL;
	char **words = NULL;
	struct err e = { 0 };
	int status = 0, r = parse(&a, argv + (argc > 0), &verb, &words, &e);

	if (r == 0 && a.help)
		print_help();
	if (r == 0 && !a.help && verb)
		r = act(&a, verb, words, &status, &e);
	if (fflush(stdout) != 0 && r == 0)
		r = err_set(&e, errno, "write to standard output");
	if (r == 0)
		return status;
	complain(&e);
	return status ? status : RUN_STATUS_FAILED;
}
