// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Notifications only say that something changed; what is there is then dumped
 * as a whole, once for a burst: a pod that comes brings half a dozen.  A lost
 * notification (ENOBUFS) is therefore no special case.  Our user is called only
 * when the list of addresses, or the address by which this node reaches others,
 * is another one than before.
 *
 * Link-local IPv6 addresses are left out: every veth has one, and without an
 * interface's name they are nobody's address.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/nft/netdev.h"
#include "rtnl.h"

/* From the first notification of a burst until the dump. */
#define BURST_MS 50
/* After a dump that failed, or was interrupted too often. */
#define AGAIN_MS 1000
/* Each time the kernel says that the dump is not consistent. */
#define DUMP_TRIES 8
/* Notifications thrown away at once; more are left to the next turn. */
#define EVENTS_MAX 1000

static const uint8_t families[] = {AF_INET, AF_INET6};

struct link {
	unsigned int ifindex;
	bool up;
	char name[16];
};

/* What one reading found. */
struct reading {
	struct link *links; /* owned, while addresses are read */
	size_t links_n, links_room;
	struct netdev_addr *addrs; /* owned, sorted */
	size_t addrs_n, addrs_room;
	struct addr outward[2]; /* source address towards the world */
	bool failed;		/* out of memory */
};

struct netdev {
	struct loop *loop;	   /* borrowed */
	struct mnl_socket *events; /* owned */
	struct loop_fd f;
	struct timer timer; /* armed: a reading is due */
	void (*changed)(void *data);
	void *data;
	struct reading now; /* without links */
};

static void reading_free(struct reading *r)
{
	free(r->links);
	free(r->addrs);
	*r = (struct reading){0};
}

static int read_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(nlh);
	struct link link = {.ifindex = (unsigned int)m->ifi_index,
			    .up = m->ifi_flags & IFF_UP};
	struct reading *rd = data;
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(*m)) {
		if (mnl_attr_get_type(a) == IFLA_IFNAME &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			strncpy(link.name, mnl_attr_get_str(a),
				sizeof(link.name) - 1);
	}
	rd->failed |=
		ARRAY_APPEND(rd->links, rd->links_n, rd->links_room, link) < 0;
	return MNL_CB_OK;
}

static const struct link *find_link(const struct reading *rd,
				    unsigned int ifindex)
{
	for (size_t i = 0; i < rd->links_n; i++) {
		if (rd->links[i].ifindex == ifindex)
			return &rd->links[i];
	}
	return NULL;
}

static bool read_bytes(struct addr *a, uint8_t family, const struct nlattr *at)
{
	if (mnl_attr_get_payload_len(at) != addr_bytes_n(family))
		return false;
	*a = (struct addr){.family = family};
	memcpy(a->bytes, mnl_attr_get_payload(at), addr_bytes_n(family));
	return true;
}

/* An optimistic address is in use while it is tentative (RFC 4429). */
static bool is_usable(uint32_t flags)
{
	if (flags & (IFA_F_DADFAILED | IFA_F_DEPRECATED))
		return false;
	return !(flags & IFA_F_TENTATIVE) || flags & IFA_F_OPTIMISTIC;
}

static int read_addr(const struct nlmsghdr *nlh, void *data)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(nlh);
	struct reading *rd = data;
	const struct link *link = find_link(rd, m->ifa_index);
	uint32_t flags = m->ifa_flags;
	struct netdev_addr na;
	const struct nlattr *a;

	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return MNL_CB_OK;
	memset(&na, 0, sizeof(na)); /* compared as bytes */
	mnl_attr_for_each(a, nlh, sizeof(*m)) {
		uint16_t type = mnl_attr_get_type(a);

		/* On a point-to-point link IFA_ADDRESS is the peer's. */
		if (type == IFA_LOCAL ||
		    (type == IFA_ADDRESS && na.addr.family == AF_UNSPEC))
			read_bytes(&na.addr, m->ifa_family, a);
		else if (type == IFA_FLAGS &&
			 mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			flags = mnl_attr_get_u32(a);
	}
	if (na.addr.family == AF_UNSPEC ||
	    (na.addr.family == AF_INET6 && addr_is_link_local(&na.addr)))
		return MNL_CB_OK;
	na.prefix_n = m->ifa_prefixlen;
	na.scope = m->ifa_scope;
	na.ifindex = m->ifa_index;
	na.usable = is_usable(flags) && link && link->up;
	if (link)
		memcpy(na.ifname, link->name, sizeof(na.ifname));
	rd->failed |= ARRAY_APPEND(rd->addrs, rd->addrs_n, rd->addrs_room, na) <
		      0;
	return MNL_CB_OK;
}

static int dump(uint16_t type, size_t header_n, mnl_cb_t cb, struct reading *rd)
{
	uint8_t request[RTNL_REQUEST_BYTES]
		__attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct rtgenmsg *m;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_DUMP;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtgen_family = AF_UNSPEC;
	return rtnl_request(nlh, header_n, cb, rd);
}

static int read_outward(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(nlh);
	struct reading *rd = data;
	const struct nlattr *a;

	if (m->rtm_type != RTN_UNICAST ||
	    (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(a, nlh, sizeof(*m)) {
		if (mnl_attr_get_type(a) == RTA_PREFSRC)
			read_bytes(&rd->outward[m->rtm_family == AF_INET6],
				   m->rtm_family, a);
	}
	return MNL_CB_OK;
}

/*
 * Which source address would a packet to the world have?  Asked for an address
 * that exists nowhere (RFC 5737, RFC 3849); dumping the routes for the default
 * one could mean a million of them.
 */
static void ask_outward(uint8_t family, struct reading *rd)
{
	static const char *const nowhere[] = {"192.0.2.1", "2001:db8::1"};
	uint8_t request[RTNL_REQUEST_BYTES]
		__attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct addr to = {0};
	struct rtmsg *m;

	addr_parse(nowhere[family == AF_INET6], &to);
	nlh->nlmsg_type = RTM_GETROUTE;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtm_family = family;
	m->rtm_dst_len = (uint8_t)(8 * addr_bytes_n(family));
	mnl_attr_put(nlh, RTA_DST, addr_bytes_n(family), to.bytes);
	/* No route is an answer, too. */
	rtnl_request(nlh, sizeof(*m), read_outward, rd);
}

static int compare(const void *a, const void *b)
{
	const struct netdev_addr *x = a, *y = b;
	int r = addr_compare(&x->addr, &y->addr);

	if (r)
		return r;
	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

static int read_once(struct reading *rd)
{
	int r = dump(RTM_GETLINK, sizeof(struct ifinfomsg), read_link, rd);

	if (r == 0)
		r = dump(RTM_GETADDR, sizeof(struct ifaddrmsg), read_addr, rd);
	if (r == 0 && rd->failed)
		r = -ENOMEM;
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		ask_outward(families[i], rd);
	if (rd->addrs_n)
		qsort(rd->addrs, rd->addrs_n, sizeof(*rd->addrs), compare);
	return 0;
}

static int read_all(struct reading *ret_reading)
{
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < DUMP_TRIES; i++) {
		struct reading rd = {0};

		r = read_once(&rd);
		if (r == 0)
			*ret_reading = rd;
		else
			reading_free(&rd);
	}
	return r;
}

static bool reading_equal(const struct reading *a, const struct reading *b)
{
	return a->addrs_n == b->addrs_n &&
	       (a->addrs_n == 0 ||
		memcmp(a->addrs, b->addrs, a->addrs_n * sizeof(*a->addrs)) ==
			0) &&
	       addr_equal(&a->outward[0], &b->outward[0]) &&
	       addr_equal(&a->outward[1], &b->outward[1]);
}

static void on_timer(struct timer *t, uint64_t now_ms)
{
	struct netdev *d = container_of(t, struct netdev, timer);
	struct reading rd;
	bool same;

	if (read_all(&rd) < 0) {
		loop_timer_arm(d->loop, t, now_ms + AGAIN_MS);
		return;
	}
	same = reading_equal(&rd, &d->now);
	reading_free(&d->now);
	d->now = rd;
	if (!same)
		d->changed(d->data);
}

static void on_event(struct loop_fd *f, uint32_t events)
{
	struct netdev *d = container_of(f, struct netdev, f);
	uint8_t ignored[8192];

	(void)events;
	/* Whatever they say: what is there now is read as a whole. */
	for (int i = 0; i < EVENTS_MAX; i++) {
		if (recv(f->fd, ignored, sizeof(ignored), MSG_DONTWAIT) < 0 &&
		    (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
	}
	if (!timer_armed(&d->timer))
		loop_timer_arm(d->loop, &d->timer,
			       loop_now_ms(d->loop) + BURST_MS);
}

static int follow(struct netdev *d)
{
	d->events =
		mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!d->events)
		return -errno;
	if (mnl_socket_bind(d->events,
			    RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
				    RTMGRP_IPV6_IFADDR,
			    MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	d->f.fn = on_event;
	return loop_add(d->loop, &d->f, mnl_socket_get_fd(d->events), EPOLLIN);
}

int netdev_new(struct loop *l, void (*changed)(void *data), void *data,
	       struct netdev **ret_netdev, struct errbuf *e)
{
	cleanup_(netdev_freep) struct netdev *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return errf(e, -ENOMEM, "out of memory");
	d->loop = l;
	d->f.fd = -1;
	d->timer.fn = on_timer;
	d->changed = changed;
	d->data = data;
	/* First follow, then read: nothing falls in between. */
	r = follow(d);
	if (r == 0)
		r = read_all(&d->now);
	if (r < 0)
		return errf(e, r, "the node's addresses were not read: %s",
			    strerror(-r));
	*ret_netdev = TAKE_PTR(d);
	return 0;
}

void netdev_free(struct netdev *d)
{
	loop_remove(d->loop, &d->f);
	loop_timer_stop(d->loop, &d->timer);
	if (d->events)
		mnl_socket_close(d->events);
	reading_free(&d->now);
	free(d);
}

size_t netdev_addrs(const struct netdev *d,
		    const struct netdev_addr **ret_addrs)
{
	*ret_addrs = d->now.addrs;
	return d->now.addrs_n;
}

static const struct netdev_addr *find_usable(const struct netdev *d,
					     const struct addr *a)
{
	for (size_t i = 0; i < d->now.addrs_n; i++) {
		const struct netdev_addr *na = &d->now.addrs[i];

		if (na->usable && addr_equal(&na->addr, a))
			return na;
	}
	return NULL;
}

struct addr netdev_node_addr(const struct netdev *d, uint8_t family,
			     const struct addr *preferred, size_t preferred_n)
{
	const struct addr *outward = &d->now.outward[family == AF_INET6];

	for (size_t i = 0; i < preferred_n; i++) {
		if (preferred[i].family == family &&
		    find_usable(d, &preferred[i]))
			return preferred[i];
	}
	if (outward->family == family && find_usable(d, outward))
		return *outward;
	for (size_t i = 0; i < d->now.addrs_n; i++) {
		const struct netdev_addr *na = &d->now.addrs[i];

		if (na->addr.family == family && na->usable &&
		    na->scope == RT_SCOPE_UNIVERSE)
			return na->addr;
	}
	return (struct addr){0};
}
