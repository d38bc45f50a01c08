// SPDX-License-Identifier: GPL-2.0-or-later
#include "px_attempt.h"
#include "nodesplice/base/mem.h"
#include "px_affinity.h"
#include "px_pick.h"

void px_attempt_report(struct px_conn *c, enum outlier_outcome outcome)
{
	struct px_stats *s = &c->worker->stats;

	switch (px_endpoint_report(c->endpoint, &px_conn_conf(c)->policy,
				   (enum outlier_role)c->role, outcome,
				   loop_now_ms(c->worker->loop))) {
	case OUTLIER_EJECT:
	case OUTLIER_EJECT_ON:
		px_count(&s->ejections, 1);
		break;
	case OUTLIER_CAPPED:
		px_count(&s->ejections_capped, 1);
		break;
	case OUTLIER_LAST:
		px_count(&s->ejections_last, 1);
		break;
	case OUTLIER_NOTHING:
	case OUTLIER_BELOW:
	case OUTLIER_DISABLED:
	case OUTLIER_RETURN:
	case OUTLIER_VERDICT_MAX_:
		break;
	}
}

/* What a failed attempt is counted as. */
static uint64_t *result_counter(struct px_stats *s, enum px_connect_result r)
{
	switch (r) {
	case PX_CONNECT_REFUSED:
		return &s->connect_refused;
	case PX_CONNECT_TIMEOUT:
		return &s->connect_timeouts;
	case PX_CONNECT_UNREACHABLE:
		return &s->connect_unreachable;
	case PX_CONNECT_NO_SOURCE:
		return &s->transparent_failed;
	case PX_CONNECT_LOCAL:
	case PX_CONNECT_OK:
	case PX_CONNECT_RESULT_MAX_:
		break;
	}
	return &s->connect_failed_local;
}

/* What a failed attempt says about the endpoint. */
static enum outlier_outcome outcome_of(enum px_connect_result r)
{
	switch (r) {
	case PX_CONNECT_REFUSED:
	case PX_CONNECT_TIMEOUT:
	case PX_CONNECT_UNREACHABLE:
		return OUTLIER_FAILED;
	case PX_CONNECT_OK:
		return OUTLIER_CONNECTED;
	case PX_CONNECT_LOCAL:
	case PX_CONNECT_NO_SOURCE:
	case PX_CONNECT_RESULT_MAX_:
		break;
	}
	return OUTLIER_ABANDONED;
}

/* Begin the attempt at c->endpoint. */
static enum px_connect_result begin_attempt(struct px_conn *c)
{
	struct px_worker *w = c->worker;
	const struct plan_view *view =
		px_conn_view(c->frontend, (enum px_entry)c->entry);
	const struct sockad *at = &c->endpoint->at;
	const bool own =
		atomic_load_explicit(&c->endpoint->own, memory_order_relaxed);
	const bool local =
		atomic_load_explicit(&c->endpoint->local, memory_order_relaxed);
	const struct px_connect_want want = {
		.source = px_source_choose(view->masquerade, c->entry,
					   &c->client, &at->addr, own),
		.client = &c->client,
		.endpoint = at,
		.congestion = local ? w->shared->local_congestion : NULL,
	};
	enum px_connect_result r;
	int fd;

	px_count(&w->stats.connects, 1);
	if (c->tried_n > 0) {
		px_count(&w->stats.connect_retries, 1);
		px_conn_add_shared(&px_conn_conf(c)->group->count.retries, 1);
	}
	if (c->role == OUTLIER_PROBE)
		px_count(&w->stats.probes, 1);
	c->tried[c->tried_n++] = c->endpoint;
	r = px_connect_start(&w->shared->connect, &want, &w->rnd, &fd);
	if (r != PX_CONNECT_OK)
		return r;
	c->leg[PX_ENDPOINT] = (struct px_leg){.f.fn = px_conn_on_endpoint};
	if (loop_add(w->loop, &c->leg[PX_ENDPOINT].f, fd, PX_LEG_EVENTS) < 0) {
		px_conn_abort_fd(fd);
		return PX_CONNECT_LOCAL;
	}
	return PX_CONNECT_OK;
}

static void attempt_failed(struct px_conn *c, enum px_connect_result r)
{
	px_count(result_counter(&c->worker->stats, r), 1);
	px_conn_close_leg(c, PX_ENDPOINT, true);
	px_attempt_report(c, outcome_of(r));
	c->endpoint = NULL;
}

/* Have the client keep the choice; false: it keeps another one meanwhile. */
static bool keep(struct px_conn *c, const struct px_endpoint *seen,
		 const struct px_choice *choice, uint64_t now_ms)
{
	struct px_stats *s = &c->worker->stats;

	switch (px_affinity_claim(px_conn_conf(c)->affinity, &c->client, seen,
				  choice->endpoint, now_ms)) {
	case PX_AFFINITY_OVERTAKEN:
		return false;
	case PX_AFFINITY_EVICTED:
	case PX_AFFINITY_NO_ROOM:
		px_count(&s->affinity_lost, 1);
		return true;
	case PX_AFFINITY_KEPT:
	case PX_AFFINITY_ANSWER_MAX_:
		break;
	}
	if (seen && seen != choice->endpoint)
		px_count(&s->affinity_moved, 1);
	return true;
}

/*
 * The endpoint that the client keeps comes first, as long as it can be used: it
 * is in the scope of this frontend, not ejected, not full, and this connection
 * has not failed on it.  Else the client gets another one, and keeps that: its session
 * was lost with the endpoint, and going back would lose it once more.
 */
static bool choose(struct px_conn *c, const struct px_scope *scope,
		   uint64_t now_ms, struct px_choice *ret_choice)
{
	struct px_affinity *affinity = px_conn_conf(c)->affinity;
	const struct px_wish wish = {
		.endpoints = scope->endpoints,
		.endpoints_n = scope->endpoints_n,
		.tried = c->tried,
		.tried_n = c->tried_n,
		.policy = &px_conn_conf(c)->policy,
		.client = &c->client,
		.turn = scope->turn,
		.now_ms = now_ms,
		.rnd = &c->worker->rnd,
	};
	const struct px_endpoint *seen;
	struct sockad at;

	if (!affinity)
		return px_pick(&wish, ret_choice);
	for (;;) {
		seen = px_affinity_find(affinity, &c->client, now_ms, &at);
		if ((!seen || !px_pick_kept(&wish, seen, &at, ret_choice)) &&
		    !px_pick(&wish, ret_choice))
			return false;
		if (keep(c, seen, ret_choice, now_ms))
			return true;
		px_endpoint_report(ret_choice->endpoint, wish.policy,
				   ret_choice->role, OUTLIER_ABANDONED, now_ms);
	}
}

/* How long an attempt may take; 0: connect-total-timeout is over. */
static uint32_t attempt_max_ms(struct px_conn *c, uint64_t now_ms)
{
	uint32_t one_ms = px_conn_setting(c, POLICY_CONNECT_TIMEOUT);
	uint32_t all_ms = px_conn_setting(c, POLICY_CONNECT_TOTAL_TIMEOUT);
	uint64_t gone_ms = now_ms - c->moved_ms;

	c->hurried = all_ms && all_ms < gone_ms + one_ms;
	if (!c->hurried)
		return one_ms;
	return gone_ms < all_ms ? all_ms - (uint32_t)gone_ms : 0;
}

static void give_up(struct px_conn *c)
{
	px_count(&c->worker->stats.connect_exhausted, 1);
	px_conn_add_shared(&px_conn_conf(c)->group->count.exhausted, 1);
	px_conn_close(c, true);
}

/* choose() found nobody: who is left, if anybody, is full. */
static void nobody_left(struct px_conn *c, const struct px_scope *scope)
{
	if (c->tried_n == scope->endpoints_n ||
	    !px_conn_setting(c, POLICY_MAX_ENDPOINT_CONNECTIONS)) {
		give_up(c);
		return;
	}
	px_count(&c->worker->stats.endpoint_limit_refused, 1);
	px_conn_add_shared(&px_conn_conf(c)->group->count.limit_refused, 1);
	px_conn_close(c, true);
}

static bool may_try(const struct px_conn *c, enum px_connect_result last)
{
	return last != PX_CONNECT_NO_SOURCE && c->tried_n < PX_ATTEMPTS_MAX &&
	       c->tried_n < px_conn_setting(c, POLICY_CONNECT_ATTEMPTS);
}

static void total_timeout(struct px_conn *c)
{
	px_count(&c->worker->stats.connect_total_timeouts, 1);
	give_up(c);
}

void px_attempt_next(struct px_conn *c)
{
	struct px_worker *w = c->worker;
	const struct px_scope *scope =
		px_conn_scope(c->frontend, (enum px_entry)c->entry);
	uint64_t now_ms = loop_now_ms(w->loop);
	uint32_t max_ms = attempt_max_ms(c, now_ms);
	enum px_connect_result r = PX_CONNECT_LOCAL;
	struct px_choice choice;

	if (max_ms == 0) {
		total_timeout(c);
		return;
	}
	while (may_try(c, r)) {
		if (!choose(c, scope, now_ms, &choice)) {
			nobody_left(c, scope);
			return;
		}
		c->endpoint = choice.endpoint;
		c->role = choice.role;
		r = begin_attempt(c);
		if (r == PX_CONNECT_OK) {
			loop_timer_arm(w->loop, &c->timer, now_ms + max_ms);
			return;
		}
		attempt_failed(c, r);
	}
	give_up(c);
}

void px_attempt_event(struct px_conn *c, enum px_side side, uint32_t events)
{
	enum px_connect_result r = PX_CONNECT_OK;

	if (side == PX_CLIENT) {
		/* A FIN alone is a client that has said all it wants to say:
		 * it still reads. */
		if (events & (EPOLLERR | EPOLLHUP))
			px_conn_close(c, true);
		return;
	}
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	/* Without either, nothing is left to be asked (tcp_poll()). */
	if (events & (EPOLLERR | EPOLLHUP))
		r = px_connect_finish(c->leg[PX_ENDPOINT].f.fd);
	if (r == PX_CONNECT_OK && !(events & EPOLLERR)) {
		px_attempt_report(c, OUTLIER_CONNECTED);
		px_conn_open(c);
		return;
	}
	attempt_failed(c, r == PX_CONNECT_OK ? PX_CONNECT_REFUSED : r);
	px_attempt_next(c);
}

void px_attempt_timeout(struct px_conn *c)
{
	if (c->hurried) {
		/* It is not held against the endpoint. */
		total_timeout(c);
		return;
	}
	attempt_failed(c, PX_CONNECT_TIMEOUT);
	px_attempt_next(c);
}
