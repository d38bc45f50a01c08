// SPDX-License-Identifier: GPL-2.0-or-later
/* The movers alone, between sockets of the test; and the pools. */
#include "check.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/proxy/px_flow.h"
#include "../../src/proxy/px_slab.h"
#include "nodesplice/base/addr.h"
#include "nodesplice/base/limits.h"

struct fixture {
	struct px_stats stats;
	struct px_mover mover;
	struct px_flow flow;
	struct px_leg from, to;
	int source, sink; /* the far ends */
};

static void tcp_pair(int ret_fd[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&at, &len);
	ret_fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(ret_fd[0], (struct sockaddr *)&at, len), 0);
	ret_fd[1] = accept(listener, NULL, NULL);
	setsockopt(ret_fd[0], SOL_TCP, TCP_NODELAY, &on, sizeof(on));
	close(listener);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const int small = 16384;
	int in[2], out[2];

	assert_int_equal(px_chunks_init(&f->mover.chunks, &f->stats), 0);
	px_pipes_init(&f->mover.pipes, 2, 65536);
	f->mover.stats = &f->stats;
	f->mover.splice_from_bytes = UINT64_MAX;
	tcp_pair(in);
	tcp_pair(out);
	f->source = in[0];
	f->sink = out[1];
	setsockopt(out[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	f->from = (struct px_leg){.f.fd = in[1], .writable = true};
	f->to = (struct px_leg){.f.fd = out[0], .writable = true};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	px_flow_drop(&f->mover, &f->flow);
	px_chunks_release(&f->mover.chunks);
	px_pipes_release(&f->mover.pipes);
	assert_int_equal(f->mover.pipes.all_n, 0);
	close(f->source);
	close(f->sink);
	close(f->from.f.fd);
	close(f->to.f.fd);
	free(f);
	return 0;
}

/* Byte i of the stream. */
static unsigned char pattern(size_t i)
{
	return (unsigned char)(i % 251);
}

/* Send into the source until it takes no more.  Return: the next byte. */
static size_t stuff(struct fixture *f, size_t at)
{
	unsigned char buf[4096];
	ssize_t n;

	do {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = pattern(at + i);
		n = send(f->source, buf, sizeof(buf), MSG_DONTWAIT);
		at += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return at;
}

/* Read and check all that has arrived.  Return: the next byte. */
static size_t swallow(struct fixture *f, size_t at)
{
	unsigned char buf[65536];
	ssize_t n;

	while ((n = recv(f->sink, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], pattern(at + (size_t)i));
		at += (size_t)n;
	}
	return at;
}

/* Move with a sink that is full again and again, until all has arrived. */
static void move_against_a_full_sink(struct fixture *f)
{
	size_t sent = stuff(f, 0), seen = 0;
	uint64_t moved = 0;
	bool blocked = false;

	while (seen < sent) {
		f->from.readable = f->to.writable = true;
		assert_int_equal(px_flow_move(&f->mover, &f->flow, &f->from,
					      &f->to, 1u << 30, &moved),
				 0);
		blocked |= !f->to.writable;
		if (sent < (8u << 20))
			sent = stuff(f, sent);
		seen = swallow(f, seen);
	}
	assert_true(blocked);
	assert_int_equal(moved, sent);
}

static void a_short_send_leaves_the_rest_with_the_flow(void **state)
{
	struct fixture *f = *state;

	move_against_a_full_sink(f);
	assert_int_equal(f->mover.chunks.out_n, 0);
	assert_int_equal(f->stats.peeked, 0);
	assert_int_equal(f->stats.spliced_bytes, 0);
}

static void without_spare_chunks_nothing_is_held(void **state)
{
	struct fixture *f = *state;

	f->mover.chunks.out_n = LIMIT_CHUNKS_PER_WORKER;
	move_against_a_full_sink(f);
	assert_int_equal(f->mover.chunks.out_n, LIMIT_CHUNKS_PER_WORKER);
	assert_true(f->stats.peeked > 0);
	assert_null(f->flow.rest);
}

static void splice_survives_a_full_pipe_and_a_full_sink(void **state)
{
	struct fixture *f = *state;

	f->mover.splice_from_bytes = 1;
	move_against_a_full_sink(f);
	assert_true(f->stats.spliced_bytes > 0);
	assert_null(f->flow.pipe);
	assert_int_equal(f->mover.pipes.free_n, 1);
}

static void the_end_waits_for_what_is_held(void **state)
{
	struct fixture *f = *state;
	size_t sent = stuff(f, 0), seen = 0;
	uint64_t moved = 0;
	char c;

	shutdown(f->source, SHUT_WR);
	f->from.unsure = true;
	do {
		f->from.readable = f->to.writable = true;
		assert_int_equal(px_flow_move(&f->mover, &f->flow, &f->from,
					      &f->to, 1u << 30, &moved),
				 0);
		seen = swallow(f, seen);
		if (seen < sent)
			assert_false(f->flow.shut && f->flow.rest);
	} while (!f->flow.shut);
	seen = swallow(f, seen);
	assert_int_equal(seen, sent);
	assert_int_equal(recv(f->sink, &c, 1, 0), 0);
}

static void a_turn_moves_no_more_than_it_may(void **state)
{
	struct fixture *f = *state;
	const int large = 1 << 20;
	uint64_t moved = 0;

	setsockopt(f->to.f.fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	stuff(f, 0);
	f->from.readable = true;
	assert_int_equal(px_flow_move(&f->mover, &f->flow, &f->from, &f->to, 1,
				      &moved),
			 0);
	assert_in_range(moved, 1, PX_CHUNK_BYTES);
	assert_true(px_flow_ready(&f->flow, &f->from, &f->to));
}

static void a_reset_source_is_an_error(void **state)
{
	struct fixture *f = *state;
	const struct linger now = {.l_onoff = 1};
	uint64_t moved = 0;

	setsockopt(f->source, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	shutdown(f->source, SHUT_RD);
	close(f->source);
	f->source = socket(AF_INET, SOCK_STREAM, 0);
	f->from.readable = true;
	assert_int_equal(px_flow_move(&f->mover, &f->flow, &f->from, &f->to,
				      1u << 20, &moved),
			 -ECONNRESET);
	assert_false(f->flow.shut);
}

static void a_pipe_with_bytes_in_it_is_not_pooled(void **state)
{
	struct fixture *f = *state;
	uint64_t moved = 0;

	stuff(f, 0);
	f->mover.splice_from_bytes = 1;
	while (!f->flow.pipe) {
		f->from.readable = f->to.writable = true;
		assert_int_equal(px_flow_move(&f->mover, &f->flow, &f->from,
					      &f->to, 1u << 30, &moved),
				 0);
		stuff(f, 0);
	}
	px_flow_drop(&f->mover, &f->flow);
	assert_int_equal(f->mover.pipes.free_n, 0);
	assert_int_equal(f->mover.pipes.all_n, 0);
}

static void pipes_that_nobody_needs_are_closed_bit_by_bit(void **state)
{
	struct px_pipes ps;

	(void)state;
	px_pipes_init(&ps, 8, 65536);
	for (int i = 0; i < 8; i++) {
		struct px_pipe *p = calloc(1, sizeof(*p));

		assert_int_equal(pipe2(p->fd, O_CLOEXEC), 0);
		ps.all_n++;
		px_pipe_put(&ps, p);
	}
	px_pipes_trim(&ps); /* learns the low water */
	assert_int_equal(ps.free_n, 8);
	px_pipes_trim(&ps);
	assert_int_equal(ps.free_n, 6);
	for (int i = 0; i < 20; i++)
		px_pipes_trim(&ps);
	assert_int_equal(ps.all_n, 0);
}

static void slab_objects_are_zeroed_and_used_again(void **state)
{
	struct px_slab s;
	unsigned char *a, *b;

	(void)state;
	px_slab_init(&s, 100);
	a = px_slab_get(&s);
	memset(a, 0xff, 100);
	px_slab_put(&s, a);
	b = px_slab_get(&s);
	assert_ptr_equal(a, b);
	for (int i = 0; i < 100; i++)
		assert_int_equal(b[i], 0);
	for (int i = 0; i < 1000; i++)
		assert_non_null(px_slab_get(&s));
	px_slab_release(&s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_short_send_leaves_the_rest_with_the_flow),
		T(without_spare_chunks_nothing_is_held),
		T(splice_survives_a_full_pipe_and_a_full_sink),
		T(the_end_waits_for_what_is_held),
		T(a_turn_moves_no_more_than_it_may),
		T(a_reset_source_is_an_error),
		T(a_pipe_with_bytes_in_it_is_not_pooled),
		cmocka_unit_test(pipes_that_nobody_needs_are_closed_bit_by_bit),
		cmocka_unit_test(slab_objects_are_zeroed_and_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
