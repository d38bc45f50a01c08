// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "px_rig.h"

#include "../../src/proxy/px_left.h"

#define KEY "default/web"

/* 10.0.0.1 to .3, the first with a connection, which is told to leave. */
struct leaving {
	struct rig rig;
	struct px_endpoint *first; /* reference */
	struct sockad known[3];
	struct plan_port port;
	struct service_plan plan;
};

static void plan_known(struct leaving *l, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l->known[i] = rig_at((uint8_t)(from + i));
	l->port.known = l->known;
	l->port.known_n = n;
}

static void leave(struct leaving *l, bool close_removed, bool connected)
{
	static const uint8_t second_and_third[] = {2, 3};

	memset(l, 0, sizeof(*l));
	l->port = (struct plan_port){.name = (char *)KEY ":http",
				     .protocol = PROTOCOL_TCP,
				     .family = AF_INET};
	l->plan = (struct service_plan){.ports = &l->port, .ports_n = 1};
	rig_open(&l->rig, 3);
	l->rig.knows = close_removed;
	l->first = px_endpoint_ref(l->rig.endpoints[0]);
	if (connected)
		px_endpoint_opened(l->first);
	rig_set(&l->rig, (const uint8_t[]){1, 2, 3}, 3);
	rig_set(&l->rig, second_and_third, 2);
}

static void judge(struct leaving *l, const struct service_plan *plan)
{
	px_eptable_judge_left(l->rig.table, KEY, plan);
}

static uint32_t cuts(const struct leaving *l)
{
	uint32_t n = l->first->cuts;

	assert_int_equal(*px_eptable_cuts(l->rig.table), n);
	return n;
}

static void end(struct leaving *l)
{
	px_endpoint_unref(l->first);
	rig_close(&l->rig);
}

static void who_is_removed_loses_its_connections(void **state)
{
	struct leaving l;

	(void)state;
	leave(&l, true, true);
	assert_int_equal(cuts(&l), 0);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 1);
	/* Once. */
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 1);
	end(&l);
}

static void who_terminates_keeps_them_until_it_is_removed(void **state)
{
	struct leaving l;

	(void)state;
	leave(&l, true, true);
	plan_known(&l, 1, 3);
	judge(&l, &l.plan);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 0);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 1);
	end(&l);
}

static void the_last_endpoint_of_all_is_no_exception(void **state)
{
	struct leaving l;

	(void)state;
	leave(&l, true, true);
	/* Without endpoints the port is not the proxy's any more. */
	px_eptable_drop(l.rig.table, KEY ":http", AF_INET);
	plan_known(&l, 1, 0);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 1);
	end(&l);
}

static void without_the_setting_nobody_is_closed(void **state)
{
	struct leaving l;

	(void)state;
	leave(&l, false, true);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 0);
	end(&l);
	/* It was switched off, or there are too many endpoints to know. */
	leave(&l, true, true);
	judge(&l, &l.plan);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 0);
	end(&l);
}

static void without_a_service_nobody_is_closed(void **state)
{
	struct leaving l;

	(void)state;
	leave(&l, true, true);
	judge(&l, NULL);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 0);
	end(&l);
}

static void another_service_says_nothing_of_it(void **state)
{
	struct leaving l;

	(void)state;
	leave(&l, true, true);
	px_eptable_judge_left(l.rig.table, "default/we", NULL);
	px_eptable_judge_left(l.rig.table, "default/web2", NULL);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 1);
	end(&l);
}

static void who_has_no_connections_is_forgotten(void **state)
{
	struct leaving l;

	(void)state;
	leave(&l, true, false);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 0);
	end(&l);
	leave(&l, true, true);
	plan_known(&l, 1, 3);
	px_endpoint_closed(l.first);
	judge(&l, &l.plan);
	plan_known(&l, 2, 2);
	judge(&l, &l.plan);
	assert_int_equal(cuts(&l), 0);
	end(&l);
}

static void an_ejection_closes_if_it_is_asked_to(void **state)
{
	static const struct {
		enum policy_closing closing;
		uint32_t cuts;
	} rows[] = {{POLICY_CLOSE_NEVER, 0},
		    {POLICY_CLOSE_EJECTED, 1},
		    {POLICY_CLOSE_REMOVED, 0},
		    {POLICY_CLOSE_EJECTED_OR_REMOVED, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig r;

		rig_open(&r, 3);
		r.policy.value[POLICY_CLOSE_CONNECTIONS] = rows[i].closing;
		assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
		assert_int_equal(r.endpoints[0]->cuts, rows[i].cuts);
		/* A decision not to eject is none to close. */
		assert_int_equal(rig_fail(&r, 1), OUTLIER_CAPPED);
		assert_int_equal(r.endpoints[1]->cuts, 0);
		assert_int_equal(*px_eptable_cuts(r.table), rows[i].cuts);
		rig_close(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_removed_loses_its_connections),
		cmocka_unit_test(who_terminates_keeps_them_until_it_is_removed),
		cmocka_unit_test(the_last_endpoint_of_all_is_no_exception),
		cmocka_unit_test(without_the_setting_nobody_is_closed),
		cmocka_unit_test(without_a_service_nobody_is_closed),
		cmocka_unit_test(another_service_says_nothing_of_it),
		cmocka_unit_test(who_has_no_connections_is_forgotten),
		cmocka_unit_test(an_ejection_closes_if_it_is_asked_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
