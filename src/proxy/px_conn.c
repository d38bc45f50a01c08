// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   accepted -> CONNECTING -> OPEN -> CLOSED
 *                  |  ^
 *                  +--+ another attempt, on another endpoint
 *
 * CONNECTING: leg[PX_CLIENT] is registered so that a client that goes away is
 * noticed; nothing is read from it: what it sends early waits in its socket.
 * leg[PX_ENDPOINT] is the present attempt; the timer is the attempt's.
 * OPEN: both flows move whenever a leg says that it can.  The timer is the
 * idle or the half-close deadline, the next look at the peers or at the age,
 * whichever is first; the first look comes early and turns keepalive on.  It is
 * not moved with the bytes, but looks at moved_ms when it fires.
 * CLOSED: descriptors are closed, everything is given back, the memory waits
 * for the end of the batch.
 *
 * A connection ends in order when both sides have sent their FIN and all bytes
 * were passed on.  Whatever else happens is a reset on both sides: a cut-off
 * reply must never look whole.  That holds for max-connection-age as well: what
 * bytes mean is not known here, so that a FIN in the quietest moment could be
 * taken for the end of a reply that pauses; a reset never is.  What the moment
 * does is to lose nothing that was on its way.
 * A failed leg is reset only after its readable bytes had their chance (a peer
 * may send a last word and then reset).
 *
 * Work is done in the handler of the event, at most PX_TURN_BYTES a direction;
 * what is left queues up behind the others (work).
 *
 * Relied on: tests/kernel/close_rst.c.
 */
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "nodesplice/base/mem.h"
#include "px_age.h"
#include "px_attempt.h"
#include "px_origdst.h"

/* Options that matter only to connections that last are set after so long:
 * they are eight system calls, and most connections are short. */
#define SETTLE_MS 1000

size_t px_conn_bytes(void)
{
	return sizeof(struct px_conn);
}

struct px_conf *px_conn_conf(const struct px_conn *c)
{
	return c->frontend->conf;
}

uint32_t px_conn_setting(const struct px_conn *c, enum policy_setting s)
{
	return px_conn_conf(c)->policy.value[s];
}

void px_conn_add_shared(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void reset_at_close(int fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void px_conn_abort_fd(int fd)
{
	reset_at_close(fd);
	close(fd);
}

void px_conn_close_leg(struct px_conn *c, enum px_side side, bool reset)
{
	struct px_leg *leg = &c->leg[side];

	if (reset && leg->f.fd >= 0)
		reset_at_close(leg->f.fd);
	loop_close(c->worker->loop, &leg->f);
}

static void on_work(struct loop_deferred *d);

static void queue_work(struct px_conn *c)
{
	if (c->queued)
		return;
	c->queued = true;
	c->work.fn = on_work;
	loop_defer(c->worker->loop, &c->work);
}

static void unlink_conn(struct px_conn *c)
{
	*c->prevp = c->next;
	if (c->next)
		c->next->prevp = c->prevp;
}

static void link_conn(struct px_conn *c)
{
	struct px_conn **head = &c->worker->conn_list;

	c->next = *head;
	if (c->next)
		c->next->prevp = &c->next;
	c->prevp = head;
	*head = c;
}

static void leave_endpoint(struct px_conn *c)
{
	if (!c->endpoint)
		return;
	if (c->state == PX_CONN_CONNECTING)
		px_attempt_report(c, OUTLIER_ABANDONED);
	else
		px_endpoint_closed(c->endpoint);
	c->endpoint = NULL;
}

void px_conn_close(struct px_conn *c, bool reset)
{
	struct px_worker *w = c->worker;

	assert(c->state != PX_CONN_CLOSED);
	for (int side = 0; side < PX_SIDE_MAX_; side++) {
		px_conn_close_leg(c, (enum px_side)side, reset);
		px_flow_drop(&w->mover, &c->flow[side]);
	}
	loop_timer_stop(w->loop, &c->timer);
	leave_endpoint(c);
	if (c->state == PX_CONN_CONNECTING)
		px_count(&w->stats.connecting, -(uint64_t)1);
	px_count(reset ? &w->stats.reset : &w->stats.closed, 1);
	px_count(&w->stats.open, -(uint64_t)1);
	__atomic_fetch_sub(&w->shared->open_n, 1, __ATOMIC_RELAXED);
	px_conf_unref(px_conn_conf(c));
	unlink_conn(c);
	c->state = PX_CONN_CLOSED;
	queue_work(c);
}

/* --- OPEN --- */

static void account(struct px_conn *c, const uint64_t moved[PX_SIDE_MAX_],
		    bool shut)
{
	struct px_worker *w = c->worker;

	if (shut || moved[PX_CLIENT] || moved[PX_ENDPOINT])
		c->moved_ms = loop_now_ms(w->loop);
	if (!moved[PX_CLIENT] && !moved[PX_ENDPOINT])
		return;
	c->asked = !moved[PX_ENDPOINT];
	px_conn_add_shared(&px_conn_conf(c)->group->count.bytes_in,
			   moved[PX_CLIENT]);
	px_conn_add_shared(&px_conn_conf(c)->group->count.bytes_out,
			   moved[PX_ENDPOINT]);
	px_count(&w->stats.bytes_in, moved[PX_CLIENT]);
	px_count(&w->stats.bytes_out, moved[PX_ENDPOINT]);
}

static bool half_closed(const struct px_conn *c)
{
	return c->flow[PX_CLIENT].shut || c->flow[PX_ENDPOINT].shut;
}

/* How long nothing may move from moved_ms on; 0: for ever. */
static uint32_t quiet_max_ms(const struct px_conn *c, uint64_t **ret_counter)
{
	uint32_t idle = px_conn_setting(c, POLICY_IDLE_TIMEOUT);
	uint32_t half = px_conn_setting(c, POLICY_HALF_CLOSE_TIMEOUT);

	if (half_closed(c) && half && (!idle || half < idle)) {
		*ret_counter = &c->worker->stats.half_close_timeouts;
		return half;
	}
	*ret_counter = &c->worker->stats.idle_timeouts;
	return idle;
}

/* Whether a peer has not acknowledged everything. */
static bool leg_holds(const struct px_leg *leg)
{
	int bytes;

	return ioctl(leg->f.fd, SIOCOUTQ, &bytes) < 0 || bytes > 0;
}

static bool is_busy(const struct px_conn *c)
{
	if (c->asked)
		return true;
	for (int side = 0; side < PX_SIDE_MAX_; side++) {
		if (c->flow[side].rest || c->flow[side].pipe ||
		    leg_holds(&c->leg[side]))
			return true;
	}
	return false;
}

/* At most @now_ms: the connection is old enough to end now. */
static uint64_t age_at_ms(const struct px_conn *c, uint64_t now_ms)
{
	if (now_ms < c->age_due_ms)
		return c->age_due_ms;
	return px_age_next_ms(px_conn_setting(c, POLICY_MAX_CONNECTION_AGE),
			      c->age_due_ms,
			      is_busy(c) ? UINT64_MAX : c->moved_ms, now_ms);
}

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

static void arm_open_timer(struct px_conn *c)
{
	uint64_t *counter;
	uint32_t quiet_ms = quiet_max_ms(c, &counter);
	uint64_t at_ms = quiet_ms ? c->moved_ms + quiet_ms : UINT64_MAX;

	at_ms = sooner(at_ms, c->check_ms);
	at_ms = sooner(at_ms, age_at_ms(c, loop_now_ms(c->worker->loop)));
	if (at_ms < UINT64_MAX)
		loop_timer_arm(c->worker->loop, &c->timer, at_ms);
	else
		loop_timer_stop(c->worker->loop, &c->timer);
}

/* A connection that has lasted for SETTLE_MS. */
static void settle(struct px_conn *c)
{
	for (int side = 0; side < PX_SIDE_MAX_; side++)
		px_peer_keepalive(c->leg[side].f.fd,
				  px_conn_setting(c, POLICY_TCP_KEEPALIVE));
	c->settled = true;
}

static void set_next_check(struct px_conn *c, uint64_t now_ms)
{
	uint32_t timeout_ms = px_conn_setting(c, POLICY_TCP_USER_TIMEOUT);

	c->check_ms = timeout_ms ? now_ms + timeout_ms / 2 : UINT64_MAX;
}

/* Return: true: a peer answers no more */
static bool check_peers(struct px_conn *c, uint64_t now_ms)
{
	bool silent = false;

	for (int side = 0; c->settled && side < PX_SIDE_MAX_; side++)
		silent |= px_peer_silent(
			c->leg[side].f.fd, &c->silence[side],
			px_conn_setting(c, POLICY_TCP_USER_TIMEOUT), now_ms);
	if (!c->settled)
		settle(c);
	set_next_check(c, now_ms);
	return silent;
}

static void on_open_timer(struct px_conn *c, uint64_t now_ms)
{
	uint64_t *counter;
	uint32_t quiet_ms = quiet_max_ms(c, &counter);

	if (now_ms >= c->check_ms && check_peers(c, now_ms)) {
		px_count(&c->worker->stats.silent_peers, 1);
		px_conn_close(c, true);
	} else if (quiet_ms && now_ms >= c->moved_ms + quiet_ms) {
		px_count(counter, 1);
		px_conn_close(c, true);
	} else if (now_ms >= age_at_ms(c, now_ms)) {
		px_count(&c->worker->stats.aged_out, 1);
		px_conn_close(c, true);
	} else {
		arm_open_timer(c);
	}
}

/* Both directions.  Return: 0; -errno */
static int move_flows(struct px_conn *c)
{
	uint64_t moved[PX_SIDE_MAX_] = {0};
	bool was_half_closed = half_closed(c);
	int r = 0;

	for (int i = 0; r == 0 && i < PX_SIDE_MAX_; i++)
		r = px_flow_move(&c->worker->mover, &c->flow[i], &c->leg[i],
				 &c->leg[!i], PX_TURN_BYTES, &moved[i]);
	account(c, moved, half_closed(c) && !was_half_closed);
	if (r == 0 && half_closed(c) && !was_half_closed)
		arm_open_timer(c);
	return r;
}

static bool more_to_do(const struct px_conn *c)
{
	return px_flow_ready(&c->flow[PX_CLIENT], &c->leg[PX_CLIENT],
			     &c->leg[PX_ENDPOINT]) ||
	       px_flow_ready(&c->flow[PX_ENDPOINT], &c->leg[PX_ENDPOINT],
			     &c->leg[PX_CLIENT]);
}

/* Whether the kernel has given a peer up: probes without an answer.  @r: of
 * move_flows(), which may have taken the socket's error. */
static bool peer_is_dead(const struct px_conn *c, int r)
{
	for (int side = 0; r != -ETIMEDOUT && side < PX_SIDE_MAX_; side++) {
		if (c->leg[side].failed &&
		    px_connect_finish(c->leg[side].f.fd) == PX_CONNECT_TIMEOUT)
			return true;
	}
	return r == -ETIMEDOUT;
}

static void conn_run(struct px_conn *c)
{
	int r = move_flows(c);

	if (r == 0 && c->flow[PX_CLIENT].shut && c->flow[PX_ENDPOINT].shut) {
		px_conn_close(c, false);
		return;
	}
	if (r < 0 || c->leg[PX_CLIENT].failed || c->leg[PX_ENDPOINT].failed) {
		if (peer_is_dead(c, r))
			px_count(&c->worker->stats.dead_peers, 1);
		px_conn_close(c, true);
		return;
	}
	if (more_to_do(c))
		queue_work(c);
}

static void on_work(struct loop_deferred *d)
{
	struct px_conn *c = container_of(d, struct px_conn, work);

	c->queued = false;
	if (c->state == PX_CONN_CLOSED)
		px_slab_put(&c->worker->conns, c);
	else
		conn_run(c);
}

static uint8_t cuts_of(const struct px_endpoint *ep)
{
	return (uint8_t)atomic_load_explicit(&ep->cuts, memory_order_relaxed);
}

void px_conn_open(struct px_conn *c)
{
	px_count(&c->worker->stats.connecting, -(uint64_t)1);
	c->state = PX_CONN_OPEN;
	c->cuts = cuts_of(c->endpoint);
	c->moved_ms = loop_now_ms(c->worker->loop);
	c->age_due_ms =
		px_age_due_ms(px_conn_setting(c, POLICY_MAX_CONNECTION_AGE),
			      c->moved_ms, &c->worker->rnd);
	c->check_ms = c->moved_ms + SETTLE_MS;
	arm_open_timer(c);
	/* What the client has said goes along with the acknowledgement. */
	if (!c->leg[PX_CLIENT].readable)
		px_connect_acknowledge(c->leg[PX_ENDPOINT].f.fd);
	conn_run(c);
}

/* --- events --- */

static void note_events(struct px_leg *leg, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		leg->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		leg->writable = true;
	if (events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		leg->unsure = true;
	if (events & EPOLLPRI)
		leg->urgent = true;
	if (events & EPOLLERR)
		leg->failed = true;
}

static void on_leg(struct px_conn *c, enum px_side side, uint32_t events)
{
	note_events(&c->leg[side], events);
	if (c->state == PX_CONN_CONNECTING)
		px_attempt_event(c, side, events);
	else
		conn_run(c);
}

static void on_client(struct loop_fd *f, uint32_t events)
{
	on_leg(container_of(f, struct px_conn, leg[PX_CLIENT].f), PX_CLIENT,
	       events);
}

void px_conn_on_endpoint(struct loop_fd *f, uint32_t events)
{
	on_leg(container_of(f, struct px_conn, leg[PX_ENDPOINT].f), PX_ENDPOINT,
	       events);
}

static void on_timer(struct timer *t, uint64_t now_ms)
{
	struct px_conn *c = container_of(t, struct px_conn, timer);

	if (c->state == PX_CONN_OPEN)
		on_open_timer(c, now_ms);
	else
		px_attempt_timeout(c);
}

/* --- accepted --- */

const struct plan_view *px_conn_view(const struct px_frontend *f,
				     enum px_entry entry)
{
	return &f->view[entry == PX_FROM_OUTSIDE ? PLAN_OUTSIDE : PLAN_INSIDE];
}

const struct px_scope *px_conn_scope(const struct px_frontend *f,
				     enum px_entry entry)
{
	return &f->conf->scope[px_conn_view(f, entry)->scope];
}

/* Find what the client asked for.  Return: NULL: refuse it, @ret_why counts */
static const struct px_frontend *admit(struct px_worker *w, int fd,
				       enum px_entry entry, uint8_t family,
				       uint64_t **ret_why)
{
	const struct px_frontend *f;
	struct sockad dst;

	*ret_why = &w->stats.limit_refused;
	if (__atomic_load_n(&w->shared->open_n, __ATOMIC_RELAXED) >=
	    w->shared->connections_max)
		return NULL;
	*ret_why = &w->stats.not_redirected;
	if (px_origdst(fd, family, w->shared->port[entry], &dst) < 0)
		return NULL;
	*ret_why = &w->stats.no_frontend;
	f = px_table_lookup(&w->table, &dst);
	if (!f || !px_conn_view(f, entry)->proxied ||
	    px_conn_view(f, entry)->verdict != PLAN_PICK)
		return NULL;
	*ret_why = &w->stats.no_endpoint;
	if (px_conn_scope(f, entry)->endpoints_n == 0)
		return NULL;
	/* Looked at before it is counted: each worker but one may bring one
	 * more. */
	if (!px_conf_is_full(f->conf))
		return f;
	*ret_why = &w->stats.service_limit_refused;
	px_conn_add_shared(&f->conf->group->count.limit_refused, 1);
	return NULL;
}

static struct px_conn *new_conn(struct px_worker *w, int fd)
{
	struct px_conn *c = px_slab_get(&w->conns);

	if (!c)
		return NULL;
	c->leg[PX_CLIENT].f.fn = on_client;
	c->leg[PX_ENDPOINT].f.fd = -1;
	if (loop_add(w->loop, &c->leg[PX_CLIENT].f, fd, PX_LEG_EVENTS) < 0) {
		px_slab_put(&w->conns, c);
		return NULL;
	}
	return c;
}

void px_conn_accept(struct px_worker *w, int fd, enum px_entry entry,
		    const struct sockad *client)
{
	uint64_t *why;
	const struct px_frontend *f =
		admit(w, fd, entry, client->addr.family, &why);
	struct px_conn *c = NULL;

	px_count(&w->stats.accepted, 1);
	if (f) {
		why = &w->stats.accept_failed;
		c = new_conn(w, fd);
	}
	if (!c) {
		px_count(why, 1);
		px_conn_abort_fd(fd);
		return;
	}
	c->worker = w;
	c->frontend = f;
	px_conf_ref(f->conf);
	c->moved_ms = loop_now_ms(w->loop);
	c->client = client->addr;
	c->entry = (uint8_t)entry;
	c->timer.fn = on_timer;
	link_conn(c);
	px_count(&w->stats.open, 1);
	px_count(&w->stats.connecting, 1);
	__atomic_fetch_add(&w->shared->open_n, 1, __ATOMIC_RELAXED);
	px_attempt_next(c);
}

void px_conn_reset_all(struct px_worker *w)
{
	while (w->conn_list)
		px_conn_close(w->conn_list, true);
}

void px_conn_close_cut(struct px_worker *w)
{
	struct px_conn *next;

	for (struct px_conn *c = w->conn_list; c; c = next) {
		next = c->next;
		if (c->state != PX_CONN_OPEN || c->cuts == cuts_of(c->endpoint))
			continue;
		px_count(&w->stats.endpoint_closed, 1);
		px_conn_close(c, true);
	}
}
