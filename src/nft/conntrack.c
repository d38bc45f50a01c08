// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   change --SETTLE_MS--> IPv4: dump, judge, delete --> IPv6: the same --> idle
 *      ^                    |                             |
 *      +---- pause, doubled +-------- failed -------------+
 *
 * A dump is of UDP alone, and is read one buffer a turn of the loop; the kernel
 * walks its table no further than a buffer has room for, so that many flows hold
 * up nothing else.  (It walks over other connections in one go: with 200,000 of
 * TCP and 1,000 stale flows a pass takes 0.08 s of CPU, its longest turn half
 * of that.  Unfiltered it is 0.95 s.)  What of a buffer is stale is deleted
 * before the next one is asked for, on another socket: a dump's socket has
 * nothing but the dump.
 *
 * A flow is judged by what is planned when it is seen.  A change while a pass
 * is under way makes another one due, because flows that it has passed by may
 * be stale since.
 *
 * Sockets are opened for a pass and closed with it: an idle daemon holds none,
 * and a pass that broke off leaves no half-read dump behind.
 *
 * A flow whose first packet is between our rules and its entry (the entry is
 * made at the end of the packet's way through the node) is not in a dump yet.
 * SETTLE_MS lets such packets arrive before the dump begins.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>

#include "conntrack_table.h"
#include "nodesplice/base/clock.h"
#include "nodesplice/nft/conntrack.h"

#define SETTLE_MS 20
/* After a pass, so that a large table and many changes cost a tenth of a CPU;
 * at most kube-proxy's minSyncPeriod. */
#define REST_TIMES  9
#define REST_MAX_MS 1000
/* After one that failed, doubled each time. */
#define AGAIN_MIN_MS 1000
#define AGAIN_MAX_MS 30000
/* Then a pass waits for the next change: an idle daemon does nothing. */
#define ATTEMPTS_MAX 6
/* As large as the kernel makes a part of a dump (netlink_recvmsg()). */
#define BUFFER_BYTES 32768

/* CTA_FILTER_F_CTA_PROTO_NUM of the kernel's net/netfilter/nf_internals.h, which
 * no exported header has. */
#define FILTER_PROTO_NUM (1u << 3)

/* Of the one request on a dump's socket. */
#define DUMP_SEQ 1

DEFINE_FREEP(struct nf_conntrack, nfct_destroy)

static const uint8_t families[] = {AF_INET, AF_INET6};

/* A pass over the flows of one family. */
struct pass {
	bool running;
	size_t family;			/* index */
	struct mnl_socket *dump, *edit; /* owned */
	uint32_t edits_n;		/* the number of a deletion */
	uint64_t started_us, deleted_n;
	int error; /* it went on, but must be repeated */
};

struct conntrack {
	struct loop *loop; /* borrowed */
	struct conntrack_callbacks cb;
	struct conntrack_table *table; /* owned */
	struct pass pass;
	struct loop_fd dump;
	struct timer next;
	bool due;	    /* something changed since the passes began */
	uint64_t worked_us; /* in the passes since they began */
	uint64_t rest_until_ms;
	uint32_t attempts;
	struct conntrack_stats stats;
	uint8_t buffer[BUFFER_BYTES];
};

static void close_socket(struct mnl_socket **s)
{
	if (*s)
		mnl_socket_close(TAKE_PTR(*s));
}

static void close_pass(struct conntrack *c)
{
	loop_remove(c->loop, &c->dump);
	close_socket(&c->pass.dump);
	close_socket(&c->pass.edit);
	c->pass.running = false;
}

/* --- the kernel ------------------------------------------------------- */

static int open_socket(struct mnl_socket **ret_s)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER,
						SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (!s)
		return -errno;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		mnl_socket_close(s);
		return r;
	}
	*ret_s = s;
	return 0;
}

static struct nlmsghdr *put_header(void *buf, uint16_t type, uint16_t flags,
				   uint8_t family, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	return nlh;
}

/* UDP alone.  Since 5.8; an earlier kernel tells everything, which is judged
 * as well.  libnetfilter_conntrack 1.0.9 can't ask for it. */
static void put_filter(struct nlmsghdr *nlh)
{
	struct nlattr *tuple = mnl_attr_nest_start(nlh, CTA_TUPLE_ORIG);
	struct nlattr *inner = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);

	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, IPPROTO_UDP);
	mnl_attr_nest_end(nlh, inner);
	mnl_attr_nest_end(nlh, tuple);
	inner = mnl_attr_nest_start(nlh, CTA_FILTER);
	mnl_attr_put_u32(nlh, CTA_FILTER_ORIG_FLAGS, FILTER_PROTO_NUM);
	mnl_attr_nest_end(nlh, inner);
}

static int ask_for_dump(struct conntrack *c)
{
	struct pass *p = &c->pass;
	uint8_t buf[256];
	struct nlmsghdr *nlh = put_header(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP,
					  families[p->family], DUMP_SEQ);

	put_filter(nlh);
	if (mnl_socket_sendto(p->dump, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return 0;
}

/* The kernel deletes within sendto(), its answer is there then. */
static int delete_flow(struct pass *p, const struct nf_conntrack *ct)
{
	cleanup_(nfct_destroyp) struct nf_conntrack *key = nfct_new();
	uint8_t buf[1024]; /* a tuple; the answer quotes it */
	struct nlmsghdr *nlh = put_header(buf, IPCTNL_MSG_CT_DELETE, NLM_F_ACK,
					  families[p->family], ++p->edits_n);
	ssize_t n;

	if (!key)
		return -ENOMEM;
	nfct_copy(key, ct, NFCT_CP_ORIG);
	if (nfct_nlmsg_build(nlh, key) < 0)
		return -EINVAL;
	/* This very flow, not one that took its place. */
	if (nfct_attr_is_set(ct, ATTR_ID))
		mnl_attr_put_u32(nlh, CTA_ID,
				 htonl(nfct_get_attr_u32(ct, ATTR_ID)));
	if (mnl_socket_sendto(p->edit, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(p->edit, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, p->edits_n,
			  mnl_socket_get_portid(p->edit), NULL, NULL) < 0 ?
		       -errno :
		       0;
}

int conntrack_load(void)
{
	cleanup_(close_socket) struct mnl_socket *s = NULL;
	uint8_t buf[1024]; /* the number of flows, in one message */
	struct nlmsghdr *nlh = put_header(buf, IPCTNL_MSG_CT_GET_STATS, 0,
					  AF_UNSPEC, DUMP_SEQ);
	int r = open_socket(&s);
	ssize_t n;

	if (r < 0)
		return r;
	/* Whoever asks has the kernel look for who answers
	 * (nfnetlink_rcv_msg(), "nfnetlink-subsys-1"). */
	if (mnl_socket_sendto(s, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(s, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, DUMP_SEQ, mnl_socket_get_portid(s),
			  NULL, NULL) < 0 ?
		       -errno :
		       0;
}

static void read_end(const struct nf_conntrack *ct, uint8_t family,
		     enum nf_conntrack_attr addr4, enum nf_conntrack_attr addr6,
		     enum nf_conntrack_attr port, struct sockad *ret_at)
{
	const void *bytes =
		nfct_get_attr(ct, family == AF_INET ? addr4 : addr6);

	*ret_at = (struct sockad){.addr = {.family = family}};
	if (bytes)
		memcpy(ret_at->addr.bytes, bytes, addr_bytes_n(family));
	ret_at->port = ntohs(nfct_get_attr_u16(ct, port));
}

/* In a zone other rules than ours are at work. */
static bool in_zone(const struct nf_conntrack *ct)
{
	static const enum nf_conntrack_attr zones[] = {
		ATTR_ZONE, ATTR_ORIG_ZONE, ATTR_REPL_ZONE};

	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		if (nfct_attr_is_set(ct, zones[i]) &&
		    nfct_get_attr_u16(ct, zones[i]) != 0)
			return true;
	}
	return false;
}

static bool is_stale(const struct conntrack *c, const struct nf_conntrack *ct)
{
	uint8_t family = families[c->pass.family];
	struct conntrack_flow flow;

	if (nfct_get_attr_u8(ct, ATTR_L4PROTO) != IPPROTO_UDP ||
	    nfct_get_attr_u8(ct, ATTR_L3PROTO) != family || in_zone(ct))
		return false;
	read_end(ct, family, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST,
		 ATTR_ORIG_PORT_DST, &flow.to);
	read_end(ct, family, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC,
		 ATTR_REPL_PORT_SRC, &flow.from);
	return conntrack_table_is_stale(c->table, &flow);
}

static int judge_flow(struct conntrack *c, const struct nlmsghdr *nlh)
{
	cleanup_(nfct_destroyp) struct nf_conntrack *ct = nfct_new();
	int r;

	if (!ct)
		return -ENOMEM;
	c->stats.flows++;
	if (nfct_nlmsg_parse(nlh, ct) < 0 || !is_stale(c, ct))
		return 0;
	r = delete_flow(&c->pass, ct);
	c->pass.deleted_n += r == 0;
	if (r < 0 && r != -ENOENT) { /* which has ended by itself */
		c->stats.not_deleted++;
		c->pass.error = r;
	}
	return 0;
}

/* Return: 0; 1 at the end of the dump; -errno */
static int read_message(struct conntrack *c, const struct nlmsghdr *nlh)
{
	const void *payload = mnl_nlmsg_get_payload(nlh);
	size_t n = mnl_nlmsg_get_payload_len(nlh);
	int error = 0;

	if (nlh->nlmsg_seq != DUMP_SEQ)
		return 0;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		c->pass.error = -EINTR; /* flows may be missing */
	if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR) {
		/* Both begin with the error. */
		if (n >= sizeof(error))
			memcpy(&error, payload, sizeof(error));
		return error < 0 ? error : 1;
	}
	if (nlh->nlmsg_type < NLMSG_MIN_TYPE)
		return 0;
	return judge_flow(c, nlh);
}

/* --- passes ----------------------------------------------------------- */

static void arm(struct conntrack *c, uint64_t at_ms)
{
	loop_timer_arm(c->loop, &c->next, at_ms);
}

/* What is due comes SETTLE_MS from now, unless the last pass was so long that a
 * rest follows it. */
static void arm_due(struct conntrack *c)
{
	uint64_t at_ms = loop_now_ms(c->loop) + SETTLE_MS;

	arm(c, at_ms > c->rest_until_ms ? at_ms : c->rest_until_ms);
}

static void fail(struct conntrack *c, int error)
{
	uint32_t again_ms = AGAIN_MIN_MS << c->attempts;
	struct errbuf e;

	close_pass(c);
	c->stats.passes_failed++;
	c->due = true;
	if (again_ms > AGAIN_MAX_MS)
		again_ms = AGAIN_MAX_MS;
	if (++c->attempts >= ATTEMPTS_MAX)
		again_ms = 0;
	else
		arm(c, loop_now_ms(c->loop) + again_ms);
	errf(&e, error, "the kernel's list of connections: %s",
	     strerror(-error));
	c->cb.failed(e.text, again_ms, c->cb.data);
}

static void all_passed(struct conntrack *c)
{
	uint64_t rest_ms = c->worked_us * REST_TIMES / 1000;

	c->rest_until_ms = loop_now_ms(c->loop) +
			   (rest_ms < REST_MAX_MS ? rest_ms : REST_MAX_MS);
	c->attempts = 0;
	conntrack_table_end(c->table);
	if (c->due)
		arm_due(c);
}

static int open_pass(struct conntrack *c)
{
	struct pass *p = &c->pass;
	int r = open_socket(&p->dump);

	if (r == 0)
		r = open_socket(&p->edit);
	if (r == 0)
		r = ask_for_dump(c);
	if (r == 0)
		r = loop_add(c->loop, &c->dump, mnl_socket_get_fd(p->dump),
			     EPOLLIN);
	return r;
}

/* The next family that has frontends, from @family on. */
static void begin_family(struct conntrack *c, size_t family)
{
	int r;

	while (family < ARRAY_SIZE(families) &&
	       !conntrack_table_has(c->table, families[family]))
		family++;
	if (family == ARRAY_SIZE(families)) {
		all_passed(c);
		return;
	}
	c->pass = (struct pass){.running = true,
				.family = family,
				.started_us = clock_now_us()};
	r = open_pass(c);
	if (r < 0)
		fail(c, r);
}

static void end_family(struct conntrack *c)
{
	struct pass *p = &c->pass;

	if (p->error) {
		fail(c, p->error);
		return;
	}
	close_pass(c);
	c->stats.passes++;
	c->cb.passed(families[p->family], clock_now_us() - p->started_us,
		     p->deleted_n, c->cb.data);
	begin_family(c, p->family + 1);
}

static void on_next(struct timer *t, uint64_t now_ms)
{
	struct conntrack *c = container_of(t, struct conntrack, next);

	(void)now_ms;
	c->due = false;
	c->worked_us = 0;
	conntrack_table_begin(c->table);
	begin_family(c, 0);
}

/* One buffer of the dump.  Return: 0; 1 at its end; -errno */
static int read_dump(struct conntrack *c)
{
	ssize_t n =
		mnl_socket_recvfrom(c->pass.dump, c->buffer, sizeof(c->buffer));
	const struct nlmsghdr *nlh = (const void *)c->buffer;
	int left = (int)n, r = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (; r == 0 && mnl_nlmsg_ok(nlh, left);
	     nlh = mnl_nlmsg_next(nlh, &left))
		r = read_message(c, nlh);
	return r;
}

static void on_dump(struct loop_fd *f, uint32_t events)
{
	struct conntrack *c = container_of(f, struct conntrack, dump);
	uint64_t start_us = clock_now_us();
	int r = read_dump(c);

	(void)events;
	c->worked_us += clock_now_us() - start_us;
	if (r < 0)
		fail(c, r);
	else if (r > 0)
		end_family(c);
}

/* --- our user --------------------------------------------------------- */

static void want(struct conntrack *c)
{
	c->due = true;
	c->attempts = 0;
	if (!c->pass.running && !timer_armed(&c->next))
		arm_due(c);
}

void conntrack_changed(struct conntrack *c, const struct plan_changes *changes,
		       bool full)
{
	bool changed = full;

	for (size_t i = 0; i < changes->n; i++)
		changed |= conntrack_table_change(c->table,
						  changes->items[i].before,
						  changes->items[i].after);
	if (changed)
		want(c);
}

void conntrack_held(const struct sockad *frontend,
		    const struct sockad *endpoint, void *conntrack)
{
	struct conntrack *c = conntrack;

	conntrack_table_held(c->table, frontend, endpoint);
}

void conntrack_node_ports(struct conntrack *c, const struct addr *addrs,
			  size_t addrs_n)
{
	if (conntrack_table_node_ports(c->table, addrs, addrs_n))
		want(c);
}

int conntrack_new(struct loop *l, const struct conntrack_callbacks *cb,
		  struct conntrack **ret_conntrack)
{
	cleanup_(conntrack_freep) struct conntrack *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->loop = l;
	c->cb = *cb;
	c->dump.fd = -1;
	c->dump.fn = on_dump;
	c->next.fn = on_next;
	r = conntrack_table_new(&c->table);
	if (r < 0)
		return r;
	*ret_conntrack = TAKE_PTR(c);
	return 0;
}

void conntrack_free(struct conntrack *c)
{
	close_pass(c);
	loop_timer_stop(c->loop, &c->next);
	if (c->table)
		conntrack_table_free(c->table);
	free(c);
}

void conntrack_stats(const struct conntrack *c,
		     struct conntrack_stats *ret_stats)
{
	*ret_stats = c->stats;
	ret_stats->forgotten = conntrack_table_forgotten_n(c->table);
}
