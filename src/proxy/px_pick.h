/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_pick.h - which endpoint gets the next connection
 *
 * Layer: proxy, private.  Among those that are in the rotation and that this
 * connection has not tried yet, by load-balancing:
 *
 *   least-connections  of two drawn at random the one with fewer open
 *                      connections on this node (power of two choices)
 *   round-robin        one after the other, all workers together
 *   random             one drawn at random
 *   source-hash        by the client's address; while the endpoints stay, the
 *                      same one on every node
 */
#pragma once

#include "nodesplice/base/clock.h"
#include "px_eptable.h"

/* What a connection asks for. */
struct px_wish {
	/* Of one scope, sorted by at; the configuration that owns it stays
	 * referenced until px_endpoint_report(), or px_endpoint_closed(). */
	struct px_endpoint *const *endpoints;
	uint32_t endpoints_n;
	/* Endpoints that it has failed on; not chosen again. */
	struct px_endpoint *const *tried;
	size_t tried_n;
	const struct policy *policy;
	const struct addr *client; /* for source-hash */
	_Atomic uint32_t *turn;	   /* for round-robin; the scope's */
	uint64_t now_ms;
	struct rnd *rnd;
};

struct px_choice {
	struct px_endpoint *endpoint; /* borrowed from the configuration */
	enum outlier_role role;	      /* for px_endpoint_report() */
};

/**
 * px_pick() - Choose, and count the connection as open there
 *
 * An ejected endpoint whose time is over is chosen when it is drawn, as the
 * probe.  When nobody in the rotation is left to try, one of the ejected is
 * taken as the last resort: a connection that would fail anyway may as well
 * find out.  Nobody is chosen who has max-endpoint-connections; the limit is
 * looked at before the connection is counted, so that each worker but one may
 * bring one more.
 *
 * Return: false: every endpoint was tried or is full, or there is none; of more
 * than 256 the few that are not may be missed
 */
bool px_pick(const struct px_wish *wish, struct px_choice *ret_choice);

/**
 * px_pick_kept() - Choose an endpoint that the client keeps, as px_pick()
 * @kept:	Perhaps gone: compared only
 * @at:		Its address
 *
 * Return: false: it is not of this scope, was tried, is full, or is out of the
 * rotation
 */
bool px_pick_kept(const struct px_wish *wish, const struct px_endpoint *kept,
		  const struct sockad *at, struct px_choice *ret_choice);
