/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - one epoll loop per thread
 *
 * Layer: loop; knows no domain type.  All calls come from the loop's own
 * thread; others reach it through a mailbox.  One now_ms per turn.
 *
 * A callback may remove and close any descriptor, its own included: events
 * that the same batch still holds for a removed loop_fd are skipped.  Memory
 * that holds a loop_fd or a timer is released by loop_defer() only, after the
 * batch.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/loop/timer.h"

struct loop;
struct loop_fd;
typedef void (*loop_fd_fn)(struct loop_fd *f, uint32_t events);

/* Embedded in the owner's object; container_of() leads back to it. */
struct loop_fd {
	int fd;		 /* -1: not registered */
	uint32_t events; /* what epoll was told, owned by loop.c */
	loop_fd_fn fn;
};

struct loop_deferred {
	struct loop_deferred *next;
	void (*fn)(struct loop_deferred *d);
};

int loop_new(struct loop **ret_loop); /* 0 or -errno */
/* Runs what is still deferred, and what that defers, first. */
void loop_free(struct loop *l);
DEFINE_FREEP(struct loop, loop_free)

/**
 * loop_add() - Watch a descriptor
 * @f:		Borrowed until loop_remove(); @f->fn is set by the caller
 * @fd:		Stays the caller's
 * @events:	EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLET, ...
 *
 * Return: 0; -errno of epoll_ctl(2) (@f stays unregistered)
 */
int loop_add(struct loop *l, struct loop_fd *f, int fd, uint32_t events);
/* Change the mask; the same mask again re-arms EPOLLET and EPOLLONESHOT. */
int loop_modify(struct loop *l, struct loop_fd *f, uint32_t events);
/* Before the descriptor is closed.  Nothing if it is not registered. */
void loop_remove(struct loop *l, struct loop_fd *f);
/*
 * Remove and close a descriptor that nobody else has, in one system call: the
 * kernel takes a file from epoll with its last reference, epoll(7), Q6.
 */
void loop_close(struct loop *l, struct loop_fd *f);

uint64_t loop_now_ms(const struct loop *l);
void loop_timer_arm(struct loop *l, struct timer *t, uint64_t at_ms);
void loop_timer_stop(struct loop *l, struct timer *t);

/**
 * loop_defer() - Run @d->fn once, after this turn's descriptors and timers
 * @d:		Not deferred already; in the order of the calls
 *
 * Deferred from a deferred function: runs in the next turn, which does not
 * wait.
 */
void loop_defer(struct loop *l, struct loop_deferred *d);

/**
 * loop_turn() - Wait, then handle one batch: descriptors, timers, deferred
 * @max_wait_ms: Upper bound of the wait; -1: none but the timers'
 *
 * Return: 0; -errno of epoll_wait(2) other than EINTR
 */
int loop_turn(struct loop *l, int max_wait_ms);
/* Turn until loop_stop().  Return: 0; -errno of loop_turn() */
int loop_run(struct loop *l);
/* In the loop's thread: the present turn is the last one of loop_run(). */
void loop_stop(struct loop *l);
