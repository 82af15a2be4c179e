/* SPDX-License-Identifier: Apache-2.0 */
/* Build-time program: writes the `default` filter as a C header and as readable text. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/seccomp_rules.h"

/*
 * seccomp_gen OUT.h OUT.pfc
 *
 * The runtime then neither links libseccomp nor spends a millisecond on compiling. The
 * text is for reviews: policy/seccomp_default.pfc is the copy in the tree, and its last
 * lines pin the bytes.
 */

/* The exported program. 4096 is the kernel's own limit. */
struct program {
	struct sock_filter insn[4096];
	size_t count;
};

static int export_program(scmp_filter_ctx ctx, struct program *p, struct err *e)
{
	auto_fd fd = memfd_create("seccomp", MFD_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return err_set(e, errno, "create a memory file");
	r = seccomp_export_bpf(ctx, fd);
	if (r)
		return err_set(e, -r, "export the program");
	n = pread(fd, p->insn, sizeof(p->insn), 0);
	if (n < 0)
		return err_set(e, errno, "read the program back");
	p->count = (size_t)n / sizeof(p->insn[0]);
	return 0;
}

/* FNV-1a: not against forgery, only to notice a change. */
static uint64_t fingerprint(const struct program *p)
{
	const unsigned char *byte = (const unsigned char *)p->insn;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < p->count * sizeof(p->insn[0]); i++)
		hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static const char *machine(void)
{
	switch (seccomp_arch_native()) {
	case SCMP_ARCH_X86_64:
		return "x86_64";
	case SCMP_ARCH_AARCH64:
		return "aarch64";
	default:
		return "other";
	}
}

static int open_output(const char *path, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 ? err_set(e, errno, "create %s", path) : fd;
}

static int write_header(const char *path, const struct program *p, struct err *e)
{
	const struct scmp_version *v = seccomp_version();
	auto_fd fd = open_output(path, e);

	if (fd < 0)
		return fd;
	dprintf(fd, "/* Made by policy/seccomp_gen.c; do not edit. */\n#pragma once\n\n");
	dprintf(fd, "#include <linux/filter.h>\n\n");
	dprintf(fd, "#define SECCOMP_DEFAULT_MADE_BY \"libseccomp %u.%u.%u %s\"\n\n",
		v->major, v->minor, v->micro, machine());
	dprintf(fd, "static const struct sock_filter seccomp_default_filter[] = {\n");
	for (size_t i = 0; i < p->count; i++) {
		const struct sock_filter *f = &p->insn[i];

		dprintf(fd, "\t{ 0x%02x, %u, %u, 0x%08x },\n", f->code, f->jt, f->jf,
			f->k);
	}
	if (dprintf(fd, "};\n") < 0)
		return err_set(e, errno, "write %s", path);
	return 0;
}

static int write_text(const char *path, scmp_filter_ctx ctx, const struct program *p,
		      struct err *e)
{
	const struct scmp_version *v = seccomp_version();
	auto_fd fd = open_output(path, e);
	int r;

	if (fd < 0)
		return fd;
	dprintf(fd, "# The filter that policy/seccomp_rules.c makes, for reviews to show "
		    "its\n"
		    "# changes. Do not edit: `make golden-seccomp` writes it anew.\n#\n");
	r = seccomp_export_pfc(ctx, fd);
	if (r)
		return err_set(e, -r, "export the text");
	if (lseek(fd, 0, SEEK_END) < 0)
		return err_set(e, errno, "seek in %s", path);
	if (dprintf(fd,
		    "# made by: libseccomp %u.%u.%u %s\n# instructions: %zu\n"
		    "# fnv1a: %016llx\n",
		    v->major, v->minor, v->micro, machine(), p->count,
		    (unsigned long long)fingerprint(p)) < 0)
		return err_set(e, errno, "write %s", path);
	return 0;
}

static int generate(const char *header, const char *text, struct err *e)
{
	static struct program program;
	scmp_filter_ctx ctx = NULL;
	int r = seccomp_rules_build(&ctx, e);

	if (r)
		return r;
	r = export_program(ctx, &program, e);
	if (r == 0)
		r = write_header(header, &program, e);
	if (r == 0)
		r = write_text(text, ctx, &program, e);
	seccomp_release(ctx);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };

	if (argc != 3) {
		fprintf(stderr, "usage: seccomp_gen OUT.h OUT.pfc\n");
		return 2;
	}
	if (generate(argv[1], argv[2], &e) < 0) {
		fprintf(stderr, "seccomp_gen: %s\n", e.msg);
		return 1;
	}
	return 0;
}
