/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate.h - whether new TCP connections may go through the proxy
 *
 * Layer: app, pure: readings and the time are arguments.
 *
 * The intercept asks a set that only our heartbeats refresh; no heartbeat, no
 * interception.  We withhold it when a worker hangs, when the node runs short
 * of what a connection needs, and when somebody drops our INPUT traffic:
 * packets are intercepted, but nothing is accepted for GATE_BLOCKED_MS.  Then
 * it is tried again after a pause that doubles.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define GATE_TICK_MS	  1000 /* a third of the set's timeout */
#define GATE_STALE_MS	  2000 /* a worker beats every 500 ms */
#define GATE_BLOCKED_MS	  2000
#define GATE_PAUSE_MIN_MS 10000
#define GATE_PAUSE_MAX_MS 300000

struct gate_reading {
	uint64_t heartbeat_ms;	/* the oldest worker's */
	const char *short_why;	/* NULL: enough of everything */
	uint64_t accepted_n;	/* by the workers, ever */
	uint64_t intercepted_n; /* by the kernel, ever */
};

struct gate {
	uint64_t accepted_n,
		intercepted_n;	      /* when something was accepted last */
	uint64_t unanswered_since_ms; /* 0: nothing is waiting */
	uint64_t paused_until_ms, pause_ms;
};

/**
 * gate_decide() - Judge one tick
 * @ret_why:	Static text; NULL if it may be open
 *
 * Return: whether to send the heartbeats
 */
bool gate_decide(struct gate *g, const struct gate_reading *r, uint64_t now_ms,
		 const char **ret_why);
