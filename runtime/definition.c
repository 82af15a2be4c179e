/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions as blocks of bytes, and comparing what was asked for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "runtime/definition.h"

/* A block: magic, version, size of all of it; the definition; its strings with a NUL
 * each; a checksum of everything before. Numbers are little-endian, texts have their
 * length before them. */
static const char magic[8] = "carrel\x1a";

enum {
	VERSION = 2,
	CHECKSUM_SIZE = 8,
	ENSURE_SIZE_MAX = sizeof(struct wire_ensure) + 64, /* as bytes of a block */
	LANES = DEFINITION_DIGEST_SIZE / sizeof(uint64_t),
};

void definition_free(struct definition *d)
{
	free(d->strings);
	d->strings = NULL;
}

size_t definition_string_count(const struct wire_ensure *ensure)
{
	return ensure->env_count + 2 * (size_t)ensure->label_count;
}

/* --- digests ----------------------------------------------------------------------- */

/* FNV-1a: a step of it loses nothing, so that one changed byte changes the sum. */
static uint64_t fnv1a(uint64_t sum, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ p[i]) * 0x100000001b3;
	return sum;
}

#define FNV_BASIS 0xcbf29ce484222325

/* Several sums of the same bytes, each with a factor of its own. */
struct digest {
	uint64_t lanes[LANES];
};

#define DIGEST_EMPTY                                                           \
	((struct digest){ { FNV_BASIS, 0x9e3779b97f4a7c15, 0xd1b54a32d192ed03, \
			    0x8cb92ba72f3d8dd7 } })

static void digest_add(struct digest *d, const void *data, size_t size)
{
	static const uint64_t factors[LANES] = { 0x100000001b3, 0xff51afd7ed558ccd,
						 0xc4ceb9fe1a85ec53, 0xbf58476d1ce4e5b9 };
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++) {
		for (size_t lane = 0; lane < LANES; lane++) {
			uint64_t sum = (d->lanes[lane] ^ p[i]) * factors[lane];

			d->lanes[lane] = sum ^ sum >> 29;
		}
	}
}

static void digest_finish(const struct digest *d, uint8_t ret[DEFINITION_DIGEST_SIZE])
{
	for (size_t i = 0; i < DEFINITION_DIGEST_SIZE; i++)
		ret[i] = (uint8_t)(d->lanes[i / 8] >> i % 8 * 8);
}

/* --- writing ----------------------------------------------------------------------- */

struct writer {
	uint8_t *buf;
	size_t room, len;
	bool over; /* something did not fit */
};

static void put(struct writer *w, const void *data, size_t size)
{
	if (size > w->room - w->len) {
		w->over = true;
		return;
	}
	memcpy(w->buf + w->len, data, size);
	w->len += size;
}

static void put_number(struct writer *w, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	put(w, bytes, size);
}

static void put_text(struct writer *w, const char *text)
{
	size_t len = strlen(text);

	put_number(w, len, 2);
	put(w, text, len);
}

static void put_ensure(struct writer *w, const struct wire_ensure *ensure)
{
	put_text(w, ensure->name);
	put_text(w, ensure->profile);
	put_text(w, ensure->workspace);
	put_text(w, ensure->hostname);
	put_number(w, ensure->limits.memory, 8);
	put_number(w, ensure->limits.cpu_milli, 8);
	put_number(w, ensure->limits.pids, 8);
	put_number(w, ensure->network, 4);
	put_number(w, ensure->env_count, 4);
	put_number(w, ensure->label_count, 4);
	put_number(w, ensure->idle_timeout_ms, 8);
	put_number(w, ensure->max_duration_ms, 8);
	put_number(w, ensure->auto_remove, 1);
}

int definition_encode(const struct definition *d, void *buf, size_t *ret_size,
		      struct err *e)
{
	struct writer w = { .buf = buf, .room = RESIDENT_LABEL_SIZE };
	struct writer size = { .buf = w.buf + sizeof(magic) + 4, .room = 4 };

	put(&w, magic, sizeof(magic));
	put_number(&w, VERSION, 4);
	put_number(&w, 0, 4);
	put_number(&w, d->client, 4);
	put_number(&w, d->created, 8);
	put_number(&w, d->generation, 8);
	put_number(&w, d->started, 8);
	put_number(&w, d->started_at, 8);
	put_number(&w, d->paused, 1);
	put_ensure(&w, &d->asked);
	put_ensure(&w, &d->completed);
	for (size_t i = 0; i < definition_string_count(&d->asked); i++)
		put(&w, d->strings[i], strlen(d->strings[i]) + 1);
	put_number(&size, w.len + CHECKSUM_SIZE, 4);
	put_number(&w, fnv1a(FNV_BASIS, buf, w.len), CHECKSUM_SIZE);
	if (w.over)
		return err_say(e, E2BIG, "a definition of more than %d bytes",
			       RESIDENT_LABEL_SIZE);
	*ret_size = w.len;
	return 0;
}

/* --- reading ----------------------------------------------------------------------- */

/* Past the end there are zeros, and `bad` is set. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static const void *take(struct reader *r, size_t size)
{
	const uint8_t *at = r->at;

	if (size > r->left) {
		r->bad = true;
		return NULL;
	}
	r->at += size;
	r->left -= size;
	return at;
}

static uint64_t take_number(struct reader *r, size_t size)
{
	const uint8_t *bytes = take(r, size);
	uint64_t value = 0;

	for (size_t i = 0; bytes && i < size; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

/* Into a buffer of `size` bytes, which is zero. */
static void take_text(struct reader *r, char *buf, size_t size)
{
	size_t len = take_number(r, 2);
	const void *text = len < size ? take(r, len) : NULL;

	if (!text || memchr(text, '\0', len)) {
		r->bad = true;
		return;
	}
	memcpy(buf, text, len);
}

static void take_ensure(struct reader *r, struct wire_ensure *ret)
{
	*ret = (struct wire_ensure){ 0 };
	take_text(r, ret->name, sizeof(ret->name));
	take_text(r, ret->profile, sizeof(ret->profile));
	take_text(r, ret->workspace, sizeof(ret->workspace));
	take_text(r, ret->hostname, sizeof(ret->hostname));
	ret->limits.memory = take_number(r, 8);
	ret->limits.cpu_milli = take_number(r, 8);
	ret->limits.pids = take_number(r, 8);
	ret->network = (uint32_t)take_number(r, 4);
	ret->env_count = (uint32_t)take_number(r, 4);
	ret->label_count = (uint32_t)take_number(r, 4);
	ret->idle_timeout_ms = take_number(r, 8);
	ret->max_duration_ms = take_number(r, 8);
	ret->auto_remove = (uint32_t)take_number(r, 1);
}

/* Takes all that is left as `count` strings. */
static int take_strings(struct reader *r, size_t count, char ***ret)
{
	size_t pointers = (count + 1) * sizeof(char *), size = r->left;
	char **strings;
	char *text;

	/* Each has its NUL, and the last byte is one. */
	if (count > size || (size && r->at[size - 1]))
		return -EBADMSG;
	strings = calloc(1, pointers + size);
	if (!strings)
		return -ENOMEM;
	text = (char *)strings + pointers;
	if (size)
		memcpy(text, take(r, size), size);
	for (size_t i = 0; i < count; i++) {
		strings[i] = text;
		/* Never behind the last NUL, even with too many strings. */
		if (text != (char *)strings + pointers + size)
			text += strlen(text) + 1;
	}
	strings[count] = NULL;
	if (text != (char *)strings + pointers + size ||
	    (count && strings[count - 1] == text)) {
		free(strings);
		return -EBADMSG;
	}
	*ret = strings;
	return 0;
}

static bool is_same_request(const struct wire_ensure *a, const struct wire_ensure *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->workspace, b->workspace) &&
	       a->env_count == b->env_count && a->label_count == b->label_count &&
	       a->auto_remove == b->auto_remove && a->auto_remove <= 1;
}

static bool is_sound(const struct definition *d)
{
	const struct wire_ensure *c = &d->completed;

	return is_same_request(&d->asked, c) && access_is_name(c->name) &&
	       (!*c->workspace || access_is_workspace(c->workspace)) && *c->profile &&
	       *c->hostname && d->asked.network <= WIRE_NETWORK_EGRESS &&
	       (c->network == WIRE_NETWORK_NONE || c->network == WIRE_NETWORK_EGRESS) &&
	       c->idle_timeout_ms != WIRE_UNSET && c->max_duration_ms != WIRE_UNSET;
}

/* What stands between header and checksum. */
static int take_definition(struct reader *r, struct definition *d)
{
	struct wire_error refused;
	uint64_t paused;
	int failed;

	d->client = (uid_t)take_number(r, 4);
	d->created = take_number(r, 8);
	d->generation = take_number(r, 8);
	d->started = take_number(r, 8);
	d->started_at = take_number(r, 8);
	paused = take_number(r, 1);
	d->paused = paused == 1;
	take_ensure(r, &d->asked);
	take_ensure(r, &d->completed);
	if (r->bad || paused > 1 || !is_sound(d))
		return -EBADMSG;
	failed = take_strings(r, definition_string_count(&d->asked), &d->strings);
	if (failed < 0)
		return failed;
	return access_check_strings(&d->asked, d->strings, &refused) < 0 ? -EBADMSG : 0;
}

static int check_frame(const uint8_t *block, size_t size, struct err *e)
{
	struct reader r = { .at = block, .left = size };
	const void *mark = take(&r, sizeof(magic));
	uint64_t version = take_number(&r, 4), length = take_number(&r, 4);
	struct reader sum = { .at = block + size - CHECKSUM_SIZE, .left = CHECKSUM_SIZE };

	if (!mark || memcmp(mark, magic, sizeof(magic)) != 0)
		return err_say(e, EBADMSG, "not a definition");
	if (version != VERSION)
		return err_say(e, EBADMSG, "a definition of version %llu, not %d",
			       (unsigned long long)version, VERSION);
	if (r.bad || length != size || r.left < CHECKSUM_SIZE)
		return err_say(e, EBADMSG, "a definition of another length");
	if (take_number(&sum, CHECKSUM_SIZE) !=
	    fnv1a(FNV_BASIS, block, size - CHECKSUM_SIZE))
		return err_say(e, EBADMSG, "a damaged definition");
	return 0;
}

int definition_decode(const void *block, size_t size, struct definition *ret,
		      struct err *e)
{
	const size_t header = sizeof(magic) + 4 + 4;
	struct definition d = { 0 };
	struct reader r;
	int failed;

	if (size < header + CHECKSUM_SIZE || size > RESIDENT_LABEL_SIZE)
		return err_say(e, EBADMSG, "not a definition");
	failed = check_frame(block, size, e);
	if (failed < 0)
		return failed;
	r = (struct reader){ .at = (const uint8_t *)block + header,
			     .left = size - header - CHECKSUM_SIZE };
	failed = take_definition(&r, &d);
	if (failed < 0) {
		definition_free(&d);
		return failed == -ENOMEM ? err_set(e, ENOMEM, "read a definition")
					 : err_say(e, EBADMSG,
						   "a definition of nothing that "
						   "can be asked for");
	}
	*ret = d;
	return 0;
}

/* --- comparing --------------------------------------------------------------------- */

void definition_digest(const struct wire_ensure *asked, char *const *strings,
		       uint8_t ret[DEFINITION_DIGEST_SIZE])
{
	uint8_t buf[ENSURE_SIZE_MAX];
	struct writer w = { .buf = buf, .room = sizeof(buf) };
	struct digest d = DIGEST_EMPTY;

	put_ensure(&w, asked);
	bug_on(w.over);
	digest_add(&d, buf, w.len);
	for (size_t i = 0; i < definition_string_count(asked); i++)
		digest_add(&d, strings[i], strlen(strings[i]) + 1);
	digest_finish(&d, ret);
}

static bool are_equal(char *const *a, char *const *b, size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

const char *definition_differs(const struct definition *d,
			       const struct wire_ensure *asked, char *const *strings)
{
	const struct wire_ensure *was = &d->asked;
	const struct wire_limits *a = &was->limits, *b = &asked->limits;

	if (strcmp(was->profile, asked->profile) != 0)
		return "profile";
	if (strcmp(was->workspace, asked->workspace) != 0)
		return "workspace";
	if (was->env_count != asked->env_count ||
	    !are_equal(d->strings, strings, 0, was->env_count))
		return "env";
	if (was->label_count != asked->label_count ||
	    !are_equal(d->strings, strings, was->env_count, 2 * (size_t)was->label_count))
		return "labels";
	if (a->memory != b->memory || a->cpu_milli != b->cpu_milli || a->pids != b->pids)
		return "limits";
	if (was->network != asked->network)
		return "network";
	if (strcmp(was->hostname, asked->hostname) != 0)
		return "hostname";
	if (was->idle_timeout_ms != asked->idle_timeout_ms)
		return "idle_timeout";
	if (was->max_duration_ms != asked->max_duration_ms)
		return "max_duration";
	if (was->auto_remove != asked->auto_remove)
		return "auto_remove";
	return NULL;
}

void definition_key(uid_t client, const char *name, char ret[DEFINITION_KEY_SIZE])
{
	struct str s = str_over(ret, DEFINITION_KEY_SIZE);
	uint8_t bytes[DEFINITION_DIGEST_SIZE];
	struct digest d = DIGEST_EMPTY;

	digest_add(&d, name, strlen(name));
	digest_finish(&d, bytes);
	str_add(&s, "%08x", (unsigned)client);
	for (size_t i = 0; i < sizeof(bytes); i++)
		str_add(&s, "%02x", bytes[i]);
}
