// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "../../src/app/gate.h"

static struct gate gate;
static struct gate_reading now;
static const char *why;

static int setup(void **state)
{
	(void)state;
	gate = (struct gate){0};
	now = (struct gate_reading){0};
	return 0;
}

static bool at(uint64_t now_ms)
{
	now.heartbeat_ms = now_ms;
	return gate_decide(&gate, &now, now_ms, &why);
}

static void it_is_open_while_nothing_happens(void **state)
{
	(void)state;
	for (uint64_t ms = 1000; ms < 3600000; ms += 1000)
		assert_true(at(ms));
	assert_null(why);
}

static void a_worker_that_hangs_closes_it_at_once(void **state)
{
	(void)state;
	now.heartbeat_ms = 10000;
	assert_true(gate_decide(&gate, &now, 12000, &why));
	assert_false(gate_decide(&gate, &now, 12001, &why));
	assert_non_null(strstr(why, "worker"));
	assert_true(at(13000));
}

static void a_lack_of_resources_closes_it_and_says_which(void **state)
{
	(void)state;
	now.short_why = "descriptors";
	assert_false(at(1000));
	assert_string_equal(why, "descriptors");
	now.short_why = NULL;
	assert_true(at(2000));
}

static void what_is_intercepted_but_not_accepted_closes_it(void **state)
{
	(void)state;
	assert_true(at(1000));
	now.intercepted_n = 3;
	assert_true(at(2000));
	assert_true(at(3000));
	assert_false(at(4000));
	assert_non_null(strstr(why, "INPUT"));
}

static void one_accepted_connection_is_proof_enough(void **state)
{
	(void)state;
	for (uint64_t ms = 1000; ms < 100000; ms += 1000) {
		now.intercepted_n += 7;
		now.accepted_n += ms % 2000 == 0;
		assert_true(at(ms));
	}
}

/* When it closes for the next time, while nothing is ever accepted. */
static uint64_t closes_after(uint64_t *ms)
{
	uint64_t from;

	while (!at(*ms += 1000))
		;
	from = *ms;
	do {
		now.intercepted_n++;
	} while (at(*ms += 1000));
	return *ms - from;
}

static void it_tries_again_after_pauses_that_double_up_to_a_bound(void **state)
{
	uint64_t ms = 0, expected = GATE_PAUSE_MIN_MS;

	(void)state;
	closes_after(&ms);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(gate.pause_ms, expected);
		assert_int_equal(gate.paused_until_ms - ms, expected);
		closes_after(&ms);
		expected *= 2;
		if (expected > GATE_PAUSE_MAX_MS)
			expected = GATE_PAUSE_MAX_MS;
	}
	while (!at(ms += 1000))
		;
	now.accepted_n++;
	assert_true(at(ms += 1000));
	assert_int_equal(gate.pause_ms, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(it_is_open_while_nothing_happens),
		T(a_worker_that_hangs_closes_it_at_once),
		T(a_lack_of_resources_closes_it_and_says_which),
		T(what_is_intercepted_but_not_accepted_closes_it),
		T(one_accepted_connection_is_proof_enough),
		T(it_tries_again_after_pauses_that_double_up_to_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
