// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>

#include "px_rig.h"
#include "scarce.h"

#define OVER_MS (RIG_START_MS + 30000)

static void connections_are_counted_at_the_endpoint_and_the_group(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	rig_attempt(&r, 0, OUTLIER_ORDINARY, OUTLIER_CONNECTED, RIG_START_MS);
	rig_attempt(&r, 0, OUTLIER_ORDINARY, OUTLIER_CONNECTED, RIG_START_MS);
	rig_attempt(&r, 1, OUTLIER_ORDINARY, OUTLIER_ABANDONED, RIG_START_MS);
	rig_attempt(&r, 1, OUTLIER_ORDINARY, OUTLIER_FAILED, RIG_START_MS);
	px_endpoint_closed(r.endpoints[0]);
	assert_int_equal(rig_read(&r, 0, RIG_START_MS).open, 1);
	assert_int_equal(rig_read(&r, 0, RIG_START_MS).connections, 2);
	assert_int_equal(rig_read(&r, 1, RIG_START_MS).open, 0);
	assert_int_equal(rig_read(&r, 1, RIG_START_MS).connections, 0);
	assert_int_equal(rig_read(&r, 1, RIG_START_MS).failures, 1);
	assert_int_equal(rig_read_group(&r).open, 1);
	assert_int_equal(rig_read_group(&r).connections, 2);
	assert_int_equal(rig_read_group(&r).failures, 1);
	px_endpoint_closed(r.endpoints[0]);
	assert_int_equal(rig_read_group(&r).open, 0);
	rig_close(&r);
}

static void an_ejection_can_be_read_with_its_end(void **state)
{
	struct px_endpoint_stats s;
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	s = rig_read(&r, 1, RIG_START_MS + 1);
	assert_int_equal(s.state, PX_ENDPOINT_EJECTED);
	assert_int_equal(s.ejected_until_ms, OVER_MS);
	assert_int_equal(s.ejections_n, 1);
	assert_null(s.not_ejected_why);
	assert_int_equal(rig_read(&r, 1, OVER_MS).state, PX_ENDPOINT_PROBING);
	assert_int_equal(rig_read(&r, 0, OVER_MS).state, PX_ENDPOINT_IN);
	assert_int_equal(rig_read(&r, 0, OVER_MS).ejected_until_ms, 0);
	assert_int_equal(rig_read_group(&r).ejections, 1);
	assert_int_equal(rig_read_group(&r).ejected_n, 1);
	rig_close(&r);
}

static void the_cap_holds_and_says_so(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 4);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	assert_int_equal(rig_fail(&r, 2), OUTLIER_CAPPED);
	assert_string_equal(rig_read(&r, 2, RIG_START_MS).not_ejected_why,
			    outlier_verdict_why(OUTLIER_CAPPED));
	assert_int_equal(rig_read_group(&r).ejections, 2);
	assert_int_equal(rig_read_group(&r).ejections_capped, 1);
	assert_int_equal(rig_read_group(&r).ejected_n, 2);
	rig_close(&r);
}

static void the_last_endpoint_stays_and_says_so(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_LAST);
	assert_string_equal(rig_read(&r, 0, RIG_START_MS).not_ejected_why,
			    outlier_verdict_why(OUTLIER_LAST));
	assert_int_equal(rig_read_group(&r).ejections_capped, 1);
	rig_close(&r);
}

static void below_the_threshold_and_disabled_can_be_read_too(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	r.policy.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 5;
	assert_int_equal(rig_fail(&r, 0), OUTLIER_BELOW);
	assert_string_equal(rig_read(&r, 0, RIG_START_MS).not_ejected_why,
			    outlier_verdict_why(OUTLIER_BELOW));
	assert_int_equal(rig_read(&r, 0, RIG_START_MS).consecutive_failures, 1);
	r.policy.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 0;
	assert_int_equal(rig_fail(&r, 1), OUTLIER_DISABLED);
	assert_string_equal(rig_read(&r, 1, RIG_START_MS).not_ejected_why,
			    outlier_verdict_why(OUTLIER_DISABLED));
	/* Success is the end of the question. */
	rig_attempt(&r, 0, OUTLIER_ORDINARY, OUTLIER_CONNECTED, RIG_START_MS);
	assert_null(rig_read(&r, 0, RIG_START_MS).not_ejected_why);
	px_endpoint_closed(r.endpoints[0]);
	rig_close(&r);
}

static void a_return_makes_room_for_another(void **state)
{
	enum outlier_role role;
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_CAPPED);
	assert_true(
		px_endpoint_enter(r.endpoints[0], &r.policy, OVER_MS, &role));
	assert_int_equal(role, OUTLIER_PROBE);
	assert_int_equal(rig_read_group(&r).ejected_n, 1);
	assert_int_equal(rig_attempt(&r, 0, OUTLIER_PROBE, OUTLIER_CONNECTED,
				     OVER_MS),
			 OUTLIER_RETURN);
	assert_int_equal(rig_read_group(&r).ejected_n, 0);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	px_endpoint_closed(r.endpoints[0]);
	rig_close(&r);
}

static void a_return_without_probe_makes_room_too(void **state)
{
	enum outlier_role role;
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	r.policy.value[POLICY_OUTLIER_PROBE] = 0;
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_false(px_endpoint_enter(r.endpoints[0], &r.policy, OVER_MS - 1,
				       &role));
	assert_true(
		px_endpoint_enter(r.endpoints[0], &r.policy, OVER_MS, &role));
	assert_int_equal(role, OUTLIER_ORDINARY);
	assert_int_equal(rig_read_group(&r).ejected_n, 0);
	rig_close(&r);
}

static void a_failed_probe_keeps_its_place_and_waits_longer(void **state)
{
	enum outlier_role role;
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_true(
		px_endpoint_enter(r.endpoints[0], &r.policy, OVER_MS, &role));
	assert_int_equal(rig_attempt(&r, 0, role, OUTLIER_FAILED, OVER_MS),
			 OUTLIER_EJECT_ON);
	assert_int_equal(rig_read_group(&r).ejected_n, 1);
	assert_int_equal(rig_read_group(&r).ejections, 2);
	assert_int_equal(rig_read(&r, 0, OVER_MS).ejected_until_ms,
			 OVER_MS + 60000);
	rig_close(&r);
}

static void endpoints_that_stay_keep_their_state(void **state)
{
	static const uint8_t later[] = {2, 3, 4, 9};
	struct rig r;

	(void)state;
	rig_open(&r, 4);
	assert_int_equal(rig_fail(&r, 2), OUTLIER_EJECT); /* 10.0.0.3 */
	rig_attempt(&r, 3, OUTLIER_ORDINARY, OUTLIER_CONNECTED, RIG_START_MS);
	rig_set(&r, later, ARRAY_SIZE(later));
	assert_int_equal(rig_read(&r, 1, RIG_START_MS).state,
			 PX_ENDPOINT_EJECTED);
	assert_int_equal(rig_read(&r, 2, RIG_START_MS).open, 1);
	assert_int_equal(rig_read_group(&r).endpoints_n, 4);
	assert_int_equal(rig_read_group(&r).ejected_n, 1);
	assert_int_equal(rig_read_group(&r).failures, 1);
	px_endpoint_closed(r.endpoints[2]);
	rig_close(&r);
}

static void an_endpoint_that_left_frees_its_place(void **state)
{
	static const uint8_t later[] = {2, 3}, again[] = {1, 2, 3};
	struct px_endpoint *gone;
	struct sockad at = rig_at(1);
	struct rig r;

	(void)state;
	rig_open(&r, 3);
	assert_int_equal(rig_fail(&r, 0), OUTLIER_EJECT);
	assert_int_equal(px_group_endpoint(r.group, &at, &gone), 0);
	px_endpoint_opened(gone);
	rig_set(&r, later, ARRAY_SIZE(later));
	assert_int_equal(rig_read_group(&r).endpoints_n, 2);
	assert_int_equal(rig_read_group(&r).ejected_n, 0);
	assert_int_equal(px_group_endpoint(r.group, &at, &gone), -ENOENT);
	/* A connection that is still there ends in order and counts. */
	assert_int_equal(px_endpoint_report(gone, &r.policy, OUTLIER_ORDINARY,
					    OUTLIER_FAILED, RIG_START_MS),
			 OUTLIER_NOTHING);
	px_endpoint_unref(gone);
	assert_int_equal(rig_read_group(&r).open, 0);
	assert_int_equal(rig_read_group(&r).ejected_n, 0);
	/* Back again, it starts anew. */
	rig_set(&r, again, ARRAY_SIZE(again));
	assert_int_equal(rig_read(&r, 0, RIG_START_MS).state, PX_ENDPOINT_IN);
	assert_int_equal(rig_read(&r, 0, RIG_START_MS).failures, 0);
	rig_close(&r);
}

static void without_memory_a_group_stays_as_it_was(void **state)
{
	struct plan_endpoint wanted[3] = {
		{.at = rig_at(2)}, {.at = rig_at(3)}, {.at = rig_at(4)}};
	struct plan_port port = {
		.name = (char *)"default/web:http",
		.family = AF_INET,
		.endpoints = wanted,
		.endpoints_n = ARRAY_SIZE(wanted),
	};
	struct px_group *group = NULL;
	unsigned int failures_n = 0;
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	assert_int_equal(rig_fail(&r, 1), OUTLIER_EJECT);
	while (scarce_left = failures_n,
	       px_eptable_set(r.table, &port, RIG_START_MS, &group) < 0) {
		struct sockad at = rig_at(3);
		struct px_endpoint *ep;

		scarce_left = UINT_MAX;
		failures_n++;
		assert_null(group);
		assert_int_equal(px_group_endpoint(r.group, &at, &ep), -ENOENT);
		assert_int_equal(rig_read_group(&r).endpoints_n, 2);
		assert_int_equal(rig_read_group(&r).ejected_n, 1);
	}
	scarce_left = UINT_MAX;
	/* The array, and two new endpoints. */
	assert_int_equal(failures_n, 3);
	assert_int_equal(rig_read_group(&r).endpoints_n, 3);
	assert_int_equal(rig_read_group(&r).ejected_n, 1);
	px_group_unref(group);
	rig_close(&r);
}

static void without_memory_there_is_no_new_group(void **state)
{
	struct plan_endpoint wanted = {.at = rig_at(1)};
	struct plan_port port = {
		.name = (char *)"default/other",
		.family = AF_INET,
		.endpoints = &wanted,
		.endpoints_n = 1,
	};
	struct px_group *group = NULL;
	unsigned int failures_n = 0;
	struct rig r;

	(void)state;
	rig_open(&r, 1);
	while (scarce_left = failures_n,
	       px_eptable_set(r.table, &port, RIG_START_MS, &group) < 0) {
		scarce_left = UINT_MAX;
		failures_n++;
		assert_null(group);
		assert_null(px_eptable_find(r.table, "default/other", AF_INET));
	}
	scarce_left = UINT_MAX;
	assert_true(failures_n >= 3);
	assert_ptr_equal(px_eptable_find(r.table, "default/other", AF_INET),
			 group);
	px_group_unref(group);
	rig_close(&r);
}

static void count_group(const struct px_group *g, void *data)
{
	unsigned int *n = data;

	assert_string_equal(g->name, "default/web:http");
	(*n)++;
}

static void groups_are_found_by_name_and_family(void **state)
{
	struct plan_port port = {
		.name = (char *)"default/web:http",
		.family = AF_INET6,
	};
	struct px_group *six;
	unsigned int n = 0;
	struct rig r;

	(void)state;
	rig_open(&r, 1);
	assert_int_equal(px_eptable_set(r.table, &port, RIG_START_MS, &six), 0);
	assert_ptr_equal(px_eptable_find(r.table, "default/web:http", AF_INET),
			 r.group);
	assert_ptr_equal(px_eptable_find(r.table, "default/web:http", AF_INET6),
			 six);
	assert_null(px_eptable_find(r.table, "default/web", AF_INET));
	px_eptable_each(r.table, count_group, &n);
	assert_int_equal(n, 2);
	px_eptable_drop(r.table, "default/web:http", AF_INET6);
	px_eptable_drop(r.table, "default/web:http", AF_INET6);
	assert_null(px_eptable_find(r.table, "default/web:http", AF_INET6));
	px_group_unref(six);
	rig_close(&r);
}

/*
 * A duel: in each round two workers report at the same time, and the
 * referee looks at what came of it.
 */
#define DUEL_ROUNDS_N 50000
#define DUEL_MS	      300 /* of a machine too busy for that many rounds */

struct duel {
	struct rig rig;
	size_t target[2];		 /* endpoint that each one reports on */
	enum outlier_outcome outcome[2]; /* what each one reports */
	enum outlier_verdict verdict[2]; /* written before done */
	_Atomic unsigned int round;	 /* UINT_MAX: go home */
	_Atomic unsigned int done;
};

struct duellist {
	pthread_t thread;
	struct duel *duel;
	size_t side;
};

/* An attempt whose connection, if any, is over at once. */
static enum outlier_verdict settle(struct rig *r, size_t i,
				   enum outlier_outcome outcome)
{
	enum outlier_verdict v =
		rig_attempt(r, i, OUTLIER_ORDINARY, outcome, RIG_START_MS);

	if (outcome == OUTLIER_CONNECTED)
		px_endpoint_closed(r->endpoints[i]);
	return v;
}

static void *fight(void *data)
{
	const struct duellist *me = data;
	struct duel *d = me->duel;
	unsigned int round, last = 0;

	while ((round = atomic_load(&d->round)) != UINT_MAX) {
		if (round == last) {
			sched_yield();
			continue;
		}
		last = round;
		d->verdict[me->side] = settle(&d->rig, d->target[me->side],
					      d->outcome[me->side]);
		atomic_fetch_add(&d->done, 1);
	}
	return NULL;
}

/* Fight, then call @judge, which makes the next round possible. */
static void duel_run(struct duel *d, void (*judge)(struct duel *d))
{
	struct duellist side[2] = {{.duel = d}, {.duel = d, .side = 1}};
	uint64_t end_ms = clock_now_ms() + DUEL_MS;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&side[i].thread, NULL, fight,
						&side[i]),
				 0);
	for (unsigned int round = 1;
	     round <= DUEL_ROUNDS_N && clock_now_ms() < end_ms; round++) {
		atomic_store(&d->done, 0);
		atomic_store(&d->round, round);
		while (atomic_load(&d->done) < 2)
			sched_yield();
		judge(d);
	}
	atomic_store(&d->round, UINT_MAX);
	for (size_t i = 0; i < 2; i++)
		pthread_join(side[i].thread, NULL);
}

static void bring_back(struct rig *r, size_t i)
{
	assert_int_equal(rig_attempt(r, i, OUTLIER_LAST_RESORT,
				     OUTLIER_CONNECTED, RIG_START_MS),
			 OUTLIER_RETURN);
	px_endpoint_closed(r->endpoints[i]);
}

static void judge_one_ejection(struct duel *d)
{
	assert_int_equal((d->verdict[0] == OUTLIER_EJECT) +
				 (d->verdict[1] == OUTLIER_EJECT),
			 1);
	assert_int_equal(rig_read_group(&d->rig).ejected_n, 1);
	bring_back(&d->rig, 0);
	assert_int_equal(rig_read_group(&d->rig).ejected_n, 0);
}

static void of_two_workers_exactly_one_ejects(void **state)
{
	struct duel d = {
		.target = {0, 0},
		.outcome = {OUTLIER_FAILED, OUTLIER_FAILED},
	};

	(void)state;
	rig_open(&d.rig, 6);
	duel_run(&d, judge_one_ejection);
	rig_close(&d.rig);
}

static void judge_the_count(struct duel *d)
{
	assert_int_equal(
		rig_read(&d->rig, 0, RIG_START_MS).consecutive_failures, 2);
	settle(&d->rig, 0, OUTLIER_CONNECTED);
}

static void of_two_failures_at_once_both_count(void **state)
{
	struct duel d = {
		.target = {0, 0},
		.outcome = {OUTLIER_FAILED, OUTLIER_FAILED},
	};

	(void)state;
	rig_open(&d.rig, 6);
	d.rig.policy.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 3;
	duel_run(&d, judge_the_count);
	rig_close(&d.rig);
}

static void judge_the_seats(struct duel *d)
{
	bool out = px_endpoint_is_out(d->rig.endpoints[0]);

	assert_int_equal(rig_read_group(&d->rig).ejected_n, out);
	if (out)
		bring_back(&d->rig, 0);
	settle(&d->rig, 0, OUTLIER_CONNECTED);
	assert_int_equal(settle(&d->rig, 0, OUTLIER_FAILED), OUTLIER_BELOW);
}

static void a_success_that_comes_between_costs_no_room(void **state)
{
	struct duel d = {
		.target = {0, 0},
		.outcome = {OUTLIER_FAILED, OUTLIER_CONNECTED},
	};

	(void)state;
	rig_open(&d.rig, 6);
	d.rig.policy.value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = 2;
	settle(&d.rig, 0, OUTLIER_FAILED);
	duel_run(&d, judge_the_seats);
	rig_close(&d.rig);
}

static void judge_the_cap(struct duel *d)
{
	size_t winner = d->verdict[1] == OUTLIER_EJECT;

	assert_int_equal(d->verdict[winner], OUTLIER_EJECT);
	assert_int_equal(d->verdict[1 - winner], OUTLIER_CAPPED);
	assert_int_equal(rig_read_group(&d->rig).ejected_n, 1);
	bring_back(&d->rig, winner);
	settle(&d->rig, 1 - winner, OUTLIER_CONNECTED);
}

static void two_workers_do_not_both_take_the_last_room(void **state)
{
	struct duel d = {
		.target = {0, 1},
		.outcome = {OUTLIER_FAILED, OUTLIER_FAILED},
	};

	(void)state;
	rig_open(&d.rig, 3);
	duel_run(&d, judge_the_cap);
	rig_close(&d.rig);
}

/*
 * A crowd: each is a worker with a clock of its own that runs fast, so that
 * ejections, probes and returns come all the time.
 */
#define THREADS_N 4
#define ROUNDS_N  20000

struct worker {
	pthread_t thread;
	const struct policy *policy; /* borrowed from the rig */
	struct px_group *group;	     /* likewise */
	uint64_t seed;
	struct px_endpoint *endpoints[RIG_N]; /* references */
	size_t endpoints_n;
	uint64_t verdicts_n[OUTLIER_VERDICT_MAX_];
	uint32_t most_out_n;
};

static void *work(void *data)
{
	struct worker *w = data;
	struct rnd rnd = {w->seed};

	for (unsigned int i = 0; i < ROUNDS_N; i++) {
		uint64_t now_ms = RIG_START_MS + 100ull * i;
		enum outlier_outcome outcome =
			(enum outlier_outcome)rnd_below(&rnd, 3);
		const struct px_wish wish = {
			.endpoints = w->endpoints,
			.endpoints_n = (uint32_t)w->endpoints_n,
			.policy = w->policy,
			.now_ms = now_ms,
			.rnd = &rnd,
		};
		struct px_service_stats s;
		struct px_choice c;

		px_group_read(w->group, &s);
		if (s.ejected_n > w->most_out_n)
			w->most_out_n = s.ejected_n;
		assert_true(px_pick(&wish, &c));
		w->verdicts_n[px_endpoint_report(c.endpoint, w->policy, c.role,
						 outcome, now_ms)]++;
		if (outcome == OUTLIER_CONNECTED)
			px_endpoint_closed(c.endpoint);
	}
	return NULL;
}

static void workers_start(struct worker *workers, struct rig *r)
{
	for (size_t t = 0; t < THREADS_N; t++) {
		struct worker *w = &workers[t];

		*w = (struct worker){
			.policy = &r->policy, .group = r->group, .seed = 7 + t};
		for (size_t i = 0; i < r->endpoints_n; i++)
			assert_int_equal(px_group_endpoint(r->group,
							   &r->endpoints[i]->at,
							   &w->endpoints[i]),
					 0);
		w->endpoints_n = r->endpoints_n;
	}
	for (size_t t = 0; t < THREADS_N; t++)
		assert_int_equal(pthread_create(&workers[t].thread, NULL, work,
						&workers[t]),
				 0);
}

static void workers_join(struct worker *workers)
{
	for (size_t t = 0; t < THREADS_N; t++) {
		pthread_join(workers[t].thread, NULL);
		for (size_t i = 0; i < workers[t].endpoints_n; i++)
			px_endpoint_unref(workers[t].endpoints[i]);
	}
}

static uint64_t verdicts(const struct worker *workers, enum outlier_verdict v)
{
	uint64_t n = 0;

	for (size_t t = 0; t < THREADS_N; t++)
		n += workers[t].verdicts_n[v];
	return n;
}

static uint32_t out_n(const struct rig *r)
{
	uint32_t n = 0;

	for (size_t i = 0; i < r->endpoints_n; i++)
		n += px_endpoint_is_out(r->endpoints[i]);
	return n;
}

static void racing_workers_keep_the_cap_and_every_count(void **state)
{
	struct worker workers[THREADS_N];
	struct px_service_stats s;
	struct rig r;

	(void)state;
	rig_open(&r, 6);
	workers_start(workers, &r);
	workers_join(workers);
	s = rig_read_group(&r);
	for (size_t t = 0; t < THREADS_N; t++)
		assert_in_range(workers[t].most_out_n, 0, 3);
	assert_true(verdicts(workers, OUTLIER_EJECT) > 0);
	assert_true(verdicts(workers, OUTLIER_EJECT_ON) > 0);
	assert_true(verdicts(workers, OUTLIER_RETURN) > 0);
	assert_true(verdicts(workers, OUTLIER_CAPPED) > 0);
	assert_int_equal(s.open, 0);
	assert_int_equal(s.endpoints_n, 6);
	assert_int_equal(s.ejections,
			 verdicts(workers, OUTLIER_EJECT) +
				 verdicts(workers, OUTLIER_EJECT_ON));
	assert_int_equal(s.ejections_capped, verdicts(workers, OUTLIER_CAPPED));
	/* Who was ejected and is not back is out: exactly one did each. */
	assert_int_equal(s.ejected_n, out_n(&r));
	assert_int_equal(verdicts(workers, OUTLIER_EJECT) -
				 verdicts(workers, OUTLIER_RETURN),
			 s.ejected_n);
	rig_close(&r);
}

static void endpoints_may_come_and_go_under_racing_workers(void **state)
{
	static const uint8_t some[] = {1, 3, 4}, all[] = {1, 2, 3, 4, 5, 6};
	struct worker workers[THREADS_N];
	struct px_service_stats s;
	struct rig r;

	(void)state;
	rig_open(&r, 6);
	workers_start(workers, &r);
	for (unsigned int i = 0; i < 200; i++) {
		rig_set(&r, some, ARRAY_SIZE(some));
		rig_set(&r, all, ARRAY_SIZE(all));
	}
	workers_join(workers);
	s = rig_read_group(&r);
	assert_int_equal(s.open, 0);
	assert_int_equal(s.endpoints_n, 6);
	assert_int_equal(s.ejected_n, out_n(&r));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			connections_are_counted_at_the_endpoint_and_the_group),
		cmocka_unit_test(an_ejection_can_be_read_with_its_end),
		cmocka_unit_test(the_cap_holds_and_says_so),
		cmocka_unit_test(the_last_endpoint_stays_and_says_so),
		cmocka_unit_test(
			below_the_threshold_and_disabled_can_be_read_too),
		cmocka_unit_test(a_return_makes_room_for_another),
		cmocka_unit_test(a_return_without_probe_makes_room_too),
		cmocka_unit_test(
			a_failed_probe_keeps_its_place_and_waits_longer),
		cmocka_unit_test(endpoints_that_stay_keep_their_state),
		cmocka_unit_test(an_endpoint_that_left_frees_its_place),
		cmocka_unit_test(without_memory_a_group_stays_as_it_was),
		cmocka_unit_test(without_memory_there_is_no_new_group),
		cmocka_unit_test(groups_are_found_by_name_and_family),
		cmocka_unit_test(of_two_workers_exactly_one_ejects),
		cmocka_unit_test(of_two_failures_at_once_both_count),
		cmocka_unit_test(a_success_that_comes_between_costs_no_room),
		cmocka_unit_test(two_workers_do_not_both_take_the_last_room),
		cmocka_unit_test(racing_workers_keep_the_cap_and_every_count),
		cmocka_unit_test(
			endpoints_may_come_and_go_under_racing_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
