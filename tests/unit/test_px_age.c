// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "../../src/proxy/px_age.h"

#define START_MS 1000000ull
#define AGE_MS	 100000u
#define DUE_MS	 (START_MS + 80000) /* one that chance may give */
#define END_MS	 (DUE_MS + 10000)

static void without_an_age_nothing_is_ever_due(void **state)
{
	struct rnd chance = {.state = 1};

	(void)state;
	assert_int_equal(px_age_due_ms(0, START_MS, &chance), UINT64_MAX);
	assert_int_equal(px_age_next_ms(0, UINT64_MAX, START_MS, START_MS),
			 UINT64_MAX);
}

static void the_end_is_spread_over_the_last_tenth(void **state)
{
	struct rnd chance = {.state = 20261124};
	unsigned int by_percent[10] = {0};

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint64_t end_ms =
			px_age_due_ms(AGE_MS, START_MS, &chance) + AGE_MS / 10;

		assert_in_range(end_ms, START_MS + AGE_MS - AGE_MS / 10,
				START_MS + AGE_MS);
		if (end_ms < START_MS + AGE_MS)
			by_percent[(end_ms - START_MS - 90000) / 1000]++;
	}
	/* 1000 each; the standard deviation is 30. */
	for (int i = 0; i < 10; i++)
		assert_in_range(by_percent[i], 850, 1150);
}

static void nothing_is_looked_at_before_it_is_due(void **state)
{
	(void)state;
	assert_int_equal(px_age_next_ms(AGE_MS, DUE_MS, START_MS, START_MS),
			 DUE_MS);
	assert_int_equal(px_age_next_ms(AGE_MS, DUE_MS, START_MS, DUE_MS - 1),
			 DUE_MS);
}

static void a_connection_that_rests_ends_when_it_is_due(void **state)
{
	uint64_t next_ms = px_age_next_ms(AGE_MS, DUE_MS, START_MS, DUE_MS);

	(void)state;
	assert_true(next_ms <= DUE_MS);
}

static void one_that_has_just_moved_has_its_quiet_time_first(void **state)
{
	uint64_t moved_ms = DUE_MS - 1;

	(void)state;
	assert_int_equal(px_age_next_ms(AGE_MS, DUE_MS, moved_ms, DUE_MS),
			 moved_ms + PX_AGE_QUIET_MS);
}

static void one_that_waits_for_an_answer_is_spared_until_the_end(void **state)
{
	uint64_t at_ms = DUE_MS;
	int looks_n = 0;

	(void)state;
	while (at_ms < END_MS) {
		uint64_t next_ms =
			px_age_next_ms(AGE_MS, DUE_MS, UINT64_MAX, at_ms);

		assert_true(next_ms > at_ms);
		at_ms = next_ms;
		looks_n++;
	}
	assert_int_equal(at_ms, END_MS);
	assert_true(looks_n <= 100);
	assert_true(px_age_next_ms(AGE_MS, DUE_MS, UINT64_MAX, END_MS) <=
		    END_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_an_age_nothing_is_ever_due),
		cmocka_unit_test(the_end_is_spread_over_the_last_tenth),
		cmocka_unit_test(nothing_is_looked_at_before_it_is_due),
		cmocka_unit_test(a_connection_that_rests_ends_when_it_is_due),
		cmocka_unit_test(
			one_that_has_just_moved_has_its_quiet_time_first),
		cmocka_unit_test(
			one_that_waits_for_an_answer_is_spared_until_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
