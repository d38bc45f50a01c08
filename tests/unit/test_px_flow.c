// SPDX-License-Identifier: GPL-2.0-or-later
#include "px_flow_rig.h"

#include <pthread.h>

#define EP6 "[fd00::1]:8080"

/* The mover that takes over at once, from the second message on. */
static int start_splicing(void **state)
{
	(void)state;
	rig_start(2, 1);
	return 0;
}

static void talk(const struct rig_pair *p)
{
	rig_send(p->client, "question");
	rig_expect(p->backend, "question");
	rig_send(p->backend, "answer");
	rig_expect(p->client, "answer");
}

static void bytes_pass_in_both_directions(void **state)
{
	struct rig_pair p = rig_pair_open();
	struct px_stats s;

	(void)state;
	talk(&p);
	rig_pair_close(&p);
	RIG_WAIT_FOR(s, s.closed == 1);
	assert_int_equal(s.bytes_in, 8);
	assert_int_equal(s.bytes_out, 6);
	assert_int_equal(s.open, 0);
	assert_int_equal(s.connecting, 0);
}

static void ipv6_is_served(void **state)
{
	struct rig_pair p = rig_pair_open_at(VIP6, EP6);

	(void)state;
	talk(&p);
	rig_pair_close(&p);
}

static void half_close_keeps_the_other_direction_open(void **state)
{
	struct rig_pair p = rig_pair_open();
	struct px_stats s;

	(void)state;
	talk(&p);
	rig_send(p.client, "all of it");
	shutdown(p.client, SHUT_WR);
	rig_expect(p.backend, "all of it");
	rig_expect_end(p.backend);
	rig_send(p.backend, "late answer");
	rig_expect(p.client, "late answer");
	shutdown(p.backend, SHUT_WR);
	rig_expect_end(p.client);
	RIG_WAIT_FOR(s, s.closed == 1);
	assert_int_equal(s.reset, 0);
	rig_pair_close(&p);
}

static void half_close_by_the_backend_keeps_uploads_going(void **state)
{
	struct rig_pair p = rig_pair_open();

	(void)state;
	talk(&p);
	shutdown(p.backend, SHUT_WR);
	rig_expect_end(p.client);
	rig_send(p.client, "upload");
	shutdown(p.client, SHUT_WR);
	rig_expect(p.backend, "upload");
	rig_expect_end(p.backend);
	rig_pair_close(&p);
}

static void a_reset_of_the_client_resets_the_backend(void **state)
{
	struct rig_pair p = rig_pair_open();

	(void)state;
	talk(&p);
	rig_reset(p.client);
	rig_expect_reset(p.backend);
	close(p.backend);
	close(p.listener);
}

static void a_reset_of_the_backend_resets_the_client(void **state)
{
	struct rig_pair p = rig_pair_open();

	(void)state;
	talk(&p);
	rig_send(p.backend, "half of an ans");
	rig_expect(p.client, "half of an ans");
	rig_reset(p.backend);
	rig_expect_reset(p.client);
	close(p.client);
	close(p.listener);
}

static void a_reset_after_a_fin_is_still_a_reset(void **state)
{
	struct rig_pair p = rig_pair_open();

	(void)state;
	talk(&p);
	shutdown(p.client, SHUT_WR);
	rig_expect_end(p.backend);
	rig_reset(p.client);
	rig_wait_reset(p.backend);
	close(p.backend);
	close(p.listener);
}

static void what_was_sent_before_a_reset_may_arrive(void **state)
{
	struct rig_pair p = rig_pair_open();

	(void)state;
	talk(&p);
	rig_send(p.client, "QUIT");
	rig_expect(p.backend, "QUIT");
	rig_reset(p.client);
	rig_expect_reset(p.backend);
	close(p.backend);
	close(p.listener);
}

/* --- who is served at all --- */

static void refused_with_a_reset(const char *to, uint16_t port)
{
	struct sockad s = rig_sockad(to);
	char at[SOCKAD_STRLEN];
	int fd;

	if (port)
		s.port = port;
	fd = rig_connect(sockad_format(&s, at));
	rig_expect_reset(fd);
	close(fd);
}

static void the_listener_itself_is_no_relay(void **state)
{
	struct px_stats s;

	(void)state;
	refused_with_a_reset("127.0.0.1:1", RIG_PORT);
	refused_with_a_reset("[::1]:1", RIG_PORT + 2);
	RIG_WAIT_FOR(s, s.not_redirected == 2);
	assert_int_equal(s.open, 0);
}

static void an_address_that_is_no_frontend_is_refused(void **state)
{
	struct px_stats s;

	(void)state;
	refused_with_a_reset(RIG_VIP4 ":81", 0);
	RIG_WAIT_FOR(s, s.no_frontend == 1);
}

static void a_frontend_without_endpoints_is_refused(void **state)
{
	struct px_stats s;

	(void)state;
	rig_apply(rig_service(VIP, "", PLAN_KEEP));
	refused_with_a_reset(VIP, 0);
	RIG_WAIT_FOR(s, s.no_endpoint == 1);
}

static void a_view_that_is_not_proxied_is_refused(void **state)
{
	struct service_plan *sp = rig_service(VIP, EP1, PLAN_KEEP);
	struct px_stats s;

	(void)state;
	sp->ports[0].frontends[0].view[PLAN_INSIDE].proxied = false;
	rig_apply(sp);
	refused_with_a_reset(VIP, 0);
	RIG_WAIT_FOR(s, s.no_frontend == 1);
}

static void a_node_port_is_found_by_its_port_alone(void **state)
{
	struct rig_pair p;

	(void)state;
	p.listener = rig_listen(EP1);
	rig_apply(rig_service("0.0.0.0:30080", EP1, PLAN_MASQUERADE));
	p.client = rig_connect("10.96.7.7:30080");
	p.backend = rig_accept(p.listener, NULL);
	talk(&p);
	rig_pair_close(&p);
}

/* --- changes --- */

static void connections_outlive_their_service(void **state)
{
	struct rig_pair p = rig_pair_open();
	struct px_stats s;

	(void)state;
	rig_apply(NULL);
	refused_with_a_reset(VIP, 0);
	talk(&p);
	rig_pair_close(&p);
	RIG_WAIT_FOR(s, s.closed == 1);
}

static void new_connections_go_to_the_new_endpoints(void **state)
{
	struct rig_pair p = rig_pair_open();
	int other = rig_listen(EP2), client, backend;

	(void)state;
	rig_apply(rig_service(VIP, EP2, PLAN_KEEP));
	client = rig_connect(VIP);
	backend = rig_accept(other, NULL);
	rig_send(client, "new");
	rig_expect(backend, "new");
	talk(&p);
	close(client);
	close(backend);
	close(other);
	rig_pair_close(&p);
}

static void many_frontends_are_found_after_growth(void **state)
{
	const size_t frontends_n = 1000;
	struct service_plan *sp = rig_service(VIP, EP1, PLAN_KEEP);
	struct plan_port *port = &sp->ports[0];
	struct rig_pair p;

	(void)state;
	port->frontends = realloc(port->frontends,
				  frontends_n * sizeof(*port->frontends));
	for (size_t i = 1; i < frontends_n; i++) {
		port->frontends[i] = port->frontends[0];
		port->frontends[i].at.port = (uint16_t)(80 + i);
	}
	port->frontends_n = frontends_n;
	p.listener = rig_listen(EP1);
	rig_apply(sp);
	for (int i = 0; i < 1000; i += 111) {
		char at[64];

		snprintf(at, sizeof(at), RIG_VIP4 ":%d", 80 + i);
		p.client = rig_connect(at);
		p.backend = rig_accept(p.listener, NULL);
		talk(&p);
		close(p.client);
		close(p.backend);
	}
	close(p.listener);
	rig_apply(rig_service(VIP, EP1, PLAN_KEEP));
	refused_with_a_reset(RIG_VIP4 ":191", 0);
}

/* --- bulk --- */

#define BULK_BYTES (24u << 20)

/* Byte i of every stream: no period that a buffer's size divides. */
static unsigned char pattern(size_t i)
{
	return (unsigned char)(i % 251 ^ i / 251 % 241);
}

struct sender {
	pthread_t thread;
	int fd;
	size_t bytes_n;
	size_t urgent_at; /* one byte sent out of band; 0: none */
};

static void *send_bulk(void *data)
{
	const struct sender *s = data;
	unsigned char buf[40000];
	size_t at = 0;

	while (at < s->bytes_n) {
		size_t n = s->bytes_n - at;
		bool urgent = s->urgent_at && at == s->urgent_at;

		if (n > sizeof(buf))
			n = sizeof(buf);
		if (at < s->urgent_at && at + n > s->urgent_at)
			n = s->urgent_at - at;
		n = urgent ? 1 : n;
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(at + i);
		if (send(s->fd, buf, n,
			 MSG_NOSIGNAL | (urgent ? MSG_OOB : 0)) != (ssize_t)n)
			return NULL;
		at += n;
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void send_bulk_start(struct sender *s)
{
	assert_int_equal(pthread_create(&s->thread, NULL, send_bulk, s), 0);
}

static void expect_bulk(int fd, size_t bytes_n)
{
	static unsigned char buf[65536];
	size_t at = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != pattern(at + (size_t)i))
				fail_msg("wrong byte at %zu", at + (size_t)i);
		}
		at += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, bytes_n);
}

static void both_streams_arrive_whole(void)
{
	const int on = 1;
	struct rig_pair p = rig_pair_open();
	struct sender up = {.fd = p.client, .bytes_n = BULK_BYTES};
	struct sender down = {.fd = p.backend, .bytes_n = BULK_BYTES / 2 + 1};

	setsockopt(p.backend, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	send_bulk_start(&up);
	expect_bulk(p.backend, up.bytes_n);
	send_bulk_start(&down);
	expect_bulk(p.client, down.bytes_n);
	pthread_join(up.thread, NULL);
	pthread_join(down.thread, NULL);
	rig_pair_close(&p);
}

static void bulk_arrives_whole_by_copy(void **state)
{
	struct px_stats s;

	(void)state;
	rig_start(2, UINT64_MAX);
	both_streams_arrive_whole();
	RIG_WAIT_FOR(s, s.closed == 1);
	assert_int_equal(s.spliced_bytes, 0);
	assert_int_equal(s.copied_bytes, BULK_BYTES + BULK_BYTES / 2 + 1);
}

static void bulk_arrives_whole_by_splice(void **state)
{
	struct px_stats s;

	(void)state;
	rig_start(2, 1);
	both_streams_arrive_whole();
	RIG_WAIT_FOR(s, s.closed == 1);
	assert_true(s.spliced_bytes > BULK_BYTES);
	assert_int_equal(s.spliced_bytes + s.copied_bytes,
			 BULK_BYTES + BULK_BYTES / 2 + 1);
}

static void bulk_changes_from_copy_to_splice_by_itself(void **state)
{
	struct px_stats s;

	(void)state;
	rig_start(2, 0);
	both_streams_arrive_whole();
	RIG_WAIT_FOR(s, s.closed == 1);
	assert_true(s.spliced_bytes > 0);
	assert_true(s.copied_bytes > 0);
}

static void small_messages_are_never_spliced(void **state)
{
	struct rig_pair p = rig_pair_open();
	struct px_stats s;

	(void)state;
	for (int i = 0; i < 100; i++)
		talk(&p);
	rig_pair_close(&p);
	RIG_WAIT_FOR(s, s.closed == 1);
	assert_int_equal(s.spliced_bytes, 0);
	assert_int_equal(s.pipes, 0);
}

static void urgent_bytes_stay_in_their_place(void **state)
{
	const int on = 1;
	struct rig_pair p;
	struct sender up = {.bytes_n = 8u << 20, .urgent_at = 5u << 20};

	(void)state;
	rig_start(2, 1);
	p = rig_pair_open();
	setsockopt(p.backend, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	up.fd = p.client;
	send_bulk_start(&up);
	expect_bulk(p.backend, up.bytes_n);
	pthread_join(up.thread, NULL);
	rig_pair_close(&p);
}

static void an_idle_connection_holds_no_pipe(void **state)
{
	struct rig_pair p;
	struct sender up = {.bytes_n = 8u << 20};
	struct px_stats s;

	(void)state;
	rig_start(1, 1);
	p = rig_pair_open();
	up.fd = p.client;
	send_bulk_start(&up);
	/* Held as long as nobody reads: more than the sockets take. */
	RIG_WAIT_FOR(s, s.pipes > 0);
	expect_bulk(p.backend, up.bytes_n);
	pthread_join(up.thread, NULL);
	/* Open still; what the pool has is trimmed bit by bit. */
	RIG_WAIT_FOR(s, s.pipes == 0);
	assert_int_equal(s.open, 1);
	rig_pair_close(&p);
}

struct stream {
	pthread_t thread;
	int fd;
};

static void *swallow_stream(void *data)
{
	const struct stream *s = data;
	static char buf[1u << 20];

	while (recv(s->fd, buf, sizeof(buf), 0) > 0)
		;
	return NULL;
}

static void *pour_stream(void *data)
{
	const struct stream *s = data;
	static char buf[1u << 20];

	while (send(s->fd, buf, sizeof(buf), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void a_stream_does_not_starve_a_conversation(void **state)
{
	struct rig_pair bulk, p;
	struct stream in, out;

	(void)state;
	rig_start(1, 0);
	bulk = rig_pair_open();
	in.fd = bulk.client;
	out.fd = bulk.backend;
	pthread_create(&in.thread, NULL, pour_stream, &in);
	pthread_create(&out.thread, NULL, swallow_stream, &out);
	p.client = rig_connect(VIP);
	p.backend = rig_accept(bulk.listener, NULL);
	for (int i = 0; i < 100; i++)
		talk(&p);
	rig_reset(p.client);
	close(p.backend);
	/* Ends both threads, through the proxy. */
	shutdown(bulk.backend, SHUT_RDWR);
	pthread_join(out.thread, NULL);
	close(bulk.backend);
	pthread_join(in.thread, NULL);
	close(bulk.client);
	close(bulk.listener);
}

int main(void)
{
#define BOTH(name)                                                             \
	{#name " (copy)", name, rig_two_workers, rig_close, NULL},             \
	{                                                                      \
#name " (splice)", name, start_splicing, rig_close, NULL       \
	}
#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, rig_two_workers, rig_close)
#define BULK(name) cmocka_unit_test_teardown(name, rig_close)
	const struct CMUnitTest tests[] = {
		BOTH(bytes_pass_in_both_directions),
		BOTH(ipv6_is_served),
		BOTH(half_close_keeps_the_other_direction_open),
		BOTH(half_close_by_the_backend_keeps_uploads_going),
		BOTH(a_reset_of_the_client_resets_the_backend),
		BOTH(a_reset_of_the_backend_resets_the_client),
		BOTH(a_reset_after_a_fin_is_still_a_reset),
		BOTH(what_was_sent_before_a_reset_may_arrive),
		T(the_listener_itself_is_no_relay),
		T(an_address_that_is_no_frontend_is_refused),
		T(a_frontend_without_endpoints_is_refused),
		T(a_view_that_is_not_proxied_is_refused),
		T(a_node_port_is_found_by_its_port_alone),
		BOTH(connections_outlive_their_service),
		T(new_connections_go_to_the_new_endpoints),
		T(many_frontends_are_found_after_growth),
		BULK(bulk_arrives_whole_by_copy),
		BULK(bulk_arrives_whole_by_splice),
		BULK(bulk_changes_from_copy_to_splice_by_itself),
		T(small_messages_are_never_spliced),
		BULK(urgent_bytes_stay_in_their_place),
		BULK(an_idle_connection_holds_no_pipe),
		BULK(a_stream_does_not_starve_a_conversation),
	};

	return cmocka_run_group_tests(tests, rig_open, NULL);
}
