/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "netns/loopback.h"

int netns_loopback_up(struct err *e)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return err_set(e, errno, "open a socket in the new network namespace");
	if (ioctl(sock, SIOCSIFFLAGS, &ifr) < 0)
		return err_set(e, errno, "bring up the loopback interface");
	return 0;
}
