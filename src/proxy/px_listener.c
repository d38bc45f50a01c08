// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "nodesplice/base/addr.h"
#include "nodesplice/base/mem.h"
#include "px_congestion.h"
#include "px_listener.h"

static int set_on(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int bound_socket(uint8_t family, uint16_t port, bool shared, int *ret_fd)
{
	const struct sockad any = {.addr.family = family, .port = port};
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&any, &ss);
	cleanup_(closep) int fd = -1;
	int r;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Connections of an earlier run must not keep the port from us. */
	r = set_on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (r == 0 && shared)
		r = set_on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (r == 0 && family == AF_INET6)
		r = set_on(fd, SOL_IPV6, IPV6_V6ONLY);
	if (r < 0)
		return r;
	if (bind(fd, (const struct sockaddr *)&ss, len) < 0)
		return errno == EADDRNOTAVAIL ? -EAFNOSUPPORT : -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int px_listener_open(uint8_t family, uint16_t port, const char *congestion,
		     int *ret_fd)
{
	cleanup_(closep) int fd = -1;
	int r = bound_socket(family, port, true, &fd);

	/* Inherited by what is accepted (inet_csk_clone_lock() copies them):
	 * no coalescing of small writes, urgent bytes stay in the stream. */
	if (r == 0)
		r = set_on(fd, SOL_TCP, TCP_NODELAY);
	if (r == 0)
		r = set_on(fd, SOL_SOCKET, SO_OOBINLINE);
	if (r < 0)
		return r;
	px_congestion_set(fd, congestion);
	if (listen(fd, SOMAXCONN) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int px_listener_probe(uint8_t family, uint16_t port)
{
	cleanup_(closep) int fd = -1;

	return bound_socket(family, port, false, &fd);
}
