/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of carrel. */
#pragma once

/* Each gets the words behind its name, NULL-terminated, and returns the exit status. */
int cmd_run(char **argv);
int cmd_network(char **argv);
int cmd_doctor(char **argv);
int cmd_policy(char **argv);
int cmd_rootfs(char **argv);

/* These ask carreld. */
int cmd_ensure(char **argv);
int cmd_exec(char **argv);
int cmd_ps(char **argv);
int cmd_inspect(char **argv);
int cmd_stats(char **argv);
int cmd_top(char **argv);
int cmd_events(char **argv);
int cmd_stop(char **argv);
int cmd_rm(char **argv);
int cmd_pause(char **argv);
int cmd_unpause(char **argv);
int cmd_touch(char **argv);
int cmd_execs(char **argv);
int cmd_kill(char **argv);
int cmd_cancel(char **argv);
int cmd_wait(char **argv);
int cmd_logs(char **argv);
int cmd_reap(char **argv);
int cmd_shutdown(char **argv);
int cmd_info(char **argv);
int cmd_metrics(char **argv);
