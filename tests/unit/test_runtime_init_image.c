/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/process.h"
#include "runtime/sandbox.h"

static int open_image(void)
{
	struct err e = { 0 };
	int fd = -1;

	if (init_image_open(&fd, &e) != 0)
		fail_msg("%s", e.msg);
	assert_true(fd >= 0);
	return fd;
}

static void image_has_all_four_seals(void **state)
{
	const int wanted = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	auto_fd fd = open_image();

	(void)state;
	assert_int_equal(fcntl(fd, F_GET_SEALS) & wanted, wanted);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	assert_int_equal(errno, EPERM);
}

static void image_cannot_be_written(void **state)
{
	auto_fd fd = open_image();

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
}

static void image_cannot_be_written_by_another_name(void **state)
{
	auto_fd fd = open_image();
	auto_fd again = -1;
	char path[32];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	/* To open it may be possible: the seals are the file's. */
	if (again < 0)
		return;
	assert_int_equal(pwrite(again, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(again, 0), -1);
}

static void image_cannot_be_mapped_for_writing(void **state)
{
	auto_fd fd = open_image();

	(void)state;
	assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
		    MAP_FAILED);
	assert_int_equal(errno, EPERM);
}

static void image_cannot_change_its_size(void **state)
{
	auto_fd fd = open_image();
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size - 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, st.st_size + 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 64),
			 -1);
	assert_int_equal(errno, EPERM);
}

static void image_is_a_static_program(void **state)
{
	auto_fd fd = open_image();
	Elf64_Ehdr head;

	(void)state;
	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	assert_memory_equal(head.e_ident, ELFMAG, SELFMAG);
	for (unsigned i = 0; i < head.e_phnum; i++) {
		Elf64_Phdr segment;
		off_t at = (off_t)(head.e_phoff + i * sizeof(segment));

		assert_int_equal(pread(fd, &segment, sizeof(segment), at),
				 sizeof(segment));
		assert_int_not_equal(segment.p_type, PT_INTERP);
		/* Nothing that can be written can be executed. */
		assert_int_not_equal(segment.p_flags & (PF_W | PF_X), PF_W | PF_X);
	}
}

static void descriptor_closes_on_exec(void **state)
{
	auto_fd fd = open_image();

	(void)state;
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void every_image_is_a_file_of_its_own(void **state)
{
	auto_fd a = open_image(), b = open_image();

	(void)state;
	assert_false(fd_same_file(a, b));
}

/* Executes the image with the ends of two pipes as its lifeline and its gate. */
static struct process run_image(int lifeline, int gate)
{
	char *const argv[] = { "carrel-init", NULL }, *const envp[] = { NULL };
	struct process p = PROCESS_NONE;
	int image = open_image();

	p.pid = fork();
	if (p.pid == 0) {
		alarm(20);
		if (dup2(lifeline, 0) == 0 && dup2(gate, 1) == 1)
			execveat(image, "", argv, envp, AT_EMPTY_PATH);
		_exit(9);
	}
	close(image);
	assert_true(p.pid > 0);
	return p;
}

static void program_opens_the_gate_and_ends_with_its_lifeline(void **state)
{
	int lifeline[2], gate[2], status = -1;
	struct process p = PROCESS_NONE;
	struct err e = { 0 };
	char bytes[2];

	(void)state;
	assert_int_equal(pipe2(lifeline, O_CLOEXEC), 0);
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	p = run_image(lifeline[0], gate[1]);
	fd_close(&lifeline[0]);
	fd_close(&gate[1]);
	/* One byte, and then nobody holds the gate any more. */
	assert_int_equal(read(gate[0], bytes, sizeof(bytes)), 1);
	assert_int_equal(read(gate[0], bytes, sizeof(bytes)), 0);
	assert_int_equal(waitpid(p.pid, NULL, WNOHANG), 0);
	fd_close(&lifeline[1]);
	assert_int_equal(process_wait(&p, &status, NULL, &e), 0);
	assert_int_equal(status, 0);
	fd_close(&gate[0]);
}

static void program_has_its_own_name(void **state)
{
	int lifeline[2], gate[2];
	struct process p = PROCESS_NONE;
	char byte, path[32], name[32];

	(void)state;
	assert_int_equal(pipe2(lifeline, O_CLOEXEC), 0);
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	p = run_image(lifeline[0], gate[1]);
	assert_int_equal(read(gate[0], &byte, 1), 1);
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)p.pid);
	assert_true(fd_read_at(AT_FDCWD, path, name, sizeof(name)) > 0);
	assert_string_equal(name, "carrel-init");
	process_end(&p);
	for (int i = 0; i < 2; i++) {
		close(lifeline[i]);
		close(gate[i]);
	}
}

static void without_descriptors_it_is_an_error(void **state)
{
	struct rlimit old, none;
	struct err e = { 0 };
	int fd = 1234, r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 0, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = init_image_open(&fd, &e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_string_equal(e.msg, "create an executable memfd for carrel-init: "
				   "Too many open files");
	assert_int_equal(fd, 1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_has_all_four_seals),
		cmocka_unit_test(image_cannot_be_written),
		cmocka_unit_test(image_cannot_be_written_by_another_name),
		cmocka_unit_test(image_cannot_be_mapped_for_writing),
		cmocka_unit_test(image_cannot_change_its_size),
		cmocka_unit_test(image_is_a_static_program),
		cmocka_unit_test(descriptor_closes_on_exec),
		cmocka_unit_test(every_image_is_a_file_of_its_own),
		cmocka_unit_test(program_opens_the_gate_and_ends_with_its_lifeline),
		cmocka_unit_test(program_has_its_own_name),
		cmocka_unit_test(without_descriptors_it_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
