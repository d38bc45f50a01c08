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
 * chooses may not.  So when the kernel's own ports towards an endpoint are used
 * up (28,000 of them: 470 connections a second that the client ends first),
 * legs with the node's address take a port of the range as well.
 *
 * Relied on: tests/kernel/port_range.c, tests/unit/test_px_source.c.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "px_congestion.h"
#include "px_connect.h"

/* With nine tenths of the range taken, all fail once in 900. */
#define PORT_TRIES 64

static int set_number(int fd, int level, int option, uint32_t value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ?
		       -errno :
		       0;
}

enum px_source px_source_choose(enum plan_masquerade m, enum px_entry entry,
				const struct addr *client,
				const struct addr *endpoint, bool own)
{
	bool keep = own && entry != PX_FROM_NODE;

	switch (m) {
	case PLAN_KEEP:
		keep = true;
		break;
	case PLAN_UNLESS_POD:
		keep |= entry == PX_FROM_POD;
		break;
	case PLAN_IF_NODE:
		keep |= entry != PX_FROM_NODE;
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

struct attempt {
	const struct px_connect_options *o;
	const struct px_connect_want *want;
	struct addr from; /* bound, unless the kernel chooses all */
	bool own_port;	  /* a port of the range */
	struct rnd *rnd;
};

/* A random port of the range. */
static int bind_own_port(const struct attempt *a, int fd)
{
	uint32_t ports_n = a->o->ports_max - a->o->ports_min + 1u;
	int r = set_number(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	for (int i = 0; r == 0 && i < PORT_TRIES; i++) {
		uint32_t port = a->o->ports_min + rnd_below(a->rnd, ports_n);
		int b = bind_address(fd, &a->from, (uint16_t)port);

		if (b != -EADDRINUSE)
			return b;
	}
	return r < 0 ? r : -EADDRINUSE;
}

static int bind_source(const struct attempt *a, int fd)
{
	const bool v4 = a->want->endpoint->addr.family == AF_INET;
	int r = 0;

	if (a->want->source == PX_SOURCE_CLIENT)
		r = v4 ? set_number(fd, SOL_IP, IP_TRANSPARENT, 1) :
			 set_number(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
	if (r == 0 && a->own_port)
		return bind_own_port(a, fd);
	if (r < 0 || a->want->source == PX_SOURCE_NODE)
		return r;
	r = set_number(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return r < 0 ? r : bind_address(fd, &a->from, 0);
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
	/* On this side of a handshake it delays the last packet of it, see
	 * tcp_rcv_synsent_state_process(), for the first bytes to go along.
	 * Relied on: tests/kernel/late_ack.c. */
	if (r == 0)
		r = set_number(fd, SOL_TCP, TCP_DEFER_ACCEPT, 1);
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

/* The address that the node itself would use towards the endpoint. */
static int node_address(const struct attempt *a, struct addr *ret_from)
{
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(a->want->endpoint, &ss);
	cleanup_(closep) int fd = -1;
	struct sockad local;
	int r;

	fd = socket(a->want->endpoint->addr.family, SOCK_DGRAM | SOCK_CLOEXEC,
		    0);
	if (fd < 0)
		return -errno;
	r = set_number(fd, SOL_SOCKET, SO_MARK, a->o->mark);
	if (r < 0)
		return r;
	if (connect(fd, (const struct sockaddr *)&ss, len) < 0)
		return -errno;
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	r = sockad_from_sockaddr(&ss, &local);
	if (r == 0)
		*ret_from = local.addr;
	return r;
}

/* @ret_taken: the tuple was in use; another port may do */
static enum px_connect_result try_once(const struct attempt *a, bool *ret_taken,
				       int *ret_fd)
{
	cleanup_(closep) int fd = -1;
	int error;

	*ret_taken = false;
	if (new_socket(a->o, a->want->endpoint->addr.family, &fd) < 0)
		return PX_CONNECT_LOCAL;
	px_congestion_set(fd, a->want->congestion);
	if (bind_source(a, fd) < 0)
		return a->want->source == PX_SOURCE_NODE ? PX_CONNECT_LOCAL :
							   PX_CONNECT_NO_SOURCE;
	error = connect_to(fd, a->want->endpoint);
	*ret_taken = error == EADDRNOTAVAIL;
	if (error == 0)
		*ret_fd = TAKE_FD(fd);
	return px_connect_classify(error);
}

enum px_connect_result px_connect_start(const struct px_connect_options *o,
					const struct px_connect_want *want,
					struct rnd *rnd, int *ret_fd)
{
	struct attempt a = {.o = o,
			    .want = want,
			    .from = *want->client,
			    .own_port = want->source == PX_SOURCE_CLIENT,
			    .rnd = rnd};
	bool taken;
	enum px_connect_result r = try_once(&a, &taken, ret_fd);

	if (taken && want->source == PX_SOURCE_NODE &&
	    node_address(&a, &a.from) < 0)
		return r;
	a.own_port = true;
	for (int i = 1; taken && i < PORT_TRIES; i++)
		r = try_once(&a, &taken, ret_fd);
	return r;
}

void px_connect_acknowledge(int fd)
{
	set_number(fd, SOL_TCP, TCP_QUICKACK, 1);
}

enum px_connect_result px_connect_finish(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	return px_connect_classify(error);
}
