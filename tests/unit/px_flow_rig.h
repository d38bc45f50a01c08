/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_flow_rig.h - the data path in a network namespace of its own
 *
 * The process moves to a new namespace ("node") with VIPs that a few lines of
 * nft redirect to the workers; "pod" and "remote" are behind a veth each.  The
 * workers are threads of the test; clients and backends are sockets in it.
 * Every wait has a deadline far above what is needed; none is a measurement.
 */
#pragma once

#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/proxy/px.h"

/* Helpers of a test that one of them may not need. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define RIG_WAIT_MS  20000
#define RIG_MARK     0x40000000u
#define RIG_PORT     15001 /* .. +2: one for each entry */
#define RIG_KEPT_MIN 61000
#define RIG_KEPT_MAX 64999

#define RIG_VIP4      "10.96.0.10"
#define RIG_VIP6      "fd96::10"
#define RIG_POD4      "10.244.0.2"
#define RIG_POD6      "fd44::2"
#define RIG_REMOTE4   "10.245.0.2"
#define RIG_REMOTE6   "fd45::2"
#define RIG_ENDPOINTS 4

#define VIP  RIG_VIP4 ":80"
#define VIP6 "[" RIG_VIP6 "]:80"
#define EP1  "127.0.0.2:8080"
#define EP2  "127.0.0.3:8080"

struct rig {
	struct loop *loop;
	struct px *px;
	uint64_t applied;
	uint64_t generation;
	int node_ns, pod_ns, remote_ns;
	struct policy policy;
	struct service_plan *present; /* what px was told last */
};

static struct rig rig;

static void rig_sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void rig_sh(const char *fmt, ...)
{
	char command[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static void rig_in_ns(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static int rig_new_ns(void)
{
	int ns;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(ns >= 0);
	rig_sh("ip link set lo up");
	return ns;
}

/* A veth from the node: .1 or ::1 here, .2 or ::2 there. */
static void rig_attach(int ns, const char *link, const char *net4,
		       const char *net6)
{
	rig_sh("ip link add %s type veth peer name eth0 netns /proc/%d/fd/%d &&"
	       "ip link set %s up && ip addr add %s.1/24 dev %s &&"
	       "ip -6 addr add %s::1/64 dev %s nodad",
	       link, getpid(), ns, link, net4, link, net6, link);
	rig_in_ns(ns);
	rig_sh("ip link set eth0 up && ip addr add %s.2/24 dev eth0 &&"
	       "ip -6 addr add %s::2/64 dev eth0 nodad &&"
	       "ip route add default via %s.1 &&"
	       "ip -6 route add default via %s::1",
	       net4, net6, net4, net6);
	rig_in_ns(rig.node_ns);
}

/* Return: false: not permitted here */
static bool rig_namespaces(void)
{
	if (unshare(CLONE_NEWNET) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	rig.pod_ns = rig_new_ns();
	rig.remote_ns = rig_new_ns();
	rig.node_ns = rig_new_ns();
	rig_sh("ip addr add 10.0.0.1/32 dev lo &&"
	       "ip -6 addr add fd00::1/128 dev lo nodad &&"
	       "ip route add 10.96.0.0/16 dev lo src 10.0.0.1 &&"
	       "ip -6 route add fd96::/112 dev lo src fd00::1 &&"
	       "echo 1 > /proc/sys/net/ipv4/ip_forward &&"
	       "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
	rig_attach(rig.pod_ns, "pod", "10.244.0", "fd44");
	rig_attach(rig.remote_ns, "remote", "10.245.0", "fd45");
	return true;
}

/* The intercept and the return path, as short as they can be. */
static void rig_ruleset(void)
{
	FILE *nft = popen("nft -f -", "w");

	fprintf(nft,
		"table inet rig {\n"
		" chain out { type nat hook output priority -101;\n"
		"  meta mark %#x return\n"
		"  ip daddr 10.96.0.0/16 tcp dport 1-60000 redirect to :%d\n"
		"  ip6 daddr fd96::/112 tcp dport 1-60000 redirect to :%d; }\n"
		" chain pre { type nat hook prerouting priority -101;\n"
		"  iifname pod ip daddr 10.96.0.0/16 tcp dport 1-60000"
		"   dnat ip to 10.244.0.1:%d\n"
		"  iifname pod ip6 daddr fd96::/112 tcp dport 1-60000"
		"   dnat ip6 to [fd44::1]:%d; }\n"
		" chain own { type filter hook output priority 0;\n"
		"  meta mark %#x fib saddr type != local"
		"   ct mark set ct mark or 1; }\n"
		" chain back { type filter hook prerouting priority -150;\n"
		"  ct direction reply ct mark and 1 == 1 meta mark set 2; }\n"
		" chain backlocal { type route hook output priority -150;\n"
		"  ct direction reply ct mark and 1 == 1 meta mark set 2; }\n"
		" chain silent { type filter hook input priority 0;\n"
		"  ip daddr 127.0.0.99 drop; }\n"
		"}\n",
		RIG_MARK, RIG_PORT, RIG_PORT, RIG_PORT + 1, RIG_PORT + 1,
		RIG_MARK);
	assert_int_equal(pclose(nft), 0);
	rig_sh("ip rule add fwmark 2 lookup 77 &&"
	       "ip route add local default dev lo table 77 &&"
	       "ip -6 rule add fwmark 2 lookup 77 &&"
	       "ip -6 route add local default dev lo table 77");
}

static void rig_applied(uint64_t generation, void *data)
{
	struct rig *r = data;

	assert_true(generation > r->applied);
	r->applied = generation;
}

static void rig_start_with(struct px_options o)
{
	struct errbuf e = {""};

	for (int i = 0; i < PX_ENTRY_MAX_; i++)
		o.port[i] = (uint16_t)(RIG_PORT + i);
	o.socket_mark = RIG_MARK;
	o.kept_ports_min = RIG_KEPT_MIN;
	o.kept_ports_max = RIG_KEPT_MAX;
	policy_init(&rig.policy);
	rig.applied = rig.generation = 0;
	assert_int_equal(loop_new(&rig.loop), 0);
	if (px_start(rig.loop, &o, rig_applied, &rig, &rig.px, &e) < 0)
		fail_msg("px_start: %s", e.text);
}

static void rig_start(unsigned int workers_n, uint64_t splice_from_bytes)
{
	rig_start_with(
		(struct px_options){.workers_n = workers_n,
				    .splice_from_bytes = splice_from_bytes});
}

static void rig_start_limited(uint32_t max_connections)
{
	rig_start_with((struct px_options){.workers_n = 1,
					   .max_connections = max_connections});
}

static void rig_plan_free(struct service_plan *sp)
{
	if (!sp)
		return;
	for (size_t i = 0; i < sp->ports_n; i++) {
		free(sp->ports[i].endpoints);
		free(sp->ports[i].frontends);
		free(sp->ports[i].name);
	}
	free(sp->ports);
	free(sp->key);
	free(sp);
}

static void rig_stop(void)
{
	px_free(rig.px);
	loop_free(rig.loop);
	rig_plan_free(rig.present);
	rig.px = NULL;
	rig.loop = NULL;
	rig.present = NULL;
}

static struct sockad rig_sockad(const char *text)
{
	struct sockad s;

	assert_int_equal(sockad_parse(text, &s), 0);
	return s;
}

/* One Service of one port: @vip, "a:p b:p ..." behind it. */
static struct service_plan *rig_service(const char *vip, const char *endpoints,
					enum plan_masquerade m)
{
	struct service_plan *sp = calloc(1, sizeof(*sp));
	struct plan_port *p = calloc(1, sizeof(*p));
	char copy[512], *save = NULL;

	sp->key = strdup("default/web");
	sp->proxied = true;
	sp->policy = rig.policy;
	sp->ports = p;
	sp->ports_n = 1;
	p->name = strdup("default/web:http");
	p->frontends = calloc(1, sizeof(*p->frontends));
	p->frontends_n = 1;
	p->frontends[0].at = rig_sockad(vip);
	p->family = p->frontends[0].at.addr.family;
	for (int i = 0; i < PLAN_SIDE_MAX_; i++)
		p->frontends[0].view[i] = (struct plan_view){
			.verdict = PLAN_PICK, .masquerade = m, .proxied = true};
	p->endpoints = calloc(RIG_ENDPOINTS, sizeof(*p->endpoints));
	snprintf(copy, sizeof(copy), "%s", endpoints);
	for (char *one = strtok_r(copy, " ", &save); one;
	     one = strtok_r(NULL, " ", &save)) {
		p->endpoints[p->endpoints_n++] = (struct plan_endpoint){
			.at = rig_sockad(one), .in = {true, true}};
		p->in_scope_n[0]++;
		p->in_scope_n[1]++;
	}
	return sp;
}

static void rig_wait_applied(void)
{
	uint64_t until_ms = clock_now_ms() + RIG_WAIT_MS;

	while (rig.applied < rig.generation) {
		assert_int_equal(loop_turn(rig.loop, 100), 0);
		assert_true(clock_now_ms() < until_ms);
	}
}

/* Tell the workers; @after is the rig's from now on. */
static void rig_apply(struct service_plan *after)
{
	struct plan_change change = {
		.key = "default/web", .before = rig.present, .after = after};
	struct plan_changes changes = {.items = &change, .n = 1};

	assert_int_equal(px_apply(rig.px, &changes, ++rig.generation), 0);
	rig_plan_free(rig.present);
	rig.present = after;
	rig_wait_applied();
}

static struct px_stats rig_stats(void)
{
	struct px_stats s;

	px_stats(rig.px, &s);
	return s;
}

/* Wait for a condition on the counters, @s being the latest. */
#define RIG_WAIT_FOR(s, condition)                                             \
	do {                                                                   \
		uint64_t until_ms_ = clock_now_ms() + RIG_WAIT_MS;             \
                                                                               \
		while ((s) = rig_stats(), !(condition)) {                      \
			if (clock_now_ms() >= until_ms_)                       \
				fail_msg("never: %s", #condition);             \
			usleep(1000);                                          \
		}                                                              \
	} while (0)

static void rig_deadline(int fd)
{
	const struct timeval tv = {.tv_sec = RIG_WAIT_MS / 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int rig_socket(const struct sockad *s)
{
	int fd = socket(s->addr.family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	rig_deadline(fd);
	return fd;
}

static int rig_bind(const char *at)
{
	struct sockad s = rig_sockad(at);
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&s, &ss);
	const int on = 1;
	int fd = rig_socket(&s);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len) < 0)
		fail_msg("bind %s: %s", at, strerror(errno));
	return fd;
}

static int rig_listen(const char *at)
{
	int fd = rig_bind(at);

	assert_int_equal(listen(fd, 128), 0);
	return fd;
}

/* Return: 0 or the errno */
static int rig_try_connect(int fd, const char *to)
{
	struct sockad s = rig_sockad(to);
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&s, &ss);

	return connect(fd, (struct sockaddr *)&ss, len) < 0 ? errno : 0;
}

static int rig_connect(const char *to)
{
	struct sockad s = rig_sockad(to);
	int fd = rig_socket(&s);
	int error = rig_try_connect(fd, to);

	if (error)
		fail_msg("connect %s: %s", to, strerror(error));
	return fd;
}

/* Also tells whom the backend sees. */
static int rig_accept(int listener, struct sockad *ret_peer)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd = accept4(listener, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC);

	if (fd < 0)
		fail_msg("accept: %s", strerror(errno));
	rig_deadline(fd);
	if (ret_peer)
		assert_int_equal(sockad_from_sockaddr(&ss, ret_peer), 0);
	return fd;
}

static void rig_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL),
			 strlen(text));
}

static void rig_expect(int fd, const char *text)
{
	char buf[256] = "";
	size_t n = strlen(text);

	assert_int_equal(recv(fd, buf, n, MSG_WAITALL), n);
	assert_string_equal(buf, text);
}

static void rig_expect_end(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), 0);
}

static void rig_expect_reset(int fd)
{
	char c;
	ssize_t n;

	do {
		n = recv(fd, &c, 1, 0);
	} while (n > 0);
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
}

/* A client that is accepted and reset; connect() itself may be told of it. */
static void rig_connect_reset(const char *to)
{
	struct sockad s = rig_sockad(to);
	int fd = rig_socket(&s);
	int error = rig_try_connect(fd, to);

	if (error)
		assert_int_equal(error, ECONNRESET);
	else
		rig_expect_reset(fd);
	close(fd);
}

/* After the end was read: the reset is seen by the poll alone. */
static void rig_wait_reset(int fd)
{
	struct pollfd p = {.fd = fd};

	assert_int_equal(poll(&p, 1, RIG_WAIT_MS), 1);
	assert_true(p.revents & POLLERR);
}

static void rig_reset(int fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* A connection through the proxy to one backend. */
struct rig_pair {
	int listener, client, backend;
};

static struct rig_pair rig_pair_open_at(const char *vip, const char *endpoint)
{
	struct rig_pair p;

	p.listener = rig_listen(endpoint);
	rig_apply(rig_service(vip, endpoint, PLAN_KEEP));
	p.client = rig_connect(vip);
	p.backend = rig_accept(p.listener, NULL);
	return p;
}

static struct rig_pair rig_pair_open(void)
{
	return rig_pair_open_at(VIP, EP1);
}

static void rig_pair_close(struct rig_pair *p)
{
	close(p->client);
	close(p->backend);
	close(p->listener);
}

/* --- for cmocka: of a group, and of a test --- */

static int rig_open(void **state)
{
	(void)state;
	if (!rig_namespaces())
		return -1;
	rig_ruleset();
	return 0;
}

static int rig_two_workers(void **state)
{
	(void)state;
	rig_start(2, 0);
	return 0;
}

static int rig_close(void **state)
{
	(void)state;
	rig_stop();
	return 0;
}
