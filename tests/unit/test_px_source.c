// SPDX-License-Identifier: GPL-2.0-or-later
/* Whose address the endpoint sees, and from which port. */
#include "px_flow_rig.h"

#include "../../src/proxy/px_connect.h"

#define NODE4  "10.0.0.1"
#define NODE6  "fd00::1"
#define REMOTE RIG_REMOTE4 ":8080"

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static void the_source_is_what_kube_proxy_would_send(void **state)
{
	static const struct {
		enum plan_masquerade m;
		enum px_source from[PX_ENTRY_MAX_];
	} rows[] = {
		{PLAN_KEEP,
		 {PX_SOURCE_LOCAL, PX_SOURCE_CLIENT, PX_SOURCE_CLIENT}},
		{PLAN_UNLESS_POD,
		 {PX_SOURCE_NODE, PX_SOURCE_CLIENT, PX_SOURCE_NODE}},
		{PLAN_IF_NODE,
		 {PX_SOURCE_NODE, PX_SOURCE_CLIENT, PX_SOURCE_CLIENT}},
		{PLAN_MASQUERADE,
		 {PX_SOURCE_NODE, PX_SOURCE_NODE, PX_SOURCE_NODE}},
	};
	/* What is for the node itself passes no postrouting. */
	static const enum px_source to_the_node[] = {
		[PX_FROM_POD] = PX_SOURCE_CLIENT,
		[PX_FROM_OUTSIDE] = PX_SOURCE_CLIENT,
	};
	struct addr client = addr_of("10.244.0.2");
	struct addr endpoint = addr_of("10.244.0.3");
	struct addr loopback = addr_of("127.0.0.1");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (int e = 0; e < PX_ENTRY_MAX_; e++) {
			enum px_entry entry = (enum px_entry)e;

			assert_int_equal(px_source_choose(rows[i].m, entry,
							  &client, &endpoint,
							  false),
					 rows[i].from[e]);
			if (entry != PX_FROM_NODE)
				assert_int_equal(
					px_source_choose(rows[i].m, entry,
							 &client, &endpoint,
							 true),
					to_the_node[e]);
			/* Hairpin, and what no other host could answer. */
			assert_int_equal(px_source_choose(rows[i].m, entry,
							  &client, &client,
							  true),
					 PX_SOURCE_NODE);
			assert_int_equal(px_source_choose(rows[i].m, entry,
							  &loopback, &endpoint,
							  true),
					 PX_SOURCE_NODE);
		}
	}
}

/* Listen at @endpoint in namespace @ns, come from the pod, tell whom the
 * backend saw. */
static struct sockad seen_of(int ns, const char *vip, const char *endpoint,
			     enum plan_masquerade m, bool own)
{
	struct service_plan *sp;
	struct sockad peer;
	int listener, client, backend;

	rig_in_ns(ns);
	listener = rig_listen(endpoint);
	rig_in_ns(rig.node_ns);
	sp = rig_service(vip, endpoint, m);
	sp->ports[0].endpoints[0].own = own;
	rig_apply(sp);
	rig_in_ns(rig.pod_ns);
	client = rig_connect(vip);
	rig_in_ns(rig.node_ns);
	backend = rig_accept(listener, &peer);
	rig_send(client, "question");
	rig_expect(backend, "question");
	rig_send(backend, "answer");
	rig_expect(client, "answer");
	close(client);
	close(backend);
	close(listener);
	return peer;
}

static struct sockad seen_by(int ns, const char *vip, const char *endpoint,
			     enum plan_masquerade m)
{
	return seen_of(ns, vip, endpoint, m, false);
}

static void assert_kept(const struct sockad *peer, const char *client)
{
	struct addr a = addr_of(client);

	assert_true(addr_equal(&peer->addr, &a));
	assert_in_range(peer->port, RIG_KEPT_MIN, RIG_KEPT_MAX);
}

static void assert_from(const struct sockad *peer, const char *address)
{
	struct addr a = addr_of(address);

	assert_true(addr_equal(&peer->addr, &a));
}

static void a_routed_endpoint_sees_the_pod(void **state)
{
	struct sockad peer = seen_by(rig.remote_ns, VIP, REMOTE, PLAN_KEEP);

	(void)state;
	assert_kept(&peer, RIG_POD4);
}

static void a_routed_endpoint_sees_the_pod_ipv6(void **state)
{
	struct sockad peer = seen_by(rig.remote_ns, VIP6,
				     "[" RIG_REMOTE6 "]:8080", PLAN_UNLESS_POD);

	(void)state;
	assert_kept(&peer, RIG_POD6);
}

static void an_endpoint_on_the_node_sees_the_pod(void **state)
{
	struct sockad peer =
		seen_by(rig.node_ns, VIP, NODE4 ":8080", PLAN_KEEP);

	(void)state;
	assert_kept(&peer, RIG_POD4);
}

static void an_endpoint_on_the_node_sees_the_pod_ipv6(void **state)
{
	struct sockad peer =
		seen_by(rig.node_ns, VIP6, "[" NODE6 "]:8080", PLAN_KEEP);

	(void)state;
	assert_kept(&peer, RIG_POD6);
}

/* As on the kernel path: what is for the node passes no postrouting. */
static void a_pod_of_the_nodes_namespace_sees_whoever_asks(void **state)
{
	struct sockad peer =
		seen_of(rig.node_ns, VIP, NODE4 ":8080", PLAN_MASQUERADE, true);

	(void)state;
	assert_kept(&peer, RIG_POD4);
	peer = seen_of(rig.node_ns, VIP6, "[" NODE6 "]:8080", PLAN_MASQUERADE,
		       true);
	assert_kept(&peer, RIG_POD6);
}

static void a_masqueraded_client_is_seen_as_the_node(void **state)
{
	struct sockad peer =
		seen_by(rig.remote_ns, VIP, REMOTE, PLAN_MASQUERADE);

	(void)state;
	assert_from(&peer, "10.245.0.1");
}

static void a_pod_that_reaches_itself_sees_the_node(void **state)
{
	struct sockad peer =
		seen_by(rig.pod_ns, VIP, RIG_POD4 ":8080", PLAN_KEEP);

	(void)state;
	assert_from(&peer, "10.244.0.1");
}

static void a_client_on_the_node_keeps_its_address(void **state)
{
	int listener, client, backend;
	struct sockad peer;

	(void)state;
	rig_in_ns(rig.remote_ns);
	listener = rig_listen(REMOTE);
	rig_in_ns(rig.node_ns);
	rig_apply(rig_service(VIP, REMOTE, PLAN_KEEP));
	client = rig_connect(VIP);
	backend = rig_accept(listener, &peer);
	assert_from(&peer, NODE4);
	close(client);
	close(backend);
	close(listener);
}

/* A link-local address cannot be bound without its link. */
static void a_source_that_cannot_be_kept_is_refused(void **state)
{
	struct px_stats s;

	(void)state;
	rig_apply(rig_service(VIP6, "[" RIG_REMOTE6 "]:8080", PLAN_KEEP));
	rig_in_ns(rig.pod_ns);
	rig_sh("ip -6 addr flush dev eth0 && "
	       "ip -6 addr add fe80::2/64 dev eth0 nodad && "
	       "ip -6 route replace fd44::/64 dev eth0 && "
	       "ip -6 route replace default via fd44::1");
	rig_connect_reset(VIP6);
	rig_in_ns(rig.node_ns);
	RIG_WAIT_FOR(s, s.reset == 1);
	assert_int_equal(s.transparent_failed, 1);
	assert_int_equal(s.connects, 1); /* another endpoint would not help */
	rig_in_ns(rig.pod_ns);
	rig_sh("ip -6 addr add " RIG_POD6 "/64 dev eth0 nodad");
	rig_in_ns(rig.node_ns);
}

/* --- ports, without a proxy around --- */

static struct sockad local_of(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	struct sockad s;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(sockad_from_sockaddr(&ss, &s), 0);
	return s;
}

static enum px_connect_result leg(const struct px_connect_options *o,
				  const char *endpoint, struct rnd *rnd,
				  int *ret_fd)
{
	struct addr client = addr_of(RIG_POD4);
	struct sockad at = rig_sockad(endpoint);

	const struct px_connect_want want = {
		.source = PX_SOURCE_CLIENT, .client = &client, .endpoint = &at};

	return px_connect_start(o, &want, rnd, ret_fd);
}

static void one_port_serves_two_endpoints_but_one_leg_each(void **state)
{
	const struct px_connect_options o = {.mark = RIG_MARK,
					     .ports_min = RIG_KEPT_MIN,
					     .ports_max = RIG_KEPT_MIN};
	struct rnd rnd = {.state = 1};
	int listener[2], fd[2], third;

	(void)state;
	rig_in_ns(rig.remote_ns);
	listener[0] = rig_listen(RIG_REMOTE4 ":8081");
	listener[1] = rig_listen(RIG_REMOTE4 ":8082");
	rig_in_ns(rig.node_ns);
	assert_int_equal(leg(&o, RIG_REMOTE4 ":8081", &rnd, &fd[0]), 0);
	assert_int_equal(leg(&o, RIG_REMOTE4 ":8082", &rnd, &fd[1]), 0);
	assert_int_equal(leg(&o, RIG_REMOTE4 ":8081", &rnd, &third),
			 PX_CONNECT_LOCAL);
	for (int i = 0; i < 2; i++) {
		struct sockad local = local_of(fd[i]);

		assert_from(&local, RIG_POD4);
		assert_int_equal(local.port, RIG_KEPT_MIN);
		close(fd[i]);
		close(listener[i]);
	}
}

static void the_node_has_ports_left_when_the_kernel_has_none(void **state)
{
	const struct px_connect_options o = {.mark = RIG_MARK,
					     .ports_min = RIG_KEPT_MIN,
					     .ports_max = RIG_KEPT_MIN + 1};
	struct addr client = addr_of(RIG_POD4);
	struct sockad at = rig_sockad(RIG_REMOTE4 ":8084"), local[3];
	const struct px_connect_want want = {
		.source = PX_SOURCE_NODE, .client = &client, .endpoint = &at};
	struct rnd rnd = {.state = 1};
	int listener, fd[3];

	(void)state;
	rig_in_ns(rig.remote_ns);
	listener = rig_listen(RIG_REMOTE4 ":8084");
	rig_in_ns(rig.node_ns);
	rig_sh("echo 50000 50000 > /proc/sys/net/ipv4/ip_local_port_range");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(px_connect_start(&o, &want, &rnd, &fd[i]),
				 PX_CONNECT_OK);
		local[i] = local_of(fd[i]);
		assert_from(&local[i], "10.245.0.1");
	}
	assert_int_equal(local[0].port, 50000);
	assert_int_equal(local[1].port + local[2].port, 2 * RIG_KEPT_MIN + 1);
	rig_sh("echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range");
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(listener);
}

static void connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	assert_int_equal(poll(&p, 1, RIG_WAIT_MS), 1);
	assert_int_equal(px_connect_finish(fd), PX_CONNECT_OK);
}

/* A client that opens and closes many connections in a minute must not run
 * out of ports. */
static void a_tuple_in_time_wait_is_taken_over(void **state)
{
	const struct px_connect_options o = {.mark = RIG_MARK,
					     .ports_min = RIG_KEPT_MIN,
					     .ports_max = RIG_KEPT_MIN};
	struct rnd rnd = {.state = 1};
	int listener, fd, peer;

	(void)state;
	rig_in_ns(rig.remote_ns);
	listener = rig_listen(RIG_REMOTE4 ":8083");
	rig_in_ns(rig.node_ns);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(leg(&o, RIG_REMOTE4 ":8083", &rnd, &fd), 0);
		connected(fd);
		peer = rig_accept(listener, NULL);
		shutdown(fd, SHUT_WR);
		rig_expect_end(peer);
		close(peer);
		rig_deadline(fd);
		fcntl(fd, F_SETFL, 0);
		rig_expect_end(fd);
		close(fd);
	}
	close(listener);
}

static void the_probe_names_what_is_missing(void **state)
{
	const struct px_connect_options o = {.ports_min = 2, .ports_max = 1};
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(px_connect_probe(&o, &e), -EINVAL);
	assert_non_null(strstr(e.text, "source ports 2-1"));
}

static void every_errno_is_somebodys_fault(void **state)
{
	(void)state;
	assert_int_equal(px_connect_classify(0), PX_CONNECT_OK);
	assert_int_equal(px_connect_classify(ECONNREFUSED), PX_CONNECT_REFUSED);
	assert_int_equal(px_connect_classify(ECONNRESET), PX_CONNECT_REFUSED);
	assert_int_equal(px_connect_classify(ETIMEDOUT), PX_CONNECT_TIMEOUT);
	assert_int_equal(px_connect_classify(EHOSTUNREACH),
			 PX_CONNECT_UNREACHABLE);
	assert_int_equal(px_connect_classify(EADDRNOTAVAIL), PX_CONNECT_LOCAL);
	assert_int_equal(px_connect_classify(EPERM), PX_CONNECT_LOCAL);
	assert_int_equal(px_connect_classify(ENOBUFS), PX_CONNECT_LOCAL);
}

int main(void)
{
#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, rig_two_workers, rig_close)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_source_is_what_kube_proxy_would_send),
		cmocka_unit_test(every_errno_is_somebodys_fault),
		cmocka_unit_test(the_probe_names_what_is_missing),
		T(a_routed_endpoint_sees_the_pod),
		T(a_routed_endpoint_sees_the_pod_ipv6),
		T(an_endpoint_on_the_node_sees_the_pod),
		T(an_endpoint_on_the_node_sees_the_pod_ipv6),
		T(a_pod_of_the_nodes_namespace_sees_whoever_asks),
		T(a_masqueraded_client_is_seen_as_the_node),
		T(a_pod_that_reaches_itself_sees_the_node),
		T(a_client_on_the_node_keeps_its_address),
		T(a_source_that_cannot_be_kept_is_refused),
		cmocka_unit_test(
			one_port_serves_two_endpoints_but_one_leg_each),
		cmocka_unit_test(a_tuple_in_time_wait_is_taken_over),
		cmocka_unit_test(
			the_node_has_ports_left_when_the_kernel_has_none),
	};

	return cmocka_run_group_tests(tests, rig_open, NULL);
}
