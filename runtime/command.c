/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/command.h"

/* Whoever exec'ed on a stack has left its marks, which the next mapping there inherits.
 */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define forget_marks(stack, size) __asan_unpoison_memory_region(stack, size)
#else
#define forget_marks(stack, size) ((void)0)
#endif

enum {
	STACK_SIZE = 65536, /* a few paths and a message deep */
	GUARD_SIZE = 4096,
};

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int command_check_fds(const int *fds, unsigned count, struct err *e)
{
	for (unsigned i = 0; i < count; i++) {
		struct stat st;
		int flags = fcntl(fds[i], F_GETFL);

		if (flags < 0 || fstat(fds[i], &st) < 0)
			return err_set(e, errno, "use descriptor %u", i);
		if (S_ISDIR(st.st_mode) || (flags & O_PATH))
			return err_say(e, EBADF,
				       "descriptor %u is a directory or only a path", i);
	}
	return 0;
}

pid_t command_clone(struct clone_args *args, void (*fn)(void *arg), void *arg,
		    struct err *e)
{
	void *stack = mmap(NULL, STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	pid_t pid;

	if (stack == MAP_FAILED || mprotect(stack, GUARD_SIZE, PROT_NONE) < 0)
		return err_set(e, errno, "make a stack for the command's process");
	forget_marks(stack, STACK_SIZE + GUARD_SIZE);
	args->flags |= CLONE_VM | CLONE_VFORK;
	args->stack = (uintptr_t)stack + GUARD_SIZE;
	args->stack_size = STACK_SIZE;
	pid = sys_clone3_here(args, fn, arg);
	if (pid < 0)
		err_set(e, errno, "clone the command");
	munmap(stack, STACK_SIZE + GUARD_SIZE);
	return pid;
}

int command_own_pipes(unsigned count, uid_t uid, gid_t gid, struct err *e)
{
	for (int fd = 0; fd < (int)count; fd++) {
		struct statfs fs;

		if (fstatfs(fd, &fs) < 0)
			return err_set(e, errno, "look at descriptor %d", fd);
		if (fs.f_type == PIPEFS_MAGIC && fchown(fd, uid, gid) < 0)
			return err_set(e, errno, "own the pipe of descriptor %d", fd);
	}
	return 0;
}

int command_enter_directory(const char *path, struct err *e)
{
	char cwd[PATH_MAX];
	auto_fd dir =
		sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS);

	if (dir < 0)
		return err_set(e, errno, "working directory %s", path);
	if (fchdir(dir) < 0)
		return err_set(e, errno, "enter working directory %s", path);
	if (!getcwd(cwd, sizeof(cwd)))
		return err_set(e, errno, "enter working directory %s", path);
	if (cwd[0] != '/')
		return err_say(e, EXDEV, "working directory %s is outside of the sandbox",
			       path);
	return 0;
}

static const char *path_of(char *const *envp)
{
	for (; *envp; envp++) {
		if (!strncmp(*envp, "PATH=", 5))
			return *envp + 5;
	}
	return DEFAULT_PATH;
}

/* Tries each directory of PATH, as execvp(3) does but with the payload's environment and
 * without falling back to a shell. Returns the errno of the best failure. */
static int exec_in_path(const char *name, char *const *argv, char *const *envp)
{
	int best = ENOENT;

	for (const char *dir = path_of(envp); dir;) {
		const char *colon = strchrnul(dir, ':');
		char path[PATH_MAX];

		if (str_format(path, sizeof(path), "%.*s%s%s", (int)(colon - dir), dir,
			       colon > dir ? "/" : "./", name) == 0) {
			execve(path, argv, envp);
			if (errno != ENOENT && errno != ENOTDIR)
				best = errno;
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return errno;
		}
		dir = *colon ? colon + 1 : NULL;
	}
	return best;
}

int command_exec(char *const *argv, char *const *envp, struct err *e)
{
	const char *name = argv[0];
	int errnum;

	if (strchr(name, '/')) {
		execve(name, argv, envp);
		errnum = errno;
	} else {
		errnum = exec_in_path(name, argv, envp);
	}
	return err_set(e, errnum, "%s", name);
}
