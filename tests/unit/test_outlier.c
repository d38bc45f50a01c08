// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "../../src/proxy/outlier.h"

#define BASE_MS	    30000u
#define INTERVAL_MS 10000u
#define START_MS    1000000ull

/* Three failures in a row, 30 s, at most 100 s. */
static struct policy policy_of_test(void)
{
	struct policy p;

	policy_init(&p);
	p.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 3;
	p.value[POLICY_OUTLIER_INTERVAL] = INTERVAL_MS;
	p.value[POLICY_OUTLIER_BASE_EJECTION_TIME] = BASE_MS;
	p.value[POLICY_OUTLIER_MAX_EJECTION_TIME] = 100000;
	p.value[POLICY_CONNECT_TIMEOUT] = 5000;
	return p;
}

static enum outlier_verdict ordinary(struct outlier *o, const struct policy *p,
				     enum outlier_outcome outcome,
				     uint64_t now_ms)
{
	return outlier_record(o, p, OUTLIER_ORDINARY, outcome, OUTLIER_EJECT,
			      now_ms);
}

/* Fill the count at @now_ms. */
static void eject_now(struct outlier *o, const struct policy *p,
		      uint64_t now_ms)
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(ordinary(o, p, OUTLIER_FAILED, now_ms),
				 OUTLIER_BELOW);
	assert_int_equal(ordinary(o, p, OUTLIER_FAILED, now_ms), OUTLIER_EJECT);
	assert_int_equal(o->phase, OUTLIER_EJECTED);
}

/* Let its time end, and the probe with @outcome. */
static enum outlier_verdict probe(struct outlier *o, const struct policy *p,
				  enum outlier_outcome outcome)
{
	enum outlier_role role;
	uint64_t at_ms = o->at_ms;

	assert_true(outlier_enter(o, p, at_ms, &role));
	assert_int_equal(role, OUTLIER_PROBE);
	return outlier_record(o, p, role, outcome, OUTLIER_CAPPED, at_ms);
}

static void failures_in_a_row_eject_for_the_base_time(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED, START_MS),
			 OUTLIER_BELOW);
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED, START_MS + 1),
			 OUTLIER_BELOW);
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED, START_MS + 2),
			 OUTLIER_EJECT);
	assert_int_equal(o.phase, OUTLIER_EJECTED);
	assert_int_equal(o.at_ms, START_MS + 2 + BASE_MS);
	assert_int_equal(o.ejections, 1);
}

static void success_between_failures_restarts_the_count(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	ordinary(&o, &p, OUTLIER_FAILED, START_MS + 1);
	assert_int_equal(ordinary(&o, &p, OUTLIER_CONNECTED, START_MS + 2),
			 OUTLIER_NOTHING);
	eject_now(&o, &p, START_MS + 3);
}

static void an_abandoned_attempt_says_nothing(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	assert_int_equal(ordinary(&o, &p, OUTLIER_ABANDONED, START_MS),
			 OUTLIER_NOTHING);
	assert_int_equal(o.failures, 2);
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED, START_MS),
			 OUTLIER_EJECT);
}

static void failures_of_last_week_do_not_count_today(void **state)
{
	const struct policy p = policy_of_test();
	const uint64_t window_ms = BASE_MS + 5000;
	struct outlier o = {0};

	(void)state;
	ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED,
				  START_MS + window_ms + 1),
			 OUTLIER_BELOW);
	assert_int_equal(o.failures, 1);
}

static void slow_but_steady_failures_do_count(void **state)
{
	const struct policy p = policy_of_test();
	const uint64_t window_ms = BASE_MS + 5000;
	struct outlier o = {0};

	(void)state;
	ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	ordinary(&o, &p, OUTLIER_FAILED, START_MS + window_ms);
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED,
				  START_MS + 2 * window_ms),
			 OUTLIER_EJECT);
}

static void
the_time_out_grows_with_each_ejection_up_to_the_maximum(void **state)
{
	static const uint64_t out_ms[] = {BASE_MS, 2 * BASE_MS, 3 * BASE_MS,
					  100000, 100000};
	const struct policy p = policy_of_test();
	struct outlier o = {0};
	uint64_t began_ms = START_MS;

	(void)state;
	eject_now(&o, &p, began_ms);
	for (size_t i = 0; i < ARRAY_SIZE(out_ms); i++) {
		assert_int_equal(o.at_ms - began_ms, out_ms[i]);
		began_ms = o.at_ms;
		assert_int_equal(probe(&o, &p, OUTLIER_FAILED),
				 OUTLIER_EJECT_ON);
	}
	/* It stops where it has reached the maximum: 4 x 30 s > 100 s. */
	assert_int_equal(o.ejections, 4);
}

static void the_maximum_is_never_below_the_base(void **state)
{
	struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	p.value[POLICY_OUTLIER_MAX_EJECTION_TIME] = 100;
	eject_now(&o, &p, START_MS);
	assert_int_equal(o.at_ms, START_MS + BASE_MS);
}

static void each_healthy_interval_takes_one_ejection_back(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0}, later;

	(void)state;
	eject_now(&o, &p, START_MS);
	probe(&o, &p, OUTLIER_FAILED);
	probe(&o, &p, OUTLIER_CONNECTED);
	assert_int_equal(o.ejections, 2);
	later = o;
	outlier_settle(&later, &p, o.at_ms + INTERVAL_MS - 1);
	assert_int_equal(later.ejections, 2);
	later = o;
	outlier_settle(&later, &p, o.at_ms + INTERVAL_MS);
	assert_int_equal(later.ejections, 1);
	later = o;
	outlier_settle(&later, &p, o.at_ms + 50 * INTERVAL_MS);
	assert_int_equal(later.ejections, 0);
	/* Two intervals are forgiven, so the next time out is the base again. */
	eject_now(&o, &p, o.at_ms + 2 * INTERVAL_MS);
	assert_int_equal(o.ejections, 1);
}

static void time_spent_ejected_is_not_healthy_time(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	eject_now(&o, &p, START_MS);
	outlier_settle(&o, &p, START_MS + 1000 * INTERVAL_MS);
	assert_int_equal(o.ejections, 1);
}

static void the_way_back_is_one_probe(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};
	enum outlier_role role = OUTLIER_ROLE_MAX_;
	uint64_t over_ms;

	(void)state;
	eject_now(&o, &p, START_MS);
	over_ms = o.at_ms;
	assert_false(outlier_enter(&o, &p, over_ms - 1, &role));
	assert_int_equal(role, OUTLIER_ROLE_MAX_);
	assert_true(outlier_enter(&o, &p, over_ms, &role));
	assert_int_equal(role, OUTLIER_PROBE);
	assert_false(outlier_enter(&o, &p, over_ms + 1, &role));
	assert_int_equal(outlier_record(&o, &p, OUTLIER_PROBE,
					OUTLIER_CONNECTED, OUTLIER_CAPPED,
					over_ms + 2),
			 OUTLIER_RETURN);
	assert_true(outlier_enter(&o, &p, over_ms + 3, &role));
	assert_int_equal(role, OUTLIER_ORDINARY);
	assert_int_equal(o.failures, 0);
}

static void an_abandoned_probe_leaves_the_place_to_the_next(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	eject_now(&o, &p, START_MS);
	assert_int_equal(probe(&o, &p, OUTLIER_ABANDONED), OUTLIER_NOTHING);
	assert_true(outlier_is_out(&o));
	assert_int_equal(o.ejections, 1);
	assert_int_equal(probe(&o, &p, OUTLIER_CONNECTED), OUTLIER_RETURN);
}

static void without_probe_it_returns_when_its_time_is_over(void **state)
{
	struct policy p = policy_of_test();
	struct outlier o = {0};
	enum outlier_role role;

	(void)state;
	p.value[POLICY_OUTLIER_PROBE] = 0;
	eject_now(&o, &p, START_MS);
	assert_false(outlier_enter(&o, &p, o.at_ms - 1, &role));
	assert_true(outlier_enter(&o, &p, o.at_ms, &role));
	assert_int_equal(role, OUTLIER_ORDINARY);
	assert_int_equal(o.phase, OUTLIER_IN);
	assert_true(outlier_enter(&o, &p, o.at_ms, &role));
}

static void late_results_do_not_touch_an_ejection(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0}, before;
	enum outlier_role role;

	(void)state;
	eject_now(&o, &p, START_MS);
	before = o;
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED, START_MS + 5),
			 OUTLIER_NOTHING);
	assert_int_equal(ordinary(&o, &p, OUTLIER_CONNECTED, START_MS + 5),
			 OUTLIER_NOTHING);
	assert_memory_equal(&o, &before, sizeof(o));
	assert_true(outlier_enter(&o, &p, o.at_ms, &role));
	assert_int_equal(ordinary(&o, &p, OUTLIER_CONNECTED, o.at_ms),
			 OUTLIER_NOTHING);
	assert_int_equal(o.phase, OUTLIER_PROBING);
}

static void the_last_resort_that_answers_is_back(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	eject_now(&o, &p, START_MS);
	assert_int_equal(outlier_record(&o, &p, OUTLIER_LAST_RESORT,
					OUTLIER_FAILED, OUTLIER_EJECT,
					START_MS + 1),
			 OUTLIER_NOTHING);
	assert_int_equal(o.at_ms, START_MS + BASE_MS);
	assert_int_equal(outlier_record(&o, &p, OUTLIER_LAST_RESORT,
					OUTLIER_CONNECTED, OUTLIER_EJECT,
					START_MS + 2),
			 OUTLIER_RETURN);
	assert_int_equal(o.phase, OUTLIER_IN);
}

static void what_is_gone_is_not_judged(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {.phase = OUTLIER_GONE};
	enum outlier_role role;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED, START_MS),
				 OUTLIER_NOTHING);
	assert_false(outlier_is_out(&o));
	assert_true(outlier_enter(&o, &p, START_MS, &role));
	assert_int_equal(o.phase, OUTLIER_GONE);
}

static void the_room_is_half_but_at_least_one_and_never_the_last(void **state)
{
	static const struct {
		uint32_t endpoints_n, ejected_n;
		enum outlier_verdict room;
	} rows[] = {
		{1, 0, OUTLIER_LAST},	 {2, 0, OUTLIER_EJECT},
		{2, 1, OUTLIER_LAST},	 {3, 0, OUTLIER_EJECT},
		{3, 1, OUTLIER_CAPPED},	 {4, 1, OUTLIER_EJECT},
		{4, 2, OUTLIER_CAPPED},	 {10, 4, OUTLIER_EJECT},
		{10, 5, OUTLIER_CAPPED}, {0, 0, OUTLIER_LAST},
		{2, 7, OUTLIER_LAST},
	};
	const struct policy p = policy_of_test();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(outlier_room(&p, rows[i].endpoints_n,
					      rows[i].ejected_n),
				 rows[i].room);
}

static void a_small_percentage_still_leaves_room_for_one(void **state)
{
	struct policy p = policy_of_test();

	(void)state;
	p.value[POLICY_OUTLIER_MAX_EJECTION_PERCENT] = 10;
	assert_int_equal(outlier_room(&p, 5, 0), OUTLIER_EJECT);
	assert_int_equal(outlier_room(&p, 5, 1), OUTLIER_CAPPED);
	p.value[POLICY_OUTLIER_MAX_EJECTION_PERCENT] = 100;
	assert_int_equal(outlier_room(&p, 5, 3), OUTLIER_EJECT);
	assert_int_equal(outlier_room(&p, 5, 4), OUTLIER_LAST);
}

static void zero_failures_or_zero_percent_mean_never(void **state)
{
	struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	p.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 0;
	assert_int_equal(outlier_room(&p, 5, 0), OUTLIER_DISABLED);
	for (int i = 0; i < 10; i++)
		assert_int_equal(outlier_record(&o, &p, OUTLIER_ORDINARY,
						OUTLIER_FAILED,
						OUTLIER_DISABLED, START_MS),
				 OUTLIER_DISABLED);
	assert_int_equal(o.phase, OUTLIER_IN);
	assert_int_equal(o.failures, 10);
	p = policy_of_test();
	p.value[POLICY_OUTLIER_MAX_EJECTION_PERCENT] = 0;
	assert_int_equal(outlier_room(&p, 5, 0), OUTLIER_DISABLED);
}

static void an_ejection_without_room_is_made_when_there_is_some(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	for (int i = 0; i < 2; i++)
		ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	assert_int_equal(outlier_record(&o, &p, OUTLIER_ORDINARY,
					OUTLIER_FAILED, OUTLIER_CAPPED,
					START_MS),
			 OUTLIER_CAPPED);
	assert_int_equal(outlier_record(&o, &p, OUTLIER_ORDINARY,
					OUTLIER_FAILED, OUTLIER_LAST, START_MS),
			 OUTLIER_LAST);
	assert_int_equal(o.phase, OUTLIER_IN);
	assert_int_equal(ordinary(&o, &p, OUTLIER_FAILED, START_MS),
			 OUTLIER_EJECT);
}

static void a_clock_read_earlier_does_not_turn_time_back(void **state)
{
	const struct policy p = policy_of_test();
	struct outlier o = {0};

	(void)state;
	ordinary(&o, &p, OUTLIER_FAILED, START_MS);
	ordinary(&o, &p, OUTLIER_FAILED, START_MS - 3);
	assert_int_equal(o.failures, 2);
	assert_int_equal(o.at_ms, START_MS);
}

static void every_state_survives_its_word(void **state)
{
	static const struct outlier states[] = {
		{OUTLIER_IN, 0, 0, 0},
		{OUTLIER_IN, 1000, 4095, (1ull << 40) - 1},
		{OUTLIER_EJECTED, 0, 17, START_MS},
		{OUTLIER_PROBING, 3, 1, 1},
		{OUTLIER_GONE, 0, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct outlier o = outlier_unpack(outlier_pack(&states[i]));

		assert_int_equal(o.phase, states[i].phase);
		assert_int_equal(o.failures, states[i].failures);
		assert_int_equal(o.ejections, states[i].ejections);
		assert_int_equal(o.at_ms, states[i].at_ms);
	}
}

static void what_does_not_fit_its_word_saturates(void **state)
{
	const struct outlier huge = {OUTLIER_IN, UINT32_MAX, UINT32_MAX,
				     UINT64_MAX};
	struct outlier o = outlier_unpack(outlier_pack(&huge));

	(void)state;
	assert_int_equal(o.phase, OUTLIER_IN);
	assert_int_equal(o.failures, 1023);
	assert_int_equal(o.ejections, 4095);
	assert_int_equal(o.at_ms, (1ull << 40) - 1);
}

static void only_what_was_not_ejected_has_a_reason(void **state)
{
	static const bool has_reason[OUTLIER_VERDICT_MAX_] = {
		[OUTLIER_BELOW] = true,
		[OUTLIER_DISABLED] = true,
		[OUTLIER_LAST] = true,
		[OUTLIER_CAPPED] = true,
	};
	(void)state;
	for (int v = 0; v < OUTLIER_VERDICT_MAX_; v++)
		assert_int_equal(outlier_verdict_why((enum outlier_verdict)v) !=
					 NULL,
				 has_reason[v]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_in_a_row_eject_for_the_base_time),
		cmocka_unit_test(success_between_failures_restarts_the_count),
		cmocka_unit_test(an_abandoned_attempt_says_nothing),
		cmocka_unit_test(failures_of_last_week_do_not_count_today),
		cmocka_unit_test(slow_but_steady_failures_do_count),
		cmocka_unit_test(
			the_time_out_grows_with_each_ejection_up_to_the_maximum),
		cmocka_unit_test(the_maximum_is_never_below_the_base),
		cmocka_unit_test(each_healthy_interval_takes_one_ejection_back),
		cmocka_unit_test(time_spent_ejected_is_not_healthy_time),
		cmocka_unit_test(the_way_back_is_one_probe),
		cmocka_unit_test(
			an_abandoned_probe_leaves_the_place_to_the_next),
		cmocka_unit_test(
			without_probe_it_returns_when_its_time_is_over),
		cmocka_unit_test(late_results_do_not_touch_an_ejection),
		cmocka_unit_test(the_last_resort_that_answers_is_back),
		cmocka_unit_test(what_is_gone_is_not_judged),
		cmocka_unit_test(
			the_room_is_half_but_at_least_one_and_never_the_last),
		cmocka_unit_test(a_small_percentage_still_leaves_room_for_one),
		cmocka_unit_test(zero_failures_or_zero_percent_mean_never),
		cmocka_unit_test(
			an_ejection_without_room_is_made_when_there_is_some),
		cmocka_unit_test(a_clock_read_earlier_does_not_turn_time_back),
		cmocka_unit_test(every_state_survives_its_word),
		cmocka_unit_test(what_does_not_fit_its_word_saturates),
		cmocka_unit_test(only_what_was_not_ejected_has_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
