/* SPDX-License-Identifier: Apache-2.0 */
/* Records of what sandboxes have on the host. They are root's own, but a crash can leave
 * anything in them. */
#include <sys/stat.h>

#include "runtime/record.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int state_dir = -1;
	static char path[96];
	struct record record;
	struct err e;

	if (state_dir < 0) {
		state_dir = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (state_dir < 0 || mkdirat(state_dir, "run", 0700) < 0)
			abort();
		snprintf(path, sizeof(path), "%s/run/%x", fuzz_directory(), 0x10000);
	}
	fuzz_write(path, data, size);
	if (record_read(state_dir, 0x10000, &record, &e) < 0)
		return 0;
	bug_on(record.group_count > CGROUP_TREE_MAX);
	for (unsigned i = 0; i < record.group_count; i++)
		bug_on(record.groups[i][0] != '/');
	bug_on(!memchr(record.host_end, '\0', sizeof(record.host_end)));
	bug_on(record.init < 0);
	return 0;
}
