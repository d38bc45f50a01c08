/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_conn.h - one client connection and its second leg
 *
 * Layer: proxy, private.
 */
#pragma once

#include "px_peer.h"
#include "px_worker.h"

/* Bytes of one direction in one turn; the rest waits for the other
 * connections' turns. */
#define PX_TURN_BYTES (1u << 20)

#define PX_LEG_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

enum px_side {
	PX_CLIENT,
	PX_ENDPOINT,
	PX_SIDE_MAX_,
};

/*
 * px_conn.state: what the timer is, and what may be called
 *   CONNECTING  connect-timeout; px_attempt_*()
 *   OPEN        idle, half-close, age and silent peers; flows move
 *   CLOSED      not armed; nothing, the memory is about to go
 */
enum px_conn_state {
	PX_CONN_CONNECTING,
	PX_CONN_OPEN,
	PX_CONN_CLOSED,
	PX_CONN_STATE_MAX_,
};

/* Upper end of connect-attempts (model/policy.c). */
#define PX_ATTEMPTS_MAX 10

struct px_conn {
	struct px_leg leg[PX_SIDE_MAX_];
	struct px_flow flow[PX_SIDE_MAX_]; /* from that side to the other */
	struct timer timer;
	struct loop_deferred work;
	struct px_conn *next, **prevp; /* of the worker's list */
	struct px_worker *worker;
	const struct px_frontend *frontend; /* with a reference to its conf */
	struct px_endpoint *endpoint;	    /* the conf's; NULL: none now */
	uint64_t moved_ms;   /* when bytes or a FIN last moved; CONNECTING: when
			      it was accepted */
	uint64_t check_ms;   /* when the peers are looked at again */
	uint64_t age_due_ms; /* px_age_due_ms() */
	struct px_silence silence[PX_SIDE_MAX_];
	struct addr client;
	uint8_t state; /* enum px_conn_state */
	uint8_t entry; /* enum px_entry */
	uint8_t role;  /* enum outlier_role of the present attempt */
	bool queued;   /* work is deferred */
	bool hurried;  /* the present attempt has less than connect-timeout */
	bool asked;    /* the client was the last to send */
	uint8_t cuts;  /* of its endpoint when it was opened, as far as it fits:
			  no endpoint has 256 of them between two ticks */
	bool settled;  /* keepalive is on, if it is to be */
	uint8_t tried_n;
	struct px_endpoint *tried[PX_ATTEMPTS_MAX]; /* the conf's */
};

/**
 * px_conn_accept() - Take a connection that a listener has accepted
 * @fd:		Non-blocking; owned from now on, whatever happens
 * @client:	Its peer
 *
 * Connections that may not be served are reset here, each with its counter.
 */
void px_conn_accept(struct px_worker *w, int fd, enum px_entry entry,
		    const struct sockad *client);

/* Reset every connection of the worker. */
void px_conn_reset_all(struct px_worker *w);

/* Reset those whose endpoint's connections are to be closed since they began:
 * close-connections. */
void px_conn_close_cut(struct px_worker *w);

/* User memory of one idle connection. */
size_t px_conn_bytes(void);

/* --- for px_attempt.c --- */

/* The attempt has succeeded and was reported: let bytes move. */
void px_conn_open(struct px_conn *c);
/* End a connection in any state but CLOSED; with a reset on both sides, or in
 * order after both directions have ended. */
void px_conn_close(struct px_conn *c, bool reset);
/* Close one leg's descriptor, if it has one. */
void px_conn_close_leg(struct px_conn *c, enum px_side side, bool reset);
/* Close with a reset instead of a FIN. */
void px_conn_abort_fd(int fd);
void px_conn_on_endpoint(struct loop_fd *f, uint32_t events);
struct px_conf *px_conn_conf(const struct px_conn *c);
uint32_t px_conn_setting(const struct px_conn *c, enum policy_setting s);
/* Add to a Service's counter, which all workers write. */
void px_conn_add_shared(_Atomic uint64_t *counter, uint64_t n);
/* What the frontend means for clients from there. */
const struct plan_view *px_conn_view(const struct px_frontend *f,
				     enum px_entry entry);
const struct px_scope *px_conn_scope(const struct px_frontend *f,
				     enum px_entry entry);
