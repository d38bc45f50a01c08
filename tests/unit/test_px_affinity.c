// SPDX-License-Identifier: GPL-2.0-or-later
/* Clients that keep their endpoint, in the proxy: who keeps what until when,
 * what is told of it, and that workers agree. */
#include "check.h"

#include <pthread.h>

#include "../../src/proxy/px_affinity.h"
#include "nodesplice/base/limits.h"
#include "px_rig.h"

#define NOW	  RIG_START_MS
#define TIMEOUT_S 80

static struct rig rig;
static struct px_affinity *table; /* the group's */

static int setup(void **state)
{
	(void)state;
	rig_open(&rig, 3);
	rig.affinity_s = TIMEOUT_S;
	rig_set(&rig, (const uint8_t[]){1, 2, 3}, 3);
	table = rig.group->affinity;
	return table ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	rig_close(&rig);
	return 0;
}

static struct addr client(uint32_t n)
{
	return (struct addr){.v4 = {htonl(0xc0000200u + n)}, .family = AF_INET};
}

/* The number of the endpoint that a client keeps, 1 ..; 0: none. */
static unsigned int kept(uint32_t n, uint64_t now_ms)
{
	const struct addr c = client(n);
	const struct px_endpoint *ep;
	struct sockad at;

	ep = px_affinity_find(table, &c, now_ms, &at);
	for (unsigned int i = 0; i < rig.endpoints_n; i++) {
		if (rig.endpoints[i] == ep) {
			assert_int_equal(sockad_compare(&at, &ep->at), 0);
			return i + 1;
		}
	}
	return ep ? 99 : 0;
}

static enum px_affinity_answer claim(uint32_t n, unsigned int seen,
				     unsigned int wanted, uint64_t now_ms)
{
	const struct addr c = client(n);

	return px_affinity_claim(table, &c,
				 seen ? rig.endpoints[seen - 1] : NULL,
				 rig.endpoints[wanted - 1], now_ms);
}

static void learn(uint32_t n, unsigned int endpoint, uint64_t left_ms,
		  uint64_t now_ms)
{
	const struct addr c = client(n);

	px_affinity_learn(table, &c, rig.endpoints[endpoint - 1], left_ms,
			  now_ms);
}

static void a_client_keeps_its_endpoint_until_the_timeout(void **state)
{
	(void)state;
	assert_int_equal(kept(1, NOW), 0);
	assert_int_equal(claim(1, 0, 2, NOW), PX_AFFINITY_KEPT);
	assert_int_equal(kept(1, NOW + 79999), 2);
	assert_int_equal(kept(2, NOW), 0);
	/* Looking alone begins nothing anew. */
	assert_int_equal(kept(1, NOW + 80000), 0);
	assert_int_equal(px_affinity_clients_n(table), 0);
}

static void each_claim_begins_the_time_anew(void **state)
{
	(void)state;
	claim(1, 0, 2, NOW);
	claim(1, 2, 2, NOW + 79999);
	assert_int_equal(kept(1, NOW + 159998), 2);
	assert_int_equal(kept(1, NOW + 159999), 0);
}

static void of_two_at_once_one_is_overtaken(void **state)
{
	(void)state;
	assert_int_equal(claim(1, 0, 2, NOW), PX_AFFINITY_KEPT);
	assert_int_equal(claim(1, 0, 3, NOW), PX_AFFINITY_OVERTAKEN);
	assert_int_equal(kept(1, NOW), 2);
	/* Who wants the same is not. */
	assert_int_equal(claim(1, 0, 2, NOW), PX_AFFINITY_KEPT);
	/* Who has seen that it failed moves it. */
	assert_int_equal(claim(1, 2, 3, NOW), PX_AFFINITY_KEPT);
	assert_int_equal(claim(1, 2, 1, NOW), PX_AFFINITY_OVERTAKEN);
	assert_int_equal(kept(1, NOW), 3);
}

static void an_endpoint_that_comes_back_has_lost_its_clients(void **state)
{
	struct sockad at;
	const struct addr c = client(1);
	const struct px_endpoint *before = rig.endpoints[0];

	(void)state;
	claim(1, 0, 1, NOW);
	claim(2, 0, 2, NOW);
	rig_set(&rig, (const uint8_t[]){2, 3}, 2);
	assert_int_equal(kept(2, NOW), 1); /* the first one now */
	rig_set(&rig, (const uint8_t[]){1, 2, 3}, 3);
	assert_ptr_equal(px_affinity_find(table, &c, NOW, &at), before);
	assert_int_equal(kept(1, NOW), 99);
	assert_int_equal(kept(2, NOW), 2);
}

static void endpoints_know_how_many_keep_them(void **state)
{
	(void)state;
	claim(1, 0, 1, NOW);
	claim(2, 0, 1, NOW);
	claim(3, 0, 2, NOW);
	assert_int_equal(rig_read(&rig, 0, NOW).affinity_clients_n, 2);
	claim(2, 1, 2, NOW);
	assert_int_equal(rig_read(&rig, 0, NOW).affinity_clients_n, 1);
	assert_int_equal(rig_read(&rig, 1, NOW).affinity_clients_n, 2);
	assert_int_equal(rig_read_group(&rig).affinity_clients_n, 3);
}

static void without_affinity_nobody_is_remembered(void **state)
{
	(void)state;
	claim(1, 0, 1, NOW);
	rig.affinity_s = 0;
	rig_set(&rig, (const uint8_t[]){1, 2, 3}, 3);
	assert_int_equal(px_affinity_clients_n(table), 0);
	assert_int_equal(claim(1, 0, 1, NOW), PX_AFFINITY_KEPT);
	assert_int_equal(px_affinity_clients_n(table), 0);
	rig.affinity_s = TIMEOUT_S;
	rig_set(&rig, (const uint8_t[]){1, 2, 3}, 3);
	assert_ptr_equal(rig.group->affinity, table);
	claim(1, 0, 1, NOW);
	assert_int_equal(kept(1, NOW), 1);
}

static void another_timeout_keeps_the_clients(void **state)
{
	(void)state;
	claim(1, 0, 1, NOW);
	rig.affinity_s = 2 * TIMEOUT_S;
	rig_set(&rig, (const uint8_t[]){1, 2, 3}, 3);
	assert_int_equal(kept(1, NOW + 159999), 1);
	rig.affinity_s = 1;
	rig_set(&rig, (const uint8_t[]){1, 2, 3}, 3);
	assert_int_equal(kept(1, NOW + 999), 1);
	assert_int_equal(kept(1, NOW + 1000), 0);
}

static void the_longest_quiet_goes_at_the_bound(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LIMIT_AFFINITY_CLIENTS; i++)
		assert_int_equal(claim(i, 0, 1, NOW), PX_AFFINITY_KEPT);
	claim(0, 1, 1, NOW + 1);
	assert_int_equal(claim(LIMIT_AFFINITY_CLIENTS, 0, 1, NOW + 1),
			 PX_AFFINITY_EVICTED);
	assert_int_equal(kept(0, NOW + 1), 1);
	assert_int_equal(kept(1, NOW + 1), 0);
	assert_int_equal(kept(2, NOW + 1), 1);
	assert_int_equal(px_affinity_clients_n(table), LIMIT_AFFINITY_CLIENTS);
	/* Those that are overdue make room without a loss. */
	assert_int_equal(claim(1, 0, 1, NOW + 80000), PX_AFFINITY_KEPT);
}

static void all_tables_together_are_bounded(void **state)
{
	struct px_affinity_common *common = px_eptable_common(rig.table);

	(void)state;
	claim(1, 0, 1, NOW);
	atomic_fetch_add(&common->entries_n, LIMIT_AFFINITY_ENTRIES);
	assert_int_equal(claim(2, 0, 1, NOW), PX_AFFINITY_EVICTED);
	px_affinity_set_timeout(table, 0);
	px_affinity_set_timeout(table, 1000);
	assert_int_equal(claim(2, 0, 1, NOW), PX_AFFINITY_NO_ROOM);
	assert_int_equal(kept(2, NOW), 0);
	atomic_fetch_sub(&common->entries_n, LIMIT_AFFINITY_ENTRIES);
	assert_int_equal(claim(2, 0, 1, NOW), PX_AFFINITY_KEPT);
}

/* --- telling and learning ----------------------------------------------- */

static void changes_are_told_once(void **state)
{
	struct px_affinity_news n[4];

	(void)state;
	claim(1, 0, 1, NOW);
	claim(2, 0, 2, NOW);
	claim(2, 2, 3, NOW + 1);
	assert_true(px_eptable_common(rig.table)->news);
	assert_int_equal(px_affinity_take(table, NOW + 10, n, 4), 2);
	assert_int_equal(n[0].client.bytes[3], 1);
	assert_int_equal(n[0].at.addr.bytes[3], 1);
	assert_int_equal(n[0].before.addr.family, 0);
	assert_int_equal(n[0].left_ms, 79990);
	assert_int_equal(n[1].at.addr.bytes[3], 3);
	assert_int_equal(n[1].before.addr.family, 0);
	assert_int_equal(n[1].left_ms, 79991);
	assert_int_equal(px_affinity_take(table, NOW + 10, n, 4), 0);
	/* A move tells where it was before. */
	claim(2, 3, 1, NOW + 20);
	assert_int_equal(px_affinity_take(table, NOW + 20, n, 4), 1);
	assert_int_equal(n[0].at.addr.bytes[3], 1);
	assert_int_equal(n[0].before.addr.bytes[3], 3);
}

static void a_refresh_is_told_when_much_of_the_time_was_over(void **state)
{
	struct px_affinity_news n;

	(void)state;
	claim(1, 0, 1, NOW);
	px_affinity_take(table, NOW, &n, 1);
	claim(1, 1, 1, NOW + 9999);
	assert_int_equal(px_affinity_take(table, NOW + 9999, &n, 1), 0);
	claim(1, 1, 1, NOW + 10000);
	assert_int_equal(px_affinity_take(table, NOW + 10000, &n, 1), 1);
	assert_int_equal(n.left_ms, 80000);
}

static void what_does_not_fit_is_told_next_time(void **state)
{
	struct px_affinity_common *common = px_eptable_common(rig.table);
	struct px_affinity_news n[2];

	(void)state;
	claim(1, 0, 1, NOW);
	claim(2, 0, 1, NOW);
	claim(3, 0, 1, NOW);
	atomic_store(&common->news, false);
	assert_int_equal(px_affinity_take(table, NOW, n, 2), 2);
	assert_true(common->news);
	assert_int_equal(px_affinity_take(table, NOW, n, 2), 1);
	assert_int_equal(n[0].client.bytes[3], 3);
}

static void what_is_learnt_is_kept_and_not_told_back(void **state)
{
	struct px_affinity_news n;

	(void)state;
	learn(1, 2, 5000, NOW);
	assert_int_equal(kept(1, NOW + 4999), 2);
	assert_int_equal(px_affinity_take(table, NOW, &n, 1), 0);
	assert_int_equal(kept(1, NOW + 5000), 0);
	/* As long as the present timeout at most. */
	learn(2, 1, 1000000, NOW);
	assert_int_equal(kept(2, NOW + 79999), 1);
	assert_int_equal(kept(2, NOW + 80000), 0);
}

static void whoever_saw_a_client_last_is_right(void **state)
{
	struct px_affinity_news n;

	(void)state;
	claim(1, 0, 1, NOW);
	learn(1, 2, 79000, NOW + 2000); /* 1 s after us */
	assert_int_equal(kept(1, NOW + 2000), 2);
	claim(2, 0, 1, NOW + 2000);
	px_affinity_take(table, NOW + 2000, &n, 1);
	px_affinity_take(table, NOW + 2000, &n, 1);
	learn(2, 3, 79000, NOW + 2000); /* 1 s before us */
	assert_int_equal(kept(2, NOW + 2000), 1);
	/* He is told, and what he had is to go. */
	assert_int_equal(px_affinity_take(table, NOW + 2000, &n, 1), 1);
	assert_int_equal(n.at.addr.bytes[3], 1);
	assert_int_equal(n.before.addr.bytes[3], 3);
}

/* --- several workers ---------------------------------------------------- */

#define THREADS_N 4
#define CLIENTS_N 500

static unsigned int results[THREADS_N][CLIENTS_N];

/* As px_attempt.c: look, choose, claim, and look again if overtaken. */
static void *worker(void *data)
{
	unsigned int me = (unsigned int)(uintptr_t)data;

	for (uint32_t i = 0; i < CLIENTS_N; i++) {
		unsigned int seen, wanted;

		do {
			seen = kept(i, NOW);
			wanted = seen ? seen : 1 + (me + i) % 3;
		} while (claim(i, seen, wanted, NOW) == PX_AFFINITY_OVERTAKEN);
		results[me][i] = wanted;
	}
	return NULL;
}

static void workers_agree(void **state)
{
	struct px_affinity_news n[16];
	pthread_t threads[THREADS_N];
	size_t told_n = 0;

	(void)state;
	for (uintptr_t i = 0; i < THREADS_N; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker,
						(void *)i),
				 0);
	while (told_n < CLIENTS_N)
		told_n += px_affinity_take(table, NOW, n, ARRAY_SIZE(n));
	for (unsigned int i = 0; i < THREADS_N; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 1; i < THREADS_N; i++)
		assert_memory_equal(results[i], results[0], sizeof(results[0]));
	assert_int_equal(told_n, CLIENTS_N);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_client_keeps_its_endpoint_until_the_timeout),
		T(each_claim_begins_the_time_anew),
		T(of_two_at_once_one_is_overtaken),
		T(an_endpoint_that_comes_back_has_lost_its_clients),
		T(endpoints_know_how_many_keep_them),
		T(without_affinity_nobody_is_remembered),
		T(another_timeout_keeps_the_clients),
		T(the_longest_quiet_goes_at_the_bound),
		T(all_tables_together_are_bounded),
		T(changes_are_told_once),
		T(a_refresh_is_told_when_much_of_the_time_was_over),
		T(what_does_not_fit_is_told_next_time),
		T(what_is_learnt_is_kept_and_not_told_back),
		T(whoever_saw_a_client_last_is_right),
		T(workers_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
