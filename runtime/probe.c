/* SPDX-License-Identifier: Apache-2.0 */
/* What the host offers, each proved by trying. */
#include <errno.h>
#include <linux/capability.h>

#include "runtime/runtime.h"

static const struct {
	int number;
	const char *name;
} needed[] = {
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
	{ CAP_SETUID, "CAP_SETUID" },
	{ CAP_SETGID, "CAP_SETGID" },
	{ CAP_SETPCAP, "CAP_SETPCAP" },
	{ CAP_MKNOD, "CAP_MKNOD" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
	{ CAP_KILL, "CAP_KILL" },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE" },
	{ CAP_SYS_CHROOT, "CAP_SYS_CHROOT" },
	{ CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE" },
	{ CAP_CHOWN, "CAP_CHOWN" },
	{ CAP_FOWNER, "CAP_FOWNER" },
};

int probe_privilege(struct err *e)
{
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		if (!caps_have(needed[i].number))
			return err_say(e, EPERM, "needs root: %s is missing",
				       needed[i].name);
	}
	return 0;
}
