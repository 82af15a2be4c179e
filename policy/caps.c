/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/caps.h"

/* Every bit on and locked: uid 0 means nothing, changing ids keeps nothing, and neither
 * can be undone. KEEP_CAPS itself stays off, and locked so. */
static const unsigned long securebits =
	SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
	SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
	SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

bool caps_have(int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[capability / 32].effective & (1u << (capability % 32));
}

/* Until the kernel says there is no such capability: newer ones are dropped too. */
static int drop_bounding_set(struct err *e)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL && cap > CAP_AUDIT_READ)
			return 0;
		return err_set(e, errno, "drop capability %lu from the bounding set",
			       cap);
	}
	return 0;
}

static int drop_sets(struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_set(e, errno, "clear the ambient capabilities");
	if (syscall(SYS_capset, &head, none) < 0)
		return err_set(e, errno, "clear the capability sets");
	return 0;
}

int caps_give_up(uid_t uid, gid_t gid, struct err *e)
{
	int r;

	if (prctl(PR_SET_SECUREBITS, securebits, 0, 0, 0) < 0)
		return err_set(e, errno, "lock the securebits");
	if (setresgid(gid, gid, gid) < 0)
		return err_set(e, errno, "become gid %u", (unsigned)gid);
	if (setresuid(uid, uid, uid) < 0)
		return err_set(e, errno, "become uid %u", (unsigned)uid);
	/* Changing ids has made the process dumpable as the host's fs.suid_dumpable says;
	 * until exec it still maps our memory, which nobody inside may read (E-14). */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, errno, "become non-dumpable");
	r = drop_bounding_set(e);
	if (r == 0)
		r = drop_sets(e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, errno, "set no_new_privs");
	return 0;
}
