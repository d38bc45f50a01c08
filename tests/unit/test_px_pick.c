// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "px_rig.h"

#define OVER_MS (RIG_START_MS + 30000)

static struct rnd chance;

static int seed(void **state)
{
	(void)state;
	chance.state = 20261123;
	return 0;
}

static bool pick(struct rig *r, struct px_endpoint *const *tried,
		 size_t tried_n, uint64_t now_ms, struct px_choice *ret_choice)
{
	const struct px_wish wish = {
		.endpoints = r->endpoints,
		.endpoints_n = (uint32_t)r->endpoints_n,
		.tried = tried,
		.tried_n = tried_n,
		.policy = &r->policy,
		.now_ms = now_ms,
		.rnd = &chance,
	};

	return px_pick(&wish, ret_choice);
}

static enum outlier_verdict report(struct rig *r, const struct px_choice *c,
				   enum outlier_outcome outcome,
				   uint64_t now_ms)
{
	return px_endpoint_report(c->endpoint, &r->policy, c->role, outcome,
				  now_ms);
}

/* Pick @n times, giving up each at once; how often each was chosen. */
static void spread(struct rig *r, unsigned int n, uint64_t now_ms,
		   unsigned int *ret_n)
{
	memset(ret_n, 0, RIG_N * sizeof(*ret_n));
	for (unsigned int i = 0; i < n; i++) {
		struct px_choice c;

		assert_true(pick(r, NULL, 0, now_ms, &c));
		for (size_t k = 0; k < r->endpoints_n; k++)
			ret_n[k] += r->endpoints[k] == c.endpoint;
		report(r, &c, OUTLIER_ABANDONED, now_ms);
	}
}

static void nobody_is_chosen_from_none(void **state)
{
	struct px_choice c;
	struct rig r;

	(void)state;
	rig_open(&r, 0);
	assert_false(pick(&r, NULL, 0, RIG_START_MS, &c));
	rig_close(&r);
}

static void the_only_endpoint_is_chosen_and_counted_open(void **state)
{
	struct px_choice c;
	struct rig r;

	(void)state;
	rig_open(&r, 1);
	assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
	assert_ptr_equal(c.endpoint, r.endpoints[0]);
	assert_int_equal(c.role, OUTLIER_ORDINARY);
	assert_int_equal(px_endpoint_open(c.endpoint), 1);
	report(&r, &c, OUTLIER_ABANDONED, RIG_START_MS);
	assert_int_equal(px_endpoint_open(c.endpoint), 0);
	rig_close(&r);
}

static void idle_endpoints_get_equal_shares(void **state)
{
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	rig_open(&r, 5);
	spread(&r, 10000, RIG_START_MS, n);
	/* 2000 each; the standard deviation is 40. */
	for (size_t i = 0; i < 5; i++)
		assert_in_range(n[i], 1800, 2200);
	rig_close(&r);
}

static void of_two_the_one_with_fewer_open_connections_gets_it(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	for (int i = 0; i < 50; i++)
		px_endpoint_opened(r.endpoints[0]);
	for (int i = 0; i < 50; i++) {
		struct px_choice c;

		assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
		assert_ptr_equal(c.endpoint, r.endpoints[1]);
	}
	rig_close(&r);
}

static void open_connections_stay_level_among_many(void **state)
{
	uint32_t least = UINT32_MAX, most = 0;
	struct rig r;

	(void)state;
	rig_open(&r, 50);
	for (unsigned int i = 0; i < 50 * 100; i++) {
		struct px_choice c;

		assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
	}
	for (size_t i = 0; i < 50; i++) {
		uint32_t open = px_endpoint_open(r.endpoints[i]);

		least = open < least ? open : least;
		most = open > most ? open : most;
	}
	/* Two choices: within log log n of the mean; one: 30 more or less. */
	assert_true(most <= 104);
	assert_true(least >= 90);
	rig_close(&r);
}

static void who_was_tried_is_not_chosen_again(void **state)
{
	struct px_endpoint *tried[8];
	struct px_choice c;
	struct rig r;

	(void)state;
	rig_open(&r, 8);
	for (size_t n = 0; n < 8; n++) {
		assert_true(pick(&r, tried, n, RIG_START_MS, &c));
		for (size_t i = 0; i < n; i++)
			assert_ptr_not_equal(tried[i], c.endpoint);
		tried[n] = c.endpoint;
	}
	assert_false(pick(&r, tried, 8, RIG_START_MS, &c));
	rig_close(&r);
}

static void the_ejected_get_nothing_until_their_time_is_over(void **state)
{
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	rig_open(&r, 4);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_int_equal(rig_fail(&r, 3), OUTLIER_EJECT);
	spread(&r, 2000, OVER_MS - 1, n);
	assert_int_equal(n[0], 0);
	assert_int_equal(n[3], 0);
	assert_in_range(n[1], 850, 1150);
	rig_close(&r);
}

/* Pick until somebody gets the probe; the others end well. */
static void pick_until_probe(struct rig *r, uint64_t now_ms,
			     struct px_choice *ret_choice)
{
	for (unsigned int i = 0; i < 1000; i++) {
		assert_true(pick(r, NULL, 0, now_ms, ret_choice));
		if (ret_choice->role == OUTLIER_PROBE)
			return;
		report(r, ret_choice, OUTLIER_ABANDONED, now_ms);
	}
	fail_msg("nobody got the probe");
}

static void then_one_connection_at_a_time_until_one_succeeds(void **state)
{
	struct px_choice probe;
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	pick_until_probe(&r, OVER_MS, &probe);
	assert_ptr_equal(probe.endpoint, r.endpoints[1]);
	spread(&r, 300, OVER_MS, n);
	assert_int_equal(n[1], 0);
	assert_int_equal(report(&r, &probe, OUTLIER_CONNECTED, OVER_MS),
			 OUTLIER_RETURN);
	px_endpoint_closed(probe.endpoint);
	spread(&r, 3000, OVER_MS, n);
	assert_in_range(n[1], 850, 1150);
	rig_close(&r);
}

static void
a_client_that_leaves_its_probe_does_not_block_the_return(void **state)
{
	struct px_choice probe;
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	assert_int_equal(rig_fail(&r, 2), OUTLIER_EJECT);
	for (int i = 0; i < 3; i++) {
		pick_until_probe(&r, OVER_MS, &probe);
		report(&r, &probe, OUTLIER_ABANDONED, OVER_MS);
	}
	pick_until_probe(&r, OVER_MS, &probe);
	assert_int_equal(report(&r, &probe, OUTLIER_CONNECTED, OVER_MS),
			 OUTLIER_RETURN);
	rig_close(&r);
}

static void when_all_are_out_somebody_is_tried_all_the_same(void **state)
{
	static const uint8_t first_two[] = {1, 2};
	struct px_choice c;
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	/* Two of four are ejected, and the two others leave. */
	rig_open(&r, 4);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	rig_set(&r, first_two, 2);
	spread(&r, 200, RIG_START_MS + 1, n);
	assert_in_range(n[0], 50, 150);
	assert_true(pick(&r, NULL, 0, RIG_START_MS + 1, &c));
	assert_int_equal(c.role, OUTLIER_LAST_RESORT);
	/* The first one that answers has the rotation for itself. */
	assert_int_equal(report(&r, &c, OUTLIER_CONNECTED, RIG_START_MS + 1),
			 OUTLIER_RETURN);
	for (int i = 0; i < 20; i++) {
		struct px_choice again;

		assert_true(pick(&r, NULL, 0, RIG_START_MS + 1, &again));
		assert_ptr_equal(again.endpoint, c.endpoint);
		assert_int_equal(again.role, OUTLIER_ORDINARY);
	}
	rig_close(&r);
}

static void a_retry_goes_to_an_ejected_one_before_it_gives_up(void **state)
{
	struct px_endpoint *tried[2];
	struct px_choice c;
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
	assert_ptr_equal(c.endpoint, r.endpoints[1]);
	tried[0] = c.endpoint;
	assert_true(pick(&r, tried, 1, RIG_START_MS, &c));
	assert_ptr_equal(c.endpoint, r.endpoints[0]);
	assert_int_equal(c.role, OUTLIER_LAST_RESORT);
	tried[1] = c.endpoint;
	assert_false(pick(&r, tried, 2, RIG_START_MS, &c));
	rig_close(&r);
}

static void a_lone_healthy_one_among_many_is_found(void **state)
{
	struct px_choice c;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_N);
	r.policy.value[POLICY_OUTLIER_MAX_EJECTION_PERCENT] = 100;
	for (size_t i = 0; i < RIG_N - 1; i++)
		assert_int_equal(rig_fail(&r, i), OUTLIER_EJECT);
	for (int i = 0; i < 100; i++) {
		assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
		assert_ptr_equal(c.endpoint, r.endpoints[RIG_N - 1]);
		assert_int_equal(c.role, OUTLIER_ORDINARY);
	}
	rig_close(&r);
}

/* --- max-endpoint-connections --- */

static void who_is_full_gets_no_more(void **state)
{
	struct px_choice c;
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	r.policy.value[POLICY_MAX_ENDPOINT_CONNECTIONS] = 2;
	for (int i = 0; i < 6; i++)
		assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(px_endpoint_open(r.endpoints[i]), 2);
		assert_true(rig_read(&r, i, RIG_START_MS).full);
	}
	assert_false(pick(&r, NULL, 0, RIG_START_MS, &c));
	px_endpoint_closed(r.endpoints[1]);
	assert_false(rig_read(&r, 1, RIG_START_MS).full);
	spread(&r, 50, RIG_START_MS, n);
	assert_int_equal(n[1], 50);
	rig_close(&r);
}

static void who_is_full_is_no_last_resort_either(void **state)
{
	struct px_choice c;
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	r.policy.value[POLICY_MAX_ENDPOINT_CONNECTIONS] = 1;
	px_endpoint_opened(r.endpoints[1]);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
	assert_ptr_equal(c.endpoint, r.endpoints[0]);
	assert_int_equal(c.role, OUTLIER_LAST_RESORT);
	assert_false(pick(&r, NULL, 0, RIG_START_MS, &c));
	rig_close(&r);
}

static void a_client_does_not_keep_who_is_full(void **state)
{
	struct px_choice c;
	struct px_wish wish;
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	r.policy.value[POLICY_MAX_ENDPOINT_CONNECTIONS] = 1;
	wish = (struct px_wish){.endpoints = r.endpoints,
				.endpoints_n = 2,
				.policy = &r.policy,
				.now_ms = RIG_START_MS,
				.rnd = &chance};
	assert_true(
		px_pick_kept(&wish, r.endpoints[0], &r.endpoints[0]->at, &c));
	assert_false(
		px_pick_kept(&wish, r.endpoints[0], &r.endpoints[0]->at, &c));
	rig_close(&r);
}

static void without_a_limit_nobody_is_ever_full(void **state)
{
	struct px_choice c;
	struct rig r;

	(void)state;
	rig_open(&r, 1);
	for (int i = 0; i < 5000; i++)
		assert_true(pick(&r, NULL, 0, RIG_START_MS, &c));
	assert_false(rig_read(&r, 0, RIG_START_MS).full);
	rig_close(&r);
}

int main(void)
{
#define PICK_TEST(f) cmocka_unit_test_setup(f, seed)
	const struct CMUnitTest tests[] = {
		PICK_TEST(nobody_is_chosen_from_none),
		PICK_TEST(the_only_endpoint_is_chosen_and_counted_open),
		PICK_TEST(idle_endpoints_get_equal_shares),
		PICK_TEST(of_two_the_one_with_fewer_open_connections_gets_it),
		PICK_TEST(open_connections_stay_level_among_many),
		PICK_TEST(who_was_tried_is_not_chosen_again),
		PICK_TEST(the_ejected_get_nothing_until_their_time_is_over),
		PICK_TEST(then_one_connection_at_a_time_until_one_succeeds),
		PICK_TEST(
			a_client_that_leaves_its_probe_does_not_block_the_return),
		PICK_TEST(when_all_are_out_somebody_is_tried_all_the_same),
		PICK_TEST(a_retry_goes_to_an_ejected_one_before_it_gives_up),
		PICK_TEST(a_lone_healthy_one_among_many_is_found),
		PICK_TEST(who_is_full_gets_no_more),
		PICK_TEST(who_is_full_is_no_last_resort_either),
		PICK_TEST(a_client_does_not_keep_who_is_full),
		PICK_TEST(without_a_limit_nobody_is_ever_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
