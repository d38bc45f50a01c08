// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "nodesplice/base/clock.h"
#include "nodesplice/loop/timer.h"

#define YEAR_MS (365ull * 24 * 3600 * 1000)

/* A timer that remembers how often and when it fired. */
struct probe {
	struct timer timer;
	struct timer_wheel *wheel;
	struct probe *other;
	unsigned int fired_n;
	uint64_t fired_at_ms;
};

static void remember(struct timer *t, uint64_t now_ms)
{
	struct probe *p = container_of(t, struct probe, timer);

	assert_false(timer_armed(t));
	assert_true(now_ms >= t->at_ms);
	p->fired_n++;
	p->fired_at_ms = now_ms;
}

static void arm_again_for_now(struct timer *t, uint64_t now_ms)
{
	struct probe *p = container_of(t, struct probe, timer);

	remember(t, now_ms);
	timer_arm(p->wheel, t, now_ms);
}

static void stop_the_other(struct timer *t, uint64_t now_ms)
{
	struct probe *p = container_of(t, struct probe, timer);

	remember(t, now_ms);
	timer_stop(p->wheel, &p->other->timer);
}

static void a_timer_fires_at_its_deadline_and_not_before(void **state)
{
	static const uint64_t spans[] = {
		1, 63, 64, 65, 4095, 4096, 300000, YEAR_MS, 30 * YEAR_MS};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		const uint64_t start = 1234567, at = start + spans[i];
		struct probe p = {.timer.fn = remember};
		struct timer_wheel *w;

		assert_int_equal(timer_wheel_new(start, &w), 0);
		timer_arm(w, &p.timer, at);
		timer_wheel_run(w, at - 1);
		assert_int_equal(p.fired_n, 0);
		assert_true(timer_armed(&p.timer));
		timer_wheel_run(w, at);
		assert_int_equal(p.fired_n, 1);
		timer_wheel_run(w, at + spans[i]);
		assert_int_equal(p.fired_n, 1);
		timer_wheel_free(w);
	}
}

static void the_last_millisecond_of_all_can_be_waited_for(void **state)
{
	struct probe p = {.timer.fn = remember};
	struct timer_wheel *w;

	(void)state;
	assert_int_equal(timer_wheel_new(0, &w), 0);
	timer_arm(w, &p.timer, UINT64_MAX);
	assert_true(timer_wheel_wait_ms(w, 0) > 0);
	timer_wheel_run(w, UINT64_MAX - 1);
	assert_int_equal(p.fired_n, 0);
	timer_wheel_run(w, UINT64_MAX);
	assert_int_equal(p.fired_n, 1);
	timer_wheel_free(w);
}

static void a_past_deadline_fires_in_the_next_run(void **state)
{
	struct probe p = {.timer.fn = remember};
	struct timer_wheel *w;

	(void)state;
	assert_int_equal(timer_wheel_new(1000, &w), 0);
	timer_arm(w, &p.timer, 5);
	assert_int_equal(timer_wheel_wait_ms(w, 1000), 0);
	timer_wheel_run(w, 1000);
	assert_int_equal(p.fired_n, 1);
	assert_int_equal(timer_wheel_wait_ms(w, 1000), -1);
	timer_wheel_free(w);
}

static void a_callback_that_arms_for_now_does_not_keep_the_run(void **state)
{
	struct probe p = {.timer.fn = arm_again_for_now};

	(void)state;
	assert_int_equal(timer_wheel_new(10, &p.wheel), 0);
	timer_arm(p.wheel, &p.timer, 20);
	timer_wheel_run(p.wheel, 30);
	assert_int_equal(p.fired_n, 1);
	assert_int_equal(timer_wheel_wait_ms(p.wheel, 30), 0);
	timer_wheel_run(p.wheel, 30);
	assert_int_equal(p.fired_n, 2);
	timer_wheel_free(p.wheel);
}

static void a_callback_may_stop_a_timer_that_is_due_with_it(void **state)
{
	struct probe a = {.timer.fn = stop_the_other};
	struct probe b = {.timer.fn = stop_the_other, .other = &a};
	struct timer_wheel *w;

	(void)state;
	a.other = &b;
	assert_int_equal(timer_wheel_new(10, &w), 0);
	a.wheel = b.wheel = w;
	timer_arm(w, &a.timer, 20);
	timer_arm(w, &b.timer, 20);
	timer_wheel_run(w, 20);
	assert_int_equal(a.fired_n + b.fired_n, 1);
	assert_int_equal(timer_wheel_wait_ms(w, 20), -1);
	timer_wheel_free(w);
}

static void moving_a_deadline_leaves_nothing_at_the_old_one(void **state)
{
	struct probe p = {.timer.fn = remember};
	struct timer_wheel *w;

	(void)state;
	assert_int_equal(timer_wheel_new(0, &w), 0);
	timer_arm(w, &p.timer, 50);
	timer_arm(w, &p.timer, 100000);
	timer_wheel_run(w, 99999);
	assert_int_equal(p.fired_n, 0);
	timer_arm(w, &p.timer, 100001);
	timer_wheel_run(w, 100000);
	assert_int_equal(p.fired_n, 0);
	timer_wheel_run(w, 100001);
	assert_int_equal(p.fired_n, 1);
	timer_wheel_free(w);
}

static void a_stopped_timer_does_not_wake_anybody(void **state)
{
	struct probe p = {.timer.fn = remember};
	struct timer_wheel *w;

	(void)state;
	assert_int_equal(timer_wheel_new(0, &w), 0);
	timer_stop(w, &p.timer);
	for (uint64_t at = 1; at < YEAR_MS; at *= 3) {
		timer_arm(w, &p.timer, at);
		timer_stop(w, &p.timer);
		assert_int_equal(timer_wheel_wait_ms(w, 0), -1);
	}
	timer_wheel_run(w, YEAR_MS);
	assert_int_equal(p.fired_n, 0);
	timer_wheel_free(w);
}

static void waiting_as_told_meets_every_deadline_exactly(void **state)
{
	enum { N = 200 };
	struct probe p[N] = {0};
	struct rnd r = {42};
	struct timer_wheel *w;
	uint64_t now = 7;
	int wait;

	(void)state;
	assert_int_equal(timer_wheel_new(now, &w), 0);
	for (size_t i = 0; i < N; i++) {
		p[i].timer.fn = remember;
		timer_arm(w, &p[i].timer, now + 1 + rnd_below(&r, 5000000));
	}
	while ((wait = timer_wheel_wait_ms(w, now)) >= 0) {
		now += (uint64_t)wait;
		timer_wheel_run(w, now);
	}
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(p[i].fired_n, 1);
		assert_int_equal(p[i].fired_at_ms, p[i].timer.at_ms);
	}
	timer_wheel_free(w);
}

static void freeing_the_wheel_stops_its_timers(void **state)
{
	struct probe near = {.timer.fn = remember};
	struct probe far = {.timer.fn = remember};
	struct probe past = {.timer.fn = remember};
	struct timer_wheel *w;

	(void)state;
	assert_int_equal(timer_wheel_new(10, &w), 0);
	timer_arm(w, &near.timer, 11);
	timer_arm(w, &far.timer, YEAR_MS);
	timer_arm(w, &past.timer, 1);
	timer_wheel_free(w);
	assert_false(timer_armed(&near.timer));
	assert_false(timer_armed(&far.timer));
	assert_false(timer_armed(&past.timer));
}

/* The model of the random test: what is armed, and what the last run fired. */
#define MODEL_N 300
static struct model {
	struct timer timer[MODEL_N];
	bool armed[MODEL_N], was_past[MODEL_N], fired[MODEL_N];
	uint64_t last_at_ms;
} model;

static void model_fire(struct timer *t, uint64_t now_ms)
{
	size_t i = (size_t)(t - model.timer);

	assert_true(model.armed[i]);
	assert_true(t->at_ms <= now_ms);
	if (!model.was_past[i]) {
		assert_true(t->at_ms >= model.last_at_ms);
		model.last_at_ms = t->at_ms;
	}
	model.armed[i] = false;
	model.fired[i] = true;
}

/* Numbers of every magnitude up to 2^@bits. */
static uint64_t random_span(struct rnd *r, uint32_t bits)
{
	uint64_t all = (uint64_t)rnd_next(r) << 32 | rnd_next(r);

	return all >> (64 - 1 - rnd_below(r, bits));
}

static void model_check_wait(const struct timer_wheel *w, uint64_t now)
{
	int wait = timer_wheel_wait_ms(w, now);
	uint64_t first = UINT64_MAX;
	bool any = false;

	for (size_t i = 0; i < MODEL_N; i++) {
		assert_int_equal(model.armed[i], timer_armed(&model.timer[i]));
		if (!model.armed[i])
			continue;
		any = true;
		if (model.timer[i].at_ms < first)
			first = model.timer[i].at_ms;
	}
	assert_int_equal(wait < 0, !any);
	if (any)
		assert_true((uint64_t)wait <= (first > now ? first - now : 0));
}

static void model_run(struct timer_wheel *w, uint64_t now)
{
	model.last_at_ms = 0;
	memset(model.fired, 0, sizeof(model.fired));
	timer_wheel_run(w, now);
	for (size_t i = 0; i < MODEL_N; i++) {
		if (model.armed[i])
			assert_true(model.timer[i].at_ms > now);
	}
}

static void it_agrees_with_a_plain_list_over_centuries(void **state)
{
	struct rnd r = {20261123};
	uint64_t now = random_span(&r, 40);
	struct timer_wheel *w;

	(void)state;
	assert_int_equal(timer_wheel_new(now, &w), 0);
	for (size_t i = 0; i < MODEL_N; i++)
		model.timer[i].fn = model_fire;
	for (unsigned int step = 0; step < 20000; step++) {
		size_t i = rnd_below(&r, MODEL_N);
		uint64_t at = now + random_span(&r, 43);

		if (rnd_below(&r, 10) == 0)
			at = now - rnd_below(&r, (uint32_t)(now % 5000) + 1);
		switch (rnd_below(&r, 4)) {
		case 0:
			timer_stop(w, &model.timer[i]);
			model.armed[i] = false;
			break;
		case 1:
			now += random_span(&r, rnd_below(&r, 50) ? 20 : 42);
			model_run(w, now);
			break;
		default:
			timer_arm(w, &model.timer[i], at);
			model.armed[i] = true;
			model.was_past[i] = at <= now;
		}
		model_check_wait(w, now);
	}
	timer_wheel_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_at_its_deadline_and_not_before),
		cmocka_unit_test(the_last_millisecond_of_all_can_be_waited_for),
		cmocka_unit_test(a_past_deadline_fires_in_the_next_run),
		cmocka_unit_test(
			a_callback_that_arms_for_now_does_not_keep_the_run),
		cmocka_unit_test(
			a_callback_may_stop_a_timer_that_is_due_with_it),
		cmocka_unit_test(
			moving_a_deadline_leaves_nothing_at_the_old_one),
		cmocka_unit_test(a_stopped_timer_does_not_wake_anybody),
		cmocka_unit_test(waiting_as_told_meets_every_deadline_exactly),
		cmocka_unit_test(freeing_the_wheel_stops_its_timers),
		cmocka_unit_test(it_agrees_with_a_plain_list_over_centuries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
