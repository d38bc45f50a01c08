// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/loop/loop.h"

/* An eventfd on the loop.  It is readable while its count is not 0. */
struct source {
	struct loop_fd lf;
	struct loop *loop;
	struct source *other;
	unsigned int calls_n;
	uint32_t events;
};

static void count_call(struct loop_fd *f, uint32_t events)
{
	struct source *s = container_of(f, struct source, lf);

	s->calls_n++;
	s->events = events;
}

static void remove_the_other(struct loop_fd *f, uint32_t events)
{
	struct source *s = container_of(f, struct source, lf);

	count_call(f, events);
	loop_remove(s->loop, &s->other->lf);
}

static void close_the_other(struct loop_fd *f, uint32_t events)
{
	struct source *s = container_of(f, struct source, lf);

	count_call(f, events);
	loop_close(s->loop, &s->other->lf);
}

/* What a connection does that tries its next endpoint. */
static void replace_the_other(struct loop_fd *f, uint32_t events)
{
	struct source *s = container_of(f, struct source, lf);
	int quiet = eventfd(0, EFD_CLOEXEC);

	assert_true(quiet >= 0);
	count_call(f, events);
	close(s->other->lf.fd);
	loop_remove(s->loop, &s->other->lf);
	assert_int_equal(loop_add(s->loop, &s->other->lf, quiet, EPOLLIN), 0);
}

static void source_open(struct source *s, struct loop *l, unsigned int count,
			loop_fd_fn fn)
{
	int fd = eventfd(count, EFD_CLOEXEC);

	assert_true(fd >= 0);
	*s = (struct source){.lf = {.fd = -1, .fn = fn}, .loop = l};
	assert_int_equal(loop_add(l, &s->lf, fd, EPOLLIN), 0);
}

static void source_close(struct source *s)
{
	int fd = s->lf.fd;

	loop_remove(s->loop, &s->lf);
	assert_int_equal(s->lf.fd, -1);
	close(fd);
}

static int set_up(void **state)
{
	return loop_new((struct loop **)state);
}

static int tear_down(void **state)
{
	loop_free(*state);
	return 0;
}

static void an_event_reaches_its_owner(void **state)
{
	struct source a, b;

	source_open(&a, *state, 1, count_call);
	source_open(&b, *state, 0, count_call);
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_int_equal(a.calls_n, 1);
	assert_int_equal(a.events, EPOLLIN);
	assert_int_equal(b.calls_n, 0);
	assert_int_equal(loop_modify(*state, &a.lf, EPOLLIN | EPOLLOUT), 0);
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_int_equal(a.events, EPOLLIN | EPOLLOUT);
	source_close(&a);
	source_close(&b);
}

static void the_same_mask_again_re_arms_an_edge(void **state)
{
	struct source a;

	source_open(&a, *state, 1, count_call);
	assert_int_equal(loop_modify(*state, &a.lf, EPOLLIN | EPOLLET), 0);
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_int_equal(a.calls_n, 1);
	assert_int_equal(loop_modify(*state, &a.lf, EPOLLIN | EPOLLET), 0);
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_int_equal(a.calls_n, 2);
	source_close(&a);
}

static void a_descriptor_removed_in_the_batch_hears_no_more_of_it(void **state)
{
	struct source a, b;
	int a_fd, b_fd;

	source_open(&a, *state, 1, remove_the_other);
	source_open(&b, *state, 1, remove_the_other);
	a.other = &b;
	b.other = &a;
	a_fd = a.lf.fd;
	b_fd = b.lf.fd;
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_int_equal(a.calls_n + b.calls_n, 1);
	loop_remove(*state, &a.lf);
	loop_remove(*state, &b.lf);
	close(a_fd);
	close(b_fd);
}

static void a_descriptor_closed_in_the_batch_hears_no_more_of_it(void **state)
{
	struct source a, b;
	int a_fd, b_fd;

	source_open(&a, *state, 1, close_the_other);
	source_open(&b, *state, 1, close_the_other);
	a.other = &b;
	b.other = &a;
	a_fd = a.lf.fd;
	b_fd = b.lf.fd;
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_int_equal(a.calls_n + b.calls_n, 1);
	loop_close(*state, &a.lf);
	loop_close(*state, &b.lf); /* one of them for the second time */
	assert_int_equal(a.lf.fd, -1);
	assert_int_equal(b.lf.fd, -1);
	assert_int_equal(fcntl(a_fd, F_GETFD), -1);
	assert_int_equal(fcntl(b_fd, F_GETFD), -1);
}

static void a_new_descriptor_does_not_see_events_of_the_former(void **state)
{
	struct source a, b;

	source_open(&a, *state, 1, replace_the_other);
	source_open(&b, *state, 1, replace_the_other);
	a.other = &b;
	b.other = &a;
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_int_equal(a.calls_n + b.calls_n, 1);
	source_close(&a);
	source_close(&b);
}

static void what_epoll_refuses_stays_unregistered(void **state)
{
	struct loop_fd f = {.fd = 99, .fn = count_call};
	char path[] = "/tmp/test_loop.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(loop_add(*state, &f, fd, EPOLLIN), -EPERM);
	assert_int_equal(f.fd, -1);
	loop_remove(*state, &f);
	close(fd);
}

/* One letter for each thing that happened, in order. */
static char order[16];

static void note(char c)
{
	size_t n = strlen(order);

	assert_true(n + 1 < sizeof(order));
	order[n] = c;
	order[n + 1] = '\0';
}

static void note_fd(struct loop_fd *f, uint32_t events)
{
	(void)f;
	(void)events;
	note('f');
}

static void note_timer(struct timer *t, uint64_t now_ms)
{
	(void)t;
	(void)now_ms;
	note('t');
}

struct work {
	struct loop_deferred deferred;
	struct loop *loop;
	char letter;
	unsigned int again_n;
};

static void note_work(struct loop_deferred *d)
{
	struct work *w = container_of(d, struct work, deferred);

	note(w->letter);
	if (w->again_n) {
		w->again_n--;
		loop_defer(w->loop, d);
	}
}

static void a_turn_is_descriptors_then_timers_then_deferred(void **state)
{
	struct work w = {{NULL, note_work}, *state, 'd', 0};
	struct timer t = {.fn = note_timer};
	struct source a;

	order[0] = '\0';
	loop_defer(*state, &w.deferred);
	loop_timer_arm(*state, &t, loop_now_ms(*state));
	source_open(&a, *state, 1, note_fd);
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_string_equal(order, "ftd");
	source_close(&a);
}

static void deferred_work_may_queue_up_again_without_delay(void **state)
{
	struct work a = {{NULL, note_work}, *state, 'a', 2};
	struct work b = {{NULL, note_work}, *state, 'b', 1};

	order[0] = '\0';
	loop_defer(*state, &a.deferred);
	loop_defer(*state, &b.deferred);
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_string_equal(order, "ab");
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_string_equal(order, "abab");
	assert_int_equal(loop_turn(*state, -1), 0);
	assert_string_equal(order, "ababa");
}

static void freeing_the_loop_runs_what_is_deferred(void **state)
{
	struct work a = {{NULL, note_work}, NULL, 'a', 1};

	(void)state;
	order[0] = '\0';
	assert_int_equal(loop_new(&a.loop), 0);
	loop_defer(a.loop, &a.deferred);
	loop_free(a.loop);
	assert_string_equal(order, "aa");
}

struct stopper {
	struct timer timer;
	struct loop *loop;
	uint64_t fired_ms;
};

static void stop_loop(struct timer *t, uint64_t now_ms)
{
	struct stopper *s = container_of(t, struct stopper, timer);

	s->fired_ms = now_ms;
	loop_stop(s->loop);
}

static void the_loop_sleeps_until_a_timer_and_stops_when_told(void **state)
{
	struct stopper s = {.timer.fn = stop_loop, .loop = *state};
	uint64_t start_ms = clock_now_ms();

	loop_timer_arm(*state, &s.timer, start_ms + 30);
	assert_int_equal(loop_run(*state), 0);
	assert_true(s.fired_ms >= start_ms + 30);
	assert_int_equal(s.fired_ms, loop_now_ms(*state));
}

static void a_stopped_timer_does_not_fire(void **state)
{
	struct timer t = {.fn = note_timer};

	order[0] = '\0';
	loop_timer_arm(*state, &t, 0);
	loop_timer_stop(*state, &t);
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_string_equal(order, "");
}

int main(void)
{
#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		LOOP_TEST(an_event_reaches_its_owner),
		LOOP_TEST(the_same_mask_again_re_arms_an_edge),
		LOOP_TEST(
			a_descriptor_removed_in_the_batch_hears_no_more_of_it),
		LOOP_TEST(a_descriptor_closed_in_the_batch_hears_no_more_of_it),
		LOOP_TEST(a_new_descriptor_does_not_see_events_of_the_former),
		LOOP_TEST(what_epoll_refuses_stays_unregistered),
		LOOP_TEST(a_turn_is_descriptors_then_timers_then_deferred),
		LOOP_TEST(deferred_work_may_queue_up_again_without_delay),
		cmocka_unit_test(freeing_the_loop_runs_what_is_deferred),
		LOOP_TEST(the_loop_sleeps_until_a_timer_and_stops_when_told),
		LOOP_TEST(a_stopped_timer_does_not_fire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
