/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "tests/lib/bpf_eval.h"

/* The registers and the scratch memory of classic BPF. */
struct machine {
	uint32_t a;
	uint32_t x;
	uint32_t mem[BPF_MEMWORDS];
};

static int load(struct machine *m, const struct sock_filter *f,
		const struct seccomp_data *data)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		if (f->k % 4 != 0 || f->k > sizeof(*data) - 4)
			return -EINVAL;
		memcpy(&m->a, (const char *)data + f->k, sizeof(m->a));
		return 0;
	case BPF_LD | BPF_W | BPF_LEN:
		m->a = sizeof(*data);
		return 0;
	case BPF_LD | BPF_IMM:
		m->a = f->k;
		return 0;
	case BPF_LD | BPF_MEM:
		if (f->k >= BPF_MEMWORDS)
			return -EINVAL;
		m->a = m->mem[f->k];
		return 0;
	default:
		return -EINVAL;
	}
}

static int load_x_or_store(struct machine *m, const struct sock_filter *f)
{
	if (f->code == (BPF_LDX | BPF_W | BPF_LEN)) {
		m->x = sizeof(struct seccomp_data);
		return 0;
	}
	if (f->code == (BPF_LDX | BPF_IMM)) {
		m->x = f->k;
		return 0;
	}
	if (f->k >= BPF_MEMWORDS)
		return -EINVAL;
	switch (f->code) {
	case BPF_LDX | BPF_MEM:
		m->x = m->mem[f->k];
		return 0;
	case BPF_ST:
		m->mem[f->k] = m->a;
		return 0;
	case BPF_STX:
		m->mem[f->k] = m->x;
		return 0;
	default:
		return -EINVAL;
	}
}

static int arithmetic(struct machine *m, const struct sock_filter *f)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_ADD:
		m->a += v;
		return 0;
	case BPF_SUB:
		m->a -= v;
		return 0;
	case BPF_AND:
		m->a &= v;
		return 0;
	case BPF_OR:
		m->a |= v;
		return 0;
	case BPF_XOR:
		m->a ^= v;
		return 0;
	case BPF_LSH:
		m->a = v < 32 ? m->a << v : 0;
		return 0;
	case BPF_RSH:
		m->a = v < 32 ? m->a >> v : 0;
		return 0;
	case BPF_NEG:
		m->a = -m->a;
		return 0;
	default: /* no filter of ours multiplies or divides */
		return -EINVAL;
	}
}

/* How many instructions to skip. */
static int jump(const struct machine *m, const struct sock_filter *f, uint32_t *ret_skip)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;
	bool yes;

	switch (BPF_OP(f->code)) {
	case BPF_JA:
		*ret_skip = f->k;
		return 0;
	case BPF_JEQ:
		yes = m->a == v;
		break;
	case BPF_JGT:
		yes = m->a > v;
		break;
	case BPF_JGE:
		yes = m->a >= v;
		break;
	case BPF_JSET:
		yes = (m->a & v) != 0;
		break;
	default:
		return -EINVAL;
	}
	*ret_skip = yes ? f->jt : f->jf;
	return 0;
}

static int step(struct machine *m, const struct sock_filter *f,
		const struct seccomp_data *data, uint32_t *ret_skip)
{
	*ret_skip = 0;
	switch (BPF_CLASS(f->code)) {
	case BPF_LD:
		return load(m, f, data);
	case BPF_LDX:
	case BPF_ST:
	case BPF_STX:
		return load_x_or_store(m, f);
	case BPF_ALU:
		return arithmetic(m, f);
	case BPF_JMP:
		return jump(m, f, ret_skip);
	case BPF_MISC:
		if (BPF_MISCOP(f->code) == BPF_TAX)
			m->x = m->a;
		else
			m->a = m->x;
		return 0;
	default:
		return -EINVAL;
	}
}

int bpf_eval(const struct sock_fprog *program, const struct seccomp_data *data,
	     uint32_t *ret_answer)
{
	struct machine m = { 0 };

	for (uint64_t pc = 0; pc < program->len; pc++) {
		const struct sock_filter *f = &program->filter[pc];
		uint32_t skip;
		int r;

		if (BPF_CLASS(f->code) == BPF_RET) {
			*ret_answer = BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
			return 0;
		}
		r = step(&m, f, data, &skip);
		if (r)
			return r;
		pc += skip;
	}
	return -EINVAL;
}
