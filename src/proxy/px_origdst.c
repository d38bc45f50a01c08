// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Conntrack remembers the destination of the client's SYN and answers
 * getsockopt(SO_ORIGINAL_DST) with it.  It answers for a connection that was
 * never translated, too, with the address of the socket itself: such a client
 * spoke to the listener directly.  Relied on: tests/kernel/original_dst.c.
 */
#include <errno.h>
#include <netinet/in.h>

/* After netinet/in.h, which they would redefine otherwise. */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "px_origdst.h"

static int local_address(int fd, struct sockad *ret_local)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	return sockad_from_sockaddr(&ss, ret_local);
}

int px_origdst(int fd, uint8_t family, uint16_t listener_port,
	       struct sockad *ret_dst)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	struct sockad dst, local;
	int r;

	if (family == AF_INET)
		r = getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &ss, &len);
	else
		r = getsockopt(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &ss, &len);
	if (r < 0)
		return errno == ENOENT ? -ENOTCONN : -errno;
	r = sockad_from_sockaddr(&ss, &dst);
	if (r < 0)
		return r;
	/* Another port is proof enough, and saves a system call. */
	if (dst.port == listener_port) {
		r = local_address(fd, &local);
		if (r < 0)
			return r;
		if (sockad_compare(&dst, &local) == 0)
			return -ENOTCONN;
	}
	*ret_dst = dst;
	return 0;
}
