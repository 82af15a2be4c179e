/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a command out of a file. */
#pragma once

#include "runtime/environment.h" /* lint: shared by both programs */

/* Adds every line of a file: NAME=VALUE or NAME; empty lines and lines that start with
 * "#" are passed over. An error names file and line. */
must_check int environment_read(struct environment *env, const char *path, struct err *e);
