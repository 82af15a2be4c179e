/* SPDX-License-Identifier: Apache-2.0 */
/* carrel: finds the subcommand and hands over to it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "runtime/runtime.h"
#include "tools/carrel.h"

static int cmd_help(char **argv);
static int cmd_version(char **argv);

static const struct command {
	const char *name, *usage, *help;
	int (*run)(char **argv);
} commands[] = {
	{ "run", "[OPTIONS] [--] COMMAND [ARG...]",
	  "run one command in a sandbox of its own, gone afterwards", cmd_run },
	{ "ensure", "[OPTIONS] NAME", "make a sandbox, start it, or find it running",
	  cmd_ensure },
	{ "exec", "[OPTIONS] NAME [--] COMMAND [ARG...]", "run a command in it",
	  cmd_exec },
	{ "ps", "[-a] [-q] [--format json]", "list sandboxes", cmd_ps },
	{ "inspect", "NAME...", "print what is enforced on them", cmd_inspect },
	{ "stats", "[--no-stream] [NAME]", "show what they use", cmd_stats },
	{ "top", "[OPTIONS]", "the same, on the whole screen", cmd_top },
	{ "events", "[--no-stream]", "print what happens to them", cmd_events },
	{ "stop", "[-t TIME] NAME...", "end everything in them", cmd_stop },
	{ "rm", "[-f] NAME...", "forget stopped ones", cmd_rm },
	{ "pause", "NAME...", "freeze them", cmd_pause },
	{ "unpause", "NAME...", "let them go on", cmd_unpause },
	{ "touch", "NAME...", "put their idle timeout off", cmd_touch },
	{ "execs", "[-q] NAME", "list the commands in one", cmd_execs },
	{ "kill", "[-s SIGNAL] NAME EXEC", "send a signal to a command", cmd_kill },
	{ "cancel", "NAME EXEC", "end a command and all that it started", cmd_cancel },
	{ "wait", "NAME EXEC", "wait for a detached command", cmd_wait },
	{ "logs", "[-f] NAME EXEC", "print what a detached command wrote", cmd_logs },
	{ "reap", "", "stop the idle ones", cmd_reap },
	{ "shutdown", "[--rm]", "stop all", cmd_shutdown },
	{ "info", "", "who listens, and what you may have", cmd_info },
	{ "metrics", "", "figures for Prometheus", cmd_metrics },
	{ "network", "up|down|show [OPTIONS]", "the host's side of filtered egress",
	  cmd_network },
	{ "policy", "check|show [OPTIONS] [NAME|FILE]",
	  "check policies, or show what is in force", cmd_policy },
	{ "rootfs", "ls|import|rm [OPTIONS]", "root directories by name", cmd_rootfs },
	{ "doctor", "[OPTIONS]", "try everything that carrel needs of this host's kernel",
	  cmd_doctor },
	{ "help", "", "print this", cmd_help },
	{ "version", "", "print carrel's version", cmd_version },
};

static int finish_output(void)
{
	if (fflush(stdout) == 0)
		return 0;
	perror("carrel: write to standard output");
	return RUN_STATUS_FAILED;
}

static int cmd_version(char **argv)
{
	(void)argv;
	printf("carrel %s\n", CARREL_VERSION);
	return finish_output();
}

static int cmd_help(char **argv)
{
	(void)argv;
	printf("Usage: carrel COMMAND ...\n\n"
	       "Sandboxes for the commands of AI agents, built directly on the "
	       "kernel.\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		printf("  %-8s %-36s %s\n", commands[i].name, commands[i].usage,
		       commands[i].help);
	printf("\n`carrel COMMAND --help` says more; so does carrel(1).\n");
	return finish_output();
}

/* A descriptor that we open must never become somebody's standard input or output. */
static int fill_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* The lowest free number is fd: those below are in use. Without
		 * close-on-exec, for the command gets it. lint: inherited on purpose */
		if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	char shown[128];

	if (fill_standard_descriptors() < 0) {
		perror("carrel: open /dev/null as a standard descriptor");
		return RUN_STATUS_FAILED;
	}
	if (!name) {
		fprintf(stderr, "carrel: no command given; `carrel help` lists them\n");
		return RUN_STATUS_FAILED;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version"))
		name = "version";
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argv + 2);
	}
	fprintf(stderr, "carrel: \"%s\" is not a command; `carrel help` lists them\n",
		str_escape(shown, sizeof(shown), name));
	return RUN_STATUS_FAILED;
}
