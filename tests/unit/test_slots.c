// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdlib.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/plan/slots.h"

static struct sockad *endpoints(size_t n)
{
	struct sockad *at = calloc(n, sizeof(*at));

	for (size_t i = 0; i < n; i++) {
		at[i].addr.family = AF_INET;
		at[i].addr.bytes[0] = 10;
		at[i].addr.bytes[2] = (uint8_t)(i >> 8);
		at[i].addr.bytes[3] = (uint8_t)i;
		at[i].port = 8080;
	}
	return at;
}

static void up_to_the_limit_each_endpoint_has_one_slot(void **state)
{
	cleanup_(freep) struct sockad *at = endpoints(SLOTS_EXACT_MAX);
	uint32_t slots[SLOTS_EXACT_MAX];

	(void)state;
	assert_int_equal(slots_count(0), 0);
	for (size_t n = 1; n <= SLOTS_EXACT_MAX; n++) {
		assert_int_equal(slots_count(n), n);
		assert_int_equal(slots_fill(at, n, slots), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(slots[i], i);
	}
}

static void above_it_shares_differ_by_at_most_one_slot(void **state)
{
	static const size_t counts[] = {65, 100, 127, 128, 129, 1000, 5000};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
		size_t n = counts[k], least = SIZE_MAX, most = 0;
		uint32_t slots_n = slots_count(n);
		cleanup_(freep) struct sockad *at = endpoints(n);
		cleanup_(freep)
			uint32_t *slots = calloc(slots_n, sizeof(*slots));
		cleanup_(freep) size_t *share = calloc(n, sizeof(*share));

		assert_true(slots_n >= 4 * n && slots_n < 8 * n);
		assert_int_equal(slots_fill(at, n, slots), 0);
		for (uint32_t i = 0; i < slots_n; i++) {
			assert_true(slots[i] < n);
			share[slots[i]]++;
		}
		for (size_t i = 0; i < n; i++) {
			least = share[i] < least ? share[i] : least;
			most = share[i] > most ? share[i] : most;
		}
		assert_true(most - least <= 1);
	}
}

static void one_endpoint_less_moves_few_slots(void **state)
{
	const size_t n = 1000;
	uint32_t slots_n = slots_count(n), moved = 0;
	cleanup_(freep) struct sockad *at = endpoints(n);
	cleanup_(freep) uint32_t *before = calloc(slots_n, sizeof(*before));
	cleanup_(freep) uint32_t *after = calloc(slots_n, sizeof(*after));

	(void)state;
	assert_int_equal(slots_count(n - 1), slots_n);
	assert_int_equal(slots_fill(at, n, before), 0);
	assert_int_equal(slots_fill(at, n - 1, after), 0);
	for (uint32_t i = 0; i < slots_n; i++)
		moved += before[i] != after[i];
	/* 5 slots belonged to it; Maglev moves some others with them. */
	assert_true(moved < slots_n / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(up_to_the_limit_each_endpoint_has_one_slot),
		cmocka_unit_test(above_it_shares_differ_by_at_most_one_slot),
		cmocka_unit_test(one_endpoint_less_moves_few_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
