/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of carrel. */
#pragma once

/* Each gets the words behind its name, NULL-terminated, and returns the exit status. */
int cmd_run(char **argv);
int cmd_network(char **argv);
int cmd_doctor(char **argv);
