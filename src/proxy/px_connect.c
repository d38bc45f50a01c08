// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A second leg that keeps the client's address takes its port from a range of
 * its own: with the port that the pod itself uses towards the same endpoint
 * both connections would share one conntrack entry.
 *
 * Ports of the range are tried at random.  SO_REUSEADDR lets legs to different
 * endpoints have one port; connect() says EADDRNOTAVAIL where the whole tuple
 * is taken, and then the next port is tried.  IP_LOCAL_PORT_RANGE (Linux 6.3)
 * would leave the search to the kernel, but a range outside of the namespace's
 * ip_local_port_range is ignored without an error
 * (inet_sk_get_local_port_range()), and that is where ours has to be.  An
 * explicit port has a second merit: it may take the tuple of a connection in
 * TIME_WAIT over at once (tcp_twsk_unique()), which a port that the kernel
 * chooses may not.
 *
 * Relied on: tests/kernel/port_range.c, tests/unit/test_px_source.c.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "px_connect.h"

/* With nine tenths of the range taken, all fail once in 900. */
#define PORT_TRIES 64

#define KEEPALIVE_PROBES 3
#define KEEPALIVE_MAX_S	 32767 /* MAX_TCP_KEEPIDLE, net/tcp.h */

static int set_number(int fd, int level, int option, uint32_t value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ?
		       -errno :
		       0;
}

enum px_source px_source_choose(enum plan_masquerade m, enum px_entry entry,
				const struct addr *client,
				const struct addr *endpoint)
{
	bool keep = false;

	switch (m) {
	case PLAN_KEEP:
		keep = true;
		break;
	case PLAN_UNLESS_POD:
		keep = entry == PX_FROM_POD;
		break;
	case PLAN_IF_NODE:
		keep = entry != PX_FROM_NODE;
		break;
	case PLAN_MASQUERADE:
	case PLAN_MASQUERADE_MAX_:
		break;
	}
	if (!keep || addr_is_loopback(client) || addr_equal(client, endpoint))
		return PX_SOURCE_NODE;
	return entry == PX_FROM_NODE ? PX_SOURCE_LOCAL : PX_SOURCE_CLIENT;
}

int px_connect_probe(const struct px_connect_options *o, struct errbuf *e)
{
	cleanup_(closep) int fd = -1;
	int r;

	if (o->ports_min == 0 || o->ports_max < o->ports_min)
		return errf(e, -EINVAL, "source ports %u-%u: no such range",
			    o->ports_min, o->ports_max);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errf(e, -errno, "socket: %s", strerror(errno));
	r = set_number(fd, SOL_SOCKET, SO_MARK, o->mark);
	if (r < 0)
		return errf(e, r, "packet marks (CAP_NET_ADMIN is needed): %s",
			    strerror(-r));
	r = set_number(fd, SOL_IP, IP_TRANSPARENT, 1);
	if (r < 0)
		return errf(e, r,
			    "transparent sockets (CAP_NET_ADMIN is needed): %s",
			    strerror(-r));
	return 0;
}

enum px_connect_result px_connect_classify(int error)
{
	switch (error) {
	case 0:
		return PX_CONNECT_OK;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
		return PX_CONNECT_REFUSED;
	case ETIMEDOUT:
		return PX_CONNECT_TIMEOUT;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENOPROTOOPT: /* ICMP protocol unreachable, net/ipv4/icmp.c */
		return PX_CONNECT_UNREACHABLE;
	default:
		return PX_CONNECT_LOCAL;
	}
}

static int bind_address(int fd, const struct addr *client, uint16_t port)
{
	const struct sockad at = {.addr = *client, .port = port};
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&at, &ss);

	return bind(fd, (const struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

/* The client's address at a random port of the range. */
static int bind_client(const struct px_connect_options *o, int fd,
		       const struct addr *client, struct rnd *rnd)
{
	uint32_t ports_n = o->ports_max - o->ports_min + 1u;
	int r = client->family == AF_INET ?
			set_number(fd, SOL_IP, IP_TRANSPARENT, 1) :
			set_number(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);

	if (r == 0)
		r = set_number(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	for (int i = 0; r == 0 && i < PORT_TRIES; i++) {
		uint32_t port = o->ports_min + rnd_below(rnd, ports_n);
		int b = bind_address(fd, client, (uint16_t)port);

		if (b != -EADDRINUSE)
			return b;
	}
	return r < 0 ? r : -EADDRINUSE;
}

/* An address of the node's own at a port that the kernel chooses when it
 * knows the endpoint. */
static int bind_local(int fd, const struct addr *client)
{
	int r = set_number(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);

	return r < 0 ? r : bind_address(fd, client, 0);
}

static int bind_source(const struct px_connect_options *o, int fd,
		       enum px_source source, const struct addr *client,
		       struct rnd *rnd)
{
	switch (source) {
	case PX_SOURCE_CLIENT:
		return bind_client(o, fd, client, rnd);
	case PX_SOURCE_LOCAL:
		return bind_local(fd, client);
	case PX_SOURCE_NODE:
	case PX_SOURCE_MAX_:
		break;
	}
	return 0;
}

static int new_socket(const struct px_connect_options *o, uint8_t family,
		      int *ret_fd)
{
	cleanup_(closep) int fd = -1;
	int r;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Without the mark our own SYN would be intercepted again. */
	r = set_number(fd, SOL_SOCKET, SO_MARK, o->mark);
	if (r == 0)
		r = set_number(fd, SOL_TCP, TCP_NODELAY, 1);
	if (r == 0)
		r = set_number(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Return: 0 or the errno of connect(), EINPROGRESS being a success. */
static int connect_to(int fd, const struct sockad *endpoint)
{
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(endpoint, &ss);

	if (connect(fd, (const struct sockaddr *)&ss, len) < 0 &&
	    errno != EINPROGRESS)
		return errno;
	return 0;
}

enum px_connect_result px_connect_start(const struct px_connect_options *o,
					enum px_source source,
					const struct addr *client,
					const struct sockad *endpoint,
					struct rnd *rnd, int *ret_fd)
{
	int tries = source == PX_SOURCE_CLIENT ? PORT_TRIES : 1;
	int error = 0;

	while (tries-- > 0) {
		cleanup_(closep) int fd = -1;

		if (new_socket(o, endpoint->addr.family, &fd) < 0)
			return PX_CONNECT_LOCAL;
		if (bind_source(o, fd, source, client, rnd) < 0)
			return PX_CONNECT_NO_SOURCE;
		error = connect_to(fd, endpoint);
		if (error == 0) {
			*ret_fd = TAKE_FD(fd);
			return PX_CONNECT_OK;
		}
		if (error != EADDRNOTAVAIL)
			break;
	}
	return px_connect_classify(error);
}

enum px_connect_result px_connect_finish(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	return px_connect_classify(error);
}

/* Whole seconds, upwards, within what the kernel takes. */
static uint32_t keepalive_s(uint32_t ms)
{
	uint32_t s = ms / 1000 + (ms % 1000 != 0);

	return s > KEEPALIVE_MAX_S ? KEEPALIVE_MAX_S : s;
}

void px_connect_tune(int fd, uint32_t keepalive_ms, uint32_t user_timeout_ms)
{
	if (user_timeout_ms)
		set_number(fd, SOL_TCP, TCP_USER_TIMEOUT, user_timeout_ms);
	if (!keepalive_ms)
		return;
	set_number(fd, SOL_TCP, TCP_KEEPIDLE, keepalive_s(keepalive_ms));
	set_number(fd, SOL_TCP, TCP_KEEPINTVL,
		   keepalive_s(keepalive_ms / KEEPALIVE_PROBES + 1));
	set_number(fd, SOL_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}
