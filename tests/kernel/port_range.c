// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * port_range - why ports of kept sources are bound explicitly
 *
 * IP_LOCAL_PORT_RANGE (Linux 6.3) takes a range outside of the namespace's
 * ip_local_port_range without an error and then ignores it
 * (inet_sk_get_local_port_range()).  px_connect.c needs just such a range.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#define NOT_TRIED 77
#define MIN_PORT  61000 /* the namespace's own range ends at 60999 */
#define MAX_PORT  61999

int main(void)
{
	const uint32_t range = MIN_PORT | (uint32_t)MAX_PORT << 16;
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return NOT_TRIED;
	if (system("ip link set lo up") != 0)
		return 1;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (setsockopt(fd, SOL_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)) <
	    0)
		return errno == ENOPROTOOPT ? NOT_TRIED : 1;
	if (bind(fd, (struct sockaddr *)&at, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
		fprintf(stderr, "bind: %s\n", strerror(errno));
		return 1;
	}
	close(fd);
	if (ntohs(at.sin_port) >= MIN_PORT && ntohs(at.sin_port) <= MAX_PORT) {
		fprintf(stderr, "not so: port %u is of the range\n",
			ntohs(at.sin_port));
		return 1;
	}
	return 0;
}
