/* SPDX-License-Identifier: Apache-2.0 */
/* The store: root directories that sandboxes can have by name. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/*
 * Theory of operation
 *
 *	STORE/NAME/root/	what a sandbox shows
 *	STORE/NAME/about.json	what it is and where it came from
 *	STORE/NAME/lock		empty; who uses the directory holds a lock on it
 *	STORE/.tmp-XXXXXXXX/	the same, not complete yet or no longer wanted
 *	STORE/.lock		held while names are looked up and changed
 *
 * The store and everything in it is root's, and nobody else may enter it.
 *
 * A lock is flock(2)'s, so that the kernel lets go of it whatever ends its owner. An
 * import holds it alone from the moment that its directory exists; a sandbox shares it,
 * through a descriptor that its PID 1 keeps. What is called .tmp- and locked by nobody is
 * rubbish: whoever begins an import, lists or removes clears it away.
 *
 * A directory gets its name by one rename, when all of it is on disk. A rootfs that is in
 * use cannot be removed. It can be replaced: the name goes to the new one, and the old
 * one becomes rubbish as soon as the last sandbox that shows it has ended.
 */

#define STORE_DIR  "/var/lib/carrel/rootfs"
#define STORE_HOST "host" /* what no rootfs can be called */

enum {
	STORE_NAME_MAX = 64, /* bytes */
	STORE_TMP_MAX = 16, /* ".tmp-XXXXXXXX" with its NUL */
};

/* Is it a name that a rootfs may have: a letter or digit, then up to 63 letters, digits,
 * "_", "." and "-", all of them lower case, and not "host"? Pure. */
bool store_is_name(const char *name);

/* 0, or −EINVAL with a sentence that quotes it. */
must_check int store_check_name(const char *name, struct err *e);

/* Opens a store by its absolute path, whose every part must be root's alone to write
 * (E-08). `make`: makes its last two parts if they are not there. Otherwise −ENOENT. */
must_check int store_open(const char *path, bool make, int *ret, struct err *e);

/* Opens the root directory of a rootfs for as long as *ret_lock stays open, here or in
 * another process: until then it cannot be removed. The caller owns both. */
must_check int store_use(const char *path, const char *name, int *ret_root, int *ret_lock,
			 struct err *e);

/* An import under way. */
struct store_import {
	char name[STORE_TMP_MAX]; /* of its directory; "": none */
	int dir, lock;
};

#define STORE_IMPORT_NONE ((struct store_import){ .dir = -1, .lock = -1 })

/* Clears rubbish away and makes the directory of an import. *ret is for store_abandon(),
 * also after store_commit(). */
must_check int store_begin(int store, struct store_import *ret, struct err *e);

/* Writes everything to disk and gives the directory its name. −EEXIST if there is such a
 * rootfs and `replace` is not set. */
must_check int store_commit(int store, struct store_import *import, const char *name,
			    bool replace, struct err *e);

/* Removes what has not been committed, and lets go of the rest. */
void store_abandon(int store, struct store_import *import);

/* Is there one of that name? */
bool store_has(int store, const char *name);

/* −ENOENT: there is none; −EBUSY: a sandbox uses it. */
must_check int store_remove(int store, const char *name, struct err *e);

/* Clears away what killed imports and replaced ones have left, as far as it is nobody's.
 */
must_check int store_sweep(int store, struct err *e);

/* Calls `each` for every rootfs in the order of their names, with its directory. The
 * first failure ends it. */
must_check int store_each(int store,
			  int (*each)(void *context, const char *name, int dir,
				      struct err *e),
			  void *context, struct err *e);
