// SPDX-License-Identifier: GPL-2.0-or-later
/* When a peer counts as gone, by what TCP_INFO says of it. */
#include "check.h"

#include <netinet/tcp.h>

#include "../../src/proxy/px_peer.h"

#define TIMEOUT_MS 1000
#define START_MS   500000

static struct px_silence silence;

static int begin(void **state)
{
	(void)state;
	silence = (struct px_silence){0};
	return 0;
}

/* Bytes sent @sent_ms ago, the last answer @ack_ms ago; both at @at_ms. */
static bool bytes(uint64_t at_ms, uint32_t sent_ms, uint32_t ack_ms)
{
	const struct tcp_info i = {
		.tcpi_unacked = 1,
		.tcpi_last_data_sent = sent_ms,
		.tcpi_last_ack_recv = ack_ms,
	};

	return px_peer_judge(&i, &silence, TIMEOUT_MS, START_MS + at_ms);
}

/* The window is closed, @n probes have no answer. */
static bool probes(uint64_t at_ms, uint8_t n, uint32_t ack_ms)
{
	const struct tcp_info i = {
		.tcpi_probes = n,
		.tcpi_last_data_sent = ack_ms,
		.tcpi_last_ack_recv = ack_ms,
	};

	return px_peer_judge(&i, &silence, TIMEOUT_MS, START_MS + at_ms);
}

static void a_dead_peer_is_silent_after_the_timeout(void **state)
{
	(void)state;
	/* Sent at 0, again at 200, 600, 1400 ms. */
	assert_false(bytes(100, 100, 5000));
	assert_false(bytes(600, 0, 5500));
	assert_false(bytes(1099, 499, 5999));
	assert_true(bytes(1100, 500, 6000));
}

static void an_answer_starts_the_time_anew(void **state)
{
	(void)state;
	assert_false(bytes(100, 50, 5000));
	assert_false(bytes(600, 0, 100));
	assert_false(bytes(1100, 100, 600));
	assert_false(bytes(1599, 599, 1099));
	assert_true(bytes(1600, 600, 1100));
}

static void nothing_on_the_way_is_no_silence(void **state)
{
	const struct tcp_info idle = {.tcpi_last_ack_recv = 900000};

	(void)state;
	assert_false(bytes(100, 50, 5000));
	assert_false(
		px_peer_judge(&idle, &silence, TIMEOUT_MS, START_MS + 600));
	assert_false(bytes(2000, 0, 6900));
}

static void bytes_sent_once_may_wait_longer(void **state)
{
	(void)state;
	/* A window closed for minutes: the next question is as far away. */
	assert_false(bytes(100, 50, 60000));
	assert_false(bytes(1100, 1050, 61000));
	assert_false(bytes(60000, 59950, 119900));
	/* Asked again, and no answer again. */
	assert_false(bytes(61000, 0, 120900));
	assert_true(bytes(61500, 500, 121400));
}

static void one_probe_without_an_answer_is_spared(void **state)
{
	(void)state;
	/* Linux answers no second probe within 0.5 s; the third is 0.8 s
	 * later, and any load more. */
	assert_false(probes(0, 1, 400));
	assert_false(probes(500, 1, 900));
	assert_false(probes(1000, 1, 1400));
	assert_false(probes(100000, 1, 100400));
}

static void an_answer_on_the_way_is_waited_for(void **state)
{
	(void)state;
	assert_false(probes(0, 1, 400));
	assert_false(probes(500, 1, 900));
	/* Looked at just when the second one is sent. */
	assert_false(probes(1000, 2, 1400));
	assert_false(probes(1500, 1, 100));
	assert_false(probes(2500, 1, 1100));
}

static void two_probes_without_an_answer_are_silence(void **state)
{
	(void)state;
	assert_false(probes(0, 1, 400));
	assert_false(probes(500, 2, 900));
	assert_false(probes(999, 2, 1399));
	assert_true(probes(1000, 2, 1400));
}

static void a_socket_that_is_none_is_not_judged(void **state)
{
	(void)state;
	assert_false(px_peer_silent(-1, &silence, TIMEOUT_MS, START_MS));
	assert_int_equal(silence.since_ms, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		T(a_dead_peer_is_silent_after_the_timeout),
		T(an_answer_starts_the_time_anew),
		T(nothing_on_the_way_is_no_silence),
		T(bytes_sent_once_may_wait_longer),
		T(one_probe_without_an_answer_is_spared),
		T(an_answer_on_the_way_is_waited_for),
		T(two_probes_without_an_answer_are_silence),
		T(a_socket_that_is_none_is_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
