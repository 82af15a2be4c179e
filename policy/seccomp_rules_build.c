/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "policy/seccomp_rules.h"
#include "policy/seccomp_rules_build.h"

#ifndef __x86_64__
#error "the order of an argument's halves and the bit of x32 are those of x86-64"
#endif

#define NR_COUNT      1024
#define NAME_SIZE     64
#define FACT_MAX      64
#define ODD_MAX       4
#define X32_BIT       0x40000000U
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- numbers ---- */

/* Calls younger than libseccomp 2.5's names. From 424 on a number means the same call on
 * every architecture. */
static const struct {
	const char *name;
	int nr;
} numbered_calls[] = { { "uretprobe", 335 },         { "uprobe", 336 },
		       { "memfd_secret", 447 },      { "process_mrelease", 448 },
		       { "futex_waitv", 449 },       { "set_mempolicy_home_node", 450 },
		       { "cachestat", 451 },         { "fchmodat2", 452 },
		       { "map_shadow_stack", 453 },  { "futex_wake", 454 },
		       { "futex_wait", 455 },        { "futex_requeue", 456 },
		       { "statmount", 457 },         { "listmount", 458 },
		       { "lsm_get_self_attr", 459 }, { "lsm_set_self_attr", 460 },
		       { "lsm_list_modules", 461 },  { "mseal", 462 },
		       { "setxattrat", 463 },        { "getxattrat", 464 },
		       { "listxattrat", 465 },       { "removexattrat", 466 },
		       { "open_tree_attr", 467 },    { "file_getattr", 468 },
		       { "file_setattr", 469 },      { "listns", 470 },
		       { "rseq_slice_yield", 471 } };

/* What the tables say to a number. */
struct entry {
	char name[NAME_SIZE]; /* empty: in no table */
	int answer;
	const struct seccomp_call *call; /* or NULL: the answer stands */
};

static struct entry table[NR_COUNT];

/* −EINVAL for a name that nobody knows, −ENOSYS for a call of other architectures. */
static int number_of(const char *name)
{
	int nr = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);

	for (size_t i = 0; nr == __NR_SCMP_ERROR && i < ARRAY_SIZE(numbered_calls); i++) {
		if (strcmp(numbered_calls[i].name, name) == 0)
			nr = numbered_calls[i].nr;
	}
	/* The last number stands for all behind it, and stays unlisted. */
	if (nr == __NR_SCMP_ERROR || nr >= NR_COUNT - 1)
		return -EINVAL;
	return nr < 0 ? -ENOSYS : nr;
}

static int enter(const char *name, int answer, const struct seccomp_call *call,
		 struct err *e)
{
	int nr = number_of(name);
	int r;

	if (nr == -ENOSYS)
		return 0;
	if (nr < 0)
		return err_say(e, EINVAL, "no number for system call %s", name);
	if (table[nr].name[0])
		return err_say(e, EINVAL, "system call %s is listed twice", name);
	r = str_format(table[nr].name, sizeof(table[nr].name), "%s", name);
	bug_on(r != 0);
	table[nr].answer = answer;
	table[nr].call = call;
	return 0;
}

static int enter_group(const struct seccomp_group *g, struct err *e)
{
	const char *p = g->names;

	while (*p) {
		char name[NAME_SIZE];
		size_t len = strcspn(p, " ");
		int r = str_format(name, sizeof(name), "%.*s", (int)len, p);

		bug_on(r != 0);
		r = enter(name, g->answer, NULL, e);
		if (r)
			return err_wrap(e, "%s", g->why);
		p += len;
		p += strspn(p, " ");
	}
	return 0;
}

static int enter_all(struct err *e)
{
	for (const struct seccomp_group *g = seccomp_groups; g->names; g++) {
		int r = enter_group(g, e);

		if (r)
			return r;
	}
	for (const struct seccomp_call *c = seccomp_calls; c->name; c++) {
		int r = enter(c->name, SECCOMP_UNLISTED, c, e);

		if (r)
			return r;
	}
	return 0;
}

/* ---- arguments ---- */

/* What the way to here has found out, and what the accumulator holds of it. */
struct known {
	struct {
		struct seccomp_match match;
		bool holds;
	} fact[FACT_MAX];
	size_t count;
	unsigned int word; /* in the accumulator, */
	uint32_t mask; /* but for the bits outside of mask; 0: nothing useful */
};

enum verdict {
	NEVER,
	ALWAYS,
	UNDECIDED,
};

static void learn(struct known *k, const struct seccomp_match *m, bool holds)
{
	bug_on(k->count == FACT_MAX);
	k->fact[k->count].match = *m;
	k->fact[k->count++].holds = holds;
}

/* Does what is known decide m? */
static enum verdict judge(const struct known *k, const struct seccomp_match *m)
{
	for (size_t i = 0; i < k->count; i++) {
		const struct seccomp_match *f = &k->fact[i].match;
		uint32_t common = f->mask & m->mask;
		bool agree = ((f->value ^ m->value) & common) == 0;

		if (f->word != m->word)
			continue;
		if (k->fact[i].holds && !agree)
			return NEVER;
		if (k->fact[i].holds && common == m->mask)
			return ALWAYS;
		/* m would mean f, and f does not hold. */
		if (!k->fact[i].holds && agree && common == f->mask)
			return NEVER;
	}
	return UNDECIDED;
}

/* The first match of r that is not known to hold, or NULL. */
static const struct seccomp_match *open_match(const struct known *k,
					      const struct seccomp_rule *r,
					      enum verdict *ret_verdict)
{
	for (size_t i = 0; i < SECCOMP_MATCH_MAX && r->match[i].mask; i++) {
		*ret_verdict = judge(k, &r->match[i]);
		if (*ret_verdict != ALWAYS)
			return &r->match[i];
	}
	*ret_verdict = ALWAYS;
	return NULL;
}

static uint32_t action_of(int answer)
{
	return answer == SECCOMP_ALLOW ? SECCOMP_RET_ALLOW
				       : SECCOMP_RET_ERRNO | (uint32_t)answer;
}

static size_t emit_rules(struct seccomp_code *c, const struct seccomp_call *call,
			 const struct known *k);

/* Asks for m, and goes on with what the rules say to either answer. */
static size_t emit_match(struct seccomp_code *c, const struct seccomp_call *call,
			 struct known k, const struct seccomp_match *m)
{
	bool clear = m->value == 0 && m->mask != UINT32_MAX;
	bool load = m->word != k.word || (m->mask & ~k.mask);
	struct known no;
	bool mask;
	size_t if_yes;
	size_t if_no;
	size_t spot;

	if (load) {
		k.word = m->word;
		k.mask = UINT32_MAX;
	}
	mask = !clear && m->mask != k.mask;
	if (mask)
		k.mask = m->mask;
	no = k;
	learn(&no, m, false);
	learn(&k, m, true);
	if_no = emit_rules(c, call, &no);
	if_yes = emit_rules(c, call, &k);
	if (clear)
		spot = seccomp_code_test(c, BPF_JSET, m->mask, if_no, if_yes);
	else
		spot = seccomp_code_test(c, BPF_JEQ, m->value, if_yes, if_no);
	if (mask)
		spot = seccomp_code_mask(c, m->mask, spot);
	if (load)
		spot = seccomp_code_load(
			c, offsetof(struct seccomp_data, args) + 4 * (size_t)m->word,
			spot);
	return spot;
}

static size_t emit_rules(struct seccomp_code *c, const struct seccomp_call *call,
			 const struct known *k)
{
	for (const struct seccomp_rule *r = call->rules; r < call->rules + call->count;
	     r++) {
		enum verdict verdict;
		const struct seccomp_match *m = open_match(k, r, &verdict);

		if (verdict == ALWAYS)
			return seccomp_code_return(c, action_of(r->answer));
		if (verdict == UNDECIDED)
			return emit_match(c, call, *k, m);
	}
	bug_on(true); /* the last rule of a call has no matches */
	return 0;
}

/* ---- the tree of numbers ---- */

/* Numbers from first up to the next run that go to one spot, but for a few odd ones. */
struct run {
	uint32_t first;
	size_t spot;
	struct {
		uint32_t nr;
		size_t spot;
	} odd[ODD_MAX];
	size_t odds;
};

/* Cuts the numbers into runs and returns how many there are. An odd number costs as
 * much as the begin of a run, and saves the begin of the next. */
static size_t cut(const size_t *spot, struct run *run)
{
	size_t n = 0;

	for (uint32_t nr = 0; nr < NR_COUNT; nr++) {
		struct run *last = n > 0 ? &run[n - 1] : NULL;

		if (last && spot[nr] == last->spot)
			continue;
		if (last && last->odds < ODD_MAX && nr + 1 < NR_COUNT &&
		    spot[nr + 1] == last->spot) {
			last->odd[last->odds].nr = nr;
			last->odd[last->odds++].spot = spot[nr];
			continue;
		}
		run[n++] = (struct run){ .first = nr, .spot = spot[nr] };
	}
	return n;
}

/* Expects the number in the accumulator. */
static size_t emit_runs(struct seccomp_code *c, const struct run *run, size_t n)
{
	size_t half = n / 2;
	size_t low;
	size_t high;

	if (n == 1) {
		size_t spot = run->spot;

		for (size_t i = run->odds; i-- > 0;)
			spot = seccomp_code_test(c, BPF_JEQ, run->odd[i].nr,
						 run->odd[i].spot, spot);
		return spot;
	}
	high = emit_runs(c, run + half, n - half);
	low = emit_runs(c, run, half);
	return seccomp_code_test(c, BPF_JGE, run[half].first, high, low);
}

/* S-02: native calls only. −1 is how a tracer skips a call. */
static void emit_head(struct seccomp_code *c, size_t numbers)
{
	size_t kill = seccomp_code_return(c, SECCOMP_RET_KILL_PROCESS);
	size_t skip = seccomp_code_return(c, action_of(SECCOMP_UNLISTED));
	size_t spot = seccomp_code_test(c, BPF_JEQ, UINT32_MAX, skip, kill);

	spot = seccomp_code_test(c, BPF_JGE, X32_BIT, spot, numbers);
	spot = seccomp_code_load(c, offsetof(struct seccomp_data, nr), spot);
	spot = seccomp_code_test(c, BPF_JEQ, AUDIT_ARCH_X86_64, spot, kill);
	seccomp_code_load(c, offsetof(struct seccomp_data, arch), spot);
}

/* ---- the program ---- */

static bool allows_something(const struct seccomp_call *c)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->rules[i].answer == SECCOMP_ALLOW)
			return true;
	}
	return false;
}

void seccomp_rules_count(unsigned *ret_allowed, unsigned *ret_by_arguments)
{
	*ret_allowed = 0;
	*ret_by_arguments = 0;
	for (size_t nr = 0; nr < NR_COUNT; nr++) {
		if (table[nr].name[0] && !table[nr].call)
			*ret_allowed += table[nr].answer == SECCOMP_ALLOW;
		else if (table[nr].call)
			*ret_by_arguments += allows_something(table[nr].call);
	}
}

const char *seccomp_rules_name(uint32_t nr)
{
	return nr < NR_COUNT && table[nr].name[0] ? table[nr].name : NULL;
}

int seccomp_rules_build(struct seccomp_code *c, struct err *e)
{
	static const struct known nothing = { .mask = 0 };
	static struct run run[NR_COUNT];
	static size_t spot[NR_COUNT];
	int r;

	memset(table, 0, sizeof(table));
	r = enter_all(e);
	if (r)
		return r;
	for (size_t i = 0; i < NR_COUNT; i++) {
		if (table[i].call)
			spot[i] = emit_rules(c, table[i].call, &nothing);
		else if (table[i].name[0])
			spot[i] = seccomp_code_return(c, action_of(table[i].answer));
		else
			spot[i] = seccomp_code_return(c, action_of(SECCOMP_UNLISTED));
	}
	emit_head(c, emit_runs(c, run, cut(spot, run)));
	if (c->too_long)
		return err_say(e, E2BIG, "the program is too long");
	return 0;
}
