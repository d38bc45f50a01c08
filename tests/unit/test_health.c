// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "nodesplice/observe/health.h"
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

static bool healthz(struct observing *ob, uint64_t now_ms)
{
	struct text t = {0};
	bool ok = health_healthz(&ob->o, now_ms, REALTIME_MS, &t);

	text_free(&t);
	return ok;
}

static bool livez(struct observing *ob, uint64_t now_ms)
{
	struct text t = {0};
	bool ok = health_livez(&ob->o, now_ms, REALTIME_MS, &t);

	text_free(&t);
	return ok;
}

static void a_node_that_does_not_exist_is_not_for_load_balancers(void **state)
{
	struct observing *ob = *state;

	assert_false(healthz(ob, NOW_MS));
	assert_true(livez(ob, NOW_MS));
	with_node(ob);
	assert_true(healthz(ob, NOW_MS));
}

static void a_node_from_manifests_need_not_exist(void **state)
{
	struct observing *ob = *state;

	ob->o.node_optional = true;
	assert_true(healthz(ob, NOW_MS));
}

static void a_node_that_goes_is_alive_but_not_for_load_balancers(void **state)
{
	struct observing *ob = *state;
	struct node *n = with_node(ob);

	n->being_deleted = true;
	assert_false(healthz(ob, NOW_MS));
	assert_true(livez(ob, NOW_MS));
	n->being_deleted = false;
	n->to_be_deleted = true;
	assert_false(healthz(ob, NOW_MS));
	assert_true(livez(ob, NOW_MS));
}

static void
a_change_queued_for_the_timeout_is_unhealthy_until_synced(void **state)
{
	struct observing *ob = *state;

	with_node(ob);
	observed_synced(&ob->o, true, 1000, NOW_MS, REALTIME_MS);
	observed_queued(&ob->o, NOW_MS, REALTIME_MS);
	observed_queued(&ob->o, NOW_MS + 50000, REALTIME_MS);
	assert_true(healthz(ob, NOW_MS + 59999));
	assert_true(livez(ob, NOW_MS + 59999));
	assert_false(healthz(ob, NOW_MS + 60000));
	assert_false(livez(ob, NOW_MS + 60000));
	observed_synced(&ob->o, false, 1000, NOW_MS + 60001, REALTIME_MS);
	assert_true(healthz(ob, NOW_MS + 60001));
}

static void what_was_never_synced_is_starting_up(void **state)
{
	struct observing *ob = *state;

	with_node(ob);
	observed_queued(&ob->o, NOW_MS, REALTIME_MS);
	assert_true(healthz(ob, NOW_MS + 600000));
}

static void a_stale_worker_fails_livez_and_not_healthz(void **state)
{
	struct observing *ob = *state;

	with_node(ob);
	with_proxy(ob);
	ob->px.worker[1].heartbeat_ms = NOW_MS;
	ob->px.worker[0].heartbeat_ms = NOW_MS;
	assert_true(livez(ob, NOW_MS + 3000));
	assert_false(livez(ob, NOW_MS + 3001));
	assert_true(healthz(ob, NOW_MS + 3001));
	ob->o.proxy.px = NULL;
	assert_true(livez(ob, NOW_MS + 3001));
}

static void healthz_prints_kube_proxys_fields(void **state)
{
	struct observing *ob = *state;
	struct text t = {0};

	with_node(ob);
	observed_synced(&ob->o, true, 1000, NOW_MS, REALTIME_MS);
	observed_queued(&ob->o, NOW_MS, REALTIME_MS);
	health_healthz(&ob->o, NOW_MS + 60000, REALTIME_MS + 60000, &t);
	assert_string_equal(
		t.data,
		"{\"lastUpdated\":\"2023-11-14T22:13:20.123Z\","
		"\"currentTime\":\"2023-11-14T22:14:20.123Z\","
		"\"nodeEligible\":true,\"healthy\":false,\"status\":{"
		"\"IPv4\":{\"lastUpdated\":\"2023-11-14T22:13:20.123Z\","
		"\"healthy\":false},"
		"\"IPv6\":{\"lastUpdated\":\"2023-11-14T22:13:20.123Z\","
		"\"healthy\":false}}}");
	text_free(&t);
	observed_synced(&ob->o, false, 1000, NOW_MS + 1, REALTIME_MS + 1);
	health_healthz(&ob->o, NOW_MS + 60000, REALTIME_MS + 60000, &t);
	/* Healthy: lastUpdated is now. */
	assert_string_equal(
		t.data,
		"{\"lastUpdated\":\"2023-11-14T22:14:20.123Z\","
		"\"currentTime\":\"2023-11-14T22:14:20.123Z\","
		"\"nodeEligible\":true,\"healthy\":true,\"status\":{"
		"\"IPv4\":{\"lastUpdated\":\"2023-11-14T22:13:20.124Z\","
		"\"healthy\":true},"
		"\"IPv6\":{\"lastUpdated\":\"2023-11-14T22:13:20.124Z\","
		"\"healthy\":true}}}");
	text_free(&t);
}

static void before_the_first_sync_there_is_no_status(void **state)
{
	struct observing *ob = *state;
	struct text t = {0};

	health_healthz(&ob->o, NOW_MS, REALTIME_MS, &t);
	assert_string_equal(t.data,
			    "{\"lastUpdated\":\"0001-01-01T00:00:00Z\","
			    "\"currentTime\":\"2023-11-14T22:13:20.123Z\","
			    "\"nodeEligible\":false,\"healthy\":true}");
	text_free(&t);
}

static void livez_tells_of_the_workers(void **state)
{
	struct observing *ob = *state;
	struct text t = {0};

	with_proxy(ob);
	health_livez(&ob->o, NOW_MS + 3000, REALTIME_MS, &t);
	assert_string_equal(t.data,
			    "{\"lastUpdated\":\"0001-01-01T00:00:00Z\","
			    "\"currentTime\":\"2023-11-14T22:13:20.123Z\","
			    "\"healthy\":false,\"workers\":{\"healthy\":false,"
			    "\"count\":2,\"oldestHeartbeatSeconds\":3.200}}");
	text_free(&t);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_node_that_does_not_exist_is_not_for_load_balancers),
		CLAIM(a_node_from_manifests_need_not_exist),
		CLAIM(a_node_that_goes_is_alive_but_not_for_load_balancers),
		CLAIM(a_change_queued_for_the_timeout_is_unhealthy_until_synced),
		CLAIM(what_was_never_synced_is_starting_up),
		CLAIM(a_stale_worker_fails_livez_and_not_healthz),
		CLAIM(healthz_prints_kube_proxys_fields),
		CLAIM(before_the_first_sync_there_is_no_status),
		CLAIM(livez_tells_of_the_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
