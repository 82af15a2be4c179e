/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/netfilter.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "netns/facts.h"
#include "netns/link.h"
#include "netns/ruleset.h"
#include "netns/uplink.h"

static const uint8_t ipv6_number = NFPROTO_IPV6;

static const struct uplink_note nothing_changed = { '-', '-', '-' };

/* Shown by `nft list ruleset`, too. The places of the characters are what counts. */
#define NOTE_TEXT   "before carrel: forwarding %c, IPv6 forwarding %c, accept_ra %c"
#define NOTE_LENGTH (sizeof(NOTE_TEXT) - 1 - 3)

static int find_one(int route, const struct netns_settings *settings, int family,
		    char *ret_name, struct err *e)
{
	if (!*settings->uplink)
		return facts_find_uplink(route, family, ret_name, e);
	if (!facts_index_of(route, settings->uplink))
		return err_say(e, ENODEV, "no uplink: this host has no interface %s",
			       settings->uplink);
	memcpy(ret_name, settings->uplink, IFNAMSIZ);
	return 0;
}

int uplink_find(int route, const struct netns_settings *settings, bool ipv6,
		struct uplinks *ret, struct err *e)
{
	struct uplinks u = { .count = 1 };
	int r = find_one(route, settings, AF_INET, u.names[0], e);

	if (r == 0 && ipv6) {
		r = find_one(route, settings, AF_INET6, u.names[1], e);
		u.count += strcmp(u.names[0], u.names[1]) != 0;
	}
	if (r == 0)
		*ret = u;
	return r;
}

static void parse_note(const char *text, struct uplink_note *ret)
{
	if (!text || strlen(text) != NOTE_LENGTH)
		return;
	ret->forwarding = text[strlen("before carrel: forwarding ")];
	ret->forwarding6 = text[strlen("before carrel: forwarding x, IPv6 forwarding ")];
	ret->accept_ra = text[NOTE_LENGTH - 1];
}

static int take_uplink(const struct ruleset_found *found, void *context, struct err *e)
{
	struct uplink_record *record = context;
	unsigned i = record->uplinks.count;

	(void)e;
	if (i == UPLINKS_MAX || found->element.size != IFNAMSIZ)
		return 0;
	memcpy(record->uplinks.names[i], found->element.key, IFNAMSIZ - 1);
	record->notes[i] = nothing_changed;
	parse_note(found->element.comment, &record->notes[i]);
	record->uplinks.count++;
	return 0;
}

int uplink_read_record(int rules, struct uplink_record *ret, struct err *e)
{
	*ret = (struct uplink_record){ 0 };
	return ruleset_read(rules, "uplinks", take_uplink, ret, e);
}

bool uplink_has_ipv6(const struct uplink_record *record)
{
	return record->uplinks.count && record->notes[0].forwarding6 != '-';
}

static int read_note(const char *name, bool ipv6, struct uplink_note *ret, struct err *e)
{
	int r = link_read_sysctl(-1, "ipv4", name, "forwarding", &ret->forwarding, e);

	if (r == 0 && ipv6)
		r = link_read_sysctl(-1, "ipv6", "all", "forwarding", &ret->forwarding6,
				     e);
	if (r == 0 && ipv6)
		r = link_read_sysctl(-1, "ipv6", name, "accept_ra", &ret->accept_ra, e);
	return r;
}

/* What the old record says of that uplink takes precedence. */
static void keep_older(const struct uplink_record *old, const char *name,
		       struct uplink_note *note)
{
	for (unsigned i = 0; i < old->uplinks.count; i++) {
		const struct uplink_note *o = &old->notes[i];

		/* IPv6's is not of one uplink, but of all. */
		if (o->forwarding6 != '-')
			note->forwarding6 = o->forwarding6;
		if (strcmp(old->uplinks.names[i], name) != 0)
			continue;
		if (o->forwarding != '-')
			note->forwarding = o->forwarding;
		if (o->accept_ra != '-')
			note->accept_ra = o->accept_ra;
	}
}

/* Strangers do not pass where only we have it forward. */
static void add_opened(struct nl_batch *b, const char *name)
{
	ruleset_add(b, "opened",
		    &(struct ruleset_element){ .key = name, .size = IFNAMSIZ });
}

int uplink_write_record(struct nl_batch *b, const struct uplinks *wanted,
			const struct uplink_record *old, bool ipv6, struct err *e)
{
	ruleset_flush(b, "uplinks");
	ruleset_flush(b, "opened_families");
	for (unsigned i = 0; i < wanted->count; i++) {
		struct uplink_note note = nothing_changed;
		char text[NOTE_LENGTH + 1];
		int r = read_note(wanted->names[i], ipv6, &note, e);

		if (r < 0)
			return r;
		keep_older(old, wanted->names[i], &note);
		bug_on(str_format(text, sizeof(text), NOTE_TEXT, note.forwarding,
				  note.forwarding6, note.accept_ra) < 0);
		if (note.forwarding == '0')
			add_opened(b, wanted->names[i]);
		if (note.forwarding6 == '0')
			ruleset_add(b, "opened_families",
				    &(struct ruleset_element){ .key = &ipv6_number,
							       .size = 1 });
		ruleset_add(b, "uplinks",
			    &(struct ruleset_element){ .key = wanted->names[i],
						       .size = IFNAMSIZ,
						       .comment = text });
	}
	return 0;
}

/* A host that forwards takes router advertisements only if told so twice. */
static int keep_accepting_ra(const char *name, struct err *e)
{
	char ra = '0';
	int r = link_read_sysctl(-1, "ipv6", name, "accept_ra", &ra, e);

	return r == 0 && ra == '1'
		       ? link_write_sysctl(-1, "ipv6", name, "accept_ra", '2', e)
		       : r;
}

int uplink_set_forwarding(const struct uplinks *u, bool ipv6, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < u->count; i++) {
		r = link_write_sysctl(-1, "ipv4", u->names[i], "forwarding", '1', e);
		if (r == 0 && ipv6)
			r = keep_accepting_ra(u->names[i], e);
	}
	if (r == 0 && ipv6)
		r = link_write_sysctl(-1, "ipv6", "all", "forwarding", '1', e);
	return r;
}

static int restore_one(const char *family, const char *name, const char *key, char value,
		       struct err *e)
{
	int r = value == '-' ? 0 : link_write_sysctl(-1, family, name, key, value, e);

	/* An interface that has gone meanwhile has nothing to restore. */
	return r == -ENOENT ? 0 : r;
}

static bool has_name(const struct uplinks *u, const char *name)
{
	for (unsigned i = 0; u && i < u->count; i++) {
		if (!strcmp(u->names[i], name))
			return true;
	}
	return false;
}

int uplink_restore(const struct uplink_record *record, const struct uplinks *kept,
		   struct err *e)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < record->uplinks.count; i++) {
		const char *name = record->uplinks.names[i];
		const struct uplink_note *note = &record->notes[i];

		if (has_name(kept, name))
			continue;
		r = restore_one("ipv4", name, "forwarding", note->forwarding, e);
		/* IPv6's is everybody's: it goes when nobody is kept. */
		if (r == 0 && !kept)
			r = restore_one("ipv6", "all", "forwarding", note->forwarding6,
					e);
		if (r == 0)
			r = restore_one("ipv6", name, "accept_ra", note->accept_ra, e);
	}
	return r;
}

/* --- other interfaces -------------------------------------------------------------- */

/* Takes effect only where there is no such element yet: the first note is the right one.
 */
static int note_other(int rules, const char *name, char forwarding, struct err *e)
{
	auto_nl_batch b = { 0 };
	char text[NOTE_LENGTH + 1];

	bug_on(str_format(text, sizeof(text), NOTE_TEXT, forwarding, '-', '-') < 0);
	ruleset_begin(&b);
	if (forwarding == '0')
		add_opened(&b, name);
	ruleset_add(&b, "others",
		    &(struct ruleset_element){
			    .key = name, .size = IFNAMSIZ, .comment = text });
	ruleset_end(&b);
	return nl_send(rules, &b, e);
}

int uplink_open_way(int route, int rules, const struct ip *ip, struct err *e)
{
	const char *family = ip->family == AF_INET ? "ipv4" : "ipv6";
	char name[IFNAMSIZ] = { 0 }, forwarding = '0';
	int r = facts_find_way(route, ip, name, e);

	/* All interfaces forward IPv6 once the host does. */
	if (r < 0 || !*name || ip->family != AF_INET)
		return r;
	r = link_read_sysctl(-1, family, name, "forwarding", &forwarding, e);
	if (r < 0 || forwarding == '1')
		return r;
	r = note_other(rules, name, forwarding, e);
	return r < 0 ? r : link_write_sysctl(-1, family, name, "forwarding", '1', e);
}

static int restore_other(const struct ruleset_found *found, void *context, struct err *e)
{
	struct uplink_note note = nothing_changed;
	char name[IFNAMSIZ] = { 0 };

	(void)context;
	if (found->element.size != IFNAMSIZ)
		return 0;
	memcpy(name, found->element.key, IFNAMSIZ - 1);
	parse_note(found->element.comment, &note);
	return restore_one("ipv4", name, "forwarding", note.forwarding, e);
}

int uplink_close_ways(int rules, struct err *e)
{
	return ruleset_read(rules, "others", restore_other, NULL, e);
}
