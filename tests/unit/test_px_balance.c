// SPDX-License-Identifier: GPL-2.0-or-later
/* load-balancing and slow-start; px_pick() itself is in test_px_pick.c. */
#include "check.h"

#include "px_rig.h"

#include "../../src/proxy/px_config.h"

#define CLIENTS_N 4000
#define RAMP_MS	  60000u

static struct rnd chance;
static _Atomic uint32_t turn;

static int seed(void **state)
{
	(void)state;
	chance.state = 20261124;
	turn = 0;
	return 0;
}

static void open_with(struct rig *r, size_t n, enum policy_balancing b)
{
	rig_open(r, n);
	r->policy.value[POLICY_LOAD_BALANCING] = b;
}

static struct addr client_at(uint32_t n)
{
	return (struct addr){.v4 = {htonl(0x0af40000u + n)}, .family = AF_INET};
}

/* Whom one client gets at @now_ms; given up at once. */
static size_t pick_at(struct rig *r, uint32_t client, uint64_t now_ms)
{
	const struct addr from = client_at(client);
	const struct px_wish wish = {
		.endpoints = r->endpoints,
		.endpoints_n = (uint32_t)r->endpoints_n,
		.policy = &r->policy,
		.client = &from,
		.turn = &turn,
		.now_ms = now_ms,
		.rnd = &chance,
	};
	struct px_choice c;
	size_t i = 0;

	assert_true(px_pick(&wish, &c));
	px_endpoint_report(c.endpoint, &r->policy, c.role, OUTLIER_ABANDONED,
			   now_ms);
	while (r->endpoints[i] != c.endpoint)
		i++;
	return i;
}

static size_t pick(struct rig *r, uint32_t client)
{
	return pick_at(r, client, RIG_START_MS);
}

/* How many of @n picks each gets. */
static void spread_at(struct rig *r, unsigned int n, uint64_t now_ms,
		      unsigned int got[RIG_N])
{
	memset(got, 0, RIG_N * sizeof(*got));
	for (uint32_t i = 0; i < n; i++)
		got[pick_at(r, i, now_ms)]++;
}

/* --- round-robin --- */

static void round_robin_gives_everybody_a_turn(void **state)
{
	size_t first;
	struct rig r;

	(void)state;
	open_with(&r, 5, POLICY_ROUND_ROBIN);
	first = pick(&r, 0);
	for (size_t i = 1; i < 50; i++)
		assert_int_equal(pick(&r, 0), (first + i) % 5);
	rig_close(&r);
}

static void round_robin_begins_anywhere(void **state)
{
	unsigned int firsts[RIG_N] = {0};
	struct rig r;

	(void)state;
	open_with(&r, 4, POLICY_ROUND_ROBIN);
	for (int i = 0; i < 400; i++) {
		turn = 0;
		firsts[pick(&r, 0)]++;
	}
	/* 100 each; the standard deviation is 9. */
	for (size_t i = 0; i < 4; i++)
		assert_in_range(firsts[i], 60, 140);
	rig_close(&r);
}

static void the_turn_of_who_is_ejected_is_spread_evenly(void **state)
{
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	open_with(&r, 4, POLICY_ROUND_ROBIN);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	spread_at(&r, 300, RIG_START_MS, n);
	assert_int_equal(n[0], 100);
	assert_int_equal(n[1], 0);
	assert_int_equal(n[2], 100);
	assert_int_equal(n[3], 100);
	rig_close(&r);
}

/* Or two ways in, used in turn, would each have half of the endpoints. */
static void each_scope_has_a_round_of_its_own(void **state)
{
	struct plan_endpoint at[] = {{.at = rig_at(1), .in = {true, true}},
				     {.at = rig_at(2), .in = {true, true}}};
	const struct plan_port port = {.name = (char *)"default/web:http",
				       .protocol = PROTOCOL_TCP,
				       .family = AF_INET,
				       .endpoints = at,
				       .endpoints_n = 2,
				       .in_scope_n = {2, 2}};
	struct px_conf *c;
	struct rig r;

	(void)state;
	open_with(&r, 2, POLICY_ROUND_ROBIN);
	assert_int_equal(px_conf_new(&port, &r.policy, r.group, &c), 0);
	assert_ptr_not_equal(c->scope[SELECT_SCOPE_CLUSTER].turn,
			     c->scope[SELECT_SCOPE_LOCAL].turn);
	px_conf_unref(c);
	rig_close(&r);
}

/* --- random --- */

static void random_does_not_look_at_open_connections(void **state)
{
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	open_with(&r, 4, POLICY_RANDOM);
	for (int i = 0; i < 50; i++)
		px_endpoint_opened(r.endpoints[0]);
	spread_at(&r, 4000, RIG_START_MS, n);
	/* 1000 each; the standard deviation is 27. */
	for (size_t i = 0; i < 4; i++)
		assert_in_range(n[i], 850, 1150);
	rig_close(&r);
}

static void random_passes_the_ejected_over(void **state)
{
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	open_with(&r, 3, POLICY_RANDOM);
	assert_int_equal(rig_fail(&r, 2), OUTLIER_EJECT);
	spread_at(&r, 1000, RIG_START_MS, n);
	assert_int_equal(n[2], 0);
	assert_in_range(n[0], 400, 600);
	rig_close(&r);
}

/* --- source-hash --- */

static void a_client_gets_the_same_endpoint_again(void **state)
{
	unsigned int n[RIG_N];
	struct rig r;

	(void)state;
	open_with(&r, 8, POLICY_SOURCE_HASH);
	spread_at(&r, CLIENTS_N, RIG_START_MS, n);
	/* 500 each; the standard deviation is 21. */
	for (size_t i = 0; i < 8; i++)
		assert_in_range(n[i], 390, 610);
	chance.state = 1;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(pick(&r, i), pick(&r, i));
	rig_close(&r);
}

static void every_node_gives_a_client_the_same_endpoint(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, 8, POLICY_SOURCE_HASH);
	/* Computed apart; another answer moves clients in an upgrade. */
	assert_int_equal(pick(&r, 1), 6);
	assert_int_equal(pick(&r, 2), 5);
	assert_int_equal(pick(&r, 3), 5);
	rig_close(&r);
}

static void remember(struct rig *r, uint8_t at[CLIENTS_N])
{
	for (uint32_t i = 0; i < CLIENTS_N; i++)
		at[i] = r->endpoints[pick(r, i)]->at.addr.bytes[3];
}

static void who_leaves_moves_its_own_clients_alone(void **state)
{
	static const uint8_t without_3[] = {1, 2, 4, 5, 6};
	static uint8_t before[CLIENTS_N], after[CLIENTS_N];
	unsigned int moved_to[8] = {0};
	struct rig r;

	(void)state;
	open_with(&r, 6, POLICY_SOURCE_HASH);
	remember(&r, before);
	rig_set(&r, without_3, 5);
	remember(&r, after);
	for (uint32_t i = 0; i < CLIENTS_N; i++) {
		if (before[i] != 3)
			assert_int_equal(after[i], before[i]);
		else
			moved_to[after[i]]++;
	}
	/* A fifth of a sixth each, 133; the standard deviation is 10. */
	for (size_t i = 0; i < 5; i++)
		assert_in_range(moved_to[without_3[i]], 80, 190);
	rig_close(&r);
}

static void who_joins_gets_its_share_and_moves_nobody_else(void **state)
{
	static const uint8_t with_9[] = {1, 2, 3, 4, 9};
	static uint8_t before[CLIENTS_N], after[CLIENTS_N];
	unsigned int moved_n = 0;
	struct rig r;

	(void)state;
	open_with(&r, 4, POLICY_SOURCE_HASH);
	remember(&r, before);
	rig_set(&r, with_9, 5);
	remember(&r, after);
	for (uint32_t i = 0; i < CLIENTS_N; i++) {
		if (after[i] == before[i])
			continue;
		assert_int_equal(after[i], 9);
		moved_n++;
	}
	/* A fifth. */
	assert_in_range(moved_n, 680, 920);
	rig_close(&r);
}

static void the_clients_of_who_is_ejected_come_back(void **state)
{
	static uint8_t before[CLIENTS_N], out[CLIENTS_N], after[CLIENTS_N];
	struct rig r;

	(void)state;
	open_with(&r, 4, POLICY_SOURCE_HASH);
	remember(&r, before);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	remember(&r, out);
	assert_int_equal(rig_attempt(&r, 0, OUTLIER_LAST_RESORT,
				     OUTLIER_CONNECTED, RIG_START_MS),
			 OUTLIER_RETURN);
	remember(&r, after);
	for (uint32_t i = 0; i < CLIENTS_N; i++) {
		assert_int_not_equal(out[i], 1);
		if (before[i] != 1)
			assert_int_equal(out[i], before[i]);
	}
	assert_memory_equal(after, before, sizeof(before));
	rig_close(&r);
}

/* --- slow-start --- */

static const uint8_t one_to_four[] = {1, 2, 3, 4};

/* Three endpoints since long ago, and the fourth from RIG_START_MS on. */
static void open_joined(struct rig *r, enum policy_balancing b)
{
	open_with(r, 3, b);
	r->policy.value[POLICY_SLOW_START] = RAMP_MS;
	rig_set(r, one_to_four, 4);
}

static uint32_t share(struct rig *r, size_t i, uint64_t after_ms)
{
	return px_endpoint_share(r->endpoints[i], &r->policy,
				 RIG_START_MS + after_ms);
}

static void who_joins_gets_its_share_little_by_little(void **state)
{
	struct rig r;

	(void)state;
	open_joined(&r, POLICY_RANDOM);
	assert_int_equal(share(&r, 3, 0), PX_SHARE_FULL / 10);
	assert_int_equal(share(&r, 3, RAMP_MS / 20), PX_SHARE_FULL / 10);
	assert_int_equal(share(&r, 3, RAMP_MS / 2), PX_SHARE_FULL / 2);
	assert_in_range(share(&r, 3, RAMP_MS - 1), 990, 999);
	assert_int_equal(share(&r, 3, RAMP_MS), PX_SHARE_FULL);
	/* Another thread's clock may be behind. */
	assert_int_equal(share(&r, 3, -(uint64_t)1), PX_SHARE_FULL / 10);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(share(&r, i, 0), PX_SHARE_FULL);
	assert_int_equal(px_group_slow_n(r.group, &r.policy, RIG_START_MS), 1);
	assert_int_equal(
		px_group_slow_n(r.group, &r.policy, RIG_START_MS + RAMP_MS), 0);
	assert_int_equal(rig_read(&r, 3, RIG_START_MS).share_percent, 10);
	rig_close(&r);
}

static void the_first_endpoints_of_all_need_no_slow_start(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, 3, POLICY_RANDOM);
	r.policy.value[POLICY_SLOW_START] = RAMP_MS;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(share(&r, i, 0), PX_SHARE_FULL);
	rig_close(&r);
}

static void who_returns_from_ejection_starts_slowly(void **state)
{
	struct rig r;

	(void)state;
	open_with(&r, 3, POLICY_RANDOM);
	r.policy.value[POLICY_SLOW_START] = RAMP_MS;
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	assert_int_equal(rig_attempt(&r, 1, OUTLIER_LAST_RESORT,
				     OUTLIER_CONNECTED, RIG_START_MS),
			 OUTLIER_RETURN);
	assert_int_equal(share(&r, 1, 0), PX_SHARE_FULL / 10);
	assert_int_equal(share(&r, 0, 0), PX_SHARE_FULL);
	rig_close(&r);
}

static void who_returns_without_a_probe_starts_slowly(void **state)
{
	enum outlier_role role;
	struct rig r;

	(void)state;
	open_with(&r, 3, POLICY_RANDOM);
	r.policy.value[POLICY_SLOW_START] = RAMP_MS;
	r.policy.value[POLICY_OUTLIER_PROBE] = 0;
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	assert_true(px_endpoint_enter(r.endpoints[1], &r.policy,
				      RIG_START_MS + 30000, &role));
	assert_int_equal(share(&r, 1, 30000), PX_SHARE_FULL / 10);
	rig_close(&r);
}

/* Of 10000 connections, all short, the fourth gets so many. */
static unsigned int got_by_the_new(enum policy_balancing b, uint64_t after_ms,
				   bool slow)
{
	unsigned int n[RIG_N];
	struct rig r;

	open_joined(&r, b);
	if (!slow)
		r.policy.value[POLICY_SLOW_START] = 0;
	spread_at(&r, 10000, RIG_START_MS + after_ms, n);
	rig_close(&r);
	return n[3];
}

static void each_way_of_balancing_starts_slowly(void **state)
{
	static const enum policy_balancing ways[] = {
		POLICY_LEAST_CONNECTIONS, POLICY_ROUND_ROBIN, POLICY_RANDOM};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		/* A tenth of a share is 1 of 31, half of one 1 of 7. */
		assert_in_range(got_by_the_new(ways[i], 0, true), 230, 420);
		assert_in_range(got_by_the_new(ways[i], RAMP_MS / 2, true),
				1200, 1660);
		assert_in_range(got_by_the_new(ways[i], RAMP_MS, true), 2300,
				2700);
		assert_in_range(got_by_the_new(ways[i], 0, false), 2300, 2700);
	}
}

static void a_new_endpoint_is_not_flooded_for_being_empty(void **state)
{
	const struct addr from = client_at(1);
	struct px_wish wish = {.endpoints_n = 4,
			       .client = &from,
			       .turn = &turn,
			       .now_ms = RIG_START_MS,
			       .rnd = &chance};
	struct px_choice c;
	struct rig r;

	(void)state;
	open_joined(&r, POLICY_LEAST_CONNECTIONS);
	wish.endpoints = r.endpoints;
	wish.policy = &r.policy;
	for (size_t i = 0; i < 3; i++) {
		for (int k = 0; k < 1000; k++)
			px_endpoint_opened(r.endpoints[i]);
	}
	for (int i = 0; i < 1000; i++)
		assert_true(px_pick(&wish, &c));
	/* Without slow start half of them, as in each second pair of two. */
	assert_in_range(px_endpoint_open(r.endpoints[3]), 20, 120);
	rig_close(&r);
}

static void where_all_start_slowly_nobody_waits(void **state)
{
	static const uint8_t two[] = {1, 2}, other[] = {2, 3};
	struct rig r;

	(void)state;
	open_with(&r, 1, POLICY_LEAST_CONNECTIONS);
	r.policy.value[POLICY_SLOW_START] = RAMP_MS;
	rig_set(&r, two, 2);
	rig_set(&r, other, 2);
	assert_int_equal(share(&r, 0, 0), PX_SHARE_FULL / 10);
	assert_int_equal(share(&r, 1, 0), PX_SHARE_FULL / 10);
	for (uint32_t i = 0; i < 200; i++)
		pick(&r, i);
	rig_close(&r);
}

static void source_hash_moves_no_client_twice(void **state)
{
	static uint8_t before[CLIENTS_N], after[CLIENTS_N];
	struct rig r;

	(void)state;
	open_joined(&r, POLICY_SOURCE_HASH);
	remember(&r, before);
	r.policy.value[POLICY_SLOW_START] = 0;
	remember(&r, after);
	assert_memory_equal(after, before, sizeof(before));
	rig_close(&r);
}

int main(void)
{
#define BALANCE_TEST(f) cmocka_unit_test_setup(f, seed)
	const struct CMUnitTest tests[] = {
		BALANCE_TEST(round_robin_gives_everybody_a_turn),
		BALANCE_TEST(round_robin_begins_anywhere),
		BALANCE_TEST(the_turn_of_who_is_ejected_is_spread_evenly),
		BALANCE_TEST(each_scope_has_a_round_of_its_own),
		BALANCE_TEST(random_does_not_look_at_open_connections),
		BALANCE_TEST(random_passes_the_ejected_over),
		BALANCE_TEST(a_client_gets_the_same_endpoint_again),
		BALANCE_TEST(every_node_gives_a_client_the_same_endpoint),
		BALANCE_TEST(who_leaves_moves_its_own_clients_alone),
		BALANCE_TEST(who_joins_gets_its_share_and_moves_nobody_else),
		BALANCE_TEST(the_clients_of_who_is_ejected_come_back),
		BALANCE_TEST(who_joins_gets_its_share_little_by_little),
		BALANCE_TEST(the_first_endpoints_of_all_need_no_slow_start),
		BALANCE_TEST(who_returns_from_ejection_starts_slowly),
		BALANCE_TEST(who_returns_without_a_probe_starts_slowly),
		BALANCE_TEST(each_way_of_balancing_starts_slowly),
		BALANCE_TEST(a_new_endpoint_is_not_flooded_for_being_empty),
		BALANCE_TEST(where_all_start_slowly_nobody_waits),
		BALANCE_TEST(source_hash_moves_no_client_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
