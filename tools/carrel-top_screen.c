/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/carrel-top.h"

enum {
	LINES_ABOVE = 3, /* the sum, an empty line, the heads */
	LINES_BELOW = 1,
	KEY_ENTER_CR = '\r',
	KEY_ESCAPE = 27,
	KEY_DELETE = 127,
	ESCAPE_WAIT_MS = 25, /* an arrow key begins with one too */
};

static SCREEN *screen; /* curses has but one anyway */

int top_screen_open(struct err *e)
{
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return err_say(e, EINVAL,
			       "this terminal cannot be used: TERM is not known");
	set_escdelay(ESCAPE_WAIT_MS);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	return 0;
}

void top_screen_close(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

/* The whole line in the given attribute, cut where the screen ends. */
static void draw_line(int row, int attribute, const char *text)
{
	if (row < 0 || row >= LINES)
		return;
	attron(attribute);
	mvprintw(row, 0, "%-*.*s", COLS, COLS, text);
	attroff(attribute);
}

static void draw_sum(const struct top_screen *t)
{
	uint64_t cpu = 0, memory = 0;
	char line[TOP_LINE_MAX], size[HUMAN_MAX];
	struct str s = str_over(line, sizeof(line));

	for (size_t i = 0; i < t->samples.count; i++) {
		cpu += t->samples.list[i].cpu_milli_percent;
		memory += t->samples.list[i].memory;
	}
	str_add(&s, "carrel top: %u running, %u paused, cpu %llu.%llu%%, memory %s",
		t->running, t->paused, (unsigned long long)(cpu / 1000),
		(unsigned long long)(cpu % 1000 / 100), human_size(size, memory));
	draw_line(0, A_BOLD, line);
}

static void draw_foot(const struct top_screen *t)
{
	char line[TOP_LINE_MAX];
	struct str s = str_over(line, sizeof(line));

	if (t->typing)
		str_add(&s, "filter: %s_", t->filter);
	else
		str_add(&s, "by %s%s%s   c m p n e sort  / filter  q quit",
			top_key_name(t->key), *t->filter ? ", with " : "", t->filter);
	draw_line(LINES - 1, A_REVERSE, line);
}

/* The list shall neither begin behind its end nor leave room at the bottom. */
static void keep_in_range(struct top_screen *t, size_t count)
{
	size_t last = count > t->shown ? count - t->shown : 0;

	if (t->first > last)
		t->first = last;
}

int top_screen_draw(struct top_screen *t, struct err *e)
{
	size_t room = t->samples.count ? t->samples.count : 1, count;
	auto_free const struct sample **list = calloc(room, sizeof(*list));
	char line[TOP_LINE_MAX];
	int rows = LINES - LINES_ABOVE - LINES_BELOW;

	if (!list)
		return err_set(e, ENOMEM, "sort the sandboxes");
	count = top_select(&t->samples, t->filter, t->key, list);
	t->shown = rows > 0 ? (size_t)rows : 0;
	keep_in_range(t, count);
	erase();
	draw_sum(t);
	draw_line(LINES_ABOVE - 1, A_REVERSE, top_heads(line, COLS));
	for (size_t i = 0; i < t->shown && t->first + i < count; i++)
		draw_line(LINES_ABOVE + (int)i, A_NORMAL,
			  top_line(line, list[t->first + i], COLS));
	draw_foot(t);
	refresh();
	return 0;
}

static void type(struct top_screen *t, int key)
{
	size_t len = strlen(t->filter);

	if (key == KEY_ENTER_CR || key == '\n' || key == KEY_ENTER) {
		t->typing = false;
	} else if (key == KEY_ESCAPE) {
		t->typing = false;
		t->filter[0] = '\0';
	} else if ((key == KEY_BACKSPACE || key == KEY_DELETE || key == '\b') && len) {
		t->filter[len - 1] = '\0';
	} else if (key >= ' ' && key < KEY_DELETE && len < TOP_FILTER_MAX) {
		t->filter[len] = (char)key;
		t->filter[len + 1] = '\0';
	}
}

static void scroll_by(struct top_screen *t, long lines)
{
	if (lines < 0 && t->first < (size_t)-lines)
		t->first = 0;
	else
		t->first += (size_t)lines; /* draw() keeps it in range */
}

static void command(struct top_screen *t, int key)
{
	if (top_key_of(key) < TOP_KEY_MAX)
		t->key = top_key_of(key);
	else if (key == 'q')
		t->finished = true;
	else if (key == '/')
		t->typing = true;
	else if (key == KEY_ESCAPE)
		t->filter[0] = '\0';
	else if (key == KEY_DOWN)
		scroll_by(t, 1);
	else if (key == KEY_UP)
		scroll_by(t, -1);
	else if (key == KEY_NPAGE)
		scroll_by(t, (long)t->shown);
	else if (key == KEY_PPAGE)
		scroll_by(t, -(long)t->shown);
}

void top_screen_keys(struct top_screen *t)
{
	for (int key = getch(); key != ERR; key = getch()) {
		if (t->typing)
			type(t, key);
		else
			command(t, key);
	}
}
