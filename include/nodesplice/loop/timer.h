/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * timer.h - deadlines, many and cheap
 *
 * Layer: loop, pure: the time is an argument.  A hierarchical timing wheel of
 * 1 ms slots; arming and stopping are O(1) and never allocate.  Expired timers
 * are first collected, then fired, so a callback may arm or stop any timer.
 * A timer fires at its deadline or later, never before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodesplice/base/mem.h"

struct timer;
typedef void (*timer_fn)(struct timer *t, uint64_t now_ms);

struct timer {
	struct timer *next, **prevp; /* prevp NULL: not armed */
	uint64_t at_ms;		     /* deadline, monotonic */
	timer_fn fn;		     /* set by the owner once */
};

struct timer_wheel;

/* Return: 0; -ENOMEM.  @now_ms is the wheel's starting time. */
int timer_wheel_new(uint64_t now_ms, struct timer_wheel **ret_wheel);
/* Armed timers are stopped; their memory stays their owners'. */
void timer_wheel_free(struct timer_wheel *w);
DEFINE_FREEP(struct timer_wheel, timer_wheel_free)

/* Arm @t, or move its deadline, which may be past. */
void timer_arm(struct timer_wheel *w, struct timer *t, uint64_t at_ms);
/* Stop @t; nothing if it is not armed. */
void timer_stop(struct timer_wheel *w, struct timer *t);
static inline bool timer_armed(const struct timer *t)
{
	return t->prevp;
}

/* Fire what is due at @now_ms: what was armed for the past, then in the order
 * of the deadlines.  What a callback arms for the past waits for the next
 * run. */
void timer_wheel_run(struct timer_wheel *w, uint64_t now_ms);
/* Milliseconds until the wheel must run next; -1: nothing armed.  May be
 * earlier than the next deadline (a cascade), never later. */
int timer_wheel_wait_ms(const struct timer_wheel *w, uint64_t now_ms);
