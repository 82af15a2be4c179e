/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of carrel-top. */
#pragma once

#include <stdbool.h>

#include "tools/top_list.h"

/* What is on it. */
struct top_screen {
	struct samples samples;
	unsigned running, paused;
	enum top_key key;
	char filter[TOP_FILTER_MAX + 1];
	bool typing; /* the filter is being typed */
	size_t first; /* of the list, at the top */
	size_t shown; /* lines that fitted at the last drawing */
	bool finished; /* q was pressed */
};

/* Takes the terminal over. */
must_check int top_screen_open(struct err *e);

/* Gives it back. */
void top_screen_close(void);

/* Draws everything, in whatever size the terminal has now. */
must_check int top_screen_draw(struct top_screen *t, struct err *e);

/* Obeys the keys that have been pressed. */
void top_screen_keys(struct top_screen *t);
