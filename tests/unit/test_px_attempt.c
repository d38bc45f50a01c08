// SPDX-License-Identifier: GPL-2.0-or-later
/* Attempts at endpoints, and every deadline as a pair: it fires, it spares. */
#include "px_flow_rig.h"

#define SILENT "127.0.0.99:8080" /* the rig's ruleset drops it */

/* Longer than every deadline that must not fire. */
#define PAST_DEADLINE_US 300000

static struct px_endpoint_stats endpoint_stats(const char *endpoint)
{
	struct sockad at = rig_sockad(endpoint);
	struct px_endpoint_stats s;

	assert_int_equal(px_endpoint_stats(rig.px, "default/web:http", AF_INET,
					   &at, clock_now_ms(), &s),
			 0);
	return s;
}

/* One connection that @listener's backend serves, whoever was tried first. */
static void served_by(int listener)
{
	int client = rig_connect(VIP);
	int backend;

	rig_send(client, "early");
	shutdown(client, SHUT_WR);
	backend = rig_accept(listener, NULL);
	rig_expect(backend, "early");
	rig_expect_end(backend);
	rig_send(backend, "answer");
	close(backend);
	rig_expect(client, "answer");
	rig_expect_end(client);
	close(client);
}

static void a_refusing_endpoint_costs_no_client(void **state)
{
	int listener = rig_listen(EP2);
	struct px_stats s;

	(void)state;
	rig_apply(rig_service(VIP, EP1 " " EP2, PLAN_KEEP));
	/* Random choice: 200 in a row never to the refusing one is 2^-200. */
	for (int i = 0; i < 200 && rig_stats().ejections == 0; i++)
		served_by(listener);
	s = rig_stats();
	assert_int_equal(s.ejections, 1);
	assert_int_equal(s.connect_refused,
			 rig.policy.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES]);
	assert_int_equal(s.connect_retries, s.connect_refused);
	assert_int_equal(s.connect_exhausted, 0);
	assert_int_equal(endpoint_stats(EP1).state, PX_ENDPOINT_EJECTED);
	assert_int_equal(endpoint_stats(EP2).failures, 0);
	close(listener);
}

static void a_client_is_reset_when_everybody_refuses(void **state)
{
	struct px_stats s;

	(void)state;
	rig_apply(rig_service(VIP, EP1 " " EP2, PLAN_KEEP));
	rig_connect_reset(VIP);
	RIG_WAIT_FOR(s, s.reset == 1);
	assert_int_equal(s.connects, 2); /* of 3 allowed: nobody is left */
	assert_int_equal(s.connect_exhausted, 1);
	assert_int_equal(s.open, 0);
}

static void attempts_end_at_connect_attempts(void **state)
{
	struct px_stats s;

	(void)state;
	rig.policy.value[POLICY_CONNECT_ATTEMPTS] = 2;
	rig_apply(rig_service(VIP, EP1 " " EP2 " 127.0.0.4:1 127.0.0.5:1",
			      PLAN_KEEP));
	rig_connect_reset(VIP);
	RIG_WAIT_FOR(s, s.reset == 1);
	assert_int_equal(s.connects, 2);
}

static void a_silent_endpoint_is_left_after_connect_timeout(void **state)
{
	int listener = rig_listen(EP2);
	struct px_stats s;

	(void)state;
	rig.policy.value[POLICY_CONNECT_TIMEOUT] = 100;
	rig_apply(rig_service(VIP, EP2 " " SILENT, PLAN_KEEP));
	for (int i = 0; i < 200 && rig_stats().connect_timeouts < 2; i++)
		served_by(listener);
	s = rig_stats();
	assert_int_equal(s.connect_timeouts, 2);
	assert_int_equal(s.connect_exhausted, 0);
	assert_int_equal(endpoint_stats(SILENT).failures, 2);
	close(listener);
}

static void connect_timeout_spares_what_is_connected(void **state)
{
	int listener = rig_listen(EP1), client, backend;

	(void)state;
	rig.policy.value[POLICY_CONNECT_TIMEOUT] = 200;
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	client = rig_connect(VIP);
	backend = rig_accept(listener, NULL);
	usleep(PAST_DEADLINE_US);
	rig_send(client, "still here");
	rig_expect(backend, "still here");
	close(client);
	close(backend);
	close(listener);
}

static void attempts_end_at_connect_total_timeout(void **state)
{
	struct px_stats s;

	(void)state;
	rig.policy.value[POLICY_CONNECT_TIMEOUT] = 200;
	rig.policy.value[POLICY_CONNECT_TOTAL_TIMEOUT] = 300;
	rig.policy.value[POLICY_CONNECT_ATTEMPTS] = 3;
	rig_apply(rig_service(VIP, "127.0.0.99:1 127.0.0.99:2 " SILENT,
			      PLAN_KEEP));
	rig_connect_reset(VIP);
	RIG_WAIT_FOR(s, s.connect_total_timeouts == 1);
	/* The second attempt had no more than the rest of the time, if a busy
	 * machine left any, and says nothing of its endpoint. */
	assert_in_range(s.connects, 1, 2);
	assert_int_equal(s.connect_timeouts, 1);
	assert_int_equal(s.connect_exhausted, 1);
	assert_int_equal(endpoint_stats(SILENT).failures +
				 endpoint_stats("127.0.0.99:1").failures +
				 endpoint_stats("127.0.0.99:2").failures,
			 1);
}

static void connect_total_timeout_spares_who_finds_an_endpoint(void **state)
{
	int listener = rig_listen(EP2);

	(void)state;
	rig.policy.value[POLICY_CONNECT_TIMEOUT] = 100;
	rig.policy.value[POLICY_CONNECT_TOTAL_TIMEOUT] = RIG_WAIT_MS;
	rig_apply(rig_service(VIP, EP2 " " SILENT, PLAN_KEEP));
	for (int i = 0; i < 200 && rig_stats().connect_timeouts < 2; i++)
		served_by(listener);
	assert_int_equal(rig_stats().connect_timeouts, 2);
	assert_int_equal(rig_stats().connect_total_timeouts, 0);
	close(listener);
}

static void a_client_that_leaves_ends_the_attempt(void **state)
{
	struct px_stats s;
	int client;

	(void)state;
	rig_apply(rig_service(VIP, SILENT, PLAN_KEEP));
	client = rig_connect(VIP);
	RIG_WAIT_FOR(s, s.connecting == 1 && s.connects == 1);
	rig_reset(client);
	RIG_WAIT_FOR(s, s.open == 0);
	assert_int_equal(s.connecting, 0);
	assert_int_equal(s.connects, 1);
	/* Not the endpoint's fault. */
	assert_int_equal(endpoint_stats(SILENT).failures, 0);
	assert_int_equal(endpoint_stats(SILENT).open, 0);
}

static void idle_timeout_resets_both_sides(void **state)
{
	struct px_stats s;
	struct rig_pair p;

	(void)state;
	rig.policy.value[POLICY_IDLE_TIMEOUT] = 50;
	p = rig_pair_open();
	rig_expect_reset(p.client);
	rig_expect_reset(p.backend);
	RIG_WAIT_FOR(s, s.idle_timeouts == 1);
	rig_pair_close(&p);
}

static bool is_past_deadline(uint64_t since_ms)
{
	return clock_now_ms() - since_ms >= PAST_DEADLINE_US / 1000;
}

/*
 * Bytes in one direction alone, over more than the deadline, through a
 * connection that was opened after @since_ms.
 *
 * Return: false: a byte did not pass, but this machine is so busy that the
 * whole deadline had passed since the one before: that shows nothing
 */
static bool trickle(int from, int to, uint64_t since_ms)
{
	for (int i = 0; i < 20; i++) {
		uint64_t sending_ms = clock_now_ms();
		char c;

		if (send(from, ".", 1, MSG_NOSIGNAL) != 1 ||
		    recv(to, &c, 1, 0) != 1) {
			if (is_past_deadline(since_ms))
				return false;
			fail_msg("byte %d did not pass: %s", i,
				 strerror(errno));
		}
		since_ms = sending_ms;
		usleep(PAST_DEADLINE_US / 10);
	}
	return true;
}

/* For what is not to end at all. */
static void trickle_on(int from, int to)
{
	assert_true(trickle(from, to, clock_now_ms()));
}

/* Until the machine lets it be shown. */
#define BUSY_TRIES 50

static void idle_timeout_spares_one_direction_that_moves(void **state)
{
	bool shown = false;

	(void)state;
	rig.policy.value[POLICY_IDLE_TIMEOUT] = PAST_DEADLINE_US / 1000;
	for (int i = 0; i < BUSY_TRIES && !shown; i++) {
		uint64_t before_n = rig_stats().idle_timeouts;
		uint64_t since_ms = clock_now_ms();
		struct rig_pair p = rig_pair_open();

		shown = trickle(p.backend, p.client, since_ms);
		assert_int_equal(rig_stats().idle_timeouts - before_n, !shown);
		rig_pair_close(&p);
	}
	assert_true(shown);
}

static void no_idle_timeout_is_for_ever(void **state)
{
	struct rig_pair p;

	(void)state;
	rig.policy.value[POLICY_IDLE_TIMEOUT] = 0;
	p = rig_pair_open();
	usleep(PAST_DEADLINE_US);
	trickle_on(p.client, p.backend);
	rig_pair_close(&p);
}

static void half_close_timeout_resets_both_sides(void **state)
{
	struct px_stats s;
	struct rig_pair p;

	(void)state;
	rig.policy.value[POLICY_HALF_CLOSE_TIMEOUT] = 50;
	p = rig_pair_open();
	shutdown(p.client, SHUT_WR);
	rig_wait_reset(p.client);
	rig_wait_reset(p.backend);
	RIG_WAIT_FOR(s, s.half_close_timeouts == 1);
	assert_int_equal(s.idle_timeouts, 0);
	rig_pair_close(&p);
}

static void half_close_timeout_spares_a_download(void **state)
{
	bool shown = false;

	(void)state;
	rig.policy.value[POLICY_HALF_CLOSE_TIMEOUT] = PAST_DEADLINE_US / 1000;
	for (int i = 0; i < BUSY_TRIES && !shown; i++) {
		uint64_t before_n = rig_stats().half_close_timeouts;
		struct rig_pair p = rig_pair_open();
		uint64_t since_ms = clock_now_ms();
		char c;

		shutdown(p.client, SHUT_WR);
		if (recv(p.backend, &c, 1, 0) == 0)
			shown = trickle(p.backend, p.client, since_ms);
		else
			assert_true(is_past_deadline(since_ms));
		assert_int_equal(rig_stats().half_close_timeouts - before_n,
				 !shown);
		close(p.backend);
		if (shown)
			rig_expect_end(p.client);
		close(p.client);
		close(p.listener);
	}
	assert_true(shown);
}

static void half_close_timeout_spares_an_open_connection(void **state)
{
	struct rig_pair p;

	(void)state;
	rig.policy.value[POLICY_HALF_CLOSE_TIMEOUT] = 50;
	p = rig_pair_open();
	usleep(PAST_DEADLINE_US);
	trickle_on(p.client, p.backend);
	rig_pair_close(&p);
}

/* --- max-connection-age --- */

static void a_connection_that_rests_ends_at_its_age(void **state)
{
	struct px_stats s;
	struct rig_pair p;

	(void)state;
	/* Time for an answer on a busy machine. */
	rig.policy.value[POLICY_MAX_CONNECTION_AGE] = 3000;
	p = rig_pair_open();
	rig_send(p.client, "question");
	rig_expect(p.backend, "question");
	rig_send(p.backend, "answer");
	/* All of it arrives; then a reset, which is no end of an answer. */
	rig_expect(p.client, "answer");
	rig_expect_reset(p.client);
	rig_expect_reset(p.backend);
	RIG_WAIT_FOR(s, s.aged_out == 1);
	assert_int_equal(s.idle_timeouts, 0);
	rig_pair_close(&p);
}

static void a_connection_that_never_rests_ends_at_its_age(void **state)
{
	struct px_stats s;
	struct rig_pair p;
	ssize_t n = 1;
	char c;

	(void)state;
	rig.policy.value[POLICY_MAX_CONNECTION_AGE] = 1000;
	p = rig_pair_open();
	while (n == 1 && send(p.backend, ".", 1, MSG_NOSIGNAL) == 1) {
		n = recv(p.client, &c, 1, 0);
		usleep(1000);
	}
	if (n == 1)
		rig_expect_reset(p.client);
	else
		assert_int_equal(n, -1);
	RIG_WAIT_FOR(s, s.aged_out == 1);
	rig_pair_close(&p);
}

static void no_age_is_for_ever(void **state)
{
	struct rig_pair old, p;
	struct px_stats s;

	(void)state;
	old = rig_pair_open();
	/* Another one's end shows that time has passed. */
	rig.policy.value[POLICY_MAX_CONNECTION_AGE] = 1000;
	close(old.listener);
	p = rig_pair_open();
	RIG_WAIT_FOR(s, s.aged_out == 1);
	trickle_on(old.client, old.backend);
	assert_int_equal(rig_stats().aged_out, 1);
	close(old.client);
	close(old.backend);
	rig_pair_close(&p);
}

/* --- close-connections --- */

/* So many that each of 2 workers has some, but once in 2^15. */
#define HELD_N 16

struct held {
	int first, second; /* listeners */
	int clients[HELD_N], backends[HELD_N];
	int other, other_backend; /* of the second endpoint */
};

/* Both endpoints, with those that a slice names: as plan_port.known. */
static void apply_both(const char *endpoints, struct sockad *known,
		       size_t known_n)
{
	struct service_plan *sp = rig_service(VIP, endpoints, PLAN_KEEP);

	sp->ports[0].known = known;
	sp->ports[0].known_n = known_n;
	rig_apply(sp);
}

/* Of two in a round one is the second endpoint's. */
static void hold_other(struct held *h)
{
	int clients[2], spare;
	char which;

	for (int i = 0; i < 2; i++) {
		clients[i] = rig_connect(VIP);
		rig_send(clients[i], i ? "1" : "0");
	}
	h->other_backend = rig_accept(h->second, NULL);
	spare = rig_accept(h->first, NULL);
	assert_int_equal(recv(h->other_backend, &which, 1, 0), 1);
	h->other = clients[which - '0'];
	close(clients[!(which - '0')]);
	close(spare);
}

/* Connections to the first endpoint, and one to the second. */
static void held_open(struct held *h, struct sockad *known, size_t known_n)
{
	rig.policy.value[POLICY_LOAD_BALANCING] = POLICY_ROUND_ROBIN;
	rig.policy.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 1;
	h->first = rig_listen(EP1);
	h->second = rig_listen(EP2);
	apply_both(EP1, known, known_n);
	for (int i = 0; i < HELD_N; i++) {
		h->clients[i] = rig_connect(VIP);
		h->backends[i] = rig_accept(h->first, NULL);
		rig_send(h->clients[i], "question");
		rig_expect(h->backends[i], "question");
	}
	apply_both(EP1 " " EP2, known, known_n);
	hold_other(h);
}

static void expect_all_reset(struct held *h)
{
	struct px_stats s;

	for (int i = 0; i < HELD_N; i++) {
		rig_expect_reset(h->clients[i]);
		rig_expect_reset(h->backends[i]);
	}
	RIG_WAIT_FOR(s, s.endpoint_closed == HELD_N);
	trickle_on(h->other, h->other_backend);
}

static void expect_none_reset(struct held *h)
{
	usleep(PAST_DEADLINE_US); /* more than a worker's tick */
	for (int i = 0; i < HELD_N; i++) {
		rig_send(h->backends[i], "still here");
		rig_expect(h->clients[i], "still here");
	}
	assert_int_equal(rig_stats().endpoint_closed, 0);
}

static void held_close(struct held *h)
{
	for (int i = 0; i < HELD_N; i++) {
		close(h->clients[i]);
		close(h->backends[i]);
	}
	close(h->other);
	close(h->other_backend);
	close(h->second);
}

/* The first one refuses from now on. */
static void eject_first(struct held *h)
{
	close(h->first);
	for (int i = 0; i < 10 && rig_stats().ejections == 0; i++)
		served_by(h->second);
	assert_int_equal(rig_stats().ejections, 1);
}

static void who_is_ejected_loses_its_connections_of_all_workers(void **state)
{
	struct held h;

	(void)state;
	rig.policy.value[POLICY_CLOSE_CONNECTIONS] = POLICY_CLOSE_EJECTED;
	held_open(&h, NULL, 0);
	eject_first(&h);
	expect_all_reset(&h);
	held_close(&h);
}

static void who_is_ejected_keeps_them_otherwise(void **state)
{
	struct held h;

	(void)state;
	rig.policy.value[POLICY_CLOSE_CONNECTIONS] = POLICY_CLOSE_REMOVED;
	held_open(&h, NULL, 0);
	eject_first(&h);
	expect_none_reset(&h);
	held_close(&h);
}

static void who_is_removed_loses_its_connections(void **state)
{
	struct sockad known[] = {rig_sockad(EP1), rig_sockad(EP2)};
	struct held h;

	(void)state;
	rig.policy.value[POLICY_CLOSE_CONNECTIONS] = POLICY_CLOSE_REMOVED;
	held_open(&h, known, 2);
	/* It terminates, and then it is gone. */
	apply_both(EP2, known, 2);
	expect_none_reset(&h);
	apply_both(EP2, &known[1], 1);
	expect_all_reset(&h);
	close(h.first);
	held_close(&h);
}

static void who_is_removed_keeps_them_otherwise(void **state)
{
	struct held h;

	(void)state;
	held_open(&h, NULL, 0);
	apply_both(EP2, NULL, 0);
	expect_none_reset(&h);
	close(h.first);
	held_close(&h);
}

/* --- tcp-user-timeout --- */

static void a_peer_that_vanishes_is_noticed(void **state)
{
	int listener, client, backend;
	struct px_stats s;

	(void)state;
	rig.policy.value[POLICY_TCP_USER_TIMEOUT] = 1000;
	rig_in_ns(rig.remote_ns);
	listener = rig_listen(RIG_REMOTE4 ":8080");
	rig_in_ns(rig.node_ns);
	rig_apply(rig_service(VIP, RIG_REMOTE4 ":8080", PLAN_MASQUERADE));
	client = rig_connect(VIP);
	backend = rig_accept(listener, NULL);
	rig_send(client, "hello");
	rig_expect(backend, "hello");
	rig_in_ns(rig.remote_ns);
	rig_sh("ip link set eth0 down");
	rig_in_ns(rig.node_ns);
	rig_send(client, "anybody there?");
	rig_expect_reset(client);
	RIG_WAIT_FOR(s, s.silent_peers == 1);
	rig_in_ns(rig.remote_ns);
	rig_sh("ip link set eth0 up && ip route replace default via 10.245.0.1");
	rig_in_ns(rig.node_ns);
	close(client);
	close(backend);
	close(listener);
}

static void a_peer_that_does_not_read_is_spared(void **state)
{
	static char much[65536];
	struct rig_pair p;
	size_t sent = 0, seen = 0;
	ssize_t n;

	(void)state;
	/* The least that may be set: an answer may be 200 ms late
	 * (TCP_DELACK_MAX) or have to be asked for again (TCP_RTO_MIN). */
	rig.policy.value[POLICY_TCP_USER_TIMEOUT] = 1000;
	p = rig_pair_open();
	for (int quiet = 0; quiet < 20;) {
		n = send(p.backend, much, sizeof(much), MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		quiet = n > 0 ? 0 : quiet + 1;
		if (n < 0)
			usleep(PAST_DEADLINE_US / 3);
	}
	shutdown(p.backend, SHUT_WR);
	while ((n = recv(p.client, much, sizeof(much), 0)) > 0)
		seen += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(seen, sent);
	assert_int_equal(rig_stats().silent_peers, 0);
	rig_pair_close(&p);
}

/* --- sessionAffinity ClientIP ------------------------------------------- */

static struct service_plan *sticky(const char *endpoints)
{
	struct service_plan *sp = rig_service(VIP, endpoints, PLAN_KEEP);

	sp->ports[0].affinity_s = 3600;
	return sp;
}

/* What the proxy tells of its one client; false: nothing new. */
static bool told(struct px_client *ret_client)
{
	return px_clients_take(rig.px, clock_now_ms(), ret_client, 1) == 1;
}

/* Whom the proxy sees. */
static struct addr rig_client(void)
{
	const struct sockad vip = rig_sockad(VIP);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&vip, &ss);
	struct sockad own;

	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	len = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(sockad_from_sockaddr(&ss, &own), 0);
	close(fd);
	return own.addr;
}

static void all_workers_know_which_endpoint_a_client_keeps(void **state)
{
	int first = rig_listen(EP1), second = rig_listen(EP2), client;
	const struct sockad at = rig_sockad(EP1);
	struct px_client c;
	struct px_stats s;
	bool is_first;

	(void)state;
	rig_apply(sticky(EP1 " " EP2));
	client = rig_connect(VIP);
	RIG_WAIT_FOR(s, s.accepted > 0 && told(&c));
	assert_string_equal(c.port_name, "default/web:http");
	is_first = sockad_compare(&c.at, &at) == 0;
	close(rig_accept(is_first ? first : second, NULL));
	close(client);
	/* 2 workers by SO_REUSEPORT: one alone is hit 2^-39 of the time. */
	for (int i = 0; i < 40; i++)
		served_by(is_first ? first : second);
	assert_false(told(&c));
	close(first);
	close(second);
}

static void a_client_moves_from_an_endpoint_that_refuses_and_stays(void **state)
{
	const struct sockad at1 = rig_sockad(EP1), at2 = rig_sockad(EP2);
	int second = rig_listen(EP2), first;
	struct px_client c = {.port_name = "default/web:http",
			      .client = rig_client(),
			      .at = at1,
			      .left_ms = 1000000};

	(void)state;
	rig_apply(sticky(EP1 " " EP2));
	px_clients_learn(rig.px, &c, 1, clock_now_ms());
	served_by(second);
	assert_true(told(&c));
	assert_int_equal(sockad_compare(&c.at, &at2), 0);
	assert_int_equal(sockad_compare(&c.before, &at1), 0);
	assert_int_equal(rig_stats().affinity_moved, 1);
	first = rig_listen(EP1);
	for (int i = 0; i < 20; i++)
		served_by(second);
	assert_int_equal(rig_stats().connect_refused, 1);
	close(first);
	close(second);
}

int main(void)
{
#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, rig_two_workers, rig_close)
	const struct CMUnitTest tests[] = {
		T(a_refusing_endpoint_costs_no_client),
		T(a_client_is_reset_when_everybody_refuses),
		T(attempts_end_at_connect_attempts),
		T(a_silent_endpoint_is_left_after_connect_timeout),
		T(connect_timeout_spares_what_is_connected),
		T(attempts_end_at_connect_total_timeout),
		T(connect_total_timeout_spares_who_finds_an_endpoint),
		T(a_client_that_leaves_ends_the_attempt),
		T(idle_timeout_resets_both_sides),
		T(idle_timeout_spares_one_direction_that_moves),
		T(no_idle_timeout_is_for_ever),
		T(half_close_timeout_resets_both_sides),
		T(half_close_timeout_spares_a_download),
		T(half_close_timeout_spares_an_open_connection),
		T(a_connection_that_rests_ends_at_its_age),
		T(a_connection_that_never_rests_ends_at_its_age),
		T(no_age_is_for_ever),
		T(who_is_ejected_loses_its_connections_of_all_workers),
		T(who_is_ejected_keeps_them_otherwise),
		T(who_is_removed_loses_its_connections),
		T(who_is_removed_keeps_them_otherwise),
		T(a_peer_that_vanishes_is_noticed),
		T(a_peer_that_does_not_read_is_spared),
		T(all_workers_know_which_endpoint_a_client_keeps),
		T(a_client_moves_from_an_endpoint_that_refuses_and_stays),
	};

	return cmocka_run_group_tests(tests, rig_open, NULL);
}
