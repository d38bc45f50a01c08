// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>

#include "observing.h"

static int setup(void **state)
{
	*state = observing_new();
	return 0;
}

static int teardown(void **state)
{
	observing_free(*state);
	return 0;
}

static void a_value_falls_into_the_bucket_that_it_does_not_exceed(void **state)
{
	struct histogram h = {0};

	(void)state;
	histogram_add_exponential(&h, 0.001, 2, 3);
	histogram_observe(&h, 0.001);
	histogram_observe(&h, 0.0011);
	histogram_observe(&h, 5);
	assert_int_equal(h.counts[0], 1);
	assert_int_equal(h.counts[1], 1);
	assert_int_equal(h.counts[2], 0);
	assert_int_equal(h.counts[3], 1);
	assert_int_equal(h.samples_n, 3);
	assert_true(h.sum > 5.002 && h.sum < 5.0022);
}

static void a_histogram_keeps_its_room(void **state)
{
	struct histogram h = {0};

	(void)state;
	histogram_add_linear(&h, 0, 1, 1000);
	assert_int_equal(h.bounds_n, HISTOGRAM_BUCKETS_MAX);
	histogram_observe(&h, 1e9);
	assert_int_equal(h.counts[HISTOGRAM_BUCKETS_MAX], 1);
}

static void a_repeated_problem_is_kept_once_and_counted(void **state)
{
	struct observed *o = &((struct observing *)*state)->o;

	observed_problem(o, "default/web", "bad", 1);
	observed_problem(o, "default/db", "bad", 2);
	observed_problem(o, "default/web", "bad", 3);
	assert_int_equal(o->problems_n, 2);
	assert_int_equal(o->problems[0].times_n, 2);
	assert_int_equal(o->problems[0].first_realtime_ms, 1);
	assert_int_equal(o->problems[0].last_realtime_ms, 3);
	assert_int_equal(o->problems_total_n, 3);
}

static void an_overlong_problem_is_cut_and_still_found_again(void **state)
{
	struct observed *o = &((struct observing *)*state)->o;
	char sentence[2 * ERRBUF_BYTES], subject[600];

	memset(sentence, 'x', sizeof(sentence) - 1);
	sentence[sizeof(sentence) - 1] = '\0';
	memset(subject, 'y', sizeof(subject) - 1);
	subject[sizeof(subject) - 1] = '\0';
	observed_problem(o, subject, sentence, 1);
	observed_problem(o, subject, sentence, 2);
	assert_int_equal(o->problems_n, 1);
	assert_int_equal(strlen(o->problems[0].sentence), ERRBUF_BYTES - 1);
}

static void a_problem_plays_no_tricks_on_a_terminal(void **state)
{
	struct observed *o = &((struct observing *)*state)->o;

	observed_problem(o, "default/web", "a\033[2J\nb\302\233c\303\244", 1);
	observed_problem(o, "default/web", "a\033[2J\nb\302\233c\303\244", 2);
	assert_int_equal(o->problems_n, 1);
	assert_string_equal(o->problems[0].sentence, "a?[2J?b??c\303\244");
}

static void above_the_limit_the_oldest_problem_is_forgotten(void **state)
{
	struct observed *o = &((struct observing *)*state)->o;
	char subject[32];

	for (unsigned int i = 0; i < LIMIT_PROBLEMS; i++) {
		snprintf(subject, sizeof(subject), "default/s%u", i);
		observed_problem(o, subject, "bad", i + 1);
	}
	observed_problem(o, "default/s0", "bad", 100);
	observed_problem(o, "default/new", "bad", 101);
	assert_int_equal(o->problems_n, LIMIT_PROBLEMS);
	assert_string_equal(o->problems[0].subject, "default/s0");
	assert_string_equal(o->problems[1].subject, "default/new");
	assert_int_equal(o->problems[1].times_n, 1);
	assert_int_equal(o->problems_total_n, LIMIT_PROBLEMS + 2);
}

static void a_gate_counts_its_closings_once_each(void **state)
{
	struct observed *o = &((struct observing *)*state)->o;

	observed_gate(o, true, NULL, 1);
	observed_gate(o, false, "a", 2);
	observed_gate(o, false, "b", 3);
	assert_int_equal(o->gate.closings_n, 1);
	assert_int_equal(o->gate.changed_ms, 2);
	assert_string_equal(o->gate.why_closed, "b");
	observed_gate(o, true, "ignored", 4);
	assert_null(o->gate.why_closed);
}

static void what_changed_before_our_start_is_no_programming_time(void **state)
{
	struct observed *o = &((struct observing *)*state)->o;
	const struct histogram *h = &o->sync[OBSERVED_IPV6].programming;

	observed_programmed(o, AF_INET6, o->started_realtime_ms - 1,
			    REALTIME_MS);
	observed_programmed(o, AF_INET6, 0, REALTIME_MS);
	assert_int_equal(h->samples_n, 0);
	observed_programmed(o, AF_INET6, REALTIME_MS - 1500, REALTIME_MS);
	assert_int_equal(h->samples_n, 1);
	assert_true(h->sum == 1.5);
	/* A clock ahead of ours is no time at all. */
	observed_programmed(o, AF_INET6, REALTIME_MS + 5000, REALTIME_MS);
	assert_int_equal(h->counts[0], 1);
}

static void programming_time_has_kube_proxys_buckets(void **state)
{
	struct observed *o = &((struct observing *)*state)->o;
	const struct histogram *h = &o->sync[OBSERVED_IPV4].programming;

	assert_int_equal(h->bounds_n, 81);
	assert_true(h->bounds[0] == 0);
	assert_true(h->bounds[2] == 0.5);
	assert_true(h->bounds[61] == 59);
	assert_true(h->bounds[62] == 60);
	assert_true(h->bounds[63] == 65);
	assert_true(h->bounds[80] == 300);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_value_falls_into_the_bucket_that_it_does_not_exceed),
		CLAIM(a_histogram_keeps_its_room),
		CLAIM(a_repeated_problem_is_kept_once_and_counted),
		CLAIM(an_overlong_problem_is_cut_and_still_found_again),
		CLAIM(a_problem_plays_no_tricks_on_a_terminal),
		CLAIM(above_the_limit_the_oldest_problem_is_forgotten),
		CLAIM(a_gate_counts_its_closings_once_each),
		CLAIM(what_changed_before_our_start_is_no_programming_time),
		CLAIM(programming_time_has_kube_proxys_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
