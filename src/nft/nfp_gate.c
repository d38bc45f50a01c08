// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * The intercept asks the set "gate" for the packet's family before anything
 * else, and an element of it lives three seconds.  A datagram of ours over lo
 * is caught by the chain "heartbeat", which renews the element and drops the
 * packet: sendto(2) says EPERM, and that means that it worked.  By a packet and
 * never by a transaction, because each transaction makes the dumps of others
 * start again, and a listing of 100,000 elements would never end.
 *
 * Who calls decides whether the proxy is fit to take connections; not calling
 * is all it takes to close the gate, on purpose or because we hang.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "nfp_gate.h"
#include "nodesplice/base/addr.h"

struct nfp_gate {
	int fd[2]; /* IPv4, IPv6; -1: the kernel has not got the family */
};

static int open_marked(int family, uint32_t mark, int *ret_fd)
{
	cleanup_(closep) int fd =
		socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int nfp_gate_new(uint32_t own_mark, struct nfp_gate **ret_gate,
		 struct errbuf *e)
{
	static const int families[] = {AF_INET, AF_INET6};
	cleanup_(nfp_gate_freep) struct nfp_gate *g = malloc(sizeof(*g));

	if (!g)
		return errf(e, -ENOMEM, "out of memory");
	*g = (struct nfp_gate){.fd = {-1, -1}};
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		int r = open_marked(families[i], own_mark, &g->fd[i]);

		if (r < 0 && r != -EAFNOSUPPORT)
			return errf(e, r,
				    "marked socket for heartbeats not opened: "
				    "%s%s",
				    strerror(-r),
				    r == -EPERM ? " (CAP_NET_ADMIN is needed)" :
						  "");
	}
	*ret_gate = TAKE_PTR(g);
	return 0;
}

void nfp_gate_free(struct nfp_gate *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(g->fd); i++)
		closep(&g->fd[i]);
	free(g);
}

static struct sockad loopback(uint8_t family, uint16_t port)
{
	struct sockad at = {.addr = {.family = family}, .port = port};

	if (family == AF_INET)
		at.addr.v4.s_addr = htonl(INADDR_LOOPBACK);
	else
		at.addr.v6 = in6addr_loopback;
	return at;
}

int nfp_gate_refresh(struct nfp_gate *g, uint8_t family, uint16_t port)
{
	const struct sockad at = loopback(family, port);
	int fd = g->fd[family == AF_INET6];
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&at, &ss);

	if (fd < 0)
		return -EAFNOSUPPORT;
	if (sendto(fd, "", 0, 0, (const struct sockaddr *)&ss, len) >= 0)
		return -ENOENT; /* it went on its way */
	return errno == EPERM ? 0 : -errno;
}
