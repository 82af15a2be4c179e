/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/carrel.h"

int cmd_doctor(char **argv)
{
	(void)argv;
	return 125;
}
