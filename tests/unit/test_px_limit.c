// SPDX-License-Identifier: GPL-2.0-or-later
/* What happens at each bound, and at the end. */
#include "px_flow_rig.h"

#include <pthread.h>
#include <sys/resource.h>

static int one_worker(void **state)
{
	(void)state;
	rig_start(1, 0);
	return 0;
}

struct pair {
	int listener, client, backend;
};

static void pair_open(struct pair *p)
{
	p->client = rig_connect(VIP);
	p->backend = rig_accept(p->listener, NULL);
	rig_send(p->client, "question");
	rig_expect(p->backend, "question");
}

static void pair_close(struct pair *p)
{
	close(p->client);
	close(p->backend);
}

/* Allow no descriptor above those that are open now but @more; give the former
 * limit back. */
static struct rlimit limit_descriptors(unsigned int more)
{
	struct rlimit before, now;
	int next = dup(0);

	assert_true(next >= 0);
	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	now = before;
	now.rlim_cur = (rlim_t)next + more;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

static void without_descriptors_clients_wait(void **state)
{
	struct pair p = {.listener = rig_listen(EP1)};
	struct sockad vip = rig_sockad(VIP);
	struct rlimit before;
	const char *why = NULL;
	struct px_stats s;

	(void)state;
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	p.client = rig_socket(&vip);
	before = limit_descriptors(0);
	assert_int_equal(rig_try_connect(p.client, VIP), 0);
	RIG_WAIT_FOR(s, s.accept_failed > 0);
	assert_int_equal(loop_turn(rig.loop, 0), 0);
	assert_true(px_short_of_resources(rig.px, &why));
	assert_string_equal(why, "descriptors or memory ran out");
	setrlimit(RLIMIT_NOFILE, &before);
	p.backend = rig_accept(p.listener, NULL);
	rig_send(p.client, "question");
	rig_expect(p.backend, "question");
	/* It rested in between instead of trying for ever. */
	assert_true(rig_stats().accept_failed < 1000);
	pair_close(&p);
	close(p.listener);
}

static void a_second_leg_without_descriptor_is_nobodys_fault(void **state)
{
	int listener = rig_listen(EP1), client;
	struct sockad vip = rig_sockad(VIP), at = rig_sockad(EP1);
	struct px_endpoint_stats es;
	struct rlimit before;
	struct px_stats s;

	(void)state;
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	client = rig_socket(&vip);
	before = limit_descriptors(1);
	assert_int_equal(rig_try_connect(client, VIP), 0);
	RIG_WAIT_FOR(s, s.reset == 1);
	setrlimit(RLIMIT_NOFILE, &before);
	rig_expect_reset(client);
	assert_int_equal(s.connect_failed_local, 1);
	assert_int_equal(px_endpoint_stats(rig.px, "default/web:http", AF_INET,
					   &at, clock_now_ms(), &es),
			 0);
	assert_int_equal(es.failures, 0);
	close(client);
	close(listener);
}

static void *send_much(void *data)
{
	static const char zero[1u << 20];
	int fd = *(int *)data;

	for (int i = 0; i < 16; i++) {
		if (send(fd, zero, sizeof(zero), MSG_NOSIGNAL) < 0)
			break;
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void without_pipes_bulk_is_copied(void **state)
{
	struct pair p = {.listener = rig_listen(EP1)};
	struct rlimit before;
	struct px_stats s;
	pthread_t sender;
	size_t at = 0;
	ssize_t n;
	char buf[65536];

	(void)state;
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	pair_open(&p);
	before = limit_descriptors(0);
	pthread_create(&sender, NULL, send_much, &p.client);
	while ((n = recv(p.backend, buf, sizeof(buf), 0)) > 0)
		at += (size_t)n;
	pthread_join(sender, NULL);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(at, 16u << 20);
	s = rig_stats();
	assert_true(s.pipe_failed > 0);
	assert_int_equal(s.spliced_bytes, 0);
	pair_close(&p);
	close(p.listener);
}

static struct px_service_stats service;

static void keep_stats(const char *name, uint8_t family,
		       const struct px_service_stats *s, void *data)
{
	(void)family;
	(void)data;
	assert_string_equal(name, "default/web:http");
	service = *s;
}

static void above_max_connections_a_service_refuses(void **state)
{
	struct pair p = {.listener = rig_listen(EP1)}, second = p;
	struct px_stats s;

	(void)state;
	rig.policy.value[POLICY_MAX_CONNECTIONS] = 2;
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	pair_open(&p);
	pair_open(&second);
	rig_connect_reset(VIP);
	RIG_WAIT_FOR(s, s.service_limit_refused == 1);
	px_each_service(rig.px, keep_stats, NULL);
	assert_int_equal(service.limit_refused, 1);
	/* Nobody else suffered, and the next one has the place. */
	rig_send(p.client, "more");
	rig_expect(p.backend, "more");
	pair_close(&p);
	RIG_WAIT_FOR(s, s.open == 1);
	pair_open(&p);
	pair_close(&p);
	pair_close(&second);
	close(p.listener);
}

#define OTHER_VIP "10.96.0.11:80"

/* The rig's Service with a second port, whose address is OTHER_VIP. */
static struct service_plan *two_ports(void)
{
	struct service_plan *sp = rig_service(VIP, EP1, PLAN_KEEP);
	struct service_plan *other = rig_service(OTHER_VIP, EP1, PLAN_KEEP);
	struct plan_port *ports = calloc(2, sizeof(*ports));

	ports[0] = sp->ports[0];
	ports[1] = other->ports[0];
	free(ports[1].name);
	ports[1].name = strdup("default/web:other");
	free(sp->ports);
	sp->ports = ports;
	sp->ports_n = 2;
	other->ports_n = 0;
	rig_plan_free(other);
	return sp;
}

static void max_connections_are_those_of_all_ports_together(void **state)
{
	struct pair p = {.listener = rig_listen(EP1)};
	int other;
	struct px_stats s;

	(void)state;
	rig.policy.value[POLICY_MAX_CONNECTIONS] = 2;
	rig_apply(two_ports());
	pair_open(&p);
	other = rig_connect(OTHER_VIP);
	close(rig_accept(p.listener, NULL));
	RIG_WAIT_FOR(s, s.open == 2 && s.connecting == 0);
	rig_connect_reset(VIP);
	rig_connect_reset(OTHER_VIP);
	RIG_WAIT_FOR(s, s.service_limit_refused == 2);
	close(other);
	RIG_WAIT_FOR(s, s.open == 1);
	close(rig_connect(OTHER_VIP));
	close(rig_accept(p.listener, NULL));
	pair_close(&p);
	close(p.listener);
}

static void above_max_endpoint_connections_another_one_serves(void **state)
{
	int first = rig_listen(EP1), second = rig_listen(EP2);
	int clients[2], backends[2];
	struct px_stats s;

	(void)state;
	rig.policy.value[POLICY_MAX_ENDPOINT_CONNECTIONS] = 1;
	rig_apply(rig_service(VIP, EP1 " " EP2, PLAN_KEEP));
	for (int i = 0; i < 2; i++)
		clients[i] = rig_connect(VIP);
	backends[0] = rig_accept(first, NULL);
	backends[1] = rig_accept(second, NULL);
	rig_connect_reset(VIP);
	RIG_WAIT_FOR(s, s.endpoint_limit_refused == 1);
	assert_int_equal(s.connect_exhausted, 0);
	px_each_service(rig.px, keep_stats, NULL);
	assert_int_equal(service.limit_refused, 1);
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(backends[i]);
	}
	close(first);
	close(second);
}

static void above_max_node_connections_clients_are_refused(void **state)
{
	struct pair p[2] = {{.listener = rig_listen(EP1)}};
	const char *why = NULL;
	struct px_stats s;
	int third;

	(void)state;
	rig_start_limited(2);
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	p[1].listener = p[0].listener;
	pair_open(&p[0]);
	assert_false(px_short_of_resources(rig.px, &why));
	pair_open(&p[1]);
	assert_true(px_short_of_resources(rig.px, &why));
	assert_string_equal(why, "the connection limit is near");
	third = rig_connect(VIP);
	rig_expect_reset(third);
	close(third);
	RIG_WAIT_FOR(s, s.limit_refused == 1);
	assert_int_equal(px_open_n(rig.px), 2);
	pair_close(&p[0]);
	RIG_WAIT_FOR(s, s.open == 1);
	pair_open(&p[0]);
	pair_close(&p[0]);
	pair_close(&p[1]);
	close(p[0].listener);
}

static void draining_keeps_connections_and_takes_no_new_ones(void **state)
{
	struct pair p = {.listener = rig_listen(EP1)};
	uint64_t until_ms = clock_now_ms() + RIG_WAIT_MS;
	int error = 0;

	(void)state;
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	pair_open(&p);
	px_drain(rig.px);
	px_drain(rig.px);
	while (error != ECONNREFUSED) {
		struct sockad other = rig_sockad(RIG_VIP4 ":81");
		int fd = rig_socket(&other);

		error = rig_try_connect(fd, RIG_VIP4 ":81");
		close(fd);
		assert_true(clock_now_ms() < until_ms);
	}
	rig_send(p.backend, "answer");
	rig_expect(p.client, "answer");
	assert_int_equal(px_open_n(rig.px), 1);
	pair_close(&p);
	close(p.listener);
}

static void the_end_resets_what_is_left(void **state)
{
	struct pair p = {.listener = rig_listen(EP1)};

	(void)state;
	rig_start(2, 0);
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	pair_open(&p);
	rig_stop();
	rig_expect_reset(p.client);
	rig_expect_reset(p.backend);
	pair_close(&p);
	close(p.listener);
}

static void an_update_under_way_at_the_end_is_freed(void **state)
{
	struct service_plan *sp;
	struct plan_change change = {.key = "default/web"};
	struct plan_changes changes = {.items = &change, .n = 1};

	(void)state;
	rig_start(2, 0);
	sp = rig_service(VIP, EP1, PLAN_KEEP);
	change.after = sp;
	/* Freed by what the leak checker of an ASan build would find. */
	assert_int_equal(px_apply(rig.px, &changes, 1), 0);
	change.after = NULL;
	assert_int_equal(px_apply(rig.px, &changes, 2), 0);
	rig_plan_free(sp);
	rig_stop();
}

static void a_second_proxy_on_the_same_ports_is_refused(void **state)
{
	const struct px_options o = {
		.workers_n = 1,
		.port = {RIG_PORT, RIG_PORT + 1, RIG_PORT + 2},
		.socket_mark = RIG_MARK,
		.kept_ports_min = RIG_KEPT_MIN,
		.kept_ports_max = RIG_KEPT_MAX,
	};
	struct errbuf e = {""};
	struct px *other;

	(void)state;
	assert_int_equal(px_start(rig.loop, &o, rig_applied, &rig, &other, &e),
			 -EADDRINUSE);
	assert_non_null(strstr(e.text, "15001"));
}

static void heartbeats_go_on_without_traffic(void **state)
{
	uint64_t first_ms = px_heartbeat_ms(rig.px);
	uint64_t until_ms = clock_now_ms() + RIG_WAIT_MS;

	(void)state;
	assert_true(first_ms > 0);
	while (px_heartbeat_ms(rig.px) == first_ms)
		assert_true(clock_now_ms() < until_ms);
	assert_true(px_heartbeat_ms(rig.px) <= clock_now_ms());
}

static void collect(const char *port_name, uint8_t family,
		    const struct px_service_stats *s, void *data)
{
	assert_string_equal(port_name, "default/web:http");
	assert_int_equal(family, AF_INET);
	*(struct px_service_stats *)data = *s;
}

static void a_service_is_counted_while_it_is_proxied(void **state)
{
	struct pair p = {.listener = rig_listen(EP1)};
	struct px_service_stats s = {0};
	struct px_stats all;

	(void)state;
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	pair_open(&p);
	RIG_WAIT_FOR(all, all.bytes_in == 8);
	px_each_service(rig.px, collect, &s);
	assert_int_equal(s.open, 1);
	assert_int_equal(s.connections, 1);
	assert_int_equal(s.bytes_in, 8);
	assert_int_equal(s.endpoints_n, 1);
	rig_apply(NULL);
	s = (struct px_service_stats){0};
	px_each_service(rig.px, collect, &s);
	assert_int_equal(s.endpoints_n, 0);
	pair_close(&p);
	close(p.listener);
}

int main(void)
{
#define T(name)	   cmocka_unit_test_setup_teardown(name, one_worker, rig_close)
#define OWN(name)  cmocka_unit_test_teardown(name, rig_close)
#define BARE(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		T(without_descriptors_clients_wait),
		T(a_second_leg_without_descriptor_is_nobodys_fault),
		T(without_pipes_bulk_is_copied),
		OWN(above_max_node_connections_clients_are_refused),
		T(above_max_connections_a_service_refuses),
		T(max_connections_are_those_of_all_ports_together),
		T(above_max_endpoint_connections_another_one_serves),
		T(draining_keeps_connections_and_takes_no_new_ones),
		BARE(the_end_resets_what_is_left),
		BARE(an_update_under_way_at_the_end_is_freed),
		T(a_second_proxy_on_the_same_ports_is_refused),
		T(heartbeats_go_on_without_traffic),
		T(a_service_is_counted_while_it_is_proxied),
	};

	return cmocka_run_group_tests(tests, rig_open, NULL);
}
