// SPDX-License-Identifier: GPL-2.0-or-later
#include <stddef.h>

#include "gate.h"

static void start_over(struct gate *g, const struct gate_reading *r)
{
	g->accepted_n = r->accepted_n;
	g->intercepted_n = r->intercepted_n;
	g->unanswered_since_ms = 0;
}

static void pause_input(struct gate *g, uint64_t now_ms)
{
	g->pause_ms *= 2;
	if (g->pause_ms < GATE_PAUSE_MIN_MS)
		g->pause_ms = GATE_PAUSE_MIN_MS;
	if (g->pause_ms > GATE_PAUSE_MAX_MS)
		g->pause_ms = GATE_PAUSE_MAX_MS;
	g->paused_until_ms = now_ms + g->pause_ms;
}

/* Whether what the kernel intercepts reaches us. */
static bool input_blocked(struct gate *g, const struct gate_reading *r,
			  uint64_t now_ms)
{
	if (now_ms < g->paused_until_ms)
		return true;
	if (g->paused_until_ms) {
		g->paused_until_ms = 0;
		start_over(g, r);
	}
	if (r->accepted_n != g->accepted_n) {
		g->pause_ms = 0;
		start_over(g, r);
		return false;
	}
	if (r->intercepted_n == g->intercepted_n)
		return false;
	if (!g->unanswered_since_ms) {
		g->unanswered_since_ms = now_ms;
		return false;
	}
	if (now_ms - g->unanswered_since_ms < GATE_BLOCKED_MS)
		return false;
	pause_input(g, now_ms);
	return true;
}

bool gate_decide(struct gate *g, const struct gate_reading *r, uint64_t now_ms,
		 const char **ret_why)
{
	bool blocked = input_blocked(g, r, now_ms);

	*ret_why = NULL;
	if (now_ms > r->heartbeat_ms + GATE_STALE_MS)
		*ret_why = "a worker does not answer";
	else if (r->short_why)
		*ret_why = r->short_why;
	else if (blocked)
		*ret_why = "intercepted connections do not reach the proxy: "
			   "the host's firewall drops INPUT";
	return !*ret_why;
}
