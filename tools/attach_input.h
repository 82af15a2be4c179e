/* SPDX-License-Identifier: Apache-2.0 */
/* What a command that carreld runs gets as its standard input, output and error. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

/* Would carreld take all three: files, pipes, sockets, terminals and /dev/null, each
 * opened for what it is used for? `input` stands for 0. */
bool attach_can_pass(int input);

/* Reads standard input to its end into the parameters' `stdin`. */
must_check int attach_read_input(json_t *parameters, struct err *e);

/* Writes a reply's base64 to descriptor fd. */
must_check int attach_write(int fd, const json_t *text, struct err *e);
