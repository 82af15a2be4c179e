/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/sys.h"
#include "runtime/sandbox.h"

/* Defined in init_bytes.S. */
extern const char init_image_start[], init_image_end[];

int init_image_open(int *ret_fd, struct err *e)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	auto_fd fd =
		memfd_create("carrel-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	int r;

	/* Kernels before 6.3 do not know MFD_EXEC; theirs are executable anyway. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("carrel-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_set(e, errno, "create an executable memfd for carrel-init");
	r = fd_write_all(fd, init_image_start,
			 (size_t)(init_image_end - init_image_start));
	if (r < 0)
		return err_set(e, -r, "copy carrel-init into a memfd");
	if (fcntl(fd, F_ADD_SEALS, seals) < 0)
		return err_set(e, errno, "seal carrel-init");
	*ret_fd = fd_take(&fd);
	return 0;
}
