// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A turn: wait for descriptors no longer than until the next timer; read the
 * clock, once; hand out the batch of events; fire what is due; run what was
 * deferred.  Work that is deferred by deferred work waits for the next turn,
 * which then does not block: so a long transfer may put itself at the end of
 * the queue and every descriptor is looked at in between.
 *
 * The kernel's batch is a copy: it may hold an event for a descriptor that an
 * earlier callback of the batch has removed, and closed.  loop_remove() takes
 * it out of the rest of the batch, so a loop_fd may be registered again for
 * another descriptor at once and never sees the events of the former one.
 */
#include <errno.h>
#include <stdlib.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/loop/loop.h"

/* One system call for many events under load, a page of memory each loop. */
#define BATCH_N 256

struct loop {
	int epoll_fd;
	bool stopped;
	uint64_t now_ms;	   /* of the present turn */
	struct timer_wheel *wheel; /* owned */
	struct loop_deferred *deferred, **deferred_tail;
	int batch_i, batch_n; /* batch[batch_i .. batch_n) is still to come */
	struct epoll_event batch[BATCH_N];
};

int loop_new(struct loop **ret_loop)
{
	cleanup_(freep) struct loop *l = calloc(1, sizeof(*l));
	cleanup_(timer_wheel_freep) struct timer_wheel *wheel = NULL;
	int r;

	if (!l)
		return -ENOMEM;
	l->now_ms = clock_now_ms();
	l->deferred_tail = &l->deferred;
	r = timer_wheel_new(l->now_ms, &wheel);
	if (r < 0)
		return r;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return -errno;
	l->wheel = TAKE_PTR(wheel);
	*ret_loop = TAKE_PTR(l);
	return 0;
}

/* Run what is deferred now; what it defers in turn stays for the next time. */
static void run_deferred(struct loop *l)
{
	struct loop_deferred *d = l->deferred;

	l->deferred = NULL;
	l->deferred_tail = &l->deferred;
	while (d) {
		struct loop_deferred *next = d->next;

		d->fn(d);
		d = next;
	}
}

void loop_free(struct loop *l)
{
	while (l->deferred)
		run_deferred(l);
	timer_wheel_free(l->wheel);
	close(l->epoll_fd);
	free(l);
}

static int control(struct loop *l, int op, struct loop_fd *f, int fd,
		   uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = f};

	return epoll_ctl(l->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, struct loop_fd *f, int fd, uint32_t events)
{
	int r = control(l, EPOLL_CTL_ADD, f, fd, events);

	f->fd = r < 0 ? -1 : fd;
	f->events = r < 0 ? 0 : events;
	return r;
}

int loop_modify(struct loop *l, struct loop_fd *f, uint32_t events)
{
	int r;

	/* The same mask again re-arms these two, and is nothing otherwise. */
	if (events == f->events && !(events & (EPOLLET | EPOLLONESHOT)))
		return 0;
	r = control(l, EPOLL_CTL_MOD, f, f->fd, events);
	if (r == 0)
		f->events = events;
	return r;
}

/* No event of the rest of the batch is for @f any more. */
static void forget(struct loop *l, struct loop_fd *f)
{
	f->fd = -1;
	f->events = 0;
	for (int i = l->batch_i; i < l->batch_n; i++) {
		if (l->batch[i].data.ptr == f) {
			l->batch[i].data.ptr = NULL;
			return; /* a batch names a descriptor once */
		}
	}
}

void loop_remove(struct loop *l, struct loop_fd *f)
{
	if (f->fd < 0)
		return;
	control(l, EPOLL_CTL_DEL, f, f->fd, 0);
	forget(l, f);
}

void loop_close(struct loop *l, struct loop_fd *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	forget(l, f);
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

void loop_timer_arm(struct loop *l, struct timer *t, uint64_t at_ms)
{
	timer_arm(l->wheel, t, at_ms);
}

void loop_timer_stop(struct loop *l, struct timer *t)
{
	timer_stop(l->wheel, t);
}

void loop_defer(struct loop *l, struct loop_deferred *d)
{
	d->next = NULL;
	*l->deferred_tail = d;
	l->deferred_tail = &d->next;
}

static int wait_ms(const struct loop *l, int max_wait_ms)
{
	int until_timer = timer_wheel_wait_ms(l->wheel, clock_now_ms());

	if (l->deferred)
		return 0;
	if (until_timer < 0 || (max_wait_ms >= 0 && max_wait_ms < until_timer))
		return max_wait_ms;
	return until_timer;
}

int loop_turn(struct loop *l, int max_wait_ms)
{
	int n = epoll_wait(l->epoll_fd, l->batch, BATCH_N,
			   wait_ms(l, max_wait_ms));

	if (n < 0 && errno != EINTR)
		return -errno;
	l->now_ms = clock_now_ms();
	l->batch_n = n > 0 ? n : 0;
	for (l->batch_i = 0; l->batch_i < l->batch_n;) {
		const struct epoll_event *ev = &l->batch[l->batch_i++];
		struct loop_fd *f = ev->data.ptr;

		if (f)
			f->fn(f, ev->events);
	}
	l->batch_i = l->batch_n = 0;
	timer_wheel_run(l->wheel, l->now_ms);
	run_deferred(l);
	return 0;
}

int loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped) {
		int r = loop_turn(l, -1);

		if (r < 0)
			return r;
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}
