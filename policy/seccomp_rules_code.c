/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/seccomp_rules_code.h"
#include "base/err.h"

#define JUMP_MAX UINT8_MAX /* of a comparison; JA has 32 bits */

static const struct sock_filter *insn_at(const struct seccomp_code *c, size_t spot)
{
	return &c->insn[BPF_MAXINSNS - spot];
}

const struct sock_filter *seccomp_code_first(const struct seccomp_code *c)
{
	return insn_at(c, c->count);
}

/* The nearest spot from `from` on that holds such an instruction, or 0. */
static size_t find(const struct seccomp_code *c, unsigned int code, uint32_t k,
		   size_t from)
{
	for (size_t spot = from; spot > 0; spot--) {
		if (insn_at(c, spot)->code == code && insn_at(c, spot)->k == k)
			return spot;
	}
	return 0;
}

static size_t put(struct seccomp_code *c, unsigned int code, size_t jt, size_t jf,
		  uint32_t k)
{
	if (c->count == BPF_MAXINSNS) {
		c->too_long = true;
		return c->count;
	}
	c->count++;
	c->insn[BPF_MAXINSNS - c->count] = (struct sock_filter){
		.code = (uint16_t)code, .jt = (uint8_t)jt, .jf = (uint8_t)jf, .k = k
	};
	return c->count;
}

size_t seccomp_code_return(struct seccomp_code *c, uint32_t answer)
{
	size_t spot = find(c, BPF_RET | BPF_K, answer, c->count);

	return spot ? spot : put(c, BPF_RET | BPF_K, 0, 0, answer);
}

/* A spot that leads to target and that the next instruction reaches, even when room
 * more come between: target itself, a copy of the answer there, or a jump to it. */
static size_t reach(struct seccomp_code *c, size_t target, size_t room)
{
	const struct sock_filter *f = insn_at(c, target);
	bool answer = BPF_CLASS(f->code) == BPF_RET;

	if (answer)
		target = find(c, f->code, f->k, c->count);
	if (c->count - target + room <= JUMP_MAX)
		return target;
	return put(c, answer ? f->code : BPF_JMP | BPF_JA, 0, 0,
		   answer ? f->k : (uint32_t)(c->count - target));
}

size_t seccomp_code_test(struct seccomp_code *c, unsigned int op, uint32_t k, size_t yes,
			 size_t no)
{
	unsigned int code = BPF_JMP | op | BPF_K;

	for (size_t s = find(c, code, k, c->count); s > 0; s = find(c, code, k, s - 1)) {
		if (s - 1 - insn_at(c, s)->jt == yes && s - 1 - insn_at(c, s)->jf == no)
			return s;
	}
	yes = reach(c, yes, 1);
	no = reach(c, no, 0);
	return put(c, code, c->count - yes, c->count - no, k);
}

/* An instruction that goes on with the one behind it. */
static size_t put_before(struct seccomp_code *c, unsigned int code, uint32_t k,
			 size_t next)
{
	for (size_t s = find(c, code, k, c->count); s > 0; s = find(c, code, k, s - 1)) {
		if (s - 1 == next)
			return s;
	}
	if (next != c->count)
		put(c, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(c->count - next));
	return put(c, code, 0, 0, k);
}

size_t seccomp_code_load(struct seccomp_code *c, size_t offset, size_t next)
{
	return put_before(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, next);
}

size_t seccomp_code_mask(struct seccomp_code *c, uint32_t mask, size_t next)
{
	return put_before(c, BPF_ALU | BPF_AND | BPF_K, mask, next);
}
