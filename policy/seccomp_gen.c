/* SPDX-License-Identifier: Apache-2.0 */
/* Build-time program: writes the `default` filter as a C header and as readable text. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/seccomp_rules_build.h"

/*
 * seccomp_gen OUT.h OUT.pfc
 *
 * The runtime then neither links libseccomp nor spends a millisecond on compiling. The
 * text is for reviews: policy/seccomp_default.pfc is the copy in the tree, and its last
 * lines pin the bytes.
 */

static int open_output(const char *path, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 ? err_set(e, errno, "create %s", path) : fd;
}

static int write_header(const char *path, const struct seccomp_code *c, struct err *e)
{
	const struct sock_filter *insn = seccomp_code_first(c);
	unsigned allowed, by_arguments;
	auto_fd fd = open_output(path, e);

	if (fd < 0)
		return fd;
	dprintf(fd, "/* Made by policy/seccomp_gen.c; do not edit. */\n#pragma once\n\n");
	dprintf(fd, "#include <linux/filter.h>\n\n");
	dprintf(fd, "static const struct sock_filter seccomp_default_filter[] = {\n");
	for (size_t i = 0; i < c->count; i++)
		dprintf(fd, "\t{ 0x%02x, %u, %u, 0x%08x },\n", insn[i].code, insn[i].jt,
			insn[i].jf, insn[i].k);
	seccomp_rules_count(&allowed, &by_arguments);
	if (dprintf(fd,
		    "};\n\nenum {\n\tSECCOMP_DEFAULT_ALLOWED = %u,\n"
		    "\tSECCOMP_DEFAULT_BY_ARGUMENTS = %u,\n};\n",
		    allowed, by_arguments) < 0)
		return err_set(e, errno, "write %s", path);
	return 0;
}

/* ---- the text ---- */

/* What the accumulator holds before an instruction. */
struct held {
	enum { NOTHING, LOADED, SEVERAL } state;
	uint32_t offset;
	uint32_t mask;
};

/* One way leads from an instruction to this one. */
static void arrive(struct held *there, const struct held *from)
{
	bool same = there->offset == from->offset && there->mask == from->mask;

	if (there->state == NOTHING)
		*there = *from;
	else if (from->state != LOADED || !same)
		there->state = SEVERAL;
}

static void print_word(int fd, const struct held *h)
{
	uint32_t at = h->offset - (uint32_t)offsetof(struct seccomp_data, args);

	if (h->state != LOADED)
		dprintf(fd, "the word");
	else if (h->offset == offsetof(struct seccomp_data, nr))
		dprintf(fd, "number");
	else if (h->offset == offsetof(struct seccomp_data, arch))
		dprintf(fd, "architecture");
	else
		dprintf(fd, "%sa%u", at % 8 ? "high half of " : "", at / 8);
	if (h->state == LOADED && h->mask != UINT32_MAX)
		dprintf(fd, " & %#x", h->mask);
}

static void print_answer(int fd, uint32_t answer)
{
	const char *name = strerrorname_np((int)(answer & SECCOMP_RET_DATA));

	if (answer == SECCOMP_RET_ALLOW)
		dprintf(fd, "ALLOW");
	else if (answer == SECCOMP_RET_KILL_PROCESS)
		dprintf(fd, "KILL_PROCESS");
	else
		dprintf(fd, "%s", name ? name : "unknown");
}

/* Answers are told where they are reached, not where they stand. */
static void print_target(int fd, const struct sock_filter *insn, size_t at)
{
	if (BPF_CLASS(insn[at].code) == BPF_RET)
		print_answer(fd, insn[at].k);
	else
		dprintf(fd, "%zu", at);
}

static void print_test(int fd, const struct sock_filter *insn, size_t i,
		       const struct held *h)
{
	const struct sock_filter *f = &insn[i];
	const char *op = BPF_OP(f->code) == BPF_JEQ ? "==" : ">=";
	bool number =
		h->state == LOADED && h->offset == offsetof(struct seccomp_data, nr);
	const char *name = number ? seccomp_rules_name(f->k) : NULL;

	dprintf(fd, "if ");
	print_word(fd, h);
	if (BPF_OP(f->code) == BPF_JSET)
		dprintf(fd, " has any of %#x", f->k);
	else
		dprintf(fd, number && f->k < UINT16_MAX ? " %s %u" : " %s %#x", op, f->k);
	dprintf(fd, "%s%s%s then ", name ? " (" : "", name ? name : "", name ? ")" : "");
	print_target(fd, insn, i + 1 + f->jt);
	dprintf(fd, " else ");
	print_target(fd, insn, i + 1 + f->jf);
}

/* Prints instruction i; h is what it finds, and becomes what it leaves. */
static void print_instruction(int fd, const struct sock_filter *insn, size_t i,
			      struct held *h)
{
	const struct sock_filter *f = &insn[i];

	switch (BPF_CLASS(f->code)) {
	case BPF_LD:
		*h = (struct held){ LOADED, f->k, UINT32_MAX };
		dprintf(fd, "load ");
		print_word(fd, h);
		break;
	case BPF_ALU:
		h->mask &= f->k;
		dprintf(fd, "mask with %#x", f->k);
		break;
	case BPF_RET:
		dprintf(fd, "answer ");
		print_answer(fd, f->k);
		break;
	default:
		if (BPF_OP(f->code) == BPF_JA)
			dprintf(fd, "go to %zu", i + 1 + f->k);
		else
			print_test(fd, insn, i, h);
		break;
	}
	dprintf(fd, "\n");
}

static void print_program(int fd, const struct seccomp_code *c)
{
	static struct held held[BPF_MAXINSNS + 1];
	const struct sock_filter *insn = seccomp_code_first(c);

	for (size_t i = 0; i < c->count; i++) {
		struct held h = held[i];

		dprintf(fd, "%zu: ", i);
		print_instruction(fd, insn, i, &h);
		if (BPF_CLASS(insn[i].code) == BPF_RET)
			continue;
		if (BPF_CLASS(insn[i].code) != BPF_JMP) {
			arrive(&held[i + 1], &h);
		} else if (BPF_OP(insn[i].code) == BPF_JA) {
			arrive(&held[i + 1 + insn[i].k], &h);
		} else {
			arrive(&held[i + 1 + insn[i].jt], &h);
			arrive(&held[i + 1 + insn[i].jf], &h);
		}
	}
}

/* FNV-1a: not against forgery, only to notice a change. */
static uint64_t fingerprint(const struct seccomp_code *c)
{
	const unsigned char *byte = (const unsigned char *)seccomp_code_first(c);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < c->count * sizeof(c->insn[0]); i++)
		hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static int write_text(const char *path, const struct seccomp_code *c, struct err *e)
{
	auto_fd fd = open_output(path, e);

	if (fd < 0)
		return fd;
	dprintf(fd,
		"# The filter that policy/seccomp_rules.c makes, for reviews to show "
		"its\n"
		"# changes. Do not edit: `make golden-seccomp` writes it anew. aN is\n"
		"# the low half of an argument.\n#\n");
	print_program(fd, c);
	if (dprintf(fd, "#\n# instructions: %zu\n# fnv1a: %016llx\n", c->count,
		    (unsigned long long)fingerprint(c)) < 0)
		return err_set(e, errno, "write %s", path);
	return 0;
}

int main(int argc, char **argv)
{
	static struct seccomp_code code;
	struct err e = { 0 };
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: seccomp_gen OUT.h OUT.pfc\n");
		return 2;
	}
	r = seccomp_rules_build(&code, &e);
	if (r == 0)
		r = write_header(argv[1], &code, &e);
	if (r == 0)
		r = write_text(argv[2], &code, &e);
	if (r) {
		fprintf(stderr, "seccomp_gen: %s\n", e.msg);
		return 1;
	}
	return 0;
}
